//! The claims of a token as a `delegation_grant`: who may act, for whom, how, and until when.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::canon::Json;
use crate::canon::digest::sha256;
use crate::record::data::{Credential, DelegationGrant, LifetimeBasis};
use crate::record::identity::UserType;
use crate::record::source::ObservedBy;
use crate::record::text::ExternalId;
use crate::record::{Agent, Draft, Session, Source, Timestamp, User};

/// Agents that a grant may have come through.
const ACTORS_MAX: usize = 8;

/// By which rules claims are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Token exchange (RFC 8693): `sub` is the user, `act.sub` the agent, and what nests in `act` the
    /// agents before it.
    Rfc8693,
    /// Tokens of `WorkOS` for agents: `sub` is the agent and `act.sub` the user.
    WorkosAgent,
    /// A user's own token of `WorkOS` `AuthKit`, used by an application.
    WorkosUser,
    /// A user's own token of an `OpenID` provider, used by an application.
    Oidc,
    /// Identity assertion grants: `iss` and `sub` are the user, `client_id` the agent.
    IdJag,
}

/// What is different between profiles.
struct Reading {
    name: &'static str,
    /// Where the user is, and where the agent is: the first that is there.
    user: &'static [&'static str],
    agent: &'static [&'static str],
    /// What the token allows: the first that is there.
    scopes: &'static [&'static str],
    /// The identity provider's session.
    login: &'static [&'static str],
    /// Whether the token speaks of one who acts for another.
    acts: bool,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Rfc8693, Self::WorkosAgent, Self::WorkosUser, Self::Oidc, Self::IdJag];

    const fn reading(self) -> Reading {
        let of_user = Reading {
            name: "oidc",
            user: &["/sub"],
            agent: &["/azp", "/client_id"],
            scopes: &["/scope", "/scp"],
            login: &["/sid"],
            acts: false,
        };
        match self {
            Self::Rfc8693 => {
                Reading { name: "rfc8693", agent: &["/act/sub"], acts: true, ..of_user }
            }
            Self::WorkosAgent => Reading {
                name: "workos_agent",
                user: &["/act/sub"],
                agent: &["/sub"],
                scopes: &["/permissions", "/scope"],
                login: &["/agent_instance_session_id"],
                acts: true,
            },
            Self::WorkosUser => Reading {
                name: "workos_user",
                agent: &["/client_id", "/azp"],
                scopes: &["/permissions", "/scope"],
                ..of_user
            },
            Self::Oidc => of_user,
            Self::IdJag => Reading { name: "id_jag", agent: &["/client_id"], ..of_user },
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        self.reading().name
    }
}

impl FromStr for Profile {
    type Err = ClaimError;

    fn from_str(name: &str) -> Result<Self, ClaimError> {
        let named = Self::ALL.into_iter().find(|profile| profile.as_str() == name);
        named.ok_or(ClaimError::Profile)
    }
}

/// Claims that cannot be read as a grant. The messages name claims and repeat none of their values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// There is no such profile.
    #[error("the profile is one of rfc8693, workos_agent, workos_user, oidc, id_jag")]
    Profile,
    /// A claim is needed that is not there.
    #[error("the claims have no `{claim}`, which the profile {profile} needs")]
    Missing {
        /// The claim.
        claim: &'static str,
        /// The profile.
        profile: &'static str,
    },
    /// A claim has another form than it should have.
    #[error("the claim `{claim}` is not {what}")]
    Malformed {
        /// The claim.
        claim: &'static str,
        /// What it should be.
        what: &'static str,
    },
    /// Claims of one who acts for another, read by a profile in which nobody does.
    #[error("the claims have `act`, which the profile {profile} has not: name the right profile")]
    UnexpectedAct {
        /// The profile.
        profile: &'static str,
    },
    /// The grant came through more agents than anybody could follow.
    #[error("`act` nests more than {ACTORS_MAX} agents")]
    TooManyActors,
    /// An agent acts for nobody, and nobody was named who answers for it.
    #[error("the agent acts for nobody (no `act.sub`): name the owner who answers for it")]
    Autonomous,
}

/// What a grant is made from, beside the claims.
#[derive(Clone, Debug)]
pub struct Asked {
    /// How the claims are read.
    pub profile: Profile,
    /// The session that the grant is for.
    pub session: String,
    /// What the user is; claims do not say.
    pub user_type: UserType,
    /// Who answers for an agent that acts for nobody.
    pub owner: Option<String>,
    /// Whom the token is for, if its claims do not say.
    pub audience: Option<String>,
    /// What the credential is named by, if its claims have no `jti`.
    pub credential_id: Option<String>,
    /// The algorithm of its signature.
    pub alg: Option<String>,
    /// What the grant's lifetime hangs on.
    pub basis: LifetimeBasis,
    /// The program that sends the grant, and where it stands.
    pub producer: String,
    /// Who saw the claims.
    pub observed_by: ObservedBy,
}

/// The grant that claims are, as it can be posted. The same claims make the same record.
pub fn grant(asked: &Asked, claims: &Map<String, Value>) -> Result<Draft, ClaimError> {
    let reading = asked.profile.reading();
    let claims = Claims { profile: reading.name, all: Value::Object(claims.clone()) };
    if !reading.acts && claims.all.get("act").is_some() {
        return Err(ClaimError::UnexpectedAct { profile: reading.name });
    }
    let issuer: ExternalId = claims.text("iss", &["/iss"])?.into();
    let delegate: ExternalId = claims.text(name_of(reading.agent), reading.agent)?.into();
    let owner = asked.owner.as_deref().map(ExternalId::from);
    let subject: ExternalId = match claims.find_text(name_of(reading.user), reading.user)? {
        Some(user) => user.into(),
        // An autonomous agent: its owner is accountable.
        None if asked.profile == Profile::WorkosAgent => {
            owner.clone().ok_or(ClaimError::Autonomous)?
        }
        None => return Err(claims.missing(name_of(reading.user))),
    };
    let actors = if asked.profile == Profile::Rfc8693 { claims.actors()? } else { Vec::new() };
    let issued_at = claims.time("iat")?.ok_or_else(|| claims.missing("iat"))?;
    let mut expires_at = claims.time("exp")?.ok_or_else(|| claims.missing("exp"))?;
    if asked.profile == Profile::WorkosAgent {
        let session_end = claims.time("session_expires_at")?;
        expires_at = session_end.map_or(expires_at, |end| end.min(expires_at));
    }
    let credential_id = match (claims.find_text("jti", &["/jti"])?, &asked.credential_id) {
        (Some(jti), _) => jti.to_owned(),
        (None, Some(id)) => id.clone(),
        (None, None) => return Err(claims.missing("jti")),
    };
    let audience = match claims.list("aud", &["/aud"])? {
        list if list.is_empty() => asked.audience.as_deref().into_iter().map(Into::into).collect(),
        list => list,
    };
    let scopes = claims.list(name_of(reading.scopes), reading.scopes)?;
    for (claim, list) in [("aud", &audience), (name_of(reading.scopes), &scopes)] {
        if list.is_empty() {
            return Err(claims.missing(claim));
        }
    }
    let login = claims.find_text(name_of(reading.login), reading.login)?.map(Into::into);
    let data = DelegationGrant {
        actors: actors.into(),
        allowed_effects: Vec::new().into(),
        approved_tools: Vec::new().into(),
        audience: audience.into(),
        claims_profile: Some(reading.name.into()),
        credential: Credential {
            alg: asked.alg.as_deref().map(Into::into),
            cnf_jkt: claims.find_text("cnf.jkt", &["/cnf/jkt"])?.map(Into::into),
            id: credential_id.as_str().into(),
            r#type: "jwt".into(),
        },
        delegate,
        delegation: credential_id.as_str().into(),
        expires_at,
        issued_at,
        issuer,
        lifetime_basis: asked.basis,
        max_calls: None,
        parent: None,
        scopes: scopes.into(),
        subject,
        task_id: None,
    };
    Ok(claims.draft(asked, data, login, owner))
}

/// The name of a claim for people: of the first place where it is looked for.
fn name_of(places: &'static [&'static str]) -> &'static str {
    match places.first() {
        Some(&"/act/sub") => "act.sub",
        Some(place) => place.trim_start_matches('/'),
        None => "",
    }
}

struct Claims {
    profile: &'static str,
    all: Value,
}

impl Claims {
    const fn missing(&self, claim: &'static str) -> ClaimError {
        ClaimError::Missing { claim, profile: self.profile }
    }

    /// The first of these places that there is.
    fn find(&self, places: &[&str]) -> Option<&Value> {
        places.iter().find_map(|place| self.all.pointer(place)).filter(|value| !value.is_null())
    }

    fn find_text(&self, claim: &'static str, places: &[&str]) -> Result<Option<&str>, ClaimError> {
        let Some(value) = self.find(places) else { return Ok(None) };
        let text = value.as_str().filter(|text| !text.is_empty());
        text.map(Some).ok_or(ClaimError::Malformed { claim, what: "a text" })
    }

    fn text(&self, claim: &'static str, places: &[&str]) -> Result<&str, ClaimError> {
        self.find_text(claim, places)?.ok_or_else(|| self.missing(claim))
    }

    /// A list, or texts with spaces between.
    fn list(&self, claim: &'static str, places: &[&str]) -> Result<Vec<ExternalId>, ClaimError> {
        let wrong = ClaimError::Malformed { claim, what: "a text or a list of texts" };
        match self.find(places) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) if claim == "aud" => Ok(vec![text.as_str().into()]),
            Some(Value::String(text)) => Ok(text.split_whitespace().map(Into::into).collect()),
            Some(Value::Array(elements)) => {
                let texts = elements.iter().map(|element| element.as_str().map(Into::into));
                texts.collect::<Option<_>>().ok_or(wrong)
            }
            Some(_) => Err(wrong),
        }
    }

    /// A `NumericDate` (RFC 7519 §2), or an RFC 3339 time.
    fn time(&self, claim: &'static str) -> Result<Option<Timestamp>, ClaimError> {
        let Some(value) = self.all.get(claim).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let time = match value {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_u64().and_then(|seconds| {
                Timestamp::from_unix_nanos(i128::from(seconds) * 1_000_000_000).ok()
            }),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        time.map(Some).ok_or(ClaimError::Malformed { claim, what: "a time in whole seconds" })
    }

    /// The agents before the one that acts, the nearest first.
    fn actors(&self) -> Result<Vec<ExternalId>, ClaimError> {
        let mut actors = Vec::new();
        let mut act = self.all.pointer("/act/act");
        while let Some(actor) = act {
            if actors.len() == ACTORS_MAX {
                return Err(ClaimError::TooManyActors);
            }
            let id = actor.get("sub").and_then(Value::as_str);
            let wrong = ClaimError::Malformed { claim: "act", what: "objects that have `sub`" };
            actors.push(id.ok_or(wrong)?.into());
            act = actor.get("act");
        }
        Ok(actors)
    }

    /// The record of a grant. Its id follows from its issuer and credential, so that sending the claims
    /// again repeats nothing.
    fn draft(
        self,
        asked: &Asked,
        data: DelegationGrant,
        login_session_id: Option<ExternalId>,
        owner: Option<ExternalId>,
    ) -> Draft {
        let name = [&*data.issuer, "\n", &*data.delegation].concat();
        let digest = data_encoding::HEXLOWER.encode(&sha256(&[name.as_bytes()]));
        let id = format!("grant-{}", digest.get(..32).unwrap_or(&digest));
        let agent = Agent {
            charter_digest: None,
            id: data.delegate.clone(),
            instance_id: None,
            name: None,
            operator: None,
            version: None,
        };
        let user = User {
            id: data.subject.clone(),
            issuer: Some(data.issuer.clone()),
            owner,
            pseudonym: None,
            subject: None,
            trigger: None,
            r#type: asked.user_type,
        };
        let source = Source {
            captured: None,
            format: Some(self.profile.into()),
            link_confidence: None,
            observed_by: asked.observed_by,
            producer: asked.producer.as_str().into(),
            producer_seq: None,
        };
        let session =
            Session { id: asked.session.as_str().into(), login_session_id, turn_id: None };
        let occurred_at = data.issued_at;
        Draft {
            agent: Some(agent),
            content: [("claims".to_owned(), Json::from_value(self.all))].into_iter().collect(),
            id: id.parse().ok(),
            session: Some(session),
            source: Some(source),
            user: Some(user),
            ..Draft::new(data, occurred_at)
        }
    }
}

#[cfg(test)]
mod tests;
