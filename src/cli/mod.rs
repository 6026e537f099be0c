//! Commands, configuration, wiring, progress and tables.
//!
//! Only this room reads arguments, the environment, the clock and randomness, and only it prints: data
//! to stdout, everything else to stderr. Scripts rely on three exit codes (SPEC 8.4): 0 for verified or
//! done, 1 for tampering found, 2 for what could not be checked or done.
//!
//! What this room does not do: it decides nothing about the log. Start with [`args`].

mod append;
mod archive;
mod args;
mod catalog;
mod client;
mod config;
mod demo;
mod erasure;
mod gateway;
mod import;
mod jwks;
mod mcp;
mod output;
mod paint;
mod policy;
mod producer;
mod recording;
mod rows;
mod scene;
mod search;
mod serve;
mod session;
mod setup;
mod sources;
mod system;
mod table;
mod verify;
mod webhook;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use serde_json::Value;

use args::{Args, Command, KeyCommand, LedgerCommand, TokenCommand};
use client::{Client, segment};
use config::Config;
use output::Output;
use producer::Signer;

pub use config::{Layers, Raw, Setting};

/// Tampering was found.
const EXIT_TAMPERED: u8 = 1;
/// It could not be checked, or the command was used wrongly.
const EXIT_FAILED: u8 = 2;

/// Runs the command line, and says how it went in the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // If neither stream can be written to, nobody is left to tell.
            drop(error.print());
            let failed = error.use_stderr();
            return if failed { ExitCode::from(EXIT_FAILED) } else { ExitCode::SUCCESS };
        }
    };
    let output = Output::new(args.json);
    let only_shows = args.command.only_shows();
    match run(args, output) {
        Ok(code) => code,
        Err(error) if only_shows && output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn run(args: Args, output: Output) -> anyhow::Result<ExitCode> {
    let layers = Layers::read(args.settings.to_raw(), args.config.as_deref())?;
    let config = Config::new(&layers)?;
    for warning in layers.warnings() {
        output.note(&warning);
    }
    match args.command {
        Command::Init => setup::init(&config, output)?,
        Command::Serve => serve::serve(&config, output)?,
        Command::Demo(demo) => return demo::demo(&demo),
        Command::Append { file, sign, key_id } => {
            let signer = sign.zip(key_id).map(|(file, name)| Signer::read(&file, &name));
            append::append(&Client::new(&config)?, &file, signer.transpose()?.as_ref(), output)?;
        }
        Command::Grant(args) => producer::grant(&config, &args, output)?,
        Command::Gateway(args) => gateway::gateway(&config, &layers, &args, output)?,
        Command::Mcp(args) => return mcp::mcp(&config, &layers, &args, output),
        Command::Policy(command) => policy::policy(&Client::new(&config)?, command, output)?,
        Command::Producer(command) => producer::producer(&config, command, output)?,
        Command::Get { id } => {
            let client = Client::new(&config)?;
            let path = client.in_ledger(&format!("records/{}", segment(&id)));
            output.value(&client.get(&path)?)?;
        }
        Command::Session { id } => session::session(&Client::new(&config)?, &id, output)?,
        Command::Search(args) => search::search(&Client::new(&config)?, &args, output)?,
        Command::Sessions(args) => search::sessions(&Client::new(&config)?, &args, output)?,
        Command::Reindex { wait } => search::reindex(&Client::new(&config)?, wait, output)?,
        Command::Why { id } => why::why(&Client::new(&config)?, &id, output)?,
        Command::Effects { id } => why::effects(&Client::new(&config)?, &id, output)?,
        Command::Verify(verify) => return verify::verify(&config, &verify, output),
        Command::Export(export) if export.format.is_some() => {
            rows::export(&Client::new(&config)?, &export, output)?;
        }
        Command::Export(export) => archive::export(&config, &export, output)?,
        Command::Import(import) => import::import(&config, &import, output)?,
        Command::Erase { reach, reason, authority } => {
            erasure::erase(&Client::new(&config)?, &reach, &reason, &authority, output)?;
        }
        Command::Erasures => erasure::erasures(&Client::new(&config)?, output)?,
        Command::Hold(command) => erasure::hold(&Client::new(&config)?, command, output)?,
        Command::Compact => erasure::compact(&config, output)?,
        Command::Key(KeyCommand::Show) => {
            let client = Client::new(&config)?;
            let ledger = client.get(&client.in_ledger(""))?;
            output.line(ledger.get("key").and_then(Value::as_str).context("no key")?)?;
        }
        Command::Ledger(command) => ledger(&Client::new(&config)?, command, output)?,
        Command::Token(command) => token(&Client::new(&config)?, command, output)?,
        Command::Catalog(command) => catalog::catalog(&Client::new(&config)?, command, output)?,
        Command::Webhook(command) => webhook::webhook(&Client::new(&config)?, command, output)?,
        Command::Config => output.settings(&layers)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn ledger(client: &Client, command: LedgerCommand, output: Output) -> anyhow::Result<()> {
    let answer = match command {
        LedgerCommand::List => client.get("/v1/ledgers")?,
        LedgerCommand::Create { name } => {
            client.post("/v1/ledgers", &serde_json::json!({ "name": name }))?
        }
    };
    output.value(&answer)
}

fn token(client: &Client, command: TokenCommand, output: Output) -> anyhow::Result<()> {
    let answer = match command {
        TokenCommand::List => client.get("/v1/tokens")?,
        TokenCommand::Create { name, role, on, kind, producer } => {
            let limit = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
            let body = serde_json::json!({
                "name": name,
                "roles": role,
                "ledgers": limit(on),
                "kinds": limit(kind),
                "producers": limit(producer),
            });
            client.post("/v1/tokens", &body)?
        }
        TokenCommand::Revoke { id } => client.delete(&format!("/v1/tokens/{}", segment(&id)))?,
    };
    output.value(&answer)
}
