import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.jcs import JcsError, canonicalize, parse_strict

# RFC 8785 appendix B: IEEE 754 bits and the text they must have.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "4340000000000000": None,  # 9007199254740992: past the safe range, refused here
    "44b52d02c7e14af5": None,
    "3eb0c6f7a0b5ed8d": "0.000001",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3e7ad7f29abcaf48": "1e-7",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "becbf647612f3696": "-0.0000033333333333333333",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers(bits, text):
    number = struct.unpack(">d", bytes.fromhex(bits))[0]
    if text is None:
        with pytest.raises(JcsError):
            canonicalize(number)
    else:
        assert canonicalize(number).decode() == text


def test_rfc_example_of_members_strings_and_escapes():
    value = {
        "numbers": [333333333.33333329, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonicalize(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_members_are_sorted_by_utf16_code_units():
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert list(json.loads(canonicalize(value))) == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"a":1,"a":2}', "duplicate_member"),
        (b'{"a":NaN}', "non_finite"),
        (b"[Infinity]", "non_finite"),
        (b'{"b":1,"a":2}', "non_canonical"),
        (b'{"a": 1}', "non_canonical"),
        (b"[1.0]", "non_canonical"),
        (b'["\\u0041"]', "non_canonical"),
        (b"[9007199254740993]", "malformed"),
        (b'["\\ud800"]', "malformed"),
        (b'"\xff"', "malformed"),
        (b"{", "malformed"),
        (b"[" * 100_000, "malformed"),
    ],
)
def test_strict_parsing_refuses(data, code):
    with pytest.raises(JcsError) as caught:
        parse_strict(data)
    assert caught.value.code == code


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_canonical_bytes_parse_to_the_same_value_and_bytes(value):
    data = canonicalize(value)
    assert json.loads(data) == value
    assert canonicalize(parse_strict(data)) == data
