//! Serving: on a socket and until a moment that the caller chooses.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;

use super::app::blocking;
use super::connection::{Gate, connections_max};
use super::{App, retention, router};

/// How long a client may take to send its first request's head, from its first byte or without any.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take for every other head, and lie idle before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Streams that one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 128;

/// The server's certificate chain and key, in PEM.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The chain.
    pub certificate: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

/// How to serve.
#[derive(Debug)]
pub struct ServeOptions {
    /// Where connections come in. The caller has bound it.
    pub listener: TcpListener,
    /// TLS, or plain text.
    pub tls: Option<Tls>,
    /// How long requests in flight may take once the server is to stop.
    pub drain: Duration,
}

/// Serves until `stop` is ready, then finishes what is in flight and returns. No request that was
/// acknowledged is lost by it, and none is cut off before the drain is over. What is still to be logged of
/// who read is in the ledgers on return.
pub async fn serve(
    app: App,
    options: ServeOptions,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let ServeOptions { listener, tls, drain } = options;
    listener.set_nonblocking(true)?;
    let handle = Handle::new();
    let stopping = handle.clone();
    tokio::spawn(async move {
        stop.await;
        stopping.graceful_shutdown(Some(drain));
    });
    let resuming = app.clone();
    let resumed = blocking(move || {
        resuming.resume();
        Ok(())
    });
    resumed.await.map_err(|_| io::Error::other("telemetry could not be resumed"))?;
    let (accesses, refusals) = (Arc::clone(&app.accesses), Arc::clone(&app.refusals));
    let purging = tokio::spawn(retention::run(app.clone()));
    let service = router(app.clone()).into_make_service();
    let gate = Gate::new(connections_max());
    let mut server = axum_server::from_tcp(listener)?.first_request_timeout(FIRST_HEAD_TIMEOUT);
    limit(server.http_builder());
    let server = server.handle(handle);
    let outcome = match tls {
        None => server.acceptor(gate).serve(service).await,
        Some(tls) => {
            let config = RustlsConfig::from_config(Arc::new(tls_config(&tls)?));
            let acceptor = RustlsAcceptor::new(config).handshake_timeout(FIRST_HEAD_TIMEOUT);
            server.acceptor(acceptor.acceptor(gate)).serve(service).await
        }
    };
    purging.abort();
    // It writes refusals, and so ends before they do.
    let intakes = Arc::clone(&app.intakes);
    let closed = blocking(move || {
        intakes.close();
        Ok(())
    });
    closed.await.map_err(|_| io::Error::other("telemetry could not be stopped"))?;
    refusals.close().await;
    accesses.close().await;
    blocking(move || {
        app.close();
        Ok(())
    })
    .await
    .map_err(|_| io::Error::other("an index could not be closed"))?;
    outcome
}

fn limit(builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>) {
    let timer = TokioTimer::new();
    builder
        .http1()
        .timer(timer.clone())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX.max(64 * 1024));
    builder
        .http2()
        .timer(timer)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
}

fn tls_config(tls: &Tls) -> io::Result<rustls::ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let unusable = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let chain = CertificateDer::pem_slice_iter(&tls.certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| unusable("the certificate file is not PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key)
        .map_err(|_| unusable("the key file is not a private key in PEM"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|_| unusable("the certificate and the key do not belong together"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
