//! A small file beside the database: how far the log had come when somebody was last told. A database that is behind it was restored from a
//! backup.
//!
//! It is written after each commit and before the answer, without waiting for the disk: the database itself does wait, so that the file is
//! never ahead of it, whatever ends the hub.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The epoch of the log.
    pub epoch: String,
    /// The largest change id.
    pub head: i64,
}

/// The open file.
#[derive(Debug)]
pub(super) struct HeadFile(File);

impl HeadFile {
    /// Opens the file beside a database, making it when there is none; and what it says, if it says anything.
    pub(super) fn open(database: &Path) -> std::io::Result<(Self, Option<Told>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(place(database))?;
        let mut text = String::new();
        // A file that is damaged says nothing; the database may still be right.
        let told = file.read_to_string(&mut text).ok().and_then(|_| parse(&text));
        Ok((Self(file), told))
    }

    /// Writes down how far the log is.
    pub(super) fn write(&mut self, told: &Told) -> std::io::Result<()> {
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(format!("{} {:020}\n", told.epoch, told.head).as_bytes())
    }
}

fn place(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-head");
    name.into()
}

fn parse(text: &str) -> Option<Told> {
    let (epoch, head) = text.lines().next()?.split_once(' ')?;
    Some(Told { epoch: epoch.to_owned(), head: head.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("hub.db");
        let (mut file, told) = HeadFile::open(&database).unwrap();
        assert_eq!(told, None);
        for head in [7, 1_234_567, 8] {
            let told = Told { epoch: "e".to_owned(), head };
            file.write(&told).unwrap();
            assert_eq!(HeadFile::open(&database).unwrap().1, Some(told));
        }
        for damaged in ["", "e", "e x", "\0\0\0"] {
            std::fs::write(place(&database), damaged).unwrap();
            assert_eq!(HeadFile::open(&database).unwrap().1, None, "{damaged:?}");
        }
    }
}
