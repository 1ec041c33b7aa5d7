//! Words for people, from one catalogue per language in `locales`; the window reads the same files.
//!
//! Whatever is put into a sentence is set apart from it in right-to-left languages, or numbers and names would jump to the wrong side.

use std::sync::OnceLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

use crate::problem::{Argument, Problem};
use crate::status::Sentence;

/// Language codes and their catalogues, one for every file.
const CATALOGUES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalogues.rs"));

/// The language that everything is written in first.
const FIRST: &str = "en";

/// A language.
pub struct Language {
    /// Its code, such as `ar`.
    pub code: &'static str,
    bundle: FluentBundle<FluentResource>,
}

impl std::fmt::Debug for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Language").field(&self.code).finish()
    }
}

/// The codes of all languages.
pub fn codes() -> impl Iterator<Item = &'static str> {
    CATALOGUES.iter().map(|(code, _)| *code)
}

/// The language of the command line.
pub fn english() -> &'static Language {
    static ENGLISH: OnceLock<Language> = OnceLock::new();
    ENGLISH.get_or_init(|| Language::best(&[]))
}

impl Language {
    /// The first of the wanted ones that there is, by its main part: `ar-EG` finds `ar`. English when there is none.
    pub fn best(wanted: &[String]) -> Self {
        let main = |tag: &str| tag.split(['-', '_', '.']).next().unwrap_or_default().to_ascii_lowercase();
        let found = wanted.iter().find_map(|tag| codes().find(|code| *code == main(tag)));
        Self::load(found.unwrap_or(FIRST))
    }

    fn load(code: &'static str) -> Self {
        let (_, text) = CATALOGUES.iter().find(|(known, _)| *known == code).expect("the code is one of the list");
        // A line that is no Fluent is left out here, and the tests refuse it.
        let resource = FluentResource::try_new((*text).to_owned()).unwrap_or_else(|(resource, _)| resource);
        let id: LanguageIdentifier = code.parse().expect("a catalogue is named after its language");
        let mut bundle = FluentBundle::new_concurrent(vec![id]);
        bundle.set_formatter(Some(|value, _| match value {
            FluentValue::Number(number) => Some(grouped(number.value)),
            _ => None,
        }));
        bundle.add_resource_overriding(resource);
        let language = Self { code, bundle };
        let is_rtl = language.is_right_to_left();
        let mut bundle = language.bundle;
        bundle.set_use_isolating(is_rtl);
        Self { code, bundle }
    }

    /// Whether it is written from right to left.
    pub fn is_right_to_left(&self) -> bool {
        self.text("direction", &[]) == "rtl"
    }

    /// A message; its name when the catalogue does not have it.
    pub fn text(&self, name: &str, arguments: &[(&str, Argument)]) -> String {
        self.find(name, None, arguments).unwrap_or_else(|| name.to_owned())
    }

    /// The sentence. `clock` turns Unix milliseconds into the local `hh:mm`.
    pub fn sentence(&self, sentence: &Sentence, clock: impl Fn(i64) -> String) -> String {
        let count = |count: u64| Argument::Number(i64::try_from(count).unwrap_or(i64::MAX));
        let time = |ms: i64| Argument::Text(clock(ms));
        match sentence {
            Sentence::NotSetUp => self.text("sentence-not-set-up", &[]),
            Sentence::Synced => self.text("sentence-synced", &[]),
            Sentence::Syncing { left } => self.text("sentence-syncing", &[("left", count(*left))]),
            Sentence::Offline { waiting, since_ms } => {
                self.text("sentence-offline", &[("waiting", count(*waiting)), ("time", time(*since_ms))])
            }
            Sentence::Paused { until_ms: None } => self.text("sentence-paused", &[]),
            Sentence::Paused { until_ms: Some(until) } => self.text("sentence-paused-until", &[("time", time(*until))]),
            Sentence::Attention { count: things } => self.text("sentence-attention", &[("count", count(*things))]),
            Sentence::Error { problem } => {
                let reason = self.problem(problem).trim_end_matches(['.', '。']).to_owned();
                self.text("sentence-error", &[("reason", Argument::Text(reason))])
            }
        }
    }

    /// What is the matter. A problem that the catalogue does not know is said in English.
    pub fn problem(&self, problem: &Problem) -> String {
        self.of_problem(problem, None).unwrap_or_else(|| problem.text.clone())
    }

    /// What to do about it, for a person at the window.
    pub fn action(&self, problem: &Problem) -> String {
        self.of_problem(problem, Some("action")).unwrap_or_else(|| problem.action.clone())
    }

    fn of_problem(&self, problem: &Problem, attribute: Option<&str>) -> Option<String> {
        let arguments: Vec<_> = problem.arguments.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        self.find(&message_of(&problem.code), attribute, &arguments)
    }

    /// `None` when the message is not there, or lacks something that it is about.
    fn find(&self, name: &str, attribute: Option<&str>, arguments: &[(&str, Argument)]) -> Option<String> {
        let message = self.bundle.get_message(name)?;
        let pattern = match attribute {
            None => message.value()?,
            Some(attribute) => message.get_attribute(attribute)?.value(),
        };
        let arguments: FluentArgs<'_> = arguments
            .iter()
            .map(|(name, value)| match value {
                Argument::Number(number) => (*name, FluentValue::from(*number)),
                Argument::Text(text) => (*name, FluentValue::from(text.clone())),
            })
            .collect();
        let mut errors = Vec::new();
        let text = self.bundle.format_pattern(pattern, Some(&arguments), &mut errors);
        errors.is_empty().then(|| text.into_owned())
    }
}

/// The name of a problem's message.
fn message_of(code: &str) -> String {
    format!("problem-{}", code.replace('_', "-"))
}

/// Digits in groups of three, as the window writes them, too.
fn grouped(number: f64) -> String {
    let digits = format!("{}", number.abs().round());
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    format!("{}{}", if number < 0.0 { "-" } else { "" }, groups.join(","))
}

#[cfg(test)]
mod tests;
