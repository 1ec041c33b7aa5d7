//! A hub and two registers with running agents, in step.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use tillsync_tests::retail::{Journal, With, create_store};

use super::PROFILE;
use crate::shop::{Hub, Register, wait_until};

/// How long two registers may take to be in step; the biggest data needs minutes.
const IN_STEP_WITHIN: Duration = Duration::from_secs(1800);

/// The registers come first, so that they end first.
pub struct Pair {
    /// Where rows come from.
    pub a: Register,
    /// Where they arrive.
    pub b: Register,
    /// In between.
    pub hub: Hub,
}

impl Pair {
    /// Makes the stores with `fill`, enrols both registers; no agent runs yet.
    pub fn new(folder: &Path, fill: impl Fn(&Register, &Register) -> Result<()>) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (a, b) = (Register::new(PROFILE, folder, "A")?, Register::new(PROFILE, folder, "B")?);
        fill(&a, &b)?;
        let hub = Hub::start(PROFILE, folder, 2)?;
        for register in [&a, &b] {
            register.init(hub.address, &hub.enroll_token)?;
        }
        Ok(Self { a, b, hub })
    }

    /// Both with the catalogue of the extract.
    pub fn with_catalogue(folder: &Path) -> Result<Self> {
        Self::new(folder, |a, b| {
            create_store(&a.store, Journal::Wal, With::Catalogue)?;
            Ok(create_store(&b.store, Journal::Wal, With::Catalogue)?)
        })
    }

    /// Starts both agents.
    pub fn start_agents(&mut self) -> Result<()> {
        for register in [&mut self.a, &mut self.b] {
            register.start_agent()?;
            register.wait_for_status()?;
        }
        Ok(())
    }

    /// Waits until neither has anything left to do.
    pub fn wait_until_in_step(&mut self) -> Result<()> {
        wait_until("both registers are in step", IN_STEP_WITHIN, || {
            self.ensure_alive()?;
            for register in [&self.a, &self.b] {
                let status = register.status()?;
                if status.is_stuck() {
                    bail!("{}: {}\n{}", register.name, status.sentence, status.problems.join("\n"));
                }
                if !status.is_settled() {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Fails when a process is gone.
    pub fn ensure_alive(&mut self) -> Result<()> {
        self.hub.ensure_alive()?;
        self.a.ensure_alive()?;
        self.b.ensure_alive()
    }
}
