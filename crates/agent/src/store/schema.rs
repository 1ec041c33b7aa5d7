//! What the store holds: its tables, their keys, and which of them cannot sync.

use rusqlite::{Connection, Result};
use serde::{Deserialize, Serialize};
use tillsync_core::config::{Config, Direction, Key, LeftOut, Merge};
use tillsync_core::key::entity_id;
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use crate::store::sql::{Sql, TableSql};

/// Everything of ours in the store starts with this.
pub const PREFIX: &str = "_tillsync_";

/// Collations that every SQLite knows; a POS's own cannot be used by another program.
const KNOWN_COLLATIONS: [&str; 3] = ["BINARY", "NOCASE", "RTRIM"];

/// The tables of a store, parents before children.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// SQLite's schema version when this was read.
    pub version: i64,
    /// Tables that sync.
    pub tables: Vec<Table>,
    /// Tables that cannot, and why.
    pub refused: Vec<Refused>,
}

/// A table that cannot sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The table.
    pub table: String,
    /// Why, for people.
    pub reason: String,
}

/// A table that syncs.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its number in the journal.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// Its name on the wire.
    pub entity: String,
    /// Which way its rows go.
    pub direction: Direction,
    /// A condition in SQL over its columns; rows outside it do not sync. It holds the conditions of the tables it refers to.
    pub filter: Option<String>,
    /// The primary key's columns, in key order.
    pub key: Vec<String>,
    /// The key column that every register fills for itself; none where keys mean the same everywhere, and none where a key consists of
    /// references alone.
    pub fresh: Option<String>,
    /// Columns that hold another table's local keys here and its rows' ids on the wire.
    pub links: Vec<Link>,
    /// The columns that sync, in table order: all that hold data (generated ones do not) and are not left out.
    pub columns: Vec<String>,
    /// The columns that do not, and why.
    pub left_out: Vec<(String, LeftOut)>,
    /// What columns get in rows that do not name them, where that is not NULL.
    pub defaults: Row,
    /// What left-out columns get in rows that come from elsewhere, where they must hold something and have no default.
    pub fillers: Vec<(String, Value)>,
    /// Whether the shadow keeps prints per column.
    pub merge: Merge,
    /// Columns whose rule merges from the value before a change; the shadow keeps their values.
    pub base_columns: Vec<String>,
    /// References to other tables.
    pub parents: Vec<Reference>,
    /// Columns of UNIQUE constraints beside the key, which can never be dropped alone: a probe may name them.
    pub probes: Vec<Vec<String>>,
    /// Whether a unique index may be dropped later, so that no trigger may name its columns.
    pub has_loose_unique: bool,
    /// References of other tables to this one.
    pub children: Vec<Reference>,
    /// Statements about every row, which are put together once.
    pub sql: TableSql,
}

/// A reference to rows that have ids of their own on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The table at the other end.
    pub table: String,
    /// This table's columns that hold its key, in its key's order.
    pub columns: Vec<String>,
    /// The one of them that carries the id on the wire.
    pub column: String,
}

/// A foreign key, seen from one of its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The table at the other end.
    pub table: String,
    /// This table's columns.
    pub columns: Vec<String>,
    /// The other table's columns.
    pub other_columns: Vec<String>,
    /// Whether the schema says so, and not only the config.
    pub is_declared: bool,
    /// Whether rows at the other end are found by an index.
    pub is_indexed: bool,
    /// How a row at the other end is looked for.
    pub sql: Sql,
}

impl Schema {
    /// The table with this name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Whether it takes the state to read or write rows: where they are translated, or kept out by filters.
    pub fn needs_state(&self) -> bool {
        self.tables.iter().any(|table| table.is_translated() || table.filter.is_some())
    }

    /// The table with this name on the wire.
    pub fn with_entity(&self, entity: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.entity == entity)
    }

    /// The table with this number in the journal.
    pub fn numbered(&self, number: i64) -> Option<&Table> {
        self.tables.iter().find(|table| table.number == number)
    }

    /// A table's place: parents come before children.
    pub fn place(&self, name: &str) -> usize {
        self.tables.iter().position(|table| table.name == name).unwrap_or(usize::MAX)
    }

    /// The largest number of key columns.
    pub fn key_width(&self) -> usize {
        self.tables.iter().map(|table| table.key.len()).max().unwrap_or(1).max(1)
    }
}

impl Table {
    /// Column names as the shadow keeps prints of them: none for tables that merge by row.
    pub fn print_columns(&self) -> &[String] {
        match self.merge {
            Merge::Field => &self.columns,
            Merge::Row => &[],
        }
    }

    /// Whether rows look different on the wire than in the store.
    pub fn is_translated(&self) -> bool {
        self.fresh.is_some() || !self.links.is_empty()
    }

    /// The id on the wire of the row that a row refers to, as far as the row says it. The row is as it is on the wire.
    pub fn parent_id(&self, parent: &Table, reference: &Reference, row: &Row) -> Option<String> {
        let values = match parent.fresh {
            Some(_) => {
                let is_same =
                    |link: &&Link| link.table == parent.name && link.columns.iter().all(|c| reference.columns.contains(c));
                vec![row.get(&self.links.iter().find(is_same)?.column)?.clone()]
            }
            None => {
                let place = |key: &String| reference.other_columns.iter().position(|other| other == key);
                let values = parent.key.iter().map(|key| row.get(&reference.columns[place(key)?]).cloned());
                values.collect::<Option<Vec<_>>>()?
            }
        };
        Some(entity_id(&values))
    }

    /// Where in `columns` the key's columns are.
    pub fn key_places(&self) -> Vec<usize> {
        self.key.iter().filter_map(|key| self.columns.iter().position(|column| column == key)).collect()
    }
}

/// An identifier in double quotes.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Reads the schema. Table numbers are 0 until the capture is installed.
pub fn read(conn: &Connection, config: &Config) -> Result<Schema> {
    let version = version(conn)?;
    let mut schema = Schema { version, ..Schema::default() };
    for name in ordinary_tables(conn)? {
        if !config.includes(&name) {
            continue;
        }
        match read_table(conn, &name, config)? {
            Ok(table) => schema.tables.push(table),
            Err(reason) => schema.refused.push(Refused { table: name, reason }),
        }
    }
    link_children(conn, &mut schema.tables)?;
    translate(&mut schema.tables, config);
    schema.tables = parents_first(schema.tables);
    pass_filters_on(&mut schema.tables);
    Ok(schema)
}

/// Finds out which columns hold keys that every register counts for itself.
fn translate(tables: &mut [Table], config: &Config) {
    for table in tables.iter_mut().filter(|table| config.table(&table.name).key == Key::Register) {
        let refers =
            |column: &&String| table.parents.iter().any(|parent| parent.table != table.name && parent.columns.contains(column));
        table.fresh = table.key.iter().rfind(|column| !refers(column)).cloned();
    }
    let fresh: Vec<(String, Vec<String>, String)> =
        tables.iter().filter_map(|table| Some((table.name.clone(), table.key.clone(), table.fresh.clone()?))).collect();
    for table in tables.iter_mut() {
        for reference in &table.parents {
            let Some((name, key, fresh)) = fresh.iter().find(|(name, ..)| *name == reference.table) else { continue };
            let place = |column: &String| reference.other_columns.iter().position(|other| other == column);
            let columns = key.iter().map(|column| place(column).map(|place| reference.columns[place].clone()));
            if let (Some(columns), Some(place)) = (columns.collect::<Option<Vec<_>>>(), place(fresh)) {
                let link = Link { table: name.clone(), columns, column: reference.columns[place].clone() };
                add_link(&mut table.links, link);
            }
        }
        // What the schema does not declare is of use only where keys are translated.
        let links = &table.links;
        table.parents.retain(|parent| parent.is_declared || links.iter().any(|link| link.columns == parent.columns));
    }
    // A column that holds a part of another table's key holds what that part holds.
    for _ in 0..tables.len() {
        let before: Vec<(String, Vec<Link>)> = tables.iter().map(|table| (table.name.clone(), table.links.clone())).collect();
        for table in tables.iter_mut() {
            for reference in &table.parents {
                let theirs = before.iter().find(|(name, _)| *name == reference.table).map(|(_, links)| links.as_slice());
                for link in theirs.unwrap_or_default() {
                    let place = |column: &String| reference.other_columns.iter().position(|other| other == column);
                    let mine = |column: &String| place(column).map(|place| reference.columns[place].clone());
                    let columns = link.columns.iter().map(mine).collect::<Option<Vec<_>>>();
                    if let (Some(columns), Some(column)) = (columns, mine(&link.column)) {
                        add_link(&mut table.links, Link { table: link.table.clone(), columns, column });
                    }
                }
            }
        }
    }
}

/// A column carries one id; the first reference that says what it holds is believed.
fn add_link(links: &mut Vec<Link>, link: Link) {
    if !links.iter().any(|known| known.column == link.column) {
        links.push(link);
    }
}

/// A row that refers to a row outside its filter is outside, too: nobody else could place it.
fn pass_filters_on(tables: &mut [Table]) {
    for place in 0..tables.len() {
        let (before, table) = tables.split_at_mut(place);
        let Some(table) = table.first_mut() else { continue };
        for reference in &table.parents {
            let parent = before.iter().find(|parent| parent.name == reference.table);
            let Some((parent, filter)) = parent.and_then(|parent| Some((parent, parent.filter.as_ref()?))) else { continue };
            let own = |column: &String| format!("{}.{}", quote(&table.name), quote(column));
            let is_null: Vec<String> = reference.columns.iter().map(|column| format!("{} IS NULL", own(column))).collect();
            let pairs = reference.columns.iter().zip(&reference.other_columns);
            let same: Vec<String> = pairs.map(|(column, other)| format!("{} = {}", quote(other), own(column))).collect();
            let condition = format!(
                "({} OR EXISTS (SELECT 1 FROM {} WHERE {} AND {filter}))",
                is_null.join(" OR "),
                quote(&parent.name),
                same.join(" AND ")
            );
            table.filter = Some(table.filter.as_ref().map_or_else(|| condition.clone(), |own| format!("{own} AND {condition}")));
        }
    }
}

/// SQLite's schema version, which every change of the schema moves.
pub fn version(conn: &Connection) -> Result<i64> {
    conn.query_row("PRAGMA schema_version", [], |row| row.get(0))
}

/// The names of the tables that the POS made.
pub fn ordinary_tables(conn: &Connection) -> Result<Vec<String>> {
    let mut query = conn.prepare(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
           AND name NOT LIKE '\\_tillsync\\_%' ESCAPE '\\' ORDER BY name",
    )?;
    query.query_map([], |row| row.get(0))?.collect()
}

/// A column as the store declares it.
struct Column {
    name: String,
    kind: String,
    must_hold: bool,
    key_place: i64,
    /// An expression in SQL.
    default: Option<String>,
}

fn read_columns(conn: &Connection, table: &str) -> Result<Vec<Column>> {
    let mut query = conn.prepare(
        "SELECT name, type, \"notnull\" AND dflt_value IS NULL, pk, dflt_value FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid",
    )?;
    let columns = query.query_map([table], |row| {
        Ok(Column { name: row.get(0)?, kind: row.get(1)?, must_hold: row.get(2)?, key_place: row.get(3)?, default: row.get(4)? })
    })?;
    columns.collect()
}

/// The names of all columns that hold data.
pub fn column_names(conn: &Connection, table: &str) -> Result<Vec<String>> {
    Ok(read_columns(conn, table)?.into_iter().map(|column| column.name).collect())
}

fn read_table(conn: &Connection, name: &str, config: &Config) -> Result<std::result::Result<Table, String>> {
    let settings = config.table(name);
    let all = read_columns(conn, name)?;
    let mut key: Vec<(i64, String)> =
        all.iter().filter(|column| column.key_place > 0).map(|column| (column.key_place, column.name.clone())).collect();
    if key.is_empty() {
        return Ok(Err("it has no primary key, so its rows cannot be told apart".to_owned()));
    }
    key.sort_unstable();
    let key: Vec<String> = key.into_iter().map(|(_, name)| name).collect();
    let mut parents = read_parents(conn, name)?;
    // A foreign key may spell a column in another case than the table does.
    let spell = |column: &mut String| {
        if let Some(known) = all.iter().find(|known| known.name.eq_ignore_ascii_case(column)) {
            column.clone_from(&known.name);
        }
    };
    parents.iter_mut().flat_map(|parent| &mut parent.columns).for_each(spell);
    for (column, parent) in &settings.references {
        // In the store's own spelling; what is not there is told elsewhere.
        let Some(column) = all.iter().map(|known| &known.name).find(|known| known.eq_ignore_ascii_case(column)) else { continue };
        if !parents.iter().any(|known| known.columns.len() == 1 && known.columns[0] == *column) {
            let (columns, other_columns) = (vec![column.clone()], Vec::new());
            parents.push(Reference {
                table: parent.clone(),
                columns,
                other_columns,
                is_declared: false,
                is_indexed: true,
                sql: Sql::default(),
            });
        }
    }
    let (mut columns, mut left_out, mut fillers) = (Vec::new(), Vec::new(), Vec::new());
    let defaults =
        all.iter().filter_map(|column| Some((column.name.clone(), default_of(conn, column.default.as_deref()?)?))).collect();
    for column in all {
        let is_listed = [&settings.exclude, &settings.ignore].into_iter().flatten().flatten();
        let is_listed = is_listed.into_iter().any(|listed| listed.eq_ignore_ascii_case(&column.name));
        if is_listed && column.key_place > 0 {
            return Ok(Err(format!("its key column {} is to be left out", column.name)));
        }
        let refers = parents.iter().any(|parent| parent.columns.contains(&column.name));
        // What holds rows together is never left out by its name alone.
        let is_tied = !is_listed && (column.key_place > 0 || refers);
        match settings.left_out(&column.name).filter(|_| !is_tied) {
            None => columns.push(column.name),
            Some(why) => {
                if column.must_hold {
                    fillers.push((column.name.clone(), neutral(&column.kind)));
                }
                left_out.push((column.name, why));
            }
        }
    }
    if let Some(error) = settings.filter.as_deref().and_then(|filter| filter_error(conn, name, filter)) {
        return Ok(Err(format!("its filter does not work: {error}")));
    }
    let mut uniques = read_uniques(conn, name)?;
    let stored =
        |probe: &Vec<String>| probe.iter().all(|name| columns.contains(name) || left_out.iter().any(|(left, _)| left == name));
    uniques.has_loose |= !uniques.constraints.iter().all(stored);
    uniques.constraints.retain(stored);
    if let Some(collation) = uniques.unknown_collation {
        return Ok(Err(format!("it uses the collation {collation}, which only the POS has")));
    }
    let merging = settings.merging();
    let is_counter = |column: &&String| !key.contains(column) && merging.rule(column).needs_base();
    let base_columns = columns.iter().filter(is_counter).cloned().collect();
    let merge = settings.merge.unwrap_or(if written_once(conn, name)? { Merge::Row } else { Merge::Field });
    Ok(Ok(Table {
        number: 0,
        name: name.to_owned(),
        entity: config.entity_of(name).to_owned(),
        direction: settings.direction,
        filter: settings.filter.as_deref().map(filter_sql),
        key,
        columns,
        defaults,
        left_out,
        fillers,
        fresh: None,
        links: Vec::new(),
        merge,
        base_columns,
        parents,
        probes: uniques.constraints,
        has_loose_unique: uniques.has_loose,
        children: Vec::new(),
        sql: TableSql::default(),
    }))
}

/// What SQLite says about a condition over a table's rows; `None` when it can be used.
pub fn filter_error(conn: &Connection, table: &str, filter: &str) -> Option<String> {
    let sql = format!("SELECT 1 FROM {} WHERE {} LIMIT 0", quote(table), filter_sql(filter));
    match conn.prepare(&sql) {
        Ok(statement) => (statement.parameter_count() > 0).then(|| "it holds a parameter".to_owned()),
        Err(rusqlite::Error::SqlInputError { msg, .. }) => Some(msg),
        Err(error) => Some(error.to_string()),
    }
}

/// A condition as part of a statement: a comment in it ends with it.
pub fn filter_sql(filter: &str) -> String {
    format!("({filter}\n)")
}

/// What an expression for a default gives; `None` for NULL, and for what cannot be said without a row.
fn default_of(conn: &Connection, expression: &str) -> Option<Value> {
    let value = conn.query_row(&format!("SELECT ({expression}\n)"), [], |row| crate::store::rows::value_at(row, 0)).ok();
    value.filter(|value| !value.is_null())
}

/// Nothing, as a column of this kind holds it.
fn neutral(kind: &str) -> Value {
    let kind = kind.to_uppercase();
    let is = |parts: &[&str]| parts.iter().any(|part| kind.contains(part));
    if is(&["INT"]) {
        Value::Integer(0)
    } else if is(&["CHAR", "CLOB", "TEXT"]) {
        Value::Text(String::new())
    } else if kind.is_empty() || is(&["BLOB"]) {
        Value::Blob(Vec::new())
    } else {
        Value::Integer(0)
    }
}

/// Lines of a document, which live and die with it, are written once; column prints for them would only cost space.
fn written_once(conn: &Connection, table: &str) -> Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM pragma_foreign_key_list(?1) WHERE on_delete = 'CASCADE')", [table], |row| {
        row.get(0)
    })
}

#[derive(Default)]
struct Uniques {
    constraints: Vec<Vec<String>>,
    has_loose: bool,
    unknown_collation: Option<String>,
}

fn read_uniques(conn: &Connection, table: &str) -> Result<Uniques> {
    let mut query = conn.prepare("SELECT name, \"unique\", origin FROM pragma_index_list(?1)")?;
    let indexes: Vec<(String, bool, String)> =
        query.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_>>()?;
    let mut uniques = Uniques::default();
    for (index, unique, origin) in indexes {
        let mut query = conn.prepare_cached("SELECT name, coll FROM pragma_index_xinfo(?1) WHERE key = 1 ORDER BY seqno")?;
        let columns: Vec<(Option<String>, Option<String>)> =
            query.query_map([&index], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_>>()?;
        let unknown = columns.iter().filter_map(|(_, collation)| collation.clone());
        uniques.unknown_collation = uniques
            .unknown_collation
            .or(unknown.into_iter().find(|name| !KNOWN_COLLATIONS.contains(&name.to_uppercase().as_str())));
        match (unique, origin.as_str()) {
            (true, "u") => uniques.constraints.push(columns.into_iter().filter_map(|(name, _)| name).collect()),
            (true, "c") => uniques.has_loose = true,
            _ => {}
        }
    }
    Ok(uniques)
}

fn read_parents(conn: &Connection, table: &str) -> Result<Vec<Reference>> {
    let mut query = conn.prepare("SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id, seq")?;
    let rows: Vec<(i64, String, String, Option<String>)> =
        query.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?.collect::<Result<_>>()?;
    let mut parents: Vec<(i64, Reference)> = Vec::new();
    for (id, parent, from, to) in rows {
        if parents.last().is_none_or(|(last, _)| *last != id) {
            parents.push((
                id,
                Reference {
                    table: parent,
                    columns: Vec::new(),
                    other_columns: Vec::new(),
                    is_declared: true,
                    is_indexed: true,
                    sql: Sql::default(),
                },
            ));
        }
        if let Some((_, reference)) = parents.last_mut() {
            reference.columns.push(from);
            reference.other_columns.extend(to);
        }
    }
    Ok(parents.into_iter().map(|(_, reference)| reference).collect())
}

/// Completes references that name no columns, drops those to tables that are not there, and notes them at the other end.
fn link_children(conn: &Connection, tables: &mut [Table]) -> Result<()> {
    let keys: Vec<(String, Vec<String>)> = tables.iter().map(|table| (table.name.clone(), table.key.clone())).collect();
    let mut links = Vec::new();
    for table in tables.iter_mut() {
        for reference in &mut table.parents {
            let Some((name, key)) = keys.iter().find(|(name, _)| name.eq_ignore_ascii_case(&reference.table)) else { continue };
            reference.table.clone_from(name);
            if reference.other_columns.is_empty() {
                reference.other_columns.clone_from(key);
            }
            for column in &mut reference.other_columns {
                if let Some(known) = key.iter().find(|known| known.eq_ignore_ascii_case(column)) {
                    column.clone_from(known);
                }
            }
            let is_indexed = has_index_on(conn, &table.name, &reference.columns)?;
            if is_indexed || has_rowid(conn, &table.name)? {
                let back = Reference {
                    table: table.name.clone(),
                    columns: reference.other_columns.clone(),
                    other_columns: reference.columns.clone(),
                    is_declared: reference.is_declared,
                    is_indexed,
                    sql: Sql::default(),
                };
                links.push((name.clone(), back));
            }
        }
        table.parents.retain(|reference| {
            reference.columns.len() == reference.other_columns.len() && keys.iter().any(|(name, _)| *name == reference.table)
        });
    }
    for (parent, back) in links {
        if let Some(table) = tables.iter_mut().find(|table| table.name == parent) {
            table.children.push(back);
        }
    }
    Ok(())
}

/// Rows of a table without rowids have no order in which the newest come first.
fn has_rowid(conn: &Connection, table: &str) -> Result<bool> {
    conn.query_row("SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND name = ?1 AND NOT wr", [table], |row| {
        row.get::<_, i64>(0).map(|found| found > 0)
    })
}

fn has_index_on(conn: &Connection, table: &str, columns: &[String]) -> Result<bool> {
    let first = columns.first().map(String::as_str).unwrap_or_default();
    conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM pragma_index_list(?1) AS l, pragma_index_info(l.name) AS i WHERE i.seqno = 0 AND i.name = ?2 COLLATE NOCASE)",
        [table, first],
        |row| row.get(0),
    )
}

fn parents_first(mut left: Vec<Table>) -> Vec<Table> {
    let mut ordered: Vec<Table> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |table: &Table| {
            table.parents.iter().any(|parent| parent.table != table.name && left.iter().any(|other| other.name == parent.table))
        };
        // In a cycle of references nobody is first; then the order of names decides.
        let next = left.iter().position(|table| !waits(table)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    break_cycles(&mut ordered);
    ordered
}

/// In a cycle one row must be there before the other: only references to tables that come earlier, or to the table itself, are
/// ever waited for.
fn break_cycles(ordered: &mut [Table]) {
    let names: Vec<String> = ordered.iter().map(|table| table.name.clone()).collect();
    for (place, table) in ordered.iter_mut().enumerate() {
        table.parents.retain(|parent| names[..=place].contains(&parent.table));
        table.children.retain(|child| names[place..].contains(&child.table));
    }
}
