"""The tool server runs a tool after an explicit allow by the Authority, and after nothing else."""

from __future__ import annotations

import httpx
import pytest
from bailiwick import Authority, HeldAuthority, HolderKey
from bailiwick.token import HOP

from agentdojo_demo.tool_server import ToolServer

ISSUER = "http://127.0.0.1:9"
PAY = {"recipient": "GB29NWBK60161331926819", "amount": 4, "subject": "s", "date": "2022-01-01"}


class StaticIdentity:
    def token(self, audience: str) -> str:
        return "svid"


def headers() -> dict[str, str]:
    claims = {
        "client_id": "spiffe://dev.bailiwick.example/agent/payer",
        "authorization_details": [HeldAuthority.of(["banking.send_money"]).to_detail()],
        HOP: {"v": 1},
    }
    token = HolderKey.generate().sign_jws({"typ": "at+jwt"}, claims)
    return {"authorization": f"DPoP {token}", "dpop": "proof"}


def server(reply) -> tuple[ToolServer, str]:
    client = httpx.Client(transport=httpx.MockTransport(reply))
    tools = ToolServer("banking", Authority(ISSUER, StaticIdentity(), client=client))
    status, setup = tools.bench(["start"], {}, {"user": "user_task_3", "injection": None})
    assert status == 200
    return tools, setup["run"]


def paid(tools: ToolServer, run: str) -> int:
    state = tools._runs[run]
    return len(state.environment.bank_account.transactions) - len(state.before.bank_account.transactions)


def down(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


def late(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("timed out", request=request)


REPLIES = {
    "down": down,
    "late": late,
    "error": lambda _: httpx.Response(503, json={"code": "ledger_unavailable", "detail": "d"}),
    "not json": lambda _: httpx.Response(200, text="true"),
    "not an object": lambda _: httpx.Response(200, json=True),
    "no decision": lambda _: httpx.Response(200, json={"context": {}}),
    "a decision that is not a boolean": lambda _: httpx.Response(200, json={"decision": "true", "context": {}}),
    "one": lambda _: httpx.Response(200, json={"decision": 1, "context": {}}),
    "denied": lambda _: httpx.Response(200, json={"decision": False, "context": {"code": "ceiling_exceeded"}}),
}


@pytest.mark.parametrize("name", REPLIES)
def test_authority_down_or_anything_but_an_allow_tool_not_run(name):
    tools, run = server(REPLIES[name])
    status, body = tools.tools([run, "send_money"], headers(), PAY)
    assert (status, body["allow"]) == (403, False) and paid(tools, run) == 0


def test_an_allow_runs_the_tool():
    tools, run = server(lambda _: httpx.Response(200, json={"decision": True, "context": {"decision_id": "d"}}))
    status, body = tools.tools([run, "send_money"], headers(), PAY)
    assert (status, body["allow"], body["error"]) == (200, True, None) and paid(tools, run) == 1


@pytest.mark.parametrize("without", ["authorization", "dpop"])
def test_without_token_or_proof_nobody_is_even_asked(without):
    asked: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"decision": True, "context": {}})

    tools, run = server(reply)
    presented = {name: value for name, value in headers().items() if name != without}
    status, body = tools.tools([run, "send_money"], presented, PAY)
    assert (status, body["code"], asked) == (403, "holder_binding_failed", []) and paid(tools, run) == 0


def test_a_token_that_is_none_is_refused_and_nothing_runs():
    tools, run = server(lambda _: httpx.Response(200, json={"decision": True, "context": {}}))
    status, body = tools.tools([run, "send_money"], {"authorization": "DPoP x", "dpop": "p"}, PAY)
    assert (status, body["code"]) == (403, "malformed") and paid(tools, run) == 0
