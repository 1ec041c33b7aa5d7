//! The paper roll: one line per sale, correction and void, written only after SQLite confirmed the commit. It proves what a
//! store must hold, whatever happened to the processes in between.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// What one sale came to; the last line about a sale holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The sale.
    pub basket_id: i64,
    /// What it comes to now; `None` once it is voided.
    pub cents: Option<i64>,
}

/// A paper roll on disk.
#[derive(Debug)]
pub struct Receipts {
    file: File,
}

impl Receipts {
    /// Goes on writing at the end of `path`.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    /// Prints one line, `basket_id cents` or `basket_id void`.
    pub fn print(&mut self, receipt: Receipt) -> io::Result<()> {
        let amount = receipt.cents.map_or_else(|| "void".to_owned(), |cents| cents.to_string());
        self.file.write_all(format!("{} {amount}\n", receipt.basket_id).as_bytes())
    }

    /// The last word about each sale. A torn last line is left out.
    pub fn read(path: &Path) -> io::Result<BTreeMap<i64, Option<i64>>> {
        let text = std::fs::read_to_string(path)?;
        let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        Ok(whole.lines().filter_map(parse).map(|receipt| (receipt.basket_id, receipt.cents)).collect())
    }
}

fn parse(line: &str) -> Option<Receipt> {
    let (basket_id, amount) = line.split_once(' ')?;
    let cents = match amount {
        "void" => None,
        cents => Some(cents.parse().ok()?),
    };
    Some(Receipt { basket_id: basket_id.parse().ok()?, cents })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_about_a_sale_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roll");
        let mut roll = Receipts::append_to(&path).unwrap();
        for (basket_id, cents) in [(1, Some(500)), (2, Some(-20)), (1, Some(450)), (2, None)] {
            roll.print(Receipt { basket_id, cents }).unwrap();
        }
        roll.file.write_all(b"3 99").unwrap();
        assert_eq!(Receipts::read(&path).unwrap(), BTreeMap::from([(1, Some(450)), (2, None)]));
    }
}
