"""The client of whence, a tamper-evident provenance log for AI agents.

from whence import Client, Recorder, recorded_tool

client = Client("https://log.example", token, key="log.example/main+…")
with Recorder(client, "/var/spool/my-agent") as recorder:
    with recorder.session(user="alice@example.com", agent="invoice-agent") as s:
        s.prompt("Pay the invoice.")
"""

from .calls import Check, Decision, Retries
from .client import AsyncClient, Client
from .context import (
    Grant,
    Invocation,
    Session,
    Sink,
    Source,
    carry,
    current_session,
    informed_by,
)
from .errors import (
    ApiError,
    Busy,
    ConnectionFailed,
    FieldError,
    IdConflict,
    NoSession,
    NotAllowed,
    NotFound,
    ReceiptError,
    RecordRefused,
    Refusal,
    ServerFailed,
    SpoolDamaged,
    SpoolFull,
    Unrecorded,
    Unsent,
    UsageError,
    WhenceError,
)
from .proofs import Checkpoint, InclusionProof, Receipt, VerifierKey
from .recorder import AsyncRecorder, Limits, Recorder, Stats
from .tools import recorded_tool
from .values import fit_content, jsonable, new_id, timestamp

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncRecorder",
    "Busy",
    "Check",
    "Checkpoint",
    "Client",
    "ConnectionFailed",
    "Decision",
    "FieldError",
    "Grant",
    "IdConflict",
    "InclusionProof",
    "Invocation",
    "Limits",
    "NoSession",
    "NotAllowed",
    "NotFound",
    "Receipt",
    "ReceiptError",
    "RecordRefused",
    "Recorder",
    "Refusal",
    "Retries",
    "ServerFailed",
    "Session",
    "Sink",
    "Source",
    "SpoolDamaged",
    "SpoolFull",
    "Stats",
    "Unrecorded",
    "Unsent",
    "UsageError",
    "VerifierKey",
    "WhenceError",
    "carry",
    "current_session",
    "fit_content",
    "informed_by",
    "jsonable",
    "new_id",
    "recorded_tool",
    "timestamp",
]
