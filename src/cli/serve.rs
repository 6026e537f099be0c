//! `whence serve`.

use std::io::IsTerminal;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::config::{Config, LogFormat};
use super::output::Output;
use super::setup::{self, Data};
use super::system::environment;
use crate::http::{self, App, Limits, ServeOptions, Times, Tls};
use crate::ledger::{self, Ledgers};
use crate::record::LedgerName;

/// How long requests in flight may take once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// How much the database may log, whatever the others may.
const DATABASE: &str = "sled=info";

/// Runs the server until it is told to stop, and leaves nothing behind that was not committed.
pub(super) fn serve(config: &Config, output: Output) -> anyhow::Result<()> {
    log(config)?;
    let tls = match &config.tls {
        Some((certificate, key)) => {
            let read = |path: &std::path::Path| {
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
            };
            Some(Tls { certificate: read(certificate)?, key: read(key)? })
        }
        None => None,
    };
    let Data { ledgers, tokens } = setup::open(config, output)?;
    open_ledgers(&ledgers, &config.ledger)?;
    let listener = TcpListener::bind(config.listen)
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let runtime = runtime()?;
    // Before anybody is told that the server is there: a signal that came earlier would be lost, or end
    // the process without ado.
    let (mut interrupt, mut terminate) = runtime.block_on(async {
        anyhow::Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    })?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    output.note(&format!("listening on {scheme}://{}", listener.local_addr()?));

    let limits = Limits {
        telemetry_times: Times {
            settle: config.telemetry_settle,
            timeout: config.telemetry_timeout,
            ..Times::default()
        },
        ..Limits::default()
    };
    let app = App::new(Arc::clone(&ledgers), tokens, &environment(), limits);
    let options = ServeOptions { listener, tls, drain: DRAIN };
    runtime.block_on(async {
        let stop = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        http::serve(app, options, stop).await.context("the server failed")
    })?;
    // What is still running lets go of the ledgers.
    drop(runtime);
    if let Some(ledgers) = Arc::into_inner(ledgers) {
        ledgers.close();
    }
    output.note("stopped");
    Ok(())
}

/// Opens the server's own ledger, or says why it cannot be opened. The others are opened when they
/// are first asked for: what is wrong with one of them is the matter of those who use it.
fn open_ledgers(ledgers: &Ledgers, own: &LedgerName) -> anyhow::Result<()> {
    match ledgers.get(own) {
        Ok(_) => {}
        // A server of imported ledgers needs none by that name.
        Err(ledger::Error::Unknown) => tracing::warn!(ledger = %own, "there is no such ledger"),
        Err(error) => return Err(error).with_context(|| format!("ledger {own}")),
    }
    for name in ledgers.names()?.iter().filter(|name| *name != own) {
        if let Err(error) = ledgers.settings().key(name) {
            let error = anyhow::Error::from(error);
            tracing::error!(ledger = %name, "the ledger cannot be opened: {error:#}");
        }
    }
    Ok(())
}

/// The runtime of a server.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("cannot start the runtime")
}

/// Starts logging, to stderr.
pub(super) fn log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).context("log is not a filter such as info")?;
    // Below this the database writes what it stores into the log, content and all.
    let quiet = DATABASE.parse().context("the database's part of the filter")?;
    let filter = filter.add_directive(quiet);
    let colours = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    let subscriber = subscriber.with_writer(std::io::stderr);
    let installed = match config.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
