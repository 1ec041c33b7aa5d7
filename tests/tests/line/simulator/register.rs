//! A simulated register: store and state survive a crash, the rest does not. The steps follow the agent's, in its order.

use std::rc::Rc;

use fastrand::Rng;
use tillsync_core::clock::Reading;
use tillsync_core::sync::Sync;
use uuid::Uuid;

use super::clocks::Clocks;
use super::coverage::Coverage;
use super::faults::{Crash, Weather, happens};
use super::hub::Page;
use super::ledger::Ledger;
use super::pos::Pos;
use super::shop::Shop;
use super::state::State;
use super::store::Store;

/// From so many writes on nobody writes between steps: there a capture that is slower than the POS would make a world grow without end.
const WRITES_BETWEEN_STEPS_MAX: usize = 2_000;

/// A register.
#[derive(Debug)]
pub struct Register {
    pub number: usize,
    pub shop: Rc<Shop>,
    pub clocks: Clocks,
    pub store: Store,
    pub state: State,
    pub pos: Pos,
    pub backup: Option<Box<Store>>,
    pub was_restored: bool,
    pub agent: Option<Agent>,
    /// Counts the agent's starts; what comes for an earlier life is dropped.
    pub life: u32,
    /// Numbers the events of the outbox.
    pub events: u64,
    /// Cut off from the network until then.
    pub cut_until: i64,
    pub last_write_ms: i64,
}

/// The agent while it runs: everything here is lost in a crash.
#[derive(Debug)]
pub struct Agent {
    pub sync: Sync,
    /// The version of the schema that it knows.
    pub schema: u32,
    pub page: Option<Page>,
    pub inbox_due: bool,
    pub freed: bool,
    /// What it takes for the hub's clock.
    pub clock: Reading,
    pub calls: Calls,
    /// When the loop looks around next.
    pub wakeup_ms: i64,
}

/// The requests that are under way, by number.
#[derive(Debug, Default)]
pub struct Calls {
    pub last: u64,
    pub push: Option<(u64, super::push::Batch)>,
    pub pull: Option<(u64, Asked)>,
    /// When they went, in ticks.
    pub push_sent: i64,
    pub pull_sent: i64,
}

/// What a pull asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub from: i64,
    /// The register's own changes, too; and whether the hub has all of them.
    pub own: bool,
    pub with_all_own: bool,
}

/// What a step needs of the world around it.
pub struct Around<'a> {
    pub weather: &'a Weather,
    pub rng: &'a mut Rng,
    pub ledger: &'a mut Ledger,
    pub coverage: &'a mut Coverage,
    pub now: i64,
}

impl Register {
    pub fn new(number: usize, shop: &Rc<Shop>, clocks: Clocks, namespace: Uuid, weather: &Weather) -> Self {
        Self {
            number,
            shop: shop.clone(),
            clocks,
            store: Store::new(shop.clone(), namespace),
            state: State::new(number, namespace),
            pos: Pos::new(number, weather.restore == 0),
            backup: None,
            was_restored: false,
            agent: None,
            life: 0,
            events: 0,
            cut_until: 0,
            last_write_ms: 0,
        }
    }

    /// Starts the agent.
    pub fn start(&mut self, around: &Around<'_>) {
        self.life += 1;
        self.state.sent_becomes_unknown();
        let clock = self.begin_clock(around.now);
        let sync = Sync::new(around.weather.sync, around.now);
        self.agent = Some(Agent {
            sync,
            schema: 0,
            page: None,
            inbox_due: true,
            freed: false,
            clock,
            calls: Calls::default(),
            wakeup_ms: i64::MIN,
        });
    }

    /// Ends the agent as a power cut does.
    pub fn crash(&mut self) {
        self.agent = None;
    }

    /// Between two steps: the POS goes on, and the agent may end.
    pub fn point(&mut self, around: &mut Around<'_>) -> Result<(), Crash> {
        if around.ledger.writes < WRITES_BETWEEN_STEPS_MAX && happens(around.rng, around.weather.pos_between_steps) {
            self.sell(around);
        }
        if happens(around.rng, around.weather.crash) { Err(Crash) } else { Ok(()) }
    }

    /// The POS writes.
    pub fn sell(&mut self, around: &mut Around<'_>) {
        if self.pos_waits() {
            return;
        }
        let seen_up_to = (!self.state.scan_due).then_some(self.state.captured_seq);
        let late = self.late_rows();
        self.pos.write(&mut self.store, seen_up_to, &late, around);
        if self.state.pull_own || self.is_restored() || (self.was_restored && self.state.scan_due) {
            // Nothing is kept of a row that was on its way when the store went back, so nobody sees that it was here.
            around.ledger.lose_deletes(self.pos.register);
        }
        self.last_write_ms = around.now;
    }

    /// The running agent.
    pub fn agent(&mut self) -> &mut Agent {
        self.agent.as_mut().expect("only a running agent takes steps")
    }
}
