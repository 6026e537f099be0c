//! `whence mcp`: records what passes between an agent and an MCP server.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::config::{Config, Layers};
use super::output::Output;
use super::recording::{self, Identity, Recording, Spooling};
use super::serve;
use crate::proxy::mcp::stdio::{Ends, Relay};
use crate::proxy::mcp::{Gateway, ServerName, http};

/// Who observes.
const OBSERVED_BY: &str = "mcp_gateway";
/// Where it listens, if nothing else is said.
const PORT: u16 = 7118;
/// The name of the program in the log.
const PRODUCER: &str = "whence-mcp";
/// How long a server's last words may take after it has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The exit code of a shell for a program that cannot be run.
const EXIT_CANNOT_RUN: u8 = 127;

#[derive(Debug, ClapArgs)]
pub(super) struct Mcp {
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    spooling: Spooling,
    /// What to call the server [default: what it calls itself]
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Ask the log before a tool is called, and let no call pass that it does not allow
    #[arg(long)]
    enforce: bool,
    /// The server's URL, to stand in front of it over HTTP [--listen default: 127.0.0.1:7118]
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    upstream: Option<String>,
    /// The server's command, to talk to over standard input and output
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Stands in front of a server until that ends, and ends as it did.
pub(super) fn mcp(
    config: &Config,
    layers: &Layers,
    args: &Mcp,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let name = match (args.command.first(), &args.upstream) {
        (Some(program), _) => {
            let name = Path::new(program).file_name().unwrap_or(program);
            name.to_string_lossy().into_owned()
        }
        (None, Some(upstream)) => upstream.clone(),
        (None, None) => bail!("give the server's command, such as: whence mcp -- npx some-server"),
    };
    serve::log(config)?;
    let who = args.identity.who();
    recording::check(&who, OBSERVED_BY)?;
    let listener = match &args.upstream {
        Some(_) => Some(recording::listen(layers, PORT)?),
        None => None,
    };
    let names = (OBSERVED_BY, PRODUCER);
    let recording = Recording::start(config, who, &args.spooling, names, output)?;
    let gateway = Gateway {
        who: recording.who.clone(),
        producer: PRODUCER.to_owned(),
        server: match &args.server {
            Some(given) => ServerName::given(given),
            None => ServerName::until_known(&name),
        },
        enforce: args.enforce,
        log: recording.log.clone(),
        machine: Arc::clone(&recording.machine),
        ids: Arc::clone(&recording.ids),
    };
    let code = match (listener, &args.upstream) {
        (Some(listener), Some(upstream)) => {
            stand(gateway, &recording, (listener, upstream), output).map(|()| ExitCode::SUCCESS)
        }
        _ => run(gateway, &args.command, &recording, output),
    };
    recording.close();
    code
}

/// Stands in front of a server over HTTP until it is told to stop.
fn stand(
    gateway: Gateway,
    recording: &Recording,
    (listener, upstream): (TcpListener, &str),
    output: Output,
) -> anyhow::Result<()> {
    recording::until_stopped(listener, output, |listener, stop| async move {
        let teller = recording.outlet.teller();
        http::serve(gateway, &teller, (listener, upstream), stop).await
    })
}

/// Runs a server's command and passes everything on until that ends.
fn run(
    gateway: Gateway,
    command: &[OsString],
    recording: &Recording,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let (program, arguments) = command.split_first().context("there is no command")?;
    let spawned = Command::new(program)
        .args(arguments)
        // The server is nobody who may write into the log.
        .env_remove("WHENCE_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    match spawned {
        Ok(child) => relay(gateway, child, recording),
        Err(error) => {
            output.note(&format!("error: cannot run {}: {error}", program.to_string_lossy()));
            Ok(ExitCode::from(EXIT_CANNOT_RUN))
        }
    }
}

/// Passes everything on until the server ends.
fn relay(gateway: Gateway, mut child: Child, recording: &Recording) -> anyhow::Result<ExitCode> {
    let runtime = serve::runtime()?;
    let end = |fd: io::Result<std::os::fd::OwnedFd>| {
        fd.map(File::from).context("cannot take over standard input and output")
    };
    let ends = Ends {
        from_client: Box::new(end(io::stdin().as_fd().try_clone_to_owned())?),
        to_client: Box::new(end(io::stdout().as_fd().try_clone_to_owned())?),
        from_server: Box::new(child.stdout.take().context("the server has no output")?),
        to_server: Box::new(child.stdin.take().context("the server has no input")?),
    };
    let relay = Relay::start(gateway, &recording.outlet.teller(), ends, runtime.handle().clone())?;
    let status = runtime.block_on(wait(child))?;
    let mut left = LAST_WORDS;
    while !relay.is_over() && !left.is_zero() {
        let moment = Duration::from_millis(5);
        std::thread::sleep(moment);
        left = left.saturating_sub(moment);
    }
    relay.close();
    // A thread may still wait for the client.
    runtime.shutdown_background();
    Ok(exit_code(status))
}

/// Waits for the server, and passes on what it is told by signals meanwhile.
async fn wait(mut child: Child) -> anyhow::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // A terminal sends it to the server as well.
    let typed = io::stdin().is_terminal();
    let mut exited = tokio::task::spawn_blocking(move || child.wait());
    loop {
        let passed = tokio::select! {
            status = &mut exited => return status?.context("cannot wait for the server"),
            _ = interrupt.recv() => if typed { continue } else { Signal::INT },
            _ = terminate.recv() => Signal::TERM,
            _ = hangup.recv() => Signal::HUP,
        };
        if let Some(pid) = pid {
            // It may have ended just now, which is what the signal wants.
            let _ended = kill_process(pid, passed);
        }
    }
}

/// The server's exit code; for one that a signal ended, what a shell says.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
