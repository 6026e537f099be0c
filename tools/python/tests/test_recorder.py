"""Recorders: nothing is lost, whoever dies; nothing stands still because of one record."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Server, eventually, prompt
from test_receipts import Changing, flipped, of_receipt, said_to_be_erased

from whence import (
    AsyncClient,
    AsyncRecorder,
    Client,
    Limits,
    ReceiptError,
    Recorder,
    Retries,
    SpoolFull,
    Unsent,
    UsageError,
)

QUICK = Retries(attempts=100, first=0.01, most=0.1)


def texts(client: Client, session: str) -> list[Any]:
    records = client.session_records(session)["records"]["data"]
    return [record["content"][0]["value"] for record in records]


def lanes(spool: Path) -> list[Path]:
    return [path for path in spool.iterdir() if path.is_dir()]


def test_what_is_recorded_is_sent_in_its_order(client: Client, tmp_path: Path) -> None:
    got: list[int] = []
    limits = Limits(batch_records=64)
    with Recorder(client, tmp_path, limits=limits, on_receipt=lambda receipt: got.append(receipt.seq)) as recorder:
        before: str | None = None
        for number in range(1_000):
            causes = [{"id": before, "rel": "informed_by"}] if before else []
            before = recorder.record(prompt("s-order", number, causes=causes))
        recorder.flush(30)
        stats = recorder.stats
        assert (stats.recorded, stats.sent, stats.pending, stats.pending_bytes) == (1_000, 1_000, 0, 0)
    assert texts(client, "s-order") == list(range(1_000))
    assert got == sorted(got)
    assert len(got) == 1_000
    assert lanes(tmp_path) == []


def test_recording_does_not_wait_for_the_server(fresh: Server, tmp_path: Path) -> None:
    with fresh.client() as client:
        fresh.kill()
        recorder = Recorder(client, tmp_path / "spool", retries=QUICK)
        began = time.monotonic()
        for number in range(100):
            recorder.record(prompt("s-down", number))
        assert time.monotonic() - began < 2.0
        with pytest.raises(Unsent) as unsent:
            recorder.flush(0.3)
        assert unsent.value.pending == 100
        fresh.start()
        recorder.flush(30)
        recorder.close()
        assert texts(client, "s-down") == list(range(100))


def test_a_server_that_is_killed_in_mid_batch_loses_and_doubles_nothing(fresh: Server, tmp_path: Path) -> None:
    with fresh.client() as client:
        recorder = Recorder(client, tmp_path / "spool", limits=Limits(batch_records=16, linger=0.0), retries=QUICK)
        stop = threading.Event()

        def kill() -> None:
            while not stop.wait(0.15):
                fresh.kill()
                fresh.start()

        killer = threading.Thread(target=kill)
        killer.start()
        for number in range(2_000):
            recorder.record(prompt("s-killed", number))
            if number % 100 == 0:
                time.sleep(0.05)
        time.sleep(0.5)
        stop.set()
        killer.join()
        recorder.flush(60)
        assert recorder.stats.sent == 2_000
        recorder.close()
        assert texts(client, "s-killed") == list(range(2_000))


def test_an_answer_that_is_lost_leads_to_duplicates(server: Server, tmp_path: Path) -> None:
    class Losing(httpx.BaseTransport):
        def __init__(self) -> None:
            self.inner = httpx.HTTPTransport()
            self.lost = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = self.inner.handle_request(request)
            if request.method == "POST" and self.lost < 3:
                answer.read()
                self.lost += 1
                raise httpx.ReadError("lost")
            return answer

    with server.client(transport=Losing()) as client, Recorder(client, tmp_path, retries=QUICK) as recorder:
        for number in range(20):
            recorder.record(prompt("s-lost", number))
        recorder.flush(30)
        assert (recorder.stats.sent, recorder.stats.duplicates) == (20, 20)
        assert texts(client, "s-lost") == list(range(20))


CHILD = """
import os, sys
from whence import Client, Limits, Recorder
from serving import prompt
client = Client(sys.argv[1], "token-of-nobody")
recorder = Recorder(client, sys.argv[2], fsync=True, limits=Limits(linger=60.0))
number = 0
while True:
    recorder.record(prompt("s-kill-9", number))
    print(number, flush=True)
    number += 1
"""


def test_what_a_killed_process_recorded_is_sent_by_the_next(server: Server, client: Client, tmp_path: Path) -> None:
    here = Path(__file__).parent
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, server.url, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parent}"},
    )
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) == 300:
            break
    child.send_signal(signal.SIGKILL)
    last = max([300, *[int(line) for line in child.stdout.read().split()]])
    child.wait()
    # As if the machine had stopped while a line was written.
    [lane] = lanes(tmp_path)
    with sorted(lane.glob("*.log"))[-1].open("ab") as torn:
        torn.write(b'1234abcd {"id":"half of')
    with Recorder(client, tmp_path) as recorder:
        recorder.record(prompt("s-kill-9", "the next process"))
        recorder.flush(30)
        stats = recorder.stats
        assert stats.adopted >= last + 1
        assert stats.damaged == 1
        assert stats.pending == 0
    sent = texts(client, "s-kill-9")
    assert sent[: last + 1] == list(range(last + 1)), "all that it said it had recorded"
    assert sent[-1] == "the next process"
    assert lanes(tmp_path) == []


def test_a_spool_is_shared_by_processes_that_live(client: Client, tmp_path: Path) -> None:
    slow = Limits(linger=60.0)
    one, two = Recorder(client, tmp_path, limits=slow), Recorder(client, tmp_path, limits=slow)
    one.record(prompt("s-shared", "one"))
    two.record(prompt("s-shared", "two"))
    assert (one.stats.pending, two.stats.pending) == (1, 1)
    three = Recorder(client, tmp_path)
    assert three.stats.adopted == 0
    for recorder in (one, two, three):
        recorder.close()
    assert sorted(texts(client, "s-shared")) == ["one", "two"]


def test_two_logs_share_a_folder_and_no_record(server: Server, client: Client, tmp_path: Path) -> None:
    answer = httpx.post(f"{server.url}/v1/ledgers", headers=server.headers, json={"name": "tenant-b"})
    assert answer.status_code == 201, answer.text
    lost = Recorder(Client(server.url, "whence_wrong", ledger="tenant-b"), tmp_path, retries=QUICK)
    lost.record(prompt("s-tenants", "of tenant b"))
    with pytest.raises(Unsent):
        lost.close(0.1)
    [lane] = lanes(tmp_path)
    assert "wrong" not in (lane / "to").read_text(), "no token stands in it"
    with Recorder(client, tmp_path) as recorder:
        recorder.record(prompt("s-tenants", "of main"))
        assert recorder.stats.adopted == 0
    assert texts(client, "s-tenants") == ["of main"]
    with Client(server.url, server.token, ledger="tenant-b") as other:
        Recorder(other, tmp_path).close()
        assert texts(other, "s-tenants") == ["of tenant b"]
    assert lanes(tmp_path) == []


def test_what_says_for_which_log_a_lane_is_has_no_secret(server: Server) -> None:
    with Client(f"{server.url.replace('//', '//alice:secret@')}/?key=secret", "token", ledger="é") as client:
        assert json.loads(client.log) == {"url": f"{server.url}/", "ledger": "é"}


def test_a_line_that_was_changed_is_told_and_the_rest_is_sent(client: Client, tmp_path: Path) -> None:
    recorder = Recorder(client, tmp_path, limits=Limits(linger=60.0))
    for number in range(5):
        recorder.record(prompt("s-damaged", number))
    [lane] = lanes(tmp_path)
    [segment] = lane.glob("*.log")
    data = segment.read_bytes().splitlines(keepends=True)
    data[2] = data[2].replace(b"prompt", b"prompf")
    segment.write_bytes(b"".join(data))
    recorder.close()
    assert recorder.stats.damaged == 1
    assert texts(client, "s-damaged") == [0, 1, 3, 4]


def test_a_refused_record_is_put_aside_and_does_not_block(client: Client, tmp_path: Path) -> None:
    refused: list[tuple[str, str]] = []
    recorder = Recorder(
        client,
        tmp_path,
        limits=Limits(cause_wait=0.0),
        on_refused=lambda record, problem: refused.append((record["content"]["text"], problem.code)),
    )
    for number in range(10):
        record = prompt("s-refused", f"number {number}")
        if number in (3, 7):
            del record["user"]
        if number == 5:
            record["causes"] = [{"id": "nobody-has-this-id", "rel": "informed_by"}]
        recorder.record(record)
    recorder.close()
    assert sorted(refused) == [
        ("number 3", "user_context_missing"),
        ("number 5", "cause_unknown"),
        ("number 7", "user_context_missing"),
    ]
    assert texts(client, "s-refused") == [f"number {number}" for number in (0, 1, 2, 4, 6, 8, 9)]
    kept = [json.loads(line) for line in (tmp_path / "refused.ndjson").read_text().splitlines()]
    assert sorted(each["record"]["content"]["text"] for each in kept) == ["number 3", "number 5", "number 7"]
    assert all(each["errors"] for each in kept)
    assert (recorder.stats.sent, recorder.stats.refused) == (7, 3)


def test_a_cause_that_another_process_has_not_sent_yet_is_waited_for(
    server: Server, client: Client, tmp_path: Path
) -> None:
    class Counting(httpx.BaseTransport):
        def __init__(self) -> None:
            self.inner = httpx.HTTPTransport()
            self.posts = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.posts += request.method == "POST"
            return self.inner.handle_request(request)

    counting = Counting()
    one = Recorder(client, tmp_path, limits=Limits(linger=60.0))
    two = Recorder(server.client(transport=counting), tmp_path)
    cause = one.record(prompt("s-wait", "one"))
    wrong = prompt("s-wait", "wrong")
    del wrong["user"]
    two.record(wrong)
    two.record(prompt("s-wait", "two", causes=[{"id": cause, "rel": "informed_by"}]))
    two.record(prompt("s-wait", "three"))
    eventually(lambda: two.stats.refused == 1)
    time.sleep(0.3)
    assert two.stats.sent == 0
    assert counting.posts <= 4, "each attempt leaves a refusal in the ledger"
    one.close()
    two.close()
    assert (two.stats.sent, two.stats.refused) == (2, 1), "and what was refused meanwhile is refused once"
    assert texts(client, "s-wait") == ["one", "two", "three"]


def test_a_cause_that_never_comes_is_not_waited_for_for_ever(client: Client, tmp_path: Path) -> None:
    refused: list[str] = []
    recorder = Recorder(
        client,
        tmp_path,
        limits=Limits(cause_wait=0.4),
        on_refused=lambda record, _: refused.append(record["content"]["text"]),
    )
    before = "nobody-has-this-id"
    for number in range(5):
        before = recorder.record(prompt("s-never", f"number {number}", causes=[{"id": before, "rel": "informed_by"}]))
    recorder.record(prompt("s-never", "free"))
    began = time.monotonic()
    recorder.close()
    assert time.monotonic() - began < 10, "what follows from a refused record waits for nothing"
    assert refused == [f"number {number}" for number in range(5)]
    assert texts(client, "s-never") == ["free"]


def test_another_record_of_the_same_id_is_refused_alone(client: Client, tmp_path: Path) -> None:
    first = client.post(prompt("s-same", "first"))
    with Recorder(client, tmp_path) as recorder:
        recorder.record(prompt("s-same", "second"))
        recorder.record({**prompt("s-same", "not first"), "id": first.id})
        recorder.record(prompt("s-same", "third"))
        recorder.flush(30)
        assert recorder.stats.refused == 1
    assert texts(client, "s-same") == ["first", "second", "third"]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(400, html="<h1>Bad Request</h1>"),
        httpx.Response(409, json={"message": "conflict"}),
        httpx.Response(422, text=""),
        httpx.Response(400, json={"code": "body_unreadable"}),
        httpx.Response(400, json={"code": "no_records"}),
        httpx.Response(415, json={"code": "media_type_unsupported"}),
    ],
    ids=["400", "409", "422", "cut off", "nothing came", "another type came"],
)
def test_what_is_said_of_no_record_refuses_none(server: Server, tmp_path: Path, answer: httpx.Response) -> None:
    class Between(httpx.BaseTransport):
        """Answers in the server's place, for a while."""

        def __init__(self) -> None:
            self.inner = httpx.HTTPTransport()
            self.left = 3

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method != "POST" or self.left == 0:
                return self.inner.handle_request(request)
            self.left -= 1
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    session = f"s-{tmp_path.name}"
    with server.client(transport=Between()) as client:
        recorder = Recorder(client, tmp_path / "spool", retries=QUICK)
        for number in range(5):
            recorder.record(prompt(session, number))
        recorder.close()
        assert (recorder.stats.sent, recorder.stats.refused) == (5, 0)
        assert texts(client, session) == list(range(5))
    assert not (tmp_path / "spool" / "refused.ndjson").exists()


def test_records_that_fill_a_request_are_sent(client: Client, tmp_path: Path) -> None:
    with Recorder(client, tmp_path, limits=Limits(batch_bytes=4_194_304)) as recorder:
        for _ in range(9):
            recorder.record(prompt("s-big", "x" * 1_000_000))
        with pytest.raises(UsageError):
            recorder.record(prompt("s-big", "x" * 4_200_000))
        # The server refuses this one: a part has at most 1 MiB.
        recorder.record(prompt("s-big", "x" * 1_100_000))
        recorder.flush(60)
        assert (recorder.stats.sent, recorder.stats.refused) == (9, 1)


def test_a_full_spool_raises_or_counts(fresh: Server, tmp_path: Path) -> None:
    with fresh.client() as client:
        fresh.kill()
        small = Limits(pending_bytes=10_000)
        raising = Recorder(client, tmp_path / "raise", limits=small, retries=QUICK)
        counting = Recorder(client, tmp_path / "count", limits=small, retries=QUICK, on_full="count")
        taken = 0
        with pytest.raises(SpoolFull):
            while True:
                raising.record(prompt("s-raises", taken))
                taken += 1
        for number in range(100):
            counting.record(prompt("s-counts", number))
        stats = counting.stats
        assert stats.recorded + stats.dropped == 100
        assert 10 < stats.recorded == taken
        fresh.start()
        raising.flush(30)
        counting.flush(30)
        raising.record(prompt("s-raises", "there is room again"))
        raising.close()
        counting.close()
        assert texts(client, "s-raises") == [*range(taken), "there is room again"]
        assert texts(client, "s-counts") == list(range(taken))


def test_a_receipt_that_does_not_hold_stops_everything(server: Server, tmp_path: Path) -> None:
    lie = Changing(of_receipt(lambda receipt: receipt.__setitem__("leaf_hash", flipped(receipt["leaf_hash"]))))
    with server.client(transport=lie) as client:
        recorder = Recorder(client, tmp_path, retries=QUICK)
        recorder.record(prompt("s-lie", 0))
        with pytest.raises(ReceiptError):
            recorder.flush(30)
        recorder.record(prompt("s-lie", 1))
        with pytest.raises(ReceiptError):
            recorder.close()
    assert len(lanes(tmp_path)) == 1, "it is kept, for a log that can be trusted"
    with server.client() as client, Recorder(client, tmp_path) as again:
        again.flush(30)
        assert (again.stats.adopted, again.stats.duplicates) == (2, 1)


def test_entries_are_compared_with_what_was_recorded(server: Server, tmp_path: Path) -> None:
    with server.client(check="entries", transport=Changing(said_to_be_erased)) as client:
        recorder = Recorder(client, tmp_path, retries=QUICK)
        recorder.record(prompt("s-entries-lie", 0))
        with pytest.raises(ReceiptError, match="erased already"):
            recorder.close()
        assert recorder.stats.sent == 0
    assert len(lanes(tmp_path)) == 1, "it is kept, for a log that can be trusted"
    got: list[str] = []
    with server.client(check="entries") as client:
        again = Recorder(client, tmp_path, on_receipt=lambda receipt: got.append(receipt.id))
        again.record(prompt("s-entries-lie", 1))
        again.close()
        assert (again.stats.sent, again.stats.duplicates, len(got)) == (2, 1, 2)


def test_entries_are_compared_by_a_task_too(server: Server, tmp_path: Path) -> None:
    async def all_of_it() -> None:
        change = AsyncChanging(said_to_be_erased)
        async with AsyncClient(server.url, server.token, check="entries", transport=change) as client:
            recorder = AsyncRecorder(client, tmp_path, producer="test")
            recorder.record(prompt("s-entries-task", 0))
            with pytest.raises(ReceiptError, match="erased already"):
                await recorder.close()

    asyncio.run(all_of_it())


class AsyncChanging(httpx.AsyncBaseTransport):
    """`Changing`, for asyncio."""

    def __init__(self, change: Callable[[Any], Any]) -> None:
        self.inner = Changing(change)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await asyncio.to_thread(self.inner.handle_request, request)


def test_a_token_that_is_wrong_keeps_everything(server: Server, tmp_path: Path) -> None:
    with Client(server.url, "whence_wrong") as client:
        recorder = Recorder(client, tmp_path, retries=QUICK)
        recorder.record(prompt("s-token", 0))
        with pytest.raises(Unsent, match="401"):
            recorder.close(1.5)
    with server.client() as client:
        Recorder(client, tmp_path).close()
        assert texts(client, "s-token") == [0]


def test_without_a_folder_it_waits_in_memory(client: Client) -> None:
    with Recorder(client) as recorder:
        for number in range(600):
            recorder.record(prompt("s-memory", number))
        recorder.flush(30)
        assert recorder.stats.pending_bytes == 0
    assert texts(client, "s-memory") == list(range(600))
    with pytest.raises(UsageError):
        recorder.record(prompt("s-memory", "too late"))


def test_threads_record_at_once(client: Client, tmp_path: Path) -> None:
    with Recorder(client, tmp_path, limits=Limits(batch_records=50)) as recorder:

        def work(number: int) -> None:
            for each in range(100):
                recorder.record(prompt(f"s-at-once-{number}", each))

        threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        recorder.flush(30)
    for number in range(8):
        assert texts(client, f"s-at-once-{number}") == list(range(100))


AT_EXIT = """
import sys
from whence import Client, Limits, Recorder
from serving import prompt
client = Client(sys.argv[1], sys.argv[3])
recorder = Recorder(client, sys.argv[2], limits=Limits(linger=60.0))
for number in range(50):
    recorder.record(prompt("s-exit", number))
"""


def test_at_exit_everything_is_sent(server: Server, client: Client, tmp_path: Path) -> None:
    here = Path(__file__).parent
    subprocess.run(
        [sys.executable, "-c", AT_EXIT, server.url, str(tmp_path), server.token],
        check=True,
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parent}"},
    )
    assert texts(client, "s-exit") == list(range(50))
    assert lanes(tmp_path) == []


FORKING = """
import os, sys
from whence import Client, Recorder
from serving import prompt
client = Client(sys.argv[1], sys.argv[3])
recorder = Recorder(client, sys.argv[2])
recorder.record(prompt("s-fork", "parent, before"))
recorder.flush(30)
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        recorder.record(prompt("s-fork", f"child {number}"))
        recorder.close(30)
        os._exit(0 if recorder.stats.sent == 1 else 1)
    children.append(child)
recorder.record(prompt("s-fork", "parent, after"))
codes = [os.waitpid(child, 0)[1] for child in children]
recorder.close(30)
sys.exit(any(codes))
"""


def test_a_forked_process_records_for_itself(server: Server, client: Client, tmp_path: Path) -> None:
    here = Path(__file__).parent
    subprocess.run(
        [sys.executable, "-c", FORKING, server.url, str(tmp_path), server.token],
        check=True,
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parent}"},
        timeout=60,
    )
    expected = ["child 0", "child 1", "child 2", "parent, after", "parent, before"]
    assert sorted(texts(client, "s-fork")) == expected


FORKING_TASKS = """
import asyncio, os, sys
from whence import AsyncClient, AsyncRecorder
from serving import prompt

async def of_a_child(recorder, number):
    recorder.record(prompt("s-fork-tasks", f"child {number}"))
    await recorder.close(30)
    os._exit(0 if recorder.stats.sent == 1 else 1)

async def parent():
    client = AsyncClient(sys.argv[1], sys.argv[3])
    recorder = AsyncRecorder(client, sys.argv[2], producer="test")
    recorder.start()
    recorder.record(prompt("s-fork-tasks", "parent, before"))
    await recorder.flush(30)
    recorder.record(prompt("s-fork-tasks", "parent, meanwhile"))
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            asyncio.run(of_a_child(recorder, number))
        children.append(child)
    recorder.record(prompt("s-fork-tasks", "parent, after"))
    codes = [os.waitpid(child, 0)[1] for child in children]
    await recorder.close(30)
    assert recorder.stats.sent == 3, recorder.stats
    sys.exit(any(codes))

asyncio.run(parent())
"""


def test_a_forked_process_records_for_itself_with_asyncio_too(server: Server, client: Client, tmp_path: Path) -> None:
    here = Path(__file__).parent
    subprocess.run(
        [sys.executable, "-c", FORKING_TASKS, server.url, str(tmp_path), server.token],
        check=True,
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parent}"},
        timeout=60,
    )
    expected = ["child 0", "child 1", "child 2", "parent, after", "parent, before", "parent, meanwhile"]
    assert sorted(texts(client, "s-fork-tasks")) == expected
    assert lanes(tmp_path) == []


def test_a_child_closes_no_descriptor_of_somebody_else(client: Client, tmp_path: Path) -> None:
    recorder = Recorder(client, tmp_path)
    recorder.record(prompt("s-closed-before-fork"))
    recorder.close()
    # They have the numbers now that the lane had.
    others = [os.open(tmp_path, os.O_RDONLY) for _ in range(4)]
    assert in_a_child(lambda: all(os.fstat(each) for each in others))
    for each in others:
        os.close(each)


def test_a_child_does_not_wait_for_a_thread_that_it_does_not_have(client: Client) -> None:
    with client.calls.trust._lock:
        assert in_a_child(lambda: client.calls.trust._lock.acquire(timeout=1))


def in_a_child(holds: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if holds() else 1
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def leave_behind(recorder: Recorder | AsyncRecorder, text: str) -> None:
    """A process that ends without another word, as those of `multiprocessing` do."""
    assert in_a_child(lambda: bool(recorder.record(prompt("s-left", text))))


def test_what_a_child_left_is_sent_by_its_parent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whence.recorder._LOOK_AGAIN", 0.1)
    with server.client() as client:
        recorder = Recorder(client, tmp_path, limits=Limits(linger=0.5))
        recorder.record(prompt("s-left", "parent"))
        recorder.flush(30)
        leave_behind(recorder, "a child")
        eventually(lambda: recorder.stats.sent == 2)
        eventually(lambda: len(lanes(tmp_path)) == 1)
        monkeypatch.setattr("whence.recorder._LOOK_AGAIN", 60.0)
        leave_behind(recorder, "a child, before the end")
        recorder.close()
        assert (recorder.stats.adopted, recorder.stats.sent) == (2, 3)
        assert texts(client, "s-left") == ["parent", "a child", "a child, before the end"]
    assert lanes(tmp_path) == []


def test_a_parent_that_records_nothing_sends_what_its_children_left(client: Client, tmp_path: Path) -> None:
    recorder = Recorder(client, tmp_path, limits=Limits(linger=0.5))
    leave_behind(recorder, "of a child")
    assert len(lanes(tmp_path)) == 1
    recorder.close()
    assert recorder.stats.sent == 1
    assert lanes(tmp_path) == []


def test_what_a_child_left_is_sent_by_a_task_of_its_parent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whence.recorder._LOOK_AGAIN", 0.1)

    async def all_of_it() -> None:
        async with (
            AsyncClient(server.url, server.token) as client,
            AsyncRecorder(client, tmp_path, producer="test") as recorder,
        ):
            leave_behind(recorder, "of a child")
            until = time.monotonic() + 20
            while recorder.stats.sent == 0 and time.monotonic() < until:
                await asyncio.sleep(0.01)
            assert recorder.stats.sent == 1

    asyncio.run(all_of_it())
    assert lanes(tmp_path) == []


def test_a_spool_that_is_gone_does_not_stop_who_is_idle(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("whence.recorder._LOOK_AGAIN", 0.05)
    with Recorder(client, tmp_path / "spool", limits=Limits(linger=0.0)) as recorder:
        recorder.record(prompt("s-gone", 0))
        recorder.flush(30)
        (tmp_path / "spool").rename(tmp_path / "elsewhere")
        eventually(lambda: "No such file" in caplog.text)
        (tmp_path / "elsewhere").rename(tmp_path / "spool")
        recorder.record(prompt("s-gone", 1))
        recorder.flush(30)
    assert texts(client, "s-gone") == [0, 1]


def test_an_asyncio_task_sends_as_well(fresh: Server, tmp_path: Path) -> None:
    async def all_of_it() -> None:
        async with AsyncClient(fresh.url, fresh.token, key=fresh.key) as client:
            async with AsyncRecorder(client, tmp_path / "spool", retries=QUICK, producer="test") as recorder:
                for number in range(300):
                    recorder.record(prompt("s-task", number))
                await recorder.flush(30)
                assert recorder.stats.sent == 300
                fresh.kill()
                recorder.record(prompt("s-task", 300))
                with pytest.raises(Unsent):
                    await recorder.flush(0.3)
                fresh.start()
                await recorder.flush(30)
                wrong = prompt("s-task", "wrong")
                del wrong["session"]
                recorder.record(wrong)
                # Another thread may record too.
                await asyncio.to_thread(recorder.record, prompt("s-task", 301))
            stats = recorder.stats
            assert (stats.sent, stats.refused, stats.pending) == (302, 1, 0)
            page = await client.session_records("s-task")
            found = [record["content"][0]["value"] for record in page["records"]["data"]]
            assert found == list(range(302))

    asyncio.run(all_of_it())
    assert lanes(tmp_path / "spool") == []


def test_a_batch_is_sent_when_its_time_has_come(client: Client, tmp_path: Path) -> None:
    with Recorder(client, tmp_path, limits=Limits(linger=0.1)) as recorder:
        recorder.record(prompt("s-linger", 0))
        assert recorder.stats.sent == 0
        eventually(lambda: recorder.stats.sent == 1)
