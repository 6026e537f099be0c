//! Calls over the network: which tool made them, and which nobody did.

use std::collections::BTreeMap;

use super::assemble::{Teller, span_around};
use super::draft::{self, Parts};
use super::mapping::{Field, Role};
use super::trace::{Seen, Trace};
use crate::record::data::{ApiCall, Phase, Url};
use crate::record::text::Any;
use crate::record::{Cause, RecordId, Rel};

/// The calls over the network of a trace.
pub(super) struct Network {
    /// Those that a tool run made, and whether that was worked out from the times.
    made: BTreeMap<usize, Vec<(usize, bool)>>,
    /// Those that no tool made: of an agent that has a span around them, or loose ones that nobody came
    /// for. What a model call does is left out, and so is the traffic of programs that tell nothing of
    /// agents.
    of_nobody: Vec<usize>,
}

impl Network {
    pub(super) fn new(trace: &Trace<'_>) -> Self {
        let mut network = Self { made: BTreeMap::new(), of_nobody: Vec::new() };
        for (place, seen) in trace.seen.iter().enumerate() {
            if !seen.is_outside_call() || is_within_another(trace, place) {
                continue;
            }
            match made_in(trace, place) {
                Some((run, inferred)) => {
                    network.made.entry(run).or_default().push((place, inferred));
                }
                None if is_of_nobody(trace, place) => network.of_nobody.push(place),
                None => {}
            }
        }
        network
    }
}

impl Teller<'_, '_> {
    /// Tells the calls over the network that a tool made.
    pub(super) fn api_calls(&mut self, run: usize, invocation: &RecordId) -> Vec<RecordId> {
        let trigger = [Cause { id: invocation.clone(), rel: Rel::TriggeredBy }];
        let made = self.network.made.remove(&run).unwrap_or_default();
        made.into_iter()
            .filter_map(|(place, inferred)| self.api_call(place, &trigger, inferred))
            .collect()
    }

    /// Tells the calls that no tool made, if somebody is accountable for them.
    pub(super) fn calls_of_nobody(&mut self) {
        for place in std::mem::take(&mut self.network.of_nobody) {
            if self.user(place).is_some() {
                self.api_call(place, &[], true);
            }
        }
    }

    /// Tells a call over the network.
    fn api_call(&mut self, place: usize, causes: &[Cause], inferred: bool) -> Option<RecordId> {
        let seen = self.trace.seen.get(place)?;
        let status = seen.number(Field::StatusCode).and_then(|status| u16::try_from(status).ok());
        let http = seen.text(Field::Method).zip(seen.text(Field::Url));
        let operation = seen.text(Field::Operation);
        let data = ApiCall {
            audience: None,
            credential_id: None,
            crud: None,
            method: http
                .as_ref()
                .map(|(method, _)| method)
                .or(operation.as_ref())
                .and_then(|text| draft::name(text))?,
            on_behalf_of: None,
            operation: operation.as_deref().filter(|_| http.is_none()).and_then(draft::name),
            phase: Some(Phase::Completed),
            resources: Any::default(),
            scopes: Any::default(),
            service: seen
                .text(Field::Service)
                .filter(|_| http.is_none())
                .as_deref()
                .and_then(draft::name),
            status_code: Some(status.unwrap_or(0)),
            upstream_request_id: None,
            url: http.as_ref().map(|(_, url)| Url::from(without_user(url).as_str())),
        };
        self.tell((place, "a", seen.span.start_ns), data, Parts::new(), (causes, inferred))
    }
}

/// Whether two instrumentations tell of one call, and this is the inner one.
fn is_within_another(trace: &Trace<'_>, place: usize) -> bool {
    let inside = |outer: usize| trace.seen.get(outer).is_some_and(Seen::is_outside_call);
    trace.around(place).any(inside)
}

/// The tool run that made a call, and whether that was worked out from the times because the call is
/// outside of any span.
fn made_in(trace: &Trace<'_>, place: usize) -> Option<(usize, bool)> {
    let name = |place: usize| trace.seen.get(place).and_then(|seen| seen.text(Field::Tool));
    for outer in trace.around(place) {
        match trace.role(outer) {
            // Of runs of one tool within one another the outermost is the one that is told.
            Some(Role::Tool) => {
                let called = name(outer);
                let runs =
                    trace.around(outer).take_while(|place| trace.role(*place) != Some(Role::Model));
                let same = |place: &usize| {
                    trace.role(*place) == Some(Role::Tool) && name(*place) == called
                };
                return Some((runs.filter(same).last().unwrap_or(outer), false));
            }
            // A call to the model itself.
            Some(Role::Model) => return None,
            _ => {}
        }
    }
    let seen = trace.seen.get(place)?;
    span_around(trace, seen, Role::Tool).map(|run| (run, true))
}

fn is_of_nobody(trace: &Trace<'_>, place: usize) -> bool {
    let Some(seen) = trace.seen.get(place) else { return false };
    let of_agent = seen.span.parent.is_none() || trace.inside(place, Role::Agent).is_some();
    of_agent
        && trace.inside(place, Role::Model).is_none()
        && span_around(trace, seen, Role::Model).is_none()
}

/// A URL without a user's name and password, which no record may hold.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}
