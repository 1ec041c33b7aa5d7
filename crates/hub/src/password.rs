//! Passwords of users: hashed slowly, with a salt.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use ring::pbkdf2;

/// As OWASP recommends for PBKDF2 with SHA-256; a few tenths of a second.
const ROUNDS: u32 = 600_000;

/// Fewer are guessed.
pub(crate) const PASSWORD_CHARS_MIN: usize = 8;

/// Longer ones are no passwords.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1000;

/// Never kept, never shown.
const NOBODYS: &str = "pbkdf2-sha256$600000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What is stored of a password.
pub(crate) fn hash(password: &str) -> String {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).expect("the operating system gives random bytes");
    let mut hash = [0; 32];
    derive(ROUNDS, &salt, password, &mut hash);
    format!("pbkdf2-sha256${ROUNDS}${}${}", BASE64.encode(salt), BASE64.encode(hash))
}

/// Whether a password is the one that was hashed. Takes as long where there is none to compare with.
pub(crate) fn matches(password: &str, stored: Option<&str>) -> bool {
    let Some((rounds, salt, hash)) = read(stored.unwrap_or(NOBODYS)) else { return false };
    let good = pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &hash).is_ok();
    good && stored.is_some()
}

fn read(stored: &str) -> Option<(NonZeroU32, Vec<u8>, Vec<u8>)> {
    let mut parts = stored.split('$');
    if parts.next() != Some("pbkdf2-sha256") {
        return None;
    }
    let rounds = parts.next()?.parse().ok()?;
    Some((rounds, BASE64.decode(parts.next()?).ok()?, BASE64.decode(parts.next()?).ok()?))
}

fn derive(rounds: u32, salt: &[u8], password: &str, hash: &mut [u8]) {
    let rounds = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), hash);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_matches() {
        let stored = hash("right one");
        assert!(!stored.contains("right"));
        assert!(matches("right one", Some(&stored)));
        assert!(!matches("wrong one", Some(&stored)));
        assert!(!matches("", None));
        assert!(!matches("right one", Some("right one")));
    }
}
