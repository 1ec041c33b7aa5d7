//! Apply's question: a pulled change meets the local row. Write it, pass over it, or keep it until the row is settled?

use crate::kept::Kept;

/// What the register knows about the row that a pulled change is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalRow {
    /// The version in the shadow; 0 when the row is unknown or was never confirmed.
    pub version: i64,
    /// Whether a local change of the row still waits in the outbox or the journal.
    pub unsent: bool,
    /// The version that waits in the inbox; 0 when none does. The answer to a push may bring one that a page has yet to get to.
    pub waiting: i64,
}

impl LocalRow {
    /// The row with what is kept of it. `in_outbox` is whether the outbox has an unsent change of it, `table_sent` whether the
    /// table's first full sync is over, `waiting` the version in the inbox.
    pub fn new(kept: Option<&Kept>, in_outbox: bool, table_sent: bool, waiting: Option<i64>) -> Self {
        let version = kept.map_or(0, Kept::version);
        // A row on its way in the full sync has no change in the outbox, but the server's verdict is to come all the same.
        let on_its_way = version == 0 && kept.is_some() && !table_sent;
        Self { version, unsent: in_outbox || on_its_way, waiting: waiting.unwrap_or(0) }
    }
}

/// What to do with a pulled change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Write it to the store.
    Apply,
    /// The register already has this version or a newer one, in the store or in the inbox.
    Pass,
    /// Keep it in the inbox: the server will merge the local change first, and its answer replaces this one.
    Hold,
}

/// Decides about one pulled change with the given id.
pub fn meet(change_id: i64, local: LocalRow) -> Arrival {
    if change_id <= local.version || change_id < local.waiting {
        Arrival::Pass
    } else if local.unsent {
        Arrival::Hold
    } else {
        Arrival::Apply
    }
}

/// Whether the answer to a push, which names the row's version as `told`, is older than what a pull has brought of the row meanwhile and
/// `waiting` says: if a person had to decide then, that decision may have come already, and nobody says so twice.
pub fn is_outdated(told: Option<i64>, waiting: Option<i64>) -> bool {
    told.zip(waiting).is_some_and(|(told, waiting)| told < waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::Columns;
    use crate::row::Row;

    #[test]
    fn an_unsent_local_change_is_never_overwritten() {
        assert_eq!(meet(7, LocalRow { version: 0, unsent: false, waiting: 0 }), Arrival::Apply);
        assert_eq!(meet(7, LocalRow { version: 6, unsent: true, waiting: 0 }), Arrival::Hold);
        assert_eq!(meet(7, LocalRow { version: 7, unsent: false, waiting: 0 }), Arrival::Pass);
        assert_eq!(meet(7, LocalRow { version: 9, unsent: true, waiting: 0 }), Arrival::Pass);
    }

    #[test]
    fn a_row_does_not_go_back_behind_the_version_that_waits() {
        let local = LocalRow { version: 3, unsent: false, waiting: 9 };
        assert_eq!(meet(7, local), Arrival::Pass);
        assert_eq!(meet(9, local), Arrival::Apply);
        assert_eq!(meet(10, local), Arrival::Apply);
        assert_eq!(meet(9, LocalRow { unsent: true, ..local }), Arrival::Hold);
    }

    #[test]
    fn an_answer_is_outdated_once_a_pull_has_brought_more() {
        assert!(is_outdated(Some(7), Some(8)));
        for (told, waiting) in [(Some(7), Some(7)), (Some(7), Some(6)), (Some(7), None), (None, Some(8))] {
            assert!(!is_outdated(told, waiting), "{told:?} {waiting:?}");
        }
    }

    #[test]
    fn a_row_that_the_full_sync_carries_waits_for_its_verdict() {
        let row = Row::default();
        let (sent, kept) = (Kept::uploaded(&row, &Columns::default()), Kept::received(Some(&row), 5, &Columns::default()));
        assert!(LocalRow::new(Some(&sent), false, false, None).unsent);
        assert!(!LocalRow::new(Some(&sent), false, true, None).unsent);
        assert!(!LocalRow::new(Some(&kept), false, false, None).unsent);
        assert!(!LocalRow::new(None, false, false, None).unsent);
        assert_eq!(LocalRow::new(Some(&kept), true, true, None), LocalRow { version: 5, unsent: true, waiting: 0 });
    }
}
