//! A simulated register: store and state survive a crash, the rest does not. The steps follow the agent's, in its order.

use fastrand::Rng;
use tillsync_core::sync::Sync;

use super::faults::{Crash, Weather, happens};
use super::hub::Page;
use super::pos::{Ledger, Pos};
use super::state::State;
use super::store::Store;

/// A register.
#[derive(Debug)]
pub struct Register {
    pub number: usize,
    pub store: Store,
    pub state: State,
    pub pos: Pos,
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
    pub page: Option<Page>,
    pub inbox_due: bool,
    pub calls: Calls,
    /// When the loop looks around next.
    pub wakeup_ms: i64,
}

/// The requests that are under way, by number.
#[derive(Debug, Default)]
pub struct Calls {
    pub last: u64,
    pub push: Option<(u64, super::push::Batch)>,
    /// The cursor that was asked from.
    pub pull: Option<(u64, i64)>,
}

/// What a step needs of the world around it.
pub struct Around<'a> {
    pub weather: &'a Weather,
    pub rng: &'a mut Rng,
    pub ledger: &'a mut Ledger,
    pub now: i64,
}

impl Register {
    pub fn new(number: usize) -> Self {
        Self {
            number,
            store: Store::default(),
            state: State::default(),
            pos: Pos::new(number),
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
        let sync = Sync::new(around.weather.sync, around.now);
        self.agent = Some(Agent { sync, page: None, inbox_due: true, calls: Calls::default(), wakeup_ms: i64::MIN });
    }

    /// Ends the agent as a power cut does.
    pub fn crash(&mut self) {
        self.agent = None;
    }

    /// Between two steps: the POS goes on, and the agent may end.
    pub fn point(&mut self, around: &mut Around<'_>) -> Result<(), Crash> {
        if happens(around.rng, around.weather.pos_between_steps) {
            self.sell(around);
        }
        if happens(around.rng, around.weather.crash) { Err(Crash) } else { Ok(()) }
    }

    /// The POS writes.
    pub fn sell(&mut self, around: &mut Around<'_>) {
        self.pos.write(&mut self.store, around.ledger, around.rng);
        self.last_write_ms = around.now;
    }

    /// The running agent.
    pub fn agent(&mut self) -> &mut Agent {
        self.agent.as_mut().expect("only a running agent takes steps")
    }
}
