//! Taking changes in, whatever protocol they came by: values get the form that the row has, rows inside rows become rows of their own table, and all
//! goes to the log in one transaction.

use std::collections::{BTreeSet, HashMap};

use serde_json::value::RawValue;
use tillsync_core::change::{Operation, Verdict};
use tillsync_core::policy::Policies;
use tillsync_core::protocol::mapping::PartList;
use tillsync_core::protocol::{Said, parts, plain};
use tillsync_core::row::Row;
use tillsync_core::wire::hub::{PUSH_CHANGES_MAX, PushChange, PushResult};
use uuid::Uuid;

use super::Served;
use super::access::Client;
use crate::database::clients::{ChildrenQuery, Part, Written};
use crate::database::{Batch, Extra};
use crate::hub::{Hub, Options};
use crate::refusal::Refusal;

/// Rows are looked up so many at once.
const NAMED_MAX: usize = 1000;

/// Where changes go.
pub(crate) struct Intake<'a> {
    pub hub: &'a Hub,
    pub served: &'a Served,
    pub options: &'a Options,
    pub client: &'a Client,
    /// What must be added to the client's times to get this hub's, milliseconds.
    pub skew_ms: i64,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// A change and the client's own number of it.
pub(crate) struct Numbered {
    pub said: Said,
    pub number: String,
}

/// What became of a change.
pub(crate) struct Stored {
    /// The verdict.
    pub result: PushResult,
}

impl Stored {
    /// Whether the hub's values stayed where the client's were others, or nothing was stored.
    pub(crate) fn is_overruled(&self) -> bool {
        let kept_ours = |conflict: &tillsync_core::wire::hub::Conflict| conflict.resolution != "client-wins";
        match self.result.status {
            Verdict::Applied | Verdict::Duplicate => false,
            Verdict::Merged => self.result.conflict.as_deref().is_some_and(kept_ours),
            Verdict::Conflict | Verdict::Rejected => true,
        }
    }

    /// Why nothing was stored, where the change itself is wrong.
    pub(crate) fn refusal(&self) -> Option<&str> {
        (self.result.status == Verdict::Rejected).then(|| self.result.error.as_deref().unwrap_or("refused"))
    }

    /// The row as the hub has it now; `None` when it is gone there.
    pub(crate) fn server_row(&self) -> Option<Row> {
        let data = self.result.server_data.as_deref()?;
        serde_json::from_str(data.get()).ok()
    }
}

impl Intake<'_> {
    /// Stores all of it, or nothing; gives one answer per change, in their order.
    pub(crate) async fn store(&self, said: Vec<Numbered>) -> Result<Vec<Stored>, Refusal> {
        let batch = self.prepare(&said).await?;
        let outcome = self.hub.database().push(batch).await?;
        let (stored, refused) = outcome.results.iter().fold((0, 0), |(stored, refused), result| match result.status {
            Verdict::Conflict | Verdict::Rejected => (stored, refused + 1),
            Verdict::Applied | Verdict::Duplicate | Verdict::Merged => (stored + 1, refused),
        });
        tracing::info!(protocol = self.served.name, device = self.client.device_id, stored, refused, "push");
        Ok(outcome.results.into_iter().take(said.len()).map(|result| Stored { result }).collect())
    }

    /// The same as a batch that is yet to be pushed.
    pub(crate) async fn prepare(&self, said: &[Numbered]) -> Result<Batch, Refusal> {
        let known = self.known(said).await?;
        self.batch(said, &known).await
    }

    async fn known(&self, said: &[Numbered]) -> Result<HashMap<(String, String), Written>, Refusal> {
        if said.len() > PUSH_CHANGES_MAX {
            return Err(Refusal::too_large(format!("a request carries at most {PUSH_CHANGES_MAX} changes: send fewer at once")));
        }
        let mut wanted: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        for Numbered { said, .. } in said {
            wanted.entry(&said.table).or_default().insert(&said.id);
        }
        let mut known = HashMap::new();
        for (table, ids) in wanted {
            let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
            for some in ids.chunks(NAMED_MAX) {
                for row in self.hub.database().named_rows(table, some.to_vec()).await? {
                    known.insert((row.table.clone(), row.id.clone()), row);
                }
            }
        }
        Ok(known)
    }

    async fn batch(&self, said: &[Numbered], known: &HashMap<(String, String), Written>) -> Result<Batch, Refusal> {
        let Self { hub, client, skew_ms, now_ms, .. } = *self;
        let seen = hub.database().progress(&client.device_id).await?.cursor;
        let (mut changes, mut extras) = (Vec::with_capacity(said.len()), Vec::with_capacity(said.len()));
        for (place, Numbered { said, number }) in said.iter().enumerate() {
            let event_id = said.event_id(&client.device_id, number);
            let mut row = said.row.clone();
            if let Some(before) =
                known.get(&(said.table.clone(), said.id.clone())).and_then(|known| known.row.as_ref().or(known.before.as_ref()))
            {
                plain::fit(&mut row, before);
            }
            changes.push(self.change(place, &said.table, &said.id, said.operation, &row, event_id, said));
            extras.push(Extra { part_of: None, sync_version: said.sync_version, known_mark: said.known_hash.clone() });
        }
        for (place, Numbered { said, number }) in said.iter().enumerate() {
            let event_id = said.event_id(&client.device_id, number);
            for list in &said.parts {
                for (id, row) in self.parts(said, list, seen).await? {
                    let operation = if row.is_some() { Operation::Update } else { Operation::Delete };
                    let row = row.unwrap_or_default();
                    let name = format!("{}\0{id}\0{}", list.child.table, row.to_json());
                    let part_event = Uuid::new_v5(&event_id, name.as_bytes());
                    changes.push(self.change(changes.len(), &list.child.table, &id, operation, &row, part_event, said));
                    extras.push(Extra { part_of: Some(place), ..Extra::default() });
                }
            }
        }
        for (place, change) in changes.iter_mut().enumerate().take(said.len()) {
            change.updated_fields = said[place].said.updated_fields.clone();
        }
        let policies = self.policies(&changes);
        let device_id = client.device_id.clone();
        Ok(Batch { device_id, changes, extras, policies, skew_ms, now_ms, by_time: true, ..Batch::default() })
    }

    fn policies(&self, changes: &[PushChange]) -> Policies {
        let tables: BTreeSet<&str> = changes.iter().map(|change| change.entity_type.as_str()).collect();
        let settings = &self.served.settings;
        let merging = |table: &str| self.options.policies.get(table).cloned().unwrap_or_else(|| settings.merging(table));
        tables.into_iter().map(|table| (table.to_owned(), merging(table))).collect()
    }

    /// The rows inside a row: those that are there, and those that are gone. Nobody can have taken out what it never saw.
    async fn parts(&self, said: &Said, list: &PartList, seen: i64) -> Result<Vec<(String, Option<Row>)>, Refusal> {
        let parent = tillsync_core::protocol::auraflow::key_of(&said.id);
        let query = ChildrenQuery { table: list.child.table.clone(), column: list.child.parent.clone(), parent: parent.clone() };
        let known: Vec<Part> = self.hub.database().children(query).await?;
        let has_seen = |part: &Part| part.version <= seen || part.device_id == self.client.device_id;
        let seen: BTreeSet<String> = known.iter().filter(|part| has_seen(part)).map(|part| part.id.clone()).collect();
        let known: Vec<(String, Row)> = known.into_iter().map(|part| (part.id, part.row)).collect();
        let settled = parts::settle(list, &parent, &said.id, &known);
        let rows = settled.rows.into_iter().map(|(id, row)| (id, Some(row)));
        Ok(rows.chain(settled.removed.into_iter().filter(|id| seen.contains(id)).map(|id| (id, None))).collect())
    }

    #[allow(clippy::too_many_arguments, reason = "a change has many parts, and this is the only place that puts them together")]
    fn change(
        &self,
        place: usize,
        table: &str,
        id: &str,
        operation: Operation,
        row: &Row,
        event_id: Uuid,
        said: &Said,
    ) -> PushChange {
        let data = (operation != Operation::Delete).then(|| RawValue::from_string(row.to_json()).ok()).flatten();
        PushChange {
            id: i64::try_from(place).unwrap_or(i64::MAX),
            operation,
            entity_type: table.to_owned(),
            entity_id: id.to_owned(),
            timestamp: said.at_ms.unwrap_or(self.now_ms.saturating_sub(self.skew_ms)),
            data,
            event_id: Some(event_id),
            base_version: None,
            updated_fields: None,
            base: None,
            renamed: std::collections::BTreeMap::new(),
            restored: None,
        }
    }
}
