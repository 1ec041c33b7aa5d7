//! The requests of a register and what it makes of the answers.

use tillsync_core::sync::{Event, Pulled, Pushed};

use super::hub::Outgoing;
use super::judge::Told;
use super::network::{Call, Message};
use super::push::Batch;
use super::register::{Asked, Register};
use super::state::Standing;
use super::world::{Due, World};

/// A register waits this long for an answer, beyond what it asked the hub to wait.
const TIMEOUT_MS: i64 = 30_000;

impl World {
    pub fn push(&mut self, number: usize, changes_max: u32) -> Result<(), String> {
        if self.step(number, Register::make_ready).is_none() || self.refill(number, changes_max as usize)? {
            return Ok(());
        }
        let Some((batch, outgoing, sent_at)) = self.registers[number].next_batch(changes_max as usize, self.now) else {
            // Long enough for a capture to end in between.
            let took = self.rng.i64(0..50);
            // With the first full sync over new columns may be looked at.
            let more = !self.registers[number].state.refilling().is_empty();
            self.later(number, took, Event::Pushed(if more { Pushed::Done { more, took_ms: 0 } } else { Pushed::Nothing }));
            return Ok(());
        };
        if outgoing.len() > changes_max.min(self.weather.sync.batch_max) as usize {
            return Err(format!("register {number} sends {} changes where {changes_max} are the limit", outgoing.len()));
        }
        self.send_batch(number, batch, outgoing, sent_at)
    }

    pub fn send_batch(&mut self, number: usize, batch: Batch, outgoing: Vec<Outgoing>, sent_at: Option<i64>) -> Result<(), String> {
        if self.step(number, |register, around| register.point(around)).is_none() {
            return Ok(());
        }
        let told = Told { sent_at, restored_up_to: self.registers[number].state.restored_up_to };
        self.ask_in_push(number, batch, |call| Message::Push(call, outgoing, told))
    }

    /// One request of the push lane.
    pub fn ask_in_push(&mut self, number: usize, batch: Batch, message: impl FnOnce(Call) -> Message) -> Result<(), String> {
        let call = self.next_call(number);
        let tick = self.registers[number].clocks.ticks(self.now);
        let calls = &mut self.registers[number].agent().calls;
        calls.push_sent = tick;
        if calls.push.replace((call.number, batch)).is_some() {
            return Err(format!("register {number} sends two pushes at once"));
        }
        self.send(number, message(call));
        self.at(self.now + TIMEOUT_MS, number, Due::Timeout(call.life, call.number));
        Ok(())
    }

    pub fn pull(&mut self, number: usize, wait_ms: u64) -> Result<(), String> {
        let call = self.next_call(number);
        let state = &self.registers[number].state;
        let own = state.pull_own;
        let asked = Asked { from: state.cursor, own, with_all_own: own && state.sendable().is_empty() };
        let tick = self.registers[number].clocks.ticks(self.now);
        let calls = &mut self.registers[number].agent().calls;
        calls.pull_sent = tick;
        if calls.pull.replace((call.number, asked)).is_some() {
            return Err(format!("register {number} sends two pulls at once"));
        }
        self.send(number, Message::Pull(call, asked, wait_ms as i64));
        self.at(self.now + TIMEOUT_MS + wait_ms as i64, number, Due::Timeout(call.life, call.number));
        Ok(())
    }

    /// The register ends its long poll; what the hub answers is not heard any more.
    pub fn end_pull(&mut self, number: usize) {
        if self.registers[number].agent().calls.pull.take().is_some() {
            self.later(number, 0, Event::Pulled(Pulled::Interrupted));
        }
    }

    pub fn next_call(&mut self, number: usize) -> Call {
        let register = &mut self.registers[number];
        let life = register.life;
        let device = register.state.device;
        let calls = &mut register.agent().calls;
        calls.last += 1;
        Call { device, life, number: calls.last }
    }

    pub fn pushed(&mut self, number: usize, batch: &Batch, message: Message) -> Result<(), String> {
        if self.step(number, |register, around| register.point(around)).is_none() {
            return Ok(());
        }
        if let (Batch::Question(refill), Message::Rows(_, theirs)) = (batch, &message) {
            return self.refilled(number, refill.clone(), theirs);
        }
        let (register, now) = (&mut self.registers[number], self.now);
        let outcome = match message {
            Message::Answers(_, (took_ms, server_ms), answers) => {
                let sent = register.agent().calls.push_sent;
                register.hear(server_ms, sent, now);
                register.record_answers(batch, answers);
                Pushed::Done { more: true, took_ms }
            }
            Message::Refused(_) => {
                register.stand_all(batch, Standing::Waiting);
                Pushed::Refused
            }
            Message::Failed(_, trouble) => {
                register.stand_all(batch, Standing::Unknown);
                Pushed::Trouble(trouble)
            }
            other => return Err(format!("a push was answered with {other:?}")),
        };
        if self.step(number, |register, around| register.point(around)).is_some() {
            self.later(number, 0, Event::Pushed(outcome));
        }
        Ok(())
    }

    pub fn pulled(&mut self, number: usize, asked: Asked, message: Message) -> Result<(), String> {
        let pulled = match message {
            Message::Page(_, page) if page.changes.len() > self.weather.page_max => {
                return Err(format!("a page has {} changes", page.changes.len()));
            }
            Message::Page(_, page) => self.step(number, |register, around| register.take_page(page, asked, around)),
            Message::Failed(_, trouble) => Some(Pulled::Trouble(trouble)),
            other => return Err(format!("a pull was answered with {other:?}")),
        };
        if let Some(pulled) = pulled {
            self.later(number, 0, Event::Pulled(pulled));
        }
        Ok(())
    }
}
