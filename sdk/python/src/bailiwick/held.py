"""What a token permits: scopes and constraints, as the one `agent_delegation` detail of a token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import constraints as limits
from . import scopes as names
from .errors import LocalError

DETAIL_TYPE = "agent_delegation"


@dataclass(frozen=True)
class HeldAuthority:
    """Scopes and constraints. Build it with `of` or `from_detail`: both put the parts in their one order."""

    scopes: tuple[str, ...]
    constraints: tuple[limits.Constraint, ...]

    @classmethod
    def of(cls, scopes: Iterable[str], constraints: Iterable[Mapping[str, Any]] = ()) -> HeldAuthority:
        """Authority over `scopes` within `constraints`."""
        return cls(tuple(sorted(set(scopes))), tuple(limits.ordered(constraints)))

    @classmethod
    def from_detail(cls, detail: Mapping[str, Any]) -> HeldAuthority:
        """Read the `agent_delegation` member of `authorization_details`."""
        if detail.get("type") != DETAIL_TYPE or set(detail) - {"type", "scopes", "constraints"}:
            raise LocalError("malformed", "not an agent_delegation detail")
        return cls.of(detail["scopes"], detail.get("constraints", ()))

    def to_detail(self) -> dict[str, Any]:
        """The `agent_delegation` detail, constraints and scopes in their one order."""
        return {"type": DETAIL_TYPE, "scopes": list(self.scopes), "constraints": [dict(c) for c in self.constraints]}

    def is_narrower_than(self, parent: HeldAuthority) -> bool:
        """Whether this is a subset of `parent` (equal counts)."""
        return names.covered(parent.scopes, self.scopes) and limits.all_subsume(parent.constraints, self.constraints)


def narrow(parent: HeldAuthority, asked: HeldAuthority) -> HeldAuthority:
    """What a child may hold: within the parent and within what was asked, for everything that can be asked.

    Scopes are met exactly; the limits of both sides are kept. May permit nothing at all.
    """
    return HeldAuthority.of(names.meet(parent.scopes, asked.scopes), limits.meet(parent.constraints, asked.constraints))
