"""Posting, reading and errors, of both clients, against a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import httpx
import pytest
from serving import Server, prompt

from whence import (
    ApiError,
    AsyncClient,
    Client,
    ConnectionFailed,
    Grant,
    IdConflict,
    NotAllowed,
    NotFound,
    RecordRefused,
    Retries,
    UsageError,
    new_id,
)

QUICK = Retries(attempts=4, first=0.01, most=0.05)


def test_a_record_is_posted_and_read_again(client: Client) -> None:
    receipt = client.post(prompt("s-read", "Pay the invoice of Contoso."))
    assert not receipt.duplicate
    assert receipt.signed_by == client.calls.trust.key_text
    record = client.record(receipt.id)
    assert record["content"][0]["value"] == "Pay the invoice of Contoso."
    found = client.search("contoso", session="s-read", wait_for=receipt.seq + 1)
    assert [hit["id"] for hit in found["data"]] == [receipt.id]
    assert client.why(receipt.id)["nodes"]["data"][0]["id"] == receipt.id
    assert client.effects(receipt.id)["totals"]["records"] == 1
    assert [each["id"] for each in client.session_records("s-read")["records"]["data"]] == [receipt.id]
    assert client.checkpoint().size > receipt.seq


def test_what_is_sent_twice_gets_its_first_receipt(client: Client) -> None:
    record = {**prompt("s-twice"), "id": new_id(), "occurred_at": "2026-11-24T00:00:00Z"}
    first, again = client.post(record), client.post(record)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert (again.seq, again.entry_hash, again.checkpoint) == (first.seq, first.entry_hash, first.checkpoint)


def test_more_than_a_request_takes_is_several(client: Client) -> None:
    receipts = client.post_many([prompt("s-many", f"number {number}") for number in range(1_500)])
    assert [receipt.seq for receipt in receipts] == list(range(receipts[0].seq, receipts[0].seq + 1_500))
    assert len(client.session_records("s-many")["records"]["data"]) == 1_500
    large = client.post_many([prompt("s-large", "x" * 900_000) for _ in range(6)])
    assert len({receipt.id for receipt in large}) == 6


def test_errors_say_what_is_wrong_and_where(client: Client) -> None:
    wrong = prompt("s-wrong")
    del wrong["user"]
    with pytest.raises(RecordRefused) as refused:
        client.post_many([prompt("s-wrong"), wrong])
    problem = refused.value
    assert (problem.status, problem.code) == (422, "user_context_missing")
    assert [(error.pointer, error.code) for error in problem.errors] == [("/1/user", "user_context_missing")]
    assert problem.indices(2) == {1}
    assert problem.request_id
    with pytest.raises(NotFound):
        client.record("nobody-has-this-id")
    with pytest.raises(UsageError):
        client.post({"kind": object()})


def test_another_record_under_the_same_id_is_an_error(client: Client) -> None:
    first = client.post(prompt("s-conflict", "one"))
    with pytest.raises(IdConflict) as conflict:
        client.post({**prompt("s-conflict", "two"), "id": first.id})
    assert conflict.value.refusal is not None


def test_a_token_that_may_not_read_is_told_so(server: Server) -> None:
    with Client(server.url, server.token_of("writer"), key=server.key) as writer:
        receipt = writer.post(prompt("s-writer"))
        with pytest.raises(NotAllowed):
            writer.record(receipt.id)
    with Client(server.url, "whence_wrong") as nobody, pytest.raises(NotAllowed):
        nobody.checkpoint()


class Failing(httpx.BaseTransport):
    """Lets a request through and loses its answer, or answers itself, the first few times."""

    def __init__(self, *failures: Callable[[httpx.Request], httpx.Response | None]) -> None:
        self.inner = httpx.HTTPTransport()
        self.failures = list(failures)
        self.bodies: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.bodies.append(request.content)
            if self.failures:
                own = self.failures.pop(0)(request)
                if own is not None:
                    return own
                self.inner.handle_request(request).read()
                raise httpx.ReadError("the answer is lost")
        return self.inner.handle_request(request)


def test_retries_send_the_same_bytes_and_get_the_first_receipt(server: Server) -> None:
    transport = Failing(
        lambda _: httpx.Response(503, json={"code": "ledger_halted"}),
        lambda _: None,
        lambda _: httpx.Response(429, headers={"retry-after": "0"}, json={"code": "busy"}),
    )
    with server.client(transport=transport, retries=QUICK) as client:
        receipt = client.post(prompt("s-retry"))
    assert receipt.duplicate, "the second attempt was committed, and its answer lost"
    assert len(transport.bodies) == 4
    assert len(set(transport.bodies)) == 1


def test_what_stands_between_refuses_no_record(server: Server) -> None:
    page = "<html><h1>400 Bad Request</h1><hr>nginx</html>"
    answers = [httpx.Response(status, html=page) for status in (400, 409, 422)]
    answers += [httpx.Response(status, json={"code": status}) for status in (400, 409, 422)]
    with server.client(transport=Failing(*[lambda _: answers.pop()] * len(answers))) as client:
        while answers:
            with pytest.raises(ApiError) as problem:
                client.post(prompt("s-between"))
            assert not isinstance(problem.value, RecordRefused)
            assert problem.value.code == "unknown"


def test_a_body_that_was_cut_off_on_its_way_is_sent_again(server: Server) -> None:
    transport = Failing(lambda _: httpx.Response(400, json={"code": "body_unreadable"}))
    with server.client(transport=transport, retries=QUICK) as client:
        client.post(prompt("s-cut-off"))
    assert len(transport.bodies) == 2


def test_retries_end(server: Server) -> None:
    transport = Failing(*[lambda _: httpx.Response(500, json={"code": "internal"})] * 9)
    with server.client(transport=transport, retries=QUICK) as client, pytest.raises(Exception, match="internal"):
        client.post(prompt("s-end"))
    assert len(transport.bodies) == QUICK.attempts
    nowhere = Client("http://127.0.0.1:9", "token", retries=QUICK)
    with pytest.raises(ConnectionFailed):
        nowhere.post(prompt("s-end"))


def test_a_pause_doubles_and_heeds_the_server() -> None:
    retries = Retries(first=1.0, most=8.0)
    for attempt, most in enumerate([1, 2, 4, 8, 8]):
        assert most / 2 <= retries.pause(attempt, None) <= most
    assert retries.pause(0, 30.0) == 30.0


def test_a_token_is_not_sent_in_the_open() -> None:
    with pytest.raises(UsageError, match="https"):
        Client("http://log.example", "token")
    Client("http://log.example", "token", insecure_plain_http=True).close()
    with pytest.raises(UsageError, match="token"):
        Client("http://127.0.0.1:1", "")


def test_an_action_is_asked_about_before_it_is_taken(client: Client) -> None:
    first = client.post(prompt("s-ask"))
    invocation = {
        **prompt("s-ask"),
        "kind": "tool_invocation",
        "agent": {"id": "invoice-agent"},
        "delegation": "nobody-gave-this",
        "causes": [{"id": first.id, "rel": "triggered_by"}],
        "data": {"tool": "send_money", "effect": "external"},
        "content": {"arguments": {"amount": 1}},
    }
    with pytest.raises(RecordRefused) as refused:
        client.preflight(invocation)
    assert refused.value.code == "delegation_unknown"
    with client.session(user="bob@example.com", agent="invoice-agent") as session:
        asked = session.prompt("Look.")
        with session.delegation(Grant(scopes=["pay"], audience=["bank"], id="g-1")):
            decision = client.preflight(
                {
                    **invocation,
                    "user": session.user,
                    "session": {"id": session.id},
                    "delegation": "g-1",
                    "causes": [{"id": asked, "rel": "triggered_by"}],
                }
            )
    assert decision.decision == "allow"
    assert decision.receipt.proof is not None


def test_the_client_without_blocking_does_the_same(server: Server) -> None:
    async def all_of_it() -> None:
        async with AsyncClient(server.url, server.token, key=server.key, check="entries") as client:
            receipts = await client.post_many([prompt("s-async", f"number {number}") for number in range(3)])
            posts = [client.post(prompt("s-async", f"at once {number}")) for number in range(20)]
            receipts += await asyncio.gather(*posts)
            assert len({receipt.seq for receipt in receipts}) == 23
            page = await client.search(session="s-async", limit=5, wait_for=max(r.seq for r in receipts) + 1)
            assert page["total"] == 23
            assert len([hit async for hit in client.search_all(session="s-async", limit=5)]) == 23
            assert (await client.why(receipts[0].id))["id"] == receipts[0].id
            assert (await client.effects(receipts[0].id))["totals"]["records"] == 1
            assert len((await client.session_records("s-async"))["records"]["data"]) == 23
            assert (await client.checkpoint()).size == client.kept_checkpoint.size  # type: ignore[union-attr]
            with pytest.raises(NotFound):
                await client.record("nobody-has-this-id")

    asyncio.run(all_of_it())


def test_threads_share_a_client(client: Client) -> None:
    failed: list[BaseException] = []

    def post(number: int) -> None:
        try:
            for each in range(10):
                client.post(prompt(f"s-thread-{number}", f"number {each}"))
        except BaseException as problem:
            failed.append(problem)

    threads = [threading.Thread(target=post, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert all(len(client.session_records(f"s-thread-{n}")["records"]["data"]) == 10 for n in range(8))
