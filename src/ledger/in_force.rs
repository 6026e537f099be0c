//! What a ledger's records leave in force for those who prepare further ones: keys and the policy.
//!
//! It goes on with every batch that is committed. A record is prepared by what is in force then, in
//! parallel with all others; the writer itself judges by its own state, which is never behind.

use std::sync::{Arc, PoisonError, RwLock};

use super::producers::Producers;
use super::{Error, known};
use crate::record::Data;
use crate::record::data::{Policy, ProducerKey};
use crate::store::Reader;

/// Keys and policy, for all who prepare records.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) producers: Producers,
    policy: RwLock<Arc<Policy>>,
}

/// What a batch says of keys and of the policy, in its order.
#[derive(Debug, Default)]
pub(super) struct Settings {
    producer_keys: Vec<ProducerKey>,
    policy: Option<Policy>,
}

impl Settings {
    /// Notes what a record of the batch says.
    pub(super) fn note(&mut self, data: &Data) {
        if let Data::ProducerKey(key) = data {
            self.producer_keys.push(key.clone());
        }
        if let Data::ConfigChange(change) = data
            && let Some(policy) = &change.policy
        {
            self.policy = Some(policy.clone());
        }
    }
}

impl InForce {
    /// What the records below `size` leave in force.
    pub(super) fn read(reader: &Reader, size: u64) -> Result<Self, Error> {
        let producers = Producers::read(reader, size)?;
        let policy = known::policy_in(reader)?.map(|told| told.policy).unwrap_or_default();
        Ok(Self { producers, policy: RwLock::new(Arc::new(policy)) })
    }

    /// Goes on with a batch that was committed.
    pub(super) fn learn(&self, settings: Settings) {
        self.producers.learn(settings.producer_keys);
        if let Some(policy) = settings.policy {
            *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
        }
    }

    /// The policy.
    pub(super) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }
}
