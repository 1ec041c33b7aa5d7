//! Which notifications a person gets: few, and never for an ordinary time offline.

use crate::language::Language;
use crate::problem::{Argument, Severity};
use crate::status::State;
use crate::window::Status;

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// A few words.
    pub title: String,
    /// A sentence.
    pub text: String,
}

/// What was told so far, so that nothing is told twice.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    failing: bool,
    stopped: Option<String>,
    conflicts: u64,
    parked: u64,
}

impl Notices {
    /// What to tell now.
    pub fn follow(&mut self, status: &Status, language: &Language) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut tell = |title: &str, text: String| notices.push(Notice { title: language.text(title, &[]), text });
        let count = |count: u64| Argument::Number(i64::try_from(count).unwrap_or(i64::MAX));

        // Offline becomes a problem only after several tries in a row.
        let failing =
            status.problems.iter().find(|problem| ["server_unreachable", "server_failing"].contains(&problem.code.as_str()));
        if let (Some(problem), false) = (failing, self.failing) {
            let failures = problem.arguments.get("failures").cloned().unwrap_or(Argument::Number(0));
            tell("notify-failing-title", language.text("notify-failing", &[("failures", failures)]));
        }
        self.failing |= failing.is_some();

        let stopped = status.problems.iter().find(|problem| problem.severity == Severity::Error);
        if let Some(problem) = stopped.filter(|problem| self.stopped.as_ref() != Some(&problem.code)) {
            tell("notify-stopped-title", language.problem(problem));
        }
        let was_stopped = self.stopped.is_some();
        // A problem that passes between two looks is told again only when it was over in between.
        self.stopped = stopped.map(|problem| problem.code.clone());

        if status.conflicts > self.conflicts {
            tell("notify-conflict-title", language.text("notify-conflict", &[("count", count(status.conflicts))]));
        }
        if status.parked > self.parked {
            tell("notify-parked-title", language.text("notify-parked", &[("count", count(status.parked))]));
        }
        (self.conflicts, self.parked) = (status.conflicts, status.parked);

        if (self.failing || was_stopped) && status.state == State::Synced {
            self.failing = false;
            tell("notify-recovered-title", language.text("notify-recovered", &[]));
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::english;
    use crate::problem::Problem;
    use crate::status::{Facts, summarise};

    fn status(facts: Facts) -> Status {
        let facts = Facts { in_step: true, ..facts };
        let summary = summarise(&facts, 0);
        serde_json::from_value(serde_json::json!({
            "state": summary.sentence.state(), "sentence": "", "says": summary.sentence, "pending": facts.pending, "parked": facts.parked,
            "conflicts": facts.conflicts, "cursor": 0, "server": "", "store": "", "problems": summary.problems, "name": "", "running": true,
            "synced": 0, "sent": 0, "received": 0
        }))
        .unwrap()
    }

    /// One status after the other, each with the titles that it brings.
    fn check(steps: Vec<(Facts, &[&str])>) {
        let mut notices = Notices::default();
        for (place, (facts, expected)) in steps.into_iter().enumerate() {
            let told = notices.follow(&status(facts), english());
            assert_eq!(told.iter().map(|notice| notice.title.as_str()).collect::<Vec<_>>(), expected, "step {place}");
        }
    }

    fn offline(problems: Vec<Problem>) -> Facts {
        Facts { pending: 3, offline_since_ms: Some(0), problems, ..Facts::default() }
    }

    #[test]
    fn an_ordinary_time_offline_is_nobodys_business() {
        check(vec![(Facts::default(), &[]), (offline(vec![]), &[]), (Facts::default(), &[])]);
    }

    #[test]
    fn a_long_one_is_told_once_and_so_is_its_end() {
        let long = || offline(vec![Problem::server_unreachable(5, "no route")]);
        check(vec![
            (Facts::default(), &[]),
            (long(), &["The server does not answer"]),
            (long(), &[]),
            (Facts { pending: 3, ..Facts::default() }, &[]),
            (Facts::default(), &["Back to normal"]),
            (Facts::default(), &[]),
        ]);
    }

    #[test]
    fn what_waits_for_a_person_is_told_when_there_is_more_of_it() {
        let waiting = |conflicts, parked| Facts { conflicts, parked, ..Facts::default() };
        check(vec![
            (waiting(1, 0), &["Two registers disagree"]),
            (waiting(1, 0), &[]),
            (waiting(2, 1), &["Two registers disagree", "A change was refused"]),
            (waiting(1, 0), &[]),
            (waiting(1, 1), &["A change was refused"]),
        ]);
    }

    #[test]
    fn a_refused_key_is_told_with_the_reason() {
        let refused = || Facts { problems: vec![Problem::key_refused("it has expired")], ..Facts::default() };
        let told = Notices::default().follow(&status(refused()), english());
        assert_eq!(told[0].text, "The server refuses this register's key: it has expired.");
        check(vec![(refused(), &["Tillsync can't sync"]), (refused(), &[]), (Facts::default(), &["Back to normal"])]);
    }
}
