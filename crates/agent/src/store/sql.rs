//! The text of statements about every row, which would take as long to put together as to carry out.

use std::sync::OnceLock;

/// Text that is put together when it is first needed. A copy begins anew, as what it is about may be changed in it.
#[derive(Debug, Default)]
pub struct Sql(OnceLock<String>);

impl Sql {
    /// The text; made the first time.
    pub fn text(&self, make: impl FnOnce() -> String) -> &str {
        self.0.get_or_init(make)
    }
}

impl Clone for Sql {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// It follows from what it is about.
impl PartialEq for Sql {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Sql {}

/// Statements about the rows of a table.
#[derive(Clone, Debug, Default)]
pub struct TableSql {
    /// Reads the row with a key.
    pub read: Sql,
    /// Writes a row with all columns.
    pub upsert: Sql,
}
