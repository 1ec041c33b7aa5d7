//! A shop made of real programs: hub and agents as processes, stores as SQLite files, a network that can be cut.

mod hub;
mod network;
mod programs;
mod register;
mod store;
pub mod wait;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub use hub::Hub;
pub use network::{Network, Way, Web, ask};
pub use programs::{Ended, Running, end, program, shell, unread};
pub use register::Register;
pub use store::{content, count, open, plain, pos, rows, same, text};
pub use wait::eventually;

/// A hub and a folder for its registers; all of it is gone when dropped, except that a failed test leaves its files.
pub struct Shop {
    pub hub: Hub,
    folder: TempDir,
}

impl Shop {
    /// A hub with open registration.
    pub fn open() -> Self {
        let folder = tempfile::Builder::new().prefix("shop-").tempdir().unwrap();
        Self { hub: Hub::start(&folder.path().join("hub.db"), &["--open-registration"]), folder }
    }

    /// A hub that wants an enrolment token.
    pub fn guarded() -> Self {
        let folder = tempfile::Builder::new().prefix("shop-").tempdir().unwrap();
        Self { hub: Hub::start(&folder.path().join("hub.db"), &[]), folder }
    }

    /// Where everything of the shop lies.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A register with a store made by `schema`; not set up yet.
    pub fn register(&self, name: &str, schema: &str) -> Register {
        let register = self.empty_register(name);
        pos(&register.store).execute_batch(schema).unwrap();
        register
    }

    /// A register whose store is not there yet.
    pub fn empty_register(&self, name: &str) -> Register {
        let folder: PathBuf = self.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        Register::new(name, &folder)
    }

    /// Two registers with the same schema, set up at the hub; the first one's store holds `rows` and is sent.
    pub fn pair(&self, schema: &str, rows: &str) -> (Register, Register) {
        let (a, b) = (self.register("a", schema), self.register("b", schema));
        pos(&a.store).execute_batch(rows).unwrap();
        for register in [&a, &b] {
            register.init(&self.hub.url).good();
            register.sync();
        }
        (a, b)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("stores, states and logs are in {}", self.folder.path().display());
        }
    }
}
