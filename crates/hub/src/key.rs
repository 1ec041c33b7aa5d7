//! Secrets: device keys, the admin key, enrolment tokens. Shown once, stored as hashes, compared in constant time.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A key is this many random bytes, as in the original protocol.
const KEY_BYTES: usize = 32;

/// An enrolment token is this many: 128 bits cannot be guessed, and 32 hexadecimal digits can still be typed.
const TOKEN_BYTES: usize = 16;

/// A secret text. It has no `Debug`, so that it cannot slip into a log.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// A fresh key in base64.
    pub fn make() -> Self {
        Self(BASE64.encode(random::<KEY_BYTES>()))
    }

    /// A fresh enrolment token in hexadecimal, which no shell or option parser misreads.
    pub fn make_token() -> Self {
        Self(random::<TOKEN_BYTES>().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The key that somebody sent.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one time it is shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it. The secrets are random, so a plain hash is as good as a slow one.
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

/// The SHA-256 of a key.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// From a database; anything but 32 bytes matches no key.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte * 16 + *digit as u8)).collect();
        Self::from_bytes(&bytes).filter(|_| digits.len() == 64)
    }

    /// For a database.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is this key's hash, in time that does not depend on where they differ.
    pub fn matches(&self, key: &Key) -> bool {
        self.0.ct_eq(&key.hash().0).into()
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_32_random_bytes_and_match_their_own_hash_only() {
        let (key, other) = (Key::make(), Key::make());
        assert_eq!(BASE64.decode(key.reveal()).unwrap().len(), KEY_BYTES);
        assert!(key.hash().matches(&key));
        assert!(!key.hash().matches(&other));
        assert!(!key.hash().matches(&Key::from_text("")));
        assert!(KeyHash::from_bytes(b"short").is_none());
        let hex: String = key.hash().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(KeyHash::from_hex(&hex).unwrap().matches(&key));
        for wrong in ["", "0", "g", &hex[1..], &format!("{hex}0"), &"x".repeat(64)] {
            assert!(KeyHash::from_hex(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn tokens_are_plain_words() {
        let token = Key::make_token();
        assert_eq!(token.reveal().len(), 2 * TOKEN_BYTES);
        assert!(token.reveal().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
