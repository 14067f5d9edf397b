"""Constraints: closed objects `{key, <type>: value}`, subsumption and meet.

A mirror of the Authority's rules, so that an agent can see before it signs whether a grant is narrower than
what it holds. The Authority decides again; a mistake here can only make a grant be refused.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import LocalError
from .jcs import canonicalize

Constraint = dict[str, Any]

_EXTRA = {"rank": {"order"}, "from_read": {"bound"}}
TYPES = (
    "max", "min", "max_lifetime", "max_subtree", "one_of", "not_one_of", "prefix", "rank",
    "subset_of", "absent", "contains", "under", "host", "from_read",
)  # fmt: skip


def type_of(constraint: Mapping[str, Any]) -> str | None:
    """The constraint's type, or None for one this version does not know (which denies).

    Raises `LocalError` (`malformed`) for an object that is not a constraint at all.
    """
    if not isinstance(constraint.get("key"), str) or not constraint["key"]:
        raise LocalError("malformed", "a constraint needs a key")
    members = [m for m in constraint if m != "key"]
    known = [m for m in members if m in TYPES]
    if not known and len(members) == 1:
        return None
    if len(known) != 1 or set(members) - {known[0], *_EXTRA.get(known[0], ())}:
        raise LocalError("malformed", f"constraint {constraint['key']!r} must hold exactly one typed value")
    return known[0]


def subsumes(parent: Mapping[str, Any], child: Mapping[str, Any]) -> bool:
    """Whether `child` admits no more than `parent`: same key, same type, a narrower value."""
    kind = type_of(parent)
    if kind is None or type_of(child) is None:
        return canonicalize(dict(parent)) == canonicalize(dict(child))
    if parent["key"] != child["key"] or kind != type_of(child):
        return False
    p, c = parent[kind], child[kind]
    if kind in ("max", "max_lifetime", "max_subtree"):
        return bool(c <= p)
    if kind == "min":
        return bool(c >= p)
    if kind in ("one_of", "subset_of", "host"):
        return _members(c) <= _members(p)
    if kind == "not_one_of":
        return _members(c) >= _members(p)
    if kind == "prefix":
        return bool(c.startswith(p))
    if kind == "rank":
        order = parent["order"]
        return order == child["order"] and order.index(c) <= order.index(p)
    if kind == "contains":
        return p in c
    if kind == "under":
        return _within(c, p)
    if kind == "from_read":
        return _from_read_narrower(parent, child)
    return p is True and c is True


def all_subsume(parent: Iterable[Mapping[str, Any]], child: Iterable[Mapping[str, Any]]) -> bool:
    """Whether every constraint of `parent` is kept or tightened in `child`."""
    children = list(child)
    return all(any(subsumes(p, c) for c in children) for p in parent)


def meet(parent: Iterable[Mapping[str, Any]], requested: Iterable[Mapping[str, Any]]) -> list[Constraint]:
    """Every limit of both sides: per (key, type) the tighter of the two.

    Raises `LocalError` (`not_narrower`) where the two limits of one (key, type) have no single narrower form.
    """
    out = [dict(p) for p in parent]
    for wanted in requested:
        slot = (wanted["key"], type_of(wanted))
        index = next((i for i, have in enumerate(out) if (have["key"], type_of(have)) == slot), None)
        if index is None:
            out.append(dict(wanted))
        else:
            out[index] = _tighter(out[index], dict(wanted))
    return ordered(out)


def ordered(constraints: Iterable[Mapping[str, Any]]) -> list[Constraint]:
    """The constraints in the one order that the token profile writes them in."""
    return sorted((dict(c) for c in constraints), key=lambda c: (c["key"], type_of(c) or "", canonicalize(c)))


def _tighter(have: Constraint, wanted: Constraint) -> Constraint:
    if subsumes(have, wanted):
        return wanted
    if subsumes(wanted, have):
        return have
    kind = type_of(have)
    if kind in ("one_of", "subset_of", "host"):
        allowed = _members(wanted[kind])
        both = [v for v in have[kind] if canonicalize(v) in allowed]
        if both:
            return {**have, kind: both}
    if kind == "not_one_of":
        seen = _members(have[kind])
        return {**have, kind: [*have[kind], *(v for v in wanted[kind] if canonicalize(v) not in seen)]}
    raise LocalError("not_narrower", f"no single limit on {have['key']!r} is within both")


def _members(values: Iterable[Any]) -> set[bytes]:
    return {canonicalize(v) for v in values}


def _within(path: str, root: str) -> bool:
    path, root = posixpath.normpath(path), posixpath.normpath(root)
    return path == root or path.startswith(root.rstrip("/") + "/")


def _from_read_narrower(parent: Mapping[str, Any], child: Mapping[str, Any]) -> bool:
    if parent.get("bound") != child.get("bound"):
        return False
    return all(any(_source_narrower(p, c) for p in parent["from_read"]) for c in child["from_read"])


def _source_narrower(parent: Mapping[str, Any], child: Mapping[str, Any]) -> bool:
    return (
        parent["scope"] == child["scope"]
        and ("field" not in parent or parent["field"] == child.get("field"))
        and all(child.get("where", {}).get(k) == v for k, v in parent.get("where", {}).items())
    )
