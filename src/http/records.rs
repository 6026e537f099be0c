//! `/v1/ledgers/{ledger}/records` and `/sessions`: records in, records out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::App;
use super::accesses::{Access, Operation};
use super::app::{Limits, blocking};
use super::caller::Caller;
use super::error::ApiError;
use super::reading::{self, Params};
use super::{refusals, streaming};
use crate::access::{Action, Grant};
use crate::canon::{self, ContentDigest, EntryHash, Salt, TreeHash};
use crate::ledger::{BATCH_RECORDS_MAX, Ledger, Prepared, Raised, Receipt, StoredPart, View};
use crate::record::{Code, Entry, Event, Flag, Invalid, Timestamp};

/// What an answer to appended records includes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Include {
    include: Option<Included>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Included {
    Proof,
}

/// A proof that a leaf is in the tree of the receipt's checkpoint (RFC 6962 §2.1.1).
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct InclusionProof {
    /// The hashes, the leaf's sibling first.
    pub(super) hashes: Vec<TreeHash>,
    /// The leaf's index: the record's seq.
    pub(super) index: u64,
    /// The size of the tree.
    pub(super) tree_size: u64,
}

/// A receipt as it is sent.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SentReceipt")]
pub(super) struct ReceiptBody {
    /// Always `receipt`.
    #[schemars(extend("const" = "receipt"))]
    object: &'static str,
    /// The receipt.
    #[serde(flatten)]
    receipt: Receipt,
    /// The inclusion proof, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<InclusionProof>,
}

impl ReceiptBody {
    pub(super) const fn new(receipt: Receipt, proof: Option<InclusionProof>) -> Self {
        Self { object: "receipt", receipt, proof }
    }
}

/// A list, and where it goes on.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListOf{T}")]
pub(super) struct List<T> {
    /// Always `list`.
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    /// The items.
    data: Vec<T>,
    /// Cursors to the pages before and after.
    #[serde(rename = "list_metadata")]
    metadata: ListMetadata,
}

/// Where a list goes on.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct ListMetadata {
    /// The cursor of the page before.
    before: Option<String>,
    /// The cursor of the page after.
    after: Option<String>,
}

impl<T> List<T> {
    pub(super) fn new(data: Vec<T>, after: Option<String>) -> Self {
        Self { object: "list", data, metadata: ListMetadata { before: None, after } }
    }

    /// How many items there are.
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.data.len()).unwrap_or(u64::MAX)
    }
}

/// Bytes of a body from which on it is read elsewhere: parsing and hashing it would hold up others.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Appends one record, an array of records, or NDJSON: all of them or none.
pub(super) async fn append(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    Params(query): Params<Include>,
    request: Request,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Append).await?;
    let (parts, body) = request.into_parts();
    let form = Form::of(&parts.headers)?;
    let read = reading::body(&app, &parts.headers, body).await?;
    let taken = take(&ledger, &grant, form, &read.bytes).await;
    let (receipts, is_list) = match taken {
        Ok(taken) => taken,
        Err(error) => {
            let posted = |index| record_at(form, &read.bytes, index).map(<[u8]>::to_vec);
            return Err(refusals::tell(&app, &ledger, &grant, error, posted).await);
        }
    };
    drop(read);

    let old = receipts.iter().all(|receipt| receipt.duplicate);
    let status = if old { StatusCode::OK } else { StatusCode::CREATED };
    let mut bodies = match query.include {
        Some(Included::Proof) => {
            blocking(move || Ok(with_proofs(&ledger.view(), receipts))).await?
        }
        None => receipts.into_iter().map(|receipt| ReceiptBody::new(receipt, None)).collect(),
    };
    if is_list {
        return json(status, &List::new(bodies, None));
    }
    match bodies.pop() {
        Some(body) => json(status, &body),
        None => Err(ApiError::internal("a record has no receipt")),
    }
}

/// Prepares what was posted, and submits it. Says whether it was a list.
async fn take(
    ledger: &Ledger,
    grant: &Arc<Grant>,
    form: Form,
    bytes: &Bytes,
) -> Result<(Vec<Receipt>, bool), ApiError> {
    let (records, is_list) = if bytes.len() <= INLINE_BYTES_MAX {
        prepare(ledger, grant, form, bytes)?
    } else {
        let (ledger, grant, bytes) = (ledger.clone(), Arc::clone(grant), bytes.clone());
        blocking(move || prepare(&ledger, &grant, form, &bytes)).await?
    };
    Ok((ledger.submit(records).await?, is_list))
}

/// The form of posted records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Ndjson,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
        let essence = content_type.map(|value| {
            value.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase()
        });
        match essence.as_deref() {
            Some("application/x-ndjson" | "application/jsonl") => Ok(Self::Ndjson),
            None | Some("application/json") => Ok(Self::Json),
            Some(_) => {
                let detail = "send application/json or application/x-ndjson";
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                Err(ApiError::new(status, "media_type_unsupported", detail))
            }
        }
    }
}

/// Parses, checks and prepares what was posted. Says whether it was a list.
fn prepare(
    ledger: &Ledger,
    grant: &Grant,
    form: Form,
    bytes: &[u8],
) -> Result<(Vec<Prepared>, bool), ApiError> {
    let one = |bytes: &[u8]| admit(ledger, grant, Event::parse(bytes)?);
    if form == Form::Ndjson {
        return Ok((all(lines(bytes), one)?, true));
    }
    if !is_array(bytes) {
        return Ok((vec![one(bytes)?], false));
    }
    let records: Vec<&RawValue> = serde_json::from_slice(bytes)
        .map_err(|_| ApiError::bad_request("json_invalid", "the body is not JSON"))?;
    Ok((all(records.into_iter().map(|record| record.get().as_bytes()), one)?, true))
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n')
}

fn is_array(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// One of the records that were posted, by its place, as [`prepare`] has found it.
fn record_at(form: Form, bytes: &[u8], index: usize) -> Option<&[u8]> {
    if form == Form::Ndjson {
        return lines(bytes).nth(index);
    }
    if !is_array(bytes) {
        return Some(bytes);
    }
    let records: Vec<&RawValue> = serde_json::from_slice(bytes).ok()?;
    records.get(index).map(|record| record.get().as_bytes())
}

/// Prepares a record that the token may append and that is signed as it has to be.
pub(super) fn admit(ledger: &Ledger, grant: &Grant, event: Event) -> Result<Prepared, ApiError> {
    check_sender(grant, &event)?;
    ledger.check_signature(&event)?;
    Ok(ledger.prepare(event)?)
}

/// Refuses a record that the token may not append (SPEC 2.8).
fn check_sender(grant: &Grant, event: &Event) -> Result<(), Invalid> {
    let refused = |pointer, message| Invalid::one(pointer, Code::ProducerForbidden, message);
    if !grant.covers_kind(event.kind().as_str()) {
        return Err(refused("/kind", "the token may not append records of this kind"));
    }
    let producer = event.source().map(|source| &*source.producer);
    if producer.is_some_and(|producer| !grant.covers_producer(producer)) {
        let message = "the token may not append records of this producer";
        return Err(refused("/source/producer", message));
    }
    Ok(())
}

fn all<'a>(
    records: impl Iterator<Item = &'a [u8]>,
    one: impl Fn(&[u8]) -> Result<Prepared, ApiError>,
) -> Result<Vec<Prepared>, ApiError> {
    let mut prepared = Vec::new();
    for (index, record) in records.enumerate() {
        if index == BATCH_RECORDS_MAX {
            let detail = "a request takes at most 1,024 records: send the others in another one";
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Err(ApiError::new(status, "too_many_records", detail));
        }
        prepared.push(one(record).map_err(|error| error.at_index(index))?);
    }
    if prepared.is_empty() {
        return Err(ApiError::bad_request("no_records", "the request has no record"));
    }
    Ok(prepared)
}

/// Receipts with proofs. The records are in the log: a proof that cannot be made fails nothing, and can
/// be asked for later.
fn with_proofs(view: &View, receipts: Vec<Receipt>) -> Vec<ReceiptBody> {
    let bodies = receipts.into_iter().map(|receipt| {
        let proof = match prove_receipt(view, &receipt) {
            Ok(proof) => Some(proof),
            Err(error) => {
                let cause = error.cause.unwrap_or(error.detail);
                tracing::error!(seq = receipt.seq, cause, "a receipt goes out without its proof");
                None
            }
        };
        ReceiptBody::new(receipt, proof)
    });
    bodies.collect()
}

fn prove_receipt(view: &View, receipt: &Receipt) -> Result<InclusionProof, ApiError> {
    let size = checkpoint_size(&receipt.checkpoint)?;
    let hashes = view.inclusion(receipt.seq, size)?;
    Ok(InclusionProof { hashes, index: receipt.seq, tree_size: size })
}

/// The size in a checkpoint that the ledger made itself.
pub(super) fn checkpoint_size(note: &str) -> Result<u64, ApiError> {
    let size = note.split('\n').nth(1).and_then(|size| size.parse().ok());
    size.ok_or_else(|| ApiError::internal("a stored checkpoint cannot be read"))
}

/// One record with all that the ledger has of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StoredRecord")]
pub(super) struct RecordBody {
    /// Always `record`.
    #[schemars(extend("const" = "record"))]
    object: &'static str,
    /// The record's id.
    id: String,
    /// Its place in the ledger.
    seq: u64,
    /// The entry, byte for byte as it was hashed (SPEC 3.1).
    #[schemars(with = "serde_json::Value")]
    entry: Box<RawValue>,
    /// The content that the entry commits to.
    content: Vec<ContentBody>,
    /// What the ledger noticed.
    flags: Vec<Flag>,
    /// What was raised about it later.
    raised: Vec<Raised>,
    /// The receipt that the sender got.
    receipt: Receipt,
}

/// One part of a record's content.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StoredContent")]
pub(super) struct ContentBody {
    /// The part's name.
    name: String,
    /// The length of its canonical bytes.
    bytes: u64,
    /// The commitment to it (SPEC 3.3).
    digest: ContentDigest,
    /// Whether salt and value are gone for good.
    erased: bool,
    /// The salt of the commitment.
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<Salt>,
    /// The part, byte for byte as it was hashed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    value: Option<Box<RawValue>>,
}

impl RecordBody {
    /// About how many bytes it takes.
    pub(super) fn length(&self) -> usize {
        let values = self.content.iter().filter_map(|part| part.value.as_ref());
        let values: usize = values.map(|value| value.get().len()).sum();
        values + self.entry.get().len() + self.receipt.checkpoint.len()
    }
}

/// One record.
pub(super) async fn get(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Investigate).await?;
    let (view, asked) = (ledger.view(), id.clone());
    let body = blocking(move || {
        let seq = view.seq_of(&asked)?.ok_or_else(record_unknown)?;
        record_body(&view, seq)
    });
    let body = body.await?;
    let access = Access { operation: Operation::Record, records: 1, query: Some(&id) };
    app.accesses.note(&ledger, &grant, access)?;
    json(StatusCode::OK, &body)
}

pub(super) fn record_unknown() -> ApiError {
    ApiError::not_found("record_unknown", "the ledger has no record with this id")
}

pub(super) fn record_body(view: &View, seq: u64) -> Result<RecordBody, ApiError> {
    let record = view.record(seq)?.ok_or_else(record_unknown)?;
    let damaged = || ApiError::internal("a stored record cannot be read");
    let text = std::str::from_utf8(&record.entry).map_err(|_| damaged())?;
    let entry = Entry::parse(&record.entry).map_err(|_| damaged())?;
    let receipt = Receipt {
        id: entry.id.to_string(),
        seq,
        entry_hash: EntryHash::of(&record.entry),
        leaf_hash: TreeHash::leaf(&record.entry),
        received_at: entry.received_at,
        flags: entry.flags.clone(),
        duplicate: false,
        checkpoint: record.batch.checkpoint.into(),
    };
    Ok(RecordBody {
        object: "record",
        id: entry.id.to_string(),
        seq,
        entry: RawValue::from_string(text.to_owned()).map_err(|_| damaged())?,
        content: content_bodies(&entry, record.content)?,
        flags: entry.flags,
        raised: view.raised(seq, view.size())?,
        receipt,
    })
}

/// The content of a record, part by part.
pub(super) fn content_bodies(
    entry: &Entry<'_>,
    content: Vec<StoredPart>,
) -> Result<Vec<ContentBody>, ApiError> {
    let damaged = || ApiError::internal("a stored record cannot be read");
    let parts = entry.content.iter().zip(content).map(|(commitment, part)| {
        let (salt, value) = match part {
            StoredPart::Kept { salt, bytes } => {
                let text = String::from_utf8(bytes).map_err(|_| damaged())?;
                (Some(salt), Some(RawValue::from_string(text).map_err(|_| damaged())?))
            }
            StoredPart::Erased => (None, None),
        };
        Ok(ContentBody {
            name: commitment.name.to_string(),
            bytes: commitment.bytes,
            digest: commitment.digest,
            erased: salt.is_none(),
            salt,
            value,
        })
    });
    parts.collect()
}

/// One page of a session.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<u64>,
    limit: Option<usize>,
}

/// A session: its records in the order of the ledger.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionPage")]
pub(super) struct SessionBody {
    /// Always `session`.
    #[schemars(extend("const" = "session"))]
    object: &'static str,
    /// The session's id.
    id: String,
    /// The user of its first record.
    user: Option<String>,
    /// When its first record was received.
    started_at: Timestamp,
    /// Its records.
    records: List<RecordBody>,
}

/// One session's records in order.
pub(super) async fn session(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, id)): Path<(String, String)>,
    Params(page): Params<Page>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Investigate).await?;
    let limit = page.limit.unwrap_or(100).clamp(1, app.limits.page_max);
    let accesses = Arc::clone(&app.accesses);
    let turn = streaming::turn(&app).await?;
    let (view, asked) = (ledger.view(), id.clone());
    let made = blocking(move || {
        let session = session_page(&view, asked, page.after, limit, &app.limits)?;
        Ok((to_bytes(&session)?, session.records.len()))
    });
    let (bytes, records) = made.await?;
    let access = Access { operation: Operation::Session, records, query: Some(&id) };
    accesses.note(&ledger, &grant, access)?;
    Ok(streaming::whole(turn, StatusCode::OK, "application/json", bytes))
}

/// A page of a session: at most so many records, and not many more bytes than allowed, but at least
/// one record.
fn session_page(
    view: &View,
    id: String,
    after: Option<u64>,
    limit: usize,
    limits: &Limits,
) -> Result<SessionBody, ApiError> {
    let unknown = || ApiError::not_found("session_unknown", "the ledger has no such session");
    let from = after.map_or(0, |seq| seq.saturating_add(1));
    let seqs = view.session(&id, from, limit + 1)?;
    let first = match after {
        None => seqs.first().copied(),
        Some(_) => view.session(&id, 0, 1)?.first().copied(),
    };
    let bytes = view.entry(first.ok_or_else(unknown)?)?.ok_or_else(unknown)?;
    let entry =
        Entry::parse(&bytes).map_err(|_| ApiError::internal("a stored record cannot be read"))?;

    let (mut records, mut length) = (Vec::new(), 0);
    for seq in seqs.iter().take(limit) {
        let record = record_body(view, *seq)?;
        length += record.length();
        records.push(record);
        if length >= limits.page_bytes_max {
            break;
        }
    }
    let last = records.last().filter(|_| records.len() < seqs.len());
    let after = last.map(|record| record.seq.to_string());
    Ok(SessionBody {
        object: "session",
        user: entry.user.as_ref().map(|user| user.id.to_string()),
        started_at: entry.received_at,
        records: List::new(records, after),
        id,
    })
}

/// A JSON answer.
pub(super) fn json<T: Serialize>(status: StatusCode, body: &T) -> Result<Response, ApiError> {
    let bytes = to_bytes(body)?;
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((status, json, bytes).into_response())
}

pub(super) fn to_bytes<T: Serialize>(body: &T) -> Result<Vec<u8>, ApiError> {
    canon::sorted_to_bytes(body)
        .map_err(|error| ApiError::internal(super::error::with_causes(&error)))
}
