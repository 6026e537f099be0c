//! In front of a model's API: requests and answers pass as they come, and each exchange is told as a chat.
//!
//! Keys pass and are never kept: neither headers nor queries are, and of errors only their kind.

mod chat;
mod exchange;
mod messages;
mod parts;
mod responses;
mod tell;

use std::future::Future;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::net::TcpListener;

use super::client::Outgoing;
use super::error::Error;
use super::forward::{self, Tap, Tapped, Upstream, problem};
use super::machine::{Ids, Machine};
use super::outlet::Teller;
use super::trace::traceparent;
use super::who::Who;
use exchange::{Api, Exchange, Kept, Room};

/// Exchanges that wait to be told.
const WAITING_MAX: usize = 1_024;
/// Who observes what passes here.
const OBSERVED_BY: &str = "llm_gateway";

/// Which APIs a gateway stands in front of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Whichever the path names.
    Any,
    /// Chat completions and responses.
    OpenAi,
    /// Messages.
    Anthropic,
}

/// What a proxy in front of a model's API knows beforehand.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Who is accountable where a request does not say.
    pub who: Who,
    /// Which APIs it stands in front of.
    pub speaks: Speaks,
    /// The machine.
    pub machine: Arc<dyn Machine>,
    /// Where ids come from.
    pub ids: Arc<Ids>,
}

#[derive(Debug)]
struct Front {
    gateway: Gateway,
    upstream: Upstream,
    teller: Teller,
    room: Room,
    told: mpsc::SyncSender<Exchange>,
}

/// Passes on until it is told to stop.
pub async fn serve(
    gateway: Gateway,
    teller: &Teller,
    (listener, upstream): (TcpListener, &str),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let upstream = Upstream::new(upstream)?;
    let (told, exchanges) = mpsc::sync_channel(WAITING_MAX);
    let host = upstream.host().to_owned();
    let reader = read(exchanges, teller.clone(), Arc::clone(&gateway.ids), host)?;
    let (teller, room) = (teller.clone(), Room::default());
    let front = Arc::new(Front { gateway, upstream, teller, room, told });
    let handle = {
        let front = Arc::clone(&front);
        move |request| {
            let front = Arc::clone(&front);
            async move { front.pass(request).await }
        }
    };
    let served = forward::serve(listener, stop, handle).await;
    drop(front);
    // What is still in flight keeps the thread; then it is left behind.
    let joined = tokio::task::spawn_blocking(move || reader.join());
    drop(tokio::time::timeout(std::time::Duration::from_secs(5), joined).await);
    served.map_err(Error::of("cannot listen"))
}

/// The thread that reads what passed, so that nothing that passes waits for it.
fn read(
    exchanges: mpsc::Receiver<Exchange>,
    teller: Teller,
    ids: Arc<Ids>,
    host: String,
) -> Result<JoinHandle<()>, Error> {
    let run = move || {
        for exchange in exchanges {
            teller.tell(tell::span(&exchange, &ids, &host));
        }
    };
    let thread = std::thread::Builder::new().name("whence-read".to_owned());
    thread.spawn(run).map_err(Error::of("a thread cannot be started"))
}

impl Front {
    async fn pass(self: Arc<Self>, mut request: Request<Incoming>) -> Response<Outgoing> {
        let start_ns = self.gateway.machine.now_ns();
        let who = take_who(request.headers_mut()).or(&self.gateway.who);
        let path = self.path(request.uri());
        let recorded = request.method() == Method::POST;
        let api = Api::of(request.uri().path()).filter(|api| recorded && self.speaks(*api));
        let Some(api) = api else {
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            return self.upstream.send(request, &path).await.map_or_else(
                |error| unreachable(&*error),
                |response| response.map(|body| body.map_err(Into::into).boxed_unsync()),
            );
        };
        if let Some(fault) = who.fault(OBSERVED_BY) {
            let message = format!(
                "whence: {fault} Name the user in the header whence-user and the agent in \
                 whence-agent, or give the gateway --user and --agent."
            );
            return problem(StatusCode::BAD_REQUEST, &message);
        }
        let around = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        let exchange = Exchange {
            api,
            who,
            around: around.and_then(traceparent),
            start_ns,
            end_ns: start_ns,
            status: None,
            streamed: false,
            complete: false,
            request: Kept::new(&self.room, request.headers()),
            response: Kept::new(&self.room, &HeaderMap::new()),
        };
        self.record(exchange, request, &path).await
    }

    async fn record(
        self: Arc<Self>,
        mut exchange: Exchange,
        request: Request<Incoming>,
        path: &str,
    ) -> Response<Outgoing> {
        let (asked, kept) = tokio::sync::oneshot::channel();
        let fresh = Kept::new(&self.room, &HeaderMap::new());
        let copy = Asking {
            kept: Some(std::mem::replace(&mut exchange.request, fresh)),
            asked: Some(asked),
        };
        let request = request.map(|body| Tapped::of(body, copy));
        // From here on it is told, whatever happens: also if the client goes away.
        let mut telling = Telling { front: Arc::clone(&self), exchange: Some(exchange), kept };
        match self.upstream.send(request, path).await {
            Err(error) => {
                if let Some(exchange) = &mut telling.exchange {
                    exchange.status = Some(StatusCode::BAD_GATEWAY.as_u16());
                }
                unreachable(&*error)
            }
            Ok(response) => {
                let (parts, body) = response.into_parts();
                if let Some(exchange) = &mut telling.exchange {
                    exchange.status = Some(parts.status.as_u16());
                    exchange.streamed = is_stream(&parts.headers);
                    exchange.response = Kept::new(&self.room, &parts.headers);
                }
                Response::from_parts(parts, Tapped::of(body, telling))
            }
        }
    }

    /// Where a request goes: below the path that the gateway was given.
    fn path(&self, asked: &hyper::Uri) -> String {
        let path = format!("{}{}", self.upstream.path().trim_end_matches('/'), asked.path());
        asked.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"))
    }

    fn speaks(&self, api: Api) -> bool {
        match self.gateway.speaks {
            Speaks::Any => true,
            Speaks::OpenAi => matches!(api, Api::Chat | Api::Responses),
            Speaks::Anthropic => api == Api::Messages,
        }
    }
}

fn unreachable(error: &(dyn std::error::Error + Send + Sync)) -> Response<Outgoing> {
    // An error of the connection names no more than that.
    tracing::warn!("the API cannot be reached: {error}");
    problem(StatusCode::BAD_GATEWAY, "whence cannot reach the API")
}

/// Who is accountable, as headers of the request say. They go no further.
fn take_who(headers: &mut HeaderMap) -> Who {
    let mut take = |name: &str| {
        let value = headers.remove(name)?;
        // What is not text is no id either: it is found to be none.
        let text = String::from_utf8(value.as_bytes().to_vec());
        Some(text.unwrap_or_else(|_| "\0".to_owned()))
    };
    let user = take("whence-user");
    let user_type = take("whence-user-type").or_else(|| user.as_ref().map(|_| "human".to_owned()));
    Who {
        user,
        user_type,
        session: take("whence-session"),
        agent: take("whence-agent"),
        delegation: take("whence-delegation"),
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("text/event-stream")
}

/// The copy of a request.
struct Asking {
    kept: Option<Kept>,
    asked: Option<tokio::sync::oneshot::Sender<Kept>>,
}

impl Tap for Asking {
    fn bytes(&mut self, bytes: &Bytes) {
        if let Some(kept) = &mut self.kept {
            kept.add(bytes);
        }
    }

    fn end(&mut self, _complete: bool) {
        if let (Some(kept), Some(asked)) = (self.kept.take(), self.asked.take()) {
            // Nobody waits for it only if nobody tells it.
            drop(asked.send(kept));
        }
    }
}

/// The copy of an answer. With it the exchange is over.
struct Telling {
    front: Arc<Front>,
    exchange: Option<Exchange>,
    kept: tokio::sync::oneshot::Receiver<Kept>,
}

impl Telling {
    fn tell(&mut self, complete: bool) {
        let Some(mut exchange) = self.exchange.take() else { return };
        let front = &self.front;
        exchange.complete = complete;
        exchange.end_ns = front.gateway.machine.now_ns();
        if let Ok(kept) = self.kept.try_recv() {
            exchange.request = kept;
        }
        let (start_ns, end_ns) = (exchange.start_ns, exchange.end_ns);
        if front.told.try_send(exchange).is_err() {
            front.teller.missed(1, start_ns, end_ns);
        }
    }
}

impl Tap for Telling {
    fn bytes(&mut self, bytes: &Bytes) {
        if let Some(exchange) = &mut self.exchange {
            exchange.response.add(bytes);
        }
    }

    fn end(&mut self, complete: bool) {
        self.tell(complete);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.tell(false);
    }
}
