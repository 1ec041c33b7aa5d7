//! Logs: one file a day in the platform's log folder, fields instead of prose, no row contents. Age and size limits hold from the
//! start on, also after a long time off.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;

/// Files older than this go.
const AGE_MAX: Duration = Duration::from_secs(14 * 86_400);

/// The newest files that together stay below this are kept.
const BYTES_MAX: u64 = 50 * 1024 * 1024;

/// What the files' names begin with.
const PREFIX: &str = "tillsync";

/// The platform's log folder for this state: `Library/Logs` on macOS, the state folder elsewhere, so that two agents of one user
/// never share files.
pub fn folder(state_dir: &Path) -> PathBuf {
    let name = format!("{:08x}", xxhash_rust::xxh3::xxh3_64(state_dir.as_os_str().as_encoded_bytes()) as u32);
    match directories::UserDirs::new() {
        Some(dirs) if cfg!(target_os = "macos") => dirs.home_dir().join("Library/Logs/Tillsync").join(name),
        _ => state_dir.join("logs"),
    }
}

/// Starts logging into files, and to stderr when asked. The guard writes out what is left when it is dropped.
pub fn start(state_dir: &Path, to_stderr: bool) -> anyhow::Result<WorkerGuard> {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let folder = folder(state_dir);
    fs::create_dir_all(&folder)?;
    prune(&folder, SystemTime::now(), AGE_MAX, BYTES_MAX)?;
    let files =
        RollingFileAppender::builder().rotation(Rotation::DAILY).filename_prefix(PREFIX).filename_suffix("log").build(&folder)?;
    let (writer, guard) = tracing_appender::non_blocking(files);
    let filter = || EnvFilter::try_from_env("TILLSYNC_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    let stderr = to_stderr.then(|| {
        tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_target(false).with_writer(std::io::stderr)
    });
    // A second start in one process, as in tests, keeps the first.
    let _ = tracing_subscriber::registry().with(filter()).with(layer).with(stderr).try_init();
    Ok(guard)
}

/// Removes files beyond the limits, the oldest first.
fn prune(folder: &Path, now: SystemTime, age_max: Duration, bytes_max: u64) -> std::io::Result<()> {
    let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let info = file.metadata()?;
        if info.is_file() && file.file_name().to_string_lossy().starts_with(PREFIX) {
            files.push((info.modified()?, info.len(), file.path()));
        }
    }
    files.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
    let mut total = 0;
    for (modified, size, path) in files {
        total += size;
        let age = now.duration_since(modified).unwrap_or_default();
        if age > age_max || total > bytes_max {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The last `lines` lines of the newest files.
pub fn tail(state_dir: &Path, lines: usize) -> std::io::Result<Vec<String>> {
    let folder = folder(state_dir);
    let mut files: Vec<PathBuf> = match fs::read_dir(&folder) {
        Ok(found) => found.filter_map(|file| file.ok().map(|file| file.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    files.sort();
    let mut found: Vec<String> = Vec::new();
    for path in files.iter().rev() {
        let text = fs::read(path)?;
        let mut here: Vec<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        here.append(&mut found);
        found = here;
        if found.len() >= lines {
            break;
        }
    }
    Ok(found.split_off(found.len().saturating_sub(lines)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_surplus_files_go_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let make = |name: &str, days: u64, size: usize| {
            let path = folder.path().join(name);
            fs::write(&path, vec![b'x'; size]).unwrap();
            let file = fs::File::options().append(true).open(&path).unwrap();
            file.set_modified(now - Duration::from_secs(days * 86_400)).unwrap();
        };
        make("tillsync.1.log", 1, 60);
        make("tillsync.2.log", 2, 60);
        make("tillsync.3.log", 3, 60);
        make("tillsync.20.log", 20, 1);
        make("notes.txt", 40, 999);
        prune(folder.path(), now, AGE_MAX, 130).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["notes.txt", "tillsync.1.log", "tillsync.2.log"]);
    }
}
