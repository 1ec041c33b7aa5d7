//! Tables to which columns came that other registers may have had before, and how far their rows have been asked for again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

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
    /// All rows were asked for; what is left are those that come late.
    #[serde(default)]
    pub is_through: bool,
    /// Rows that lack what the server has and had unsent changes: they are asked for once more when those are sent.
    #[serde(default)]
    pub late: BTreeSet<String>,
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
        all.insert(table.to_owned(), Due { added, ..Due::default() });
    }
    write(conn, &all)
}

/// What came to a table and is not settled yet.
pub fn added(conn: &Connection, table: &str) -> Result<Vec<Added>> {
    Ok(read(conn)?.remove(table).unwrap_or_default().added)
}

/// The tables whose turn it is: those whose first full sync is over.
pub fn due(conn: &Connection) -> Result<Vec<String>> {
    let mut due = Vec::new();
    for table in read(conn)?.into_keys() {
        if upload::is_finished(conn, &table)? {
            due.push(table);
        }
    }
    Ok(due)
}

/// The tables of which the server is yet to be asked what it holds in columns that came.
pub fn unasked(conn: &Connection) -> Result<HashSet<String>> {
    Ok(read(conn)?.into_iter().filter(|(_, due)| !due.is_through).map(|(table, _)| table).collect())
}

/// What is due of a table.
pub fn get(conn: &Connection, table: &str) -> Result<Option<Due>> {
    Ok(read(conn)?.remove(table))
}

/// These rows are done but for those that come late, unless something else is due by now.
pub fn advance(conn: &Connection, table: &str, before: &Due, keys: &[String], late: &BTreeSet<String>) -> Result<()> {
    let mut all = read(conn)?;
    if let Some(due) = all.get_mut(table).filter(|due| *due == before) {
        if due.is_through {
            due.late.retain(|key| !keys.contains(key));
        } else if let Some(last) = keys.last() {
            due.after = Some(last.clone());
        }
        due.late.extend(late.iter().cloned());
        write(conn, &all)?;
    }
    Ok(())
}

/// No row of the table is left to ask for, now or at all, unless something else is due by now. Says whether it is done.
pub fn finish(conn: &Connection, table: &str, before: &Due) -> Result<bool> {
    let mut all = read(conn)?;
    let Some(due) = all.get_mut(table).filter(|due| *due == before) else { return Ok(false) };
    let is_done = due.late.is_empty();
    due.is_through = true;
    if is_done {
        all.remove(table);
    }
    write(conn, &all)?;
    Ok(is_done)
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
        let (page, late) = (["7".to_owned()], BTreeSet::from(["6".to_owned()]));
        advance(&conn, "t", &due, &page, &late).unwrap();
        assert!(!finish(&conn, "t", &due).unwrap(), "it was about another state of things");
        let due = Due { after: Some("7".to_owned()), late, ..due };
        assert!(!finish(&conn, "t", &due).unwrap() && unasked(&conn).unwrap().is_empty());
        let due = Due { is_through: true, ..due };
        advance(&conn, "t", &due, &["6".to_owned()], &BTreeSet::new()).unwrap();
        assert!(finish(&conn, "t", &Due { late: BTreeSet::new(), ..due }).unwrap());
        assert!(get(&conn, "t").unwrap().is_none());
    }
}
