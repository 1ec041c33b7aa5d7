//! The network between registers and hub: it loses, delays, doubles and cuts off.

use tillsync_core::sync::Trouble;

use super::clocks::hub_ms;
use super::faults::happens;
use super::hub::{Answer, Outgoing, Page};
use super::judge::Told;
use super::refill::Theirs;
use super::register::Asked;
use super::shop::Key;
use super::state::EventId;
use super::world::{Due, World};

/// Who sent a request, and as which device: the answer finds its way back by it.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub device: usize,
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
    /// To the hub: rows as it has them.
    Question(Call, Vec<Key>),
    /// To the hub, by a copy: an identity of its own.
    Enrol(Call),
    /// From the hub: how long it took, and its clock.
    Answers(Call, (i64, i64), Vec<Answer>),
    /// From the hub.
    Page(Call, Page),
    /// From the hub: the rows.
    Rows(Call, Theirs),
    /// From the hub: which device it is from now on.
    Enrolled(Call, usize),
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
            | Self::Question(call, ..)
            | Self::Enrol(call)
            | Self::Rows(call, ..)
            | Self::Enrolled(call, _)
            | Self::Page(call, _)
            | Self::Refused(call)
            | Self::Failed(call, _) => *call,
        }
    }

    fn is_request(&self) -> bool {
        matches!(self, Self::Push(..) | Self::Pull(..) | Self::Question(..) | Self::Enrol(_))
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
    /// Sends something either way, if the weather lets it through.
    pub fn send(&mut self, number: usize, message: Message) {
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
        if let Message::Enrolled(_, device) = message {
            return self.enrolled(number, device);
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

    /// A row of the first full sync goes out again under its present content when the answer is missing, and so does what a register has in
    /// new columns, so the hub cannot know the old request by its event. Such a request ends with the connection that its sender has given up.
    fn is_late_upload(&self, number: usize, message: &Message) -> bool {
        let Message::Push(call, changes, _) = message else { return false };
        let register = &self.registers[number];
        let pending = register.agent.as_ref().and_then(|agent| agent.calls.push.as_ref());
        let awaited = register.life == call.life && pending.is_some_and(|(number, _)| *number == call.number);
        !awaited && changes.iter().any(|change| matches!(change.event, EventId::Uploaded(..) | EventId::Refilled(..)))
    }

    pub fn time_out(&mut self, number: usize, life: u32, call: u64) -> Result<(), String> {
        let late = Trouble::Offline("no answer in time".to_owned());
        let device = self.registers[number].state.device;
        self.arrive(number, Message::Failed(Call { device, life, number: call }, late))
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
                let answers = self.hub.push(call.device, &changes, told, hub_ms(self.now));
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
            Message::Question(call, keys) => {
                self.send(number, Message::Rows(call, self.hub.rows_at(&keys)));
            }
            Message::Enrol(call) => self.send(number, Message::Enrolled(call, number)),
            Message::Answers(..)
            | Message::Page(..)
            | Message::Rows(..)
            | Message::Enrolled(..)
            | Message::Refused(_)
            | Message::Failed(..) => {}
        }
    }

    /// Answers the long polls that there is something for.
    pub fn wake_polls(&mut self) {
        for poll in std::mem::take(&mut self.waiting) {
            let page = self.hub.page(poll.call.device, poll.asked.from, poll.asked.own, self.weather.page_max, hub_ms(self.now));
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
}
