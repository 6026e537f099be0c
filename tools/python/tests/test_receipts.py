"""A receipt that does not hold is an error, whatever of it was changed."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from serving import Server, prompt

from whence import Client, ReceiptError, new_id


def a_key(name: str) -> tuple[Ed25519PrivateKey, str]:
    private = Ed25519PrivateKey.generate()
    typed = b"\x01" + private.public_key().public_bytes_raw()
    id = hashlib.sha256(name.encode() + b"\n" + typed).digest()[:4]
    return private, f"{name}+{id.hex()}+{base64.b64encode(typed).decode()}"


class Changing(httpx.BaseTransport):
    """Changes the JSON of answers on their way, as whoever stands between may."""

    def __init__(self, change: Callable[[Any], Any], where: str = "/records") -> None:
        self.inner = httpx.HTTPTransport()
        self.change, self.where = change, where

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.inner.handle_request(request)
        body = answer.read()
        if self.where not in request.url.path or answer.status_code >= 300:
            return httpx.Response(answer.status_code, headers=answer.headers, content=body)
        value = json.loads(body)
        return httpx.Response(answer.status_code, json=self.change(value))


def of_receipt(change: Callable[[dict[str, Any]], None]) -> Callable[[Any], Any]:
    def changed(value: Any) -> Any:
        for receipt in value["data"]:
            change(receipt)
        return value

    return changed


def without_proofs(value: Any) -> Any:
    for receipt in value.get("data", []):
        receipt.pop("proof")
    return value


def flipped(text: str) -> str:
    return ("1" if text[0] != "1" else "2") + text[1:]


def other_signature(receipt: dict[str, Any]) -> None:
    head, _, signature = receipt["checkpoint"].rstrip("\n").rpartition(" ")
    data = bytearray(base64.b64decode(signature))
    data[20] ^= 1
    receipt["checkpoint"] = f"{head} {base64.b64encode(data).decode()}\n"


def other_size(receipt: dict[str, Any]) -> None:
    lines = receipt["checkpoint"].split("\n")
    lines[1] = str(int(lines[1]) + 1)
    receipt["checkpoint"] = "\n".join(lines)


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "a hash of the proof": lambda r: r["proof"]["hashes"].__setitem__(0, flipped(r["proof"]["hashes"][0])),
    "a hash less": lambda r: r["proof"]["hashes"].pop(),
    "another place": lambda r: r["proof"].__setitem__("index", r["proof"]["index"] - 1),
    "another tree": lambda r: r["proof"].__setitem__("tree_size", r["proof"]["tree_size"] + 1),
    "another seq": lambda r: r.__setitem__("seq", r["seq"] - 1),
    "a seq beyond the tree": lambda r: r.__setitem__("seq", r["seq"] + 1_000),
    "another leaf": lambda r: r.__setitem__("leaf_hash", flipped(r["leaf_hash"])),
    "another id": lambda r: r.__setitem__("id", "somebody-else"),
    "another signature": other_signature,
    "another size": other_size,
    "no checkpoint": lambda r: r.__setitem__("checkpoint", ""),
    "a digest that is none": lambda r: r.__setitem__("entry_hash", "00"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_receipt_is_refused(server: Server, change: Callable[[dict[str, Any]], None]) -> None:
    with server.client(transport=Changing(of_receipt(change))) as client, pytest.raises(ReceiptError):
        client.post(prompt("s-changed"))


def test_a_receipt_that_is_missing_is_missed(server: Server) -> None:
    with (
        server.client(transport=Changing(lambda value: {**value, "data": value["data"][1:]})) as client,
        pytest.raises(ReceiptError, match="not as many"),
    ):
        client.post_many([prompt("s-missing"), prompt("s-missing")])


def test_a_proof_that_was_left_out_is_fetched(server: Server) -> None:
    with server.client(transport=Changing(without_proofs)) as client:
        receipt = client.post(prompt("s-left-out"))
        assert receipt.proof is not None
        assert receipt.proof.tree_size > receipt.seq


def test_another_key_is_refused(server: Server) -> None:
    name = server.key.split("+")[0]
    for other in (a_key(name)[1], a_key("log.example/main")[1]):
        with server.client(key=other) as client, pytest.raises(ReceiptError):
            client.post(prompt("s-key"))


def test_a_key_is_pinned_only_if_asked_to(server: Server, tmp_path: Path) -> None:
    with Client(server.url, server.token) as client:
        receipt = client.post(prompt("s-pin"))
        assert receipt.signed_by is None
        assert client.calls.trust.key is None
    keep = tmp_path / "kept.json"
    with Client(server.url, server.token, trust_on_first_use=True, keep=keep) as client:
        assert client.post(prompt("s-pin")).signed_by == server.key
    kept = json.loads(keep.read_text())
    assert kept["key"] == server.key
    # From now on it is that key, whatever a server shows.
    kept["key"] = a_key(server.key.split("+")[0])[1]
    keep.write_text(json.dumps({**kept, "checkpoint": None}))
    with Client(server.url, server.token, trust_on_first_use=True, keep=keep) as client, pytest.raises(ReceiptError):
        client.post(prompt("s-pin"))


def test_a_log_that_was_taken_back_is_noticed(fresh: Server, tmp_path: Path) -> None:
    keep = tmp_path / "kept.json"
    with fresh.client(keep=keep) as client:
        client.post(prompt("s-1"))
        fresh.stop()
        shutil.copytree(fresh.data, tmp_path / "copy")
        fresh.start()
        for number in range(5):
            client.post(prompt("s-2", f"number {number}"))
    fresh.stop()
    shutil.rmtree(fresh.data)
    (tmp_path / "copy").rename(fresh.data)
    fresh.start()
    # Another process, which knows of the log what the first one kept. First the log is only shorter ...
    with fresh.client(keep=keep) as client, pytest.raises(ReceiptError, match="no such size"):
        client.post(prompt("s-3"))
    # ... and then as long as before, with another history: a fork.
    with fresh.client() as other:
        other.post_many([prompt("s-3", f"number {number}") for number in range(20)])
    with fresh.client(keep=keep) as client, pytest.raises(ReceiptError, match=r"does not continue|two histories"):
        client.post(prompt("s-4"))
    # Who kept nothing sees nothing of it.
    with fresh.client() as client:
        client.post(prompt("s-5"))


def test_two_checkpoints_of_one_size_are_a_fork(server: Server) -> None:
    seen: list[str] = []
    private, key = a_key("log.example/main")

    def signed(size: int, root: bytes) -> str:
        text = f"log.example/main\n{size}\n{base64.b64encode(root).decode()}\n"
        id = bytes.fromhex(key.split("+")[1])
        signature = base64.b64encode(id + private.sign(text.encode())).decode()
        return f"{text}\n\u2014 log.example/main {signature}\n"

    class Liar(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            record = json.loads(request.content)
            leaf = hashlib.sha256(record["id"].encode()).digest()
            other = bytes(32)
            root = hashlib.sha256(b"\x01" + other + leaf).digest()
            seen.append(record["id"])
            receipt = {
                "id": record["id"],
                "seq": 1,
                "entry_hash": "00" * 32,
                "leaf_hash": leaf.hex(),
                "received_at": "2026-11-24T00:00:00Z",
                "flags": [],
                "duplicate": False,
                "checkpoint": signed(2, root),
                "proof": {"index": 1, "tree_size": 2, "hashes": [other.hex()]},
            }
            return httpx.Response(201, json={"object": "list", "data": [receipt]})

    with Client(server.url, server.token, key=key, transport=Liar()) as client:
        client.post(prompt("s-fork"))
        with pytest.raises(ReceiptError, match="two histories"):
            client.post(prompt("s-fork"))
    assert len(seen) == 2


def test_entries_are_compared_with_what_was_sent(server: Server) -> None:
    record = {
        **prompt("s-entries", {"amount": 1.50, "deep": [None, {"\ufb33": 1, "\U0001f600": 2}], "text": "é\u2028"}),
        "occurred_at": "2026-11-24T01:06:14.120+01:00",
        "labels": {"env": "prod"},
        "trace": None,
        "causes": [],
    }
    with server.client(check="entries") as client:
        receipt = client.post(record)
        complete = {**record, "id": receipt.id}
        client.confirm(complete, receipt)
        changes: list[dict[str, Any]] = [
            {"labels": {"env": "test"}},
            {"user": {"id": "bob@example.com", "type": "human"}},
            {"occurred_at": "2026-11-24T00:06:14.121Z"},
            {"content": {"text": {"amount": 1.5}}},
            {"content": {}},
        ]
        for change in changes:
            with pytest.raises(ReceiptError):
                client.confirm({**complete, **change}, receipt)


def test_an_entry_that_says_something_else_is_refused(server: Server) -> None:
    def another_user(value: Any) -> Any:
        if "entry" in value:
            value["entry"]["user"]["id"] = "mallory@example.com"
        return value

    def other_content(value: Any) -> Any:
        if "entry" in value:
            value["content"][0]["salt"] = flipped(value["content"][0]["salt"])
        return value

    def no_content(value: Any) -> Any:
        if "entry" in value:
            value["content"] = []
        return value

    def no_salt(value: Any) -> Any:
        if "entry" in value:
            value["content"][0]["salt"] = None
        return value

    for change in (another_user, other_content, no_content, no_salt, said_to_be_erased):
        with (
            server.client(check="entries", transport=Changing(change)) as client,
            pytest.raises(ReceiptError),
        ):
            client.post(prompt("s-else"))


def said_to_be_erased(value: Any) -> Any:
    if "entry" in value:
        value["content"] = [{"name": part["name"], "erased": True, "salt": None} for part in value["content"]]
    return value


def test_content_that_was_erased_since_is_named(server: Server) -> None:
    record = {**prompt("s-erased", "forget me"), "id": new_id(), "occurred_at": "2026-11-24T00:00:00Z"}
    with server.client(check="entries") as client:
        receipt = client.post(record)
        assert client.confirm(record, receipt) == ()
        erasure = {"reach": {"record": receipt.id}, "reason": "they asked", "authority": "GDPR 17"}
        answer = httpx.post(f"{server.url}/v1/ledgers/main/erasures", headers=server.headers, json=erasure)
        assert answer.status_code < 300, answer.text
        assert client.confirm(record, receipt) == ("text",)
        # It may be erased since it was posted first, and that is no lie.
        assert client.post(record).duplicate


def test_what_was_redacted_is_no_difference(server: Server) -> None:
    secret = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
    with server.client(check="entries") as client:
        receipt = client.post({**prompt("s-secret", f"the token is {secret}"), "labels": {"token": secret}})
        assert receipt.flags == ("secret_redacted",)


def test_kept_receipts_are_verified_again(server: Server) -> None:
    with server.client(check="nothing") as careless:
        receipt = careless.post(prompt("s-kept"))
        assert receipt.proof is None
        assert receipt.signed_by is None
    with server.client() as client:
        [verified] = client.verify([receipt])
        assert verified.proof is not None
        assert verified.signed_by == server.key
