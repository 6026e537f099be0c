//! R11: the arguments of an invocation are as the tool's schema says.
//!
//! The schema is the one that a person approved, or, where nothing was decided on, the one that was
//! offered last. It is content of its snapshot, and counts if its digest is the one that the snapshot
//! seals. Once that content is erased nothing is checked by it any more.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::approvals::ARGUMENTS;
use super::schemas::{BYTES_MAX, Schema};
use super::{Case, Evidence};
use crate::canon::digest::sha256;
use crate::ledger::known::{self, Look};
use crate::ledger::state::{DEFINITIONS, Offer};
use crate::ledger::{StoredPart, SubmitError};
use crate::record::data::ToolDefinition;
use crate::record::{Data, Flag};

/// What is needed of a tool as its server defines it.
#[derive(Deserialize)]
struct Definition<'a> {
    name: String,
    #[serde(borrow, rename = "inputSchema")]
    input_schema: Option<&'a RawValue>,
}

/// Names it if the arguments are not what the tool takes.
pub(super) fn check(
    look: &Look<'_>,
    case: Case<'_>,
    evidence: &impl Evidence,
    flags: &mut Vec<Flag>,
) -> Result<(), SubmitError> {
    let Data::ToolInvocation(invocation) = case.event.data() else { return Ok(()) };
    let part = case.event.content().iter().find(|part| part.name == ARGUMENTS);
    let Some(part) = part.filter(|part| part.bytes.len() <= BYTES_MAX && !case.redacted) else {
        return Ok(());
    };
    let Some(server) = &invocation.server else { return Ok(()) };
    let catalog = look.catalog(server)?;
    let offer = match catalog.in_force(case.at()) {
        Some(decision) => decision.approved.as_ref(),
        None => catalog.latest.as_ref(),
    };
    let Some(offer) = offer else { return Ok(()) };
    let Some(defined_at) = offer.defined_at else { return Ok(()) };
    if !offer.tools.contains_key(&invocation.tool) {
        return Ok(());
    }
    let key = format!("{} {defined_at} {}", offer.seq, &*invocation.tool);
    let read = || schema(offer, defined_at, &invocation.tool, evidence);
    if let Some(schema) = look.schema(&key, read)?
        && arguments(&part.bytes).is_some_and(|arguments| schema.refutes(&arguments))
    {
        flags.push(Flag::ArgumentsInvalid);
    }
    Ok(())
}

/// What a tool was called with. Some models' interfaces give it as the text of an object.
fn arguments(bytes: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let object = value.as_str().and_then(|text| serde_json::from_str(text).ok());
    Some(object.filter(Value::is_object).unwrap_or(value))
}

/// The schema of a tool's arguments, if it is still there.
fn schema(
    offer: &Offer,
    defined_at: u64,
    tool: &str,
    evidence: &impl Evidence,
) -> Result<Option<Arc<Schema>>, SubmitError> {
    let (bytes, _) = evidence.record(offer.seq)?;
    let entry = known::parse(offer.seq, &bytes)?;
    let Data::ToolCatalogSnapshot(snapshot) = &*entry.data else { return Ok(None) };
    let Some(sealed) = snapshot.tools.iter().find(|sealed| &*sealed.name == tool) else {
        return Ok(None);
    };
    let (bytes, content) = evidence.record(defined_at)?;
    let entry = known::parse(defined_at, &bytes)?;
    let place = entry.content.iter().position(|part| part.name == DEFINITIONS);
    let Some(StoredPart::Kept { bytes, .. }) = place.and_then(|place| content.get(place)) else {
        return Ok(None);
    };
    Ok(told(bytes, sealed).and_then(|text| Schema::new(&text)).map(Arc::new))
}

/// The text of a tool's schema among definitions, if its digest is the sealed one.
fn told(definitions: &[u8], sealed: &ToolDefinition) -> Option<String> {
    let definitions: Vec<&RawValue> = serde_json::from_slice(definitions).ok()?;
    definitions.into_iter().find_map(|definition| {
        let read: Definition<'_> = serde_json::from_str(definition.get()).ok()?;
        let schema = read.input_schema.filter(|_| read.name == *sealed.name)?;
        // Content is canonical, and so is every value in it.
        let digest = |value: &RawValue| HEXLOWER.encode(&sha256(&[value.get().as_bytes()]));
        let is_sealed = match &sealed.input_schema_digest {
            Some(sealed) => **sealed == *digest(schema),
            None => *sealed.definition_digest == *digest(definition),
        };
        is_sealed.then(|| schema.get().to_owned())
    })
}
