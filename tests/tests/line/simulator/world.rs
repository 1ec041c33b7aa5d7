//! The world of one run: registers, POS programs, hub and network on one virtual clock, all drawn from one seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use fastrand::Rng;
use tillsync_core::sync::Event;
use uuid::Uuid;

use super::clocks::Clocks;
use super::conflicts::Wish;
use super::coverage::Coverage;
use super::faults::{Weather, happens};
use super::hub::Hub;
use super::ledger::Ledger;
use super::network::{Message, Waiting};
use super::pos::shared_products;
use super::register::Register;
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
    /// Somebody copies the disk to another machine.
    Copy,
    /// The POS program is upgraded.
    Upgrade,
    /// A copy of this life asks for an identity of its own.
    Part(u32),
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
        let mut register = |number| {
            let clocks = Clocks::draw(weather.wrong_clocks, &mut rng);
            Register::new(number, &shop, clocks, Uuid::from_u128(rng.u128(..)), &weather)
        };
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
        let shared = shared_products(&self.registers[0].store, &mut self.ledger, rows, &mut self.rng);
        for register in &mut self.registers {
            register.pos.load(&mut register.store, &mut self.ledger, &shared, rows, &mut self.rng);
        }
        for (place, row) in &shared {
            if self.registers.iter().all(|register| register.store.row(place) != Some(row)) {
                self.ledger.forget(&(place.0, place.1.clone()), row);
            }
        }
        for number in 0..self.registers.len() {
            let start = self.rng.i64(0..5_000);
            self.at(start, number, Due::Start);
            let first = self.rng.i64(0..=self.weather.pos_pause_ms_max);
            self.at(first, number, Due::Pos);
            self.plan_upgrades(number);
        }
        self.plan_disasters();
        self.plan_look();
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
        self.forget_wishes();
        self.check_at_the_end()?;
        Ok(std::mem::take(&mut self.coverage))
    }

    /// What persons were about to type when the world came to its end.
    fn forget_wishes(&mut self) {
        for (_, due) in self.dues.iter().flatten() {
            if let Due::Decide(wish) = due {
                let who = self.hub.who(&self.hub.conflict(wish.conflict).key);
                self.ledger.forget(&who, &wish.columns);
            }
        }
    }

    fn end(&self) -> i64 {
        self.weather.calm_after_ms + DRAIN_MS + DRAIN_MS_PER_WRITE * self.ledger.writes as i64
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
            Due::Copy if !self.calm => self.copy(number),
            Due::Upgrade if !self.calm => self.upgrade(number)?,
            Due::Part(life) => self.part(number, life)?,
            Due::SetClock => {
                self.coverage.count("a wall clock is set");
                self.registers[number].set_wall_clock(&mut self.rng);
            }
            Due::Cut(length) if !self.calm => self.registers[number].cut_until = self.now + length,
            Due::HubDown(length) if !self.calm => self.hub_goes_down(length),
            Due::Cut(_) | Due::HubDown(_) | Due::Copy | Due::Upgrade => {}
            Due::Message(message) => self.arrive(number, message)?,
            Due::Timeout(life, call) => self.time_out(number, life, call)?,
            Due::EndPoll => self.end_polls(),
            Due::Person => self.person_looks(),
            Due::Decide(wish) => self.decide(&wish)?,
        }
        Ok(())
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
}
