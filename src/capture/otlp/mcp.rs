//! What passes between an agent and its MCP servers, beyond calls of tools: catalogs, and what people
//! were asked.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::assemble::{Teller, span_around};
use super::draft::{self, Parts};
use super::mapping::{Field, Role};
use crate::canon;
use crate::canon::digest::sha256;
use crate::record::data::{
    Approver, Decision, DecisionMode, HumanApproval, ToolAnnotations, ToolCatalogSnapshot,
    ToolDefinition,
};
use crate::record::limits::LIST_MAX;
use crate::record::text::{Digest, ExternalId};
use crate::record::{Cause, RecordId, Rel};

impl Teller<'_, '_> {
    /// Tells which tools servers offered.
    pub(super) fn catalogs(&mut self) {
        for place in self.places(Role::Catalog) {
            self.catalog(place);
        }
    }

    /// Tells what people were asked, and what was looked for and led to no model call.
    pub(super) fn rest(&mut self) {
        for place in self.places(Role::Elicitation) {
            self.approval(place);
        }
        for place in self.places(Role::Retrieval) {
            self.retrieval(place);
        }
    }

    fn places(&self, role: Role) -> Vec<usize> {
        (0..self.trace.seen.len()).filter(|place| self.trace.role(*place) == Some(role)).collect()
    }

    /// Tells a list of tools. It is sealed as its server gave it, with the digests of SPEC 2.6; of a
    /// list that is too long the first tools by name.
    fn catalog(&mut self, place: usize) -> Option<RecordId> {
        let seen = self.trace.seen.get(place)?;
        let Some(Value::Array(given)) = seen.value(Field::Catalog) else { return None };
        let server = seen.text(Field::Server).or_else(|| self.trace.said(place, Field::Agent));
        let mut by_name: BTreeMap<String, Value> = BTreeMap::new();
        for tool in given {
            if let Some(name) = tool.get("name").and_then(Value::as_str).map(str::to_owned) {
                by_name.entry(name).or_insert(tool);
            }
        }
        let tools: Vec<Value> = by_name.into_values().take(LIST_MAX).collect();
        let all = Value::Array(tools.clone());
        let sealed: Vec<ToolDefinition> = tools.iter().filter_map(definition).collect();
        if sealed.is_empty() {
            return None;
        }
        let data = ToolCatalogSnapshot {
            catalog_digest: digest(&all)?,
            effective_from: None,
            replaces: None,
            review_status: None,
            reviewed_by: None,
            server: draft::name(&server.unwrap_or_else(|| "unknown".to_owned()))?,
            tools: sealed.into(),
            ttl_ms: None,
            version: None,
        };
        let mut content = Parts::new();
        content.put("tools", &all);
        self.tell((place, "t", seen.span.end_ns), data, content, (&[], false))
    }

    /// Tells what a person was asked while a tool ran, and what they answered. Where no run is known
    /// that it was about, there is nothing that it could approve of.
    fn approval(&mut self, place: usize) -> Option<RecordId> {
        let trace = self.trace;
        let seen = trace.seen.get(place)?;
        let near = trace.inside(place, Role::Tool);
        let inferred = near.is_none();
        let run = near.or_else(|| span_around(trace, seen, Role::Tool))?;
        let span = &trace.seen.get(run)?.span;
        let of_run = (span.trace_id.clone(), span.span_id.clone());
        let about = self.conversation(run).ran_in(&of_run);
        let about = Cause { id: about?.id.clone(), rel: Rel::About };
        let answered = seen.value(Field::Answered);
        let action =
            answered.as_ref().and_then(|answer| answer.get("action")).and_then(Value::as_str);
        let decision = match action {
            Some("accept") => Decision::Approved,
            Some(_) => Decision::Rejected,
            None => Decision::Timeout,
        };
        let person = trace.said(place, Field::User);
        let person =
            person.map(ExternalId::from).or_else(|| Some(self.sender.user.as_ref()?.id.clone()));
        let data = HumanApproval {
            approver: Approver { id: person?, issuer: None, name: None },
            decided_by_type: None,
            decision,
            mode: DecisionMode::Explicit,
            proposed_by_type: None,
            risk_tier: None,
        };
        let mut content = Parts::new();
        content.add("request", seen.value(Field::Elicited).as_ref());
        content.add("response", answered.as_ref());
        self.tell((place, "h", seen.span.end_ns), data, content, (&[about], inferred))
    }
}

/// A tool as it is sealed (SPEC 2.6).
fn definition(tool: &Value) -> Option<ToolDefinition> {
    let of = |member: &str| tool.get(member).filter(|value| !value.is_null());
    let hint = |name: &str| of("annotations")?.get(name)?.as_bool();
    let annotations = of("annotations").map(|_| ToolAnnotations {
        destructive: hint("destructiveHint"),
        idempotent: hint("idempotentHint"),
        open_world: hint("openWorldHint"),
        read_only: hint("readOnlyHint"),
    });
    Some(ToolDefinition {
        annotations,
        backend: None,
        definition_digest: digest(tool)?,
        description_digest: of("description").and_then(digest),
        input_schema_digest: of("inputSchema").and_then(digest),
        name: draft::name(of("name")?.as_str()?)?,
        output_schema_digest: of("outputSchema").and_then(digest),
    })
}

/// The SHA-256 of the canonical form.
fn digest(value: &Value) -> Option<Digest> {
    let bytes = canon::to_bytes(&draft::exact(value)).ok()?;
    Digest::new(HEXLOWER.encode(&sha256(&[&bytes])))
}
