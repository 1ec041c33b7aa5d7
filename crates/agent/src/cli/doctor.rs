//! `tillsync doctor`, `verify` and `detach`.

use std::process::ExitCode;

use anyhow::{anyhow, bail};
use tillsync_core::problem::Problem;
use tillsync_core::problem::Severity;

use crate::agent::{Agent, AgentError};
use crate::claim::Claim;
use crate::cli::context::{Context, explain};
use crate::cli::say::say;
use crate::control::{Answer, Command};
use crate::foreign::Foreign;
use crate::logs;
use crate::reconcile::{Comparison, Kind, ReconcileError};
use crate::remote::{PullQuery, PullReply};
use crate::scan::Scan;
use crate::state::{marks, outbox};
use crate::store::{install, open, schema, settings};

pub fn doctor(context: &Context) -> anyhow::Result<ExitCode> {
    let agent = context.agent()?;
    let mut report = Report::default();
    report.say("config", &context.path.display().to_string());
    check_store(&agent, &mut report);
    check_key(&agent, &mut report);
    check_server(&agent, &mut report)?;
    let status = agent.status(context.is_running())?;
    report.say("agent", if status.running { "running" } else { "not running" });
    report.say("sync", &status.sentence);
    report.say("logs", &logs::folder(&context.config.state_dir).display().to_string());
    for problem in status.problems {
        report.add(problem);
    }
    report.print()?;
    let wrong = report.problems.iter().any(|problem| problem.severity > Severity::Info);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[derive(Default)]
struct Report {
    lines: Vec<(String, String)>,
    problems: Vec<Problem>,
}

impl Report {
    fn say(&mut self, what: &str, how: &str) {
        self.lines.push((what.to_owned(), how.to_owned()));
    }

    fn add(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn print(&self) -> std::io::Result<()> {
        for (what, how) in &self.lines {
            say!("{what:<9} {how}")?;
        }
        for problem in &self.problems {
            let mark = if problem.severity > Severity::Info { "!" } else { "-" };
            say!("{mark} {}\n  {}", problem.text, problem.action)?;
        }
        if self.problems.iter().all(|problem| problem.severity == Severity::Info) {
            say!("nothing needs attention")?;
        }
        Ok(())
    }
}

fn check_store(agent: &Agent, report: &mut Report) {
    let look = || -> Result<(String, Vec<Problem>), AgentError> {
        let conn = open::reader(&agent.config.store)?;
        let wrap = |error| agent.store_error(error);
        let mut schema = schema::read(&conn, &agent.config).map_err(wrap)?;
        let mut problems = Vec::new();
        problems.extend(settings::complaints(&conn, &agent.config).map_err(wrap)?.iter().map(|what| Problem::settings(what)));
        let wal = open::is_wal(&conn).map_err(wrap)?;
        if !wal {
            problems.push(Problem::rollback_journal());
        }
        match install::check(&conn, &mut schema, agent.config.capture).map_err(wrap)? {
            None => problems.push(Problem::journal_lost("its tables")),
            Some(found) if found.journal => problems.push(Problem::journal_lost("the journal")),
            Some(found) if !found.tables.is_empty() => {
                problems.push(Problem::journal_lost(&format!("triggers of {}", found.tables.join(", "))));
            }
            Some(_) => {}
        }
        let mode = if wal { "write-ahead log" } else { "rollback journal" };
        Ok((format!("{} ({} tables sync, {mode})", agent.config.store.display(), schema.tables.len()), problems))
    };
    match look() {
        Ok((line, problems)) => {
            report.say("store", &line);
            problems.into_iter().for_each(|problem| report.add(problem));
        }
        Err(error) => {
            report.say("store", &format!("{}: cannot be used", agent.config.store.display()));
            report.add(error.problem());
        }
    }
}

fn check_foreign(agent: &Agent, foreign: &Foreign, device_id: &str, report: &mut Report) -> anyhow::Result<()> {
    let facts = foreign.facts();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match runtime.block_on(agent.foreign_status(foreign, device_id)).map_err(|error| explain(&error))? {
        Ok(()) => report.say("server", &format!("{} answers, by {}", agent.config.server, facts.name)),
        Err(trouble) => {
            report.say("server", &format!("{}: {trouble:?}", agent.config.server));
            agent.note_trouble(&trouble, 1)?;
        }
    }
    let kept: i64 = marks::get(agent.state().conn(), marks::DELETES_KEPT)?.unwrap_or(0);
    if !facts.tells_deletes {
        report.say("deletes", &format!("{} has none: rows deleted here stay at the server ({kept} so far)", facts.name));
    } else if !facts.hears_deletes {
        report.say("deletes", &format!("go to the server; those of others are not told by every server of {}", facts.name));
    }
    Ok(())
}

fn check_key(agent: &Agent, report: &mut Report) {
    let device_id: Option<String> = marks::get(agent.state().conn(), marks::DEVICE_ID).ok().flatten();
    match device_id.map(|id| agent.remote.credentials().read(&id).map(|_| id)) {
        Some(Err(_))
            if agent.foreign.as_ref().is_some_and(|foreign| !foreign.facts().needs_token && !foreign.facts().registers) =>
        {
            report.say("device", "the server wants no key");
        }
        Some(Ok(id)) => report.say("device", &format!("{id}, the key can be read")),
        Some(Err(why)) => report.add(Problem::key_missing(&why)),
        None => report.add(Problem::key_missing("this register is not enrolled")),
    }
}

fn check_server(agent: &Agent, report: &mut Report) -> anyhow::Result<()> {
    // Without an identity, or with another register's, there is nobody to ask as; why is told elsewhere.
    let Ok(Some((device_id, cursor))) = agent.identity() else { return Ok(()) };
    if let Some(foreign) = &agent.foreign {
        return check_foreign(agent, foreign, &device_id, report);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reply = runtime.block_on(
        agent
            .remote
            .pull(&device_id, PullQuery { cursor, exclude_own: true, entities: None, limit: None, wait_ms: 0, epoch: None }),
    );
    match reply {
        PullReply::Page(page, _) => {
            let head = page.head.map_or_else(String::new, |head| format!(", at change {head}"));
            report.say("server", &format!("{} answers{head}", agent.config.server));
        }
        PullReply::Expired => {
            report.say("server", &format!("{} answers; this register fetches everything anew", agent.config.server));
        }
        PullReply::Trouble(trouble) => {
            report.say("server", &format!("{}: {trouble:?}", agent.config.server));
            agent.note_trouble(&trouble, 1)?;
        }
    }
    Ok(())
}

pub fn verify(context: &Context, accept_deletes: bool) -> anyhow::Result<ExitCode> {
    let scan = match context.ask(&Command::Scan { accept_deletes })? {
        Some(Answer::Scanned(scan)) => scan,
        Some(Answer::Failed(problem)) => bail!("{} {}", problem.text, problem.action),
        Some(_) => bail!("the running agent gave another answer than asked for"),
        None => scan_here(context, accept_deletes)?,
    };
    say!("{} rows compared, {} differences found and queued", scan.rows, scan.added)?;
    if scan.vanished > 0 {
        say!(
            "{} rows have vanished from the store without a trace; if that is right, run `tillsync verify --accept-deletes`, and to have \
             them back from the server `tillsync verify --fetch-vanished`",
            scan.vanished
        )?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

pub fn fetch_vanished(context: &Context) -> anyhow::Result<ExitCode> {
    let fetched = match context.ask(&Command::FetchVanished)? {
        Some(Answer::Fetched(fetched)) => fetched,
        Some(Answer::Failed(problem)) => bail!("{} {}", problem.text, problem.action),
        Some(_) => bail!("the running agent gave another answer than asked for"),
        None => with_server(context, async |agent: &Agent| agent.fetch_vanished().await)?,
    };
    say!("{} vanished rows come back from the server; `tillsync sync` waits until that is done", fetched.back)?;
    if fetched.left > 0 {
        say!("{} do not: the server does not have them as they were, or their table is only sent", fetched.left)?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What a person sees of the differences before the rest is counted.
const SHOWN_MAX: usize = 20;

pub fn verify_against_server(context: &Context, repair: bool, json: bool) -> anyhow::Result<ExitCode> {
    let comparison = match context.ask(&Command::Compare { repair })? {
        Some(Answer::Compared(comparison)) => *comparison,
        Some(Answer::Failed(problem)) => bail!("{} {}", problem.text, problem.action),
        Some(_) => bail!("the running agent gave another answer than asked for"),
        None => with_server(context, async |agent: &Agent| agent.reconcile(repair).await)?,
    };
    if json {
        say!("{}", serde_json::to_string_pretty(&comparison)?)?;
    } else {
        print_comparison(&comparison, repair)?;
    }
    Ok(if comparison.count > comparison.repaired { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Does something with the server where no agent runs.
fn with_server<T>(context: &Context, work: impl AsyncFnOnce(&Agent) -> Result<T, ReconcileError>) -> anyhow::Result<T> {
    let Some(_lock) = context.lock()? else { bail!("another process uses the state folder; try again in a moment") };
    let agent = context.agent()?;
    agent.claim(Claim::Own).map_err(|error| explain(&error))?;
    while agent.capture()?.more {}
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(work(&agent)).map_err(|error| {
        let problem = error.problem();
        anyhow!("{} {}", problem.text, problem.action)
    })
}

fn print_comparison(comparison: &Comparison, repair: bool) -> anyhow::Result<()> {
    for table in &comparison.tables {
        let verdict = match table.differences {
            0 if table.here == table.server => "the same".to_owned(),
            0 => "the same but for what is on its way".to_owned(),
            1 => "1 row differs".to_owned(),
            many => format!("{many} rows differ"),
        };
        say!(
            "{}: {} rows here ({:016x}), {} at the server ({:016x}): {verdict}",
            table.table,
            table.here.rows,
            table.here.hash,
            table.server.rows,
            table.server.hash,
        )?;
    }
    for difference in comparison.differences.iter().take(SHOWN_MAX) {
        let how = match difference.kind {
            Kind::MissingHere => "only at the server",
            Kind::MissingThere => "only here",
            Kind::OlderHere => "newer at the server",
            Kind::OlderThere => "newer here",
        };
        say!("  {} {}: {how}", difference.table, difference.key)?;
    }
    let shown = comparison.differences.len().min(SHOWN_MAX) as u64;
    if comparison.count > shown {
        say!("  and {} more; --json lists them", comparison.count - shown)?;
    }
    if comparison.unsettled > 0 {
        say!("{} rows are on their way, or wait for a person", comparison.unsettled)?;
    }
    match (comparison.count, repair) {
        (0, _) => say!("register and server hold the same")?,
        (count, true) => say!("{count} rows are fetched or sent again; `tillsync sync` waits until that is done")?,
        (_, false) => say!("`tillsync verify --against-server --repair` puts that right; the daily look does it by itself")?,
    }
    Ok(())
}

fn scan_here(context: &Context, accept_deletes: bool) -> anyhow::Result<Scan> {
    let Some(_lock) = context.lock()? else { bail!("another process uses the state folder; try again in a moment") };
    let agent = context.agent()?;
    agent.claim(Claim::Own).map_err(|error| explain(&error))?;
    while agent.capture()?.more {}
    Ok(agent.scan(accept_deletes)?)
}

pub fn detach(context: &Context, force: bool) -> anyhow::Result<ExitCode> {
    let Some(_lock) = context.lock()? else { bail!("an agent is running; stop it first") };
    let agent = context.agent()?;
    agent.claim(Claim::Own).map_err(|error| explain(&error))?;
    while agent.capture()?.more {}
    let counts = outbox::counts(agent.state().conn())?;
    let unsent = counts.pending + counts.parked + counts.conflicts;
    if unsent > 0 && !force {
        bail!(
            "{unsent} changes are unsent; run `tillsync sync` first, or `tillsync detach --force` to keep them only in {}",
            context.config.state_dir.display()
        );
    }
    agent.detach()?;
    say!("the store is as it was without Tillsync; `tillsync init` sets it up again")?;
    Ok(ExitCode::SUCCESS)
}
