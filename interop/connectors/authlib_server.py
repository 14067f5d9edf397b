"""A second authorization server (Authlib): authlib_server.py PORT CONFIG.json

CONFIG has the clients, one client's public key, and the refresh tokens that somebody obtained. Refresh tokens work once:
the one that comes with an access token takes the place of the one that was shown. Each answer is a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from flask import Flask, request
from joserfc.jwk import ECKey

PORT = int(sys.argv[1])
CONFIG = json.loads(Path(sys.argv[2]).read_text())
ISSUED: dict[str, Token] = {}
ROTATED: set[str] = set()
ASSERTIONS: set[str] = set()


class Client(ClientMixin):  # type: ignore[misc]
    """A client that CONFIG names."""

    def __init__(self, client_id: str, entry: dict[str, Any]) -> None:
        self.client_id, self.entry = client_id, entry

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(it for it in (scope or "").split() if it in self.entry["scopes"])

    def check_client_secret(self, client_secret: str) -> bool:
        return bool(client_secret) and client_secret == self.entry.get("secret")

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return bool(method == self.entry["method"])

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.entry["grants"]


class Token(SimpleNamespace, TokenMixin):  # type: ignore[misc]
    """What was issued."""

    def check_client(self, client: Client) -> bool:
        return bool(self.client_id == client.client_id)

    def get_scope(self) -> str:
        return str(self.scope)

    def get_expires_in(self) -> int:
        return int(self.expires_in)

    def is_expired(self) -> bool:
        return bool(self.issued_at + self.expires_in < time.time())

    def is_revoked(self) -> bool:
        return False


class Assertion(JWTBearerClientAssertion):  # type: ignore[misc]
    def validate_jti(self, claims: dict[str, Any], jti: str) -> bool:
        fresh = jti not in ASSERTIONS
        ASSERTIONS.add(jti)
        return fresh

    def get_audiences(self) -> list[str]:
        return [f"http://127.0.0.1:{PORT}/token"]

    def resolve_client_public_key(self, client: Client) -> ECKey:
        return ECKey.import_key(CONFIG["jwk"])


class Credentials(grants.ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", Assertion.CLIENT_AUTH_METHOD]


class Refresh(grants.RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        if refresh_token in ROTATED:
            return None
        if refresh_token in CONFIG["refresh_tokens"]:
            entry = CONFIG["clients"]["offline"]
            return Token(client_id="offline", scope=" ".join(entry["scopes"]), expires_in=3600, issued_at=time.time())
        return next((it for it in ISSUED.values() if it.refresh_token == refresh_token), None)

    def authenticate_user(self, refresh_token: Token) -> str:
        return "support"

    def revoke_old_credential(self, refresh_token: Token) -> None:
        ROTATED.add(request.form["refresh_token"])


def save(token: dict[str, Any], asked: Any) -> None:
    kept = {"refresh_token": None, "scope": "", **token}
    ISSUED[token["access_token"]] = Token(client_id=asked.client.client_id, issued_at=time.time(), **kept)


os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # Loopback.
app = Flask("authlib")
app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": CONFIG["ttl"], "refresh_token": CONFIG["ttl"]}
app.config["OAUTH2_SCOPES_SUPPORTED"] = CONFIG["scopes"]
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
clients = {name: Client(name, entry) for name, entry in CONFIG["clients"].items()}
server = AuthorizationServer(app, query_client=clients.get, save_token=save)
server.register_client_auth_method(Assertion.CLIENT_AUTH_METHOD, Assertion())
server.register_grant(Credentials)
server.register_grant(Refresh)


@app.post("/token")
def token() -> Any:
    """RFC 6749 §3.2."""
    answer = server.create_token_response()
    said = answer.get_json(silent=True) or {}
    client, method = shown()
    told = {"status": answer.status_code, "error": said.get("error"), "client": client, "method": method,
            "grant": request.form.get("grant_type"), "form": list(request.form), "token": said.get("access_token"),
            "refresh_token": said.get("refresh_token")}  # fmt: skip
    print(json.dumps(told), flush=True)
    return answer


def shown() -> tuple[str | None, str]:
    """Who asked, and how they showed it."""
    if request.authorization is not None:
        return request.authorization.username, "client_secret_basic"
    client = request.form.get("client_id")
    return client, "client_secret_post" if "client_secret" in request.form else Assertion.CLIENT_AUTH_METHOD


@app.post("/introspect")
def introspect() -> Any:
    """RFC 7662, for the protected resource of the suite."""
    found = ISSUED.get(request.form["token"])
    if found is None or found.is_expired():
        return {"active": False}
    return {"active": True, "client_id": found.client_id, "scope": found.scope}


app.run("127.0.0.1", PORT, threaded=True)
