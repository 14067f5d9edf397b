"""Calling MCP servers under a hop token, with the MCP SDK 2.x (`pip install 'bailiwick[mcp]'`).

The SDK 1.x makes its requests with `httpx`: pass `DelegatedAuth` to its `streamablehttp_client` as `auth`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from .auth import DelegatedFlow
from .client import Authority
from .token import HopToken

REVISION = "2026-07-28"
"""The stateless revision: a call is one request, and there is no session to open."""


class McpAuth(DelegatedFlow, httpx2.Auth):
    """`DelegatedAuth` for `httpx2`, which the MCP SDK 2.x makes its requests with."""

    request_type = httpx2.Request


@asynccontextmanager
async def mcp_client(
    url: str,
    authority: Authority,
    token: HopToken,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    mode: str = REVISION,
) -> AsyncIterator[Client]:
    """A client of the MCP server at `url` (a gateway's route), every request of it under `token`.

    `mode` is that of `mcp.Client`: `"legacy"` for servers that only know revisions with an
    `initialize` handshake, `"auto"` to find out. `transport` lets clients share connections; it stays open.
    """
    pool = _KeptOpen(transport) if transport is not None else None
    timeout = httpx2.Timeout(30, read=300)
    auth = McpAuth(authority, token)
    async with (
        httpx2.AsyncClient(auth=auth, transport=pool, timeout=timeout) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def refusal(error: MCPError) -> tuple[str, str] | None:
    """Why a gateway refused: its stable code and what in particular. `None` when it is no gateway's refusal."""
    data = error.data
    if not isinstance(data, dict) or not isinstance(data.get("code"), str):
        return None
    return data["code"], str(data.get("detail") or data.get("title") or "")


class _KeptOpen(httpx2.AsyncBaseTransport):
    """Somebody else's transport, which a client that ends does not close."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._transport.handle_async_request(request)
