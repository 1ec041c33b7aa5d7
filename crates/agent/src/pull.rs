//! Pull: server → a page in memory. The page reaches the store by apply; until then only the server has it, which is enough.

use std::sync::atomic::Ordering;

use tillsync_core::sync::{Pulled, Trouble};

use crate::agent::{Agent, AgentError};
use crate::remote::{Incoming, PullQuery, PullReply, PulledPage};
use crate::snapshot::Begun;
use crate::state::snapshot::{self, Progress};
use crate::state::{lost, marks};
use crate::store::schema::Schema;

/// A page that waits to be applied.
#[derive(Debug)]
pub struct Page {
    /// What is left of it.
    pub changes: Vec<Incoming>,
    /// How far the register is once it is applied.
    pub reach: Reach,
}

/// How far a page brings the register.
#[derive(Clone, Debug)]
pub enum Reach {
    /// A place in the server's log.
    Log {
        /// The cursor.
        cursor: i64,
        /// Whether the server had more.
        more: bool,
        /// When the page was asked for, the server had everything of this register's own and was to send that, too.
        with_all_own: bool,
    },
    /// A place in a snapshot.
    Snapshot(Progress),
}

impl Reach {
    /// The cursor that the store is to note; none before the whole snapshot is here.
    pub fn cursor(&self) -> Option<i64> {
        match self {
            Self::Log { cursor, .. } => Some(*cursor),
            Self::Snapshot(_) => None,
        }
    }
}

impl Agent {
    /// Fetches the next page and keeps it for apply.
    pub async fn pull(&self, wait_ms: u64) -> Result<Pulled, AgentError> {
        let Some((device_id, cursor)) = self.identity()? else {
            return Ok(Pulled::Trouble(Trouble::Unauthorized("this register is not enrolled".to_owned())));
        };
        let snapshot = snapshot::get(self.state().conn())?;
        if let Some(progress) = snapshot {
            return self.pull_snapshot(&device_id, progress).await;
        }
        let own = self.is_restoring()?;
        let with_all_own = own && self.has_sent_all()?;
        let epoch = marks::get(self.state().conn(), marks::EPOCH)?;
        let query = PullQuery { cursor, exclude_own: !own, entities: self.subscription()?, limit: None, wait_ms, epoch };
        let reply = match &self.foreign {
            Some(foreign) => self.pull_foreign(foreign, &device_id, &query).await?,
            None => self.remote.pull(&device_id, query).await,
        };
        self.faults.point("page pulled")?;
        match reply {
            // One that has expired may still be replaced for a while.
            PullReply::Trouble(Trouble::Unauthorized(_)) if self.rekey_expired().await? => Ok(Pulled::Interrupted),
            PullReply::Trouble(trouble) => Ok(Pulled::Trouble(trouble)),
            PullReply::Expired => {
                let begun = self.begin_snapshot(&device_id, cursor).await?;
                self.go_on_with(&device_id, begun).await
            }
            PullReply::Page(page, heard) => {
                tokio::task::block_in_place(|| self.hear(&heard))?;
                self.rekey_if_due(page.key_renew_at, heard.server_ms).await?;
                // A log that is not whole says nothing of what a restored store has yet to delete, either.
                let is_worth_it = cursor == 0 && ((page.more && !own) || page.pruned_through > 0);
                if is_worth_it && self.counts_in(page.epoch.as_deref())? {
                    match self.begin_snapshot(&device_id, cursor).await? {
                        Begun::NotOffered(_) => {}
                        begun => return self.go_on_with(&device_id, begun).await,
                    }
                }
                tokio::task::block_in_place(|| self.take_page(page, cursor, own, with_all_own))
            }
        }
    }

    /// Whether this is the server's epoch as far as it is known.
    fn counts_in(&self, epoch: Option<&str>) -> Result<bool, AgentError> {
        let known: Option<String> = marks::get(self.state().conn(), marks::EPOCH)?;
        Ok(epoch.is_some() && (known.is_none() || known.as_deref() == epoch))
    }

    /// The entities that this register wants to hear of; `None` for all that the server has.
    pub(crate) fn subscription(&self) -> Result<Option<Vec<String>>, AgentError> {
        let config = &self.config;
        let is_narrow = config.include_tables.is_some()
            || !config.exclude_tables.is_empty()
            || config.tables.values().any(|table| !table.direction.pulls());
        if !is_narrow {
            return Ok(None);
        }
        let store = tokio::task::block_in_place(|| self.ready_store())?;
        let tables = store.schema.tables.iter().filter(|table| table.direction.pulls());
        Ok(Some(tables.map(|table| table.entity.clone()).collect()))
    }

    /// The store was restored and has not got back everything yet: this register's own changes come along.
    pub(crate) fn is_restoring(&self) -> Result<bool, AgentError> {
        Ok(marks::get(self.state().conn(), marks::PULL_OWN)?.unwrap_or(false))
    }

    fn take_page(&self, mut page: PulledPage, asked_from: i64, with_own: bool, with_all_own: bool) -> Result<Pulled, AgentError> {
        let mut store = self.ready_store()?;
        for change in &mut page.changes {
            if let Some(table) = store.schema.with_entity(&change.entity) {
                change.entity.clone_from(&table.name);
            }
        }
        self.server_answers()?;
        let (known_epoch, cursor) = {
            let state = self.state();
            (marks::get::<String>(state.conn(), marks::EPOCH)?, marks::get(state.conn(), marks::CURSOR)?.unwrap_or(0))
        };
        if cursor != asked_from || with_own != self.is_restoring()? {
            // The store went back in time while the request was on its way.
            return Ok(Pulled::Interrupted);
        }
        let other_epoch = known_epoch.is_some() && page.epoch.is_some() && known_epoch != page.epoch;
        if let Some(head) = page.forked_at.filter(|_| other_epoch) {
            self.server_went_back(&mut store, page.epoch.as_deref(), head)?;
            return Ok(Pulled::Interrupted);
        }
        let behind = page.head.is_some_and(|head| head < asked_from);
        if other_epoch || behind {
            self.server_was_reset(&mut store, page.epoch.as_deref(), page.head.unwrap_or(0))?;
            return Ok(Pulled::Interrupted);
        }
        if self.doubts_keys(&store, &page.changes)? {
            return Ok(Pulled::Interrupted);
        }
        self.note_progress(&page, &store.schema, with_all_own)?;
        if page.changes.is_empty() && page.cursor == asked_from {
            return Ok(Pulled::Nothing);
        }
        let more = page.more;
        store.page = Some(Page { changes: page.changes, reach: Reach::Log { cursor: page.cursor, more, with_all_own } });
        Ok(Pulled::Page { more })
    }

    fn note_progress(&self, page: &PulledPage, schema: &Schema, with_all_own: bool) -> Result<(), AgentError> {
        let state = self.state();
        if let Some(head) = page.head {
            marks::set(state.conn(), marks::HEAD, head)?;
        }
        if let Some(epoch) = &page.epoch {
            marks::set(state.conn(), marks::EPOCH, epoch)?;
        }
        drop(state);
        if page.changes.is_empty() && !page.more { self.caught_up(schema, with_all_own) } else { Ok(()) }
    }

    /// Everything that the server had is in the store or in the inbox. What a restored register had yet to send is missing there
    /// and in its store alike, so that only a pull that began after it was sent brings all of it back.
    pub(crate) fn caught_up(&self, schema: &Schema, with_all_own: bool) -> Result<(), AgentError> {
        if self.is_restoring()? && !with_all_own {
            if self.select(schema, 1)?.is_empty() {
                self.pull_anew.store(true, Ordering::Relaxed);
            }
            return Ok(());
        }
        let state = self.state();
        marks::set(state.conn(), marks::CAUGHT_UP, true)?;
        // Until now nothing was sent, or what others did was to come first.
        self.freed.fetch_or(self.foreign.is_some(), Ordering::Relaxed);
        if marks::get(state.conn(), marks::PULL_OWN)?.unwrap_or(false) {
            let head: Option<i64> = marks::get(state.conn(), marks::HEAD)?;
            let cursor = marks::get(state.conn(), marks::CURSOR)?;
            marks::raise(state.conn(), marks::RESTORED_UP_TO, head.max(cursor).unwrap_or(0))?;
            // What the POS has done since is captured now.
            self.pull_anew.store(true, Ordering::Relaxed);
        }
        marks::clear(state.conn(), marks::PULL_OWN)?;
        Ok(lost::clear(state.conn())?)
    }

    fn has_sent_all(&self) -> Result<bool, AgentError> {
        let schema = tokio::task::block_in_place(|| self.ready_store().map(|store| store.schema.clone()))?;
        Ok(self.select(&schema, 1)?.is_empty())
    }
}
