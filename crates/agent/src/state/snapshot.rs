//! How far the fetching of a snapshot has come. It lives in the state, not in the store: what it has passed is in the shadow, and a
//! store that went back in time starts over.

use rusqlite::{Connection, Result};
use serde::{Deserialize, Serialize};

use crate::state::marks;

/// What is left to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The server's epoch when it began.
    pub epoch: String,
    /// The cursor until then: 0, or one that had expired.
    pub from: i64,
    /// The server has forgotten deletes.
    pub is_forgetful: bool,
    /// The server's largest change id when it began; the log goes on from there.
    pub head: i64,
    /// Tables still to fetch, parents before children; the first is in hand.
    pub left: Vec<String>,
    /// The version of the last row fetched of the first table.
    pub after: Option<i64>,
    /// Rows fetched.
    pub done: u64,
    /// Rows in all, as counted at the beginning.
    pub total: u64,
}

impl Progress {
    /// The same after a page of the table in hand that ended with a row of this version, or with the table's last one.
    pub fn past(mut self, rows: usize, last: Option<i64>) -> Self {
        self.done += rows as u64;
        if last.is_none() {
            self.left.remove(0);
        }
        self.after = last;
        self
    }
}

/// What is being fetched. Progress that is not understood, as of another version of this program, is none: it begins anew.
pub fn get(conn: &Connection) -> Result<Option<Progress>> {
    let json: Option<String> = marks::get(conn, marks::SNAPSHOT)?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
}

/// Notes how far it has come.
pub fn set(conn: &Connection, progress: &Progress) -> Result<()> {
    marks::set(conn, marks::SNAPSHOT, serde_json::to_string(progress).expect("a progress encodes"))
}

/// Nothing is being fetched any more.
pub fn clear(conn: &Connection) -> Result<()> {
    marks::clear(conn, marks::SNAPSHOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_that_counts_in_ids_is_none() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(marks::CREATE).unwrap();
        let noted = |after: &str| {
            let json = r#"{"epoch":"e","from":0,"is_forgetful":false,"head":9,"left":["sales"],"after":AFTER,"done":1,"total":2}"#;
            marks::set(&conn, marks::SNAPSHOT, json.replace("AFTER", after)).unwrap();
            get(&conn).unwrap().map(|progress| progress.after)
        };
        assert_eq!(noted("7"), Some(Some(7)));
        assert_eq!(noted(r#""7""#), None);
    }
}
