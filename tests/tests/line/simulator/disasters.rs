//! Disasters: what happens to registers and the hub, beside the weather. All of it is drawn from the seed when the world begins.

use tillsync_core::sync::Event;

use super::faults::happens;
use super::world::{Due, World};

impl World {
    pub fn plan_disasters(&mut self) {
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
                if happens(&mut self.rng, self.weather.copy) {
                    self.at(time, number, Due::Copy);
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

    pub fn restore(&mut self, number: usize) -> Result<(), String> {
        let heard = self.hub.heard();
        if !self.registers[number].restore(heard, &mut self.ledger) {
            return Ok(());
        }
        self.coverage.count("a store is restored");
        if self.registers[number].store.namespaces.now != self.registers[number].state.namespace {
            self.coverage.count("a copy goes back to a backup of its original");
        }
        self.registers[number].last_write_ms = self.now;
        // An older store is upgraded again.
        self.plan_upgrades(number);
        let life = self.registers[number].life;
        self.report(number, life, Event::StoreChanged)
    }

    pub fn hub_goes_down(&mut self, length: i64) {
        self.hub_down_until = self.now + length;
        self.waiting.clear();
    }

    /// Ends the agent; it is started again soon.
    pub fn crash(&mut self, number: usize) {
        self.registers[number].crash();
        let again = self.now + self.rng.i64(1..5_000);
        self.at(again, number, Due::Start);
    }

    /// When the register's POS program is upgraded; every register has its own times, and some are never upgraded.
    pub fn plan_upgrades(&mut self, number: usize) {
        let left = self.hub.shop.upgrades.len() - self.registers[number].store.schema.upgrades;
        for _ in 0..left {
            if self.rng.u8(0..6) > 0 {
                let time = self.now + self.rng.i64(0..self.weather.calm_after_ms);
                self.at(time, number, Due::Upgrade);
            }
        }
    }

    /// The POS program is upgraded: the next change of its schema.
    pub fn upgrade(&mut self, number: usize) -> Result<(), String> {
        let heard = self.hub.heard();
        let register = &mut self.registers[number];
        let Some(upgrade) = register.upgrade(heard, &mut self.ledger) else { return Ok(()) };
        self.coverage.count(upgrade.as_str());
        register.last_write_ms = self.now;
        let life = register.life;
        self.report(number, life, Event::StoreChanged)
    }
}
