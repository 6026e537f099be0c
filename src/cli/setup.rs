//! A data directory: its ledger, its tokens, and the first token's file.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};

use super::config::Config;
use super::output::Output;
use super::system::{SOFTWARE, environment};
use crate::access::{Role, Scope, TokenFile};
use crate::files;
use crate::http::new_token;
use crate::ledger::{self, Ledgers, Settings};

/// What a server works on.
pub(super) struct Data {
    pub(super) ledgers: Arc<Ledgers>,
    pub(super) tokens: Arc<TokenFile>,
}

/// `whence init`: makes a data directory, or says that there is one.
pub(super) fn init(config: &Config, output: Output) -> anyhow::Result<()> {
    let there = config.data.join("tokens.json").exists();
    ensure!(!there, "{} is a data directory already", config.data.display());
    open(config, output).map(drop)
}

/// The settings of the ledgers in the data directory, which is made if it is missing.
pub(super) fn settings(config: &Config) -> anyhow::Result<Settings> {
    let folder = &config.data;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let mut settings = Settings::new(folder.clone(), &config.origin_host, SOFTWARE);
    settings.heads.clone_from(&config.heads);
    settings.accept_missing_head = config.accept_missing_head;
    Ok(settings)
}

/// Opens a data directory, and makes what is missing in it: the folder, a ledger if it has none, and a
/// first token that may do everything.
pub(super) fn open(config: &Config, output: Output) -> anyhow::Result<Data> {
    let folder = &config.data;
    let environment = environment();
    let ledgers = Ledgers::new(settings(config)?, environment.clone());
    if ledgers.names()?.is_empty() {
        match ledgers.create(&config.ledger) {
            // Another process came first: opening the ledger will say that it has it open.
            Ok(_) | Err(ledger::Error::Exists) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("ledger {}", config.ledger));
            }
        }
    }

    let tokens = TokenFile::open(&folder.join("tokens.json"))?;
    if tokens.list().is_empty() {
        let roles = [Role::Writer, Role::Investigator, Role::Auditor, Role::Admin];
        let (token, grant) = new_token(
            "first",
            BTreeSet::from(roles),
            Scope::All,
            environment.random.as_ref(),
            environment.clock.as_ref(),
        )?;
        // The file first: a token that is good but was never shown would lock everybody out.
        write_secret(&folder.join("admin.token"), token.reveal())?;
        tokens.add(&token, grant)?;
        output.note(&format!("first token (also in {}/admin.token):", folder.display()));
        output.note(token.reveal());
    }
    Ok(Data { ledgers: Arc::new(ledgers), tokens: Arc::new(tokens) })
}

/// Writes a secret where only its owner can read it.
pub(super) fn write_secret(path: &Path, secret: &str) -> anyhow::Result<()> {
    let written = files::replace(path, format!("{secret}\n").as_bytes());
    let written = written.and_then(|()| files::sync_parent(path));
    written.with_context(|| format!("cannot write {}", path.display()))
}
