"""JSON Canonicalization Scheme (RFC 8785), strict in both directions.

`canonicalize` writes the one byte string a value has; `parse_strict` accepts only that byte string.
Numbers are IEEE 754 doubles written as ECMAScript writes them; an integer outside ±(2^53-1) has no
exact double and is refused rather than rounded.
"""

from __future__ import annotations

import json
import math
from typing import Any

from .errors import LocalError

SAFE_INTEGER_MAX = 2**53 - 1

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class JcsError(LocalError):
    """Bytes or a value that JCS cannot represent. `code` is an outcome name of the token profile."""


def canonicalize(value: Any) -> bytes:
    """The JCS bytes of a JSON value (dict, list, tuple, str, int, float, bool, None)."""
    return _write(value).encode("utf-8")


def parse_strict(data: bytes) -> Any:
    """Parse `data` and refuse it unless it is exactly the JCS form of what it says.

    Raises `JcsError` with code `malformed`, `duplicate_member`, `non_finite` or `non_canonical`.
    """
    try:
        text = data.decode("utf-8", errors="strict")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except JcsError:
        raise
    except (ValueError, RecursionError) as error:
        raise JcsError("malformed", f"not JSON: {type(error).__name__}") from None
    if canonicalize(value) != data:
        raise JcsError("non_canonical", "the bytes are not in canonical form")
    return value


def _write(value: Any) -> str:
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_write, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(k)}:{_write(value[k])}" for k in _sorted_keys(value)) + "}"
    raise JcsError("malformed", f"{type(value).__name__} is not a JSON value")


def _sorted_keys(members: dict[str, Any]) -> list[str]:
    # RFC 8785 §3.2.3 sorts by UTF-16 code units, which differs from code points above U+FFFF.
    if not all(isinstance(key, str) for key in members):
        raise JcsError("malformed", "an object member name is not a string")
    return sorted(members, key=lambda key: key.encode("utf-16-be", errors="surrogatepass"))


def _string(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out = ['"']
    for char in text:
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif char < " ":
            out.append(f"\\u{ord(char):04x}")
        elif "\ud800" <= char <= "\udfff":
            raise JcsError("malformed", "a string holds a lone surrogate")
        else:
            out.append(char)
    out.append('"')
    return "".join(out)


def _number(number: int | float) -> str:
    if isinstance(number, int):
        if abs(number) > SAFE_INTEGER_MAX:
            raise JcsError("malformed", "an integer outside ±(2^53-1) has no exact form")
        return str(number)
    if not math.isfinite(number):
        raise JcsError("non_finite", "NaN and infinities are not JSON")
    if number == 0:
        return "0"
    if number.is_integer() and abs(number) > SAFE_INTEGER_MAX:
        raise JcsError("malformed", "an integer outside ±(2^53-1) has no exact form")
    sign = "-" if number < 0 else ""
    digits, point = _shortest(abs(number))
    return sign + _ecmascript(digits, point)


def _shortest(number: float) -> tuple[str, int]:
    """Shortest round-trip digits d1d2… and n such that the value is 0.d1d2… x 10^n."""
    mantissa, _, exponent = repr(number).lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    point = len(whole) + int(exponent or 0)
    leading = len(digits) - len(digits.lstrip("0"))
    return digits.strip("0"), point - leading


def _ecmascript(digits: str, point: int) -> str:
    """ECMA-262 Number::toString, steps 6 to 10."""
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    exponent = f"{'+' if point > 0 else '-'}{abs(point - 1)}"
    return f"{digits[0]}{'.' + digits[1:] if count > 1 else ''}e{exponent}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JcsError("duplicate_member", "an object names a member twice")
    return members


def _no_constant(name: str) -> Any:
    raise JcsError("non_finite", f"{name} is not JSON")
