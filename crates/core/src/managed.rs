//! What the administrator has set for this machine, in a file that cashiers cannot change. Whatever is named in it is locked in the window.

use serde::Deserialize;

use crate::language::codes;

/// The settings; what is absent is the person's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Managed {
    /// The server that a set-up uses.
    pub server: Option<String>,
    /// The language of tray and window.
    pub language: Option<String>,
    /// Whether the tray app starts at login.
    pub autostart: Option<bool>,
}

/// Why a text is no such file.
#[derive(Debug, thiserror::Error)]
pub enum ManagedError {
    /// Not TOML, an unknown key, a wrong type.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// There is no such language.
    #[error("language = \"{0}\" is not one of Tillsync's")]
    Language(String),
}

impl Managed {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, ManagedError> {
        let managed: Self = toml::from_str(text)?;
        match &managed.language {
            Some(language) if !codes().any(|code| code == language) => Err(ManagedError::Language(language.clone())),
            _ => Ok(managed),
        }
    }

    /// Names of the settings that are locked.
    pub fn names(&self) -> Vec<String> {
        let all =
            [("server", self.server.is_some()), ("language", self.language.is_some()), ("autostart", self.autostart.is_some())];
        all.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_locked() {
        let managed = Managed::parse("server = 'https://sync.example.com'\nautostart = false").unwrap();
        assert_eq!(managed.names(), ["server", "autostart"]);
        assert_eq!((managed.autostart, managed.language), (Some(false), None));
        assert_eq!(Managed::parse("").unwrap().names(), [""; 0]);
    }

    #[test]
    fn a_mistake_is_told_and_not_ignored() {
        for (text, why) in [("autostart = 'no'", "boolean"), ("language = 'xx'", "not one of"), ("servr = ''", "unknown field")] {
            let error = Managed::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
