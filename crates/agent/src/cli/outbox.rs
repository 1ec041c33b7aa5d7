//! `tillsync outbox`: what waits, and what to do with what the server refused.

use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::bail;
use serde::{Serialize, Serializer};

use crate::agent::Agent;
use crate::cli::context::Context;
use crate::cli::say::say;
use crate::resolve::{Decided, Keep};
use crate::state::inbox;
use crate::state::outbox::{self, Entry, Standing};

/// A row that changes between two tries is rare.
const TRIES: u32 = 5;

/// Changes listed at once; a longer queue is summed up.
const LIST_MAX: u32 = 1_000;

/// What a line of the list is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// A change of this register's.
    Change(i64),
    /// A row of the server's that waits to get into the store, by its version: `i42`.
    Incoming(i64),
}

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, make): (&str, fn(i64) -> Self) = match text.strip_prefix('i') {
            Some(number) => (number, Self::Incoming),
            None => (text, Self::Change),
        };
        number.parse().map(make).map_err(|_| "a number from the list, such as 12 or i345".to_owned())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(id) => write!(f, "{id}"),
            Self::Incoming(version) => write!(f, "i{version}"),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Change(id) => out.serialize_i64(*id),
            Self::Incoming(_) => out.collect_str(self),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    id: Number,
    event_id: Option<String>,
    entity: &'a str,
    key: &'a str,
    operation: &'a str,
    state: &'static str,
    reason: Option<&'a str>,
    updated_fields: Option<&'a [String]>,
    at_ms: Option<i64>,
}

pub fn list(context: &Context, parked: bool, json: bool) -> anyhow::Result<ExitCode> {
    let agent = context.agent()?;
    let state = agent.state();
    let mut entries = outbox::stuck(state.conn(), LIST_MAX)?;
    if !parked {
        entries.extend(outbox::sendable(state.conn(), 0, LIST_MAX)?);
        entries.sort_by_key(|entry| entry.id);
    }
    let held = inbox::after(state.conn(), None, LIST_MAX as usize)?;
    let mut lines: Vec<Line<'_>> = entries.iter().map(line).collect();
    lines.extend(held.iter().filter(|entry| entry.reason != inbox::Reason::Local).map(incoming_line));
    if json {
        say!("{}", serde_json::to_string_pretty(&lines)?)?;
    } else if lines.is_empty() {
        say!("{}", if parked { "nothing is parked" } else { "nothing waits" })?;
    }
    for line in lines.iter().filter(|_| !json) {
        let id = line.id.to_string();
        say!("{id:>8}  {:<9} {:<8} {} {}  {}", line.state, line.operation, line.entity, line.key, line.reason.unwrap_or_default())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(entry: &Entry) -> Line<'_> {
    Line {
        id: Number::Change(entry.id),
        event_id: Some(entry.event_id.to_string()),
        entity: &entry.entity,
        key: &entry.key,
        operation: entry.operation.as_str(),
        state: entry.standing.as_str(),
        reason: entry.reason.as_deref(),
        updated_fields: entry.updated_fields.as_deref(),
        at_ms: Some(entry.at_ms),
    }
}

/// A row from the server that the store does not take; it is tried again by itself.
fn incoming_line(entry: &inbox::Entry) -> Line<'_> {
    Line {
        id: Number::Incoming(entry.change_id),
        event_id: None,
        entity: &entry.entity,
        key: &entry.key,
        operation: entry.operation.as_str(),
        state: "incoming",
        reason: entry.detail.as_deref(),
        updated_fields: None,
        at_ms: None,
    }
}

pub fn retry(context: &Context, number: Number) -> anyhow::Result<ExitCode> {
    let agent = context.agent()?;
    match number {
        Number::Change(id) => {
            stuck(&agent, id)?;
            outbox::set_standing(agent.state().conn(), id, Standing::Waiting, None)?;
            say!("change {id} is sent again with the next sync")?;
        }
        Number::Incoming(version) => {
            incoming(&agent, version)?;
            say!("row {number} is tried again with the next sync")?;
        }
    }
    context.nudge();
    Ok(ExitCode::SUCCESS)
}

pub fn discard(context: &Context, number: Number) -> anyhow::Result<ExitCode> {
    let agent = context.agent()?;
    let folder = context.config.state_dir.join("discarded");
    match number {
        Number::Change(id) => {
            let entry = stuck(&agent, id)?;
            if let Some(conflict_id) = entry.conflict_id {
                give_up(&agent, conflict_id)?;
            }
            let export = agent.discard(&entry, &folder)?;
            say!("change {id} is given up; a copy is in {}", export.display())?;
        }
        Number::Incoming(version) => {
            for entry in incoming(&agent, version)? {
                let export = agent.keep_out(&entry, &folder)?;
                say!("row {number} stays out of this store until it changes again; a copy is in {}", export.display())?;
            }
        }
    }
    context.nudge();
    Ok(ExitCode::SUCCESS)
}

/// The rows of the server that wait in this version; deletes that it has forgotten share one.
fn incoming(agent: &Agent, version: i64) -> anyhow::Result<Vec<inbox::Entry>> {
    let waiting = inbox::of_version(agent.state().conn(), version)?;
    let listed: Vec<inbox::Entry> = waiting.into_iter().filter(|entry| entry.reason != inbox::Reason::Local).collect();
    if listed.is_empty() {
        bail!("no row i{version} waits; `tillsync outbox` lists what does");
    }
    Ok(listed)
}

/// A conflict is given up where it is kept, or it would wait there for ever.
fn give_up(agent: &Agent, conflict_id: i64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    for _ in 0..TRIES {
        let decided = runtime.block_on(agent.resolve(conflict_id, &Keep::Server, None));
        match decided.map_err(|error| anyhow::anyhow!("{} {}", error.problem().text, error.problem().action))? {
            // Whatever the server's row is by now, it is the one that stays.
            Decided::RowChanged(..) => {}
            Decided::Done(_) | Decided::AlreadyResolved(_) => return Ok(()),
            Decided::Refused(why) => bail!("conflict {conflict_id} is not given up: {why}"),
            Decided::Trouble(_) => {
                bail!("{} was not reached, and the conflict waits there, too; try again later", agent.config.server)
            }
        }
    }
    bail!("the row changes all the time; try again")
}

fn stuck(agent: &Agent, id: i64) -> anyhow::Result<Entry> {
    match outbox::get(agent.state().conn(), id)? {
        Some(entry) if matches!(entry.standing, Standing::Parked | Standing::Conflict) => Ok(entry),
        Some(entry) => bail!("change {id} is {}, it needs nobody", entry.standing.as_str()),
        None => bail!("there is no change {id}; `tillsync outbox --parked` lists what waits for a person"),
    }
}
