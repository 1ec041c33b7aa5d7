//! The built programs, and processes that never outlive their test.

use std::fs::File;
use std::io::PipeWriter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::wait::eventually;

/// A program of this workspace, as plain cargo builds it: beside the folder that holds this test.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is not there; `cargo build --workspace --bins` builds it, and `cargo xtask test` does that before it runs the tests",
        path.display()
    );
    path
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// It succeeded.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// It ended with this code, and its last words hold every part.
    #[track_caller]
    pub fn said(self, code: i32, parts: &[&str]) -> Self {
        let words = format!("{}{}", self.out, self.err).to_lowercase();
        let missing: Vec<_> = parts.iter().filter(|part| !words.contains(&part.to_lowercase())).collect();
        assert!(self.code == code && missing.is_empty(), "expected code {code} and {missing:?} in {self:#?}");
        self
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn end(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

/// A pipe that nobody reads.
pub fn unread() -> PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

/// Runs a line in the shell.
#[track_caller]
pub fn shell(line: &str) -> Ended {
    end(Command::new("sh").args(["-c", line]))
}

/// A process that is killed when dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts a command; what it prints is appended to a file. Its input stays open for as long as it runs.
    #[track_caller]
    pub fn start(command: &mut Command, printed: &Path) -> Self {
        let file = File::options().create(true).append(true).open(printed).unwrap();
        let child = command.stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Starts a command that nobody listens to.
    #[track_caller]
    pub fn start_unheard(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(unread()).stderr(unread()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Sends it a signal by name, such as STOP.
    pub fn signal(&self, name: &str) {
        shell(&format!("kill -{name} {}", self.id())).good();
    }

    /// The most memory that it has held so far, in bytes.
    #[cfg(target_os = "linux")]
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak.unwrap() * 1024
    }

    /// Asks it to stop and waits; gives back its exit code.
    pub fn stop(&mut self) -> i32 {
        shell(&format!("kill {}", self.0.id()));
        self.0.wait().unwrap().code().unwrap_or(-1)
    }

    /// Waits for its own end, with its input open; gives back its exit code.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let status = eventually("the program ends by itself", || self.0.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
