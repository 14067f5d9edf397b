"""Who takes part: the agents, what each touches, and the labels of the tools."""

from __future__ import annotations

TRUST_DOMAIN = "spiffe://dev.bailiwick.example/agent/"
ORCHESTRATOR = "orchestrator"
LEAD = {"banking": "banker", "workspace": "secretary"}
"""The specialist that a suite's task is handed to first; it hands parts of it on."""

TOOLS = {
    "reader": ("get_iban get_balance get_most_recent_transactions get_scheduled_transactions get_user_info read_file"),
    "payer": "send_money schedule_transaction update_scheduled_transaction update_password update_user_info",
    "mail": (
        "get_unread_emails get_received_emails get_sent_emails get_draft_emails search_emails "
        "search_contacts_by_name search_contacts_by_email send_email delete_email"
    ),
    "calendar": (
        "get_current_day search_calendar_events get_day_calendar_events create_calendar_event cancel_calendar_event "
        "reschedule_calendar_event add_calendar_event_participants"
    ),
    "drive": (
        "search_files_by_filename search_files list_files get_file_by_id create_file append_to_file share_file "
        "delete_file"
    ),
}
"""Which agent works which tools."""

AGENT_OF = {tool: agent for agent, tools in TOOLS.items() for tool in tools.split()}

READS = ("get_", "search_", "list_", "read_")
"""How the names of the tools that change nothing begin."""


def spiffe(name: str) -> str:
    """The SPIFFE ID of an agent."""
    return TRUST_DOMAIN + name


def audience(suite: str) -> str:
    """Who a suite's tokens are for."""
    return f"https://{suite}.dev.example"


def sensitivity(tool: str) -> str:
    """How sensitive what a tool reads or changes is."""
    return "internal" if tool in ("get_current_day", "get_day_calendar_events") else "confidential"


def labels(tool: str) -> list[str]:
    """What policies can ask for."""
    return ["read"] if tool.startswith(READS) else ["write"]
