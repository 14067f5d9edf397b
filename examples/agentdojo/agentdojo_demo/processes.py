"""The processes of the demo, each with its own key and identity: started in order, ended together."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from string import Template
from types import TracebackType

from . import cast
from .mcp_server import KEY_VARIABLE

HERE = Path(__file__).parent.parent
READY_SECONDS_MAX = 20


class Processes:
    """Started processes by name. Leaving the `with` block ends them all."""

    def __init__(self, directory: Path, binary: str) -> None:
        self.directory = directory
        self.binary = binary
        self.urls: dict[str, str] = {}
        self.tools_key = secrets.token_urlsafe(32)
        """What the tool servers ask of whoever calls them. The gateway has it; no agent has."""
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        # The last started first, and each waited for: a gateway gives back to the Authority what it leased.
        for process in reversed(self._running):
            if process.stdin:
                process.stdin.close()
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()

    def authority(self) -> str:
        """Start `bailiwick serve --dev` on a free loopback port and wait until it is ready. Its URL."""
        port = _free_ports()
        data = self.directory / "authority"
        self._service(port, "authority", "serve", "--dev", "--listen", f"127.0.0.1:{port}", "--data", str(data))
        return f"http://127.0.0.1:{port}"

    def gateway(self, issuer: str) -> str:
        """Start `bailiwick gateway` in front of the tool servers and wait until it is ready. Its URL."""
        port = _free_ports()
        config = self.directory / "gateway.toml"
        places = {suite: self.urls[suite] for suite in cast.LEAD}
        text = Template((HERE / "gateway.toml").read_text()).substitute(
            places, issuer=issuer, port=port, management_port=port + 1, state=self.directory / "gateway"
        )
        config.write_text(text)
        self._service(port, "gateway", "gateway", "-c", str(config))
        return f"http://127.0.0.1:{port}"

    def _service(self, port: int, name: str, *arguments: str) -> None:
        """Start a subcommand of the binary; it is ready when the management listener behind `port` says so."""
        log = self.directory / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [self.binary, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self._environment(name)
            )
        self._running.append(process)
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/ready", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise SystemExit(f"the {name} did not become ready; see {log}\n{log.read_text()[-2000:]}")

    def python(self, name: str, module: str, *arguments: str) -> None:
        """Start one of the demo's own processes. It says its URL on the first line of its output."""
        log = (self.directory / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", f"agentdojo_demo.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=HERE,
            env=self._environment(module),
        )
        self._running.append(process)
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise SystemExit(f"{name} did not start; see {self.directory / f'{name}.log'}")
        self.urls[name] = line.decode().strip()

    def _environment(self, name: str) -> dict[str, str]:
        key = {KEY_VARIABLE: self.tools_key} if name in ("gateway", "mcp_server") else {}
        return {**os.environ, "PYTHONUNBUFFERED": "1", **key}

    def tool_servers(self) -> None:
        """Start an MCP server for each suite."""
        for suite in cast.LEAD:
            self.python(suite, "mcp_server", "--suite", suite)

    def cast(self, issuer: str, gateway: str) -> None:
        """Start the person and the agents, the ones that others call first."""
        self.python(cast.PERSON, "person", "--issuer", issuer)
        for name in [*cast.TOOLS, *cast.LEAD.values(), cast.ORCHESTRATOR]:
            peers = [part for peer, url in self.urls.items() for part in ("--peer", f"{peer}={url}")]
            self.python(name, "agent", "--name", name, "--issuer", issuer, "--gateway", gateway, *peers)


def _free_ports() -> int:
    """A free port whose successor is free too: the management listener is there."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise SystemExit("no free ports on loopback")
