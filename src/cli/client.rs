//! Talking to a server.

use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use ureq::Agent;

use super::config::Config;

/// Bytes of an answer that are taken.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How often a request that met a busy server is sent again.
const TRIES: u32 = 8;

/// A server and the token for it.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    url: String,
    ledger: String,
    token: Option<String>,
}

impl Client {
    pub(super) fn new(config: &Config) -> Self {
        Self::to(&config.url, &config.ledger, token(config))
    }

    /// The server.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The token for it.
    pub(super) fn token(&self) -> Option<String> {
        self.token.clone()
    }

    pub(super) fn to(url: &str, ledger: &str, token: Option<String>) -> Self {
        // Whoever installed a provider before has installed the same one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(2)))
            .build()
            .into();
        Self { agent, url: url.to_owned(), ledger: ledger.to_owned(), token }
    }

    /// A path below the ledger.
    pub(super) fn in_ledger(&self, path: &str) -> String {
        let path = format!("/v1/ledgers/{}/{path}", self.ledger);
        path.trim_end_matches('/').to_owned()
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.get_bytes(path)?;
        answer(status, &body)
    }

    /// The status and the body at a path.
    pub(super) fn get_bytes(&self, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let response = request.call().with_context(|| format!("cannot reach {}", self.url))?;
        read(response)
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
            let request = match &self.token {
                Some(token) => request.header("authorization", format!("Bearer {token}")),
                None => request,
            };
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

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.agent.delete(format!("{}{path}", self.url));
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let response = request.call().with_context(|| format!("cannot reach {}", self.url))?;
        let (status, body) = read(response)?;
        answer(status, &body)
    }
}

/// The token that was given, or the first one of the data directory: on the server's own machine it is
/// at hand.
pub(super) fn token(config: &Config) -> Option<String> {
    config.token.clone().or_else(|| {
        let token = std::fs::read_to_string(config.data.join("admin.token")).ok()?;
        Some(token.trim_end().to_owned())
    })
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
    let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let pointer = problem.pointer("/errors/0/pointer").and_then(Value::as_str).unwrap_or("");
    let place = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
    Err(anyhow!("the server answered {status} {}{place}: {}", text("code"), text("detail")))
}
