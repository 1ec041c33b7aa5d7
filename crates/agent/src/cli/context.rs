//! What every command starts from: the config, the lock, the agent or a way to the one that runs.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use tillsync_core::config::Config;

use crate::agent::{Agent, AgentError};
use crate::control::{Answer, Command, ask};
use crate::credentials::Credentials;
use crate::remote::Remote;
use crate::remote::transport::Http;
use crate::state::State;

/// The config and where it came from.
pub struct Context {
    pub config: Config,
    pub path: PathBuf,
}

impl Context {
    pub fn load(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let path = path.map_or_else(default_config_path, Ok)?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!(
                    "there is no config at {}; run `tillsync init --store … --server …` first, or name another with --config",
                    path.display()
                )
            }
            Err(error) => return Err(error).with_context(|| format!("the config {} cannot be read", path.display())),
        };
        let mut config = Config::parse(&text).with_context(|| format!("the config {} is not valid", path.display()))?;
        // Relative paths in a config mean: beside the config.
        let folder = std::path::absolute(&path)?.parent().map(Path::to_owned).unwrap_or_default();
        config.store = folder.join(&config.store);
        config.state_dir = folder.join(&config.state_dir);
        Ok(Self { config, path })
    }

    /// An agent over the state, whoever else runs.
    pub fn agent(&self) -> anyhow::Result<Agent> {
        if !self.config.state_dir.join("agent.db").exists() {
            bail!("this register is not set up yet; run `tillsync init` with the config {}", self.path.display());
        }
        open_agent(&self.config)
    }

    /// The right to be the agent of this state, or `None` while another process has it.
    pub fn lock(&self) -> anyhow::Result<Option<Lock>> {
        Lock::take(&self.config.state_dir)
    }

    /// Whether an agent runs.
    pub fn is_running(&self) -> bool {
        matches!(self.lock(), Ok(None))
    }

    /// Asks the running agent; `None` when none answers.
    pub fn ask(&self, command: &Command) -> anyhow::Result<Option<Answer>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(ask(&self.config.state_dir, command)).context("the running agent does not answer")
    }

    /// Tells the running agent, if there is one, to look again.
    pub fn nudge(&self) {
        let _ = self.ask(&Command::Look);
    }
}

/// What went wrong and what to do about it, as the last words of a command.
pub fn explain(error: &AgentError) -> anyhow::Error {
    let problem = error.problem();
    anyhow!("{} {}", problem.text, problem.action)
}

/// An agent from a config.
pub fn open_agent(config: &Config) -> anyhow::Result<Agent> {
    let state = State::open(&config.state_dir).map_err(|error| {
        let problem = error.problem();
        anyhow!("{} {}", problem.text, problem.action)
    })?;
    let credentials = Credentials::new(config.credentials, &config.state_dir);
    let remote = Remote::new(Box::new(Http::new(&config.server)?), credentials).speaking(config.protocol);
    Ok(Agent::new(config.clone(), state, remote))
}

/// A lock on a state folder; let go when dropped, also by a crash.
pub struct Lock {
    _file: File,
}

impl Lock {
    pub fn take(state_dir: &Path) -> anyhow::Result<Option<Self>> {
        crate::state::make_private_folder(state_dir)
            .with_context(|| format!("the state folder {} cannot be made", state_dir.display()))?;
        let path = state_dir.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("the lock {} cannot be opened", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
        }
    }
}

/// Where the config is when nobody says otherwise.
pub fn default_config_path() -> anyhow::Result<PathBuf> {
    Ok(folders()?.config_dir().join("tillsync.toml"))
}

/// Where the state is when nobody says otherwise.
pub fn default_state_dir() -> anyhow::Result<PathBuf> {
    Ok(folders()?.data_local_dir().to_owned())
}

fn folders() -> anyhow::Result<directories::ProjectDirs> {
    directories::ProjectDirs::from("", "", "tillsync")
        .ok_or_else(|| anyhow!("this user has no home folder; give --config and --state-dir"))
}
