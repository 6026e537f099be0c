"""The clients of OpenAI and Anthropic through the gateway, whole answers and streamed ones."""

import json
import os
import subprocess
import sys
from typing import Any, Callable

from anthropic import Anthropic
from openai import OpenAI

from scenario import LOOKUP, REFUND, SCENARIO, SESSION, USER, say, serving
from upstream import Upstream

TOOLS = [
    (LOOKUP["tool"], "Looks an order up.", {"order_id": {"type": "string"}}),
    (REFUND["tool"], "Gives money back.", {"order_id": {"type": "string"}, "amount": {"type": "number"}}),
]


def call(name: str) -> str:
    """What a tool gives back."""
    return json.dumps(LOOKUP["result"]) if name == LOOKUP["tool"] else REFUND["error"]


def with_openai(url: str, headers: dict[str, str], streams: bool) -> str:
    client = OpenAI(base_url=f"{url}/v1", api_key="sk-upstream", default_headers=headers, max_retries=0)
    tools: Any = [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": description,
                "parameters": {"type": "object", "properties": properties},
            },
        }
        for name, description, properties in TOOLS
    ]
    messages: list[Any] = [{"role": "system", "content": SCENARIO["system"]}]

    def ask() -> Any:
        asked: Any = {"model": "scripted-1", "messages": messages, "tools": tools}
        if not streams:
            return client.chat.completions.create(**asked).choices[0].message
        with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            return stream.get_final_completion().choices[0].message

    for prompt in SCENARIO["prompts"]:
        messages.append({"role": "user", "content": prompt})
        while True:
            said = ask()
            messages.append(said.model_dump(exclude_none=True, exclude={"parsed"}))
            if not said.tool_calls:
                break
            for asked in said.tool_calls:
                result = call(asked.function.name)
                messages.append({"role": "tool", "tool_call_id": asked.id, "content": result})
    return said.content


def with_anthropic(url: str, headers: dict[str, str], streams: bool) -> str:
    client = Anthropic(base_url=url, api_key="sk-upstream", default_headers=headers, max_retries=0)
    tools: Any = [
        {
            "name": name,
            "description": description,
            "input_schema": {"type": "object", "properties": properties},
        }
        for name, description, properties in TOOLS
    ]
    messages: list[Any] = []

    def ask() -> Any:
        asked: Any = {
            "model": "scripted-1",
            "max_tokens": 100,
            "system": SCENARIO["system"],
            "messages": messages,
            "tools": tools,
        }
        if not streams:
            return client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            return stream.get_final_message()

    for prompt in SCENARIO["prompts"]:
        messages.append({"role": "user", "content": prompt})
        while True:
            said = ask()
            messages.append({"role": "assistant", "content": said.content})
            called = [block for block in said.content if block.type == "tool_use"]
            if not called:
                break
            results = [
                {
                    "type": "tool_result",
                    "tool_use_id": block.id,
                    "content": call(block.name),
                    "is_error": block.name == REFUND["tool"],
                }
                for block in called
            ]
            messages.append({"role": "user", "content": results})
    return said.content[0].text


def main() -> None:
    clients: list[tuple[str, Callable[[str, dict[str, str], bool], str]]] = [
        ("openai", with_openai),
        ("anthropic", with_anthropic),
    ]
    with serving(Upstream) as upstream:
        if len(sys.argv) > 1:
            command = [*sys.argv[1:], "--listen", "127.0.0.1:0", "--upstream", upstream]
            gateway = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            assert gateway.stderr
            url = ""
            while "listening on " not in url:
                url = gateway.stderr.readline()
            url = url.split("listening on ")[1].strip()
        else:
            gateway, url = None, upstream
        try:
            for name, run in clients:
                for streams in (False, True):
                    session = f"{SESSION}-{name}-{'streamed' if streams else 'whole'}"
                    headers = {"whence-user": USER, "whence-session": session, "whence-agent": "orders-agent"}
                    say(session=session, answer=run(url, headers, streams))
        finally:
            if gateway:
                gateway.terminate()
                gateway.communicate(timeout=20)


main()
