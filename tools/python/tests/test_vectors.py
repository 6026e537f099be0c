"""The vectors of the formats: what another verifier accepts and refuses, this one does too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from whence import Checkpoint, ReceiptError, VerifierKey
from whence.proofs import canonical_time, consistency_holds, content_digest, entry_hash, inclusion_holds, leaf_hash
from whence.values import canonical

VECTORS = Path(__file__).resolve().parents[3] / "schema" / "vectors"


def _of(kind: str) -> Iterator[Any]:
    for verdict in ("accept", "reject"):
        for path in sorted((VECTORS / verdict).glob("*.json")):
            vector = json.loads(path.read_text("utf-8"))
            if vector["type"] == kind:
                yield pytest.param(vector["input"], vector["expect"], verdict == "accept", id=path.stem)


def of(kind: str) -> list[Any]:
    found = list(_of(kind))
    assert len(found) > 1, f"no vectors of type {kind}"
    return found


@pytest.mark.parametrize(("given", "expect", "accept"), of("inclusion"))
def test_inclusion(given: Any, expect: Any, accept: bool) -> None:
    leaf, root = bytes.fromhex(given["leaf"]), bytes.fromhex(given["root"])
    proof = [bytes.fromhex(each) for each in given["proof"]]
    assert inclusion_holds(leaf, given["index"], given["size"], proof, root) == accept


@pytest.mark.parametrize(("given", "expect", "accept"), of("consistency"))
def test_consistency(given: Any, expect: Any, accept: bool) -> None:
    roots = bytes.fromhex(given["from_root"]), bytes.fromhex(given["to_root"])
    proof = [bytes.fromhex(each) for each in given["proof"]]
    # An empty log is no log that anything was seen of, so it is never kept here.
    accept = accept and given["from"] > 0
    assert consistency_holds(given["from"], roots[0], given["to"], roots[1], proof) == accept


@pytest.mark.parametrize(("given", "expect", "accept"), of("checkpoint"))
def test_checkpoint(given: Any, expect: Any, accept: bool) -> None:
    if len(given["vkeys"]) > 1 and not accept:
        pytest.skip("this client trusts one key")
    held = []
    for text in given["vkeys"]:
        try:
            checkpoint = Checkpoint.parse(given["note"])
            checkpoint.verify(VerifierKey.parse(text))
            held.append(checkpoint)
        except ReceiptError:
            pass
    assert bool(held) == accept
    for checkpoint in held:
        assert (checkpoint.origin, checkpoint.size) == (expect["origin"], expect["size"])
        assert checkpoint.root.hex() == expect["root"]


@pytest.mark.parametrize(("given", "expect", "accept"), of("entry"))
def test_hashes_of_entries(given: Any, expect: Any, accept: bool) -> None:
    if accept:
        entry = given.encode("utf-8")
        assert canonical(json.loads(entry)) == entry
        assert entry_hash(entry) == expect["entry_hash"]
        assert leaf_hash(entry) == expect["leaf_hash"]


@pytest.mark.parametrize(("given", "expect", "accept"), of("content"))
def test_content(given: Any, expect: Any, accept: bool) -> None:
    if len(given["salt"]) == 64:
        digest = content_digest(bytes.fromhex(given["salt"]), given["canonical"].encode("utf-8"))
        assert (digest == given["digest"]) == accept


@pytest.mark.parametrize(("given", "expect", "accept"), of("canon"))
def test_canonical_form(given: Any, expect: Any, accept: bool) -> None:
    if accept:
        assert canonical(json.loads(given)).decode("utf-8") == expect["canonical"]


@pytest.mark.parametrize(("given", "expect", "accept"), of("timestamp"))
def test_times(given: Any, expect: Any, accept: bool) -> None:
    if accept:
        assert canonical_time(given) == next(iter(expect.values()))
