//! The lanes of a register: its machine says what to do next, and it is done.

use tillsync_core::sync::{Applied, Effect, Event, Pushed};

use super::faults::Crash;
use super::register::{Around, Register};
use super::world::{Due, World};

impl World {
    pub fn start(&mut self, number: usize) -> Result<(), String> {
        if self.registers[number].agent.is_some() {
            return Ok(());
        }
        self.step(number, |register, around| {
            register.start(around);
            Ok(())
        });
        // A copy becomes a register of its own before it looks at the store.
        let life = self.registers[number].life;
        if self.registers[number].is_copy() { self.part(number, life) } else { self.look(number) }
    }

    /// Tells the register's machine, if it still lives the same life, and lets it look around.
    pub fn report(&mut self, number: usize, life: u32, event: Event) -> Result<(), String> {
        let (register, now) = (&mut self.registers[number], self.now);
        let must_scan = register.must_scan();
        let Some(agent) = register.agent.as_mut().filter(|_| register.life == life) else { return Ok(()) };
        let pushed = matches!(event, Event::Pushed(Pushed::Done { .. }));
        let settles = matches!(event, Event::Pushed(Pushed::Done { .. } | Pushed::Nothing) | Event::Applied(Applied::Done));
        agent.sync.handle(event, now);
        if settles && agent.inbox_due && (must_scan || !register.state.inbox.is_empty()) {
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
    pub fn wake(&mut self, number: usize) -> Result<(), String> {
        let wanted = self.registers[number].agent.as_ref().is_some_and(|agent| agent.wakeup_ms == self.now);
        if wanted { self.look(number) } else { Ok(()) }
    }

    /// Asks the machine what to do and does it.
    pub fn look(&mut self, number: usize) -> Result<(), String> {
        loop {
            let (register, now) = (&mut self.registers[number], self.now);
            let is_copy = register.is_copy();
            let Some(agent) = register.agent.as_mut().filter(|_| !is_copy) else { return Ok(()) };
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
        let Self { weather, rng, ledger, coverage, now, registers, .. } = self;
        let taken = take(&mut registers[number], &mut Around { weather, rng, ledger, coverage, now: *now });
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
