"""A small HTTP tool in front of PostgreSQL, as a team writes one: it knows an API key and runs fixed statements. Behind
the gateway it gets one more thing, a header with an SQL comment, and appends it to what it runs."""

from __future__ import annotations

import hmac
import json
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pg8000.native

COMMENT = re.compile(r"/\*[A-Za-z0-9_=',%]{1,512}\*/")
STATEMENTS = {
    "/contacts": "SELECT id, name FROM public.contact ORDER BY id",
    "/slow": "SELECT pg_sleep(2)",
}


class Tool(BaseHTTPRequestHandler):
    """GET only."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        key = self.headers.get("X-Tool-Key", "")
        statement = STATEMENTS.get(self.path)
        comment = self.headers.get("X-Sql-Comment", "")
        if not hmac.compare_digest(key, os.environ["TOOL_KEY"]):
            self.answer(401, {"error": "no key"})
        elif statement is None:
            self.answer(404, {"error": "no such statement"})
        elif not COMMENT.fullmatch(comment):
            # The gateway always says by which decision it comes; whoever does not is not the gateway.
            self.answer(400, {"error": "no provenance"})
        else:
            # Each request has its own connection, so that the comment is of this call alone.
            host, port = os.environ["TOOL_PG"].split(":")
            connection = pg8000.native.Connection("tool", host=host, port=int(port), database="app")
            try:
                rows = connection.run(f"{statement} {comment}")
            finally:
                connection.close()
            self.answer(200, {"rows": [[str(cell) for cell in row] for row in rows]})

    def answer(self, status: int, body: object) -> None:
        """One JSON reply."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Tool).serve_forever()
