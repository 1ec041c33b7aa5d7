//! Access tokens: JSON Web Tokens signed with HMAC-SHA256 by a secret that only this hub has. No other algorithm is understood.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ring::hmac;
use serde::{Deserialize, Serialize};

/// The only header there is, also what is expected of others' tokens: `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The user's id.
    pub sub: String,
    /// The session.
    pub sid: String,
    /// Since when, Unix seconds.
    pub iat: i64,
    /// Until when, Unix seconds.
    pub exp: i64,
}

/// A signed token.
pub(crate) fn sign(claims: &Claims, secret: &[u8]) -> String {
    let claims = BASE64URL.encode(serde_json::to_vec(claims).expect("claims encode"));
    let signed = format!("{HEADER}.{claims}");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", BASE64URL.encode(signature))
}

/// What a token says, if this hub has signed it; also when it has expired.
pub(crate) fn verify(token: &str, secret: &[u8]) -> Option<Claims> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    if header != HEADER {
        return None;
    }
    let signature = BASE64URL.decode(signature).ok()?;
    // Compares in constant time.
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes(), &signature).ok()?;
    serde_json::from_slice(&BASE64URL.decode(claims).ok()?).ok()
}

/// Whether a bearer's secret has the form of such a token. Keys of devices have no dot.
pub(crate) fn is_token(text: &str) -> bool {
    text.split('.').count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_here_is_believed() {
        assert_eq!(BASE64URL.decode(HEADER).unwrap(), br#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = Claims { sub: "1".to_owned(), sid: "s".to_owned(), iat: 1, exp: 2 };
        let token = sign(&claims, b"secret");
        assert!(is_token(&token) && !is_token("a+b/c="));
        assert_eq!(verify(&token, b"secret"), Some(claims));
        assert_eq!(verify(&token, b"another"), None);
        let (signed, _) = token.rsplit_once('.').unwrap();
        let unsigned = format!("{}.{}.", BASE64URL.encode(br#"{"alg":"none"}"#), signed.split_once('.').unwrap().1);
        for wrong in [format!("{signed}."), format!("{signed}.AAAA"), unsigned, "a.b.c".to_owned(), String::new()] {
            assert_eq!(verify(&wrong, b"secret"), None, "{wrong}");
        }
    }
}
