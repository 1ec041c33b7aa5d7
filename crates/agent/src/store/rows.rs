//! Reading and writing the POS's rows.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, Statement, ToSql, params_from_iter};
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use crate::store::schema::{Reference, Table, quote};

/// Where no index finds rows that refer to another, so many of the newest are looked through: some milliseconds at most.
const NEWEST_ROWS_MAX: u32 = 5_000;

/// A value of a result row.
pub fn value_at(row: &rusqlite::Row<'_>, place: usize) -> Result<Value> {
    Ok(match row.get_ref(place)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Integer(n),
        ValueRef::Real(r) => Value::Real(r),
        ValueRef::Text(bytes) => Value::text(bytes),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}

/// A value as a statement's parameter.
pub(super) struct Bound<'a>(pub(super) &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(n) => ValueRef::Integer(*n),
            Value::Real(r) => ValueRef::Real(*r),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::RawText(bytes) => ValueRef::Text(bytes),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

pub(super) fn bound(values: &[Value]) -> impl Iterator<Item = Bound<'_>> {
    values.iter().map(Bound)
}

/// The rows with this key: none or one, except that SQLite lets several rows share a key that holds NULL.
pub fn read(conn: &Connection, table: &Table, key: &[Value]) -> Result<Vec<Row>> {
    let sql = table.sql.read.text(|| {
        format!("SELECT {} FROM {} WHERE {} LIMIT 2", column_list(&table.columns), quote(&table.name), key_condition(table, 1))
    });
    let mut query = conn.prepare_cached(sql)?;
    collect(&mut query, bound(key), table)
}

/// Up to `limit` rows after this key that sync, in key order; from the start when `None`. Rows whose key holds NULL are left out.
pub fn read_after(conn: &Connection, table: &Table, after: Option<&[Value]>, limit: usize) -> Result<Vec<Row>> {
    let keys = column_list(&table.key);
    let no_null: Vec<String> = table.key.iter().map(|key| format!("{} IS NOT NULL", quote(key))).collect();
    let beyond = after.map(|_| {
        let places: Vec<String> = (1..=table.key.len()).map(|place| format!("?{place}")).collect();
        format!(" AND ({keys}) > ({})", places.join(", "))
    });
    let sql = format!(
        "SELECT {} FROM {} WHERE {}{}{} ORDER BY {keys} LIMIT {limit}",
        column_list(&table.columns),
        quote(&table.name),
        no_null.join(" AND "),
        beyond.unwrap_or_default(),
        and_filter(table),
    );
    let mut query = conn.prepare_cached(&sql)?;
    collect(&mut query, bound(after.unwrap_or_default()), table)
}

/// The rows with this value in a column that sync, in key order.
pub fn read_where(conn: &Connection, table: &Table, column: &str, value: &Value) -> Result<Vec<Row>> {
    let sql = format!(
        "SELECT {} FROM {} WHERE {} = ?1{} ORDER BY {}",
        column_list(&table.columns),
        quote(&table.name),
        quote(column),
        and_filter(table),
        column_list(&table.key),
    );
    let mut query = conn.prepare_cached(&sql)?;
    collect(&mut query, std::iter::once(Bound(value)), table)
}

/// How many rows of the table sync.
pub fn count(conn: &Connection, table: &Table) -> Result<u64> {
    let condition = table.filter.as_ref().map_or_else(String::new, |filter| format!(" WHERE {filter}"));
    conn.prepare_cached(&format!("SELECT count(*) FROM {}{condition}", quote(&table.name)))?.query_row([], |row| row.get(0))
}

/// Whether the row with this key, which is there, is one that the table's filter keeps out.
pub fn is_outside(conn: &Connection, table: &Table, key: &[Value]) -> Result<bool> {
    let Some(filter) = &table.filter else { return Ok(false) };
    let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM {} WHERE {} AND {filter})", quote(&table.name), key_condition(table, 1));
    conn.prepare_cached(&sql)?.query_row(params_from_iter(bound(key)), |row| row.get(0))
}

pub(super) fn and_filter(table: &Table) -> String {
    table.filter.as_ref().map_or_else(String::new, |filter| format!(" AND {filter}"))
}

/// The key of a row.
pub fn key_of(table: &Table, row: &Row) -> Vec<Value> {
    table.key.iter().map(|key| row.get(key).cloned().unwrap_or(Value::Null)).collect()
}

/// Inserts the row or updates the columns it has, and gives back the row as the store holds it now. Columns that the table
/// does not have are left out, columns that the row does not have keep their value.
pub fn upsert(conn: &Connection, table: &Table, key: &[Value], row: &Row) -> Result<Row> {
    let is_whole = row.iter().map(|(name, _)| name).eq(&table.columns);
    let known: Vec<(&str, &Value)> =
        row.iter().filter(|(name, _)| is_whole || table.columns.iter().any(|column| column == name)).collect();
    if key.iter().any(Value::is_null) && update(conn, table, key, &known)? > 0 {
        return Ok(read(conn, table, key)?.into_iter().next().unwrap_or_default());
    }
    let make = || upsert_sql(table, &known);
    let mut statement = if is_whole { conn.prepare_cached(table.sql.upsert.text(make)) } else { conn.prepare_cached(&make()) }?;
    let values = known.iter().map(|(_, value)| Bound(value)).chain(table.fillers.iter().map(|(_, value)| Bound(value)));
    let mut rows = collect(&mut statement, values, table)?;
    Ok(rows.pop().unwrap_or_default())
}

/// What a row holds in the columns that do not sync.
pub fn read_left_out(conn: &Connection, table: &Table, key: &[Value]) -> Result<Row> {
    if table.left_out.is_empty() {
        return Ok(Row::default());
    }
    let names: Vec<String> = table.left_out.iter().map(|(name, _)| name.clone()).collect();
    let sql = format!("SELECT {} FROM {} WHERE {} LIMIT 1", column_list(&names), quote(&table.name), key_condition(table, 1));
    let mut query = conn.prepare_cached(&sql)?;
    let mut rows = query.query(params_from_iter(bound(key)))?;
    let mut columns = Row::default();
    if let Some(row) = rows.next()? {
        for (place, name) in names.iter().enumerate() {
            columns.push(name, value_at(row, place)?);
        }
    }
    Ok(columns)
}

/// Puts values back into the columns that do not sync.
pub fn put_left_out(conn: &Connection, table: &Table, key: &[Value], columns: &Row) -> Result<()> {
    if !columns.is_empty() {
        update(conn, table, key, &columns.iter().collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Deletes the row with exactly this key: where the key's collation ignores case, a row that differs in case stays.
pub fn delete(conn: &Connection, table: &Table, key: &[Value]) -> Result<usize> {
    let exact: Vec<String> = table
        .key
        .iter()
        .enumerate()
        .map(|(place, k)| format!("CAST({} AS BLOB) IS CAST(?{} AS BLOB)", quote(k), place + 1))
        .collect();
    let sql = format!("DELETE FROM {} WHERE {} AND {}", quote(&table.name), key_condition(table, 1), exact.join(" AND "));
    conn.prepare_cached(&sql)?.execute(params_from_iter(bound(key)))
}

/// Whether the row at the other end of a reference is there. A reference that holds NULL refers to nothing and is fine.
pub fn parent_is_there(conn: &Connection, reference: &Reference, row: &Row) -> Result<bool> {
    let values: Vec<Value> = reference.columns.iter().map(|column| row.get(column).cloned().unwrap_or(Value::Null)).collect();
    if values.iter().any(Value::is_null) {
        return Ok(true);
    }
    any(conn, reference, &values)
}

/// Whether any row at the other end of a reference refers to the row with these values.
pub fn has_children(conn: &Connection, reference: &Reference, row: &Row) -> Result<bool> {
    let values: Vec<Value> = reference.columns.iter().map(|column| row.get(column).cloned().unwrap_or(Value::Null)).collect();
    any(conn, reference, &values)
}

fn any(conn: &Connection, reference: &Reference, values: &[Value]) -> Result<bool> {
    let sql = reference.sql.text(|| {
        let table = quote(&reference.table);
        // Without an index looking at all rows would take as long as the table is, while the POS waits.
        let newest = || format!("(SELECT * FROM {table} ORDER BY rowid DESC LIMIT {NEWEST_ROWS_MAX})");
        let among = if reference.is_indexed { table.clone() } else { newest() };
        let columns = reference.other_columns.iter().enumerate();
        let same: Vec<String> = columns.map(|(place, column)| format!("{} = ?{}", quote(column), place + 1)).collect();
        format!("SELECT EXISTS (SELECT 1 FROM {among} WHERE {})", same.join(" AND "))
    });
    conn.prepare_cached(sql)?.query_row(params_from_iter(bound(values)), |row| row.get(0))
}

fn update(conn: &Connection, table: &Table, key: &[Value], columns: &[(&str, &Value)]) -> Result<usize> {
    let width = table.key.len();
    let sets: Vec<String> =
        columns.iter().enumerate().map(|(place, (name, _))| format!("{} = ?{}", quote(name), width + place + 1)).collect();
    let sql = format!("UPDATE {} SET {} WHERE {}", quote(&table.name), sets.join(", "), key_condition(table, 1));
    let values = bound(key).chain(columns.iter().map(|(_, value)| Bound(value)));
    conn.prepare_cached(&sql)?.execute(params_from_iter(values))
}

fn upsert_sql(table: &Table, columns: &[(&str, &Value)]) -> String {
    let mut names: Vec<String> = columns.iter().map(|(name, _)| quote(name)).collect();
    let sets: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    names.extend(table.fillers.iter().map(|(name, _)| quote(name)));
    let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
    format!(
        "INSERT INTO {}({}) VALUES ({}) ON CONFLICT({}) DO UPDATE SET {} RETURNING {}",
        quote(&table.name),
        names.join(", "),
        places.join(", "),
        column_list(&table.key),
        sets.join(", "),
        column_list(&table.columns),
    )
}

pub(super) fn column_list(columns: &[String]) -> String {
    columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ")
}

pub(super) fn key_condition(table: &Table, first: usize) -> String {
    let parts: Vec<String> =
        table.key.iter().enumerate().map(|(place, key)| format!("{} IS ?{}", quote(key), first + place)).collect();
    parts.join(" AND ")
}

pub(super) fn collect<'a>(query: &mut Statement<'_>, values: impl Iterator<Item = Bound<'a>>, table: &Table) -> Result<Vec<Row>> {
    let mut rows = query.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut columns = Row::default();
        for (place, name) in table.columns.iter().enumerate() {
            columns.push(name, value_at(row, place)?);
        }
        found.push(columns);
    }
    Ok(found)
}
