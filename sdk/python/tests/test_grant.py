import time
import uuid

import pytest
from conftest import hop, jws_payload
from joserfc import jws
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry

from bailiwick import Grant, HolderKey, LocalError
from bailiwick.grant import uuid7
from bailiwick.jcs import parse_strict
from bailiwick.keys import b64url_decode

TO = "spiffe://dev.bailiwick.example/agent/b"


def test_a_grant_commits_to_its_parent_and_keeps_the_subject(key):
    parent = hop(key, constraints=[{"key": "rows", "max": 100}])
    grant = Grant.create(parent, TO, ["crm.read"], [{"key": "rows", "max": 5}], ttl=60, key=key, holder="jkt-b")
    stock = JWSRegistry(algorithms=["EdDSA"], strict_check_header=False)
    token = jws.deserialize_compact(grant.compact, OKPKey.import_key(key.jwk), registry=stock)
    assert token.headers() == {"alg": "EdDSA", "c14n": "JCS", "jwk": key.jwk, "typ": "at+jwt"}
    claims = jws_payload(grant.compact)
    for name in ("sub", "aud", "txn"):
        assert claims[name] == parent.claims[name]
    assert claims["par_hash"] == parent.signing_hash and claims["client_id"] == TO
    assert claims["iss"] == parent.claims["client_id"] and claims["cnf"] == {"jkt": "jkt-b"}
    assert claims["del_depth"] == 1 and claims["scope"] == "crm.read"
    assert claims["authorization_details"][0]["constraints"] == [{"key": "rows", "max": 5}]


def test_header_and_claims_are_jcs_bytes(key):
    compact = Grant.create(hop(key), TO, ["crm.read"], key=key).compact
    for part in compact.split(".")[:2]:
        parse_strict(b64url_decode(part))


def test_the_parents_limits_are_kept_when_none_are_named(key):
    grant = Grant.create(hop(key, constraints=[{"key": "to", "one_of": ["a"]}]), TO, ["crm.read"], key=key)
    assert jws_payload(grant.compact)["authorization_details"][0]["constraints"] == [{"key": "to", "one_of": ["a"]}]


def test_a_grant_never_outlives_its_parent(key):
    parent = hop(key, ttl=40)
    assert jws_payload(Grant.create(parent, TO, ["crm.read"], ttl=900, key=key).compact)["exp"] == parent.expires_at


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"scopes": ["mail.send"]}, "not_narrower"),
        ({"scopes": ["crm.read", "mail.send"]}, "not_narrower"),
        ({"depth": 3}, "depth_invalid"),
        ({"ttl": -1}, "expired"),
        ({"key": HolderKey.generate()}, "holder_binding_failed"),
    ],
)
def test_refused_before_signing(key, arguments, code):
    parent = hop(key, ttl=arguments.get("ttl", 300), depth=arguments.get("depth", 0))
    with pytest.raises(LocalError) as caught:
        Grant.create(parent, TO, arguments.get("scopes", ["crm.read"]), key=arguments.get("key", key))
    assert caught.value.code == code


def test_ids_are_uuid7_and_ordered_by_time():
    first = uuid7()
    time.sleep(0.002)
    assert uuid.UUID(first).version == 7 and first < uuid7()
