"""A small stand-in for the Authority, for unit tests only: it signs what it is asked and checks nothing else."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from bailiwick import HeldAuthority, HolderKey, HopToken
from bailiwick.grant import uuid7
from bailiwick.token import HOP

ISSUER = "http://127.0.0.1:8420"
AGENT = "spiffe://dev.bailiwick.example/agent/a"


class StaticIdentity:
    """An identity source with one fixed token."""

    def token(self, audience: str) -> str:
        return "svid"


def hop(key: HolderKey, *, scopes=("crm.*",), constraints=(), ttl=300, depth=0, max_depth=3) -> HopToken:
    """A hop token bound to `key`, signed by a throwaway issuer key."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": "user:alice@dev.example",
        "aud": "https://crm.dev.example",
        "client_id": AGENT,
        "iat": now,
        "exp": now + ttl,
        "jti": uuid7(),
        "cnf": {"jkt": key.thumbprint},
        "scope": " ".join(scopes),
        "authorization_details": [HeldAuthority.of(scopes, constraints).to_detail()],
        "del_depth": depth,
        "del_max_depth": max_depth,
        "txn": uuid7(),
        HOP: {"v": 1, "purpose": "p", "workflow": "w", "tenant": "t", "env": "dev", "lineage": []},
    }
    return HopToken(HolderKey.generate("ES256").sign_jws({"c14n": "JCS", "kid": "k", "typ": "at+jwt"}, claims))


class FakeAuthority:
    """Answers the token endpoint. `demand_nonce` makes it ask for a nonce; `down` makes it drop connections."""

    def __init__(self, key: HolderKey) -> None:
        self.key, self.demand_nonce, self.down, self.refuse = key, False, False, None
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.down:
            raise httpx.ConnectError("connection refused", request=request)
        if self.refuse:
            return httpx.Response(403, json=self.refuse)
        proof = jws_payload(request.headers["DPoP"]) if "DPoP" in request.headers else {}
        if self.demand_nonce and proof.get("nonce") != "n1":
            return httpx.Response(400, json={"error": "use_dpop_nonce"}, headers={"DPoP-Nonce": "n1"})
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": hop(self.key).compact, "token_type": "DPoP"})
        return httpx.Response(200, json={"ok": True})

    def form(self, index: int = -1) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.requests[index].content.decode()).items()}


def jws_payload(jws: str) -> dict[str, Any]:
    from bailiwick.keys import b64url_decode

    return json.loads(b64url_decode(jws.split(".")[1]))


@pytest.fixture
def key() -> HolderKey:
    return HolderKey.generate()


@pytest.fixture
def fake(key: HolderKey) -> FakeAuthority:
    return FakeAuthority(key)


@pytest.fixture
def authority(fake: FakeAuthority, key: HolderKey):
    from bailiwick import Authority

    return Authority(ISSUER, StaticIdentity(), key, httpx.Client(transport=httpx.MockTransport(fake)))
