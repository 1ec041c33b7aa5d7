//! Tables to which columns came that other registers may have had before, and how far their rows have been asked for again.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, Result};
use serde::{Deserialize, Serialize};
use tillsync_core::diff::Added;

use crate::state::{marks, upload};

/// What is due of a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Due {
    /// The columns.
    pub added: Vec<Added>,
    /// Rows up to this id are done.
    pub after: Option<String>,
}

fn read(conn: &Connection) -> Result<BTreeMap<String, Due>> {
    let known: Option<String> = marks::get(conn, marks::REFILL)?;
    Ok(known.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

fn write(conn: &Connection, due: &BTreeMap<String, Due>) -> Result<()> {
    if due.is_empty() {
        return marks::clear(conn, marks::REFILL);
    }
    marks::set(conn, marks::REFILL, serde_json::to_string(due).expect("names and values encode"))
}

/// Columns came to a table, and `present` are all that it has now: it begins again.
pub fn add(conn: &Connection, table: &str, mut added: Vec<Added>, present: &[String]) -> Result<()> {
    let mut all = read(conn)?;
    let mut before = all.remove(table).unwrap_or_default().added;
    for column in &mut added {
        // A column that is renamed again is still the one that rows were seen with.
        if let Some(earlier) = before.iter().find(|earlier| column.was.as_ref() == Some(&earlier.name)) {
            (column.was, column.default) = (earlier.was.clone(), earlier.default.clone());
        }
    }
    before.retain(|earlier| present.contains(&earlier.name) && !added.iter().any(|column| column.name == earlier.name));
    added.extend(before);
    if !added.is_empty() {
        all.insert(table.to_owned(), Due { added, after: None });
    }
    write(conn, &all)
}

/// What came to a table and is not settled yet.
pub fn added(conn: &Connection, table: &str) -> Result<Vec<Added>> {
    Ok(read(conn)?.remove(table).unwrap_or_default().added)
}

/// The tables whose turn it is: those whose first full sync is over.
pub fn due(conn: &Connection) -> Result<HashSet<String>> {
    let mut due = HashSet::new();
    for table in read(conn)?.into_keys() {
        if upload::is_finished(conn, &table)? {
            due.insert(table);
        }
    }
    Ok(due)
}

/// What is due of a table.
pub fn get(conn: &Connection, table: &str) -> Result<Option<Due>> {
    Ok(read(conn)?.remove(table))
}

/// Rows up to this id are done, unless something else is due by now.
pub fn advance(conn: &Connection, table: &str, before: &Due, after: &str) -> Result<()> {
    let mut all = read(conn)?;
    if let Some(due) = all.get_mut(table).filter(|due| *due == before) {
        due.after = Some(after.to_owned());
        write(conn, &all)?;
    }
    Ok(())
}

/// The table is done, unless something else is due by now.
pub fn finish(conn: &Connection, table: &str, before: &Due) -> Result<()> {
    let mut all = read(conn)?;
    if all.get(table) == Some(before) {
        all.remove(table);
        write(conn, &all)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_renamed_twice_is_still_the_first_one() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(marks::CREATE).unwrap();
        let column = |name: &str, was: Option<&str>| Added {
            name: name.to_owned(),
            default: tillsync_core::value::Value::Null,
            was: was.map(str::to_owned),
        };
        let present = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        add(&conn, "t", vec![column("b", Some("a")), column("new", None)], &present(&["b", "new"])).unwrap();
        add(&conn, "t", vec![column("c", Some("b"))], &present(&["c", "new"])).unwrap();
        assert_eq!(added(&conn, "t").unwrap(), [column("c", Some("a")), column("new", None)]);
        let due = get(&conn, "t").unwrap().unwrap();
        advance(&conn, "t", &due, "7").unwrap();
        finish(&conn, "t", &due).unwrap();
        assert!(get(&conn, "t").unwrap().is_some(), "it was about another state of things");
        finish(&conn, "t", &Due { after: Some("7".to_owned()), ..due }).unwrap();
        assert!(get(&conn, "t").unwrap().is_none());
    }
}
