"""Against a real `bailiwick serve --dev`: the contract as the server keeps it. Skipped where no binary was built."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from bailiwick import Authority, DelegatedAuth, DevIdentity, Grant, HeldAuthority, Refused, dev_subject_token, dpop

AGENT = "spiffe://dev.bailiwick.example/agent/"
AUDIENCES = ["https://crm.dev.example", "https://mail.dev.example"]
TOOL = "http://127.0.0.1:9/crm"


def binary():
    target = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).parents[3] / "target"))
    for candidate in (os.environ.get("BAILIWICK_BIN"), target / "debug" / "bailiwick"):
        if candidate and Path(candidate).is_file():
            return str(candidate)
    return None


pytestmark = pytest.mark.skipif(binary() is None, reason="no bailiwick binary: build it, or set BAILIWICK_BIN")


def registry():
    common = {"owner": "team:a", "env": "dev", "tenant": "acme", "clearance": "internal"}
    names = {"lead": "agent", "worker": "agent", "tool": "enforcement-point"}
    workflow = {
        "id": "crm.look-up",
        "title": "Look up",
        "purpose": "Look up",
        "owner": "team:a",
        "reviewer": "user:rita@dev.example",
        "reviewed": "2026-11-01",
        "tenant": "acme",
        "env": "dev",
        "entry": [AGENT + "lead"],
        "edges": [{"from": AGENT + "lead", "to": AGENT + "worker"}],
        "audiences": AUDIENCES,
        "parameters": {
            "type": "object",
            "additionalProperties": False,
            "required": ["customer"],
            "properties": {"customer": {"type": "string", "maxLength": 40}},
        },
        "authority": {
            "scopes": ["crm.read"],
            "constraints": [
                {"key": "customer", "one_of": ["${customer}"]},
                {"key": "calls", "max_subtree": 3},
            ],
        },
    }
    return {
        "owner": [
            {"id": "team:a", "name": "A", "contact": "a@dev.example"},
            {"id": "user:rita@dev.example", "name": "Rita", "contact": "rita@dev.example"},
        ],
        "agent": [{"id": AGENT + name, "name": name, "roles": [role], **common} for name, role in names.items()],
        "workflow": [workflow],
    }


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    directory = tmp_path_factory.mktemp("authority")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [binary(), "serve", "--dev", "--listen", f"127.0.0.1:{port}", "--data", str(directory / "data")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(url, process, directory / "log")
        documents = directory / "registry.json"
        documents.write_text(json.dumps(registry()))
        subprocess.run([binary(), "--server", url, "apply", "-f", str(documents)], check=True, capture_output=True)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_for(url, process, log):
    for _ in range(200):
        try:
            if httpx.get(f"{url}/.well-known/oauth-authorization-server").is_success:
                return
        except httpx.HTTPError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {log.read_text()}")


def agent(issuer, name):
    return Authority(issuer, DevIdentity(issuer, AGENT + name))


@pytest.fixture
def lead(issuer):
    return agent(issuer, "lead")


@pytest.fixture
def worker(issuer):
    return agent(issuer, "worker")


@pytest.fixture
def tool(issuer):
    return agent(issuer, "tool")


@pytest.fixture
def task(issuer, lead):
    return lead.open_task(
        dev_subject_token(issuer, "alice@dev.example"), "crm.look-up", {"customer": "c1"}, AUDIENCES[0], "a question"
    )


def hand_on(lead, worker, task):
    return worker.settle(Grant.create(task, AGENT + "worker", ["crm.read"], key=lead.key, ttl=60))


def ask(tool, holder, token, customer="c1", proof=None):
    proof = proof or dpop.proof(holder.key, "POST", TOOL, token=token.compact)
    resource = {"type": "system", "id": "crm", "properties": {"sensitivity": "internal"}}
    arguments = {"customer": customer}
    body = tool.evaluate(
        token.compact,
        proof,
        agent=token.claims["client_id"],
        scope="crm.read",
        arguments=arguments,
        resource=resource,
        htu=TOOL,
        audience=token.claims["aud"],
    )
    return body["decision"], body["context"].get("code")


def test_a_task_is_handed_on_used_and_completed(lead, worker, tool, task):
    assert task.claims["sub"] == "user:alice@dev.example" and task.depth == 0
    token = hand_on(lead, worker, task)
    assert token.depth == 1 and token.task_id == task.task_id and token.claims["par_hash"] == task.signing_hash
    assert token.claims["cnf"] == {"jkt": worker.key.thumbprint}
    assert ask(tool, worker, token) == (True, None)
    assert ask(tool, worker, token, customer="c2") == (False, "ceiling_exceeded")
    lead.complete(task)
    allowed, code = ask(tool, worker, token)
    assert (allowed, code) == (False, "task_closed")


def test_a_budget_is_shared_by_the_whole_task(lead, worker, tool, task):
    token = hand_on(lead, worker, task)
    answers = [ask(tool, worker, token) for _ in range(2)] + [ask(tool, lead, task) for _ in range(2)]
    assert answers == [(True, None)] * 3 + [(False, "budget_exhausted")]


def test_a_wider_grant_is_refused_and_the_decision_is_named(lead, worker, task):
    grant = Grant.sign(task, AGENT + "worker", HeldAuthority.of(["crm.read"]), ttl=60, key=lead.key)
    with pytest.raises(Refused) as caught:
        worker.settle(grant)
    assert caught.value.code == "not_narrower" and caught.value.decision_id


def test_a_grant_settles_for_its_delegatee_only(lead, tool, task):
    grant = Grant.create(task, AGENT + "worker", ["crm.read"], key=lead.key)
    with pytest.raises(Refused):
        lead.settle(grant)


def test_a_proof_is_good_once_and_a_stolen_token_never(lead, worker, tool, task):
    token = hand_on(lead, worker, task)
    proof = dpop.proof(worker.key, "POST", TOOL, token=token.compact)
    assert ask(tool, worker, token, proof=proof) == (True, None)
    assert ask(tool, worker, token, proof=proof) == (False, "proof_replayed")
    assert ask(tool, lead, token) == (False, "holder_binding_failed")


def test_renewal_and_reaudience_keep_the_hop(lead, worker, tool, task):
    token = hand_on(lead, worker, task)
    renewed = worker.renew(token)
    assert renewed.jti != token.jti and renewed.depth == 1 and renewed.authority == token.authority
    assert renewed.claims["par_hash"] == token.claims["par_hash"] and ask(tool, worker, renewed) == (True, None)
    other = worker.reaudience(renewed, AUDIENCES[1])
    assert other.claims["aud"] == AUDIENCES[1] and other.depth == 1
    with pytest.raises(Refused) as caught:
        worker.reaudience(renewed, "https://elsewhere.example")
    assert caught.value.code == "audience_mismatch"


def test_the_httpx_auth_renews_at_the_real_server(lead, worker, task):
    token = hand_on(lead, worker, task)
    auth = DelegatedAuth(worker, token, renew_before=3600)

    def serve(request):
        return httpx.Response(200, json={"token": request.headers["Authorization"].removeprefix("DPoP ")})

    transport = httpx.HTTPTransport()
    mounts = {"all://127.0.0.1:9": httpx.MockTransport(serve)}
    with httpx.Client(transport=transport, mounts=mounts, auth=auth) as client:
        sent = client.post(TOOL, json={}).json()["token"]
    assert sent == auth.token.compact != token.compact


def test_revoking_a_token_kills_what_is_below_it(lead, worker, tool, task):
    token = hand_on(lead, worker, task)
    lead.revoke(task)
    assert ask(tool, worker, token) == (False, "revoked")


def test_a_key_is_registered_and_an_operator_traces(issuer, lead, worker, task):
    assert worker.register_key()["jkt"] == worker.key.thumbprint
    hand_on(lead, worker, task)
    done = subprocess.run(
        [binary(), "--server", issuer, "-o", "json", "trace", task.task_id], check=True, capture_output=True
    )
    tree = json.loads(done.stdout)
    assert [hop["depth"] for hop in tree["hops"]] == [0, 1] and tree["subject"] == "user:alice@dev.example"
