//! Data of sessions and delegations.

use crate::record::text::{Any, ExternalId, Line, Name, OneOrMore};
use crate::record::time::Timestamp;

use super::tool::Effect;

names! {
    /// How the user proved who they are.
    AuthMethod {
        ApiKey = "api_key",
        Certificate = "certificate",
        Device = "device",
        MagicLink = "magic_link",
        Oauth = "oauth",
        Passkey = "passkey",
        Password = "password",
        Sso = "sso",
        /// Another way, or one that the producer does not know.
        Unknown = "unknown",
    }
}

names! {
    /// Why a session ended.
    EndReason {
        Logout = "logout",
        Expired = "expired",
        Revoked = "revoked",
        Completed = "completed",
        Admin = "admin",
    }
}

names! {
    /// What a grant's lifetime hangs on.
    LifetimeBasis {
        LoginSession = "login_session",
        Grant = "grant",
    }
}

object! {
    /// How the user signed in.
    Auth {
        /// Authentication methods references (RFC 8176).
        #[serde(default)]
        amr: Any<Name>,
        /// Who vouches for the user.
        issuer: ExternalId,
        /// How the user proved who they are.
        method: AuthMethod,
        /// Whether more than one factor was used.
        mfa: Option<bool>,
    }
}

object! {
    /// Data of `session_start`.
    SessionStart {
        /// How the user signed in.
        auth: Auth,
        /// When the session ends at the latest.
        expires_at: Timestamp,
        /// The user's network address.
        ip: Option<Name>,
        /// The session that this one goes on from.
        previous_id: Option<ExternalId>,
        /// The task that the session is for.
        task_id: Option<ExternalId>,
        /// The user's program.
        user_agent: Option<Line>,
    }
}

object! {
    /// Data of `session_end`.
    SessionEnd {
        /// Who ended it, if it was not the user.
        ended_by: Option<ExternalId>,
        /// Why it ended.
        reason: EndReason,
    }
}

object! {
    /// The credential that stands for a grant: named, never contained.
    Credential {
        /// The algorithm that it is signed with.
        alg: Option<Name>,
        /// The thumbprint of the key that it is bound to (RFC 9449).
        cnf_jkt: Option<Name>,
        /// Its `jti`, or the thumbprint of its key or certificate.
        id: ExternalId,
        /// What it is, such as `jwt` or `mtls`.
        r#type: Name,
    }
}

object! {
    /// Data of `delegation_grant`: what `delegate` may do for `subject`.
    DelegationGrant {
        /// The agents through which the grant came to this one, the nearest first.
        #[serde(default)]
        actors: Any<ExternalId>,
        /// The effects that tools may have.
        #[serde(default)]
        allowed_effects: Any<Effect>,
        /// The tools that were approved with the grant.
        #[serde(default)]
        approved_tools: Any<Name>,
        /// Whom the credential is for.
        audience: OneOrMore<ExternalId>,
        /// The profile by which the claims were read.
        claims_profile: Option<Name>,
        /// The credential.
        credential: Credential,
        /// The agent that may act.
        delegate: ExternalId,
        /// The grant's id, which records name as their `delegation`.
        delegation: ExternalId,
        /// When it ends.
        expires_at: Timestamp,
        /// When it was given.
        issued_at: Timestamp,
        /// Who gave it.
        issuer: ExternalId,
        /// What its lifetime hangs on.
        lifetime_basis: LifetimeBasis,
        /// How many calls it allows.
        max_calls: Option<u64>,
        /// The grant that this one is a part of.
        parent: Option<ExternalId>,
        /// What it allows.
        scopes: OneOrMore<ExternalId>,
        /// The user for whom the agent acts.
        subject: ExternalId,
        /// The task that it is for.
        task_id: Option<ExternalId>,
    }
}

object! {
    /// Data of `delegation_revoke`.
    DelegationRevoke {
        /// The grant's id.
        delegation: ExternalId,
        /// Why it was taken back.
        reason: Line,
        /// Who took it back.
        revoked_by: Option<ExternalId>,
    }
}
