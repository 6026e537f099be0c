//! Making a ledger, and opening one: from files to two running threads.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::sync::Mutex;

use super::in_force::InForce;
use super::known::Known;
use super::queue::{self, Ledger, Shared};
use super::sequencer::Sequencer;
use super::view::{Progress, Published};
use super::{Clock, Error, Random, committer};
use crate::proof::Tree;
use crate::record::data::Genesis;
use crate::record::{Entry, Event, Placement, Timestamp};
use crate::seal::{Checkpoint, SigningKey};
use crate::store::{self, Head, Keys, Opened};

/// What a ledger takes from the world beside its files.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Salts and ids.
    pub random: Arc<dyn Random>,
}

/// How to open a ledger.
#[derive(Debug)]
pub(super) struct Options {
    /// Its store.
    pub store: store::Options,
    /// The key that signs its checkpoints.
    pub key: SigningKey,
    /// The name and version of this program, for the genesis record.
    pub software: String,
}

/// Waits for a ledger's threads. They end when every [`Ledger`] handle is dropped, after they have
/// committed what was queued.
#[derive(Debug)]
pub(super) struct Threads {
    sequencer: JoinHandle<()>,
    committer: JoinHandle<()>,
}

impl Threads {
    /// Waits until everything that was queued is committed and answered.
    pub(super) fn join(self) {
        for thread in [self.sequencer, self.committer] {
            if thread.join().is_err() {
                tracing::error!("a thread of the ledger panicked");
            }
        }
    }
}

/// Opens a ledger, seals its genesis record if it has none, and starts its two threads.
pub(super) fn open(
    options: Options,
    environment: &Environment,
) -> Result<(Ledger, Threads), Error> {
    let Options { store, key, software } = options;
    let verifier = |name| key.verifier_key(name);
    let mut opened = store::open(&store, verifier)?;
    let head = match opened.head.take() {
        Some(head) => head,
        None => genesis(&mut opened, &key, &software, environment.clock.now())?,
    };
    start(opened, head, key, environment)
}

/// Seals and commits the first record of a ledger, which says what ledger it is.
fn genesis(
    opened: &mut Opened,
    key: &SigningKey,
    software: &str,
    received_at: Timestamp,
) -> Result<Head, Error> {
    let Opened { meta, appender, .. } = opened;
    let verifier = key.verifier_key(meta.origin.key_name().clone());
    let data = Genesis {
        key: verifier.to_string().into(),
        origin: meta.origin.as_str().into(),
        software: software.into(),
    };
    let event = Event::genesis(data, received_at).map_err(Error::Genesis)?;
    let placement = Placement {
        ledger: &meta.ledger,
        seq: 0,
        received_at,
        prev: None,
        session: None,
        causes: &[],
        content: &[],
        flags: &[],
    };
    let sealed = Entry::seal(&event, placement).map_err(Error::Seal)?;
    let mut tree = Tree::new();
    let mut tiles = Vec::new();
    tree.append(sealed.leaf, &mut tiles);
    let checkpoint = Checkpoint::new(meta.origin.clone(), tree.size(), tree.root())
        .map_err(Error::Checkpoint)?
        .sign(key);
    let last = sealed.hash;
    let id = event.id().map_or("", |id| id.as_str());
    let keys = Keys { id, session: None, causes: Vec::new(), subjects: Vec::new() };
    let records = vec![store::Record::new(sealed.bytes, keys, Vec::new())];
    let note = checkpoint.note().to_string();
    appender.commit(store::Batch {
        records,
        tiles,
        checkpoint: note,
        ..store::Batch::default()
    })?;
    Ok(Head { tree, last, received_at, checkpoint })
}

fn start(
    opened: Opened,
    head: Head,
    key: SigningKey,
    environment: &Environment,
) -> Result<(Ledger, Threads), Error> {
    let Opened { meta, appender, reader, .. } = opened;
    let Head { tree, last, received_at, checkpoint } = head;
    let in_force = Arc::new(InForce::read(&reader, tree.size())?);
    let progress = Progress::new(Published { tree: tree.clone(), checkpoint });
    let (queue, waiting, room) = queue::queue();
    let verifier = key.verifier_key(meta.origin.key_name().clone());
    let sequencer = Sequencer {
        ledger: meta.ledger.clone(),
        origin: meta.origin.clone(),
        key,
        clock: Arc::clone(&environment.clock),
        reader: reader.clone(),
        known: Known::new(reader.clone())?,
        tree,
        last: Some(last),
        received_at,
        progress: Arc::clone(&progress),
        erasing: BTreeMap::new(),
    };

    // One batch is committed while the next waits and a third is built; no more are ever in flight.
    let (sender, receiver) = mpsc::sync_channel(1);
    let committing = (Arc::clone(&progress), Arc::clone(&in_force));
    let name = |role: &str| thread::Builder::new().name(format!("{}-{role}", meta.ledger));
    let committer = name("commit")
        .spawn(move || committer::run(appender, &receiver, &committing.0, &committing.1))
        .map_err(Error::Thread)?;
    let sequencer = name("sequence")
        .spawn(move || queue::run(sequencer, waiting, &sender))
        .map_err(Error::Thread)?;

    let shared = Shared {
        meta,
        key: verifier,
        clock: Arc::clone(&environment.clock),
        random: Arc::clone(&environment.random),
        in_force,
        reader,
        progress,
        room,
        erasing: Mutex::default(),
    };
    let ledger = Ledger { shared: Arc::new(shared), queue };
    Ok((ledger, Threads { sequencer, committer }))
}
