//! The manager's PIN: what a person at a till enters before deciding anything. Kept hashed, in a private file of the state folder; the agent
//! itself asks for it, whatever window a person uses.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The file's name.
const FILE: &str = "manager-pin";

/// A PIN is short, so each guess has to cost something: about a tenth of a second.
const ROUNDS: u32 = 300_000;

/// So many wrong PINs are free; then each costs a wait.
const WRONG_FREE: u32 = 3;

/// How long no PIN is taken after more wrong ones.
const WRONG_WAIT: Duration = Duration::from_secs(30);

/// Lets in who knows the PIN, until it is closed.
#[derive(Debug, Default)]
pub struct Gate(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    pass: Option<String>,
    /// Wrong ones in a row, and when the last one was.
    wrong: (u32, Option<Instant>),
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.pass.is_some() { "open" } else { "closed" })
    }
}

/// What a PIN led to.
#[derive(PartialEq, Eq)]
pub enum Opened {
    /// Whoever shows this is let in.
    Pass(String),
    /// It is the wrong one.
    Wrong {
        /// No other is taken for so many seconds.
        wait_s: u32,
    },
}

impl Gate {
    /// Tries a PIN. One at a time, and it takes its time.
    pub fn open(&self, state_dir: &Path, pin: &str) -> Opened {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (wrong, last) = inner.wrong;
        let rest = last.map_or(Duration::ZERO, |last| WRONG_WAIT.saturating_sub(last.elapsed()));
        if wrong >= WRONG_FREE && rest > Duration::ZERO {
            return Opened::Wrong { wait_s: seconds(rest) };
        }
        if is_right(state_dir, pin) {
            let pass = uuid::Uuid::new_v4().to_string();
            *inner = Inner { pass: Some(pass.clone()), wrong: (0, None) };
            return Opened::Pass(pass);
        }
        inner.wrong = (wrong + 1, Some(Instant::now()));
        Opened::Wrong { wait_s: if wrong + 1 >= WRONG_FREE { seconds(WRONG_WAIT) } else { 0 } }
    }

    /// Whether this is the pass.
    pub fn admits(&self, pass: Option<&str>) -> bool {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.pass.as_deref().zip(pass).is_some_and(|(known, shown)| known.as_bytes().ct_eq(shown.as_bytes()).into())
    }

    /// Lets nobody in any more.
    pub fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pass = None;
    }
}

/// Rounded up.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

/// Whether a text can be a PIN: four to eight digits.
pub fn is_one(pin: &str) -> bool {
    (4..=8).contains(&pin.len()) && pin.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether decisions need a PIN.
pub fn is_set(state_dir: &Path) -> bool {
    state_dir.join(FILE).exists()
}

/// Keeps a PIN.
pub fn set(state_dir: &Path, pin: &str) -> anyhow::Result<()> {
    let salt = uuid::Uuid::new_v4().simple().to_string();
    let line = format!("1 {salt} {ROUNDS} {}\n", hash(pin, &salt, ROUNDS));
    crate::state::make_private_folder(state_dir)?;
    Ok(std::fs::write(state_dir.join(FILE), line)?)
}

/// Whether this is the PIN. A file that cannot be read opens nothing.
pub fn is_right(state_dir: &Path, pin: &str) -> bool {
    let Ok(line) = std::fs::read_to_string(state_dir.join(FILE)) else { return false };
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["1", salt, rounds, wanted] = words[..] else { return false };
    let Ok(rounds) = rounds.parse() else { return false };
    hash(pin, salt, rounds).as_bytes().ct_eq(wanted.as_bytes()).into()
}

fn hash(pin: &str, salt: &str, rounds: u32) -> String {
    let mut digest = Sha256::digest(format!("{salt}:{pin}"));
    for _ in 1..rounds {
        digest = Sha256::new().chain_update(digest).chain_update(salt).finalize();
    }
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pin_opens_and_the_file_does_not_show_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_set(folder.path()) && !is_right(folder.path(), "2580"));
        set(folder.path(), "2580").unwrap();
        assert!(is_set(folder.path()) && is_right(folder.path(), "2580"));
        assert!(!is_right(folder.path(), "2581") && !is_right(folder.path(), ""));
        let kept = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(!kept.contains("2580"));
        std::fs::write(folder.path().join(FILE), "1 x").unwrap();
        assert!(!is_right(folder.path(), "2580"));
    }

    #[test]
    fn who_guesses_waits_and_a_pass_ends() {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), "2580").unwrap();
        let gate = Gate::default();
        assert!(!gate.admits(None) && !gate.admits(Some("")));
        let waits = ["1", "2", "3", "2580"].map(|pin| match gate.open(folder.path(), pin) {
            Opened::Wrong { wait_s } => wait_s,
            Opened::Pass(_) => panic!("{pin} opened it"),
        });
        assert_eq!(waits, [0, 0, 30, 30], "not even the right one while the wait lasts");
        let other = Gate::default();
        let Opened::Pass(pass) = other.open(folder.path(), "2580") else { panic!("the right PIN is wrong") };
        assert!(other.admits(Some(&pass)) && !other.admits(Some("else")) && !other.admits(None));
        other.close();
        assert!(!other.admits(Some(&pass)));
    }

    #[test]
    fn a_pin_is_a_few_digits() {
        assert!(["1234", "12345678"].iter().all(|pin| is_one(pin)));
        assert!(["123", "123456789", "12a4", "١٢٣٤", ""].iter().all(|pin| !is_one(pin)));
    }
}
