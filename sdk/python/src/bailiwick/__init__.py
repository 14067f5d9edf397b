"""Delegation for AI agents: hold a key, sign grants, settle them, and prove possession on every call."""

from .auth import DelegatedAuth
from .client import Authority
from .errors import AuthorityUnavailable, BailiwickError, LocalError, Refused
from .grant import Grant
from .held import HeldAuthority, narrow
from .identity import DevIdentity, FileIdentity, IdentitySource, dev_subject_token
from .keys import HolderKey
from .token import HopToken

__all__ = [
    "Authority",
    "AuthorityUnavailable",
    "BailiwickError",
    "DelegatedAuth",
    "DevIdentity",
    "FileIdentity",
    "Grant",
    "HeldAuthority",
    "HolderKey",
    "HopToken",
    "IdentitySource",
    "LocalError",
    "Refused",
    "dev_subject_token",
    "narrow",
]
