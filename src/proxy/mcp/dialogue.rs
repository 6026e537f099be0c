//! Which answer belongs to which request, and what comes of both.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ServerName;
use super::call::{self, Kind};
use super::catalog::Catalogs;
use super::copy::Captured;
use super::message::{Direction, Message, member, messages, value};
use super::rounds::{self, Answered, Rounds};
use crate::capture::otlp::encode::span_bytes;
use crate::capture::otlp::{Attributes, Span, SpanId, SpanKind, TraceId};
use crate::proxy::machine::Ids;
use crate::proxy::outlet::Teller;
use crate::proxy::trace::traceparent;

/// Requests that wait for their answers.
const PENDING_MAX: usize = 4_096;
/// Bytes of what is known of them.
const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Calls that the log allowed and that were not seen to pass yet.
const ALLOWED_MAX: usize = 1_024;
/// How long an answer may follow a cancellation, or the end of the stream that it was to come on.
const GRACE_NS: u64 = 5_000_000_000;

/// Where a message passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) direction: Direction,
    /// The HTTP exchange.
    pub(super) exchange: Option<u64>,
    /// The session of the transport, within which ids are unique. It is none of ours.
    pub(super) transport: Option<String>,
}

/// Within what ids are unique.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Peers,
    Exchange(u64),
    Transport(String),
}

/// A request: ids of the two directions collide.
type Key = (Scope, Direction, String);

/// That the log allowed a call, and what it was told of it.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    /// The id of the record that asked.
    pub(super) record: String,
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) struct Call {
    kind: Kind,
    pub(super) span: Span,
    bytes: usize,
    exchange: Option<u64>,
    /// The token under which progress is told, as it is written.
    progress: Option<String>,
    /// Where a page of a list begins.
    cursor: Option<String>,
    /// What a request that goes on with it repeats: the tool and its arguments.
    pub(super) repeated: String,
    /// Until when an answer is waited for, and what is said if none comes.
    until: Option<(u64, &'static str)>,
}

/// What passes between clients and a server.
#[derive(Debug)]
pub(super) struct Dialogue {
    teller: Teller,
    ids: Arc<Ids>,
    /// What every span says.
    who: Attributes,
    server: ServerName,
    version: Option<String>,
    pending: BTreeMap<Key, Call>,
    pending_bytes: usize,
    allowed: BTreeMap<Key, Allowed>,
    catalogs: Catalogs,
    rounds: Rounds,
}

impl Dialogue {
    pub(super) fn new(teller: Teller, ids: Arc<Ids>, who: Attributes, server: ServerName) -> Self {
        Self {
            teller,
            ids,
            who,
            server,
            version: None,
            pending: BTreeMap::new(),
            pending_bytes: 0,
            allowed: BTreeMap::new(),
            catalogs: Catalogs::default(),
            rounds: Rounds::default(),
        }
    }

    /// The log allowed the call that passes next under this id.
    pub(super) fn allow(&mut self, place: &Place, id: &str, allowed: Allowed) {
        if self.allowed.len() >= ALLOWED_MAX {
            self.allowed.pop_first();
        }
        self.allowed.insert((scope(place), place.direction, id.to_owned()), allowed);
    }

    /// Reads what passed.
    pub(super) fn read(&mut self, place: &Place, at_ns: u64, captured: &Captured) {
        let skimmed;
        let (text, whole) = match captured {
            Captured::Whole(bytes) => (bytes.as_slice(), true),
            Captured::Large(value) => {
                skimmed = value.to_string();
                (skimmed.as_bytes(), false)
            }
        };
        let Some(messages) = messages(text) else {
            // A server that logs to its standard output says nothing that could be missed.
            let json = text.iter().find(|byte| !byte.is_ascii_whitespace());
            if json.is_some_and(|byte| matches!(byte, b'{' | b'[')) {
                self.teller.missed(1, at_ns, at_ns);
            }
            return;
        };
        for message in &messages {
            match (message.method.as_deref(), message.id()) {
                (Some(method), Some(id)) => {
                    self.request(place, at_ns, (method, id), (message, whole));
                }
                // A request without an id, or with one that was not kept, has no answer, but it may have
                // been heard.
                (Some(method), None) if Kind::of(method).is_some() => {
                    self.request(place, at_ns, (method, "null"), (message, whole));
                }
                (Some(method), None) => self.notification(place, at_ns, method, message),
                (None, Some(id)) => self.answer(place, at_ns, id, (message, whole)),
                (None, None) => {}
            }
        }
    }

    fn request(
        &mut self,
        place: &Place,
        at_ns: u64,
        (method, id): (&str, &str),
        (message, whole): (&Message<'_>, bool),
    ) {
        let Some(kind) = Kind::of(method) else { return };
        let key = (scope(place), place.direction, id.to_owned());
        let meta = member(message.params, "_meta");
        let text = |name: &str| value(meta).get(name).and_then(Value::as_str).map(str::to_owned);
        let around = text("traceparent").and_then(|text| traceparent(&text));
        let around = around.or_else(|| self.around(place));
        let mut span = self.span(at_ns, around);
        let repeated = repeated(kind, message);
        let resumed = self.rounds.resume(message.params, &repeated);
        if let Some((parked, _)) = &resumed {
            // It is the same call still.
            span.clone_from(&parked.call.span);
            span.attributes.clone_from(&self.who);
        }
        if let Some(allowed) = self.allowed.remove(&key) {
            span.trace_id = allowed.trace_id;
            span.span_id = allowed.span_id;
            call::set(&mut span, "whence.requested", json!(allowed.record));
        }
        call::begin(&mut span, kind, message, whole);
        if let Some((parked, answered)) = resumed {
            self.tell_answered(&span, (parked.asked_ns, at_ns), &answered);
        }
        let params = value(message.params);
        let call = Call {
            bytes: span_bytes(&span) + id.len(),
            kind,
            span,
            exchange: place.exchange,
            progress: member(meta, "progressToken").map(|token| token.get().to_owned()),
            cursor: params.get("cursor").and_then(Value::as_str).map(str::to_owned),
            repeated,
            until: None,
        };
        self.pending_bytes += call.bytes;
        if let Some(again) = self.pending.insert(key, call) {
            // An id that is used again says that nobody waits for the first answer any more.
            self.pending_bytes -= again.bytes;
            self.give_up(again, at_ns, "no_response");
        }
        self.make_room(at_ns);
    }

    fn answer(
        &mut self,
        place: &Place,
        at_ns: u64,
        id: &str,
        (message, whole): (&Message<'_>, bool),
    ) {
        let direction = place.direction.back();
        let mut scopes = vec![scope(place)];
        scopes.extend(place.exchange.map(Scope::Exchange));
        let found = scopes
            .into_iter()
            .find_map(|scope| self.pending.remove(&(scope, direction, id.to_owned())));
        let Some(mut call) = found else { return };
        self.pending_bytes -= call.bytes;
        call.span.end_ns = at_ns;
        if call.kind == Kind::CallTool && rounds::is_incomplete(message.result) {
            if let Some(parked) = self.rounds.park(call, message.result, at_ns) {
                self.give_up(parked.call, at_ns, "input_required");
            }
            return;
        }
        call::finish(&mut call.span, call.kind, message, whole);
        match call.kind {
            Kind::Initialize => self.introduce(message),
            Kind::ListTools if message.error.is_none() => {
                let listed = (call.cursor.as_deref(), message.result.filter(|_| whole));
                match self.catalogs.page(place.transport.as_deref(), listed) {
                    Ok(Some(tools)) => call::set(&mut call.span, "whence.mcp.tools", json!(tools)),
                    Ok(None) => return,
                    Err(()) => {
                        self.teller.missed(1, at_ns, at_ns);
                        return;
                    }
                }
            }
            Kind::ListTools
            | Kind::CallTool
            | Kind::ReadResource
            | Kind::GetPrompt
            | Kind::Elicit
            | Kind::Sample => {}
        }
        self.tell(call.span);
    }

    fn notification(&mut self, place: &Place, at_ns: u64, method: &str, message: &Message<'_>) {
        let written = |name: &str| member(message.params, name).map(|part| part.get().to_owned());
        match method {
            "notifications/cancelled" => {
                let Some(id) = written("requestId") else { return };
                if let Some(call) = self.pending.get_mut(&(scope(place), place.direction, id)) {
                    call.until = Some((at_ns.saturating_add(GRACE_NS), "cancelled"));
                    call::event(&mut call.span, "mcp.cancelled", at_ns, Attributes::new());
                }
            }
            "notifications/progress" => {
                let Some(token) = written("progressToken") else { return };
                let direction = place.direction.back();
                let params = message.params();
                let calls = self.pending.iter_mut().filter(|((_, way, _), _)| *way == direction);
                for (_, call) in calls {
                    if call.progress.as_ref() == Some(&token) {
                        let told = ["progress", "total"].into_iter();
                        let told = told.filter_map(|name| {
                            let number = params.get(name).filter(|value| value.is_number())?;
                            Some((format!("mcp.{name}"), number.clone()))
                        });
                        call::event(&mut call.span, "mcp.progress", at_ns, told.collect());
                    }
                }
            }
            "notifications/tools/list_changed" => {
                let mut span = self.span(at_ns, None);
                method.clone_into(&mut span.name);
                call::set(&mut span, "mcp.method.name", json!(method));
                // A server may say so many times before anybody looks again.
                if self.catalogs.change(place.transport.as_deref()) {
                    self.tell(span);
                }
            }
            _ => {}
        }
    }

    /// The stream on which answers were to come is over; `failed` is an HTTP status that says why.
    pub(super) fn over(&mut self, exchange: u64, at_ns: u64, failed: Option<u16>) {
        let of_it = self.pending.iter_mut().filter(|(_, call)| call.exchange == Some(exchange));
        let mut gone = Vec::new();
        for (key, call) in of_it {
            if failed.is_some() || matches!(key.0, Scope::Exchange(_)) {
                gone.push(key.clone());
            } else if call.until.is_none() {
                // The client may fetch the answer on another stream.
                call.until = Some((at_ns.saturating_add(12 * GRACE_NS), "no_response"));
            }
        }
        for key in gone {
            let why = failed.map_or_else(|| "no_response".to_owned(), |status| status.to_string());
            self.remove(&key, at_ns, &why);
        }
    }

    /// Gives up what was waited for long enough; everything, if nothing follows.
    pub(super) fn sweep(&mut self, at_ns: u64, last: bool) {
        let is_due = |call: &Call| last || call.until.is_some_and(|(until, _)| until <= at_ns);
        let due: Vec<_> = self.pending.extract_if(.., |_, call| is_due(call)).collect();
        for (_, call) in due {
            self.pending_bytes -= call.bytes;
            let why = call.until.map_or("no_response", |(_, why)| why);
            self.give_up(call, at_ns, why);
        }
        for parked in self.rounds.give_up(at_ns, last) {
            self.give_up(parked.call, at_ns, "input_required");
        }
    }

    /// Tells what was asked within a call, and answered with its next request.
    fn tell_answered(&self, within: &Span, (asked_ns, at_ns): (u64, u64), answered: &[Answered]) {
        for (question, response) in answered {
            let Some((request, answer)) = rounds::as_messages(question, response) else { continue };
            let read = (messages(request.as_bytes()), messages(answer.as_bytes()));
            let (Some(request), Some(answer)) = read else { continue };
            let (Some(request), Some(answer)) = (request.first(), answer.first()) else { continue };
            let kind = request.method.as_deref().and_then(Kind::of);
            let Some(kind @ (Kind::Elicit | Kind::Sample)) = kind else { continue };
            let around = Some((within.trace_id.clone(), within.span_id.clone()));
            let mut span = self.span(asked_ns, around);
            call::begin(&mut span, kind, request, true);
            span.attributes.remove("jsonrpc.request.id");
            span.end_ns = at_ns;
            call::finish(&mut span, kind, answer, true);
            self.tell(span);
        }
    }

    fn remove(&mut self, key: &Key, at_ns: u64, why: &str) {
        if let Some(call) = self.pending.remove(key) {
            self.pending_bytes -= call.bytes;
            self.give_up(call, at_ns, why);
        }
    }

    fn give_up(&self, mut call: Call, at_ns: u64, why: &str) {
        call.span.end_ns = at_ns;
        call::unanswered(&mut call.span, why);
        self.tell(call.span);
    }

    fn make_room(&mut self, at_ns: u64) {
        while self.pending.len() > PENDING_MAX || self.pending_bytes > PENDING_BYTES_MAX {
            let oldest = self.pending.iter().min_by_key(|(_, call)| call.span.start_ns);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            self.remove(&key, at_ns, "no_response");
        }
    }

    /// The call in which the server asks something, if there is only one that it can be.
    fn around(&self, place: &Place) -> Option<(TraceId, SpanId)> {
        if place.direction == Direction::ToServer {
            return None;
        }
        let calls = |of_exchange: bool| {
            let mut calls = self.pending.iter().filter(move |((scoped, way, _), call)| {
                let near = if of_exchange {
                    call.exchange == place.exchange
                } else {
                    *scoped == scope(place)
                };
                near && *way == Direction::ToServer && call.kind == Kind::CallTool
            });
            let (_, call) = calls.next()?;
            calls.next().is_none().then(|| (call.span.trace_id.clone(), call.span.span_id.clone()))
        };
        place.exchange.and_then(|_| calls(true)).or_else(|| calls(false))
    }

    fn span(&self, at_ns: u64, around: Option<(TraceId, SpanId)>) -> Span {
        let (trace_id, parent) = match around {
            Some((trace_id, parent)) => (trace_id, Some(parent)),
            None => (self.ids.trace(), None),
        };
        Span {
            trace_id,
            span_id: self.ids.span(),
            parent,
            name: String::new(),
            kind: SpanKind::Client,
            start_ns: at_ns,
            end_ns: at_ns,
            attributes: self.who.clone(),
            events: Vec::new(),
            failed: false,
            status_message: String::new(),
            dropped: 0,
        }
    }

    /// What the server says of itself.
    fn introduce(&mut self, answer: &Message<'_>) {
        let result = value(answer.result);
        let text = |pointer: &str| result.pointer(pointer).and_then(Value::as_str);
        self.server.introduce(text("/serverInfo/name").unwrap_or(""));
        self.version = text("/protocolVersion").map(str::to_owned).or(self.version.take());
    }

    fn tell(&self, mut span: Span) {
        call::set(&mut span, "whence.mcp.server", json!(self.server.get()));
        if let Some(version) = &self.version {
            call::set(&mut span, "mcp.protocol.version", json!(version));
        }
        self.teller.tell(span);
    }
}

/// What a request that goes on with a call repeats.
fn repeated(kind: Kind, message: &Message<'_>) -> String {
    if kind != Kind::CallTool {
        return String::new();
    }
    let part = |name: &str| member(message.params, name).map_or("", RawValue::get);
    format!("{} {}", part("name"), part("arguments"))
}

fn scope(place: &Place) -> Scope {
    match (&place.transport, place.exchange) {
        (Some(transport), _) => Scope::Transport(transport.clone()),
        (None, Some(exchange)) => Scope::Exchange(exchange),
        (None, None) => Scope::Peers,
    }
}
