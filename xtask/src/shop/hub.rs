//! The hub: one process on an SQLite file.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::process::{Running, wait_until};
use crate::workspace::built;

/// A hub answers in a fraction of a second; this is for a machine under load.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running hub.
pub struct Hub {
    /// Its database.
    pub database: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// What registers need to enrol.
    pub enroll_token: String,
    process: Running,
}

impl Hub {
    /// Makes an enrolment token for so many registers and starts the hub.
    pub fn start(profile: &str, folder: &Path, registers: usize) -> Result<Self> {
        let database = folder.join("hub.db");
        let address = free_address()?;
        let mut serve = program(profile, &database, &["serve", "--listen", &address.to_string()]);
        let mut process = Running::start("the hub", &mut serve, &folder.join("hub.log"))?;
        wait_until("the hub answers", READY_WITHIN, || {
            process.ensure_alive()?;
            Ok(TcpStream::connect(address).is_ok())
        })?;
        let enroll_token = enroll_token(profile, &database, registers)?;
        Ok(Self { database, address, enroll_token, process })
    }

    /// Fails when it is gone.
    pub fn ensure_alive(&mut self) -> Result<()> {
        self.process.ensure_alive()
    }
}

fn program(profile: &str, database: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(built(profile, "tillsync-hub"));
    command.args(arguments).arg("--database").arg(format!("sqlite:{}", database.display()));
    command
}

fn enroll_token(profile: &str, database: &Path, uses: usize) -> Result<String> {
    let output = program(profile, database, &["enroll-token", "--uses", &uses.to_string()]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "tillsync-hub enroll-token failed: {}", String::from_utf8_lossy(&output.stderr));
    let token = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    token.map(str::to_owned).context("tillsync-hub enroll-token printed no token")
}

/// An address that nobody listens on.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
