"""An agent's MCP clients: one per task, all on one event loop beside the agent's own threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import httpx2
from bailiwick import Authority, BailiwickError, HopToken
from bailiwick.mcp import mcp_client, refusal
from mcp import Client, MCPError

CALL_SECONDS_MAX = 30


@dataclass
class _Session:
    """A client that is open for one token, and the calls that wait for it."""

    inbox: asyncio.Queue[tuple[str, dict[str, Any], Future[dict[str, Any]]] | None] = field(
        default_factory=asyncio.Queue
    )
    serving: asyncio.Future[None] | None = None


class ToolBox:
    """Calls tools through the gateway. Whatever is not a plain success did not happen."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._sessions: dict[str, _Session] = {}
        self._loop = asyncio.new_event_loop()
        self._pool: httpx2.AsyncHTTPTransport | None = None
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def open(self, run: str, url: str, token: HopToken) -> None:
        """Work a task with this token from now on, at the gateway's route `url`."""
        asyncio.run_coroutine_threadsafe(self._open(run, url, token), self._loop).result(CALL_SECONDS_MAX)

    def call(self, run: str, tool: str, args: dict[str, Any]) -> dict[str, Any]:
        """`{"allow": True, "text": …}`, or `{"allow": False, "code": …}` when the call was not made."""
        reply: Future[dict[str, Any]] = Future()
        self._loop.call_soon_threadsafe(self._enqueue, run, (tool, args, reply))
        try:
            return reply.result(CALL_SECONDS_MAX)
        except TimeoutError:
            return _not_made("unreachable", "no answer in time")

    def close(self, run: str) -> None:
        """Forget a task's token."""
        self._loop.call_soon_threadsafe(self._end, run)

    async def _open(self, run: str, url: str, token: HopToken) -> None:
        self._end(run)
        session = self._sessions[run] = _Session()
        self._pool = self._pool or httpx2.AsyncHTTPTransport()
        session.serving = asyncio.ensure_future(self._serve(session, url, token))

    def _end(self, run: str) -> None:
        session = self._sessions.pop(run, None)
        if session:
            session.inbox.put_nowait(None)

    def _enqueue(self, run: str, item: tuple[str, dict[str, Any], Future[dict[str, Any]]]) -> None:
        session = self._sessions.get(run)
        if session is None:
            item[2].set_result(_not_made("no_token", "no token of this task is held"))
        else:
            session.inbox.put_nowait(item)

    async def _serve(self, session: _Session, url: str, token: HopToken) -> None:
        """One client from its first call to its end; a connection that breaks is made again for the next call."""
        item = await session.inbox.get()
        while item is not None:
            reply = item[2]
            try:
                async with mcp_client(url, self._authority, token, transport=self._pool) as client:
                    # What a gateway has pinned is usable, and what an agent has listed is checked against its schema.
                    await client.list_tools()
                    while item is not None:
                        reply = item[2]
                        reply.set_result(await _call(client, item[0], item[1]))
                        item = await session.inbox.get()
            except Exception as error:
                if item is None:
                    return
                if not reply.done():
                    reply.set_result(_failed(error))
                item = await session.inbox.get()


async def _call(client: Client, tool: str, args: dict[str, Any]) -> dict[str, Any]:
    try:
        result = await client.call_tool(tool, args)
    except MCPError as error:
        return _failed(error)
    text = "\n".join(block.text for block in result.content if block.type == "text")
    return {"allow": True, "code": None, "text": text, "error": text if result.is_error else None}


def _failed(error: BaseException) -> dict[str, Any]:
    """What a failure amounts to: the gateway's code, where it is its refusal."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        refused = refusal(error)
        if refused:
            return {**_not_made(*refused), "approval": (error.data or {}).get("approval_id")}
    if isinstance(error, BailiwickError):
        return _not_made(error.code, error.detail)
    return _not_made("unreachable", f"{type(error).__name__}: {error}")


def _not_made(code: str, detail: str) -> dict[str, Any]:
    return {"allow": False, "code": code, "detail": detail}
