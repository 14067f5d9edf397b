"""Unmodified A2A clients and agents of two SDKs, over both bindings, with the gateway between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from stage import Stage, Verdicts, free_ports, holder_file, registry

HERE = Path(__file__).parent
CACHE = Path(os.environ["A2A_CACHE"])
PYTHON = str(CACHE / "py" / "bin" / "python")
ENVIRONMENT = {**os.environ, "A2A_NODE_MODULES": str(CACHE / "js" / "node_modules")}

ROUTE = """
[[route]]
name = "{name}"
path = "/{name}"
upstream = "{upstream}"
owner = "team:interop"
binding = "carries"
sensitivity = "internal"

[route.a2a]
rest_path = "/rest"

[[route.a2a.skill]]
id = "summarize"
scope = "summarizer.summarize"

[[route.a2a.skill]]
id = "translate"
scope = "summarizer.translate"
"""


def client(language: str, *arguments: str) -> dict[str, Any]:
    """What one client saw."""
    program = [PYTHON, str(HERE / "client_py.py")] if language == "py" else ["node", str(HERE / "client_ts.mjs")]
    done = subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    try:
        seen: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return seen
    except (IndexError, ValueError):
        return {"fault": (done.stdout + done.stderr)[-2000:]}


def main() -> None:
    """All of it."""
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as scratch, Stage(Path(scratch)) as stage:
        ports = {"py": free_ports(1), "ts": free_ports(1)}
        stage.start("agent-py", [PYTHON, str(HERE / "server_py.py"), str(ports["py"])])
        stage.start("agent-ts", ["node", str(HERE / "server_ts.mjs"), str(ports["ts"])], env=ENVIRONMENT)
        upstreams = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        for url in upstreams.values():
            stage.wait_port(url)
        gateway = f"http://127.0.0.1:{free_ports(2)}"
        stage.apply(registry(["summarizer.summarize"], [], gateway))
        agent = stage.agent()
        mine, theirs = (
            str(holder_file(stage.directory / f"{name}.json", agent, stage.task(agent, gateway)))
            for name in ("mine", "theirs")
        )
        routes = "".join(ROUTE.format(name=n, upstream=u) for n, u in upstreams.items())
        process = stage.gateway(routes, listen=gateway)
        begun: list[tuple[str, str, str, str]] = []
        for name in upstreams:
            with urllib.request.urlopen(f"{gateway}/{name}/.well-known/agent-card.json", timeout=10) as reply:
                card = json.load(reply)
            urls = [entry["url"] for entry in card["supportedInterfaces"]]
            verdicts.check(
                f"{name} card: every interface is the gateway's", all(u.startswith(gateway) for u in urls), urls
            )
            extensions = [entry["uri"] for entry in card["capabilities"]["extensions"] if entry.get("required")]
            verdicts.check(f"{name} card: the chain is a required extension", "urn:bailiwick:chain" in extensions, card)
            for language in ("py", "ts"):
                for binding in ("JSONRPC", "HTTP+JSON"):
                    what = f"{language} client, {name} agent, {binding}"
                    ask = partial(client, language, binding, f"{gateway}/{name}")
                    seen = ask(mine, "summarize")
                    told = " ".join(seen.get("texts", []))
                    verdicts.check(f"{what}: the work is done and streamed back", "summary of the report" in told, seen)
                    verdicts.check(f"{what}: provenance came along", "urn:bailiwick:provenance" in told, seen)
                    verdicts.check(f"{what}: the task can be asked for again", seen.get("again") is True, seen)
                    task = str(seen.get("task"))
                    begun.append((language, binding, f"{gateway}/{name}", task))
                    seen = ask(mine, "translate")
                    told = str(seen.get("refused"))
                    shown = "scope_not_granted" in told and "not among the scopes held" in told
                    verdicts.check(f"{what}: a skill that is not granted is refused, with code and reason", shown, seen)
                    # It is done, so the agent says that it cannot be cancelled: it was asked.
                    seen = ask(mine, f"cancel:{task}")
                    shown = "TaskNotCancelable" in str(seen.get("refused"))
                    verdicts.check(f"{what}: the task's own cancel reaches the agent", shown, seen)
                    for verb in ("get", "cancel"):
                        seen = ask(theirs, f"{verb}:{task}")
                        told = str(seen.get("refused"))
                        shown = "TaskNotFound" in told and "task_mismatch" in told
                        verdicts.check(f"{what}: {verb} by another task finds no such task", shown, seen)
        stage.stop(process, signal.SIGKILL)
        stage.gateway(routes, listen=gateway)
        for language, binding, url, task in begun:
            what = f"{language} client, {binding}, {url.rsplit('/', 1)[1]} agent, the gateway killed and started"
            seen = client(language, binding, url, mine, f"get:{task}")
            verdicts.check(f"{what}: one's task is one's own", seen.get("again") is True, seen)
            seen = client(language, binding, url, theirs, f"get:{task}")
            verdicts.check(f"{what}: and nobody else's", "task_mismatch" in str(seen.get("refused")), seen)
        if verdicts.failed:
            for name in ("gateway", "agent-py", "agent-ts"):
                print(f"--- {name}\n", (stage.directory / f"{name}.log").read_text()[-2500:])
    verdicts.end()


if __name__ == "__main__":
    main()
