//! The simulated hub's conflict log, and what persons decide about it.

use std::collections::BTreeSet;

use tillsync_core::change::Operation;
use tillsync_core::merge::{Dispute, Head};
use tillsync_core::resolve::{Contested, resolve};
use tillsync_core::row::Row;
use tillsync_core::wire::hub::Resolution;

use super::hub::{Entry, Hub, Outgoing};
use super::ledger::facts;
use super::shop::{Key, Shop};
use super::state::EventId;

/// How an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A person has to decide.
    Pending,
    /// A rule decided.
    Automatic,
    /// A person has decided; whether it was pending before.
    Decided { was_pending: bool },
}

/// An entry of the conflict log.
#[derive(Clone, Debug)]
pub struct Noted {
    /// Its number, counted from 1.
    pub id: i64,
    pub device: usize,
    pub event: EventId,
    pub key: Key,
    pub operation: Operation,
    pub client: Row,
    pub updated_fields: Option<Vec<String>>,
    pub base_version: Option<i64>,
    /// Columns as the client saw them before its change.
    pub before: Row,
    pub server: Option<Row>,
    pub server_device: Option<String>,
    pub disputes: Vec<Dispute>,
    pub standing: Standing,
}

/// A person's decision.
#[derive(Clone, Debug)]
pub struct Wish {
    pub conflict: i64,
    pub device: usize,
    pub resolution: Resolution,
    /// The version of the row that the person saw, and the row.
    pub base_version: i64,
    pub seen: Option<Row>,
    /// For [`Resolution::Merged`].
    pub columns: Row,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is carried out: the row's version, and the row.
    Resolved(i64, Option<Row>),
    RowChanged,
    AlreadyResolved,
    Impossible,
    /// It did not reach the hub.
    Unheard,
}

impl Outcome {
    /// A name for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Resolved(..) => "a person decides",
            Self::RowChanged => "a person decides too late: the row has moved",
            Self::AlreadyResolved => "a person decides too late: somebody else was first",
            Self::Impossible => "a person decides what makes no sense",
            Self::Unheard => "a person decides and the hub does not hear it",
        }
    }
}

impl Noted {
    /// Whether a person has to decide.
    pub fn is_pending(&self) -> bool {
        self.standing == Standing::Pending
    }

    /// Whether nothing of the change was stored, so that the log alone has it, or had it until a person decided.
    fn was_pending(&self) -> bool {
        matches!(self.standing, Standing::Pending | Standing::Decided { was_pending: true })
    }

    /// The values that the log keeps because of this entry: those of columns that it is about, and no others.
    pub fn values(&self, shop: &Shop) -> BTreeSet<i64> {
        let disputed = |column: &str| self.disputes.iter().any(|dispute| dispute.column == column);
        let changed = |column: &str| self.updated_fields.as_ref().is_none_or(|fields| fields.iter().any(|field| field == column));
        // The hub had never heard of the client's row, so what it says as a whole is known from here alone.
        let unknown = self.base_version.is_none();
        let of_client = facts(shop, self.key.0, &self.client)
            .filter(|(column, _)| unknown || if self.was_pending() { changed(column) } else { disputed(column) });
        let server = self.server.iter().flat_map(|row| facts(shop, self.key.0, row));
        let of_server = server.filter(|(column, _)| !self.was_pending() && disputed(column));
        of_client.chain(of_server).map(|(_, value)| value).collect()
    }

    fn contested(&self) -> Contested<'_> {
        Contested {
            pending: self.is_pending(),
            operation: self.operation,
            client: Some(&self.client).filter(|_| self.operation != Operation::Delete),
            server: self.server.as_ref(),
            base: Some(&self.before),
            updated_fields: self.updated_fields.as_deref(),
            disputes: &self.disputes,
        }
    }
}

impl Hub {
    /// Notes a conflict; gives its number.
    pub fn note(&mut self, device: usize, change: &Outgoing, head: &Head, disputes: Vec<Dispute>, standing: Standing) -> i64 {
        let id = self.conflicts.len() as i64 + 1;
        let Outgoing { event, key, operation, row, updated_fields, base_version, before, .. } = change.clone();
        self.conflicts.push(Noted {
            id,
            device,
            event,
            key,
            operation,
            client: row,
            updated_fields,
            base_version,
            before,
            server: head.row.clone(),
            server_device: head.since.last().map(|entry| entry.writer.device.clone()),
            disputes,
            standing,
        });
        id
    }

    /// An entry.
    pub fn conflict(&self, id: i64) -> &Noted {
        &self.conflicts[id as usize - 1]
    }

    /// Carries out a person's decision, unless the row has moved or somebody else was first.
    pub fn resolve(&mut self, wish: &Wish, now: i64) -> Outcome {
        let noted = self.conflict(wish.conflict).clone();
        let Some(version) = self.version(&noted.key) else { return Outcome::Impossible };
        let head = self.head_of(&noted.key, version, wish.device, version, 0);
        if matches!(noted.standing, Standing::Decided { .. }) {
            return Outcome::AlreadyResolved;
        }
        if wish.base_version != version {
            return Outcome::RowChanged;
        }
        let Ok(row) = resolve(&noted.contested(), head.row.as_ref(), wish.resolution, &wish.columns) else {
            return Outcome::Impossible;
        };
        let row = row.map(|row| head.make_anew(row));
        let id = self.append(Entry {
            id: 0,
            device: wish.device,
            manager: self.is_manager(wish.device),
            // Its own device, too, has yet to write it into its store.
            merged: true,
            event: EventId::Decided(noted.id),
            key: noted.key.clone(),
            row: row.clone(),
            at_ms: now.max(head.at_ms),
            resolves: Some(noted.id),
        });
        self.conflicts[wish.conflict as usize - 1].standing = Standing::Decided { was_pending: noted.is_pending() };
        Outcome::Resolved(id, row)
    }
}
