//! What the commands have in common that record what passes: who is accountable, and where it is told.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args as ClapArgs;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::client::token_for;
use super::config::{Config, Layers};
use super::output::Output;
use super::serve;
use super::system::SystemMachine;
use crate::capture::otlp::Attributes;
use crate::proxy::{Ids, Log, Machine, Options, Outlet, Who};

/// How long what was told is sent on when the work is over. What is left waits in the spool.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes in a MiB.
const MIB: u64 = 1024 * 1024;

/// Who is accountable for what passes.
#[derive(Debug, ClapArgs)]
pub(super) struct Identity {
    /// Who is accountable for what passes
    #[arg(long, env = "WHENCE_USER", value_name = "ID")]
    pub(super) user: Option<String>,
    /// What the user is: human or organization
    #[arg(long, value_name = "TYPE", default_value = "human")]
    pub(super) user_type: String,
    /// The session that it belongs to [default: a new one for each run]
    #[arg(long, env = "WHENCE_SESSION", value_name = "ID")]
    pub(super) session: Option<String>,
    /// The agent that acts
    #[arg(long, env = "WHENCE_AGENT", value_name = "ID")]
    pub(super) agent: Option<String>,
    /// The grant under which the agent acts
    #[arg(long, env = "WHENCE_DELEGATION", value_name = "ID")]
    pub(super) delegation: Option<String>,
}

/// Where what passed waits for the log.
#[derive(Debug, ClapArgs)]
pub(super) struct Spooling {
    /// Folder in which what passed waits for the log [default: whence/spool in the user's state
    /// directory]
    #[arg(long, env = "WHENCE_SPOOL", value_name = "DIR")]
    pub(super) spool: Option<PathBuf>,
    /// MiB that may wait there
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub(super) spool_mib: u64,
}

/// What a recording command works with.
pub(super) struct Recording {
    pub(super) who: Who,
    pub(super) log: Log,
    pub(super) machine: Arc<dyn Machine>,
    pub(super) ids: Arc<Ids>,
    pub(super) outlet: Outlet,
}

impl Identity {
    /// The same as the proxies know it, without what was left out or is empty.
    pub(super) fn who(&self) -> Who {
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        Who {
            user: given(&self.user),
            user_type: Some(self.user_type.clone()),
            session: given(&self.session),
            agent: given(&self.agent),
            delegation: given(&self.delegation),
        }
    }
}

impl Recording {
    /// Opens the spool and starts to send. What is observed as `observed_by` is told by `producer`.
    pub(super) fn start(
        config: &Config,
        mut who: Who,
        spooling: &Spooling,
        (observed_by, producer): (&str, &str),
        output: Output,
    ) -> anyhow::Result<Self> {
        let machine: Arc<dyn Machine> = Arc::new(SystemMachine);
        let ids = Ids::new(&*machine).context("the system gives no random bytes")?;
        let session = who.session.get_or_insert_with(|| ids.uuid()).clone();
        output.note(&format!("whence: recording in session {session}"));
        let log = log(config)?;
        let resource = [
            ("service.name", json!(producer)),
            ("service.version", json!(env!("CARGO_PKG_VERSION"))),
            ("whence.observed_by", json!(observed_by)),
        ];
        let resource = resource.map(|(name, value)| (name.to_owned(), value));
        let options = Options {
            log: log.clone(),
            spool: spool(spooling)?,
            spool_bytes_max: spooling.spool_mib.max(1).saturating_mul(MIB),
            resource: Attributes::from(resource),
        };
        let outlet = Outlet::open(options, Arc::clone(&machine))
            .context("what passes could not be recorded, so nothing passes")?;
        Ok(Self { who, log, machine, ids: Arc::new(ids), outlet })
    }

    /// Sends what is left, for a while.
    pub(super) fn close(self) {
        self.outlet.close(PATIENCE);
    }
}

/// The log that is told.
fn log(config: &Config) -> anyhow::Result<Log> {
    let token = token_for(config, &config.url)?;
    let roots = config
        .ca
        .as_ref()
        .map(|path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display())));
    let (token, roots) = (token.as_deref(), roots.transpose()?);
    let log = Log::new(&config.url, &config.ledger.to_string(), token, roots.as_deref());
    log.with_context(|| format!("the log at {} cannot be told", config.url))
}

/// The folder of the spool.
fn spool(spooling: &Spooling) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &spooling.spool {
        return Ok(folder.clone());
    }
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = folder("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(folder("HOME")?).join(".local/state")));
    let state = state.context("say with --spool where what passed may wait for the log")?;
    Ok(state.join("whence").join("spool"))
}

/// Makes sure that the log will take what is recorded of this user, session and agent: it is too late
/// when it has happened.
pub(super) fn check(who: &Who, observed_by: &str) -> anyhow::Result<()> {
    who.user.as_ref().with_context(|| {
        "nobody is accountable for what passes: say who the user is with --user or WHENCE_USER, \
         such as --user alice@example.com"
    })?;
    who.agent.as_ref().with_context(|| {
        "nobody is said to act: say which agent it is with --agent or WHENCE_AGENT, such as \
         --agent invoice-agent"
    })?;
    who.fault(observed_by).map_or(Ok(()), |fault| Err(anyhow!("{fault}")))
}

/// Listens on the address that was typed, or on this port of the machine itself. The address in the
/// configuration is the server's.
pub(super) fn listen(layers: &Layers, port: u16) -> anyhow::Result<TcpListener> {
    let address = match &layers.flags.listen {
        None => SocketAddr::from(([127, 0, 0, 1], port)),
        Some(address) => {
            address.parse().with_context(|| format!("{address} is not an address and a port"))?
        }
    };
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
}

/// Serves until a signal says that it is to stop.
pub(super) fn until_stopped<S, F, E>(
    listener: TcpListener,
    output: Output,
    serve: S,
) -> anyhow::Result<()>
where
    S: FnOnce(tokio::net::TcpListener, Stop) -> F,
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let runtime = serve::runtime()?;
    let served = runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        output.note(&format!("listening on http://{}", listener.local_addr()?));
        let stop: Stop = Box::pin(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        serve(listener, stop).await.context("the proxy failed")
    });
    runtime.shutdown_background();
    served
}

/// Comes when a signal does.
pub(super) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;
