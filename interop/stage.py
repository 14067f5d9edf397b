"""What the suites against other people's programs have in common: an Authority, a gateway in front of something, and
an agent that holds a token. Everything listens on loopback and ends with the `with` block."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives import serialization

from bailiwick import Authority, DevIdentity, HolderKey, HopToken, dev_subject_token

TRUST_DOMAIN = "spiffe://dev.bailiwick.example/"
GATEWAY = TRUST_DOMAIN + "gateway/edge"
READY_SECONDS_MAX = 20


def registry(scopes: list[str], constraints: list[dict[str, Any]], audience: str, extra: str = "") -> str:
    """A team, two agents, a gateway and one workflow without parameters over `scopes`."""
    rows = ", ".join(toml_table(row) for row in constraints)
    agents = "".join(
        f"""
[[agent]]
id = "{TRUST_DOMAIN}{name}"
name = "{name}"
owner = "team:interop"
env = "dev"
tenant = "acme"
clearance = "confidential"
roles = {json.dumps(roles)}
"""
        for name, roles in (("agent/lead", ["agent"]), ("agent/worker", ["agent"]), ("gateway/edge", ["enforcement-point"]))
    )
    return f"""
[[owner]]
id = "team:interop"
name = "Interop"
contact = "interop@dev.example"
status = "active"

[[owner]]
id = "user:rita@dev.example"
name = "Rita, security review"
contact = "rita@dev.example"
status = "active"
{agents}
[[workflow]]
id = "interop"
title = "Interop"
purpose = "Show that other people's programs work behind the gateway"
owner = "team:interop"
reviewer = "user:rita@dev.example"
reviewed = "2026-11-01"
tenant = "acme"
env = "dev"
sensitivity = "internal"
audiences = ["{audience}"]
entry = ["{TRUST_DOMAIN}agent/lead"]
max_depth = 2
max_fanout = 100
hops_per_minute_max = 600
deadline_seconds = 3600
ttl_seconds_max = 900

[[workflow.edges]]
from = "{TRUST_DOMAIN}agent/lead"
to = "{TRUST_DOMAIN}agent/worker"
scopes = {json.dumps(scopes)}

[workflow.parameters]
type = "object"
additionalProperties = false

[workflow.authority]
scopes = {json.dumps(scopes)}
constraints = [{rows}]
{extra}"""


def toml_table(row: dict[str, Any]) -> str:
    """An inline table."""
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in row.items()) + " }"


class Stage:
    """An Authority and a gateway of the binary under test, with their logs in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.binary = os.environ["BAILIWICK_BIN"]
        self.issuer = ""
        self.gateway_url = ""
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Stage:
        self.issuer = f"http://127.0.0.1:{free_ports(2)}"
        port = int(self.issuer.rsplit(":", 1)[1])
        data = self.directory / "authority"
        listen = f"127.0.0.1:{port}"
        self.start("authority", [self.binary, "serve", "--dev", "--listen", listen, "--data", str(data)])
        self.wait(f"http://127.0.0.1:{port + 1}/ready", "authority")
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        for process in reversed(self._running):
            self.stop(process)

    def start(self, name: str, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process; its output goes to a log of its name."""
        log = (self.directory / f"{name}.log").open("ab")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
        self._running.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
        """End a process that was started here."""
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait(self, url: str, name: str) -> None:
        """Wait until `url` answers 200."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(url, timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        log = self.directory / f"{name}.log"
        raise SystemExit(f"{name} did not become ready:\n{log.read_text()[-4000:]}")

    def apply(self, document: str) -> None:
        """Register owners, agents and workflows."""
        path = self.directory / "registry.toml"
        path.write_text(document)
        subprocess.run([self.binary, "--server", self.issuer, "apply", "-f", str(path)], check=True)

    def wait_port(self, url: str) -> None:
        """Wait until something listens at `url`."""
        host, port = url.split("/")[2].split(":")
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit(f"nothing listens at {url}")

    def gateway(
        self, routes: str, *, public_url: str | None = None, listen: str | None = None, extra: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start a gateway with these routes and wait until it is ready. Its URL is `gateway_url`.

        `listen` is the URL it listens at, `public_url` the one that agents know it by, if that is another.
        """
        port = int(listen.rsplit(":", 1)[1]) if listen else free_ports(2)
        self.gateway_url = public_url or f"http://127.0.0.1:{port}"
        path = self.directory / "gateway.toml"
        path.write_text(f"""
listen = "127.0.0.1:{port}"
management_listen = "127.0.0.1:{port + 1}"
public_url = "{self.gateway_url}"
state_dir = "gateway-state"
{extra}
[authority]
issuer = "{self.issuer}"

[identity]
dev_agent = "{GATEWAY}"

{routes}
""")
        process = self.start("gateway", [self.binary, "gateway", "-c", str(path)])
        self.wait(f"http://127.0.0.1:{port + 1}/ready", "gateway")
        return process

    def agent(self, name: str = "lead") -> Authority:
        """An agent with its own key and a development identity."""
        identity = DevIdentity(self.issuer, f"{TRUST_DOMAIN}agent/{name}")
        return Authority(self.issuer, identity, HolderKey.generate())

    def task(self, agent: Authority, audience: str) -> HopToken:
        """Open a task for alice; the token is DT_0, held by `agent`."""
        return agent.open_task(dev_subject_token(self.issuer, "alice@dev.example"), "interop", {}, audience)


def holder_file(path: Path, agent: Authority, token: HopToken) -> Path:
    """Key and token for a client in another language; the file goes with the scratch directory."""
    pkcs8 = agent.key._private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_text(json.dumps({"pkcs8": base64.b64encode(pkcs8).decode(), "token": token.compact}))
    return path


def free_ports(count: int) -> int:
    """The first of `count` free ports in a row on loopback."""
    for _ in range(100):
        sockets = [socket.socket() for _ in range(count)]
        try:
            sockets[0].bind(("127.0.0.1", 0))
            first: int = sockets[0].getsockname()[1]
            for offset, other in enumerate(sockets[1:], 1):
                other.bind(("127.0.0.1", first + offset))
            return first
        except (OSError, OverflowError):
            continue
        finally:
            for one in sockets:
                one.close()
    raise SystemExit("no free ports on loopback")


class Upstream:
    """An HTTP server that remembers what reached it and answers with what it got."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                got = {"method": self.command, "path": self.path, "headers": headers, "body": body}
                outer.seen.append(got)
                data = json.dumps(got).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_DELETE = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()


class Verdicts:
    """Counts checks and says which failed."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def check(self, what: str, good: bool, got: object = "") -> None:
        """One check."""
        if good:
            self.passed += 1
            print(f"ok    {what}")
        else:
            self.failed += 1
            print(f"FAIL  {what}: {got}")

    def end(self) -> None:
        """Print the closing line; leave with a fault when anything failed."""
        print(f"{self.passed} passed, {self.failed} failed")
        raise SystemExit(1 if self.failed or not self.passed else 0)
