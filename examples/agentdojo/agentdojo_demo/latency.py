"""What the gateway adds to a call: the same tool of the same MCP server, directly and through the gateway, in turns."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import httpx
import httpx2
from bailiwick import Authority, DevIdentity, HopToken, dev_subject_token
from bailiwick.mcp import REVISION, mcp_client
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from . import cast
from .mcp_server import PROVENANCE

TASKS, CALLS = 6, 35
TOOL = "get_balance"
WORKFLOW, SUITE, PROMPT = "banking.answer", "banking", "banking/user_task_1"


def measure(issuer: str, gateway: str, tools: str, tools_key: str) -> dict[str, float]:
    """Milliseconds a call, as an MCP client sees them: directly, through the gateway, and the difference."""
    with httpx.Client(timeout=30) as client:
        lead = Authority(issuer, DevIdentity(issuer, cast.spiffe(cast.ORCHESTRATOR), client), client=client)
        direct: list[float] = []
        through: list[float] = []
        for _ in range(TASKS):
            run = client.post(f"{tools}/bench/start", json={"user": "user_task_1", "injection": None}).json()["run"]
            subject = dev_subject_token(issuer, cast.subject(PROMPT), client=client)
            token = lead.open_task(subject, WORKFLOW, {}, cast.audience(SUITE))
            client.post(f"{tools}/bench/bind/{run}", json={"task": token.task_id}).raise_for_status()
            asyncio.run(_pairs(lead, token, f"{gateway}/{SUITE}", tools, tools_key, direct, through))
            lead.complete(token)
            client.post(f"{tools}/bench/judge/{run}", json={"followed": False}).raise_for_status()
    added = [t - d for t, d in zip(through, direct, strict=True)]
    found = {"calls": float(len(added))}
    for name, times in (("direct", direct), ("through", through), ("added", added)):
        cuts = statistics.quantiles(times, n=100)
        found |= {f"{name}_p50_ms": round(cuts[49] * 1000, 2), f"{name}_p99_ms": round(cuts[98] * 1000, 2)}
    return found


async def _pairs(
    lead: Authority, token: HopToken, route: str, tools: str, key: str, direct: list[float], through: list[float]
) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(tools + cast.MCP_PATH, http_client=http), mode=REVISION) as straight,
        mcp_client(route, lead, token) as gated,
    ):
        await straight.list_tools()
        await gated.list_tools()
        here: Any = {PROVENANCE: {"task": token.task_id}}
        for turn in range(CALLS):
            # What goes first is not always the same.
            for through_gateway in (False, True) if turn % 2 else (True, False):
                start = time.perf_counter()
                if through_gateway:
                    result = await gated.call_tool(TOOL, {})
                else:
                    result = await straight.call_tool(TOOL, {}, meta=here)
                spent = time.perf_counter() - start
                if result.is_error:
                    raise RuntimeError(f"{TOOL} failed: {result.content}")
                (through if through_gateway else direct).append(spent)
