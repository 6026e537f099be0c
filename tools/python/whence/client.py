"""The two clients: `Client` blocks, `AsyncClient` awaits. What they do stands in `calls`."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import ssl
import time
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx

from .calls import Call, Calls, Check, Decision, Fault, Outcome, Pause, Request, Response, Retries
from .context import Sink, Source
from .errors import UsageError
from .proofs import Checkpoint, Receipt
from .results import Effects, SearchPage, SessionList, SessionPage, StoredRecord, Why
from .trust import Trust
from .values import JsonObject

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:7117"


class _Base:
    """What both clients are made of."""

    def __init__(
        self,
        *,
        url: str | None,
        token: str | None,
        ledger: str | None,
        trust: Trust,
        check: Check,
        retries: Retries,
        insecure_plain_http: bool,
    ) -> None:
        self.url = (url or os.environ.get("WHENCE_URL") or DEFAULT_URL).rstrip("/")
        self.ledger = ledger or os.environ.get("WHENCE_LEDGER") or "main"
        token = token or os.environ.get("WHENCE_TOKEN")
        if not token:
            raise UsageError("a token is needed: give `token`, or set WHENCE_TOKEN")
        _refuse_open_way(self.url, insecure_plain_http)
        self._headers = {"authorization": f"Bearer {token}"}
        self.calls = Calls(self.ledger, trust, check, retries)

    @property
    def log(self) -> str:
        """Which log this is about, without any secret: what two clients of one log have in common."""
        parts = urlsplit(self.url)
        plain = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
        return json.dumps({"url": plain.geturl(), "ledger": self.ledger}, ensure_ascii=False)

    @property
    def kept_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that was verified. Keep its `note` where the log cannot reach it."""
        return self.calls.trust.kept

    def _options(self, timeout: float, tls: ssl.SSLContext | None) -> dict[str, Any]:
        return {
            "base_url": self.url,
            "headers": self._headers,
            "timeout": timeout,
            "verify": tls if tls is not None else True,
            "trust_env": False,
        }


def _refuse_open_way(url: str, insecure: bool) -> None:
    """A token is sent over TLS or to this machine, unless something else is said to encrypt the way."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("the url is not one of http or https")
    if parts.scheme == "https" or insecure or parts.hostname == "localhost":
        return
    try:
        local = ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        local = False
    if not local:
        raise UsageError("the token would be sent over plain HTTP: use https, or say `insecure_plain_http=True`")


def _request(http: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    headers = {"content-type": request.content_type} if request.content_type else None
    return http.build_request(
        request.method, request.path, params=dict(request.params), content=request.body, headers=headers
    )


def _response(answer: httpx.Response) -> Response:
    return Response(answer.status_code, answer.headers, answer.content)


def _fault(problem: httpx.HTTPError) -> Fault:
    return Fault(f"{type(problem).__name__}: {problem}")


class Client(_Base, Sink):
    """A ledger, over HTTP.

    `key` is the log's verifier key (`whence key show`), got by a way that the server has no hand in. With it, every
    receipt is verified: the signature of its checkpoint, the proof that the record is in the signed tree, and that the
    tree continues the last one that was seen. Without it only the latter two can be, unless `trust_on_first_use` says
    that the key that the server shows first is to be trusted. `keep` names a file in which key and newest checkpoint
    are kept from one process to the next.

    Threads may share a client.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        ledger: str | None = None,
        key: str | None = None,
        trust_on_first_use: bool = False,
        keep: str | os.PathLike[str] | None = None,
        check: Check = "receipts",
        retries: Retries = Retries(),  # noqa: B008 - it is frozen
        timeout: float = 30.0,
        tls: ssl.SSLContext | None = None,
        insecure_plain_http: bool = False,
        producer: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        trust = Trust(key, on_first_use=trust_on_first_use, file=keep)
        super().__init__(
            url=url,
            token=token,
            ledger=ledger,
            trust=trust,
            check=check,
            retries=retries,
            insecure_plain_http=insecure_plain_http,
        )
        self.source = Source.of(producer)
        self._transport, self._timeout, self._tls = transport, timeout, tls
        self._http = self._connect()
        _clients.add(self)

    def _connect(self) -> httpx.Client:
        return httpx.Client(transport=self._transport, **self._options(self._timeout, self._tls))

    def run(self, call: Call[T]) -> T:
        """Does what a call asks for, until it is done."""
        outcome: Outcome = None
        while True:
            try:
                step = call.send(outcome)
            except StopIteration as done:
                return cast(T, done.value)
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                outcome = None
                continue
            try:
                outcome = _response(self._http.send(_request(self._http, step)))
            except httpx.HTTPError as problem:
                outcome = _fault(problem)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- posting ----

    def post(self, record: Mapping[str, Any]) -> Receipt:
        """Posts a record; returns when it is sealed, durable, and its receipt verified."""
        return self.post_many([record])[0]

    def post_many(self, records: Sequence[Mapping[str, Any]]) -> list[Receipt]:
        """Posts records in their order. Up to 1,024 records and 4 MiB are one request, which is all or nothing."""
        return self.run(self.calls.post_many(records))

    def emit(self, record: JsonObject) -> None:
        """Posts at once what the context managers record."""
        self.post(record)

    def preflight(self, record: Mapping[str, Any]) -> Decision:
        """Asks whether an action may be taken, before it is; raises `RecordRefused` if not."""
        return self.run(self.calls.preflight(record))

    # ---- verifying ----

    def checkpoint(self) -> Checkpoint:
        """The newest checkpoint of the log, verified and found consistent with the one that is kept."""
        return self.run(self.calls.checkpoint())

    def verify(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Verifies receipts that were kept, against the log as it is now."""
        return self.run(self.calls.verify(receipts))

    def confirm(self, record: Mapping[str, Any], receipt: Receipt) -> tuple[str, ...]:
        """Fetches the entry of a receipt and compares it with what was sent; raises `ReceiptError` if it differs.

        Returns the names of the content that was erased meanwhile: of it nothing but the name could be compared.
        """
        return self.run(self.calls.confirm(record, receipt))

    # ---- reading ----

    def record(self, id: str) -> StoredRecord:
        """A record with all that the ledger has of it."""
        return cast(StoredRecord, self.run(self.calls.record(id)))

    def search(self, q: str | None = None, **params: object) -> SearchPage:
        """One page of the records that match: `user`, `session`, `since`, `limit`, `after`, `wait_for`, …"""
        return cast(SearchPage, self.run(self.calls.search({"q": q, **params})))

    def search_all(self, q: str | None = None, **params: object) -> Iterator[JsonObject]:
        """All records that match, page after page."""
        while True:
            page = self.search(q, **params)
            yield from cast("list[JsonObject]", page["data"])
            params["after"] = page["list_metadata"].get("after")
            if params["after"] is None:
                return

    def why(self, id: str, *, depth: int | None = None) -> Why:
        """All that led to a record, whole."""
        return cast(Why, self.run(self.calls.walk(id, "why", depth)))

    def effects(self, id: str, *, depth: int | None = None) -> Effects:
        """All that came of a record, whole."""
        return cast(Effects, self.run(self.calls.walk(id, "effects", depth)))

    def session_records(self, id: str) -> SessionPage:
        """A session with all its records, in their order."""
        return cast(SessionPage, self.run(self.calls.session_records(id)))

    def sessions(self, q: str | None = None, **params: object) -> SessionList:
        """One page of the sessions that have a record that matches."""
        return cast(SessionList, self.run(self.calls.sessions({"q": q, **params})))


class AsyncClient(_Base):
    """`Client`, for asyncio. For sessions and tools use an `AsyncRecorder`, which never makes anybody wait."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        ledger: str | None = None,
        key: str | None = None,
        trust_on_first_use: bool = False,
        keep: str | os.PathLike[str] | None = None,
        check: Check = "receipts",
        retries: Retries = Retries(),  # noqa: B008 - it is frozen
        timeout: float = 30.0,
        tls: ssl.SSLContext | None = None,
        insecure_plain_http: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        trust = Trust(key, on_first_use=trust_on_first_use, file=keep)
        super().__init__(
            url=url,
            token=token,
            ledger=ledger,
            trust=trust,
            check=check,
            retries=retries,
            insecure_plain_http=insecure_plain_http,
        )
        self._transport, self._timeout, self._tls = transport, timeout, tls
        self._http = self._connect()
        _clients.add(self)

    def _connect(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self._transport, **self._options(self._timeout, self._tls))

    async def run(self, call: Call[T]) -> T:
        """Does what a call asks for, until it is done."""
        outcome: Outcome = None
        while True:
            try:
                step = call.send(outcome)
            except StopIteration as done:
                return cast(T, done.value)
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                outcome = None
                continue
            try:
                outcome = _response(await self._http.send(_request(self._http, step)))
            except httpx.HTTPError as problem:
                outcome = _fault(problem)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def post(self, record: Mapping[str, Any]) -> Receipt:
        return (await self.post_many([record]))[0]

    async def post_many(self, records: Sequence[Mapping[str, Any]]) -> list[Receipt]:
        return await self.run(self.calls.post_many(records))

    async def preflight(self, record: Mapping[str, Any]) -> Decision:
        return await self.run(self.calls.preflight(record))

    async def checkpoint(self) -> Checkpoint:
        return await self.run(self.calls.checkpoint())

    async def verify(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        return await self.run(self.calls.verify(receipts))

    async def confirm(self, record: Mapping[str, Any], receipt: Receipt) -> tuple[str, ...]:
        return await self.run(self.calls.confirm(record, receipt))

    async def record(self, id: str) -> StoredRecord:
        return cast(StoredRecord, await self.run(self.calls.record(id)))

    async def search(self, q: str | None = None, **params: object) -> SearchPage:
        return cast(SearchPage, await self.run(self.calls.search({"q": q, **params})))

    async def search_all(self, q: str | None = None, **params: object) -> AsyncIterator[JsonObject]:
        while True:
            page = await self.search(q, **params)
            for hit in page["data"]:
                yield cast(JsonObject, hit)
            params["after"] = page["list_metadata"].get("after")
            if params["after"] is None:
                return

    async def why(self, id: str, *, depth: int | None = None) -> Why:
        return cast(Why, await self.run(self.calls.walk(id, "why", depth)))

    async def effects(self, id: str, *, depth: int | None = None) -> Effects:
        return cast(Effects, await self.run(self.calls.walk(id, "effects", depth)))

    async def session_records(self, id: str) -> SessionPage:
        return cast(SessionPage, await self.run(self.calls.session_records(id)))

    async def sessions(self, q: str | None = None, **params: object) -> SessionList:
        return cast(SessionList, await self.run(self.calls.sessions({"q": q, **params})))


_clients: weakref.WeakSet[Client | AsyncClient] = weakref.WeakSet()


def _connect_anew() -> None:
    """In a child: its parent goes on speaking on the connections that it had."""
    for client in list(_clients):
        client._http = client._connect()


os.register_at_fork(after_in_child=_connect_anew)
