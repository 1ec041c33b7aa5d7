//! What a register keeps of a row it has seen, and how that follows the row: captured here, sent in the first full sync, received
//! from the server.

use crate::diff::{self, Added, Difference, Shadow, bases, column_prints, difference_beside};
use crate::print::row_print;
use crate::row::Row;

/// Of which columns an entity's shadow keeps more than a share in the row's print.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Columns with a print, in the order of the prints; empty for entities that merge by row.
    pub prints: Vec<String>,
    /// Columns with their value, since their rule merges from the value before a change.
    pub bases: Vec<String>,
    /// Columns that came while rows are kept that were seen without them.
    pub added: Vec<Added>,
}

/// What the shadow holds for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The row.
    Row(Shadow),
    /// The row is deleted. The version of the delete, or, while it waits for the server, the one that the row had. It stays, so that
    /// an older change of the row, which may still come by a pull, does not bring it back.
    Deleted(i64),
}

/// The version of a row that the server has merged with what others changed, and whose first version here is that one, which waits
/// in the inbox. As good as none, except that the server has the row.
pub const COMING: i64 = -1;

impl Kept {
    /// The server's row is in the store in this version; without a row its delete is.
    pub fn received(row: Option<&Row>, version: i64, columns: &Columns) -> Self {
        let Some(row) = row else { return Self::Deleted(version) };
        let (prints, bases) = (column_prints(row, &columns.prints), bases(row, &columns.bases));
        Self::Row(Shadow { print: row_print(row), columns: prints, version, bases })
    }

    /// A row of this register that the server is about to learn of. From now on a capture sees what the POS does to it, and a pulled
    /// change waits for the server's verdict. What an earlier try kept stays: what the POS did since then is a change like any other.
    pub fn uploaded(row: &Row, columns: &Columns) -> Self {
        Self::received(Some(row), 0, columns)
    }

    /// The version on the server; 0 while it has none, or [`COMING`].
    pub fn version(&self) -> i64 {
        match self {
            Self::Row(shadow) => shadow.version,
            Self::Deleted(version) => *version,
        }
    }

    /// The row's prints, if it is there.
    pub fn row(&self) -> Option<&Shadow> {
        match self {
            Self::Row(shadow) => Some(shadow),
            Self::Deleted(_) => None,
        }
    }

    /// The server has the row in this version, with nothing in it that the register does not have.
    pub fn confirm(&mut self, version: i64) {
        let known = self.version_mut();
        *known = version.max(*known);
    }

    /// The server has the row in this version, merged with what others changed; that version waits in the inbox.
    pub fn await_merged(&mut self, version: i64) {
        let known = self.version_mut();
        *known = while_coming(*known, version);
    }

    /// A person has decided about the row; where no version of it is known yet, that one is the first, and comes by a pull.
    pub fn await_decision(&mut self) {
        let known = self.version_mut();
        if *known == 0 {
            *known = COMING;
        }
    }

    fn version_mut(&mut self) -> &mut i64 {
        match self {
            Self::Row(shadow) => &mut shadow.version,
            Self::Deleted(known) => known,
        }
    }
}

/// The version to keep of a row while this version of it waits in the inbox. The verdict about an earlier change of the row may have
/// called it known; what the register did next and the server did not take is still in the store, and has yet to give way.
pub fn while_coming(known: i64, version: i64) -> i64 {
    match known {
        0 => COMING,
        known if known == version => {
            if version > 1 {
                version - 1
            } else {
                COMING
            }
        }
        known => known,
    }
}

/// What capture makes of a row it looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The difference worth sending.
    pub difference: Difference,
    /// What the columns were that merge from the value before the change, as far as it changed them.
    pub before: Row,
    /// What to keep from now on.
    pub kept: Kept,
}

/// Capture looks at a row; `None` when nothing really changed.
pub fn capture(kept: Option<&Kept>, now: Option<&Row>, columns: &Columns) -> Option<Captured> {
    let shadow = kept.and_then(Kept::row);
    let difference = difference_beside(shadow, now, &columns.prints, &columns.added)?;
    let before = shadow.map(|shadow| diff::before(shadow, &difference)).unwrap_or_default();
    Some(Captured { difference, before, kept: Kept::received(now, kept.map_or(0, Kept::version), columns) })
}

/// Whether the first full sync leaves a row out: what is kept of it says that the server has it, or a change of it is unsent.
pub fn is_with_server(kept: Option<&Kept>, unsent: bool) -> bool {
    unsent || kept.is_some_and(|kept| kept.version() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Operation;

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    /// Captures, and says what is sent and which version is kept.
    fn check(kept: Option<&Kept>, now: Option<&str>, expected: Option<(Operation, i64)>) -> Option<Kept> {
        let now = now.map(row);
        let captured = capture(kept, now.as_ref(), &Columns::default());
        let said = captured.as_ref().map(|captured| (captured.difference.operation, captured.kept.version()));
        assert_eq!(said, expected, "{kept:?} {now:?}");
        captured.map(|captured| captured.kept)
    }

    #[test]
    fn what_is_kept_follows_the_row_and_is_captured_once() {
        let made = check(None, Some(r#"{"id":1}"#), Some((Operation::Create, 0))).unwrap();
        check(Some(&made), Some(r#"{"id":1}"#), None);
        let received = Kept::received(Some(&row(r#"{"id":1,"price":2}"#)), 7, &Columns::default());
        check(Some(&received), Some(r#"{"id":1,"price":2}"#), None);
        let changed = check(Some(&received), Some(r#"{"id":1,"price":3}"#), Some((Operation::Update, 7))).unwrap();
        let deleted = check(Some(&changed), None, Some((Operation::Delete, 7))).unwrap();
        check(Some(&deleted), None, None);
        check(Some(&deleted), Some(r#"{"id":1}"#), Some((Operation::Create, 7)));
        check(Some(&Kept::received(None, 9, &Columns::default())), Some(r#"{"id":1}"#), Some((Operation::Create, 9)));
        check(None, None, None);
    }

    #[test]
    fn a_counter_counts_from_what_was_received() {
        let prints = vec!["id".to_owned(), "stock".to_owned()];
        let columns = Columns { prints, bases: vec!["stock".to_owned()], added: Vec::new() };
        let received = Kept::received(Some(&row(r#"{"id":1,"stock":9}"#)), 7, &columns);
        let captured = capture(Some(&received), Some(&row(r#"{"id":1,"stock":8}"#)), &columns).unwrap();
        assert_eq!(captured.before, row(r#"{"stock":9}"#));
        assert_eq!(captured.kept, Kept::received(Some(&row(r#"{"id":1,"stock":8}"#)), 7, &columns));
    }

    #[test]
    fn a_version_never_goes_back() {
        for mut kept in [Kept::uploaded(&row(r#"{"id":1}"#), &Columns::default()), Kept::received(None, 3, &Columns::default())] {
            kept.confirm(5);
            kept.confirm(4);
            assert_eq!(kept.version(), 5);
        }
    }

    #[test]
    fn the_full_sync_leaves_out_what_the_server_has_or_will_get() {
        let mut kept = Kept::uploaded(&row(r#"{"id":1}"#), &Columns::default());
        assert!(!is_with_server(None, false));
        assert!(!is_with_server(Some(&kept), false));
        assert!(is_with_server(Some(&kept), true));
        kept.await_merged(1);
        assert!(is_with_server(Some(&kept), false));
        kept.confirm(1);
        kept.await_merged(2);
        assert!(is_with_server(Some(&kept), false));
        assert_eq!(kept.version(), 1);
    }

    #[test]
    fn what_a_person_has_decided_is_not_sent_again_by_the_full_sync() {
        let mut kept = Kept::uploaded(&row(r#"{"id":1}"#), &Columns::default());
        kept.await_decision();
        assert!(is_with_server(Some(&kept), false));
        kept.confirm(3);
        kept.await_decision();
        assert_eq!(kept.version(), 3);
    }

    #[test]
    fn a_version_that_an_earlier_verdict_called_known_comes_all_the_same() {
        // Of two changes in one batch the server took the first and kept its own value against the second.
        let mut kept = Kept::received(Some(&row(r#"{"id":1}"#)), 3, &Columns::default());
        kept.confirm(7);
        kept.await_merged(7);
        assert_eq!(kept.version(), 6);
        kept.confirm(9);
        kept.await_merged(7);
        assert_eq!(kept.version(), 9, "what is newer than the answer is in the store");
        for (known, version) in [(0, 1), (1, 1)] {
            assert_eq!(while_coming(known, version), COMING);
        }
    }
}
