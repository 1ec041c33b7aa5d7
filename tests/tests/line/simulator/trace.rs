//! What happens in a run, a line each, for who looks into a failing seed.

use super::network::Message;
use super::shop::Key;
use super::world::Due;

/// One line.
pub fn describe(due: &Due) -> String {
    match due {
        Due::Message(Message::Push(call, changes, _)) => {
            let changes = changes.iter().map(|change| {
                let base = change.base_version.unwrap_or(0);
                format!("{} {} on {base} {:?}", change.operation.as_str(), name(&change.key), facts(&change.row))
            });
            format!("push {} of life {}: {}", call.number, call.life, changes.collect::<Vec<_>>().join(", "))
        }
        Due::Message(Message::Answers(call, _, answers)) => {
            let answers = answers.iter().map(|answer| format!("{:?} {}", answer.verdict, answer.version.unwrap_or(0)));
            format!("answers to {} of life {}: {}", call.number, call.life, answers.collect::<Vec<_>>().join(", "))
        }
        Due::Message(Message::Page(call, page)) => {
            let changes = page.changes.iter().map(|entry| {
                let row = entry.row.as_ref().map(facts);
                format!("{} {} by r{} {row:?}", entry.id, name(&entry.key), entry.device)
            });
            format!("page up to {} for life {}: {}", page.cursor, call.life, changes.collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn name((table, id): &Key) -> String {
    format!("{table:?}/{id}")
}

fn facts(row: &tillsync_core::row::Row) -> Vec<String> {
    let facts = row.iter().filter(|(name, _)| *name != "id");
    facts.map(|(_, value)| serde_json::to_string(value).unwrap_or_default()).collect()
}
