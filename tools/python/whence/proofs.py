"""What is verified of a log without believing it: keys, signed checkpoints, inclusion and consistency.

The formats are those of `schema/SPEC.md`, sections 3.2 to 5.1; rule ids such as R-NOTE-3 are from there.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import ReceiptError
from .values import JsonObject, canonical

_LOG_KEY = 1
_NO_NAME = re.compile("[\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
_SMALL_ORDER = {
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
}


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return _sha256(b"\x01" + left + right)


def _hex(text: object) -> bytes:
    if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{64}", text):
        raise ReceiptError("not a digest")
    return bytes.fromhex(text)


def _base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ReceiptError("not base64") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise ReceiptError("not base64 in its only form")
    return data


def entry_hash(entry: bytes) -> str:
    """R-HASH-1"""
    return blake3(entry, derive_key_context="whence v1 entry").hexdigest()


def leaf_hash(entry: bytes) -> str:
    """R-TREE-1"""
    return _sha256(b"\x00" + entry).hex()


def content_digest(salt: bytes, value: bytes) -> str:
    """R-DIG-1"""
    return blake3(salt + value, derive_key_context="whence v1 content").hexdigest()


@dataclass(frozen=True)
class VerifierKey:
    """The public key of a log, `<name>+<id>+<base64>`."""

    name: str
    id: bytes
    key: bytes

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """R-KEY-1 to R-KEY-4. A witness's key is none: it alone vouches for nothing."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3 or not re.fullmatch("[0-9a-f]{8}", parts[1]):
            raise ReceiptError("not a verifier key")
        _check_name(parts[0])
        typed = _base64(parts[2])
        if len(typed) != 33 or typed[0] != _LOG_KEY:
            raise ReceiptError("not the Ed25519 key of a log")
        if _sha256(parts[0].encode("utf-8") + b"\n" + typed)[:4].hex() != parts[1]:
            raise ReceiptError("the verifier key does not have the id that it says")
        if _is_small(typed[1:]):
            raise ReceiptError("the verifier key is of small order")
        return cls(parts[0], bytes.fromhex(parts[1]), typed[1:])

    def signed(self, text: bytes, signature: bytes) -> bool:
        """R-SIG-1, R-SIG-3"""
        if len(signature) != 64 or int.from_bytes(signature[32:], "little") >= _GROUP_ORDER:
            return False
        if _is_small(signature[:32]):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


def _is_small(point: bytes) -> bool:
    return point[:31] + bytes([point[31] & 0x7F]) in _SMALL_ORDER


@dataclass(frozen=True)
class Checkpoint:
    """The size and the root of a log, as it signed them."""

    origin: str
    size: int
    root: bytes
    note: str
    """The signed note itself: keep it, it is what a fork is proven with."""

    @classmethod
    def parse(cls, note: object) -> Checkpoint:
        """R-NOTE-1 to R-NOTE-3, R-CKPT-1, R-CKPT-2. No signature is looked at."""
        if not isinstance(note, str) or len(note) > 1_000_000 or not note.endswith("\n"):
            raise ReceiptError("the checkpoint is no signed note")
        return _parse_checkpoint(note)

    @classmethod
    def _parse(cls, note: str) -> Checkpoint:
        text, gap, signatures = note.rpartition("\n\n")
        lines = text.split("\n")
        if not gap or len(lines) != 3 or any(char < " " and char != "\n" for char in text):
            raise ReceiptError("the checkpoint is not three lines and signatures")
        if not re.fullmatch("0|[1-9][0-9]{0,19}", lines[1]) or int(lines[1]) >= 2**64:
            raise ReceiptError("the checkpoint's size is no number")
        _check_name(lines[0])
        root = _base64(lines[2])
        if len(root) != 32 or (lines[1] == "0" and root != _sha256(b"")):
            raise ReceiptError("the checkpoint's root is none of its size")
        if not 1 <= len(_signatures(signatures)) <= 100:
            raise ReceiptError("the checkpoint has no signatures, or too many")
        return cls(lines[0], int(lines[1]), root, note)

    def verify(self, key: VerifierKey) -> None:
        """R-NOTE-4, R-CKPT-4: raises unless the log itself signed it with this key."""
        if self.origin != key.name:
            raise ReceiptError(f"the checkpoint is of the log {self.origin}, the key of {key.name}")
        text, _, signatures = self.note.rpartition("\n\n")
        for name, id, signature in _signatures(signatures):
            if name == key.name and id == key.id:
                if key.signed((text + "\n").encode("utf-8"), signature):
                    return
                raise ReceiptError("the signature of the checkpoint does not hold")
        raise ReceiptError("the checkpoint is not signed by the log's key")


@functools.lru_cache(maxsize=32)
def _parse_checkpoint(note: str) -> Checkpoint:
    return Checkpoint._parse(note)


def _check_name(name: str) -> None:
    """R-NAME-1"""
    if not 1 <= len(name.encode("utf-8", "replace")) <= 255 or "+" in name or _NO_NAME.search(name):
        raise ReceiptError("not the name of a key")


def _signatures(lines: str) -> list[tuple[str, bytes, bytes]]:
    """R-NOTE-3: name, key id and signature of each line."""
    found = []
    for line in lines.split("\n")[:-1]:
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014":
            raise ReceiptError("a line of the checkpoint is no signature")
        _check_name(parts[1])
        data = _base64(parts[2])
        if len(data) < 5:
            raise ReceiptError("a signature of the checkpoint is too short")
        found.append((parts[1], data[:4], data[4:]))
    return found


@dataclass(frozen=True)
class InclusionProof:
    """That a leaf is in the tree of a checkpoint."""

    index: int
    tree_size: int
    hashes: tuple[bytes, ...]

    @classmethod
    def parse(cls, proof: object) -> InclusionProof:
        if not isinstance(proof, dict):
            raise ReceiptError("there is no inclusion proof")
        index, size, hashes = proof.get("index"), proof.get("tree_size"), proof.get("hashes")
        if type(index) is not int or type(size) is not int or not isinstance(hashes, list) or len(hashes) > 63:
            raise ReceiptError("not an inclusion proof")
        return cls(index, size, tuple(_hex(each) for each in hashes))


def inclusion_holds(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """R-INCL-1, RFC 9162 section 2.1.3.2"""
    if not 0 <= index < size:
        return False
    fn, sn, node = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            node = _node(sibling, node)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = _node(node, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and node == root


def consistency_holds(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """R-CONS-1 and R-CONS-2, RFC 9162 section 2.1.4.2. Nothing is consistent with an empty log here."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    nodes = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not nodes:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    earlier = later = nodes[0]
    for node in nodes[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            earlier, later = _node(node, earlier), _node(node, later)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            later = _node(later, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and earlier == first_root and later == second_root


def hashes_of(texts: object) -> list[bytes]:
    """The hashes of a proof, as JSON has them."""
    if not isinstance(texts, list):
        raise ReceiptError("not a proof")
    return [_hex(text) for text in texts]


@dataclass(frozen=True)
class Receipt:
    """The log's promise that a record is sealed, and how far it was verified here."""

    id: str
    seq: int
    entry_hash: str
    leaf_hash: str
    received_at: str
    flags: tuple[str, ...]
    duplicate: bool
    checkpoint: Checkpoint
    proof: InclusionProof | None
    signed_by: str | None = None
    """The verifier key by which the checkpoint was verified; `None` where no key was given."""

    @classmethod
    def parse(cls, receipt: object) -> Receipt:
        if not isinstance(receipt, dict):
            raise ReceiptError("not a receipt")
        seq = receipt.get("seq")
        if type(seq) is not int or not isinstance(receipt.get("id"), str):
            raise ReceiptError("not a receipt")
        proof = receipt.get("proof")
        return cls(
            id=receipt["id"],
            seq=seq,
            entry_hash=_hex(receipt.get("entry_hash")).hex(),
            leaf_hash=_hex(receipt.get("leaf_hash")).hex(),
            received_at=str(receipt.get("received_at", "")),
            flags=tuple(receipt.get("flags") or ()),
            duplicate=receipt.get("duplicate") is True,
            checkpoint=Checkpoint.parse(receipt.get("checkpoint")),
            proof=None if proof is None else InclusionProof.parse(proof),
        )

    def verify_inclusion(self) -> None:
        """Raises unless the leaf is in the tree whose root the checkpoint has, at the place that the receipt says."""
        proof = self.proof
        if proof is None:
            raise ReceiptError(f"the receipt of {self.id} has no proof")
        if proof.index != self.seq or proof.tree_size != self.checkpoint.size:
            raise ReceiptError(f"the proof of {self.id} is about another place or another tree")
        leaf = bytes.fromhex(self.leaf_hash)
        if not inclusion_holds(leaf, proof.index, proof.tree_size, proof.hashes, self.checkpoint.root):
            raise ReceiptError(f"the proof of {self.id} does not lead to the root that was signed")


# ---- an entry against what was sent ----

_ADDED = {"flags", "ledger", "prev", "received_at", "seq", "v", "content"}


def check_entry(record: Mapping[str, Any], receipt: Receipt, stored: Mapping[str, Any]) -> tuple[str, ...]:
    """Raises unless a stored record is the one of the receipt, and says what was sent.

    Returns the names of the content that is said to be erased: nothing but its name could be compared. Where a secret
    was taken out before sealing (`secret_redacted`), content, labels and URL are as the log has them.
    """
    entry: JsonObject = stored.get("entry") or {}
    bytes_of_entry = canonical(entry)
    if entry_hash(bytes_of_entry) != receipt.entry_hash or leaf_hash(bytes_of_entry) != receipt.leaf_hash:
        raise ReceiptError(f"the entry of {receipt.id} is not the one of its receipt")
    if entry.get("seq") != receipt.seq:
        raise ReceiptError(f"the entry of {receipt.id} stands elsewhere")
    redacted = "secret_redacted" in (entry.get("flags") or ())
    sealed, sent = _sealed_form(entry), _sent_form(record)
    if redacted:
        for form in (sealed, sent):
            form.pop("labels", None)
            form.get("data", {}).pop("url", None)
    if canonical(sealed) != canonical(sent):
        names = sorted({*sealed, *sent})
        other = [name for name in names if canonical(sealed.get(name)) != canonical(sent.get(name))]
        raise ReceiptError(f"the entry of {receipt.id} says something else: {', '.join(other)}")
    return _check_content(record.get("content") or {}, entry, stored, redacted)


def _check_content(
    sent: Mapping[str, Any], entry: JsonObject, stored: Mapping[str, Any], redacted: bool
) -> tuple[str, ...]:
    """Compares every part that was sealed; what the server would rather not show is no reason to leave one out."""
    sealed = {part["name"]: part for part in entry.get("content") or ()}
    if set(sealed) != set(sent):
        raise ReceiptError(f"the entry of {entry.get('id')} has other content")
    shown = {part.get("name"): part for part in stored.get("content") or () if isinstance(part, dict)}
    erased = []
    for name, commitment in sealed.items():
        part = shown.get(name, {})
        if part.get("salt") is not None:
            value = canonical(part.get("value") if redacted else sent[name])
            if content_digest(_hex(part["salt"]), value) != commitment["digest"]:
                raise ReceiptError(f"the content {name} of {entry.get('id')} is not what was sent")
        elif part.get("erased") is True:
            erased.append(name)
        else:
            raise ReceiptError(f"the content {name} of {entry.get('id')} is not shown, and not said to be erased")
    return tuple(erased)


def _sealed_form(entry: JsonObject) -> JsonObject:
    form = {name: value for name, value in entry.items() if name not in _ADDED}
    if "session" in form:
        form["session"] = {name: value for name, value in form["session"].items() if name not in ("n", "prev")}
    if "causes" in form:
        form["causes"] = [{"id": cause["id"], "rel": cause["rel"]} for cause in form["causes"]]
    return form


def _sent_form(record: Mapping[str, Any]) -> JsonObject:
    form = _without_nothing({name: value for name, value in record.items() if name != "content"})
    return _with_canonical_times(form)


def _without_nothing(value: Any) -> Any:
    """Without members that are `null` or empty, which is the same as leaving them out."""
    if isinstance(value, Mapping):
        kept = {name: _without_nothing(each) for name, each in value.items()}
        return {name: each for name, each in kept.items() if each is not None and each not in ({}, [])}
    if isinstance(value, (list, tuple)):
        return [_without_nothing(each) for each in value]
    return value


_TIMES = {"occurred_at", "expires_at", "issued_at", "effective_from"}


def _with_canonical_times(form: JsonObject) -> JsonObject:
    for place in (form, form.get("data")):
        if isinstance(place, dict):
            for name in _TIMES & place.keys():
                place[name] = canonical_time(place[name])
    return form


def canonical_time(text: str) -> str:
    """R-TIME-3: in UTC, and no more digits of a fraction than are needed."""
    import datetime  # noqa: PLC0415

    hit = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", text)
    if hit is None:
        return text
    offset = "+00:00" if hit[3] in ("Z", "-00:00") else hit[3]
    moment = datetime.datetime.fromisoformat(hit[1] + offset).astimezone(datetime.timezone.utc)
    fraction = (hit[2] or "").rstrip("0")
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if fraction else "") + "Z"
