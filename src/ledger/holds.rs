//! Legal holds: what may not be erased for now.
//!
//! Their state is told from their records at any time. A hold counts from the moment at which its record
//! is in the log: placing one and erasing take turns, so that none comes in between.

use std::collections::BTreeMap;

use super::erase::{EraseError, Order, check_reach, server_record};
use super::{Error, Ledger, Receipt, SubmitError, known};
use crate::record::data::{Data, HoldState, LegalHold, Reach};
use crate::record::text::{ExternalId, Line};
use crate::record::{Entry, Rel, Subject, Timestamp};

/// Records of holds that are looked for at a time.
const FIND: usize = 1_024;

/// A hold in force.
#[derive(Clone, Debug)]
pub struct Hold {
    /// What is held, by whom and why.
    pub hold: LegalHold,
    /// The seq of the record that placed it.
    pub seq: u64,
    /// When it was placed.
    pub placed_at: Timestamp,
}

/// The holds of a ledger.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// Those in force, by their ids.
    pub(super) placed: BTreeMap<String, Hold>,
    /// The seq of the last release.
    pub(super) released: Option<u64>,
}

impl Holds {
    /// The hold that keeps a record from being erased, if there is one.
    pub(super) fn on(&self, entry: &Entry<'_>) -> Option<&Hold> {
        self.placed.values().find(|hold| reaches(&hold.hold.reach, entry))
    }
}

impl Ledger {
    /// The holds in force, by their ids.
    pub fn holds(&self) -> Result<Vec<Hold>, Error> {
        Ok(self.read_holds()?.placed.into_values().collect())
    }

    /// Keeps what the order reaches from being erased, also what comes later. It counts on return.
    pub async fn place_hold(&self, order: Order, now: Timestamp) -> Result<Hold, EraseError> {
        check_reach(&order.reach, true)?;
        let about = match &order.reach.record {
            Some(id) => {
                self.view().seq_of(id)?.ok_or(EraseError::UnknownRecord)?;
                vec![id.to_string()]
            }
            None => Vec::new(),
        };
        let id = super::prepare::new_id(self.shared.random.as_ref())?;
        let hold = LegalHold {
            actor: order.actor,
            hold_id: id.as_str().into(),
            reach: order.reach,
            reason: order.reason,
            state: HoldState::Placed,
        };
        let _alone = self.shared.erasing.lock().await;
        let receipt = self.seal_hold(&hold, about, now).await?;
        Ok(Hold { hold, seq: receipt.seq, placed_at: receipt.received_at })
    }

    /// Ends a hold. Says what it was.
    pub async fn release_hold(
        &self,
        hold_id: &str,
        actor: ExternalId,
        reason: Line,
        now: Timestamp,
    ) -> Result<Hold, EraseError> {
        let _alone = self.shared.erasing.lock().await;
        let before = self.read_holds()?.placed.remove(hold_id).ok_or(EraseError::UnknownHold)?;
        let view = self.view();
        let entry = view.entry(before.seq)?.ok_or(EraseError::UnknownHold)?;
        let about = vec![known::parse(before.seq, &entry)?.id.to_string()];
        let hold = LegalHold { actor, reason, state: HoldState::Released, ..before.hold.clone() };
        self.seal_hold(&hold, about, now).await?;
        Ok(Hold { hold, ..before })
    }

    async fn seal_hold(
        &self,
        hold: &LegalHold,
        about: Vec<String>,
        now: Timestamp,
    ) -> Result<Receipt, EraseError> {
        let event = server_record(hold.clone(), about, Rel::About, None, now)?;
        let mut receipts = self.submit(vec![self.prepare(event)?]).await?;
        receipts.pop().ok_or(SubmitError::Halted.into())
    }

    /// Tells the state of all holds from their records.
    pub(super) fn read_holds(&self) -> Result<Holds, Error> {
        let view = self.view();
        let mut holds = Holds::default();
        let mut rest = 0..view.size();
        loop {
            let found = self.shared.reader.of_subject(Subject::Holds, &rest, FIND)?;
            let Some(last) = found.last() else { return Ok(holds) };
            rest.start = last + 1;
            for seq in found {
                let Some(bytes) = view.entry(seq)? else { continue };
                let entry = known::parse(seq, &bytes)?;
                let Data::LegalHold(hold) = entry.data.as_ref() else { continue };
                let id = hold.hold_id.to_string();
                if hold.state == HoldState::Placed {
                    let placed_at = entry.received_at;
                    holds.placed.insert(id, Hold { hold: hold.clone(), seq, placed_at });
                } else {
                    holds.placed.remove(&id);
                    holds.released = Some(seq);
                }
            }
        }
    }
}

/// Whether a reach has this record in it. What was refused counts as what it claimed to be.
pub(super) fn reaches(reach: &Reach, entry: &Entry<'_>) -> bool {
    let claimed =
        if let Data::IngestRefusal(refusal) = entry.data.as_ref() { Some(refusal) } else { None };
    let session = entry.session.as_ref().map(|session| session.id.as_str());
    let user = entry.user.as_ref().map(|user| &*user.id);
    let claims = [
        (&reach.record, Some(entry.id.as_str()), claimed.map(|claimed| &claimed.claimed_id)),
        (&reach.session, session, claimed.map(|claimed| &claimed.claimed_session)),
        (&reach.user, user, claimed.map(|claimed| &claimed.claimed_user)),
    ];
    let is = |wanted: &str, found: Option<&str>| found == Some(wanted);
    reach.all == Some(true)
        || claims.into_iter().any(|(wanted, found, claimed)| {
            let claimed = claimed.and_then(Option::as_ref).map(|id| &**id);
            wanted.as_deref().is_some_and(|wanted| is(wanted, found) || is(wanted, claimed))
        })
}
