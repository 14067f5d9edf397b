"""A suite's tools behind an enforcement point: no tool runs unless the Authority has just said so.

One process per suite. `tools/…` is what agents call. `bench/…` is the harness: it sets environments up, says what the
model is taken to have decided, and asks AgentDojo's judges. No agent's authority comes from it.
"""

from __future__ import annotations

import argparse
import threading
import uuid
from dataclasses import asdict
from typing import Any

from bailiwick import Authority, BailiwickError, DevIdentity, HopToken

from . import cast, suites
from .web import Headers, JsonServer


class EnforcementPoint:
    """Asks the Authority about each call with the caller's own token and proof, and fails closed."""

    def __init__(self, suite: str, authority: Authority) -> None:
        self._suite = suite
        self._authority = authority

    def decide(self, tool: str, arguments: dict[str, Any], headers: Headers, url: str) -> dict[str, Any]:
        """The decision on this call. `{"allow": True, …}` only for an explicit allow by the Authority."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        proof = headers.get("dpop", "")
        if scheme != "DPoP" or not token or not proof:
            return {"allow": False, "code": "holder_binding_failed"}
        try:
            body = self._authority.evaluate(
                token,
                proof,
                agent=str(HopToken(token).claims["client_id"]),
                scope=f"{self._suite}.{tool}",
                arguments=arguments,
                resource={
                    "type": "system",
                    "id": f"{self._suite}-tools",
                    "properties": {"sensitivity": cast.sensitivity(tool), "labels": cast.labels(tool)},
                },
                htu=url,
                audience=cast.audience(self._suite),
            )
        except BailiwickError as error:
            return {"allow": False, "code": error.code, "detail": error.detail}
        context = body.get("context") or {}
        allow = body.get("decision") is True
        code = None if allow else context.get("code", "malformed")
        return {
            "allow": allow,
            "code": code,
            "decision_id": context.get("decision_id"),
            "detail": context.get("reason"),
        }


class ToolServer:
    """The runs of one suite, each on an environment of its own."""

    def __init__(self, suite: str, authority: Authority) -> None:
        self.suite = suite
        self.point = EnforcementPoint(suite, authority)
        self.server = JsonServer({"tools": self.tools, "bench": self.bench})
        self._runs: dict[str, suites.Run] = {}
        self._judging = threading.Lock()

    def tools(self, path: list[str], headers: Headers, arguments: Any) -> tuple[int, Any]:
        """`POST /tools/<run>/<tool>`: decide, and only then run."""
        run_id, tool = path
        decision = self.point.decide(tool, arguments, headers, f"{self.server.base}/tools/{run_id}/{tool}")
        if decision["allow"] is not True:
            return 403, decision
        text, error = self._runs[run_id].run(tool, arguments)
        return 200, {**decision, "text": text, "error": error}

    def bench(self, path: list[str], _headers: Headers, body: Any) -> tuple[int, Any]:
        """The harness's own questions: `pairs`, `start`, `attack`, `judge`, `ungated`."""
        match path:
            case ["pairs"]:
                return 200, suites.pairs(self.suite)
            case ["start"]:
                return 200, self._start(body["user"], body["injection"])
            case ["attack", run_id]:
                return 200, [asdict(call) for call in self._runs[run_id].attack()]
            case ["judge", run_id]:
                return 200, self._judge(self._runs.pop(run_id), body["followed"])
            case ["ungated"]:
                return 200, self._ungated(body["user"], body["injection"])
        return 404, {"code": "not_found"}

    def _start(self, user: str, injection: str | None) -> dict[str, Any]:
        run = suites.start(self.suite, user, injection)
        run_id = uuid.uuid4().hex
        self._runs[run_id] = run
        mark = suites.planted(injection) if injection else None
        script = [asdict(call) for call in run.script()]
        return {"run": run_id, "prompt": run.user.PROMPT, "script": script, "mark": mark}

    def _judge(self, run: suites.Run, followed: bool) -> dict[str, bool]:
        # The answer of the ground truth counts only if every call it rests on was allowed.
        with self._judging:
            utility = followed and run.utility(run.user.GROUND_TRUTH_OUTPUT)
            return {"utility": utility, "attacked": run.attacked()}

    def _ungated(self, user: str, injection: str | None) -> dict[str, bool]:
        """The same calls with nobody asking anybody, for comparison."""
        run = suites.start(self.suite, user, injection)
        attacked = injection is None
        for call in run.script():
            text, _ = run.run(call.tool, call.args)
            if injection and not attacked and suites.planted(injection) in " ".join(text.split()):
                attacked = True
                for step in run.attack():
                    run.run(step.tool, step.args)
        return self._judge(run, followed=True)


def main() -> None:
    """Serve one suite's tools until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--suite", choices=suites.SUITES, required=True)
    parser.add_argument("--issuer", required=True)
    arguments = parser.parse_args()
    identity = DevIdentity(arguments.issuer, cast.spiffe(f"{arguments.suite}-tools"))
    ToolServer(arguments.suite, Authority(arguments.issuer, identity)).server.serve_until_parent_ends()


if __name__ == "__main__":
    main()
