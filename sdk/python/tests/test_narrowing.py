import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick import HeldAuthority, LocalError, narrow
from bailiwick import constraints as limits
from bailiwick.constraints import subsumes, type_of
from bailiwick.scopes import covered, covers, form, meet

SEGMENT = st.sampled_from(["a", "b", "crm", "mail"])
LITERAL = st.lists(SEGMENT, min_size=2, max_size=3).map(".".join)
WILDCARD = st.lists(SEGMENT, min_size=1, max_size=2).map(lambda parts: ".".join(parts) + ".*")
SCOPES = st.lists(LITERAL | WILDCARD | st.sampled_from(["User.Read", "X"]), min_size=1, max_size=4)

KEY = st.sampled_from(["rows", "to"])
WORDS = st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True)
CONSTRAINT = st.one_of(
    st.builds(
        lambda k, t, n: {"key": k, t: n}, KEY, st.sampled_from(["max", "min", "max_lifetime"]), st.integers(0, 9)
    ),
    st.builds(lambda k, t, w: {"key": k, t: w}, KEY, st.sampled_from(["one_of", "not_one_of", "subset_of"]), WORDS),
    st.builds(lambda k: {"key": k, "absent": True}, KEY),
    st.builds(lambda k, w: {"key": k, "prefix": w}, KEY, st.sampled_from(["a", "ab", "b"])),
    st.builds(
        lambda k, r: {"key": k, "rank": r, "order": ["lo", "mid", "hi"]}, KEY, st.sampled_from(["lo", "mid", "hi"])
    ),
)


def unique(constraints):
    return list({(c["key"], type_of(c)): c for c in constraints}.values())


AUTHORITY = st.builds(HeldAuthority.of, SCOPES, st.lists(CONSTRAINT, max_size=4).map(unique))


@given(AUTHORITY, AUTHORITY)
@settings(max_examples=400)
def test_a_narrowed_authority_is_never_wider_than_its_parent(parent, asked):
    child = narrow(parent, asked)
    assert child.is_narrower_than(parent)
    assert covered(asked.scopes, child.scopes)
    assert narrow(parent, child) == child


@given(AUTHORITY)
def test_narrowing_to_itself_changes_nothing_of_substance(held):
    child = narrow(held, held)
    assert child.is_narrower_than(held) and held.is_narrower_than(child)


NOTHING_IN_COMMON = [
    ({"one_of": ["a"]}, {"one_of": ["b"]}, [{"key": "k", "one_of": []}]),
    ({"prefix": "a"}, {"prefix": "b"}, [{"key": "k", "prefix": "a\0"}]),
    ({"under": "/a"}, {"under": "/b"}, [{"key": "k", "under": "/a/\0"}]),
    (
        {"rank": "b", "order": ["a", "b"]},
        {"rank": "b", "order": ["b", "a"]},
        [{"key": "k", "one_of": []}, {"key": "k", "rank": "a", "order": ["a", "b"]}],
    ),
]


@pytest.mark.parametrize(("parent", "asked", "expected"), NOTHING_IN_COMMON)
def test_limits_with_nothing_in_common_deny(parent, asked, expected):
    assert limits.meet([{"key": "k", **parent}], [{"key": "k", **asked}]) == expected


@given(AUTHORITY, AUTHORITY, AUTHORITY)
def test_narrower_than_is_transitive(a, b, c):
    if a.is_narrower_than(b) and b.is_narrower_than(c):
        assert a.is_narrower_than(c)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("crm.read", "literal"),
        ("crm.*", "wildcard"),
        ("User.Read", "opaque"),
        ("read", "opaque"),
        ("a.b.*", "wildcard"),
    ],
)
def test_scope_forms(scope, expected):
    assert form(scope) == expected


@pytest.mark.parametrize("scope", ["", "*", "crm.*.read", "crm.read\n", "a b", "crm*", 'a"b'])
def test_not_a_scope(scope):
    with pytest.raises(LocalError):
        form(scope)


def test_covering():
    assert covers("crm.*", "crm.read") and covers("crm.*", "crm.notes.*") and covers("X", "X")
    assert not covers("crm.*", "crm") and not covers("crm.*", "crm.Read") and not covers("crm.*", "crmx.read")
    assert not covers("crm.read", "crm.*")
    assert meet(["crm.*", "mail.send"], ["crm.read", "mail.*"]) == ["crm.read", "mail.send"]


SUBSUMES = [
    ({"key": "k", "max": 5}, {"key": "k", "max": 5}, True),
    ({"key": "k", "max": 5}, {"key": "k", "max": 6}, False),
    ({"key": "k", "max": 5}, {"key": "k", "max_lifetime": 1}, False),
    ({"key": "k", "min": 5}, {"key": "k", "min": 6}, True),
    ({"key": "k", "one_of": ["a", "b"]}, {"key": "k", "one_of": ["a"]}, True),
    ({"key": "k", "one_of": ["a"]}, {"key": "k", "one_of": ["a", "c"]}, False),
    ({"key": "k", "not_one_of": ["a"]}, {"key": "k", "not_one_of": ["a", "b"]}, True),
    ({"key": "k", "not_one_of": ["a"]}, {"key": "k", "not_one_of": ["b"]}, False),
    ({"key": "k", "prefix": "a/"}, {"key": "k", "prefix": "a/b"}, True),
    ({"key": "k", "contains": "a"}, {"key": "k", "contains": "bab"}, True),
    ({"key": "k", "absent": True}, {"key": "k", "absent": True}, True),
    ({"key": "k", "under": "/a"}, {"key": "k", "under": "/a/b"}, True),
    ({"key": "k", "under": "/a"}, {"key": "k", "under": "/ab"}, False),
    ({"key": "k", "host": ["a.example", "b.example"]}, {"key": "k", "host": ["a.example"]}, True),
    ({"key": "k", "rank": "mid", "order": ["lo", "mid"]}, {"key": "k", "rank": "lo", "order": ["lo", "mid"]}, True),
    ({"key": "k", "rank": "mid", "order": ["lo", "mid"]}, {"key": "k", "rank": "lo", "order": ["mid", "lo"]}, False),
    ({"key": "k", "from_read": [{"scope": "a.b"}]}, {"key": "k", "from_read": [{"scope": "a.b", "field": "x"}]}, True),
    ({"key": "k", "from_read": [{"scope": "a.b", "field": "x"}]}, {"key": "k", "from_read": [{"scope": "a.b"}]}, False),
    ({"key": "k", "moon_phase": "full"}, {"key": "k", "moon_phase": "full"}, True),
    ({"key": "k", "moon_phase": "full"}, {"key": "k", "moon_phase": "new"}, False),
]


@pytest.mark.parametrize(("parent", "child", "expected"), SUBSUMES)
def test_subsumption(parent, child, expected):
    assert subsumes(parent, child) is expected


@pytest.mark.parametrize(
    "constraint",
    [{"max": 1}, {"key": ""}, {"key": "k"}, {"key": "k", "max": 1, "min": 0}, {"key": "k", "max": 1, "x": 2}],
)
def test_constraints_are_closed(constraint):
    with pytest.raises(LocalError):
        type_of(constraint)
