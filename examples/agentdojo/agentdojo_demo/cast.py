"""Who takes part: the agents, what each touches, and the labels of the tools."""

from __future__ import annotations

TRUST_DOMAIN = "spiffe://dev.bailiwick.example/agent/"
ORCHESTRATOR = "orchestrator"
GATEWAY = "gateway"
"""The enforcement point in front of the tools: an agent of the registry too, of another role."""
PERSON = "person"
"""Emma, whose tasks these are, where somebody has to be asked."""
ASKED = "approval_required"
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

AGENTS_OF = {"banking": ("reader", "payer"), "workspace": ("mail", "calendar", "drive")}
"""Which agents work the tools of a suite."""

MCP_PATH = "/mcp"
"""Where a tool server serves MCP. The gateway's routes are `/<suite>`."""

AGENT_OF = {tool: agent for agent, tools in TOOLS.items() for tool in tools.split()}

READS = ("get_", "search_", "list_", "read_")
"""How the names of the tools that change nothing begin."""


def spiffe(name: str) -> str:
    """The SPIFFE ID of an agent."""
    return TRUST_DOMAIN + name


def subject(prompt: str) -> str:
    """The Emma of a prompt such as `banking/user_task_3`: whose task a run of it is."""
    return f"emma.{prompt.replace('/', '.')}@dev.example"


def audience(suite: str) -> str:
    """Who a suite's tokens are for."""
    return f"https://{suite}.dev.example"
