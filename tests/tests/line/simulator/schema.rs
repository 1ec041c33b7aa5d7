//! The schema of one register's store, and how upgrades of the POS program change it: columns and tables come and go, and a rebuilt table
//! has lost its triggers. Every register is upgraded when it is.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use tillsync_core::row::Row;
use tillsync_core::value::Value;

use super::shop::{TABLES, Table};

/// What a new column holds in rows that were there before, where the upgrade gives it a default.
pub const DEFAULT: &str = "none yet";

/// Columns that come in some shops.
pub const COMING: [&str; 2] = ["size", "tip"];

/// What an upgrade changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Upgrade {
    /// `ALTER TABLE … ADD COLUMN`, or the same by a rebuild.
    AddColumn { table: Table, column: &'static str, default: Value, rebuilds: bool },
    /// `ALTER TABLE … DROP COLUMN`.
    DropColumn(Table, &'static str),
    /// `CREATE TABLE`.
    AddTable(Table),
    /// `DROP TABLE`.
    DropTable(Table),
    /// The table is made anew with the same columns and rows.
    Rebuild(Table),
}

impl Upgrade {
    /// The upgrades that a chain goes through, if it does.
    pub fn draw_all(rng: &mut Rng) -> Vec<Self> {
        if rng.bool() {
            return Vec::new();
        }
        let default = |rng: &mut Rng| if rng.bool() { Value::Null } else { Value::Text(DEFAULT.to_owned()) };
        let size = Self::AddColumn { table: Table::Products, column: "size", default: default(rng), rebuilds: rng.bool() };
        let tip = Self::AddColumn { table: Table::Sales, column: "tip", default: default(rng), rebuilds: rng.bool() };
        let offers = if rng.bool() { Self::AddTable(Table::Offers) } else { Self::DropTable(Table::Offers) };
        let rebuild = Self::Rebuild([Table::Products, Table::Sales, Table::Lines][rng.usize(..3)]);
        let drops = [Self::DropColumn(Table::Sales, "note"), Self::DropColumn(Table::Products, "price")];
        let all = [size, tip, offers, rebuild].into_iter().chain(drops);
        all.filter(|_| rng.bool()).collect()
    }

    /// A name for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::AddColumn { .. } => "a column comes",
            Self::DropColumn(..) => "a column goes",
            Self::AddTable(_) => "a table comes",
            Self::DropTable(_) => "a table goes",
            Self::Rebuild(_) => "a table is rebuilt",
        }
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: &'static str,
    /// What rows hold in it that say nothing of it.
    pub default: Value,
}

/// The schema of one store.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Counts up with every change of it.
    pub version: u32,
    tables: BTreeMap<Table, Vec<Column>>,
    /// Tables without triggers: no journal tells what the POS does to them.
    pub bare: BTreeSet<Table>,
    /// Which of the chain's upgrades were made.
    pub upgrades: usize,
}

impl Schema {
    /// The schema before all upgrades of the chain.
    pub fn before(upgrades: &[Upgrade], counted: bool) -> Self {
        let comes = |column: &str| {
            upgrades.iter().any(|upgrade| matches!(upgrade, Upgrade::AddColumn { column: name, .. } if *name == column))
        };
        let plain = |name: &'static str| Column { name, default: Value::Null };
        let columns = |table: Table| {
            let facts = table.facts().iter().copied().filter(|name| !comes(name));
            let others = table.others().iter().copied().filter(|name| *name != "number" || counted);
            others.chain(facts).map(plain).collect()
        };
        let has_offers = upgrades.contains(&Upgrade::DropTable(Table::Offers));
        let tables = TABLES.into_iter().filter(|table| *table != Table::Offers || has_offers);
        Self { version: 1, tables: tables.map(|table| (table, columns(table))).collect(), bare: BTreeSet::new(), upgrades: 0 }
    }

    /// The tables that there are, parents before children.
    pub fn tables(&self) -> impl DoubleEndedIterator<Item = Table> {
        self.tables.keys().copied()
    }

    /// Whether the table is there.
    pub fn has(&self, table: Table) -> bool {
        self.tables.contains_key(&table)
    }

    /// A table's columns.
    pub fn columns(&self, table: Table) -> &[Column] {
        self.tables.get(&table).map_or(&[], Vec::as_slice)
    }

    /// The columns of a table that hold what people typed.
    pub fn facts(&self, table: Table) -> Vec<&'static str> {
        let columns = self.columns(table).iter().map(|column| column.name);
        columns.filter(|name| table.facts().contains(name)).collect()
    }

    /// The row as the table holds it: columns that it does not have are left out, and others have what they hold by default.
    pub fn fit(&self, table: Table, mut row: Row) -> Row {
        let columns = self.columns(table);
        row = row.iter().filter(|(name, _)| columns.iter().any(|column| column.name == *name)).map(owned).collect();
        for column in columns {
            if row.get(column.name).is_none() {
                row.push(column.name, column.default.clone());
            }
        }
        row
    }

    /// Changes the schema alone; the rows follow.
    pub fn upgrade(&mut self, upgrade: &Upgrade) {
        self.version += 1;
        self.upgrades += 1;
        match upgrade {
            Upgrade::AddColumn { table, column, default, rebuilds } => {
                let columns = self.tables.entry(*table).or_default();
                columns.push(Column { name: column, default: default.clone() });
                if *rebuilds {
                    self.bare.insert(*table);
                }
            }
            Upgrade::DropColumn(table, column) => self.tables.entry(*table).or_default().retain(|there| there.name != *column),
            Upgrade::AddTable(table) => {
                let columns = table.others().iter().chain(table.facts());
                self.tables.insert(*table, columns.map(|name| Column { name, default: Value::Null }).collect());
                self.bare.insert(*table);
            }
            Upgrade::DropTable(table) => {
                self.tables.remove(table);
                self.bare.remove(table);
            }
            Upgrade::Rebuild(table) => drop(self.bare.insert(*table)),
        }
    }

    /// Whether a store with this schema holds in the row what the hub does. What nobody has filled is nothing, whatever it comes with.
    pub fn agrees(&self, table: Table, here: &Row, hub: &Row) -> bool {
        self.columns(table).iter().all(|Column { name, default }| {
            let (mine, theirs) = (here.get(name).unwrap_or(&Value::Null), hub.get(name).unwrap_or(&Value::Null));
            let is_unset = |value: &Value| value.is_null() || value == default;
            mine == theirs || (is_unset(mine) && is_unset(theirs))
        })
    }
}

fn owned((name, value): (&str, &Value)) -> (String, Value) {
    (name.to_owned(), value.clone())
}
