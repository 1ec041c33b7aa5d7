//! A person's decision about a conflict: what it makes of the row.

use crate::change::Operation;
use crate::merge::Dispute;
use crate::merge::sum::{Sum, add_difference};
use crate::policy::Rule;
use crate::row::Row;
use crate::value::Value;
use crate::wire::hub::Resolution;

/// A conflict, as far as a decision needs it.
#[derive(Clone, Copy, Debug)]
pub struct Contested<'a> {
    /// Whether nothing of the change was stored.
    pub pending: bool,
    /// What the client did.
    pub operation: Operation,
    /// The columns that the client sent; `None` for a delete.
    pub client: Option<&'a Row>,
    /// The row as the hub had it; `None` when it was deleted.
    pub server: Option<&'a Row>,
    /// The row, or some columns of it, as the client saw it before its change.
    pub base: Option<&'a Row>,
    /// The columns that the client changed; all that it sent when `None`.
    pub updated_fields: Option<&'a [String]>,
    /// The columns that both had changed; none when it is about the row as a whole.
    pub disputes: &'a [Dispute],
}

/// The row as the person wants it, made of the one that the hub has now; `None` when it is to be gone. `columns` are the ones to set
/// for [`Resolution::Merged`]. An error, for people, where the decision makes no sense.
pub fn resolve(
    contested: &Contested<'_>,
    head: Option<&Row>,
    resolution: Resolution,
    columns: &Row,
) -> Result<Option<Row>, String> {
    let Contested { client, server, .. } = *contested;
    match resolution {
        Resolution::ClientWins if contested.operation == Operation::Delete => Ok(None),
        // Nobody contradicts the client where the hub's row has no such column.
        Resolution::ClientWins => Ok(contested.over(head, client).map(|row| contested.with_missing(&row, Value::clone))),
        // Nothing of the change was stored, so the hub's row is the one that is there.
        Resolution::ServerWins if contested.pending => Ok(head.map(|head| contested.without_client(head))),
        Resolution::ServerWins => Ok(contested.over(head, server)),
        Resolution::Merged => {
            let Some(row) = head.or(client).or(server) else {
                return Err("there is no row whose columns could be set".to_owned());
            };
            let is_column = |name: &str| row.get(name).or_else(|| client?.get(name)).is_some();
            if let Some((name, _)) = columns.iter().find(|(name, _)| !is_column(name)) {
                return Err(format!("the row has no column {name}"));
            }
            Ok(Some(with_columns(&contested.without_client(row), columns, |_| true)))
        }
    }
}

impl Contested<'_> {
    /// The hub's row with what the conflict is about taken from one of the two sides.
    fn over(&self, head: Option<&Row>, side: Option<&Row>) -> Option<Row> {
        match (side, head) {
            (Some(side), Some(head)) => {
                let mut row = head.clone();
                for (name, value) in side.iter().filter(|(name, _)| self.is_about(name)) {
                    row.set(name, self.count_up(name, value, head).unwrap_or_else(|| value.clone()));
                }
                Some(row)
            }
            (side, _) => side.cloned(),
        }
    }

    /// What a counter of a pending change comes to on top of what others have counted since.
    fn count_up(&self, column: &str, value: &Value, head: &Row) -> Option<Value> {
        let is_counter = self.pending && self.disputes.iter().any(|dispute| dispute.column == column && dispute.rule == Rule::Sum);
        match add_difference(self.base.filter(|_| is_counter)?.get(column)?, value, head.get(column)?) {
            Sum::Value(value) => Some(value),
            Sum::Overflow | Sum::NotNumbers => None,
        }
    }

    /// The row with nothing in columns that only the client's has: its store holds what it sent there, and is to hear that it does not count.
    fn without_client(&self, row: &Row) -> Row {
        self.with_missing(row, |_| Value::Null)
    }

    fn with_missing(&self, row: &Row, value: impl Fn(&Value) -> Value) -> Row {
        let mut row = row.clone();
        for (name, mine) in self.client.into_iter().flat_map(Row::iter).filter(|_| self.pending) {
            if row.get(name).is_none() {
                row.push(name, value(mine));
            }
        }
        row
    }

    /// Whether the conflict is about a column: about those in dispute, else those that the client changed, else all that it sent.
    fn is_about(&self, column: &str) -> bool {
        match self.updated_fields {
            // A pending change was not stored at all, so all of it is to be decided.
            Some(fields) if self.pending => fields.iter().any(|field| field == column),
            _ if !self.disputes.is_empty() && !self.pending => self.disputes.iter().any(|dispute| dispute.column == column),
            _ => true,
        }
    }
}

fn with_columns(row: &Row, from: &Row, wanted: impl Fn(&str) -> bool) -> Row {
    let mut row = row.clone();
    for (name, value) in from.iter().filter(|(name, _)| wanted(name)) {
        row.set(name, value.clone());
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Kept;

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    /// A pending update of `name` against a change of `price`, or, decided by a rule, a dispute about `price`.
    fn check(pending: bool, head: Option<&str>, resolution: Resolution, columns: &str, expected: Result<Option<&str>, &str>) {
        let (client, server) = (row(r#"{"name":"mint","price":3}"#), row(r#"{"name":"tea","price":4}"#));
        let fields = ["name".to_owned()];
        let disputes = [Dispute { column: "price".to_owned(), rule: Rule::Latest, kept: Kept::Client }];
        let contested = Contested {
            pending,
            operation: Operation::Update,
            client: Some(&client),
            server: Some(&server),
            base: None,
            updated_fields: Some(&fields),
            disputes: &disputes,
        };
        let resolved = resolve(&contested, head.map(row).as_ref(), resolution, &row(columns));
        assert_eq!(resolved, expected.map(|json| json.map(row)).map_err(str::to_owned), "{resolution:?} {head:?}");
    }

    #[test]
    fn a_decision_takes_what_the_conflict_is_about_and_leaves_the_rest() {
        let head = Some(r#"{"name":"oat","price":9}"#);
        check(true, head, Resolution::ClientWins, "{}", Ok(Some(r#"{"name":"mint","price":9}"#)));
        check(true, head, Resolution::ServerWins, "{}", Ok(head));
        check(false, head, Resolution::ClientWins, "{}", Ok(Some(r#"{"name":"oat","price":3}"#)));
        check(false, head, Resolution::ServerWins, "{}", Ok(Some(r#"{"name":"oat","price":4}"#)));
        check(false, head, Resolution::Merged, r#"{"price":5}"#, Ok(Some(r#"{"name":"oat","price":5}"#)));
        check(false, head, Resolution::Merged, r#"{"size":5}"#, Err("the row has no column size"));
    }

    #[test]
    fn a_pending_change_of_a_counter_counts_on() {
        let (base, client) = (row(r#"{"price":3,"stock":20}"#), row(r#"{"price":4,"stock":17}"#));
        let (server, head) = (row(r#"{"price":5,"stock":20}"#), row(r#"{"price":5,"stock":16}"#));
        let dispute = |column: &str, rule, kept| Dispute { column: column.to_owned(), rule, kept };
        let disputes = [dispute("price", Rule::Manual, Kept::Nobody), dispute("stock", Rule::Sum, Kept::Merged)];
        let contested = |pending, base| Contested {
            pending,
            operation: Operation::Update,
            client: Some(&client),
            server: Some(&server),
            base,
            updated_fields: None,
            disputes: &disputes,
        };
        let decided = |contested: &Contested| resolve(contested, Some(&head), Resolution::ClientWins, &Row::default());
        assert_eq!(decided(&contested(true, Some(&base))), Ok(Some(row(r#"{"price":4,"stock":13}"#))));
        assert_eq!(decided(&contested(true, None)), Ok(Some(row(r#"{"price":4,"stock":17}"#))), "nobody knows what it was");
        assert_eq!(
            decided(&contested(false, Some(&base))),
            Ok(Some(row(r#"{"price":4,"stock":17}"#))),
            "it was counted, and is put back"
        );
    }

    #[test]
    fn columns_that_only_the_client_has_are_decided_too() {
        let head = Some(r#"{"name":"oat"}"#);
        check(true, head, Resolution::ClientWins, "{}", Ok(Some(r#"{"name":"mint","price":3}"#)));
        check(true, head, Resolution::ServerWins, "{}", Ok(Some(r#"{"name":"oat","price":null}"#)));
        check(true, head, Resolution::Merged, r#"{"name":"tea"}"#, Ok(Some(r#"{"name":"tea","price":null}"#)));
        check(false, head, Resolution::ServerWins, "{}", Ok(Some(r#"{"name":"oat","price":4}"#)));
    }

    #[test]
    fn a_row_that_is_gone_comes_back_whole_or_stays_away() {
        check(true, None, Resolution::ClientWins, "{}", Ok(Some(r#"{"name":"mint","price":3}"#)));
        check(true, None, Resolution::ServerWins, "{}", Ok(None));
        check(true, None, Resolution::Merged, r#"{"price":5}"#, Ok(Some(r#"{"name":"mint","price":5}"#)));
        let gone = Contested {
            pending: true,
            operation: Operation::Delete,
            client: None,
            server: None,
            base: None,
            updated_fields: None,
            disputes: &[],
        };
        let head = row(r#"{"name":"tea"}"#);
        assert_eq!(resolve(&gone, Some(&head), Resolution::ClientWins, &Row::default()), Ok(None));
        assert!(resolve(&gone, None, Resolution::Merged, &Row::default()).is_err());
    }
}
