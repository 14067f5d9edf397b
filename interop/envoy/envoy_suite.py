"""Envoy in front of an upstream, asking the gateway over gRPC about each request."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from stage import Stage, Upstream, Verdicts, free_ports, registry

from bailiwick import DelegatedAuth, dpop

ROUTES = """
[ext_authz]
listen = "127.0.0.1:{authz}"

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
"""

ENVOY = """
static_resources:
  listeners:
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
              grpc_service: {{ envoy_grpc: {{ cluster_name: gateway }}, timeout: 2s }}
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
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


def code(response: httpx.Response) -> str:
    """The code of a refusal, or the status."""
    try:
        return str(response.json().get("code", response.status_code))
    except ValueError:
        return str(response.status_code)


def main() -> None:
    verdicts, upstream = Verdicts(), Upstream()
    with tempfile.TemporaryDirectory() as scratch, Stage(Path(scratch)) as stage:
        envoy_port, authz = free_ports(1), free_ports(1)
        url = f"http://127.0.0.1:{envoy_port}"
        constraints = [{"key": "amount", "max": 10}]
        stage.apply(registry(["crm.read", "crm.write"], constraints, url))
        gateway = stage.gateway(ROUTES.format(authz=authz, upstream=upstream.url), public_url=url)
        config = stage.directory / "envoy.yaml"
        config.write_text(ENVOY.format(port=envoy_port, authz=authz, upstream_port=urlsplit(upstream.url).port))
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

        agent.complete(token)
        reply = httpx.get(url + "/crm/contacts/7", auth=DelegatedAuth(agent, token, renew_before=-1))
        verdicts.check("a completed task is dead", code(reply) in ("task_closed", "revoked"), reply.text)
        stage.stop(gateway, signal.SIGKILL)
        fresh = stage.task(agent, url)
        reply = httpx.get(url + "/crm/contacts/7", auth=DelegatedAuth(agent, fresh))
        verdicts.check("the gateway down, nothing passes", reply.status_code == 403, reply.status_code)
        verdicts.check("nothing of this reached the upstream", len(upstream.seen) == before, upstream.seen[before:])
        stage.stop(process)
        if verdicts.failed:
            for name in ("gateway", "envoy"):
                print(f"--- {name}.log\n", (stage.directory / f"{name}.log").read_text()[-3000:])
    upstream.close()
    verdicts.end()


if __name__ == "__main__":
    main()
