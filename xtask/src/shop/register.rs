//! A register: a store, an agent, and perhaps a point-of-sale program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::process::{Running, wait_until};
use super::status::Status;
use crate::workspace::built;

/// `init` checks the store and installs the capture; a big store takes a while to check.
const INIT_WITHIN: Duration = Duration::from_secs(120);
/// An agent answers in a fraction of a second; this is for a machine under load.
const UP_WITHIN: Duration = Duration::from_secs(20);
/// A tray app that stays for its person to look around is ended after an afternoon.
const STAYS_FOR: Duration = Duration::from_secs(4 * 3600);
/// How long `sync` may try, in seconds.
const SYNC_SECONDS: u64 = 60;

/// Who hosts a register's agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// `tillsync run`.
    CommandLine,
    /// The tray app.
    Tray,
}

/// One register.
pub struct Register {
    /// What people call it.
    pub name: String,
    /// Its POS's store.
    pub store: PathBuf,
    folder: PathBuf,
    profile: &'static str,
    host: Host,
    agent: Option<Running>,
}

impl Register {
    /// A register in a folder of its own, whose store is `store.db` there.
    pub fn new(profile: &'static str, shop: &Path, name: &str) -> Result<Self> {
        let folder = shop.join(name.to_lowercase().replace(' ', "-"));
        std::fs::create_dir(&folder)?;
        Ok(Self { name: name.to_owned(), store: folder.join("store.db"), folder, profile, host: Host::CommandLine, agent: None })
    }

    /// The same with another host for its agent.
    pub fn hosted_by(self, host: Host) -> Self {
        Self { host, ..self }
    }

    /// `tillsync init`.
    pub fn init(&self, server: SocketAddr, enroll_token: &str) -> Result<()> {
        let mut init = self.tillsync("init");
        init.arg("--store").arg(&self.store).args(["--server", &format!("http://{server}"), "--name", &self.name]);
        // Both registers begin with the same catalogue, and the proof compares their rows by key.
        init.args(["--key", "*=global", "--enroll-token", enroll_token, "--credentials", "file", "--state-dir"]);
        init.arg(self.folder.join("state"));
        Running::start(&format!("{}: tillsync init", self.name), &mut init, &self.log("init"))?.wait_for_success(INIT_WITHIN)
    }

    /// Sets a top-level key of the config.
    pub fn configure(&self, key: &str, value: &str) -> Result<()> {
        let path = self.config();
        let config = std::fs::read_to_string(&path)?;
        let others = config.lines().filter(|line| line.split('=').next().map(str::trim) != Some(key));
        let lines: Vec<String> = std::iter::once(format!("{key} = {value}")).chain(others.map(str::to_owned)).collect();
        Ok(std::fs::write(&path, lines.join("\n") + "\n")?)
    }

    /// Starts `tillsync run`, or the tray app.
    pub fn start_agent(&mut self) -> Result<()> {
        let (name, mut command) = match self.host {
            Host::CommandLine => ("tillsync run", self.tillsync("run")),
            Host::Tray => {
                let mut tray = Command::new(built(self.profile, "tillsync-tray"));
                tray.arg("--open").arg("--config").arg(self.config());
                ("tillsync-tray", tray)
            }
        };
        self.agent = Some(Running::start(&format!("{}: {name}", self.name), &mut command, &self.log("agent"))?);
        Ok(())
    }

    /// Waits until somebody ends the agent.
    pub fn wait_for_end(&mut self) -> Result<()> {
        match &mut self.agent {
            Some(agent) => agent.wait(STAYS_FOR).map(drop),
            None => Ok(()),
        }
    }

    /// Waits until the agent has something to say.
    pub fn wait_for_status(&mut self) -> Result<()> {
        wait_until(&format!("{}: the agent is up", self.name), UP_WITHIN, || {
            self.ensure_alive()?;
            Ok(self.status().is_ok())
        })
    }

    /// Ends the agent.
    pub fn end_agent(&mut self) {
        self.agent = None;
    }

    /// The agent's process id.
    pub fn agent_id(&self) -> Option<u32> {
        self.agent.as_ref().map(Running::id)
    }

    /// Fails when the agent is gone.
    pub fn ensure_alive(&mut self) -> Result<()> {
        self.agent.as_mut().map_or(Ok(()), Running::ensure_alive)
    }

    /// `tillsync status --json`.
    pub fn status(&self) -> Result<Status> {
        let output = self.tillsync("status").arg("--json").output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        Status::parse(&output.stdout).with_context(|| format!("{}: tillsync status says no JSON; {}", self.name, said.trim()))
    }

    /// `tillsync sync`; everything must be synced afterwards.
    pub fn sync(&self) -> Result<()> {
        let mut sync = self.tillsync("sync");
        sync.args(["--timeout", &SYNC_SECONDS.to_string()]);
        let mut running = Running::start(&format!("{}: tillsync sync", self.name), &mut sync, &self.log("sync"))?;
        let status = running.wait(Duration::from_secs(SYNC_SECONDS + 10))?;
        let meaning = match status.code() {
            Some(0) => return Ok(()),
            Some(2) => "the server is unreachable",
            Some(3) => "something is parked or in conflict",
            Some(4) => "not authorised",
            _ => "failed",
        };
        bail!("{}: tillsync sync ended with {status} ({meaning}). Its last words:\n{}", self.name, running.last_words());
    }

    fn tillsync(&self, command: &str) -> Command {
        let mut tillsync = Command::new(built(self.profile, "tillsync"));
        tillsync.arg(command).arg("--config").arg(self.config());
        tillsync
    }

    fn config(&self) -> PathBuf {
        self.folder.join("tillsync.toml")
    }

    /// Where a process of this register writes its words, or a point-of-sale program its paper roll.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }
}
