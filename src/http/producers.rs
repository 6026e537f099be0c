//! `/v1/ledgers/{ledger}/producers`: the keys that producers sign their records with.
//!
//! A key is registered, and taken back, by a record of the ledger, which is there before the call is
//! answered. From then on it counts. A name is given once: what was signed under it stays its key's.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::accesses::write_first;
use super::caller::Caller;
use super::error::ApiError;
use super::reading;
use super::records::{List, json};
use crate::access::Action;
use crate::canon::digest::sha256;
use crate::record::data::{KeyState, ProducerKey};
use crate::record::text::{Digest, ExternalId};
use crate::record::{Code, Draft, Event, Invalid, Timestamp};
use crate::seal::ProducerVerifier;

/// A key to be registered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProducerKey {
    /// The producer, as its records name it.
    producer: ExternalId,
    /// How signatures name the key; a digest of it if left out.
    key_id: Option<ExternalId>,
    /// The Ed25519 public key: 32 bytes in hexadecimal digits.
    public_key: Digest,
    /// From when on records that it signed are taken; now if left out.
    valid_from: Option<Timestamp>,
    /// Until when; for ever if left out.
    valid_until: Option<Timestamp>,
}

/// A key of a producer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RegisteredProducerKey")]
pub(super) struct ProducerKeyBody {
    /// Always `producer_key`.
    #[schemars(extend("const" = "producer_key"))]
    object: &'static str,
    /// The key, and who changed it last.
    #[serde(flatten)]
    key: ProducerKey,
}

impl ProducerKeyBody {
    const fn new(key: ProducerKey) -> Self {
        Self { object: "producer_key", key }
    }
}

/// Registers a key for a producer. From now on its records have to be signed.
pub(super) async fn create(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Administer).await?;
    let new: NewProducerKey = reading::json(&app, &headers, body).await?;
    let key = ProducerKey {
        actor: grant.id.as_str().into(),
        key_id: new.key_id.unwrap_or_else(|| digest_of(&new.public_key).into()),
        producer: new.producer,
        public_key: new.public_key,
        state: KeyState::Registered,
        valid_from: new.valid_from,
        valid_until: new.valid_until,
    };
    let now = app.clock.now();
    check(&key, now)?;
    // One at a time, or two keys could get one name.
    let _registering = app.registering.lock().await;
    if ledger.producer_keys().iter().any(|known| known.key_id == key.key_id) {
        let detail = "a key of this name was registered before: give this one another `key_id`";
        return Err(ApiError::new(StatusCode::CONFLICT, "key_exists", detail));
    }
    write_first(&ledger, key.clone(), None, now).await?;
    json(StatusCode::CREATED, &ProducerKeyBody::new(key))
}

/// Every key, by its name.
pub(super) async fn list(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::SeeSettings).await?;
    let bodies = ledger.producer_keys().into_iter().map(ProducerKeyBody::new).collect();
    json(StatusCode::OK, &List::<ProducerKeyBody>::new(bodies, None))
}

/// Takes a key back. What it signed before stays as it is.
pub(super) async fn revoke(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, key_id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Administer).await?;
    let _registering = app.registering.lock().await;
    let known = ledger.producer_keys().into_iter().find(|key| *key.key_id == key_id);
    let key = known.ok_or_else(|| {
        ApiError::not_found("key_unknown", "the ledger has no producer's key of this name")
    })?;
    if key.state == KeyState::Revoked {
        return json(StatusCode::OK, &ProducerKeyBody::new(key));
    }
    let actor = grant.id.as_str().into();
    let key = ProducerKey { actor, state: KeyState::Revoked, ..key };
    write_first(&ledger, key.clone(), None, app.clock.now()).await?;
    json(StatusCode::OK, &ProducerKeyBody::new(key))
}

/// Refuses what is no key, or could never count.
fn check(key: &ProducerKey, now: Timestamp) -> Result<(), ApiError> {
    let wrong = |pointer, message| Invalid::one(pointer, Code::FieldInvalid, message);
    if ProducerVerifier::from_hex(&key.public_key).is_err() {
        return Err(wrong("/public_key", "give a usable Ed25519 public key").into());
    }
    let empty = |until| key.valid_from.unwrap_or(now) >= until;
    if key.valid_until.is_some_and(empty) {
        return Err(wrong("/valid_until", "give an end that comes after the beginning").into());
    }
    if let Err(mut invalid) = Event::by_server(Draft::new(key.clone(), now)) {
        for error in &mut invalid.errors {
            error.pointer = error.pointer.replacen("/data", "", 1);
        }
        return Err(invalid.into());
    }
    Ok(())
}

/// The first 64 bits of the digest of a key, to name it by.
fn digest_of(public_key: &str) -> String {
    let digest = sha256(&[public_key.as_bytes()]);
    HEXLOWER.encode(digest.first_chunk::<8>().map_or(&[], |first| first.as_slice()))
}
