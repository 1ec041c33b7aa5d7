//! Logging in with a Google account; the tokens are signed with a key that was made for this test and is good for nothing else.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::{Value, json};
use tillsync_core::protocol::Protocols;
use tillsync_hub::Options;

use super::support::Caller;
use crate::support::Shop;

fn key() -> KeyPair {
    KeyPair::from_der(include_bytes!("google_test_key.der")).unwrap()
}

/// The file that Google publishes.
fn jwks() -> String {
    let public: PublicKeyComponents<Vec<u8>> = key().public().into();
    let (n, e) = (BASE64URL.encode(public.n), BASE64URL.encode(public.e));
    json!({ "keys": [{ "kid": "other", "n": "AQAB", "e": "AQAB" }, { "kid": "k1", "kty": "RSA", "alg": "RS256", "n": n, "e": e }] })
        .to_string()
}

fn token(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = key();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", BASE64URL.encode(signature))
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({
        "iss": "https://accounts.google.com", "aud": "shop.apps", "sub": "1234", "email": "owner@shop.example",
        "email_verified": true, "iat": now() - 10, "exp": now() + 3600,
    })
}

async fn shop() -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.keep().join("keys.json");
    std::fs::write(&keys, jwks()).unwrap();
    let settings = format!(
        "[google]\nclient_id = 'shop.apps'\nkeys = '{}'\naccounts = ['owner@shop.example', '@staff.example']",
        keys.display()
    );
    let protocols = Protocols::parse(&settings).unwrap();
    Shop::with(Options { protocols: protocols.into(), ..Options::default() }).await
}

#[tokio::test]
async fn an_account_that_is_welcome_logs_in_and_is_one_user() {
    let shop = shop().await;
    let header = json!({ "alg": "RS256", "kid": "k1", "typ": "JWT" });
    for path in ["/auth/google", "/events/auth/google", "/events/api/auth/google"] {
        let (status, answer) = shop.post(path, &json!({ "idToken": token(&header, &claims()) })).await;
        assert_eq!((status, &answer["user"]["name"]), (200, &json!("owner@shop.example")), "{answer}");
        let caller = Caller::with(answer["accessToken"].as_str().unwrap());
        assert_eq!(caller.get(&shop, "/events/sync/pull").await["events"], json!([]));
    }
    assert_eq!(shop.hub.database().users().await.unwrap().len(), 1);
    let mut staff = claims();
    staff["email"] = json!("ali@staff.example");
    staff["sub"] = json!("99");
    assert_eq!(shop.post("/auth/google", &json!({ "id_token": token(&header, &staff) })).await.0, 200);
    assert_eq!(shop.hub.database().users().await.unwrap().len(), 2);
}

#[tokio::test]
async fn nobody_else_does() {
    let shop = shop().await;
    let header = json!({ "alg": "RS256", "kid": "k1" });
    let with = |member: &str, value: Value| {
        let mut claims = claims();
        claims[member] = value;
        token(&header, &claims)
    };
    let good = token(&header, &claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{}.{}.{signature}", signed.split_once('.').unwrap().0, BASE64URL.encode(with("sub", json!("1"))));
    for (token, why) in [
        (with("email", json!("thief@example.com")), "not one of those"),
        (with("email", json!("thief@notstaff.example")), "not one of those"),
        (with("email_verified", json!(false)), "not one of those"),
        (with("aud", json!("another.apps")), "another program"),
        (with("iss", json!("https://example.com")), "another program"),
        (with("exp", json!(now() - 1)), "expired"),
        (token(&json!({ "alg": "RS256", "kid": "k9" }), &claims()), "does not have"),
        (token(&json!({ "alg": "HS256", "kid": "k1" }), &claims()), "damaged"),
        (forged, "signature"),
        ("x".to_owned(), "damaged"),
    ] {
        let (status, answer) = shop.post("/auth/google", &json!({ "idToken": token })).await;
        let error = answer["error"].as_str().unwrap();
        assert!(status == 401 && error.contains(why), "{status} {error}");
    }
    assert_eq!(shop.hub.database().users().await.unwrap().len(), 0);
    let closed = Shop::open().await;
    let (status, answer) = closed.post("/auth/google", &json!({ "idToken": good })).await;
    assert!(status == 401 && answer["error"].as_str().unwrap().contains("does not take"), "{answer}");
}
