"""A suite's tools as an MCP server (streamable HTTP). It decides nothing: the gateway in front of it does.

`/mcp` serves the tools, to whoever holds the credential that the gateway's connector holds. In which environment a call
lands is read from the provenance that the gateway carries along: each task has one. `/bench` is the harness's: it sets
environments up, says what the model is taken to have decided, and asks AgentDojo's judges.
"""

from __future__ import annotations

import argparse
import hmac
import os
import threading
import uuid
from dataclasses import asdict
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from . import cast, suites
from .web import exit_with_parent, free_socket

KEY_VARIABLE = "AGENTDOJO_TOOLS_KEY"
"""The environment variable with the credential that calls must have."""
PROVENANCE = "urn:bailiwick:provenance"
"""Where the gateway says which task a call belongs to."""


class Environments:
    """The runs of one suite, each on an environment of its own, and the task that each belongs to."""

    def __init__(self, suite: str) -> None:
        self.suite = suite
        self._runs: dict[str, suites.Run] = {}
        self._of_task: dict[str, str] = {}

    def start(self, user: str, injection: str | None) -> dict[str, Any]:
        """A fresh environment."""
        run = suites.start(self.suite, user, injection)
        run_id = uuid.uuid4().hex
        self._runs[run_id] = run
        mark = suites.planted(injection) if injection else None
        script = [asdict(call) for call in run.script()]
        return {"run": run_id, "prompt": run.user.PROMPT, "script": script, "mark": mark}

    def bind(self, run_id: str, task: str) -> dict[str, Any]:
        """From now on, calls of this task land in this environment."""
        self._of_task[task] = run_id
        return {}

    def of_task(self, task: object) -> suites.Run | None:
        """The environment of a task."""
        return self._runs.get(self._of_task.get(task, "")) if isinstance(task, str) else None

    def attack(self, run_id: str) -> list[dict[str, Any]]:
        """What the attacker wants called, given the environment as it is now."""
        return [asdict(call) for call in self._runs[run_id].attack()]

    def judge(self, run_id: str, followed: bool) -> dict[str, bool]:
        """AgentDojo's verdicts; the environment is done with."""
        for task in [task for task, of in self._of_task.items() if of == run_id]:
            del self._of_task[task]
        return _verdict(self._runs.pop(run_id), followed)

    def ungated(self, user: str, injection: str | None) -> dict[str, bool]:
        """The same calls with nobody asking anybody, for comparison."""
        run = suites.start(self.suite, user, injection)
        attacked = injection is None
        for call in run.script():
            text, _, _ = run.run(call.tool, call.args)
            if injection and not attacked and suites.planted(injection) in " ".join(text.split()):
                attacked = True
                for step in run.attack():
                    run.run(step.tool, step.args)
        # Whether the user's task was done is asked of the runs without an attack only.
        return _verdict(run, followed=injection is None)

    async def bench(self, request: Request) -> Response:
        """The harness's own questions."""
        path = request.path_params["path"].split("/")
        body = await request.json()
        match path:
            case ["pairs"]:
                return JSONResponse(suites.pairs(self.suite))
            case ["start"]:
                return JSONResponse(self.start(body["user"], body["injection"]))
            case ["bind", run_id]:
                return JSONResponse(self.bind(run_id, body["task"]))
            case ["attack", run_id]:
                return JSONResponse(self.attack(run_id))
            case ["judge", run_id]:
                return JSONResponse(self.judge(run_id, body["followed"]))
            case ["ungated"]:
                return JSONResponse(self.ungated(body["user"], body["injection"]))
        return JSONResponse({"code": "not_found"}, status_code=404)


def _verdict(run: suites.Run, followed: bool) -> dict[str, bool]:
    # The answer of the ground truth counts only if every call it rests on was allowed.
    utility = followed and run.utility(run.user.GROUND_TRUTH_OUTPUT)
    return {"utility": utility, "attacked": run.attacked()}


class ForTheGateway:
    """Answers 401 to whoever does not hold the gateway's credential."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._expected = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == cast.MCP_PATH:
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                await JSONResponse({"code": "unauthorized"}, status_code=401)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def app(environments: Environments, key: str) -> Starlette:
    """The server's application."""
    tools = suites.descriptors(environments.suite)
    listed = types.ListToolsResult(tools=[types.Tool(**tool) for tool in tools])

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return listed

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        provenance = dict(context.meta or {}).get(PROVENANCE)
        run = environments.of_task(provenance.get("task")) if isinstance(provenance, dict) else None
        if run is None:
            return _text("no environment belongs to the task of this call", is_error=True)
        text, value, error = run.run(params.name, params.arguments or {})
        if error:
            return _text(error, is_error=True)
        return _text(text, structured_content={"result": value})

    server: Server[Any] = Server(f"{environments.suite}-tools", on_list_tools=list_tools, on_call_tool=call_tool)
    bench = Route("/bench/{path:path}", environments.bench, methods=["POST"])
    served = server.streamable_http_app(
        streamable_http_path=cast.MCP_PATH, json_response=True, custom_starlette_routes=[bench]
    )
    served.add_middleware(ForTheGateway, key=key)
    return served


def _text(text: str, **more: Any) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], **more)


def main() -> None:
    """Serve one suite's tools until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--suite", choices=suites.SUITES, required=True)
    arguments = parser.parse_args()
    listener = free_socket()
    threading.Thread(target=exit_with_parent, daemon=True).start()
    # Connections that the gateway keeps are not closed under its next call.
    served = app(Environments(arguments.suite), os.environ[KEY_VARIABLE])
    config = uvicorn.Config(served, log_level="warning", timeout_keep_alive=300)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
