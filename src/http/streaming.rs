//! Large answers: made piece by piece as the client takes them, and few at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use super::app::blocking;
use super::error::ApiError;

/// Bytes at which a piece is large enough.
pub(super) const PIECE_BYTES: usize = 1024 * 1024;
/// How long a request waits for its turn to make a large answer.
const TURN_MAX: Duration = Duration::from_secs(20);

/// The right to hold a large answer in memory, until it is dropped.
pub(super) type Turn = OwnedSemaphorePermit;

/// Waits for the right to make a large answer.
pub(super) async fn turn(app: &App) -> Result<Turn, ApiError> {
    let turn = Arc::clone(&app.answers).acquire_owned();
    match tokio::time::timeout(TURN_MAX, turn).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(ApiError::busy()),
    }
}

/// An answer that is given out in pieces: `next` reads the disk for each, and says `None` at the end.
///
/// What fails before the first piece is an error like any other; what fails after it cuts the answer
/// off, which the client sees.
pub(super) async fn pieces(
    turn: Turn,
    media: &'static str,
    mut next: impl FnMut() -> Result<Option<Vec<u8>>, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let (first, second, next) = blocking(move || {
        let first = next()?.unwrap_or_default();
        let second = next()?;
        Ok((first, second, next))
    })
    .await?;
    let Some(second) = second else { return Ok(whole(turn, StatusCode::OK, media, first)) };
    let (sender, body) = Channel::<Bytes, io::Error>::new(1);
    tokio::spawn(send(turn, sender, [first, second], next));
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(media))], Body::new(body)).into_response())
}

async fn send(
    turn: Turn,
    mut sender: Sender<Bytes, io::Error>,
    made: [Vec<u8>; 2],
    mut next: impl FnMut() -> Result<Option<Vec<u8>>, ApiError> + Send + 'static,
) {
    for piece in made {
        if sender.send_data(piece.into()).await.is_err() {
            return;
        }
    }
    loop {
        let made = blocking(move || Ok((next(), next))).await;
        let piece = match made {
            Ok((Ok(Some(piece)), rest)) => {
                next = rest;
                piece
            }
            Ok((Ok(None), _)) => break,
            Ok((Err(error), _)) | Err(error) => {
                let cause = error.cause.unwrap_or(error.detail);
                tracing::error!(cause, "an answer was cut off");
                sender.abort(io::Error::other("the answer cannot be finished"));
                break;
            }
        };
        // The client has gone away.
        if sender.send_data(piece.into()).await.is_err() {
            break;
        }
    }
    drop(turn);
}

/// An answer that is in memory as a whole, which counts as held until the client has it.
pub(super) fn whole(
    turn: Turn,
    status: StatusCode,
    media: &'static str,
    bytes: Vec<u8>,
) -> Response {
    let media = HeaderValue::from_static(media);
    let bytes = Bytes::from_owner(Held { bytes, _turn: turn });
    (status, [(header::CONTENT_TYPE, media)], bytes).into_response()
}

/// Bytes, and the right to hold them.
struct Held {
    bytes: Vec<u8>,
    _turn: Turn,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
