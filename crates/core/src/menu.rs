//! The tray's menu: a pure function of the status and the language.

use crate::language::Language;
use crate::problem::Argument;
use crate::status::Sentence;

/// What can be paused for, in minutes; and until a person says so.
const PAUSES: [Option<u32>; 4] = [Some(30), Some(60), Some(240), None];

/// What the menu follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The sentence.
    pub sentence: Sentence,
    /// Conflicts that wait for a person.
    pub conflicts: u64,
}

/// What a click asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sync now.
    SyncNow,
    /// Be quiet for so many minutes, or until [`Action::Resume`].
    Pause {
        /// Minutes.
        minutes: Option<u32>,
    },
    /// Go on.
    Resume,
    /// Show the conflicts.
    Conflicts,
    /// Show the window.
    Open,
    /// Put what helps to find a fault into the clipboard.
    CopyDiagnostics,
    /// Show the folder of the logs.
    OpenLogs,
    /// Say what this is.
    About,
    /// End the agent.
    Quit,
}

/// A line of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Words; what a click asks for, or nothing where it cannot be clicked.
    Line {
        /// The words.
        label: String,
        /// What a click asks for.
        action: Option<Action>,
    },
    /// More lines.
    Submenu {
        /// The words.
        label: String,
        /// The lines.
        items: Vec<Item>,
    },
    /// A rule.
    Separator,
}

impl Action {
    /// A name for it, for menus that know their lines by name.
    pub fn name(self) -> String {
        match self {
            Self::SyncNow => "sync-now".to_owned(),
            Self::Pause { minutes: Some(minutes) } => format!("pause-{minutes}"),
            Self::Pause { minutes: None } => "pause".to_owned(),
            Self::Resume => "resume".to_owned(),
            Self::Conflicts => "conflicts".to_owned(),
            Self::Open => "open".to_owned(),
            Self::CopyDiagnostics => "copy-diagnostics".to_owned(),
            Self::OpenLogs => "open-logs".to_owned(),
            Self::About => "about".to_owned(),
            Self::Quit => "quit".to_owned(),
        }
    }

    /// The action that a name means.
    pub fn parse(name: &str) -> Option<Self> {
        let plain = [
            Self::SyncNow,
            Self::Resume,
            Self::Conflicts,
            Self::Open,
            Self::CopyDiagnostics,
            Self::OpenLogs,
            Self::About,
            Self::Quit,
        ];
        let pauses = PAUSES.map(|minutes| Self::Pause { minutes });
        plain.into_iter().chain(pauses).find(|action| action.name() == name)
    }
}

/// The menu. `clock` turns Unix milliseconds into the local `hh:mm`.
pub fn menu(view: &View, language: &Language, clock: impl Fn(i64) -> String) -> Vec<Item> {
    let line = |name: &str, action| Item::Line { label: language.text(name, &[]), action };
    let sentence = Item::Line { label: language.sentence(&view.sentence, clock), action: None };
    let open = line("menu-open", Some(Action::Open));
    let help = Item::Submenu {
        label: language.text("menu-help", &[]),
        items: vec![
            line("menu-copy-diagnostics", Some(Action::CopyDiagnostics)),
            line("menu-open-logs", Some(Action::OpenLogs)),
            line("menu-about", Some(Action::About)),
        ],
    };
    let quit = line("menu-quit", Some(Action::Quit));
    if view.sentence == Sentence::NotSetUp {
        let set_up = line("menu-set-up", Some(Action::Open));
        return vec![sentence, Item::Separator, set_up, Item::Separator, help, quit];
    }
    let is_paused = matches!(view.sentence, Sentence::Paused { .. });
    let pause = if is_paused { line("menu-resume", Some(Action::Resume)) } else { pauses(language) };
    let count = Argument::Number(i64::try_from(view.conflicts).unwrap_or(i64::MAX));
    let conflicts = Item::Line {
        label: language.text("menu-conflicts", &[("count", count)]),
        action: (view.conflicts > 0).then_some(Action::Conflicts),
    };
    let sync_now = line("menu-sync-now", (!is_paused).then_some(Action::SyncNow));
    vec![sentence, Item::Separator, sync_now, pause, conflicts, open, Item::Separator, help, quit]
}

/// What a person is asked who quits while changes are unsent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// A few words.
    pub title: String,
    /// What it is about.
    pub text: String,
    /// Do it.
    pub yes: String,
    /// Leave things as they are.
    pub no: String,
}

/// Whether quitting has to be asked about.
pub fn quit(unsent: u64, language: &Language) -> Option<Question> {
    let count = Argument::Number(i64::try_from(unsent).unwrap_or(i64::MAX));
    (unsent > 0).then(|| Question {
        title: language.text("quit-title", &[]),
        text: language.text("quit-unsent", &[("count", count)]),
        yes: language.text("quit-anyway", &[]),
        no: language.text("quit-stay", &[]),
    })
}

fn pauses(language: &Language) -> Item {
    let one = |minutes: Option<u32>| {
        let label = match minutes {
            None => language.text("menu-pause-open", &[]),
            Some(minutes) if minutes % 60 == 0 => {
                language.text("menu-pause-hours", &[("hours", Argument::Number(i64::from(minutes / 60)))])
            }
            Some(minutes) => language.text("menu-pause-minutes", &[("minutes", Argument::Number(i64::from(minutes)))]),
        };
        Item::Line { label, action: Some(Action::Pause { minutes }) }
    };
    Item::Submenu { label: language.text("menu-pause", &[]), items: PAUSES.map(one).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The menu as text: what cannot be clicked in brackets, submenus indented.
    fn draw(items: &[Item], depth: usize) -> String {
        let indent = "  ".repeat(depth);
        let lines = items.iter().map(|item| match item {
            Item::Line { label, action: Some(action) } => format!("{indent}{label} -> {}\n", action.name()),
            Item::Line { label, action: None } => format!("{indent}[{label}]\n"),
            Item::Submenu { label, items } => format!("{indent}{label}\n{}", draw(items, depth + 1)),
            Item::Separator => format!("{indent}--\n"),
        });
        lines.collect::<String>().replace(['\u{2068}', '\u{2069}'], "")
    }

    #[track_caller]
    fn check(code: &str, sentence: Sentence, conflicts: u64, expected: &[&str]) {
        let language = Language::best(&[code.to_owned()]);
        let menu = menu(&View { sentence, conflicts }, &language, |_| "14:30".to_owned());
        assert_eq!(draw(&menu, 0).lines().collect::<Vec<_>>(), expected);
    }

    const PAUSE: [&str; 5] =
        ["Pause for", "  30 minutes -> pause-30", "  1 hour -> pause-60", "  4 hours -> pause-240", "  Until I resume -> pause"];

    const END: [&str; 6] = [
        "--",
        "Help",
        "  Copy diagnostics -> copy-diagnostics",
        "  Open log folder -> open-logs",
        "  About Tillsync -> about",
        "Quit -> quit",
    ];

    #[test]
    fn the_menu_follows_from_status_and_language() {
        let both = |start: &[&'static str], middle: &[&'static str]| [start, middle, &END].concat();
        let synced = [&["[Up to date]", "--", "Sync now -> sync-now"], PAUSE.as_slice()].concat();
        check("en", Sentence::Synced, 0, &both(&synced, &["[Conflicts (0)…]", "Open -> open"]));
        let waiting = [&["[Needs attention (2)]", "--", "Sync now -> sync-now"], PAUSE.as_slice()].concat();
        check("en", Sentence::Attention { count: 2 }, 2, &both(&waiting, &["Conflicts (2)… -> conflicts", "Open -> open"]));
        let paused = ["[Paused until 14:30]", "--", "[Sync now]", "Resume -> resume"];
        check("en", Sentence::Paused { until_ms: Some(1) }, 0, &both(&paused, &["[Conflicts (0)…]", "Open -> open"]));
        check("en", Sentence::NotSetUp, 0, &both(&["[Not set up]", "--", "Set up… -> open"], &[]));
        check(
            "ar",
            Sentence::NotSetUp,
            0,
            &[
                "[غير مُعَدّ]",
                "--",
                "الإعداد… -> open",
                "--",
                "مساعدة",
                "  نسخ بيانات التشخيص -> copy-diagnostics",
                "  فتح مجلد السجلات -> open-logs",
                "  حول Tillsync -> about",
                "إنهاء -> quit",
            ],
        );
    }

    #[test]
    fn quitting_asks_only_when_something_is_unsent() {
        let language = Language::best(&[]);
        assert_eq!(quit(0, &language), None);
        let question = quit(1, &language).unwrap();
        assert_eq!(question.text, "1 change has not been sent. It is kept and goes out when Tillsync runs again.");
        assert_eq!((question.yes.as_str(), question.no.as_str()), ("Quit anyway", "Keep running"));
    }

    #[test]
    fn a_click_is_known_by_its_name() {
        for name in ["sync-now", "pause-30", "pause-60", "pause-240", "pause", "resume", "conflicts", "open", "about", "quit"] {
            assert_eq!(Action::parse(name).map(Action::name).as_deref(), Some(name));
        }
        assert_eq!((Action::parse("pause-7"), Action::parse("")), (None, None));
    }
}
