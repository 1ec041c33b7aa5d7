//! What `init` proposes for the keys of tables that nobody has said anything about: the facts for `core::proposal`.

use rusqlite::Connection;
use tillsync_core::config::{Config, Key, TableChange, edit_table};
use tillsync_core::proposal::{Facts, KeyColumn, as_sent, propose as judge, referred_table};

use crate::adopt;
use crate::agent::{Agent, AgentError};
use crate::cli::context::Context;
use crate::cli::tables;
use crate::remote::{PullQuery, PullReply};
use crate::state::marks;
use crate::store::rows::value_at;
use crate::store::schema::{Schema, Table, quote};
use crate::store::{open, schema};

/// Stands for every table that no other argument names.
pub const ALL_OTHERS: &str = "*";

/// Keys looked at from either end of a table.
const SAMPLE: usize = 10;

/// Pages asked for until the server shows a row of a table: it looks through 50,000 changes for each.
const PAGES_MAX: usize = 20;

/// What is proposed for a table.
pub struct Proposed {
    /// The table.
    pub table: String,
    /// The settings to write.
    pub change: TableChange,
    /// Only the schema spoke: there is no row yet, neither here nor at the server.
    pub by_schema_alone: bool,
}

/// Proposes, parents before children. `others` is what to take instead of judging.
pub fn propose(agent: &Agent, named: &[&str], others: Option<Key>) -> Result<Vec<Proposed>, AgentError> {
    let conn = open::reader(&agent.config.store)?;
    let wrap = |error| agent.store_error(error);
    let schema = schema::read(&conn, &agent.config).map_err(wrap)?;
    let device_id: Option<String> = marks::get(agent.state().conn(), marks::DEVICE_ID)?;
    let mut config = agent.config.clone();
    let mut proposals = Vec::new();
    for table in in_order(&schema) {
        let is_named = named
            .iter()
            .chain(&agent.config.tables.keys().map(String::as_str).collect::<Vec<_>>())
            .any(|name| name.eq_ignore_ascii_case(table.name.as_str()));
        if is_named {
            continue;
        }
        let references = references(&schema, table, &config);
        let (key, reason, by_schema_alone) = match others {
            Some(key) => (key, "as it was said for all".to_owned(), false),
            None => {
                let mut facts = facts(&conn, &schema, table, &config, &references).map_err(wrap)?;
                facts.sent = device_id.as_deref().and_then(|id| sent_by_others(agent, id, &table.entity));
                let proposal = judge(&facts);
                (proposal.key, proposal.reason, facts.rows == 0 && facts.sent.is_none())
            }
        };
        config.tables.entry(table.name.clone()).or_default().key = key;
        let remark = Some(format!("{}: {reason}", table.name));
        let change = TableChange { key: Some(key), references, remark, ..TableChange::default() };
        proposals.push(Proposed { table: table.name.clone(), change, by_schema_alone });
    }
    Ok(proposals)
}

/// Lets the config follow what other registers have in tables that are empty here. Gives back whether it changed.
pub fn adopt(context: &Context) -> anyhow::Result<bool> {
    let agent = context.agent()?;
    let seen = adopt::seen(agent.state().conn())?;
    let mut undecided = adopt::undecided(agent.state().conn())?;
    if seen.is_empty() {
        return Ok(false);
    }
    let conn = open::reader(&agent.config.store)?;
    let schema = schema::read(&conn, &agent.config)?;
    let before = std::fs::read_to_string(&context.path)?;
    let (mut text, mut config) = (before.clone(), agent.config.clone());
    for table in in_order(&schema).into_iter().filter(|table| seen.contains_key(&table.name)) {
        undecided.retain(|name| *name != table.name);
        if !agent.is_untouched(table).map_err(|error| anyhow::anyhow!(error.problem().text))? {
            continue;
        }
        let proposal = as_sent(&seen[&table.name]);
        let remark = Some(format!("{}: {}", table.name, proposal.reason));
        let change = TableChange { key: Some(proposal.key), remark, ..TableChange::default() };
        text = edit_table(&text, &table.name, &change)?;
        config.tables.entry(table.name.clone()).or_default().key = proposal.key;
        tracing::info!(table = table.name, key = proposal.key.as_str(), "the table's keys follow those of other registers");
    }
    for table in &schema.tables {
        let references = references(&schema, table, &config);
        let known = &config.table(&table.name).references;
        let new: Vec<_> = references.into_iter().filter(|(column, _)| !known.contains_key(column)).collect();
        if !new.is_empty() {
            text = edit_table(&text, &table.name, &TableChange { references: new, ..TableChange::default() })?;
        }
    }
    let written = if text == before { Ok(()) } else { tables::write_file(&context.path, &text) };
    // A config that cannot be written stays as it is: then the rows wait, and their reason says what to do.
    adopt::set_undecided(agent.state().conn(), &undecided)?;
    marks::clear(agent.state().conn(), marks::OTHER_KEYS)?;
    written.map(|()| text != before)
}

fn is_register(config: &Config, table: &str) -> bool {
    config.table(table).key == Key::Register
}

/// Tables in an order in which those that others refer to come first, also where only a column's name says so.
fn in_order(schema: &Schema) -> Vec<&Table> {
    let names: Vec<&str> = schema.tables.iter().map(|table| table.name.as_str()).collect();
    let mut left: Vec<&Table> = schema.tables.iter().collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |table: &&Table| {
            let by_name = undeclared(table).filter_map(|column| referred_table(column, &names));
            let mut parents = table.parents.iter().map(|parent| parent.table.as_str()).chain(by_name);
            parents.any(|parent| parent != table.name && left.iter().any(|other| other.name == parent))
        };
        let next = left.iter().position(|table| !waits(table)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

/// Columns that may refer to something although the schema does not say so.
fn undeclared(table: &Table) -> impl Iterator<Item = &String> {
    let is_own_key = |column: &&String| table.key.len() == 1 && table.key[0] == **column;
    let is_declared = |column: &&String| table.parents.iter().any(|parent| parent.columns.contains(column));
    table.columns.iter().filter(move |column| !is_own_key(column) && !is_declared(column))
}

/// References that the schema does not declare, to tables whose keys need translating.
fn references(schema: &Schema, table: &Table, config: &Config) -> Vec<(String, String)> {
    let single = schema.tables.iter().filter(|other| other.key.len() == 1 && is_register(config, &other.name));
    let tables: Vec<&str> = single.map(|other| other.name.as_str()).collect();
    undeclared(table).filter_map(|column| Some((column.clone(), referred_table(column, &tables)?.to_owned()))).collect()
}

fn facts(
    conn: &Connection,
    schema: &Schema,
    table: &Table,
    config: &Config,
    references: &[(String, String)],
) -> rusqlite::Result<Facts> {
    let (name, last) = (quote(&table.name), table.key.last().map(|column| quote(column)).unwrap_or_default());
    let sample = |order: &str| -> rusqlite::Result<Vec<_>> {
        let sql = format!("SELECT {last} FROM {name} ORDER BY {last} {order} LIMIT {SAMPLE}");
        conn.prepare(&sql)?.query_map([], |row| value_at(row, 0))?.collect()
    };
    let mut keys = sample("ASC")?;
    keys.extend(sample("DESC")?);
    let declared = table.parents.iter().filter(|parent| parent.table != table.name).map(|parent| parent.table.clone());
    let mut parents: Vec<String> = declared.chain(references.iter().map(|(_, parent)| parent.clone())).collect();
    parents.retain(|parent| is_register(config, parent));
    parents.dedup();
    let key = table.key.iter().map(|column| key_column(conn, table, column, references)).collect::<rusqlite::Result<_>>()?;
    Ok(Facts {
        table: table.name.clone(),
        key,
        autoincrement: counts_once(conn, table)?,
        rows: conn.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0))?,
        sample: keys,
        referred_by: schema.tables.iter().filter(|other| other.parents.iter().any(|parent| parent.table == table.name)).count(),
        parents,
        sent: None,
    })
}

fn key_column(conn: &Connection, table: &Table, column: &str, references: &[(String, String)]) -> rusqlite::Result<KeyColumn> {
    let kind: String =
        conn.query_row("SELECT upper(type) FROM pragma_table_info(?1) WHERE name = ?2", [table.name.as_str(), column], |row| {
            row.get(0)
        })?;
    let declared = table.parents.iter().find(|parent| parent.table != table.name && parent.columns.iter().any(|own| own == column));
    let by_name = references.iter().find(|(own, _)| own == column).map(|(_, parent)| parent.clone());
    Ok(KeyColumn {
        name: column.to_owned(),
        is_integer: kind.contains("INT"),
        refers_to: declared.map(|parent| parent.table.clone()).or(by_name),
    })
}

fn counts_once(conn: &Connection, table: &Table) -> rusqlite::Result<bool> {
    let sql: Option<String> =
        conn.query_row("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1", [&table.name], |row| row.get(0))?;
    Ok(sql.unwrap_or_default().to_uppercase().contains("AUTOINCREMENT"))
}

/// The id of a row that another register has sent; `None` when there is none or the server does not answer, which the next step tells.
fn sent_by_others(agent: &Agent, device_id: &str, entity: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let mut cursor = 0;
    for _ in 0..PAGES_MAX {
        let query = PullQuery {
            cursor,
            exclude_own: false,
            entities: Some(vec![entity.to_owned()]),
            limit: Some(1),
            wait_ms: 0,
            epoch: None,
        };
        match runtime.block_on(agent.remote.pull(device_id, query)) {
            PullReply::Page(page, _) => {
                if let Some(change) = page.changes.into_iter().find(|change| change.entity == entity) {
                    return Some(change.key);
                }
                if !page.more {
                    return None;
                }
                cursor = page.cursor;
            }
            PullReply::Expired | PullReply::Trouble(_) => return None,
        }
    }
    None
}
