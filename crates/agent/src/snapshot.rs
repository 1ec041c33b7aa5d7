//! Snapshot: the rows as they are now, table by table, in place of a log that is longer than a page. What the log tells beyond the place
//! where the snapshot began is pulled as ever.
//!
//! Rows come in by the same door as those of the log, under the version that they have at the server, and in the order of versions: local
//! keys that are given to them follow the order in which they were written. Parents come before children. A row that is written between
//! two pages moves up: it comes in a later page or by the log or both, and a version that is here already is left out. At the end everything is compared by digests: what this register knows and the server does not have any more was deleted there.

use tillsync_core::change::Operation;
use tillsync_core::problem::Problem;
use tillsync_core::sync::{Pulled, Trouble};
use tillsync_core::wire::snapshot::SnapshotResponse;

use crate::agent::{Agent, AgentError};
use crate::pull::{Page, Reach};
use crate::reconcile::ReconcileError;
use crate::remote::{Incoming, SnapshotReply};
use crate::state::snapshot::{self, Progress};
use crate::state::{marks, outbox};

/// How a snapshot begins.
#[derive(Debug)]
pub(crate) enum Begun {
    /// With this to fetch.
    Progress(Progress),
    /// Not at all: the server has none to give, it says.
    NotOffered(String),
    /// Store or server are others than a moment ago.
    Otherwise,
    /// The request did not do its work.
    Trouble(Trouble),
}

impl Agent {
    /// Begins to fetch a snapshot, in place of the log from this cursor on.
    pub(crate) async fn begin_snapshot(&self, device_id: &str, cursor: i64) -> Result<Begun, AgentError> {
        let whole = match self.remote.digest(device_id, None, None).await {
            Ok(whole) => whole,
            Err(Trouble::NotTheServer(why)) => return Ok(Begun::NotOffered(why)),
            Err(trouble) => return Ok(Begun::Trouble(trouble)),
        };
        tokio::task::block_in_place(|| {
            let store = self.ready_store()?;
            let rows_of = |entity: &str| {
                let found = whole.entities.iter().find(|found| found.entity_type == entity);
                found.map_or(0, |found| found.digest.rows)
            };
            // What the server does not name has no rows there, or is none of this register's business.
            let tables = store.schema.tables.iter().filter(|table| table.direction.pulls() && rows_of(&table.entity) > 0);
            let progress = Progress {
                epoch: whole.at.epoch.clone(),
                from: cursor,
                head: whole.at.head_cursor_id,
                is_forgetful: whole.at.pruned_through > 0,
                left: tables.clone().map(|table| table.name.clone()).collect(),
                after: None,
                done: 0,
                total: tables.map(|table| rows_of(&table.entity)).sum(),
            };
            let mut state = self.state();
            let tx = state.write()?;
            let epoch: Option<String> = marks::get(&tx, marks::EPOCH)?;
            if epoch.is_some_and(|epoch| epoch != progress.epoch) || marks::get(&tx, marks::CURSOR)?.unwrap_or(0) != cursor {
                return Ok(Begun::Otherwise);
            }
            snapshot::set(&tx, &progress)?;
            marks::set(&tx, marks::CAUGHT_UP, false)?;
            marks::set(&tx, marks::HEAD, progress.head)?;
            marks::set(&tx, marks::EPOCH, &progress.epoch)?;
            tx.commit()?;
            drop(state);
            tracing::info!(rows = progress.total, head = progress.head, "fetching a snapshot");
            if progress.from > 0 {
                self.notice(&Problem::away_too_long())?;
            }
            Ok(Begun::Progress(progress))
        })
    }

    /// Fetches the first page of a snapshot that has begun.
    pub(crate) async fn go_on_with(&self, device_id: &str, begun: Begun) -> Result<Pulled, AgentError> {
        match begun {
            Begun::Progress(progress) => self.pull_snapshot(device_id, progress).await,
            Begun::NotOffered(why) => Ok(Pulled::Trouble(Trouble::NotTheServer(why))),
            Begun::Otherwise => Ok(Pulled::Interrupted),
            Begun::Trouble(trouble) => Ok(Pulled::Trouble(trouble)),
        }
    }

    /// Fetches the next page of rows and keeps it for apply.
    pub(crate) async fn pull_snapshot(&self, device_id: &str, progress: Progress) -> Result<Pulled, AgentError> {
        let Some(table) = progress.left.first() else { return self.end_snapshot(device_id, progress).await };
        let entity = tokio::task::block_in_place(|| {
            let store = self.ready_store()?;
            let table = store.schema.table(table).filter(|table| table.direction.pulls());
            Ok::<_, AgentError>(table.map(|table| table.entity.clone()))
        })?;
        let Some(entity) = entity else {
            // The POS has dropped the table meanwhile.
            snapshot::set(self.state().conn(), &progress.past(0, None))?;
            return Ok(Pulled::Interrupted);
        };
        let reply = self.remote.snapshot(device_id, &entity, progress.after).await;
        self.faults.point("snapshot pulled")?;
        match reply {
            SnapshotReply::Page(page, heard) => tokio::task::block_in_place(|| {
                self.hear(&heard)?;
                self.take_snapshot(page, progress)
            }),
            SnapshotReply::Refused(why) => {
                tracing::warn!(entity, why, "the server gives no rows; it is asked anew what it has");
                snapshot::clear(self.state().conn())?;
                Ok(Pulled::Interrupted)
            }
            SnapshotReply::Trouble(trouble) => Ok(Pulled::Trouble(trouble)),
        }
    }

    fn take_snapshot(&self, page: SnapshotResponse, asked: Progress) -> Result<Pulled, AgentError> {
        let mut store = self.ready_store()?;
        self.server_answers()?;
        if snapshot::get(self.state().conn())?.as_ref() != Some(&asked) {
            // The store went back in time while the request was on its way.
            return Ok(Pulled::Interrupted);
        }
        if page.at.epoch != asked.epoch || page.at.head_cursor_id < asked.head {
            self.server_was_reset(&mut store, Some(&page.at.epoch), page.at.head_cursor_id)?;
            return Ok(Pulled::Interrupted);
        }
        let table = asked.left[0].clone();
        let last = page.rows.last().map(|row| row.version).filter(|_| page.has_more);
        let rows = page.rows.len();
        let changes = page.rows.into_iter().map(|row| Incoming {
            id: row.version,
            entity: table.clone(),
            key: row.entity_id,
            operation: if row.data.is_some() { Operation::Update } else { Operation::Delete },
            data: row.data.map(|data| data.get().to_owned()),
            resolves: None,
        });
        let changes: Vec<Incoming> = changes.collect();
        if self.doubts_keys(&store, &changes)? {
            return Ok(Pulled::Interrupted);
        }
        store.page = Some(Page { changes, reach: Reach::Snapshot(asked.past(rows, last)) });
        Ok(Pulled::Page { more: true })
    }

    /// All tables are here. What was deleted at the server goes, and the log goes on from where the snapshot began.
    async fn end_snapshot(&self, device_id: &str, progress: Progress) -> Result<Pulled, AgentError> {
        let compared = async {
            self.reconcile_up_to(progress.head).await?;
            if progress.is_forgetful { self.take_out_forgotten(device_id, progress.head).await } else { Ok(()) }
        };
        match compared.await {
            Ok(()) => {}
            Err(ReconcileError::Agent(error)) => return Err(error),
            Err(ReconcileError::Trouble(trouble)) => return Ok(Pulled::Trouble(trouble)),
        }
        self.faults.point("snapshot compared")?;
        tokio::task::block_in_place(|| {
            let mut store = self.ready_store()?;
            if snapshot::get(self.state().conn())?.as_ref() != Some(&progress) {
                return Ok(Pulled::Interrupted);
            }
            tracing::info!(rows = progress.done, "the snapshot is here");
            if progress.from > 0 {
                // What people decided meanwhile was told by changes that are superseded.
                outbox::ask_about_all_conflicts(self.state().conn())?;
            }
            let reach = Reach::Log { cursor: progress.head, more: true, with_all_own: false };
            store.page = Some(Page { changes: Vec::new(), reach });
            Ok(Pulled::Page { more: true })
        })
    }
}
