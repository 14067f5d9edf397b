"""The vectors that the Rust core and every SDK share: testdata/vectors, described in its README."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from bailiwick import HeldAuthority, HolderKey, HopToken, LocalError, narrow
from bailiwick import constraints as limits
from bailiwick import scopes as names
from bailiwick.jcs import JcsError, canonicalize, parse_strict
from bailiwick.keys import b64url_decode

VECTORS = Path(__file__).parents[3] / "testdata" / "vectors"


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


@pytest.mark.parametrize("case", vectors("jcs")["texts"], ids=lambda case: case["text"][:40])
def test_texts(case):
    outcome = "accept"
    try:
        parse_strict(case["text"].encode())
    except JcsError as error:
        outcome = error.code
    assert outcome == case["outcome"]


@pytest.mark.parametrize("case", vectors("jcs")["values"], ids=lambda case: case["canonical"][:40])
def test_values(case):
    assert canonicalize(case["value"]).decode() == case["canonical"]


@pytest.mark.parametrize("case", vectors("scopes")["forms"], ids=lambda case: case["scope"][:40])
def test_forms(case):
    if case["form"] == "invalid":
        with pytest.raises(LocalError):
            names.form(case["scope"])
    else:
        assert names.form(case["scope"]) == case["form"]


@pytest.mark.parametrize("case", vectors("scopes")["covers"], ids=lambda case: f"{case['held']}-{case['requested']}")
def test_covers(case):
    assert names.covers(case["held"], case["requested"]) is case["covers"]


@pytest.mark.parametrize("case", vectors("scopes")["meets"], ids=str)
def test_meets(case):
    assert names.meet(case["a"], case["b"]) == case["meet"]


@pytest.mark.parametrize("case", vectors("constraints")["subsumes"], ids=str)
def test_subsumes(case):
    assert limits.subsumes(case["parent"], case["child"]) is case["subsumes"]


@pytest.mark.parametrize("constraint", vectors("constraints")["malformed"], ids=str)
def test_malformed(constraint):
    with pytest.raises(LocalError) as caught:
        limits.ordered([constraint])
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("number", range(len(vectors("narrow")["cases"])))
def test_narrow(number):
    case = vectors("narrow")["cases"][number]
    parent, asked = HeldAuthority.from_detail(case["parent"]), HeldAuthority.from_detail(case["requested"])
    assert narrow(parent, asked) == HeldAuthority.from_detail(case["narrowed"])
    assert asked.is_narrower_than(parent) is case["requested_is_narrower"]


def makes():
    for setting in vectors("grants")["settings"]:
        for make in setting["make"]:
            yield setting, make


@pytest.mark.parametrize(("setting", "make"), list(makes()))
def test_grants_are_the_same_bytes(setting, make):
    holder = setting["holders"][make["delegator"]]
    key = HolderKey(load_der_private_key(b64url_decode(holder["pkcs8"]), password=None))
    assert key.thumbprint == holder["jkt"] and key.jwk == holder["jwk"]
    compact = key.sign_jws({"c14n": "JCS", "jwk": key.jwk, "typ": "at+jwt"}, make["claims"])
    assert compact.rsplit(".", 1)[0] == make["signing_input"]
    assert HopToken(compact).signing_hash == make["signing_hash"]
    if "compact" in make:
        assert compact == make["compact"]


@pytest.mark.parametrize("setting", vectors("tokens")["settings"], ids=lambda setting: setting.get("name", ""))
def test_tokens_that_verify_are_read_as_they_are(setting):
    for case in setting["cases"]:
        if case["outcome"] == "accept" and case["unsettled"] == 0:
            leaf = HopToken(case["chain"][-1])
            details = "authorization_details"
            assert {**leaf.claims, details: None} == {**case["claims"], details: None}
            assert leaf.authority == HeldAuthority.from_detail(case["claims"][details][0])
            assert leaf.signing_hash == case["signing_hash"]
