"""Hop tokens as their holder sees them: what they permit, when they end, what a child commits to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .errors import LocalError
from .held import HeldAuthority
from .jcs import parse_strict
from .keys import b64url, b64url_decode

HOP = "urn:bailiwick:hop"
TOKEN_BYTES_MAX = 16 * 1024


@dataclass(frozen=True)
class HopToken:
    """A token this process holds. Its claims are read, not verified: verifying is the enforcement point's work."""

    compact: str

    @cached_property
    def claims(self) -> dict[str, Any]:
        """The claims. Raises `LocalError` when the text is not a token of this profile."""
        parts = self.compact.split(".")
        if len(self.compact) > TOKEN_BYTES_MAX or len(parts) != 3:
            raise LocalError("malformed", "not a compact JWS of bounded size")
        claims = parse_strict(b64url_decode(parts[1]))
        if not isinstance(claims, dict):
            raise LocalError("malformed", "the claims are not an object")
        return claims

    @cached_property
    def authority(self) -> HeldAuthority:
        """What the token permits."""
        details = self.claims["authorization_details"]
        if len(details) != 1:
            raise LocalError("malformed", "a token has exactly one authorization detail")
        return HeldAuthority.from_detail(details[0])

    @property
    def signing_hash(self) -> str:
        """Base64url SHA-256 of the JWS signing input: the `par_hash` of every child."""
        return b64url(hashlib.sha256(self.compact.rsplit(".", 1)[0].encode("ascii")).digest())

    @property
    def jti(self) -> str:
        """The token's id."""
        return str(self.claims["jti"])

    @property
    def task_id(self) -> str:
        """The task the token lives and dies with."""
        return str(self.claims["txn"])

    @property
    def depth(self) -> int:
        """Hops since the task was opened; 0 for the first agent."""
        return int(self.claims["del_depth"])

    @property
    def expires_at(self) -> int:
        """Seconds since the epoch."""
        return int(self.claims["exp"])
