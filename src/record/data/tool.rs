//! Data of tools, the calls that they make, and work handed to other agents.

use std::borrow::Cow;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::record::check::Check;
use crate::record::event::GONE;
use crate::record::fault::{At, Code, Faults};
use crate::record::limits::URL_BYTES_MAX;
use crate::record::text::{Any, Digest, ExternalId, Name, OneOrMore, check_text};
use crate::record::time::Timestamp;

names! {
    /// What a tool does to the world.
    Effect {
        Read = "read",
        Write = "write",
        Destructive = "destructive",
        External = "external",
    }
}

names! {
    /// Whether something is asked for, or has happened.
    Phase {
        Requested = "requested",
        Completed = "completed",
    }
}

names! {
    /// How a tool's run ended.
    Status {
        Success = "success",
        Error = "error",
        Denied = "denied",
        Timeout = "timeout",
        Unknown = "unknown",
    }
}

names! {
    /// What a call does to a resource: create, read, update or delete.
    Crud {
        Create = "c",
        Read = "r",
        Update = "u",
        Delete = "d",
    }
}

names! {
    /// Whether a catalog was looked through.
    Review {
        Proposed = "proposed",
        Approved = "approved",
        Rejected = "rejected",
    }
}

impl Review {
    /// Whether somebody has decided.
    pub const fn is_decided(self) -> bool {
        matches!(self, Self::Approved | Self::Rejected)
    }
}

names! {
    /// Whether the work comes back.
    HandoffMode {
        Return = "return",
        Transfer = "transfer",
    }
}

names! {
    /// How the other agent is reached.
    Protocol {
        A2a = "a2a",
        Tool = "tool",
        Http = "http",
    }
}

object! {
    /// What a tool says of itself: hints, never a reason to allow anything.
    ToolAnnotations {
        /// It may destroy something.
        destructive: Option<bool>,
        /// Calling it twice does no more than calling it once.
        idempotent: Option<bool>,
        /// It reaches systems beyond its own.
        open_world: Option<bool>,
        /// It changes nothing.
        read_only: Option<bool>,
    }
}

object! {
    /// A tool as its server defines it.
    ToolDefinition {
        /// What it says of itself.
        annotations: Option<ToolAnnotations>,
        /// The system behind it.
        backend: Option<Name>,
        /// A digest of the whole definition.
        definition_digest: Digest,
        /// A digest of its description.
        description_digest: Option<Digest>,
        /// A digest of the schema of its arguments.
        input_schema_digest: Option<Digest>,
        /// Its name.
        name: Name,
        /// A digest of the schema of its results.
        output_schema_digest: Option<Digest>,
    }
}

object! {
    /// Data of `tool_catalog_snapshot`. The definitions are the content part `tools`.
    ToolCatalogSnapshot {
        /// A digest of all definitions.
        catalog_digest: Digest,
        /// From when on its approval counts; at once if left out.
        effective_from: Option<Timestamp>,
        /// The digest of the catalog that it replaces.
        replaces: Option<Digest>,
        /// Whether it was looked through.
        review_status: Option<Review>,
        /// Who looked through it.
        reviewed_by: Option<ExternalId>,
        /// The server that offers the tools.
        server: Name,
        /// The tools.
        tools: OneOrMore<ToolDefinition>,
        /// For how many milliseconds it may be taken for what the server offers without asking again. No
        /// approval ends with it.
        ttl_ms: Option<u64>,
        /// The server's version.
        version: Option<Name>,
    }
}

object! {
    /// Data of `tool_invocation`. The arguments are content.
    ToolInvocation {
        /// The call's id, as the model gave it.
        call_id: Option<ExternalId>,
        /// The catalog that the tool was found in.
        catalog_id: Option<ExternalId>,
        /// A digest of the tool's definition at that time.
        definition_digest: Option<Digest>,
        /// What the tool does to the world.
        effect: Option<Effect>,
        /// The key under which the tool does this only once.
        idempotency_key: Option<ExternalId>,
        /// `requested` if the sender waits for the answer and can still stop it, `completed` if it is
        /// done. No phase is a report of what was asked for.
        phase: Option<Phase>,
        /// The scopes that the call uses.
        #[serde(default)]
        scopes: Any<ExternalId>,
        /// The server that offers the tool.
        server: Option<Name>,
        /// The task that it is for.
        task_id: Option<ExternalId>,
        /// The tool.
        tool: Name,
    }
}

object! {
    /// Data of `tool_result`. The result is content.
    ToolResult {
        /// The call's id, as the model gave it.
        call_id: Option<ExternalId>,
        /// How long it took, in milliseconds.
        duration_ms: Option<u64>,
        /// The kind of error, if it failed.
        error_type: Option<Name>,
        /// How it ended.
        status: Status,
    }
}

object! {
    /// Something that an API call touched.
    Resource {
        /// Its id.
        id: ExternalId,
        /// What it is.
        r#type: Name,
    }
}

object! {
    /// Data of `api_call`: a method and a URL, or a method, a service and an operation. Bodies are
    /// content.
    ApiCall {
        /// Whom the credential that was used is for, as the caller knows it.
        audience: Option<ExternalId>,
        /// The credential that was used: its `jti` or thumbprint, never itself.
        credential_id: Option<ExternalId>,
        /// What it does to the resources.
        crud: Option<Crud>,
        /// The HTTP method, or the verb of another protocol.
        method: Name,
        /// The user for whom the called system was told that it acts.
        on_behalf_of: Option<ExternalId>,
        /// The operation, with `service`.
        operation: Option<Name>,
        /// `requested` if the sender waits for the answer and can still stop it, else done.
        phase: Option<Phase>,
        /// What it touched.
        #[serde(default)]
        resources: Any<Resource>,
        /// The scopes that the call uses.
        #[serde(default)]
        scopes: Any<ExternalId>,
        /// The service, with `operation`.
        service: Option<Name>,
        /// The status of the answer, needed once the call is done; 0 if no answer came, or if the
        /// protocol has no statuses.
        status_code: Option<u16>,
        /// The called system's own id of the request, which joins its log to this one.
        upstream_request_id: Option<ExternalId>,
        /// The URL, without a user name or password.
        url: Option<Url>,
    }
}

impl ApiCall {
    /// Notes it if the call does not say what was called, or what came of it.
    pub(super) fn check_call(&self, at: At<'_>, faults: &mut Faults) {
        if self.url.is_none() && (self.operation.is_none() || self.service.is_none()) {
            let message = "give a `url`, or an `operation` and a `service`";
            faults.add(at.member("url"), Code::FieldMissing, message);
        }
        if self.status_code.is_none() && self.phase != Some(Phase::Requested) {
            let message = "give the status of the answer, or say that the `phase` is `requested`";
            faults.add(at.member("status_code"), Code::FieldMissing, message);
        }
        if self.status_code.is_some_and(|status| status > 999) {
            let message = "give a status of at most three digits";
            faults.add(at.member("status_code"), Code::FieldInvalid, message);
        }
    }
}

object! {
    /// Data of `handoff`. The task's text is content.
    Handoff {
        /// The task's id in the A2A protocol.
        a2a_task_id: Option<ExternalId>,
        /// The grant under which the other agent acts.
        child_delegation: Option<ExternalId>,
        /// The agent that hands over.
        from_agent: ExternalId,
        /// Whether the work comes back.
        mode: HandoffMode,
        /// How the other agent is reached.
        protocol: Option<Protocol>,
        /// The task.
        task_id: Option<ExternalId>,
        /// The agent that takes over.
        to_agent: ExternalId,
    }
}

/// An absolute URL without a user name or password: those are secrets, and what is sealed in the
/// tree stays there (SPEC 2.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Url(String);

impl Deref for Url {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Url {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Url {
    /// The URL with what `change` gives in its place, and as little of it as can stand without that;
    /// `None` if it gives nothing. Both are URLs within their limits.
    ///
    /// What cannot stand in a URL goes: first all behind the host, then the host, then the scheme.
    pub(in crate::record) fn changed(
        &self,
        change: impl Fn(&str) -> Option<String>,
    ) -> Option<(Self, Self)> {
        let text = change(&self.0)?;
        let (scheme, rest) = self.0.split_once("://").unwrap_or((&self.0, ""));
        let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
        let stands = |url: &Self| {
            let mut faults = Faults::default();
            url.check(At::ROOT, &mut faults);
            faults.or(()).is_ok() && change(&url.0).is_none()
        };
        // Of what was changed nothing is kept, not even the half of it that looks harmless.
        let kept = [format!("{scheme}://{host}"), format!("{scheme}:")];
        let short = [format!("{scheme}://{host}/{GONE}"), format!("{scheme}://{GONE}")];
        let short = kept.iter().zip(short).filter(|(kept, _)| text.starts_with(&**kept));
        let short = short.map(|(_, short)| Self(short)).find(&stands);
        let short = short.unwrap_or_else(|| Self(format!("redacted://{GONE}")));
        let long = Some(Self(text)).filter(&stands);
        Some((long.unwrap_or_else(|| short.clone()), short))
    }
}

impl Check for Url {
    fn check(&self, at: At<'_>, faults: &mut Faults) {
        check_text(&self.0, URL_BYTES_MAX, at, faults);
        let Some((scheme, rest)) = self.0.split_once(':') else {
            faults.add(at, Code::FieldInvalid, "give an absolute URL");
            return;
        };
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            || !scheme.bytes().all(known)
            || !rest.starts_with("//")
        {
            faults.add(at, Code::FieldInvalid, "give an absolute URL");
        }
        // Browsers skip any number of slashes here, so `https:///user@host` has a user as well.
        let rest = rest.trim_start_matches(['/', '\\']);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        if authority.contains('@') {
            let message = "take the user name and password out of the URL";
            faults.add(at, Code::FieldInvalid, message);
        }
    }
}

impl JsonSchema for Url {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Url".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": URL_BYTES_MAX,
            "pattern": r"^[A-Za-z][A-Za-z0-9+.-]*://[/\\]*[^@/?#]*([/?#]|$)",
        })
    }
}
