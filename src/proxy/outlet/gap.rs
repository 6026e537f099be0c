//! How much is missing, and from when to when.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::files;

/// What is missing, in memory and in a file: the next process tells what this one could not.
#[derive(Debug)]
pub(super) struct Gap {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    missing: Missing,
    /// Whether the file says something else.
    changed: bool,
}

/// So many, in this time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) count: u64,
    pub(super) since_ns: u64,
    pub(super) until_ns: u64,
}

impl Gap {
    /// What the file says, if it is there.
    pub(super) fn open(path: PathBuf) -> Self {
        let bytes = files::read_if_there(&path).ok().flatten().unwrap_or_default();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
        let missing = Missing {
            count: number("count"),
            since_ns: number("since_unix_nano"),
            until_ns: number("until_unix_nano"),
        };
        Self { path, state: Mutex::new(State { missing, changed: false }) }
    }

    pub(super) fn note(&self, count: u64, since_ns: u64, until_ns: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = &mut state.missing;
        missing.since_ns =
            if missing.count == 0 { since_ns } else { missing.since_ns.min(since_ns) };
        missing.until_ns = missing.until_ns.max(until_ns);
        missing.count = missing.count.saturating_add(count);
        state.changed = true;
    }

    pub(super) fn missing(&self) -> Missing {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).missing
    }

    /// The log was told of so much. What came since is still to be told.
    pub(super) fn told(&self, told: Missing) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = state.missing.count.saturating_sub(told.count);
        let since_ns = told.until_ns.min(state.missing.until_ns);
        state.missing = match left {
            0 => Missing::default(),
            count => Missing { count, since_ns, ..state.missing },
        };
        state.changed = true;
        drop(state);
        self.save();
    }

    /// Makes the file say what is missing. If that fails, memory still knows.
    pub(super) fn save(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.changed {
            return;
        }
        let Missing { count, since_ns, until_ns } = state.missing;
        let saved = if count == 0 {
            std::fs::remove_file(&self.path)
        } else {
            let value = json!({
                "count": count,
                "since_unix_nano": since_ns,
                "until_unix_nano": until_ns,
            });
            files::replace(&self.path, value.to_string().as_bytes())
        };
        match saved {
            Ok(()) => state.changed = false,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => state.changed = false,
            Err(error) => tracing::warn!("cannot note on disk what is missing: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_outlives_the_process_until_it_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gap.json");
        let gap = Gap::open(path.clone());
        gap.note(2, 10, 20);
        gap.note(1, 5, 15);
        gap.save();
        let gap = Gap::open(path.clone());
        let told = Missing { count: 3, since_ns: 5, until_ns: 20 };
        assert_eq!(gap.missing(), told);
        gap.note(4, 30, 40);
        gap.told(told);
        assert_eq!(gap.missing(), Missing { count: 4, since_ns: 20, until_ns: 40 });
        gap.told(gap.missing());
        assert_eq!(gap.missing(), Missing::default());
        assert!(!path.exists());
    }
}
