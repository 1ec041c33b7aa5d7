//! How SQLite holds what the shadow keeps of a row: four columns, `print`, `version`, `columns` and `bases`, in the state and, for as
//! long as the state may not know it, in the store.

use rusqlite::{Result, Row};
use tillsync_core::diff::Shadow;
use tillsync_core::kept::Kept;

/// The values of the four columns.
#[derive(Debug)]
pub struct Stored {
    /// The row's print; NULL when it is deleted.
    pub print: Option<i64>,
    /// The version on the server.
    pub version: i64,
    /// The columns' prints, 8 bytes each, little-endian; NULL when there are none.
    pub columns: Option<Vec<u8>>,
    /// The values of counters and JSON columns, as a JSON object; NULL when there are none.
    pub bases: Option<String>,
}

impl From<&Kept> for Stored {
    fn from(kept: &Kept) -> Self {
        let shadow = kept.row();
        let columns = shadow.map(|shadow| &shadow.columns).filter(|prints| !prints.is_empty());
        Self {
            print: shadow.map(|shadow| shadow.print as i64),
            version: kept.version(),
            columns: columns.map(|prints| prints.iter().flat_map(|print| print.to_le_bytes()).collect()),
            bases: shadow.filter(|shadow| !shadow.bases.is_empty()).map(|shadow| shadow.bases.to_json()),
        }
    }
}

/// Reads the four columns, of which the first is at `place`.
pub fn read(row: &Row<'_>, place: usize) -> Result<Kept> {
    let version = row.get(place + 1)?;
    let Some(print) = row.get::<_, Option<i64>>(place)? else { return Ok(Kept::Deleted(version)) };
    let columns: Option<Vec<u8>> = row.get(place + 2)?;
    let bases: Option<String> = row.get(place + 3)?;
    Ok(Kept::Row(Shadow {
        print: print as u64,
        columns: columns.unwrap_or_default().as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect(),
        version,
        bases: bases.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
    }))
}
