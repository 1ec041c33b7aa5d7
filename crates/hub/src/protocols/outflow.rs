//! Telling rows, whatever protocol asks: rows of other tables travel inside their parent where the settings say so.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tillsync_core::key;
use tillsync_core::protocol::{Mapping, Object, Settings, auraflow};
use tillsync_core::row::Row;

use crate::database::clients::{ChildrenQuery, Written};
use crate::hub::Hub;
use crate::refusal::Refusal;

/// A row as a client is told of it.
pub(crate) struct Told {
    /// What the protocol calls its kind.
    pub entity: String,
    /// Its fields; of a row that is gone as it was before, as far as that is known.
    pub object: Object,
    /// What the hub knows of it. Its version is that of the change for which it is told.
    pub written: Written,
}

impl Told {
    /// Whether the row is gone.
    pub(crate) fn is_deleted(&self) -> bool {
        self.written.row.is_none()
    }
}

/// The tables of some entities, and of the rows that travel inside theirs.
pub(crate) fn tables_of<'a>(settings: &Settings, entities: impl IntoIterator<Item = &'a str>) -> HashSet<String> {
    let mut tables = HashSet::new();
    for entity in entities {
        let mapping = Mapping::of_entity(&settings.entities, entity);
        tables.insert(mapping.table().to_owned());
        tables.extend(mapping.children().map(|(_, child)| child.table.clone()));
    }
    tables
}

/// Rows as the protocol shows them, in the order of the changes for which they are told.
pub(crate) async fn tell(hub: &Hub, settings: &Settings, rows: Vec<Written>) -> Result<Vec<Told>, Refusal> {
    let own: BTreeSet<(String, String)> = rows.iter().map(|row| (row.table.clone(), row.id.clone())).collect();
    let mut parents: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut wanted = Vec::new();
    for row in rows {
        match parent_of(settings, &row) {
            None => wanted.push(row),
            Some(parent) if own.contains(&parent) => {}
            Some(parent) => {
                let version = parents.entry(parent).or_default();
                *version = row.version.max(*version);
            }
        }
    }
    for ((table, id), version) in parents {
        let found = hub.database().named_rows(&table, vec![id]).await?;
        wanted.extend(found.into_iter().filter(|row| row.row.is_some()).map(|row| Written { version, ..row }));
    }
    wanted.sort_by_key(|row| row.version);
    let mut told = Vec::with_capacity(wanted.len());
    for written in wanted {
        let (entity, object) = object_of(hub, settings, &written).await?;
        told.push(Told { entity, object, written });
    }
    Ok(told)
}

/// One row as the protocol shows it.
pub(crate) async fn object_of(hub: &Hub, settings: &Settings, written: &Written) -> Result<(String, Object), Refusal> {
    let nothing = Row::default();
    let row = written.row.as_ref().or(written.before.as_ref()).unwrap_or(&nothing);
    encode(hub, settings, &written.table, &written.id, row).await
}

/// A row with what belongs into it.
pub(crate) async fn encode(hub: &Hub, settings: &Settings, table: &str, id: &str, row: &Row) -> Result<(String, Object), Refusal> {
    let mapping = Mapping::of_table(&settings.entities, table);
    let mut parts = Vec::new();
    for (field, child) in mapping.children() {
        let query = ChildrenQuery { table: child.table.clone(), column: child.parent.clone(), parent: auraflow::key_of(id) };
        let rows: Vec<Row> = hub.database().children(query).await?.into_iter().map(|part| part.row).collect();
        parts.push((field, rows));
    }
    Ok((mapping.name.to_owned(), mapping.encode(id, row, &parts)))
}

/// The row inside which a row travels.
fn parent_of(settings: &Settings, row: &Written) -> Option<(String, String)> {
    let (mapping, child) = Mapping::parent_of(&settings.entities, &row.table)?;
    let value = row.row.as_ref().or(row.before.as_ref())?.get(&child.parent)?;
    Some((mapping.table().to_owned(), key::entity_id(std::slice::from_ref(value))))
}
