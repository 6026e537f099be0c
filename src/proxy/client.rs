//! HTTP to others: to the log, and to what a proxy stands in front of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::error::Error;

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long the log may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Bytes of an answer of the log that are read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What went wrong on the way, for which there is no remedy here but to try again.
pub(super) type Lost = Box<dyn std::error::Error + Send + Sync>;
/// A body that is sent.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, Lost>;

/// Connections to servers, kept for the next request.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Outgoing>,
}

impl Client {
    /// A client for the server at this URL that believes the certificates in `roots` (PEM), or else
    /// those that the system believes.
    pub(super) fn new(url: &Uri, roots: Option<&[u8]>) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = HttpsConnectorBuilder::new();
        let config = |roots| {
            let config = ClientConfig::builder_with_provider(Arc::clone(&provider));
            let config = config
                .with_safe_default_protocol_versions()
                .map_err(|error| Error::Certificates(error.into()))?;
            Ok(config.with_root_certificates(roots).with_no_client_auth())
        };
        let builder = match roots {
            // A machine without any certificates can still talk to itself.
            _ if url.scheme_str() == Some("http") => {
                builder.with_tls_config(config(RootCertStore::empty())?)
            }
            None => builder
                .with_provider_and_platform_verifier(Arc::clone(&provider))
                .map_err(|error| Error::Certificates(error.into()))?,
            Some(pem) => builder.with_tls_config(config(store(pem)?)?),
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        let connector = builder.https_or_http().enable_all_versions().wrap_connector(tcp);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http1_preserve_header_case(true)
            .build(connector);
        Ok(Self { pool })
    }

    /// Sends a request. The answer comes as its head is there; its body follows as it comes.
    pub(super) async fn send(
        &self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, Lost> {
        Ok(self.pool.request(request).await?)
    }
}

fn store(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| Error::Certificates(error.into()))?;
        store.add(certificate).map_err(|error| Error::Certificates(error.into()))?;
    }
    if store.is_empty() {
        return Err(Error::Certificates("there is none".into()));
    }
    Ok(store)
}

/// A body of bytes that are there.
pub(super) fn whole(bytes: Bytes) -> Outgoing {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The log that is told: a ledger of a server, and the token for it.
#[derive(Clone)]
pub struct Log {
    client: Client,
    url: String,
    ledger: String,
    token: Option<HeaderValue>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("url", &self.url)
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

/// What the log answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// After how many seconds it wants to be asked again.
    pub(super) retry_after: Option<u64>,
    pub(super) body: Bytes,
}

impl Log {
    /// The ledger of this name on the server at this URL. `roots` are the certificates that it must
    /// have one of (PEM), in place of those that the system believes.
    pub fn new(
        url: &str,
        ledger: &str,
        token: Option<&str>,
        roots: Option<&[u8]>,
    ) -> Result<Self, Error> {
        let url = url.trim_end_matches('/').to_owned();
        let parsed: Uri = url.parse().map_err(|_| Error::Url)?;
        if parsed.host().is_none() || !matches!(parsed.scheme_str(), Some("http" | "https")) {
            return Err(Error::Url);
        }
        let token = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}")));
        let mut token = token.transpose().map_err(|_| Error::Url)?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        Ok(Self { client: Client::new(&parsed, roots)?, url, ledger: ledger.to_owned(), token })
    }

    /// What names it: spooled bodies are for the log that they were made for.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.url, self.ledger)
    }

    /// Posts below the ledger.
    pub(super) async fn post(
        &self,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Answer, Lost> {
        let uri = format!("{}/v1/ledgers/{}/{path}", self.url, self.ledger);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let request = request.body(whole(body))?;
        tokio::time::timeout(ANSWER_MAX, async {
            let response = self.client.send(request).await?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get(RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            // The status has decided; a body that is cut off explains less.
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            Ok(Answer { status, retry_after, body })
        })
        .await?
    }
}
