import json
import time

import httpx
import pytest
from conftest import ISSUER, hop, jws_payload

from bailiwick import (
    AuthorityUnavailable,
    DelegatedAuth,
    DevIdentity,
    FileIdentity,
    Grant,
    HolderKey,
    LocalError,
    Refused,
)

TOOL = "http://127.0.0.1:9/tool"


def test_open_task_sends_the_exchange_of_the_contract(authority, fake, key):
    token = authority.open_task("id-token", "pay-bill", {"payee": "x"}, "https://tools.dev.example")
    form = fake.form()
    assert form["subject_token"] == "id-token" and form["actor_token"] == "svid"
    detail = {"type": "bailiwick_task", "workflow": "pay-bill", "parameters": {"payee": "x"}}
    assert json.loads(form["authorization_details"]) == [detail]
    proof = jws_payload(fake.requests[-1].headers["DPoP"])
    assert proof["htu"] == f"{ISSUER}/oauth/token" and proof["htm"] == "POST" and "ath" not in proof
    assert token.claims["cnf"]["jkt"] == key.thumbprint


def test_a_nonce_is_taken_up_and_kept(authority, fake):
    fake.demand_nonce = True
    authority.settle("grant")
    authority.settle("grant")
    assert len(fake.requests) == 3


def test_a_nonce_challenge_outside_the_token_endpoint_is_answered_too(key):
    from conftest import StaticIdentity

    from bailiwick import Authority

    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if jws_payload(request.headers["DPoP"]).get("nonce") == "r1":
            return httpx.Response(200, json={"jkt": key.thumbprint})
        challenge = {"DPoP-Nonce": "r1", "WWW-Authenticate": 'DPoP error="use_dpop_nonce"'}
        return httpx.Response(401, headers=challenge, json={"code": "holder_binding_failed"})

    authority = Authority(ISSUER, StaticIdentity(), key, httpx.Client(transport=httpx.MockTransport(serve)))
    assert authority.register_key() == {"jkt": key.thumbprint} and len(seen) == 2


def test_a_server_that_asks_for_nonces_for_ever_is_given_up_on(authority, fake):
    fake.refuse = {"error": "use_dpop_nonce"}
    with pytest.raises(Refused):
        authority.settle("grant")


def test_renewal_proves_the_token(authority, fake, key):
    authority.renew(hop(key))
    assert "ath" in jws_payload(fake.requests[-1].headers["DPoP"])


def test_a_refusal_carries_code_and_decision(authority, fake):
    fake.refuse = {"error": "invalid_grant", "code": "not_narrower", "error_description": "d", "decision_id": "x"}
    with pytest.raises(Refused) as caught:
        authority.settle("grant")
    assert (caught.value.code, caught.value.status, caught.value.decision_id) == ("not_narrower", 403, "x")


def test_problem_documents_are_refusals_too(authority, fake, key):
    fake.refuse = {"type": "about:blank", "code": "task_closed", "detail": "d"}
    with pytest.raises(Refused) as caught:
        authority.complete(hop(key))
    assert caught.value.code == "task_closed"


@pytest.mark.parametrize("reply", [httpx.Response(502, text="bad gateway"), httpx.Response(200, text="[]")])
def test_what_is_not_an_answer_is_not_an_answer(key, reply):
    from conftest import StaticIdentity

    from bailiwick import Authority

    client = httpx.Client(transport=httpx.MockTransport(lambda request: reply))
    with pytest.raises(AuthorityUnavailable):
        Authority(ISSUER, StaticIdentity(), key, client).settle("grant")


def run_tool_if_allowed(authority, ran):
    """What an enforcement point does, in four lines."""
    body = authority.evaluate("t", "p", agent="a", scope="crm.read", arguments={}, resource={}, htu=TOOL)
    if body.get("decision") is True:
        ran.append(1)


def test_authority_down_tool_not_run(authority, fake):
    ran: list[int] = []
    fake.down = True
    with pytest.raises(AuthorityUnavailable):
        run_tool_if_allowed(authority, ran)
    assert ran == []


def test_anything_but_a_true_decision_runs_nothing(authority, fake):
    ran: list[int] = []
    run_tool_if_allowed(authority, ran)
    assert ran == []


def tool_client(auth, seen):
    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    return httpx.Client(auth=auth, transport=httpx.MockTransport(serve))


def test_delegated_auth_attaches_token_and_proof(authority, key):
    token, seen = hop(key), []
    tool_client(DelegatedAuth(authority, token), seen).post(TOOL + "?q=1", json={})
    assert seen[0].headers["Authorization"] == f"DPoP {token.compact}"
    proof = jws_payload(seen[0].headers["DPoP"])
    assert proof["htu"] == TOOL and proof["htm"] == "POST" and "ath" in proof


def test_delegated_auth_renews_before_the_end(authority, fake, key):
    seen: list[httpx.Request] = []
    auth = DelegatedAuth(authority, hop(key, ttl=5), renew_before=20)

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return fake(request)
        seen.append(request)
        return httpx.Response(200, json={})

    httpx.Client(auth=auth, transport=httpx.MockTransport(serve)).get(TOOL)
    assert auth.token.expires_at > time.time() + 100
    assert seen[0].headers["Authorization"] == f"DPoP {auth.token.compact}"


def test_a_refused_renewal_sends_nothing(authority, fake, key):
    fake.refuse = {"error": "invalid_grant", "code": "revoked"}
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return fake(request)

    client = httpx.Client(auth=DelegatedAuth(authority, hop(key, ttl=5)), transport=httpx.MockTransport(serve))
    with pytest.raises(Refused) as caught:
        client.get(TOOL)
    assert caught.value.code == "revoked"
    assert [r.url.path for r in seen] == ["/oauth/token"]


def test_delegated_auth_answers_a_nonce_challenge(authority, key):
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if jws_payload(request.headers["DPoP"]).get("nonce") == "r1":
            return httpx.Response(200, json={})
        return httpx.Response(401, headers={"DPoP-Nonce": "r1", "WWW-Authenticate": 'DPoP error="use_dpop_nonce"'})

    client = httpx.Client(auth=DelegatedAuth(authority, hop(key)), transport=httpx.MockTransport(serve))
    assert client.get(TOOL).status_code == 200 and client.get(TOOL).status_code == 200
    assert len(seen) == 3


def test_a_development_identity_is_loopback_only():
    with pytest.raises(LocalError) as caught:
        DevIdentity("https://authority.example", "spiffe://dev.bailiwick.example/agent/a")
    assert caught.value.code == "issuer_untrusted"


def test_a_development_identity_is_fetched_once_while_fresh():
    calls: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(200, json={"token": svid("aud-1", 300)})

    source = DevIdentity(ISSUER, "spiffe://x/y", httpx.Client(transport=httpx.MockTransport(serve)))
    assert source.token("aud-1") == source.token("aud-1")
    assert len(calls) == 1


def svid(audience: str, ttl: int) -> str:
    return HolderKey.generate("ES256").sign_jws({"typ": "JWT"}, {"aud": [audience], "exp": int(time.time()) + ttl})


def test_file_identity(tmp_path):
    path = tmp_path / "svid"
    path.write_text(svid("aud-1", 60) + "\n")
    assert FileIdentity(path).token("aud-1").count(".") == 2
    for bad, code in [(svid("aud-2", 60), "audience_mismatch"), (svid("aud-1", -1), "expired"), ("x", "malformed")]:
        path.write_text(bad)
        with pytest.raises(LocalError) as caught:
            FileIdentity(path).token("aud-1")
        assert caught.value.code == code


def test_a_grant_object_and_its_text_settle_alike(authority, fake, key):
    grant = Grant.create(hop(key), "spiffe://x/y", ["crm.read"], key=key)
    authority.settle(grant)
    assert fake.form()["subject_token"] == grant.compact


def test_delegated_auth_does_not_read_an_answer_that_may_never_end(authority, key):
    def endless():
        yield b"data: 1\n\n"
        raise AssertionError("the body was read")

    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=endless(), headers={"Content-Type": "text/event-stream"})

    client = httpx.Client(auth=DelegatedAuth(authority, hop(key)), transport=httpx.MockTransport(serve))
    with client.stream("GET", TOOL) as response:
        assert next(response.iter_bytes()) == b"data: 1\n\n"


def test_a_nonce_is_remembered_for_every_token_of_the_agent(authority, key):
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if jws_payload(request.headers["DPoP"]).get("nonce") == "r1":
            return httpx.Response(200, json={})
        return httpx.Response(401, headers={"DPoP-Nonce": "r1", "WWW-Authenticate": 'DPoP error="use_dpop_nonce"'})

    for _ in range(2):
        client = httpx.Client(auth=DelegatedAuth(authority, hop(key)), transport=httpx.MockTransport(serve))
        assert client.get(TOOL).status_code == 200
    assert len(seen) == 3


def test_a_call_that_waits_for_a_person_names_the_question() -> None:
    problem = {"code": "approval_required", "detail": "somebody has to approve", "approval_id": "a-1"}
    refused = Refused("approval_required", "x", 403, None, problem)
    assert refused.approval_id == "a-1"
    evaluation = {"decision": False, "context": {"approval": {"approval_id": "a-2", "state": "pending"}}}
    assert Refused("approval_required", "x", 200, None, evaluation).approval_id == "a-2"
    for body in ({}, {"approval_id": 7}, {"context": "x"}, {"context": {"approval": []}}):
        assert Refused("policy_denied", "x", 403, None, body).approval_id is None
