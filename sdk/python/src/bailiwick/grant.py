"""Grants: a hop signed by the delegator's own key: "this agent may do this narrower thing"."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import LocalError
from .held import HeldAuthority, narrow
from .keys import HolderKey
from .scopes import covered
from .token import HOP, HopToken

TTL_SECONDS_MAX = 900


@dataclass(frozen=True)
class Grant:
    """A signed grant, to be handed to the delegatee, who settles it. Not usable until then."""

    compact: str

    @classmethod
    def create(
        cls,
        parent: HopToken | str,
        delegatee: str,
        scopes: Iterable[str],
        constraints: Iterable[Mapping[str, Any]] = (),
        *,
        ttl: int = 300,
        key: HolderKey,
        holder: str | None = None,
        audience: str | None = None,
    ) -> Grant:
        """Grant `delegatee` the part of `parent` that `scopes` and `constraints` describe.

        `parent` is the delegator's own hop token and `key` the key it is bound to. `ttl` is in seconds and is cut
        to the parent's own end. `holder` is the delegatee's key thumbprint: with it the grant is key-bound and can
        travel offline, without it the grant is agent-bound and is settled online.

        Raises `LocalError`: `holder_binding_failed` (the key is not the parent's), `depth_invalid` (no hop left),
        `not_narrower` (a scope the parent does not have), `expired`.
        """
        held = parent if isinstance(parent, HopToken) else HopToken(parent)
        asked = HeldAuthority.of(scopes, constraints)
        authority = narrow(held.authority, asked)
        if not covered(held.authority.scopes, asked.scopes):
            raise LocalError("not_narrower", "a scope was asked for that the parent does not hold")
        return cls.sign(held, delegatee, authority, ttl=ttl, key=key, holder=holder, audience=audience)

    @classmethod
    def sign(
        cls,
        parent: HopToken,
        delegatee: str,
        authority: HeldAuthority,
        *,
        ttl: int,
        key: HolderKey,
        holder: str | None = None,
        audience: str | None = None,
    ) -> Grant:
        """Sign `authority` as it stands, without asking whether the parent holds it. The Authority asks."""
        claims = parent.claims
        if claims["cnf"].get("jkt") != key.thumbprint:
            raise LocalError("holder_binding_failed", "the parent token is bound to another key")
        if claims["del_depth"] >= claims["del_max_depth"]:
            raise LocalError("depth_invalid", "the parent token allows no further hop")
        now = int(time.time())
        if claims["exp"] <= now:
            raise LocalError("expired", "the parent token has ended: renew it first")
        hop = claims[HOP]
        body: dict[str, Any] = {
            "iss": claims["client_id"],
            "sub": claims["sub"],
            "aud": audience or claims["aud"],
            "client_id": delegatee,
            "iat": now,
            "exp": min(now + min(ttl, TTL_SECONDS_MAX), claims["exp"]),
            "jti": uuid7(),
            "authorization_details": [authority.to_detail()],
            "scope": " ".join(authority.scopes),
            "del_depth": claims["del_depth"] + 1,
            "del_max_depth": claims["del_max_depth"],
            "par_hash": parent.signing_hash,
            "txn": claims["txn"],
            HOP: {name: hop[name] for name in ("v", "purpose", "workflow", "tenant", "env") if name in hop},
        }
        if holder is not None:
            body["cnf"] = {"jkt": holder}
        return cls(key.sign_jws({"c14n": "JCS", "jwk": key.jwk, "typ": "at+jwt"}, body))


def uuid7() -> str:
    """A UUIDv7 (RFC 9562) as hyphenated text."""
    stamp = int(time.time() * 1000)
    value = (stamp << 80) | (7 << 76) | (secrets.randbits(12) << 64) | (0b10 << 62) | secrets.randbits(62)
    return str(uuid.UUID(int=value))
