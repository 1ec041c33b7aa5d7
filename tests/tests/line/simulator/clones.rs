//! Clones: somebody copies the disk of a register to another machine. The copy asks the hub for an identity of its own before it looks at
//! the store, as the real agent does.

use tillsync_core::change::Operation;
use tillsync_core::sync::Event;
use uuid::Uuid;

use super::clocks::Clocks;
use super::faults::Crash;
use super::network::Message;
use super::register::{Around, Register};
use super::shop::{TABLES, Table, Who};
use super::world::{Due, World};

/// Registers that there are at most, copies included.
const REGISTERS_MAX: usize = 5;

/// A copy that cannot reach the hub asks again this often.
const PART_AGAIN_MS: i64 = 5_000;

impl World {
    /// Somebody copies a register's disk. What the journal alone has would be sent by both, so the agent has captured it; see
    /// `docs/torture.md`.
    pub fn copy(&mut self, number: usize) {
        let (original, copy) = (&self.registers[number], self.registers.len());
        if copy >= REGISTERS_MAX || !original.can_be_copied() {
            return;
        }
        let clocks = Clocks::draw(self.weather.wrong_clocks, &mut self.rng).elsewhere();
        let mut register = original.copied(copy, clocks, self.now);
        if self.weather.restore > 0 && register.backup.is_none() {
            register.back_up();
        }
        self.coverage.count("a register is copied");
        self.ledger.sent_by_two.extend(original.unsent_rows());
        for table in TABLES {
            let came = self.ledger.columns_came.get(&(number, table)).copied().unwrap_or(0);
            self.ledger.columns_came.insert((copy, table), came);
        }
        self.registers.push(register);
        if self.ledger.restored.contains(&number) {
            self.ledger.restored.insert(copy);
        }
        self.hub.enrol_manager(self.rng.u8(0..3) == 0);
        let (start, first) = (self.rng.i64(0..5_000), self.rng.i64(0..=self.weather.pos_pause_ms_max));
        self.at(self.now + start, copy, Due::Start);
        self.at(self.now + first, copy, Due::Pos);
        if self.registers[copy].backup.is_some() {
            let later = self.rng.i64(2_000..20_000);
            self.at(self.now + later, copy, Due::Restore);
        }
        self.plan_upgrades(copy);
    }

    /// A copy asks for an identity of its own, and again until it has one.
    pub fn part(&mut self, number: usize, life: u32) -> Result<(), String> {
        let register = &self.registers[number];
        if register.life != life || register.agent.is_none() || !register.is_copy() {
            return Ok(());
        }
        let call = self.next_call(number);
        self.send(number, Message::Enrol(call));
        self.at(self.now + PART_AGAIN_MS, number, Due::Part(life));
        Ok(())
    }

    /// The hub has given a copy its own identity.
    pub fn enrolled(&mut self, number: usize, device: usize) -> Result<(), String> {
        if !self.registers[number].is_copy() {
            return Ok(());
        }
        let namespace = Uuid::from_u128(self.rng.u128(..));
        if self.step(number, |register, around| register.part(device, namespace, around)).is_none() {
            return Ok(());
        }
        self.coverage.count("a copy becomes a register of its own");
        let life = self.registers[number].life;
        self.report(number, life, Event::Asked)
    }
}

impl Register {
    /// Whether state and key belong to a register on another machine. Whoever has such uses neither them nor the store.
    pub fn is_copy(&self) -> bool {
        self.state.machine != self.number
    }

    /// Rows with changes on their way: a copy sends them, too.
    fn unsent_rows(&self) -> impl Iterator<Item = Who> {
        self.state.open().filter_map(|change| self.shop.who(change.key.0, &change.key.1, &change.row))
    }

    fn can_be_copied(&self) -> bool {
        let journal = self.store.journal_after(self.state.captured_seq, 1).count();
        // See `Till::void`.
        let voids = self.state.open().any(|change| change.operation == Operation::Delete);
        let is_seen = !voids && journal == 0 && self.store.schema.bare.is_empty() && !self.state.scan_due && !self.state.pull_own;
        is_seen && self.has_uploaded() && !self.is_restored() && !self.is_copy() && !self.state.parting
    }

    fn copied(&self, number: usize, clocks: Clocks, now: i64) -> Self {
        Self {
            number,
            shop: self.shop.clone(),
            clocks,
            store: self.store.clone(),
            state: self.state.clone(),
            pos: self.pos.at(number),
            backup: self.backup.clone(),
            was_restored: false,
            agent: None,
            life: 0,
            events: 0,
            cut_until: 0,
            last_write_ms: now,
        }
    }

    /// Rows that this register counts from now on are none of the original's; the store hears of it before anything is read from it.
    fn part(&mut self, device: usize, namespace: Uuid, around: &mut Around<'_>) -> Result<(), Crash> {
        self.state.device = device;
        self.point(around)?;
        self.state.machine = self.number;
        (self.state.namespace, self.state.parting) = (namespace, true);
        self.point(around)
    }

    /// Gives the store the register's own namespace, where it has the one of a register that it is a copy of: because it has just parted
    /// from it, or because it went back to a time before that.
    pub fn part_store(&mut self) {
        if self.store.namespaces.now != self.state.namespace {
            let kept = self.kept_from_original();
            self.store.namespaces.part_from_original(&kept, self.state.namespace);
        }
        self.state.parting = false;
    }

    /// Up to which key rows are the original's: those that it had captured when it was copied. Of a table whose first full sync goes on
    /// the state does not know all; there it is what the store holds.
    fn kept_from_original(&self) -> Vec<(Table, i64)> {
        let counted = TABLES.into_iter().filter(|table| self.shop.is_counted(*table));
        let largest_here = |table| self.store.rows_of(table).filter_map(|(place, _)| place.1.parse().ok()).max().unwrap_or(0);
        let up_to = |table| if self.state.is_sent(table) { self.state.ids.largest(table) } else { largest_here(table) };
        counted.map(|table| (table, up_to(table))).collect()
    }
}
