"""Calls of a real MCP client (SDK 2.x) to a real MCP server under a hop token, through a stand-in for the gateway."""

from __future__ import annotations

import json

import anyio
import httpx2
from conftest import hop, jws_payload
from mcp import MCPError
from mcp.server import MCPServer

from bailiwick.mcp import mcp_client, refusal

URL = "http://127.0.0.1:8430/tools"


class Gateway(httpx2.AsyncBaseTransport):
    """Asks for a nonce as a gateway does, may refuse calls, and hands the rest to the server."""

    def __init__(self, server: httpx2.ASGITransport, refuse: str | None = None) -> None:
        self.server, self.refuse = server, refuse
        self.proofs: list[str] = []
        self.closed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.proofs.append(request.headers["DPoP"])
        proof = jws_payload(request.headers["DPoP"])
        assert (proof["htm"], proof["htu"], "ath" in proof) == ("POST", URL, True)
        if proof.get("nonce") != "n1":
            headers = {"DPoP-Nonce": "n1", "WWW-Authenticate": 'DPoP error="use_dpop_nonce"'}
            return httpx2.Response(401, headers=headers, json={"code": "nonce_required"})
        message = json.loads(request.content)
        if self.refuse and message["method"] == "tools/call":
            data = {"code": self.refuse, "title": "Refused", "detail": "amount: not within its max"}
            error = {"code": -32003, "message": "refused", "data": data}
            return httpx2.Response(403, json={"jsonrpc": "2.0", "id": message["id"], "error": error})
        return await self.server.handle_async_request(request)

    async def aclose(self) -> None:
        self.closed = True


def call(key, authority, times: int = 1, refuse: str | None = None) -> tuple[Gateway, list]:
    token, answers = hop(key), []

    async def run() -> Gateway:
        server = MCPServer("tools")
        server.add_tool(lambda amount: {"paid": amount}, name="pay", description="Pays.")
        app = server.streamable_http_app(streamable_http_path="/tools", json_response=True, host="127.0.0.1")
        async with server.session_manager.run():
            gateway = Gateway(httpx2.ASGITransport(app), refuse)
            for _ in range(times):
                async with mcp_client(URL, authority, token, transport=gateway) as client:
                    try:
                        answers.append(await client.call_tool("pay", {"amount": 4}))
                    except MCPError as error:
                        answers.append(error)
        return gateway

    return anyio.run(run), answers


def test_a_call_answers_the_nonce_once_and_every_request_has_its_own_proof(key, authority):
    gateway, answers = call(key, authority, times=2)
    assert [answer.is_error for answer in answers] == [False, False]
    assert len([proof for proof in gateway.proofs if "nonce" not in jws_payload(proof)]) == 1
    assert len(set(gateway.proofs)) == len(gateway.proofs)
    assert not gateway.closed


def test_a_refusal_is_told_with_its_code(key, authority):
    _, (error,) = call(key, authority, refuse="ceiling_exceeded")
    assert refusal(error) == ("ceiling_exceeded", "amount: not within its max")


def test_what_is_no_gateways_refusal_is_told_apart():
    for data in (None, "ceiling_exceeded", {"code": 3}):
        assert refusal(MCPError(code=-32603, message="m", data=data)) is None
