"""Constraints: closed objects `{key, <type>: value}`, subsumption and meet.

A mirror of the Authority's rules (`crates/core/src/constraint`), so that an agent can see before it signs whether a
grant is narrower than what it holds. The Authority decides again; a mistake here can only make a grant be refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .constraint_values import VALUES, order_holds
from .errors import LocalError
from .jcs import canonicalize

Constraint = dict[str, Any]

NOTHING = "\0"
"""Ends a string constraint that denies everything: it extends the parent's, and no value extends it."""

_SMALLER = ("max", "max_lifetime", "max_subtree")
_SUBSET = ("one_of", "subset_of", "host")


def type_of(constraint: Mapping[str, Any]) -> str:
    """The name of the constraint's type member, known here or not.

    Raises `LocalError` (`malformed`) for an object that is not a constraint at all.
    """
    key = constraint.get("key") if isinstance(constraint, Mapping) else None
    if not isinstance(key, str) or not key:
        raise LocalError("malformed", "a constraint is an object with a key")
    members = [m for m in constraint if m != "key" and not (m == "order" and "rank" in constraint)]
    if len(members) != 1:
        raise LocalError("malformed", f"constraint {key!r} must hold exactly one typed value")
    return str(members[0])


def check(constraint: Mapping[str, Any]) -> None:
    """Raises `LocalError` (`malformed`) unless the value is one that the constraint's type may have."""
    kind = type_of(constraint)
    value = constraint[kind]
    fits = kind not in VALUES or VALUES[kind](value)
    if not fits or (kind == "rank" and not order_holds(constraint.get("order"), value)):
        raise LocalError("malformed", f"constraint {constraint['key']!r}: not a value of {kind}")


def subsumes(parent: Mapping[str, Any], child: Mapping[str, Any]) -> bool:
    """Whether `child` admits no more than `parent`: same key, same type, an equal or tighter value."""
    kind = type_of(parent)
    if parent["key"] != child["key"] or kind != type_of(child):
        return False
    p, c = parent[kind], child[kind]
    if kind in _SMALLER:
        return bool(c <= p)
    if kind == "min":
        return bool(c >= p)
    if kind in _SUBSET:
        return _members(c) <= _members(p)
    if kind == "not_one_of":
        return _members(c) >= _members(p)
    if kind == "prefix":
        return bool(c.startswith(p))
    if kind == "contains":
        return p in c
    if kind == "under":
        return _lies_under(c, p)
    if kind == "rank":
        order = parent["order"]
        return bool(order == child["order"] and order.index(c) <= order.index(p))
    if kind == "from_read":
        return all(any(_source_subsumes(mine, theirs) for mine in p) for theirs in c)
    return canonicalize(dict(parent)) == canonicalize(dict(child))


def all_subsume(parent: Iterable[Mapping[str, Any]], child: Iterable[Mapping[str, Any]]) -> bool:
    """Whether every constraint of `parent` is kept or tightened in `child`."""
    children = list(child)
    return all(any(subsumes(p, c) for c in children) for p in parent)


def meet(parent: Iterable[Mapping[str, Any]], asked: Iterable[Mapping[str, Any]]) -> list[Constraint]:
    """Every limit of both sides; of one (key, type) the tightest that is within both.

    Where two limits have nothing in common, the result denies every value of the key, in a form that is still
    narrower than the parent's.
    """
    met = {_identity(p): dict(p) for p in parent}
    denied: list[Constraint] = []
    for wanted in asked:
        slot = _identity(wanted)
        if slot not in met:
            met[slot] = dict(wanted)
            continue
        met[slot], nothing = _tighter(met[slot], dict(wanted))
        if nothing:
            denied.append({"key": wanted["key"], "one_of": []})
    met.update({_identity(deny): deny for deny in denied})
    return ordered(met.values())


def ordered(constraints: Iterable[Mapping[str, Any]]) -> list[Constraint]:
    """The constraints by (key, type) and sets by member: the one order that tokens have them in.

    Raises `LocalError` (`malformed`) when one is malformed or two share key and type.
    """
    found = sorted(map(_normal, constraints), key=_identity)
    if len({_identity(c) for c in found}) != len(found):
        raise LocalError("malformed", "two constraints share key and type")
    return found


def _normal(constraint: Mapping[str, Any]) -> Constraint:
    check(constraint)
    kind = type_of(constraint)
    if kind in _SUBSET or kind == "not_one_of":
        return {**constraint, kind: _sorted(constraint[kind])}
    return dict(constraint)


def _identity(constraint: Mapping[str, Any]) -> tuple[str, str]:
    return constraint["key"], type_of(constraint)


def _tighter(have: Constraint, asked: Constraint) -> tuple[Constraint, bool]:
    """The meet of two constraints of one (key, type), and whether the key must be denied besides."""
    kind = type_of(have)
    if kind in _SUBSET:
        wanted = _members(asked[kind])
        return {**have, kind: [m for m in have[kind] if canonicalize(m) in wanted]}, False
    if kind == "not_one_of":
        return {**have, kind: [*have[kind], *asked[kind]]}, False
    if kind == "from_read":
        pairs = (_source_meet(mine, theirs) for mine in have[kind] for theirs in asked[kind])
        return {**have, kind: _distinct(pair for pair in pairs if pair is not None)}, False
    if subsumes(have, asked):
        return asked, False
    if subsumes(asked, have) or NOTHING in str(have[kind]):
        return have, False
    if kind in ("prefix", "contains"):
        return {**have, kind: have[kind] + NOTHING}, False
    if kind == "under":
        return {**have, kind: have[kind].rstrip("/") + "/" + NOTHING}, False
    if kind == "rank":
        return {**have, "rank": have["order"][0]}, True
    return have, False


def _members(values: Iterable[Any]) -> set[bytes]:
    return {canonicalize(v) for v in values}


def _sorted(values: Iterable[Any]) -> list[Any]:
    """Members in the order tokens have them in: null, booleans, numbers, strings."""
    once = {canonicalize(value): value for value in values}.values()
    return sorted(once, key=lambda v: (v is not None, not isinstance(v, bool), isinstance(v, str), v))


def _lies_under(path: str, root: str) -> bool:
    rest = path.removeprefix(root)
    return path.startswith(root) and (not rest or rest.startswith("/") or root == "/")


def _source_subsumes(parent: Mapping[str, Any], child: Mapping[str, Any]) -> bool:
    return (
        parent["scope"] == child["scope"]
        and parent.get("bound") == child.get("bound")
        and _computed(parent) == _computed(child)
        and ("field" not in parent or parent["field"] == child.get("field"))
        and all(
            name in child.get("where", {}) and child["where"][name] == v for name, v in parent.get("where", {}).items()
        )
    )


def _computed(source: Mapping[str, Any]) -> tuple[Any, Any]:
    """What is done to the number that was read: a factor and a constant."""
    return source.get("times", 1), source.get("plus", 0)


def _source_meet(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any] | None:
    where = {**b.get("where", {}), **a.get("where", {})}
    both = {**b, **a, **({"where": where} if where else {})}
    return both if _source_subsumes(a, both) and _source_subsumes(b, both) else None


def _distinct(sources: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [source for _, source in sorted({canonicalize(s): s for s in sources}.items())]
