//! Tests of the languages: what is said, and that every catalogue says all of it.

use std::collections::{BTreeMap, BTreeSet};

use fluent_syntax::ast::{Attribute, Entry, Expression, InlineExpression, Pattern, PatternElement};
use fluent_syntax::parser::parse;

use super::*;

const HOUR_MS: i64 = 3_600_000;

fn clock(ms: i64) -> String {
    format!("{:02}:{:02}", ms / HOUR_MS % 24, ms / 60_000 % 60)
}

fn check(code: &str, sentence: &Sentence, expected: &str) {
    let said = Language::best(&[code.to_owned()]).sentence(sentence, clock);
    assert_eq!(said.replace(['\u{2068}', '\u{2069}'], ""), expected);
}

#[test]
fn the_sentence_comes_from_one_small_vocabulary() {
    let offline = |waiting| Sentence::Offline { waiting, since_ms: 3 * HOUR_MS };
    let en = |sentence: Sentence, expected| check("en", &sentence, expected);
    en(Sentence::NotSetUp, "Not set up");
    en(Sentence::Synced, "Up to date");
    en(Sentence::Syncing { left: 0 }, "Syncing");
    en(Sentence::Syncing { left: 1_234 }, "Syncing (1,234 left)");
    en(offline(0), "Offline since 03:00");
    en(offline(1), "Offline, 1 change waiting since 03:00");
    en(offline(9), "Offline, 9 changes waiting since 03:00");
    en(Sentence::Paused { until_ms: None }, "Paused");
    en(Sentence::Paused { until_ms: Some(4 * HOUR_MS) }, "Paused until 04:00");
    en(Sentence::Attention { count: 3 }, "Needs attention (3)");
    let suspended = Sentence::Error { problem: Problem::suspended() };
    en(suspended.clone(), "Can't sync (The server has suspended this register)");
    let ar = |sentence, expected| check("ar", &sentence, expected);
    ar(Sentence::Synced, "كل شيء محدَّث");
    ar(offline(1), "غير متصل، تغيير واحد في الانتظار منذ 03:00");
    ar(offline(2), "غير متصل، تغييران في الانتظار منذ 03:00");
    ar(offline(5), "غير متصل، 5 تغييرات في الانتظار منذ 03:00");
    ar(offline(11), "غير متصل، 11 تغييرًا في الانتظار منذ 03:00");
    ar(offline(100), "غير متصل، 100 تغيير في الانتظار منذ 03:00");
    ar(suspended, "تتعذر المزامنة (أوقف الخادم هذه النقطة)");
}

#[test]
fn what_is_put_into_right_to_left_text_is_set_apart() {
    let said = |code: &str| Language::best(&[code.to_owned()]).sentence(&Sentence::Attention { count: 3 }, clock);
    assert!(said("ar").contains("\u{2068}3\u{2069}"), "{}", said("ar"));
    assert!(!said("en").contains('\u{2068}'), "the command line would show it as a box");
}

#[test]
fn the_system_says_which_language() {
    let best = |wanted: &[&str]| Language::best(&wanted.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>()).code;
    assert_eq!((best(&["ar-EG"]), best(&["ar_SA.UTF-8", "en"]), best(&["xx", "AR"])), ("ar", "ar", "ar"));
    assert_eq!((best(&["xx-YY"]), best(&[]), best(&["en-GB", "ar"])), ("en", "en", "en"));
}

#[test]
fn a_problem_that_no_catalogue_knows_is_said_as_it_is() {
    let unknown = Problem::store("of_tomorrow", "The moon is full.", "Wait.");
    let arabic = Language::best(&["ar".to_owned()]);
    assert_eq!((arabic.problem(&unknown), arabic.action(&unknown)), ("The moon is full.".to_owned(), "Wait.".to_owned()));
    assert_ne!(arabic.problem(&Problem::store_restored()), Problem::store_restored().text);
}

/// The names of all problems, wherever they are made.
#[test]
fn every_problem_is_in_the_catalogue_with_what_to_do() {
    let sources = [include_str!("../problem.rs"), include_str!("../../../agent/src/store/open.rs")].concat();
    let codes: BTreeSet<&str> = sources
        .match_indices('"')
        .filter_map(|(at, _)| {
            let before = sources[..at].trim_end();
            let code = sources[at + 1..].split('"').next()?;
            let is_code = code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let is_made =
                ["Self::new(", "&'static str ="].iter().any(|start| before.ends_with(start)) || code.starts_with("store_");
            (is_code && is_made).then_some(code)
        })
        .collect();
    assert!(codes.len() > 30 && codes.contains("suspended") && codes.contains("store_disk_full"), "{codes:?}");
    for (language, text) in CATALOGUES {
        let messages = messages(text);
        for code in &codes {
            let name = message_of(code);
            assert!(messages.contains_key(&name), "{language}: {name} is missing");
            assert!(messages.contains_key(&format!("{name}.action")), "{language}: {name}.action is missing");
        }
    }
}

#[test]
fn every_catalogue_says_everything_about_the_same_things() {
    let (_, first) = CATALOGUES.iter().find(|(code, _)| *code == FIRST).unwrap();
    let first = messages(first);
    assert!(CATALOGUES.len() >= 2 && first.len() > 100);
    for (code, text) in CATALOGUES {
        let these = messages(text);
        let names = |messages: &BTreeMap<String, BTreeSet<String>>| messages.keys().cloned().collect::<BTreeSet<_>>();
        let missing: Vec<_> = names(&first).difference(&names(&these)).cloned().collect();
        let spare: Vec<_> = names(&these).difference(&names(&first)).cloned().collect();
        assert!(missing.is_empty() && spare.is_empty(), "{code}: missing {missing:?}, not in {FIRST} {spare:?}");
        for (name, variables) in &these {
            assert_eq!(*variables, first[name], "{code}: {name} is about other things");
        }
    }
}

/// Names of messages and of their attributes, and the variables in each.
fn messages(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let resource = parse(text).unwrap_or_else(|(_, errors)| panic!("{errors:?}"));
    let mut found = BTreeMap::new();
    for entry in &resource.body {
        let Entry::Message(message) = entry else { continue };
        let mut add = |name: String, pattern: &Pattern<&str>| {
            let mut variables = BTreeSet::new();
            collect(pattern, &mut variables);
            assert!(found.insert(name.clone(), variables).is_none(), "{name} is there twice");
        };
        if let Some(value) = &message.value {
            add(message.id.name.to_owned(), value);
        }
        for Attribute { id, value } in &message.attributes {
            add(format!("{}.{}", message.id.name, id.name), value);
        }
    }
    found
}

fn collect(pattern: &Pattern<&str>, variables: &mut BTreeSet<String>) {
    for element in &pattern.elements {
        let PatternElement::Placeable { expression } = element else { continue };
        let inline = match expression {
            Expression::Inline(inline) => inline,
            Expression::Select { selector, variants } => {
                variants.iter().for_each(|variant| collect(&variant.value, variables));
                selector
            }
        };
        if let InlineExpression::VariableReference { id } = inline {
            variables.insert(id.name.to_owned());
        }
    }
}
