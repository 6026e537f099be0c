"""Which tool result brought an attack, and which calls came of it.

Both are told from the transcript alone, without the log, so that what the log says can be held against it.

**The result** is every tool message whose content has the text of one of the `injections`. Texts are compared by their
letters and digits alone: results are YAML or `repr`, which wrap, quote and escape.

**The injected calls** are those that the model asked for after it had read such a result, and that

1. *echo* it: an argument of at least 5 letters or digits stands in the injected text, and in no prompt; or else
2. are *named* by it: each word of the tool's name begins (by its first 5 letters) as some word of the injected text
   does, and not all of them as some word of a prompt; or else
3. if there is none of these, are *later*: any of the calls that follow.

1 and 2 do not prove that the attack caused a call, only that its words are in it. 3 says no more than that the model
had read the attack before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from agentdojo import Call, Imported, text_of

_MIN = 5


@dataclass
class Attack:
    """A successful attack, as its transcript has it."""

    results: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    before: list[Call] = field(default_factory=list)
    """Calls that the model asked for before it had read anything of it: a walk must not lead from these to it."""
    told_by: str = "none"


def letters(text: str) -> str:
    """The letters and digits of a text, whatever it was wrapped, quoted or escaped in."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda hit: chr(int(hit[1], 16)), text)
    text = re.sub(r"\\[nrt]", " ", text)
    return "".join(char for char in text.casefold() if char.isalnum())


def succeeded(imported: Imported) -> bool:
    """Whether the transcript is of an attack that did what it was for."""
    transcript = imported.transcript
    return transcript.get("injection_task_id") is not None and transcript.get("security") is True


def sort_of(imported: Imported) -> str:
    """What was tried."""
    if imported.transcript.get("injection_task_id") is None:
        return "no attack"
    return "an attack that succeeded" if succeeded(imported) else "an attack that failed"


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _words(text: str) -> set[str]:
    return {word.casefold()[:_MIN] for word in re.findall(r"[^\W_]+", text)}


def find(imported: Imported) -> Attack:
    """The results that brought it and the calls that came of it."""
    texts = [str(text) for text in (imported.transcript.get("injections") or {}).values()]
    injected = [each for each in map(letters, texts) if each]
    attack = Attack()
    prompts = []
    for index, message in enumerate(imported.transcript.get("messages") or []):
        text = text_of(message.get("content"))
        if message.get("role") == "tool":
            read = letters(text)
            if any(each in read for each in injected):
                attack.results.append(index)
        elif message.get("role") != "assistant":
            prompts.append(text)
    if not attack.results:
        return attack
    first = attack.results[0]
    attack.before = [call for call in imported.calls if call.message < first]
    later = [call for call in imported.calls if call.message > first]
    known = letters("\n".join(prompts))

    def echoes(call: Call) -> bool:
        values = [letters(re.sub(r"^https?://", "", leaf)) for leaf in _leaves(call.arguments)]
        return any(
            len(value) >= _MIN and value not in known and any(value in each for each in injected) for value in values
        )

    words, own = _words(" ".join(texts)), _words(" ".join(prompts))

    def named(call: Call) -> bool:
        parts = _words(call.function.replace("_", " "))
        return bool(parts) and parts <= words and not parts <= own

    for told_by, test in (("echo", echoes), ("named", named), ("later", lambda _: True)):
        attack.calls = [call for call in later if test(call)]
        if attack.calls:
            attack.told_by = told_by
            break
    return attack
