"""JSON: what is sent, what Python values become, and the canonical form (RFC 8785) that hashes are made of."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import re
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import UsageError

Json = Any
"""A JSON value."""

JsonObject = dict[str, Any]
"""A JSON object."""

MAX_INT = 2**53 - 1
MAX_DEPTH = 64
MAX_VALUES = 65_536
MAX_PART = 1_048_576
MAX_PARTS = 32
MAX_CONTENT = 3_932_160
"""All content of one record: what fits into a request, with room for the record itself."""

# What no text outside of content may have (SPEC R-TEXT-3 and R-TEXT-4).
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(1, 17))
    + "]"
)


def encode(record: Mapping[str, Any]) -> bytes:
    """The bytes in which a record is sent, the first time and every other."""
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as problem:
        raise UsageError(f"the record is not JSON: {problem}") from problem


def line(text: str, limit: int) -> str | None:
    """A text as members outside of content may have it: nothing hidden, and at most `limit` bytes."""
    shown = _HIDDEN.sub("\ufffd", text).encode("utf-8")[:limit].decode("utf-8", "ignore")
    return shown or None


class _Budget:
    def __init__(self) -> None:
        self.values = MAX_VALUES


def jsonable(value: object) -> Json:
    """Any Python value as one that content may have, as faithfully as JSON can.

    Integers beyond 2^53, numbers that are not finite, and decimals become text; bytes become base64; dataclasses and
    models become objects; what is nothing of that becomes its `repr`, without its address.
    """
    return _jsonable(value, 1, _Budget())


def _jsonable(value: object, depth: int, budget: _Budget) -> Json:  # noqa: PLR0911, PLR0912
    budget.values -= 1
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return _jsonable(value.value, depth, budget)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int):
        return int(value) if abs(value) <= MAX_INT else str(value)
    if isinstance(value, float):
        # Beyond 2^53 a double is whole, and has no decimal form that all readers share.
        return value if math.isfinite(value) and abs(value) <= MAX_INT else repr(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID, os.PathLike)):
        return str(value)
    if depth > MAX_DEPTH or budget.values <= 0:
        return _shown(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _object(fields.items(), depth, budget)
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return _jsonable(dump(), depth, budget)
    if isinstance(value, Mapping):
        return _object(value.items(), depth, budget)
    if isinstance(value, (list, tuple)):
        return _list(value, depth, budget)
    if isinstance(value, (set, frozenset)):
        return _list(sorted(value, key=repr), depth, budget)
    return _shown(value)


def _list(values: Iterable[object], depth: int, budget: _Budget) -> Json:
    taken = list(values)
    if len(taken) > budget.values:
        return _shown(taken)
    return [_jsonable(element, depth + 1, budget) for element in taken]


def _object(items: Iterable[tuple[object, object]], depth: int, budget: _Budget) -> Json:
    taken = list(items)
    if len(taken) > budget.values:
        return _shown(dict(taken))
    found: JsonObject = {}
    for key, value in taken:
        name = (key if isinstance(key, str) else str(key)).encode("utf-8", "replace").decode("utf-8")
        found[name] = _jsonable(value, depth + 1, budget)
    return found


def _shown(value: object) -> str:
    try:
        text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    except Exception as problem:
        text = f"<{type(value).__name__} without a repr: {type(problem).__name__}>"
    return text.encode("utf-8", "replace").decode("utf-8")


def fit_content(parts: Mapping[str, object]) -> tuple[JsonObject, bool]:
    """Content within the limits of a record, and whether something had to be cut off.

    A part above 1 MiB goes on in further parts, `text_2`, `text_3` and so on, as text. Only what is beyond 3.75 MiB
    of one record in all is cut, and then the record has to say so.
    """
    content: JsonObject = {}
    room, cut = MAX_CONTENT, False
    for name, given in parts.items():
        value = jsonable(given)
        size = len(canonical(value))
        # Within a request's JSON nothing is longer than in canonical form, but for U+007F and the like: none.
        if size <= min(MAX_PART, room) and len(content) < MAX_PARTS:
            content[name] = value
            room -= size
            continue
        text = value if isinstance(value, str) else canonical(value).decode("utf-8")
        for number, piece in enumerate(_pieces(text, room), 1):
            if len(content) >= MAX_PARTS or piece is None:
                cut = True
                break
            content[name if number == 1 else f"{name}_{number}"] = piece
            room -= len(canonical(piece))
    return content, cut


def _pieces(text: str, room: int) -> Iterable[str | None]:
    """A text in pieces of which none is too long; at the end `None`, if not all of it found room."""
    while text:
        limit = min(MAX_PART, room)
        if limit < 1_024:
            yield None
            return
        count = min(len(text), limit)
        while (size := len(canonical(text[:count]))) > limit:
            count = min(count - 1, count * limit // size)
        piece, text = text[:count], text[count:]
        room -= len(canonical(piece))
        yield piece


# ---- the canonical form ----

# Escapes what RFC 8785 escapes, as RFC 8785 does, and nothing else.
_string = json.JSONEncoder(ensure_ascii=False).encode


def canonical(value: Json) -> bytes:
    """The RFC 8785 form of a JSON value."""
    return _canonical(value).encode("utf-8")


def _canonical(value: Json) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{_string(name)}:{_canonical(value[name])}" for name in names) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_canonical(element) for element in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _canonical_number(float(value))
    raise UsageError(f"not a JSON value: {type(value).__name__}")


def _canonical_number(value: float) -> str:
    """ECMAScript's form of a number. `repr` has the same shortest digits in another layout."""
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or "0") - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    tail = "." + digits[1:] if count > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if point > 0 else '-'}{abs(point - 1)}"


# ---- ids and times ----

_ids = threading.Lock()
_last = (0, 0)


def new_id() -> str:
    """A UUID of version 7: ascending within a process, also within a millisecond."""
    global _last  # noqa: PLW0603 - the one place that counts
    with _ids:
        now = time.time_ns() // 1_000_000
        at, count = _last
        if now > at:
            at, count = now, int.from_bytes(os.urandom(2), "big") & 0x7FF
        else:
            count += 1
            if count > 0xFFF:
                at, count = at + 1, 0
        _last = (at, count)
    random = int.from_bytes(os.urandom(8), "big") & (2**62 - 1)
    return str(uuid.UUID(int=(at << 80) | (0x7 << 76) | (count << 64) | (0b10 << 62) | random))


def forget_ids() -> None:
    """Makes the lock of `new_id` anew: of a process that was forked while another thread held it."""
    global _ids  # noqa: PLW0603
    _ids = threading.Lock()


def timestamp(moment: datetime.datetime | None = None) -> str:
    """A time as records have it; now, if none is given."""
    moment = moment or datetime.datetime.now(datetime.timezone.utc)
    if moment.tzinfo is None:
        raise UsageError("a time without a zone says nothing")
    return moment.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
