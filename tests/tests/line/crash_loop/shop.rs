//! Two registers and a hub, and the one scenario that every run goes through.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use tempfile::TempDir;
use tillsync_hub::{Hub, Options, router};

use super::compare::{self, End};
use super::line::{Fault, Line, Plan};
use super::pos::{self, Journal};
use super::register::{Register, Tables};

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    None,
    /// Register A's agent ends after its n-th step.
    EndOfA {
        step: i64,
    },
    /// Register B's agent ends after its n-th step.
    EndOfB {
        step: i64,
    },
    /// The n-th network call fails.
    Call {
        call: i64,
        fault: Fault,
    },
}

/// How a run ended.
pub struct Outcome {
    pub end: End,
    /// Whether the trouble came about before the end.
    pub happened: bool,
}

/// The shop.
pub struct Shop {
    folder: TempDir,
    pub a: Register,
    pub b: Register,
    /// The hub, and its service for devices that are no registers.
    hub: Hub,
    hub_file: PathBuf,
    pub service: Router,
    plan: Plan,
}

impl Shop {
    /// The scenario, from the first full sync to the comparison.
    pub fn run(journal: Journal, trouble: Trouble) -> Outcome {
        on_runtime(async {
            let mut shop = Self::open(journal, trouble).await;
            shop.live().await;
            shop.outcome()
        })
    }

    /// How the run ended, now that it has.
    pub fn outcome(&self) -> Outcome {
        let happened = self.plan.happened() || self.a.was_ended() || self.b.was_ended();
        Outcome { end: self.end(), happened }
    }

    /// Two stores of which the second is empty.
    async fn open(journal: Journal, trouble: Trouble) -> Self {
        Self::open_with(journal, [pos::BEFORE, ""], trouble).await
    }

    /// Two stores that hold this from before Tillsync, and trouble to come.
    pub async fn open_with(journal: Journal, [on_a, on_b]: [&str; 2], trouble: Trouble) -> Self {
        // Registering is another story; the counting starts after it.
        let plan = match trouble {
            Trouble::Call { call, fault } => Plan::at(call + 2, fault),
            Trouble::None | Trouble::EndOfA { .. } | Trouble::EndOfB { .. } => Plan::default(),
        };
        let mut shop = Self::with(journal, on_a, on_b, plan).await;
        match trouble {
            Trouble::EndOfA { step } => shop.a.end_at(step),
            Trouble::EndOfB { step } => shop.b.end_at(step),
            Trouble::None | Trouble::Call { .. } => {}
        }
        shop
    }

    /// Two stores that hold this from before Tillsync.
    pub async fn with(journal: Journal, on_a: &str, on_b: &str, plan: Plan) -> Self {
        Self::with_tables(journal, [on_a, on_b], &Tables::new(), plan).await
    }

    /// The same, with settings of tables.
    pub async fn with_tables(journal: Journal, [on_a, on_b]: [&str; 2], tables: &Tables, plan: Plan) -> Self {
        Self::with_lines(journal, [on_a, on_b], tables, plan, false).await
    }

    /// Two empty stores whose agents have their keys themselves.
    pub async fn with_keys(journal: Journal, plan: Plan) -> Self {
        Self::with_lines(journal, ["", ""], &Tables::new(), plan, true).await
    }

    async fn with_lines(journal: Journal, [on_a, on_b]: [&str; 2], tables: &Tables, plan: Plan, own_key: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub_file = folder.path().join("hub.db");
        let hub = Hub::open(&hub_file).await.unwrap();
        let service = serve(&hub);
        let line = || Line::new(service.clone(), plan.clone(), own_key);
        let a = Register::set_up(folder.path(), "a", journal, on_a, tables.clone(), line()).await;
        let b = Register::set_up(folder.path(), "b", journal, on_b, tables.clone(), line()).await;
        Self { folder, a, b, hub, hub_file, service, plan }
    }

    /// Trouble from now on, counted from here; calls fail as the plan of this shop says.
    pub fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::None => {}
            Trouble::EndOfA { step } => self.a.end_at(step),
            Trouble::EndOfB { step } => self.b.end_at(step),
            Trouble::Call { call, .. } => self.plan.fail_at(call),
        }
    }

    /// The hub as it is now.
    pub fn back_up_hub(&self) -> PathBuf {
        let copy = self.folder.path().join("hub-backup.db");
        let conn = rusqlite::Connection::open(&self.hub_file).unwrap();
        conn.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        copy
    }

    /// The hub goes on from a backup.
    pub async fn put_hub_back(&mut self, backup: PathBuf) {
        // As the administrator does it: before the hub starts.
        Hub::open(&backup).await.unwrap().database().begin_epoch().await.unwrap();
        self.hub = Hub::open(&backup).await.unwrap();
        self.hub_file = backup;
        self.service = serve(&self.hub);
        for register in [&self.a, &self.b] {
            register.talk_to(self.service.clone());
        }
    }

    async fn live(&mut self) {
        self.a.sync().await;
        self.b.sync().await;
        self.a.sell(pos::ON_A);
        self.a.sync().await;
        self.b.sync().await;
        for sql in pos::AGAIN_AND_AGAIN {
            self.a.sell(sql);
            self.a.capture();
        }
        self.a.sync().await;
        self.b.sync().await;
        self.a.sell(pos::MEANWHILE_ON_A);
        self.b.sell(pos::MEANWHILE_ON_B);
        self.a.sync().await;
        self.b.sync().await;
        self.b.sell(pos::ON_B);
        self.b.sync().await;
        self.a.sync().await;
    }

    /// Half a year goes by at the hub.
    pub async fn forget(&self) {
        let retention_ms = 180 * 86_400_000;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        while self.hub.database().prune(retention_ms, now + retention_ms + 1_000).await.unwrap().more {}
    }

    /// Compares both stores with the hub.
    pub fn end(&self) -> End {
        compare::end(&self.hub_file, &self.a, &self.b)
    }

    /// The hub's database.
    pub fn hub(&self) -> PathBuf {
        self.hub_file.clone()
    }
}

fn serve(hub: &Hub) -> Router {
    router(hub.clone(), Options { open_registration: true, ..Options::default() })
}

/// Push and pull leave their thread for SQLite, so there must be others.
pub fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap().block_on(work)
}
