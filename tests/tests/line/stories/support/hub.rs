//! `tillsync-hub serve` as a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;

use super::network::ask;
use super::programs::{Running, end, program};
use super::wait::eventually;

/// A running hub.
pub struct Hub {
    pub url: String,
    pub database: PathBuf,
    admin_key: String,
    options: Vec<String>,
    running: Running,
}

impl Hub {
    /// Starts a hub on any free port.
    pub fn start(database: &Path, options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let (running, lines) = serve(database, "127.0.0.1:0", &options).expect("a free port is always free");
        let after = |start: &str| lines.iter().find_map(|line| line.strip_prefix(start)).unwrap_or_default().to_owned();
        let (url, admin_key) = (after("listening on "), after("admin key (shown once): "));
        Self { url, database: database.to_owned(), admin_key, options, running }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// Starts it again at the same address.
    pub fn start_again(&mut self) {
        let address = self.address().to_owned();
        self.running = eventually("the hub's port is free again", || {
            serve(&self.database, &address, &self.options).map(|(running, _)| running)
        });
    }

    /// Ends it and starts it again at the same address, with these options more.
    pub fn start_again_with(&mut self, more: &[&str]) {
        self.kill();
        let usual = self.options.clone();
        self.options.extend(more.iter().map(|option| (*option).to_owned()));
        self.start_again();
        self.options = usual;
    }

    /// Forgets what is superseded and deleted, as a hub does over months.
    pub fn forget(&mut self) {
        self.start_again_with(&["--retention", "1s"]);
        let left =
            "SELECT (SELECT count(*) FROM rows WHERE deleted) + (SELECT count(*) FROM change_log) - (SELECT count(*) FROM rows)";
        eventually("the hub has forgotten", || (self.number(left) == 0).then_some(()));
        self.start_again_with(&[]);
    }

    /// Says that its database was restored.
    pub fn begin_epoch(&self) {
        end(Command::new(program("tillsync-hub")).arg("new-epoch").args(["--database", &place(&self.database)])).good();
    }

    /// A token for `uses` registers.
    pub fn enroll_token(&self, uses: u32) -> String {
        self.enroll_token_with(&["--uses", &uses.to_string()])
    }

    /// A token on these terms.
    pub fn enroll_token_with(&self, terms: &[&str]) -> String {
        let mut command = Command::new(program("tillsync-hub"));
        command.arg("enroll-token").args(terms).args(["--database", &place(&self.database)]);
        end(&mut command).good().out.trim().to_owned()
    }

    /// A token for whoever comes by another protocol.
    pub fn user_token(&self, name: &str) -> String {
        let mut command = Command::new(program("tillsync-hub"));
        command.args(["user", "add", name, "--token", "--database", &place(&self.database)]);
        let said = end(&mut command).good().out;
        said.split_whitespace().last().unwrap_or_default().to_owned()
    }

    /// Asks something that only the administrator may.
    pub fn administer(&self, method: &str, path: &str) {
        let answer = ask(self.address(), &format!("{method} {path}"), &format!("authorization: Bearer {}\r\n", self.admin_key));
        assert!(answer.contains("\"success\":true"), "{method} {path}: {answer}");
    }

    /// A number from the hub's database.
    pub fn number(&self, sql: &str) -> i64 {
        self.read().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// The hub's database.
    pub fn read(&self) -> Connection {
        let db = Connection::open(&self.database).unwrap();
        db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        db
    }
}

fn place(database: &Path) -> String {
    format!("sqlite:{}", database.display())
}

/// A serving hub and the lines it printed; `None` when it ended instead.
fn serve(database: &Path, address: &str, options: &[String]) -> Option<(Running, Vec<String>)> {
    let printed = database.with_extension("out");
    let _ = fs::remove_file(&printed);
    let mut command = Command::new(program("tillsync-hub"));
    command.args(["serve", "--listen", address, "--database", &place(database)]).args(options);
    command.env_remove("RUST_LOG");
    let mut running = Running::start(&mut command, &printed);
    let lines = eventually("the hub listens or ends", || {
        let lines: Vec<String> = fs::read_to_string(&printed).unwrap_or_default().lines().map(str::to_owned).collect();
        let ready = lines.iter().any(|line| line.starts_with("listening on http://")) || !running.is_alive();
        ready.then_some(lines)
    });
    lines.iter().any(|line| line.starts_with("listening on http://")).then_some((running, lines))
}
