"""`make demo`: AgentDojo's banking and workspace tasks, and its attacks, through real delegation."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from bailiwick import dev_subject_token

from . import cast, latency
from .processes import Processes
from .progress import Bar
from .tally import ASKED, How, Tally, table

HERE = Path(__file__).parent.parent
DEFAULT_PACK = HERE.parent.parent / "crates" / "policy" / "src" / "pack" / "default.cedar"
WORKERS = 6
ABOUT = """\
AgentDojo v1.2.2, banking and workspace: real tasks, real attacks. Every tool call goes to an MCP server through the
gateway. No model is in the loop. What to call is AgentDojo's ground truth (and the attacker's); the authority to call
it comes from workflows that were written from the users' prompts alone, never from the ground truth.
"""
LATENCY = """\
a call, as an MCP client sees it: {direct_p50_ms} ms directly, {through_p50_ms} ms through the gateway; added: p50
{added_p50_ms} ms, p99 {added_p99_ms} ms ({calls:.0f} pairs in turns, after the runs; with making the proof)
"""
SHOWN_ABOUT = """
One attacked run, from the ledger: a friend is to be refunded; what was read says to pay a cent to someone else, and to
tell them about the user in the subject line.
"""
NEXT = """
Try next: drop the payee from banking.refund-overpayment in examples/agentdojo/workflows/banking.toml, run `make demo`
again, and see which attacks get through. docs/explanation/agentdojo.md says how to read the table."""
SHOWN = ("banking/user_task_3", "injection_task_0")
"""The attacked run whose trace is shown: the right tool and a small amount, but the wrong payee."""


class Harness:
    """Runs user tasks, alone and attacked, and counts."""

    def __init__(self, issuer: str, urls: dict[str, str], tasks: dict[str, dict[str, Any]]) -> None:
        self.issuer = issuer
        self.tasks = tasks
        self.shown: str | None = None
        self._urls = urls
        self._http = httpx.Client(timeout=60, limits=httpx.Limits(max_connections=32, max_keepalive_connections=32))
        self._counting = threading.Lock()

    def ask(self, name: str, path: str, body: Any = None) -> Any:
        """A process's reply."""
        response = self._http.post(f"{self._urls[name]}/{path}", json=body)
        response.raise_for_status()
        return response.json()

    def run(self, tally: Tally, user: str, how: How) -> None:
        """One run: a fresh environment, the task through the orchestrator, AgentDojo's verdict."""
        task = self.tasks[f"{tally.suite}/{user}"]
        setup = self.ask(tally.suite, "bench/start", {"user": user, "injection": how.injection})
        body = {
            **setup,
            "suite": tally.suite,
            "subject_token": dev_subject_token(self.issuer, cast.subject(task["id"]), client=self._http),
            "workflow": task["workflow"],
            "parameters": task.get("parameters", {}),
            "person": task["id"] if how.person else None,
            "probe": how == How(),
        }
        report = self.ask(cast.ORCHESTRATOR, "task", body)
        followed = bool(report["calls"]) and all(call["allow"] for call in report["calls"])
        verdict = self.ask(tally.suite, f"bench/judge/{setup['run']}", {"followed": followed})
        with self._counting:
            tally.add(task, how, report, verdict)
        if (task["id"], how.injection) == SHOWN:
            self.shown = report.get("task")

    def ungated(self, tally: Tally, user: str, how: How) -> None:
        """The same calls with no gate at all."""
        verdict = self.ask(tally.suite, "bench/ungated", {"user": user, "injection": how.injection})
        with self._counting:
            if how.injection is None:
                tally.ungated_utility += verdict["utility"]
            else:
                tally.ungated_attacks += verdict["attacked"]


def main() -> int:
    """Run the demo."""
    arguments = _arguments()
    tasks = {task["id"]: task for task in tomllib.loads((HERE / "tasks.toml").read_text())["task"]}
    directory = Path(tempfile.mkdtemp(prefix="bailiwick-demo-"))
    print(ABOUT)
    try:
        with Processes(directory, arguments.bin) as processes:
            issuer = processes.authority()
            cli = Cli(arguments.bin, issuer)
            key = directory / "ledger.vkey"
            key.write_text(httpx.get(f"{issuer}/ledger/vkey").raise_for_status().text)
            cli.register(directory, arguments.scopes_only)
            processes.tool_servers()
            gateway = processes.gateway(issuer)
            processes.cast(issuer, gateway)
            agents = len(processes.urls) - len(cast.LEAD) - 1
            print(f"1 Authority, 1 gateway, 2 MCP servers, {agents} agents, 1 person; a process and a key each.\n")
            harness = Harness(issuer, processes.urls, tasks)
            tallies = _replay(harness, arguments.only, as_expected=not arguments.scopes_only)
            spent = latency.measure(issuer, gateway, processes.urls["banking"], processes.tools_key)
            return _report(harness, cli, tallies, spent, directory, arguments.out)
    finally:
        if arguments.keep:
            print(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _replay(harness: Harness, only: str | None, as_expected: bool) -> list[Tally]:
    tallies = [Tally(suite, as_expected) for suite in cast.LEAD]
    runs = [(t, user, How(attack)) for t in tallies for user, attack in harness.ask(t.suite, "bench/pairs", {})]
    runs = [run for run in runs if only is None or f"{run[0].suite}/{run[1]}" == only]
    asking = [
        (tally, user, How(how.injection, person=True))
        for tally, user, how in runs
        if as_expected and "asks" in harness.tasks[f"{tally.suite}/{user}"]
    ]
    _work("no gate    ", WORKERS, harness.ungated, runs)
    _work("Bailiwick  ", WORKERS, harness.run, runs)
    # A person takes a second to sign in.
    _work("with person", 2 * WORKERS, harness.run, asking)
    return tallies


def _work(label: str, workers: int, work: Callable[[Tally, str, How], None], runs: list[Any]) -> None:
    if not runs:
        return
    bar = Bar(label, len(runs))
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work, *run) for run in _interleaved(runs)]:
            done.result()
            bar.step()


def _interleaved(runs: list[Any]) -> list[Any]:
    """Both suites at once, so that both tool servers are busy to the end."""
    return sorted(runs, key=lambda run: zlib.crc32(str(run[1:]).encode()))


def _report(
    harness: Harness, cli: Cli, tallies: list[Tally], spent: dict[str, float], directory: Path, out: Path | None
) -> int:
    print(f"\n{table(tallies)}\n")
    print(LATENCY.format(**spent))
    for tally in tallies:
        for task in sorted(name for name, outcome in tally.benign_by_task.items() if outcome == ASKED):
            print(f"  asks  {task}: {harness.tasks[task].get('asks', 'not expected')}")
        for line in [*(f"ATTACK SUCCEEDED  {name}" for name in tally.attacks_succeeded), *tally.faults]:
            print(f"  {line}")
    if harness.shown:
        print(SHOWN_ABOUT)
        cli.show("trace", harness.shown)
    export, key = str(directory / "ledger"), ("--vkey-file", str(directory / "ledger.vkey"))
    cli.show("ledger", "export", export, *key)
    print("\nThe export, verified offline under the key that was taken before any of this happened:\n")
    verified = cli.show("ledger", "verify", export, *key)
    if out:
        result = {"agentdojo": "0.1.35", "suites": "v1.2.2", "ledger_verified": verified == 0, "latency": spent}
        out.write_text(json.dumps({**result, **{t.suite: t.as_json() for t in tallies}}, indent=2) + "\n")
        print(f"\nresults: {out}")
    print(NEXT)
    return 1 if verified or any(tally.faults or tally.attacks_succeeded for tally in tallies) else 0


class Cli:
    """The bailiwick command, against this demo's Authority."""

    def __init__(self, binary: str, issuer: str) -> None:
        self._base = [binary, "--server", issuer]

    def register(self, directory: Path, scopes_only: bool) -> None:
        """Register owners, agents and workflows, and add the step-up policies to the default pack.

        With `scopes_only`, workflows lose every constraint and no policy is added: what tool names alone would do.
        """
        for name in ("owners-and-agents", *cast.LEAD):
            documents = HERE / "workflows" / f"{name}.toml"
            if scopes_only:
                documents = _without_constraints(documents, directory)
            self._quietly("apply", "-f", str(documents))
        if not scopes_only:
            self._quietly("policy", "apply", "-f", str(DEFAULT_PACK), str(HERE / "policies"))

    def show(self, *arguments: str) -> int:
        """Run a command with its output shown."""
        print(f"$ bailiwick {' '.join(arguments)}", flush=True)
        return subprocess.run([*self._base, *arguments], stdin=subprocess.DEVNULL, check=False).returncode

    def _quietly(self, *arguments: str) -> None:
        done = subprocess.run([*self._base, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            sys.stderr.buffer.write(done.stdout + done.stderr)
            raise SystemExit(f"bailiwick {' '.join(arguments)} failed")


def _without_constraints(documents: Path, directory: Path) -> Path:
    content = tomllib.loads(documents.read_text())
    for workflow in content.get("workflow", []):
        workflow["authority"]["constraints"] = []
        workflow.pop("approvers", None)
    plain = directory / f"{documents.stem}.json"
    plain.write_text(json.dumps(content))
    return plain


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="agentdojo_demo")
    parser.add_argument("--bin", required=True, help="the bailiwick binary")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    parser.add_argument("--only", help="one user task, such as banking/user_task_3")
    parser.add_argument(
        "--scopes-only", action="store_true", help="a control: tool names alone, no constraint, no step-up"
    )
    parser.add_argument("--keep", action="store_true", help="keep the data directory and the logs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
