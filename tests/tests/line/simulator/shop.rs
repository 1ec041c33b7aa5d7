//! What the simulated registers sell: products that all share, and sales with lines that belong to one register.

use tillsync_core::kept::Columns;
use tillsync_core::key::entity_id;
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

impl Table {
    /// The columns that hold what people typed. Every value in them is written once in a whole run.
    pub fn facts(self) -> &'static [&'static str] {
        match self {
            Self::Products => &["name", "price", "stock"],
            Self::Sales => &["total", "note"],
            Self::Lines => &["cents"],
        }
    }

    /// The columns of which the shadow keeps a print.
    pub fn columns(self) -> Columns {
        let names: &[&str] = match self {
            Self::Products => &["id", "name", "price", "stock"],
            Self::Sales => &["id", "total", "note"],
            Self::Lines => &[],
        };
        Columns { prints: names.iter().map(|&name| name.to_owned()).collect(), bases: Vec::new() }
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
