"""The holder's key. It never leaves the process but by `save`, in a file only its owner can read."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from .errors import LocalError
from .jcs import canonicalize


def b64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64url_decode(text: str) -> bytes:
    """The bytes of unpadded base64url text. Raises `LocalError` (`malformed`)."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise LocalError("malformed", "not base64url") from None


class HolderKey:
    """A private key that tokens are bound to: Ed25519 (default) or P-256 (`ES256`)."""

    def __init__(self, private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        if isinstance(private, ed25519.Ed25519PrivateKey):
            raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            self.algorithm = "EdDSA"
            self.jwk: dict[str, Any] = {"crv": "Ed25519", "kty": "OKP", "x": b64url(raw)}
        elif isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
            point = private.public_key().public_numbers()
            self.algorithm = "ES256"
            self.jwk = {
                "crv": "P-256",
                "kty": "EC",
                "x": b64url(point.x.to_bytes(32, "big")),
                "y": b64url(point.y.to_bytes(32, "big")),
            }
        else:
            raise LocalError("malformed", "a holder key is Ed25519 or P-256")
        self.thumbprint = b64url(hashlib.sha256(canonicalize(self.jwk)).digest())
        """RFC 7638 thumbprint: the `cnf.jkt` of tokens bound to this key."""

    def __repr__(self) -> str:
        return f"HolderKey({self.algorithm}, jkt={self.thumbprint})"

    @classmethod
    def generate(cls, algorithm: str = "EdDSA") -> HolderKey:
        """A fresh key for `"EdDSA"` (Ed25519) or `"ES256"`."""
        if algorithm == "EdDSA":
            return cls(ed25519.Ed25519PrivateKey.generate())
        if algorithm == "ES256":
            return cls(ec.generate_private_key(ec.SECP256R1()))
        raise LocalError("malformed", f"{algorithm!r} is neither EdDSA nor ES256")

    @classmethod
    def load(cls, path: str | Path) -> HolderKey:
        """Read a PKCS#8 PEM file. Refuses one that others than its owner can read."""
        path = Path(path)
        if path.stat().st_mode & 0o077:
            raise LocalError("key_file_exposed", f"{path} can be read by others: chmod 600 it")
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, (ed25519.Ed25519PrivateKey, ec.EllipticCurvePrivateKey)):
            raise LocalError("malformed", "a holder key is Ed25519 or P-256")
        return cls(key)

    def save(self, path: str | Path) -> None:
        """Write the key as PKCS#8 PEM with mode 0600. Refuses to overwrite a file."""
        pem = self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)

    def sign(self, message: bytes) -> bytes:
        """A JWS signature: 64 bytes, for ES256 `r || s`."""
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            return self._private.sign(message)
        r, s = utils.decode_dss_signature(self._private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def sign_jws(self, header: dict[str, Any], payload: dict[str, Any]) -> str:
        """A compact JWS over JCS header and payload bytes. `alg` is this key's and is put in the header here."""
        signing_input = f"{b64url(canonicalize({**header, 'alg': self.algorithm}))}.{b64url(canonicalize(payload))}"
        return f"{signing_input}.{b64url(self.sign(signing_input.encode('ascii')))}"
