//! What a record is, in a few words: made of its typed facts, and for prompts of their first words.
//! Nothing in them can move a cursor or begin a new line.

use serde_json::Value;

use super::bytes_at;
use crate::ledger::{Error, StoredPart, View, known};
use crate::record::data::ApiCall;
use crate::record::shown::{excerpt, shown};
use crate::record::{Data, Entry, Kind, Rel};

/// Characters of a prompt that are quoted.
const PROMPT_CHARS: usize = 80;
/// Characters of a fact that are given.
const FACT_CHARS: usize = 120;

/// A record in one line: its kind, and what is particular about it.
pub fn title(view: &View, entry: &Entry<'_>) -> Result<String, Error> {
    let data = &*entry.data;
    let fact = if let Data::Prompt(prompt) = data {
        format!("{}: {}", prompt.role, words_of(view, entry)?.plain())
    } else if let Data::ToolResult(result) = data {
        match tool_of_result(view, entry)? {
            Some(tool) => format!("{tool} {}", result.status),
            None => result.status.to_string(),
        }
    } else if let Data::ApiCall(ApiCall { status_code: Some(status), .. }) = data {
        format!("{} {status}", fact(data))
    } else {
        fact(data)
    };
    Ok(format!("{} {fact}", entry.kind).trim_end().to_owned())
}

/// A record as a sentence names it, such as "call of tool `send_money`".
pub(super) fn noun(view: &View, entry: &Entry<'_>) -> Result<String, Error> {
    if entry.kind == Kind::Prompt {
        return Ok(format!("prompt {}", words_of(view, entry)?.quoted()));
    }
    if entry.kind == Kind::ToolResult {
        let tool = tool_of_result(view, entry)?;
        return Ok(
            tool.map_or("result of a tool".to_owned(), |tool| format!("result of tool {tool}"))
        );
    }
    let names = [
        (Kind::ModelOutput, "output of model"),
        (Kind::ToolInvocation, "call of tool"),
        (Kind::ApiCall, "API call"),
        (Kind::Retrieval, "retrieval of"),
    ];
    let name = names.into_iter().find(|(kind, _)| *kind == entry.kind);
    let name =
        name.map_or_else(|| entry.kind.as_str().replace('_', " "), |(_, name)| name.to_owned());
    Ok(format!("{name} {}", fact(&entry.data)).trim_end().to_owned())
}

/// The words of a prompt, as far as they are there.
pub(super) enum Words {
    Said(String),
    Erased,
    NotCaptured,
}

impl Words {
    fn plain(self) -> String {
        match self {
            Self::Said(words) => words,
            Self::Erased => "(erased)".to_owned(),
            Self::NotCaptured => "(not captured)".to_owned(),
        }
    }

    pub(super) fn quoted(self) -> String {
        match self {
            Self::Said(words) => format!("“{words}”"),
            Self::Erased | Self::NotCaptured => self.plain(),
        }
    }
}

/// The first words of a record's content: of its `text`, or else of its first part.
pub(super) fn words_of(view: &View, entry: &Entry<'_>) -> Result<Words, Error> {
    if entry.content.is_empty() {
        return Ok(Words::NotCaptured);
    }
    let text = entry.content.iter().position(|part| part.name == "text");
    let part = view.content(entry.seq)?.into_iter().nth(text.unwrap_or(0));
    Ok(match part {
        Some(StoredPart::Kept { bytes, .. }) => {
            let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            Words::Said(excerpt(&text, PROMPT_CHARS))
        }
        Some(StoredPart::Erased) => Words::Erased,
        None => Words::NotCaptured,
    })
}

/// The tool that gave a result: the one that was invoked.
fn tool_of_result(view: &View, entry: &Entry<'_>) -> Result<Option<String>, Error> {
    let completed = entry.causes.iter().find(|cause| cause.rel == Rel::Completes);
    let Some(completed) = completed else { return Ok(None) };
    let bytes = bytes_at(view, completed.seq)?;
    let invocation = known::parse(completed.seq, &bytes)?;
    let is_tool = matches!(&*invocation.data, Data::ToolInvocation(_));
    Ok(is_tool.then(|| fact(&invocation.data)))
}

/// What an API call called: method, host and path, without what may stand in a query.
fn called(call: &ApiCall) -> String {
    let what = match (&call.url, &call.service, &call.operation) {
        (Some(url), _, _) => {
            let place = url.split_once("://").map_or(&**url, |(_, place)| place);
            place.split(['?', '#']).next().unwrap_or(place).to_owned()
        }
        (None, Some(service), Some(operation)) => format!("{service} {operation}"),
        (None, one, other) => one.as_deref().or(other.as_deref()).unwrap_or("").to_owned(),
    };
    excerpt(&format!("{} {what}", call.method), FACT_CHARS)
}

/// What is particular about a record of its kind; empty if nothing is.
pub(super) fn fact(data: &Data) -> String {
    let fact = match data {
        Data::SessionStart(start) => start.auth.method.to_string(),
        Data::SessionEnd(end) => end.reason.to_string(),
        Data::DelegationGrant(grant) => format!("{} to {}", grant.delegation, grant.delegate),
        Data::DelegationRevoke(revoke) => revoke.delegation.to_string(),
        Data::ToolCatalogSnapshot(catalog) => catalog.server.to_string(),
        Data::Prompt(prompt) => prompt.role.to_string(),
        Data::ModelOutput(output) => {
            output.model.served.as_ref().unwrap_or(&output.model.requested).to_string()
        }
        Data::ToolInvocation(invocation) => invocation.tool.to_string(),
        Data::ToolResult(result) => result.status.to_string(),
        Data::ApiCall(call) => called(call),
        Data::AuthorizationDecision(made) => format!("{} by {}", made.decision, made.policy.id),
        Data::HumanApproval(made) => format!("{} by {}", made.decision, made.approver.id),
        Data::Retrieval(retrieval) => retrieval.source.to_string(),
        Data::Memory(memory) => format!("{} in {}", memory.op, memory.store),
        Data::Handoff(handoff) => format!("from {} to {}", handoff.from_agent, handoff.to_agent),
        Data::Error(error) => error.error_type.to_string(),
        Data::AppEvent(event) => event.action.to_string(),
        Data::Correction(correction) => {
            correction.pointers.first().map(ToString::to_string).unwrap_or_default()
        }
        Data::Annotation(annotation) => {
            annotation.topic.as_ref().map(ToString::to_string).unwrap_or_default()
        }
        Data::CaseNote(note) => note.case_id.to_string(),
        Data::CaptureGap(gap) => gap.gap.to_string(),
        Data::IngestRefusal(refusal) => refusal.code.to_string(),
        Data::Flag(flag) => flag.code.to_string(),
        Data::LogAccess(access) => access.operation.to_string(),
        Data::LogExport(export) => export.format.to_string(),
        Data::Erasure(erasure) => format!("of {} parts", erasure.parts),
        Data::RetentionPurge(purge) => purge.policy.to_string(),
        Data::LegalHold(hold) => format!("{} {}", hold.hold_id, hold.state),
        Data::KeyRotation(_) | Data::Heartbeat(_) => String::new(),
        Data::ProducerKey(key) => format!("{} {}", key.key_id, key.state),
        Data::ConfigChange(change) => change.setting.to_string(),
        Data::Genesis(genesis) => genesis.origin.to_string(),
    };
    excerpt(&fact, FACT_CHARS)
}

/// An id or another short text, for a sentence.
pub(super) fn named(text: &str) -> String {
    shown(text)
}
