use super::*;
use ed25519_dalek::{Signer as _, SigningKey};

const NOW: i64 = 1_800_000_000;

fn secret(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn network() -> NetworkId {
    NetworkId([9; 32])
}

fn token(header: &str, claims: &str) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let said = format!("{}.{}", part(header), part(claims));
    let signature = secret(1).sign(said.as_bytes()).to_bytes();
    format!("{said}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn claims(iat: i64, exp: i64) -> String {
    format!(r#"{{"sub":"fac","aud":"{}","iat":{iat},"exp":{exp}}}"#, network())
}

const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT"}"#;

fn check_at(token: &str, now: i64) -> Result<SignerKey, &'static str> {
    let key_of = |name: &str| match name {
        "fac" => Some(SignerKey(secret(1).verifying_key().to_bytes())),
        "other" => Some(SignerKey(secret(2).verifying_key().to_bytes())),
        _ => None,
    };
    read(token, network(), Timestamp(now * 1_000_000), key_of)
}

#[test]
fn a_signed_token_is_its_keys_for_its_time_with_a_bounded_skew() {
    let good = token(HEADER, &claims(NOW, NOW + 300));
    let key = SignerKey(secret(1).verifying_key().to_bytes());
    for now in [NOW - 30, NOW, NOW + 299, NOW + 329] {
        assert_eq!(check_at(&good, now), Ok(key), "{now}");
    }
    assert!(check_at(&good, NOW - 31).unwrap_err().contains("in the future"));
    assert!(check_at(&good, NOW + 330).unwrap_err().contains("has expired"));
    // What others put into a header besides is theirs.
    let with_more = r#"{"alg":"EdDSA","kid":"fac","nonce":"x"}"#;
    assert_eq!(check_at(&token(with_more, &claims(NOW, NOW + 60)), NOW), Ok(key));
}

#[test]
fn what_lives_too_long_is_for_another_network_or_is_another_algorithm_is_refused() {
    let one = |header: &str, claims: &str| check_at(&token(header, claims), NOW).unwrap_err();
    let good = claims(NOW, NOW + 60);
    for (iat, exp) in [(NOW, NOW + 301), (NOW, NOW), (NOW + 5, NOW), (i64::MIN, i64::MAX)] {
        let why = one(HEADER, &claims(iat, exp));
        assert!(why.contains("300 seconds") || why.contains("in the future"), "{iat} {exp}: {why}");
    }
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"eddsa"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
        r#"{"alg":"EdDSA","crit":["b64"]}"#,
    ] {
        assert!(one(header, &good).contains("its header must say"), "{header}");
    }
    for header in [r#"{"typ":"JWT"}"#, r#"{"alg":"EdDSA","alg":"EdDSA"}"#, "[]", "", "{"] {
        assert!(one(header, &good).contains("its header is not"), "{header}");
    }
    let other = good.replace(&network().to_string(), &NetworkId([8; 32]).to_string());
    assert!(one(HEADER, &other).contains("its aud must be"));
    for claims in
        [good.replace("fac", "nobody"), good.replace("fac", "other"), good.replace("fac", "")]
    {
        assert!(one(HEADER, &claims).contains("not signed with the key"), "{claims}");
    }
    for claims in [
        good.replace("\"sub\":\"fac\",", ""),
        good.replace("\"sub\"", "\"sub\":\"fac\",\"sub\""),
        good.replace(&NOW.to_string(), "1.5"),
        good.replace(&NOW.to_string(), "\"1\""),
        good.replace(&format!("\"{}\"", network()), "[]"),
        "null".to_owned(),
    ] {
        assert!(one(HEADER, &claims).contains("its claims must have"), "{claims}");
    }
}

#[test]
fn no_other_bytes_stand_for_a_signed_token() {
    let good = token(HEADER, &claims(NOW, NOW + 60));
    assert!(looks_like_one(&good) && !looks_like_one("tsk_abc"));
    assert!(check_at(&good, NOW).is_ok());
    for place in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(check_at(&changed, NOW).is_err(), "{place}: {changed}");
    }
    let long = format!("{good}{}", "A".repeat(SIGNED_TOKEN_BYTES_MAX));
    for bad in ["", ".", "..", "a.b", "a.b.c.d", &format!("{good}="), &format!("{good}."), &long] {
        assert!(check_at(bad, NOW).is_err(), "{bad}");
    }
}
