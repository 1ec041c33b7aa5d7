//! What the simulated hub does with a push: the decisions of the core, carried out in the order of the real hub.

use tillsync_core::change::{Operation, Verdict};
use tillsync_core::clock::skew_ms;
use tillsync_core::merge::{Arbiter, Decision, Dispute, Head, Incoming, Writer, decide, written_at};
use tillsync_core::row::Row;

use super::clocks::is_near;
use super::conflicts::Standing;
use super::hub::{Answer, Entry, Hub, Outgoing};

/// What a push says beside its changes.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// What time it is, as far as the register knows.
    pub sent_at: Option<i64>,
    /// The register's restored store has pulled what it had lost up to here.
    pub restored_up_to: i64,
}

/// One change of a batch.
#[derive(Clone, Copy)]
struct Push<'a> {
    device: usize,
    change: &'a Outgoing,
    /// What must be added to the register's times.
    skew_ms: i64,
    restored_up_to: i64,
    /// The hub's clock.
    now_ms: i64,
}

impl Hub {
    /// Every change of a batch gets its verdict.
    pub fn push(&mut self, device: usize, batch: &[Outgoing], told: Told, now_ms: i64) -> Vec<Answer> {
        let Told { sent_at, restored_up_to } = told;
        let skew_ms = skew_ms(sent_at, now_ms);
        batch.iter().map(|change| self.judge(Push { device, change, skew_ms, restored_up_to, now_ms })).collect()
    }

    fn judge(&mut self, push: Push<'_>) -> Answer {
        let Push { device, change, .. } = push;
        if let Some(answer) = self.judge_repeated(change) {
            return answer;
        }
        let at_ms = written_at(change.at_ms + push.skew_ms, push.now_ms);
        if change.captured.is_some_and(|captured| !is_near(captured, at_ms)) {
            self.violation = Some(format!("{change:?} counts as written at {at_ms}"));
        }
        let Some(version) = self.version(&change.key) else {
            let deletes = change.operation == Operation::Delete;
            let id = self.store(push, (!deletes).then(|| change.row.clone()), false, at_ms);
            return answer(Verdict::Applied, id);
        };
        let head = self.head_of(&change.key, version, device, change.base_version.unwrap_or(0), push.restored_up_to);
        let base = change.base_version.filter(|base| *base < version).and_then(|base| self.row_at(&change.key, base));
        let incoming = Incoming {
            operation: change.operation,
            base_version: change.base_version,
            updated_fields: change.updated_fields.clone(),
            row: if change.operation == Operation::Delete { Row::default() } else { change.row.clone() },
            before: change.before.clone(),
            writer: Writer { device: device.to_string(), manager: self.is_manager(device), at_ms },
            arbiter: Arbiter::Person,
        };
        let decision = decide(Some(&head), base.as_ref(), &incoming, self.shop.merging(change.key.0));
        self.carry_out(push, &head, decision)
    }

    fn carry_out(&mut self, push: Push<'_>, head: &Head, decision: Decision) -> Answer {
        let Push { device, change, .. } = push;
        match decision {
            Decision::Duplicate => self.answer_duplicate(change, head),
            // A register that brings the row as it was before somebody deleted it has only not heard of the delete.
            Decision::Apply { .. }
                if head.row.is_none()
                    && change.operation == Operation::Create
                    && change.base_version.is_none()
                    && self.was_once(&change.key, &change.row) =>
            {
                self.events.insert(change.event.clone(), (head.version, true));
                with_head(Verdict::Merged, head)
            }
            Decision::Apply { row, at_ms, disputes, .. } => {
                let id = self.store(push, row, false, at_ms);
                Answer { conflict: self.note_disputes(push, head, disputes), ..answer(Verdict::Applied, id) }
            }
            Decision::Merge { row, at_ms, disputes } => {
                let id = self.store(push, Some(row.clone()), true, at_ms);
                let conflict = self.note_disputes(push, head, disputes);
                Answer { server_row: Some(row), conflict, ..answer(Verdict::Merged, id) }
            }
            Decision::Keep { disputes } => {
                self.events.insert(change.event.clone(), (head.version, true));
                let conflict = self.note_disputes(push, head, disputes);
                Answer { conflict, ..with_head(Verdict::Merged, head) }
            }
            // A register that brings the row as it was before somebody changed it has only not heard of the change.
            Decision::Conflict { .. } if change.operation == Operation::Create && self.was_once(&change.key, &change.row) => {
                self.answer_duplicate(change, head)
            }
            Decision::Conflict { disputes, .. } => {
                let conflict = Some((self.note(device, change, head, disputes, Standing::Pending), true));
                Answer { conflict, ..with_head(Verdict::Conflict, head) }
            }
        }
    }

    /// The hub has all that the client sends; what the client lacks is told to it.
    fn answer_duplicate(&mut self, change: &Outgoing, head: &Head) -> Answer {
        let deletes = change.operation == Operation::Delete;
        let lacks = head.row.as_ref().is_some_and(|row| !deletes && !row.same_as(&change.row));
        self.events.insert(change.event.clone(), (head.version, lacks));
        if lacks { with_head(Verdict::Merged, head) } else { answer(Verdict::Duplicate, head.version) }
    }

    /// The answer to an event that came before: the same as then, and nothing is written. Only a conflict that a person has decided is
    /// none any more.
    fn judge_repeated(&self, change: &Outgoing) -> Option<Answer> {
        let version = self.version(&change.key);
        let with_head = |verdict| Answer { verdict, version, server_row: self.row(&change.key).cloned(), conflict: None };
        let noted = self.conflicts.iter().find(|noted| noted.event == change.event);
        let conflict = noted.map(|noted| (noted.id, noted.is_pending()));
        let repeated = match (self.events.get(&change.event), conflict) {
            (Some((_, true)), _) => with_head(Verdict::Merged),
            (Some((id, false)), _) => answer(Verdict::Duplicate, *id),
            (None, Some((_, true))) => with_head(Verdict::Conflict),
            (None, Some((_, false))) => with_head(Verdict::Merged),
            (None, None) => return None,
        };
        Some(Answer { conflict, ..repeated })
    }

    fn store(&mut self, push: Push<'_>, row: Option<Row>, merged: bool, at_ms: i64) -> i64 {
        let Push { device, change, .. } = push;
        let (event, key, manager) = (change.event.clone(), change.key.clone(), self.is_manager(device));
        self.append(Entry { id: 0, device, manager, merged, event, key, row, at_ms, resolves: None })
    }

    fn note_disputes(&mut self, push: Push<'_>, head: &Head, disputes: Vec<Dispute>) -> Option<(i64, bool)> {
        (!disputes.is_empty()).then(|| (self.note(push.device, push.change, head, disputes, Standing::Automatic), false))
    }
}

fn answer(verdict: Verdict, version: i64) -> Answer {
    Answer { verdict, version: Some(version), server_row: None, conflict: None }
}

fn with_head(verdict: Verdict, head: &Head) -> Answer {
    Answer { server_row: head.row.clone(), ..answer(verdict, head.version) }
}
