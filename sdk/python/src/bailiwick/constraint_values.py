"""What the value of each constraint type may be. The grammar is closed: anything else is malformed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .scopes import is_scope

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::(?!443$)[1-9][0-9]{{0,4}})?")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _scalars(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and not any(isinstance(m, (list, tuple, dict)) for m in value)


def _hosts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(h, str) and _HOST.fullmatch(h) for h in value)


def _path(value: Any) -> bool:
    """A path in the one text it has; a final segment of U+0000 is the mark of nothing."""
    if not isinstance(value, str) or not value:
        return False
    place = value.removesuffix("/\0") or "/"
    if any(char == "\\" or ord(char) < 32 or 127 <= ord(char) < 160 for char in place) or _ESCAPE.search(place):
        return False
    segments = place.removeprefix("/").split("/")
    if place != "/" and any(segment in ("", ".", "..") for segment in segments):
        return False
    return place.startswith("/") or not (":" in segments[0] or place.startswith("~"))


def _sources(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(source, Mapping) and _source(source) for source in value)


def _source(source: Mapping[str, Any]) -> bool:
    where = source.get("where", {})
    return (
        not set(source) - {"scope", "field", "where", "bound", "times", "plus"}
        and isinstance(source.get("scope"), str)
        and is_scope(source["scope"])
        and isinstance(source.get("field", ""), str)
        and source.get("bound", "max") == "max"
        and _number(source.get("times", 1))
        and _number(source.get("plus", 0))
        and ("field" in source or not set(source) & {"times", "plus"})
        and isinstance(where, Mapping)
        and _scalars(list(where.values()))
    )


VALUES: dict[str, Callable[[Any], bool]] = {
    "max": _number,
    "min": _number,
    "max_lifetime": _number,
    "max_subtree": _number,
    "one_of": _scalars,
    "not_one_of": _scalars,
    "subset_of": _scalars,
    "prefix": _text,
    "contains": _text,
    "rank": _text,
    "absent": lambda value: value is True,
    "under": _path,
    "host": _hosts,
    "from_read": _sources,
}
"""The types known here, and whether a value may be theirs."""


def order_holds(order: Any, rank: Any) -> bool:
    """Whether `order` lists two or more distinct names, `rank` among them."""
    names = order if isinstance(order, (list, tuple)) and all(isinstance(name, str) for name in order) else ()
    return len(names) >= 2 and len(set(names)) == len(names) and rank in names
