//! What happened, in single events for the person at the window, and how much of it by the hour.

use rusqlite::{Connection, OptionalExtension, Result};
use tillsync_core::problem::Problem;
use tillsync_core::window::{ACTIVITY_MAX, Activity, HOURS, Happening, Hour};

pub(super) const CREATE: &str = "
CREATE TABLE activity(id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL, entity TEXT,
  title TEXT, problem TEXT);
CREATE TABLE hours(start_ms INTEGER PRIMARY KEY, sent INTEGER NOT NULL, received INTEGER NOT NULL);";

/// Changes of one kind within this time are one event.
const TOGETHER_MS: i64 = 300_000;

const HOUR_MS: i64 = 3_600_000;

/// An event.
pub fn note(conn: &Connection, what: Happening, now: i64) -> Result<()> {
    add(conn, what, 1, None, None, now)
}

/// An event about a row.
pub fn note_row(conn: &Connection, what: Happening, entity: &str, title: &str, now: i64) -> Result<()> {
    add(conn, what, 1, Some((entity, title)), None, now)
}

/// Something worth knowing.
pub fn note_problem(conn: &Connection, problem: &Problem, now: i64) -> Result<()> {
    add(conn, Happening::Problem, 1, None, Some(problem), now)
}

/// Changes that were sent or received.
pub fn count(conn: &Connection, what: Happening, changes: u64, now: i64) -> Result<()> {
    if changes == 0 {
        return Ok(());
    }
    let (sent, received) = if what == Happening::Sent { (changes, 0) } else { (0, changes) };
    conn.prepare_cached(
        "INSERT INTO hours(start_ms, sent, received) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET sent = sent + excluded.sent, received = received + excluded.received",
    )?
    .execute((start_of(now), sent, received))?;
    conn.prepare_cached("DELETE FROM hours WHERE start_ms < ?1")?.execute([start_of(now) - 2 * i64::from(HOURS) * HOUR_MS])?;
    let last: Option<(i64, String, i64)> = conn
        .prepare_cached("SELECT id, what, at_ms FROM activity ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    match last {
        Some((id, kind, at_ms)) if kind == word(what) && (now - at_ms).abs() < TOGETHER_MS => {
            conn.prepare_cached("UPDATE activity SET count = count + ?2 WHERE id = ?1")?.execute((id, changes))?;
            Ok(())
        }
        _ => add(conn, what, changes, None, None, now),
    }
}

/// The latest first.
pub fn list(conn: &Connection) -> Result<Vec<Activity>> {
    let mut query =
        conn.prepare_cached("SELECT id, at_ms, what, count, entity, title, problem FROM activity ORDER BY id DESC LIMIT ?1")?;
    let events = query.query_map([ACTIVITY_MAX], |row| {
        let kind: String = row.get(2)?;
        let problem: Option<String> = row.get(6)?;
        // An event that a newer version noted has a kind that this one does not know.
        let Some(what) = Happening::ALL.into_iter().find(|what| word(*what) == kind) else { return Ok(None) };
        Ok(Some(Activity {
            id: row.get(0)?,
            at_ms: row.get(1)?,
            what,
            count: row.get(3)?,
            entity: row.get(4)?,
            row: row.get(5)?,
            problem: problem.and_then(|json| serde_json::from_str(&json).ok()),
        }))
    })?;
    events.filter_map(Result::transpose).collect()
}

/// The last 24 hours, the oldest first, with those in which nothing happened.
pub fn hours(conn: &Connection, now: i64) -> Result<Vec<Hour>> {
    let first = start_of(now) - (i64::from(HOURS) - 1) * HOUR_MS;
    let mut hours: Vec<Hour> =
        (0..i64::from(HOURS)).map(|place| Hour { start_ms: first + place * HOUR_MS, ..Hour::default() }).collect();
    let mut query = conn.prepare_cached("SELECT start_ms, sent, received FROM hours WHERE start_ms >= ?1")?;
    let known = query.query_map([first], |row| Ok(Hour { start_ms: row.get(0)?, sent: row.get(1)?, received: row.get(2)? }))?;
    for hour in known {
        let hour = hour?;
        if let Some(there) = hours.iter_mut().find(|there| there.start_ms == hour.start_ms) {
            *there = hour;
        }
    }
    Ok(hours)
}

fn add(
    conn: &Connection,
    what: Happening,
    count: u64,
    row: Option<(&str, &str)>,
    problem: Option<&Problem>,
    now: i64,
) -> Result<()> {
    let problem = problem.map(|problem| serde_json::to_string(problem).expect("a problem encodes"));
    conn.prepare_cached("INSERT INTO activity(at_ms, what, count, entity, title, problem) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute((now, word(what), count, row.map(|(entity, _)| entity), row.map(|(_, title)| title), problem))?;
    conn.prepare_cached("DELETE FROM activity WHERE id <= ?1")?.execute([conn.last_insert_rowid() - i64::from(ACTIVITY_MAX)])?;
    Ok(())
}

fn start_of(ms: i64) -> i64 {
    ms - ms.rem_euclid(HOUR_MS)
}

fn word(what: Happening) -> String {
    serde_json::to_value(what).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(CREATE).unwrap();
        conn
    }

    #[test]
    fn changes_of_a_few_minutes_are_one_event() {
        let conn = fresh();
        let now = 100 * HOUR_MS;
        count(&conn, Happening::Sent, 2, now).unwrap();
        count(&conn, Happening::Sent, 3, now + 60_000).unwrap();
        count(&conn, Happening::Sent, 0, now + 90_000).unwrap();
        count(&conn, Happening::Received, 7, now + 120_000).unwrap();
        count(&conn, Happening::Received, 1, now + 120_000 + TOGETHER_MS).unwrap();
        let told: Vec<_> = list(&conn).unwrap().into_iter().map(|event| (event.what, event.count)).collect();
        assert_eq!(told, [(Happening::Received, 1), (Happening::Received, 7), (Happening::Sent, 5)]);
    }

    #[test]
    fn the_chart_has_every_hour_of_the_last_day() {
        let conn = fresh();
        let now = 100 * HOUR_MS + 5;
        count(&conn, Happening::Sent, 2, now - 30 * HOUR_MS).unwrap();
        count(&conn, Happening::Sent, 2, now - 23 * HOUR_MS).unwrap();
        count(&conn, Happening::Received, 4, now).unwrap();
        let hours = hours(&conn, now).unwrap();
        assert_eq!(hours.len(), HOURS as usize);
        assert_eq!((hours[0].sent, hours[0].received, hours[23].start_ms, hours[23].received), (2, 0, 100 * HOUR_MS, 4));
        assert_eq!(hours.iter().map(|hour| hour.sent).sum::<u64>(), 2);
    }

    #[test]
    fn only_the_last_events_are_kept() {
        let conn = fresh();
        for number in 0..i64::from(ACTIVITY_MAX) + 5 {
            note_row(&conn, Happening::Parked, "sales", &number.to_string(), number).unwrap();
        }
        note_problem(&conn, &Problem::store_restored(), 1_000).unwrap();
        let events = list(&conn).unwrap();
        assert_eq!((events.len(), events[0].problem.clone()), (ACTIVITY_MAX as usize, Some(Problem::store_restored())));
        assert_eq!(events[1].row.as_deref(), Some("204"));
        let kept: i64 = conn.query_row("SELECT count(*) FROM activity", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, i64::from(ACTIVITY_MAX));
    }
}
