"""Authlib, joserfc and PyJWT: a client of the Authority, a resource server, verifiers."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jwt as pyjwt
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, thumbprint
from joserfc.util import urlsafe_b64encode
from stage import Verdicts

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type:"
HOP = "urn:bailiwick:hop"
HEADER = jws.JWSRegistry(algorithms=["ES256", "EdDSA", "Ed25519"], strict_check_header=False)


class Proofs(httpx.Auth):
    """DPoP as RFC 9449 has it, made with joserfc: a proof for each request, again when a nonce is asked for."""

    requires_response_body = True

    def __init__(self, key: ECKey | OKPKey, token: str | None = None) -> None:
        self.key, self.token, self.nonce = key, token, ""
        self.statuses: list[int] = []

    def proof(self, method: str, url: str, **more: Any) -> str:
        """A fresh proof."""
        claims = {"jti": str(uuid.uuid4()), "htm": method, "htu": url, "iat": int(time.time()), **more}
        if self.nonce:
            claims["nonce"] = self.nonce
        if self.token:
            claims["ath"] = digest(self.token)
        algorithm = "ES256" if isinstance(self.key, ECKey) else "Ed25519"
        header = {"alg": algorithm, "typ": "dpop+jwt", "jwk": public(self.key)}
        return jws.serialize_compact(header, json.dumps(claims), self.key, registry=HEADER)

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
        for _ in range(2):
            request.headers["DPoP"] = self.proof(request.method, str(request.url.copy_with(query=None)))
            if self.token:
                request.headers["Authorization"] = f"DPoP {self.token}"
            reply = yield request
            self.statuses.append(reply.status_code)
            self.nonce = reply.headers.get("dpop-nonce", self.nonce)
            if "use_dpop_nonce" not in reply.text + reply.headers.get("www-authenticate", ""):
                return


def public(key: ECKey | OKPKey) -> dict[str, Any]:
    """The members that RFC 7638 counts."""
    return {name: value for name, value in sorted(key.as_dict(private=False).items()) if name in ("crv", "kty", "x", "y")}


def digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()


def canonical(value: Any) -> str:
    """RFC 8785, for what stands in a grant: ASCII names, whole numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Agent:
    """A client made of Authlib's, with a key of joserfc's."""

    def __init__(self, metadata: dict[str, Any], svid: str, key: ECKey | OKPKey) -> None:
        self.metadata, self.svid, self.key, self.proofs = metadata, svid, key, Proofs(key)
        self.client = OAuth2Client(client_id="agent", token_endpoint_auth_method="none")

    def exchange(self, subject_token: str, kind: str, **more: str) -> dict[str, Any]:
        """RFC 8693, by Authlib."""
        actor = {} if kind == f"{TYPE}access_token" else {"actor_token": self.svid, "actor_token_type": f"{TYPE}jwt"}
        token = self.client.fetch_token(
            self.metadata["token_endpoint"], grant_type=EXCHANGE, subject_token=subject_token, subject_token_type=kind,
            auth=self.proofs, **actor, **more,
        )  # fmt: skip
        return dict(token)

    def grant(self, parent: str, delegatee: str, **change: Any) -> str:
        """A grant by joserfc."""
        held = claims_of(parent)
        now = int(time.time())
        claims = {
            "iss": held["client_id"], "sub": held["sub"], "aud": held["aud"], "client_id": delegatee, "iat": now,
            "exp": min(held["exp"], now + 120), "jti": str(uuid.uuid4()), "scope": "crm.read", "txn": held["txn"],
            "del_depth": held["del_depth"] + 1, "del_max_depth": held["del_max_depth"],
            "authorization_details": [{"type": "agent_delegation", "scopes": ["crm.read"], "constraints": [{"key": "rows", "max": 10}]}],
            "par_hash": digest(parent.rsplit(".", 1)[0]),
            HOP: {name: held[HOP][name] for name in ("v", "purpose", "workflow", "tenant", "env")}, **change,
        }  # fmt: skip
        header = {"alg": "ES256" if isinstance(self.key, ECKey) else "EdDSA", "c14n": "JCS", "jwk": public(self.key), "typ": "at+jwt"}
        return jws.serialize_compact(dict(sorted(header.items())), canonical(claims), self.key, registry=HEADER)


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    return dict(json.loads(jws.extract_compact(token.encode()).payload))


def refused(call: Callable[[], object]) -> str:
    """The error that a library raises, in its own words."""
    try:
        call()
    except Exception as error:  # Each library has its own.
        return getattr(error, "error", None) or type(error).__name__
    return "accepted"


class Strict(JWTBearerTokenValidator):  # type: ignore[misc]
    """Authlib's resource server (RFC 9068), which knows the issuer and its keys."""

    def __init__(self, issuer: str, audience: str, keys: KeySet) -> None:
        super().__init__(issuer=issuer, resource_server=audience)
        self.keys = keys

    def get_jwks(self) -> KeySet:
        return self.keys


class Validator(Strict):
    """The same, which ignores header parameters that it does not know, as RFC 7515 §4 has it. joserfc refuses them
    unless it is told, and ours have `c14n`."""

    def authenticate_token(self, token_string: str) -> JWTAccessTokenClaims:
        read = jwt.decode(token_string, self.keys, algorithms=["ES256"], registry=HEADER)
        wanted = {name: {"essential": True} for name in ("exp", "sub", "client_id", "iat", "jti")}
        exact = {"iss": {"essential": True, "value": self.issuer}, "aud": {"essential": True, "value": self.resource_server}}
        return JWTAccessTokenClaims(read.claims, read.header, {**wanted, **exact})


def keys_of(metadata: dict[str, Any]) -> KeySet:
    return KeySet.import_key_set(httpx.get(metadata["jwks_uri"]).raise_for_status().json())


def flows(verdicts: Verdicts, config: dict[str, Any], metadata: dict[str, Any]) -> tuple[Agent, dict[str, Any], dict[str, Any]]:
    """A task is opened, handed on and renewed."""
    lead = Agent(metadata, config["lead"], OKPKey.generate_key("Ed25519"))
    worker = Agent(metadata, config["worker"], ECKey.generate_key("P-256"))
    detail = [{"type": "bailiwick_task", "workflow": config["workflow"], "parameters": {}}]
    first = lead.exchange(config["subject"], f"{TYPE}id_token", audience=config["audience"], authorization_details=json.dumps(detail))
    verdicts.check("Authlib: opens a task, with the nonce that it is asked for", lead.proofs.statuses == [400, 200]
                   and first["token_type"] == "DPoP" and first["issued_token_type"] == f"{TYPE}access_token", (first, lead.proofs.statuses))  # fmt: skip
    verdicts.check("joserfc: the token is bound to the key", claims_of(first["access_token"])["cnf"]["jkt"] == thumbprint(public(lead.key)))
    grant = lead.grant(first["access_token"], config["workerId"])
    second = worker.exchange(grant, "urn:bailiwick:token-type:grant")
    claims = claims_of(second["access_token"])
    verdicts.check("Authlib: settles a grant that joserfc made", claims["del_depth"] == 1 and claims["scope"] == "crm.read"
                   and claims["authorization_details"][0]["constraints"] == [{"key": "rows", "max": 10}], claims)  # fmt: skip
    wider = lead.grant(first["access_token"], config["workerId"], authorization_details=[
        {"type": "agent_delegation", "scopes": ["crm.read"], "constraints": [{"key": "rows", "max": 101}]}])  # fmt: skip
    got = refused(lambda: worker.exchange(wider, "urn:bailiwick:token-type:grant"))
    verdicts.check("Authlib: a wider one is refused", got == "invalid_scope", got)
    spelled = jws.serialize_compact({"typ": "at+jwt", "jwk": public(lead.key), "c14n": "JCS", "alg": "EdDSA"},
                                    json.dumps(claims_of(grant)), lead.key, registry=HEADER)  # fmt: skip
    got = refused(lambda: worker.exchange(spelled, "urn:bailiwick:token-type:grant"))
    verdicts.check("Authlib: and one that is not in its one canonical form", got == "invalid_request", got)
    renewed = worker.exchange(second["access_token"], f"{TYPE}access_token")
    verdicts.check("Authlib: renews, as the same hop", claims_of(renewed["access_token"])["par_hash"] == claims["par_hash"]
                   and claims_of(renewed["access_token"])["jti"] != claims["jti"], renewed)  # fmt: skip
    return worker, first, renewed


def verifying(verdicts: Verdicts, config: dict[str, Any], metadata: dict[str, Any], token: str) -> None:
    """Three verifiers of the same token."""
    keys = keys_of(metadata)
    rules = jwt.JWTClaimsRegistry(iss={"essential": True, "value": config["issuer"]}, aud={"essential": True, "value": config["audience"]},
                                  exp={"essential": True}, cnf={"essential": True}, txn={"essential": True})  # fmt: skip
    read = jwt.decode(token, keys, algorithms=["ES256"], registry=HEADER)
    rules.validate(read.claims)
    verdicts.check("joserfc: a hop's token verifies, and its claims", read.header["typ"] == "at+jwt" and read.claims["sub"] == "user:alice@dev.example", read.header)
    for what, keyed, algorithms in (("with another key", KeySet([ECKey.generate_key("P-256")]), ["ES256"]), ("as HMAC", keys, ["HS256"])):
        got = refused(lambda keyed=keyed, algorithms=algorithms: jwt.decode(token, keyed, algorithms=algorithms))
        verdicts.check(f"joserfc: not {what}", got != "accepted", got)
    got = refused(lambda: Strict(config["issuer"], config["audience"], keys).authenticate_token(token))
    verdicts.check("Authlib: by itself refuses a header parameter that it does not know", got == "invalid_token", got)
    validator = Validator(config["issuer"], config["audience"], keys)
    found = validator.authenticate_token(token)
    got = refused(lambda: validator.validate_token(found, ["crm.read"], None))
    verdicts.check("Authlib: its resource server takes the token by RFC 9068", got == "accepted", got)
    got = refused(lambda: validator.validate_token(found, ["crm.write"], None))
    verdicts.check("Authlib: and not for a scope that the hop lacks", got == "insufficient_scope", got)
    other = Validator(config["issuer"], "https://elsewhere.example", keys)
    got = refused(lambda: other.validate_token(other.authenticate_token(token), ["crm.read"], None))
    verdicts.check("Authlib: nor at another audience", got != "accepted", got)
    client = pyjwt.PyJWKClient(metadata["jwks_uri"])
    options = {"require": ["exp", "iat", "jti", "cnf"]}
    said = pyjwt.decode(token, client.get_signing_key_from_jwt(token).key, ["ES256"], options, audience=config["audience"], issuer=config["issuer"])
    verdicts.check("PyJWT: verifies it with the published keys", said == read.claims, said)
    got = refused(lambda: pyjwt.decode(token[:-8] + "AAAAAAAA", client.get_signing_key_from_jwt(token).key, ["ES256"], audience=config["audience"]))
    verdicts.check("PyJWT: not with another signature", got != "accepted", got)


def calling(verdicts: Verdicts, config: dict[str, Any], worker: Agent, token: str) -> None:
    """httpx through the gateway, with proofs of joserfc's."""
    proofs = Proofs(worker.key, token)
    reply = httpx.get(f"{config['resource']}/contacts", auth=proofs)
    verdicts.check("httpx: calls through the gateway with the nonce that it asks for", reply.status_code == 200 and proofs.statuses == [401, 200], reply.text)
    stolen = httpx.get(f"{config['resource']}/contacts", auth=Proofs(ECKey.generate_key("P-256"), token))
    verdicts.check("httpx: not with another key", stolen.status_code == 401 and stolen.json()["code"] == "holder_binding_failed", stolen.text)
    bearer = httpx.get(f"{config['resource']}/contacts", headers={"Authorization": f"Bearer {token}"})
    verdicts.check("httpx: not as a bearer", bearer.status_code == 401 and bearer.json()["code"] == "holder_binding_failed", bearer.text)


def rotation(verdicts: Verdicts, config: dict[str, Any], metadata: dict[str, Any], worker: Agent, token: str) -> None:
    """New signing keys while tokens of the old ones live."""
    before = jws.extract_compact(token.encode()).headers()["kid"]
    httpx.post(f"{config['issuer']}/v1/keys/rotate", headers={"Authorization": f"Bearer {config['operator']}"}).raise_for_status()
    renewed = worker.exchange(token, f"{TYPE}access_token")["access_token"]
    after = jws.extract_compact(renewed.encode()).headers()["kid"]
    keys = keys_of(metadata)
    read = [refused(lambda it=it: jwt.decode(it, keys, algorithms=["ES256"], registry=HEADER)) for it in (token, renewed)]
    verdicts.check("joserfc: after a rotation old and new tokens verify", before != after and read == ["accepted", "accepted"], (before, after, read))
    only = KeySet([key for key in keys.keys if key.kid == before])
    got = refused(lambda: jwt.decode(renewed, only, algorithms=["ES256"], registry=HEADER))
    verdicts.check("joserfc: each by its own key", got != "accepted", got)


def checks(verdicts: Verdicts, config: dict[str, Any]) -> None:
    """All of it."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # Loopback.
    said = httpx.get(f"{config['issuer']}/.well-known/oauth-authorization-server").raise_for_status().json()
    metadata = AuthorizationServerMetadata(said)
    # Authlib wants a response type where there is no endpoint that could have one.
    metadata["response_types_supported"] = said["response_types_supported"] or ["none"]
    got = refused(metadata.validate)
    verdicts.check("Authlib: the metadata are valid by RFC 8414, but for an empty list of response types", got == "accepted", got)
    worker, _, renewed = flows(verdicts, config, dict(said))
    token = str(renewed["access_token"])
    verifying(verdicts, config, dict(said), token)
    calling(verdicts, config, worker, token)
    rotation(verdicts, config, dict(said), worker, token)
