"""A toy vendor for the tutorial: an OAuth server and a ticket system. It knows one client, by its public key, and no chains.

usage: tickets.py ADDRESS PUBLIC_KEY.pem

Each request is a line on standard output: method, path, status, user agent and X-Request-Context, as a vendor's log has it.
"""

import base64
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

ADDRESS, KEY = sys.argv[1], load_pem_public_key(Path(sys.argv[2]).read_bytes())
ENDPOINT = f"http://{ADDRESS}/oauth/token"
TOKENS: dict[str, tuple[set[str], float]] = {}
USED: set[str] = set()
TICKETS = {"T-4711": {"subject": "The printer is on fire", "comments": []}, "T-4712": {"subject": "Salaries", "comments": []}}


def segment(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def authenticated(form: dict[str, str]) -> bool:
    """RFC 7523 §3: signed by the client's key, for us, now, and once."""
    try:
        head, body, signature = form["client_assertion"].split(".")
        KEY.verify(segment(signature), f"{head}.{body}".encode())
        claims = json.loads(segment(body))
        fresh = claims["jti"] not in USED and claims["exp"] > time.time()
        USED.add(claims["jti"])
    except (InvalidSignature, KeyError, ValueError):
        return False
    return bool(fresh and claims["aud"] == ENDPOINT and claims["sub"] == claims["iss"] == "bailiwick-gateway")


class Vendor(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        seen = [self.headers.get(name, "-") for name in ("User-Agent", "X-Request-Context")]
        print(self.command, self.path, status, *seen, sep=" | ", flush=True)

    def may(self, scope: str) -> bool:
        scopes, end = TOKENS.get(self.headers.get("Authorization", "").removeprefix("Bearer "), (set(), 0.0))
        good = end > time.time()
        if not good or scope not in scopes:
            self.answer(403 if good else 401, {"error": "insufficient_scope" if good else "invalid_token"})
        return good and scope in scopes

    def ticket(self, path: list[str]) -> dict | None:
        found = TICKETS.get(path[3]) if path[1:3] == ["v2", "tickets"] and len(path) > 3 else None
        if found is None:
            self.answer(404, {"error": "no such ticket"})
        return found

    def do_GET(self) -> None:
        if self.may("tickets:read") and (found := self.ticket(self.path.split("/"))):
            self.answer(200, found)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/oauth/token":
            form = {name: values[0] for name, values in parse_qs(body).items()}
            if not authenticated(form):
                return self.answer(401, {"error": "invalid_client"})
            token = secrets.token_urlsafe(24)
            TOKENS[token] = (set(form.get("scope", "").split()), time.time() + 600)
            return self.answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 600})
        if self.may("tickets:write") and (found := self.ticket(self.path.split("/"))):
            found["comments"].append(json.loads(body))
            self.answer(201, found)
        return None

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    host, port = ADDRESS.split(":")
    ThreadingHTTPServer((host, int(port)), Vendor).serve_forever()
