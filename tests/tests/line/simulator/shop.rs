//! What the simulated registers sell: products that all share, and sales with lines that belong to one register. And how the shop
//! wants them merged, drawn from the seed.

use fastrand::Rng;
use tillsync_core::key::entity_id;
use tillsync_core::policy::{Detect, Lists, Merging, Policy, Rule};
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use super::schema::Upgrade;

/// A table, in the order parents before children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Shared by all registers; merges by field.
    Products,
    /// Rung up by one register; merges by field.
    Sales,
    /// Belong to a sale; merge by row.
    Lines,
    /// Shared by all registers, where it is there at all; merges by field.
    Offers,
}

/// All tables, parents before children.
pub const TABLES: [Table; 4] = [Table::Products, Table::Sales, Table::Lines, Table::Offers];

/// A row's identity on the wire: its table and its entity id.
pub type Key = (Table, String);

/// Which row it is for its shop, whatever keys it has: the number on a receipt, or the key that all registers use.
pub type Who = (Table, String);

/// A row's key in one store: its table and the entity id of its key there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub Table, pub String);

/// Policies for whole entities; `sum` and `json` are drawn for the columns that are made for them.
const POLICIES: [Policy; 7] =
    [Policy::Latest, Policy::Server, Policy::Client, Policy::Manager, Policy::Manual, Policy::Field, Policy::Fill];

/// Rules for columns that hold one value.
const RULES: [Rule; 6] = [Rule::Latest, Rule::Server, Rule::Client, Rule::Manager, Rule::Manual, Rule::Fill];

impl Table {
    /// The columns that hold what people typed. Every value in them is written once in a whole run, unless it is counted.
    pub fn facts(self) -> &'static [&'static str] {
        match self {
            Self::Products => &["name", "price", "stock", "tags", "size"],
            Self::Sales => &["total", "note", "tip"],
            Self::Lines => &["cents"],
            Self::Offers => &["text"],
        }
    }

    /// The other columns.
    pub fn others(self) -> &'static [&'static str] {
        match self {
            Self::Products | Self::Offers => &["id"],
            Self::Sales => &["id", "number"],
            Self::Lines => &["id", "number", "sale"],
        }
    }

    /// Whether the shadow keeps a print of every column.
    pub fn has_prints(self) -> bool {
        self != Self::Lines
    }
}

/// How the tables of one shop are kept and merged.
#[derive(Clone, Debug)]
pub struct Shop {
    merging: Vec<Merging>,
    /// Every register counts its sales and lines for itself.
    counts_keys: bool,
    /// No register gives a key twice, also when its row is gone.
    pub autoincrement: bool,
    /// What the POS program goes through, in this order.
    pub upgrades: Vec<Upgrade>,
}

impl Shop {
    /// Draws a shop: every other one leaves everything as it comes.
    pub fn draw(rng: &mut Rng) -> Self {
        let plain = rng.bool();
        let merging = TABLES.iter().map(|table| if plain { Merging::default() } else { draw_merging(*table, rng) }).collect();
        let (counts_keys, autoincrement) = (rng.u8(0..3) > 0, rng.bool());
        Self { merging, counts_keys, autoincrement, upgrades: Upgrade::draw_all(rng) }
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

    /// Whether every register counts the table's keys for itself, so that its rows have ids of their own on the wire.
    pub fn is_counted(&self, table: Table) -> bool {
        self.counts_keys && matches!(table, Table::Sales | Table::Lines)
    }

    /// Which row it is, as far as the row says so; `id` is its key in a store or on the wire.
    pub fn who(&self, table: Table, id: &str, row: &Row) -> Option<Who> {
        if !self.is_counted(table) {
            return Some((table, id.to_owned()));
        }
        match row.get("number") {
            Some(Value::Text(number)) => Some((table, number.clone())),
            _ => None,
        }
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

/// The row that a row refers to, in the same language: a store's, or the wire's.
pub fn parent(table: Table, row: &Row) -> Option<(Table, String)> {
    let sale = row.get("sale").filter(|_| table == Table::Lines)?;
    Some((Table::Sales, entity_id(std::slice::from_ref(sale))))
}

/// The place of a product or an offer, in all stores.
pub fn numbered(table: Table, number: i64) -> (Place, Value) {
    let id = Value::Integer(number);
    (Place(table, entity_id(std::slice::from_ref(&id))), id)
}
