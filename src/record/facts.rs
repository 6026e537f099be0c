//! The rules on one record that hold for an event and for the entry that seals it: both are checked
//! by the code below.

use super::cause::Rel;
use super::check::Check;
use super::data::Data;
use super::fault::{At, Code, Faults};
use super::flag::Flag;
use super::identity::{Agent, User, UserType};
use super::kind::Kind;
use super::limits::{LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX};
use super::looks::same_identity;
use super::source::{Captured, ProducerSignature, Source, Trace};
use super::text::{ExternalId, Members, check_text, is_label_key};

/// What an event and an entry have in common.
pub(super) struct Facts<'a> {
    pub(super) kind: Kind,
    pub(super) id: Option<&'a str>,
    pub(super) agent: Option<&'a Agent>,
    pub(super) data: &'a Data,
    pub(super) delegation: Option<&'a ExternalId>,
    pub(super) has_content: bool,
    pub(super) labels: &'a Members<String>,
    pub(super) session: Option<&'a ExternalId>,
    pub(super) signature: Option<&'a ProducerSignature>,
    pub(super) source: Option<&'a Source>,
    pub(super) trace: Option<&'a Trace>,
    pub(super) user: Option<&'a User>,
}

impl Facts<'_> {
    /// Notes every broken limit and rule of SPEC 2, and returns the flags that follow instead,
    /// sorted.
    pub(super) fn check<'c>(
        &self,
        causes: &(impl Iterator<Item = (&'c str, Rel)> + Clone),
        faults: &mut Faults,
    ) -> Vec<Flag> {
        self.check_context(faults);
        self.check_collapse(faults);
        self.check_causes(causes.clone(), faults);
        let mut flags = self.check_missing(causes, faults);
        flags.extend(self.check_delegation(faults));
        flags.sort_unstable();
        self.check_content(faults);
        self.check_members(faults);
        flags
    }

    /// The limits of each member.
    fn check_members(&self, faults: &mut Faults) {
        let root = At::ROOT;
        self.agent.check(root.member("agent"), faults);
        self.data.check(root.member("data"), faults);
        self.delegation.check(root.member("delegation"), faults);
        self.signature.check(root.member("signature"), faults);
        if self.signature.is_some() && self.source.is_none() {
            let message = "what the server writes has no producer's signature";
            faults.add(root.member("signature"), Code::FieldInvalid, message);
        }
        if self.signature.is_some() && self.id.is_none() {
            let message = "sign the record with its id: what is signed must not change";
            faults.add(root.member("id"), Code::FieldMissing, message);
        }
        self.source.check(root.member("source"), faults);
        self.trace.check(root.member("trace"), faults);
        self.user.check(root.member("user"), faults);
        check_labels(self.labels, faults);
    }

    /// R1: who is accountable, and where it belongs.
    fn check_context(&self, faults: &mut Faults) {
        let rules = self.kind.rules();
        let root = At::ROOT;
        if rules.user && self.user.is_none() {
            let message = "name the `user` who is accountable for this";
            faults.add(root.member("user"), Code::UserContextMissing, message);
        }
        if rules.session && self.session.is_none() {
            let message = "name the `session` that this belongs to";
            faults.add(root.member("session"), Code::UserContextMissing, message);
        }
        if self.session.is_some_and(|id| matches!(id.as_str(), "." | "..")) {
            let message = "choose another id: no URL can hold this one";
            faults.add(root.member("session").member("id"), Code::FieldInvalid, message);
        }
        if rules.agent && self.agent.is_none() {
            let message = "name the `agent` that did this";
            faults.add(root.member("agent"), Code::FieldMissing, message);
        }
    }

    /// R2: the user is somebody, and not the agent.
    fn check_collapse(&self, faults: &mut Faults) {
        let Some(user) = self.user else { return };
        let root = At::ROOT;
        let at = root.member("user");
        if user.r#type == UserType::Service && user.trigger.is_none() && user.owner.is_none() {
            let message = "a service is nobody in particular: name its `trigger` or its `owner`";
            faults.add(at, Code::ProvenanceCollapsed, message);
        }
        let Some(agent) = self.agent else { return };
        let is_agent = |id: &str| {
            same_identity(id, &agent.id)
                || agent.instance_id.as_ref().is_some_and(|instance| same_identity(id, instance))
        };
        let message = "this is the agent: name the person or organization that it acts for";
        if is_agent(&user.id) {
            faults.add(at.member("id"), Code::ProvenanceCollapsed, message);
        }
        if user.owner.as_ref().is_some_and(|owner| is_agent(owner)) {
            faults.add(at.member("owner"), Code::ProvenanceCollapsed, message);
        }
    }

    /// Every cause has a relation that the kind has, and stands there once.
    fn check_causes<'c>(&self, causes: impl Iterator<Item = (&'c str, Rel)>, faults: &mut Faults) {
        let rules = self.kind.rules();
        let (root, mut seen) = (At::ROOT, Vec::new());
        let list = root.member("causes");
        for (index, (id, rel)) in causes.enumerate() {
            let at = list.element(index);
            if rules.edge(rel).is_none() {
                let message = "a record of this kind has no such relation";
                faults.add(at.member("rel"), Code::CauseInvalid, message);
            }
            if self.id == Some(id) {
                faults.add(at.member("id"), Code::CauseInvalid, "a record cannot cause itself");
            }
            seen.push((id, rel, index));
        }
        seen.sort_unstable();
        for pair in seen.windows(2) {
            let [(id, rel, _), (next, next_rel, index)] = pair else { continue };
            if (id, rel) == (next, next_rel) {
                let message = "the same cause with the same relation again; leave it out";
                faults.add(list.element(*index), Code::CauseRepeated, message);
            }
        }
    }

    /// R4: what the kind needs is there, or an observer who cannot know it gets a flag.
    fn check_missing<'c>(
        &self,
        causes: &(impl Iterator<Item = (&'c str, Rel)> + Clone),
        faults: &mut Faults,
    ) -> Vec<Flag> {
        let rules = self.kind.rules();
        let independent = self.source.is_some_and(|source| source.observed_by.is_independent());
        let (root, mut flags) = (At::ROOT, Vec::new());
        let at = root.member("causes");
        for edge in rules.edges {
            let count = causes.clone().filter(|(_, rel)| *rel == edge.rel).count();
            let orphan = rules.orphan.filter(|_| independent && edge.rel == Rel::TriggeredBy);
            match orphan {
                Some(flag) if count < edge.min => flags.push(flag),
                None if count < edge.min => {
                    faults.add(at, Code::CauseMissing, needed(edge.rel, edge.to));
                }
                _ if count > edge.max => {
                    let message = format!("give at most {} with `{}`", edge.max, edge.rel);
                    faults.add(at, Code::TooMany, message);
                }
                Some(_) | None => {}
            }
        }
        flags
    }

    /// The agent's own runtime names the grant under which it acts; for whoever cannot know it, its
    /// absence is a flag.
    fn check_delegation(&self, faults: &mut Faults) -> Option<Flag> {
        let needed = if let Data::Memory(memory) = self.data {
            memory.op.is_write()
        } else {
            self.kind.rules().delegation
        };
        if !needed || self.delegation.is_some() {
            return None;
        }
        if self.source.is_some_and(|source| !source.observed_by.is_native()) {
            return Some(Flag::DelegationMissing);
        }
        let message = "name the grant under which the agent did this";
        faults.add(At::ROOT.member("delegation"), Code::DelegationMissing, message);
        None
    }

    /// Content that the kind has is there, or the producer says that it is not.
    fn check_content(&self, faults: &mut Faults) {
        let root = At::ROOT;
        let captured = self.source.and_then(|source| source.captured).unwrap_or(Captured::Full);
        let needed = match captured {
            Captured::Full => self.kind.rules().content,
            Captured::Truncated => true,
            Captured::Absent => false,
        };
        if needed && !self.has_content {
            let message = "give the `content`, or say in `source` that it was `captured`: `absent`";
            faults.add(root.member("content"), Code::ContentMissing, message);
        }
        if captured == Captured::Absent && self.has_content {
            let message = "there is content: say `truncated`, or leave this out";
            faults.add(root.member("source").member("captured"), Code::FieldInvalid, message);
        }
    }
}

fn needed(rel: Rel, to: &[Kind]) -> String {
    let kinds: Vec<_> = to.iter().map(|kind| kind.as_str()).collect();
    if to.len() == Kind::ALL.len() {
        format!("name the record that this is `{rel}`")
    } else {
        format!("name a cause with `{rel}`: one of {}", kinds.join(", "))
    }
}

/// Notes labels beyond their limits. Keys are shown once they are known to be harmless.
fn check_labels(labels: &Members<String>, faults: &mut Faults) {
    let root = At::ROOT;
    let at = root.member("labels");
    if labels.len() > LABELS_MAX {
        faults.add(at, Code::TooMany, format!("give at most {LABELS_MAX} labels"));
    }
    for (key, value) in labels.iter().take(LABELS_MAX) {
        if key.len() > LABEL_KEY_BYTES_MAX {
            let message = format!("give keys of at most {LABEL_KEY_BYTES_MAX} bytes");
            faults.add(at, Code::FieldTooLong, message);
        } else if is_label_key(key) {
            check_text(value, LABEL_VALUE_BYTES_MAX, at.member(key), faults);
        } else {
            faults.add(at, Code::FieldInvalid, "make keys of A-Z a-z 0-9 _ . -");
        }
    }
}
