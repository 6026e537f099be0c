//! What the writer knows of earlier records, and of the state of sessions, grants, catalogs and the
//! policy: the recent ones from memory, all others from the store.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::rules::Schema;
use super::state::{Catalog, Grant, Session, Told};
use super::{Error, SubmitError};
use crate::canon::EntryHash;
use crate::record::data::Policy;
use crate::record::text::ExternalId;
use crate::record::{Data, Entry, Kind, RecordId, Subject, Timestamp};
use crate::store::Reader;

/// Records and sessions remembered. More than can be in flight, or a record could be known neither
/// to memory nor to the store: three batches, one being built, one waiting and one being committed.
const REMEMBERED: usize = 65_536;
/// The same for states that take more memory and are fewer, and for those that were told again.
const STATES_REMEMBERED: usize = 8_192;
/// Schemas of tools that are kept ready.
const SCHEMAS_REMEMBERED: usize = 128;

const _: () = assert!(
    STATES_REMEMBERED > 4 * super::BATCH_RECORDS_MAX && REMEMBERED > STATES_REMEMBERED,
    "what is in flight is remembered"
);

/// What a rule, a link or a duplicate needs of an earlier record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownRecord {
    pub(super) seq: u64,
    pub(super) hash: EntryHash,
    pub(super) kind: Kind,
}

/// Records and states by id, as of the end of the log that is being built.
#[derive(Debug)]
pub(super) struct Known {
    reader: Reader,
    records: Recent<KnownRecord>,
    sessions: States<Session>,
    grants: States<Grant>,
    catalogs: States<Catalog>,
    policy: Arc<Policy>,
    /// Where content was last said to be erased since the ledger was opened.
    erased: Option<u64>,
    /// Schemas of tools, as they were since then.
    schemas: RefCell<Recent<Option<Arc<Schema>>>>,
}

/// What a request changes in what is known, while it may still be refused as a whole.
#[derive(Debug, Default)]
pub(super) struct Changes {
    records: BTreeMap<Arc<str>, KnownRecord>,
    sessions: BTreeMap<Arc<str>, Session>,
    grants: BTreeMap<Arc<str>, Grant>,
    catalogs: BTreeMap<Arc<str>, Catalog>,
    policy: Option<Arc<Policy>>,
    erased: Option<u64>,
}

/// What is known, with what a request has changed so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) known: &'a Known,
    pub(super) changes: &'a Changes,
}

impl Known {
    /// Knows what the store has.
    pub(super) fn new(reader: Reader) -> Result<Self, Error> {
        let policy = policy_in(&reader)?.map(|told| told.policy).unwrap_or_default();
        Ok(Self {
            records: Recent::new(REMEMBERED),
            sessions: States::new(REMEMBERED),
            grants: States::new(STATES_REMEMBERED),
            catalogs: States::new(STATES_REMEMBERED),
            policy: Arc::new(policy),
            erased: None,
            schemas: RefCell::new(Recent::new(SCHEMAS_REMEMBERED)),
            reader,
        })
    }

    /// Takes over what a request has changed.
    pub(super) fn take(&mut self, changes: Changes) {
        for (id, record) in changes.records {
            self.records.put(id, record);
        }
        self.sessions.take(changes.sessions);
        self.grants.take(changes.grants);
        self.catalogs.take(changes.catalogs);
        if let Some(policy) = changes.policy {
            self.policy = policy;
        }
        if changes.erased.is_some() {
            self.erased = changes.erased;
        }
    }

    fn record_in_store(&self, id: &str) -> Result<Option<KnownRecord>, Error> {
        for seq in self.reader.with_id(id, u64::MAX)? {
            let Some(bytes) = self.reader.entry(seq)? else { continue };
            let entry = parse(seq, &bytes)?;
            if entry.id.as_str() == id {
                let (hash, kind) = (EntryHash::of(&bytes), entry.kind);
                return Ok(Some(KnownRecord { seq, hash, kind }));
            }
        }
        Ok(None)
    }

    /// Tells the state of a session again: by its last record, its first one, and those that tell of
    /// its beginning and end.
    fn session_in_store(&self, id: &str) -> Result<Option<Session>, Error> {
        let mut below = u64::MAX;
        let mut session = loop {
            let Some(seq) = self.reader.newest_with_session(id, below)? else { return Ok(None) };
            below = seq;
            let Some(bytes) = self.reader.entry(seq)? else { continue };
            let entry = parse(seq, &bytes)?;
            if let Some(place) = entry.session.filter(|session| session.id.as_str() == id) {
                break Session { n: place.n, ..Session::new(EntryHash::of(&bytes)) };
            }
        };
        let mut from = 0;
        while session.user.is_none() {
            let Some(seq) = self.reader.with_session(id, &(from..u64::MAX), 1)?.pop() else {
                break;
            };
            from = seq + 1;
            self.fold_one(seq, |told| told.session == Some(id), |told| session.fold(told))?;
        }
        self.fold(
            Subject::Session(id),
            |told| told.session == Some(id),
            |told| session.fold(told),
        )?;
        Ok(Some(session))
    }

    fn grant_in_store(&self, id: &str) -> Result<Grant, Error> {
        let mut grant = Grant::default();
        let of_grant = |told: &Told<'_>| {
            matches!(told.data, Data::DelegationGrant(grant) if &*grant.delegation == id)
                || matches!(told.data, Data::DelegationRevoke(revoke) if &*revoke.delegation == id)
        };
        self.fold(Subject::Grant(id), of_grant, |told| grant.fold(told))?;
        if grant.counted_from.is_some() {
            let of_call = |told: &Told<'_>| told.delegation == Some(id);
            self.fold(Subject::Calls(id), of_call, |told| grant.fold(told))?;
        }
        Ok(grant)
    }

    /// Tells the catalogs of a server again: those that somebody decided on, and the last one.
    fn catalog_in_store(&self, server: &str) -> Result<Catalog, Error> {
        let mut catalog = Catalog::default();
        let of_server = |told: &Told<'_>| matches!(told.data, Data::ToolCatalogSnapshot(catalog) if &*catalog.server == server);
        let mut fold = |seq| self.fold_one(seq, of_server, |told| catalog.fold(told));
        let (mut last, everything) = (None, 0..u64::MAX);
        for seq in self.reader.of_subject(Subject::Reviewed(server), &everything, usize::MAX)? {
            // What was decided on may have its definitions in the snapshot before.
            let before = self.newest_catalog(server, seq)?.filter(|before| Some(*before) != last);
            before.map(&mut fold).transpose()?;
            fold(seq)?;
            last = Some(seq);
        }
        if let Some(seq) = self.newest_catalog(server, u64::MAX)?.filter(|seq| Some(*seq) != last) {
            let before = self.newest_catalog(server, seq)?.filter(|before| Some(*before) != last);
            before.map(&mut fold).transpose()?;
            fold(seq)?;
        }
        Ok(catalog)
    }

    /// The last snapshot of a server below a seq.
    fn newest_catalog(&self, server: &str, below: u64) -> Result<Option<u64>, Error> {
        for entry in self.reader.newest_of_subject(Subject::Catalog(server), below) {
            let (seq, bytes) = entry?;
            if matches!(&*parse(seq, &bytes)?.data, Data::ToolCatalogSnapshot(catalog) if &*catalog.server == server)
            {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }

    /// Folds every record of a subject, in order.
    fn fold(
        &self,
        subject: Subject<'_>,
        of_subject: impl Fn(&Told<'_>) -> bool,
        mut fold: impl FnMut(Told<'_>),
    ) -> Result<(), Error> {
        for seq in self.reader.of_subject(subject, &(0..u64::MAX), usize::MAX)? {
            self.fold_one(seq, &of_subject, &mut fold)?;
        }
        Ok(())
    }

    /// Folds one record if it is of the subject, which is said.
    fn fold_one(
        &self,
        seq: u64,
        of_subject: impl Fn(&Told<'_>) -> bool,
        mut fold: impl FnMut(Told<'_>),
    ) -> Result<bool, Error> {
        let Some(bytes) = self.reader.entry(seq)? else { return Ok(false) };
        let entry = parse(seq, &bytes)?;
        let told = Told::by_entry(&entry);
        let is_of_subject = of_subject(&told);
        if is_of_subject {
            fold(told);
        }
        Ok(is_of_subject)
    }
}

impl Changes {
    /// Learns what a record changes that has just got its place. `session` is the state of its session
    /// before it.
    pub(super) fn add(
        &mut self,
        known: &Known,
        (id, record): (&str, KnownRecord),
        session: Option<Session>,
        told: Told<'_>,
    ) -> Result<(), Error> {
        if let Some(id) = told.session {
            let mut session = match session {
                Some(session) => Session { n: session.n + 1, hash: record.hash, ..session },
                None => Session::new(record.hash),
            };
            session.fold(told);
            self.sessions.insert(id.into(), session);
        }
        for subject in Subject::of(told.data, told.delegation, told.session) {
            let look = Look { known, changes: self };
            match subject {
                Subject::Grant(id) => {
                    let mut grant = look.grant(id)?;
                    grant.fold(told);
                    self.grants.insert(id.into(), grant);
                }
                Subject::Calls(id) => {
                    let mut grant = look.grant(id)?;
                    if grant.counted_from.is_some() {
                        grant.fold(told);
                        self.grants.insert(id.into(), grant);
                    }
                }
                Subject::Catalog(server) => {
                    let mut catalog = look.catalog(server)?;
                    catalog.fold(told);
                    self.catalogs.insert(server.into(), catalog);
                }
                Subject::Policy => {
                    if let Data::ConfigChange(change) = told.data {
                        self.policy = change.policy.clone().map(Arc::new);
                    }
                }
                Subject::Erasures => self.erased = Some(record.seq),
                Subject::Session(_)
                | Subject::Reviewed(_)
                | Subject::ProducerKeys
                | Subject::Holds => {}
            }
        }
        self.records.insert(id.into(), record);
        Ok(())
    }
}

impl Look<'_> {
    /// The record with this id.
    pub(super) fn record(&self, id: &str) -> Result<Option<KnownRecord>, Error> {
        match self.changes.records.get(id).or_else(|| self.known.records.get(id)) {
            Some(record) => Ok(Some(*record)),
            None => self.known.record_in_store(id),
        }
    }

    /// The state of a session, if it has a record.
    pub(super) fn session(&self, id: &str) -> Result<Option<Session>, Error> {
        let Self { known, changes } = self;
        known.sessions.get(&changes.sessions, id, || known.session_in_store(id))
    }

    /// The state of a grant.
    pub(super) fn grant(&self, id: &str) -> Result<Grant, Error> {
        let Self { known, changes } = self;
        let grant = known.grants.get(&changes.grants, id, || known.grant_in_store(id).map(Some));
        grant.map(Option::unwrap_or_default)
    }

    /// The catalogs of a server.
    pub(super) fn catalog(&self, server: &str) -> Result<Catalog, Error> {
        let Self { known, changes } = self;
        let told_again = || known.catalog_in_store(server).map(Some);
        let catalog = known.catalogs.get(&changes.catalogs, server, told_again);
        catalog.map(Option::unwrap_or_default)
    }

    /// Where content was last said to be erased since the ledger was opened.
    fn erased(&self) -> Option<u64> {
        self.changes.erased.or(self.known.erased)
    }

    /// A schema that is kept ready, or else is read. After an erasure each is read again.
    pub(super) fn schema(
        &self,
        key: &str,
        read: impl FnOnce() -> Result<Option<Arc<Schema>>, SubmitError>,
    ) -> Result<Option<Arc<Schema>>, SubmitError> {
        let key = format!("{:?} {key}", self.erased());
        if let Some(schema) = self.known.schemas.borrow().get(&key) {
            return Ok(schema.clone());
        }
        let schema = read()?;
        self.known.schemas.borrow_mut().put(key.into(), schema.clone());
        Ok(schema)
    }

    /// The policy in force.
    pub(super) fn policy(&self) -> &Policy {
        self.changes.policy.as_ref().unwrap_or(&self.known.policy)
    }
}

pub(super) fn parse(seq: u64, bytes: &[u8]) -> Result<Entry<'_>, Error> {
    Entry::parse(bytes).map_err(|source| Error::Entry { seq, source })
}

/// A policy, and the record that put it in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyChange {
    /// The policy.
    pub policy: Policy,
    /// The record's id.
    pub id: RecordId,
    /// Its place in the ledger.
    pub seq: u64,
    /// When it was received.
    pub received_at: Timestamp,
    /// Who asked for it.
    pub actor: ExternalId,
}

/// The policy that the store's records leave in force, if any of them has one.
pub(super) fn policy_in(reader: &Reader) -> Result<Option<PolicyChange>, Error> {
    for entry in reader.newest_of_subject(Subject::Policy, u64::MAX) {
        let (seq, bytes) = entry?;
        let entry = parse(seq, &bytes)?;
        if let Data::ConfigChange(change) = &*entry.data
            && let Some(policy) = &change.policy
        {
            return Ok(Some(PolicyChange {
                policy: policy.clone(),
                id: entry.id.into_owned(),
                seq,
                received_at: entry.received_at,
                actor: change.actor.clone(),
            }));
        }
    }
    Ok(None)
}

/// States by key: those that changed, and apart from them those that were told again from the store.
/// However many are told again, they push out nothing that the store does not have yet.
#[derive(Debug)]
struct States<V> {
    changed: Recent<V>,
    /// A cell, because looking is what fills it.
    told_again: RefCell<Recent<V>>,
}

impl<V: Clone> States<V> {
    fn new(remembered: usize) -> Self {
        let told_again = RefCell::new(Recent::new(STATES_REMEMBERED));
        Self { changed: Recent::new(remembered), told_again }
    }

    /// The state of a key: as these changes leave it, or else as it was, told again if it has to be.
    fn get(
        &self,
        changes: &BTreeMap<Arc<str>, V>,
        key: &str,
        tell_again: impl FnOnce() -> Result<Option<V>, Error>,
    ) -> Result<Option<V>, Error> {
        if let Some(state) = changes.get(key).or_else(|| self.changed.get(key)) {
            return Ok(Some(state.clone()));
        }
        if let Some(state) = self.told_again.borrow().get(key) {
            return Ok(Some(state.clone()));
        }
        let state = tell_again()?;
        if let Some(state) = &state {
            self.told_again.borrow_mut().put(key.into(), state.clone());
        }
        Ok(state)
    }

    fn take(&mut self, changes: BTreeMap<Arc<str>, V>) {
        for (key, state) in changes {
            // What was told again is not the state any more.
            self.told_again.get_mut().values.remove(&key);
            self.changed.put(key, state);
        }
    }
}

/// The values put last, by key: at most so many.
#[derive(Debug)]
struct Recent<V> {
    values: BTreeMap<Arc<str>, (u64, V)>,
    /// Keys in the order in which they were put, each with the number of that putting.
    order: VecDeque<(u64, Arc<str>)>,
    puts: u64,
    remembered: usize,
}

impl<V> Recent<V> {
    const fn new(remembered: usize) -> Self {
        Self { values: BTreeMap::new(), order: VecDeque::new(), puts: 0, remembered }
    }

    fn get(&self, key: &str) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    fn put(&mut self, key: Arc<str>, value: V) {
        self.puts += 1;
        self.order.push_back((self.puts, Arc::clone(&key)));
        self.values.insert(key, (self.puts, value));
        while self.order.len() > self.remembered {
            let Some((put, key)) = self.order.pop_front() else { return };
            // A key that was put again since stays until its later turn.
            if self.values.get(&key).is_some_and(|(last, _)| *last == put) {
                self.values.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_again_pushes_nothing_out_that_changed_and_is_forgotten_when_it_changes() {
        let mut states = States::<u64>::new(STATES_REMEMBERED);
        let none = BTreeMap::new();
        states.take(BTreeMap::from([("in flight".into(), 1)]));
        for key in 0..2 * STATES_REMEMBERED {
            let told = states.get(&none, &key.to_string(), || Ok(Some(2))).unwrap();
            assert_eq!(told, Some(2));
        }
        let again = || panic!("the store does not have it yet");
        assert_eq!(states.get(&none, "in flight", again).unwrap(), Some(1));

        let last = (2 * STATES_REMEMBERED - 1).to_string();
        states.take(BTreeMap::from([(last.as_str().into(), 3)]));
        // Once it is committed long ago, it is told again as it is then.
        for key in 0..=STATES_REMEMBERED {
            states.take(BTreeMap::from([(format!("later {key}").into(), 4)]));
        }
        assert_eq!(states.get(&none, &last, || Ok(Some(3))).unwrap(), Some(3));
    }
}
