//! `tillsync conflicts`: what two registers changed, which rule decided or that a person must, and deciding it.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::value::RawValue;
use tillsync_core::merge::{Dispute, Kept};
use tillsync_core::row::Row;
use tillsync_core::sync::Trouble;
use tillsync_core::value::Value;
use tillsync_core::wire::hub::Conflict;

use crate::agent::Agent;
use crate::cli::context::Context;
use crate::cli::say::{complain, say};
use crate::cli::{ConflictsArgs, KeepArg, ResolveArgs};
use crate::control::Ended;
use crate::remote::ConflictsReply;
use crate::resolve::{Decided, Keep};
use crate::runtime::Outcome;
use crate::state::conflicts;

/// Conflicts listed at once.
const LIST_MAX: u32 = 1_000;

/// Decided ones shown to people; `--json` has them all.
const DECIDED_SHOWN: usize = 20;

const UNREACHABLE: u8 = 2;
const NOT_AUTHORISED: u8 = 4;

/// One conflict. Times are Unix milliseconds by the server's clock; rows are as on the wire.
#[derive(Serialize)]
struct Line<'a> {
    id: i64,
    /// `pending`, `automatic` or `resolved`.
    state: &'static str,
    /// The table here; the name on the wire for a conflict of other registers.
    entity: &'a str,
    key: &'a str,
    operation: &'a str,
    reason: Option<&'a str>,
    rules: &'a [Dispute],
    base: Option<&'a RawValue>,
    local: Option<&'a RawValue>,
    local_by: Option<&'a str>,
    local_at_ms: i64,
    server: Option<&'a RawValue>,
    server_by: Option<&'a str>,
    server_at_ms: Option<i64>,
    resolution: &'a str,
    resolved: Option<&'a RawValue>,
    resolved_by: Option<&'a str>,
    resolved_at_ms: Option<i64>,
    version: i64,
}

pub fn list(context: &Context, args: &ConflictsArgs) -> anyhow::Result<ExitCode> {
    let agent = context.agent()?;
    let entries = if args.hub { from_hub(&agent)? } else { conflicts::list(agent.state().conn(), LIST_MAX)? };
    let lines: Vec<Line<'_>> = entries.iter().map(line).collect();
    if args.json {
        say!("{}", serde_json::to_string_pretty(&lines)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if lines.is_empty() {
        say!("no two registers changed the same row in different ways")?;
    }
    let (pending, decided): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.state == "pending");
    for line in pending.iter().chain(decided.iter().take(DECIDED_SHOWN)) {
        say!("{:>8}  {:<9}  {} {}  {}", line.id, line.state, line.entity, line.key, gist(line))?;
    }
    if decided.len() > DECIDED_SHOWN {
        say!("          and {} more that are decided; `tillsync conflicts --json` lists them", decided.len() - DECIDED_SHOWN)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub fn show(context: &Context, id: i64, json: bool) -> anyhow::Result<ExitCode> {
    let agent = context.agent()?;
    let known = conflicts::get(agent.state().conn(), id)?;
    let entry = match known {
        Some(entry) => entry,
        None => from_hub(&agent)?
            .into_iter()
            .find(|entry| entry.conflict.id == id)
            .with_context(|| format!("there is no conflict {id}; `tillsync conflicts` lists them"))?,
    };
    let line = line(&entry);
    if json {
        say!("{}", serde_json::to_string_pretty(&line)?)?;
    } else {
        print(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(entry: &conflicts::Entry) -> Line<'_> {
    let conflict = &entry.conflict;
    Line {
        id: conflict.id,
        state: state(conflict),
        entity: &entry.entity,
        key: &entry.key,
        operation: conflict.operation.as_str(),
        reason: conflict.reason.as_deref(),
        rules: &conflict.rules,
        base: conflict.base_value.as_deref(),
        local: conflict.client_value.as_deref(),
        local_by: conflict.device_name.as_deref(),
        local_at_ms: conflict.client_at,
        server: conflict.server_value.as_deref(),
        server_by: conflict.server_device_name.as_deref(),
        server_at_ms: conflict.server_at,
        resolution: &conflict.resolution,
        resolved: conflict.resolved_value.as_deref(),
        resolved_by: conflict.resolved_by.as_deref(),
        resolved_at_ms: conflict.resolved_at,
        version: conflict.version,
    }
}

fn state(conflict: &Conflict) -> &'static str {
    match (conflict.is_pending(), &conflict.resolved_by) {
        (true, _) => "pending",
        (false, None) => "automatic",
        (false, Some(_)) => "resolved",
    }
}

/// A few words for the list: the columns and the rule, or why nothing decided.
fn gist(line: &Line<'_>) -> String {
    let rules = || {
        let each = line.rules.iter().map(|dispute| {
            let kept = match dispute.kept {
                Kept::Client => "local",
                Kept::Server => "server",
                Kept::Merged => "both",
                Kept::Nobody => "undecided",
            };
            format!("{} ({}: {kept})", dispute.column, dispute.rule.as_str())
        });
        each.collect::<Vec<_>>().join(", ")
    };
    match (line.reason, line.state) {
        (Some(reason), "pending") => reason.to_owned(),
        (_, "resolved") => format!("{} by {}", line.resolution, line.resolved_by.unwrap_or("somebody")),
        _ => rules(),
    }
}

fn print(line: &Line<'_>) -> anyhow::Result<()> {
    say!("conflict {}: {} of {} {}, {}", line.id, line.operation, line.entity, line.key, line.state)?;
    say!("  {}", gist(line))?;
    say!("  local    written {} by {}", time(Some(line.local_at_ms)), line.local_by.unwrap_or("a register that is gone"))?;
    say!("  server   written {} by {}", time(line.server_at_ms), line.server_by.unwrap_or("a register that is gone"))?;
    let rows = [line.base, line.local, line.server, line.resolved].map(|json| json.and_then(parse));
    let names: BTreeSet<&str> = rows.iter().flatten().flat_map(|row| row.iter().map(|(name, _)| name)).collect();
    let differs = |name: &&&str| {
        let values: Vec<_> = rows.iter().take(3).map(|row| row.as_ref().and_then(|row| row.get(name))).collect();
        values.windows(2).any(|pair| pair[0] != pair[1])
    };
    for name in names.iter().filter(differs) {
        let [base, local, server, resolved] = rows.each_ref().map(|row| cell(row.as_ref(), name));
        say!(
            "  {name}: {base} before, {local} local, {server} server{}",
            if line.resolved.is_some() { format!(", {resolved} now") } else { String::new() }
        )?;
    }
    if line.state != "resolved" {
        say!("  the row has version {}; decide with", line.version)?;
        say!("  tillsync conflicts resolve {} --version {} --keep local|server", line.id, line.version)?;
    }
    Ok(())
}

fn parse(json: &RawValue) -> Option<Row> {
    serde_json::from_str(json.get()).ok()
}

fn cell(row: Option<&Row>, name: &str) -> String {
    match row {
        None => "no row".to_owned(),
        Some(row) => row.get(name).map_or_else(|| "nothing".to_owned(), |value| serde_json::to_string(value).unwrap_or_default()),
    }
}

fn time(unix_ms: Option<i64>) -> String {
    let stamp = unix_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let local = stamp.map(|stamp| stamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string());
    local.unwrap_or_else(|| "at a time that nobody knows".to_owned())
}

/// All that the server shows this register.
fn from_hub(agent: &Agent) -> anyhow::Result<Vec<conflicts::Entry>> {
    let Some((device_id, _)) = agent.identity().map_err(|error| anyhow::anyhow!("{}", error.problem().text))? else {
        bail!("this register is not enrolled");
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut entries: Vec<conflicts::Entry> = Vec::new();
    loop {
        let after = entries.last().map_or(0, |entry| entry.conflict.id);
        match runtime.block_on(agent.remote.conflicts(&device_id, after)) {
            ConflictsReply::Page(page) => {
                let has_more = page.has_more;
                entries.extend(page.conflicts.into_iter().map(|conflict| conflicts::Entry {
                    entity: conflict.entity_type.clone(),
                    key: conflict.entity_id.clone(),
                    noted_ms: conflict.created_at,
                    conflict,
                }));
                if !has_more || entries.len() >= LIST_MAX as usize {
                    entries.sort_by_key(|entry| (!entry.conflict.is_pending(), entry.conflict.id));
                    return Ok(entries);
                }
            }
            ConflictsReply::Refused(why) => bail!("{} does not show its conflicts: {why}", agent.config.server),
            ConflictsReply::Trouble(trouble) => match explain(trouble) {
                Ended::NotAuthorised(why) => bail!("{} refuses this register: {why}", agent.config.server),
                Ended::Unreachable(why) => bail!("{} was not reached: {why}", agent.config.server),
                other => bail!("the conflicts of {} cannot be read: {other:?}", agent.config.server),
            },
        }
    }
}

fn explain(trouble: Trouble) -> Ended {
    Ended::from(Outcome::Trouble(trouble))
}

pub fn resolve(context: &Context, args: &ResolveArgs) -> anyhow::Result<ExitCode> {
    let agent = context.agent()?;
    let keep = keep(args)?;
    let ids: Vec<i64> = match args.id {
        Some(id) => vec![id],
        None => {
            let entity = args.entity.as_deref().unwrap_or_default();
            conflicts::pending_of(agent.state().conn(), entity)?
        }
    };
    if ids.is_empty() {
        say!("no conflict of {} waits", args.entity.as_deref().unwrap_or_default())?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut code = 0;
    for id in ids {
        let decided = runtime
            .block_on(agent.resolve(id, &keep, args.version))
            .map_err(|error| anyhow::anyhow!("{} {}", error.problem().text, error.problem().action))?;
        code = code.max(tell(&agent, id, decided)?);
        if code > 1 {
            break;
        }
    }
    context.nudge();
    Ok(ExitCode::from(code))
}

/// Says what became of a decision; gives the exit code.
fn tell(agent: &Agent, id: i64, decided: Decided) -> anyhow::Result<u8> {
    match decided {
        Decided::Done(_) => {
            say!("conflict {id} is decided; the row comes with the next sync")?;
            return Ok(0);
        }
        Decided::RowChanged(conflict, data) => {
            let now = data.as_deref().map_or("deleted", |data| data.get());
            complain!("error: conflict {id} is not decided: the row has changed since you looked. It is now {now}");
            complain!("look at it with `tillsync conflicts show {id}` and decide again; its version is {} now", conflict.version);
        }
        Decided::AlreadyResolved(conflict) => {
            let by = conflict.resolved_by.as_deref().unwrap_or("somebody");
            complain!("error: conflict {id} is decided already: {} by {by}; nothing was changed", conflict.resolution);
        }
        Decided::Refused(why) => complain!("error: conflict {id} is not decided: {why}"),
        Decided::Trouble(trouble) => {
            let (why, code) = match explain(trouble) {
                Ended::NotAuthorised(why) => (why, NOT_AUTHORISED),
                Ended::Unreachable(why) => (why, UNREACHABLE),
                other => (format!("{other:?}"), 1),
            };
            complain!("error: conflict {id} is not decided: {} was not asked: {why}", agent.config.server);
            return Ok(code);
        }
    }
    Ok(1)
}

fn keep(args: &ResolveArgs) -> anyhow::Result<Keep> {
    match (args.keep, args.set.as_slice()) {
        (Some(KeepArg::Local), []) => Ok(Keep::Local),
        (Some(KeepArg::Server), []) => Ok(Keep::Server),
        (None, []) => bail!("say what is to stay: --keep local, --keep server, or --set COLUMN=VALUE"),
        (_, set) => set.iter().map(|text| column(text)).collect::<anyhow::Result<Row>>().map(Keep::Columns),
    }
}

/// A value is JSON as on the wire; anything else is a text.
fn column(text: &str) -> anyhow::Result<(String, Value)> {
    let (name, value) = text.split_once('=').with_context(|| format!("`{text}`: write it like price=150"))?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::Text(value.to_owned()))))
}
