//! The world of one run: registers, POS programs, hub and network on one virtual clock, all drawn from one seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use fastrand::Rng;
use tillsync_core::sync::{Applied, Effect, Event, Pushed};

use super::clocks::Clocks;
use super::conflicts::Wish;
use super::coverage::Coverage;
use super::faults::{Crash, Weather, happens};
use super::hub::Hub;
use super::ledger::Ledger;
use super::network::{Message, Waiting};
use super::pos::shared_products;
use super::register::{Around, Register};
use super::shop::Shop;
use super::trace::describe;

/// When the faults are over, everything must be in step within this time: several long polls and capped retries …
const DRAIN_MS: i64 = 200_000;

/// … and this much for every write, since in some worlds a batch or a page holds a single change.
const DRAIN_MS_PER_WRITE: i64 = 500;

/// A run that does more than this goes round in circles.
const EVENTS_MAX: usize = 200_000;

/// Something that is due at a time.
#[derive(Debug)]
pub enum Due {
    /// The register's loop looks around.
    Look,
    /// An effect of this life came to this.
    Done(u32, Event),
    /// The POS makes a transaction.
    Pos,
    /// The agent starts.
    Start,
    /// The agent ends.
    Kill,
    /// Somebody copies the store.
    BackUp,
    /// Somebody puts the copy in the store's place.
    Restore,
    /// Somebody sets the wall clock.
    SetClock,
    /// The register loses its network for this long.
    Cut(i64),
    /// The hub is away for this long.
    HubDown(i64),
    /// Something arrives at one of the two ends.
    Message(Message),
    /// A register gives up on a request of this life.
    Timeout(u32, u64),
    /// The hub ends a long poll.
    EndPoll,
    /// Somebody looks at the conflicts.
    Person,
    /// Somebody decides one.
    Decide(Box<Wish>),
}

/// The world.
pub struct World {
    pub weather: Weather,
    pub rng: Rng,
    pub registers: Vec<Register>,
    pub hub: Hub,
    pub ledger: Ledger,
    pub now: i64,
    pub hub_down_until: i64,
    pub waiting: Vec<Waiting>,
    pub calm: bool,
    pub coverage: Coverage,
    queue: BinaryHeap<Reverse<(i64, u64, usize)>>,
    dues: Vec<Option<(usize, Due)>>,
    trace: bool,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let weather = Weather::draw(&mut rng);
        let shop = Rc::new(Shop::draw(&mut rng));
        let mut register = |number| Register::new(number, &shop, Clocks::draw(weather.wrong_clocks, &mut rng), &weather);
        let registers = (0..weather.registers).map(&mut register).collect();
        let managers = (0..weather.registers).map(|_| rng.u8(0..3) == 0).collect();
        let mut world = Self {
            weather,
            rng,
            registers,
            hub: Hub::new(shop.clone(), managers),
            ledger: Ledger::new(shop),
            now: 0,
            hub_down_until: 0,
            waiting: Vec::new(),
            calm: false,
            coverage: Coverage::default(),
            queue: BinaryHeap::new(),
            dues: Vec::new(),
            trace,
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let rows = self.weather.rows_before;
        let shared = shared_products(&mut self.ledger, rows, &mut self.rng);
        for register in &mut self.registers {
            register.pos.load(&mut register.store, &mut self.ledger, &shared, rows, &mut self.rng);
        }
        for (key, row) in &shared {
            if self.registers.iter().all(|register| register.store.row(key) != Some(row)) {
                self.ledger.forget(key, row);
            }
        }
        for number in 0..self.registers.len() {
            let start = self.rng.i64(0..5_000);
            self.at(start, number, Due::Start);
            let first = self.rng.i64(0..=self.weather.pos_pause_ms_max);
            self.at(first, number, Due::Pos);
        }
        self.plan_disasters();
        self.plan_look();
    }

    fn plan_disasters(&mut self) {
        let end = self.weather.calm_after_ms;
        for time in (0..end).step_by(5_000) {
            for number in 0..self.registers.len() {
                if happens(&mut self.rng, self.weather.partition) {
                    let length = self.rng.i64(100..40_000);
                    self.at(time, number, Due::Cut(length));
                }
                if self.weather.wrong_clocks && happens(&mut self.rng, self.weather.clock_set) {
                    self.at(time, number, Due::SetClock);
                }
                if happens(&mut self.rng, self.weather.restore) {
                    let later = self.rng.i64(1..20_000);
                    self.at(time, number, Due::BackUp);
                    self.at(time + later, number, Due::Restore);
                }
                if happens(&mut self.rng, self.weather.kill) {
                    let after = self.rng.i64(0..4_000);
                    self.at(time + after, number, Due::Kill);
                }
            }
            if happens(&mut self.rng, self.weather.hub_down) {
                let length = self.rng.i64(100..20_000);
                self.at(time, 0, Due::HubDown(length));
            }
        }
    }

    /// Runs to the end: first the storm, then the calm.
    pub fn run(&mut self) -> Result<Coverage, String> {
        let mut events = 0;
        while let Some(Reverse((time, _, place))) = self.queue.pop() {
            if time > self.end() {
                break;
            }
            events += 1;
            if events > EVENTS_MAX {
                return Err(format!("more than {EVENTS_MAX} events: something goes round in circles"));
            }
            self.now = time;
            if !self.calm && time >= self.weather.calm_after_ms {
                self.calm_down();
            }
            let (number, due) = self.dues[place].take().expect("every due happens once");
            if self.trace {
                eprintln!("{time:>8} r{number} {}", describe(&due));
            }
            self.happen(number, due)?;
            self.check_on_the_way(number)?;
        }
        self.check_at_the_end()?;
        Ok(std::mem::take(&mut self.coverage))
    }

    fn end(&self) -> i64 {
        let writes: usize = self.ledger.writes.values().sum();
        self.weather.calm_after_ms + DRAIN_MS + DRAIN_MS_PER_WRITE * writes as i64
    }

    fn calm_down(&mut self) {
        self.calm = true;
        self.weather.calm();
        self.hub_down_until = self.now;
        for register in &mut self.registers {
            register.cut_until = self.now;
        }
    }

    /// Plans something for a register, or for the hub's side of it.
    pub fn at(&mut self, time: i64, register: usize, due: Due) {
        let place = self.dues.len();
        self.dues.push(Some((register, due)));
        self.queue.push(Reverse((time, place as u64, place)));
    }

    fn happen(&mut self, number: usize, due: Due) -> Result<(), String> {
        match due {
            Due::Look => self.wake(number)?,
            Due::Done(life, event) => self.report(number, life, event)?,
            Due::Pos => self.pos(number)?,
            Due::Start => self.start(number)?,
            Due::Kill => self.crash(number),
            Due::BackUp => self.registers[number].back_up(),
            Due::Restore if self.calm => {}
            Due::Restore => self.restore(number)?,
            Due::SetClock => {
                self.coverage.count("a wall clock is set");
                self.registers[number].set_wall_clock(&mut self.rng);
            }
            Due::Cut(length) if !self.calm => self.registers[number].cut_until = self.now + length,
            Due::HubDown(length) if !self.calm => self.hub_goes_down(length),
            Due::Cut(_) | Due::HubDown(_) => {}
            Due::Message(message) => self.arrive(number, message)?,
            Due::Timeout(life, call) => self.time_out(number, life, call)?,
            Due::EndPoll => self.end_polls(),
            Due::Person => self.person_looks(),
            Due::Decide(wish) => self.decide(&wish)?,
        }
        Ok(())
    }

    fn restore(&mut self, number: usize) -> Result<(), String> {
        if !self.registers[number].restore(&mut self.ledger) {
            return Ok(());
        }
        self.coverage.count("a store is restored");
        self.registers[number].last_write_ms = self.now;
        let life = self.registers[number].life;
        self.report(number, life, Event::StoreChanged)
    }

    fn hub_goes_down(&mut self, length: i64) {
        self.hub_down_until = self.now + length;
        self.waiting.clear();
    }

    fn start(&mut self, number: usize) -> Result<(), String> {
        if self.registers[number].agent.is_some() {
            return Ok(());
        }
        self.step(number, |register, around| {
            register.start(around);
            Ok(())
        });
        self.look(number)
    }

    /// Ends the agent; it is started again soon.
    pub fn crash(&mut self, number: usize) {
        self.registers[number].crash();
        let again = self.now + self.rng.i64(1..5_000);
        self.at(again, number, Due::Start);
    }

    fn pos(&mut self, number: usize) -> Result<(), String> {
        if self.calm {
            return Ok(());
        }
        self.step(number, |register, around| {
            register.sell(around);
            Ok(())
        });
        let next = self.now + self.rng.i64(1..=self.weather.pos_pause_ms_max);
        self.at(next, number, Due::Pos);
        let life = self.registers[number].life;
        if happens(&mut self.rng, self.weather.lost_hint) { Ok(()) } else { self.report(number, life, Event::StoreChanged) }
    }

    /// Tells the register's machine, if it still lives the same life, and lets it look around.
    pub fn report(&mut self, number: usize, life: u32, event: Event) -> Result<(), String> {
        let (register, now) = (&mut self.registers[number], self.now);
        let Some(agent) = register.agent.as_mut().filter(|_| register.life == life) else { return Ok(()) };
        let pushed = matches!(event, Event::Pushed(Pushed::Done { .. }));
        let settles = matches!(event, Event::Pushed(Pushed::Done { .. } | Pushed::Nothing) | Event::Applied(Applied::Done));
        agent.sync.handle(event, now);
        if settles && agent.inbox_due && !register.state.inbox.is_empty() {
            agent.sync.handle(Event::StoreChanged, now);
        }
        // What was sent just now is missing in a restored store, and a pull brings it back.
        if pushed && register.state.pull_own {
            agent.sync.handle(Event::Asked, now);
        }
        if std::mem::take(&mut agent.freed) {
            agent.sync.handle(Event::Freed, now);
        }
        self.look(number)
    }

    /// An earlier look may have been planned since; then this one is none.
    fn wake(&mut self, number: usize) -> Result<(), String> {
        let wanted = self.registers[number].agent.as_ref().is_some_and(|agent| agent.wakeup_ms == self.now);
        if wanted { self.look(number) } else { Ok(()) }
    }

    /// Asks the machine what to do and does it.
    pub fn look(&mut self, number: usize) -> Result<(), String> {
        loop {
            let now = self.now;
            let Some(agent) = self.registers[number].agent.as_mut() else { return Ok(()) };
            let Some(effect) = agent.sync.poll_effect(now) else {
                let next = agent.sync.next_wakeup().map(|next| next.max(now + 1));
                if let Some(next) = next.filter(|next| *next < agent.wakeup_ms || agent.wakeup_ms <= now) {
                    agent.wakeup_ms = next;
                    self.at(next, number, Due::Look);
                }
                return Ok(());
            };
            self.carry_out(number, &effect)?;
        }
    }

    fn carry_out(&mut self, number: usize, effect: &Effect) -> Result<(), String> {
        match effect {
            Effect::Capture => {
                let captured = self.step(number, Register::capture);
                self.done(number, captured.map(Event::Captured));
            }
            Effect::Apply => {
                let applied = self.step(number, Register::apply);
                self.done(number, applied.map(Event::Applied));
            }
            Effect::Push { changes_max } => self.push(number, *changes_max)?,
            Effect::Pull { wait_ms } => self.pull(number, *wait_ms)?,
            Effect::InterruptPull => self.end_pull(number),
        }
        Ok(())
    }

    /// Takes a step of a register; `None` when the agent ended in it.
    pub fn step<T>(&mut self, number: usize, take: impl FnOnce(&mut Register, &mut Around<'_>) -> Result<T, Crash>) -> Option<T> {
        let Self { weather, rng, ledger, now, registers, .. } = self;
        let taken = take(&mut registers[number], &mut Around { weather, rng, ledger, now: *now });
        if taken.is_err() {
            self.crash(number);
        }
        taken.ok()
    }

    /// The effect took a while; then the machine hears of it.
    fn done(&mut self, number: usize, event: Option<Event>) {
        if let Some(event) = event {
            let took = self.rng.i64(0..30);
            self.later(number, took, event);
        }
    }

    /// The register's machine hears of an event after this long.
    pub fn later(&mut self, number: usize, after_ms: i64, event: Event) {
        let life = self.registers[number].life;
        self.at(self.now + after_ms, number, Due::Done(life, event));
    }
}
