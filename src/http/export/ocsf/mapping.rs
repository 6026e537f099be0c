//! Which record becomes which event (`schema/OCSF.md` has the table).

use super::event::{
    API_ACTIVITY, AUTHENTICATION, AUTHORIZE_SESSION, Actor, Agent, Api, Attestation, Cause, Class,
    DETECTION_FINDING, Delegation, Event, Finding, Fingerprint, HttpRequest, HttpResponse, Message,
    Metadata, Model, Named, Part, Previous, Product, Resource, Response, Session, Tree, Uid,
    Unmapped, Url, User, What,
};
use crate::canon::EntryHash;
use crate::http::error::ApiError;
use crate::http::export::line;
use crate::http::export::rows::{Checkpoint, Row, damaged};
use crate::ledger::StoredPart;
use crate::record::data::{
    ApiCall, AppEvent, AuthorizationDecision, Crud, Decision, DelegationGrant, MemoryOp,
    ModelOutput, PromptRole, Status, ToolResult, Verdict,
};
use crate::record::identity::UserType;
use crate::record::{Data, Entry, Severity, Text, Timestamp};

/// The version of OCSF.
const VERSION: &str = "1.9.0-dev";
/// An activity, a type or a role that OCSF has no number for.
const OTHER: u64 = 99;
/// The control blocked it, with the disposition of the same number.
const DENIED: u64 = 2;

/// An activity: its number in its class, and its name.
type Activity<'a> = (u64, &'a str);

const CREATE: Activity<'static> = (1, "Create");
const READ: Activity<'static> = (2, "Read");
const UPDATE: Activity<'static> = (3, "Update");
const DELETE: Activity<'static> = (4, "Delete");

/// Writes a record as an event. The first one has the signed note of the checkpoint.
pub(in crate::http::export) fn row(
    bytes: &mut Vec<u8>,
    row: &Row<'_>,
    checkpoint: &Checkpoint,
    first: bool,
) -> Result<(), ApiError> {
    let entry = row.entry;
    let (class, activity) = class(entry);
    let what = what(row, class)?;
    let mut profiles = vec!["ai_operation", "record_integrity"];
    if what.action_id.is_some() {
        profiles.push("security_control");
    }
    let event = Event {
        metadata: metadata(entry, profiles),
        time: milliseconds(entry.occurred_at),
        class_uid: class.uid,
        class_name: class.name,
        category_uid: class.category_uid,
        category_name: class.category_name,
        activity_id: activity.0,
        activity_name: activity.1,
        type_uid: class.uid * 100 + activity.0,
        severity_id: severity(entry),
        what,
        attestation_list: [attestation(row, checkpoint)],
        raw_data: row.text,
        unmapped: unmapped(row, checkpoint, first)?,
    };
    line(bytes, &event)
}

/// The class and the activity of a record.
fn class<'a>(entry: &'a Entry<'_>) -> (Class, Activity<'a>) {
    let other = (API_ACTIVITY, (OTHER, entry.kind.as_str()));
    match &*entry.data {
        Data::SessionStart(_) => (AUTHENTICATION, (1, "Logon")),
        Data::SessionEnd(_) => (AUTHENTICATION, (2, "Logoff")),
        Data::DelegationGrant(_) => (AUTHORIZE_SESSION, (1, "Assign Privileges")),
        Data::Flag(_) => (DETECTION_FINDING, CREATE),
        Data::ToolInvocation(_) => (API_ACTIVITY, (OTHER, "Invoke")),
        Data::ApiCall(call) => (API_ACTIVITY, of_call(call)),
        Data::Retrieval(_) | Data::LogAccess(_) | Data::LogExport(_) => (API_ACTIVITY, READ),
        Data::Memory(memory) => (API_ACTIVITY, of_memory(memory.op)),
        Data::AppEvent(event) => {
            (API_ACTIVITY, event.crud.map_or((OTHER, &*event.action), of_crud))
        }
        Data::Erasure(_) | Data::RetentionPurge(_) => (API_ACTIVITY, DELETE),
        Data::Genesis(_) => (API_ACTIVITY, CREATE),
        Data::KeyRotation(_) | Data::ConfigChange(_) | Data::ProducerKey(_) => {
            (API_ACTIVITY, UPDATE)
        }
        Data::DelegationRevoke(_)
        | Data::ToolCatalogSnapshot(_)
        | Data::Prompt(_)
        | Data::ModelOutput(_)
        | Data::ToolResult(_)
        | Data::AuthorizationDecision(_)
        | Data::HumanApproval(_)
        | Data::Handoff(_)
        | Data::Error(_)
        | Data::Heartbeat(_)
        | Data::Correction(_)
        | Data::Annotation(_)
        | Data::CaseNote(_)
        | Data::CaptureGap(_)
        | Data::IngestRefusal(_)
        | Data::LegalHold(_) => other,
    }
}

fn of_call(call: &ApiCall) -> Activity<'_> {
    match (call.crud, &*call.method) {
        (Some(crud), _) => of_crud(crud),
        (None, "POST") => CREATE,
        (None, "GET" | "HEAD" | "OPTIONS") => READ,
        (None, "PUT" | "PATCH") => UPDATE,
        (None, "DELETE") => DELETE,
        (None, method) => (OTHER, method),
    }
}

const fn of_crud<'a>(crud: Crud) -> Activity<'a> {
    match crud {
        Crud::Create => CREATE,
        Crud::Read => READ,
        Crud::Update => UPDATE,
        Crud::Delete => DELETE,
    }
}

const fn of_memory(op: MemoryOp) -> Activity<'static> {
    match op {
        MemoryOp::Create | MemoryOp::CreateStore => CREATE,
        MemoryOp::Search => READ,
        MemoryOp::Update | MemoryOp::Upsert => UPDATE,
        MemoryOp::Delete | MemoryOp::DeleteStore => DELETE,
    }
}

/// Informational, unless something should not have happened.
fn severity(entry: &Entry<'_>) -> u64 {
    let raised = if let Data::Flag(flag) = &*entry.data { Some(flag.severity) } else { None };
    let flags = entry.flags.iter().map(|flag| flag.severity());
    match raised.into_iter().chain(flags).max() {
        None | Some(Severity::Info) => 1,
        Some(Severity::Low) => 2,
        Some(Severity::Medium) => 3,
        Some(Severity::High) => 4,
    }
}

fn metadata<'a>(entry: &'a Entry<'_>, profiles: Vec<&'static str>) -> Metadata<'a> {
    let product =
        Product { name: "whence", vendor_name: "whence", version: env!("CARGO_PKG_VERSION") };
    Metadata {
        version: VERSION,
        profiles,
        product,
        uid: entry.id.as_str(),
        sequence: entry.seq,
        log_name: &entry.ledger,
        log_provider: entry.source.as_deref().map(|source| &*source.producer),
        logged_time: milliseconds(entry.received_at),
        original_time: entry.occurred_at.to_string(),
        correlation_uid: entry.session.as_ref().map(|session| session.id.as_str()),
    }
}

/// What stands in the class's and the profiles' own attributes.
fn what<'a>(row: &Row<'a>, class: Class) -> Result<What<'a>, ApiError> {
    let entry = row.entry;
    let user = user(entry);
    let session = session(entry);
    let producer = entry.source.as_deref().map_or("whence", |source| &*source.producer);
    let nobody = user.is_none().then_some(producer);
    let mut what = What {
        actor: Some(Actor { user: user.clone(), session: session.clone(), app_name: nobody }),
        src_endpoint: Some(named(producer)),
        ai_agent: entry.agent.as_deref().map(|agent| Agent {
            uid: Some(&agent.id),
            instance_uid: agent.instance_id.as_deref(),
            name: agent.name.as_deref(),
            version: agent.version.as_deref(),
        }),
        delegation: entry
            .delegation
            .as_deref()
            .map(|grant| Delegation { uid: Some(grant), ..Delegation::default() }),
        ..What::default()
    };
    if class == AUTHENTICATION || class == AUTHORIZE_SESSION {
        (what.user, what.session) = (user, session);
    }
    if class == AUTHENTICATION {
        what.service = Some(named(producer));
    }
    if class == API_ACTIVITY {
        what.api = Some(Api { operation: Some(entry.kind.as_str()), ..Api::default() });
    }
    by_kind(row, &mut what)?;
    Ok(what)
}

/// What only some kinds have.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds have nothing of their own")]
fn by_kind<'a>(row: &Row<'a>, what: &mut What<'a>) -> Result<(), ApiError> {
    let api = what.api.get_or_insert_default();
    match &*row.entry.data {
        Data::Prompt(data) => prompt(row, data.role, what)?,
        Data::ModelOutput(data) => model_output(row, data, what)?,
        Data::ToolInvocation(data) => {
            api.operation = Some("tools/call");
            api.service = data.server.as_deref().map(named);
            api.request = data.call_id.as_deref().map(uid);
            let tool = Resource { name: Some(&data.tool), r#type: Some("tool"), uid: None };
            what.resources = Some(vec![tool]);
        }
        Data::ToolResult(data) => tool_result(data, what),
        Data::ApiCall(call) => api_call(call, what),
        Data::DelegationGrant(grant) => delegation_grant(grant, what),
        Data::DelegationRevoke(data) => {
            what.delegation =
                Some(Delegation { uid: Some(&data.delegation), ..Delegation::default() });
        }
        Data::AuthorizationDecision(data) => decision(data, what),
        Data::HumanApproval(data) => {
            what.status_detail = Some(data.decision.as_str());
            if data.decision == Decision::Rejected {
                (what.action_id, what.disposition_id) = (Some(DENIED), Some(DENIED));
            }
        }
        Data::SessionStart(data) => {
            what.is_mfa = data.auth.mfa;
            what.service = Some(named(&data.auth.issuer));
            if let Some(session) = &mut what.session {
                session.issuer = Some(&data.auth.issuer);
                session.expiration_time = Some(milliseconds(data.expires_at));
            }
        }
        Data::Retrieval(data) => {
            api.service = Some(named(&data.source));
            let of = |id| Resource { uid: Some(id), r#type: Some("document"), name: None };
            what.resources =
                Some(data.documents.iter().map(|document| of(&*document.id)).collect());
        }
        Data::Memory(data) => api.service = Some(named(&data.store)),
        Data::AppEvent(data) => app_event(data, what),
        Data::Error(data) => {
            what.status_id = Some(2);
            what.status_detail = Some(&data.error_type);
        }
        Data::Flag(data) => {
            let about = row.entry.causes.iter().map(|cause| uid(cause.id.as_str()));
            what.finding_info = Some(Finding {
                uid: Some(row.entry.id.as_str()),
                title: Some(data.code.as_str()),
                related_events: Some(about.collect()),
            });
            what.is_alert = Some(true);
        }
        _ => {}
    }
    // Only one class has it.
    what.api = what.api.take().filter(|api| api.operation.is_some());
    Ok(())
}

fn prompt<'a>(row: &Row<'a>, role: PromptRole, what: &mut What<'a>) -> Result<(), ApiError> {
    let (id, role) = match role {
        PromptRole::User => (1, "User"),
        PromptRole::System | PromptRole::Developer => (OTHER, role.as_str()),
    };
    let prompt_text = text(row)?;
    what.message_context = Some(Message { prompt_text, ..message(row.entry, id, role) });
    Ok(())
}

fn tool_result<'a>(data: &'a ToolResult, what: &mut What<'a>) {
    let error = data.error_type.as_deref();
    what.api = Some(Api {
        operation: Some("tools/call"),
        request: data.call_id.as_deref().map(uid),
        response: error.map(|error| Response { error: Some(error), code: None }),
        ..Api::default()
    });
    what.status_id = Some(match data.status {
        Status::Success => 1,
        Status::Error | Status::Denied | Status::Timeout => 2,
        Status::Unknown => 0,
    });
    what.status_detail = Some(data.status.as_str());
    if data.status == Status::Denied {
        (what.action_id, what.disposition_id) = (Some(DENIED), Some(DENIED));
    }
}

fn app_event<'a>(data: &'a AppEvent, what: &mut What<'a>) {
    what.api = Some(Api { operation: Some(&data.action), ..Api::default() });
    what.status_id = data.is_failure.map(|failed| if failed { 2 } else { 1 });
    let targets = data.targets.iter().map(|target| Resource {
        uid: Some(&target.id),
        name: target.name.as_deref(),
        r#type: Some(&target.r#type),
    });
    what.resources = Some(targets.collect());
}

fn model_output<'a>(
    row: &Row<'a>,
    data: &'a ModelOutput,
    what: &mut What<'a>,
) -> Result<(), ApiError> {
    let model = Model {
        ai_provider: Some(&data.model.provider),
        name: Some(data.model.served.as_ref().unwrap_or(&data.model.requested)),
    };
    what.ai_model = Some(model);
    let usage = data.usage.as_ref();
    let prompt_tokens = usage.and_then(|usage| usage.input_tokens);
    let completion_tokens = usage.and_then(|usage| usage.output_tokens);
    let total_tokens = prompt_tokens.zip(completion_tokens).map(|(input, output)| input + output);
    let response_text = text(row)?;
    let message = message(row.entry, 2, "Assistant");
    what.message_context =
        Some(Message { response_text, prompt_tokens, completion_tokens, total_tokens, ..message });
    Ok(())
}

fn api_call<'a>(call: &'a ApiCall, what: &mut What<'a>) {
    let status = call.status_code.map(u64::from);
    what.api = Some(Api {
        operation: Some(call.operation.as_ref().unwrap_or(&call.method)),
        service: call.service.as_deref().map(named),
        request: call.upstream_request_id.as_deref().map(uid),
        response: status.map(|code| Response { code: Some(code), error: None }),
        token: call.credential_id.as_deref().map(uid),
    });
    if let Some(url) = call.url.as_deref() {
        what.http_request = Some(HttpRequest {
            http_method: Some(&call.method),
            url: Some(Url { url_string: Some(url) }),
            uid: call.upstream_request_id.as_deref(),
        });
        what.http_response = status.map(|code| HttpResponse { code });
    }
    what.status_id = status.map(|code| match code {
        0 => 0,
        100..400 => 1,
        _ => 2,
    });
    let of = call.resources.iter().map(|resource| Resource {
        uid: Some(&resource.id),
        r#type: Some(&resource.r#type),
        name: None,
    });
    what.resources = Some(of.collect::<Vec<_>>()).filter(|resources| !resources.is_empty());
}

fn delegation_grant<'a>(grant: &'a DelegationGrant, what: &mut What<'a>) {
    let scopes: Vec<&str> = grant.scopes.iter().map(|scope| &**scope).collect();
    what.privileges = Some(scopes.clone());
    what.delegation = Some(Delegation {
        uid: Some(&grant.delegation),
        parent_uid: grant.parent.as_deref(),
        issuer_uid: Some(&grant.issuer),
        audience: Some(grant.audience.iter().map(|audience| &**audience).collect()),
        scopes: Some(scopes),
        created_time: Some(milliseconds(grant.issued_at)),
        expiration_time: Some(milliseconds(grant.expires_at)),
    });
    let delegate = Agent { uid: Some(&grant.delegate), ..Agent::default() };
    what.ai_agent.get_or_insert(delegate);
}

fn decision<'a>(data: &'a AuthorizationDecision, what: &mut What<'a>) {
    what.status_detail = Some(data.decision.as_str());
    what.resources =
        Some(vec![Resource { uid: Some(&data.policy.id), r#type: Some("policy"), name: None }]);
    let allowed = match data.decision {
        Verdict::Allow => 1,
        Verdict::Deny | Verdict::RequireApproval => DENIED,
        Verdict::Modify => return,
    };
    (what.action_id, what.disposition_id) = (Some(allowed), Some(allowed));
}

fn message<'a>(entry: &'a Entry<'_>, role_id: u64, role: &'a str) -> Message<'a> {
    Message {
        uid: entry.session.as_ref().map(|session| session.id.as_str()),
        ai_role_id: Some(role_id),
        ai_role: Some(role),
        application: entry.source.as_deref().map(|source| named(&source.producer)),
        ..Message::default()
    }
}

/// The accountable user; for what the server writes about somebody, the token.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds name nobody else")]
fn user<'a>(entry: &'a Entry<'_>) -> Option<User<'a>> {
    if let Some(user) = entry.user.as_deref() {
        let (type_id, kind) = match user.r#type {
            UserType::Human => (1, "User"),
            UserType::Service => (4, "Service"),
            UserType::Organization => (OTHER, "Organization"),
        };
        return Some(User {
            uid: Some(&user.id),
            name: user.pseudonym.as_deref(),
            type_id: Some(type_id),
            r#type: Some(kind),
            uid_alt: user.subject.as_deref(),
            domain: user.issuer.as_deref(),
        });
    }
    let token = match &*entry.data {
        Data::LogAccess(data) => &data.actor,
        Data::LogExport(data) => &data.actor,
        Data::Erasure(data) => &data.actor,
        Data::LegalHold(data) => &data.actor,
        Data::KeyRotation(data) => &data.actor,
        Data::ConfigChange(data) => &data.actor,
        _ => return None,
    };
    let kind = Some("Access token");
    Some(User { uid: Some(token), type_id: Some(OTHER), r#type: kind, ..User::default() })
}

fn session<'a>(entry: &'a Entry<'_>) -> Option<Session<'a>> {
    entry.session.as_ref().map(|session| Session {
        uid: Some(session.id.as_str()),
        uid_alt: session.login_session_id.as_deref().map(Text::as_str),
        ..Session::default()
    })
}

fn attestation<'a>(row: &Row<'a>, checkpoint: &'a Checkpoint) -> Attestation<'a> {
    let fingerprint = |value: EntryHash| Fingerprint {
        algorithm_id: OTHER,
        algorithm: "BLAKE3 derive_key \"whence v1 entry\"",
        serialization: "JCS",
        value,
    };
    Attestation {
        uid: format!("{}#{}", checkpoint.origin, row.entry.seq),
        authority_uid: &checkpoint.origin,
        chain_uid: &checkpoint.origin,
        fingerprint: fingerprint(row.entry_hash),
        prev_event: row.entry.prev.map(|prev| Previous { fingerprint: fingerprint(prev) }),
    }
}

fn unmapped<'a>(
    row: &Row<'a>,
    checkpoint: &'a Checkpoint,
    first: bool,
) -> Result<Unmapped<'a>, ApiError> {
    let Checkpoint { origin, size, root, note } = checkpoint;
    let entry = row.entry;
    let causes = entry.causes.iter().map(|cause| Cause {
        rel: cause.rel.as_str(),
        id: cause.id.as_str(),
        seq: cause.seq,
    });
    let content = row.parts.map(|parts| {
        let parts = entry.content.iter().zip(parts).map(|(commitment, part)| {
            let value = match part {
                StoredPart::Kept { bytes, .. } => {
                    Some(serde_json::from_slice(bytes).map_err(|_| damaged())?)
                }
                StoredPart::Erased => None,
            };
            Ok(Part { name: &commitment.name, value })
        });
        parts.collect::<Result<Vec<_>, ApiError>>()
    });
    Ok(Unmapped {
        seq: entry.seq,
        kind: entry.kind.as_str(),
        entry_hash: row.entry_hash,
        leaf_hash: row.leaf_hash,
        checkpoint: Tree { origin, size: *size, root: *root, note: first.then_some(note) },
        flags: &entry.flags,
        labels: &entry.labels,
        causes: causes.collect(),
        data: &entry.data,
        content: content.transpose()?,
    })
}

/// The part `text` of the content, where it is a text.
fn text(row: &Row<'_>) -> Result<Option<String>, ApiError> {
    let parts = row.entry.content.iter().zip(row.parts.unwrap_or_default());
    for (_, part) in parts.filter(|(commitment, _)| commitment.name == "text") {
        if let StoredPart::Kept { bytes, .. } = part {
            let value = serde_json::from_slice(bytes).map_err(|_| damaged())?;
            if let serde_json::Value::String(text) = value {
                return Ok(Some(text));
            }
        }
    }
    Ok(None)
}

fn named(name: &str) -> Named<'_> {
    Named { name: Some(name) }
}

fn uid(uid: &str) -> Uid<'_> {
    Uid { uid: Some(uid) }
}

/// Milliseconds since 1970.
fn milliseconds(time: Timestamp) -> i64 {
    i64::try_from(time.unix_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::canon::TreeHash;

    /// The event of an entry.
    fn event(entry: &Value) -> Value {
        let text = String::from_utf8(crate::canon::to_bytes(entry).unwrap()).unwrap();
        let entry = Entry::parse(text.as_bytes()).unwrap();
        let row_of = Row {
            text: &text,
            entry: &entry,
            entry_hash: EntryHash::of(text.as_bytes()),
            leaf_hash: TreeHash::leaf(text.as_bytes()),
            parts: None,
        };
        let root = TreeHash::from_bytes([1; 32]);
        let checkpoint = Checkpoint {
            origin: "log.example/main".to_owned(),
            size: 9,
            root,
            note: String::new(),
        };
        let mut bytes = Vec::new();
        row(&mut bytes, &row_of, &checkpoint, false).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// What the server writes: this kind with this data, about the record before.
    fn written(kind: &str, data: &Value) -> Value {
        let mut entry = json!({
            "data": data, "id": "w-1", "kind": kind, "ledger": "main",
            "occurred_at": "2026-11-24T00:00:01Z", "received_at": "2026-11-24T00:00:02Z",
            "prev": "ab".repeat(32), "seq": 3, "v": 1,
        });
        if kind == "flag" {
            entry["causes"] = json!([
                { "entry_hash": "ab".repeat(32), "id": "a-1", "rel": "about", "seq": 2 }
            ]);
        }
        entry
    }

    #[test]
    fn a_raised_flag_is_a_finding_about_its_record() {
        let event =
            event(&written("flag", &json!({ "code": "orphan_api_call", "severity": "high" })));
        assert_eq!((&event["class_uid"], &event["type_uid"]), (&json!(2004), &json!(200_401)));
        assert_eq!((&event["severity_id"], &event["is_alert"]), (&json!(4), &json!(true)));
        assert_eq!(event["finding_info"]["related_events"][0]["uid"], "a-1");
        assert!(event.get("api").is_none(), "{event}");
    }

    #[test]
    fn who_read_the_log_is_the_actor_of_that() {
        let data = json!({ "actor": "tok_1", "calls": 2, "operation": "record", "records": 2 });
        let event = event(&written("log_access", &data));
        assert_eq!((&event["type_uid"], &event["category_uid"]), (&json!(600_302), &json!(6)));
        assert_eq!(event["actor"]["user"]["uid"], "tok_1");
        assert_eq!(event["src_endpoint"]["name"], "whence");
        assert_eq!(event["unmapped"]["data"]["calls"], 2);
        assert_eq!(event["time"], 1_795_478_401_000_i64);
    }
}
