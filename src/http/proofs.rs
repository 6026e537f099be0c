//! Proofs: that a record is in the log, and that one state of the log continues another.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::app::blocking;
use super::caller::Caller;
use super::error::{ApiError, with_causes};
use super::reading::Params;
use super::records::{InclusionProof, json, record_unknown};
use crate::access::Action;
use crate::canon::TreeHash;
use crate::seal::TlogProof;

/// In which form a proof is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    #[serde(default)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    #[default]
    TlogProof,
    Json,
}

/// An inclusion proof in JSON, against the newest checkpoint.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RecordProof")]
pub(super) struct ProofBody {
    /// Always `inclusion_proof`.
    #[schemars(extend("const" = "inclusion_proof"))]
    object: &'static str,
    /// The record's id.
    id: String,
    /// The hash of its leaf.
    leaf_hash: TreeHash,
    /// The proof.
    proof: InclusionProof,
    /// The signed checkpoint of the tree.
    checkpoint: String,
}

/// Proves that a record is in the log, against the newest checkpoint.
pub(super) async fn inclusion(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, id)): Path<(String, String)>,
    Params(Form { format }): Params<Form>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Prove).await?;
    blocking(move || {
        let view = ledger.view();
        let seq = view.seq_of(&id)?.ok_or_else(record_unknown)?;
        let entry = view.entry(seq)?.ok_or_else(record_unknown)?;
        let hashes = view.inclusion(seq, view.size())?;
        let checkpoint = view.checkpoint();
        if format == Format::Json {
            let proof = InclusionProof { hashes, index: seq, tree_size: view.size() };
            let body = ProofBody {
                object: "inclusion_proof",
                id,
                leaf_hash: TreeHash::leaf(&entry),
                proof,
                checkpoint: checkpoint.note().to_string(),
            };
            return json(StatusCode::OK, &body);
        }
        let proof = TlogProof::new(seq, hashes, checkpoint)
            .map_err(|error| ApiError::internal(with_causes(&error)))?;
        Ok(text(proof.to_string()))
    })
    .await
}

/// The two sizes of a consistency proof.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sizes {
    from: u64,
    to: Option<u64>,
}

/// A proof that the log at one size continues the log at another (RFC 6962 §2.1.2).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConsistencyProof")]
pub(super) struct ConsistencyBody {
    /// Always `consistency_proof`.
    #[schemars(extend("const" = "consistency_proof"))]
    object: &'static str,
    /// The earlier size.
    from: u64,
    /// The later size.
    to: u64,
    /// The hashes of the proof.
    hashes: Vec<TreeHash>,
    /// The newest signed checkpoint.
    checkpoint: String,
}

/// Proves that the log only grew between two sizes.
pub(super) async fn consistency(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    Params(Sizes { from, to }): Params<Sizes>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Prove).await?;
    blocking(move || {
        let view = ledger.view();
        let to = to.unwrap_or(view.size());
        if from == 0 || from > to {
            let detail = "give sizes with 1 <= from <= to <= the size of the ledger";
            return Err(ApiError::bad_request("size_unknown", detail));
        }
        let body = ConsistencyBody {
            object: "consistency_proof",
            from,
            to,
            hashes: view.consistency(from, to)?,
            checkpoint: view.checkpoint().note().to_string(),
        };
        json(StatusCode::OK, &body)
    })
    .await
}

/// An answer in plain text.
pub(super) fn text(text: String) -> Response {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, plain)], text).into_response()
}
