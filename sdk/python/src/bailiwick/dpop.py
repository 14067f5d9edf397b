"""DPoP proofs (RFC 9449): one short-lived signature per request, bound to method, URL and token."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from .keys import HolderKey, b64url


def htu(url: str) -> str:
    """The URL as a proof names it: without query and fragment (RFC 9449 §4.2)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path or '/'}"


def proof(key: HolderKey, method: str, url: str, *, token: str | None = None, nonce: str | None = None) -> str:
    """A fresh proof for one request. `token` is the access token that travels with it (sets `ath`)."""
    claims: dict[str, Any] = {
        "htm": method.upper(),
        "htu": htu(url),
        "iat": int(time.time()),
        "jti": secrets.token_urlsafe(16),
    }
    if token is not None:
        claims["ath"] = b64url(hashlib.sha256(token.encode("ascii")).digest())
    if nonce is not None:
        claims["nonce"] = nonce
    return key.sign_jws({"typ": "dpop+jwt", "jwk": key.jwk}, claims)
