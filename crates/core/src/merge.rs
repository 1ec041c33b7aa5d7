//! What the hub does with one pushed change: a pure decision over the row's head, its history since the client's base, and the
//! entity's policy.
//!
//! A change whose base is older than the row's version is concurrent. Changes of different columns merge; where one column was
//! given two values, its rule decides. Counters are always added up, and JSON values always merged, from the value that the
//! register saw before. What no rule decides (a delete against an update, two different rows with one key, `manual`) is stored
//! by nobody and waits for a person.

pub mod json;
pub mod sum;

use std::cmp::Ordering;

use crate::change::Operation;
use crate::policy::{Detect, Merging, Rule};
use crate::row::Row;
use crate::value::Value;
use sum::Sum;

/// Who wrote something, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    /// The device's id.
    pub device: String,
    /// Whether it is a manager's.
    pub manager: bool,
    /// When, by the hub's clock, Unix milliseconds; see [`written_at`].
    pub at_ms: i64,
}

/// When a change was written, by the hub's clock: what its register says, but never in the future.
pub fn written_at(claimed_ms: i64, now_ms: i64) -> i64 {
    claimed_ms.min(now_ms)
}

/// A change of the row that came after the client's base.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who made it.
    pub writer: Writer,
    /// The whole row after it; `None` when it deleted the row.
    pub row: Option<Row>,
    /// Whether its own register, too, learns of it by a pull: it is a person's decision of a conflict, or the register's restored store has
    /// lost it.
    pub by_pull: bool,
}

impl Entry {
    /// Whether the device made the change itself, so that its later ones know of it.
    fn is_own(&self, device: &str) -> bool {
        !self.by_pull && self.writer.device == device
    }
}

/// The row as the hub holds it.
#[derive(Clone, Debug)]
pub struct Head {
    /// The change id that last wrote the row.
    pub version: i64,
    /// When that was, by the hub's clock, Unix milliseconds.
    pub at_ms: i64,
    /// Whether every change of the row since the client's base was made by the device that pushes now, and none of them was
    /// merged: then the device knows all that is in the row.
    pub by_same_device: bool,
    /// The whole row; `None` when it is deleted.
    pub row: Option<Row>,
    /// The row as it was before it was deleted, as far as that is known.
    pub deleted: Option<Row>,
    /// The changes since the client's base, oldest first, the head itself last. Only needed for concurrent changes.
    pub since: Vec<Entry>,
}

impl Head {
    /// The row as it is made anew after its delete, if it was deleted. Whoever makes it may lack columns that it had, and says nothing of them;
    /// whoever still holds the deleted one is to hear that its values there are over.
    pub fn make_anew(&self, mut row: Row) -> Row {
        for (name, _) in self.deleted.iter().flat_map(Row::iter) {
            if row.get(name).is_none() {
                row.push(name, Value::Null);
            }
        }
        row
    }
}

/// One pushed change.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// What the client says happened.
    pub operation: Operation,
    /// The version it started from; `None` when the client has never seen the row.
    pub base_version: Option<i64>,
    /// The columns an update changed; all of `row` when `None`.
    pub updated_fields: Option<Vec<String>>,
    /// The columns it sent; empty for a delete.
    pub row: Row,
    /// Columns as they were before the change, where their rule needs it.
    pub before: Row,
    /// Who made it.
    pub writer: Writer,
    /// Who decides where no rule can.
    pub arbiter: Arbiter,
}

/// Who decides where two changes exclude each other and no rule says which one stays: what the client can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arbiter {
    /// A person; until then nothing is stored.
    Person,
    /// The later one stays, also of a delete and an update; when equal the hub's. For clients that cannot wait for a person.
    Time,
    /// The later arrival stays. For clients of the original protocol, of whose changes nobody knows when they were made.
    Arrival,
}

impl Arbiter {
    /// Whether times are believed, and the client learns what was merged.
    pub fn knows_times(self) -> bool {
        self != Self::Arrival
    }
}

/// Whose value a rule kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// The pushed one.
    Client,
    /// The hub's.
    Server,
    /// A new one, made of both.
    Merged,
    /// Nobody's yet: a person decides.
    Nobody,
}

/// One column that two sides changed, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Dispute {
    /// The column.
    pub column: String,
    /// The rule that decided.
    pub rule: Rule,
    /// Whose value it kept.
    pub kept: Kept,
}

/// What to write and what to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing to write: the row already is as the client says.
    Duplicate,
    /// Append to the log as sent.
    Apply {
        /// The operation to log.
        operation: Operation,
        /// The whole row after the change; `None` for a delete.
        row: Option<Row>,
        /// When it counts as written, by the hub's clock.
        at_ms: i64,
        /// The columns that both sides had changed, for the conflict log.
        disputes: Vec<Dispute>,
    },
    /// Append the merged row and send it back, since it holds columns that the client did not have.
    Merge {
        /// The whole row after the merge.
        row: Row,
        /// When it counts as written, by the hub's clock.
        at_ms: i64,
        /// The columns that both sides had changed, for the conflict log.
        disputes: Vec<Dispute>,
    },
    /// Write nothing but the conflict log, and send the hub's row back: its values stay.
    Keep {
        /// The columns that both sides had changed, for the conflict log.
        disputes: Vec<Dispute>,
    },
    /// Write only the conflict log: a person decides.
    Conflict {
        /// Why, for people.
        reason: &'static str,
        /// The columns in dispute; none when it is about the row as a whole.
        disputes: Vec<Dispute>,
    },
}

/// Decides about one change. `base` is the row at the client's base version, when the log still has it.
pub fn decide(head: Option<&Head>, base: Option<&Row>, incoming: &Incoming, merging: &Merging) -> Decision {
    let Some(head) = head else {
        return decide_unknown_row(incoming);
    };
    let concurrent = is_concurrent(head, base, incoming, merging);
    // What was made with knowledge of the head is never older than it, whatever the clocks say.
    let at_ms = if concurrent { incoming.writer.at_ms } else { incoming.writer.at_ms.max(head.at_ms) };
    let undecided = |reason| Decision::Conflict { reason, disputes: Vec::new() };
    match (&head.row, incoming.operation) {
        (None, Operation::Delete) => Decision::Duplicate,
        (None, Operation::Update) if concurrent && incoming.arbiter == Arbiter::Person => {
            undecided("another register deleted this row while it was changed here")
        }
        (None, _) if concurrent && incoming.arbiter == Arbiter::Time && incoming.writer.at_ms <= head.at_ms => {
            Decision::Keep { disputes: all_of(&incoming.row, Rule::Latest, Kept::Server) }
        }
        (None, _) => {
            let row = Some(head.make_anew(incoming.row.clone()));
            Decision::Apply { operation: Operation::Create, row, at_ms, disputes: Vec::new() }
        }
        (Some(theirs), Operation::Delete) => {
            if concurrent && incoming.arbiter == Arbiter::Person {
                return undecided("another register changed this row while it was deleted here");
            }
            if concurrent && incoming.arbiter == Arbiter::Time && incoming.writer.at_ms <= head.at_ms {
                return Decision::Keep { disputes: all_of(theirs, Rule::Latest, Kept::Server) };
            }
            // The client deletes what it had not seen.
            let disputes = if concurrent { all_of(theirs, Rule::Client, Kept::Client) } else { Vec::new() };
            Decision::Apply { operation: Operation::Delete, row: None, at_ms, disputes }
        }
        (Some(theirs), _) if concurrent && incoming.arbiter == Arbiter::Person && is_another_row(head, incoming) => {
            if theirs.same_as(&incoming.row) {
                Decision::Duplicate
            } else {
                undecided("another register made a different row with the same key")
            }
        }
        (Some(theirs), Operation::Create | Operation::Update) => {
            Update { head, theirs, base, incoming, merging, concurrent }.decide(at_ms)
        }
    }
}

/// Whether the register's row and the hub's have nothing in common but the key: it made its own, and never heard of the hub's. An
/// update, too, may be all that comes of such a row, where the request that sent it as a whole before got lost.
fn is_another_row(head: &Head, incoming: &Incoming) -> bool {
    let Incoming { operation, base_version: None, updated_fields: Some(fields), row: mine, before, .. } = incoming else {
        return incoming.operation == Operation::Create;
    };
    // What the update did not touch is as it was in the row that it started from.
    let is_start = |then: &Row| {
        let untouched = mine.iter().filter(|(name, _)| !fields.iter().any(|field| field == name));
        untouched.chain(before.iter()).all(|(name, value)| then.get(name).map_or(value.is_null(), |then| then == value))
    };
    let heard_of = |entry: &Entry| entry.is_own(&incoming.writer.device) || entry.row.as_ref().is_some_and(is_start);
    *operation == Operation::Create || (*operation == Operation::Update && !head.since.iter().any(heard_of))
}

fn is_concurrent(head: &Head, base: Option<&Row>, incoming: &Incoming, merging: &Merging) -> bool {
    if head.by_same_device || incoming.base_version.is_some_and(|base| base >= head.version) {
        return false;
    }
    let same_content = base.zip(head.row.as_ref()).is_some_and(|(base, head)| base.same_as(head));
    !(merging.detect == Detect::Hash && same_content)
}

fn decide_unknown_row(incoming: &Incoming) -> Decision {
    let at_ms = incoming.writer.at_ms;
    let (operation, row) = match incoming.operation {
        Operation::Delete => (Operation::Delete, None),
        Operation::Create | Operation::Update => (Operation::Create, Some(incoming.row.clone())),
    };
    Decision::Apply { operation, row, at_ms, disputes: Vec::new() }
}

/// Whatever the client says, the hub's row stays: a change that was made on an older version, for clients that count versions themselves.
pub fn keep(head: &Head, incoming: &Incoming) -> Decision {
    let differs = |(name, mine): &(&str, &Value)| match head.row.as_ref().and_then(|row| row.get(name)) {
        Some(theirs) => theirs != *mine,
        None => head.row.is_none() || !mine.is_null(),
    };
    let lost: Row = incoming.row.iter().filter(differs).map(|(name, mine)| (name.to_owned(), mine.clone())).collect();
    if lost.is_empty() && head.row.is_some() == (incoming.operation != Operation::Delete) {
        return Decision::Duplicate;
    }
    Decision::Keep { disputes: all_of(&lost, Rule::Server, Kept::Server) }
}

fn all_of(row: &Row, rule: Rule, kept: Kept) -> Vec<Dispute> {
    row.iter().map(|(name, _)| Dispute { column: name.to_owned(), rule, kept }).collect()
}

/// An update, or a create on top of what the client knows, of a row that is there.
struct Update<'a> {
    head: &'a Head,
    theirs: &'a Row,
    base: Option<&'a Row>,
    incoming: &'a Incoming,
    merging: &'a Merging,
    concurrent: bool,
}

/// What becomes of one column.
enum Column {
    /// The hub's value stays, and nobody loses anything.
    Same,
    /// This value, without a dispute.
    Set(Value),
    /// Both sides changed it.
    Disputed(Kept, Value),
    /// A person decides.
    Undecided(&'static str),
}

impl Update<'_> {
    fn decide(&self, at_ms: i64) -> Decision {
        let mut result = self.theirs.clone();
        let mut disputes = Vec::new();
        let mut counters = Vec::new();
        let mut reason = None;
        for (name, mine) in self.incoming.row.iter().filter(|(name, mine)| self.is_claimed(name, mine)) {
            let rule = self.merging.rule(name);
            let kept = match self.judge(name, mine, rule) {
                Column::Same => continue,
                Column::Set(value) => {
                    if rule == Rule::Sum {
                        counters.push(Dispute { column: name.to_owned(), rule, kept: Kept::Merged });
                    }
                    result.set(name, value);
                    continue;
                }
                Column::Disputed(kept, value) => {
                    result.set(name, value);
                    kept
                }
                Column::Undecided(why) => {
                    reason = Some(why);
                    Kept::Nobody
                }
            };
            disputes.push(Dispute { column: name.to_owned(), rule, kept });
        }
        if let Some(reason) = reason {
            // Counters have nothing to decide about, but whoever decides must know which they are: they count on meanwhile.
            disputes.retain(|dispute| dispute.kept == Kept::Nobody || (dispute.rule == Rule::Sum && dispute.kept == Kept::Merged));
            disputes.append(&mut counters);
            return Decision::Conflict { reason, disputes };
        }
        self.conclude(result, at_ms, disputes)
    }

    fn conclude(&self, result: Row, at_ms: i64, disputes: Vec<Dispute>) -> Decision {
        if result.same_as(self.theirs) {
            // Nothing to log; but the client must be told of columns it does not have.
            return if disputes.is_empty() { Decision::Duplicate } else { Decision::Keep { disputes } };
        }
        // A client that sent the whole row learns by comparison what others changed meanwhile.
        let client_has_all = result.iter().all(|(name, value)| self.incoming.row.get(name) == Some(value));
        let made_of_both = self.incoming.row.iter().any(|(name, value)| result.get(name) != Some(value));
        if self.incoming.arbiter.knows_times() && !client_has_all && (self.concurrent || made_of_both) {
            Decision::Merge { row: result, at_ms, disputes }
        } else {
            Decision::Apply { operation: Operation::Update, row: Some(result), at_ms, disputes }
        }
    }

    /// Whether the client says that it changed the column. Where it does not name them, those that differ from what it started
    /// from; a client of the original protocol means all that it sends.
    fn is_claimed(&self, name: &str, mine: &Value) -> bool {
        if let Some(fields) = &self.incoming.updated_fields {
            return fields.iter().any(|field| field == name);
        }
        if !self.concurrent || !self.incoming.arbiter.knows_times() {
            return true;
        }
        self.base.is_none_or(|base| base.get(name) != Some(mine)) || self.own_change(name)
    }

    fn judge(&self, name: &str, mine: &Value, rule: Rule) -> Column {
        let theirs = self.theirs.get(name);
        let rival = self.rival(name);
        let disputed = rival.is_some();
        if let Some(theirs) = theirs {
            let made = match rule {
                Rule::Sum => self.add_up(name, mine, theirs),
                Rule::Json => self.merge_json(name, mine, theirs, rival),
                _ => None,
            };
            match made {
                None => {}
                Some(Err(reason)) => return Column::Undecided(reason),
                Some(Ok(value)) if disputed && (value != *theirs || value != *mine) => {
                    return Column::Disputed(Kept::Merged, value);
                }
                Some(Ok(value)) => return Column::Set(value),
            }
        }
        let (Some(theirs), Some(rival)) = (theirs, rival) else { return Column::Set(mine.clone()) };
        if theirs == mine {
            return Column::Same;
        }
        match self.kept(rule, mine, theirs, rival) {
            Kept::Nobody => Column::Undecided("another register gave the same column another value"),
            Kept::Client => Column::Disputed(Kept::Client, mine.clone()),
            kept @ (Kept::Server | Kept::Merged) => Column::Disputed(kept, theirs.clone()),
        }
    }

    /// Who else gave the column its value since the client's base; `None` when nobody did.
    fn rival(&self, name: &str) -> Option<&Writer> {
        if !self.concurrent {
            return None;
        }
        let mut known = self.base.map(|base| base.get(name));
        let mut last = None;
        for entry in &self.head.since {
            let now = entry.row.as_ref().and_then(|row| row.get(name));
            if known != Some(now) {
                last = Some(entry);
            }
            known = Some(now);
        }
        last.filter(|entry| !entry.is_own(&self.incoming.writer.device)).map(|entry| &entry.writer)
    }

    /// Whether the device itself changed the column since its base.
    fn own_change(&self, name: &str) -> bool {
        let mut known = self.base.and_then(|base| base.get(name));
        self.head.since.iter().any(|entry| {
            let now = entry.row.as_ref().and_then(|row| row.get(name));
            let changed = now != known && entry.is_own(&self.incoming.writer.device);
            known = now;
            changed
        })
    }

    /// The value that the register saw before its change; else the one at its base, if it has changed nothing since.
    fn before(&self, name: &str) -> Option<&Value> {
        let own_entry = || self.head.since.iter().any(|entry| entry.is_own(&self.incoming.writer.device));
        let at_base = || self.base.and_then(|base| base.get(name)).filter(|_| self.concurrent && !own_entry());
        self.incoming.before.get(name).or_else(at_base)
    }

    fn add_up(&self, name: &str, mine: &Value, theirs: &Value) -> Option<Result<Value, &'static str>> {
        match sum::add_difference(self.before(name)?, mine, theirs) {
            Sum::Value(value) => Some(Ok(value)),
            Sum::Overflow => Some(Err("the sum of both changes is beyond what the column can hold")),
            Sum::NotNumbers => None,
        }
    }

    fn merge_json(&self, name: &str, mine: &Value, theirs: &Value, rival: Option<&Writer>) -> Option<Result<Value, &'static str>> {
        let (Value::Text(mine_text), Value::Text(theirs_text)) = (mine, theirs) else { return None };
        let before = match self.before(name) {
            Some(before) if before == theirs => return Some(Ok(mine.clone())),
            Some(Value::Text(text)) => Some(text.as_str()),
            _ if rival.is_none() => return None,
            _ => None,
        };
        let newer = rival.is_none_or(|rival| self.is_newer(rival));
        let merged = json::merge(before, mine_text, theirs_text, self.merging.lists, newer)?;
        Some(Ok(Value::Text(merged.text)))
    }

    fn kept(&self, rule: Rule, mine: &Value, theirs: &Value, rival: &Writer) -> Kept {
        let later = || if self.is_newer(rival) { Kept::Client } else { Kept::Server };
        match rule {
            // Not every client can wait for a person.
            Rule::Manual if self.incoming.arbiter == Arbiter::Person => Kept::Nobody,
            Rule::Latest | Rule::Sum | Rule::Json | Rule::Manual => later(),
            Rule::Server => Kept::Server,
            Rule::Client => Kept::Client,
            Rule::Manager => match (self.incoming.writer.manager, rival.manager) {
                (true, false) => Kept::Client,
                (false, true) => Kept::Server,
                (true, true) | (false, false) => later(),
            },
            Rule::Fill => match (is_empty(mine), is_empty(theirs)) {
                (true, false) => Kept::Server,
                (false, true) => Kept::Client,
                (true, true) | (false, false) => later(),
            },
        }
    }

    /// Whether the pushed value was written later than the rival's: the same answer whoever comes first to the hub. Of a client of
    /// the original protocol nobody knows when, and the later arrival wins.
    fn is_newer(&self, rival: &Writer) -> bool {
        if !self.incoming.arbiter.knows_times() {
            return true;
        }
        if self.merging.detect == Detect::Timestamp
            && let Some(order) = self.merging.timestamp_column.as_deref().and_then(|column| self.by_column(column))
        {
            return order == Ordering::Greater;
        }
        let own = &self.incoming.writer;
        if self.incoming.arbiter == Arbiter::Time {
            return own.at_ms > rival.at_ms;
        }
        (own.at_ms, &own.device) > (rival.at_ms, &rival.device)
    }

    /// How the two rows' own times compare; `None` when they cannot be.
    fn by_column(&self, column: &str) -> Option<Ordering> {
        let named = |row: &Row| row.iter().find(|(name, _)| name.eq_ignore_ascii_case(column)).map(|(_, value)| value.clone());
        match (named(&self.incoming.row)?, named(self.theirs)?) {
            (Value::Integer(mine), Value::Integer(theirs)) => Some(mine.cmp(&theirs)),
            (Value::Real(mine), Value::Real(theirs)) => mine.partial_cmp(&theirs),
            (Value::Integer(mine), Value::Real(theirs)) => (mine as f64).partial_cmp(&theirs),
            (Value::Real(mine), Value::Integer(theirs)) => mine.partial_cmp(&(theirs as f64)),
            (Value::Text(mine), Value::Text(theirs)) => Some(mine.cmp(&theirs)),
            _ => None,
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        Value::Integer(_) | Value::Real(_) | Value::RawText(_) | Value::Blob(_) => false,
    }
}

#[cfg(test)]
mod tests;
