//! Talking to a server.

use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use data_encoding::HEXUPPER;
use serde_json::Value;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, RequestBuilder};

use super::config::Config;
use super::output::shown;

/// Bytes of an answer that are taken.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How often a request that met a busy server is sent again.
const TRIES: u32 = 8;

/// A server and the token for it.
#[derive(Clone, Debug)]
pub(super) struct Client {
    agent: Agent,
    url: String,
    ledger: String,
    token: Option<String>,
}

impl Client {
    /// The configured server.
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        Self::to(config, &config.url)
    }

    /// A server at any URL, or a folder of it.
    ///
    /// The token that was configured is sent to whichever server that is; the one in the data
    /// directory only to this machine, since nobody said that another server is to see it. Neither
    /// is sent where the network could read it, unless that was allowed.
    pub(super) fn to(config: &Config, url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        let loopback = is_loopback(&uri);
        let token = token_for(config, url)?;
        let mut builder = Agent::config_builder()
            .http_status_as_error(false)
            // The API redirects nowhere, and a token is for the server that it was given for.
            .max_redirects(0)
            .timeout_global(Some(Duration::from_mins(2)))
            .tls_config(tls(config)?);
        if loopback {
            builder = builder.proxy(None);
        }
        let ledger = config.ledger.to_string();
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { agent: builder.build().into(), url, ledger, token })
    }

    /// The same server, with all paths below this one.
    pub(super) fn below(&self, path: &str) -> Self {
        Self { url: format!("{}{path}", self.url), ..self.clone() }
    }

    /// The server, or the folder of it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A path below the ledger. Ids in it are [`segment`]s.
    pub(super) fn in_ledger(&self, path: &str) -> String {
        let path = format!("/v1/ledgers/{}/{path}", self.ledger);
        path.trim_end_matches('/').to_owned()
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.get_bytes(path)?;
        answer(status, &body)
    }

    /// The same request, with the token that there is.
    fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// The status and the body at a path.
    pub(super) fn get_bytes(&self, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = self.authorized(request);
        let response = request.call().with_context(|| format!("cannot reach {}", self.url))?;
        read(response)
    }

    /// The body at a path as it comes, however long that takes.
    pub(super) fn stream(&self, path: &str) -> anyhow::Result<impl Read + 'static> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = request.config().timeout_global(None).build();
        let request = self.authorized(request);
        let response = request.call().with_context(|| format!("cannot reach {}", self.url))?;
        if response.status().as_u16() >= 300 {
            let (status, body) = read(response)?;
            answer(status, &body)?;
            bail!("the server answered {status}");
        }
        Ok(response.into_body().into_with_config().limit(u64::MAX).reader())
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.post_bytes(path, "application/json", body.to_string().as_bytes())
    }

    /// Posts, and posts again while the server is busy: the same bytes, so that nothing is doubled.
    pub(super) fn post_bytes(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> anyhow::Result<Value> {
        let mut wait = Duration::from_millis(100);
        for _ in 0..TRIES {
            let request = self.agent.post(format!("{}{path}", self.url));
            let request = request.header("content-type", content_type);
            let request = self.authorized(request);
            let response =
                request.send(body).with_context(|| format!("cannot reach {}", self.url))?;
            let (status, body) = read(response)?;
            if !matches!(status, 429 | 503) {
                return answer(status, &body);
            }
            thread::sleep(wait);
            wait *= 2;
        }
        bail!("{} stays busy or halted: try again later", self.url)
    }

    pub(super) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.put(format!("{}{path}", self.url));
        let request = request.header("content-type", "application/json");
        let request = self.authorized(request);
        let response = request.send(body.to_string().as_bytes());
        let (status, body) = read(response.with_context(|| format!("cannot reach {}", self.url))?)?;
        answer(status, &body)
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.agent.delete(format!("{}{path}", self.url));
        let request = self.authorized(request);
        let response = request.call().with_context(|| format!("cannot reach {}", self.url))?;
        let (status, body) = read(response)?;
        answer(status, &body)
    }
}

/// The token for the server at a URL, if there is one that it may see, in the way that
/// [`Client::to`] tells.
pub(super) fn token_for(config: &Config, url: &str) -> anyhow::Result<Option<String>> {
    let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
    let loopback = is_loopback(&uri);
    let token = match &config.token {
        Some(token) => Some(token.clone()),
        None if loopback => first_token(config),
        None => None,
    };
    let private = uri.scheme_str() == Some("https") || loopback || config.insecure_plain_http;
    ensure!(
        private || token.is_none(),
        "plain HTTP would show the token to the network on the way to {url}: use https, or say \
         --insecure-plain-http if something else encrypts it"
    );
    Ok(token)
}

/// The first token of the data directory: on the server's own machine it is at hand.
fn first_token(config: &Config) -> Option<String> {
    let token = std::fs::read_to_string(config.data.join("admin.token")).ok()?;
    Some(token.trim_end().to_owned())
}

/// How servers are told to be who they say.
pub(super) fn tls(config: &Config) -> anyhow::Result<TlsConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder().root_certs(roots(config)?);
    Ok(tls.unversioned_rustls_crypto_provider(provider).build())
}

/// Whether a URL leads to this machine, whatever the network does.
pub(super) fn is_loopback(uri: &Uri) -> bool {
    let Some(host) = uri.host() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whose certificates are believed: the configured ones, or those that the system believes.
fn roots(config: &Config) -> anyhow::Result<RootCerts> {
    let Some(path) = &config.ca else { return Ok(RootCerts::PlatformVerifier) };
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        let item = item.with_context(|| format!("{} is not PEM", path.display()))?;
        if let PemItem::Certificate(certificate) = item {
            certificates.push(certificate);
        }
    }
    ensure!(!certificates.is_empty(), "{} holds no certificate", path.display());
    Ok(RootCerts::from(certificates))
}

/// A text as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push('%');
            path.push_str(&HEXUPPER.encode(&[byte]));
        }
    }
    path
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<(u16, Vec<u8>)> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    Ok((status, body.context("the answer ended early")?))
}

/// The JSON of an answer, or the problem that it describes.
fn answer(status: u16, body: &[u8]) -> anyhow::Result<Value> {
    if status < 300 {
        return if body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(body)?) };
    }
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| shown(problem.get(name).and_then(Value::as_str).unwrap_or(""));
    let pointer = problem.pointer("/errors/0/pointer").and_then(Value::as_str).unwrap_or("");
    let pointer = shown(pointer);
    let place = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
    Err(anyhow!("the server answered {status} {}{place}: {}", text("code"), text("detail")))
}
