//! What the simulated registers sell: products that all share, and sales with lines that belong to one register. And how the shop
//! wants them merged, drawn from the seed.

use fastrand::Rng;
use tillsync_core::kept::Columns;
use tillsync_core::key::entity_id;
use tillsync_core::policy::{Detect, Lists, Merging, Policy, Rule};
use tillsync_core::row::Row;
use tillsync_core::value::Value;

/// A table, in the order parents before children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Shared by all registers; merges by field.
    Products,
    /// Rung up by one register; merges by field.
    Sales,
    /// Belong to a sale; merge by row.
    Lines,
}

/// All tables, parents before children.
pub const TABLES: [Table; 3] = [Table::Products, Table::Sales, Table::Lines];

/// A row's identity: its table and its entity id.
pub type Key = (Table, String);

/// Policies for whole entities; `sum` and `json` are drawn for the columns that are made for them.
const POLICIES: [Policy; 7] =
    [Policy::Latest, Policy::Server, Policy::Client, Policy::Manager, Policy::Manual, Policy::Field, Policy::Fill];

/// Rules for columns that hold one value.
const RULES: [Rule; 6] = [Rule::Latest, Rule::Server, Rule::Client, Rule::Manager, Rule::Manual, Rule::Fill];

impl Table {
    /// The columns that hold what people typed. Every value in them is written once in a whole run, unless it is counted.
    pub fn facts(self) -> &'static [&'static str] {
        match self {
            Self::Products => &["name", "price", "stock", "tags"],
            Self::Sales => &["total", "note"],
            Self::Lines => &["cents"],
        }
    }

    /// The columns of which the shadow keeps a print.
    fn prints(self) -> &'static [&'static str] {
        match self {
            Self::Products => &["id", "name", "price", "stock", "tags"],
            Self::Sales => &["id", "total", "note"],
            Self::Lines => &[],
        }
    }
}

/// How the tables of one shop are merged.
#[derive(Clone, Debug)]
pub struct Shop {
    merging: Vec<Merging>,
    columns: Vec<Columns>,
}

impl Shop {
    /// Draws a shop: every other one leaves everything as it comes.
    pub fn draw(rng: &mut Rng) -> Self {
        let plain = rng.bool();
        let merging: Vec<Merging> =
            TABLES.iter().map(|table| if plain { Merging::default() } else { draw_merging(*table, rng) }).collect();
        let columns = TABLES.iter().zip(&merging).map(|(table, merging)| kept_columns(*table, merging)).collect();
        Self { merging, columns }
    }

    /// How a table's rows are merged.
    pub fn merging(&self, table: Table) -> &Merging {
        &self.merging[table as usize]
    }

    /// The rule of a column.
    pub fn rule(&self, table: Table, column: &str) -> Rule {
        self.merging(table).rule(column)
    }

    /// Whether the column counts, so that what is written to it is a difference.
    pub fn counts(&self, table: Table, column: &str) -> bool {
        self.rule(table, column) == Rule::Sum
    }

    /// What the shadow keeps of a table's rows.
    pub fn columns(&self, table: Table) -> &Columns {
        &self.columns[table as usize]
    }
}

fn draw_merging(table: Table, rng: &mut Rng) -> Merging {
    let mut merging = Merging { policy: POLICIES[rng.usize(..POLICIES.len())], ..Merging::default() };
    for &column in table.facts() {
        let rule = match column {
            "stock" if rng.u8(0..4) > 0 => Rule::Sum,
            "tags" if rng.u8(0..4) > 0 => Rule::Json,
            _ if rng.bool() => RULES[rng.usize(..RULES.len())],
            _ => continue,
        };
        merging.columns.insert(column.to_owned(), rule);
    }
    merging.lists = if rng.bool() { Lists::Union } else { Lists::Concat };
    merging.detect = if rng.u8(0..4) > 0 { Detect::Version } else { Detect::Hash };
    merging
}

fn kept_columns(table: Table, merging: &Merging) -> Columns {
    let bases = table.facts().iter().filter(|column| merging.rule(column).needs_base());
    Columns {
        prints: table.prints().iter().map(|&name| name.to_owned()).collect(),
        bases: bases.map(|&name| name.to_owned()).collect(),
        added: Vec::new(),
    }
}

/// The row that a row refers to.
pub fn parent((table, _): &Key, row: &Row) -> Option<Key> {
    let sale = row.get("sale").filter(|_| *table == Table::Lines)?;
    Some((Table::Sales, entity_id(std::slice::from_ref(sale))))
}

/// The key of a product.
pub fn product(number: i64) -> (Key, Value) {
    let id = Value::Integer(number);
    ((Table::Products, entity_id(std::slice::from_ref(&id))), id)
}

/// The key of a sale or of a line.
pub fn named(table: Table, name: &str) -> (Key, Value) {
    let id = Value::Text(name.to_owned());
    ((table, entity_id(std::slice::from_ref(&id))), id)
}
