//! Where a run keeps its files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// A folder that goes away at the end, or one that the reader asked to keep.
pub enum Folder {
    /// Removed when dropped.
    Temporary(TempDir),
    /// Kept.
    Kept(PathBuf),
}

impl Folder {
    /// A new folder; `keep` must be empty or not exist yet.
    pub fn new(keep: Option<PathBuf>) -> Result<Self> {
        let Some(path) = keep else {
            return Ok(Self::Temporary(tempfile::Builder::new().prefix("tillsync-").tempdir()?));
        };
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        let is_empty = std::fs::read_dir(&path)?.next().is_none();
        ensure!(is_empty, "{} is not empty: name a new folder, so that nothing of yours is overwritten", path.display());
        Ok(Self::Kept(std::path::absolute(path)?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}
