//! Errors as they leave the server: RFC 9457 problems with stable codes.
//!
//! Below this room nothing knows a status code. What a client did wrong is explained to it; what went
//! wrong in the server is logged, under the request's id, and the client learns the id.

use std::fmt;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::ledger::{self, RefusedRecord, SubmitError};
pub(super) use crate::record::shown::with_causes;
use crate::record::{Code, FieldError, Flag, Invalid};

/// An answer that says why not.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) detail: String,
    pub(super) errors: Vec<ProblemField>,
    pub(super) retry_after_seconds: Option<u32>,
    /// What was refused by a rule of the ledger.
    pub(super) refused: Option<Box<Refused>>,
    /// For the log alone.
    pub(super) cause: Option<String>,
}

/// One thing that is wrong with the request's body.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct ProblemField {
    /// Where: an RFC 6901 pointer into the body. In a list or in NDJSON it starts with the record's
    /// index.
    pub(super) pointer: String,
    /// What, for programs.
    pub(super) code: String,
    /// What to do.
    pub(super) message: String,
}

/// A record that a rule of the ledger refused.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// Its place in the request.
    pub(super) index: usize,
    /// The rule.
    pub(super) code: Code,
    /// The record that tells of it.
    pub(super) told: Option<RefusalBody>,
}

/// Where the ledger tells that a record was refused.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub(super) struct RefusalBody {
    /// The id of the `ingest_refusal`.
    pub(super) id: String,
    /// Its place in the ledger.
    pub(super) seq: u64,
}

/// The body of an error (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the code says more.
    #[serde(rename = "type")]
    #[schemars(extend("const" = "about:blank"))]
    pub(super) kind: &'static str,
    /// The status in words.
    pub(super) title: String,
    /// The HTTP status.
    pub(super) status: u16,
    /// What is wrong, in a sentence.
    pub(super) detail: String,
    /// What is wrong, for programs. Stable.
    #[schemars(schema_with = "code_schema")]
    pub(super) code: String,
    /// What is wrong with the body, place by place.
    pub(super) errors: Vec<ProblemField>,
    /// The same as `detail`, for clients of audit-log events, which look for it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// Where the ledger tells of it, if a record was refused by a rule of the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<RefusalBody>,
    /// The request's id, under which the server logs.
    pub(super) request_id: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &str, detail: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            detail: detail.to_owned(),
            errors: Vec::new(),
            retry_after_seconds: None,
            refused: None,
            cause: None,
        }
    }

    pub(super) fn bad_request(code: &str, detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "send a valid token as `Authorization: Bearer …`";
        Self::new(StatusCode::UNAUTHORIZED, "token_invalid", detail)
    }

    pub(super) fn forbidden() -> Self {
        let detail = "the token lacks the role that this call needs";
        Self::new(StatusCode::FORBIDDEN, "role_missing", detail)
    }

    pub(super) fn ledger_unknown() -> Self {
        let detail = "there is no such ledger, or the token is not for it";
        Self::new(StatusCode::NOT_FOUND, "ledger_unknown", detail)
    }

    pub(super) fn not_found(code: &str, detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub(super) fn body_too_large() -> Self {
        let detail = "the body exceeds 4 MiB: send fewer records in a request";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    pub(super) fn busy() -> Self {
        let detail = "the server is busy: send the same request again a little later";
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", detail);
        Self { retry_after_seconds: Some(1), ..error }
    }

    /// The journal of telemetry cannot be used. What was sent may be in it: sending it again is harmless.
    pub(super) fn telemetry_unwritable(cause: String) -> Self {
        let detail = "telemetry cannot be written down now: send the same again later; the server's log \
                      says why";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "telemetry_unwritable", detail);
        Self { retry_after_seconds: Some(10), cause: Some(cause), ..error }
    }

    /// The same for an exporter, which sends again what is answered with 503, and drops what is answered
    /// with other statuses of 5xx, or with 408.
    pub(super) fn for_exporter(self) -> Self {
        let later = self.status.is_server_error() || self.status == StatusCode::REQUEST_TIMEOUT;
        if !later {
            return self;
        }
        let retry_after_seconds = self.retry_after_seconds.or(Some(10));
        Self { status: StatusCode::SERVICE_UNAVAILABLE, retry_after_seconds, ..self }
    }

    pub(super) fn timeout() -> Self {
        let detail = "the request took too long: send it again";
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail)
    }

    pub(super) fn index_unavailable() -> Self {
        let detail = "the ledger cannot be searched: the server's log says why";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "index_unavailable", detail)
    }

    pub(super) fn internal(cause: impl Into<String>) -> Self {
        let detail =
            "something went wrong in the server, and is in its log under this request's id";
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail);
        Self { cause: Some(cause.into()), ..error }
    }

    /// What the ledger holds cannot be read.
    fn unreadable(error: &ledger::Error) -> Self {
        if !error.is_of_database() {
            return Self::internal(with_causes(error));
        }
        let detail = "the ledger's database failed, and this part of it cannot be read until the server \
                      is started again: its log says under this request's id what failed, which is \
                      often a full disk";
        let unreadable = Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unreadable", detail);
        Self { cause: Some(with_causes(error)), ..unreadable }
    }

    /// The same errors, for the record at this place of a list.
    pub(super) fn at_index(mut self, index: usize) -> Self {
        for error in &mut self.errors {
            error.pointer.insert_str(0, &format!("/{index}"));
        }
        if let Some(refused) = &mut self.refused {
            refused.index = index;
        }
        self
    }

    fn of_fields(errors: Vec<FieldError>) -> Self {
        let code = errors.first().map_or(Code::FieldInvalid, |error| error.code);
        let detail = errors.first().map_or("", |error| error.message.as_str());
        let rule = errors.iter().map(|error| error.code).find(|code| code.is_of_rules());
        let refused = rule.map(|code| Box::new(Refused { index: 0, code, told: None }));
        let error = Self { refused, ..Self::new(status_of(code), code.as_str(), detail) };
        let field = |FieldError { pointer, code, message }| ProblemField {
            pointer,
            code: code.to_string(),
            message,
        };
        Self { errors: errors.into_iter().map(field).collect(), ..error }
    }
}

/// The status of a refused record.
fn status_of(code: Code) -> StatusCode {
    let statuses = [
        (Code::JsonInvalid, StatusCode::BAD_REQUEST),
        (Code::ContentIncomplete, StatusCode::UNPROCESSABLE_ENTITY),
        (Code::ContentTooLarge, StatusCode::PAYLOAD_TOO_LARGE),
        (Code::EntryTooLarge, StatusCode::PAYLOAD_TOO_LARGE),
        (Code::IdConflict, StatusCode::CONFLICT),
        (Code::ProducerForbidden, StatusCode::FORBIDDEN),
        (Code::SignatureInvalid, StatusCode::FORBIDDEN),
        (Code::UserMismatch, StatusCode::CONFLICT),
    ];
    // What the ledger's state forbids is a conflict with that state.
    let forbidden = Flag::ALL.iter().any(|flag| flag.refusal() == Some(code));
    let status = statuses.into_iter().find(|(of, _)| *of == code).map(|(_, status)| status);
    status.unwrap_or(if forbidden {
        StatusCode::CONFLICT
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    })
}

/// A code of an error, and the status that it comes with. Both are stable.
pub(super) struct KnownCode {
    pub(super) name: &'static str,
    pub(super) status: StatusCode,
    /// Whether it is about a posted record.
    pub(super) of_records: bool,
}

/// The codes of errors that are not about a posted record.
const CODES: &[(&str, StatusCode)] = &[
    ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE),
    ("body_unreadable", StatusCode::BAD_REQUEST),
    ("busy", StatusCode::TOO_MANY_REQUESTS),
    ("catalog_unknown", StatusCode::NOT_FOUND),
    ("encoding_unsupported", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ("event_invalid", StatusCode::BAD_REQUEST),
    ("held", StatusCode::CONFLICT),
    ("hold_unknown", StatusCode::NOT_FOUND),
    ("index_behind", StatusCode::SERVICE_UNAVAILABLE),
    ("index_unavailable", StatusCode::SERVICE_UNAVAILABLE),
    ("internal", StatusCode::INTERNAL_SERVER_ERROR),
    ("key_exists", StatusCode::CONFLICT),
    ("key_invalid", StatusCode::BAD_REQUEST),
    ("key_unknown", StatusCode::NOT_FOUND),
    ("ledger_exists", StatusCode::CONFLICT),
    ("ledger_halted", StatusCode::SERVICE_UNAVAILABLE),
    ("ledger_unknown", StatusCode::NOT_FOUND),
    ("ledger_unreadable", StatusCode::SERVICE_UNAVAILABLE),
    ("media_type_unsupported", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
    ("name_invalid", StatusCode::UNPROCESSABLE_ENTITY),
    ("no_records", StatusCode::BAD_REQUEST),
    ("path_unknown", StatusCode::NOT_FOUND),
    ("query_invalid", StatusCode::BAD_REQUEST),
    ("reading_unlogged", StatusCode::SERVICE_UNAVAILABLE),
    ("record_unknown", StatusCode::NOT_FOUND),
    ("request_invalid", StatusCode::BAD_REQUEST),
    ("role_missing", StatusCode::FORBIDDEN),
    ("search_unknown", StatusCode::NOT_FOUND),
    ("servers_differ", StatusCode::UNPROCESSABLE_ENTITY),
    ("session_unknown", StatusCode::NOT_FOUND),
    ("size_unknown", StatusCode::BAD_REQUEST),
    ("telemetry_invalid", StatusCode::BAD_REQUEST),
    ("telemetry_unwritable", StatusCode::SERVICE_UNAVAILABLE),
    ("tile_unknown", StatusCode::NOT_FOUND),
    ("timeout", StatusCode::REQUEST_TIMEOUT),
    ("token_invalid", StatusCode::UNAUTHORIZED),
    ("token_unknown", StatusCode::NOT_FOUND),
    ("token_unusable", StatusCode::UNPROCESSABLE_ENTITY),
    ("too_many_items", StatusCode::PAYLOAD_TOO_LARGE),
    ("too_many_records", StatusCode::PAYLOAD_TOO_LARGE),
    ("too_many_searches", StatusCode::CONFLICT),
    ("too_many_webhooks", StatusCode::CONFLICT),
    ("webhook_invalid", StatusCode::UNPROCESSABLE_ENTITY),
    ("webhook_unknown", StatusCode::NOT_FOUND),
];

/// Every code that an error can have.
pub(super) fn codes() -> impl Iterator<Item = KnownCode> {
    let of_requests = CODES.iter().copied();
    let of_requests =
        of_requests.map(|(name, status)| KnownCode { name, status, of_records: false });
    let of_records = Code::ALL.iter().map(|code| KnownCode {
        name: code.as_str(),
        status: status_of(*code),
        of_records: true,
    });
    of_requests.chain(of_records)
}

fn code_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut names: Vec<_> = codes().map(|code| code.name).collect();
    names.sort_unstable();
    schemars::json_schema!({ "type": "string", "enum": names })
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::of_fields(invalid.errors)
    }
}

impl From<RefusedRecord> for ApiError {
    fn from(refused: RefusedRecord) -> Self {
        Self::of_fields(vec![refused.error]).at_index(refused.index)
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Busy => Self::busy(),
            SubmitError::Refused(refused) => refused.into(),
            SubmitError::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", &error.to_string())
            }
            SubmitError::Halted => {
                let detail = "the ledger has stopped writing; whether these records are in it is \
                              unknown until it is opened again: then send the same request again";
                let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_halted", detail);
                Self { retry_after_seconds: Some(10), ..error }
            }
            SubmitError::Unreadable(error) => Self::unreadable(&error),
        }
    }
}

impl From<ledger::Error> for ApiError {
    fn from(error: ledger::Error) -> Self {
        if matches!(error, ledger::Error::Unknown) {
            Self::ledger_unknown()
        } else if matches!(error, ledger::Error::Exists) {
            Self::new(StatusCode::CONFLICT, "ledger_exists", &error.to_string())
        } else if matches!(error, ledger::Error::TooFar { .. }) {
            Self::bad_request("size_unknown", &error.to_string())
        } else {
            Self::unreadable(&error)
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status.as_u16(), self.code)
    }
}

impl IntoResponse for ApiError {
    /// Only the status: [`super::context`] writes the body, because it knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
