"""Sessions, grants and tools: who caused what is recorded without being said."""

from __future__ import annotations

import asyncio
import datetime
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serving import Server
from test_receipts import Changing

from whence import (
    AsyncClient,
    AsyncRecorder,
    Client,
    Grant,
    NoSession,
    ReceiptError,
    Recorder,
    RecordRefused,
    Session,
    Sink,
    Source,
    Unrecorded,
    UsageError,
    carry,
    current_session,
    informed_by,
    recorded_tool,
)

GRANT = Grant(scopes=["payments"], audience=["https://bank.example"], allowed_effects=["read", "external"])


class Records:
    """The records of a session by kind, as the ledger has them."""

    def __init__(self, client: Client, session: str) -> None:
        self.all = client.session_records(session)["records"]["data"]
        self.by_id = {record["id"]: record for record in self.all}

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record["entry"] for record in self.all if record["entry"]["kind"] == kind]

    def content(self, entry: dict[str, Any]) -> dict[str, Any]:
        return {part["name"]: part["value"] for part in self.by_id[entry["id"]]["content"]}


def causes(entry: dict[str, Any], rel: str) -> list[str]:
    return [cause["id"] for cause in entry.get("causes", []) if cause["rel"] == rel]


@recorded_tool(effect="external")
def send_money(to: str, amount: float = 1.0) -> dict[str, Any]:
    """Pays."""
    current_session().api_call(
        "POST", "https://bank.example/transfers", status_code=201, request_body={"to": to, "amount": amount}
    )
    return {"paid": amount}


@recorded_tool
def look_up(name: str) -> str:
    return f"IBAN of {name}"


@recorded_tool(name="pay_by_name")
def pay_by_name(name: str) -> dict[str, Any]:
    return send_money(look_up(name), amount=420)


@recorded_tool
def failing() -> None:
    raise KeyError("nothing there")


def test_a_whole_session(client: Client, tmp_path: Path) -> None:
    with Recorder(client, tmp_path, producer="billing-1") as recorder:
        with recorder.session(
            user="alice@example.com", agent={"id": "invoice-agent", "version": "1.4.2"}, id="s-whole"
        ) as session:
            system = session.prompt("You pay invoices.", role="system")
            asked = session.prompt("Pay the invoice of Contoso.")
            output = session.model_output(
                "I will.", model="example/large-4", tool_calls=[{"id": "call_1", "name": "pay_by_name"}]
            )
            with session.delegation(GRANT) as grant:
                assert pay_by_name("Contoso") == {"paid": 420}
            done = session.model_output("Done.", model="example/large-4")
        recorder.flush(30)
    found = Records(client, "s-whole")
    assert [record["entry"]["kind"] for record in found.all] == [
        "session_start", "prompt", "prompt", "model_output", "delegation_grant", "tool_invocation",
        "tool_invocation", "tool_result", "tool_invocation", "api_call", "tool_result", "tool_result",
        "model_output", "session_end",
    ]  # fmt: skip
    assert all(record["flags"] == [] for record in found.all)
    outer, looked, sent = found.of("tool_invocation")
    assert (outer["data"]["call_id"], outer["data"]["tool"]) == ("call_1", "pay_by_name")
    assert [causes(each, "triggered_by") for each in (outer, looked, sent)] == [[output]] * 3
    assert looked["labels"]["whence.parent"] == sent["labels"]["whence.parent"] == outer["id"]
    assert found.content(sent) == {"arguments": {"to": "IBAN of Contoso", "amount": 420}}
    assert {each["delegation"] for each in (outer, looked, sent)} == {grant}
    [call] = found.of("api_call")
    assert causes(call, "triggered_by") == [sent["id"]]
    result = {each["causes"][0]["id"]: each for each in found.of("tool_result")}
    assert causes(sent, "informed_by") == [result[looked["id"]]["id"]], "what the tool had read before"
    assert causes(result[sent["id"]], "triggered_by") == [call["id"]]
    assert causes(result[outer["id"]], "informed_by") == [result[looked["id"]]["id"], result[sent["id"]]["id"]]
    assert result[outer["id"]]["data"]["call_id"] == "call_1"
    assert found.content(result[outer["id"]]) == {"result": {"paid": 420}}
    [first, last] = found.of("model_output")
    assert causes(first, "triggered_by") == [asked]
    assert causes(first, "informed_by") == [system]
    assert last["id"] == done
    assert causes(last, "triggered_by") == [result[outer["id"]]["id"]]
    assert causes(last, "informed_by") == [system, asked, result[outer["id"]]["id"]]
    [end] = found.of("session_end")
    assert end["data"]["reason"] == "completed"
    why = {node["id"] for node in client.why(call["id"])["nodes"]["data"]}
    assert {asked, output, outer["id"]} - why == {outer["id"]}, "the outer tool is a label, no cause"


def test_an_exception_passes_through_as_it_is(client: Client) -> None:
    problem = ValueError("no such account")

    @recorded_tool
    def raising() -> None:
        raise problem

    with client.session(user="alice@example.com", agent="a-1", delegation="g", id="s-raise") as session:
        session.prompt("Go.")
        with pytest.raises(ValueError, match="no such account") as passed:
            raising()
        assert passed.value is problem
        assert not getattr(problem, "__notes__", [])
        with pytest.raises(TimeoutError), session.tool("slow"):
            raise TimeoutError
        with session.tool("said so") as tool:
            tool.fail("quota", {"left": 0}, "denied")
        with pytest.raises(TypeError):
            look_up()  # type: ignore[call-arg]
    found = Records(client, "s-raise")
    results = [(each["data"]["status"], each["data"].get("error_type")) for each in found.of("tool_result")]
    assert results == [
        ("error", "ValueError"),
        ("timeout", "TimeoutError"),
        ("denied", "quota"),
        ("error", "TypeError"),
    ]
    assert found.content(found.of("tool_result")[0]) == {"error": "no such account"}
    assert all(each["data"]["duration_ms"] >= 0 for each in found.of("tool_result"))


def test_a_session_that_fails_says_so(client: Client) -> None:
    with (
        pytest.raises(KeyError),
        client.session(user="alice@example.com", agent="a-1", delegation="g", id="s-fails") as session,
    ):
        session.prompt("Go.")
        failing()
    found = Records(client, "s-fails")
    [error] = found.of("error")
    assert error["data"]["error_type"] == "KeyError"
    assert len(found.of("session_end")) == 1
    with pytest.raises(NoSession):
        current_session()


def test_a_session_that_is_over_says_so(client: Client) -> None:
    options: dict[str, Any] = {"user": "alice@example.com", "agent": "a-1", "id": "s-expired"}
    with client.session(**options, expires_in=datetime.timedelta(milliseconds=1)) as session:
        time.sleep(0.01)
        assert session.expired
        session.prompt("Too late.")
    found = Records(client, "s-expired")
    assert found.of("session_end")[0]["data"]["reason"] == "expired"
    assert found.of("prompt")[0]["flags"] == ["after_session_end"]


def test_a_session_is_joined_by_another_process(client: Client) -> None:
    with client.session(user="alice@example.com", agent="a-1", id="s-joined") as session:
        session.prompt("One.")
        with client.session(user="alice@example.com", agent="a-2", id="s-joined", joined=True) as other:
            assert current_session() is other
            other.prompt("Two.")
        assert current_session() is session
    found = Records(client, "s-joined")
    assert [record["entry"]["kind"] for record in found.all] == ["session_start", "prompt", "prompt", "session_end"]


def test_a_tool_needs_a_session_and_a_cause(client: Client) -> None:
    with pytest.raises(NoSession):
        look_up("anybody")

    @recorded_tool(without_session="run")
    def harmless() -> int:
        return 1

    assert harmless() == 1
    with client.session(user="alice@example.com", agent="a-1", delegation="g") as session:
        with pytest.raises(UsageError, match="triggered"):
            look_up("anybody")
        with pytest.raises(UsageError, match="inside of a tool"):
            session.api_call("GET", "https://bank.example", status_code=200)
    with pytest.raises(TypeError):
        recorded_tool(_generator)


def _generator() -> Any:
    yield 1


def test_calls_are_joined_by_their_ids(client: Client) -> None:
    with client.session(user="alice@example.com", agent="a-1", delegation="g", id="s-calls") as session:
        session.prompt("Go.")
        calls = [{"id": f"c-{name}", "name": "look_up"} for name in ("a", "b")]
        session.model_output(model="m", tool_calls=[*calls, {"id": "c-x", "name": "other"}])
        with session.call("c-b"):
            look_up("b")
        look_up("a")
        with session.tool("other"):
            pass
        with session.tool("look_up", call_id="c-of-nobody"):
            pass
    found = [each["data"].get("call_id") for each in Records(client, "s-calls").of("tool_invocation")]
    assert found == ["c-b", "c-a", "c-x", "c-of-nobody"]


def test_what_was_read_is_named(client: Client) -> None:
    with client.session(user="alice@example.com", agent="a-1", delegation="g", id="s-read") as session:
        asked = session.prompt("Summarise.")
        read = session.retrieval("wiki", query="q", documents=["text"], ids=["doc-1"], trust="external")
        output = session.model_output("A summary.", model="m")
        with informed_by(read), session.tool("write", {"text": "A summary."}):
            pass
    found = Records(client, "s-read")
    [said] = found.of("model_output")
    assert (said["id"], causes(said, "triggered_by"), causes(said, "informed_by")) == (output, [asked], [read])
    assert causes(found.of("tool_invocation")[0], "informed_by") == [read]


def test_what_is_said_to_have_informed_is_not_cut_off() -> None:
    sink = Kept()
    with sink.session(user="u", agent="a") as session:
        session.prompt("Go.")
        read = [session.retrieval("wiki", documents=[number]) for number in range(300)]
        with informed_by("said-1", "said-2"):
            session.model_output("A summary.", model="m")
        with session.tool("outer"):
            nested = []
            for _ in range(300):
                with session.tool("inner"):
                    pass
                nested.append(sink.records[-1]["id"])
            with session.tool("last", informed_by=["said-3"]):
                pass
    [output] = [record for record in sink.records if record["kind"] == "model_output"]
    assert causes(output, "informed_by") == [*read[-198:], "said-1", "said-2"], "the oldest of the window are cut"
    [last] = [record for record in sink.records if record["data"].get("tool") == "last"]
    assert causes(last, "informed_by") == [*nested[-199:], "said-3"]


def test_a_tool_that_may_not_run_does_not(client: Client, tmp_path: Path) -> None:
    ran: list[str] = []

    @recorded_tool(effect="destructive", preflight=True)
    def wipe() -> None:
        ran.append("wipe")

    @recorded_tool(effect="external", preflight=True)
    def pay() -> str:
        ran.append("pay")
        return "paid"

    with Recorder(client, tmp_path) as recorder:
        with recorder.session(user="alice@example.com", agent="a-1", id="s-ask-first") as session:
            session.prompt("Go.")
            with session.delegation(GRANT):
                with pytest.raises(RecordRefused) as refused:
                    wipe()
                assert refused.value.code == "effect_exceeded"
                assert pay() == "paid"
                with pytest.raises(RecordRefused), session.tool("wipe", effect="destructive", preflight=True):
                    ran.append("wipe")
        recorder.flush(30)
    assert ran == ["pay"]
    found = Records(client, "s-ask-first")
    [invocation] = found.of("tool_invocation")
    assert invocation["data"]["phase"] == "requested"
    assert causes(found.of("tool_result")[0], "completes") == [invocation["id"]]


def test_what_was_asked_is_compared_with_what_was_sealed(server: Server) -> None:
    def another_tool(value: Any) -> Any:
        if "entry" in value and value["entry"]["kind"] == "tool_invocation":
            value["entry"]["data"]["tool"] = "look_up"
        return value

    ran: list[str] = []

    @recorded_tool(effect="external", preflight=True)
    def pay() -> None:
        ran.append("pay")

    for change, session in ((None, "s-asked-true"), (Changing(another_tool), "s-asked-false")):
        with (
            server.client(check="entries", transport=change) as client,
            client.session(user="alice@example.com", agent="a-1", id=session) as opened,
        ):
            opened.prompt("Go.")
            with opened.delegation(GRANT):
                if change is None:
                    pay()
                    continue
                with pytest.raises(ReceiptError):
                    pay()
    assert ran == ["pay"]


def test_tasks_know_their_session_and_tool(server: Server, client: Client, tmp_path: Path) -> None:
    @recorded_tool
    async def inner(number: int) -> int:
        await asyncio.sleep(0.01)
        return number

    @recorded_tool
    async def outer(number: int) -> int:
        session = current_session()
        await asyncio.sleep(0.01)
        session.api_call("GET", f"https://api.example/{number}", status_code=200)
        return sum(await asyncio.gather(inner(number), inner(number)))

    @recorded_tool(preflight=True, effect="read")
    async def asked() -> int:
        return 1

    async def a_session(number: int, recorder: AsyncRecorder) -> None:
        with recorder.session(user=f"user-{number}", agent="a-1", id=f"s-tasks-{number}") as session:
            session.prompt("Go.")
            with session.delegation(GRANT):
                assert await asyncio.gather(*[outer(n) for n in range(3)]) == [0, 2, 4]
                assert await asked() == 1
                with pytest.raises(asyncio.CancelledError):
                    await cancelled()

    @recorded_tool
    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def all_of_it() -> None:
        async with (
            AsyncClient(server.url, server.token, key=server.key) as client,
            AsyncRecorder(client, tmp_path, producer="test") as recorder,
        ):
            await asyncio.gather(*[a_session(number, recorder) for number in range(3)])
            await recorder.flush(30)
            assert recorder.stats.refused == 0

    asyncio.run(all_of_it())
    for number in range(3):
        found = Records(client, f"s-tasks-{number}")
        invocations = found.of("tool_invocation")
        outers = {each["id"]: each for each in invocations if each["data"]["tool"] == "outer"}
        inners = [each for each in invocations if each["data"]["tool"] == "inner"]
        assert (len(outers), len(inners)) == (3, 6)
        parents = [each["labels"]["whence.parent"] for each in inners]
        assert sorted(parents) == sorted([*outers, *outers])
        for call in found.of("api_call"):
            [parent] = causes(call, "triggered_by")
            path = call["data"]["url"].rpartition("/")[2]
            assert found.content(outers[parent])["arguments"] == {"number": int(path)}
        statuses = [each["data"]["status"] for each in found.of("tool_result")]
        assert sorted(statuses) == ["success"] * 10 + ["unknown"]
        assert {each["user"]["id"] for each in invocations} == {f"user-{number}"}


class Kept(Sink):
    """Keeps what is recorded."""

    source = Source("test")

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def emit(self, record: dict[str, Any]) -> None:
        self.records.append(record)

    def results(self) -> list[tuple[str, Any]]:
        found = [record for record in self.records if record["kind"] == "tool_result"]
        return [(each["data"]["status"], next(iter(each["content"].values()))) for each in found]


def plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that knows nothing of coroutines."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return called


def test_what_is_returned_to_be_awaited_is_recorded_when_it_was() -> None:
    sink = Kept()

    @recorded_tool
    @plainly
    async def pay(amount: int) -> str:
        await asyncio.sleep(0.001)
        current_session().api_call("POST", status_code=201)
        if amount < 0:
            raise ValueError("less than nothing")
        return f"paid {amount}"

    class Payer:
        async def __call__(self, amount: int) -> str:
            return f"paid {amount} by an object"

    @recorded_tool
    def started() -> Any:
        return asyncio.get_running_loop().create_task(asyncio.sleep(0.001, "done"))

    async def all_of_it() -> None:
        with sink.session(user="u", agent="a") as session:
            session.prompt("Go.")
            waiting = pay(1)
            assert sink.results() == [], "nothing came of it yet"
            assert await waiting == "paid 1"
            with pytest.raises(ValueError, match="less than nothing"):
                await pay(-1)
            assert await recorded_tool(Payer())(2) == "paid 2 by an object"
            assert await started() == "done"
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(recorded_tool(plainly(asyncio.sleep))(60), 0.01)

    asyncio.run(all_of_it())
    assert sink.results() == [
        ("success", "paid 1"),
        ("error", "less than nothing"),
        ("success", "paid 2 by an object"),
        ("success", "done"),
        ("unknown", ""),
    ]
    calls = [record for record in sink.records if record["kind"] == "api_call"]
    invocations = [record["id"] for record in sink.records if record["kind"] == "tool_invocation"]
    assert [each["causes"][0]["id"] for each in calls] == invocations[:2]


def test_a_generator_that_is_returned_is_refused() -> None:
    sink = Kept()

    async def later() -> Any:
        return _generator()

    async def several() -> Any:
        yield 1

    with sink.session(user="u", agent="a") as session:
        session.prompt("Go.")
        for function in (_generator, several):
            with pytest.raises(TypeError, match="no one result"):
                recorded_tool(plainly(function))()
        with pytest.raises(TypeError, match="no one result"):
            asyncio.run(recorded_tool(later)())
    assert [status for status, _ in sink.results()] == ["error"] * 3


def test_an_exception_that_cannot_say_what_it_is_passes_through() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    @recorded_tool
    def mute() -> None:
        raise Mute

    sink = Kept()
    with pytest.raises(Mute), sink.session(user="u", agent="a") as session:
        session.prompt("Go.")
        mute()
    assert sink.results() == [("error", "<Mute without a text: RuntimeError>")]
    assert [record["kind"] for record in sink.records[-2:]] == ["error", "session_end"]


def test_threads_know_what_is_carried_to_them(client: Client, tmp_path: Path) -> None:
    with Recorder(client, tmp_path) as recorder:
        with recorder.session(user="alice@example.com", agent="a-1", delegation="g", id="s-pool") as session:
            session.prompt("Go.")
            with session.tool("fan_out") as tool, ThreadPoolExecutor(4) as pool:
                assert list(pool.map(carry(look_up), "abcdefgh")) == [f"IBAN of {name}" for name in "abcdefgh"]
                with pytest.raises(NoSession):
                    pool.submit(look_up, "x").result()
                # A session at hand is known everywhere.
                pool.submit(lambda: _with_session(session)).result()
        recorder.flush(30)
    found = Records(client, "s-pool")
    inner = [each for each in found.of("tool_invocation") if each["data"]["tool"] == "look_up"]
    assert len(inner) == 8
    assert {each["labels"]["whence.parent"] for each in inner} == {tool.id}


def _with_session(session: Session) -> None:
    with session.tool("by hand"):
        pass


def test_branches_do_not_know_of_each_other(client: Client) -> None:
    with client.session(user="alice@example.com", agent="a-1", delegation="g", id="s-branch") as session:
        asked = session.prompt("Go.")
        for name in ("left", "right"):
            with session.branch():
                session.model_output(name, model="m")
                with session.tool(name) as tool:
                    tool.result(name)
        last = session.model_output("last", model="m")
    found = Records(client, "s-branch")
    outputs = found.of("model_output")
    assert [causes(each, "triggered_by") for each in outputs] == [[asked]] * 3
    assert all(causes(each, "informed_by") == [] for each in outputs)
    assert outputs[-1]["id"] == last


def test_a_result_that_cannot_be_recorded_does_not_hide_the_outcome() -> None:
    class Failing(Sink):
        source = Source("test")
        kinds: list[str]

        def __init__(self) -> None:
            self.kinds = []

        def emit(self, record: dict[str, Any]) -> None:
            if record["kind"] == "tool_result":
                raise OSError("the disk is full")
            self.kinds.append(record["kind"])

    ran: list[int] = []

    @recorded_tool
    def work() -> int:
        ran.append(1)
        return 7

    sink = Failing()
    with pytest.raises(Unrecorded, match="the disk is full"), sink.session(user="u", agent="a") as session:
        session.prompt("Go.")
        assert work() == 7
        with pytest.raises(KeyError):
            failing()
    assert sink.kinds[-1] == "session_end"

    class Refusing(Failing):
        def emit(self, record: dict[str, Any]) -> None:
            if record["kind"] == "tool_invocation":
                raise OSError("the disk is full")

    ran.clear()
    with Refusing().session(user="u", agent="a") as session:
        session.prompt("Go.")
        with pytest.raises(OSError, match="the disk is full"):
            work()
    assert ran == [], "what cannot be recorded does not happen"


def test_long_content_goes_on_in_further_parts(client: Client) -> None:
    text = "0123456789" * 250_000
    with client.session(user="alice@example.com", agent="a-1", delegation="g", id="s-long") as session:
        session.prompt(text)
        with session.tool("huge", {"text": "é" * 2_500_000}):
            pass
    found = Records(client, "s-long")
    [said] = found.of("prompt")
    content = found.content(said)
    assert list(content) == ["text", "text_2", "text_3"]
    assert "".join(content.values()) == text
    assert "captured" not in said["source"]
    assert found.of("tool_invocation")[0]["source"]["captured"] == "truncated"
