"""Imports transcripts of AgentDojo into a ledger, and asks the ledger where each attack came from.

    python transcripts.py ARCHIVE [--limit N] [--quick]

ARCHIVE is the archive (`.tar.zst`) or the folder that it was unpacked to. The server is that of WHENCE_URL and
WHENCE_TOKEN; the token has to be a writer's and an investigator's. Exit code 0: nothing is missing and every attack
that has a call was found both ways. 1: something is. 2: it was called wrongly.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from whence import Client
from whence.values import canonical

import agentdojo
import attacks
from agentdojo import Imported

_AT_ONCE = 24
_ADDED_BY_SERVER = {"flag", "capture_gap"}
_WRONG = (
    "why does not reach it",
    "effects do not list it",
    "no call after it, and the output that followed is not found",
)


@dataclass
class Report:
    """What was found."""

    files: int = 0
    records: int = 0
    duplicates: int = 0
    bytes: int = 0
    import_seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    redacted: int = 0
    attacks: Counter[str] = field(default_factory=Counter)
    told_by: Counter[str] = field(default_factory=Counter)
    misses: list[tuple[str, str]] = field(default_factory=list)
    calls_checked: int = 0
    earlier_checked: int = 0
    earlier_reaching: list[str] = field(default_factory=list)
    sorts: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    walk_seconds: float = 0.0
    walks: int = 0

    @property
    def whole(self) -> bool:
        return not (self.lost or self.earlier_reaching or any(self.attacks[wrong] for wrong in _WRONG))


def send(client: Client, imported: Sequence[Imported], report: Report) -> None:
    """Posts all records, and counts them."""
    began = time.monotonic()
    for start in range(0, len(imported), _AT_ONCE):
        records = [record for each in imported[start : start + _AT_ONCE] for record in each.records]
        receipts = client.post_many(records)
        report.duplicates += sum(receipt.duplicate for receipt in receipts)
        report.redacted += sum("secret_redacted" in receipt.flags for receipt in receipts)
        report.records += len(receipts)
    report.import_seconds = time.monotonic() - began
    report.files = len(imported)
    report.bytes = sum(len(canonical(record)) for each in imported for record in each.records)
    for each in imported:
        for name, count in vars(each.counts).items():
            report.counts[name] += count
        report.counts["messages_and_calls"] += each.counts.messages_and_calls


def compare(client: Client, imported: Imported, report: Report) -> None:
    """Holds the server's view of a session against what went in: the same records, in their order, word for word."""
    messages = imported.transcript.get("messages") or []
    calls = sum(len(message.get("tool_calls") or []) for message in messages)
    errors = bool(imported.transcript.get("error"))
    if len(imported.records) != len(messages) + calls + errors + imported.counts.supplied:
        report.lost.append(f"{imported.path}: {len(messages)} messages and {calls} calls became other records")
    stored = [
        record
        for record in client.session_records(imported.session)["records"]["data"]
        if record["entry"]["kind"] not in _ADDED_BY_SERVER
    ]
    sent = [str(record["id"]) for record in imported.records]
    if [record["id"] for record in stored] != sent:
        report.lost.append(f"{imported.path}: {len(sent)} records in, {len(stored)} out, or in another order")
        return
    for record, found in zip(imported.records, stored, strict=True):
        content = {part["name"]: part.get("value") for part in found["content"]}
        if "secret_redacted" not in found["flags"] and canonical(content) != canonical(record.get("content", {})):
            report.lost.append(f"{imported.path}: {record['id']} has other content")


def trace(client: Client, imported: Imported, report: Report) -> None:
    """Asks of each injected call why it was made, and of each result that brought the attack what came of it."""
    attack = attacks.find(imported)
    if not attack.results:
        miss(report, imported, "no result has the attack: the model never read it")
        return
    if not attack.calls:
        miss(report, imported, words(client, imported, attack, report))
        return
    began = time.monotonic()
    # All results that had the attack before the model asked for the call.
    brought = {imported.results[index]: index for index in attack.results}
    why: dict[str, set[str]] = {}
    for call in attack.calls:
        why[call.record] = {node["id"] for node in client.why(call.record)["nodes"]["data"]}
    effects = {id: {node["id"] for node in client.effects(id)["nodes"]["data"]} for id in brought}
    report.walks += len(why) + len(effects)
    outcome = "found both ways"
    for call in attack.calls:
        for id, index in brought.items():
            if index < call.message:
                report.calls_checked += 1
                if id not in why[call.record]:
                    outcome = "why does not reach it"
                elif call.record not in effects[id]:
                    outcome = "effects do not list it"
    for call in attack.before:
        reached = {node["id"] for node in client.why(call.record)["nodes"]["data"]}
        report.earlier_checked += 1
        report.walks += 1
        if reached & set(brought) or any(call.record in each for each in effects.values()):
            report.earlier_reaching.append(f"{imported.path}: {call.record}")
    report.walk_seconds += time.monotonic() - began
    if outcome == "found both ways":
        report.attacks[outcome] += 1
        broken = " in a run that broke off" if attack.told_by == "later" and imported.counts.errors else ""
        report.told_by[attack.told_by + broken] += 1
    else:
        miss(report, imported, outcome)


def words(client: Client, imported: Imported, attack: attacks.Attack, report: Report) -> str:
    """What is there where no call followed: an output, or nothing."""
    first = attack.results[0]
    outputs = [imported.outputs[index] for index in imported.outputs if index > first]
    if not outputs:
        broken = "the run broke off" if imported.counts.errors else "the transcript ends with the result"
        return f"nothing after it: {broken}"
    reached = {node["id"] for node in client.why(outputs[0])["nodes"]["data"]}
    effects = {node["id"] for node in client.effects(imported.results[first])["nodes"]["data"]}
    report.walks += 2
    if imported.results[first] in reached and outputs[0] in effects:
        return "no call after it, only words: the output is found both ways"
    return "no call after it, and the output that followed is not found"


def miss(report: Report, imported: Imported, why: str) -> None:
    report.attacks[why] += 1
    report.misses.append((imported.path, why))


def run(client: Client, folder: Path, limit: int | None, quick: bool) -> Report:
    """The whole import and all questions."""
    report = Report()
    imported = [agentdojo.read(path, transcript, model) for path, transcript, model in agentdojo.load(folder)]
    if quick:
        imported = subset(imported)
    imported = imported[:limit]
    send(client, imported, report)
    for each in imported:
        compare(client, each, report)
    for each in imported:
        if attacks.succeeded(each):
            trace(client, each, report)
    report.sorts = Counter(attacks.sort_of(each) for each in imported)
    report.flagged = flagged(client, imported)
    return report


def flagged(client: Client, imported: Sequence[Imported]) -> Counter[str]:
    """In how many sessions the ledger's own detection has found what this looks for. It follows some time behind."""
    sorts = {each.session: attacks.sort_of(each) for each in imported}
    found: set[str] = set()
    for _ in range(20):
        time.sleep(0.5)
        hits = client.search_all("kind:flag data.code:influenced_by_untrusted", limit=1_000)
        seen = {str(hit["session"]) for hit in hits} & sorts.keys()
        if seen == found:
            break
        found = seen
    return Counter(sorts[session] for session in found)


def subset(imported: Sequence[Imported], most: int = 40) -> list[Imported]:
    """Some transcripts, among them each trap: what ids, results and messages do wrong, and each outcome of attacks."""
    taken: dict[str, Imported] = {}

    def take(count: int, found: Iterator[Imported]) -> None:
        for _, each in zip(range(count), (each for each in found if each.path not in taken), strict=False):
            taken[each.path] = each

    def with_call(test: object) -> Iterator[Imported]:
        return (
            each
            for each in imported
            if any(
                test(call)  # type: ignore[operator]
                for message in each.transcript["messages"]
                for call in message.get("tool_calls") or []
            )
        )

    def reused(each: Imported) -> bool:
        ids = [call.call_id for call in each.calls if call.call_id]
        return len(ids) > len(set(ids))

    take(3, with_call(lambda call: "id" in call and call["id"] is None))
    take(3, with_call(lambda call: call.get("id") == ""))
    take(3, with_call(lambda call: "id" not in call))
    take(1, with_call(lambda call: call["function"] == "<empty-function-name>"))
    take(4, (each for each in imported if reused(each)))
    take(4, (each for each in imported if each.counts.unanswered))
    take(3, (each for each in imported if isinstance(each.transcript["messages"][0].get("content"), list)))
    take(3, (each for each in imported if any(message.get("error") for message in each.transcript["messages"])))
    take(2, (each for each in imported if not each.calls))
    take(1, iter(sorted(imported, key=lambda each: -max(len(str(record)) for record in each.records))))
    won = [(each, attacks.find(each).told_by) for each in imported if attacks.succeeded(each)]
    for kind in ("echo", "named", "later", "none"):
        take(3, (each for each, told_by in won if told_by == kind))
    take(most - len(taken), iter(imported))
    return list(taken.values())


def table(report: Report) -> str:
    """What was found, for people."""
    counts = report.counts
    rate = report.records / report.import_seconds if report.import_seconds else 0.0
    total = sum(report.attacks.values())
    lines = [
        f"{report.files} transcripts, {counts['messages_and_calls']} messages and calls"
        f" ({counts['prompts']} prompts, {counts['outputs']} outputs, {counts['calls']} calls,"
        f" {counts['results']} results), {counts['supplied']} records supplied",
        f"imported {report.records} records ({report.bytes / 1e6:.1f} MB) in {report.import_seconds:.1f} s:"
        f" {rate:.0f}/s; {report.duplicates} were there already; {report.redacted} had a secret taken out",
        f"results joined to their calls: {counts['results'] - counts['inferred']} by id, {counts['inferred']} inferred;"
        f" {counts['unanswered']} calls without a result; {counts['cut']} records cut",
        f"lost or changed: {len(report.lost)}",
        "",
        f"{total} attacks that succeeded:",
    ]
    lines += [f"  {count:5}  {name}" for name, count in report.attacks.most_common()]
    lines += [
        "",
        "of those found both ways, the calls were told apart by: "
        + ", ".join(f"{name} {count}" for name, count in report.told_by.most_common()),
        f"{report.calls_checked} pairs of a result and a later injected call looked at;"
        f" {report.earlier_checked} calls from before the attack, of which {len(report.earlier_reaching)} lead to it",
        "sessions that the ledger's own detection flagged with influenced_by_untrusted: "
        + ", ".join(f"{report.flagged[sort]} of {count} with {sort}" for sort, count in sorted(report.sorts.items())),
        f"{report.walks} walks in {report.walk_seconds:.1f} s",
    ]
    lines += [f"  LOST {each}" for each in report.lost[:20]]
    lines += [f"  WRONG {each}" for each in report.earlier_reaching[:20]]
    return "\n".join(lines)


@contextlib.contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """The folder with the transcripts."""
    if archive.is_dir():
        yield archive
        return
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(["tar", "--zstd", "-xf", str(archive), "-C", name], check=True)  # noqa: S603, S607
        [index] = Path(name).rglob("INDEX.jsonl")
        yield index.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--limit", type=int, help="import so many transcripts")
    parser.add_argument("--quick", action="store_true", help="import 40, among them each trap")
    parser.add_argument("--key", help="the log's verifier key; receipts are verified by it")
    parser.add_argument("--misses", action="store_true", help="list every attack that was not found, and why")
    given = parser.parse_args()
    if not given.archive.exists():
        print(f"{given.archive} is not there", file=sys.stderr)
        return 2
    with Client(key=given.key, producer="transcripts") as client, unpacked(given.archive) as folder:
        report = run(client, folder, given.limit, given.quick)
    print(table(report))
    if given.misses:
        for path, why in report.misses:
            print(f"  {why}: {path}")
    return 0 if report.whole else 1


if __name__ == "__main__":
    sys.exit(main())
