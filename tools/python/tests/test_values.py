"""JSON of any value, ids and times."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence import UsageError, fit_content, jsonable, new_id, timestamp
from whence.values import MAX_CONTENT, MAX_INT, canonical, encode

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.uuids()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=40,
)


def within_limits(value: Any, depth: int = 0) -> bool:
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, (int, float)):
        return math.isfinite(value) and abs(value) <= MAX_INT
    if isinstance(value, str):
        value.encode("utf-8")
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth < 64 and all(within_limits(each, depth + 1) for each in inner)


@given(VALUES)
def test_every_value_becomes_json_within_the_limits(value: Any) -> None:
    found = jsonable(value)
    assert within_limits(found)
    assert canonical(json.loads(encode({"value": found})))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_back_as_they_were(value: float) -> None:
    assert float(canonical(value)) == value


def test_what_is_no_json_is_shown() -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        y: object

    class Model:
        def model_dump(self) -> dict[str, int]:
            return {"a": 1}

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert jsonable(Point(1, {2, 1})) == {"x": 1, "y": [1, 2]}
    assert jsonable(Model()) == {"a": 1}
    assert "Broken" in jsonable(Broken())
    assert jsonable(object()) == "<object object>"
    assert jsonable("\ud800") == "?"
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert within_limits(jsonable(deep))
    assert isinstance(jsonable([0] * 70_000), str)
    recursive: list[Any] = []
    recursive.append(recursive)
    assert within_limits(jsonable(recursive))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "é", "\n", "\U0001f600"]), st.integers(0, 1_500_000)), max_size=4))
def test_parts_are_never_too_long_and_lose_nothing_unsaid(given: list[tuple[str, int]]) -> None:
    parts = {f"part{number}_": letter * count for number, (letter, count) in enumerate(given)}
    content, cut = fit_content(parts)
    assert all(len(canonical(value)) <= 1_048_576 for value in content.values())
    assert sum(len(canonical(value)) for value in content.values()) <= MAX_CONTENT
    for name, text in parts.items():
        found = "".join(value for key, value in content.items() if key.startswith(name))
        assert found == text or cut
        assert text.startswith(found)


def test_ids_ascend() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))
    assert {uuid.UUID(id).version for id in ids} == {7}
    assert {uuid.UUID(id).variant for id in ids} == {uuid.RFC_4122}


def test_a_time_has_a_zone() -> None:
    moment = datetime.datetime(2026, 11, 24, 1, 6, 14, 120_000, datetime.timezone(datetime.timedelta(hours=1)))
    assert timestamp(moment) == "2026-11-24T00:06:14.120000Z"
    with pytest.raises(UsageError):
        timestamp(datetime.datetime(2026, 11, 24))
