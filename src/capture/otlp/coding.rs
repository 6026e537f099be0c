//! Coding agents: their log records to records.
//!
//! They tell what happens as log records with names of their own, outside of any trace. What belongs
//! together is said by the session and by the ids of tool calls; which output asked for a tool and
//! what an output answered is worked out from the order, and the records say so.

use std::collections::BTreeSet;

use serde_json::Value;

use super::assemble::Teller;
use super::draft::{self, Parts};
use super::item::{Attributes, Log, Sender};
use super::known::Conversation;
use super::read::opened;
use super::tell::causes;
use crate::canon::digest::sha256;
use crate::record::data::{
    Approver, AuthorizationDecision, DecidedBy, Decision, DecisionMode, HumanApproval, Model,
    ModelOutput, Phase, Prompt, PromptRole, Status, ToolInvocation, ToolResult, Usage, Verdict,
};
use crate::record::identity::UserType;
use crate::record::source::ObservedBy;
use crate::record::text::{Any, ExternalId};
use crate::record::{Agent, Cause, Data, Draft, RecordId, Rel, Session, User};

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    Prompt,
    Output,
    Refusal,
    Decision,
    Enforcement,
    Mode,
    Run,
}

/// The events, by their names.
const EVENTS: &[(&str, Tells)] = &[
    ("claude_code.user_prompt", Tells::Prompt),
    ("claude_code.api_request", Tells::Output),
    ("claude_code.assistant_response", Tells::Output),
    ("claude_code.api_refusal", Tells::Refusal),
    ("claude_code.tool_decision", Tells::Decision),
    ("claude_code.tool_result", Tells::Run),
    ("claude_code.permission_mode_changed", Tells::Mode),
    ("codex.user_prompt", Tells::Prompt),
    ("codex.api_response", Tells::Output),
    ("codex.tool_decision", Tells::Decision),
    ("codex.tool_result", Tells::Run),
    ("codex.sandbox_outcome", Tells::Enforcement),
    ("gemini_cli.user_prompt", Tells::Prompt),
    ("gemini_cli.api_response", Tells::Output),
    ("gemini_cli.tool_call", Tells::Run),
    ("gemini_cli.approval_mode_switch", Tells::Mode),
];

/// What is read of an event, and the attributes that it may stand in, the first that is there.
const USER: &[&str] =
    &["user.email", "user.account_uuid", "user.account_id", "enduser.id", "user.id"];
const SESSION: &[&str] = &["session.id", "conversation.id"];
const TURN: &[&str] = &["prompt.id", "prompt_id"];
const WORDS: &[&str] = &["prompt"];
const ANSWER: &[&str] = &["response_text", "response"];
const MODEL: &[&str] = &["model"];
const RESPONSE: &[&str] = &["request_id", "response_id"];
const INPUT_TOKENS: &[&str] = &["input_tokens", "input_token_count"];
const OUTPUT_TOKENS: &[&str] = &["output_tokens", "output_token_count"];
const CACHED_TOKENS: &[&str] =
    &["cache_read_tokens", "cached_token_count", "cached_content_token_count"];
const TOOL: &[&str] = &["tool_name", "function_name"];
const CALL_ID: &[&str] = &["tool_use_id", "call_id", "gen_ai.tool.call.id"];
const ARGUMENTS: &[&str] = &["tool_input", "tool_parameters", "arguments", "function_args"];
const RESULT: &[&str] = &["output", "tool_output", "result"];
const SERVER: &[&str] = &["mcp_server_name", "mcp_server"];
const SUCCESS: &[&str] = &["success"];
const DURATION: &[&str] = &["duration_ms"];
const ERROR: &[&str] = &["error_type", "error"];
const DECISION: &[&str] = &["decision"];
const SOURCE: &[&str] = &["source", "decision_source"];
const OUTCOME: &[&str] = &["outcome", "decision", "status"];
const SEQUENCE: &[&str] = &["event.sequence"];

/// What a producer writes in place of words that it was told to leave out.
const REDACTED: &[&str] = &["[REDACTED]", "<REDACTED>"];

/// Whether a log record is one of those that are told here.
fn tells(log: &Log) -> Option<Tells> {
    let body = log.body.as_str().unwrap_or_default();
    EVENTS
        .iter()
        .find(|(name, _)| *name == log.event_name || *name == body)
        .map(|(_, tells)| *tells)
}

fn text<'a>(attributes: &'a Attributes, names: &[&str]) -> Option<&'a str> {
    let said = |name: &&str| attributes.get(*name)?.as_str().filter(|text| !text.is_empty());
    names.iter().find_map(said).filter(|text| !REDACTED.contains(text))
}

fn number(attributes: &Attributes, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| match attributes.get(*name)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

fn value(attributes: &Attributes, names: &[&str]) -> Option<Value> {
    let said =
        names.iter().find_map(|name| attributes.get(*name)).filter(|value| !value.is_null())?;
    let redacted = said.as_str().is_some_and(|text| text.is_empty() || REDACTED.contains(&text));
    (!redacted).then(|| opened(said.clone()))
}

/// The session of a log record of a coding agent.
pub(super) fn session(log: &Log, sender: &Sender) -> Option<String> {
    tells(log)?;
    let named = text(&log.attributes, SESSION).map(str::to_owned);
    named.or_else(|| sender.session.as_ref().map(|session| session.id.to_string()))
}

impl Teller<'_, '_> {
    /// Tells the log records of coding agents, in the order in which they were written.
    pub(super) fn logs(&mut self) {
        let trace = self.trace;
        let mut logs: Vec<_> = trace.stray.iter().filter(|(_, log)| tells(log).is_some()).collect();
        logs.sort_by_key(|(_, log)| (log.time_ns, number(&log.attributes, SEQUENCE)));
        // A decision comes before the run that says with what the tool was called.
        let runs: Vec<&Log> =
            logs.iter().map(|(_, log)| *log).filter(|log| tells(log) == Some(Tells::Run)).collect();
        // An answer that is told twice, once with its words.
        let spoken: BTreeSet<&str> = logs
            .iter()
            .filter(|(_, log)| {
                tells(log) == Some(Tells::Output) && value(&log.attributes, ANSWER).is_some()
            })
            .filter_map(|(_, log)| text(&log.attributes, RESPONSE))
            .collect();
        for (resource, log) in logs {
            let again = tells(log) == Some(Tells::Output)
                && value(&log.attributes, ANSWER).is_none()
                && text(&log.attributes, RESPONSE).is_some_and(|id| spoken.contains(id));
            if again {
                continue;
            }
            let event = Event { resource, log, runs: &runs };
            match tells(log) {
                Some(Tells::Prompt) => drop(self.typed(&event)),
                Some(Tells::Output) => drop(self.answered(&event, None)),
                Some(Tells::Refusal) => drop(self.answered(&event, Some("refusal"))),
                Some(Tells::Decision) => drop(self.decided(&event)),
                Some(Tells::Enforcement) => drop(self.enforced(&event)),
                Some(Tells::Mode) => drop(self.switched(&event)),
                Some(Tells::Run) => drop(self.ran(&event)),
                None => {}
            }
        }
    }

    fn talk(&mut self, event: &Event<'_>) -> &mut Conversation {
        self.known.conversation(&session(event.log, self.sender).unwrap_or_default())
    }

    /// Tells a record of an event.
    fn write(
        &mut self,
        (event, part): (&Event<'_>, &str),
        data: impl Into<Data>,
        content: Parts,
        causes: &[Cause],
    ) -> Option<RecordId> {
        let id = event.id(part)?;
        let producer = self.sender.producer.as_str();
        if self.talk(event).has(&id, producer) {
            return Some(id);
        }
        let mut told = Draft::new(data, draft::time(event.log.time_ns)?);
        told.id = Some(id.clone());
        told.user = event.user().or_else(|| self.sender.user.clone());
        told.session = event.own_session().or_else(|| self.sender.session.clone());
        told.agent = event.agent().or_else(|| self.sender.agent.clone());
        told.causes = causes.iter().cloned().collect();
        let captured = content.captured(event.log.dropped > 0);
        told.source = Some(self.source(&told, captured, true, ObservedBy::Imported));
        told.content = content.into_members();
        self.talk(event).note(&told);
        self.told.push(told);
        Some(id)
    }

    /// A person typed a prompt.
    fn typed(&mut self, event: &Event<'_>) -> Option<RecordId> {
        let mut content = Parts::new();
        content.add("text", event.value(WORDS).as_ref());
        let data = Prompt { channel: None, origin: None, role: PromptRole::User };
        self.write((event, "p"), data, content, &[])
    }

    /// What comes next would answer: the latest prompt or result, or a prompt of which nothing is known.
    fn latest(&mut self, event: &Event<'_>) -> Option<RecordId> {
        if let Some(latest) = self.talk(event).latest.clone() {
            return Some(latest);
        }
        let data = Prompt { channel: None, origin: None, role: PromptRole::User };
        self.write((event, "p"), data, Parts::new(), &[])
    }

    /// The model answered.
    fn answered(&mut self, event: &Event<'_>, reason: Option<&str>) -> Option<RecordId> {
        let latest = self.latest(event)?;
        let results = self.talk(event).results.clone();
        let service = event.resource.get("service.name").and_then(Value::as_str);
        let data = ModelOutput {
            finish_reasons: draft::name(reason.unwrap_or("unknown")).into_iter().collect(),
            model: Model {
                provider: draft::name(service.unwrap_or("unknown"))?,
                requested: draft::name(text(&event.log.attributes, MODEL).unwrap_or("unknown"))?,
                response_id: text(&event.log.attributes, RESPONSE).and_then(draft::name),
                served: None,
            },
            tool_calls: Any::default(),
            usage: event.usage(),
        };
        let mut content = Parts::new();
        content.add("text", event.value(ANSWER).as_ref());
        self.write((event, "o"), data, content, &causes(Some(&latest), &results))
    }

    /// The invocation that an event is about: told before, or told now.
    fn asked(&mut self, event: &Event<'_>) -> Option<RecordId> {
        let call_id = text(&event.log.attributes, CALL_ID);
        if let Some(call_id) = call_id {
            let known = self.talk(event).calls.iter().rev();
            let known = known.clone().find(|call| call.call_id.as_deref() == Some(call_id));
            if let Some(known) = known {
                return Some(known.id.clone());
            }
        }
        let is_run = |log: &&&Log| text(&log.attributes, CALL_ID) == call_id && call_id.is_some();
        let run = event.runs.iter().find(is_run).copied().unwrap_or(event.log);
        let output = self.talk(event).outputs.last().map(|output| output.id.clone());
        let trigger = match output {
            Some(output) => output,
            None => self.latest(event)?,
        };
        let kind_fits = self.talk(event).prompts.iter().any(|said| said.id == trigger)
            || self.talk(event).outputs.iter().any(|said| said.id == trigger);
        let causes = [Cause { id: trigger, rel: Rel::TriggeredBy }];
        let data = ToolInvocation {
            call_id: call_id.and_then(draft::name),
            catalog_id: None,
            definition_digest: None,
            effect: None,
            idempotency_key: None,
            phase: (tells(event.log) == Some(Tells::Run)).then_some(Phase::Completed),
            scopes: Any::default(),
            server: text(&run.attributes, SERVER).and_then(draft::name),
            task_id: None,
            tool: draft::name(text(&event.log.attributes, TOOL)?)?,
        };
        let mut content = Parts::new();
        content.add("arguments", value(&run.attributes, ARGUMENTS).as_ref());
        self.write((event, "c"), data, content, if kind_fits { &causes } else { &[] })
    }

    /// A tool ran.
    fn ran(&mut self, event: &Event<'_>) -> Option<RecordId> {
        let invocation = self.asked(event)?;
        let attributes = &event.log.attributes;
        let success = SUCCESS.iter().find_map(|name| match attributes.get(*name)? {
            Value::Bool(success) => Some(*success),
            Value::String(text) => Some(text == "true"),
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        });
        let data = ToolResult {
            call_id: text(attributes, CALL_ID).and_then(draft::name),
            duration_ms: number(attributes, DURATION),
            error_type: text(attributes, ERROR).and_then(draft::name),
            status: match success {
                Some(true) => Status::Success,
                Some(false) => Status::Error,
                None => Status::Unknown,
            },
        };
        let mut content = Parts::new();
        content.add("result", event.value(RESULT).as_ref());
        self.write((event, "r"), data, content, &[Cause { id: invocation, rel: Rel::Completes }])
    }

    /// A person, or a setting, decided whether a tool may run.
    fn decided(&mut self, event: &Event<'_>) -> Option<RecordId> {
        let about = [Cause { id: self.asked(event)?, rel: Rel::About }];
        let source = text(&event.log.attributes, SOURCE).unwrap_or("unknown").to_owned();
        let said = text(&event.log.attributes, DECISION)?;
        let allowed =
            matches!(said, "accept" | "approved" | "approve" | "auto_accept" | "allow" | "modify");
        let asked = source.to_ascii_lowercase().starts_with("user");
        let person = event.user().or_else(|| self.sender.user.clone());
        if let (true, Some(person)) = (asked, person) {
            let explicit = !source.ends_with("permanent");
            let data = HumanApproval {
                approver: Approver { id: person.id, issuer: None, name: None },
                decided_by_type: None,
                decision: if allowed { Decision::Approved } else { Decision::Rejected },
                mode: if explicit { DecisionMode::Explicit } else { DecisionMode::Remembered },
                proposed_by_type: None,
                risk_tier: None,
            };
            return self.write((event, "h"), data, Parts::new(), &about);
        }
        let verdict = if allowed { Verdict::Allow } else { Verdict::Deny };
        self.write((event, "d"), decision(verdict, &source)?, Parts::new(), &about)
    }

    /// A sandbox let a tool through, or stopped it.
    fn enforced(&mut self, event: &Event<'_>) -> Option<RecordId> {
        let about = [Cause { id: self.asked(event)?, rel: Rel::About }];
        let outcome = text(&event.log.attributes, OUTCOME).unwrap_or_default();
        let denied = ["denied", "deny", "rejected", "blocked", "failed"].contains(&outcome);
        let verdict = if denied { Verdict::Deny } else { Verdict::Allow };
        self.write((event, "d"), decision(verdict, "sandbox")?, Parts::new(), &about)
    }

    /// How much the agent may do without asking was changed.
    fn switched(&mut self, event: &Event<'_>) -> Option<RecordId> {
        let about = [Cause { id: self.latest(event)?, rel: Rel::About }];
        let mut content = Parts::new();
        for name in ["from_mode", "to_mode", "trigger"] {
            content.add(name, event.value(&[name]).as_ref());
        }
        self.write((event, "d"), decision(Verdict::Allow, "permission_mode")?, content, &about)
    }
}

fn decision(decision: Verdict, policy: &str) -> Option<AuthorizationDecision> {
    Some(AuthorizationDecision {
        decision,
        effect: None,
        enforced: Some(true),
        obligations: Any::default(),
        policy: DecidedBy { digest: None, id: draft::name(policy)?, version: None },
        task_id: None,
        user_id: None,
    })
}

/// A log record of a coding agent.
struct Event<'a> {
    resource: &'a Attributes,
    log: &'a Log,
    /// The runs of tools among the log records that belong together.
    runs: &'a [&'a Log],
}

impl Event<'_> {
    fn value(&self, names: &[&str]) -> Option<Value> {
        value(&self.log.attributes, names)
    }

    /// An id that depends on where and when the event was written, and on no words.
    fn id(&self, part: &str) -> Option<RecordId> {
        let attributes = &self.log.attributes;
        let sequence = number(attributes, SEQUENCE).unwrap_or_default();
        let digest = sha256(&[
            self.session().unwrap_or_default().as_bytes(),
            &[0],
            &self.log.time_ns.to_be_bytes(),
            &sequence.to_be_bytes(),
            self.log.event_name.as_bytes(),
            &[0],
            text(attributes, CALL_ID).unwrap_or_default().as_bytes(),
        ]);
        let digits = data_encoding::HEXLOWER.encode(digest.get(..16)?);
        RecordId::try_from(format!("otlp.log.{digits}.{part}")).ok()
    }

    fn session(&self) -> Option<&str> {
        text(&self.log.attributes, SESSION)
    }

    fn own_session(&self) -> Option<Session> {
        Some(Session {
            id: ExternalId::from(self.session()?),
            login_session_id: None,
            turn_id: text(&self.log.attributes, TURN).and_then(draft::name),
        })
    }

    fn user(&self) -> Option<User> {
        let id = text(&self.log.attributes, USER).or_else(|| text(self.resource, USER))?;
        Some(draft::user(id, UserType::Human))
    }

    fn agent(&self) -> Option<Agent> {
        let of = |name: &str| self.resource.get(name).and_then(Value::as_str);
        Some(Agent {
            charter_digest: None,
            id: ExternalId::from(of("service.name")?),
            instance_id: None,
            name: None,
            operator: None,
            version: of("service.version").and_then(draft::name),
        })
    }

    fn usage(&self) -> Option<Usage> {
        let of = |names| number(&self.log.attributes, names);
        let usage = Usage {
            cached_input_tokens: of(CACHED_TOKENS),
            input_tokens: of(INPUT_TOKENS),
            output_tokens: of(OUTPUT_TOKENS),
            reasoning_tokens: None,
        };
        (usage.input_tokens.is_some() || usage.output_tokens.is_some()).then_some(usage)
    }
}
