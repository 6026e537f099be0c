//! HTTP from clients to what a proxy stands in front of, unchanged but for what belongs to a connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderName, HeaderValue,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::client::{Client, Lost, Outgoing, whole};
use super::error::Error;

/// Connections of clients at a time.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a client may take to send the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// How long what is in flight may take when the proxy is told to stop.
const DRAIN: Duration = Duration::from_secs(3);
/// Headers that are for one connection alone (RFC 9110 §7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Answers requests until it is told to stop.
pub(super) async fn serve<H, F>(
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    handle: H,
) -> io::Result<()>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Outgoing>> + Send + 'static,
{
    let address = listener.local_addr()?;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (stopping, stopped) = watch::channel(false);
    tokio::pin!(stop);
    let mut conversations = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = &mut stop => break,
            _ = conversations.join_next(), if !conversations.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = stream else {
            // A client that has gone again, or too many open files: the next one may be luckier.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let (handle, stopped) = (handle.clone(), stopped.clone());
        conversations.spawn(async move {
            converse(stream, address, handle, stopped).await;
            drop(place);
        });
    }
    stopping.send_replace(true);
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    // What is not over by then is cut off, before it is told what there was of it.
    drop(tokio::time::timeout(DRAIN, room.acquire_many(all)).await);
    conversations.shutdown().await;
    Ok(())
}

async fn converse<H, F>(
    stream: TcpStream,
    address: SocketAddr,
    handle: H,
    mut stopped: watch::Receiver<bool>,
) where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<Outgoing>> + Send + 'static,
{
    // Small pieces are not to wait for larger ones.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request: Request<Incoming>| {
        let refused = refuse_name(address, request.headers());
        let answer = refused.is_none().then(|| handle(request));
        async move {
            let answer = match (answer, refused) {
                (Some(answer), _) => answer.await,
                (None, refused) => refused.unwrap_or_default(),
            };
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A connection that breaks concerns its client alone.
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}

/// On an address of the machine itself only names of the machine itself are answered to. A page in a
/// browser could have another name resolve to it, and the server behind would not notice.
fn refuse_name(address: SocketAddr, headers: &HeaderMap) -> Option<Response<Outgoing>> {
    let mut hosts = headers.get_all(HOST).into_iter();
    let host = hosts.next().filter(|_| hosts.next().is_none());
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or("");
    let name = host.parse::<hyper::http::uri::Authority>().ok();
    let name = name.as_ref().map_or("", |name| name.host()).trim_matches(['[', ']']);
    let own = name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let refused = address.ip().is_loopback() && !own;
    refused.then(|| problem(StatusCode::MISDIRECTED_REQUEST, "whence answers to localhost alone"))
}

/// An answer of our own.
pub(super) fn problem(status: StatusCode, message: &str) -> Response<Outgoing> {
    let body = json!({ "error": { "type": "whence", "message": message } }).to_string();
    answer(status, body)
}

/// An answer of our own, in JSON.
pub(super) fn answer(status: StatusCode, body: String) -> Response<Outgoing> {
    let mut response = Response::new(whole(body.into()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// What a proxy stands in front of.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    client: Client,
    url: Uri,
}

impl Upstream {
    /// The server at this URL, which has to have the certificate of one that the system believes.
    pub(super) fn new(url: &str) -> Result<Self, Error> {
        let url: Uri = url.parse().map_err(|_| Error::Url)?;
        if url.host().is_none() || !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(Error::Url);
        }
        Ok(Self { client: Client::new(&url, None)?, url })
    }

    /// The server's host.
    pub(super) fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    /// Its path.
    pub(super) fn path(&self) -> &str {
        self.url.path()
    }

    /// Sends a request on to this path, and gives the answer as soon as its head is there.
    pub(super) async fn send(
        &self,
        mut request: Request<Outgoing>,
        path: &str,
    ) -> Result<Response<Incoming>, Lost> {
        let mut url = self.url.clone().into_parts();
        url.path_and_query = Some(path.parse()?);
        *request.uri_mut() = Uri::from_parts(url)?;
        // Which version a client speaks is between it and us.
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        for_next_hop(headers);
        headers.remove(HOST);
        // The client's body is read as it comes, which is what it waits for.
        headers.remove(EXPECT);
        narrow(headers);
        let mut response = self.client.send(request).await?;
        for_next_hop(response.headers_mut());
        Ok(response)
    }
}

/// Takes the headers away that are for one connection alone.
fn for_next_hop(headers: &mut HeaderMap) {
    let named: Vec<_> = headers
        .get_all(CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse::<HeaderName>().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Asks for no encoding of the answer that the copy of it could not be read in.
fn narrow(headers: &mut HeaderMap) {
    let mut kept = Vec::new();
    let mut dropped = false;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for coding in value.to_str().unwrap_or("").split(',') {
            let name = coding.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
            let known = matches!(name.as_str(), "gzip" | "x-gzip" | "deflate" | "identity");
            dropped |= !known;
            if known {
                kept.push(coding.trim());
            }
        }
    }
    if dropped {
        let kept = if kept.is_empty() { "identity".to_owned() } else { kept.join(", ") };
        if let Ok(value) = HeaderValue::from_str(&kept) {
            headers.insert(ACCEPT_ENCODING, value);
        }
    }
}

/// Takes a copy of a body.
pub(super) trait Tap: Send + Unpin + 'static {
    /// These bytes are about to pass.
    fn bytes(&mut self, bytes: &Bytes);
    /// Nothing more passes; `complete` tells whether that was all.
    fn end(&mut self, complete: bool);
}

/// A body that passes, and a tap on it.
pub(super) struct Tapped<T: Tap> {
    body: Incoming,
    tap: T,
    over: bool,
}

impl<T: Tap> Tapped<T> {
    /// The body as it is sent on.
    pub(super) fn of(body: Incoming, tap: T) -> Outgoing {
        let mut tapped = Self { body, tap, over: false };
        if tapped.body.is_end_stream() {
            tapped.end(true);
        }
        tapped.boxed_unsync()
    }

    fn end(&mut self, complete: bool) {
        if !std::mem::replace(&mut self.over, true) {
            self.tap.end(complete);
        }
    }
}

impl<T: Tap> Body for Tapped<T> {
    type Data = Bytes;
    type Error = Lost;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Lost>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    self.tap.bytes(bytes);
                }
                // Whoever sends a body of known length does not ask for its end.
                if self.body.is_end_stream() {
                    self.end(true);
                }
            }
            Some(Err(_)) => self.end(false),
            None => self.end(true),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<T: Tap> Drop for Tapped<T> {
    fn drop(&mut self) {
        self.end(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_a_connection_stay_on_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Own"),
            ("x-own", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("authorization", "Bearer k"),
            ("content-length", "5"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for_next_hop(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["authorization", "content-length"]);
    }

    #[test]
    fn only_encodings_that_can_be_read_are_asked_for() {
        for (asked, kept) in [
            ("gzip, deflate", "gzip, deflate"),
            ("gzip, deflate, br, zstd", "gzip, deflate"),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip;q=0.8"),
            ("br", "identity"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(asked));
            narrow(&mut headers);
            assert_eq!(headers[ACCEPT_ENCODING], kept);
        }
        let mut none = HeaderMap::new();
        narrow(&mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn only_names_of_the_machine_itself_are_answered_to() {
        let address: SocketAddr = "127.0.0.1:7118".parse().unwrap();
        let with = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            refuse_name(address, &headers).is_some()
        };
        for good in ["localhost:7118", "127.0.0.1", "[::1]:7118", "LOCALHOST"] {
            assert!(!with(good), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example:7118", "127.0.0.1.evil.example", ""] {
            assert!(with(bad), "{bad}");
        }
        let open: SocketAddr = "0.0.0.0:7118".parse().unwrap();
        assert!(refuse_name(open, &HeaderMap::new()).is_none());
    }
}
