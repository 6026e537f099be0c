"""A model API that says what the scenario says, as OpenAI and as Anthropic would, streamed or not."""

import json
from typing import Any, Iterator

from scenario import LOOKUP, REFUND, SCENARIO, Handler

CALLS = [LOOKUP, REFUND]
Events = Iterator[tuple[str | None, Any]]


def next_call(messages: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, str]:
    """The tool that the model calls next, or else what it says: from how often it has spoken."""
    spoken = sum(message["role"] == "assistant" for message in messages)
    if spoken < len(CALLS):
        return CALLS[spoken], ""
    return None, SCENARIO["answers"][spoken - len(CALLS)]


def openai(asked: dict[str, Any]) -> dict[str, Any]:
    call, text = next_call(asked["messages"])
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if call:
        function = {"name": call["tool"], "arguments": json.dumps(call["arguments"])}
        message["tool_calls"] = [{"id": call["call_id"], "type": "function", "function": function}]
    reason = "tool_calls" if call else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_795_478_775,
        "model": "scripted-1-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def openai_events(asked: dict[str, Any]) -> Events:
    whole = openai(asked)
    choice = whole["choices"][0]
    message = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}]
    for call in message.get("tool_calls", []):
        arguments = call["function"]["arguments"]
        function = {**call["function"], "arguments": ""}
        deltas.append({"tool_calls": [{"index": 0, **call, "function": function}]})
        for part in (arguments[:7], arguments[7:]):
            deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    text = message["content"] or ""
    deltas += [{"content": part} for part in (text[:5], text[5:]) if part]
    head = {**whole, "object": "chat.completion.chunk"}
    del head["usage"]
    for delta in deltas:
        yield None, {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield None, {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
    if asked.get("stream_options", {}).get("include_usage"):
        yield None, {**head, "choices": [], "usage": whole["usage"]}
    yield None, "[DONE]"


def anthropic(asked: dict[str, Any]) -> dict[str, Any]:
    call, text = next_call(asked["messages"])
    block: dict[str, Any] = {"type": "text", "text": text}
    if call:
        block = {"type": "tool_use", "id": call["call_id"], "name": call["tool"], "input": call["arguments"]}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "scripted-1-2026",
        "content": [block],
        "stop_reason": "tool_use" if call else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }


def anthropic_events(asked: dict[str, Any]) -> Events:
    whole = anthropic(asked)
    block = whole["content"][0]
    started = {**whole, "content": [], "stop_reason": None}
    yield "message_start", {"type": "message_start", "message": started}
    if block["type"] == "text":
        text = block["text"]
        empty: dict[str, Any] = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": part} for part in (text[:5], text[5:])]
    else:
        text = json.dumps(block["input"])
        empty = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in (text[:7], text[7:])]
    yield "content_block_start", {"type": "content_block_start", "index": 0, "content_block": empty}
    yield "ping", {"type": "ping"}
    for delta in deltas:
        yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 5}}
    yield "message_stop", {"type": "message_stop"}


class Upstream(Handler):
    """The API. It takes one key, so that a request without it is seen."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        keys = (self.headers.get("authorization"), self.headers.get("x-api-key"))
        if "sk-upstream" not in keys and "Bearer sk-upstream" not in keys:
            return self.answer(401, b'{"error":{"message":"no key"}}')
        apis = {
            "/v1/chat/completions": (openai, openai_events),
            "/v1/messages": (anthropic, anthropic_events),
        }
        whole, events = apis[self.path]
        if not asked.get("stream"):
            return self.answer(200, json.dumps(whole(asked)).encode())
        body = b""
        for name, event in events(asked):
            data = event if isinstance(event, str) else json.dumps(event)
            body += (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()
        self.answer(200, body, "text/event-stream")
