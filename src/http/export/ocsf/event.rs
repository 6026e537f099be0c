//! The form of an event: the attributes that we write, with the names of OCSF.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::canon::{EntryHash, TreeHash};
use crate::record::{Data, Flag, Members};

/// An object of which members without a value are left out.
macro_rules! attributes {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Serialize)]
        pub(super) struct $name<'a> {
            $(
                #[serde(skip_serializing_if = "Option::is_none")]
                pub(super) $field: Option<$type>,
            )*
        }
    };
}

/// The class of an event: its name, its number, and its category's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) uid: u64,
    pub(super) name: &'static str,
    pub(super) category_uid: u64,
    pub(super) category_name: &'static str,
}

/// API Activity.
pub(super) const API_ACTIVITY: Class = Class {
    uid: 6003,
    name: "API Activity",
    category_uid: 6,
    category_name: "Application Activity",
};
/// Authentication.
pub(super) const AUTHENTICATION: Class = Class {
    uid: 3002,
    name: "Authentication",
    category_uid: 3,
    category_name: "Identity & Access Management",
};
/// Authorize Session.
pub(super) const AUTHORIZE_SESSION: Class = Class {
    uid: 3003,
    name: "Authorize Session",
    category_uid: 3,
    category_name: "Identity & Access Management",
};
/// Detection Finding.
pub(super) const DETECTION_FINDING: Class =
    Class { uid: 2004, name: "Detection Finding", category_uid: 2, category_name: "Findings" };

/// What every event has.
#[derive(Debug, Serialize)]
pub(super) struct Event<'a> {
    pub(super) metadata: Metadata<'a>,
    pub(super) time: i64,
    pub(super) class_uid: u64,
    pub(super) class_name: &'static str,
    pub(super) category_uid: u64,
    pub(super) category_name: &'static str,
    pub(super) activity_id: u64,
    pub(super) activity_name: &'a str,
    pub(super) type_uid: u64,
    pub(super) severity_id: u64,
    #[serde(flatten)]
    pub(super) what: What<'a>,
    pub(super) attestation_list: [Attestation<'a>; 1],
    pub(super) raw_data: &'a str,
    pub(super) unmapped: Unmapped<'a>,
}

attributes! {
    /// What an event has by its class and its profiles.
    What {
        status_id: u64,
        status_detail: &'a str,
        action_id: u64,
        disposition_id: u64,
        is_alert: bool,
        actor: Actor<'a>,
        api: Api<'a>,
        src_endpoint: Named<'a>,
        http_request: HttpRequest<'a>,
        http_response: HttpResponse,
        resources: Vec<Resource<'a>>,
        user: User<'a>,
        session: Session<'a>,
        service: Named<'a>,
        privileges: Vec<&'a str>,
        is_mfa: bool,
        finding_info: Finding<'a>,
        ai_agent: Agent<'a>,
        ai_model: Model<'a>,
        delegation: Delegation<'a>,
        message_context: Message<'a>,
    }
}

/// Where the event comes from, and how it is described.
#[derive(Debug, Serialize)]
pub(super) struct Metadata<'a> {
    pub(super) version: &'static str,
    pub(super) profiles: Vec<&'static str>,
    pub(super) product: Product,
    pub(super) uid: &'a str,
    pub(super) sequence: u64,
    pub(super) log_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log_provider: Option<&'a str>,
    pub(super) logged_time: i64,
    pub(super) original_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) correlation_uid: Option<&'a str>,
}

/// This program.
#[derive(Debug, Serialize)]
pub(super) struct Product {
    pub(super) name: &'static str,
    pub(super) vendor_name: &'static str,
    pub(super) version: &'static str,
}

attributes! {
    /// Who acted: the accountable user, never the agent.
    Actor {
        user: User<'a>,
        session: Session<'a>,
        app_name: &'a str,
    }
}

attributes! {
    /// A user, or what stands for one.
    User {
        uid: &'a str,
        name: &'a str,
        type_id: u64,
        r#type: &'a str,
        uid_alt: &'a str,
        domain: &'a str,
    }
}

attributes! {
    /// A session.
    Session {
        uid: &'a str,
        uid_alt: &'a str,
        issuer: &'a str,
        expiration_time: i64,
    }
}

attributes! {
    /// A call.
    Api {
        operation: &'a str,
        service: Named<'a>,
        request: Uid<'a>,
        response: Response<'a>,
        token: Uid<'a>,
    }
}

attributes! {
    /// Something with a name.
    Named {
        name: &'a str,
    }
}

attributes! {
    /// Something with an id.
    Uid {
        uid: &'a str,
    }
}

attributes! {
    /// What a call gave back.
    Response {
        code: u64,
        error: &'a str,
    }
}

attributes! {
    /// The HTTP request of a call.
    HttpRequest {
        http_method: &'a str,
        url: Url<'a>,
        uid: &'a str,
    }
}

attributes! {
    /// A URL.
    Url {
        url_string: &'a str,
    }
}

/// The HTTP answer of a call.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HttpResponse {
    pub(super) code: u64,
}

attributes! {
    /// What a call touched.
    Resource {
        uid: &'a str,
        name: &'a str,
        r#type: &'a str,
    }
}

attributes! {
    /// What was found.
    Finding {
        uid: &'a str,
        title: &'a str,
        related_events: Vec<Uid<'a>>,
    }
}

attributes! {
    /// The agent.
    Agent {
        uid: &'a str,
        instance_uid: &'a str,
        name: &'a str,
        version: &'a str,
    }
}

attributes! {
    /// The model.
    Model {
        ai_provider: &'a str,
        name: &'a str,
    }
}

attributes! {
    /// A grant.
    Delegation {
        uid: &'a str,
        parent_uid: &'a str,
        issuer_uid: &'a str,
        audience: Vec<&'a str>,
        scopes: Vec<&'a str>,
        created_time: i64,
        expiration_time: i64,
    }
}

attributes! {
    /// What was said to a model, or by it.
    Message {
        uid: &'a str,
        ai_role_id: u64,
        ai_role: &'a str,
        application: Named<'a>,
        prompt_text: String,
        response_text: String,
        prompt_tokens: u64,
        completion_tokens: u64,
        total_tokens: u64,
    }
}

/// The `record_integrity` profile: the record in its chain.
#[derive(Debug, Serialize)]
pub(super) struct Attestation<'a> {
    pub(super) uid: String,
    pub(super) authority_uid: &'a str,
    pub(super) chain_uid: &'a str,
    pub(super) fingerprint: Fingerprint,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prev_event: Option<Previous>,
}

/// The record before.
#[derive(Debug, Serialize)]
pub(super) struct Previous {
    pub(super) fingerprint: Fingerprint,
}

/// The hash of an entry.
#[derive(Debug, Serialize)]
pub(super) struct Fingerprint {
    pub(super) algorithm_id: u64,
    pub(super) algorithm: &'static str,
    pub(super) serialization: &'static str,
    pub(super) value: EntryHash,
}

/// What OCSF has no place for.
#[derive(Debug, Serialize)]
pub(super) struct Unmapped<'a> {
    pub(super) seq: u64,
    pub(super) kind: &'static str,
    pub(super) entry_hash: EntryHash,
    pub(super) leaf_hash: TreeHash,
    pub(super) checkpoint: Tree<'a>,
    pub(super) flags: &'a [Flag],
    pub(super) labels: &'a Members<String>,
    pub(super) causes: Vec<Cause<'a>>,
    pub(super) data: &'a Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Vec<Part<'a>>>,
}

/// The checkpoint, with its note in the first event of an export.
#[derive(Debug, Serialize)]
pub(super) struct Tree<'a> {
    pub(super) origin: &'a str,
    pub(super) size: u64,
    pub(super) root: TreeHash,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<&'a str>,
}

/// A cause.
#[derive(Debug, Serialize)]
pub(super) struct Cause<'a> {
    pub(super) rel: &'static str,
    pub(super) id: &'a str,
    pub(super) seq: u64,
}

/// A part of the content; without a value if it was erased.
#[derive(Debug, Serialize)]
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<&'a RawValue>,
}
