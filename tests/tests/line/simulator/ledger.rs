//! The ledger of everything that POS programs and persons ever wrote, and on top of what.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fastrand::Rng;
use serde_json::{Map, Value as Json};
use tillsync_core::policy::Rule;
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use super::schema::{COMING, DEFAULT};
use super::shop::{Place, Shop, Table, Who};

/// A count changes by at most this much at once.
const DIFFERENCE_MAX: i64 = 1_000;

/// What a value is replaced by that is deleted.
const NOTHING: i64 = 0;

/// Members of a JSON value.
const MEMBERS: [&str; 3] = ["colour", "size", "maker"];

/// The list in a JSON value.
const LIST: &str = "labels";

/// A delete by a POS program, and the values that it saw go.
#[derive(Debug)]
pub struct Deleted {
    pub register: usize,
    pub who: Who,
    pub values: BTreeSet<i64>,
}

/// What was written, where, and on top of what. Every value is written once, so a value says who wrote it and when; where a column
/// counts, the differences are added up instead.
#[derive(Debug)]
pub struct Ledger {
    pub shop: Rc<Shop>,
    last_value: i64,
    births: u64,
    /// How many writes there were, of whatever kind.
    pub writes: usize,
    /// Keys that registers have given to rows.
    given: BTreeSet<(usize, Place)>,
    /// Every value: the row and the column it was written to.
    pub values: BTreeMap<i64, (Who, &'static str)>,
    /// Values that somebody who saw them replaced, and by which ones.
    pub replaced: BTreeMap<i64, BTreeSet<i64>>,
    pub deletes: Vec<Deleted>,
    /// Rows that POS programs deleted, and columns of them that these did not have, or had just got: what was there until then, up to this
    /// value, goes with the row. And what somebody typed over who had just got the column.
    pub gone_unseen: BTreeMap<(Who, &'static str), i64>,
    /// Sales and their lines that were rung up, and neither voided nor lost with a store's file before anybody had seen them.
    pub sold: BTreeSet<Who>,
    /// Values of rows from before Tillsync.
    pub loaded: BTreeSet<i64>,
    from_before: BTreeMap<Who, Row>,
    /// How often each row was written at each register, or may be taken for written there.
    pub written_at: BTreeMap<(usize, Who), usize>,
    /// How often the first full sync of a register may bring the row again, with other columns.
    pub uploads_again: BTreeMap<(usize, Who), usize>,
    /// How often columns came to a register's table.
    pub columns_came: BTreeMap<(usize, Table), usize>,
    /// What the differences in columns that count come to.
    pub counted: BTreeMap<(Who, &'static str), i64>,
    /// Rows whose differences say nothing: from before Tillsync and not the same everywhere, so that there is no count to begin with, or
    /// deleted where nobody knew of them yet, which is no delete; and rows that two registers deleted, each for itself.
    pub uncounted: BTreeSet<Who>,
    /// Rows whose changes were on their way when a disk was copied, so that either of two registers may send them first.
    pub sent_by_two: BTreeSet<Who>,
    /// Registers whose store was restored: they may see rows as they once were, deleted ones, too.
    pub restored: BTreeSet<usize>,
}

impl Ledger {
    pub fn new(shop: Rc<Shop>) -> Self {
        Self {
            shop,
            last_value: 0,
            births: 0,
            writes: 0,
            given: BTreeSet::new(),
            values: BTreeMap::new(),
            replaced: BTreeMap::new(),
            deletes: Vec::new(),
            gone_unseen: BTreeMap::new(),
            sold: BTreeSet::new(),
            loaded: BTreeSet::new(),
            from_before: BTreeMap::new(),
            written_at: BTreeMap::new(),
            uploads_again: BTreeMap::new(),
            columns_came: BTreeMap::new(),
            counted: BTreeMap::new(),
            uncounted: BTreeSet::new(),
            sent_by_two: BTreeSet::new(),
            restored: BTreeSet::new(),
        }
    }

    /// The values in a row that were written once.
    pub fn facts(&self, who: &Who, row: &Row) -> BTreeSet<i64> {
        facts(&self.shop, who.0, row).map(|(_, value)| value).collect()
    }

    /// What somebody writes into a column where this was before.
    pub fn write(&mut self, who: &Who, column: &'static str, old: Option<&Value>, rng: &mut Rng) -> Value {
        if self.shop.counts(who.0, column) {
            return self.count_on(who, column, old, rng);
        }
        let new = match old {
            Some(Value::Text(text)) => self.write_json(who, column, text, rng),
            _ if column == "tags" => self.write_json(who, column, "{}", rng),
            _ if self.shop.rule(who.0, column) == Rule::Fill && rng.u8(0..3) == 0 => Value::Null,
            _ => Value::Integer(self.fresh(who, column)),
        };
        if let Some(old) = old {
            let (old, new): (BTreeSet<i64>, BTreeSet<i64>) =
                (numbers(old).into_iter().collect(), numbers(&new).into_iter().collect());
            for gone in old.difference(&new) {
                let by = self.replaced.entry(*gone).or_default();
                by.extend(new.difference(&old));
                if new.is_subset(&old) {
                    by.insert(NOTHING);
                }
            }
        }
        new
    }

    fn count_on(&mut self, who: &Who, column: &'static str, old: Option<&Value>, rng: &mut Rng) -> Value {
        let old = old.and_then(integer).unwrap_or(0);
        let difference = rng.i64(1..=DIFFERENCE_MAX) * if rng.bool() { 1 } else { -1 };
        *self.counted.entry((who.clone(), column)).or_default() += difference;
        Value::Integer(old + difference)
    }

    /// Sets a member, or adds to the list or takes from it.
    fn write_json(&mut self, who: &Who, column: &'static str, old: &str, rng: &mut Rng) -> Value {
        let mut members: Map<String, Json> = serde_json::from_str(old).expect("only objects are written there");
        let list = members.entry(LIST).or_insert_with(|| Json::Array(Vec::new()));
        match (rng.u8(0..4), list) {
            (0, Json::Array(list)) if !list.is_empty() => drop(list.remove(rng.usize(..list.len()))),
            (0 | 1, Json::Array(list)) => list.push(self.fresh(who, column).into()),
            _ => drop(members.insert(MEMBERS[rng.usize(..MEMBERS.len())].to_owned(), self.fresh(who, column).into())),
        }
        Value::Text(Json::Object(members).to_string())
    }

    /// A value that nobody has written before.
    fn fresh(&mut self, who: &Who, column: &'static str) -> i64 {
        self.last_value += 1;
        self.values.insert(self.last_value, (who.clone(), column));
        self.last_value
    }

    /// Which row it is that has this key in a store.
    pub fn who(&self, table: Table, id: &str, row: &Row) -> Who {
        self.shop.who(table, id, row).expect("every row of a store says who it is")
    }

    /// Whether the register has given the key to another row before.
    pub fn is_used_again(&mut self, register: usize, place: &Place) -> bool {
        !self.given.insert((register, place.clone()))
    }

    /// The number of an insertion: no two are the same.
    pub fn birth(&mut self) -> u64 {
        self.births += 1;
        self.births
    }

    /// A new row with these columns; every value in it is fresh.
    pub fn new_row(&mut self, who: &Who, id: Value, columns: &[&'static str], rng: &mut Rng) -> Row {
        let mut row: Row = [("id".to_owned(), id)].into_iter().collect();
        if self.shop.is_counted(who.0) {
            row.push("number", Value::Text(who.1.clone()));
        }
        for column in columns {
            row.push(column, self.write(who, column, None, rng));
        }
        row
    }

    /// A row that was not written after all.
    pub fn forget(&mut self, who: &Who, row: &Row) {
        for value in self.facts(who, row) {
            self.values.remove(&value);
        }
        self.uncount(who, row);
    }

    /// A row was there before Tillsync.
    pub fn load(&mut self, who: &Who, row: &Row) {
        self.writes += 1;
        self.sell(who);
        let facts = self.facts(who, row);
        self.loaded.extend(facts);
        if self.from_before.insert(who.clone(), row.clone()).is_some_and(|other| other != *row) {
            self.uncounted.insert(who.clone());
        }
    }

    /// A value that a person types into a column.
    pub fn invent(&mut self, who: &Who, column: &'static str) -> Value {
        Value::Integer(self.fresh(who, column))
    }

    /// A POS program wrote the row.
    pub fn written(&mut self, register: usize, who: &Who) {
        self.writes += 1;
        *self.written_at.entry((register, who.clone())).or_default() += 1;
    }

    /// A sale or a line of one is there from now on.
    pub fn sell(&mut self, who: &Who) {
        if matches!(who.0, Table::Sales | Table::Lines) {
            self.sold.insert(who.clone());
        }
    }

    /// Somebody who has seen these values lets go of them for good.
    pub fn let_go(&mut self, values: impl IntoIterator<Item = i64>) {
        for value in values {
            self.replaced.entry(value).or_default().insert(NOTHING);
        }
    }

    /// A POS program deleted the row as it saw it.
    pub fn deleted(&mut self, register: usize, who: &Who, row: &Row) {
        self.uncount(who, row);
        let values = self.facts(who, row);
        let is_unset = |value: &Value| value.is_null() || *value == Value::Text(DEFAULT.to_owned());
        let lacking = who.0.facts().iter().filter(|column| match row.get(column) {
            Some(value) => COMING.contains(column) && is_unset(value),
            None => true,
        });
        self.gone_unseen.extend(lacking.map(|column| ((who.clone(), *column), self.last_value)));
        self.sold.remove(who);
        let again =
            !self.restored.is_empty() || self.deletes.iter().any(|deleted| deleted.who == *who && deleted.register != register);
        if again || self.from_before.contains_key(who) {
            self.uncounted.insert(who.clone());
        }
        self.deletes.push(Deleted { register, who: who.clone(), values });
        self.written(register, who);
    }

    /// Whatever anybody holds in a column that has just come to a register gives way to what is typed there.
    pub fn replace_unseen(&mut self, who: &Who, column: &'static str) {
        if COMING.contains(&column) {
            self.gone_unseen.insert((who.clone(), column), self.last_value);
        }
    }

    fn uncount(&mut self, who: &Who, row: &Row) {
        for &column in who.0.facts().iter().filter(|column| self.shop.counts(who.0, column)) {
            let count = row.get(column).and_then(integer).unwrap_or(0);
            *self.counted.entry((who.clone(), column)).or_default() -= count;
        }
    }

    /// A person who saw `seen` made this of the row.
    pub fn decided(&mut self, who: &Who, seen: Option<&Row>, result: Option<&Row>) {
        self.writes += 1;
        let there = result.map(|row| self.facts(who, row)).unwrap_or_default();
        let seen = seen.map(|row| self.facts(who, row)).unwrap_or_default();
        self.let_go(seen.difference(&there).copied());
        if result.is_some() {
            // Whoever deleted the row before is overruled.
            let (overruled, others) = std::mem::take(&mut self.deletes).into_iter().partition(|deleted| deleted.who == *who);
            self.deletes = others;
            let overruled: Vec<Deleted> = overruled;
            self.let_go(overruled.into_iter().flat_map(|deleted| deleted.values));
        }
    }
}

/// The values of a row that were written once, with their columns.
pub fn facts<'a>(shop: &'a Shop, table: Table, row: &'a Row) -> impl Iterator<Item = (&'static str, i64)> + 'a {
    let columns = table.facts().iter().filter(move |column| !shop.counts(table, column));
    columns.flat_map(|&column| row.get(column).map(numbers).into_iter().flatten().map(move |value| (column, value)))
}

fn integer(value: &Value) -> Option<i64> {
    if let Value::Integer(n) = value { Some(*n) } else { None }
}

/// All numbers in a value.
fn numbers(value: &Value) -> Vec<i64> {
    match value {
        Value::Integer(n) => vec![*n],
        Value::Text(text) => serde_json::from_str(text).map(|json: Json| leaves(&json)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn leaves(json: &Json) -> Vec<i64> {
    match json {
        Json::Number(number) => number.as_i64().into_iter().collect(),
        Json::Array(items) => items.iter().flat_map(leaves).collect(),
        Json::Object(members) => members.values().flat_map(leaves).collect(),
        _ => Vec::new(),
    }
}
