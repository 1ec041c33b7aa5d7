//! Refill: columns came to a table, and registers that had them before have filled them. The rows are asked for again: what the server
//! holds in the new columns comes into the store, and what the register holds there and the server does not is sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use rusqlite::Transaction;
use tillsync_core::change::Operation;
use tillsync_core::diff::{Added, has_come};
use tillsync_core::kept::{self, COMING, Kept};
use tillsync_core::row::Row;
use tillsync_core::sync::Trouble;
use tillsync_core::value::Value;
use uuid::Uuid;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::clock::now_ms;
use crate::reconcile::read_wired;
use crate::remote::{Answer, Outgoing};
use crate::state::outbox::NOBODYS_MS;
use crate::state::refill::{self, Due};
use crate::state::{inbox, outbox, shadow};
use crate::store::open;
use crate::store::schema::Table;
use crate::upload::record_rows;

/// Rows asked for at a time.
const ROWS_PER_PAGE: usize = 500;

/// A page of rows whose new columns are looked at.
#[derive(Debug)]
pub struct Refill {
    table: String,
    due: Due,
    keys: Vec<String>,
    /// Those of them that come late.
    late: BTreeSet<String>,
}

/// A page to be sent: empty when the server lacks nothing.
pub(crate) type Page = (Refill, Vec<Outgoing>);

/// A row as the server has it.
struct Theirs {
    version: i64,
    row: Row,
    data: String,
}

/// What becomes of the new columns of one row.
#[derive(Default)]
struct Verdicts {
    /// The server's value is to come into the store.
    fill: bool,
    /// The register's value goes to the server.
    send: Vec<String>,
    /// Both have one, and neither is known to be the later.
    disputed: bool,
    /// The columns among those to send that are old ones under a new name.
    renamed: BTreeMap<String, String>,
}

impl Agent {
    /// Looks at the next page of a table to which columns came; `None` when there is none.
    pub(crate) async fn refill(&self, device_id: &str, rows_max: u32) -> Result<Result<Option<Page>, Trouble>, AgentError> {
        let Some((table, due, keys)) = tokio::task::block_in_place(|| self.next_refill(rows_max as usize))? else {
            return Ok(Ok(None));
        };
        let answer = match self.remote.rows(device_id, &table.entity, &keys).await {
            Ok(answer) => answer,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let mut theirs = HashMap::new();
        for row in answer.rows {
            let Some(data) = row.data.map(|data| data.get().to_owned()) else { continue };
            let Ok(parsed) = serde_json::from_str(&data) else { continue };
            theirs.insert(row.entity_id, Theirs { version: row.version, row: parsed, data });
        }
        tokio::task::block_in_place(|| self.look_at_page(&table, due, &keys, &theirs)).map(|page| Ok(Some(page)))
    }

    /// Whether the server is yet to be asked about a table, and may be.
    pub(crate) fn must_refill(&self) -> Result<bool, AgentError> {
        let store = self.store();
        let state = self.state();
        let unasked = refill::unasked(state.conn())?;
        Ok(refill::due(state.conn())?.iter().any(|table| unasked.contains(table) && store.schema.table(table).is_some()))
    }

    /// The next table that is due, and keys of its rows. Tables without rows left are done.
    fn next_refill(&self, rows_max: usize) -> Result<Option<(Table, Due, Vec<String>)>, AgentError> {
        let mut store = self.ready_store()?;
        let state = self.state();
        let rows_max = rows_max.clamp(1, ROWS_PER_PAGE);
        for name in refill::due(state.conn())? {
            let (Some(due), Some(table)) = (refill::get(state.conn(), &name)?, store.schema.table(&name).cloned()) else {
                continue;
            };
            let number = store.entity(&name).number;
            let keys = if due.is_through {
                let mut keys = Vec::new();
                for key in &due.late {
                    if keys.len() < rows_max && !outbox::has_unsent(state.conn(), &name, key)? {
                        keys.push(key.clone());
                    }
                }
                keys
            } else {
                shadow::keys_after(state.conn(), number, due.after.as_deref(), rows_max)?
            };
            if !keys.is_empty() {
                return Ok(Some((table, due, keys)));
            }
            let is_done = refill::finish(state.conn(), &name, &due)?;
            if let Some(entity) = store.entities.get_mut(&name) {
                entity.columns.added = refill::added(state.conn(), &name)?;
            }
            if is_done {
                tracing::info!(table = name, columns = ?due.added.iter().map(|added| &added.name).collect::<Vec<_>>(), "new columns are filled");
            }
        }
        Ok(None)
    }

    fn look_at_page(&self, table: &Table, due: Due, keys: &[String], theirs: &HashMap<String, Theirs>) -> Result<Page, AgentError> {
        let mut store = self.store_to_read();
        self.make_ready(&mut store)?;
        let conn = open::reader(&self.config.store)?;
        let mut state = self.state();
        let tx = state.write()?;
        let (mut outgoing, mut late) = (Vec::new(), BTreeSet::new());
        for key in keys {
            let read = read_wired(&conn, &tx, &store, table, key).map_err(|error| self.store_error(error))?;
            match (read, theirs.get(key)) {
                (Some(here), Some(theirs)) if outbox::has_unsent(&tx, &table.name, key)? => {
                    let verdicts = judge(table, &due.added, &here, &theirs.row);
                    // Where it gives a new column another value than the server has, it was made without knowing that one, and is judged as such.
                    see_added(&tx, &store, table, key, &here, (!verdicts.send.is_empty()).then_some(0))?;
                    if verdicts.fill {
                        late.insert(key.clone());
                    }
                }
                (Some(here), Some(theirs)) => {
                    outgoing.extend(self.look_at_row(&tx, &store, table, &due.added, key, &here, theirs)?);
                }
                (Some(here), None) => see_added(&tx, &store, table, key, &here, None)?,
                (None, _) => {}
            }
        }
        if outgoing.is_empty() {
            refill::advance(&tx, &table.name, &due, keys, &late)?;
        }
        tx.commit()?;
        self.inbox_due.store(true, Ordering::Relaxed);
        Ok((Refill { table: table.name.clone(), due, keys: keys.to_vec(), late }, outgoing))
    }

    #[expect(clippy::too_many_arguments, reason = "both sides of one row, and where it belongs")]
    fn look_at_row(
        &self,
        tx: &Transaction<'_>,
        store: &StoreSide,
        table: &Table,
        added: &[Added],
        key: &str,
        here: &Row,
        theirs: &Theirs,
    ) -> Result<Option<Outgoing>, AgentError> {
        let entity = store.entity(&table.name);
        let Some(Kept::Row(known)) = shadow::get(tx, entity.number, key)? else { return Ok(None) };
        if known.version > theirs.version {
            // A pull was faster than this answer, and brought the row with its new columns.
            return Ok(None);
        }
        // Where a row was received or confirmed with something in the column, changes of it are changes like any other.
        let is_new = |column: &&Added| known.version <= 0 || !has_come(&known, here, column, &entity.columns.prints);
        let added: Vec<Added> = added.iter().filter(is_new).cloned().collect();
        let verdicts = judge(table, &added, here, &theirs.row);
        let is_due = verdicts.fill || !verdicts.send.is_empty();
        // Until then nobody here has seen what the server holds there.
        let version = if is_due { COMING } else { known.version };
        let is_as_before = kept::capture(Some(&Kept::Row(known.clone())), Some(here), &entity.columns).is_none();
        let seen = if is_as_before && verdicts.send.is_empty() {
            Kept::received(Some(here), version, &entity.columns)
        } else {
            // What is sent is seen when it has its verdict; and what else the POS has changed is yet to be captured.
            Kept::Row(tillsync_core::diff::Shadow { version, ..known })
        };
        shadow::put(tx, entity.number, key, &seen)?;
        if verdicts.send.is_empty() {
            if verdicts.fill {
                hold(tx, table, key, theirs)?;
            }
            return Ok(None);
        }
        Ok(Some(Outgoing {
            event_id: Uuid::now_v7(),
            entity: table.name.clone(),
            entity_type: table.entity.clone(),
            key: key.to_owned(),
            operation: Operation::Update,
            data: here.to_json(),
            updated_fields: Some(verdicts.send),
            before: None,
            renamed: verdicts.renamed,
            restored: None,
            base_version: (!verdicts.disputed).then_some(theirs.version),
            at_ms: if verdicts.disputed { NOBODYS_MS } else { self.clock.now_ms() },
        }))
    }
}

impl Refill {
    /// Notes the verdicts; the next page follows.
    pub(crate) fn record(
        &self,
        tx: &Transaction<'_>,
        store: &StoreSide,
        outgoing: &[Outgoing],
        answers: &[Answer],
        now: i64,
    ) -> Result<(), AgentError> {
        for (change, _) in outgoing.iter().zip(answers).filter(|(_, answer)| answer.verdict.is_some()) {
            see_sent(tx, store, change)?;
        }
        if record_rows(tx, store, outgoing, answers, now)? {
            refill::advance(tx, &self.table, &self.due, &self.keys, &self.late)?;
        }
        Ok(())
    }
}

/// What was sent of new columns has its verdict, so that it is no change any more.
fn see_sent(tx: &Transaction<'_>, store: &StoreSide, change: &Outgoing) -> Result<(), AgentError> {
    let entity = store.entity(&change.entity);
    let (Some(kept @ Kept::Row(_)), Ok(row)) =
        (shadow::get(tx, entity.number, &change.key)?, serde_json::from_str::<Row>(&change.data))
    else {
        return Ok(());
    };
    let is_sent = |field: &String| change.updated_fields.as_ref().is_some_and(|sent| sent.contains(field));
    let is_all = kept::capture(Some(&kept), Some(&row), &entity.columns)
        .is_none_or(|found| found.difference.updated_fields.is_some_and(|fields| fields.iter().all(is_sent)));
    if is_all {
        shadow::put(tx, entity.number, &change.key, &Kept::received(Some(&row), kept.version(), &entity.columns))?;
    }
    Ok(())
}

/// Where nothing in a row has changed but that columns came, it was seen with them from now on.
fn see_added(
    tx: &Transaction<'_>,
    store: &StoreSide,
    table: &Table,
    key: &str,
    here: &Row,
    version: Option<i64>,
) -> Result<(), AgentError> {
    let entity = store.entity(&table.name);
    let Some(kept @ Kept::Row(_)) = shadow::get(tx, entity.number, key)? else { return Ok(()) };
    let version = version.unwrap_or(kept.version());
    let is_as_before = kept::capture(Some(&kept), Some(here), &entity.columns).is_none();
    let seen = match kept {
        Kept::Row(known) if !is_as_before => Kept::Row(tillsync_core::diff::Shadow { version, ..known }),
        _ => Kept::received(Some(here), version, &entity.columns),
    };
    Ok(shadow::put(tx, entity.number, key, &seen)?)
}

/// The server's row goes the way of every pulled one, under the rules for what the POS does meanwhile.
fn hold(tx: &Transaction<'_>, table: &Table, key: &str, theirs: &Theirs) -> Result<(), AgentError> {
    let entry = inbox::Entry {
        entity: table.name.clone(),
        key: key.to_owned(),
        change_id: theirs.version,
        operation: Operation::Update,
        data: Some(theirs.data.clone()),
        reason: inbox::Reason::Local,
        detail: None,
    };
    Ok(inbox::hold(tx, &entry, now_ms())?)
}

fn judge(table: &Table, added: &[Added], here: &Row, theirs: &Row) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for column in added {
        let value = here.get(&column.name).unwrap_or(&Value::Null);
        let server = theirs.get(&column.name).filter(|server| !server.is_null());
        let is_unset = column.is_as_it_came(value) || value.is_null();
        match server {
            Some(server) if server == value => {}
            None if is_unset => {}
            Some(_) if is_unset => verdicts.fill = table.direction.pulls(),
            _ if !table.direction.pushes() => verdicts.fill = server.is_some(),
            Some(_) | None => {
                verdicts.disputed |= server.is_some() && column.was.is_none();
                verdicts.send.push(column.name.clone());
                if let Some(old) = &column.was {
                    verdicts.renamed.insert(column.name.clone(), old.clone());
                }
            }
        }
    }
    verdicts
}
