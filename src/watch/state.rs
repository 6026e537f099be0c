//! The state: what is remembered of the records so far, and what it makes of the next one.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each detection looks at a few kinds of records, and passes over all others, new ones too"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::detections::{
    BURST_REFUSALS, BURST_SECONDS, LEARNING_INVOCATIONS, REQUEST_SECONDS, SESSION_SECONDS,
    millis_of,
};
use super::finding::{About, Finding, gap_data};
use super::influence::{Lineage, Log, influence, is_action};
use super::producers::Producers;
use super::recent::Recent;
use super::{Millis, millis, timestamp};
use crate::record::data::{
    CaptureGap, Decision, DelegationGrant, Gap, IngestRefusal, Phase, PromptOrigin, Verdict,
};
use crate::record::{Data, Entry, Flag, Rel};
use crate::store::Error;

/// Sessions, agents and refused producers that are known at a time.
const SESSIONS_MAX: usize = 20_000;
const AGENTS_MAX: usize = 4_096;
const REFUSED_MAX: usize = 4_096;
/// Requests that are waited for at a time. Beyond that the oldest is forgotten.
const REQUESTS_MAX: usize = 20_000;
/// Prompts of a session that are the task: the first ones, and the last one.
const PROMPTS_MAX: usize = 64;
/// Tools of an agent that are known. Who uses more is not told of.
const TOOLS_MAX: usize = 512;
/// Moments of a burst that are told apart.
const MOMENTS_MAX: usize = 64;

/// Profiles that read the token of a user, and not one that was made for an agent.
const USER_PROFILES: &[&str] = &["oidc", "workos_user"];

/// What is remembered. It is of bounded size, and follows from the records alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// The number of records that were taken.
    pub(super) next: u64,
    /// The detections that the policy turns off.
    off: BTreeSet<String>,
    producers: Producers,
    lineage: Lineage,
    sessions: Recent<Task, SESSIONS_MAX>,
    agents: Recent<Habits, AGENTS_MAX>,
    refused: Recent<Burst, REFUSED_MAX>,
    /// What was asked for and is not done, by seq.
    requests: BTreeMap<u64, Request>,
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Task {
    /// Its prompts, but for those that an agent wrote after it had read untrusted content.
    prompts: BTreeSet<u64>,
    /// Its beginning and when it has to end, until something says that it did.
    open: Option<(About, Millis)>,
    /// When its last record came.
    last: Millis,
}

/// What an agent does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Habits {
    invocations: u64,
    tools: BTreeSet<String>,
}

/// The refusals of the last moments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Burst {
    moments: VecDeque<(Millis, u64)>,
    told: bool,
}

/// Something that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    about: About,
    at: Millis,
}

impl State {
    /// Takes the next record of the log, and says what is found with it.
    pub(super) fn fold(&mut self, entry: &Entry<'_>, log: &dyn Log) -> Result<Vec<Finding>, Error> {
        let at = millis(entry.received_at);
        self.next = entry.seq + 1;
        let mut found = self.producers.fold(entry, at);
        let behind = self.lineage.fold(entry);
        self.fold_session(entry, behind.is_empty(), at);
        self.fold_requests(entry, at);
        match &*entry.data {
            Data::ConfigChange(change) => {
                if let Some(policy) = &change.policy {
                    self.off =
                        policy.detections_off.iter().map(|id| id.as_str().to_owned()).collect();
                }
            }
            Data::CaptureGap(gap) => self.told(gap, entry),
            Data::DelegationGrant(grant) if is_users_own(grant) => {
                found.push(Finding::flag(Flag::AgentUsesUserToken, About::of(entry), at));
            }
            Data::IngestRefusal(refusal) if self.is_burst(refusal, at) => {
                found.push(Finding::flag(Flag::RefusalBurst, About::of(entry), at));
            }
            Data::ToolInvocation(invocation) if !is_completion(entry) => {
                let tool = match &invocation.server {
                    Some(server) => format!("{server} {}", invocation.tool),
                    None => invocation.tool.to_string(),
                };
                let agent = entry.agent.as_ref().map_or("", |agent| &agent.id);
                if self.agents.entry(agent).is_new(tool) {
                    found.push(Finding::flag(Flag::ToolFirstUse, About::of(entry), at));
                }
            }
            _ => {}
        }
        if is_action(&entry.data) && !behind.is_empty() && !self.is_off(Flag::InfluencedByUntrusted)
        {
            let session = entry.session.as_ref().and_then(|session| self.sessions.get(&session.id));
            let prompts = session.map(|session| session.prompts.clone()).unwrap_or_default();
            if let Some(source) = influence(entry, &behind, &prompts, log)? {
                self.lineage.found(entry.seq);
                let finding = Finding::flag(Flag::InfluencedByUntrusted, About::of(entry), at);
                found.push(finding.labelled("influenced_by", &source));
            }
        }
        found.retain(|finding| !self.off.contains(finding.raises.as_str()));
        Ok(found)
    }

    /// What did not come in time. Before `from` nothing could come, because nobody was there to take it.
    /// It is found again, under the same id, until the ledger says so.
    pub(super) fn due(&self, now: Millis, from: Millis) -> Vec<Finding> {
        let mut found = self.producers.due(now, from);
        for (seq, request) in &self.requests {
            if request.at.max(from).saturating_add(millis_of(REQUEST_SECONDS)) > now {
                continue;
            }
            let data = CaptureGap {
                since: Some(timestamp(request.at)),
                ..gap_data(Gap::RequestedNotCompleted)
            };
            found.push(Finding::gap(data, request.about.clone(), &format!("request.{seq}"), now));
        }
        for (_, task) in self.sessions.iter() {
            let Some((about, end)) = &task.open else { continue };
            let end = task.last.max(*end).max(from);
            if end.saturating_add(millis_of(SESSION_SECONDS)) > now {
                continue;
            }
            let data = CaptureGap {
                since: Some(timestamp(task.last)),
                ..gap_data(Gap::SessionUnterminated)
            };
            let what = format!("session.{}", about.seq);
            found.push(Finding::gap(data, about.clone(), &what, now));
        }
        found.retain(|finding| !self.off.contains(finding.raises.as_str()));
        found
    }

    /// Whether there is anything that could come to be due.
    pub(super) fn waits(&self) -> bool {
        !self.producers.is_empty() || !self.requests.is_empty() || !self.sessions.is_empty()
    }

    fn is_off(&self, flag: Flag) -> bool {
        self.off.contains(flag.as_str())
    }

    fn fold_session(&mut self, entry: &Entry<'_>, untouched: bool, at: Millis) {
        let Some(session) = &entry.session else { return };
        // What the server says of a session is no life in it.
        if entry.source.is_none() {
            return;
        }
        let task = self.sessions.entry(&session.id);
        task.last = at;
        match &*entry.data {
            Data::SessionStart(start) => {
                task.open = Some((About::of(entry), millis(start.expires_at)));
            }
            Data::SessionEnd(_) => task.open = None,
            Data::Prompt(prompt) if untouched || prompt.origin != Some(PromptOrigin::Agent) => {
                if task.prompts.len() >= PROMPTS_MAX {
                    task.prompts.pop_last();
                }
                task.prompts.insert(entry.seq);
            }
            _ => {}
        }
    }

    fn fold_requests(&mut self, entry: &Entry<'_>, at: Millis) {
        let closes = |rel| match rel {
            Rel::Completes => true,
            // It failed, or a policy or a person was against it: then nothing more is to come.
            Rel::About => match &*entry.data {
                Data::Error(_) => true,
                Data::AuthorizationDecision(decided) => decided.decision == Verdict::Deny,
                Data::HumanApproval(decided) => {
                    matches!(decided.decision, Decision::Rejected | Decision::Timeout)
                }
                _ => false,
            },
            Rel::AuthorizedBy
            | Rel::Corrects
            | Rel::HandedOffFrom
            | Rel::InformedBy
            | Rel::TriggeredBy => false,
        };
        for cause in entry.causes.iter().filter(|cause| closes(cause.rel)) {
            self.requests.remove(&cause.seq);
        }
        let phase = match &*entry.data {
            Data::ToolInvocation(invocation) => invocation.phase,
            Data::ApiCall(call) => call.phase,
            _ => None,
        };
        if phase == Some(Phase::Requested) {
            self.requests.insert(entry.seq, Request { about: About::of(entry), at });
            if self.requests.len() > REQUESTS_MAX {
                self.requests.pop_first();
            }
        }
    }

    /// A gap is in the log, and is not told again.
    fn told(&mut self, gap: &CaptureGap, entry: &Entry<'_>) {
        let about =
            entry.causes.iter().find(|cause| cause.rel == Rel::About).map(|cause| cause.seq);
        match gap.gap {
            Gap::ProducerSeqMissing | Gap::HeartbeatMissed => self.producers.told(gap, about),
            Gap::RequestedNotCompleted => {
                about.and_then(|seq| self.requests.remove(&seq));
            }
            Gap::SessionUnterminated => {
                let session = entry.session.as_ref();
                if let Some(task) = session.and_then(|session| self.sessions.get_mut(&session.id)) {
                    task.open.take_if(|(start, _)| Some(start.seq) == about);
                }
            }
            Gap::Late | Gap::TraceIncomplete => {}
        }
    }

    /// Whether a refusal makes a burst of those before it, for the first time.
    fn is_burst(&mut self, refusal: &IngestRefusal, at: Millis) -> bool {
        let name = match (&refusal.claimed_producer, &refusal.token_id) {
            (Some(producer), _) => format!("p {producer}"),
            (None, Some(token)) => format!("t {token}"),
            (None, None) => return false,
        };
        let burst = self.refused.entry(&name);
        let since = at.saturating_sub(millis_of(BURST_SECONDS));
        while burst.moments.front().is_some_and(|(moment, _)| *moment <= since) {
            burst.moments.pop_front();
        }
        let count = refusal.count.unwrap_or(1);
        match burst.moments.back_mut() {
            Some((moment, counted)) if *moment == at => *counted = counted.saturating_add(count),
            _ => burst.moments.push_back((at, count)),
        }
        if burst.moments.len() > MOMENTS_MAX {
            burst.moments.pop_front();
        }
        let sum = burst.moments.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        let burst_now = sum >= BURST_REFUSALS;
        !std::mem::replace(&mut burst.told, burst_now) && burst_now
    }
}

impl Habits {
    /// Counts an invocation, and says whether the tool is new to an agent that is known.
    fn is_new(&mut self, tool: String) -> bool {
        let known = self.invocations >= LEARNING_INVOCATIONS && self.tools.len() < TOOLS_MAX;
        self.invocations = self.invocations.saturating_add(1);
        if self.tools.len() >= TOOLS_MAX {
            return false;
        }
        self.tools.insert(tool) && known
    }
}

/// Whether the credential of a grant is the user's own.
fn is_users_own(grant: &DelegationGrant) -> bool {
    let by_profile = grant.claims_profile.as_ref();
    by_profile.is_some_and(|profile| USER_PROFILES.contains(&profile.as_str()))
        || grant.delegate == grant.subject
}

/// Whether a record says what came of an earlier one.
fn is_completion(entry: &Entry<'_>) -> bool {
    entry.causes.iter().any(|cause| cause.rel == Rel::Completes)
}
