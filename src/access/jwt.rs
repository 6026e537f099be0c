//! Signed tokens of others (RFC 7519): whether one is what it says, by the keys that its issuer shows.
//!
//! A token is looked at and let go: what is kept of it are its claims and a name for it. The key decides
//! which algorithms are taken, never the token, so that no public key can be made to pass for a secret.

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse, ThumbprintHash,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// The longest token, and the longest set of keys, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
const KEYS_BYTES_MAX: usize = 256 * 1024;
/// How far clocks may differ, in seconds.
const SKEW_SECONDS: u64 = 60;

/// What a token has to be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Whom it has to be for.
    pub audience: Option<&'a str>,
    /// Who has to have issued it.
    pub issuer: Option<&'a str>,
    /// The time, in seconds since 1970.
    pub now_unix: u64,
}

/// A token that was checked. The token itself is not in it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What it claims.
    pub claims: Map<String, Value>,
    /// The algorithm of its signature.
    pub alg: String,
    /// The thumbprint of the key that signed it (RFC 7638).
    pub thumbprint: String,
}

/// A token that is not taken. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// It, or the set of keys, is longer than any that is used.
    #[error("the token or the set of keys is too long")]
    TooLong,
    /// Not three parts of base64url with JSON in them, or an algorithm that is not known.
    #[error("not a signed token in compact form, or of an algorithm that is not taken")]
    Malformed,
    /// Not a set of keys.
    #[error("not a set of keys (JWKS)")]
    Keys,
    /// No key of the set has the name that the token gives.
    #[error("the set has not exactly one key of the name that the token gives")]
    KeyUnknown,
    /// The key does not sign with this algorithm.
    #[error("the key is not for the algorithm that the token names")]
    Algorithm,
    /// The signature is wrong.
    #[error("the signature of the token is wrong")]
    Signature,
    /// It has no end, or is over.
    #[error("the token has expired, or does not say when it does")]
    Expired,
    /// It is not good yet.
    #[error("the token is not valid yet")]
    NotYet,
    /// It is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// It is of somebody else.
    #[error("the token is of another issuer")]
    Issuer,
}

/// Checks a token in compact form by a set of keys.
pub fn check(token: &str, keys: &[u8], expected: Expected<'_>) -> Result<Checked, JwtError> {
    if token.len() > TOKEN_BYTES_MAX || keys.len() > KEYS_BYTES_MAX {
        return Err(JwtError::TooLong);
    }
    let header = decode_header(token).map_err(|_| JwtError::Malformed)?;
    let key = key_of(keys, header.kid.as_deref())?;
    let named = key.common.key_algorithm;
    let fits = taken(&key).contains(&header.alg)
        && named.is_none_or(|named| named == KeyAlgorithm::from(header.alg))
        && !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    if !fits {
        return Err(JwtError::Algorithm);
    }
    // Times and names are checked below, by the clock that the caller reads.
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let decoding = DecodingKey::from_jwk(&key).map_err(|_| JwtError::Keys)?;
    let decoded = decode::<Map<String, Value>>(token, &decoding, &validation);
    let claims = decoded.map_err(|_| JwtError::Signature)?.claims;
    check_claims(&claims, expected)?;
    let thumbprint = key.thumbprint(ThumbprintHash::SHA256).map_err(|_| JwtError::Keys)?;
    Ok(Checked { claims, alg: format!("{:?}", header.alg), thumbprint })
}

/// The one key that the token names, or the only one of the set.
fn key_of(keys: &[u8], name: Option<&str>) -> Result<Jwk, JwtError> {
    let set: Value = serde_json::from_slice(keys).map_err(|_| JwtError::Keys)?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or(JwtError::Keys)?;
    // Keys of kinds that are not known are there for others.
    let keys = keys.iter().filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
    let mut named = keys.filter(|key| name.is_none() || key.common.key_id.as_deref() == name);
    match (named.next(), named.next()) {
        (Some(key), None) => Ok(key),
        _ => Err(JwtError::KeyUnknown),
    }
}

/// The algorithms that a key signs with. A secret signs nothing: whoever can check it can forge it.
fn taken(key: &Jwk) -> &'static [Algorithm] {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[EdDSA],
        AlgorithmParameters::EllipticCurve(_)
        | AlgorithmParameters::OctetKeyPair(_)
        | AlgorithmParameters::OctetKey(_)
        | _ => &[],
    }
}

fn check_claims(claims: &Map<String, Value>, expected: Expected<'_>) -> Result<(), JwtError> {
    let time = |name: &str| claims.get(name).and_then(Value::as_u64);
    let end = time("exp").ok_or(JwtError::Expired)?;
    if end.saturating_add(SKEW_SECONDS) <= expected.now_unix {
        return Err(JwtError::Expired);
    }
    if claims.contains_key("nbf")
        && time("nbf").is_none_or(|from| from > expected.now_unix.saturating_add(SKEW_SECONDS))
    {
        return Err(JwtError::NotYet);
    }
    let is_for = |name: &str| match claims.get("aud") {
        Some(Value::Array(names)) => names.iter().any(|of| of.as_str() == Some(name)),
        audience => audience.and_then(Value::as_str) == Some(name),
    };
    if expected.audience.is_some_and(|name| !is_for(name)) {
        return Err(JwtError::Audience);
    }
    let issuer = claims.get("iss").and_then(Value::as_str);
    if expected.issuer.is_some_and(|name| issuer != Some(name)) {
        return Err(JwtError::Issuer);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_795_478_400;

    /// The PKCS #8 form of an Ed25519 key (RFC 8410 §7).
    fn ed_key(seed: u8) -> EncodingKey {
        let start = data_encoding::HEXLOWER.decode(b"302e020100300506032b657004220420").unwrap();
        EncodingKey::from_ed_der(&[start, vec![seed; 32]].concat())
    }

    fn ec_key() -> EncodingKey {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        EncodingKey::from_ec_der(&pair.serialize_der())
    }

    fn set(keys: &[(&EncodingKey, Algorithm, &str)]) -> Vec<u8> {
        let keys = keys.iter().map(|(key, alg, name)| {
            let mut key = Jwk::from_encoding_key(key, *alg).unwrap();
            key.common.key_id = Some((*name).to_owned());
            key
        });
        json!({ "keys": keys.collect::<Vec<_>>() }).to_string().into_bytes()
    }

    fn token(key: &EncodingKey, alg: Algorithm, name: &str, claims: &Value) -> String {
        let header = Header { kid: Some(name.to_owned()), ..Header::new(alg) };
        encode(&header, claims, key).unwrap()
    }

    fn claims() -> Value {
        json!({
            "iss": "https://issuer.example", "sub": "alice", "aud": ["a", "b"], "jti": "j",
            "exp": NOW + 300, "nbf": NOW,
        })
    }

    fn expected() -> Expected<'static> {
        Expected { audience: Some("a"), issuer: Some("https://issuer.example"), now_unix: NOW }
    }

    #[test]
    fn a_token_is_taken_by_the_key_that_it_names() {
        let (ed, other, ec) = (ed_key(1), ed_key(2), ec_key());
        let keys = set(&[
            (&ed, Algorithm::EdDSA, "ed"),
            (&other, Algorithm::EdDSA, "other"),
            (&ec, Algorithm::ES256, "ec"),
        ]);
        for (key, alg, name) in [(&ed, Algorithm::EdDSA, "ed"), (&ec, Algorithm::ES256, "ec")] {
            let token = token(key, alg, name, &claims());
            let checked = check(&token, &keys, expected()).unwrap();
            assert_eq!(checked.claims["sub"], "alice");
            assert_eq!(checked.alg, format!("{alg:?}"));
            assert_eq!(checked.thumbprint.len(), 43);
        }
        let refused = |name: &str| {
            check(&token(&ed, Algorithm::EdDSA, name, &claims()), &keys, expected()).unwrap_err()
        };
        assert_eq!(refused("other"), JwtError::Signature);
        assert_eq!(refused("nobody"), JwtError::KeyUnknown);
        assert_eq!(refused("ec"), JwtError::Algorithm);
    }

    #[test]
    fn a_token_without_a_signature_or_with_a_public_key_for_a_secret_is_refused() {
        let ed = ed_key(1);
        let keys = set(&[(&ed, Algorithm::EdDSA, "ed")]);
        let body = BASE64URL_NOPAD.encode(claims().to_string().as_bytes());
        let none = BASE64URL_NOPAD.encode(br#"{"alg":"none","kid":"ed"}"#);
        let error = check(&format!("{none}.{body}."), &keys, expected()).unwrap_err();
        assert_eq!(error, JwtError::Malformed);

        let set: Value = serde_json::from_slice(&keys).unwrap();
        let public = set["keys"][0]["x"].as_str().unwrap();
        for secret in
            [public.as_bytes().to_vec(), BASE64URL_NOPAD.decode(public.as_bytes()).unwrap()]
        {
            let forged =
                token(&EncodingKey::from_secret(&secret), Algorithm::HS256, "ed", &claims());
            assert_eq!(check(&forged, &keys, expected()).unwrap_err(), JwtError::Algorithm);
        }
        let secret =
            json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0", "kid": "ed", "alg": "HS256" }] });
        let forged = token(&EncodingKey::from_secret(b"secret"), Algorithm::HS256, "ed", &claims());
        let error = check(&forged, secret.to_string().as_bytes(), expected()).unwrap_err();
        assert_eq!(error, JwtError::Algorithm);
    }

    #[test]
    fn a_token_that_is_over_early_or_for_somebody_else_is_refused() {
        let ed = ed_key(1);
        let keys = set(&[(&ed, Algorithm::EdDSA, "ed")]);
        for (name, value, error) in [
            ("exp", json!(NOW - SKEW_SECONDS), JwtError::Expired),
            ("exp", Value::Null, JwtError::Expired),
            ("nbf", json!(NOW + SKEW_SECONDS + 1), JwtError::NotYet),
            ("aud", json!("c"), JwtError::Audience),
            ("iss", json!("https://other.example"), JwtError::Issuer),
        ] {
            let mut claims = claims();
            claims[name] = value;
            let token = token(&ed, Algorithm::EdDSA, "ed", &claims);
            assert_eq!(check(&token, &keys, expected()).unwrap_err(), error, "{name}");
        }
        let token = token(&ed, Algorithm::EdDSA, "ed", &claims());
        assert!(check(&token, &keys, expected()).is_ok());
        let flipped = format!("{}A", &token[..token.len() - 1]);
        if flipped != token {
            assert_eq!(check(&flipped, &keys, expected()).unwrap_err(), JwtError::Signature);
        }
        let long = "a".repeat(TOKEN_BYTES_MAX + 1);
        assert_eq!(check(&long, &keys, expected()).unwrap_err(), JwtError::TooLong);
    }

    /// What a set of one RSA key, and a token by it, look like: made elsewhere, the private half thrown away.
    const RSA_N: &str = "r2KGVjIHBkjDCQViQgtuICyp_69PO8qj3O-YMZ6nDZekd_FX63wO43436VFZaoO5HDez2mYaUi_dmwbQ0PuIq7\
         qrbMR3eFazKuuYaCHWQscblosTj03AlCfj8Z37PS_Mr_IpTSlrB0NWuyAcUibbkNlJ9Js6L9JDYkJIbXxG8Mov\
         rwfNBtxaVS7He_lsw6EB3_B83Hzr301surRQyGOULdECUk6vBHCI6oKvRLw0syHOm1z0LX9vKdVaCuEq-2-XAR\
         QTTmMSFD5uJgdHN3OpwbcdA3GgJjDM6ii_puFip9nfLnyUr86ZKhMdtCX_oUswfDXkEorPDrgn64EapU3fKQ";
    const RSA_SIGNATURE: &str = "BTjYL0HA5knxQB8cR-a1qNFGMfTQQyCxP1q1bvJmYUvQvWAPKAloXUNycUcyHqiY8hOuOCfl_Fs6aSi5_bQzzK\
         R4-t22Ji3a_Uw5hZ26X6ZejTbDMxtVv5NDU3mch609_5wGwCqhJ0jAR-C9epURR1iicEm0f0gPvuwBt1S7SXdQ\
         GAGLmoTs7g9aJzq639zPbvNKd1wo4ACJQ81xGwz-mN5YY028gyWNqVMfseZDVO-sLySK-6tL9FdwlrP4teGs01\
         wa2cSTRrIs3tByIRzscjc_qRM65EFbM9qAGmI9X9aFn-XgeTsj--PGRmgBNOPBZ1mAjmefGzOre8V3Nbjyxg";

    #[test]
    fn a_token_by_an_rsa_key_is_taken() {
        let head = BASE64URL_NOPAD.encode(br#"{"alg":"RS256","kid":"rsa"}"#);
        let body =
            br#"{"iss": "https://issuer.example", "sub": "alice", "aud": ["a", "b"], "exp": 1795478700}"#;
        let body = BASE64URL_NOPAD.encode(body);
        let keys = json!({ "keys": [{ "kty": "RSA", "kid": "rsa", "n": RSA_N, "e": "AQAB" }] });
        let keys = keys.to_string().into_bytes();
        let checked = check(&format!("{head}.{body}.{RSA_SIGNATURE}"), &keys, expected()).unwrap();
        assert_eq!((&*checked.alg, &checked.claims["sub"]), ("RS256", &json!("alice")));
        let other = BASE64URL_NOPAD.encode(claims().to_string().as_bytes());
        let error = check(&format!("{head}.{other}.{RSA_SIGNATURE}"), &keys, expected());
        assert_eq!(error.unwrap_err(), JwtError::Signature);
        let head = BASE64URL_NOPAD.encode(br#"{"alg":"ES256","kid":"rsa"}"#);
        let error = check(&format!("{head}.{body}.{RSA_SIGNATURE}"), &keys, expected());
        assert_eq!(error.unwrap_err(), JwtError::Algorithm);
    }
}
