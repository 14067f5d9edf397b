"""The processes of the demo, each with its own key and identity: started in order, ended together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from . import cast

READY_SECONDS_MAX = 20


class Processes:
    """Started processes by name. Leaving the `with` block ends them all."""

    def __init__(self, directory: Path, binary: str) -> None:
        self.directory = directory
        self.binary = binary
        self.urls: dict[str, str] = {}
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        for process in reversed(self._running):
            if process.stdin:
                process.stdin.close()
            process.terminate()
        for process in self._running:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()

    def authority(self) -> str:
        """Start `bailiwick serve --dev` on a free loopback port and wait until it is ready. Its URL."""
        port = _free_ports()
        issuer = f"http://127.0.0.1:{port}"
        log = (self.directory / "authority.log").open("wb")
        data = self.directory / "authority"
        command = [self.binary, "serve", "--dev", "--listen", f"127.0.0.1:{port}", "--data", str(data)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running.append(process)
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/ready", timeout=1):
                    return issuer
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise SystemExit(f"the Authority did not become ready; see {self.directory / 'authority.log'}")

    def python(self, name: str, module: str, *arguments: str) -> None:
        """Start one of the demo's own processes. It says its URL on the first line of its output."""
        log = (self.directory / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", f"agentdojo_demo.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._running.append(process)
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise SystemExit(f"{name} did not start; see {self.directory / f'{name}.log'}")
        self.urls[name] = line.decode().strip()

    def cast(self, issuer: str) -> None:
        """Start the tool servers and the agents, the ones that others call first."""
        for suite in cast.LEAD:
            self.python(suite, "tool_server", "--suite", suite, "--issuer", issuer)
        for name in [*cast.TOOLS, *cast.LEAD.values(), cast.ORCHESTRATOR]:
            peers = [part for peer, url in self.urls.items() for part in ("--peer", f"{peer}={url}")]
            self.python(name, "agent", "--name", name, "--issuer", issuer, *peers)


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
