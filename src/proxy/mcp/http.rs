//! The proxy in front of a server that is talked to over streamable HTTP.
//!
//! Bodies pass as they come, in both directions, and so do headers but those of a connection. With
//! enforcement a message to the server is held until the log has decided about it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::net::TcpListener;

use super::Gateway;
use super::copy::Framing;
use super::dialogue::Place;
use super::enforce::{self, Verdict};
use super::message::{Direction, MESSAGE_BYTES_MAX};
use super::watcher::Tap;
use crate::proxy::client::{Outgoing, whole};
use crate::proxy::decoded::Decoder;
use crate::proxy::error::Error;
use crate::proxy::forward::{self, Tapped, Upstream, answer, problem};
use crate::proxy::outlet::Teller;

/// The session of the transport: ids are unique in it. It is none of ours.
const TRANSPORT_SESSION: &str = "mcp-session-id";

#[derive(Debug)]
struct Front {
    gateway: Gateway,
    upstream: Upstream,
    tap: Tap,
    exchanges: AtomicU64,
}

/// Passes on until it is told to stop.
pub async fn serve(
    gateway: Gateway,
    teller: &Teller,
    (listener, upstream): (TcpListener, &str),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let upstream = Upstream::new(upstream)?;
    let watcher = gateway.watch(teller)?;
    let front = Front { gateway, upstream, tap: watcher.tap(), exchanges: AtomicU64::new(0) };
    let front = Arc::new(front);
    let handle = move |request| {
        let front = Arc::clone(&front);
        async move { front.pass(request).await }
    };
    let served = forward::serve(listener, stop, handle).await;
    watcher.close();
    served.map_err(Error::of("cannot listen"))
}

/// Whether a request that is not posted holds nothing that a server could take for a message.
fn asks_only(method: &Method, body: &Incoming) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE)
        && body.is_end_stream()
}

impl Front {
    async fn pass(&self, request: Request<Incoming>) -> Response<Outgoing> {
        let exchange = self.exchanges.fetch_add(1, Ordering::Relaxed);
        let transport = session(request.headers());
        let place = Place {
            direction: Direction::ToServer,
            exchange: Some(exchange),
            transport: transport.clone(),
        };
        let (parts, body) = request.into_parts();
        let path = self.path(&parts.uri);
        let body = match (parts.method == Method::POST, self.gateway.enforce) {
            (false, true) if !asks_only(&parts.method, &body) => {
                let why = "whence passes on what is posted, and what asks without a body";
                return problem(StatusCode::METHOD_NOT_ALLOWED, why);
            }
            (false, _) => body.map_err(Into::into).boxed_unsync(),
            (true, false) => {
                let copy = Copied::of(&self.tap, Framing::Whole, place, &parts.headers);
                Tapped::of(body, copy)
            }
            (true, true) => match self.hold(&parts.headers, place, body).await {
                Ok(body) => body,
                Err(refusal) => return refusal,
            },
        };
        let sent = self.upstream.send(Request::from_parts(parts, body), &path).await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!("the server cannot be reached: {error}");
                self.tap.over(exchange, Some(StatusCode::BAD_GATEWAY.as_u16()));
                return problem(StatusCode::BAD_GATEWAY, "whence cannot reach the server");
            }
        };
        let (parts, body) = response.into_parts();
        let place = Place {
            direction: Direction::ToClient,
            exchange: Some(exchange),
            transport: session(&parts.headers).or(transport),
        };
        let framing = framing(&parts.headers);
        let mut copy = Copied::of(&self.tap, framing, place, &parts.headers);
        let failed = parts.status.is_client_error() || parts.status.is_server_error();
        copy.over = Some((exchange, failed.then(|| parts.status.as_u16())));
        Response::from_parts(parts, Tapped::of(body, copy))
    }

    /// Where on the server a request goes: to the same path, or, from the root, to the path that the
    /// proxy was given.
    fn path(&self, asked: &hyper::Uri) -> String {
        let path = if asked.path() == "/" { self.upstream.path() } else { asked.path() };
        asked.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
    }

    /// Holds a message until the log has decided. The error is the answer to the client.
    async fn hold(
        &self,
        headers: &HeaderMap,
        place: Place,
        body: Incoming,
    ) -> Result<Outgoing, Response<Outgoing>> {
        let refuse = |text: String| {
            let status = if text.is_empty() { StatusCode::ACCEPTED } else { StatusCode::OK };
            answer(status, text)
        };
        if headers.contains_key(CONTENT_ENCODING) {
            let why = "whence asks about what it can read: send messages that are not compressed";
            return Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let held = Limited::new(body, MESSAGE_BYTES_MAX).collect().await;
        let Ok(held) = held else { return Err(refuse(enforce::too_large())) };
        let bytes = held.to_bytes();
        match enforce::decide(&self.gateway, &self.tap, &place, &bytes).await {
            Verdict::Pass => {
                let stream = self.tap.open(Framing::Whole, place);
                self.tap.bytes(stream, bytes.clone());
                self.tap.end(stream);
                Ok(whole(bytes))
            }
            Verdict::Refuse(text) => Err(refuse(text)),
        }
    }
}

fn session(headers: &HeaderMap) -> Option<String> {
    headers.get(TRANSPORT_SESSION)?.to_str().ok().map(str::to_owned)
}

/// How messages stand in an answer.
fn framing(headers: &HeaderMap) -> Framing {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    if kind.eq_ignore_ascii_case("text/event-stream") { Framing::Events } else { Framing::Whole }
}

/// The copy of a body.
struct Copied {
    tap: Tap,
    stream: u64,
    decoder: Decoder,
    /// Whether it was told that it cannot be read.
    lost: bool,
    /// The exchange that ends with it, and the status with which it failed.
    over: Option<(u64, Option<u16>)>,
}

impl Copied {
    fn of(tap: &Tap, framing: Framing, place: Place, headers: &HeaderMap) -> Self {
        let stream = tap.open(framing, place);
        Self { tap: tap.clone(), stream, decoder: Decoder::of(headers), lost: false, over: None }
    }
}

impl forward::Tap for Copied {
    fn bytes(&mut self, bytes: &Bytes) {
        if let Decoder::Plain = self.decoder {
            self.tap.bytes(self.stream, bytes.clone());
            return;
        }
        let (tap, stream) = (&self.tap, self.stream);
        let mut each = |plain: &[u8]| tap.bytes(stream, Bytes::copy_from_slice(plain));
        if !self.decoder.feed(bytes, &mut each) && !std::mem::replace(&mut self.lost, true) {
            tap.lose(stream);
        }
    }

    fn end(&mut self, _complete: bool) {
        self.tap.end(self.stream);
        if let Some((exchange, failed)) = self.over {
            self.tap.over(exchange, failed);
        }
    }
}
