//! The API key: in the operating system's keychain, or in a private file when the config says so. Never anywhere else.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use secrecy::{ExposeSecret, SecretString};
use tillsync_core::config;

/// The API key. It has no `Debug` that shows it.
pub type Key = SecretString;

/// The keychain entries' service name.
const SERVICE: &str = "tillsync";

/// The entry that tells a missing key from a keychain that does not keep anything.
const CANARY: &str = "canary";

/// An environment variable that takes the place of the stored key, for tests.
pub const KEY_VARIABLE: &str = "TILLSYNC_API_KEY";

/// Where the key is kept.
#[derive(Debug)]
pub struct Credentials {
    place: Place,
    /// Read once: a keychain may take tens of milliseconds, and asks again when it is locked.
    known: Mutex<Option<(String, Key)>>,
    /// The other key, or that there is none, once it was looked for.
    other: Mutex<Option<(String, Option<Key>)>>,
}

#[derive(Debug)]
enum Place {
    Keychain,
    File(PathBuf),
    Given(Key),
}

impl Credentials {
    /// The place that the config names, unless the environment gives the key.
    pub fn new(kind: config::Credentials, state_dir: &Path) -> Self {
        let place = match (std::env::var(KEY_VARIABLE), kind) {
            (Ok(key), _) if !key.is_empty() => Place::Given(key.into()),
            (_, config::Credentials::Keychain) => Place::Keychain,
            (_, config::Credentials::File) => Place::File(state_dir.join("api-key")),
        };
        Self { place, known: Mutex::new(None), other: Mutex::new(None) }
    }

    /// A key that is given, for tests.
    pub fn given(key: Key) -> Self {
        Self { place: Place::Given(key), known: Mutex::new(None), other: Mutex::new(None) }
    }

    /// The key of a device; the error is for people.
    pub fn read(&self, device_id: &str) -> Result<Key, String> {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((id, key)) = &*known
            && id == device_id
        {
            return Ok(key.clone());
        }
        let key = match &self.place {
            Place::Given(key) => key.clone(),
            Place::Keychain => read_keychain(device_id)?,
            Place::File(path) => read_file(path)?,
        };
        *known = Some((device_id.to_owned(), key.clone()));
        Ok(key)
    }

    /// Keeps a key; the error is for people.
    pub fn write(&self, device_id: &str, key: &Key) -> Result<(), String> {
        match &self.place {
            Place::Given(_) => {}
            Place::Keychain => entry(device_id)?.set_password(key.expose_secret()).map_err(|error| explain(&error))?,
            Place::File(path) => {
                write_file(path, key).map_err(|error| format!("the key cannot be written to {}: {error}", path.display()))?;
            }
        }
        *self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((device_id.to_owned(), key.clone()));
        Ok(())
    }

    /// Keeps another key beside the device's: the one that is about to take its place; the error is for people.
    pub fn write_other(&self, device_id: &str, key: &Key) -> Result<(), String> {
        // Held to the end, so that nobody reads the one before and goes on knowing it.
        let mut known = self.other.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *known = None;
        match &self.place {
            Place::Given(_) => {
                return Err(format!("the key comes from {KEY_VARIABLE}; whoever sets that must replace it"));
            }
            Place::Keychain => {
                entry(&other(device_id))?.set_password(key.expose_secret()).map_err(|error| explain(&error))?;
            }
            Place::File(path) => {
                let path = other_file(path);
                write_file(&path, key).map_err(|error| format!("the key cannot be written to {}: {error}", path.display()))?;
            }
        }
        *known = Some((device_id.to_owned(), Some(key.clone())));
        Ok(())
    }

    /// That other key, or the one before, if there is one.
    pub fn read_other(&self, device_id: &str) -> Option<Key> {
        let mut known = self.other.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((id, key)) = &*known
            && id == device_id
        {
            return key.clone();
        }
        let key = match &self.place {
            Place::Given(_) => None,
            Place::Keychain => read_keychain(&other(device_id)).ok(),
            Place::File(path) => read_file(&other_file(path)).ok(),
        };
        *known = Some((device_id.to_owned(), key.clone()));
        key
    }

    /// This key takes the place of the device's, which becomes the other one; the error is for people. Ended in between, both are this one.
    pub fn replace(&self, device_id: &str, key: &Key) -> Result<(), String> {
        let before = self.read(device_id)?;
        if before.expose_secret() == key.expose_secret() {
            return Ok(());
        }
        self.write(device_id, key)?;
        self.write_other(device_id, &before)
    }

    /// Reads the key anew next time: it was refused, and somebody may have stored another one.
    pub fn forget(&self) {
        *self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    /// Whether a key could be kept, found out before a server hands one out; the error is for people.
    pub fn probe(&self) -> Result<(), String> {
        match &self.place {
            Place::Given(_) | Place::File(_) => Ok(()),
            Place::Keychain => {
                let canary = entry(CANARY)?;
                canary.set_password(CANARY).map_err(|error| explain(&error))?;
                match canary.get_password() {
                    Ok(text) if text == CANARY => Ok(()),
                    Ok(_) | Err(keyring::Error::NoEntry) => Err("the keychain does not give back what it is given".to_owned()),
                    Err(error) => Err(explain(&error)),
                }
            }
        }
    }

    /// Removes the key of a device, if it is there.
    pub fn remove(&self, device_id: &str) {
        match &self.place {
            Place::Given(_) => {}
            Place::Keychain => {
                for user in [device_id, &other(device_id)] {
                    let _ = entry(user).map(|entry| entry.delete_credential());
                }
            }
            Place::File(path) => {
                let _ = std::fs::remove_file(other_file(path));
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn other(device_id: &str) -> String {
    format!("{device_id}.other")
}

fn other_file(path: &Path) -> PathBuf {
    path.with_extension("other")
}

fn entry(user: &str) -> Result<keyring::Entry, String> {
    keyring::Entry::new(SERVICE, user).map_err(|error| explain(&error))
}

fn read_keychain(device_id: &str) -> Result<Key, String> {
    entry(device_id)?.get_password().map(Key::from).map_err(|error| explain(&error))
}

fn explain(error: &keyring::Error) -> String {
    const INSTEAD: &str = "start the session's keychain, or choose `credentials = \"file\"`";
    match error {
        keyring::Error::NoEntry => "the keychain has no key for this register".to_owned(),
        keyring::Error::NoStorageAccess(why) => {
            format!("the keychain is locked or has no default collection ({why}); unlock it, or choose `credentials = \"file\"`")
        }
        other => format!("the keychain cannot be reached ({other}); {INSTEAD}"),
    }
}

fn read_file(path: &Path) -> Result<Key, String> {
    refuse_if_shared(path)?;
    let text = std::fs::read_to_string(path).map_err(|error| format!("the key file {} cannot be read: {error}", path.display()))?;
    Ok(Key::from(text.trim().to_owned()))
}

#[cfg(unix)]
fn refuse_if_shared(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map(|info| info.permissions().mode()).unwrap_or(0o600);
    if mode & 0o077 != 0 {
        return Err(format!("the key file {} can be read by others; run `chmod 600` on it", path.display()));
    }
    Ok(())
}

/// On Windows the state folder lies in the user's profile, which others cannot enter.
#[cfg(not(unix))]
fn refuse_if_shared(_path: &Path) -> Result<(), String> {
    Ok(())
}

fn write_file(path: &Path, key: &Key) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    // A power cut in the middle must leave the key before or this one.
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut file = options.open(&beside)?;
    file.write_all(key.expose_secret().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}
