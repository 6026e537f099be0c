"""Who acts for whom, and why: sessions, grants, prompts, outputs and tools, recorded as they happen.

What is current (session, grant, open tool, what was said last) travels in a context variable, so that nested calls and
asyncio tasks know it without being told. A thread that was started by hand knows it through `carry`.

Nothing here sends: records go to a `Sink`, which is a client or a recorder.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar

from .errors import NoSession, Unrecorded, UsageError
from .values import JsonObject, fit_content, jsonable, line, new_id, timestamp

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("whence")

Effect = Literal["read", "write", "destructive", "external"]
Status = Literal["success", "error", "denied", "timeout", "unknown"]

_WINDOW = 200
"""How many records of its window a model output names. Those before are causes of its causes."""


@dataclass(frozen=True)
class Source:
    """Which program says it."""

    producer: str
    observed_by: str = "agent_process"

    @classmethod
    def of(cls, producer: str | None) -> Source:
        return cls(producer or line(socket.gethostname(), 256) or "python")

    def json(self) -> JsonObject:
        return {"observed_by": self.observed_by, "producer": self.producer}


@dataclass(frozen=True)
class Grant:
    """What an agent may do on behalf of a user. `subject` and `delegate` are the session's user and agent."""

    scopes: Sequence[str]
    audience: Sequence[str]
    id: str | None = None
    issuer: str | None = None
    credential: Mapping[str, Any] | None = None
    issued_at: datetime.datetime | None = None
    expires_at: datetime.datetime | None = None
    lifetime_basis: Literal["login_session", "grant"] = "login_session"
    allowed_effects: Sequence[Effect] = ()
    approved_tools: Sequence[str] = ()
    max_calls: int | None = None
    parent: str | None = None
    task_id: str | None = None
    claims_profile: str | None = None


class Sink:
    """Where records go."""

    source: Source

    def emit(self, record: JsonObject) -> None:
        """Takes a record, or raises."""
        raise NotImplementedError

    def preflight(self, record: Mapping[str, Any]) -> Any:
        """Asks whether an action may be taken; of an asynchronous sink, to be awaited."""
        raise NotImplementedError

    def session(
        self,
        *,
        user: str | Mapping[str, Any],
        agent: str | Mapping[str, Any],
        id: str | None = None,
        auth: Mapping[str, Any] | None = None,
        expires_in: datetime.timedelta = datetime.timedelta(hours=8),
        delegation: str | None = None,
        joined: bool = False,
        labels: Mapping[str, str] | None = None,
        task_id: str | None = None,
    ) -> Session:
        """A session, for `with`. It begins with a `session_start` and ends with a `session_end`.

        `auth` says how the user was authenticated (`method`, `issuer`, `amr`, `mfa`). `joined` is for a session that
        another process began and will end: neither is recorded then.
        """
        return Session(
            self,
            id=id or new_id(),
            user={"id": user, "type": "human"} if isinstance(user, str) else dict(user),
            agent={"id": agent} if isinstance(agent, str) else dict(agent),
            auth=dict(auth) if auth else {"issuer": self.source.producer, "method": "unknown"},
            expires_at=datetime.datetime.now(datetime.timezone.utc) + expires_in,
            delegation=delegation,
            joined=joined,
            labels=dict(labels or {}),
            task_id=task_id,
        )


@dataclass
class _Turn:
    """Where a conversation stands. Tasks that belong together share one."""

    trigger: str | None = None
    prompt: str | None = None
    output: str | None = None
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """Calls that an output asked for and that were not made yet: id, name, the output."""
    window: list[tuple[str, str]] = field(default_factory=list)
    """What the model has seen: id and kind."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def copy(self) -> _Turn:
        with self.lock:
            return _Turn(self.trigger, self.prompt, self.output, list(self.calls), list(self.window))

    def said(self, id: str, kind: str) -> None:
        with self.lock:
            self.trigger = id
            self.window.append((id, kind))

    def claim(self, name: str, call_id: str | None) -> tuple[str | None, str | None]:
        """The id and the output of the call that a tool answers to, if that is plain."""
        with self.lock:
            fitting = [call for call in self.calls if (call[0] == call_id if call_id is not None else call[1] == name)]
            if len(fitting) == 1:
                self.calls.remove(fitting[0])
                return fitting[0][0], fitting[0][2]
            return call_id, None


@dataclass(frozen=True)
class _Frame:
    """What is current."""

    session: Session
    turn: _Turn
    delegation: str | None = None
    tool: Invocation | None = None
    call_id: str | None = None
    informed_by: tuple[str, ...] = ()


_current: contextvars.ContextVar[_Frame | None] = contextvars.ContextVar("whence", default=None)


@contextlib.contextmanager
def _within(frame: _Frame) -> Iterator[None]:
    token = _current.set(frame)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # closed in another context than opened: nothing to put back there
            _current.reset(token)


def current_session() -> Session:
    """The session that is open here."""
    frame = _current.get()
    if frame is None:
        raise NoSession("no session is open here; a thread of its own needs `carry`")
    return frame.session


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """A function for another thread, which will know there what is current here."""
    context = contextvars.copy_context()

    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return carried


@contextlib.contextmanager
def informed_by(*ids: str) -> Iterator[None]:
    """Says that what is recorded inside was informed by these records too."""
    frame = _current.get()
    if frame is None:
        raise NoSession("no session is open here")
    with _within(replace(frame, informed_by=(*frame.informed_by, *ids))):
        yield


class Invocation:
    """A tool that is running."""

    def __init__(self, session: Session, frame: _Frame, record: JsonObject) -> None:
        self.session = session
        self.id: str = record["id"]
        self._frame = frame
        self._record = record
        self._began = time.monotonic()
        self._results: list[str] = []
        self._last_api_call: str | None = None
        self._status: Status | None = None
        self._content: JsonObject = {"result": None}
        self._error_type: str | None = None

    def result(self, value: object) -> None:
        """What the tool gave back."""
        self._content = {"result": value}
        self._status = "success"

    def fail(self, error_type: str, value: object = None, status: Status = "error") -> None:
        """That the tool failed, without an exception."""
        self._content = {"error": value}
        self._status, self._error_type = status, error_type

    def _failed(self, problem: BaseException) -> None:
        status: Status = "error"
        if isinstance(problem, (TimeoutError, asyncio.TimeoutError)):
            status = "timeout"
        elif not isinstance(problem, Exception):
            status = "unknown"  # it was stopped from outside, and may have done its work or not
        self.fail(type(problem).__name__, _text_of(problem), status)

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        """For a part of the tool's run, of which there may be several. If it raises, that is the tool's result."""
        try:
            with _within(replace(self._frame, tool=self, call_id=None, informed_by=())):
                yield
        except BaseException as problem:
            self._failed(problem)
            self._finish()
            raise

    def _finish(self) -> None:
        """Records the result. That this fails is told later: the tool's own outcome is what the caller has to get."""
        duration = int((time.monotonic() - self._began) * 1_000)
        data: JsonObject = {"status": self._status or "success", "duration_ms": duration}
        if "call_id" in self._record["data"]:
            data["call_id"] = self._record["data"]["call_id"]
        if self._error_type:
            data["error_type"] = line(self._error_type, 128) or "unknown"
        causes = [(self.id, "completes")]
        if self._last_api_call:
            causes.append((self._last_api_call, "triggered_by"))
        causes += [(id, "informed_by") for id in self._results[-_WINDOW:]]
        session, frame = self.session, self._frame
        try:
            id = session.record("tool_result", data, self._content, causes, delegation=self._record.get("delegation"))
        except Exception as problem:
            log.exception("the result of tool %s (%s) is not recorded", self._record["data"]["tool"], self.id)
            session.unrecorded.append(problem)
            return
        if frame.tool is not None:
            frame.tool._results.append(id)
        else:
            frame.turn.said(id, "tool_result")


class Session:
    """A session of a user with an agent. Made by `Sink.session`."""

    def __init__(
        self,
        sink: Sink,
        *,
        id: str,
        user: JsonObject,
        agent: JsonObject,
        auth: JsonObject,
        expires_at: datetime.datetime,
        delegation: str | None,
        joined: bool,
        labels: dict[str, str],
        task_id: str | None,
    ) -> None:
        self.sink = sink
        self.id = id
        self.user = user
        self.agent = agent
        self.expires_at = expires_at
        self.unrecorded: list[BaseException] = []
        self._auth = auth
        self._joined = joined
        self._labels = labels
        self._task_id = task_id
        self._start: str | None = None
        self._base = _Frame(self, _Turn(), delegation)
        self._open = contextlib.ExitStack()

    @property
    def expired(self) -> bool:
        """Whether the time of the session is over. What is recorded then is sealed with a flag that says so."""
        return datetime.datetime.now(datetime.timezone.utc) >= self.expires_at

    def __enter__(self) -> Session:
        if not self._joined:
            data: JsonObject = {"auth": self._auth, "expires_at": timestamp(self.expires_at)}
            if self._task_id:
                data["task_id"] = self._task_id
            self._start = self.record("session_start", data, agent=False)
        self._open.enter_context(_within(self._base))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        try:
            if problem is not None:
                self._error(problem)
            if not self._joined:
                causes = [(self._start, "triggered_by")] if self._start else []
                reason = "expired" if self.expired else "completed"
                self.record("session_end", {"reason": reason}, causes=causes, agent=False)
        except Exception as failure:
            if problem is None:
                raise
            log.exception("the end of session %s is not recorded", self.id)
            self.unrecorded.append(failure)
        if self.unrecorded and problem is None:
            raise Unrecorded(self.unrecorded)

    def _error(self, problem: BaseException) -> None:
        about = self._base.turn.trigger or self._start
        if about is not None:
            data = {"error_type": line(type(problem).__name__, 128) or "unknown"}
            self.record("error", data, {"message": _text_of(problem)}, [(about, "about")])

    def _frame(self) -> _Frame:
        """What is current, as far as it is of this session."""
        frame = _current.get()
        return frame if frame is not None and frame.session is self else self._base

    # ---- records ----

    def record(
        self,
        kind: str,
        data: Mapping[str, Any] | None = None,
        content: Mapping[str, object] | None = None,
        causes: Sequence[tuple[str, str]] = (),
        *,
        agent: bool = True,
        delegation: str | None = None,
        labels: Mapping[str, str] | None = None,
        captured: Literal["full", "truncated", "absent"] | None = None,
        id: str | None = None,
    ) -> str:
        """Records anything in the name of the session's user; returns its id."""
        record = self._build(
            kind, data, content, causes, agent=agent, delegation=delegation, labels=labels, captured=captured, id=id
        )
        self.sink.emit(record)
        return str(record["id"])

    def _build(
        self,
        kind: str,
        data: Mapping[str, Any] | None = None,
        content: Mapping[str, object] | None = None,
        causes: Sequence[tuple[str, str]] = (),
        *,
        agent: bool = True,
        delegation: str | None = None,
        labels: Mapping[str, str] | None = None,
        captured: str | None = None,
        id: str | None = None,
    ) -> JsonObject:
        parts, cut = fit_content(content or {})
        source = self.sink.source.json()
        if cut or captured:
            source["captured"] = "truncated" if cut else captured
        record: JsonObject = {
            "id": id or new_id(),
            "kind": kind,
            "occurred_at": timestamp(),
            "user": self.user,
            "session": {"id": self.id},
            "source": source,
        }
        if agent:
            record["agent"] = self.agent
        if delegation:
            record["delegation"] = delegation
        if causes:
            record["causes"] = [{"id": cause, "rel": rel} for cause, rel in dict.fromkeys(causes)]
        if data:
            record["data"] = {name: value for name, value in data.items() if value not in (None, (), [])}
        if parts:
            record["content"] = parts
        if self._labels or labels:
            record["labels"] = {**self._labels, **(labels or {})}
        return record

    def _informing(self, *ids: str) -> list[tuple[str, str]]:
        """The newest of what informed a record. What the caller said did so comes last, and is cut off last."""
        found = (*ids, *self._frame().informed_by)
        return [(id, "informed_by") for id in found][-_WINDOW:]

    def prompt(
        self,
        text: object,
        *,
        role: Literal["user", "system", "developer"] = "user",
        channel: str | None = None,
        origin: Literal["human", "schedule", "agent"] | None = None,
    ) -> str:
        """What was asked of the model. A user's prompt is the cause of what comes next."""
        frame = self._frame()
        causes = self._informing()
        if self._start and role == "user":
            causes.append((self._start, "triggered_by"))
        data = {"role": role, "channel": channel, "origin": origin}
        id = self.record("prompt", data, {"text": text}, causes, agent=False)
        with frame.turn.lock:
            frame.turn.window.append((id, "prompt"))
            if role == "user" or frame.turn.trigger is None:
                frame.turn.trigger = frame.turn.prompt = id
                frame.turn.output = None
                frame.turn.calls.clear()
        return id

    def retrieval(
        self,
        source: str,
        *,
        query: object = None,
        documents: object = None,
        ids: Sequence[str] = (),
        trust: Literal["internal", "external"] | None = None,
        top_k: int | None = None,
    ) -> str:
        """What was fetched into the model's window."""
        frame = self._frame()
        causes = self._informing()
        if frame.turn.trigger:
            causes.append((frame.turn.trigger, "triggered_by"))
        data = {"source": source, "trust": trust, "top_k": top_k, "documents": [{"id": id} for id in ids]}
        id = self.record("retrieval", data, {"query": query, "documents": documents}, causes)
        with frame.turn.lock:
            frame.turn.window.append((id, "retrieval"))
        return id

    def model_output(
        self,
        text: object = None,
        *,
        model: str | Mapping[str, Any],
        tool_calls: Sequence[Mapping[str, Any]] = (),
        finish_reasons: Sequence[str] = (),
        usage: Mapping[str, int] | None = None,
        reasoning: object = None,
    ) -> str:
        """What the model said. It was triggered by what came last and informed by all that was in its window.

        `model` is `provider/name`, or the object that the record has. `tool_calls` are `{id, name, arguments}`.
        """
        turn = self._frame().turn
        with turn.lock:
            trigger, window = turn.trigger or self._start, list(turn.window)
        if trigger is None:
            raise UsageError("nothing triggered this output: record a prompt first")
        # Results are named even where one is the trigger: `informed_by` says that the model read it.
        informing = [id for id, kind in window if kind != "prompt" or id != trigger]
        calls = [_call(call) for call in tool_calls]
        content: dict[str, object] = {"text": text}
        if tool_calls:
            content["tool_calls"] = [dict(call) for call in tool_calls]
        if reasoning is not None:
            content["reasoning"] = reasoning
        reasons = list(finish_reasons) or ["tool_calls" if tool_calls else "stop"]
        data = {
            "model": _model(model),
            "finish_reasons": reasons,
            "tool_calls": [{"id": id, "name": name} for id, name in calls if id and name][:256],
            "usage": dict(usage) if usage else None,
        }
        id = self.record("model_output", data, content, [(trigger, "triggered_by"), *self._informing(*informing)])
        with turn.lock:
            turn.output = id
            turn.calls = [(call, name, id) for call, name in calls if call and name]
        return id

    # ---- tools ----

    def _invocation(
        self,
        name: str,
        arguments: object,
        *,
        call_id: str | None,
        effect: Effect | None,
        server: str | None,
        informed: Sequence[str],
        extra: Mapping[str, Any] | None,
    ) -> tuple[_Frame, JsonObject]:
        frame = self._frame()
        turn = frame.turn
        call_id, output = call_id if call_id is not None else frame.call_id, None
        if call_id is not None or frame.tool is None:  # what a tool calls, no model asked for
            call_id, output = turn.claim(name, call_id)
        trigger = output or turn.output or turn.prompt
        if trigger is None:
            raise UsageError(f"nothing triggered the tool {name}: record a prompt or a model output first")
        nested = frame.tool._results if frame.tool else []
        data = {
            "tool": line(name, 128) or "unnamed",
            "call_id": line(call_id, 256) if call_id else None,
            "effect": effect,
            "server": server,
            **(extra or {}),
        }
        record = self._build(
            "tool_invocation",
            data,
            {"arguments": arguments},
            [(trigger, "triggered_by"), *self._informing(*nested, *informed)],
            delegation=frame.delegation,
            # No relation leads from one invocation to another; the inner one says by a label where it belongs.
            labels={"whence.parent": frame.tool.id} if frame.tool else None,
        )
        return frame, record

    @contextlib.contextmanager
    def tool(
        self,
        name: str,
        arguments: object = None,
        *,
        call_id: str | None = None,
        effect: Effect | None = None,
        server: str | None = None,
        informed_by: Sequence[str] = (),
        preflight: bool = False,
        data: Mapping[str, Any] | None = None,
    ) -> Iterator[Invocation]:
        """A tool that runs inside of `with`: its invocation is recorded before, its result after.

        With `preflight` the ledger is asked first, and what it refuses is raised in place of running anything.
        """
        frame, record = self._invocation(
            name, arguments, call_id=call_id, effect=effect, server=server, informed=informed_by, extra=data
        )
        if preflight:
            if asyncio.iscoroutine(asked := self.sink.preflight(record)):
                asked.close()
                raise UsageError("this sink is asynchronous: use `recorded_tool` on an async function")
        else:
            self.sink.emit(record)
        with self._running(frame, record) as invocation:
            yield invocation

    @contextlib.contextmanager
    def _running(self, frame: _Frame, record: JsonObject) -> Iterator[Invocation]:
        invocation = Invocation(self, frame, record)
        with invocation._inside():
            yield invocation
        invocation._finish()

    @contextlib.contextmanager
    def call(self, call_id: str) -> Iterator[None]:
        """Says which of the model's calls the recorded tool inside answers to."""
        with _within(replace(self._frame(), call_id=call_id)):
            yield

    def api_call(
        self,
        method: str,
        url: str | None = None,
        *,
        status_code: int | None = None,
        operation: str | None = None,
        service: str | None = None,
        request_body: object = None,
        response_body: object = None,
        audience: str | None = None,
        credential_id: str | None = None,
        crud: Literal["c", "r", "u", "d"] | None = None,
        scopes: Sequence[str] = (),
        upstream_request_id: str | None = None,
    ) -> str:
        """A call of an API by the tool that is running. Without an answer the status is 0."""
        frame = self._frame()
        if frame.tool is None:
            raise UsageError("an API call happens inside of a tool")
        content = {"request_body": request_body, "response_body": response_body}
        id = self.record(
            "api_call",
            {
                "method": method,
                "url": url,
                "status_code": status_code or 0,
                "operation": operation,
                "service": service,
                "audience": audience,
                "credential_id": credential_id,
                "crud": crud,
                "scopes": list(scopes),
                "upstream_request_id": upstream_request_id,
            },
            {name: value for name, value in content.items() if value is not None},
            [(frame.tool.id, "triggered_by"), *self._informing()],
            delegation=frame.delegation,
        )
        frame.tool._last_api_call = id
        return id

    # ---- grants and branches ----

    @contextlib.contextmanager
    def delegation(self, grant: str | Grant) -> Iterator[str]:
        """What is recorded inside is done under this grant. A `Grant` is recorded; an id is of one that was."""
        frame = self._frame()
        name = grant if isinstance(grant, str) else self._grant(grant, frame)
        with _within(replace(frame, delegation=name)):
            yield name

    def _grant(self, grant: Grant, frame: _Frame) -> str:
        name = grant.id or new_id()
        now = datetime.datetime.now(datetime.timezone.utc)
        cause = frame.turn.prompt or self._start
        data = {
            "delegation": name,
            "issuer": grant.issuer or self.sink.source.producer,
            "subject": self.user["id"],
            "delegate": self.agent["id"],
            "scopes": list(grant.scopes),
            "audience": list(grant.audience),
            "issued_at": timestamp(grant.issued_at or now),
            "expires_at": timestamp(grant.expires_at or self.expires_at),
            "credential": dict(grant.credential or {"id": name, "type": "unknown"}),
            "lifetime_basis": grant.lifetime_basis,
            "allowed_effects": list(grant.allowed_effects),
            "approved_tools": list(grant.approved_tools),
            "max_calls": grant.max_calls,
            "parent": grant.parent,
            "task_id": grant.task_id,
            "claims_profile": grant.claims_profile,
        }
        self.record("delegation_grant", data, causes=[(cause, "triggered_by")] if cause else [])
        return name

    def revoke(self, delegation: str, reason: str) -> str:
        """Takes a grant back."""
        return self.record("delegation_revoke", {"delegation": delegation, "reason": reason}, agent=False)

    @contextlib.contextmanager
    def branch(self) -> Iterator[None]:
        """A line of conversation of its own, for one of several that go on at once.

        It knows what was said until now; what is said inside is not known outside.
        """
        frame = self._frame()
        with _within(replace(frame, turn=frame.turn.copy())):
            yield


def _text_of(problem: BaseException) -> str:
    """What an exception says of itself. One that cannot say it is still the one that the caller has to get."""
    try:
        return str(problem)
    except Exception as failure:
        return f"<{type(problem).__name__} without a text: {type(failure).__name__}>"


def _call(call: Mapping[str, Any]) -> tuple[str | None, str | None]:
    id, name = call.get("id"), call.get("name")
    return line(str(id), 256) if id else None, line(str(name), 128) if name else None


def _model(model: str | Mapping[str, Any]) -> JsonObject:
    if not isinstance(model, str):
        return dict(jsonable(model))
    provider, slash, name = model.partition("/")
    return {"provider": provider if slash else "unknown", "requested": name if slash else model}
