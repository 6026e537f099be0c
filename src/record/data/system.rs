//! Data of what the server writes.

use super::policy::Policy;
use crate::record::flag::{Flag, Severity};
use crate::record::text::{Digest, ExternalId, Line, Name};
use crate::record::time::Timestamp;

names! {
    /// What is missing from the log.
    Gap {
        ProducerSeqMissing = "producer_seq_missing",
        RequestedNotCompleted = "requested_not_completed",
        SessionUnterminated = "session_unterminated",
        Late = "late",
        TraceIncomplete = "trace_incomplete",
        HeartbeatMissed = "heartbeat_missed",
    }
}

names! {
    /// Whether a hold begins or ends.
    HoldState {
        Placed = "placed",
        Released = "released",
    }
}

object! {
    /// Data of `genesis`: what the ledger is.
    Genesis {
        /// The key that signs the first checkpoints, as a verifier key (C2SP signed-note).
        key: Line,
        /// The ledger's origin, which never changes.
        origin: ExternalId,
        /// The program that made the ledger.
        software: Name,
    }
}

object! {
    /// Data of `capture_gap`.
    CaptureGap {
        /// How many are missing, as far as that is known.
        count: Option<u64>,
        /// The first missing number of the producer's count.
        first: Option<u64>,
        /// What is missing.
        gap: Gap,
        /// The last missing number of the producer's count.
        last: Option<u64>,
        /// The producer.
        producer: Option<ExternalId>,
        /// Since when nothing came.
        since: Option<Timestamp>,
    }
}

object! {
    /// Data of `ingest_refusal`. The refused record is content: nobody but investigators reads it.
    IngestRefusal {
        /// The length of the refused record in canonical form, if it is not in the content.
        bytes: Option<u64>,
        /// The agent that it claimed.
        claimed_agent: Option<ExternalId>,
        /// The id that it claimed.
        claimed_id: Option<ExternalId>,
        /// The kind that it claimed.
        claimed_kind: Option<Name>,
        /// The producer that it claimed.
        claimed_producer: Option<ExternalId>,
        /// The session that it claimed.
        claimed_session: Option<ExternalId>,
        /// The user that it claimed.
        claimed_user: Option<ExternalId>,
        /// Why it was refused.
        code: Name,
        /// How many records this stands for: 1 if it is not given. More, when so many of one token were
        /// refused that the last ones are only counted.
        count: Option<u64>,
        /// The access token with which it came.
        token_id: Option<ExternalId>,
    }
}

object! {
    /// Data of `flag`. What it is on is a cause `about`.
    FlagRaised {
        /// The flag.
        code: Flag,
        /// The rule that raised it.
        detection_id: Option<ExternalId>,
        /// How bad it is.
        severity: Severity,
    }
}

object! {
    /// Data of `log_access`: one or more calls of one kind by one token. What was asked for is content.
    LogAccess {
        /// The access token that was used.
        actor: ExternalId,
        /// How many calls there were.
        calls: Option<u64>,
        /// When the last one was; the first is when it occurred.
        last_at: Option<Timestamp>,
        /// What was called.
        operation: Name,
        /// How many records were shown.
        records: Option<u64>,
    }
}

object! {
    /// Data of `log_export`. The query is content.
    LogExport {
        /// The access token that was used.
        actor: ExternalId,
        /// Whether the records' content was in it.
        content: Option<bool>,
        /// The number after the last record's.
        end: u64,
        /// The format.
        format: Name,
        /// The first record's number.
        start: u64,
    }
}

object! {
    /// What an erasure or a hold reaches: one of them.
    Reach {
        /// Everything.
        all: Option<bool>,
        /// One record, by its id.
        record: Option<ExternalId>,
        /// The records of a session.
        session: Option<ExternalId>,
        /// The records of a user.
        user: Option<ExternalId>,
    }
}

object! {
    /// Data of `erasure`. The records are causes `about`; of more than fit there, only their number
    /// and their reach is known.
    Erasure {
        /// Who asked for it.
        actor: ExternalId,
        /// By what right it was asked for.
        authority: Line,
        /// How many content parts went.
        parts: u64,
        /// What it reached.
        reach: Reach,
        /// Why.
        reason: Line,
        /// The number of records that it touched.
        records: u64,
    }
}

object! {
    /// Data of `retention_purge`.
    RetentionPurge {
        /// Content received before this moment went.
        before: Timestamp,
        /// How many content parts went.
        parts: u64,
        /// The rule.
        policy: Name,
        /// The number of records that it touched.
        records: u64,
    }
}

object! {
    /// Data of `legal_hold`.
    LegalHold {
        /// Who asked for it.
        actor: ExternalId,
        /// The hold.
        hold_id: ExternalId,
        /// What it keeps from erasure.
        reach: Reach,
        /// Why.
        reason: Line,
        /// Whether it begins or ends.
        state: HoldState,
    }
}

object! {
    /// Data of `key_rotation`.
    KeyRotation {
        /// Who asked for it.
        actor: ExternalId,
        /// The verifier key from now on (C2SP signed-note).
        new_key: Line,
        /// The verifier key until now.
        old_key: Line,
    }
}

object! {
    /// Data of `config_change`. The values are content, but for a policy, which explains flags.
    ConfigChange {
        /// Who asked for it.
        actor: ExternalId,
        /// The policy from now on, if that is what was changed.
        policy: Option<Policy>,
        /// What was changed.
        setting: Name,
    }
}

names! {
    /// Whether a key counts from now on, or no more.
    KeyState {
        Registered = "registered",
        Revoked = "revoked",
    }
}

object! {
    /// Data of `producer_key`.
    ProducerKey {
        /// Who asked for it.
        actor: ExternalId,
        /// The key's name, which signatures give.
        key_id: ExternalId,
        /// The producer whose records it signs.
        producer: ExternalId,
        /// The Ed25519 public key: 32 bytes in hexadecimal digits.
        public_key: Digest,
        /// Whether it counts.
        state: KeyState,
        /// From when on records that it signed are taken.
        valid_from: Option<Timestamp>,
        /// Until when.
        valid_until: Option<Timestamp>,
    }
}
