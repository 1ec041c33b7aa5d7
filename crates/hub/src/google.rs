//! Google's ID tokens: RS256, verified with the keys that Google publishes, from a file that the operator keeps fresh. The hub itself asks
//! nobody.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use tillsync_core::protocol::settings::Google;

/// Who Google says that it is.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];

/// A token may come from a clock that is ahead by so much, seconds.
const AHEAD_SECONDS_MAX: i64 = 300;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    exp: i64,
    iat: i64,
    #[serde(default)]
    email: String,
    #[serde(default)]
    email_verified: serde_json::Value,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    n: String,
    e: String,
}

/// A Google account that may come in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// For life.
    pub id: String,
    /// Its address.
    pub email: String,
}

/// The account that a token names, or why it does not let in. `keys` is the content of the file.
pub(crate) fn verify(token: &str, keys: &[u8], settings: &Google, now_ms: i64) -> Result<Account, &'static str> {
    let damaged = "it is damaged";
    let (signed, signature) = token.rsplit_once('.').ok_or(damaged)?;
    let (header, claims) = signed.split_once('.').ok_or(damaged)?;
    let header: Header = part(header).ok_or(damaged)?;
    let jwks: Jwks = serde_json::from_slice(keys).map_err(|_| "the hub's file with Google's keys cannot be read")?;
    let key =
        jwks.keys.iter().find(|key| key.kid == header.kid).ok_or("it is signed with a key that the hub's file does not have")?;
    if header.alg != "RS256" {
        return Err(damaged);
    }
    let bytes = |text: &str| BASE64URL.decode(text).map_err(|_| damaged);
    let key = RsaPublicKeyComponents { n: bytes(&key.n)?, e: bytes(&key.e)? };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &bytes(signature)?).map_err(|_| "its signature is wrong")?;
    let claims: Claims = part(claims).ok_or(damaged)?;
    let now = now_ms / 1000;
    if claims.exp <= now || claims.iat > now + AHEAD_SECONDS_MAX {
        return Err("it has expired");
    }
    if !ISSUERS.contains(&claims.iss.as_str()) || claims.aud != settings.client_id {
        return Err("it was made for another program");
    }
    let verified = claims.email_verified == true || claims.email_verified == "true";
    let is_welcome = |account: &String| match account.strip_prefix('@') {
        Some(domain) => claims.email.rsplit_once('@').is_some_and(|(_, own)| own.eq_ignore_ascii_case(domain)),
        None => claims.email.eq_ignore_ascii_case(account),
    };
    if !verified || !settings.accounts.iter().any(is_welcome) {
        return Err("this account is not one of those that may log in");
    }
    Ok(Account { id: claims.sub, email: claims.email })
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&BASE64URL.decode(text).ok()?).ok()
}
