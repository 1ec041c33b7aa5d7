//! Stores as a point-of-sale program and an auditor see them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Opens a store as a patient point-of-sale program in WAL mode, with foreign keys.
#[track_caller]
pub fn pos(store: &Path) -> Connection {
    let db = open(store);
    db.pragma_update(None, "journal_mode", "wal").unwrap();
    db
}

/// Opens a store in whatever journal mode it is.
#[track_caller]
pub fn open(store: &Path) -> Connection {
    let db = Connection::open(store).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    db.pragma_update(None, "foreign_keys", true).unwrap();
    db
}

/// Every row of a table, generated columns included, in an order that depends on the values alone. A value is its storage
/// class and its bytes.
#[track_caller]
pub fn rows(db: &Connection, table: &str) -> Vec<String> {
    let mut query = db.prepare(&format!("SELECT * FROM \"{}\"", table.replace('"', "\"\""))).unwrap();
    let names: Vec<String> = query.column_names().iter().map(|name| (*name).to_owned()).collect();
    let mut found: Vec<String> = query
        .query_map([], |row| {
            let mut line = String::new();
            for (place, name) in names.iter().enumerate() {
                write!(line, "{name}={} ", exactly(row.get_ref(place)?)).unwrap();
            }
            Ok(line)
        })
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    found.sort_unstable();
    found
}

fn exactly(value: ValueRef) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(n) => format!("integer:{n}"),
        ValueRef::Real(r) => format!("real:{:016x}:{r:e}", r.to_bits()),
        ValueRef::Text(bytes) => format!("text:{}", bytes.escape_ascii()),
        ValueRef::Blob(bytes) => format!("blob:{}", bytes.escape_ascii()),
    }
}

/// A value as people read it.
pub fn plain(value: ValueRef) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(r) => r.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Every table of the point-of-sale program with its rows.
#[track_caller]
pub fn content(store: &Path) -> BTreeMap<String, Vec<String>> {
    let db = open(store);
    let mut query = db
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '%tillsync%'")
        .unwrap();
    let names: Vec<String> = query.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap();
    names.into_iter().map(|name| (name.clone(), rows(&db, &name))).collect()
}

/// Two stores hold the same rows, value by value.
#[track_caller]
pub fn same(a: &Path, b: &Path) {
    let (left, right) = (content(a), content(b));
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (table, rows) in &left {
        let other = &right[table];
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|row| !those.contains(row)).take(3).map(|row| row.chars().take(300).collect()).collect()
        };
        assert!(
            rows == other,
            "{table}: {} rows against {}\nonly in the first: {:#?}\nonly in the second: {:#?}",
            rows.len(),
            other.len(),
            only(rows, other),
            only(other, rows)
        );
    }
}

/// A number.
#[track_caller]
pub fn count(db: &Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// A text, or nothing when there is no row.
#[track_caller]
pub fn text(db: &Connection, sql: &str) -> String {
    match db.query_row(sql, [], |row| row.get::<_, Option<String>>(0)) {
        Ok(text) => text.unwrap_or_default(),
        Err(rusqlite::Error::QueryReturnedNoRows) => String::new(),
        Err(error) => panic!("{sql}: {error}"),
    }
}
