//! Persons: they look at a conflict, think for a while and decide; sometimes two of them about the same one, and sometimes the row has
//! moved meanwhile. In the calm they decide all that waits.

use fastrand::Rng;
use tillsync_core::row::Row;
use tillsync_core::sync::Event;
use tillsync_core::wire::hub::Resolution;

use super::clocks::hub_ms;
use super::conflicts::{Noted, Outcome, Standing, Wish};
use super::faults::happens;
use super::hub::ADMIN;
use super::ledger::Ledger;
use super::shop::Who;
use super::world::{Due, World};

/// In the calm somebody looks at everything that waits this often.
const LOOK_MS: i64 = 1_000;

/// Longest that a person thinks.
const THINK_MS_MAX: i64 = 6_000;

impl World {
    /// When somebody looks next.
    pub fn plan_look(&mut self) {
        let pause = if self.calm { LOOK_MS } else { self.rng.i64(1..=self.weather.person_pause_ms_max) };
        self.at(self.now + pause, 0, Due::Person);
    }

    /// Somebody looks at the conflict log.
    pub fn person_looks(&mut self) {
        if self.calm {
            let waiting: Vec<i64> = self.hub.conflicts.iter().filter(|noted| noted.is_pending()).map(|noted| noted.id).collect();
            for id in waiting {
                self.look_at(id);
            }
        } else if self.weather.persons {
            let draw = self.rng.u8(0..10);
            let wanted = |noted: &&Noted| match noted.standing {
                Standing::Pending => draw > 3,
                Standing::Automatic => (1..=3).contains(&draw),
                // What is on a screen may have been decided long since.
                Standing::Decided { .. } => draw == 0,
            };
            let open: Vec<i64> = self.hub.conflicts.iter().filter(wanted).map(|noted| noted.id).collect();
            if let Some(id) = open.get(self.rng.usize(..open.len().max(1))).copied() {
                self.look_at(id);
                if self.rng.u8(0..4) == 0 {
                    self.look_at(id);
                }
            }
        }
        self.plan_look();
    }

    fn look_at(&mut self, id: i64) {
        let noted = self.hub.conflict(id);
        let candidates = self.who_may_decide(noted);
        let device = candidates[self.rng.usize(..candidates.len())];
        let noted = self.hub.conflict(id);
        let (key, base_version) = (noted.key.clone(), self.hub.version(&noted.key).unwrap_or(0));
        let seen = self.hub.row(&key).cloned();
        let resolution = match self.rng.u8(0..5) {
            0 | 1 => Resolution::ClientWins,
            2 | 3 => Resolution::ServerWins,
            _ => Resolution::Merged,
        };
        let columns = match &seen {
            Some(row) if resolution == Resolution::Merged => typed(&mut self.ledger, &self.hub.who(&key), row, &mut self.rng),
            _ => Row::default(),
        };
        let think = self.rng.i64(1..if self.calm { LOOK_MS } else { THINK_MS_MAX });
        self.at(self.now + think, 0, Due::Decide(Box::new(Wish { conflict: id, device, resolution, base_version, seen, columns })));
    }

    /// The administrator, a manager, or somebody at one of the two registers.
    fn who_may_decide(&self, noted: &Noted) -> Vec<usize> {
        let server: Option<usize> = noted.server_device.as_ref().and_then(|device| device.parse().ok());
        let enrolled = (0..self.registers.len()).filter(|number| !self.registers[*number].is_copy());
        let managers = enrolled.filter(|number| self.hub.is_manager(*number));
        managers.chain([ADMIN, noted.device]).chain(server).collect()
    }

    /// A person decides.
    pub fn decide(&mut self, wish: &Wish) -> Result<(), String> {
        let who = self.hub.who(&self.hub.conflict(wish.conflict).key);
        let lost = wish.device != ADMIN && (self.is_away(wish.device) || happens(&mut self.rng, self.weather.lost_request));
        let outcome =
            if lost || self.now < self.hub_down_until { Outcome::Unheard } else { self.hub.resolve(wish, hub_ms(self.now)) };
        self.coverage.count(outcome.as_str());
        let Outcome::Resolved(version, row) = &outcome else {
            self.ledger.forget(&who, &wish.columns);
            if outcome == Outcome::AlreadyResolved {
                self.hear_decision(wish, 0)?;
            }
            return Ok(());
        };
        self.ledger.decided(&who, wish.seen.as_ref(), row.as_ref());
        self.wake_polls();
        self.hear_decision(wish, version - 1)
    }

    /// The register where it was decided closes the conflict; the row that the hub had before is not worth writing any more.
    fn hear_decision(&mut self, wish: &Wish, outdated: i64) -> Result<(), String> {
        if wish.device == ADMIN || self.is_away(wish.device) || happens(&mut self.rng, self.weather.lost_answer) {
            return Ok(());
        }
        let register = &mut self.registers[wish.device];
        if let (Some((key, _)), Some(agent)) = (register.state.conflicts.get(&wish.conflict).cloned(), &mut register.agent) {
            register.state.close_conflict(wish.conflict);
            register.state.release(&key, outdated);
            agent.inbox_due = true;
            agent.sync.handle(Event::Freed, self.now);
            agent.sync.handle(Event::Asked, self.now);
            return self.look(wish.device);
        }
        Ok(())
    }

    fn is_away(&self, number: usize) -> bool {
        self.now < self.registers[number].cut_until
    }
}

/// What the person types into some columns.
fn typed(ledger: &mut Ledger, who: &Who, seen: &Row, rng: &mut Rng) -> Row {
    let plain = who.0.facts().iter().filter(|&&column| column != "tags" && seen.get(column).is_some() && rng.bool());
    let plain: Vec<&'static str> = plain.copied().filter(|column| !ledger.shop.counts(who.0, column)).collect();
    plain.into_iter().map(|column| (column.to_owned(), ledger.invent(who, column))).collect()
}
