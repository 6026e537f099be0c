//! Webhooks: who is told of flags and gaps, and how far they have been told.
//!
//! They stand in a small file in the ledger's folder, readable for its owner alone because of the
//! secrets in it, which is replaced as a whole. Each has a thread of its own ([`super::delivery`]): one
//! that does not answer holds up no other.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use super::delivery::{Delivery, Outcome};
use super::event;
use super::follower::Stop;
use crate::files;
use crate::ledger::{Clock, Random};
use crate::record::data::Gap;
use crate::record::{Flag, Severity, Timestamp};
use crate::store::Committed;

/// Webhooks that a ledger may have.
const HOOKS_MAX: usize = 16;
/// The longest URL.
const URL_BYTES_MAX: usize = 2_048;

/// What a webhook is to be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookToKeep", description = "A webhook to be made or changed.")]
pub struct Wanted {
    /// Where messages go: http or https.
    pub url: String,
    /// The flags and gaps that are told of, by name; all if left out.
    #[serde(default)]
    pub flags: Vec<String>,
    /// How bad a flag or a gap has to be at least.
    pub min_severity: Option<Severity>,
}

/// A webhook as it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it is.
    pub wanted: Wanted,
    /// The record that was delivered last.
    pub last_delivered_seq: Option<u64>,
    /// All records before this one are delivered, or need not be.
    pub next_seq: u64,
    /// Since when no delivery succeeds.
    pub failing_since: Option<Timestamp>,
    /// What the receiver answered last.
    pub last_status: Option<u16>,
}

/// A webhook was made or changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Changed {
    /// What it is now.
    pub shown: Shown,
    /// Its secret, if it was made: it is shown this once.
    pub secret: Option<String>,
}

impl fmt::Debug for Changed {
    /// Secrets show themselves nowhere but where they were asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// A webhook cannot be made, changed or shown.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It is not what a webhook can be.
    #[error("{0}")]
    Invalid(&'static str),
    /// The ledger has as many as it may have.
    #[error("the ledger has {HOOKS_MAX} webhooks: remove one first")]
    TooMany,
    /// The file cannot be read or written.
    #[error("the file of webhooks cannot be used")]
    File(#[source] io::Error),
}

impl Wanted {
    /// Whether a webhook can be this.
    pub fn check(&self) -> Result<(), HookError> {
        let uri: Option<Uri> = self.url.parse().ok().filter(|_| self.url.len() <= URL_BYTES_MAX);
        let right = uri.is_some_and(|uri| {
            let known = matches!(uri.scheme_str(), Some("http" | "https"));
            let open = uri.authority().is_some_and(|host| !host.as_str().contains('@'));
            known && open
        });
        if !right {
            let what = "give an http or https URL of at most 2,048 bytes without a user name";
            return Err(HookError::Invalid(what));
        }
        let known = |name: &String| Flag::named(name).is_some() || Gap::named(name).is_some();
        if !self.flags.iter().all(known) {
            return Err(HookError::Invalid("give names of flags and of gaps"));
        }
        Ok(())
    }

    /// Where it leads, without the path, in which there may be secrets.
    pub fn origin(&self) -> String {
        let uri: Option<Uri> = self.url.parse().ok();
        let parts = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
        parts.map_or_else(String::new, |(scheme, host)| format!("{scheme}://{host}"))
    }
}

/// What is kept of a webhook.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) url: String,
    pub(super) flags: Vec<String>,
    pub(super) min_severity: Option<Severity>,
    pub(super) secret: String,
    /// The next record that is looked at.
    pub(super) next: u64,
    last_delivered: Option<u64>,
    failing_since: Option<Timestamp>,
    last_status: Option<u16>,
}

impl Kept {
    fn shown(&self) -> Shown {
        let Self { url, flags, min_severity, .. } = self.clone();
        Shown {
            wanted: Wanted { url, flags, min_severity },
            last_delivered_seq: self.last_delivered,
            next_seq: self.next,
            failing_since: self.failing_since,
            last_status: self.last_status,
        }
    }
}

/// The webhooks of a ledger.
pub struct Hooks {
    shared: Arc<Shared>,
}

/// What the threads share.
pub(super) struct Shared {
    pub(super) ledger: String,
    path: PathBuf,
    pub(super) log: Arc<dyn Committed>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    /// How long to wait after the first failure.
    pub(super) retry: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: BTreeMap<String, Kept>,
    running: BTreeMap<String, (Arc<Stop>, JoinHandle<()>)>,
    /// Those that were replaced or removed, and may still wait for an answer.
    ending: Vec<JoinHandle<()>>,
    /// Whether the file could not be read. Then it is left as it is.
    damaged: bool,
    closed: bool,
}

impl Hooks {
    pub(super) fn start(
        ledger: String,
        folder: &Path,
        log: Arc<dyn Committed>,
        options: &super::Options,
    ) -> Self {
        let path = folder.join("webhooks.json");
        let (clock, random) = (Arc::clone(&options.clock), Arc::clone(&options.random));
        let mut state = State::default();
        match read(&path) {
            Ok(kept) => state.kept = kept,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "no webhook is told of anything");
                state.damaged = true;
            }
        }
        let names: Vec<_> = state.kept.keys().cloned().collect();
        let (retry, state) = (options.retry, Mutex::new(state));
        let hooks =
            Self { shared: Arc::new(Shared { ledger, path, log, clock, random, retry, state }) };
        let mut state = hooks.shared.lock();
        for name in names {
            hooks.run(&mut state, name);
        }
        drop(state);
        hooks
    }

    /// All webhooks, by name.
    pub fn list(&self) -> Result<BTreeMap<String, Shown>, HookError> {
        let state = self.shared.lock();
        state.usable()?;
        Ok(state.kept.iter().map(|(name, kept)| (name.clone(), kept.shown())).collect())
    }

    /// Whether there is room for a webhook of this name.
    pub fn has_room(&self, name: &str) -> Result<(), HookError> {
        self.shared.lock().has_room(name)
    }

    /// Makes a webhook, which is told of the records from now on, or changes one, which keeps its secret
    /// and its place in the log.
    pub fn put(&self, name: &str, wanted: Wanted) -> Result<Changed, HookError> {
        wanted.check()?;
        let mut random = [0; 32];
        self.shared.random.fill(&mut random).map_err(HookError::File)?;
        let next = self.shared.log.size_beyond(0, Duration::ZERO);
        let mut state = self.shared.lock();
        state.has_room(name)?;
        let before = state.kept.get(name).cloned();
        let made = before.is_none();
        let Wanted { url, flags, min_severity } = wanted;
        let kept = match before.clone() {
            Some(kept) => Kept { url, flags, min_severity, ..kept },
            None => Kept {
                url,
                flags,
                min_severity,
                secret: event::secret(&random),
                next,
                last_delivered: None,
                failing_since: None,
                last_status: None,
            },
        };
        let secret = made.then(|| kept.secret.clone());
        let shown = kept.shown();
        state.kept.insert(name.to_owned(), kept);
        if let Err(error) = self.shared.save(&state) {
            match before {
                Some(before) => state.kept.insert(name.to_owned(), before),
                None => state.kept.remove(name),
            };
            return Err(HookError::File(error));
        }
        self.run(&mut state, name.to_owned());
        Ok(Changed { shown, secret })
    }

    /// Removes a webhook. Says whether there was one.
    pub fn remove(&self, name: &str) -> Result<bool, HookError> {
        let mut state = self.shared.lock();
        state.usable()?;
        let Some(kept) = state.kept.remove(name) else { return Ok(false) };
        if let Err(error) = self.shared.save(&state) {
            state.kept.insert(name.to_owned(), kept);
            return Err(HookError::File(error));
        }
        state.end(name);
        Ok(true)
    }

    /// Stops all deliveries, and waits for those that are on their way.
    pub(super) fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let names: Vec<_> = state.running.keys().cloned().collect();
        for name in &names {
            state.end(name);
        }
        let ending = std::mem::take(&mut state.ending);
        drop(state);
        for thread in ending {
            if thread.join().is_err() {
                tracing::error!("the thread of a webhook panicked");
            }
        }
        let state = self.shared.lock();
        if !state.damaged
            && !state.kept.is_empty()
            && let Err(error) = self.shared.save(&state)
        {
            tracing::warn!(%error, "where webhooks are in the log could not be saved");
        }
    }

    /// Starts the thread of a webhook, in place of the one that it had.
    fn run(&self, state: &mut State, name: String) {
        state.end(&name);
        if state.closed {
            return;
        }
        let stop = Arc::new(Stop::default());
        let delivery = Delivery {
            shared: Arc::clone(&self.shared),
            name: name.clone(),
            stop: Arc::clone(&stop),
        };
        match thread::Builder::new().name("webhook".to_owned()).spawn(move || delivery.run()) {
            Ok(thread) => {
                state.running.insert(name, (stop, thread));
            }
            Err(error) => {
                tracing::error!(webhook = name, %error, "a webhook is not told of anything");
            }
        }
    }
}

impl State {
    fn usable(&self) -> Result<(), HookError> {
        let damaged = || HookError::File(io::Error::other("it is damaged, and was left as it is"));
        if self.damaged { Err(damaged()) } else { Ok(()) }
    }

    fn has_room(&self, name: &str) -> Result<(), HookError> {
        self.usable()?;
        let full = self.kept.len() >= HOOKS_MAX && !self.kept.contains_key(name);
        if full { Err(HookError::TooMany) } else { Ok(()) }
    }

    fn is_run_by(&self, name: &str, stop: &Arc<Stop>) -> bool {
        // A thread that was just started may be here before it is noted.
        self.running.get(name).is_some_and(|(running, _)| Arc::ptr_eq(running, stop))
    }

    /// Ends the thread of a webhook, without waiting for it.
    fn end(&mut self, name: &str) {
        self.ending.retain(|thread| !thread.is_finished());
        if let Some((stop, thread)) = self.running.remove(name) {
            stop.tell();
            self.ending.push(thread);
        }
    }
}

impl Shared {
    /// What is kept of a webhook, for the thread that was told to run it.
    pub(super) fn kept(&self, name: &str, stop: &Arc<Stop>) -> Option<Kept> {
        let state = self.lock();
        state.is_run_by(name, stop).then(|| state.kept.get(name).cloned()).flatten()
    }

    /// Notes what became of a delivery, or how far the log was looked through. It is in the file on return
    /// if `save` says so.
    pub(super) fn note(&self, name: &str, stop: &Arc<Stop>, outcome: Outcome, save: bool) {
        let mut state = self.lock();
        // Another thread has taken over.
        if !state.is_run_by(name, stop) {
            return;
        }
        let Some(kept) = state.kept.get_mut(name) else { return };
        match outcome {
            Outcome::Passed { next } => kept.next = next,
            Outcome::Delivered { seq, status } => {
                (kept.next, kept.last_delivered) = (seq + 1, Some(seq));
                (kept.failing_since, kept.last_status) = (None, Some(status));
            }
            Outcome::Failed { status } => {
                kept.failing_since.get_or_insert_with(|| self.clock.now());
                kept.last_status = status;
            }
        }
        if save && let Err(error) = self.save(&state) {
            tracing::warn!(webhook = name, %error, "where a webhook is in the log could not be saved");
        }
    }

    fn save(&self, state: &State) -> io::Result<()> {
        let mut bytes = Vec::new();
        serde_json::to_writer(&mut bytes, &state.kept)?;
        files::replace(&self.path, &bytes)?;
        files::sync_parent(&self.path)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The webhooks in a file. If there is none, there are no webhooks yet; a damaged one is not taken for
/// that.
fn read(path: &Path) -> io::Result<BTreeMap<String, Kept>> {
    let bytes = files::read_if_there(path)?;
    bytes.map_or(Ok(BTreeMap::new()), |bytes| Ok(serde_json::from_slice(&bytes)?))
}
