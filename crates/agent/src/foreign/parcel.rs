//! Changes of the outbox as items of a protocol: several changes of one row become one item, and rows that travel inside others go with those.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, Transaction};
use tillsync_core::change::{Operation, Verdict};
use tillsync_core::key::entity_id;
use tillsync_core::protocol::client::Item;
use tillsync_core::protocol::client::prints::Prints;
use tillsync_core::protocol::mapping::plain_id;
use tillsync_core::protocol::{Entities, Mapping};
use tillsync_core::row::Row;
use tillsync_core::wire::hub::Conflict;

use super::known::{NAME, PARENT, PARTS};
use super::{Foreign, rows};
use crate::agent::{Agent, AgentError, StoreSide};
use crate::reconcile::read_wired;
use crate::remote::{Answer, Outgoing};
use crate::state::told::{self, Told};
use crate::state::{inbox, marks, shadow};
use crate::store::open;
use crate::store::schema::Table;

/// A row that travels inside another.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub table: String,
    pub key: String,
    pub row: Row,
}

/// An item, and whose fate hangs on it.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub item: Item,
    /// The changes of the batch that it covers.
    pub places: Vec<usize>,
    pub table: String,
    pub key: String,
    /// The whole row as it is to be at the server; the key alone for a delete.
    pub row: Row,
    /// Columns as they were before, where their rule merges from there.
    pub before: Row,
    pub parts: Vec<Part>,
    /// Rows of other tables travel inside it.
    pub is_nested: bool,
    /// Those of its places that are about this row itself.
    pub own: Vec<usize>,
    pub told: Told,
    /// The row holds what others changed, which the register does not have yet.
    pub merged: bool,
    pub conflict: Option<Box<Conflict>>,
    /// The server wanted it in its other form.
    pub in_other_form: bool,
    /// So often it was put together anew with what the server has.
    pub again: u8,
}

/// What is to be sent, and what has its answer already.
pub(super) struct Prepared {
    pub answers: Vec<Option<Answer>>,
    pub parcels: Vec<Parcel>,
    /// What others did to a row of the batch is on its way into the store.
    pub is_later: bool,
}

/// A change before it is known what the server knows of its row.
struct Draft {
    places: Vec<usize>,
    table: String,
    key: String,
    operation: Operation,
    row: Row,
    before: Row,
    updated_fields: Option<Vec<String>>,
    /// Its row is read from the store, with those inside it.
    is_nested: bool,
}

impl Agent {
    /// Gets a batch ready for the server.
    pub(super) fn prepare(&self, foreign: &Foreign, batch: &[Outgoing]) -> Result<Prepared, AgentError> {
        let store = self.store_to_read();
        let entities = foreign.entities(&store.schema);
        let needs_store = entities.values().any(|entity| !entity.children.is_empty());
        let conn = needs_store.then(|| open::reader(&self.config.store)).transpose()?;
        let mut state = self.state();
        let tx = state.write()?;
        let mut prepared = Prepared { answers: vec![None; batch.len()], parcels: Vec::new(), is_later: false };
        for draft in drafts(&tx, &entities, batch)? {
            let Some(parcel) =
                self.parcel(&tx, conn.as_ref(), (&store, foreign), &entities, batch, draft, &mut prepared.answers)?
            else {
                continue;
            };
            if let Some(answers) = self.known_already(&tx, foreign, &parcel, batch)? {
                answers.into_iter().for_each(|(place, answer)| prepared.answers[place] = Some(answer));
                continue;
            }
            if is_coming(&tx, &store, &parcel)? {
                prepared.is_later = true;
                continue;
            }
            match self.beside_waiting(&tx, foreign, &entities, &store, parcel)? {
                Ok(parcel) => prepared.parcels.push(parcel),
                Err(answers) => answers.into_iter().for_each(|(place, answer)| prepared.answers[place] = Some(answer)),
            }
        }
        tx.commit()?;
        Ok(prepared)
    }

    #[allow(clippy::too_many_arguments, reason = "one draft becomes one parcel, and this is the only place that knows how")]
    fn parcel(
        &self,
        tx: &Transaction<'_>,
        conn: Option<&Connection>,
        (store, foreign): (&StoreSide, &Foreign),
        entities: &Entities,
        batch: &[Outgoing],
        draft: Draft,
        answers: &mut [Option<Answer>],
    ) -> Result<Option<Parcel>, AgentError> {
        let Some(table) = store.schema.table(&draft.table) else { return Ok(None) };
        let (mut row, mut parts) = (draft.row, Vec::new());
        if let (true, Some(conn)) = (draft.is_nested && draft.operation != Operation::Delete, conn) {
            let read = read_wired(conn, tx, store, table, &draft.key).map_err(|error| self.store_error(error))?;
            let Some(read) = read else {
                // It is gone by now, and its delete tells more.
                let version = told::next(tx)?;
                for place in draft.places {
                    answers[place] = Some(Answer { version: Some(version), ..Answer::only(Some(Verdict::Applied), None) });
                }
                return Ok(None);
            };
            row = read;
            let mapping = Mapping::of_table(entities, &table.name);
            for (_, child) in mapping.children() {
                let Some(child_table) = store.schema.table(&child.table) else { continue };
                let found = rows::children(conn, tx, store, (child_table, &child.parent), (table, &draft.key));
                let found = found.map_err(|error| self.store_error(error))?;
                parts.extend(found.into_iter().map(|(key, row)| Part { table: child.table.clone(), key, row }));
            }
        }
        let told = told::get(tx, &table.name, &draft.key)?.unwrap_or_default();
        let last = &batch[*draft.places.last().expect("a draft is of at least one change")];
        let id = told.about.get(NAME).cloned().unwrap_or_else(|| plain_id(&draft.key));
        let mapping = Mapping::of_table(entities, &table.name);
        let item = Item {
            entity: mapping.name.to_owned(),
            id,
            object: tillsync_core::protocol::Object::new(),
            // What the server does not know cannot be updated there.
            operation: match draft.operation {
                Operation::Update if told.version == 0 || told.gone => Operation::Create,
                Operation::Create if told.version > 0 && !told.gone => Operation::Update,
                operation => operation,
            },
            event_id: last.event_id,
            at_ms: last.at_ms,
            updated_fields: draft.updated_fields.map(|fields| {
                let inside = mapping.children().map(|(field, _)| field.to_owned());
                mapping.fields(&fields).into_iter().chain(inside).collect()
            }),
            known: told.about.clone(),
            again: foreign.other_form.load(Ordering::Relaxed),
        };
        let is_own = |place: &&usize| batch[**place].entity == draft.table && batch[**place].key == draft.key;
        let own = draft.places.iter().filter(is_own).copied().collect();
        let (places, table_name) = (draft.places, table.name.clone());
        let mut parcel = Parcel {
            item,
            places,
            table: table_name,
            key: draft.key,
            row,
            before: draft.before,
            parts,
            is_nested: draft.is_nested,
            own,
            told,
            merged: false,
            conflict: None,
            in_other_form: false,
            again: 0,
        };
        parcel.encode(tx, entities, table)?;
        Ok(Some(parcel))
    }

    /// Whether there is nothing to send: the server is known to have it, or the protocol has no words for it.
    fn known_already(
        &self,
        tx: &Transaction<'_>,
        foreign: &Foreign,
        parcel: &Parcel,
        batch: &[Outgoing],
    ) -> Result<Option<Vec<(usize, Answer)>>, AgentError> {
        let all = |answer: Answer| Some(parcel.places.iter().map(|place| (*place, answer.clone())).collect());
        let Parcel { told, item, .. } = parcel;
        if foreign.facts.entities.is_some_and(|carried| !carried.contains(&item.entity.as_str())) {
            let why =
                format!("{} carries {} only; leave the table out with exclude_tables", foreign.facts.name, carried_by(foreign));
            return Ok(all(Answer::only(Some(Verdict::Rejected), Some(why))));
        }
        if item.operation == Operation::Delete && !foreign.facts.tells_deletes {
            let version = told::next(tx)?;
            told::put(tx, &parcel.table, &parcel.key, &Told { version, gone: true, prints: Prints::default(), ..told.clone() })?;
            marks::add(tx, marks::DELETES_KEPT, 1)?;
            return Ok(all(Answer { version: Some(version), ..Answer::only(Some(Verdict::Applied), None) }));
        }
        let is_known =
            item.operation != Operation::Delete && told.version > 0 && !told.gone && told.prints == Prints::of(&parcel.row);
        let waiting = inbox::version(tx, &parcel.table, &parcel.key)?;
        if !is_known || waiting.is_some_and(|waiting| waiting != told.version) {
            return Ok(None);
        }
        let Some(versions) = known_parts(tx, parcel)? else { return Ok(None) };
        let answers = parcel.places.iter().map(|place| {
            let part = parcel.parts.iter().position(|part| part.table == batch[*place].entity && part.key == batch[*place].key);
            let version = part.map_or(told.version, |part| versions[part]);
            (*place, Answer { version: Some(version), ..Answer::only(Some(Verdict::Duplicate), None) })
        });
        Ok(Some(answers.collect()))
    }
}

/// The versions of the rows inside a row, if the server has exactly those.
fn known_parts(tx: &Transaction<'_>, parcel: &Parcel) -> Result<Option<Vec<i64>>, AgentError> {
    let count = parcel.told.about.get(PARTS).and_then(serde_json::Value::as_u64);
    if parcel.is_nested && count != Some(parcel.parts.len() as u64) {
        return Ok(None);
    }
    let mut versions = Vec::with_capacity(parcel.parts.len());
    for part in &parcel.parts {
        let told = told::get(tx, &part.table, &part.key)?.unwrap_or_default();
        if told.version == 0 || told.gone || told.prints != Prints::of(&part.row) {
            return Ok(None);
        }
        versions.push(told.version);
    }
    Ok(Some(versions))
}

/// Whether a change by others was fetched that is neither in the store yet nor waits in the inbox.
fn is_coming(tx: &Transaction<'_>, store: &StoreSide, parcel: &Parcel) -> Result<bool, AgentError> {
    let passed: i64 = marks::get(tx, marks::CURSOR)?.unwrap_or(0);
    let is_on_its_way = |table: &str, key: &str, version: i64| -> Result<bool, AgentError> {
        let Some(entity) = store.entities.get(table).filter(|_| version > passed) else { return Ok(false) };
        let kept = shadow::get(tx, entity.number, key)?.map_or(0, |kept| kept.version());
        Ok(version > kept && !inbox::holds(tx, table, key, version)?)
    };
    for part in &parcel.parts {
        let version = told::get(tx, &part.table, &part.key)?.map_or(0, |told| told.version);
        if is_on_its_way(&part.table, &part.key, version)? {
            return Ok(true);
        }
    }
    is_on_its_way(&parcel.table, &parcel.key, parcel.told.version)
}

fn carried_by(foreign: &Foreign) -> String {
    foreign.facts.entities.unwrap_or_default().join(" and ")
}

impl Parcel {
    /// Writes the row in the protocol's words.
    pub fn encode(&mut self, conn: &Connection, entities: &Entities, table: &Table) -> Result<(), AgentError> {
        let mapping = Mapping::of_table(entities, &self.table);
        let mut row = self.row.clone();
        rows::refer(table, &mut row, |parent, id| {
            let known = told::get(conn, parent, id)?;
            Ok(known.and_then(|told| told.about.get(NAME).map(tillsync_core::protocol::client::text)))
        })?;
        let lists = mapping.children().map(|(field, child)| {
            let inside = self.parts.iter().filter(|part| part.table == child.table);
            (field, inside.map(|part| part.row.clone()).collect::<Vec<_>>())
        });
        let lists: Vec<(&str, Vec<Row>)> = if self.item.operation == Operation::Delete { Vec::new() } else { lists.collect() };
        self.item.object = mapping.encode(&self.key, &row, &lists);
        if self.told.about.contains_key(NAME) {
            self.item.object.insert("id".to_owned(), self.item.id.clone());
        }
        Ok(())
    }

    /// About as many bytes as it takes.
    pub fn bytes(&self) -> usize {
        serde_json::to_string(&self.item.object).map_or(0, |json| json.len()) + 300
    }
}

/// One draft per row, in the order of the batch: the last change says how the row is, and a delete goes where it stands.
fn drafts(conn: &Connection, entities: &Entities, batch: &[Outgoing]) -> Result<Vec<Draft>, AgentError> {
    let mut drafts: Vec<Option<Draft>> = Vec::new();
    let mut open: HashMap<(String, String), usize> = HashMap::new();
    for (place, change) in batch.iter().enumerate() {
        let row: Row = serde_json::from_str(&change.data).unwrap_or_default();
        let before = change.before.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let mut draft = Draft {
            places: vec![place],
            table: change.entity.clone(),
            key: change.key.clone(),
            operation: change.operation,
            before,
            updated_fields: change.updated_fields.clone().filter(|_| change.operation == Operation::Update),
            is_nested: Mapping::of_table(entities, &change.entity).children().next().is_some(),
            row,
        };
        if let Some((parent, child)) = Mapping::parent_of(entities, &change.entity) {
            let named = draft.row.get(&child.parent).filter(|value| !value.is_null());
            let named = named.map(|value| entity_id(std::slice::from_ref(value)));
            let kept = || -> Result<Option<String>, AgentError> {
                let told = told::get(conn, &change.entity, &change.key)?;
                Ok(told.and_then(|told| told.about.get(PARENT)?.as_str().map(str::to_owned)))
            };
            let Some(key) = named.map_or_else(kept, |key| Ok(Some(key)))? else {
                // Nobody ever heard of it.
                drafts.push(Some(draft));
                continue;
            };
            let table = parent.table().to_owned();
            // Of the row itself nothing has changed.
            draft = Draft { table, key, operation: Operation::Update, updated_fields: Some(Vec::new()), is_nested: true, ..draft };
        }
        let name = (draft.table.clone(), draft.key.clone());
        let earlier = open.get(&name).and_then(|place| drafts[*place].take().map(|draft| (*place, draft)));
        match earlier {
            None => {
                open.insert(name, drafts.len());
                drafts.push(Some(draft));
            }
            Some((at, earlier)) => {
                let is_delete = draft.operation == Operation::Delete;
                let draft = earlier.followed_by(draft);
                if is_delete {
                    open.insert(name, drafts.len());
                    drafts.push(Some(draft));
                } else {
                    drafts[at] = Some(draft);
                }
            }
        }
    }
    Ok(drafts.into_iter().flatten().collect())
}

impl Draft {
    fn followed_by(mut self, later: Self) -> Self {
        self.places.extend(later.places);
        let updated_fields = match (self.operation, later.operation, self.updated_fields, later.updated_fields) {
            (Operation::Update, Operation::Update, Some(mut fields), Some(more)) => {
                fields.extend(more.into_iter().filter(|name| !fields.contains(name)).collect::<Vec<_>>());
                Some(fields)
            }
            _ => None,
        };
        let mut before = later.before;
        self.before.iter().for_each(|(name, value)| before.set(name, value.clone()));
        let operation = match (self.operation, later.operation) {
            (Operation::Create, Operation::Update) => Operation::Create,
            (_, later) => later,
        };
        Self { operation, updated_fields, before, row: later.row, ..self }
    }
}
