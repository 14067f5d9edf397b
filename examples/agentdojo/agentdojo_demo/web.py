"""JSON over HTTP on loopback, for the demo's own processes: a function a path, a thread a connection."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Headers = dict[str, str]
Handler = Callable[[list[str], Headers, Any], tuple[int, Any]]
"""(path parts after the route, request headers, body) -> (status, reply)."""

BODY_BYTES_MAX = 1 << 20


class JsonServer(ThreadingHTTPServer):
    """Serves `routes` (first path part -> handler) on a free loopback port."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, routes: dict[str, Handler]) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.routes = routes
        self.base = f"http://127.0.0.1:{self.server_address[1]}"

    def serve_until_parent_ends(self) -> None:
        """Print the base URL on standard output, then serve until standard input ends."""
        threading.Thread(target=exit_with_parent, daemon=True).start()
        print(self.base, flush=True)
        self.serve_forever()


def exit_with_parent() -> None:
    """Wait for standard input to end, which is when the parent ends, and end too."""
    sys.stdin.read()
    os._exit(0)


def free_socket() -> socket.socket:
    """A listener on a free loopback port."""
    # With the protocol named, asyncio turns Nagle's algorithm off for what it accepts.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: JsonServer

    def do_POST(self) -> None:
        route, *rest = self.path.strip("/").split("/")
        try:
            size = int(self.headers.get("Content-Length", 0))
            if size > BODY_BYTES_MAX:
                raise ValueError("body too large")
            body = json.loads(self.rfile.read(size) or b"null")
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, reply = self.server.routes[route](rest, headers, body)
        except Exception as error:  # a handler that fails is a 500, never a default
            traceback.print_exc()
            status, reply = 500, {"code": "internal", "detail": f"{type(error).__name__}: {error}"}
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        pass
