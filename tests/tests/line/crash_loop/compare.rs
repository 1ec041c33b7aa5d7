//! The end of a run: both stores and the hub hold the same values, and the hub's log tells no row twice.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tillsync_agent::state::inbox;
use tillsync_agent::state::outbox::{self, Counts};
use tillsync_core::key::entity_id;
use tillsync_core::row::Row;
use tillsync_core::status::State;
use tillsync_core::value::Value;

use super::register::Register;

/// The tables and how many of their first columns are the key.
const TABLES: [(&str, usize); 4] = [("products", 1), ("sales", 1), ("lines", 1), ("texts", 2)];

type Rows = BTreeMap<(String, String), Row>;

/// What is left behind, comparable between runs.
#[derive(Debug, PartialEq)]
pub struct End {
    /// Every value by `typeof` and `quote`.
    rows: Vec<String>,
    /// How many entries of the hub's log each row has.
    entries: BTreeMap<(String, String), i64>,
    pub conflicts: i64,
}

impl End {
    /// No row is missing or too many, and where a value is another one, the conflict log has both.
    pub fn holds_as_much_as(&self, other: &Self) -> bool {
        self.rows.len() == other.rows.len() && (self.rows == other.rows || self.conflicts > other.conflicts)
    }
}

/// Compares A, B and hub with one another and sums up.
pub fn end(hub: &Path, a: &Register, b: &Register) -> End {
    let hub = Connection::open(hub).unwrap();
    let (in_a, in_b) = (Connection::open(a.store()).unwrap(), Connection::open(b.store()).unwrap());
    let rows = quoted(&in_a);
    assert_eq!(quoted(&in_b), rows, "the stores differ");
    assert_eq!(in_hub(&hub), in_store(&in_a), "the hub differs");
    assert_eq!(in_hub(&hub), in_store(&in_b), "the hub differs");
    for register in [a, b] {
        let state = register.agent().state();
        let counts = outbox::counts(state.conn()).unwrap();
        assert_eq!(counts, Counts::default(), "nothing waits");
        assert!(inbox::is_empty(state.conn()).unwrap());
        drop(state);
        assert_eq!(register.agent().status(true).unwrap().state, State::Synced);
    }
    let twice: i64 = hub.query_row("SELECT count(*) - count(DISTINCT event_id) FROM change_log", [], |row| row.get(0)).unwrap();
    assert_eq!(twice, 0, "every entry has its own event");
    let conflicts = hub.query_row("SELECT count(*) FROM conflict_log", [], |row| row.get(0)).unwrap();
    End { rows, entries: entries(&hub), conflicts }
}

fn entries(hub: &Connection) -> BTreeMap<(String, String), i64> {
    let sql = "SELECT entity_type, entity_id, count(*) FROM change_log GROUP BY entity_type, entity_id";
    let mut query = hub.prepare(sql).unwrap();
    let rows = query.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn in_hub(hub: &Connection) -> Rows {
    let sql = "SELECT entity_type, entity_id, data FROM rows JOIN change_log ON id = version
        WHERE NOT deleted AND rows.entity_type = change_log.entity_type"
        .replace("entity_type, entity_id, data", "rows.entity_type, rows.entity_id, data");
    let mut query = hub.prepare(&sql).unwrap();
    let rows = query
        .query_map([], |row| {
            let json: String = row.get(2)?;
            Ok(((row.get(0)?, row.get(1)?), serde_json::from_str(&json).unwrap()))
        })
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn in_store(store: &Connection) -> Rows {
    let mut rows = Rows::new();
    for (table, key_columns) in TABLES {
        let mut query = store.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let names: Vec<String> = query.column_names().into_iter().map(str::to_owned).collect();
        let mut found = query.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<Value> = (0..names.len()).map(|place| value(row.get_ref(place).unwrap())).collect();
            let key = entity_id(&values[..key_columns]);
            rows.insert((table.to_owned(), key), names.iter().cloned().zip(values).collect());
        }
    }
    rows
}

fn value(found: ValueRef<'_>) -> Value {
    match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Integer(n),
        ValueRef::Real(r) => Value::Real(r),
        ValueRef::Text(bytes) => Value::text(bytes),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn quoted(store: &Connection) -> Vec<String> {
    let mut lines = Vec::new();
    for (table, _) in TABLES {
        let names: Vec<String> =
            store.prepare(&format!("SELECT * FROM {table}")).unwrap().column_names().into_iter().map(str::to_owned).collect();
        let cells: Vec<String> = names.iter().map(|name| format!("typeof({name}) || ' ' || quote({name})")).collect();
        let sql = format!("SELECT '{table}: ' || {} FROM {table} ORDER BY 1", cells.join(" || ', ' || "));
        let mut query = store.prepare(&sql).unwrap();
        lines.extend(query.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap));
    }
    lines
}
