//! One realistic set of claims for each profile, and what is refused.

use serde_json::json;

use super::*;
use crate::record::Event;

fn asked(profile: Profile) -> Asked {
    Asked {
        profile,
        session: "s-81f3".to_owned(),
        user_type: UserType::Human,
        owner: None,
        audience: None,
        credential_id: None,
        alg: None,
        basis: LifetimeBasis::LoginSession,
        producer: "gateway-1".to_owned(),
        observed_by: ObservedBy::AgentProcess,
    }
}

fn claims(profile: Profile) -> Value {
    let (issued, ends) = (1_795_478_400, 1_795_478_700);
    match profile {
        Profile::Rfc8693 => json!({
            "iss": "https://issuer.example", "sub": "alice@example.com", "aud": "https://bank.example",
            "jti": "jti-7f", "iat": issued, "exp": ends, "scope": "payments:write payments:read",
            "sid": "login-1", "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" },
            "act": { "sub": "invoice-agent", "act": { "sub": "planner", "act": { "sub": "desk" } } },
        }),
        Profile::WorkosAgent => json!({
            "iss": "https://api.workos.com", "sub": "agent_reg_01H", "act": { "sub": "user_01H" },
            "aud": ["https://bank.example"], "jti": "01HJ", "iat": issued, "exp": ends,
            "org_id": "org_01H", "agent_instance_session_id": "ais_01H",
            "session_expires_at": "2026-11-24T00:03:00Z", "intent": "pay invoices",
            "permissions": ["payments:write"],
        }),
        Profile::WorkosUser => json!({
            "iss": "https://api.workos.com/user_management/client_01H", "sub": "user_01H",
            "sid": "session_01H", "org_id": "org_01H", "role": "member", "client_id": "invoice-agent",
            "permissions": ["payments:write"], "jti": "01HJ", "iat": issued, "exp": ends,
            "aud": "https://bank.example",
        }),
        Profile::Oidc => json!({
            "iss": "https://issuer.example", "sub": "248289761001", "aud": ["https://bank.example"],
            "azp": "invoice-agent", "scope": "openid payments", "jti": "x-1", "iat": issued, "exp": ends,
        }),
        Profile::IdJag => json!({
            "iss": "https://acme.idp.example", "sub": "U019488227", "aud": "https://chat.example",
            "client_id": "f53f191f9311af35", "jti": "9e43f81b64a33f20116179", "scope": "chat.read",
            "iat": issued, "exp": ends,
        }),
    }
}

fn read(asked: &Asked, claims: &Value) -> Result<DelegationGrant, ClaimError> {
    let draft = grant(asked, claims.as_object().unwrap())?;
    let event = Event::try_from(draft).expect("a grant that is read is a record");
    let crate::record::Data::DelegationGrant(data) = event.data() else { panic!("no grant") };
    assert_eq!(event.user().unwrap().id, data.subject);
    assert_eq!(event.agent().unwrap().id, data.delegate);
    Ok(data.clone())
}

#[test]
fn each_profile_tells_the_user_from_the_agent_in_its_own_way() {
    for (profile, user, agent, scopes) in [
        (Profile::Rfc8693, "alice@example.com", "invoice-agent", 2),
        (Profile::WorkosAgent, "user_01H", "agent_reg_01H", 1),
        (Profile::WorkosUser, "user_01H", "invoice-agent", 1),
        (Profile::Oidc, "248289761001", "invoice-agent", 2),
        (Profile::IdJag, "U019488227", "f53f191f9311af35", 1),
    ] {
        let data = read(&asked(profile), &claims(profile)).unwrap();
        assert_eq!((&*data.subject, &*data.delegate), (user, agent), "{profile:?}");
        assert_eq!(data.scopes.len(), scopes, "{profile:?}");
        assert_eq!(data.claims_profile.as_deref(), Some(profile.as_str()));
        assert_eq!(data.lifetime_basis, LifetimeBasis::LoginSession);
        assert_eq!(profile.as_str().parse(), Ok(profile));
    }
    assert_eq!("jwt".parse::<Profile>(), Err(ClaimError::Profile));
}

#[test]
fn what_only_some_profiles_have_is_kept() {
    let data = read(&asked(Profile::Rfc8693), &claims(Profile::Rfc8693)).unwrap();
    let actors: Vec<_> = data.actors.iter().map(|actor| &**actor).collect();
    assert_eq!(actors, ["planner", "desk"]);
    assert!(data.credential.cnf_jkt.is_some());
    let agent = claims(Profile::WorkosAgent);
    let draft = grant(&asked(Profile::WorkosAgent), agent.as_object().unwrap()).unwrap();
    assert_eq!(draft.session.unwrap().login_session_id.as_deref(), Some("ais_01H"));
    let data = read(&asked(Profile::WorkosAgent), &agent).unwrap();
    assert_eq!(Some(data.expires_at), "2026-11-24T00:03:00Z".parse().ok());
}

#[test]
fn the_same_claims_make_the_same_record() {
    let (asked, claims) = (asked(Profile::Oidc), claims(Profile::Oidc));
    let claims = claims.as_object().unwrap();
    assert_eq!(grant(&asked, claims).unwrap(), grant(&asked, claims).unwrap());
}

#[test]
fn claims_that_do_not_say_enough_are_refused_by_name() {
    for profile in Profile::ALL {
        let scopes = name_of(profile.reading().scopes);
        let agent = profile.reading().agent.first().unwrap();
        let agent = agent.trim_start_matches('/').split('/').next().unwrap();
        for claim in ["iss", "sub", "aud", "jti", "iat", "exp", scopes, agent] {
            let mut claims = claims(profile);
            claims.as_object_mut().unwrap().remove(claim);
            let error = read(&asked(profile), &claims).unwrap_err();
            assert!(matches!(error, ClaimError::Missing { .. }), "{profile:?} {claim}: {error}");
            assert!(error.to_string().contains(claim), "{error}");
        }
        let mut late = claims(profile);
        late["exp"] = json!("soon");
        let wrong = ClaimError::Malformed { claim: "exp", what: "a time in whole seconds" };
        assert_eq!(read(&asked(profile), &late), Err(wrong));
    }
}

#[test]
fn the_direction_is_never_guessed() {
    for profile in [Profile::WorkosUser, Profile::Oidc, Profile::IdJag] {
        let mut claims = claims(profile);
        claims["act"] = json!({ "sub": "somebody" });
        let unexpected = ClaimError::UnexpectedAct { profile: profile.as_str() };
        assert_eq!(read(&asked(profile), &claims), Err(unexpected));
    }
}

#[test]
fn an_autonomous_agent_needs_an_owner() {
    let mut claims = claims(Profile::WorkosAgent);
    claims.as_object_mut().unwrap().remove("act");
    let mut asked = asked(Profile::WorkosAgent);
    assert_eq!(read(&asked, &claims), Err(ClaimError::Autonomous));
    asked.owner = Some("alice@example.com".to_owned());
    asked.user_type = UserType::Service;
    assert_eq!(&*read(&asked, &claims).unwrap().subject, "alice@example.com");
}

#[test]
fn a_chain_that_nobody_could_follow_is_refused() {
    let mut claims = claims(Profile::Rfc8693);
    let mut act = json!({ "sub": "first" });
    for number in 0..ACTORS_MAX {
        act = json!({ "sub": format!("agent-{number}"), "act": act });
    }
    claims["act"] = act.clone();
    assert_eq!(read(&asked(Profile::Rfc8693), &claims).unwrap().actors.len(), ACTORS_MAX);
    claims["act"] = json!({ "sub": "one-more", "act": act });
    assert_eq!(read(&asked(Profile::Rfc8693), &claims), Err(ClaimError::TooManyActors));
}
