//! What the tray's window asks of the agent, answered from state and store. The questions come over the control socket, whoever hosts the agent.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tillsync_core::config::{Direction, LeftOut, Role};
use tillsync_core::problem::Problem;
use tillsync_core::row::Row;
use tillsync_core::window::{Ask, Conflict, Decided, Happening, Keep, Parked, Reply, Side, Table, Way, title};
use tokio::sync::{mpsc, oneshot};

use crate::agent::{Agent, AgentError};
use crate::clock::now_ms;
use crate::control::Ended;
use crate::pin;
use crate::resolve::{self, Keep as Kept};
use crate::runtime::{Outcome, Request};
use crate::state::outbox::{self, Standing};
use crate::state::{activity, conflicts, inbox};
use crate::store::{StoreError, open, schema};

/// Lines of each kind; a person does not read more.
const LINES_MAX: u32 = 500;

/// A sync that a person asked for goes on by itself when it takes longer.
const SYNC_MAX: Duration = Duration::from_secs(60);

/// Answers a question. What takes a manager needs the pass that the PIN gave.
pub async fn answer(agent: &Arc<Agent>, requests: &mpsc::Sender<Request>, ask: Ask, pass: Option<&str>) -> Reply {
    if let Err(why) = ask.check() {
        return Reply::Failed { problem: Problem::not_understood(why) };
    }
    let is_locked = agent.config.role != Role::Manager && pin::is_set(&agent.config.state_dir);
    if ask.takes_a_manager() && is_locked && !agent.gate.admits(pass) {
        return Reply::Failed { problem: Problem::manager_only() };
    }
    match reply(agent, requests, ask).await {
        Ok(reply) => reply,
        Err(error) => Reply::Failed { problem: error.problem() },
    }
}

async fn reply(agent: &Arc<Agent>, requests: &mpsc::Sender<Request>, ask: Ask) -> Result<Reply, AgentError> {
    Ok(match ask {
        Ask::Status => on_thread(agent, |agent| Ok(Reply::Status { status: Box::new(agent.status(true)?) })).await?,
        Ask::Conflicts => on_thread(agent, |agent| Ok(Reply::Conflicts { conflicts: agent.conflicts()? })).await?,
        Ask::Activity => Reply::Activity { activity: activity::list(agent.state().conn())? },
        Ask::Hours => Reply::Hours { hours: activity::hours(agent.state().conn(), now_ms())? },
        Ask::Parked => on_thread(agent, |agent| Ok(Reply::Parked { parked: agent.parked()? })).await?,
        Ask::Tables => on_thread(agent, |agent| Ok(Reply::Tables { tables: agent.tables()? })).await?,
        Ask::SyncNow => sync_now(requests).await,
        Ask::Pause { minutes } => {
            let until_ms = minutes.map(|minutes| now_ms() + i64::from(minutes) * 60_000);
            told(requests, Request::Pause { until_ms }).await
        }
        Ask::Resume => told(requests, Request::Resume).await,
        Ask::Decide { id, version, keep } => {
            let decided = agent.decide(id, version, &keep).await?;
            let _ = requests.send(Request::Look).await;
            Reply::Decided { decided }
        }
        Ask::Retry { id } => {
            agent.retry_refused(id)?;
            told(requests, Request::Look).await
        }
        Ask::Discard { id } => {
            let file = agent.give_up(id).await?;
            let _ = requests.send(Request::Look).await;
            Reply::Discarded { file }
        }
    })
}

async fn on_thread(
    agent: &Arc<Agent>,
    work: impl FnOnce(&Agent) -> Result<Reply, AgentError> + Send + 'static,
) -> Result<Reply, AgentError> {
    let agent = Arc::clone(agent);
    let done = tokio::task::spawn_blocking(move || work(&agent)).await;
    done.unwrap_or_else(|_| Err(AgentError::Problem(Problem::state("The agent failed; see the log."))))
}

async fn told(requests: &mpsc::Sender<Request>, request: Request) -> Reply {
    match requests.send(request).await {
        Ok(()) => Reply::Done,
        Err(_) => Reply::Failed { problem: Problem::agent_not_running() },
    }
}

/// What keeps a sync from its end is in the status; only what is broken here is an answer.
async fn sync_now(requests: &mpsc::Sender<Request>) -> Reply {
    let (answer, ended) = oneshot::channel();
    let _ = requests.send(Request::Sync { timeout: SYNC_MAX, answer }).await;
    match ended.await.map(Outcome::into) {
        Ok(Ended::Failed(problem)) => Reply::Failed { problem },
        Ok(_) => Reply::Done,
        Err(_) => Reply::Failed { problem: Problem::agent_not_running() },
    }
}

impl Agent {
    /// Conflicts that wait for a person.
    fn conflicts(&self) -> Result<Vec<Conflict>, AgentError> {
        let entries = conflicts::list(self.state().conn(), LINES_MAX)?;
        let pending = entries.into_iter().filter(|entry| entry.conflict.is_pending());
        Ok(pending.map(|entry| Conflict::new(&entry.entity, &entry.key, &entry.conflict)).collect())
    }

    /// What the server or the store refuses.
    fn parked(&self) -> Result<Vec<Parked>, AgentError> {
        let state = self.state();
        let stuck = outbox::stuck(state.conn(), LINES_MAX)?.into_iter().filter(|entry| entry.standing == Standing::Parked);
        let mut lines: Vec<Parked> = stuck
            .map(|entry| Parked {
                id: Some(entry.id),
                row: called(Some(&entry.data), &entry.key),
                entity: entry.entity,
                reason: entry.reason.unwrap_or_default(),
                at_ms: Some(entry.at_ms),
            })
            .collect();
        let held = inbox::after(state.conn(), None, LINES_MAX as usize)?;
        lines.extend(held.into_iter().filter(|entry| entry.reason != inbox::Reason::Local).map(|entry| Parked {
            id: None,
            row: called(entry.data.as_deref(), &entry.key),
            entity: entry.entity,
            reason: entry.detail.unwrap_or_default(),
            at_ms: None,
        }));
        Ok(lines)
    }

    /// How each table of the store syncs.
    fn tables(&self) -> Result<Vec<Table>, AgentError> {
        Ok(tables(&self.config)?)
    }

    async fn decide(&self, id: i64, version: i64, keep: &Keep) -> Result<Decided, AgentError> {
        let keep = match keep {
            Keep::All { side: Side::Local } => Kept::Local,
            Keep::All { side: Side::Server } => Kept::Server,
            Keep::Each { columns } => {
                let Some(entry) = conflicts::get(self.state().conn(), id)? else { return Ok(Decided::Before { by: None }) };
                let local = entry.conflict.client_value.as_deref().and_then(row).unwrap_or_default();
                let wanted = |name: &str| columns.iter().any(|(column, side)| column == name && *side == Side::Local);
                let taken = local.iter().filter(|(name, _)| wanted(name));
                let taken: Row = taken.map(|(name, value)| (name.to_owned(), value.clone())).collect();
                // Nothing of this register's: all of the server's.
                if taken.is_empty() { Kept::Server } else { Kept::Columns(taken) }
            }
        };
        let known = conflicts::get(self.state().conn(), id)?;
        Ok(match self.resolve(id, &keep, Some(version)).await? {
            resolve::Decided::Done(_) => {
                if let Some(entry) = known {
                    let json = entry.conflict.server_value.as_deref().or(entry.conflict.client_value.as_deref());
                    let title = called(json.map(RawValue::get), &entry.key);
                    activity::note_row(self.state().conn(), Happening::Decided, &entry.entity, &title, now_ms())?;
                }
                Decided::Done
            }
            resolve::Decided::RowChanged(conflict, data) => {
                let (entity, key) = known.map(|entry| (entry.entity, entry.key)).unwrap_or_default();
                let mut conflict = *conflict;
                // The values of now are what the person decides about next.
                conflict.server_value = data;
                conflicts::tell(self.state().conn(), &conflict)?;
                Decided::RowChanged { conflict: Box::new(Conflict::new(&entity, &key, &conflict)) }
            }
            resolve::Decided::AlreadyResolved(conflict) => Decided::Before { by: conflict.resolved_by },
            resolve::Decided::Refused(why) => Decided::Refused { why },
            resolve::Decided::Trouble(trouble) => match Ended::from(Outcome::Trouble(trouble)) {
                Ended::Unreachable(why) | Ended::NotAuthorised(why) => Decided::Unreachable { why },
                Ended::Failed(problem) => Decided::Refused { why: problem.text },
                Ended::Settled | Ended::Paused | Ended::StoreInUse => Decided::Done,
            },
        })
    }

    /// Sends a refused change again.
    fn retry_refused(&self, id: i64) -> Result<(), AgentError> {
        let state = self.state();
        let Some(entry) = outbox::get(state.conn(), id)?.filter(|entry| entry.standing == Standing::Parked) else { return Ok(()) };
        outbox::set_standing(state.conn(), id, Standing::Waiting, None)?;
        let title = called(Some(&entry.data), &entry.key);
        Ok(activity::note_row(state.conn(), Happening::Retried, &entry.entity, &title, now_ms())?)
    }

    /// Gives a refused change up; gives back where a copy of it is.
    async fn give_up(&self, id: i64) -> Result<String, AgentError> {
        let found = outbox::get(self.state().conn(), id)?.filter(|entry| entry.standing == Standing::Parked);
        let Some(entry) = found else { return Err(AgentError::Problem(Problem::state("This change does not wait any more."))) };
        let file = self
            .discard(&entry, &self.config.state_dir.join("discarded"))
            .map_err(|error| AgentError::Problem(Problem::state(format!("The copy cannot be written: {error:#}."))))?;
        let title = called(Some(&entry.data), &entry.key);
        activity::note_row(self.state().conn(), Happening::Discarded, &entry.entity, &title, now_ms())?;
        Ok(file.display().to_string())
    }
}

/// How each table of a store would sync with this config.
pub fn tables(config: &tillsync_core::config::Config) -> Result<Vec<Table>, StoreError> {
    let conn = open::reader(&config.store)?;
    let read = || {
        let schema = schema::read(&conn, config)?;
        let tables = schema::ordinary_tables(&conn)?.into_iter().map(|name| {
            let known = schema.table(&name);
            let refused = schema.refused.iter().find(|refused| refused.table == name);
            let left_out = known.iter().flat_map(|table| &table.left_out);
            Table {
                way: match known.map(|_| config.table(&name).direction) {
                    None => Way::No,
                    Some(Direction::Both) => Way::Both,
                    Some(Direction::Push) => Way::Push,
                    Some(Direction::Pull) => Way::Pull,
                },
                reason: refused.map(|refused| refused.reason.clone()),
                secrets: left_out.filter(|(_, why)| *why == LeftOut::Excluded).map(|(column, _)| column.clone()).collect(),
                name,
            }
        });
        Ok(tables.collect())
    };
    read().map_err(|error| StoreError::from_sqlite(&config.store, error))
}

/// What a person would call a row, or its key.
pub(crate) fn called(json: Option<&str>, key: &str) -> String {
    json.and_then(|json| serde_json::from_str::<Row>(json).ok()).as_ref().and_then(title).unwrap_or_else(|| key.to_owned())
}

fn row(json: &RawValue) -> Option<Row> {
    serde_json::from_str(json.get()).ok()
}
