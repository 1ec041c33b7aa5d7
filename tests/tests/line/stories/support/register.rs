//! One register: a store, a config, a state folder, and `tillsync` for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::programs::{Ended, Running, end, program};
use super::wait::eventually;

/// A register on its own folder.
pub struct Register {
    pub name: String,
    pub folder: PathBuf,
    pub store: PathBuf,
    pub state: PathBuf,
    pub config: PathBuf,
    environment: Vec<(String, String)>,
    agent: Option<Running>,
}

impl Register {
    pub fn new(name: &str, folder: &Path) -> Self {
        Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            store: folder.join("pos.db"),
            state: folder.join("state"),
            config: folder.join("tillsync.toml"),
            environment: Vec::new(),
            agent: None,
        }
    }

    /// The same disk in another machine: store, state, config and key, as they are now. On a real one the places are the same, too.
    #[track_caller]
    pub fn copied_to(&self, folder: &Path, machine: &str) -> Self {
        copy_folder(&self.folder, folder);
        let mut copy = Self::new(&self.name, folder);
        let (before, now) = (self.folder.to_str().unwrap(), folder.to_str().unwrap());
        let config = std::fs::read_to_string(&copy.config).unwrap();
        std::fs::write(&copy.config, config.replace(before, now)).unwrap();
        let state = super::store::open(&copy.state.join("agent.db"));
        state.execute("UPDATE marks SET value = ?1 WHERE name = 'store'", [copy.store.to_str().unwrap()]).unwrap();
        copy.set("TILLSYNC_MACHINE_ID", machine);
        copy
    }

    /// Sets a variable for every command from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// `tillsync` with this register's config.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("tillsync"));
        command.args(arguments).arg("--config").arg(&self.config);
        command.env_remove("TILLSYNC_API_KEY").env_remove("TILLSYNC_ENROLL_TOKEN").env_remove("TILLSYNC_LOG");
        command.env("HOME", &self.folder).env("NO_PROXY", "127.0.0.1").envs(self.environment.iter().cloned());
        command
    }

    /// Runs a command of `tillsync` to its end.
    #[track_caller]
    pub fn tillsync(&self, arguments: &[&str]) -> Ended {
        end(&mut self.command(arguments))
    }

    /// `tillsync init` with the API key in a file, and tables whose keys mean the same everywhere.
    #[track_caller]
    pub fn init(&self, server: &str) -> Ended {
        self.init_with(server, &["--credentials", "file", "--key", "*=global"])
    }

    /// `tillsync init`.
    #[track_caller]
    pub fn init_with(&self, server: &str, more: &[&str]) -> Ended {
        let (store, state) = (self.store.to_str().unwrap(), self.state.to_str().unwrap());
        let fixed = ["init", "--store", store, "--server", server, "--name", &self.name, "--state-dir", state];
        self.tillsync(&[&fixed, more].concat())
    }

    /// Syncs, which must succeed.
    #[track_caller]
    pub fn sync(&self) -> Ended {
        self.tillsync(&["sync", "--timeout", "60"]).good()
    }

    /// The status.
    #[track_caller]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.tillsync(&["status", "--json"]).good().out).unwrap()
    }

    /// What waits in the outbox.
    #[track_caller]
    pub fn outbox(&self) -> Vec<Value> {
        serde_json::from_str(&self.tillsync(&["outbox", "--json"]).good().out).unwrap()
    }

    /// The codes of the problems in the status.
    #[track_caller]
    pub fn problems(&self) -> Vec<String> {
        let status = self.status();
        let codes = status["problems"].as_array().unwrap().iter().map(|problem| problem["code"].as_str().unwrap().to_owned());
        codes.collect()
    }

    /// Waits for a status.
    #[track_caller]
    pub fn waits_for(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = super::wait::within(std::time::Duration::from_secs(60), || {
            last = self.status();
            is_it(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|| panic!("{}: never {what}, but {last:#}", self.name))
    }

    /// Writes a line into the config, in place of one with the same name.
    pub fn configure(&self, name: &str, value: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        let kept = text.lines().filter(|line| !line.starts_with(&format!("{name} =")));
        let lines: Vec<&str> = kept.collect();
        std::fs::write(&self.config, format!("{name} = {value}\n{}\n", lines.join("\n"))).unwrap();
    }

    /// Starts the agent and waits until it answers.
    #[track_caller]
    pub fn start(&mut self) {
        self.agent = None;
        self.agent = Some(Running::start(&mut self.command(&["run"]), &self.printed()));
        eventually("the agent answers", || {
            assert!(self.agent.as_mut().unwrap().is_alive(), "{}", std::fs::read_to_string(self.printed()).unwrap_or_default());
            self.state.join("control.sock").exists().then_some(())
        });
    }

    /// Starts the agent and does not wait for anything.
    pub fn start_blindly(&mut self) {
        self.agent = None;
        self.agent = Some(Running::start(&mut self.command(&["run"]), &self.printed()));
    }

    /// What agents of this register have printed.
    pub fn printed(&self) -> PathBuf {
        self.folder.join("agent.out")
    }

    /// Whether the agent runs.
    pub fn is_alive(&mut self) -> bool {
        self.agent.as_mut().is_some_and(Running::is_alive)
    }

    /// Asks the agent to stop and waits; gives back its exit code.
    pub fn stop(&mut self) -> i32 {
        self.agent.take().expect("the agent runs").stop()
    }

    /// The running agent's process.
    pub fn process(&mut self) -> &mut Running {
        self.agent.as_mut().expect("the agent runs")
    }

    /// Ends the agent as a power cut would.
    pub fn kill(&mut self) {
        self.agent = None;
    }
}

/// Files alone: sockets belong to running programs.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (kind, to) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &to);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
