//! Telling tools, what they did, and what they gave back; and what all records have in common.

use serde_json::Value;

use super::assemble::{Teller, Waiting, session_of};
use super::draft::{self, Parts};
use super::mapping::Field;
use super::messages::{Answer, Call, Message};
use super::plan::Asked;
use super::trace::Seen;
use crate::record::data::{
    Document, Phase, Retrieval, Status, ToolCall, ToolInvocation, ToolResult, Trust, Usage,
};
use crate::record::identity::UserType;
use crate::record::source::{LinkConfidence, ObservedBy};
use crate::record::text::{Any, ExternalId};
use crate::record::{Agent, Captured, Cause, Data, Draft, RecordId, Rel, Session, Source, User};

/// The most records of its window that an output names. More would not fit into an entry.
pub(super) const INFORMED_MAX: usize = 200;

/// Where records made of telemetry say that they come from.
const FORMAT: &str = "otlp";

/// Which part of a span is told: its place, a name that is its own within the span, and when.
pub(super) type At<'a> = (usize, &'a str, u64);

impl Teller<'_, '_> {
    /// Tells a record of a span, or finds that it was told.
    pub(super) fn tell(
        &mut self,
        (place, part, at_ns): At<'_>,
        data: impl Into<Data>,
        content: Parts,
        (causes, inferred): (&[Cause], bool),
    ) -> Option<RecordId> {
        let seen = self.trace.seen.get(place)?;
        let id = draft::id(&seen.span.trace_id, &seen.span.span_id, part)?;
        let producer = self.sender.producer.as_str();
        if self.conversation(place).has(&id, producer) {
            return Some(id);
        }
        let mut told = Draft::new(data, draft::time(at_ns)?);
        told.id = Some(id.clone());
        told.user = self.user(place);
        // What a server offers is nobody's in particular, unless somebody is named.
        let of_nobody = told.user.is_none() && !told.kind().rules().session;
        told.session = (!of_nobody).then(|| self.session(place));
        told.agent = self.agent(place);
        told.delegation = self.trace.said(place, Field::Delegation).map(ExternalId::from);
        told.causes = causes.iter().cloned().collect();
        told.trace = Some(draft::trace(seen.span));
        let captured = content.captured(seen.span.dropped > 0);
        told.source = Some(self.source(&told, captured, inferred, observed_by(seen)));
        told.content = content.into_members();
        self.conversation(place).note(&told);
        self.told.push(told);
        Some(id)
    }

    /// Where a record comes from whose causes are set.
    pub(super) fn source(
        &self,
        told: &Draft,
        captured: Option<Captured>,
        inferred: bool,
        observed_by: ObservedBy,
    ) -> Source {
        let needs_content = told.kind().rules().content;
        let confidence = if inferred { LinkConfidence::Inferred } else { LinkConfidence::Stated };
        Source {
            captured: captured.filter(|captured| needs_content || *captured != Captured::Absent),
            format: draft::name(FORMAT),
            link_confidence: (!told.causes.is_empty()).then_some(confidence),
            observed_by,
            producer: self.sender.producer.clone(),
            producer_seq: None,
        }
    }

    pub(super) fn user(&self, place: usize) -> Option<User> {
        let Some(id) = self.trace.said(place, Field::User) else { return self.sender.user.clone() };
        let kind = self.trace.said(place, Field::UserType);
        let kind = kind.and_then(|kind| UserType::named(&kind)).unwrap_or(UserType::Human);
        Some(draft::user(&id, kind))
    }

    fn session(&self, place: usize) -> Session {
        let id = session_of(self.trace, place, self.sender);
        match &self.sender.session {
            Some(session) if *session.id == *id => session.clone(),
            _ => Session { id: ExternalId::from(id), login_session_id: None, turn_id: None },
        }
    }

    /// The agent by what the telemetry calls it, else by what its sender does, else by the program.
    fn agent(&self, place: usize) -> Option<Agent> {
        let resource = self.trace.seen.get(place)?.resource;
        let of =
            |name: &str| resource.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let named = self.trace.said(place, Field::Agent);
        let id = match (named, &self.sender.agent) {
            (Some(named), _) => named,
            (None, Some(agent)) => return Some(agent.clone()),
            (None, None) => of("service.name")?.to_owned(),
        };
        let version = self.trace.said(place, Field::AgentVersion);
        let version = version.as_deref().or_else(|| of("service.version"));
        Some(Agent {
            charter_digest: None,
            id: ExternalId::from(id),
            instance_id: of("service.instance.id").and_then(draft::name),
            name: None,
            operator: None,
            version: version.and_then(draft::name),
        })
    }

    /// Tells that a tool was asked for, by the model call at a place as its so-manieth, what it did,
    /// and what it gave back.
    pub(super) fn tool(
        &mut self,
        place: usize,
        number: usize,
        asked: &Asked,
        output: Option<&RecordId>,
    ) {
        let by_itself = asked.span.is_some_and(|run| run == place) || asked.is_guess;
        let part = if by_itself { "c".to_owned() } else { format!("c{number}") };
        let place = if by_itself { asked.span.unwrap_or(place) } else { place };
        let Some(invocation) = self.invocation((place, &part), asked, output) else { return };
        let Some(run) = asked.span else { return };
        let informed_by = self.api_calls(run, &invocation);
        let known = self.conversation(place).call(&invocation);
        if known.is_some_and(|call| call.result.is_some()) {
            return;
        }
        let waiting = Waiting {
            session: session_of(self.trace, place, self.sender),
            invocation,
            run,
            call_id: asked.call.id.clone(),
            informed_by,
            inferred: asked.inferred,
        };
        match self.trace.seen.get(run).and_then(Seen::answer) {
            Some(answer) => drop(self.result(&waiting, Some(&answer))),
            None => self.waiting.push(waiting),
        }
    }

    /// Tells that a tool was asked for, or finds that it was told by the model's call or the tool's run.
    pub(super) fn invocation(
        &mut self,
        (place, part): (usize, &str),
        asked: &Asked,
        output: Option<&RecordId>,
    ) -> Option<RecordId> {
        let run = asked.span.and_then(|run| self.trace.seen.get(run));
        if let Some(run) = run {
            let span = (run.span.trace_id.clone(), run.span.span_id.clone());
            let told = self.conversation(place).ran_in(&span);
            if let Some(told) = told {
                return Some(told.id.clone());
            }
        }
        let call = &asked.call;
        let call_id = call.id.clone().or_else(|| run.and_then(Seen::call_id));
        let data = ToolInvocation {
            call_id: call_id.as_deref().and_then(draft::name),
            catalog_id: None,
            definition_digest: None,
            effect: None,
            idempotency_key: None,
            phase: run.is_some().then_some(Phase::Completed),
            scopes: Any::default(),
            server: run.and_then(|run| run.text(Field::Server)).as_deref().and_then(draft::name),
            task_id: None,
            tool: draft::name(&call.name)?,
        };
        let ran_with = run.and_then(Seen::arguments);
        let arguments = match (&ran_with, &call.arguments) {
            (Some(ran_with), Some(asked)) if !ran_with.is_object() && asked.is_object() => {
                Some(asked)
            }
            (Some(ran_with), _) => Some(ran_with),
            (None, asked) => asked.as_ref(),
        };
        let mut content = Parts::new();
        content.add("arguments", arguments);
        let trigger = output.map(|id| Cause { id: id.clone(), rel: Rel::TriggeredBy });
        let requested = run.and_then(|run| run.text(Field::Requested));
        let requested = requested.and_then(|id| RecordId::try_from(id).ok());
        let requested = requested.map(|id| Cause { id, rel: Rel::Completes });
        let causes: Vec<_> = trigger.into_iter().chain(requested).collect();
        let at = run.map_or_else(
            || self.trace.seen.get(place).map(|seen| seen.span.end_ns),
            |run| Some(run.span.start_ns),
        );
        let id = self.tell((place, part, at?), data, content, (&causes, asked.inferred))?;
        if let (Some(run), Some(told)) = (run, self.told.last_mut())
            && told.id.as_ref() == Some(&id)
        {
            // The record names the span in which the tool ran, whoever asked for it.
            let span = draft::trace(run.span);
            let known = (span.trace_id.clone(), span.span_id.clone());
            told.trace = Some(span);
            self.conversation(place).ran(&id, known);
        }
        Some(id)
    }

    /// Tells what a tool gave back.
    pub(super) fn result(
        &mut self,
        waiting: &Waiting,
        answer: Option<&Answer>,
    ) -> Option<RecordId> {
        let seen = self.trace.seen.get(waiting.run)?;
        let own = seen.answer();
        let status = seen.text(Field::ToolStatus);
        let failed = seen.span.failed
            || answer.is_some_and(|answer| answer.failed)
            || own.as_ref().is_some_and(|own| own.failed)
            || seen.text(Field::ErrorType).is_some()
            || status.is_some_and(|status| status.eq_ignore_ascii_case("error"));
        let error_type = failed.then(|| seen.error_type()).flatten();
        let data = ToolResult {
            call_id: waiting.call_id.as_deref().and_then(draft::name),
            duration_ms: seen
                .span
                .end_ns
                .checked_sub(seen.span.start_ns)
                .map(|nanos| nanos / 1_000_000),
            error_type: error_type.as_deref().and_then(draft::name),
            status: if failed { Status::Error } else { Status::Success },
        };
        let mut content = Parts::new();
        let result = own.and_then(|own| own.result).or_else(|| answer?.result.clone());
        content.add("result", result.as_ref());
        if result.is_none() && !seen.span.status_message.is_empty() && failed {
            content.put("error", &Value::from(seen.span.status_message.as_str()));
        }
        let completes = Cause { id: waiting.invocation.clone(), rel: Rel::Completes };
        let read =
            waiting.informed_by.iter().map(|id| Cause { id: id.clone(), rel: Rel::InformedBy });
        let causes: Vec<_> = std::iter::once(completes).chain(read).collect();
        self.tell((waiting.run, "r", seen.span.end_ns), data, content, (&causes, waiting.inferred))
    }

    /// Tells the results that nobody repeated, of tools that ended before.
    pub(super) fn settle(&mut self, before: u64) {
        let trace = self.trace;
        let ended = |waiting: &Waiting| {
            trace.seen.get(waiting.run).is_none_or(|seen| seen.span.end_ns <= before)
        };
        let (due, later) = std::mem::take(&mut self.waiting).into_iter().partition(ended);
        self.waiting = later;
        let due: Vec<Waiting> = due;
        for waiting in &due {
            self.result(waiting, None);
        }
    }
}

impl Teller<'_, '_> {
    /// Tells that documents were looked for.
    pub(super) fn retrieval(&mut self, place: usize) -> Option<RecordId> {
        let seen = self.trace.seen.get(place)?;
        let documents = seen.value(Field::Documents);
        let source = seen.text(Field::DataSource).unwrap_or_else(|| seen.span.name.clone());
        let ids = documents.as_ref().and_then(Value::as_array).into_iter().flatten();
        let ids = ids.map(|document| document.get("document").unwrap_or(document));
        let ids = ids.filter_map(|document| {
            let id = document.get("id")?;
            let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
            Some(Document { id: draft::name(&id)?, version: None })
        });
        let data = Retrieval {
            documents: ids.take(crate::record::limits::LIST_MAX).collect(),
            source: draft::name(&source)?,
            top_k: seen.number(Field::TopK),
            trust: None::<Trust>,
        };
        let mut content = Parts::new();
        content.add("query", seen.value(Field::Query).as_ref());
        content.add("documents", documents.as_ref());
        self.tell((place, "q", seen.span.end_ns), data, content, (&[], false))
    }
}

/// Who saw what a program tells: the agent's own telemetry is an import, a proxy says what it is.
fn observed_by(seen: &Seen<'_>) -> ObservedBy {
    let said = seen.resource.get("whence.observed_by").and_then(Value::as_str);
    said.and_then(ObservedBy::named).unwrap_or(ObservedBy::Imported)
}

/// The tools that a model asked for, as far as they have ids.
pub(super) fn tool_calls<'c>(calls: impl Iterator<Item = &'c Call>) -> Any<ToolCall> {
    let named = calls.filter_map(|call| {
        Some(ToolCall { id: draft::name(call.id.as_deref()?)?, name: draft::name(&call.name)? })
    });
    named.take(crate::record::limits::LIST_MAX).collect()
}

/// How many tokens it took, if anybody counted.
pub(super) fn usage(number: impl Fn(Field) -> Option<u64>) -> Option<Usage> {
    let usage = Usage {
        cached_input_tokens: number(Field::CachedTokens),
        input_tokens: number(Field::InputTokens),
        output_tokens: number(Field::OutputTokens),
        reasoning_tokens: number(Field::ReasoningTokens),
    };
    (usage.input_tokens.is_some() || usage.output_tokens.is_some()).then_some(usage)
}

/// Puts what a message says into content: its words, and whatever else there is beside tools.
pub(super) fn words_of(message: &Message, content: &mut Parts) {
    if let Some(text) = message.text() {
        content.put("text", &Value::from(text));
    }
    let others = message.others();
    if !others.is_empty() {
        content.put("parts", &Value::Array(others.into_iter().cloned().collect()));
    }
}

/// The causes of an output: what it answers, and what was in front of it.
pub(super) fn causes(trigger: Option<&RecordId>, results: &[RecordId]) -> Vec<Cause> {
    let mut informed: Vec<&RecordId> = Vec::new();
    for id in results.iter().rev() {
        if informed.len() == INFORMED_MAX {
            break;
        }
        if Some(id) != trigger && !informed.contains(&id) {
            informed.push(id);
        }
    }
    let trigger = trigger.map(|id| Cause { id: id.clone(), rel: Rel::TriggeredBy });
    let informed = informed.into_iter().rev();
    trigger
        .into_iter()
        .chain(informed.map(|id| Cause { id: id.clone(), rel: Rel::InformedBy }))
        .collect()
}
