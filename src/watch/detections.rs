//! The table of detections: what each raises, how bad that is, and with which numbers it works.

use crate::record::data::Gap;
use crate::record::{Flag, Severity};

/// Refusals of one producer that are a burst.
pub(super) const BURST_REFUSALS: u64 = 20;
/// Within how many seconds they count together.
pub(super) const BURST_SECONDS: u64 = 60;
/// Invocations after which it is known which tools an agent uses.
pub(super) const LEARNING_INVOCATIONS: u64 = 20;
/// Sources of untrusted content that are looked at for one action: the newest.
pub(super) const SOURCES_MAX: u64 = 32;
/// How many seconds records of one producer may come out of order.
pub(super) const REORDER_SECONDS: u64 = 60;
/// How many seconds a request may take.
pub(super) const REQUEST_SECONDS: u64 = 600;
/// How many seconds after its end a session may still be told to have ended.
pub(super) const SESSION_SECONDS: u64 = 600;
/// Intervals after which a heartbeat was missed.
pub(super) const MISSED_INTERVALS: u64 = 3;

/// What a detection raises: a `flag` with this flag, or a `capture_gap` with this gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raises {
    /// Something should not have happened.
    Flag(Flag),
    /// Something is missing.
    Gap(Gap),
}

impl Raises {
    /// The name of the flag or the gap.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flag(flag) => flag.as_str(),
            Self::Gap(gap) => gap.as_str(),
        }
    }
}

/// A number that a detection works with.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// The number.
    pub value: u64,
    /// What it means.
    pub what: &'static str,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Detection {
    /// The name by which a policy turns it off.
    pub id: &'static str,
    /// What it raises.
    pub raises: Raises,
    /// How bad that is.
    pub severity: Severity,
    /// What it looks for.
    pub description: &'static str,
    /// Its numbers.
    pub parameters: &'static [Parameter],
}

const fn flag(
    flag: Flag,
    description: &'static str,
    parameters: &'static [Parameter],
) -> Detection {
    let (id, severity) = (flag.as_str(), flag.severity());
    Detection { id, raises: Raises::Flag(flag), severity, description, parameters }
}

const fn gap(
    gap: Gap,
    severity: Severity,
    description: &'static str,
    parameters: &'static [Parameter],
) -> Detection {
    Detection { id: gap.as_str(), raises: Raises::Gap(gap), severity, description, parameters }
}

const fn number(name: &'static str, value: u64, what: &'static str) -> Parameter {
    Parameter { name, value, what }
}

/// Every detection, flags before gaps, by name.
pub const DETECTIONS: &[Detection] = &[
    flag(
        Flag::AgentUsesUserToken,
        "A grant whose credential is the user's own: it was read by a profile for tokens of users, or \
         its delegate is its subject.",
        &[],
    ),
    flag(
        Flag::InfluencedByUntrusted,
        "A tool invocation with the effect write, destructive or external, or an API call that changes \
         something, which follows from untrusted content of its session and is aimed at something that \
         this content names and no prompt of the session does.",
        &[number(
            "sources",
            SOURCES_MAX,
            "sources of untrusted content that are looked at, the newest",
        )],
    ),
    flag(
        Flag::RefusalBurst,
        "Many records of one producer were refused within a short time; once for each burst.",
        &[
            number("refusals", BURST_REFUSALS, "how many are a burst"),
            number("seconds", BURST_SECONDS, "within how many seconds"),
        ],
    ),
    flag(
        Flag::ToolFirstUse,
        "An agent that has used tools for a while uses one that it had never used before.",
        &[number("learning", LEARNING_INVOCATIONS, "invocations of the agent that come before")],
    ),
    gap(
        Gap::ProducerSeqMissing,
        Severity::Medium,
        "Numbers of a producer's own count never came, though later ones did, or though a heartbeat \
         names them.",
        &[number("seconds", REORDER_SECONDS, "how long records may come out of order")],
    ),
    gap(
        Gap::RequestedNotCompleted,
        Severity::Medium,
        "An invocation or a call was asked for with the phase `requested`, and nothing says what came \
         of it.",
        &[number("seconds", REQUEST_SECONDS, "how long it may take")],
    ),
    gap(
        Gap::SessionUnterminated,
        Severity::Low,
        "A session is past its end, nothing comes of it any more, and nothing says that it ended.",
        &[number("seconds", SESSION_SECONDS, "how long after its end, or after its last record")],
    ),
    gap(
        Gap::HeartbeatMissed,
        Severity::Medium,
        "A producer that sends heartbeats sends nothing any more.",
        &[number("intervals", MISSED_INTERVALS, "intervals without a record of the producer")],
    ),
];

/// How bad a gap is.
pub(super) fn severity_of(gap: Gap) -> Severity {
    let row = DETECTIONS.iter().find(|row| row.raises == Raises::Gap(gap));
    row.map_or(Severity::Info, |row| row.severity)
}

/// So many seconds, as the state counts.
pub(super) fn millis_of(seconds: u64) -> super::Millis {
    i64::try_from(seconds).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000)
}
