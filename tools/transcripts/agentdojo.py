"""Transcripts of AgentDojo as records.

A transcript is a list of messages and nothing else. Users, sessions and times are supplied, always the same for the
same file, so that an import that is done again finds everything there already.

| message | records |
| --- | --- |
| system, user | `prompt` |
| assistant | `model_output`, and a `tool_invocation` for each of its `tool_calls` |
| tool | `tool_result` |

What ended a run (`error`) is an `error` about its last record. Beside them each session has a `session_start`, a
`delegation_grant` and a `session_end`.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whence import fit_content, timestamp
from whence.values import JsonObject, line

_BEGIN = datetime.datetime(2026, 3, 2, 8, 0, tzinfo=datetime.timezone.utc)
_USERS = 40
_CAUSES = 200

# What a tool does to the world, by the first word of its name. What is not among them may do anything.
_READING = {"get", "read", "search", "list", "check", "find"}


@dataclass
class Call:
    """A call that a model asked for."""

    record: str
    function: str
    arguments: object
    call_id: str | None
    message: int
    answered: bool = False


@dataclass
class Counts:
    """What went in."""

    prompts: int = 0
    outputs: int = 0
    calls: int = 0
    results: int = 0
    errors: int = 0
    supplied: int = 0
    """Records that no message stands for: the session's own, and calls of which there is only a result."""
    inferred: int = 0
    unanswered: int = 0
    cut: int = 0

    @property
    def messages_and_calls(self) -> int:
        return self.prompts + self.outputs + self.calls + self.results + self.errors


@dataclass
class Imported:
    """A transcript and what became of it."""

    path: str
    transcript: JsonObject
    session: str
    records: list[JsonObject]
    counts: Counts
    calls: list[Call] = field(default_factory=list)
    results: dict[int, str] = field(default_factory=dict)
    """Results by the index of their message."""
    outputs: dict[int, str] = field(default_factory=dict)
    """Outputs by the index of their message."""


def text_of(content: object) -> str:
    """All text of a message: it is a string, or a list of blocks, or nothing."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            str(block.get("content") or block.get("text") or "") if isinstance(block, dict) else str(block)
            for block in content
        )
    return json.dumps(content, ensure_ascii=False)


def usable(id: object) -> str | None:
    """A call's id, if it is one that the ledger can hold."""
    return id if isinstance(id, str) and id and line(id, 256) == id else None


class _Reader:
    def __init__(self, path: str, transcript: Mapping[str, Any], model: str) -> None:
        digest = hashlib.sha256(path.encode("utf-8")).hexdigest()
        name = path.removeprefix("runs/").removesuffix(".json")
        self.key = digest[:16]
        self.session = line(name.replace("/", ":"), 200) or self.key
        self.user = {"id": f"user-{int(digest[:8], 16) % _USERS:02}@example.com", "type": "human"}
        self.agent = {"id": line(model, 256) or "unnamed"}
        self.suite = str(transcript.get("suite_name") or "unknown")
        self.grant = f"grant-{self.key}"
        self.begin = _BEGIN + datetime.timedelta(minutes=int(digest[8:16], 16) % 100_000)
        self.records: list[JsonObject] = []
        self.counts = Counts()
        self.calls: list[Call] = []
        self.results: dict[int, str] = {}
        self.outputs: dict[int, str] = {}
        self.window: list[str] = []
        self.trigger: str | None = None
        self.output: str | None = None

    def add(
        self,
        part: str,
        kind: str,
        data: Mapping[str, Any],
        content: Mapping[str, object] | None = None,
        causes: Sequence[tuple[str, str]] = (),
        *,
        confidence: str | None = None,
        agent: bool = True,
        granted: bool = False,
    ) -> str:
        parts, cut = fit_content(content or {})
        source: JsonObject = {"observed_by": "imported", "producer": "transcripts", "format": "agentdojo"}
        if confidence:
            source["link_confidence"] = confidence
        if cut:
            source["captured"] = "truncated"
            self.counts.cut += 1
        record: JsonObject = {
            "id": f"agentdojo.{self.key}.{part}",
            "kind": kind,
            "occurred_at": timestamp(self.begin + datetime.timedelta(seconds=len(self.records))),
            "user": self.user,
            "session": {"id": self.session},
            "source": source,
            "data": {name: value for name, value in data.items() if value not in (None, [])},
            "causes": [{"id": id, "rel": rel} for id, rel in dict.fromkeys(causes)],
        }
        if agent:
            record["agent"] = self.agent
        if granted:
            record["delegation"] = self.grant
        if parts:
            record["content"] = parts
        self.records.append(record)
        return str(record["id"])

    def start(self) -> None:
        ends = timestamp(self.begin + datetime.timedelta(hours=1))
        auth = {"issuer": "transcripts", "method": "unknown"}
        start = self.add("start", "session_start", {"auth": auth, "expires_at": ends}, agent=False)
        grant = {
            "delegation": self.grant,
            "issuer": "transcripts",
            "subject": self.user["id"],
            "delegate": self.agent["id"],
            "scopes": [self.suite],
            "audience": [self.suite],
            "issued_at": timestamp(self.begin),
            "expires_at": ends,
            "credential": {"id": self.grant, "type": "supplied"},
            "lifetime_basis": "login_session",
        }
        self.add("grant", "delegation_grant", grant, causes=[(start, "triggered_by")])
        self.trigger = start
        self.counts.supplied += 2

    def broke_off(self, error: object) -> None:
        about = [(str(self.records[-1]["id"]), "about")]
        self.add("error", "error", {"error_type": "run_error"}, {"message": error}, about)
        self.counts.errors += 1

    def end(self) -> None:
        causes = [(self.records[0]["id"], "triggered_by")]
        self.add("end", "session_end", {"reason": "completed"}, causes=causes, agent=False)
        self.counts.supplied += 1
        self.counts.unanswered = sum(not call.answered for call in self.calls)

    def prompt(self, index: int, role: str, content: object) -> None:
        causes = [(self.records[0]["id"], "triggered_by")] if role == "user" else []
        id = self.add(f"{index}", "prompt", {"role": role}, {"text": content}, causes, agent=False)
        self.counts.prompts += 1
        self.window.append(id)
        if role == "user":
            self.trigger, self.output = id, None

    def assistant(self, index: int, message: Mapping[str, Any]) -> None:
        calls = message.get("tool_calls") or []
        named = [(usable(call.get("id")), line(str(call.get("function") or ""), 128)) for call in calls]
        content: dict[str, object] = {"text": message.get("content")}
        if calls:
            content["tool_calls"] = calls
        informing = [id for id in self.window if id != self.trigger or id in self.results.values()][-_CAUSES:]
        data = {
            "model": {"provider": "unknown", "requested": line(self.agent["id"], 128)},
            "finish_reasons": ["tool_calls" if calls else "stop"],
            "tool_calls": [{"id": id, "name": name} for id, name in named if id and name],
        }
        causes = [(str(self.trigger), "triggered_by"), *[(id, "informed_by") for id in informing]]
        self.output = self.add(f"{index}", "model_output", data, content, causes)
        self.outputs[index] = self.output
        self.counts.outputs += 1
        for number, call in enumerate(calls):
            self.invocation(index, f"{index}.{number}", call, self.output, None)
            self.counts.calls += 1

    def invocation(self, index: int, part: str, call: Mapping[str, Any], trigger: str, confidence: str | None) -> Call:
        name, call_id = str(call.get("function") or ""), usable(call.get("id"))
        data = {
            "tool": line(name, 128) or "unnamed",
            "call_id": call_id,
            "server": self.suite,
            "effect": "read" if name.split("_", maxsplit=1)[0] in _READING else "external",
        }
        arguments = call.get("args")
        id = self.add(
            part,
            "tool_invocation",
            data,
            {"arguments": {} if arguments is None else arguments},
            [(trigger, "triggered_by")],
            confidence=confidence,
            granted=True,
        )
        made = Call(id, name, arguments, call_id, index)
        self.calls.append(made)
        return made

    def result(self, index: int, message: Mapping[str, Any]) -> None:
        call, confidence = self.answered(index, message)
        call.answered = True
        error = message.get("error")
        content: dict[str, object] = {"result": message.get("content")}
        if error:
            content["error"] = error
        data = {
            "status": "error" if error else "success",
            "error_type": "tool_error" if error else None,
            "call_id": call.call_id,
        }
        id = self.add(
            f"{index}",
            "tool_result",
            data,
            content,
            [(call.record, "completes")],
            confidence=confidence,
            granted=True,
        )
        self.counts.results += 1
        self.counts.inferred += confidence == "inferred"
        self.results[index] = id
        self.window.append(id)
        self.trigger = id

    def answered(self, index: int, message: Mapping[str, Any]) -> tuple[Call, str]:
        """The call that a result answers, and whether the transcript says so.

        An id says so where it names one open call. Else it is the first open call with the function and arguments that
        the result repeats; else the first open call.
        """
        waiting = [call for call in self.calls if not call.answered]
        call_id = usable(message.get("tool_call_id"))
        named = [call for call in waiting if call_id is not None and call.call_id == call_id]
        if len(named) == 1:
            return named[0], "stated"
        waiting = named or waiting
        repeated = message.get("tool_call")
        if isinstance(repeated, dict):
            for call in waiting:
                if (call.function, call.arguments) == (repeated.get("function"), repeated.get("args")):
                    return call, "inferred"
        if waiting:
            return waiting[0], "inferred"
        self.counts.supplied += 1
        made = repeated if isinstance(repeated, dict) else {"function": "unknown", "args": None}
        trigger = self.output or str(self.trigger)
        return self.invocation(index, f"{index}.call", {**made, "id": call_id}, trigger, "inferred"), "inferred"


def read(path: str, transcript: JsonObject, model: str) -> Imported:
    """A transcript as records, in their order."""
    reader = _Reader(path, transcript, model)
    reader.start()
    for index, message in enumerate(transcript.get("messages") or []):
        role = message.get("role")
        if role == "assistant":
            reader.assistant(index, message)
        elif role == "tool":
            reader.result(index, message)
        else:
            reader.prompt(index, role if role in ("system", "developer") else "user", message.get("content"))
    if transcript.get("error"):
        reader.broke_off(transcript["error"])
    reader.end()
    return Imported(
        path=path,
        transcript=transcript,
        session=reader.session,
        records=reader.records,
        counts=reader.counts,
        calls=reader.calls,
        results=reader.results,
        outputs=reader.outputs,
    )


def load(folder: Path) -> list[tuple[str, JsonObject, str]]:
    """The transcripts of an unpacked archive: path, transcript, model."""
    index = [json.loads(row) for row in (folder / "INDEX.jsonl").read_text("utf-8").splitlines()]
    found = []
    for row in sorted(index, key=lambda row: str(row["path"])):
        transcript = json.loads((folder / row["path"]).read_text("utf-8"))
        found.append((str(row["path"]), transcript, str(row["model"])))
    return found
