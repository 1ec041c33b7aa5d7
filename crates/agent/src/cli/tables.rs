//! `tillsync tables`: how each table syncs, and changing it in the config file.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use rusqlite::Connection;
use serde::Serialize;
use tillsync_core::config::{Config, Direction, Key, LeftOut, TableChange, edit_table};
use tillsync_core::policy::{Policy, Rule};

use crate::cli::context::Context;
use crate::cli::say::{complain, say};
use crate::cli::{DirectionArg, KeyArg, TablesSetArgs};
use crate::control::{Answer, Command, config_print};
use crate::state::selection;
use crate::store::{StoreError, open, schema, settings};

/// An agent finishes what is under way before it takes up another config; with a server that hangs this takes a few seconds.
const TAKE_UP_MAX: Duration = Duration::from_secs(15);

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// One table, for `--json`.
#[derive(Serialize)]
struct Line {
    table: String,
    syncs: bool,
    /// Why it does not.
    reason: Option<String>,
    entity: String,
    key: Key,
    direction: Direction,
    policy: Policy,
    columns: BTreeMap<String, Rule>,
    left_out: Vec<LeftOutColumn>,
    filter: Option<String>,
    references: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct LeftOutColumn {
    column: String,
    why: LeftOut,
    /// Nobody named it; its name says what it is.
    by_default: bool,
}

pub fn list(context: &Context, json: bool) -> anyhow::Result<ExitCode> {
    let (lines, complaints) = look(&context.config).map_err(|error| {
        let problem = error.problem();
        anyhow::anyhow!("{} {}", problem.text, problem.action)
    })?;
    if json {
        say!("{}", serde_json::to_string_pretty(&lines)?)?;
    } else {
        let width = lines.iter().map(|line| line.table.chars().count()).max().unwrap_or_default().max(5);
        say!("{:<width$}  {:<8}  {:<9}  policy", "table", "key", "direction")?;
        for line in &lines {
            print(line, width)?;
        }
    }
    for complaint in &complaints {
        complain!("! {complaint}");
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn look(config: &Config) -> Result<(Vec<Line>, Vec<String>), StoreError> {
    let conn = open::reader(&config.store)?;
    read(&conn, config).map_err(|error| StoreError::from_sqlite(&config.store, error))
}

fn read(conn: &Connection, config: &Config) -> rusqlite::Result<(Vec<Line>, Vec<String>)> {
    let schema = schema::read(conn, config)?;
    let lines = schema::ordinary_tables(conn)?.into_iter().map(|table| {
        let refused = schema.refused.iter().find(|refused| refused.table == table).map(|refused| refused.reason.clone());
        let known = schema.table(&table);
        let reason = if known.is_some() { None } else { refused.or_else(|| Some("the config leaves it out".to_owned())) };
        let settings = config.table(&table);
        let named = |column: &str| {
            let lists = [&settings.exclude, &settings.ignore].into_iter().flatten().flatten();
            lists.into_iter().any(|listed| listed.eq_ignore_ascii_case(column))
        };
        let left_out = known.iter().flat_map(|table| &table.left_out);
        let left_out =
            left_out.map(|(column, why)| LeftOutColumn { column: column.clone(), why: *why, by_default: !named(column) });
        Line {
            syncs: known.is_some(),
            reason,
            entity: config.entity_of(&table).to_owned(),
            key: settings.key,
            direction: settings.direction,
            policy: settings.policy,
            columns: settings.columns.clone(),
            left_out: left_out.collect(),
            filter: settings.filter.clone(),
            references: settings.references.clone(),
            table,
        }
    });
    Ok((lines.collect(), settings::complaints(conn, config)?))
}

fn print(line: &Line, width: usize) -> io::Result<()> {
    let Line { table, key, direction, .. } = line;
    if let Some(reason) = &line.reason {
        return say!("{table:<width$}  does not sync: {reason}");
    }
    say!("{table:<width$}  {:<8}  {:<9}  {}", key.as_str(), direction.as_str(), policy_word(line.policy))?;
    let more = |what: &str, text: &str| say!("{:<width$}    {what}: {text}", "");
    if line.entity != *table {
        more("on the wire", &line.entity)?;
    }
    for (column, rule) in &line.columns {
        more("rule", &format!("{column} = {}", rule.as_str()))?;
    }
    for column in &line.left_out {
        let why = match (column.why, column.by_default) {
            (LeftOut::Excluded, true) => "never leaves the register (its name says that it is a secret)",
            (LeftOut::Excluded, false) => "never leaves the register",
            (LeftOut::Ignored, true) => "is each register's own (its name says that it is a flip flag)",
            (LeftOut::Ignored, false) => "is each register's own",
        };
        more(&column.column, why)?;
    }
    if let Some(filter) = &line.filter {
        more("only rows where", filter)?;
    }
    for (column, parent) in &line.references {
        more("reference", &format!("{column} → {parent}"))?;
    }
    Ok(())
}

fn policy_word(policy: Policy) -> String {
    serde_json::to_value(policy).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

pub fn set(context: &Context, args: &TablesSetArgs) -> anyhow::Result<ExitCode> {
    let change = TableChange {
        key: args.key.map(KeyArg::into),
        policy: args.policy.as_deref().map(parse_word).transpose()?,
        columns: args.column.clone(),
        direction: args.direction.map(DirectionArg::into),
        exclude: args.exclude.as_deref().map(parse_list),
        ignore: args.ignore.as_deref().map(parse_list),
        filter: args.filter.clone(),
        entity: args.entity.clone(),
        references: args.reference.clone(),
        remark: None,
    };
    if change.is_empty() {
        bail!("say what to change, such as --policy server; `tillsync tables set --help` lists what there is");
    }
    let before = std::fs::read_to_string(&context.path)?;
    let text = edit_table(&before, &args.table, &change)?;
    let mut config = Config::parse(&text)?;
    config.store.clone_from(&context.config.store);
    config.state_dir.clone_from(&context.config.state_dir);
    let (_, complaints) = look(&config).map_err(|error| anyhow::anyhow!("{} {}", error.problem().text, error.problem().action))?;
    let (_, known) =
        look(&context.config).map_err(|error| anyhow::anyhow!("{} {}", error.problem().text, error.problem().action))?;
    if let Some(new) = complaints.iter().find(|complaint| !known.contains(complaint)) {
        bail!("{new}; nothing was changed");
    }
    refuse_other_key(context, args)?;
    write_file(&context.path, &text)?;
    match (has_taken_up(context, &config), context.is_running()) {
        (true, _) => say!("{}: changed; the running agent goes on with it", args.table),
        (false, true) => say!("{}: changed; restart the agent so that it goes on with it", args.table),
        (false, false) => say!("{}: changed", args.table),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The kind of key stays once rows were synced: with the other kind they would be other rows.
fn refuse_other_key(context: &Context, args: &TablesSetArgs) -> anyhow::Result<()> {
    let now = context.config.table(&args.table).key;
    let Some(wanted) = args.key.map(Key::from).filter(|key| *key != now) else { return Ok(()) };
    if !context.config.state_dir.join("agent.db").exists() {
        return Ok(());
    }
    let agent = context.agent()?;
    let conn = open::reader(&context.config.store)?;
    let schema = schema::read(&conn, &context.config)?;
    let table = schema.tables.iter().find(|table| table.name.eq_ignore_ascii_case(&args.table));
    if let Some(table) = table.filter(|table| selection::has_rows(agent.state().conn(), &table.name).unwrap_or(true)) {
        bail!(
            "rows of {} were synced with key = \"{}\"; with \"{}\" they would come a second time. Nothing was changed",
            table.name,
            now.as_str(),
            wanted.as_str()
        );
    }
    Ok(())
}

/// Tells the running agent, if there is one, and waits until it works with the new config.
fn has_taken_up(context: &Context, config: &Config) -> bool {
    if !matches!(context.ask(&Command::Reload), Ok(Some(Answer::Done))) {
        return false;
    }
    let wanted = config_print(config);
    let begun = Instant::now();
    while begun.elapsed() < TAKE_UP_MAX {
        // Between the two the agent answers nobody.
        if matches!(context.ask(&Command::Config), Ok(Some(Answer::Config { print })) if print == wanted) {
            return true;
        }
        std::thread::sleep(ASK_EVERY);
    }
    false
}

/// Writes beside and renames, so that a power cut leaves the old file or the new one.
pub fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    let beside = path.with_extension("toml.new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("the config {} cannot be written", path.display()))
}

fn parse_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn parse_word<T: serde::de::DeserializeOwned>(word: &str) -> anyhow::Result<T> {
    serde_json::from_value(serde_json::Value::from(word)).map_err(|error| anyhow::anyhow!("{error}"))
}

/// `COL=RULE`.
pub fn parse_rule(text: &str) -> Result<(String, Rule), String> {
    let (column, word) = parse_pair(text).map_err(|_| "write it like stock=sum".to_owned())?;
    Ok((column, parse_word(&word).map_err(|error| error.to_string())?))
}

/// `A=B`, neither of them empty.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.trim().is_empty() && !right.trim().is_empty() => {
            Ok((left.trim().to_owned(), right.trim().to_owned()))
        }
        _ => Err("write it like sale_id=sales".to_owned()),
    }
}

/// `TABLE=KIND`.
pub fn parse_key(text: &str) -> Result<(String, Key), String> {
    let (table, word) = parse_pair(text).map_err(|_| "write it like sales=register".to_owned())?;
    let key = KeyArg::from_str(&word, false).map_err(|_| format!("`{word}` is no kind of key; use `global` or `register`"))?;
    Ok((table, key.into()))
}
