//! The agent inside another program, such as the tray app: finding the register, being its agent, and setting one up.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tillsync_core::config::Config;
use tillsync_core::problem::Problem;
use tillsync_core::window::{Found, SetUp};

use crate::cli::context::{Context, Lock, default_config_path, default_state_dir};
use crate::cli::login::LoginArgs;
use crate::cli::{InitArgs, init, run};
use crate::pin;
use crate::remote::answers;
use crate::remote::transport::Http;
use crate::window;

pub use crate::cli::init::machine_name;

/// Folders below the common places that are looked into; deeper ones belong to something else.
const DEPTH_MAX: usize = 3;

/// Stores offered; whoever has more chooses the file.
const STORES_MAX: usize = 12;

/// Looking for stores ends then, whatever the disk is like.
const SEARCH_MAX: Duration = Duration::from_secs(3);

/// What a SQLite file begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The right to be the agent of a register.
pub struct Turn(Lock);

/// A register that is set up.
pub struct Place {
    context: Context,
}

impl Place {
    /// The register of a config file; `None` when there is no such file.
    pub fn find(config: Option<PathBuf>) -> anyhow::Result<Option<Self>> {
        let path = config.map_or_else(default_config_path, Ok)?;
        if !path.exists() {
            return Ok(None);
        }
        let context = Context::load(Some(path))?;
        Ok(context.config.state_dir.join("agent.db").exists().then_some(Self { context }))
    }

    /// Its config.
    pub fn config(&self) -> &Config {
        &self.context.config
    }

    /// The right to be its agent, or `None` while another process has it.
    pub fn turn(&self) -> anyhow::Result<Option<Turn>> {
        Ok(self.context.lock()?.map(Turn))
    }

    /// Is its agent until somebody asks it to stop.
    pub fn run(&self, turn: &Turn) -> anyhow::Result<()> {
        run::run_with(&self.context, &turn.0)
    }
}

/// Makes this machine a register.
pub fn set_up(config: Option<&Path>, with: &SetUp) -> Result<(), Problem> {
    check(with).map_err(|why| Problem::set_up_failed(&why))?;
    let text = |text: &str| Some(text.trim().to_owned());
    let args = InitArgs {
        store: text(&with.store).map(PathBuf::from),
        server: text(&with.server),
        protocol: None,
        login: LoginArgs::default(),
        name: text(&with.name),
        role: None,
        enroll_token: text(with.code.expose()),
        state_dir: None,
        credentials: None,
        tables: None,
        key: Vec::new(),
        take_over: false,
        replace: false,
    };
    let done = || -> anyhow::Result<()> {
        init::init(config.map(Path::to_owned), &args)?;
        if let Some(pin) = &with.pin {
            let place = Place::find(config.map(Path::to_owned))?.context("the config is not where it was written")?;
            pin::set(&place.config().state_dir, pin.expose())?;
        }
        Ok(())
    };
    done().map_err(|error| Problem::set_up_failed(format!("{error:#}").trim_end_matches('.')))
}

/// What a window could have got wrong; the rest is checked where it is used.
fn check(with: &SetUp) -> Result<(), String> {
    if with.pin.as_ref().is_some_and(|pin| !pin::is_one(pin.expose())) {
        return Err("a PIN has four to eight digits".to_owned());
    }
    Config::new(PathBuf::from(&with.store), &with.server, &with.name, PathBuf::new()).map_err(|error| error.to_string())?;
    Ok(())
}

/// Whether a sync server answers at an address.
pub async fn test_server(server: &str) -> Result<(), Problem> {
    let config = Config::new(PathBuf::new(), server, "test", PathBuf::new());
    let server = config.map_err(|error| Problem::set_up_failed(&error.to_string()))?.server;
    let http = Http::new(&server).map_err(|error| Problem::set_up_failed(&format!("{error:#}")))?;
    answers(&http).await
}

/// What is in a file that somebody chose.
pub fn look(path: &Path) -> Found {
    let config = Config::new(path.to_owned(), "https://none.invalid", "look", PathBuf::new()).expect("a valid config");
    let (tables, problem) = match window::tables(&config) {
        Ok(tables) => (tables, None),
        Err(error) => (Vec::new(), Some(error.problem())),
    };
    Found { path: path.display().to_string(), tables, problem }
}

/// Stores in the places where POS programs keep theirs, those with the most tables first.
pub fn find_stores(places: &[PathBuf]) -> Vec<Found> {
    let until = Instant::now() + SEARCH_MAX;
    let own = default_state_dir().ok();
    let mut files = Vec::new();
    for place in places {
        search(place, 0, until, own.as_deref(), &mut files);
    }
    files.sort();
    files.dedup();
    let mut found: Vec<Found> = files.iter().take(STORES_MAX * 4).map(|file| look(file)).collect();
    found.retain(|found| !found.tables.is_empty());
    found.sort_by_key(|found| std::cmp::Reverse(found.tables.len()));
    found.truncate(STORES_MAX);
    found
}

/// Where POS programs keep their stores on this system.
pub fn common_places() -> Vec<PathBuf> {
    let home = directories::UserDirs::new();
    let data = directories::BaseDirs::new();
    let own = [
        home.as_ref().and_then(|dirs| dirs.document_dir().map(Path::to_owned)),
        home.as_ref().and_then(|dirs| dirs.desktop_dir().map(Path::to_owned)),
        data.as_ref().map(|dirs| dirs.data_local_dir().to_owned()),
        data.as_ref().map(|dirs| dirs.data_dir().to_owned()),
    ];
    let fixed: &[&str] = if cfg!(windows) {
        &["C:\\ProgramData", "C:\\POS"]
    } else if cfg!(target_os = "macos") {
        &["/Library/Application Support", "/Users/Shared"]
    } else {
        &["/srv", "/opt", "/var/lib/pos"]
    };
    own.into_iter().flatten().chain(fixed.iter().map(PathBuf::from)).collect()
}

fn search(folder: &Path, depth: usize, until: Instant, own: Option<&Path>, files: &mut Vec<PathBuf>) {
    if Instant::now() > until || own == Some(folder) {
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        // The tray app's own folder holds files of its browser.
        let is_the_trays = entry.file_name().to_string_lossy().starts_with("app.tillsync.");
        if kind.is_dir() && depth < DEPTH_MAX && !is_the_trays {
            search(&path, depth + 1, until, own, files);
        } else if kind.is_file() && is_named_like_a_store(&path) && begins_like_a_store(&path) {
            files.push(path);
        }
    }
}

fn is_named_like_a_store(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ["db", "db3", "sqlite", "sqlite3"].contains(&ending.as_str()))
}

/// The file is not opened by SQLite for this, and closing it drops no lock: this process has none on a store that it does not serve.
fn begins_like_a_store(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 16];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_found_by_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        std::fs::create_dir_all(deep.join("d")).unwrap();
        for path in
            [folder.path().join("pos.db"), deep.join("shop.sqlite"), deep.join("d/too-deep.db"), folder.path().join("pos.txt")]
        {
            let conn = rusqlite::Connection::open(path).unwrap();
            conn.execute_batch("CREATE TABLE sales(id INTEGER PRIMARY KEY, pin TEXT); CREATE TABLE loose(x)").unwrap();
        }
        std::fs::write(folder.path().join("letter.db"), "not a database at all").unwrap();
        let found = find_stores(&[folder.path().to_owned()]);
        let names: Vec<_> = found.iter().map(|found| Path::new(&found.path).file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["shop.sqlite", "pos.db"].map(Into::<std::ffi::OsString>::into));
        let sales = found[0].tables.iter().find(|table| table.name == "sales").unwrap();
        assert_eq!((sales.secrets.clone(), sales.reason.clone()), (vec!["pin".to_owned()], None));
        assert!(look(&folder.path().join("letter.db")).problem.is_some());
    }

    #[test]
    fn what_the_window_says_is_checked() {
        let with = SetUp {
            store: "pos.db".to_owned(),
            server: "https://sync.example.com".to_owned(),
            code: "T".into(),
            name: "Till".to_owned(),
            pin: Some("12".into()),
        };
        assert!(check(&with).unwrap_err().contains("digits"));
        assert!(check(&SetUp { pin: None, server: "ftp://x".to_owned(), ..with.clone() }).unwrap_err().contains("address"));
        assert!(check(&SetUp { pin: None, name: " ".to_owned(), ..with.clone() }).unwrap_err().contains("name"));
        assert!(check(&SetUp { pin: Some("1234".into()), ..with }).is_ok());
    }
}
