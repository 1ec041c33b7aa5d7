//! Whether the config's settings of tables fit the store: tables and columns that are not there, filters that SQLite refuses.

use rusqlite::{Connection, Result};
use tillsync_core::config::{Config, Table};

use crate::store::schema::{column_names, filter_error, ordinary_tables};

/// What does not fit, for people; nothing when all does.
pub fn complaints(conn: &Connection, config: &Config) -> Result<Vec<String>> {
    let tables = ordinary_tables(conn)?;
    let find = |name: &str| tables.iter().find(|table| table.eq_ignore_ascii_case(name));
    let mut complaints = Vec::new();
    for name in config.include_tables.iter().flatten().chain(&config.exclude_tables) {
        if find(name).is_none() {
            complaints.push(unknown_table(name, &tables));
        }
    }
    for (name, settings) in &config.tables {
        match find(name) {
            None => complaints.push(unknown_table(name, &tables)),
            Some(table) => complaints.extend(of_table(conn, table, settings, &tables)?),
        }
    }
    for table in tables.iter().filter(|table| config.includes(table)) {
        let entity = config.entity_of(table);
        let same = tables.iter().find(|other| *other != table && config.includes(other) && config.entity_of(other) == entity);
        if let Some(other) = same.filter(|other| *other > table) {
            complaints.push(format!("the tables {table} and {other} both have the entity \"{entity}\""));
        }
    }
    complaints.dedup();
    Ok(complaints)
}

fn unknown_table(name: &str, tables: &[String]) -> String {
    format!("the store has no table {name}; it has {}", tables.join(", "))
}

fn of_table(conn: &Connection, table: &str, settings: &Table, tables: &[String]) -> Result<Vec<String>> {
    let columns = column_names(conn, table)?;
    let mut complaints = Vec::new();
    let lists = [&settings.exclude, &settings.ignore].into_iter().flatten().flatten();
    let named = lists.chain(settings.columns.keys()).chain(settings.references.keys()).chain(&settings.timestamp_column);
    for column in named {
        if !columns.iter().any(|known| known.eq_ignore_ascii_case(column)) {
            complaints.push(format!("{table} has no column {column}; it has {}", columns.join(", ")));
        }
    }
    for (column, parent) in &settings.references {
        let Some(parent) = tables.iter().find(|known| known.eq_ignore_ascii_case(parent)) else {
            complaints.push(format!("{table}.{column} refers to {parent}, which is no table of the store"));
            continue;
        };
        if key_width(conn, parent)? != 1 {
            complaints.push(format!("{table}.{column} refers to {parent}, whose key is not a single column"));
        }
    }
    if let Some(error) = settings.filter.as_deref().and_then(|filter| filter_error(conn, table, filter)) {
        complaints.push(format!("the filter of {table} does not work: {error}"));
    }
    Ok(complaints)
}

fn key_width(conn: &Connection, table: &str) -> Result<usize> {
    conn.query_row("SELECT count(*) FROM pragma_table_info(?1) WHERE pk > 0", [table], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, cents INTEGER, store_id INTEGER);
        CREATE TABLE items(id INTEGER PRIMARY KEY, sale_id INTEGER)";

    fn check(settings: &str, expected: &[&str]) {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(STORE).unwrap();
        let text = format!("store = 'p'\nserver = 'https://hub.example'\nname = 'n'\nstate_dir = 's'\n{settings}");
        let found = complaints(&conn, &Config::parse(&text).unwrap()).unwrap();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn what_does_not_fit_the_store_is_told() {
        check("", &[]);
        check("[tables.Sales]\nfilter = \"store_id = 367 -- ours\"\nexclude = ['CENTS']", &[]);
        check("exclude_tables = ['bills']", &["no table bills; it has items, sales"]);
        check("[tables.bills]", &["no table bills"]);
        check("[tables.sales]\nignore = ['flag']\ncolumns = { stock = 'sum' }", &["no column flag", "no column stock"]);
        check("[tables.items]\nreferences = { sale_id = 'bills' }", &["refers to bills"]);
        check("[tables.sales]\nfilter = 'shop = 3'", &["no such column: shop"]);
        check("[tables.sales]\nfilter = 'store_id ='", &["syntax error"]);
        check("[tables.sales]\nfilter = 'store_id = ?1'", &["parameter"]);
        check("[tables.sales]\nentity = 'items'", &["items and sales both have the entity"]);
    }
}
