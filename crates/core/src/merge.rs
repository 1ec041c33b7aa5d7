//! What the hub does with one pushed change: a pure decision over the row's head and the version the client started from.
//!
//! A change whose base is older than the row's version is concurrent. Changes of different columns merge; where the same column
//! was given two values, the change that arrives later wins and both are kept in the conflict log. What cannot be decided that
//! way (a delete against an update, two different rows with one key) is stored by nobody and waits for a person.

use crate::change::Operation;
use crate::row::Row;

/// The row as the hub holds it.
#[derive(Clone, Debug)]
pub struct Head {
    /// The change id that last wrote the row.
    pub version: i64,
    /// Whether every change of the row since the client's base was made by the device that pushes now, and none of them was
    /// merged: then the device knows all that is in the row.
    pub by_same_device: bool,
    /// The whole row; `None` when it is deleted.
    pub row: Option<Row>,
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
    /// Whether the client can be told that a person must decide. A client of the original protocol cannot: its change is
    /// stored and the later arrival wins.
    pub can_conflict: bool,
}

/// What to write and what to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing to write: the row already is as the client says.
    Duplicate,
    /// Append to the log as sent. `lost` is the other side's row when values of it were overwritten.
    Apply {
        /// The operation to log.
        operation: Operation,
        /// The whole row after the change; `None` for a delete.
        row: Option<Row>,
        /// The row that lost values, for the conflict log.
        lost: Option<Row>,
    },
    /// Append the merged row and send it back, since it holds columns that the client did not have.
    Merge {
        /// The whole row after the merge.
        row: Row,
        /// The row that lost values, for the conflict log.
        lost: Option<Row>,
    },
    /// Write only the conflict log: a person decides.
    Conflict {
        /// Why, for people.
        reason: &'static str,
    },
}

/// Decides about one change. `base` is the row at the client's base version, when the log still has it.
pub fn decide(head: Option<&Head>, base: Option<&Row>, incoming: &Incoming) -> Decision {
    let Some(head) = head else {
        return decide_unknown_row(incoming);
    };
    let concurrent = !head.by_same_device && incoming.base_version.is_none_or(|base| base < head.version);
    match (&head.row, incoming.operation) {
        (None, Operation::Delete) => Decision::Duplicate,
        (None, Operation::Update) if concurrent && incoming.can_conflict => {
            Decision::Conflict { reason: "another register deleted this row while it was changed here" }
        }
        (None, _) => apply(Operation::Create, incoming.row.clone(), None),
        (Some(theirs), Operation::Delete) => {
            if concurrent && incoming.can_conflict && incoming.base_version.is_some() {
                Decision::Conflict { reason: "another register changed this row while it was deleted here" }
            } else {
                Decision::Apply { operation: Operation::Delete, row: None, lost: concurrent.then(|| theirs.clone()) }
            }
        }
        (Some(theirs), Operation::Create) if concurrent && incoming.can_conflict => {
            if theirs.same_as(&incoming.row) {
                Decision::Duplicate
            } else {
                Decision::Conflict { reason: "another register made a different row with the same key" }
            }
        }
        (Some(theirs), Operation::Create | Operation::Update) => decide_update(theirs, base, concurrent, incoming),
    }
}

fn decide_unknown_row(incoming: &Incoming) -> Decision {
    match incoming.operation {
        Operation::Delete => Decision::Apply { operation: Operation::Delete, row: None, lost: None },
        Operation::Create | Operation::Update => apply(Operation::Create, incoming.row.clone(), None),
    }
}

fn decide_update(theirs: &Row, base: Option<&Row>, concurrent: bool, incoming: &Incoming) -> Decision {
    let mut result = theirs.clone();
    let mut overwritten = false;
    for (name, mine) in incoming.row.iter() {
        let claimed = incoming.updated_fields.as_ref().is_none_or(|fields| fields.iter().any(|field| field == name));
        if !claimed || theirs.get(name) == Some(mine) {
            continue;
        }
        let changed_there = base.is_none_or(|base| base.get(name) != theirs.get(name));
        overwritten |= concurrent && changed_there && theirs.get(name).is_some();
        result.set(name, mine.clone());
    }
    if result == *theirs {
        // Nothing to log; but the client must be told of columns it does not have yet.
        return Decision::Duplicate;
    }
    let lost = overwritten.then(|| theirs.clone());
    // A client that sent the whole row learns by comparison what others changed meanwhile.
    let client_has_all = result.iter().all(|(name, value)| incoming.row.get(name) == Some(value));
    if concurrent && incoming.can_conflict && !client_has_all {
        Decision::Merge { row: result, lost }
    } else {
        apply(Operation::Update, result, lost)
    }
}

fn apply(operation: Operation, row: Row, lost: Option<Row>) -> Decision {
    Decision::Apply { operation, row: Some(row), lost }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    fn head(version: i64, json: Option<&str>) -> Head {
        Head { version, by_same_device: false, row: json.map(row) }
    }

    fn update(base: i64, fields: &[&str], json: &str) -> Incoming {
        Incoming {
            operation: Operation::Update,
            base_version: Some(base),
            updated_fields: Some(fields.iter().map(|&field| field.to_owned()).collect()),
            row: row(json),
            can_conflict: true,
        }
    }

    fn of(operation: Operation, base_version: Option<i64>, json: &str) -> Incoming {
        Incoming { operation, base_version, updated_fields: None, row: row(json), can_conflict: true }
    }

    #[test]
    fn a_new_row_is_stored() {
        let incoming = of(Operation::Create, None, r#"{"id":1}"#);
        assert_eq!(decide(None, None, &incoming), apply(Operation::Create, row(r#"{"id":1}"#), None));
    }

    #[test]
    fn an_update_on_top_of_the_head_is_stored() {
        let incoming = update(5, &["price"], r#"{"id":1,"price":3,"name":"x"}"#);
        let decision = decide(Some(&head(5, Some(r#"{"id":1,"price":2,"name":"x"}"#))), None, &incoming);
        assert_eq!(decision, apply(Operation::Update, row(r#"{"id":1,"price":3,"name":"x"}"#), None));
    }

    #[test]
    fn a_partial_update_keeps_the_other_columns() {
        let mut incoming = of(Operation::Update, Some(5), r#"{"price":3}"#);
        incoming.can_conflict = false;
        let decision = decide(Some(&head(5, Some(r#"{"id":1,"price":2}"#))), None, &incoming);
        assert_eq!(decision, apply(Operation::Update, row(r#"{"id":1,"price":3}"#), None));
    }

    #[test]
    fn different_columns_merge() {
        let base = row(r#"{"id":1,"price":2,"name":"x"}"#);
        let incoming = update(5, &["price"], r#"{"id":1,"price":3,"name":"x"}"#);
        let decision = decide(Some(&head(6, Some(r#"{"id":1,"price":2,"name":"y"}"#))), Some(&base), &incoming);
        assert_eq!(decision, Decision::Merge { row: row(r#"{"id":1,"price":3,"name":"y"}"#), lost: None });
    }

    #[test]
    fn the_same_column_goes_to_the_later_arrival_and_the_loser_is_kept() {
        let base = row(r#"{"id":1,"price":2}"#);
        let incoming = update(5, &["price"], r#"{"id":1,"price":3}"#);
        let decision = decide(Some(&head(6, Some(r#"{"id":1,"price":9}"#))), Some(&base), &incoming);
        assert_eq!(decision, apply(Operation::Update, row(r#"{"id":1,"price":3}"#), Some(row(r#"{"id":1,"price":9}"#))));
    }

    #[test]
    fn equal_rows_are_duplicates_and_different_rows_with_one_key_wait_for_a_person() {
        let there = head(6, Some(r#"{"id":1,"price":9}"#));
        assert_eq!(
            decide(Some(&there), None, &of(Operation::Create, None, r#"{"id":1,"price":9,"new":null}"#)),
            Decision::Duplicate
        );
        assert!(matches!(
            decide(Some(&there), None, &of(Operation::Create, None, r#"{"id":1,"price":8}"#)),
            Decision::Conflict { .. }
        ));
    }

    #[test]
    fn delete_against_update_waits_for_a_person_in_both_orders() {
        let updated = head(6, Some(r#"{"id":1}"#));
        assert!(matches!(decide(Some(&updated), None, &of(Operation::Delete, Some(5), "{}")), Decision::Conflict { .. }));
        let deleted = head(6, None);
        assert!(matches!(decide(Some(&deleted), None, &update(5, &["id"], r#"{"id":1}"#)), Decision::Conflict { .. }));
        assert_eq!(decide(Some(&deleted), None, &of(Operation::Delete, Some(5), "{}")), Decision::Duplicate);
    }

    #[test]
    fn a_device_never_conflicts_with_itself() {
        let own = Head { version: 6, by_same_device: true, row: Some(row(r#"{"id":1,"price":9}"#)) };
        let decision = decide(Some(&own), None, &update(5, &["price"], r#"{"id":1,"price":3}"#));
        assert_eq!(decision, apply(Operation::Update, row(r#"{"id":1,"price":3}"#), None));
    }

    #[test]
    fn a_client_of_the_original_protocol_wins_by_arriving_later() {
        let mut incoming = of(Operation::Delete, Some(5), "{}");
        incoming.can_conflict = false;
        let decision = decide(Some(&head(6, Some(r#"{"id":1}"#))), None, &incoming);
        assert_eq!(decision, Decision::Apply { operation: Operation::Delete, row: None, lost: Some(row(r#"{"id":1}"#)) });
    }
}
