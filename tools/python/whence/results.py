"""The shapes of what reading calls answer, for type checkers. They are plain dictionaries."""

from __future__ import annotations

from typing import Any, TypedDict


class ListMetadata(TypedDict):
    before: str | None
    after: str | None


class StoredContent(TypedDict, total=False):
    name: str
    bytes: int
    digest: str
    erased: bool
    salt: str | None
    value: Any


class StoredRecord(TypedDict):
    """A record: its entry, as it was sealed, and its content."""

    object: str
    id: str
    seq: int
    entry: dict[str, Any]
    content: list[StoredContent]
    flags: list[str]
    raised: list[dict[str, Any]]
    receipt: dict[str, Any]


class Hit(TypedDict):
    object: str
    id: str
    seq: int
    kind: str
    occurred_at: str
    received_at: str
    user: str | None
    session: str | None
    agent: str | None
    flags: list[str]
    snippet: dict[str, Any] | None


class _SearchPage(TypedDict):
    object: str
    data: list[Hit]
    list_metadata: ListMetadata
    total: int
    indexed_through: int


class SearchPage(_SearchPage, total=False):
    """Records that match, and what is known of all of them."""

    facets: dict[str, Any]
    histogram: dict[str, Any] | None


# `from` is a word of the language, so this one is written as a call.
Edge = TypedDict("Edge", {"from": int, "rel": str})


class Node(TypedDict):
    """A record of a walk."""

    id: str
    seq: int
    kind: str
    occurred_at: str
    received_at: str
    user: str | None
    session: str | None
    agent: str | None
    flags: list[str]
    raised: list[Any]
    title: str
    depth: int
    role: str
    edges: list[Edge]


class ListOfNodes(TypedDict):
    object: str
    data: list[Node]
    list_metadata: ListMetadata


class Why(TypedDict):
    """What led to a record."""

    object: str
    id: str
    seq: int
    size: int
    summary: str
    truncated: bool
    nodes: ListOfNodes


class Effects(Why):
    """What came of a record."""

    totals: dict[str, int]
    sessions: list[dict[str, Any]] | None


class ListOfRecords(TypedDict):
    object: str
    data: list[StoredRecord]
    list_metadata: ListMetadata


class SessionPage(TypedDict):
    """A session: its records in the order of the ledger."""

    object: str
    id: str
    user: str | None
    started_at: str
    records: ListOfRecords


class SessionList(TypedDict):
    object: str
    data: list[dict[str, Any]]
    list_metadata: ListMetadata
    total: int
    indexed_through: int
