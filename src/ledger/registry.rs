//! All ledgers of one server: each with its own folder, database, key and origin, opened when first
//! asked for.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64;

use super::open::{self, Options, Threads};
use super::{Environment, Error, Ledger};
use crate::files;
use crate::record::LedgerName;
use crate::record::shown::with_causes;
use crate::seal::{Origin, SigningKey};
use crate::store::{self, Faults, NoFaults};

/// The ledgers below one data directory.
#[derive(Debug)]
pub struct Ledgers {
    settings: Settings,
    environment: Environment,
    slots: Mutex<BTreeMap<LedgerName, Arc<Mutex<Slot>>>>,
}

/// What all ledgers of a server have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory. Each ledger has a folder in its `ledgers` folder.
    pub data: PathBuf,
    /// The folder of the head files, if they are to be outside the data directory.
    pub heads: Option<PathBuf>,
    /// The host part of the origins of new ledgers.
    pub host: String,
    /// The name and version of this program.
    pub software: String,
    /// Accept ledgers whose head file is gone.
    pub accept_missing_head: bool,
    /// Which steps of a commit fail, in a test.
    pub faults: Arc<dyn Faults>,
}

impl Settings {
    /// The settings of a server whose ledgers are below `data`.
    pub fn new(data: PathBuf, host: &str, software: &str) -> Self {
        Self {
            data,
            heads: None,
            host: host.to_owned(),
            software: software.to_owned(),
            accept_missing_head: false,
            faults: Arc::new(NoFaults),
        }
    }

    /// The folder of a ledger.
    pub fn folder(&self, name: &LedgerName) -> PathBuf {
        self.data.join("ledgers").join(&**name)
    }

    fn key_file(&self, name: &LedgerName) -> PathBuf {
        self.folder(name).join("key")
    }

    /// Makes the folder of a ledger, durably, if it is not there.
    pub(super) fn make_folder(&self, name: &LedgerName) -> Result<PathBuf, Error> {
        let folder = self.folder(name);
        let all = self.data.join("ledgers");
        fs::create_dir_all(&folder).map_err(io(&folder))?;
        for parent in [&all, &self.data] {
            files::sync_folder(parent).map_err(io(parent))?;
        }
        Ok(folder)
    }

    /// Refuses a ledger that has no database and yet was in use: its head file is there, or its key
    /// is, without the `key.new` that the making of a ledger leaves beside it until it is done.
    fn lost(&self, name: &LedgerName) -> Result<(), Error> {
        let store::Options { path, head, .. } = self.store(name);
        let key = self.key_file(name);
        let witness = if head.exists() {
            head
        } else if key.exists() && !fresh_key(&key).exists() {
            key
        } else {
            return Ok(());
        };
        Err(store::Error::DatabaseMissing { path, witness }.into())
    }

    /// Where the store of a ledger is, and how it is opened.
    pub fn store(&self, name: &LedgerName) -> store::Options {
        let head = match &self.heads {
            Some(folder) => folder.join(format!("{name}.head")),
            None => self.folder(name).join("head"),
        };
        let accept_missing_head = self.accept_missing_head;
        let faults = Arc::clone(&self.faults);
        let path = self.folder(name).join("db");
        store::Options { accept_missing_head, faults, ..store::Options::new(path, head) }
    }

    /// The folder of the indexes of a ledger.
    pub fn search_folder(&self, name: &LedgerName) -> PathBuf {
        self.data.join("search").join(&**name)
    }

    /// Copies the database of a ledger that nobody has open, so that no file holds any byte of what was
    /// erased from it. The index, which may hold such bytes too, is removed, and made again later.
    pub fn compact(&self, name: &LedgerName) -> Result<(), Error> {
        let store = self.store(name);
        if !store::exists(&store.path) {
            return Err(Error::Unknown);
        }
        let _locked = lock_folder(&self.folder(name))?;
        self.forget_erased(name, &store)
    }

    /// See [`Self::compact`]; the folder of the ledger is locked.
    fn forget_erased(&self, name: &LedgerName, store: &store::Options) -> Result<(), Error> {
        let search = self.search_folder(name);
        store::compact(store, &search)?;
        tracing::info!(ledger = %name, "copied without what was erased");
        Ok(())
    }

    /// The signing key of a ledger.
    pub fn key(&self, name: &LedgerName) -> Result<SigningKey, Error> {
        let path = self.key_file(name);
        let fail = |why: &str| Error::Key { path: path.display().to_string(), why: why.to_owned() };
        let file = fs::metadata(&path).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                fail("it is missing, and without it nothing can be signed: put it back")
            } else {
                fail(&error.to_string())
            }
        })?;
        let mode = file.permissions();
        if mode.mode() & 0o077 != 0 {
            return Err(fail("others can read it: chmod 600 it, and consider it known"));
        }
        let text = fs::read_to_string(&path).map_err(|error| fail(&error.to_string()))?;
        let seed = parse_key(&text).ok_or_else(|| fail("it does not hold 32 bytes in base64"))?;
        Ok(SigningKey::from_seed(&seed))
    }
}

/// A ledger that is open, or not.
#[derive(Debug, Default)]
struct Slot {
    open: Option<(Ledger, Threads)>,
}

impl Ledgers {
    /// The ledgers below the data directory, none of them open yet.
    pub fn new(settings: Settings, environment: Environment) -> Self {
        Self { settings, environment, slots: Mutex::default() }
    }

    /// What the ledgers have in common.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The names of all ledgers, in order.
    pub fn names(&self) -> Result<Vec<LedgerName>, Error> {
        let path = self.settings.data.join("ledgers");
        let folders = match fs::read_dir(&path) {
            Ok(folders) => folders,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(&path)(error)),
        };
        let mut names = Vec::new();
        for folder in folders {
            let name = folder.map_err(io(&path))?.file_name();
            let name = name.to_str().and_then(|name| name.parse::<LedgerName>().ok());
            names.extend(name.filter(|name| store::exists(&self.settings.store(name).path)));
        }
        names.sort();
        Ok(names)
    }

    /// Makes a ledger with a key of its own, and opens it.
    pub fn create(&self, name: &LedgerName) -> Result<Ledger, Error> {
        let origin = format!("{}/{name}", self.settings.host);
        let origin: Origin = origin.parse().map_err(Error::Origin)?;
        let slot = self.slot(name);
        let mut slot = lock(&slot);
        let store = self.settings.store(name);
        let folder = self.settings.make_folder(name)?;
        // Held by whichever of two processes came first; the other then finds the ledger made.
        let locked = lock_folder(&folder)?;
        if store::exists(&store.path) {
            return Err(Error::Exists);
        }
        self.settings.lost(name)?;
        self.make_key(name)?;
        store::create(&store, name, origin)?;
        drop(locked);
        self.open(name, &mut slot)
    }

    /// The ledger of this name, if it is open already. Never waits for the disk.
    pub fn opened(&self, name: &LedgerName) -> Option<Ledger> {
        let slot = lock(&self.slots).get(name).map(Arc::clone)?;
        let slot = slot.try_lock().ok()?;
        slot.open.as_ref().map(|(ledger, _)| ledger.clone())
    }

    /// The ledger of this name, opened now if it was not.
    pub fn get(&self, name: &LedgerName) -> Result<Ledger, Error> {
        if !store::exists(&self.settings.store(name).path) {
            self.settings.lost(name)?;
            return Err(Error::Unknown);
        }
        let slot = self.slot(name);
        let mut slot = lock(&slot);
        match &slot.open {
            Some((ledger, _)) => Ok(ledger.clone()),
            None => self.open(name, &mut slot),
        }
    }

    /// Whether a ledger that was opened has stopped writing. Never waits for the disk: a ledger that
    /// is being opened has not stopped.
    pub fn any_halted(&self) -> bool {
        let slots: Vec<_> = lock(&self.slots).values().map(Arc::clone).collect();
        let halted = |slot: &Slot| slot.open.as_ref().is_some_and(|open| open.0.is_halted());
        slots.iter().any(|slot| slot.try_lock().is_ok_and(|slot| halted(&slot)))
    }

    /// Closes all ledgers: waits until what is queued is committed and answered. Whoever still has a
    /// handle of a ledger keeps it open.
    pub fn close(self) {
        let slots = self.slots.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Every handle goes before any thread is waited for, so that all ledgers finish side by side.
        let open = slots.into_values().filter_map(|slot| lock(&slot).open.take());
        let (handles, threads): (Vec<_>, Vec<_>) = open.unzip();
        drop(handles);
        threads.into_iter().for_each(Threads::join);
    }

    fn open(&self, name: &LedgerName, slot: &mut Slot) -> Result<Ledger, Error> {
        let store = self.settings.store(name);
        let key = self.settings.key(name)?;
        // Nobody copies the database while it is being opened, or opens it while it is being copied.
        let locked = lock_folder(&self.settings.folder(name))?;
        if store::holds_erased(&store)
            && let Err(error) = self.settings.forget_erased(name, &store)
        {
            // It is done when there is room for it. Until then nobody can read what was erased.
            let error = with_causes(&error);
            tracing::error!(ledger = %name, %error, "bytes of erased content are still on the disk");
        }
        let options = Options { store, key, software: self.settings.software.clone() };
        let (ledger, threads) = open::open(options, &self.environment)?;
        drop(locked);
        // Made for good: from now on a missing database is a lost one.
        remove_file(&fresh_key(&self.settings.key_file(name)))?;
        tracing::info!(ledger = %name, size = ledger.view().size(), "opened");
        slot.open = Some((ledger.clone(), threads));
        Ok(ledger)
    }

    fn slot(&self, name: &LedgerName) -> Arc<Mutex<Slot>> {
        Arc::clone(lock(&self.slots).entry(name.clone()).or_default())
    }

    /// Makes the key of a new ledger. A key that is there is never overwritten: it is what an
    /// interrupted creation left behind, and it is used.
    ///
    /// `key.new` stays until the ledger was opened, so that a key without a database can be told
    /// from one whose database was lost ([`Settings::lost`]).
    fn make_key(&self, name: &LedgerName) -> Result<(), Error> {
        let path = self.settings.key_file(name);
        if path.exists() {
            return Ok(());
        }
        let fresh = fresh_key(&path);
        remove_file(&fresh)?;
        let mut seed = [0; 32];
        self.environment.random.fill(&mut seed).map_err(Error::Random)?;
        write_key(&fresh, &seed)?;
        // Unlike a rename, a link never takes the place of a file that is there.
        let linked = fs::hard_link(&fresh, &path);
        linked.and_then(|()| files::sync_folder(&self.settings.folder(name))).map_err(io(&path))
    }
}

/// Where a key is written before it takes its place.
fn fresh_key(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Keeps other processes away from a folder until the answer is dropped.
pub(super) fn lock_folder(path: &Path) -> Result<File, Error> {
    let folder = File::open(path).map_err(io(path))?;
    folder.lock().map_err(io(path))?;
    Ok(folder)
}

/// Removes a file, if it is there.
fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The seed in the text of a key file.
pub(super) fn parse_key(text: &str) -> Option<[u8; 32]> {
    let seed = BASE64.decode(text.trim_end().as_bytes()).ok()?;
    seed.try_into().ok()
}

/// Writes a key to a new file that only its owner can read. Its bytes are durable on return; its name
/// is once its folder is synced.
pub(super) fn write_key(path: &Path, seed: &[u8; 32]) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(io(path))?;
    let text = format!("{}\n", BASE64.encode(seed));
    file.write_all(text.as_bytes()).map_err(io(path))?;
    file.sync_all().map_err(io(path))
}

pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::Io { path: path.clone(), source }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
