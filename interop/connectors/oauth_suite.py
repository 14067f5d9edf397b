"""Resources of two OAuth servers behind the gateway, which is a client of both: it gets tokens as each of them wants it,
keeps them to their end, and says of a refused credential that it has none. What it was given is looked for in every log."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from stage import Stage, Verdicts, free_ports, registry

from bailiwick import DelegatedAuth

HERE = Path(__file__).parent
SCOPES = ["crm:read", "crm:write"]
OPAQUE, JWT, SHORT = (f"https://crm.example/{name}" for name in ("opaque", "jwt", "short"))
SHORT_SECONDS = 4
# RFC 6749 §2.3.1: a colon, a blank or a percent sign would make another pair of it, were it not encoded.
ODD = "s:e%3Ac r+t/="

ROUTE = """
[[route]]
name = "{name}"
path = "/{name}"
upstream = "{upstream}"
owner = "team:interop"
binding = "wrapped"
sensitivity = "internal"

[[route.http.operation]]
method = "GET"
path = "/{{what}}"
scope = "crm.read"
needs = ["crm:read"]

[route.connector.oauth]
token_endpoint = "{endpoint}"
client_id = "{client}"
{more}
"""


class Secrets:
    """Files for the gateway alone, and everything that was ever in one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.all: set[str] = set()

    def put(self, name: str, text: str) -> str:
        """The setting that names the file."""
        lines = [line for line in text.splitlines() if not line.startswith("-----")]
        self.all.update(line for line in lines if len(line) > 12 or line == text)
        fresh = self.directory / f"{name}.new"
        fresh.touch(mode=0o600)
        fresh.write_text(text)
        fresh.rename(self.directory / name)
        return f'{{ file = "{name}" }}'


def key_pair(kind: str) -> tuple[str, dict[str, Any]]:
    """A PEM private key and its public JWK."""
    made: Any
    if kind == "p256":
        made, importer = ec.generate_private_key(ec.SECP256R1()), ECKey
    elif kind == "ed25519":
        made, importer = ed25519.Ed25519PrivateKey.generate(), OKPKey
    else:
        made, importer = rsa.generate_private_key(65537, 2048), RSAKey
    pem = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode(), {**importer.import_key(pem).as_dict(private=False), "use": "sig"}


@dataclass
class Client:
    """A client of one server: what the server knows of it, and what the gateway is told."""

    name: str
    method: str
    known: dict[str, Any]
    settings: list[str]


class Server:
    """An authorization server in another process. It says what it answered, a line of JSON each."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.name, self.port = name, free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.token_endpoint = f"{self.url}/token"
        self.log = stage.directory / f"{name}.log"
        self.clients: list[Client] = []

    def answers(self, client: str | None = None) -> list[dict[str, Any]]:
        """Its answers at the token endpoint, to one client or all."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith('{"status"')]
        return [line for line in lines if client is None or line.get("client") == client]


class Strict(Server):
    """oidc-provider."""

    def __init__(self, stage: Stage, private: Secrets) -> None:
        super().__init__(stage, "provider")
        self.resource_secret = secrets.token_urlsafe(24)
        for name, method, place in (("basic", "client_secret_basic", "basic"), ("post", "client_secret_post", "post")):
            secret = f"{ODD}{secrets.token_urlsafe(24)}"
            settings = [f"client_secret = {private.put(f'{name}.secret', secret)}", f'client_secret_in = "{place}"']
            self.clients.append(Client(name, method, {"client_secret": secret}, settings))
        for name, kind, algorithm in (("p256", "p256", "ES256"), ("ed25519", "ed25519", "EdDSA"),
                                      ("rsa", "rsa", "RS256"), ("pss", "rsa", "PS256")):  # fmt: skip
            pem, jwk = key_pair(kind)
            settings = [f"private_key = {private.put(f'{name}.pem', pem)}", f'key_id = "{name}-1"',
                        f"pss = {json.dumps(algorithm == 'PS256')}"]  # fmt: skip
            known = {"jwks": {"keys": [{**jwk, "kid": f"{name}-1"}]}, "token_endpoint_auth_signing_alg": algorithm}
            self.clients.append(Client(name, "private_key_jwt", known, settings))
        common = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": [], "scope": " ".join(SCOPES)}
        known_clients = [{"client_id": it.name, "token_endpoint_auth_method": it.method, **common, **it.known} for it in self.clients]
        known_clients.append({"client_id": "resource", "client_secret": self.resource_secret, **common})
        kinds = {OPAQUE: ("opaque", 600), JWT: ("jwt", 600), SHORT: ("opaque", SHORT_SECONDS)}
        resources = {uri: {"scope": " ".join(SCOPES), "format": kind, "ttl": ttl} for uri, (kind, ttl) in kinds.items()}
        config = stage.directory / "provider.json"
        config.touch(mode=0o600)
        config.write_text(json.dumps({"port": self.port, "clients": known_clients, "resources": resources}))
        stage.start("provider", ["node", str(HERE / "provider.mjs"), str(config)])
        stage.wait(f"{self.url}/.well-known/openid-configuration", "provider")

    def active(self, token: str) -> dict[str, Any] | None:
        """What a token says, if it is good: a JWT by the server's keys, any other by asking."""
        if token.count(".") == 2:
            try:
                keys = KeySet.import_key_set(httpx.get(f"{self.url}/jwks").json())
                read = jwt.decode(token, keys, algorithms=["RS256"])
                jwt.JWTClaimsRegistry(iss={"essential": True, "value": self.url}, aud={"essential": True, "value": JWT},
                                      exp={"essential": True}).validate(read.claims)  # fmt: skip
            except JoseError:
                return None
            return dict(read.claims)
        asked = httpx.post(f"{self.url}/token/introspection", data={"token": token}, auth=("resource", self.resource_secret))
        said = dict(asked.raise_for_status().json())
        return said if said["active"] else None

    def revoke(self, token: str, client: Client) -> None:
        """The client's owner takes a token back, past the gateway."""
        form = {"token": token, "client_id": client.name, "client_secret": client.known["client_secret"]}
        httpx.post(f"{self.url}/token/revocation", data=form).raise_for_status()


class Lenient(Server):
    """The Authlib server."""

    def __init__(self, stage: Stage, private: Secrets) -> None:
        super().__init__(stage, "authlib")
        pem, jwk = key_pair("p256")
        self.refresh_tokens = [f"refresh-{secrets.token_urlsafe(24)}" for _ in range(2)]
        grants = {"grants": ["client_credentials"], "scopes": SCOPES}
        for name, place in (("lib-basic", "basic"), ("lib-post", "post"), ("offline", "basic")):
            secret = secrets.token_urlsafe(24)
            settings = [f"client_secret = {private.put(f'{name}.secret', secret)}", f'client_secret_in = "{place}"']
            method = f"client_secret_{place}"
            self.clients.append(Client(name, method, {"secret": secret, "method": method, **grants}, settings))
        offline = self.clients[-1]
        offline.known["grants"] = ["refresh_token"]
        first = private.put("offline.refresh", self.refresh_tokens[0])
        offline.settings += ['grant = "refresh_token"', f"refresh_token = {first}"]
        settings = [f"private_key = {private.put('lib-key.pem', pem)}"]
        known = {"method": "client_assertion_jwt", **grants}
        self.clients.append(Client("lib-key", "client_assertion_jwt", known, settings))
        config = {"clients": {it.name: it.known for it in self.clients}, "jwk": jwk,
                  "scopes": SCOPES, "refresh_tokens": self.refresh_tokens, "ttl": SHORT_SECONDS}  # fmt: skip
        path = stage.directory / "authlib.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        stage.start("authlib", [sys.executable, str(HERE / "authlib_server.py"), str(self.port), str(path)])
        stage.wait_port(self.url)

    def active(self, token: str) -> dict[str, Any] | None:
        """What the server says of a token, if it is good."""
        said = dict(httpx.post(f"{self.url}/introspect", data={"token": token}).raise_for_status().json())
        return said if said["active"] else None


@dataclass
class Seen:
    """A request that reached a resource."""

    token: str
    claims: dict[str, Any] | None
    headers: dict[str, str] = field(repr=False)


class Resource:
    """A protected resource: it lets in whoever shows a good token, and says as whom."""

    def __init__(self, active: Callable[[str], dict[str, Any] | None]) -> None:
        self.seen: list[Seen] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                kind, _, token = self.headers.get("Authorization", "").partition(" ")
                claims = active(token) if kind == "Bearer" and token else None
                outer.seen.append(Seen(token, claims, {name.lower(): value for name, value in self.headers.items()}))
                answer: dict[str, Any] = {"error": "invalid_token"}
                if claims:
                    answer = {"client": claims["client_id"], "scope": claims["scope"]}
                if claims and self.path.endswith("/echo"):
                    answer["shown"] = token
                data = json.dumps(answer).encode()
                self.send_response(200 if claims else 401)
                if not claims:
                    self.send_header("WWW-Authenticate", 'Bearer error="invalid_token"')
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()


class Agent:
    """An agent of a task. What it received is kept."""

    def __init__(self, stage: Stage, url: str) -> None:
        self.stage, self.url = stage, url
        self.holder = stage.agent()
        self.token = stage.task(self.holder, url)
        self.received: list[str] = []
        self.http = httpx.Client(base_url=url, auth=DelegatedAuth(self.holder, self.token), timeout=30)

    def get(self, route: str, what: str = "who") -> tuple[int, dict[str, Any]]:
        """Status and answer of a call."""
        reply = self.http.get(f"/{route}/{what}")
        self.received += [reply.text, str(dict(reply.headers))]
        return reply.status_code, reply.json()

    def others(self, count: int) -> Iterator[Agent]:
        """More agents, with tasks of their own."""
        return (Agent(self.stage, self.url) for _ in range(count))


@dataclass
class Scene:
    """All that the checks look at."""

    stage: Stage
    verdicts: Verdicts
    private: Secrets
    strict: Strict
    lenient: Lenient
    crm: Resource
    lib: Resource
    agent: Agent
    routes: str
    gateway: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the gateway, or start it again."""
        if self.gateway:
            self.stage.stop(self.gateway)
        self.gateway = self.stage.gateway(self.routes, listen=self.agent.url, extra=LOUD)

    def gateway_log(self) -> str:
        """What the gateway's operator sees."""
        return (self.stage.directory / "gateway.log").read_text()


NO_CREDENTIAL = "no usable credential for this upstream now"
NOT_TAKEN = "does not take the gateway's own credential"


def asks(scopes: list[str], resource: str | None = None) -> str:
    """Settings of what is asked for."""
    return f"scopes = {json.dumps(scopes)}\n" + (f'resource = "{resource}"\n' if resource else "")


def good_routes(strict: Strict, lenient: Lenient, crm: str, lib: str) -> str:
    """A route for each client; one with JWTs, one with tokens that soon end."""
    def route(name: str, upstream: str, server: Server, client: Client, asked: str) -> str:
        more = "\n".join(client.settings) + "\n" + asked
        return ROUTE.format(name=name, upstream=upstream, endpoint=server.token_endpoint, client=client.name, more=more)

    rows = [route(it.name, crm, strict, it, asks(SCOPES, OPAQUE)) for it in strict.clients]
    rows += [route(it.name, lib, lenient, it, asks(SCOPES)) for it in lenient.clients]
    rows.append(route("jwt", crm, strict, strict.clients[2], asks(["crm:read"], JWT)))
    rows.append(route("more", crm, strict, strict.clients[2], asks([*SCOPES, "crm:admin"], OPAQUE)))
    rows.append(route("crowd", crm, strict, strict.clients[4], asks(["crm:read"], OPAQUE)))
    rows.append(route("short", crm, strict, strict.clients[3], asks(["crm:read"], SHORT)))
    return "".join(rows)


def bad_routes(strict: Strict, lenient: Lenient, crm: str, private: Secrets) -> tuple[str, dict[str, str]]:
    """Routes whose client is refused, and what the gateway's log says of each."""
    basic, _, p256 = strict.clients[:3]
    other, _ = key_pair("p256")
    wrong = f"client_secret = {private.put('mended.secret', 'wrong-' + secrets.token_urlsafe(24))}"
    used = f"client_secret = {{ file = \"offline.secret\" }}\ngrant = \"refresh_token\"\nrefresh_token = {private.put('used.refresh', 'refresh-of-nobody')}"
    key, asked = "\n".join(p256.settings), asks(SCOPES, OPAQUE)
    gone = f"http://127.0.0.1:{free_ports(1)}/token"
    lib = lenient.clients[0]
    own = lib.settings[0]
    post = f'{own}\nclient_secret_in = "post"\n'
    nobody = f'client_secret = {{ file = "{basic.name}.secret" }}\n'
    rows = {
        "wrong-secret": (strict.token_endpoint, basic.name, f"{wrong}\n{asked}", "401 (invalid_client)"),
        "unknown-client": (strict.token_endpoint, "nobody", nobody + asked, "401 (invalid_client)"),
        "wrong-place": (lenient.token_endpoint, lib.name, post + asks(SCOPES), "401 (invalid_client)"),
        "wrong-key": (strict.token_endpoint, p256.name, f"private_key = {private.put('other.pem', other)}\n{asked}", "401 (invalid_client)"),
        "wrong-audience": (strict.token_endpoint, p256.name, f'{key}\nassertion_audience = "https://as.example"\n{asked}', "401 (invalid_client)"),
        "wrong-scope": (lenient.token_endpoint, lib.name, f"{own}\n{asks([*SCOPES, 'crm:admin'])}", "400 (invalid_scope)"),
        "wrong-target": (strict.token_endpoint, p256.name, f"{key}\n{asks(SCOPES, 'https://crm.example/none')}", "400 (invalid_target)"),
        "used-refresh": (lenient.token_endpoint, "offline", f"{used}\n{asks(SCOPES)}", "400 (invalid_grant)"),
        "gone": (gone, basic.name, nobody + asked, "the request for a credential failed"),
        "no-token": (f"{crm}/token", basic.name, nobody + asked, "501"),
    }  # fmt: skip
    text = "".join(ROUTE.format(name=name, upstream=crm, endpoint=endpoint, client=client, more=more)
                   for name, (endpoint, client, more, _) in rows.items())  # fmt: skip
    return text, {name: said for name, (*_, said) in rows.items()}


def token_checks(it: Scene) -> None:
    """Each way to show who a client is."""
    for server, resource in ((it.strict, it.crm), (it.lenient, it.lib)):
        for client in server.clients:
            status, said = it.agent.get(client.name)
            good = status == 200 and said == {"client": client.name, "scope": " ".join(SCOPES)}
            it.verdicts.check(f"{server.name}: {client.name} is let in by {client.method}", good, (status, said, server.answers(client.name)))
            told = server.answers(client.name)[-1]
            it.verdicts.check(f"{server.name}: and the server saw that method", told["method"] == client.method, told["method"])
            shown = resource.seen[-1]
            it.verdicts.check(f"{server.name}: the resource was shown the vendor's token and nothing of the agent's",
                              shown.token == told["token"] and "dpop" not in shown.headers
                              and it.agent.token.compact not in str(shown.headers), shown)  # fmt: skip
    status, said = it.agent.get("jwt")
    token = it.crm.seen[-1]
    it.verdicts.check("provider: a JWT for one resource and one scope", status == 200 and token.claims is not None
                      and token.claims["aud"] == JWT and token.claims["scope"] == "crm:read", (status, said))  # fmt: skip
    forms = [set(told["form"]) for told in it.strict.answers("p256")]
    status, said = it.agent.get("more")
    told = [line for line in it.gateway_log().splitlines() if "did not grant" in line and "route=more" in line]
    it.verdicts.check("provider: a scope that it leaves out is not had, and the log says so", status == 200
                      and said["scope"] == " ".join(SCOPES) and len(told) == 1 and 'less=["crm:admin"]' in told[0], (said, told))  # fmt: skip
    it.verdicts.check("provider: a client with a key sent no secret", all("client_secret" not in form for form in forms) and bool(forms), forms)


def lifetime_checks(it: Scene) -> None:
    """A token serves every call until it ends, and is fetched once."""
    before = len(it.strict.answers("rsa"))
    agents = list(it.agent.others(6))
    with ThreadPoolExecutor(24) as pool:
        statuses = list(pool.map(lambda n: agents[n % len(agents)].get("crowd")[0], range(48)))
    fetched = it.strict.answers("rsa")[before:]
    it.verdicts.check("48 calls of 6 tasks at once are one request for a token", set(statuses) == {200} and len(fetched) == 1, (statuses, len(fetched)))
    for name, server, resource, client in (("short", it.strict, it.crm, "ed25519"), ("lib-post", it.lenient, it.lib, "lib-post")):
        asked, seen = len(server.answers(client)), len(resource.seen)
        end = time.monotonic() + 2 * SHORT_SECONDS
        statuses = []
        while time.monotonic() < end:
            statuses.append(it.agent.get(name)[0])
            time.sleep(0.1)
        asked, shown = len(server.answers(client)) - asked, resource.seen[seen:]
        it.verdicts.check(f"{server.name}: a token that ends is replaced before it does", set(statuses) == {200}, statuses)
        it.verdicts.check(f"{server.name}: no call showed one that was over", all(one.claims for one in shown) and len(shown) == len(statuses), len(shown))
        it.verdicts.check(f"{server.name}: with a request for each life and no more", 2 <= asked <= 5, asked)
    it.agent.received += [text for agent in agents for text in agent.received]


def revoked_checks(it: Scene) -> None:
    """The vendor takes back a token that the gateway still holds."""
    post = it.strict.clients[1]
    old = it.strict.answers("post")[-1]["token"]
    it.strict.revoke(old, post)
    status, said = it.agent.get("post")
    it.verdicts.check("a token that the vendor took back is a fault of the gateway, not of the agent",
                      (status, said["code"]) == (502, "bad_gateway") and NOT_TAKEN in said["detail"], (status, said))  # fmt: skip
    status, said = it.agent.get("post")
    fresh = it.strict.answers("post")[-1]["token"]
    it.verdicts.check("the next call shows another one", status == 200 and fresh != old, (status, said))


def refresh_checks(it: Scene) -> None:
    """Refresh tokens that work once, through a restart, and the operator's next one."""
    refreshed = [told for told in it.lenient.answers("offline") if told["grant"] == "refresh_token"]
    time.sleep(SHORT_SECONDS)
    status, _ = it.agent.get("offline")
    again = [told for told in it.lenient.answers("offline") if told["grant"] == "refresh_token"]
    given = [told["refresh_token"] for told in again]
    it.verdicts.check("authlib: each refresh token is used once, the next one after it", status == 200
                      and len(again) == len(refreshed) + 1 and len(set(given)) == len(given), (status, len(again)))  # fmt: skip
    kept = it.stage.directory / "gateway-state" / "connectors" / "offline.refresh.json"
    it.verdicts.check("authlib: it is kept for the gateway alone", kept.stat().st_mode & 0o777 == 0o600 and given[-1] in kept.read_text())
    it.start()
    status, said = it.agent.get("offline")
    it.verdicts.check("authlib: and used after a restart, when the first one is worth nothing", status == 200, (status, said))
    kept.unlink()
    it.start()
    status, said = it.agent.get("offline")
    it.verdicts.check("authlib: without it there is no credential", (status, said["code"]) == (502, "bad_gateway")
                      and it.lenient.answers()[-1]["error"] == "invalid_grant", (status, said))  # fmt: skip
    it.private.put("offline.refresh", it.lenient.refresh_tokens[1])
    time.sleep(1.1)
    status, said = it.agent.get("offline")
    it.verdicts.check("authlib: until the operator gives another one, without a restart", status == 200, (status, said))


def refusal_checks(it: Scene, expected: dict[str, str]) -> None:
    """A refused client: the agent is told one thing, the operator what it was."""
    for name, reason in expected.items():
        reached, log = len(it.crm.seen), len(it.gateway_log())
        status, said = it.agent.get(name)
        good = (status, said.get("code")) == (502, "bad_gateway") and NO_CREDENTIAL in said["detail"]
        it.verdicts.check(f"{name}: the agent is told that there is no credential", good, (status, said))
        lines = [line for line in it.gateway_log()[log:].splitlines() if "no usable credential" in line and reason in line and name in line]
        it.verdicts.check(f"{name}: the log says `{reason}`, once", len(lines) == 1, lines)
        it.verdicts.check(f"{name}: nothing went to the vendor", len(it.crm.seen) == reached, it.crm.seen[reached:])
    it.private.put("mended.secret", str(it.strict.clients[0].known["client_secret"]))
    time.sleep(1.1)
    status, said = it.agent.get("wrong-secret")
    it.verdicts.check("wrong-secret: mended in its file, without a restart", status == 200 and said["client"] == "basic", (status, said))


def secret_checks(it: Scene) -> None:
    """What a resource echoes is cut; and no secret is anywhere but where it belongs."""
    try:
        reply = it.agent.http.get("/basic/echo").text
    except httpx.HTTPError:
        reply = ""
    token = it.crm.seen[-1]
    it.verdicts.check("a reply that holds the vendor's token does not come through", token.claims is not None and token.token not in reply, reply)
    told = it.strict.answers() + it.lenient.answers()
    issued = {one[name] for one in told for name in ("token", "refresh_token") if one.get(name)}
    hidden = it.private.all | issued
    count = len(hidden)
    hidden |= {base64.b64encode(f"{name}:{secret}".encode()).decode() for name in ("lib-basic", "offline") for secret in it.private.all}
    places = {"the agents": "".join(it.agent.received)}
    for name in ("gateway.log", "authority.log"):
        places[name] = (it.stage.directory / name).read_text()
    trace = [it.stage.binary, "--server", it.stage.issuer, "-o", "json", "trace", str(it.agent.token.claims["txn"])]
    places["the trace"] = subprocess.run(trace, check=True, capture_output=True, text=True).stdout
    for directory in ("gateway-state", "authority"):
        files = [path for path in (it.stage.directory / directory).rglob("*") if path.is_file() and path.parent.name != "connectors"]
        places[directory] = "".join(path.read_bytes().decode("latin-1") for path in files)
    for name, text in places.items():
        found = [secret[:6] for secret in hidden if secret in text or secret.encode().decode("latin-1") in text]
        it.verdicts.check(f"none of {count} secrets is in {name} ({len(text)} characters)", not found and bool(text), found)


def gap_checks(it: Scene) -> None:
    """The scopes of a client are its permissions."""
    lines: dict[str, str] = {}
    for _ in range(50):
        command = [it.stage.binary, "--server", it.stage.issuer, "-o", "json", "gap"]
        report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        found = [system for system in report["systems"] if system["system"] == "basic"]
        lines = {line["action"]: line["standing"] for system in found for line in system["credentials"][0]["lines"]}
        if lines.get("crm:read") == "used":
            break
        time.sleep(0.1)
    it.verdicts.check("gap: a client's scope that no decision needed", lines == {"crm:read": "used", "crm:write": "unneeded"}, lines)


# Whatever a library says, not only the gateway.
LOUD = '[log]\nlevel = "trace"\n'


def main() -> None:
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as scratch, Stage(Path(scratch)) as stage:
        private = Secrets(stage.directory)
        strict, lenient = Strict(stage, private), Lenient(stage, private)
        crm, lib = Resource(strict.active), Resource(lenient.active)
        url = f"http://127.0.0.1:{free_ports(2)}"
        stage.apply(registry(["crm.read"], [], url))
        refused, expected = bad_routes(strict, lenient, crm.url, private)
        routes = good_routes(strict, lenient, crm.url, lib.url) + refused
        scene = Scene(stage, verdicts, private, strict, lenient, crm, lib, Agent(stage, url), routes)
        scene.start()

        token_checks(scene)
        lifetime_checks(scene)
        revoked_checks(scene)
        refusal_checks(scene, expected)
        refresh_checks(scene)
        gap_checks(scene)
        secret_checks(scene)
        if verdicts.failed:
            for name in ("provider", "authlib"):
                print(f"--- {name}.log\n", (stage.directory / f"{name}.log").read_text()[-3000:])
        crm.close()
        lib.close()
    verdicts.end()


if __name__ == "__main__":
    main()
