#!/usr/bin/env python3
"""verify.py - the second, independent verifier of whence provenance logs.

It was written from schema/SPEC.md alone, without a look at the first implementation, so that a mistake in one of the
two does not hide in the other. Rule ids such as R-VER-17 are those of that page; a number such as "SPEC 4.5" is a
section of it.

    python tools/verify.py ARCHIVE [--key KEY]... [--since FILE]... [--receipt FILE]... [--json]
        Verifies an archive folder. KEY is a verifier key or a file with one; FILE is a checkpoint that was kept from
        earlier, or a receipt. Exit code 0: everything was checked and nothing is wrong. 1: there are findings, which are
        printed (the first 10,000). 2: it cannot check, or it was called wrongly. (R-EXIT-1)

    python tools/verify.py --vectors DIR
        Runs the vectors of SPEC 10 below DIR: accept/*.json, reject/*.json, archive/*/. Exit code 0: all agree, and
        there is at least one of each type. 1: some do not. 2: there are none.

It needs Python 3.11 and the packages blake3 and cryptography, and uses no network and no clock. BLAKE3, SHA-256 and
the arithmetic of Ed25519 come from libraries; all else is in this file, in this order: JSON, records and entries,
tree, keys and notes, tiles and bundles, the verification of an archive, the vectors, the command line.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import datetime
import errno
import hashlib
import io
import json
import os
import re
import stat
import sys
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterable, Iterator

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# ---------------------------------------------------------------------------------------------------------------------
# Limits
# ---------------------------------------------------------------------------------------------------------------------

MAX_INT = 2**53 - 1  # R-JSON-7, R-JSON-9
MAX_ENTRY = 65_535  # R-SIZE-1
MAX_DEPTH = 64  # R-JSON-10
MAX_VALUES = 65_536  # R-JSON-11
MAX_FAULTS = 32  # R-REF-1
MAX_LIST = 256  # R-LIST-1, R-CAUSE-5
MAX_LABELS = 50  # R-LABEL-1
MAX_PARTS = 32  # R-CONTENT-1
MAX_PART = 1_048_576  # R-CONTENT-3
MAX_NOTE = 1_000_000  # R-NOTE-1, R-CKF-1
MAX_SIGNATURES = 100  # R-NOTE-3
MAX_PROOF = 1_065_536  # R-PROOF-1
MAX_EXTRA = 32_768  # R-PROOF-2
MAX_PROOF_HASHES = 63  # R-PROOF-3
MAX_PATH = 64  # R-TILE-4
MAX_ARCHIVE_JSON = 65_535  # R-ARCH-1
GROUP = 64  # R-VER-29: bundles
WIDTH = 256  # R-TILE-3, R-BNDL-3: hashes in a full tile, entries in a full bundle

# Limits of this program: nothing that keeps the rules comes near them.
PARSER_DEPTH = 100
MAX_SMALL_FILE = 8 * 1024 * 1024  # receipts, keys
MAX_LISTED = 10_000  # SPEC 8.1: findings that are listed; all are counted

TEXT_LIMITS = {"Id": 256, "Name": 128, "Line": 500, "Url": 2048}  # SPEC 2.3, bytes

# R-NAME-1: the characters of Unicode property White_Space
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")  # R-TEXT-3
UNSEEN = re.compile(  # R-TEXT-4
    "[\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + 0xFFFE) + chr(plane * 0x10000 + 0xFFFF) for plane in range(17))
    + "]"
)
HEX = re.compile("[0-9a-f]*")  # R-HEX-1
DECIMAL = re.compile("0|[1-9][0-9]*")  # R-DEC-1
LEDGER = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # R-LEDGER-1
RECORD_ID = re.compile("[A-Za-z0-9._~:@-]+")  # R-ID-1
LABEL_KEY = re.compile("[A-Za-z0-9_.-]+")  # R-LABEL-2
PART_NAME = re.compile("[a-z][a-z0-9_]*")  # R-CONTENT-2
URL_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*://")  # R-URL-1
TIME = re.compile(  # R-TIME-1
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)


class Malformed(Exception):
    """Bytes that break a rule of a format. The message names the rule and quotes nothing of the bytes."""


class CannotCheck(Exception):
    """There is no result: R-VER-1, R-VER-2, exit code 2."""


def show(text: str) -> str:
    """Text from a file, made safe to print."""
    return json.dumps(text if len(text) <= 120 else text[:120] + "...")


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 1: notation and hash functions
# ---------------------------------------------------------------------------------------------------------------------


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def entry_hash(entry: bytes) -> bytes:
    """R-HASH-1"""
    return blake3(entry, derive_key_context="whence v1 entry").digest()


def content_digest(salt: bytes, canonical: bytes) -> bytes:
    """R-DIG-1"""
    return blake3(salt + canonical, derive_key_context="whence v1 content").digest()


def from_hex(text: Any, length: int | None = None) -> bytes:
    """R-HEX-1"""
    if not isinstance(text, str) or not HEX.fullmatch(text) or len(text) % 2:
        raise Malformed("R-HEX-1: not lower-case hexadecimal digits")
    if length is not None and len(text) != 2 * length:
        raise Malformed(f"R-HEX-1: not {length} bytes")
    return bytes.fromhex(text)


def from_base64(text: str) -> bytes:
    """R-B64-1: writing what was read has to give the same text, which rules out every other form."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise Malformed("R-B64-1: not base64") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise Malformed("R-B64-1: not the one form of base64")
    return data


def from_decimal(text: str) -> int:
    """R-DEC-1"""
    if not DECIMAL.fullmatch(text) or len(text) > 20 or int(text) >= 2**64:
        raise Malformed("R-DEC-1: not a decimal number below 2^64")
    return int(text)


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 2.2: JSON, read strictly
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A JSON number as it was written: R-JSON-7 and R-JSON-9 speak of the form and of the value."""

    text: str


class JsonError(Exception):
    """Not JSON (path None), or JSON that R-JSON-2, R-JSON-8 or the parser's depth refuses (path of the place)."""

    def __init__(self, why: str, path: list[str] | None = None) -> None:
        super().__init__(why)
        self.path = path


class JsonParser:
    """RFC 8259 without exceptions. Objects become dict, arrays list, numbers Number, the rest what Python has."""

    SPACE = re.compile("[ \t\n\r]*")
    COLON = re.compile("[ \t\n\r]*:[ \t\n\r]*")
    AFTER = re.compile("[ \t\n\r]*([,}\\]])[ \t\n\r]*")  # what may follow a value inside an object or array
    STRING = re.compile('"([^"\\\\\x00-\x1f]*)"')  # a string without escapes
    PLAIN = re.compile('[^"\\\\\x00-\x1f]*')
    NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
    HEX4 = re.compile("[0-9a-fA-F]{4}")
    ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
    WORDS = (("true", True), ("false", False), ("null", None))

    def __init__(self, data: bytes) -> None:
        try:
            self.text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise JsonError("R-JSON-1: not UTF-8") from None
        self.at = 0
        self.path: list[str] = []

    def document(self) -> Any:
        self.take(self.SPACE)
        value = self.value()
        self.take(self.SPACE)
        if self.at != len(self.text):
            raise JsonError("R-JSON-1: something after the value")
        return value

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self.text, self.at)
        if not match:
            raise JsonError("R-JSON-1: not JSON")
        self.at = match.end()
        return match

    def value(self) -> Any:
        char = self.peek()
        if char == '"':
            return self.string()
        if char == "{" or char == "[":
            if len(self.path) >= PARSER_DEPTH:
                raise JsonError("R-JSON-10: nested too deep", list(self.path))
            self.at += 1
            self.take(self.SPACE)
            return self.object() if char == "{" else self.array()
        for word, value in self.WORDS:
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return value
        return Number(self.take(self.NUMBER).group())

    def object(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        after = ","
        if self.peek() == "}":
            after = self.take(self.AFTER)[1]
        while after == ",":
            name = self.string()
            if name in members:
                raise JsonError("R-JSON-2: a member name occurs twice", list(self.path))
            self.take(self.COLON)
            self.path.append(name)
            members[name] = self.value()
            self.path.pop()
            after = self.take(self.AFTER)[1]
        if after != "}":
            raise JsonError("R-JSON-1: not JSON")
        return members

    def array(self) -> list[Any]:
        elements: list[Any] = []
        after = ","
        if self.peek() == "]":
            after = self.take(self.AFTER)[1]
        while after == ",":
            self.path.append(str(len(elements)))
            elements.append(self.value())
            self.path.pop()
            after = self.take(self.AFTER)[1]
        if after != "]":
            raise JsonError("R-JSON-1: not JSON")
        return elements

    def string(self) -> str:
        simple = self.STRING.match(self.text, self.at)
        if simple:
            self.at = simple.end()
            return simple[1]
        if self.peek() != '"':
            raise JsonError("R-JSON-1: no string where one has to be")
        self.at += 1
        pieces = []
        while True:
            pieces.append(self.take(self.PLAIN).group())
            char = self.peek()
            self.at += 1
            if char == '"':
                return "".join(pieces)
            if char != "\\":
                raise JsonError("R-JSON-1: a control character in a string, or no end of it")
            pieces.append(self.escape())

    def escape(self) -> str:
        char = self.peek()
        self.at += 1
        if char in self.ESCAPES:
            return self.ESCAPES[char]
        if char != "u":
            raise JsonError("R-JSON-1: an escape that JSON does not have")
        unit = self.hex4()
        if 0xD800 <= unit < 0xDC00 and self.text.startswith("\\u", self.at):
            self.at += 2
            low = self.hex4()
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
        if 0xD800 <= unit < 0xE000:
            raise JsonError("R-JSON-8: an unpaired surrogate", list(self.path))
        return chr(unit)

    def hex4(self) -> int:
        return int(self.take(self.HEX4).group(), 16)


def parse_json(data: bytes) -> Any:
    return JsonParser(data).document()


def check_part(value: Any) -> None:
    """R-JSON-9 to R-JSON-11, for one part of content."""
    values = 0

    def walk(value: Any, depth: int) -> None:
        nonlocal values
        values += 1
        if values > MAX_VALUES:
            raise JsonError("R-JSON-11: too many values")
        if isinstance(value, Number):
            # Every double beyond 2^53 - 1 is whole, and infinity is beyond it too.
            if abs(float(value.text)) > MAX_INT:
                raise JsonError("R-JSON-9: a number that is too large")
        elif isinstance(value, (dict, list)):
            if depth == MAX_DEPTH:
                raise JsonError("R-JSON-10: nested too deep")
            for inner in value.values() if isinstance(value, dict) else value:
                walk(inner, depth + 1)

    walk(value, 0)


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 2.2: canonical form (RFC 8785)
# ---------------------------------------------------------------------------------------------------------------------

ESCAPED = re.compile('["\\\\\x00-\x1f]')  # R-CANON-2
SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def canonical_string(text: str) -> str:
    """R-CANON-2"""
    if ESCAPED.search(text):
        text = ESCAPED.sub(lambda hit: SHORT_ESCAPES.get(hit.group()) or f"\\u{ord(hit.group()):04x}", text)
    return f'"{text}"'


def canonical_number(value: float) -> str:
    """R-CANON-3: ECMAScript's Number::toString. Python's repr has the same shortest digits in another layout."""
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The value is 0.<digits> * 10^point.
    point = len(whole) + int(exponent or "0") - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    tail = "." + digits[1:] if count > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def utf16(text: str) -> bytes:
    """The key that member names are sorted by: R-CANON-1."""
    return text.encode("utf-16-be")


def canonical_text(value: Any) -> str:
    if isinstance(value, str):
        return canonical_string(value)
    if isinstance(value, dict):
        names = sorted(value, key=utf16)
        return "{" + ",".join([f"{canonical_string(name)}:{canonical_text(value[name])}" for name in names]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([canonical_text(element) for element in value]) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):  # a UInt that was read: below 2^53
        return str(value)
    if value is None:
        return "null"
    if isinstance(value, bytes):  # a part of content, as it is kept
        return value.decode("utf-8")
    return canonical_number(float(value.text))


def canonical(value: Any) -> bytes:
    return canonical_text(value).encode("utf-8")


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 2.3 to 2.6: the tables, as they stand in the specification
# ---------------------------------------------------------------------------------------------------------------------

TYPES = """
User    { id: Id, issuer?: Id, owner?: Id, pseudonym?: Id, subject?: Id, trigger?: Trigger,
          type: "human" | "organization" | "service" }
Trigger { ref: Id, type: "schedule" | "webhook" | "event" }
Session { id: Id, login_session_id?: Id, turn_id?: Id }
Agent   { charter_digest?: Digest, id: Id, instance_id?: Id, name?: Name, operator?: Id, version?: Name }
Source  { captured?: "full" | "truncated" | "absent", format?: Name, link_confidence?: "stated" | "inferred",
          observed_by: ObservedBy, producer: Id, producer_seq?: UInt }
ObservedBy     "agent_process" | "tool_executor" | "mcp_gateway" | "llm_gateway" | "egress_proxy" | "idp" | "imported"
Signature      { key: Id, value: Hex128 }
Trace          { parent_span_id?: Hex16, span_id: Hex16, trace_id: Hex32 }
AuthMethod     "api_key" | "certificate" | "device" | "magic_link" | "oauth" | "passkey" | "password" | "sso" | "unknown"
Crud           "c" | "r" | "u" | "d"
Effect         "read" | "write" | "destructive" | "external"
Flag           "after_session_end" | "agent_uses_user_token" | "approval_missing" | "approval_not_bound" |
                 "arguments_invalid" | "audience_mismatch" | "backdated" | "calls_exceeded" | "content_incomplete" |
                 "delegate_mismatch" | "delegation_expired" | "delegation_missing" | "delegation_revoked" |
                 "delegation_unknown" | "delegation_widened" | "effect_exceeded" | "influenced_by_untrusted" |
                 "late" | "orphan_api_call" | "orphan_tool_invocation" | "refusal_burst" | "scope_exceeded" |
                 "secret_redacted" | "subject_mismatch" | "task_mismatch" | "tool_definition_changed" |
                 "tool_first_use" | "tool_not_in_catalog"
Gap            "producer_seq_missing" | "requested_not_completed" | "session_unterminated" | "late" | "trace_incomplete"
                 | "heartbeat_missed"
Phase          "requested" | "completed"
Policy         { approvals?: Effect[], catalog?: "known" | "required", content_required?: Bool, detections_off?: Name[],
                 grants_outlive_sessions?: Bool, mode: "strict" | "observe", redact_secrets?: Bool,
                 retention_days?: UInt }
Reach          { all?: Bool, record?: Id, session?: Id, user?: Id }
Rel            "about" | "authorized_by" | "completes" | "corrects" | "handed_off_from" | "informed_by" | "triggered_by"
ToolDefinition { annotations?: { destructive?: Bool, idempotent?: Bool, open_world?: Bool, read_only?: Bool },
                 backend?: Name, definition_digest: Digest, description_digest?: Digest, input_schema_digest?: Digest,
                 name: Name, output_schema_digest?: Digest }
UserType       "human" | "organization" | "service"

Record         { id?: RecordId, kind: Kind, occurred_at: Time, source: Source, user?: User, session?: Session,
                 agent?: Agent, delegation?: Id, causes?: { id: RecordId, rel: Rel }[], trace?: Trace, data?: Later,
                 content?: Content, labels?: Labels, signature?: Signature }
Entry          { agent?: Agent, causes?: { entry_hash: Digest, id: RecordId, rel: Rel, seq: UInt }[],
                 content?: { bytes: UInt, digest: Digest, name: PartName }[], data?: Later, delegation?: Id,
                 flags?: Flag[], id: RecordId, kind: Kind, labels?: Labels, ledger: Ledger, occurred_at: Time,
                 prev?: Digest, received_at: Time, seq: UInt,
                 session?: { id: Id, login_session_id?: Id, n: UInt, prev?: Digest, turn_id?: Id },
                 signature?: Signature, source?: Source, trace?: Trace, user?: User, v: UInt }
Archive        { archive: UInt, content: "kept" | "withheld", from: UInt, ledger: Text, origin: Text, size: UInt,
                 software: Text, to: UInt }
"""

POSTED_DATA = """
session_start          { auth: { amr?: Name[], issuer: Id, mfa?: Bool, method: AuthMethod }, expires_at: Time, ip?: Name,
                         previous_id?: Id, task_id?: Id, user_agent?: Line }
session_end            { ended_by?: Id, reason: "logout" | "expired" | "revoked" | "completed" | "admin" }
delegation_grant       { actors?: Id[], allowed_effects?: Effect[], approved_tools?: Name[], audience: Id[1+],
                         claims_profile?: Name,
                         credential: { alg?: Name, cnf_jkt?: Name, id: Id, type: Name }, delegate: Id, delegation: Id,
                         expires_at: Time, issued_at: Time, issuer: Id, lifetime_basis: "login_session" | "grant",
                         max_calls?: UInt, parent?: Id, scopes: Id[1+], subject: Id, task_id?: Id }
delegation_revoke      { delegation: Id, reason: Line, revoked_by?: Id }
tool_catalog_snapshot  { catalog_digest: Digest, effective_from?: Time, replaces?: Digest,
                         review_status?: "proposed" | "approved" | "rejected", reviewed_by?: Id, server: Name,
                         tools: ToolDefinition[1+], ttl_ms?: UInt, version?: Name }
prompt                 { channel?: Name, origin?: "human" | "schedule" | "agent", role: "user" | "system" | "developer" }
model_output           { finish_reasons: Name[1+],
                         model: { provider: Name, requested: Name, response_id?: Id, served?: Name },
                         tool_calls?: { id: Id, name: Name }[],
                         usage?: { cached_input_tokens?: UInt, input_tokens?: UInt, output_tokens?: UInt,
                                   reasoning_tokens?: UInt } }
tool_invocation        { call_id?: Id, catalog_id?: Id, definition_digest?: Digest, effect?: Effect,
                         idempotency_key?: Id, phase?: Phase, scopes?: Id[], server?: Name, task_id?: Id,
                         tool: Name }
tool_result            { call_id?: Id, duration_ms?: UInt, error_type?: Name,
                         status: "success" | "error" | "denied" | "timeout" | "unknown" }
api_call               { audience?: Id, credential_id?: Id, crud?: Crud, method: Name, on_behalf_of?: Id, operation?: Name,
                         phase?: Phase,
                         resources?: { id: Id, type: Name }[], scopes?: Id[], service?: Name, status_code?: UInt,
                         upstream_request_id?: Id, url?: Url }
authorization_decision { decision: "allow" | "deny" | "require_approval" | "modify", effect?: Effect, enforced?: Bool,
                         obligations?: Name[], policy: { digest?: Digest, id: Id, version?: Name }, task_id?: Id,
                         user_id?: Id }
human_approval         { approver: { id: Id, issuer?: Id, name?: Name }, decided_by_type?: UserType,
                         decision: "approved" | "rejected" | "modified" | "timeout",
                         mode: "explicit" | "remembered" | "policy", proposed_by_type?: UserType,
                         risk_tier?: "low" | "medium" | "high" | "critical" }
retrieval              { documents?: { id: Id, version?: Name }[], source: Id, top_k?: UInt,
                         trust?: "internal" | "external" }
memory                 { op: "create" | "search" | "update" | "upsert" | "delete" | "create_store" | "delete_store",
                         record_ids?: Id[], store: Id }
handoff                { a2a_task_id?: Id, child_delegation?: Id, from_agent: Id, mode: "return" | "transfer",
                         protocol?: "a2a" | "tool" | "http", task_id?: Id, to_agent: Id }
error                  { error_type: Name }
app_event              { action: Name, actor: { id: Id, name?: Name, type: Name },
                         context?: { location: Name, user_agent?: Line }, crud?: Crud, is_failure?: Bool,
                         targets: { id: Id, name?: Name, type: Name }[1+], version?: UInt }
heartbeat              { interval_ms: UInt, last_seq?: UInt }
correction             { pointers?: Line[] }
annotation             { adds_cause?: Rel, topic?: Name }
case_note              { case_id: Id }
"""

RESERVED_DATA = """
capture_gap            { count?: UInt, first?: UInt, gap: Gap, last?: UInt, producer?: Id, since?: Time }
ingest_refusal         { bytes?: UInt, claimed_agent?: Id, claimed_id?: Id, claimed_kind?: Name,
                         claimed_producer?: Id, claimed_session?: Id, claimed_user?: Id, code: Name, count?: UInt,
                         token_id?: Id }
flag                   { code: Flag, detection_id?: Id, severity: "info" | "low" | "medium" | "high" }
log_access             { actor: Id, calls?: UInt, last_at?: Time, operation: Name, records?: UInt }
log_export             { actor: Id, content?: Bool, end: UInt, format: Name, start: UInt }
erasure                { actor: Id, authority: Line, parts: UInt, reach: Reach, reason: Line, records: UInt }
retention_purge        { before: Time, parts: UInt, policy: Name, records: UInt }
legal_hold             { actor: Id, hold_id: Id, reach: Reach, reason: Line, state: "placed" | "released" }
key_rotation           { actor: Id, new_key: Line, old_key: Line }
config_change          { actor: Id, policy?: Policy, setting: Name }
producer_key           { actor: Id, key_id: Id, producer: Id, public_key: Digest, state: "registered" | "revoked",
                         valid_from?: Time, valid_until?: Time }
genesis                { key: Line, origin: Id, software: Name }
"""

# Copied from SPEC 2.5. A row without a kind belongs to the kind above it.
CAUSES = """
| kind | needs | relation | may lead to | min | max |
| --- | --- | --- | --- | --- | --- |
| `session_start` | user, session | `triggered_by` | `handoff`, `app_event` | 0 | 1 |
| | | `handed_off_from` | `handoff` | 0 | 1 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `session_end` | user, session | `triggered_by` | `session_start`, `prompt`, `error`, `app_event`, `delegation_revoke` | 0 | 1 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `delegation_grant` | user, session | `triggered_by` | `session_start`, `prompt`, `handoff`, `human_approval`, `app_event` | 0 | 1 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `delegation_revoke` | user, session | `triggered_by` | `session_end`, `prompt`, `error`, `human_approval`, `authorization_decision`, `app_event` | 0 | 1 |
| | | `about` | `delegation_grant` | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `tool_catalog_snapshot` | none | `triggered_by` | `session_start`, `prompt`, `error`, `app_event` | 0 | 1 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `prompt` | user, session | `triggered_by` | `session_start`, `model_output`, `tool_invocation`, `tool_result`, `handoff`, `human_approval`, `app_event` | 0 | 1 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| | | `handed_off_from` | `handoff` | 0 | 1 |
| `model_output` | user, session, agent | `triggered_by` | `prompt`, `tool_result`, `handoff`, `session_start` | 1 | 1 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| | | `handed_off_from` | `handoff` | 0 | 1 |
| `tool_invocation` | user, session, agent | `triggered_by` | `model_output`, `prompt`, `handoff` | 1, or flag `orphan_tool_invocation` | 1 |
| | | `completes` | `tool_invocation` | 0 | 1 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| | | `handed_off_from` | `handoff` | 0 | 1 |
| `tool_result` | user, session, agent | `completes` | `tool_invocation` | 1 | 1 |
| | | `triggered_by` | `api_call` | 0 | 1 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `api_call` | user, session, agent | `triggered_by` | `tool_invocation` | 1, or flag `orphan_api_call` | 1 |
| | | `completes` | `api_call` | 0 | 1 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `authorization_decision` | user, session | `about` | ANY | 1 | 256 |
| | | `triggered_by` | ACTING | 0 | 1 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `human_approval` | user, session | `about` | ANY | 1 | 256 |
| | | `triggered_by` | ACTING, `authorization_decision` | 0 | 1 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `retrieval` | user, session, agent | `triggered_by` | ACTING | 0 | 1 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `memory` | user, session, agent | `triggered_by` | ACTING | 0 | 1 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `handoff` | user, session, agent | `triggered_by` | ACTING | 0 | 1 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| | | `handed_off_from` | `handoff` | 0 | 1 |
| `error` | user, session | `about` | ANY | 1 | 256 |
| | | `triggered_by` | ANY | 0 | 1 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| `app_event` | user, session | `triggered_by` | ANY | 0 | 1 |
| | | `about` | ANY | 0 | 256 |
| | | `informed_by` | CONTEXT | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `heartbeat` | none | (no relations) | | | |
| `correction` | user | `corrects` | ANY | 1 | 256 |
| | | `informed_by` | ANY | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `annotation` | user | `about` | ANY | 1 | 256 |
| | | `informed_by` | ANY | 0 | 256 |
| | | `authorized_by` | AUTHORITY | 0 | 256 |
| `case_note` | user | `about` | ANY | 1 | 256 |
| | | `informed_by` | ANY | 0 | 256 |
| `flag` | none | `about` | ANY | 1 | 256 |
| `capture_gap`, `ingest_refusal`, `log_access`, `erasure`, `legal_hold` | none | `about` | ANY | 0 | 256 |
| `log_export`, `retention_purge`, `key_rotation`, `config_change`, `producer_key`, `genesis` | none | (no relations) | | | |
"""

CAUSE_SETS = """
* CONTEXT: `prompt`, `model_output`, `tool_result`, `retrieval`, `memory`, `handoff`, `error`, `api_call`,
  `human_approval`, `tool_catalog_snapshot`, `app_event`.
* AUTHORITY: `authorization_decision`, `human_approval`, `delegation_grant`.
* ACTING: `prompt`, `model_output`, `tool_invocation`, `tool_result`, `handoff`, `session_start`.
"""

INDEPENDENT_OBSERVERS = {"mcp_gateway", "llm_gateway", "egress_proxy", "idp", "imported"}  # R-CAUSE-6
OWN_OBSERVERS = {"agent_process", "tool_executor"}  # R-DELEG-1
DELEGATED = {"tool_invocation", "tool_result", "api_call", "handoff"}  # R-DELEG-1, and `memory` but for `search`
WITH_CONTENT = {"prompt", "model_output", "tool_invocation", "tool_result"}  # R-CONTENT-4

# ---------------------------------------------------------------------------------------------------------------------
# The tables, taken apart
# ---------------------------------------------------------------------------------------------------------------------

Type = Any  # the name of a type, or one of the three below


@dataclass(frozen=True)
class OneOf:
    names: frozenset[str]


@dataclass(frozen=True)
class ListOf:
    element: Type
    least: int  # 1 for T[1+]


@dataclass(frozen=True)
class Members:
    types: dict[str, tuple[Type, bool]]  # member -> its type, and whether it may be left out


class TableReader:
    """Reads `Name type` one after the other, in the notation of SPEC 2.3."""

    TOKEN = re.compile(r'\s*("[^"]*"|\w+|\[1\+\]|\[\]|[{}:,|?])')

    def __init__(self, text: str) -> None:
        self.tokens = self.TOKEN.findall(text)

    def table(self) -> dict[str, Type]:
        types = {}
        while self.tokens:
            name = self.tokens.pop(0)
            types[name] = self.type()
        return types

    def take(self, token: str) -> bool:
        if self.tokens[:1] != [token]:
            return False
        self.tokens.pop(0)
        return True

    def type(self) -> Type:
        if self.take("{"):
            kind: Type = self.members()
        elif self.tokens[0].startswith('"'):
            kind = self.one_of()
        else:
            kind = self.tokens.pop(0)
        if self.take("[]"):
            return ListOf(kind, 0)
        if self.take("[1+]"):
            return ListOf(kind, 1)
        return kind

    def members(self) -> Members:
        types = {}
        while not self.take("}"):
            name = self.tokens.pop(0)
            optional = self.take("?")
            self.take(":")
            types[name] = (self.type(), optional)
            self.take(",")
        return Members(types)

    def one_of(self) -> OneOf:
        names = [self.tokens.pop(0).strip('"')]
        while self.take("|"):
            names.append(self.tokens.pop(0).strip('"'))
        return OneOf(frozenset(names))


NAMED = TableReader(TYPES).table()
POSTED = TableReader(POSTED_DATA).table()
RESERVED = TableReader(RESERVED_DATA).table()
DATA = POSTED | RESERVED
KINDS = list(DATA)  # R-KIND-1; the position of a kind is also how the verifier remembers it
FLAGS = sorted(NAMED["Flag"].names)  # R-FLAG-1


@dataclass(frozen=True)
class Relation:
    """A row of the table of causes."""

    leads_to: frozenset[str]
    least: int
    most: int
    flag: str | None  # instead of a refusal, R-CAUSE-6


def read_sets(text: str) -> dict[str, frozenset[str]]:
    sets = {"ANY": frozenset(KINDS)}
    for item in text.strip().split("* ")[1:]:
        name, _, kinds = item.partition(":")
        sets[name] = frozenset(re.findall("`([a-z_]+)`", kinds))
    return sets


def read_causes(
    text: str, sets: dict[str, frozenset[str]]
) -> tuple[dict[str, set[str]], dict[str, dict[str, Relation]]]:
    """What each kind needs beside causes, and its relations."""
    needs: dict[str, set[str]] = {}
    relations: dict[str, dict[str, Relation]] = {}
    kinds: list[str] = []
    for line in text.strip().splitlines()[2:]:
        first, need, relation, leads_to, least, most = [cell.strip() for cell in line.strip("|").split("|")]
        if first:
            kinds = re.findall("[a-z_]+", first)
            for kind in kinds:
                needs[kind] = set(need.split(", ")) - {"none"}
                relations[kind] = {}
        if not relation.startswith("`"):
            continue
        targets: frozenset[str] = frozenset()
        for word in re.findall("[A-Za-z_]+", leads_to):
            targets |= sets[word] if word in sets else frozenset([word])
        flag = re.search("flag `([a-z_]+)`", least)
        row = Relation(targets, int(least.split(",")[0]), int(most), flag.group(1) if flag else None)
        for kind in kinds:
            relations[kind][relation.strip("`")] = row
    return needs, relations


NEEDS, RELATIONS = read_causes(CAUSES, read_sets(CAUSE_SETS))

# ---------------------------------------------------------------------------------------------------------------------
# SPEC 2: records
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    pointer: str | None  # None: not specified (bytes that are not JSON, R-REF-2)
    code: str
    rule: str


class Refused(Exception):
    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        fault = self.faults[0]
        return f"{fault.rule}: {fault.code} at {show(fault.pointer or '')}"


def pointer_to(path: Iterable[str]) -> str:
    """RFC 6901"""
    return "".join(["/" + name.replace("~", "~0").replace("/", "~1") for name in path])


def canonical_time(text: str) -> str:
    """R-TIME-1 to R-TIME-3"""
    parts = TIME.fullmatch(text)
    if not parts:
        raise Malformed("R-TIME-1: not a time")
    year, month, day, hour, minute, second = [int(digits) for digits in parts.groups()[:6]]
    fraction, sign, offset_hours, offset_minutes = parts.groups()[6:]
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second)
        if sign:
            if int(offset_hours) > 23 or int(offset_minutes) > 59:
                raise Malformed("R-TIME-1: an offset of more than 23:59")
            offset = datetime.timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
            moment = moment - offset if sign == "+" else moment + offset
    except (ValueError, OverflowError):
        raise Malformed("R-TIME-1: no such date or time") from None
    if moment.year < 1970:
        raise Malformed("R-TIME-2: before 1970")
    fraction = (fraction or "").rstrip("0")
    return moment.isoformat() + ("." + fraction if fraction else "") + "Z"


def same_identity(one: str, other: str) -> bool:
    """R-COLL-4"""
    one, other = one.strip(WHITE_SPACE + "\u2800"), other.strip(WHITE_SPACE + "\u2800")
    if one.isascii() and other.isascii():
        return one.lower() == other.lower()
    return caseless(one) == caseless(other)


def caseless(text: str) -> str:
    """D146 of the Unicode standard"""
    text = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


class Reading:
    """Reads one record or entry by the tables. A fault of shape ends it; the others are gathered (R-REF-1).

    What is read is returned as it would be sealed: without absent members, with times in canonical form.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, pointer: str, code: str, rule: str) -> None:
        self.faults.append(Fault(pointer, code, rule))

    def shape(self, pointer: str, code: str, rule: str) -> Refused:
        return Refused([Fault(pointer, code, rule)])

    def read(self, kind: Type, value: Any, at: str) -> Any:
        while isinstance(kind, str) and kind in NAMED:
            kind = NAMED[kind]
        if isinstance(kind, str):
            return SCALARS[kind](self, value, at)
        if isinstance(kind, Members):
            return self.object(kind, value, at)
        if isinstance(kind, ListOf):
            return self.list(kind, value, at)
        if not isinstance(value, str) or value not in kind.names:
            raise self.shape(at, "field_invalid", "R-JSON-6")
        return value

    def object(self, kind: Members, value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.shape(at, "field_invalid", "R-JSON-6")
        if not value.keys() <= kind.types.keys():
            raise self.shape(at, "unknown_field", "R-JSON-3")
        result = {}
        for name, (member, optional) in kind.types.items():
            place = f"{at}/{name}"
            if name not in value:
                if not optional:
                    raise self.shape(place, "field_missing", "R-JSON-4")
                continue
            given = value[name]
            if given is None:
                if not optional or isinstance(member, ListOf) or member in ("Content", "Labels"):
                    raise self.shape(place, "field_invalid", "R-JSON-5")
                continue
            read = self.read(member, given, place)
            if optional and read == [] or member in ("Content", "Labels") and read == {}:
                continue
            if optional and read == {} and member != "Later":
                self.fault(place, "field_invalid", "R-OBJ-1")
            result[name] = read
        return result

    def list(self, kind: ListOf, value: Any, at: str) -> list[Any]:
        if not isinstance(value, list):
            raise self.shape(at, "field_invalid", "R-JSON-6")
        if len(value) > MAX_LIST:
            self.fault(at, "too_many", "R-LIST-1")
        if len(value) < kind.least:
            self.fault(at, "field_missing", "R-LIST-2")
        return [self.read(kind.element, element, f"{at}/{index}") for index, element in enumerate(value)]

    def data(self, kind: str, value: Any) -> dict[str, Any]:
        """R-DATA-1. Faults of shape inside `data` come last, so that this is called last."""
        return self.object(DATA[kind], value, "/data")

    # Types without members

    def string(self, value: Any, at: str) -> str:
        if not isinstance(value, str):
            raise self.shape(at, "field_invalid", "R-JSON-6")
        return value

    def text(self, value: Any, at: str, limit: int) -> str:
        text = self.string(value, at)
        if not text:
            self.fault(at, "field_invalid", "R-TEXT-1")
        if len(text.encode("utf-8")) > limit:
            self.fault(at, "field_too_long", "R-TEXT-2")
        if CONTROL.search(text):
            self.fault(at, "field_invalid", "R-TEXT-3")
        if UNSEEN.search(text):
            self.fault(at, "field_invalid", "R-TEXT-4")
        return text

    def url(self, value: Any, at: str) -> str:
        url = self.text(value, at, TEXT_LIMITS["Url"])
        if not URL_SCHEME.match(url):
            self.fault(at, "field_invalid", "R-URL-1")
        host = re.split("[/?#]", url.partition(":")[2].lstrip("/\\"), maxsplit=1)[0]
        if "@" in host:
            self.fault(at, "field_invalid", "R-URL-2")
        return url

    def record_id(self, value: Any, at: str) -> str:
        text = self.string(value, at)
        if len(text.encode("utf-8")) > 128:
            raise self.shape(at, "field_too_long", "R-ID-1")
        if not RECORD_ID.fullmatch(text) or text in (".", ".."):
            raise self.shape(at, "field_invalid", "R-ID-1")
        return text

    def hex(self, value: Any, at: str, digits: int) -> str:
        text = self.string(value, at)
        if len(text) != digits or not HEX.fullmatch(text):
            raise self.shape(at, "field_invalid", "R-HEX-1")
        return text

    def time(self, value: Any, at: str) -> str:
        try:
            return canonical_time(self.string(value, at))
        except Malformed:
            raise self.shape(at, "time_invalid", "R-TIME-1 or R-TIME-2") from None

    def uint(self, value: Any, at: str) -> int:
        if not isinstance(value, Number):
            raise self.shape(at, "field_invalid", "R-JSON-6")
        if not DECIMAL.fullmatch(value.text) or len(value.text) > 20 or int(value.text) >= 2**64:
            raise self.shape(at, "field_invalid", "R-JSON-7")
        if int(value.text) > MAX_INT:
            self.fault(at, "field_invalid", "R-JSON-7")
        return int(value.text)

    def bool(self, value: Any, at: str) -> bool:
        if not isinstance(value, bool):
            raise self.shape(at, "field_invalid", "R-JSON-6")
        return value

    def kind(self, value: Any, at: str) -> str:
        if self.string(value, at) not in DATA:
            raise self.shape(at, "unknown_kind", "R-KIND-1")
        return value

    def ledger(self, value: Any, at: str) -> str:
        if not LEDGER.fullmatch(self.string(value, at)):
            self.fault(at, "field_invalid", "R-LEDGER-1")
        return value

    def part_name(self, value: Any, at: str) -> str:
        if len(self.string(value, at).encode("utf-8")) > 40:
            self.fault(at, "field_too_long", "R-CONTENT-2")
        elif not PART_NAME.fullmatch(value):
            self.fault(at, "field_invalid", "R-CONTENT-2")
        return value

    def labels(self, value: Any, at: str) -> dict[str, str]:
        if not isinstance(value, dict):
            raise self.shape(at, "field_invalid", "R-JSON-6")
        if len(value) > MAX_LABELS:
            self.fault(at, "too_many", "R-LABEL-1")
        for key in value:
            if len(key.encode("utf-8")) > 40:
                self.fault(at, "field_too_long", "R-LABEL-2")
            elif not LABEL_KEY.fullmatch(key):
                self.fault(at, "field_invalid", "R-LABEL-2")
        return {key: self.text(text, at + pointer_to([key]), TEXT_LIMITS["Line"]) for key, text in value.items()}

    def content(self, value: Any, at: str) -> dict[str, bytes]:
        """R-CONTENT-1 to 3. Returns the canonical form of each part."""
        if not isinstance(value, dict):
            raise self.shape(at, "field_invalid", "R-JSON-6")
        if len(value) > MAX_PARTS:
            self.fault(at, "too_many", "R-CONTENT-1")
        parts = {}
        for name, part in value.items():
            self.part_name(name, at)
            place = at + pointer_to([name])
            try:
                check_part(part)
            except JsonError as error:
                raise self.shape(place, "json_invalid", str(error)) from None
            parts[name] = canonical(part)
            if len(parts[name]) > MAX_PART:
                self.fault(place, "content_too_large", "R-CONTENT-3")
        return parts

    # Rules that join members, for records and entries alike (R-ENTRY-5)

    def rules(self, kind: str, fields: dict[str, Any]) -> set[str]:
        """Gathers faults, returns the flags that the record has to carry (R-FLAG-2)."""
        for need, code, rule in (
            ("user", "user_context_missing", "R-USER-1"),
            ("session", "user_context_missing", "R-SESS-1"),
            ("agent", "field_missing", "R-AGENT-1"),
        ):
            if need in NEEDS[kind] and need not in fields:
                self.fault(f"/{need}", code, rule)
        if "signature" in fields and "id" not in fields:
            self.fault("/id", "field_missing", "R-SIGN-1")
        if fields.get("session", {}).get("id") in (".", ".."):
            self.fault("/session/id", "field_invalid", "R-SESS-2")
        self.identities(fields.get("user"), fields.get("agent"))
        data, source = fields.get("data", {}), fields.get("source", {})
        captured = source.get("captured", "full")
        if captured == "absent" and "content" in fields:
            self.fault("/source/captured", "field_invalid", "R-CONTENT-4")
        if (captured == "truncated" or captured == "full" and kind in WITH_CONTENT) and "content" not in fields:
            self.fault("/content", "content_missing", "R-CONTENT-4")
        if kind == "api_call":
            if "url" not in data and not ("operation" in data and "service" in data):
                self.fault("/data/url", "field_missing", "R-API-1")
            if data.get("status_code", 0) > 999:
                self.fault("/data/status_code", "field_invalid", "R-API-2")
            if "status_code" not in data and data.get("phase") != "requested":
                self.fault("/data/status_code", "field_missing", "R-API-3")
        flags = self.causes(kind, fields)
        if "delegation" not in fields and (kind in DELEGATED or kind == "memory" and data["op"] != "search"):
            if source.get("observed_by") in OWN_OBSERVERS:
                self.fault("/delegation", "delegation_missing", "R-DELEG-1")
            else:
                flags.add("delegation_missing")
        return flags

    def identities(self, user: dict[str, Any] | None, agent: dict[str, Any] | None) -> None:
        if user is None:
            return
        if user["type"] == "service" and "trigger" not in user and "owner" not in user:
            self.fault("/user", "provenance_collapsed", "R-COLL-1")
        if agent is None:
            return
        agents = [agent[name] for name in ("id", "instance_id") if name in agent]
        for name, rule in (("id", "R-COLL-2"), ("owner", "R-COLL-3")):
            if name in user and any(same_identity(user[name], other) for other in agents):
                self.fault(f"/user/{name}", "provenance_collapsed", rule)

    def causes(self, kind: str, fields: dict[str, Any]) -> set[str]:
        causes = fields.get("causes", [])
        seen = set()
        counts: dict[str, int] = {}
        for index, cause in enumerate(causes):
            key = (cause["id"], cause["rel"])
            if cause["rel"] not in RELATIONS[kind]:
                self.fault(f"/causes/{index}/rel", "cause_invalid", "R-CAUSE-1")
            if cause["id"] == fields.get("id"):
                self.fault(f"/causes/{index}/id", "cause_invalid", "R-CAUSE-2")
            if key in seen:
                self.fault(f"/causes/{index}", "cause_repeated", "R-CAUSE-3")
            seen.add(key)
            counts[cause["rel"]] = counts.get(cause["rel"], 0) + 1
        observer = fields.get("source", {}).get("observed_by")
        flags = set()
        for name, relation in RELATIONS[kind].items():
            count = counts.get(name, 0)
            if count < relation.least:
                if relation.flag and observer in INDEPENDENT_OBSERVERS:
                    flags.add(relation.flag)  # R-CAUSE-6
                else:
                    self.fault("/causes", "cause_missing", "R-CAUSE-4")
            if count > relation.most:
                self.fault("/causes", "too_many", "R-CAUSE-5")
        return flags


SCALARS: dict[str, Callable[[Reading, Any, str], Any]] = {
    "Id": lambda reading, value, at: reading.text(value, at, TEXT_LIMITS["Id"]),
    "Name": lambda reading, value, at: reading.text(value, at, TEXT_LIMITS["Name"]),
    "Line": lambda reading, value, at: reading.text(value, at, TEXT_LIMITS["Line"]),
    "Url": Reading.url,
    "RecordId": Reading.record_id,
    "Digest": lambda reading, value, at: reading.hex(value, at, 64),
    "Hex16": lambda reading, value, at: reading.hex(value, at, 16),
    "Hex32": lambda reading, value, at: reading.hex(value, at, 32),
    "Hex128": lambda reading, value, at: reading.hex(value, at, 128),
    "Time": Reading.time,
    "UInt": Reading.uint,
    "Bool": Reading.bool,
    "Kind": Reading.kind,
    "Ledger": Reading.ledger,
    "PartName": Reading.part_name,
    "Labels": Reading.labels,
    "Content": Reading.content,
    "Text": Reading.string,  # a string without limits, in archive.json
    "Later": lambda reading, value, at: value,  # `data`, which is read by its kind when all else was
}


@dataclass(frozen=True)
class Accepted:
    """A posted record that nothing is wrong with."""

    kind: str
    flags: list[str]
    content: dict[str, bytes]


def check_record(data: bytes) -> Accepted:
    """SPEC 2: a record as it is posted. Raises Refused."""
    try:
        value = parse_json(data)
    except JsonError as error:
        path = error.path
        if path is not None and path[:1] == ["content"]:
            path = path[:2]  # R-REF-2
        raise Refused([Fault(None if path is None else pointer_to(path), "json_invalid", str(error))]) from None
    if not isinstance(value, dict):
        raise Refused([Fault("", "field_invalid", "R-JSON-1")])
    reading = Reading()
    fields = reading.read("Record", value, "")
    kind = fields["kind"]
    fields["data"] = reading.data(kind, fields.get("data", {}))
    if kind in RESERVED:
        reading.fault("/kind", "kind_reserved", "R-KIND-2")
    if (fields.get("id") or "").startswith(("flag.", "gap.")):
        reading.fault("/id", "field_invalid", "R-ID-2")
    flags = reading.rules(kind, fields)
    if not reading.faults and len(largest_entry(fields)) > MAX_ENTRY:
        reading.fault("", "entry_too_large", "R-SIZE-2")
    if reading.faults:
        raise Refused(reading.faults[:MAX_FAULTS])
    return Accepted(kind, sorted(flags), fields.get("content", {}))


def largest_entry(fields: dict[str, Any]) -> bytes:
    """R-SIZE-2: the longest entry that could seal this record."""
    digest = "0" * 64
    entry = {name: value for name, value in fields.items() if value != {}}
    entry |= {"flags": FLAGS, "ledger": "l" * 63, "prev": digest, "seq": MAX_INT, "v": 1}
    entry["received_at"] = "2000-01-01T00:00:00.123456789Z"
    entry.setdefault("id", "i" * 128)
    if "causes" in entry:
        entry["causes"] = [cause | {"entry_hash": digest, "seq": MAX_INT} for cause in entry["causes"]]
    if "content" in entry:
        entry["content"] = [
            {"bytes": len(part), "digest": digest, "name": name} for name, part in entry["content"].items()
        ]
    if "session" in entry:
        entry["session"] = entry["session"] | {"n": MAX_INT, "prev": digest}
    return canonical(entry)


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 3: entries
# ---------------------------------------------------------------------------------------------------------------------


def parse_entry(data: bytes) -> dict[str, Any]:
    """R-ENTRY-1 to R-ENTRY-12: the members of a well-formed entry. Raises Malformed."""
    if len(data) > MAX_ENTRY:
        raise Malformed("R-SIZE-1: longer than an entry can be")
    reading = Reading()
    try:
        fields = reading.read("Entry", parse_json(data), "")
        kind = fields["kind"]
        fields["data"] = reading.data(kind, fields.get("data", {}))
        if not fields["data"]:
            del fields["data"]
        flags = reading.rules(kind, fields)
    except (JsonError, Refused) as error:
        raise Malformed(str(error)) from None
    if reading.faults:
        raise Malformed(str(Refused(reading.faults)))
    seq, session, content = fields["seq"], fields.get("session"), fields.get("content", [])
    names = [part["name"] for part in content]
    for broken, why in (
        (fields["v"] != 1, "R-VERS-1: another version"),
        (len(content) > MAX_PARTS, "R-ENTRY-4: too many parts of content"),
        (any(part["bytes"] > MAX_PART for part in content), "R-ENTRY-4: a part of content is too large"),
        (("source" in fields) == (kind in RESERVED), "R-ENTRY-6: source is there for exactly the posted kinds"),
        ("signature" in fields and kind in RESERVED, "R-SIGN-2: the server writes without a producer's signature"),
        (not flags <= set(fields.get("flags", [])), "R-ENTRY-7: a flag is not there"),
        (not ascending(fields.get("flags", [])), "R-ENTRY-7: flags are not sorted"),
        (not ascending(names), "R-ENTRY-8: content is not sorted"),
        (any(cause["seq"] >= seq for cause in fields.get("causes", [])), "R-ENTRY-9: a cause that comes later"),
        (("prev" in fields) == (seq == 0), "R-ENTRY-10: prev is there for all but the first entry"),
        ((kind == "genesis") != (seq == 0), "R-ENTRY-11: genesis is the first entry and no other"),
        (session and ("prev" in session) == (session["n"] == 0), "R-ENTRY-12: session.prev does not fit session.n"),
        (session and session["n"] >= seq, "R-ENTRY-12: session.n is not less than seq"),
        (canonical(fields) != data, "R-ENTRY-1 to R-ENTRY-3: not the canonical form"),
    ):
        if broken:
            raise Malformed(why)
    return fields


def ascending(names: list[str]) -> bool:
    return all(one < other for one, other in zip(names, names[1:]))


ADDED = {"flags", "ledger", "prev", "received_at", "seq", "signature", "v"}  # what is in no posted record, or not signed


def signed_form(entry: dict[str, Any], parts: list[bytes]) -> bytes | None:
    """SPEC 2.8: what the producer of an entry signed, with the bytes of all its content. None when a part is no JSON."""
    form = {name: value for name, value in entry.items() if name not in ADDED}
    if "causes" in form:
        form["causes"] = [{"id": cause["id"], "rel": cause["rel"]} for cause in form["causes"]]
    if "session" in form:
        form["session"] = {name: value for name, value in form["session"].items() if name not in ("n", "prev")}
    if "content" in form:
        for part in parts:
            try:
                parse_json(part)
            except JsonError as error:
                if error.path is None:
                    return None
        names = [part["name"] for part in form["content"]]
        form["content"] = {name: part.strip(b" \t\r\n") for name, part in zip(names, parts)}
    return canonical(form)


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 4.1 and 5.1: the tree and proofs in it
# ---------------------------------------------------------------------------------------------------------------------

EMPTY_ROOT = sha256(b"")  # R-TREE-3


def leaf_hash(entry: bytes) -> bytes:
    """R-TREE-1"""
    return sha256(b"\x00" + entry)


def node_hash(left: bytes, right: bytes) -> bytes:
    """R-TREE-2"""
    return sha256(b"\x01" + left + right)


class Tree:
    """Takes leaf hashes from the left. Keeps the roots at the sizes that were asked for, and the hashes of all tiles
    above level 0: one node for 256 leaves."""

    def __init__(self, wanted: set[int]) -> None:
        self.size = 0
        self.wanted = wanted
        self.roots: dict[int, bytes] = {0: EMPTY_ROOT}
        self.levels: dict[int, bytearray] = {}
        self.subtrees: list[bytes] = []  # roots of the full subtrees so far, the largest first

    def add(self, leaf: bytes) -> None:
        node, height, rest = leaf, 0, self.size
        while rest & 1:
            node = node_hash(self.subtrees.pop(), node)
            height += 1
            rest >>= 1
            if height % 8 == 0:
                self.levels.setdefault(height // 8, bytearray()).extend(node)
        self.subtrees.append(node)
        self.size += 1
        if self.size in self.wanted:
            self.roots[self.size] = self.root()

    def root(self) -> bytes:
        if not self.subtrees:
            return EMPTY_ROOT
        node = self.subtrees[-1]
        for left in reversed(self.subtrees[:-1]):
            node = node_hash(left, node)
        return node


def inclusion_holds(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    """R-INCL-1, RFC 9162 section 2.1.3.2"""
    if index >= size:
        return False
    fn, sn, node = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            node = node_hash(sibling, node)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = node_hash(node, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and node == root


def consistency_holds(first: int, first_root: bytes, second: int, second_root: bytes, proof: list[bytes]) -> bool:
    """R-CONS-1 to R-CONS-3, RFC 9162 section 2.1.4.2"""
    if first > second:
        return False
    if first == 0 and first_root != EMPTY_ROOT:
        return False
    if first == second:
        return not proof and first_root == second_root
    if first == 0:
        return not proof
    if first & (first - 1) == 0:  # a power of two: its root is a node of the later tree
        proof = [first_root] + proof
    if not proof:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    earlier = later = proof[0]
    for node in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            earlier, later = node_hash(node, earlier), node_hash(node, later)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            later = node_hash(later, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and earlier == first_root and later == second_root


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 4.2 to 4.4: key names, verifier keys, signatures
# ---------------------------------------------------------------------------------------------------------------------

LOG_KEY, WITNESS_KEY = 1, 4  # R-KEY-2
FIELD = 2**255 - 19
CURVE_D = -121665 * pow(121666, -1, FIELD) % FIELD
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493  # L of RFC 8032 section 5.1
SMALL_ORDER = {  # R-KEY-4
    bytes.fromhex("0000000000000000000000000000000000000000000000000000000000000000"),
    bytes.fromhex("0100000000000000000000000000000000000000000000000000000000000000"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
}


def check_name(name: str) -> None:
    """R-NAME-1"""
    if not 1 <= len(name.encode("utf-8")) <= 255 or "+" in name or CONTROL.search(name):
        raise Malformed("R-NAME-1: not a key name")
    if any(char in WHITE_SPACE for char in name):
        raise Malformed("R-NAME-1: white space in a key name")


def is_small_order(point: bytes) -> bool:
    return point[:31] + bytes([point[31] & 0x7F]) in SMALL_ORDER


def is_point(encoded: bytes) -> bool:
    """RFC 8032 section 5.1.3: whether x exists for this y. Encodings that are not canonical are refused."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= FIELD:
        return False
    x_squared = (y * y - 1) * pow(CURVE_D * y * y + 1, -1, FIELD) % FIELD
    if x_squared == 0:
        return sign == 0
    return pow(x_squared, (FIELD - 1) // 2, FIELD) == 1


def ed25519_holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """R-SIG-3. What the library does beside the checks here: it compares the encoding of [S]B - [k]A with R."""
    point, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    if scalar >= GROUP_ORDER or is_small_order(point) or is_small_order(key):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True)
class VerifierKey:
    name: str
    id: bytes
    type: int
    key: bytes

    def signed(self, message: bytes, signature: bytes) -> bool:
        return ed25519_holds(self.key, message, signature)

    def signed_note(self, text: bytes, signature: bytes) -> bool:
        """R-SIG-1, R-SIG-2, R-SIG-4"""
        if self.type == LOG_KEY:
            return len(signature) == 64 and self.signed(text, signature)
        time = int.from_bytes(signature[:8], "big")
        if len(signature) != 72 or not 1 <= time < 2**63:
            return False
        return self.signed(b"cosignature/v1\ntime %d\n" % time + text, signature[8:])


def parse_vkey(text: str) -> VerifierKey:
    """R-KEY-1 to R-KEY-4"""
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise Malformed("R-KEY-1: not a verifier key")
    check_name(parts[0])
    key_id, typed_key = from_hex(parts[1], 4), from_base64(parts[2])
    if len(typed_key) != 33:
        raise Malformed("R-KEY-1: not a type and 32 bytes")
    if typed_key[0] not in (LOG_KEY, WITNESS_KEY):
        raise Malformed("R-KEY-2: a key of another type")
    if sha256(parts[0].encode("utf-8") + b"\n" + typed_key)[:4] != key_id:
        raise Malformed("R-KEY-3: the key has another id")
    if is_small_order(typed_key[1:]) or not is_point(typed_key[1:]):
        raise Malformed("R-KEY-4: not a point, or one of small order")
    return VerifierKey(parts[0], key_id, typed_key[0], typed_key[1:])


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 4.5 and 4.6: notes and checkpoints
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signature:
    name: str
    key_id: bytes
    bytes: bytes


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes
    text: bytes  # what is signed
    signatures: list[Signature]

    def is_verified(self, keys: list[VerifierKey]) -> bool:
        """R-NOTE-4, R-NOTE-5, R-CKPT-4"""
        signers: set[VerifierKey] = set()
        for signature in self.signatures:
            by = {key for key in keys if key.name == signature.name and key.id == signature.key_id}
            if not by or by <= signers:
                continue
            if len(by) > 1:
                return False
            if not next(iter(by)).signed_note(self.text, signature.bytes):
                return False
            signers |= by
        return any(key.type == LOG_KEY and key.name == self.origin for key in signers)


def parse_checkpoint(note: bytes) -> Checkpoint:
    """R-NOTE-1 to R-NOTE-3, R-CKPT-1 to R-CKPT-3"""
    if len(note) > MAX_NOTE or not note.endswith(b"\n"):
        raise Malformed("R-NOTE-1: too long, or no line feed at the end")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("R-NOTE-1: not UTF-8") from None
    before, gap, after = whole.rpartition("\n\n")
    if not gap:
        raise Malformed("R-NOTE-1: no empty line")
    if any(char < " " and char != "\n" for char in before):
        raise Malformed("R-NOTE-2: a control character in the text")
    lines = after.split("\n")[:-1]
    if not 1 <= len(lines) <= MAX_SIGNATURES:
        raise Malformed("R-NOTE-3: not 1 to 100 signatures")
    signatures = [parse_signature(line) for line in lines]
    parts = before.split("\n")
    if len(parts) != 3:
        raise Malformed("R-CKPT-1: not three lines")
    check_name(parts[0])  # R-NAME-2
    size, root = from_decimal(parts[1]), from_base64(parts[2])
    if len(root) != 32:
        raise Malformed("R-CKPT-2: the root is not 32 bytes")
    if size == 0 and root != EMPTY_ROOT:
        raise Malformed("R-CKPT-3: not the root of the empty tree")
    return Checkpoint(parts[0], size, root, (before + "\n").encode("utf-8"), signatures)


def parse_signature(line: str) -> Signature:
    """R-NOTE-3"""
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014":
        raise Malformed("R-NOTE-3: not a signature line")
    check_name(parts[1])
    data = from_base64(parts[2])
    if len(data) < 5:
        raise Malformed("R-NOTE-3: no key id and signature")
    return Signature(parts[1], data[:4], data[4:])


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 5.2 to 5.4 and 6.1: names of tiles, bundles, proof files, receipts, the checkpoints file
# ---------------------------------------------------------------------------------------------------------------------

TILE_PATH = re.compile(
    "(?:tile/(?P<level>0|[1-9][0-9]?)|(?P<entries>tile/entries)|content)/"
    "(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


def parse_tile_path(path: str) -> tuple[str, int | None, int, int]:
    """R-TILE-1 to R-TILE-4: kind, level (of hash tiles), index, width"""
    match = TILE_PATH.fullmatch(path)
    if not match or len(path) > MAX_PATH:
        raise Malformed("R-TILE-4: not the name of a tile or bundle")
    level = int(match["level"]) if match["level"] else None
    if level is not None and level > 63:
        raise Malformed("R-TILE-1: a level above 63")
    index = int(match["index"].replace("x", "").replace("/", ""))
    if index >= 2**64 or match["index"] != index_name(index):
        raise Malformed("R-TILE-2: not the one name of the index")
    width = int(match["width"]) if match["width"] else WIDTH
    if match["width"] and width >= WIDTH:
        raise Malformed("R-TILE-3: a partial width above 255")
    return "hash" if level is not None else "entries" if match["entries"] else "content", level, index, width


def index_name(index: int) -> str:
    """R-TILE-2"""
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    return "/".join(groups)


def tile_path(folder: str, index: int, width: int) -> str:
    """R-TILE-3; `folder` is tile/<L>, tile/entries or content."""
    return f"{folder}/{index_name(index)}" + ("" if width == WIDTH else f".p/{width}")


def tile_width(size: int, level: int, index: int) -> int:
    """R-TILE-5"""
    return min(WIDTH, size // WIDTH**level - WIDTH * index)


def split_bundle(data: bytes) -> tuple[list[bytes], bool]:
    """R-BNDL-1, R-BNDL-2: the entries, and whether the bundle ends within one."""
    entries, at = [], 0
    while at < len(data):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            return entries, True
        entries.append(data[start:at])
    return entries, False


def parse_proof(data: bytes) -> tuple[int, list[bytes], bytes]:
    """R-PROOF-1 to R-PROOF-3: index, hashes, note"""
    head, gap, note = data.partition(b"\n\n")
    if len(data) > MAX_PROOF or not gap:
        raise Malformed("R-PROOF-1: too long, or no empty line")
    try:
        lines = head.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise Malformed("R-PROOF-1: not UTF-8") from None
    if lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise Malformed("R-PROOF-1: another first line")
    if lines and lines[0].startswith("extra "):
        if not 1 <= len(from_base64(lines.pop(0)[6:])) <= MAX_EXTRA:
            raise Malformed("R-PROOF-2: not 1 to 32,768 bytes")
    if not lines or not lines[0].startswith("index "):
        raise Malformed("R-PROOF-3: no index")
    index = from_decimal(lines.pop(0)[6:])
    hashes = [from_base64(line) for line in lines]
    if len(hashes) > MAX_PROOF_HASHES or any(len(node) != 32 for node in hashes):
        raise Malformed("R-PROOF-3: too many hashes, or one that is not 32 bytes")
    return index, hashes, note


@dataclass(frozen=True)
class Receipt:
    id: str
    seq: int
    entry_hash: bytes
    leaf_hash: bytes
    checkpoint: bytes


def parse_receipt(data: bytes) -> Receipt:
    """R-RCPT-2"""
    members = {"id": "RecordId", "seq": "UInt", "entry_hash": "Digest", "leaf_hash": "Digest", "checkpoint": "Text"}
    reading = Reading()
    try:
        value = parse_json(data)
        if not isinstance(value, dict) or not members.keys() <= value.keys():
            raise Malformed("R-RCPT-2: not a receipt")
        read = {name: reading.read(kind, value[name], f"/{name}") for name, kind in members.items()}
    except (JsonError, Refused) as error:
        raise Malformed(f"R-RCPT-2: {error}") from None
    if reading.faults:
        raise Malformed(f"R-RCPT-2: {Refused(reading.faults)}")
    hashes = from_hex(read["entry_hash"]), from_hex(read["leaf_hash"])
    return Receipt(read["id"], read["seq"], *hashes, read["checkpoint"].encode("utf-8"))


def read_notes(file: BinaryIO) -> Iterator[bytes]:
    """R-CKF-1: the notes of a checkpoints file. Raises Malformed where the file is damaged."""
    while line := file.readline(9):
        if not re.fullmatch(b"[1-9][0-9]{0,6}\n", line) or int(line) > MAX_NOTE:
            raise Malformed("R-CKF-1: the checkpoints file cannot be taken apart")
        note = read_bytes(file, int(line))
        if len(note) != int(line):
            raise Malformed("R-CKF-1: the checkpoints file ends within a note")
        yield note


# ---------------------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------------------


def open_file(path: Path) -> BinaryIO | None:
    """A regular file or a link to one; None when that is not there (R-VER-1)."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        return open(path, "rb")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise CannotCheck(f"R-VER-1: {path} cannot be read: {error.strerror}") from None


def read_file(path: Path, limit: int) -> bytes | None:
    """At most `limit` + 1 bytes, so that the caller sees when there are more than `limit`."""
    file = open_file(path)
    if file is None:
        return None
    with file:
        return read_bytes(file, limit + 1)


def read_bytes(file: BinaryIO, count: int) -> bytes:
    try:
        return file.read(count)
    except OSError as error:
        raise CannotCheck(f"R-VER-1: a file cannot be read: {error.strerror}") from None


def read_given(path: Path, limit: int) -> bytes:
    """A file that the auditor named."""
    data = read_file(path, limit)
    if data is None:
        raise CannotCheck(f"{path} is not there")
    return data


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 8: verification
# ---------------------------------------------------------------------------------------------------------------------

LARGEST_BUNDLE = (WIDTH + 1) * (2 + MAX_ENTRY)
MALFORMED = 255  # stands for the kind of an entry that is malformed


@dataclass(frozen=True)
class Finding:
    code: str
    seq: int | None
    reason: str


@dataclass
class Report:
    """What was found and what was looked at. All findings are counted, the first ones listed (SPEC 8.1)."""

    findings: list[Finding] = field(default_factory=list)
    total: int = 0
    key_given: bool = True
    info: dict[str, Any] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    entries: int = 0
    batches: int = 0
    content_checked: int = 0
    content_absent: int = 0
    signatures: int = 0
    signatures_unchecked: int = 0

    def add(self, code: str, seq: int | None, reason: str) -> None:
        self.total += 1
        if len(self.findings) < MAX_LISTED:
            self.findings.append(Finding(code, seq, reason))

    @property
    def exit_code(self) -> int:
        """R-EXIT-1"""
        return 1 if self.total else 0


@dataclass(frozen=True)
class Claim:
    """The size and root that a verified checkpoint states, and the finding when they are not those of the tree."""

    size: int
    root: bytes
    code: str
    what: str


@dataclass
class Block:
    """What is kept of 256 places of the log: about 120 bytes for each."""

    width: int
    tile: bytes = b""  # the whole hashes of the level 0 tile
    leaves: bytearray = field(default_factory=bytearray)  # 32 bytes for each entry that is there
    hashes: bytearray = field(default_factory=bytearray)  # 32 bytes, entry hashes
    ids: bytearray = field(default_factory=bytearray)  # 16 bytes, see short()
    kinds: bytearray = field(default_factory=bytearray)  # 1 byte, the position in KINDS, or MALFORMED

    def leaf(self, offset: int) -> bytes:
        """Empty when the entry is not there."""
        return bytes(self.leaves[32 * offset : 32 * offset + 32])

    def entry_hash(self, offset: int) -> bytes:
        return bytes(self.hashes[32 * offset : 32 * offset + 32])

    def id(self, offset: int) -> bytes:
        return bytes(self.ids[16 * offset : 16 * offset + 16])

    def differs(self, offset: int) -> bool:
        """Whether entry and tile are both there and have different leaf hashes."""
        in_tile, leaf = self.tile[32 * offset : 32 * offset + 32], self.leaf(offset)
        return bool(in_tile and leaf) and in_tile != leaf

    def intact(self, offset: int) -> bool:
        return bool(self.leaf(offset)) and self.kinds[offset] != MALFORMED and not self.differs(offset)


@dataclass(frozen=True)
class InSession:
    """The last intact entry of a session."""

    n: int
    hash: bytes
    unknown: int  # how many unknown places there are before it


def short(text: str) -> bytes:
    """An id in 16 bytes, to remember it by."""
    return sha256(text.encode("utf-8"))[:16]


class ContentBundle:
    """Reads the parts of a content bundle one after the other (SPEC 6.1). It is told apart until stop() is called."""

    def __init__(self, file: BinaryIO | None) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size if file else 0
        self.told_apart = True
        self.missed = False  # whether an entry has content that is to be looked for here

    def stop(self) -> None:
        """R-VER-14: from here on the bundle cannot be told apart."""
        self.told_apart = False

    def part(self, length: int) -> tuple[bytes, bytes | None] | None:
        """Salt and bytes of the next part; None when it is absent. Raises Malformed (R-CBNDL-1). Of a part that has
        another length than `length`, the bytes are passed over and None stands for them."""
        if self.file is None or not self.told_apart:
            self.missed |= self.told_apart
            return None
        tag = read_bytes(self.file, 1)
        if tag == b"\x00":
            return None
        header = read_bytes(self.file, 36)
        size = int.from_bytes(header[32:], "big")
        if tag != b"\x01" or len(header) != 36 or size > MAX_PART or self.file.tell() + size > self.size:
            self.stop()
            raise Malformed("R-CBNDL-1: a part of content that cannot be read")
        if size != length:
            self.file.seek(size, os.SEEK_CUR)
            return header[:32], None
        return header[:32], read_bytes(self.file, size)

    def left_over(self) -> bool:
        return self.file is not None and self.told_apart and self.file.tell() < self.size


class Verification:
    """One run over one archive. `run` goes through SPEC 8.2 from top to bottom."""

    def __init__(self, root: Path, keys: list[VerifierKey], since: list[Path], receipts: list[Path]) -> None:
        self.root = root
        self.report = Report(key_given=bool(keys))
        self.keys = keys
        self.since = since
        self.receipt_files = receipts
        self.receipts: list[Receipt] = []
        self.newest: Checkpoint | None = None  # when it is verified
        self.claims: list[Claim] = []
        self.end = 0  # how far it looks
        self.blocks: list[Block] = []
        # Links: what is known of the entries before the present one
        self.before = b""  # the entry hash of the entry directly before, when that is intact
        self.unknown = 0  # unknown places so far
        self.sessions: dict[bytes, InSession] = {}
        self.ids: set[bytes] = set()
        self.received_at = ""
        # The keys of producers so far: by name of the key and producer
        self.producer_keys: dict[tuple[str, str], list[bytes]] = {}

    def run(self) -> Report:
        self.read_archive_json()
        self.choose_keys()
        self.check_checkpoints()
        self.check_brought()
        self.check_entries()
        self.check_tree()
        self.check_receipts()
        return self.report

    def find(self, code: str, seq: int | None, reason: str) -> None:
        self.report.add(code, seq, reason)

    # R-VER-1 and R-VER-2: what is there

    def read_archive_json(self) -> None:
        data = read_file(self.root / "archive.json", MAX_ARCHIVE_JSON)
        if data is None:
            raise CannotCheck("R-VER-1: there is no archive.json")
        if len(data) > MAX_ARCHIVE_JSON:
            raise CannotCheck("R-ARCH-1: archive.json is too long")
        reading = Reading()
        try:
            info = reading.read("Archive", parse_json(data), "")
        except (JsonError, Refused) as error:
            raise CannotCheck(f"R-ARCH-1: archive.json: {error}") from None
        if reading.faults or info["archive"] != 1:
            raise CannotCheck("R-ARCH-1, R-VERS-1: archive.json is of another version, or has a number out of range")
        self.origin, self.ledger, self.withheld = info["origin"], info["ledger"], info["content"] == "withheld"
        self.first, self.to, self.size = info["from"], info["to"], info["size"]
        if not self.first < self.to <= self.size and self.size + self.to + self.first:
            raise CannotCheck("R-ARCH-2: from, to and size do not fit")
        if self.first % WIDTH or self.to % WIDTH and self.to != self.size:
            raise CannotCheck("R-ARCH-2: from is no multiple of 256, or to is neither that nor size")
        self.report.info = info

    def choose_keys(self) -> None:
        if not self.keys:
            self.keys = [self.key_of_genesis()]
        self.report.keys = [f"{key.name}+{key.id.hex()}" for key in self.keys]

    def key_of_genesis(self) -> VerifierKey:
        """R-VER-2"""
        data = None
        if self.size:
            data = read_file(self.root / tile_path("tile/entries", 0, tile_width(self.size, 0, 0)), 2 + MAX_ENTRY)
        if data is None:
            raise CannotCheck("R-VER-2: no key was given, and entry 0 is not there to name one")
        length = int.from_bytes(data[:2], "big")
        if len(data) < 2 + length:
            raise CannotCheck("R-VER-2: no key was given, and entry 0 is cut")
        try:
            entry = parse_entry(data[2 : 2 + length])
            if entry["kind"] != "genesis":
                raise Malformed("it is not of kind genesis")
            return parse_vkey(entry["data"]["key"])
        except Malformed as error:
            raise CannotCheck(f"R-VER-2: no key was given, and entry 0 does not name one: {error}") from None

    # R-VER-3 to R-VER-7: checkpoints

    def parse(self, note: bytes) -> Checkpoint:
        """R-VER-3"""
        checkpoint = parse_checkpoint(note)
        if checkpoint.size == 0:
            raise Malformed("R-VER-3: a checkpoint of size 0")
        if checkpoint.origin != self.origin:
            raise Malformed("R-VER-3: another origin than in archive.json")
        return checkpoint

    def claim(self, checkpoint: Checkpoint, code: str, what: str) -> None:
        """What is verified is compared with the tree later on; `code` is the finding then."""
        self.claims.append(Claim(checkpoint.size, checkpoint.root, code, what))

    def verified(self, note: bytes, what: str) -> Checkpoint | None:
        """R-VER-3, R-VER-4: the newest checkpoint or a batch"""
        try:
            checkpoint = self.parse(note)
        except Malformed as error:
            self.find("checkpoint_malformed", None, f"{what}: {error}")
            return None
        if not checkpoint.is_verified(self.keys):
            self.find("signature_wrong", None, f"{what} is not signed by the keys")
            return None
        self.claim(checkpoint, "root_wrong", what)
        return checkpoint

    def check_checkpoints(self) -> None:
        note = read_file(self.root / "checkpoint", MAX_NOTE)
        if note is None:
            self.find("checkpoint_missing", None, "R-VER-7: there is no checkpoint")
        else:
            self.newest = self.verified(note, "checkpoint")
        if self.newest and self.newest.size != self.size:
            self.find("root_wrong", None, "R-VER-5: the newest checkpoint is of another size than archive.json")
        last = self.check_batches()
        if not last or not self.newest or (last.size, last.root) != (self.newest.size, self.newest.root):
            self.find("checkpoint_missing", None, "R-VER-7: the last batch is not the newest checkpoint")
        self.end = min(self.size, max([claim.size for claim in self.claims], default=0))

    def check_batches(self) -> Checkpoint | None:
        """R-VER-6. Returns the last batch that is verified."""
        last = None
        file = open_file(self.root / "checkpoints")
        if file is None:
            return None
        with file:
            try:
                for number, note in enumerate(read_notes(file)):
                    self.report.batches += 1
                    batch = self.verified(note, f"batch {number}")
                    if batch and last and batch.size <= last.size:
                        why = f"R-VER-6: batch {number} is not larger than the one before"
                        self.find("checkpoint_missing", None, why)
                    last = batch or last
            except Malformed as error:
                self.find("checkpoint_malformed", None, f"checkpoints: {error}")
        return last

    # R-VER-1, R-VER-2, R-VER-27: what the auditor brought

    def check_brought(self) -> None:
        for path in self.since:
            self.check_note(read_given(path, MAX_NOTE), path, "known_checkpoint_wrong")
        for path in self.receipt_files:
            try:
                receipt = parse_receipt(read_given(path, MAX_SMALL_FILE))
            except Malformed as error:
                raise CannotCheck(f"R-VER-1: {path} is no receipt: {error}") from None
            self.receipts.append(receipt)
            checkpoint = self.check_note(receipt.checkpoint, path, "receipt_wrong")
            if checkpoint is None or checkpoint.size <= receipt.seq:
                why = f"R-VER-27: the checkpoint in {show(str(path))} does not vouch for the entry"
                self.find("receipt_wrong", receipt.seq, why)

    def check_note(self, note: bytes, path: Path, code: str) -> Checkpoint | None:
        """The checkpoint when it is verified."""
        try:
            checkpoint = self.parse(note)
        except Malformed as error:
            raise CannotCheck(f"R-VER-1: {path} has no checkpoint of this log: {error}") from None
        if checkpoint.is_verified(self.keys):
            self.claim(checkpoint, code, f"the checkpoint in {show(str(path))}")
            return checkpoint
        if self.report.key_given:
            raise CannotCheck(f"R-VER-1: the checkpoint in {path} is not signed by the keys that were given")
        self.find(code, None, f"R-VER-2: the checkpoint in {show(str(path))} is not signed by the key of entry 0")
        return None

    # R-VER-8 to R-VER-16, R-VER-29 to R-VER-31: bundles, entries, content, and the tiles of level 0 beside them

    def check_entries(self) -> None:
        for index in range(-(-self.end // WIDTH)):
            if index % GROUP == 0 and not self.group_is_there(index):
                why = f"R-VER-29: nothing of the {GROUP} bundles from here on is there, nor of what follows"
                self.find("bundle_missing", index * WIDTH, why)
                break
            block = Block(tile_width(self.end, 0, index))
            self.blocks.append(block)
            self.read_tile(index, block)
            if self.in_archive(index):
                self.check_bundle(index, block)
                progress(f"{self.report.entries} entries")
            else:
                self.check_outside(index, block.width)
        progress("")

    def in_archive(self, index: int) -> bool:
        """Whether a bundle has entries of the archive."""
        return self.first <= index * WIDTH < self.to

    def group_is_there(self, start: int) -> bool:
        """R-VER-29"""
        for index in range(start, min(start + GROUP, -(-self.end // WIDTH))):
            for folder in ("tile/0", "tile/entries") if self.in_archive(index) else ("tile/0",):
                file = open_file(self.root / tile_path(folder, index, tile_width(self.end, 0, index)))
                if file:
                    file.close()
                    return True
        return False

    def check_outside(self, index: int, width: int) -> None:
        """R-VER-30"""
        for folder in ("tile/entries", "content"):
            path = tile_path(folder, index, width)
            if read_file(self.root / path, 0) is not None:
                self.find("bundle_unexpected", index * WIDTH, f"R-VER-30: {path} is outside of the archive's range")

    def read_tile(self, index: int, block: Block) -> None:
        """R-VER-16"""
        path = tile_path("tile/0", index, block.width)
        tile = read_file(self.root / path, 32 * block.width)
        if tile is None:
            self.find("tile_missing", None, f"no {path}")
            return
        if len(tile) != 32 * block.width:
            self.find("tile_wrong", None, f"R-VER-16: {path} has another length")
        block.tile = tile[: 32 * min(block.width, len(tile) // 32)]

    def check_bundle(self, index: int, block: Block) -> None:
        """R-VER-8, R-VER-9, R-VER-15, R-VER-31"""
        start, width = index * WIDTH, block.width
        path = tile_path("tile/entries", index, width)
        data = read_file(self.root / path, LARGEST_BUNDLE)
        if data is None:
            self.find("bundle_missing", start, f"no {path}")
            self.pass_over(width)
            return
        entries, cut = split_bundle(data)
        whole = not cut and len(entries) == width
        if len(entries) > WIDTH:
            self.find("bundle_malformed", start + WIDTH, f"R-BNDL-3: {path} has more than {WIDTH} entries")
        elif cut:
            self.find("bundle_malformed", start + len(entries), f"R-BNDL-2: {path} ends within this entry")
        if len(entries) + cut != width:
            self.find("bundle_malformed", start, f"R-VER-9: {path} has not {width} entries")
        path = tile_path("content", index, width)
        content = ContentBundle(open_file(self.root / path))
        for offset, entry in enumerate(entries[:width]):
            self.check_entry(start + offset, entry, block, content)
        self.pass_over(width - len(entries))
        if whole and content.left_over():
            self.find("bundle_malformed", start, f"R-VER-15: {path} has bytes left over")
        if content.missed and not self.withheld:
            self.find("content_missing", start, f"R-VER-31: no {path}")
        if content.file:
            content.file.close()

    def pass_over(self, places: int) -> None:
        """Unknown places"""
        if places > 0:
            self.unknown += places
            self.before = b""

    def check_entry(self, place: int, data: bytes, block: Block, content: ContentBundle) -> None:
        """R-VER-10, and all that is checked while the entry is at hand"""
        self.report.entries += 1
        offset, hashed, entry = place % WIDTH, entry_hash(data), None
        try:
            entry = parse_entry(data)
        except Malformed as error:
            self.find("entry_malformed", place, str(error))
        block.leaves += leaf_hash(data)
        block.hashes += hashed
        block.ids += short(entry["id"]) if entry else bytes(16)
        block.kinds.append(KINDS.index(entry["kind"]) if entry else MALFORMED)
        if entry:
            self.check_place(place, entry)
        if block.intact(offset):
            self.check_genesis(place, entry)
            self.check_links(place, entry, hashed)
            self.before = hashed
        else:
            content.stop()
            self.pass_over(1)
        parts = self.check_content(place, entry, content) if entry else None
        if block.intact(offset):
            self.learn_key(entry)
            self.check_producer(place, entry, parts)

    def check_place(self, place: int, entry: dict[str, Any]) -> None:
        """R-VER-11"""
        if entry["seq"] != place:
            self.find("seq_wrong", place, f"the entry says that it is {entry['seq']}")
        if entry["ledger"] != self.ledger:
            self.find("ledger_wrong", place, f"the entry says that it is of {show(entry['ledger'])}")

    def check_genesis(self, place: int, entry: dict[str, Any]) -> None:
        """R-VER-12"""
        if place == 0 and (entry["kind"] != "genesis" or entry["data"]["origin"] != self.origin):
            self.find("genesis_wrong", place, "the first entry is not the genesis of this origin")
        if place != 0 and entry["kind"] == "genesis":
            self.find("genesis_wrong", place, "a genesis that is not the first entry")

    def check_content(self, place: int, entry: dict[str, Any], content: ContentBundle) -> list[bytes] | None:
        """R-VER-13, R-VER-14. The bytes of the parts, when all of them are there and right."""
        parts: list[bytes] | None = []
        for part in entry.get("content", []):
            try:
                there = content.part(part["bytes"])
            except Malformed as error:
                self.find("bundle_malformed", place, f"R-VER-14: {error}")
                there = None
            if there is None:
                self.report.content_absent += 1
                parts = None
                continue
            self.report.content_checked += 1
            salt, data = there
            if data is None or content_digest(salt, data).hex() != part["digest"]:
                self.find("content_wrong", place, f"R-VER-13: part {part['name']} is not what the entry commits to")
                parts = None
            elif parts is not None:
                parts.append(data)
        return parts

    # R-VER-32: signatures of producers, of intact entries

    def learn_key(self, entry: dict[str, Any]) -> None:
        if entry["kind"] != "producer_key" or entry["data"]["state"] != "registered":
            return
        data, key = entry["data"], bytes.fromhex(entry["data"]["public_key"])
        if not is_small_order(key) and is_point(key):
            self.producer_keys.setdefault((data["key_id"], data["producer"]), []).append(key)

    def check_producer(self, place: int, entry: dict[str, Any], parts: list[bytes] | None) -> None:
        """R-VER-32"""
        if "signature" not in entry:
            return
        changed = "secret_redacted" in entry.get("flags", [])
        form = None if parts is None or changed else signed_form(entry, parts)
        keys = self.producer_keys.get((entry["signature"]["key"], entry["source"]["producer"]), [])
        if form is None or not keys and (self.unknown or self.first > 0):
            self.report.signatures_unchecked += 1
            return
        self.report.signatures += 1
        if not any(ed25519_holds(key, form, bytes.fromhex(entry["signature"]["value"])) for key in keys):
            why = "R-VER-32: no key that is registered for its producer has signed the record"
            self.find("producer_signature_wrong", place, why)

    # R-VER-20 to R-VER-24: links of intact entries

    def check_links(self, place: int, entry: dict[str, Any], hashed: bytes) -> None:
        if ("prev" in entry) == (place == 0):
            self.find("chain_broken", place, "R-VER-20: prev is there for all but the first entry")
        elif self.before and entry["prev"] != self.before.hex():
            self.find("chain_broken", place, "R-VER-20: prev is not the hash of the entry before")
        if "session" in entry:
            self.check_session(place, entry["session"], hashed)
        for cause in entry.get("causes", []):
            why = self.cause_wrong(place, entry["kind"], cause)
            if why:
                self.find("cause_wrong", place, f"R-VER-22: {why}")
        identity = short(entry["id"])
        if identity in self.ids:
            self.find("id_repeated", place, "R-VER-23: an earlier entry has the same id")
        self.ids.add(identity)
        # Times in canonical form, without their Z, sort as texts.
        if entry["received_at"][:-1] < self.received_at:
            self.find("time_goes_back", place, "R-VER-24: received before the entry before it")
        self.received_at = entry["received_at"][:-1]

    def check_session(self, place: int, session: dict[str, Any], hashed: bytes) -> None:
        """R-VER-21. Unknown places may have been of the session. That session.prev is there for all `n` but 0 needs no
        check here: without that an entry is malformed (R-ENTRY-12)."""
        key, n = short(session["id"]), session["n"]
        last = self.sessions.get(key)
        if last is None:
            if n > self.unknown and self.first == 0:
                self.find("session_chain_broken", place, "R-VER-21: entries before it in its session are not there")
        elif not last.n < n <= last.n + 1 + self.unknown - last.unknown:
            self.find("session_chain_broken", place, "R-VER-21: n is not the next in the session")
        elif n == last.n + 1 and session["prev"] != last.hash.hex():
            self.find("session_chain_broken", place, "R-VER-21: session.prev is not the hash of the entry before")
        self.sessions[key] = InSession(n, hashed, self.unknown)

    def cause_wrong(self, place: int, kind: str, cause: dict[str, Any]) -> str | None:
        """R-VER-22"""
        seq = cause["seq"]
        if seq >= place:
            return "a cause that does not come before"
        block, offset = self.blocks[seq // WIDTH], seq % WIDTH
        if not block.intact(offset):
            return None
        if block.entry_hash(offset).hex() != cause["entry_hash"]:
            return f"entry {seq} has another hash than the cause says"
        if block.id(offset) != short(cause["id"]):
            return f"entry {seq} has another id than the cause says"
        if KINDS[block.kinds[offset]] not in RELATIONS[kind][cause["rel"]].leads_to:
            return f"{kind} cannot be {cause['rel']} an entry of the kind of {seq}"
        return None

    # R-VER-17 to R-VER-19: tree and tiles

    def check_tree(self) -> None:
        sizes = {claim.size for claim in self.claims}
        tree = self.build_tree(sizes, tiles_first=False)
        different = [
            index * WIDTH + offset
            for index, block in enumerate(self.blocks)
            for offset in range(len(block.leaves) // 32)
            if block.differs(offset)
        ]
        tiles_are_right, newest = False, self.newest
        if different and newest:
            by_tiles = self.build_tree(sizes, tiles_first=True)
            tiles_are_right = by_tiles.size == self.end and by_tiles.roots.get(newest.size) == newest.root
            tree = by_tiles if tiles_are_right else tree
        for place in different:  # R-VER-17
            if tiles_are_right:
                self.find("entry_changed", place, "the bytes are not those that were signed")
            else:
                self.find("tile_wrong", None, f"the hash of place {place} is not that of the entry")
        self.check_tiles(tree)
        for claim in self.claims:
            if tree.roots.get(claim.size) != claim.root:
                self.find(claim.code, None, f"R-VER-19: {claim.what} is not of the entries that are there")

    def build_tree(self, sizes: set[int], tiles_first: bool) -> Tree:
        """It ends before the first place that has neither an entry nor a hash in a tile."""
        tree = Tree(sizes)
        for block in self.blocks:
            one, other = (block.tile, block.leaves) if tiles_first else (block.leaves, block.tile)
            leaves = bytes(one) + other[len(one) :]
            for at in range(0, len(leaves), 32):
                tree.add(leaves[at : at + 32])
            if len(leaves) < 32 * block.width:
                break
        return tree

    def check_tiles(self, tree: Tree) -> None:
        """R-VER-18"""
        level, cut = 1, tree.size < self.end
        while hashes := tree.size // WIDTH**level:
            for index in range(hashes // WIDTH if cut else -(-hashes // WIDTH)):
                width = tile_width(tree.size, level, index)
                path = tile_path(f"tile/{level}", index, width)
                tile, start = read_file(self.root / path, 32 * width), 32 * WIDTH * index
                if tile is None:
                    self.find("tile_missing", None, f"no {path}")
                elif tile != tree.levels[level][start : start + 32 * width]:
                    self.find("tile_wrong", None, f"R-VER-18: {path} is not the tile of the tree")
            level += 1

    # R-VER-25 and R-VER-26: receipts

    def check_receipts(self) -> None:
        for path, receipt in zip(self.receipt_files, self.receipts):
            what, (index, offset) = f"the receipt {show(str(path))}", divmod(receipt.seq, WIDTH)
            block = self.blocks[index] if index < len(self.blocks) else Block(0)
            if not block.leaf(offset):
                self.find("receipt_wrong", receipt.seq, f"R-VER-25: {what}: the archive has no such entry")
            elif (block.entry_hash(offset), block.leaf(offset)) != (receipt.entry_hash, receipt.leaf_hash):
                self.find("receipt_wrong", receipt.seq, f"R-VER-26: {what} has another hash than the entry")
            elif block.kinds[offset] != MALFORMED and block.id(offset) != short(receipt.id):
                self.find("receipt_wrong", receipt.seq, f"R-VER-26: {what} has another id than the entry")


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 10: vectors
# ---------------------------------------------------------------------------------------------------------------------


def text_of(value: Any) -> bytes:
    """A text input: a string, or {"hex": ...} where the bytes are not UTF-8."""
    return from_hex(value["hex"]) if isinstance(value, dict) else value.encode("utf-8")


def text_to(data: bytes) -> Any:
    """The other way round."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"hex": data.hex()}


def decoded(value: Any) -> str:
    try:
        return text_of(value).decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None


def hashes_of(texts: list[str]) -> list[bytes]:
    return [from_hex(text, 32) for text in texts]


def require(holds: bool, why: str) -> None:
    if not holds:
        raise Malformed(why)


# Each takes the input of a vector, returns what `expect` has to be, and raises Malformed or Refused.


def run_record(given: Any) -> Any:
    record = check_record(text_of(given))
    parts = [{"name": name, "canonical": record.content[name].decode("utf-8")} for name in sorted(record.content)]
    return {"kind": record.kind, "flags": record.flags, "content": parts}


def run_entry(given: Any) -> Any:
    entry = text_of(given)
    parse_entry(entry)
    return {"entry_hash": entry_hash(entry).hex(), "leaf_hash": leaf_hash(entry).hex()}


def run_content(given: Any) -> Any:
    digest = content_digest(from_hex(given["salt"], 32), text_of(given["canonical"]))
    require(digest == from_hex(given["digest"], 32), "R-DIG-1: another digest")
    return {}


def run_checkpoint(given: Any) -> Any:
    keys = [parse_vkey(decoded(text)) for text in given["vkeys"]]
    checkpoint = parse_checkpoint(text_of(given["note"]))
    require(checkpoint.is_verified(keys), "R-CKPT-4: not verified")
    return {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}


def run_tlog_proof(given: Any) -> Any:
    """R-PROOF-4"""
    keys = [parse_vkey(decoded(text)) for text in given["vkeys"]]
    index, hashes, note = parse_proof(text_of(given["proof"]))
    checkpoint = parse_checkpoint(note)
    require(checkpoint.is_verified(keys), "R-CKPT-4: not verified")
    leaf = from_hex(given["leaf_hash"], 32)
    require(inclusion_holds(leaf, index, checkpoint.size, hashes, checkpoint.root), "R-INCL-1: not in the tree")
    return {"index": index, "size": checkpoint.size}


def run_inclusion(given: Any) -> Any:
    leaf, root, proof = from_hex(given["leaf"], 32), from_hex(given["root"], 32), hashes_of(given["proof"])
    require(inclusion_holds(leaf, given["index"], given["size"], proof, root), "R-INCL-1: not in the tree")
    return {}


def run_consistency(given: Any) -> Any:
    first_root, second_root = hashes_of([given["from_root"], given["to_root"]])
    proof = hashes_of(given["proof"])
    holds = consistency_holds(given["from"], first_root, given["to"], second_root, proof)
    require(holds, "R-CONS-1 to R-CONS-3: not consistent")
    return {}


def run_tile_path(given: Any) -> Any:
    kind, level, index, width = parse_tile_path(decoded(given))
    return {"kind": kind, "index": index, "width": width} | ({"level": level} if kind == "hash" else {})


def run_bundle(given: Any) -> Any:
    entries, cut = split_bundle(from_hex(given))
    require(not cut, "R-BNDL-2: it ends within an entry")
    require(len(entries) <= WIDTH, "R-BNDL-3: more than 256 entries")
    return {"entries": [entry.hex() for entry in entries]}


def run_checkpoints_file(given: Any) -> Any:
    data = text_of(given)
    return {"notes": [text_to(note) for note in read_notes(io.BytesIO(data))]}


def run_timestamp(given: Any) -> Any:
    return {"canonical": canonical_time(decoded(given))}


def run_canon(given: Any) -> Any:
    try:
        value = parse_json(text_of(given))
        check_part(value)
    except JsonError as error:
        raise Malformed(str(error)) from None
    return {"canonical": canonical_text(value)}


RUNNERS: dict[str, Callable[[Any], Any]] = {
    "record": run_record,
    "entry": run_entry,
    "content": run_content,
    "checkpoint": run_checkpoint,
    "tlog_proof": run_tlog_proof,
    "inclusion": run_inclusion,
    "consistency": run_consistency,
    "tile_path": run_tile_path,
    "bundle": run_bundle,
    "checkpoints_file": run_checkpoints_file,
    "timestamp": run_timestamp,
    "canon": run_canon,
}


def check_vector(vector: dict[str, Any], accept: bool) -> str | None:
    """What does not agree; None when all does."""
    try:
        result = RUNNERS[vector["type"]](vector["input"])
    except Malformed as error:
        return f"refused, but has to be accepted: {error}" if accept else None
    except Refused as refusal:
        if accept:
            return f"refused, but has to be accepted: {refusal}"
        expect = vector["expect"]  # {} where the pointer is not specified
        pointer, code = expect.get("pointer"), expect.get("code")
        for fault in refusal.faults:
            if code in (None, fault.code) and (pointer is None or fault.pointer in (None, pointer)):
                return None
        faults = ", ".join(f"{fault.code} at {fault.pointer}" for fault in refusal.faults)
        return f"refused with {show(faults)} in place of {code} at {show(pointer)}"
    if not accept:
        return "accepted, but has to be refused"
    return None if result == vector["expect"] else f"accepted with {show(json.dumps(result))}"


def check_archive_vector(folder: Path, expect: dict[str, Any]) -> str | None:
    codes = {(finding["seq"], finding["code"]) for finding in expect["codes"]}
    try:
        keys = [parse_vkey(text) for text in expect.get("keys", [])]
        since = [folder / name for name in expect.get("since", [])]
        receipts = [folder / name for name in expect.get("receipts", [])]
        report = Verification(folder / "archive", keys, since, receipts).run()
        code, found, why = report.exit_code, {(one.seq, one.code) for one in report.findings}, ""
    except (CannotCheck, Malformed) as error:
        code, found, why = 2, set(), f" ({error})"
    if code != expect["exit"]:
        return f"exit code {code} in place of {expect['exit']}{why}, found {sorted(found, key=str)}"
    if codes - found or (found - codes and not expect.get("more")):
        return f"not found {sorted(codes - found, key=str)}, found beside {sorted(found - codes, key=str)}"
    return None


def run_vectors(folder: Path) -> int:
    counts = dict.fromkeys([*RUNNERS, "archive"], 0)
    agree = failed = 0
    paths = sorted(folder.glob("accept/*.json")) + sorted(folder.glob("reject/*.json"))
    for path in paths + sorted(folder.glob("archive/*/expect.json")):
        place = path.parent.name if path.name != "expect.json" else "archive"
        try:
            vector = json.loads(path.read_bytes())
            if place == "archive":
                kind, why = "archive", check_archive_vector(path.parent, vector)
            else:
                kind, why = vector["type"], check_vector(vector, place == "accept")
            counts[kind] += 1
        except Exception as error:  # a vector that is not as SPEC 10 says, or a mistake in this program
            vector, why = {}, f"{type(error).__name__}: {error}"
        if why is None:
            agree += 1
        else:
            failed += 1
            print(f"FAIL {path.relative_to(folder)} {vector.get('rule', '')}: {why}")
    print(", ".join(f"{kind} {count}" for kind, count in counts.items()))
    print(f"{agree} of {agree + failed} vectors agree, {failed} do not")
    missing = [kind for kind, count in counts.items() if count == 0]
    if missing:
        print(f"no vectors of type {', '.join(missing)}")
    if agree + failed == 0:
        return 2
    return 1 if failed or missing else 0


# ---------------------------------------------------------------------------------------------------------------------
# The command line
# ---------------------------------------------------------------------------------------------------------------------


def load_key(given: str) -> VerifierKey:
    """A verifier key, or a file with one and a line feed."""
    text = given
    if os.path.exists(given):
        try:
            text = read_given(Path(given), MAX_SMALL_FILE).decode("utf-8").removesuffix("\n")
        except UnicodeDecodeError:
            raise CannotCheck(f"{given} is no verifier key: not UTF-8") from None
    try:
        return parse_vkey(text)
    except (Malformed, UnicodeEncodeError) as error:
        raise CannotCheck(f"R-VER-1: {show(given)} is no verifier key: {error}") from None


def print_report(report: Report) -> None:
    info = report.info
    for finding in report.findings:
        print(f"{finding.code} {'-' if finding.seq is None else finding.seq}: {finding.reason}")
    if report.total > len(report.findings):
        print(f"... and {report.total - len(report.findings)} more findings")
    print(f"log: {show(info['origin'])}, {info['size']} entries, archive of {info['from']} to {info['to']}")
    print(f"keys: {', '.join(show(key) for key in report.keys)}")
    if not report.key_given:
        print("NO KEY WAS GIVEN. The key is the one that the log names: whose log it is was not checked.")
    print(f"checked: {report.entries} entries, {report.batches} batches, {report.content_checked} parts of content")
    print(f"absent: {report.content_absent} parts of content")
    print(f"producers: {report.signatures} signatures checked, {report.signatures_unchecked} that cannot be")
    print(f"findings: {report.total}")


def report_json(report: Report) -> dict[str, Any]:
    return {
        "exit": report.exit_code,
        "findings_total": report.total,
        "findings": [{"code": one.code, "seq": one.seq, "reason": one.reason} for one in report.findings],
        "archive": report.info,
        "key_given": report.key_given,
        "keys": report.keys,
        "entries": report.entries,
        "batches": report.batches,
        "content_checked": report.content_checked,
        "content_absent": report.content_absent,
        "signatures": report.signatures,
        "signatures_unchecked": report.signatures_unchecked,
    }


def verify(arguments: argparse.Namespace) -> int:
    try:
        keys = [load_key(given) for given in arguments.key]
        report = Verification(arguments.archive, keys, arguments.since, arguments.receipt).run()
    except CannotCheck as error:
        return cannot_check(str(error), arguments.json)
    if arguments.json:
        print(json.dumps(report_json(report), indent=2))
    else:
        print_report(report)
    return report.exit_code


def cannot_check(why: str, as_json: bool) -> int:
    progress("")
    if as_json:
        print(json.dumps({"exit": 2, "cannot_check": why}))
    print(f"cannot check: {ascii(why)[1:-1]}", file=sys.stderr)
    return 2


def main() -> int:
    parser = argparse.ArgumentParser(description="Verifies an archive of a whence provenance log.")
    parser.add_argument("archive", nargs="?", type=Path, help="the folder of the archive")
    parser.add_argument("--key", action="append", default=[], help="a verifier key, or a file with one")
    parser.add_argument("--since", action="append", default=[], type=Path, help="a checkpoint that was kept")
    parser.add_argument("--receipt", action="append", default=[], type=Path, help="a receipt")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--vectors", type=Path, help="run the vectors in this folder instead")
    arguments = parser.parse_args()
    if (arguments.archive is None) == (arguments.vectors is None):
        parser.error("give either an archive or --vectors")
    try:
        return run_vectors(arguments.vectors) if arguments.vectors else verify(arguments)
    except (Exception, KeyboardInterrupt) as error:  # never a traceback, whatever the files hold
        return cannot_check(f"{type(error).__name__}: {error}", arguments.json)


if __name__ == "__main__":
    sys.exit(main())
