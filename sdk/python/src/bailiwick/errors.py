"""Errors. Every one has a stable `.code`: an outcome name of the token profile, or an OAuth error."""

from __future__ import annotations

from typing import Any


class BailiwickError(Exception):
    """Base of every error of this package. `code` is stable; the text is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class LocalError(BailiwickError):
    """Refused on this side, before anything was sent."""


class AuthorityUnavailable(BailiwickError):
    """The Authority did not answer, or answered something that is not an answer. Treat as a refusal."""

    def __init__(self, detail: str) -> None:
        super().__init__("authority_unavailable", detail)


class Refused(BailiwickError):
    """The Authority or a gateway refused. `status` is the HTTP status, `decision_id` names the logged deny if there
    is one. With the code `approval_required`, `approval_id` names the question that a person has to answer: make the
    same call again once they have, and no other."""

    def __init__(self, code: str, detail: str, status: int, decision_id: str | None, body: dict[str, Any]) -> None:
        super().__init__(code, detail)
        self.status = status
        self.decision_id = decision_id
        self.body = body
        self.approval_id = _approval_id(body)


def _approval_id(body: dict[str, Any]) -> str | None:
    """From a gateway's problem, or from the `context` of an AuthZEN answer."""
    context = body.get("context")
    approval = context.get("approval") if isinstance(context, dict) else None
    found = approval.get("approval_id") if isinstance(approval, dict) else body.get("approval_id")
    return found if isinstance(found, str) else None
