"""Where an agent's identity comes from: a JWT-SVID for a given audience, fetched again before it ends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from .errors import AuthorityUnavailable, LocalError
from .keys import b64url_decode

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class IdentitySource(Protocol):
    """Anything that has a JWT-SVID (or an OIDC workload token) for an audience."""

    def token(self, audience: str) -> str:
        """A token that is valid now and names `audience`."""
        ...


class FileIdentity:
    """A JWT-SVID in a file that something else (a SPIFFE helper, a sidecar) keeps fresh."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def token(self, audience: str) -> str:
        """The file's token. Raises `LocalError`: `expired`, `audience_mismatch`, `malformed`."""
        svid = self._path.read_text(encoding="ascii").strip()
        claims = _claims(svid)
        named = claims.get("aud")
        if audience not in (named if isinstance(named, list) else [named]):
            raise LocalError("audience_mismatch", f"the SVID in {self._path} is not for {audience}")
        if float(claims.get("exp", 0)) <= time.time():
            raise LocalError("expired", f"the SVID in {self._path} has ended")
        return svid


class DevIdentity:
    """An SVID from the development trust domain of `bailiwick serve --dev`. Loopback only."""

    def __init__(self, issuer: str, spiffe_id: str, client: httpx.Client | None = None) -> None:
        if urlsplit(issuer).hostname not in _LOOPBACK:
            raise LocalError("issuer_untrusted", "a development identity comes from loopback only")
        self.spiffe_id = spiffe_id
        self._issuer = issuer.rstrip("/")
        self._client = client or httpx.Client(timeout=10)
        self._held: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def token(self, audience: str) -> str:
        """An SVID for `audience`, reused until 30 seconds before its end."""
        with self._lock:
            svid, fresh_until = self._held.get(audience, ("", 0.0))
            if time.time() >= fresh_until:
                body = {"spiffe_id": self.spiffe_id, "audience": audience}
                svid = _dev_token(self._client, f"{self._issuer}/dev/svid", body)
                fresh_until = float(_claims(svid)["exp"]) - 30
                self._held[audience] = (svid, fresh_until)
            return svid


def dev_subject_token(
    issuer: str, subject: str, groups: list[str] | None = None, client: httpx.Client | None = None
) -> str:
    """A user's OIDC token from the development issuer of `bailiwick serve --dev`. Loopback only."""
    if urlsplit(issuer).hostname not in _LOOPBACK:
        raise LocalError("issuer_untrusted", "a development identity comes from loopback only")
    body = {"subject": subject, "groups": groups or [], "audience": issuer}
    return _dev_token(client or httpx.Client(timeout=10), f"{issuer.rstrip('/')}/dev/subject-token", body)


def _dev_token(client: httpx.Client, url: str, body: Mapping[str, object]) -> str:
    try:
        response = client.post(url, json=body)
        response.raise_for_status()
        return str(response.json()["token"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise AuthorityUnavailable(f"no development identity: {error}") from error


def _claims(jwt: str) -> dict[str, Any]:
    try:
        claims = json.loads(b64url_decode(jwt.split(".")[1]))
    except (IndexError, ValueError):
        raise LocalError("malformed", "not a JWT") from None
    if not isinstance(claims, dict):
        raise LocalError("malformed", "not a JWT")
    return claims
