//! The file in which a server keeps its grants.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Grant, Token};
use crate::canon::{self, SecretDigest};
use crate::files;

/// The grants could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file could not be used.
    #[error("cannot use the token file {path}")]
    Io {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The file does not hold grants.
    #[error("the token file {path} is damaged: restore it, or remove it and make new tokens")]
    Damaged {
        /// The file.
        path: String,
    },
}

/// The grants of a server, in memory and in a file that others cannot read.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    grants: Mutex<BTreeMap<SecretDigest, Arc<Grant>>>,
}

/// The file as a whole.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    tokens: Vec<Grant>,
}

impl TokenFile {
    /// Reads the file. If there is none, there are no grants yet.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let named = || path.display().to_string();
        let bytes =
            files::read_if_there(path).map_err(|source| FileError::Io { path: named(), source })?;
        let grants = match bytes {
            Some(bytes) => {
                serde_json::from_slice::<Content>(&bytes)
                    .map_err(|_| FileError::Damaged { path: named() })?
                    .tokens
            }
            None => Vec::new(),
        };
        let grants = grants.into_iter().map(|grant| (grant.digest, Arc::new(grant))).collect();
        Ok(Self { path: path.to_owned(), grants: Mutex::new(grants) })
    }

    /// The grant of a live token.
    pub fn authenticate(&self, token: &str, now_unix: u64) -> Option<Arc<Grant>> {
        let digest = SecretDigest::of(token.as_bytes());
        self.lock().get(&digest).filter(|grant| grant.is_live(now_unix)).cloned()
    }

    /// Every grant, oldest first.
    pub fn list(&self) -> Vec<Arc<Grant>> {
        let mut grants: Vec<_> = self.lock().values().cloned().collect();
        grants.sort_by(|a, b| (a.created_at_unix, &a.id).cmp(&(b.created_at_unix, &b.id)));
        grants
    }

    /// Adds the grant of a new token. It is in the file on return.
    pub fn add(&self, token: &Token, grant: Grant) -> Result<(), FileError> {
        self.change(|grants| {
            grants.insert(token.digest(), Arc::new(grant));
        })
    }

    /// Takes a token back. Says whether there was one with this id. The file says so on return.
    pub fn revoke(&self, id: &str) -> Result<bool, FileError> {
        let mut revoked = false;
        self.change(|grants| {
            let before = grants.len();
            grants.retain(|_, grant| grant.id != id);
            revoked = grants.len() < before;
        })?;
        Ok(revoked)
    }

    /// Changes the grants in the file, and in memory as soon as the file says so: from the rename on,
    /// whatever comes after it. An error after that is about durability alone.
    fn change(
        &self,
        edit: impl FnOnce(&mut BTreeMap<SecretDigest, Arc<Grant>>),
    ) -> Result<(), FileError> {
        let mut grants = self.lock();
        let mut changed = grants.clone();
        edit(&mut changed);
        let tokens = changed.values().map(|grant| Grant::clone(grant)).collect();
        let path = || self.path.display().to_string();
        let bytes = canon::sorted_to_bytes(&Content { tokens })
            .map_err(|_| FileError::Damaged { path: path() })?;
        let io = |source| FileError::Io { path: path(), source };
        files::replace(&self.path, &bytes).map_err(io)?;
        *grants = changed;
        files::sync_parent(&self.path).map_err(io)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SecretDigest, Arc<Grant>>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::access::{Role, Scope};

    #[test]
    fn grants_survive_and_secrets_are_not_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let token = Token::from_random(&[7; 32]);
        let grant = Grant {
            id: "tok_1".to_owned(),
            name: "ci".to_owned(),
            roles: BTreeSet::from([Role::Writer]),
            ledgers: Scope::All,
            kinds: None,
            producers: None,
            created_at_unix: 1,
            expires_at_unix: Some(100),
            digest: token.digest(),
        };
        TokenFile::open(&path).unwrap().add(&token, grant.clone()).unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains(&token.reveal()[7..]));

        let tokens = TokenFile::open(&path).unwrap();
        assert_eq!(tokens.authenticate(token.reveal(), 99).as_deref(), Some(&grant));
        assert_eq!(tokens.authenticate(token.reveal(), 100), None);
        assert_eq!(tokens.authenticate("whence_other", 0), None);
        assert!(tokens.revoke("tok_1").unwrap());
        assert!(!tokens.revoke("tok_1").unwrap());
        assert_eq!(TokenFile::open(&path).unwrap().authenticate(token.reveal(), 0), None);
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_taken_for_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        fs::write(&path, "{").unwrap();
        assert!(matches!(TokenFile::open(&path), Err(FileError::Damaged { .. })));
    }
}
