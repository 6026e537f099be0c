"""Every call of the API, without any input or output of its own.

A call is a generator: it yields what has to be done (a request, a pause) and is sent what came of it. `Client` and
`AsyncClient` do the same things in two ways, and what is done stands here once.
"""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, cast
from urllib.parse import quote

from .errors import ApiError, ConnectionFailed, ReceiptError, UsageError, api_error
from .proofs import Checkpoint, Receipt, check_entry, consistency_holds, hashes_of
from .trust import Trust
from .values import JsonObject, encode, new_id, timestamp

T = TypeVar("T")

MAX_RECORDS = 1_024
MAX_BODY = 4_194_304


@dataclass(frozen=True)
class Request:
    """What is to be sent."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str | None = None


@dataclass(frozen=True)
class Response:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Fault:
    """No answer came."""

    why: str


@dataclass(frozen=True)
class Pause:
    """So many seconds are to pass."""

    seconds: float


Step = Request | Pause
Outcome = Response | Fault | None
Call = Generator[Step, Outcome, T]


@dataclass(frozen=True)
class Retries:
    """How often, and how long apart, what failed for now is sent again.

    Connection errors, 408, 429 and 5xx are tried again; the wait doubles from `first` to `most` seconds, with chance
    in it, and is at least what `Retry-After` asks for.
    """

    attempts: int = 6
    first: float = 0.2
    most: float = 10.0

    def pause(self, attempt: int, retry_after: float | None) -> float:
        """The wait after a failed attempt, of which the first is 0."""
        wait = min(self.most, self.first * float(2 ** min(attempt, 30)))
        jittered = wait * (0.5 + random.random() / 2)  # noqa: S311 - no secret
        return max(jittered, retry_after or 0.0)


Check = Literal["receipts", "entries", "nothing"]
"""How much of what the log says is verified: nothing; the receipts; or also the entries, for which the token has to be
an investigator's."""


@dataclass(frozen=True)
class Decision:
    """That an action may be taken, and the receipt of the question."""

    decision: str
    receipt: Receipt


class Calls:
    """The calls on one ledger."""

    def __init__(self, ledger: str, trust: Trust, check: Check, retries: Retries) -> None:
        self.root = f"/v1/ledgers/{quote(ledger, safe='')}"
        self.tlog = f"/tlog/{quote(ledger, safe='')}"
        self.trust = trust
        self.check = check
        self.retries = retries

    # ---- sending ----

    def send(self, request: Request, retries: Retries | None = None) -> Call[Response]:
        """One request, again and again while its failure is a passing one."""
        retries = retries or self.retries
        attempt = 0
        while True:
            outcome = yield request
            problem: ApiError | ConnectionFailed
            if isinstance(outcome, Response):
                if 200 <= outcome.status < 300:
                    return outcome
                problem = api_error(outcome.status, outcome.headers, outcome.body)
                if not problem.is_transient:
                    raise problem
            else:
                problem = ConnectionFailed(outcome.why if isinstance(outcome, Fault) else "no answer")
            attempt += 1
            if attempt >= retries.attempts:
                raise problem
            yield Pause(retries.pause(attempt - 1, getattr(problem, "retry_after", None)))

    def get(self, path: str, params: Mapping[str, object] | None = None) -> Call[JsonObject]:
        """A JSON object."""
        given = {name: _text(value) for name, value in (params or {}).items() if value is not None}
        response = yield from self.send(Request("GET", path, given))
        return _object(response)

    # ---- posting ----

    def post_many(self, records: Sequence[Mapping[str, Any]]) -> Call[list[Receipt]]:
        """Posts records in their order, as many in a request as one takes. A request is all or nothing."""
        whole = [complete(record) for record in records]
        lines = [encode(record) for record in whole]
        receipts: list[Receipt] = []
        start = 0
        for count in _portions(lines):
            receipts += yield from self.post_lines(
                lines[start : start + count], [str(record["id"]) for record in whole[start : start + count]]
            )
            start += count
        yield from self.confirm_posted(whole, receipts)
        return receipts

    def post_lines(
        self, lines: Sequence[bytes], ids: Sequence[str], retries: Retries | None = None
    ) -> Call[list[Receipt]]:
        """Posts encoded records in one request, and verifies what is answered."""
        include = {} if self.check == "nothing" else {"include": "proof"}
        request = Request(
            "POST", f"{self.root}/records", include, b"".join(line + b"\n" for line in lines), "application/x-ndjson"
        )
        response = yield from self.send(request, retries)
        answer = _object(response)
        found = answer.get("data")
        if not isinstance(found, list) or len(found) != len(ids):
            raise ReceiptError(f"{len(ids)} records were sent, and there are not as many receipts")
        receipts = [Receipt.parse(each) for each in found]
        for sent, receipt in zip(ids, receipts, strict=True):
            if receipt.id != sent:
                raise ReceiptError(f"the receipt for {sent} is one for {receipt.id}")
        return (yield from self.verify(receipts))

    def preflight(self, record: Mapping[str, Any]) -> Call[Decision]:
        """Asks whether an action may be taken. A refusal is raised, and both are in the ledger."""
        whole = complete(record)
        data = dict(whole.get("data") or {})
        data.setdefault("phase", "requested")
        whole["data"] = data
        request = Request("POST", f"{self.root}/preflight", {}, encode(whole), "application/json")
        answer = _object((yield from self.send(request)))
        receipt = Receipt.parse(answer.get("receipt"))
        if receipt.id != whole["id"]:
            raise ReceiptError(f"the receipt for {whole['id']} is one for {receipt.id}")
        [receipt] = yield from self.verify([receipt])
        yield from self.confirm_posted([whole], [receipt])
        return Decision(str(answer.get("decision")), receipt)

    # ---- verifying ----

    def verify(self, receipts: Sequence[Receipt]) -> Call[list[Receipt]]:
        """The receipts, once everything in them holds; see `Check`."""
        if self.check == "nothing":
            return list(receipts)
        verified = []
        accepted: set[str] = set()  # the receipts of a batch have the same one
        for receipt in receipts:
            if receipt.checkpoint.note not in accepted:
                yield from self.accept(receipt.checkpoint)
                accepted.add(receipt.checkpoint.note)
            if receipt.seq >= receipt.checkpoint.size:
                raise ReceiptError(f"the checkpoint of {receipt.id} does not cover it")
            whole = receipt
            if receipt.proof is None:
                whole = yield from self._with_proof(receipt)
            whole.verify_inclusion()
            verified.append(replace(receipt, proof=whole.proof, signed_by=self.trust.key_text))
        return verified

    def _with_proof(self, receipt: Receipt) -> Call[Receipt]:
        """A receipt with a proof in the newest tree, where the answer to it had none."""
        answer = yield from self.get(f"{self.root}/records/{quote(receipt.id, safe='')}/proof", {"format": "json"})
        if answer.get("leaf_hash") != receipt.leaf_hash:
            raise ReceiptError(f"the leaf of {receipt.id} is another one in its proof")
        newest = Receipt.parse({**answer, "seq": receipt.seq, "entry_hash": receipt.entry_hash})
        yield from self.accept(newest.checkpoint)
        return newest

    def accept(self, seen: Checkpoint) -> Call[None]:
        """Raises unless a checkpoint is signed, and of the same log as the one that is kept."""
        trust = self.trust
        if trust.wants_first_key:
            response = yield from self.send(Request("GET", f"{self.tlog}/log.vkey"))
            trust.pin(response.body.decode("utf-8", "replace"))
        if trust.key is not None:
            seen.verify(trust.key)
        while not trust.is_known(seen):
            kept = trust.kept
            if kept is not None:
                yield from self._consistent(kept, seen)
            trust.advance(kept, seen)

    def _consistent(self, kept: Checkpoint, seen: Checkpoint) -> Call[None]:
        if seen.origin != kept.origin:
            raise ReceiptError(f"the log was {kept.origin}, and now it is {seen.origin}")
        first, second = (kept, seen) if kept.size <= seen.size else (seen, kept)
        if first.size == second.size:
            if first.root != second.root:
                raise ReceiptError(f"the log has two histories of {first.size} records")
            return
        try:
            answer = yield from self.get(f"{self.root}/proof/consistency", {"from": first.size, "to": second.size})
        except ApiError as problem:
            if problem.code != "size_unknown":
                raise
            raise ReceiptError(f"the log had {kept.size} records, and now it knows of no such size") from problem
        proof = hashes_of(answer.get("hashes"))
        if not consistency_holds(first.size, first.root, second.size, second.root, proof):
            raise ReceiptError(f"the log of {second.size} records does not continue the one of {first.size}")

    def confirm(self, record: Mapping[str, Any], receipt: Receipt) -> Call[tuple[str, ...]]:
        """Fetches the entry of a receipt and compares it with what was sent. Only investigators may.

        Returns the names of the content that was erased meanwhile and could not be compared.
        """
        return check_entry(record, receipt, (yield from self.record(receipt.id)))

    def confirm_posted(self, records: Sequence[Mapping[str, Any]], receipts: Sequence[Receipt]) -> Call[None]:
        """Confirms what was posted just now, where entries are to be checked.

        Nothing of it can be erased yet, unless it is the duplicate of what was posted before.
        """
        if self.check != "entries":
            return
        for record, receipt in zip(records, receipts, strict=True):
            erased = yield from self.confirm(record, receipt)
            if erased and not receipt.duplicate:
                raise ReceiptError(f"the content {', '.join(erased)} of {receipt.id} is said to be erased already")

    def checkpoint(self) -> Call[Checkpoint]:
        """The newest checkpoint, verified."""
        response = yield from self.send(Request("GET", f"{self.tlog}/checkpoint"))
        seen = Checkpoint.parse(response.body.decode("utf-8", "replace"))
        if self.check != "nothing":
            yield from self.accept(seen)
        return seen

    # ---- reading ----

    def record(self, id: str) -> Call[JsonObject]:
        return (yield from self.get(f"{self.root}/records/{quote(id, safe='')}"))

    def search(self, params: Mapping[str, object]) -> Call[JsonObject]:
        return (yield from self.get(f"{self.root}/records", params))

    def walk(self, id: str, way: Literal["why", "effects"], depth: int | None) -> Call[JsonObject]:
        """A whole walk: the first page, with the nodes of all."""
        path = f"{self.root}/records/{quote(id, safe='')}/{way}"
        first = yield from self.get(path, {"depth": depth, "limit": 1_000})
        yield from self._follow(path, first["nodes"], lambda page: page["nodes"], {"depth": depth, "limit": 1_000})
        return first

    def session_records(self, id: str) -> Call[JsonObject]:
        """A whole session."""
        path = f"{self.root}/sessions/{quote(id, safe='')}"
        first = yield from self.get(path, {"limit": 1_000})
        yield from self._follow(path, first["records"], lambda page: page["records"], {"limit": 1_000})
        return first

    def sessions(self, params: Mapping[str, object]) -> Call[JsonObject]:
        return (yield from self.get(f"{self.root}/sessions", params))

    def _follow(self, path: str, first: JsonObject, part: Any, params: Mapping[str, object]) -> Call[None]:
        """Puts the items of all further pages behind those of the first."""
        after = first["list_metadata"].get("after")
        while after is not None:
            page = part((yield from self.get(path, {**params, "after": after})))
            first["data"] += page["data"]
            after = page["list_metadata"].get("after")
        first["list_metadata"] = {"before": None, "after": None}


def complete(record: Mapping[str, Any]) -> JsonObject:
    """A record with an id and a time, which it keeps however often it is sent."""
    if not isinstance(record, Mapping):
        raise UsageError("a record is an object")
    whole = dict(record)
    if whole.get("id") is None:
        whole["id"] = new_id()
    if whole.get("occurred_at") is None:
        whole["occurred_at"] = timestamp()
    return whole


def _portions(lines: Sequence[bytes]) -> list[int]:
    counts: list[int] = []
    count = size = 0
    for line in lines:
        if count and (count == MAX_RECORDS or size + len(line) + 1 > MAX_BODY):
            counts.append(count)
            count = size = 0
        count, size = count + 1, size + len(line) + 1
    return [*counts, count] if count else counts


def _object(response: Response) -> JsonObject:
    try:
        value = json.loads(response.body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConnectionFailed("the answer is not a JSON object: something else answers in the server's place")
    return cast(JsonObject, value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(each) for each in value)
    return str(value)
