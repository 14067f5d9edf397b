"""Scopes: three forms by their bytes alone (literal, wildcard, opaque), and what covers what."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .errors import LocalError

_SEGMENT = r"[a-z][a-z0-9_-]*"
_LITERAL = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})+")
_WILDCARD = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*\.\*")
_OPAQUE = re.compile(r"[\x21\x23-\x29\x2B-\x5B\x5D-\x7E]+")


def form(scope: str) -> str:
    """`"literal"`, `"wildcard"` or `"opaque"`. Raises `LocalError` (`malformed`) for anything else."""
    for name, pattern in (("literal", _LITERAL), ("wildcard", _WILDCARD), ("opaque", _OPAQUE)):
        if pattern.fullmatch(scope):
            return name
    raise LocalError("malformed", f"{scope!r} is not a scope")


def is_scope(scope: str) -> bool:
    """Whether the text has one of the three forms."""
    return any(pattern.fullmatch(scope) for pattern in (_LITERAL, _WILDCARD, _OPAQUE))


def covers(held: str, requested: str) -> bool:
    """Whether `held` allows everything `requested` allows."""
    held_form, requested_form = form(held), form(requested)
    if held_form == "wildcard":
        return requested_form != "opaque" and requested.startswith(held[:-1])
    return held == requested


def covered(held: Iterable[str], requested: Iterable[str]) -> bool:
    """Whether every scope of `requested` is covered by one of `held`."""
    holders = list(held)
    return all(any(covers(h, r) for h in holders) for r in requested)


def meet(held: Iterable[str], requested: Iterable[str]) -> list[str]:
    """The scopes that both sides allow, without redundant ones, sorted."""
    left, right = list(held), list(requested)
    both = {r for r in right if covered(left, [r])} | {h for h in left if covered(right, [h])}
    return sorted(s for s in both if not any(o != s and covers(o, s) for o in both))
