"""The gateway's configuration names every tool, and trusts no field that strangers write."""

from __future__ import annotations

import tomllib
from pathlib import Path

from agentdojo_demo import cast, suites

ROUTES = {
    route["path"].strip("/"): route
    for route in tomllib.loads((Path(__file__).parent.parent / "gateway.toml").read_text())["route"]
}
STRANGERS_WRITE = {"subject", "body", "description", "content", "location", "attachments"}


def test_every_tool_is_named_once_and_reads_are_told_from_writes():
    assert set(ROUTES) == set(cast.LEAD)
    for suite, route in ROUTES.items():
        names = [tool["name"] for tool in route["mcp"]["tool"]]
        assert sorted(names) == sorted(tool.name for tool in suites.suites()[suite].tools)
        for tool in route["mcp"]["tool"]:
            assert (tool.get("effect") == "read") == tool["name"].startswith(cast.READS)
            assert "trust" not in tool or tool["effect"] == "read"


def test_no_field_is_trusted_that_somebody_else_fills_in():
    for route in ROUTES.values():
        for tool in route["mcp"]["tool"]:
            for path in tool.get("trust", {}).get("fields", []):
                assert path.split(".")[-1] not in STRANGERS_WRITE, (tool["name"], path)
                # A whole result only where it is one value.
                assert "." in path or tool["name"] in ("get_iban", "get_balance", "get_current_day")


def test_what_is_trusted_is_there():
    """A path that is misspelt would trust nothing, and every value that needs it would be refused."""
    script = {
        "banking": [("get_user_info", {}), ("get_most_recent_transactions", {}), ("get_scheduled_transactions", {})],
        "workspace": [
            ("search_calendar_events", {"query": "meeting"}),
            ("search_emails", {"query": "e"}),
            ("search_contacts_by_name", {"query": "e"}),
            ("list_files", {}),
            ("get_file_by_id", {"file_id": "1"}),
        ],
    }
    for suite, calls in script.items():
        run = suites.start(suite, "user_task_0", None)
        rules = {tool["name"]: tool["trust"]["fields"] for tool in ROUTES[suite]["mcp"]["tool"] if "trust" in tool}
        for tool, args in calls:
            _, value, error = run.run(tool, args)
            assert error is None
            row = value[0] if isinstance(value, list) else value
            place = "result[]." if isinstance(value, list) else "result."
            for path in rules[tool]:
                assert path.startswith(place) and path.removeprefix(place) in row, (tool, path)
