"""No tool runs but for the gateway, and whatever is not a plain success is told as a call that was not made."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
import httpx
import httpx2
import pytest
from bailiwick import Authority, HeldAuthority, HolderKey, HopToken
from bailiwick.grant import uuid7
from bailiwick.token import HOP
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from agentdojo_demo import cast, mcp_server
from agentdojo_demo.tools import ToolBox

KEY = "the gateway's credential"
PAY = {"recipient": "GB29NWBK60161331926819", "amount": 4, "subject": "s", "date": "2022-01-01"}


def pay(headers: dict[str, str], meta: dict | None) -> tuple[object, int]:
    """The reply to a payment at the tool server (an exception when there is none), and how many were made."""
    environments = mcp_server.Environments("banking")
    run = environments.start("user_task_3", None)["run"]
    environments.bind(run, "task-1")
    state = environments.of_task("task-1")

    async def call() -> object:
        app = mcp_server.app(environments, KEY)
        async with app.router.lifespan_context(app):
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, headers=headers) as http:
                url = f"http://127.0.0.1:8000{cast.MCP_PATH}"
                try:
                    async with Client(streamable_http_client(url, http_client=http), mode="2026-07-28") as client:
                        return await client.call_tool("send_money", PAY, meta=meta)
                except Exception as error:
                    return error

    reply = anyio.run(call)
    made = len(state.environment.bank_account.transactions) - len(state.before.bank_account.transactions)
    return reply, made


def provenance(task: str) -> dict:
    return {mcp_server.PROVENANCE: {"task": task}}


def test_the_gateways_call_runs_the_tool():
    reply, made = pay({"Authorization": f"Bearer {KEY}"}, provenance("task-1"))
    assert (reply.is_error, made) == (False, 1)
    assert "result" in reply.structured_content


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": f"DPoP {KEY}"}])
def test_an_agent_that_goes_past_the_gateway_runs_nothing(headers):
    reply, made = pay(headers, provenance("task-1"))
    assert (isinstance(reply, Exception), made) == (True, 0)


@pytest.mark.parametrize("meta", [None, {}, provenance("task-2"), {mcp_server.PROVENANCE: "task-1"}])
def test_a_call_of_no_task_that_is_known_here_runs_nothing(meta):
    reply, made = pay({"Authorization": f"Bearer {KEY}"}, meta)
    assert (reply.is_error, made) == (True, 0)


# ---- the agent's side


class StaticIdentity:
    def token(self, audience: str) -> str:
        return "svid"


def token(key: HolderKey) -> HopToken:
    now = int(time.time())
    claims = {
        "client_id": "spiffe://dev.bailiwick.example/agent/payer",
        "iat": now,
        "exp": now + 300,
        "jti": uuid7(),
        "txn": uuid7(),
        "cnf": {"jkt": key.thumbprint},
        "authorization_details": [HeldAuthority.of(["banking.send_money"]).to_detail()],
        HOP: {"v": 1},
    }
    return HopToken(HolderKey.generate("ES256").sign_jws({"typ": "at+jwt"}, claims))


TOOL = {"name": "send_money", "inputSchema": {"type": "object"}}


def answers(result: object) -> object:
    """A gateway that lists the tool, and answers a call with this result, error or text."""

    def answer(message: dict) -> tuple[int, str, str]:
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] == "tools/list":
            body = {"tools": [TOOL], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
            return 200, "application/json", json.dumps({**reply, "result": body})
        if isinstance(result, str):
            return 200, "application/json", result
        return 200, "application/json", json.dumps({**reply, **result})

    return answer


def refusal(code: str) -> dict:
    return {"error": {"code": -32001, "message": "no", "data": {"code": code, "detail": "d", "approval_id": "a"}}}


GATEWAYS = {
    "refuses": (answers(refusal("ceiling_exceeded")), "ceiling_exceeded"),
    "asks": (answers(refusal("approval_required")), "approval_required"),
    "answers nonsense": (answers("true"), "unreachable"),
    "answers no result": (answers({}), "unreachable"),
    "fails": (lambda _: (503, "text/plain", "away"), "unreachable"),
    "knows no token": (lambda _: (401, "application/problem+json", '{"code": "revoked"}'), "unreachable"),
}
ALLOWED = answers({"result": {"content": [{"type": "text", "text": "paid"}], "resultType": "complete"}})


def called(answer: object | None) -> dict:
    """What an agent makes of a gateway that answers so; with `None`, of none at all."""

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, media, body = answer(message)
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    url = f"http://127.0.0.1:{server.server_address[1]}/banking"
    if answer is None:
        server.server_close()
    else:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    authority = Authority("http://127.0.0.1:9", StaticIdentity(), client=httpx.Client())
    box = ToolBox(authority)
    try:
        box.open("run", url, token(authority.key))
        return box.call("run", "send_money", PAY)
    finally:
        box.close("run")
        if answer is not None:
            server.shutdown()


@pytest.mark.parametrize("name", GATEWAYS)
def test_anything_but_a_plain_success_is_a_call_that_was_not_made(name):
    answer, code = GATEWAYS[name]
    reply = called(answer)
    assert (reply["allow"], reply["code"]) == (False, code)
    assert reply.get("approval") == ("a" if code in ("ceiling_exceeded", "approval_required") else None)


def test_gateway_down_call_not_made():
    reply = called(None)
    assert (reply["allow"], reply["code"]) == (False, "unreachable")


def test_an_allowed_call_is_told_with_its_text():
    reply = called(ALLOWED)
    assert (reply["allow"], reply["code"], reply["text"]) == (True, None, "paid")


def test_without_a_token_nobody_is_even_asked():
    box = ToolBox(Authority("http://127.0.0.1:9", StaticIdentity()))
    assert box.call("run", "send_money", PAY)["code"] == "no_token"


def test_calls_go_on_after_a_connection_broke():
    broken = iter([True, True])

    def answer(message: dict) -> tuple[int, str, str]:
        if message["method"] == "tools/call" and next(broken, False):
            return 500, "text/plain", "away"
        return ALLOWED(message)

    seen = []

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(message["method"])
            status, media, body = answer(message)
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    authority = Authority("http://127.0.0.1:9", StaticIdentity(), client=httpx.Client())
    box = ToolBox(authority)
    box.open("run", f"http://127.0.0.1:{server.server_address[1]}/banking", token(authority.key))
    outcomes = [box.call("run", "send_money", PAY)["allow"] for _ in range(3)]
    server.shutdown()
    # A call that failed is not made again by itself.
    assert outcomes == [False, False, True]
    assert seen.count("tools/call") == 3
