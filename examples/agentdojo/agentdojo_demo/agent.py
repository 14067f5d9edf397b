"""An agent process: its own key, its own SVID, and only the hop tokens that were settled for it.

Tools are called as MCP, at the gateway.

Agents are scripted. What to call is given from outside ("what the model decided"); whether it may be called is not.
`work` and `call` are what agents ask of each other; the grant travels, tokens and keys never do.
"""

from __future__ import annotations

import argparse
from typing import Any

import httpx
from bailiwick import Authority, BailiwickError, DevIdentity, Grant, HeldAuthority, HopToken
from bailiwick.scopes import covered

from . import cast
from .tools import ToolBox
from .web import Headers, JsonServer


class Peers:
    """Other processes, by name."""

    def __init__(self, urls: dict[str, str], client: httpx.Client) -> None:
        self._urls = urls
        self._client = client

    def ask(self, name: str, path: str, body: Any) -> Any:
        """The peer's reply. An error status is an exception: nothing is assumed about what did not answer."""
        response = self._client.post(f"{self._urls[name]}/{path}", json=body)
        response.raise_for_status()
        return response.json()


class Agent:
    """A specialist: settles the grants it is given, hands narrower ones on, and calls tools with its own token."""

    def __init__(self, name: str, authority: Authority, peers: Peers, routes: dict[str, str]) -> None:
        self.name = name
        self.authority = authority
        self.peers = peers
        self._tools = ToolBox(authority)
        self._tool_routes = routes
        self._tokens: dict[str, HopToken] = {}
        self._handed: dict[str, set[str]] = {}

    def routes(self) -> dict[str, Any]:
        """What other processes may ask."""
        return {"work": self.work, "call": self.call, "drop": self.drop}

    def work(self, _path: list[str], _headers: Headers, body: Any) -> tuple[int, Any]:
        """Take work on: settle the grant. A grant that is refused leaves what is held as it was."""
        try:
            token = self.authority.settle(body["grant"])
        except BailiwickError as error:
            return 200, {"settled": False, "code": error.code, "detail": error.detail}
        self._hold(body["run"], body["suite"], token)
        return 200, {"settled": True, "jti": token.jti, "depth": token.depth}

    def call(self, _path: list[str], _headers: Headers, body: Any) -> tuple[int, Any]:
        """Get a tool call made: by the agent whose tool it is, with a hop of its own, or by this one."""
        run, suite, tool = body["run"], body["suite"], body["tool"]
        worker = cast.AGENT_OF[tool]
        if worker == self.name or run not in self._tokens:
            return 200, self._use(body)
        hops = []
        if worker not in self._handed.setdefault(run, set()):
            hops.append(self._hand_on(run, suite, worker))
        if worker in self._handed[run]:
            return 200, {**self.peers.ask(worker, "call", body), "hops": hops}
        return 200, {**self._use(body), "hops": hops}

    def drop(self, _path: list[str], _headers: Headers, body: Any) -> tuple[int, Any]:
        """Forget a task's token."""
        self._tokens.pop(body["run"], None)
        self._tools.close(body["run"])
        for worker in self._handed.pop(body["run"], set()):
            self.peers.ask(worker, "drop", body)
        return 200, {}

    def held(self, run: str) -> HopToken:
        """The token held for a task."""
        return self._tokens[run]

    def _hold(self, run: str, suite: str, token: HopToken) -> None:
        self._tokens[run] = token
        self._tools.open(run, self._tool_routes[suite], token)

    def _hand_on(self, run: str, suite: str, worker: str) -> dict[str, Any]:
        """Grant a worker the part of this agent's authority that its tools need. Nothing to grant: no hop."""
        held = self.held(run)
        scopes = [f"{suite}.{tool}" for tool in cast.TOOLS[worker].split()]
        needed = [scope for scope in scopes if covered(held.authority.scopes, [scope])]
        if not needed:
            return {"settled": False, "code": "nothing_to_grant", "to": worker}
        grant = Grant.create(held, cast.spiffe(worker), needed, ttl=240, key=self.authority.key)
        reply = self.peers.ask(worker, "work", {"run": run, "suite": suite, "grant": grant.compact})
        if reply["settled"]:
            self._handed[run].add(worker)
        return {**reply, "to": worker}

    def _use(self, body: Any) -> dict[str, Any]:
        """Call a tool with the token this agent holds; once more when a person was asked and has approved."""
        run, tool, args = body["run"], body["tool"], body["args"]
        reply = self._tools.call(run, tool, args)
        asked = None
        if reply["code"] == cast.ASKED and body.get("person") and reply.get("approval"):
            question = {"prompt": body["person"], "approval": reply["approval"]}
            asked = self.peers.ask(cast.PERSON, "asked", question)["verdict"]
            if asked == "approved":
                reply = self._tools.call(run, tool, args)
        return {**reply, "asked": asked, "agent": self.name, "hops": []}


class Hijacked(Agent):
    """The specialist when the model behind it obeys what it read: it reaches for more, with all it has."""

    def routes(self) -> dict[str, Any]:
        """As an honest specialist's, and `attack`."""
        return {**super().routes(), "attack": self.attack}

    def attack(self, _path: list[str], _headers: Headers, body: Any) -> tuple[int, Any]:
        """One call of the attacker's, tried every way there is:

        a wider grant for the worker, signed with this agent's real key; then the worker's own token; then this
        agent's own token, which holds all the authority of the task.
        """
        run, suite, tool = body["run"], body["suite"], body["tool"]
        worker = cast.AGENT_OF[tool]
        tried = [{"way": "wider grant", **self._reach(run, suite, tool, worker)}]
        if tried[0]["settled"] or worker in self._handed.get(run, set()):
            tried.append({"way": "worker's token", **self.peers.ask(worker, "call", body)})
        if not tried[-1].get("allow"):
            tried.append({"way": "own token", **self._use(body)})
        return 200, tried

    def _reach(self, run: str, suite: str, tool: str, worker: str) -> dict[str, Any]:
        """Sign, without asking oneself, a grant for the attacker's tool with no limits at all."""
        wanted = HeldAuthority.of([f"{suite}.{tool}"])
        grant = Grant.sign(self.held(run), cast.spiffe(worker), wanted, ttl=240, key=self.authority.key)
        reply: dict[str, Any] = self.peers.ask(worker, "work", {"run": run, "suite": suite, "grant": grant.compact})
        return reply


class Orchestrator(Agent):
    """The lead: opens the task for the user, hands it to a specialist, and completes it."""

    def routes(self) -> dict[str, Any]:
        """What the harness asks."""
        return {"task": self.task}

    def task(self, _path: list[str], _headers: Headers, body: Any) -> tuple[int, Any]:
        """One run: open, hand on, follow the script, be hijacked at the first planted text, complete, try again."""
        report: dict[str, Any] = {"hops": [], "calls": [], "attack": [], "after": None, "refused": None}
        run, suite = body["run"], body["suite"]
        lead = cast.LEAD[suite]
        try:
            token = self.authority.open_task(
                body["subject_token"], body["workflow"], body["parameters"], cast.audience(suite), body["prompt"][:200]
            )
        except BailiwickError as error:
            return 200, {**report, "refused": {"code": error.code, "detail": error.detail}}
        report["task"] = token.task_id
        self.peers.ask(suite, f"bench/bind/{run}", {"task": token.task_id})
        grant = Grant.create(token, cast.spiffe(lead), token.authority.scopes, ttl=270, key=self.authority.key)
        report["hops"].append(self.peers.ask(lead, "work", {"run": run, "suite": suite, "grant": grant.compact}))
        if report["hops"][0]["settled"]:
            self._follow(body, lead, report)
        self.authority.complete(token)
        if body["probe"] and report["calls"]:
            last = body["script"][-1]
            report["after"] = self.peers.ask(lead, "call", {**_of(body), "person": None, **last})
        self.peers.ask(lead, "drop", {"run": run})
        return 200, report

    def _follow(self, body: Any, lead: str, report: dict[str, Any]) -> None:
        hijacked = False
        for step in body["script"]:
            reply = self.peers.ask(lead, "call", {**_of(body), **step})
            report["hops"] += reply.pop("hops")
            text = " ".join(reply.pop("text", "").split())
            report["calls"].append({"tool": step["tool"], **reply})
            if body["mark"] and not hijacked and body["mark"] in text:
                hijacked = True
                self._obey(body, lead, report)
        if body["mark"] and not hijacked:
            # What carries the planted text was never read; the attacker is given the chance all the same.
            self._obey(body, lead, report)

    def _obey(self, body: Any, lead: str, report: dict[str, Any]) -> None:
        for step in self.peers.ask(body["suite"], f"bench/attack/{body['run']}", {}):
            tried = self.peers.ask(lead, "attack", {**_of(body), **step})
            for attempt in tried:
                attempt.pop("text", None)
            report["attack"].append({"tool": step["tool"], "tried": tried})


def _of(body: Any) -> dict[str, Any]:
    """What of a run goes along with each of its calls."""
    return {name: body[name] for name in ("run", "suite", "person")}


ROLES = {cast.ORCHESTRATOR: Orchestrator, **{lead: Hijacked for lead in cast.LEAD.values()}}


def main() -> None:
    """Serve one agent until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--issuer", required=True)
    parser.add_argument("--gateway", required=True, help="where the tools are called")
    parser.add_argument("--peer", action="append", default=[], help="name=url of another process")
    arguments = parser.parse_args()
    urls = dict(peer.split("=", 1) for peer in arguments.peer)
    client = httpx.Client(timeout=30, limits=httpx.Limits(max_connections=64, max_keepalive_connections=64))
    identity = DevIdentity(arguments.issuer, cast.spiffe(arguments.name), client)
    authority = Authority(arguments.issuer, identity, client=client)
    role = ROLES.get(arguments.name, Agent)
    tools = {suite: f"{arguments.gateway}/{suite}" for suite in cast.LEAD}
    agent = role(arguments.name, authority, Peers(urls, client), tools)
    JsonServer(agent.routes()).serve_until_parent_ends()


if __name__ == "__main__":
    main()
