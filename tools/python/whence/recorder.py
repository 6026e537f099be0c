"""Recorders: what is recorded is on disk at once, and sent in the background.

`Recorder` sends from a thread, `AsyncRecorder` from an asyncio task. What they do with a batch stands once, in
`_Recorder`, in the manner of `calls`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import logging
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from .calls import MAX_BODY, MAX_RECORDS, Call, Calls, Decision, Retries, complete
from .client import AsyncClient, Client
from .context import Sink, Source
from .errors import ApiError, ReceiptError, RecordRefused, SpoolFull, Unsent, UsageError, WhenceError
from .proofs import Receipt
from .spool import Batch, DiskLane, Lane, MemoryLane, RefusedFile, prepare
from .values import JsonObject, encode, forget_ids, timestamp

log = logging.getLogger("whence")

_ONCE = Retries(attempts=1)
_REMEMBERED = 10_000
_LOOK_AGAIN = 5.0
"""Seconds after which a recorder that has nothing to send looks for what processes that died meanwhile left behind."""


class _CauseAwaited(WhenceError):
    """A cause is not in the log yet."""


@dataclass(frozen=True)
class Limits:
    """When a batch is sent, and how much may wait."""

    batch_records: int = 256
    batch_bytes: int = 1_048_576
    linger: float = 0.2
    """Seconds that the first record of a batch waits for others."""
    pending_bytes: int = 268_435_456
    """The most that may be unsent; see `on_full`."""
    cause_wait: float = 15.0
    """Seconds that a record waits for a cause that the log does not have yet: another process may have recorded it, and
    not sent it. Then it is refused."""
    refused_bytes: int = 67_108_864
    """The most that is kept of what was refused. What is beyond it is counted and given to `on_refused` only."""

    def __post_init__(self) -> None:
        if not 1 <= self.batch_records <= MAX_RECORDS or not 1 <= self.batch_bytes <= MAX_BODY:
            raise UsageError(f"a batch has 1 to {MAX_RECORDS} records and at most {MAX_BODY} bytes")


@dataclass
class Stats:
    """What became of the records so far."""

    recorded: int = 0
    sent: int = 0
    duplicates: int = 0
    """Of those sent: what the log had already, because an answer to an earlier attempt was lost."""
    refused: int = 0
    refused_unkept: int = 0
    dropped: int = 0
    """Not taken because the spool was full, with `on_full="count"`."""
    damaged: int = 0
    """Lines of the spool that were torn or changed, and are no records any more."""
    adopted: int = 0
    """Taken over from processes that died, before this one began or since."""
    pending: int = 0
    pending_bytes: int = 0


class _Recorder(Sink):
    """What both recorders do."""

    def __init__(
        self,
        calls: Calls,
        log: str,
        spool: str | os.PathLike[str] | None,
        *,
        producer: str | None,
        limits: Limits,
        fsync: bool,
        on_full: Literal["raise", "count"],
        on_refused: Callable[[JsonObject, ApiError], object] | None,
        on_receipt: Callable[[Receipt], object] | None,
        retries: Retries,
    ) -> None:
        self.source = Source.of(producer)
        self.limits = limits
        self._calls = calls
        self._to = log
        self._spool = Path(spool) if spool is not None else None
        self._fsync = fsync
        self._on_full = on_full
        self._on_refused = on_refused
        self._on_receipt = on_receipt
        self._retries = retries
        self._lock = threading.Condition()
        self._stats = Stats()
        self._orphans: list[Lane] = []
        self._own: Lane | None = None
        self._into = self._done = 0
        self._since: float | None = None
        self._flushing = 0
        self._closing = self._closed = False
        self._problem: Exception | None = None
        self._told = 0.0
        self._halted: ReceiptError | None = None
        self._refused: RefusedFile | None = None
        self._given_up: OrderedDict[str, None] = OrderedDict()
        self._put_aside: set[bytes] = set()
        self._awaiting: dict[str, float] = {}
        self._patience = limits.cause_wait
        if self._spool is not None:
            prepare(self._spool)
            self._refused = RefusedFile(self._spool / "refused.ndjson", limits.refused_bytes)
            self._take_over()
        _recorders.add(self)

    # ---- taking ----

    def record(self, record: Mapping[str, Any]) -> str:
        """Takes a record and returns its id. It is in the spool then, and will be sent.

        A record without an id, a time or a source gets them here. Raises `SpoolFull` where nothing more may wait.
        """
        whole = complete(record)
        whole.setdefault("source", self.source.json())
        self.emit(whole)
        return str(whole["id"])

    def emit(self, record: JsonObject) -> None:
        line = encode(record)
        if len(line) >= MAX_BODY:
            raise UsageError(f"a record of {len(line)} bytes fits into no request")
        with self._lock:
            if self._closed or self._closing:
                raise UsageError("the recorder is closed")
            if self._own is None:
                self._own = self._new_lane()
            if self._pending_bytes() + len(line) > self.limits.pending_bytes:
                if self._on_full == "count":
                    self._stats.dropped += 1
                    if self._stats.dropped == 1:
                        log.error("the spool is full: records are dropped and counted")
                    return
                raise SpoolFull(f"{self._pending_bytes()} bytes wait to be sent")
            self._own.append(line)
            self._stats.recorded += 1
            self._into += 1
            if self._since is None:
                self._since = time.monotonic()
            self._wake()

    def _new_lane(self) -> Lane:
        if self._spool is None:
            return MemoryLane()
        return DiskLane.create(self._spool, to=self._to, fsync=self._fsync)

    def _wake(self) -> None:
        raise NotImplementedError

    def _lanes(self) -> list[Lane]:
        return [*self._orphans, *([self._own] if self._own is not None else [])]

    def _pending_bytes(self) -> int:
        return sum(lane.pending_bytes for lane in self._lanes())

    @property
    def stats(self) -> Stats:
        """The counts of now."""
        with self._lock:
            pending = sum(lane.pending for lane in self._lanes())
            return Stats(**{**asdict(self._stats), "pending": pending, "pending_bytes": self._pending_bytes()})

    # ---- what others left ----

    def _take_over(self) -> None:
        """Takes over the lanes for this log that nobody holds any more."""
        self._looked = time.monotonic()
        if self._spool is None:
            return
        for lane in DiskLane.orphans(self._spool, to=self._to, fsync=self._fsync):
            self._orphans.append(lane)
            self._stats.adopted += lane.pending
            self._into += lane.pending

    def _look_again(self) -> None:
        """Takes over what was left since the last time; with the lock held. What stands in the way is only told."""
        if self._closing or self._closed:
            return
        try:
            self._take_over()
        except OSError as problem:
            self._failed(problem)

    def _until_look(self) -> float | None:
        if self._spool is None or self._closing or self._closed:
            return None
        return max(0.0, self._looked + _LOOK_AGAIN - time.monotonic())

    # ---- sending ----

    def _wait(self) -> float | None:
        """How long until there is something to do: 0 is now, `None` until something happens."""
        if any(lane.pending for lane in self._orphans):
            return 0.0
        own = self._own
        if own is None or not own.pending:
            return self._until_look()
        full = own.pending >= self.limits.batch_records or own.pending_bytes >= self.limits.batch_bytes
        if full or self._flushing or self._closing or self._since is None:
            return 0.0
        return max(0.0, self._since + self.limits.linger - time.monotonic())

    def _next(self) -> tuple[Lane, Batch] | None:
        """The next batch: what others left comes first, because it happened first."""
        with self._lock:
            while self._orphans and not self._orphans[0].pending:
                self._orphans.pop(0).close()
            if not self._orphans and self._until_look() == 0.0:
                self._look_again()
            lane = next(iter(self._lanes()), None)
            self._since = None
        if lane is None:
            return None
        batch = lane.batch(self.limits.batch_records, self.limits.batch_bytes)
        return (lane, batch) if batch.lines or batch.damaged else None

    def _deliver(self, lane: Lane, batch: Batch) -> Call[None]:
        """Sends a batch, around what is refused for good. What stays raises, and is sent again as a whole."""
        # What was put aside before the batch had to be sent once more stays aside.
        left = [line for line in batch.lines if line not in self._put_aside]
        waiting = [left] if left else []
        while waiting:
            lines = waiting.pop()
            records = [json.loads(line) for line in lines]
            try:
                receipts = yield from self._calls.post_lines(lines, [record["id"] for record in records], _ONCE)
            except RecordRefused as problem:
                bad = problem.indices(len(lines))
                if not bad:  # it does not say which: look for it, the earlier half first
                    middle = len(lines) // 2
                    waiting += [lines[middle:], lines[:middle]]
                    continue
                hopeless = self._hopeless(records, bad, problem)
                if not hopeless:
                    raise _CauseAwaited(f"record {records[min(bad)]['id']} waits for a cause") from problem
                for index in sorted(hopeless):
                    self._put_aside.add(lines[index])
                    self._refuse(records[index], problem)
                rest = [line for index, line in enumerate(lines) if index not in hopeless]
                if rest:
                    waiting.append(rest)
                continue
            # Where this fails the batch is sent once more, and confirmed by its first receipts.
            yield from self._calls.confirm_posted(records, receipts)
            self._accepted(receipts)
        if self._awaiting and not self._put_aside:
            self._patience = self.limits.cause_wait
        self._awaiting.clear()
        self._put_aside.clear()
        lane.settle(batch)
        with self._lock:
            self._done += len(batch.lines) + batch.damaged
            self._stats.damaged += batch.damaged
            if batch.damaged:
                log.error("%d lines of the spool were damaged and are not sent", batch.damaged)

    def _hopeless(self, records: list[JsonObject], bad: set[int], problem: RecordRefused) -> set[int]:
        """Those of the refused records that no waiting helps.

        A cause that is unknown may have been recorded by another process, which has not sent it yet. It is waited for;
        not if it was refused itself, and less patiently after each wait that was in vain.
        """
        errors: dict[int, int] = {}
        awaited: dict[int, int] = {}
        for error in problem.errors:
            head, _, place = error.pointer.removeprefix("/").partition("/causes/")
            index = int(head.partition("/")[0]) if head.partition("/")[0].isdecimal() else 0
            number = place.partition("/")[0]
            errors[index] = errors.get(index, 0) + 1
            if error.code == "cause_unknown" and number.isdecimal():
                cause = str(records[index]["causes"][int(number)]["id"])
                awaited[index] = awaited.get(index, 0) + (cause not in self._given_up)
        now = time.monotonic()
        hopeless = set()
        for index in bad:
            since = self._awaiting.setdefault(str(records[index]["id"]), now)
            if not awaited.get(index) or errors[index] > awaited[index]:
                hopeless.add(index)
            elif now - since >= self._patience:
                hopeless.add(index)
                self._patience /= 2
        return hopeless

    def _accepted(self, receipts: list[Receipt]) -> None:
        with self._lock:
            self._stats.sent += len(receipts)
            self._stats.duplicates += sum(receipt.duplicate for receipt in receipts)
        if self._on_receipt is not None:
            for receipt in receipts:
                _told(self._on_receipt, receipt)

    def _refuse(self, record: JsonObject, problem: ApiError) -> None:
        log.error("a record was refused: %s of kind %s: %s", record.get("id"), record.get("kind"), problem)
        self._given_up[str(record.get("id"))] = None
        while len(self._given_up) > _REMEMBERED:
            self._given_up.popitem(last=False)
        kept = True
        if self._refused is not None:
            kept = self._refused.append(
                json.dumps(
                    {
                        "refused_at": timestamp(),
                        "status": problem.status,
                        "code": problem.code,
                        "errors": [asdict(error) for error in problem.errors],
                        "request_id": problem.request_id,
                        "record": record,
                    },
                    ensure_ascii=False,
                )
            )
        with self._lock:
            self._stats.refused += 1
            self._stats.refused_unkept += not kept
        if self._on_refused is not None:
            _told(self._on_refused, record, problem)

    def _failed(self, problem: Exception) -> None:
        """Says that records wait, when that is news."""
        now = time.monotonic()
        if str(problem) != str(self._problem) or now - self._told >= 60:
            log.warning("records wait: %s", problem)
            self._told = now
        self._problem = problem

    def _pause(self, attempt: int, problem: Exception) -> float:
        if isinstance(problem, _CauseAwaited):  # each attempt leaves a refusal in the ledger
            return max(min(1.0, self._patience / 4), self._retries.pause(attempt, None))
        return self._retries.pause(attempt, getattr(problem, "retry_after", None))

    def _unsent(self) -> Unsent | None:
        with self._lock:
            pending = self._into - self._done
            if pending <= 0:
                return None
            return Unsent(pending, str(self._problem) if self._problem else "there was no time")

    def _release(self) -> None:
        with self._lock:
            self._closed = True
            for lane in self._lanes():
                with contextlib.suppress(OSError):
                    lane.close()

    def _after_fork(self) -> None:
        """In a child: the lanes, and what is in them, stay the parent's. A new one begins with the next record."""
        for lane in self._lanes():
            if isinstance(lane, DiskLane):
                lane.abandon()
        self._lock = threading.Condition()
        self._orphans, self._own = [], None
        self._stats = Stats()
        self._into = self._done = self._flushing = 0
        self._since = self._problem = None
        self._put_aside, self._awaiting = set(), {}
        self._stop_sending()

    def _stop_sending(self) -> None:
        """Forgets who sends: neither a thread nor a loop of the parent's runs in a child."""
        raise NotImplementedError


_recorders: weakref.WeakSet[_Recorder] = weakref.WeakSet()


def _children_begin_anew() -> None:
    forget_ids()
    for recorder in list(_recorders):
        recorder._after_fork()


os.register_at_fork(after_in_child=_children_begin_anew)


def _told(function: Callable[..., object], *given: object) -> None:
    try:
        function(*given)
    except Exception:
        log.exception("a callback failed")


class Recorder(_Recorder):
    """Records in the background, from a thread of its own.

    `record()`, sessions and tools return as soon as the record is in the spool: written to a file (with `fsync`, on the
    disk), from where it is sent in its order; if this process dies, by the next one that opens the same `spool`, or by
    one that has it open already.
    Several processes may share a spool, also for different logs. Without a `spool` records wait in memory.

    `on_full` says what happens where `limits.pending_bytes` wait: `raise` (`SpoolFull`), or `count` in `stats.dropped`.
    A record that the server refuses for good is given to `on_refused`, kept in `refused.ndjson`, and does not stop the
    others. A receipt that does not hold stops everything: `flush` and `close` raise `ReceiptError`.
    """

    def __init__(
        self,
        client: Client,
        spool: str | os.PathLike[str] | None = None,
        *,
        producer: str | None = None,
        limits: Limits = Limits(),
        fsync: bool = False,
        on_full: Literal["raise", "count"] = "raise",
        on_refused: Callable[[JsonObject, ApiError], object] | None = None,
        on_receipt: Callable[[Receipt], object] | None = None,
        retries: Retries = Retries(),  # noqa: B008 - it is frozen
        exit_timeout: float = 5.0,
    ) -> None:
        super().__init__(
            client.calls,
            client.log,
            spool,
            producer=producer or client.source.producer,
            limits=limits,
            fsync=fsync,
            on_full=on_full,
            on_refused=on_refused,
            on_receipt=on_receipt,
            retries=retries,
        )
        self.client = client
        self._exit_timeout = exit_timeout
        self._thread: threading.Thread | None = None
        if self._orphans:
            with self._lock:
                self._wake()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="whence-recorder", daemon=True)
            self._thread.start()
        self._lock.notify_all()

    def _run(self) -> None:
        attempt = 0
        while True:
            with self._lock:
                while (wait := self._wait()) != 0.0 and not self._closing:
                    self._lock.wait(wait)
                if self._closed or (self._closing and wait is None):
                    return
            try:
                found = self._next()
                if found is None:
                    continue
                self.client.run(self._deliver(*found))
                attempt, pause = 0, 0.0
                self._problem = None
            except ReceiptError as problem:
                log.exception("the log cannot be trusted any more: nothing is sent")
                with self._lock:
                    self._halted = problem
                    self._lock.notify_all()
                return
            except Exception as problem:
                self._failed(problem)
                pause = self._pause(attempt, problem)
                attempt += 1
            with self._lock:
                self._lock.notify_all()
                until = time.monotonic() + pause
                while not self._closed and (left := until - time.monotonic()) > 0:
                    self._lock.wait(left)

    def flush(self, timeout: float | None = None) -> None:
        """Waits until all that was recorded before is sent; raises `Unsent` when time is over."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            target = self._into
            self._flushing += 1
            try:
                if self._done < target and self._halted is None:
                    self._wake()
                while self._done < target and self._halted is None:
                    left = None if until is None else until - time.monotonic()
                    if left is not None and left <= 0:
                        break
                    self._lock.wait(left)
            finally:
                self._flushing -= 1
            if self._halted is not None:
                raise self._halted
            done = self._done >= target
        if not done and (unsent := self._unsent()):
            raise unsent

    def close(self, timeout: float = 30.0) -> None:
        """Sends what is left, as far as time goes, and ends. Raises `Unsent` if something remains."""
        with self._lock:
            if self._closed:
                return
            self._look_again()
            self._closing = True
        try:
            self.flush(timeout)
        finally:
            self._release()
            with self._lock:
                self._lock.notify_all()
            if self._thread is not None:
                self._thread.join(1.0)

    def preflight(self, record: Mapping[str, Any]) -> Decision:
        """Sends what was recorded before, because it may be the cause, and asks."""
        self.flush(60.0)
        whole = complete(record)
        whole.setdefault("source", self.source.json())
        return self.client.preflight(whole)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception:
            if problem is None:
                raise
            log.exception("not everything that was recorded is sent")

    def _stop_sending(self) -> None:
        self._thread = None


@atexit.register
def _close_all() -> None:
    for recorder in list(_recorders):
        if not isinstance(recorder, Recorder):  # there is no loop any more to await an `AsyncRecorder` in
            continue
        try:
            recorder.close(recorder._exit_timeout)
        except Exception as problem:
            log.error("at exit: %s", problem)  # noqa: TRY400 - the trace says nothing more


class AsyncRecorder(_Recorder):
    """`Recorder`, from an asyncio task: `async with AsyncRecorder(client, spool) as recorder`.

    `record()`, sessions and tools are not awaited: they write to the spool and return. `flush`, `close` and `preflight`
    are awaited.
    """

    def __init__(
        self,
        client: AsyncClient,
        spool: str | os.PathLike[str] | None = None,
        *,
        producer: str | None = None,
        limits: Limits = Limits(),
        fsync: bool = False,
        on_full: Literal["raise", "count"] = "raise",
        on_refused: Callable[[JsonObject, ApiError], object] | None = None,
        on_receipt: Callable[[Receipt], object] | None = None,
        retries: Retries = Retries(),  # noqa: B008 - it is frozen
    ) -> None:
        super().__init__(
            client.calls,
            client.log,
            spool,
            producer=producer,
            limits=limits,
            fsync=fsync,
            on_full=on_full,
            on_refused=on_refused,
            on_receipt=on_receipt,
            retries=retries,
        )
        self.client = client
        self._stop_sending()

    def _stop_sending(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._event = asyncio.Event()
        self._progress = asyncio.Event()

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._event.set)

    def start(self) -> None:
        """Starts sending, in the loop that runs."""
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run(), name="whence-recorder")
            self._event.set()

    async def _sleep(self, seconds: float | None) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        self._event.clear()

    async def _run(self) -> None:
        attempt = 0
        while True:
            with self._lock:
                wait = self._wait()
            if self._closed or (self._closing and wait is None):
                return
            if wait != 0.0:
                await self._sleep(wait)
                continue
            try:
                found = self._next()
                if found is None:
                    continue
                await self.client.run(self._deliver(*found))
                attempt, pause = 0, 0.0
                self._problem = None
            except ReceiptError as problem:
                log.exception("the log cannot be trusted any more: nothing is sent")
                self._halted = problem
                self._progress.set()
                return
            except Exception as problem:
                self._failed(problem)
                pause = self._pause(attempt, problem)
                attempt += 1
            self._progress.set()
            until = time.monotonic() + pause
            while not self._closed and (left := until - time.monotonic()) > 0:
                await self._sleep(left)

    async def flush(self, timeout: float | None = None) -> None:
        """Waits until all that was recorded before is sent; raises `Unsent` when time is over."""
        self.start()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._flushed(self._into), timeout)
            return
        if unsent := self._unsent():
            raise unsent

    async def _flushed(self, target: int) -> None:
        self._flushing += 1
        try:
            self._event.set()
            while self._done < target and self._halted is None:
                self._progress.clear()
                await self._progress.wait()
        finally:
            self._flushing -= 1
        if self._halted is not None:
            raise self._halted

    async def close(self, timeout: float = 30.0) -> None:
        """Sends what is left, as far as time goes, and ends. Raises `Unsent` if something remains."""
        if self._closed:
            return
        with self._lock:
            self._look_again()
            self._closing = True
        try:
            await self.flush(timeout)
        finally:
            self._release()
            self._event.set()
            if self._task is not None:
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task

    def preflight(self, record: Mapping[str, Any]) -> Awaitable[Decision]:
        """Sends what was recorded before, because it may be the cause, and asks."""
        whole = complete(record)
        whole.setdefault("source", self.source.json())

        async def ask() -> Decision:
            await self.flush(60.0)
            return await self.client.preflight(whole)

        return ask()

    async def __aenter__(self) -> AsyncRecorder:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except Exception:
            if problem is None:
                raise
            log.exception("not everything that was recorded is sent")
