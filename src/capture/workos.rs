//! Audit-log events of the `WorkOS` shape as `app_event`s.
//!
//! Such an event says who did what to what in an application. What it does not say by itself is who is
//! accountable when the actor is no person, in which session of an agent it happened, and which call of
//! the agent it came of: an emitter that knows says it in the event's metadata ([`CONTEXT_KEYS`]), or
//! with the request. What nobody says stays unsaid, and the ledger refuses the record.
//!
//! Metadata becomes content, so that it can be erased: nothing of it is left out.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

use super::otlp::Sender;
use crate::canon::Json;
use crate::record::data::{Actor, AppEvent, Context, Target};
use crate::record::identity::UserType;
use crate::record::source::ObservedBy;
use crate::record::text::{ExternalId, Line, Members, Name, OneOrMore};
use crate::record::{
    Agent, Cause, Code, Draft, FieldError, Invalid, Rel, Session, Source, Timestamp, User, fault,
};

/// The format, as records name it.
pub const FORMAT: &str = "workos_audit_log";

/// Metadata of one object at most.
const METADATA_MAX: usize = 50;
/// The longest key of metadata.
const KEY_BYTES_MAX: usize = 40;
/// The longest text in metadata, in characters.
const VALUE_CHARS_MAX: usize = 500;

/// The agent that the application acted for, in an event's metadata.
const AGENT: &str = "agent_id";
/// The record that set the event off.
const CAUSED_BY: &str = "caused_by";
/// The session of the agent.
const SESSION: &str = "session_id";
/// The accountable user, where the actor is not the user.
const USER: &str = "user_id";
/// What that user is.
const USER_TYPE: &str = "user_type";
/// What an event's metadata says of its context.
pub const CONTEXT_KEYS: [&str; 5] = [AGENT, CAUSED_BY, SESSION, USER, USER_TYPE];

/// What an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorIs {
    /// The accountable user.
    User(UserType),
    /// The agent.
    Agent,
}

/// What actors of these types are. Any other is neither: somebody else is accountable for it.
pub const ACTORS: &[(&str, ActorIs)] = &[
    ("admin", ActorIs::User(UserType::Human)),
    ("customer", ActorIs::User(UserType::Human)),
    ("employee", ActorIs::User(UserType::Human)),
    ("human", ActorIs::User(UserType::Human)),
    ("member", ActorIs::User(UserType::Human)),
    ("person", ActorIs::User(UserType::Human)),
    ("user", ActorIs::User(UserType::Human)),
    ("organization", ActorIs::User(UserType::Organization)),
    ("agent", ActorIs::Agent),
    ("ai_agent", ActorIs::Agent),
];

/// The body of a request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AuditLogRequest")]
pub struct Request {
    /// The organization in which it happened.
    organization_id: Line,
    /// What happened.
    event: Event,
}

/// What happened.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AuditLogEvent")]
struct Event {
    /// What was done, such as `user.signed_in`.
    action: Name,
    /// When.
    occurred_at: Timestamp,
    /// The version of the action's schema.
    version: Option<u64>,
    /// Who did it.
    actor: Party,
    /// What it was done to.
    targets: OneOrMore<Party>,
    /// Where it came from.
    context: Place,
    /// What else there is to say. `user_id`, `user_type`, `session_id`, `agent_id` and `caused_by` say
    /// what the event belongs to.
    #[serde(default)]
    metadata: Metadata,
}

/// Who or what took part.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AuditLogParty")]
struct Party {
    /// Its id.
    id: ExternalId,
    /// What it is.
    r#type: Name,
    /// A name for people.
    name: Option<Name>,
    /// What else there is to say of it.
    #[serde(default)]
    metadata: Metadata,
}

/// Where it came from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AuditLogContext")]
struct Place {
    /// The actor's network address or place.
    location: Name,
    /// The actor's program.
    user_agent: Option<Line>,
}

/// Names and values.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
struct Metadata(Option<Members<Json>>);

impl JsonSchema for Metadata {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AuditLogMetadata".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "maxProperties": METADATA_MAX,
            "propertyNames": { "pattern": format!("^[a-zA-Z0-9_-]{{0,{KEY_BYTES_MAX}}}$") },
            "additionalProperties": {
                "type": ["string", "number", "boolean"],
                "maxLength": VALUE_CHARS_MAX,
            },
        })
    }
}

/// The record that an event is, as it can be posted, without an id. The same event makes the same record.
///
/// An error names the place in the body.
pub fn draft(body: &[u8], sender: &Sender) -> Result<Draft, Invalid> {
    let request: Request = fault::read(body).map_err(without_keys)?;
    let mut errors = Vec::new();
    request.event.check(&mut errors);
    let context = Stated::of(&request.event, sender, &mut errors);
    if errors.is_empty() { Ok(request.draft(context, sender)) } else { Err(Invalid { errors }) }
}

/// The same error, without the names that the sender gave to metadata.
fn without_keys(mut error: Invalid) -> Invalid {
    const METADATA: &str = "/metadata/";
    for error in &mut error.errors {
        if let Some(place) = error.pointer.find(METADATA) {
            error.pointer.truncate(place + METADATA.len() - 1);
        }
    }
    error
}

impl Event {
    /// Notes metadata beyond its limits.
    fn check(&self, errors: &mut Vec<FieldError>) {
        self.metadata.check("/event/metadata", errors);
        self.actor.metadata.check("/event/actor/metadata", errors);
        for (index, target) in self.targets.iter().enumerate() {
            target.metadata.check(&format!("/event/targets/{index}/metadata"), errors);
        }
    }
}

fn wrong(pointer: impl Into<String>, code: Code, message: impl Into<String>) -> FieldError {
    FieldError { pointer: pointer.into(), code, message: message.into() }
}

impl Metadata {
    fn check(&self, at: &str, errors: &mut Vec<FieldError>) {
        let Some(members) = &self.0 else { return };
        if members.len() > METADATA_MAX {
            let message = format!("give at most {METADATA_MAX} members");
            errors.push(wrong(at, Code::TooMany, message));
            return;
        }
        for (key, value) in members.iter() {
            if !is_key(key) {
                let message = format!("make keys of at most {KEY_BYTES_MAX} of A-Z a-z 0-9 _ -");
                errors.push(wrong(at, Code::FieldInvalid, message));
                continue;
            }
            let at = format!("{at}/{key}");
            match value.as_value() {
                Value::String(text) if text.chars().count() > VALUE_CHARS_MAX => {
                    let message = format!("give at most {VALUE_CHARS_MAX} characters");
                    errors.push(wrong(at, Code::FieldTooLong, message));
                }
                Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    let message = "give a string, a number, `true` or `false`";
                    errors.push(wrong(at, Code::FieldInvalid, message));
                }
            }
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.0.as_ref()?.get(key).map(Json::as_value)
    }

    /// An id under one of the [`CONTEXT_KEYS`]: a text, or a whole number, which is its digits.
    fn id(&self, key: &str, errors: &mut Vec<FieldError>) -> Option<String> {
        let value = self.get(key)?;
        let id = match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
            Value::Number(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        };
        if id.is_none() {
            let message = "give an id: a string, or a whole number";
            errors.push(wrong(member(key), Code::FieldInvalid, message));
        }
        id
    }

    /// All of it, if there is any.
    fn value(&self) -> Option<Value> {
        let members = self.0.as_ref().filter(|members| !members.is_empty())?;
        Some(members.iter().map(|(key, value)| (key.clone(), value.as_value().clone())).collect())
    }
}

fn is_key(key: &str) -> bool {
    key.len() <= KEY_BYTES_MAX
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Where a member of the event's metadata stands.
fn member(key: &str) -> String {
    format!("/event/metadata/{key}")
}

/// Whom and what an event belongs to.
struct Stated {
    user: Option<User>,
    session: Option<Session>,
    agent: Option<Agent>,
    cause: Option<Cause>,
}

impl Stated {
    /// What the event says, and where it says nothing, what its sender does.
    fn of(event: &Event, sender: &Sender, errors: &mut Vec<FieldError>) -> Self {
        let (actor, metadata) = (&event.actor, &event.metadata);
        let is = ACTORS.iter().find(|(name, _)| actor.r#type.eq_ignore_ascii_case(name));
        let is = is.map(|(_, is)| *is);
        let user_type = match metadata.get(USER_TYPE).map(|value| value.as_str().unwrap_or("")) {
            None | Some("human") => UserType::Human,
            Some("organization") => UserType::Organization,
            Some(_) => {
                let message = "use `human` or `organization`";
                errors.push(wrong(member(USER_TYPE), Code::FieldInvalid, message));
                UserType::Human
            }
        };
        let user = match is {
            Some(ActorIs::User(r#type)) => Some(user(actor.id.clone(), r#type)),
            Some(ActorIs::Agent) | None => {
                metadata.id(USER, errors).map(|id| user(id.into(), user_type))
            }
        };
        let agent = match is {
            Some(ActorIs::Agent) => Some(agent(actor.id.clone(), actor.name.clone())),
            Some(ActorIs::User(_)) | None => {
                metadata.id(AGENT, errors).map(|id| agent(id.into(), None))
            }
        };
        let session = metadata.id(SESSION, errors).map(|id| Session {
            id: id.into(),
            login_session_id: None,
            turn_id: None,
        });
        let cause = metadata.id(CAUSED_BY, errors).and_then(|id| match id.parse() {
            Ok(id) => Some(Cause { id, rel: Rel::TriggeredBy }),
            Err(error) => {
                let error = wrong(member(CAUSED_BY), Code::FieldInvalid, format!("{error}"));
                errors.push(error);
                None
            }
        });
        Self {
            user: user.or_else(|| sender.user.clone()),
            session: session.or_else(|| sender.session.clone()),
            agent: agent.or_else(|| sender.agent.clone()),
            cause,
        }
    }
}

const fn user(id: ExternalId, r#type: UserType) -> User {
    User { id, issuer: None, owner: None, pseudonym: None, subject: None, trigger: None, r#type }
}

const fn agent(id: ExternalId, name: Option<Name>) -> Agent {
    Agent { charter_digest: None, id, instance_id: None, name, operator: None, version: None }
}

impl Request {
    fn draft(self, stated: Stated, sender: &Sender) -> Draft {
        let Self { organization_id, event } = self;
        let mut content = Vec::new();
        let mut keep = |name: &str, metadata: Option<Value>| {
            content.extend(metadata.map(|value| (name.to_owned(), Json::from_value(value))));
        };
        keep("metadata", event.metadata.value());
        keep("actor_metadata", event.actor.metadata.value());
        let of_targets: Vec<_> = event.targets.iter().map(|it| it.metadata.value()).collect();
        if of_targets.iter().any(Option::is_some) {
            let of_targets = of_targets.into_iter().map(Option::unwrap_or_default);
            keep("target_metadata", Some(of_targets.collect()));
        }
        let target = |Party { id, name, r#type, .. }: &Party| Target {
            id: id.clone(),
            name: name.clone(),
            r#type: r#type.clone(),
        };
        let Place { location, user_agent } = event.context;
        let data = AppEvent {
            action: event.action,
            context: Some(Context { location, user_agent }),
            crud: None,
            is_failure: None,
            targets: event.targets.iter().map(target).collect(),
            version: event.version,
            actor: Actor { id: event.actor.id, name: event.actor.name, r#type: event.actor.r#type },
        };
        let source = Source {
            captured: None,
            format: Some(FORMAT.into()),
            link_confidence: None,
            // The application saw it: it is no part of the agent, and does not watch the agent either.
            observed_by: ObservedBy::Imported,
            producer: sender.producer.clone(),
            producer_seq: None,
        };
        let organization = ("organization_id".to_owned(), organization_id.to_string());
        Draft {
            agent: stated.agent,
            causes: stated.cause.into_iter().collect(),
            content: content.into_iter().collect(),
            labels: [organization].into_iter().collect(),
            session: stated.session,
            source: Some(source),
            user: stated.user,
            ..Draft::new(data, event.occurred_at)
        }
    }
}

/// Where in the body a place of the record comes from; empty if from none.
pub fn located(pointer: &str) -> String {
    let moved = PLACES.iter().find_map(|(of_record, of_body)| {
        let rest = pointer.strip_prefix(of_record)?;
        let whole = of_body.starts_with("/event/metadata/");
        Some(if whole { (*of_body).to_owned() } else { format!("{of_body}{rest}") })
    });
    moved.unwrap_or_default()
}

/// What to do about a place of the record, where what is said of a record that is posted as such does
/// not help whoever sends an event.
pub fn advice(pointer: &str) -> Option<&'static str> {
    match pointer {
        "/user" => Some(
            "name the accountable user: by an actor of type `user`, by `user_id` in the event's \
             metadata, or by the header `whence-user`",
        ),
        "/session" => Some(
            "name the agent's session: by `session_id` in the event's metadata, or by the header \
             `whence-session`",
        ),
        "/id" => Some(
            "the `Idempotency-Key` was sent with another event: give each event a key of its own",
        ),
        _ => None,
    }
}

/// Where in the body the parts of a record come from. What comes from elsewhere has no place in it.
const PLACES: &[(&str, &str)] = &[
    ("/data", "/event"),
    ("/occurred_at", "/event/occurred_at"),
    ("/labels/organization_id", "/organization_id"),
    ("/content/metadata", "/event/metadata"),
    ("/content/actor_metadata", "/event/actor/metadata"),
    ("/content/target_metadata", "/event/targets"),
    ("/causes/0", "/event/metadata/caused_by"),
    ("/session", "/event/metadata/session_id"),
    ("/user", "/event/metadata/user_id"),
    ("/agent", "/event/metadata/agent_id"),
];
