"""Envoy in front of an upstream, asking the gateway over gRPC about each request, and given vendors' credentials by it."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from stage import Stage, Upstream, Verdicts, free_ports, registry

from bailiwick import DelegatedAuth, dpop

ROUTES = """
[ext_authz]
listen = "127.0.0.1:{authz}"
key = {{ file = "envoy-key" }}

[[route]]
name = "crm"
path = "/crm"
upstream = "{upstream}"
owner = "team:interop"
binding = "carries"
sensitivity = "internal"

[route.http]

[[route.http.operation]]
method = "GET"
path = "/contacts/{{id}}"
scope = "crm.read"
effect = "read"

[[route.http.operation]]
method = "POST"
path = "/contacts/{{id}}/notes"
scope = "crm.write"
effect = "write"

[[route.http.operation.argument]]
name = "amount"
in = "body"

[[route.http.operation.argument]]
name = "kind"
in = "body"
lower = true

[[route]]
name = "kept"
path = "/kept"
upstream = "{upstream}"
owner = "team:interop"
binding = "wrapped"
sensitivity = "internal"

[[route.http.operation]]
method = "GET"
path = "/contacts"
scope = "crm.read"

[route.connector]
permissions = ["contacts"]

[route.connector.key]
header = "X-Api-Key"
secret = {{ file = "vendor-key" }}
"""

VENDOR = """
[[route]]
name = "{name}"
path = "/{name}"
upstream = "{upstream}"
owner = "team:interop"
binding = "wrapped"
sensitivity = "internal"

[[route.http.operation]]
method = "GET"
path = "/contacts"
scope = "crm.read"

[[route.http.operation]]
method = "DELETE"
path = "/contacts"
scope = "crm.admin"

[route.connector]
permissions = ["contacts"]
provenance_header = "X-Request-Context"
envoy = true

[route.connector.{kind}]
"""
CREDENTIALS = {
    "key": """
header = "X-Api-Key"
secret = {{ file = "vendor-key" }}
""",
    "basic": """
username = "svc-bailiwick"
password = {{ file = "vendor-password" }}
""",
    "oauth": """
token_endpoint = "{tokens}/token"
client_id = "gateway"
client_secret = {{ file = "client-secret" }}
""",
}
AWS = """
region = "us-east-1"
service = "s3"
credentials = { file = "vendor-key" }
"""
ENVOY_KEY = "envoy-key-0123456789abcdef"
SECRETS = {
    "envoy-key": ENVOY_KEY,
    "vendor-key": "vendor-key-0123456789abcdef",
    "vendor-password": "vendor-password-0123456789",
    "client-secret": "client-secret-0123456789",
}

LISTENER = """
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            virtual_hosts:
            - {{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: upstream }} }}] }}
          http_filters:
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              failure_mode_allow: false
              with_request_body: {{ max_request_bytes: 65536, allow_partial_message: false }}
              grpc_service: {{ envoy_grpc: {{ cluster_name: gateway }}, timeout: 2s{shown} }}
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
"""
SHOWN = ", initial_metadata: [{{ key: bailiwick-envoy-key, value: {key} }}]"
CLUSTERS = """
  clusters:
  - name: upstream
    load_assignment: {{ cluster_name: upstream, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address:
      {{ address: 127.0.0.1, port_value: {upstream_port} }} }} }} }}] }}] }}
  - name: gateway
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
    load_assignment: {{ cluster_name: gateway, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address:
      {{ address: 127.0.0.1, port_value: {authz} }} }} }} }}] }}] }}
"""


class Tokens:
    """A token endpoint that gives another token each time it is asked."""

    def __init__(self) -> None:
        self.given: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.given.append(f"vendor-token-{len(outer.given)}-0123456789")
                answer = {"access_token": outer.given[-1], "token_type": "Bearer", "expires_in": 300}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


def private(path: Path, text: str) -> None:
    """A file for us alone."""
    path.touch(mode=0o600)
    path.write_text(text)


def recorded(stage: Stage, decision: str, outcome: str = "") -> bool:
    """Whether the Authority's ledger comes to say that this call was allowed, and came to this."""
    for _ in range(50):
        command = [stage.binary, "--server", stage.issuer, "-o", "json", "trace", decision]
        answer = subprocess.run(command, capture_output=True, text=True)
        found = json.loads(answer.stdout) if answer.returncode == 0 else {"decisions": [], "events": []}
        allowed = any(it["decision_id"] == decision and it["allow"] is True for it in found["decisions"])
        ended = any(decision in it["summary"] and f"({outcome}," in it["summary"] for it in found["events"])
        if allowed and (ended or not outcome):
            return True
        time.sleep(0.1)
    return False


def check(stage: Stage, routes: str) -> str:
    """What `gateway --check` says against these routes."""
    path = stage.directory / "refused.toml"
    path.write_text((stage.directory / "gateway.toml").read_text() + routes)
    answer = subprocess.run([stage.binary, "gateway", "--check", "-c", str(path)], capture_output=True, text=True)
    return f"{answer.returncode} {answer.stderr}"


def credential_checks(
    verdicts: Verdicts, stage: Stage, upstream: Upstream, tokens: Tokens, client: httpx.Client, other: str
) -> str:
    """What vendors get, and who does not. Gives all that the agent was told."""
    told = ""
    pair = base64.b64encode(f"svc-bailiwick:{SECRETS['vendor-password']}".encode()).decode()
    for kind, header, good in (
        ("key", "x-api-key", lambda value: value == SECRETS["vendor-key"]),
        ("basic", "authorization", lambda value: value == f"Basic {pair}"),
        ("oauth", "authorization", lambda value: value in [f"Bearer {token}" for token in tokens.given]),
    ):
        reply = client.get(f"/{kind}/contacts", headers={"X-Api-Key": "the agent's", "User-Agent": "agent/1"})
        seen = upstream.seen[-1]["headers"]
        verdicts.check(f"{kind}: the vendor gets the gateway's credential", reply.status_code == 200 and good(seen.get(header)), reply.text)
        verdicts.check(f"{kind}: and nothing of the agent's", "dpop" not in seen and "the agent's" not in json.dumps(seen)
                       and "DPoP" not in seen.get("authorization", ""), seen)  # fmt: skip
        context = dict(part.split("=") for part in seen.get("x-request-context", "=").split("; "))
        verdicts.check(f"{kind}: by a decision that the ledger has", recorded(stage, context.get("decision", "")), seen)
        agent = seen.get("user-agent", "")
        verdicts.check(f"{kind}: which its log names", agent.startswith("agent/1 bailiwick/") and context.get("decision", "-") in agent, agent)
        before = len(upstream.seen)
        refused = client.delete(f"/{kind}/contacts")
        verdicts.check(f"{kind}: a refused call gets none", code(refused) == "scope_not_granted" and len(upstream.seen) == before, refused.text)
        told += refused.text + str(refused.headers)
    for _ in range(3):
        client.get("/oauth/contacts")
    verdicts.check("oauth: one token for many calls", len(tokens.given) == 1, len(tokens.given))

    before = len(upstream.seen)
    refused = client.get("/kept/contacts")
    verdicts.check("a credential that is not for Envoy stays at the gateway", refused.status_code == 404 and "envoy = true" in refused.text, refused.text)
    told += refused.text
    auth = client.auth
    for path in ("/key/contacts", "/crm/contacts/7"):
        refused = httpx.get(other + path, auth=auth)
        verdicts.check(f"{path}: an Envoy that does not show its key is answered nothing", refused.status_code == 403 and not refused.text, refused.text)
        told += refused.text
    (stage.directory / "vendor-key").rename(stage.directory / "vendor-key.away")
    refused = client.get("/key/contacts")
    verdicts.check("without the credential no call", code(refused) == "bad_gateway" and refused.status_code == 502, refused.text)
    verdicts.check("and its receipt says that it came to nothing", recorded(stage, refused.json().get("decision_id", ""), "failed"))
    told += refused.text
    verdicts.check("nothing of this reached the vendor", len(upstream.seen) == before, upstream.seen[before:])
    (stage.directory / "vendor-key.away").rename(stage.directory / "vendor-key")
    verdicts.check("with it again it goes on", client.get("/key/contacts").status_code == 200)
    return told


def configuration_checks(verdicts: Verdicts, stage: Stage, upstream: str) -> None:
    """What cannot be given to Envoy is said before the start."""
    def said(kind: str, credential: str) -> str:
        return check(stage, VENDOR.format(name="more", upstream=upstream, kind=kind) + credential)

    answer = said("key", 'header = "X-Key"\nsecret = { file = "vendor-key" }')
    verdicts.check("check: a key in a header can be given to Envoy", answer.startswith("0 "), answer)
    answer = said("aws", AWS)
    verdicts.check("check: a signature cannot", answer.startswith("1 ") and "AWS signature" in answer, answer)
    answer = said("key", 'query = "key"\nsecret = { file = "vendor-key" }')
    verdicts.check("check: a key in the query cannot", answer.startswith("1 ") and "in the query" in answer, answer)
    path = stage.directory / "refused.toml"
    path.write_text((stage.directory / "gateway.toml").read_text().replace('key = { file = "envoy-key" }', ""))
    done = subprocess.run([stage.binary, "gateway", "--check", "-c", str(path)], capture_output=True, text=True)
    verdicts.check("check: nor anything while Envoy shows no key", done.returncode == 1 and "has no `key`" in done.stderr, done.stderr)


def code(response: httpx.Response) -> str:
    """The code of a refusal, or the status."""
    try:
        return str(response.json().get("code", response.status_code))
    except ValueError:
        return str(response.status_code)


def main() -> None:
    verdicts, upstream, tokens = Verdicts(), Upstream(), Tokens()
    with tempfile.TemporaryDirectory() as scratch, Stage(Path(scratch)) as stage:
        envoy_port, authz = free_ports(2), free_ports(1)
        url, other = (f"http://127.0.0.1:{port}" for port in (envoy_port, envoy_port + 1))
        for name, text in SECRETS.items():
            private(stage.directory / name, text)
        constraints = [{"key": "amount", "max": 10}]
        stage.apply(registry(["crm.read", "crm.write"], constraints, url))
        routes = ROUTES.format(authz=authz, upstream=upstream.url)
        for kind, credential in CREDENTIALS.items():
            routes += VENDOR.format(name=kind, upstream=upstream.url, kind=kind) + credential.format(tokens=tokens.url)
        gateway = stage.gateway(routes, public_url=url)
        config = stage.directory / "envoy.yaml"
        envoys = "static_resources:\n  listeners:"
        for port, shown in ((envoy_port, SHOWN.format(key=ENVOY_KEY)), (envoy_port + 1, "")):
            envoys += LISTENER.format(port=port, shown=shown).rstrip()
        private(config, envoys + CLUSTERS.format(authz=authz, upstream_port=urlsplit(upstream.url).port))
        envoy = str(Path(sys.executable).parent / "envoy")
        process = stage.start("envoy", [envoy, "-c", str(config), "--use-dynamic-base-id", "--concurrency", "1"])
        for _ in range(100):
            try:
                httpx.get(url + "/")
                break
            except httpx.HTTPError:
                time.sleep(0.1)

        agent = stage.agent()
        token = stage.task(agent, url)
        client = httpx.Client(base_url=url, auth=DelegatedAuth(agent, token), timeout=10)

        reply = client.get("/crm/contacts/7", headers={"X-Amz-Acl": "public", "Bailiwick-Provenance": "forged"})
        verdicts.check("forged provenance is refused", code(reply) == "provenance_missing", reply.text)
        reply = client.get("/crm/contacts/7", headers={"X-Amz-Acl": "public", "Baggage": "user=7"})
        verdicts.check("a permitted read reaches the upstream", reply.status_code == 200, reply.text)
        seen = upstream.seen[-1]["headers"] if upstream.seen else {}
        verdicts.check("without the agent's token", not {"authorization", "dpop"} & set(seen), seen)
        verdicts.check("without a header that nobody declared", "x-amz-acl" not in seen, seen)
        verdicts.check("with others' baggage and ours", seen.get("baggage", "").startswith("user=7,bailiwick.task="), seen)
        verdicts.check("with its provenance", any("provenance" in name for name in seen), seen)
        reply = client.post("/crm/contacts/7/notes", json={"amount": 10})
        verdicts.check("a permitted write does too", reply.status_code == 200, reply.text)
        before = len(upstream.seen)

        reply = client.post("/crm/contacts/7/notes", json={"amount": 11})
        verdicts.check("an argument beyond the bound is refused", code(reply) == "ceiling_exceeded", reply.text)
        reply = client.post("/crm/contacts/7/notes", json={"amount": 1, "kind": "NOTE"})
        verdicts.check("a body that goes on otherwise than it is decided on is refused", code(reply) == "non_canonical", reply.text)
        reply = client.delete("/crm/contacts/7")
        verdicts.check("an operation that is not mapped is refused", reply.status_code >= 400, reply.text)
        reply = client.get("/crm/contacts/%37")
        verdicts.check("a second spelling does not pass for the first", len(upstream.seen) == before, reply.text)
        reply = httpx.get(url + "/crm/contacts/7")
        verdicts.check("no token, no call", reply.status_code == 401, reply.text)
        verdicts.check("and the challenge says how", "DPoP" in reply.headers.get("www-authenticate", ""), reply.headers)
        proof = dpop.proof(agent.key, "GET", url + "/crm/contacts/7", token=token.compact, nonce=reply.headers["dpop-nonce"])
        headers = {"Authorization": f"DPoP {token.compact}", "DPoP": proof}
        first, again = (httpx.get(url + "/crm/contacts/7", headers=headers) for _ in range(2))
        verdicts.check("a proof is good once", first.status_code == 200, first.text)
        verdicts.check("and replayed it is not", code(again) == "proof_replayed", again.text)
        before = len(upstream.seen)

        told = credential_checks(verdicts, stage, upstream, tokens, client, other)
        configuration_checks(verdicts, stage, upstream.url)
        before = len(upstream.seen)

        agent.complete(token)
        reply = httpx.get(url + "/crm/contacts/7", auth=DelegatedAuth(agent, token, renew_before=-1))
        verdicts.check("a completed task is dead", code(reply) in ("task_closed", "revoked"), reply.text)
        stage.stop(gateway, signal.SIGKILL)
        fresh = stage.task(agent, url)
        reply = httpx.get(url + "/crm/contacts/7", auth=DelegatedAuth(agent, fresh))
        verdicts.check("the gateway down, nothing passes", reply.status_code == 403, reply.status_code)
        verdicts.check("nothing of this reached the upstream", len(upstream.seen) == before, upstream.seen[before:])
        stage.stop(process)
        told += "".join((stage.directory / f"{name}.log").read_text() for name in ("gateway", "envoy", "authority"))
        secrets = [*SECRETS.values(), *tokens.given]
        verdicts.check("no credential was told to the agent or a log", not [it for it in secrets if it in told])
        if verdicts.failed:
            for name in ("gateway", "envoy"):
                print(f"--- {name}.log\n", (stage.directory / f"{name}.log").read_text()[-3000:])
    upstream.close()
    verdicts.end()


if __name__ == "__main__":
    main()
