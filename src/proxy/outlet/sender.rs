//! From disk to the log.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Shared;
use super::gap::{Gap, Missing};
use super::slot::Slot;
use crate::capture::otlp::{Attributes, Log, encode};
use crate::record::shown::shown;

/// How long to wait after the first failure. It doubles with each that follows.
const BACKOFF: Duration = Duration::from_millis(250);
/// The longest wait, also if the log asks for more.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The body of OTLP.
const PROTOBUF: &str = "application/x-protobuf";

pub(super) struct Sender {
    pub(super) shared: Arc<Shared>,
    pub(super) own: Arc<Slot>,
    /// What earlier processes left.
    pub(super) left: Vec<Slot>,
    /// Set when nothing new comes: for how long to go on.
    pub(super) closed: watch::Receiver<Option<Duration>>,
}

/// What became of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The log has it.
    Taken,
    /// The log will never take it.
    Refused,
    /// The log cannot take it now, and may say for how many seconds not.
    Later(Option<u64>),
}

impl Sender {
    /// Sends until it is closed and everything is sent, or its time is over.
    pub(super) async fn run(mut self) {
        let mut closed = self.closed.clone();
        let left = std::mem::take(&mut self.left);
        tokio::select! {
            () = self.send_all(left) => {}
            () = over(&mut closed) => {}
        }
        self.shared.gap.save();
    }

    async fn send_all(&self, left: Vec<Slot>) {
        for slot in left {
            self.empty(&slot).await;
            self.tell_gap(&Gap::open(slot.gap_path.clone())).await;
        }
        loop {
            self.empty(&self.own).await;
            self.tell_gap(&self.shared.gap).await;
            let done = self.own.first().is_none() && self.shared.gap.missing().count == 0;
            let mut closed = self.closed.clone();
            if done && closed.borrow_and_update().is_some() {
                return;
            }
            if done {
                tokio::select! {
                    () = self.shared.fresh.notified() => {}
                    _ = closed.changed() => {}
                }
            }
        }
    }

    /// Sends what waits in a slot, in its order.
    async fn empty(&self, slot: &Slot) {
        while let Some(position) = slot.first() {
            let batch = match slot.read(position) {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::error!("the spool cannot be read: {error}");
                    tokio::time::sleep(BACKOFF_MAX).await;
                    continue;
                }
            };
            if let Some(batch) = batch {
                if !self.deliver("otlp/v1/traces", batch.body.into()).await {
                    self.shared.gap.note(batch.count, batch.since_ns, batch.until_ns);
                }
            } else {
                let now_ns = self.shared.machine.now_ns();
                self.shared.gap.note(1, now_ns, now_ns);
            }
            if let Err(error) = slot.settle(position) {
                tracing::error!("the spool cannot let go of what was sent: {error}");
                tokio::time::sleep(BACKOFF_MAX).await;
            }
        }
    }

    async fn tell_gap(&self, gap: &Gap) {
        let missing = gap.missing();
        if missing.count == 0 {
            return;
        }
        let shared = &self.shared;
        let log = told(missing, shared.machine.now_ns());
        let body = encode::logs(&shared.resource, &shared.scope, &[log]);
        if self.deliver("otlp/v1/logs", body.into()).await {
            gap.told(missing);
            return;
        }
        // It stays on disk, for whoever comes when the log takes it.
        tracing::error!(missing = missing.count, "the log refuses to be told what is missing");
        tokio::time::sleep(BACKOFF_MAX).await;
    }

    /// Sends until the log has it, or refuses it for good; says which.
    async fn deliver(&self, path: &str, body: Bytes) -> bool {
        let mut wait = BACKOFF;
        let mut troubled = false;
        loop {
            let (fate, why) = self.post(path, body.clone()).await;
            match fate {
                Fate::Taken => {
                    if troubled {
                        tracing::info!("the log can be reached again");
                    }
                    return true;
                }
                Fate::Refused => {
                    tracing::error!("the log refuses what passed, and it is only counted: {why}");
                    return false;
                }
                Fate::Later(seconds) => {
                    if !troubled {
                        tracing::warn!("the log cannot be told now, so it waits on disk: {why}");
                    }
                    troubled = true;
                    let asked = seconds.map_or(wait, Duration::from_secs);
                    tokio::time::sleep(asked.min(BACKOFF_MAX)).await;
                    wait = wait.saturating_mul(2).min(BACKOFF_MAX);
                }
            }
        }
    }

    async fn post(&self, path: &str, body: Bytes) -> (Fate, String) {
        match self.shared.log.post(path, PROTOBUF, body).await {
            Err(error) => (Fate::Later(None), error.to_string()),
            Ok(answer) => {
                let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let code = problem.get("code").and_then(Value::as_str).unwrap_or("");
                let why = format!("{} {}", answer.status, shown(code));
                (fate(answer.status, answer.retry_after), why)
            }
        }
    }
}

/// What a status means for the body that it answers.
///
/// Only what says that the body is at fault is a refusal. A token that is not taken, a redirect, a page
/// of whatever stands in front of the log are none: the body waits until somebody has seen to that.
const fn fate(status: u16, retry_after: Option<u64>) -> Fate {
    match status {
        200..=299 => Fate::Taken,
        400 | 413 | 415 | 422 => Fate::Refused,
        _ => Fate::Later(retry_after),
    }
}

fn told(missing: Missing, now_ns: u64) -> Log {
    let attributes = [
        ("count", missing.count),
        ("since_unix_nano", missing.since_ns),
        ("until_unix_nano", missing.until_ns),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), json!(value)));
    Log {
        trace_id: None,
        span_id: None,
        time_ns: now_ns,
        event_name: "whence.capture_gap".to_owned(),
        body: Value::Null,
        attributes: Attributes::from(attributes),
        dropped: 0,
    }
}

/// Returns when it was closed and its time is over.
async fn over(closed: &mut watch::Receiver<Option<Duration>>) {
    let patience = closed.wait_for(Option::is_some).await.ok().and_then(|patience| *patience);
    tokio::time::sleep(patience.unwrap_or_default()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_body_that_is_at_fault_is_refused_for_good() {
        let refused = (100..600).filter(|status| fate(*status, None) == Fate::Refused);
        assert_eq!(refused.collect::<Vec<_>>(), [400, 413, 415, 422]);
        assert_eq!(fate(308, Some(7)), Fate::Later(Some(7)));
        assert_eq!(fate(202, None), Fate::Taken);
    }
}
