//! The network between registers and hub: it loses, delays, doubles and cuts off.

use tillsync_core::sync::{Event, Pulled, Pushed, Trouble};

use super::clocks::hub_ms;
use super::faults::happens;
use super::hub::{Answer, Outgoing, Page};
use super::judge::Told;
use super::push::Batch;
use super::register::Asked;
use super::state::{EventId, Standing};
use super::world::{Due, World};

/// A register waits this long for an answer, beyond what it asked the hub to wait.
const TIMEOUT_MS: i64 = 30_000;

/// Who sent a request: the answer finds its way back by it.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub life: u32,
    pub number: u64,
}

/// Something on its way.
#[derive(Clone, Debug)]
pub enum Message {
    /// To the hub.
    Push(Call, Vec<Outgoing>, Told),
    /// To the hub: what is asked for, and with how much patience.
    Pull(Call, Asked, i64),
    /// From the hub: how long it took, and its clock.
    Answers(Call, (i64, i64), Vec<Answer>),
    /// From the hub.
    Page(Call, Page),
    /// From the hub: it takes no such request.
    Refused(Call),
    /// From the hub, or from nobody.
    Failed(Call, Trouble),
}

impl Message {
    fn call(&self) -> Call {
        match self {
            Self::Push(call, ..)
            | Self::Pull(call, ..)
            | Self::Answers(call, ..)
            | Self::Page(call, _)
            | Self::Refused(call)
            | Self::Failed(call, _) => *call,
        }
    }

    fn is_request(&self) -> bool {
        matches!(self, Self::Push(..) | Self::Pull(..))
    }
}

/// A long poll that the hub holds open.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub register: usize,
    pub call: Call,
    pub asked: Asked,
    pub until_ms: i64,
}

impl World {
    pub fn push(&mut self, number: usize, changes_max: u32) -> Result<(), String> {
        let (batch, outgoing, sent_at) = match self.registers[number].next_batch(changes_max as usize, self.now) {
            Some(next) => next,
            None => {
                // Long enough for a capture to end in between.
                let took = self.rng.i64(0..50);
                self.later(number, took, Event::Pushed(Pushed::Nothing));
                return Ok(());
            }
        };
        if outgoing.len() > changes_max.min(self.weather.sync.batch_max) as usize {
            return Err(format!("register {number} sends {} changes where {changes_max} are the limit", outgoing.len()));
        }
        if self.step(number, |register, around| register.point(around)).is_none() {
            return Ok(());
        }
        let told = Told { sent_at, restored_up_to: self.registers[number].state.restored_up_to };
        let call = self.next_call(number);
        let tick = self.registers[number].clocks.ticks(self.now);
        let calls = &mut self.registers[number].agent().calls;
        calls.push_sent = tick;
        if calls.push.replace((call.number, batch)).is_some() {
            return Err(format!("register {number} sends two pushes at once"));
        }
        self.send(number, Message::Push(call, outgoing, told));
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

    fn next_call(&mut self, number: usize) -> Call {
        let register = &mut self.registers[number];
        let life = register.life;
        let calls = &mut register.agent().calls;
        calls.last += 1;
        Call { life, number: calls.last }
    }

    /// Sends something either way, if the weather lets it through.
    fn send(&mut self, number: usize, message: Message) {
        let request = message.is_request();
        let lost = if request { self.weather.lost_request } else { self.weather.lost_answer };
        let away = self.now < self.registers[number].cut_until || (request && self.now < self.hub_down_until);
        if away || happens(&mut self.rng, lost) {
            if request && self.rng.bool() {
                // Nobody answers, and the register is told so at once.
                let failed = Message::Failed(message.call(), Trouble::Offline("no route".to_owned()));
                self.at(self.now + 1, number, Due::Message(failed));
            }
            return;
        }
        if request && happens(&mut self.rng, self.weather.duplicated) {
            let delay = self.delay();
            self.at(self.now + delay, number, Due::Message(message.clone()));
        }
        let delay = self.delay();
        self.at(self.now + delay, number, Due::Message(message));
    }

    fn delay(&mut self) -> i64 {
        if happens(&mut self.rng, self.weather.late) { self.rng.i64(1_000..60_000) } else { self.rng.i64(1..200) }
    }

    /// Something has arrived, at the hub or at a register.
    pub fn arrive(&mut self, number: usize, message: Message) -> Result<(), String> {
        if message.is_request() {
            if self.now >= self.hub_down_until && !self.is_late_upload(number, &message) {
                self.hub_takes(number, message);
            }
            return Ok(());
        }
        let call = message.call();
        let register = &mut self.registers[number];
        if register.agent.is_none() || register.life != call.life {
            return Ok(());
        }
        let calls = &mut register.agent().calls;
        if let Some((_, batch)) = calls.push.take_if(|(number, _)| *number == call.number) {
            return self.pushed(number, &batch, message);
        }
        if let Some((_, asked)) = calls.pull.take_if(|(number, _)| *number == call.number) {
            return self.pulled(number, asked, message);
        }
        // The register has given up on it.
        Ok(())
    }

    /// A row of the first full sync goes out again under its present content when the answer is missing, so the hub cannot know
    /// the old request by its event. Such a request ends with the connection that its sender has given up.
    fn is_late_upload(&self, number: usize, message: &Message) -> bool {
        let Message::Push(call, changes, _) = message else { return false };
        let register = &self.registers[number];
        let pending = register.agent.as_ref().and_then(|agent| agent.calls.push.as_ref());
        let awaited = register.life == call.life && pending.is_some_and(|(number, _)| *number == call.number);
        !awaited && changes.iter().any(|change| matches!(change.event, EventId::Uploaded(..)))
    }

    pub fn time_out(&mut self, number: usize, life: u32, call: u64) -> Result<(), String> {
        let late = Trouble::Offline("no answer in time".to_owned());
        self.arrive(number, Message::Failed(Call { life, number: call }, late))
    }

    fn hub_takes(&mut self, number: usize, message: Message) {
        if happens(&mut self.rng, self.weather.failed) {
            let trouble = match self.rng.u8(0..3) {
                0 => Trouble::RateLimited { retry_after_ms: 3_000 },
                1 => Trouble::NotTheServer("log in".to_owned()),
                _ => Trouble::ServerFailed("500".to_owned()),
            };
            return self.send(number, Message::Failed(message.call(), trouble));
        }
        match message {
            Message::Push(call, changes, _) if changes.len() > self.weather.push_max => self.send(number, Message::Refused(call)),
            Message::Push(call, changes, told) => {
                let answers = self.hub.push(number, &changes, told, hub_ms(self.now));
                let took = if self.rng.u8(0..20) == 0 { 4_000 } else { 100 };
                self.send(number, Message::Answers(call, (took, hub_ms(self.now)), answers));
                self.wake_polls();
            }
            Message::Pull(call, asked, wait_ms) => {
                let until_ms = self.now + wait_ms;
                self.waiting.push(Waiting { register: number, call, asked, until_ms });
                self.at(until_ms, number, Due::EndPoll);
                self.wake_polls();
            }
            Message::Answers(..) | Message::Page(..) | Message::Refused(_) | Message::Failed(..) => {}
        }
    }

    /// Answers the long polls that there is something for.
    pub fn wake_polls(&mut self) {
        for poll in std::mem::take(&mut self.waiting) {
            let page = self.hub.page(poll.register, poll.asked.from, poll.asked.own, self.weather.page_max, hub_ms(self.now));
            if page.changes.is_empty() && !page.more && poll.until_ms > self.now {
                self.waiting.push(Waiting { asked: Asked { from: page.cursor, ..poll.asked }, ..poll });
            } else {
                self.send(poll.register, Message::Page(poll.call, page));
            }
        }
    }

    pub fn end_polls(&mut self) {
        self.wake_polls();
    }

    fn pushed(&mut self, number: usize, batch: &Batch, message: Message) -> Result<(), String> {
        if self.step(number, |register, around| register.point(around)).is_none() {
            return Ok(());
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

    fn pulled(&mut self, number: usize, asked: Asked, message: Message) -> Result<(), String> {
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
