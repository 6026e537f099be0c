//! Delivery: a thread that follows a log for one webhook, and tells it of each record in turn.
//!
//! In the order of the log, each at least once: a record is passed only after the receiver has said that
//! it took it. Until then it is sent again, ever less often. A receiver that wants each once keeps the
//! ids.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::event::{Filter, Message, may_tell, message, signature};
use super::follower::{Stop, now};
use super::hooks::{Kept, Shared};
use crate::record::Entry;
use crate::record::shown::with_causes;

/// How long the thread waits for records before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(100);
/// Records that are looked at before it is looked again whether to stop.
const CHUNK: u64 = 1_024;
/// How long a receiver may take to take a connection, and a message.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read, so that the connection can be used again.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
/// How long to wait between two tries at most.
const RETRY_MAX: Duration = Duration::from_mins(5);
/// Time between two writes of where a webhook is in the log.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// The same, while nothing is delivered.
const SAVE_PASSED_EVERY: Duration = Duration::from_secs(30);

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing below `next` was wanted.
    Passed { next: u64 },
    /// The receiver took it.
    Delivered { seq: u64, status: u16 },
    /// It did not; without a status, it could not even be asked.
    Failed { status: Option<u16> },
}

/// The thread of a webhook.
pub(super) struct Delivery {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    pub(super) stop: Arc<Stop>,
}

impl Delivery {
    /// Delivers until it is told to stop.
    pub(super) fn run(&self) {
        let agent = agent();
        let mut saved = now();
        while !self.stop.is_told() {
            let Some(kept) = self.shared.kept(&self.name, &self.stop) else {
                if self.stop.wait(PATIENCE) {
                    return;
                }
                continue;
            };
            let size = self.shared.log.size_beyond(kept.next, PATIENCE);
            if size <= kept.next {
                // A closed log says so at once.
                self.stop.wait(Duration::from_millis(5));
                continue;
            }
            let end = size.min(kept.next.saturating_add(CHUNK));
            match self.next_message(&kept, end) {
                Ok(Some((seq, message))) => self.deliver(&agent, seq, &message, &mut saved),
                Ok(None) => self.note(Outcome::Passed { next: end }, SAVE_PASSED_EVERY, &mut saved),
                Err(error) => {
                    tracing::error!(webhook = self.name, error, "a webhook cannot go on for now");
                    self.stop.wait(RETRY_MAX);
                }
            }
        }
    }

    /// The first message about a record below `end`.
    fn next_message(&self, kept: &Kept, end: u64) -> Result<Option<(u64, Message)>, String> {
        let filter = Filter { flags: &kept.flags, min_severity: kept.min_severity };
        for entry in self.shared.log.reader().entries(kept.next..end) {
            let (seq, bytes) = entry.map_err(|error| with_causes(&error))?;
            if !may_tell(&bytes) {
                continue;
            }
            let entry = Entry::parse(&bytes).map_err(|error| with_causes(&error))?;
            let message = message(&entry, &bytes, &filter).map_err(|error| with_causes(&error))?;
            if let Some(message) = message {
                return Ok(Some((seq, message)));
            }
        }
        Ok(None)
    }

    /// Sends a message until it is taken, or until the thread is to stop.
    fn deliver(&self, agent: &Agent, seq: u64, message: &Message, saved: &mut Instant) {
        let mut pause = self.shared.retry;
        while let Some(kept) = self.shared.kept(&self.name, &self.stop) {
            match self.send(agent, &kept, message) {
                Ok(status) if (200..300).contains(&status) => {
                    self.note(Outcome::Delivered { seq, status }, SAVE_EVERY, saved);
                    return;
                }
                outcome => {
                    let status = outcome.ok();
                    let ledger = &self.shared.ledger;
                    tracing::warn!(ledger, webhook = self.name, seq, status, "not delivered yet");
                    self.note(Outcome::Failed { status }, SAVE_EVERY, saved);
                    if self.stop.wait(self.jittered(pause)) {
                        return;
                    }
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// The status of the answer.
    fn send(&self, agent: &Agent, kept: &Kept, message: &Message) -> Result<u16, ureq::Error> {
        let seconds = self.shared.clock.now().unix_nanos().div_euclid(1_000_000_000);
        let request = agent
            .post(&kept.url)
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signature(&kept.secret, message, seconds));
        let mut response = request.send(&message.body)?;
        // What it says does not matter.
        drop(response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec());
        Ok(response.status().as_u16())
    }

    fn note(&self, outcome: Outcome, every: Duration, saved: &mut Instant) {
        let save = saved.elapsed() >= every;
        self.shared.note(&self.name, &self.stop, outcome, save);
        if save {
            *saved = now();
        }
    }

    /// Between half of a time and all of it, so that many that failed at once do not come back at once.
    fn jittered(&self, time: Duration) -> Duration {
        let mut byte = [0; 1];
        let known = self.shared.random.fill(&mut byte).is_ok();
        let [part] = if known { byte } else { [u8::MAX] };
        time / 2 + time / 2 * u32::from(part) / u32::from(u8::MAX)
    }
}

fn agent() -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A signed message is for the receiver that was named.
        .max_redirects(0)
        .max_redirects_will_error(false)
        // The environment is not asked.
        .proxy(None)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(TIMEOUT))
        .tls_config(tls);
    config.build().into()
}
