//! The POS's rhythm: when it writes, as seen from outside, and which moments between two writes are ours.
//!
//! Many POS programs wait for no lock: a statement that meets ours fails. SQLite has no way to step aside for somebody else, so
//! we write where the POS is least likely to: not during a burst of statements, and when it is known to write every so often,
//! not when its next write is due. Times are [`Duration`]s since any fixed start.

use std::collections::VecDeque;
use std::time::Duration;

/// Statements closer together than this belong to one burst, such as the lines of a receipt.
pub const BURST_GAP_MAX: Duration = Duration::from_millis(25);

/// Our turn takes less than this, so that a moment must last at least as long.
const TURN_MAX: Duration = Duration::from_millis(4);

/// Gaps that are remembered of either kind.
const GAPS_KEPT: usize = 32;

/// Turns that are remembered: on a slow disk, or a machine that is busy, the next one may take as long as the longest of them.
const TURNS_KEPT: usize = 8;

/// After so many bursts their rhythm is known, and this much silence is the end of one whose writes follow at once.
const QUIET_MIN: Duration = Duration::from_millis(10);

/// Before so many pauses are known, a pause may be as short as …
const PAUSES_MIN: usize = 3;

/// … this: nobody rings up sales by hand faster.
const PAUSE_ASSUMED: Duration = Duration::from_millis(250);

/// However short the pauses were so far, the next write is not overdue before this time: people pause.
const OVERDUE_MIN: Duration = Duration::from_secs(2);

/// So long we wait for the end of a burst.
const BURST_WAIT_MAX: Duration = Duration::from_secs(30);

/// A POS that has written nothing for this long is idle.
const IDLE_MIN: Duration = Duration::from_secs(10);

/// While the POS is in use, our turns take this share of the time at most where it is not expected, …
const REST_PER_TURN: u32 = 8;

/// … and this one at any other time, or a sale would soon meet one.
const REST_PER_TURN_UNAWARES: u32 = 32;

/// However long a turn took on a disk that is busy: nobody should sort a page anew for every turn.
const REST_MAX: Duration = Duration::from_millis(50);

/// Between two turns at an idle store.
const REST_MIN: Duration = Duration::from_millis(1);

/// Whether the moment is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Write now, briefly.
    Ours,
    /// Look again after this time.
    Wait(Duration),
}

/// What is known of the POS's writes.
#[derive(Clone, Debug, Default)]
pub struct Rhythm {
    last_write: Option<Duration>,
    within_bursts: VecDeque<Duration>,
    between_bursts: VecDeque<Duration>,
    /// When our last turn ended, and how long it took.
    last_turn: Option<(Duration, Duration)>,
    /// When it was last met reading.
    last_read: Option<Duration>,
    /// How long our last turns took.
    turns: VecDeque<Duration>,
}

impl Rhythm {
    /// The POS wrote. `watched` says that somebody looked all the time since its write before, so that the gap is a true one.
    pub fn wrote(&mut self, at: Duration, watched: bool) {
        if let Some(last) = self.last_write
            && watched
            && let Some(gap) = at.checked_sub(last)
            // What is closer together are the steps of one transaction, or leaves us no room anyway.
            && gap >= TURN_MAX
        {
            let kind = if gap < BURST_GAP_MAX { &mut self.within_bursts } else { &mut self.between_bursts };
            if kind.len() == GAPS_KEPT {
                kind.pop_front();
            }
            kind.push_back(gap);
        }
        self.last_write = Some(self.last_write.map_or(at, |last| last.max(at)));
    }

    /// The POS reads, where readers and writers are in each other's way.
    pub fn read(&mut self, at: Duration) {
        self.last_read = Some(at);
    }

    /// We wrote.
    pub fn took_turn(&mut self, end: Duration, length: Duration) {
        self.last_turn = Some((end, length));
        if self.turns.len() == TURNS_KEPT {
            self.turns.pop_front();
        }
        self.turns.push_back(length);
    }

    /// Whether the POS has written lately.
    pub fn is_in_use(&self, now: Duration) -> bool {
        self.since_write_in_use(now).is_some()
    }

    /// Whether to write now; `wanted_since` is when the wish came up.
    pub fn moment(&self, now: Duration, wanted_since: Duration) -> Moment {
        let Some(since) = self.since_write_in_use(now) else {
            let is_read = self.last_read.is_some_and(|last| now.saturating_sub(last) < IDLE_MIN);
            return self.after_rest(now, if is_read { self.rest(REST_PER_TURN) } else { REST_MIN });
        };
        let wanted = now.saturating_sub(wanted_since);
        if self.is_between_steady_writes(since) || self.is_after_burst(since) {
            return self.after_rest(now, self.rest(REST_PER_TURN));
        }
        let quiet = self.quiet();
        if since < quiet && wanted < BURST_WAIT_MAX {
            return Moment::Wait(quiet - since);
        }
        // It writes again, or is idle before long.
        if since >= quiet && !self.is_overdue(since) {
            return Moment::Wait(REST_MIN);
        }
        self.after_rest(now, self.rest(REST_PER_TURN_UNAWARES))
    }

    /// A program that writes again and again at its own pace, like an import: right after a write is the best moment.
    fn is_between_steady_writes(&self, since: Duration) -> bool {
        let shortest = self.within_bursts.iter().min();
        self.within_bursts.len() * 2 >= GAPS_KEPT && shortest.is_some_and(|gap| since + TURN_MAX * 3 / 2 < *gap)
    }

    /// The burst is over and the next one is not due yet.
    fn is_after_burst(&self, since: Duration) -> bool {
        let quiet = self.quiet();
        let turn = self.turns.iter().max().copied().unwrap_or_default();
        let assumed = (self.between_bursts.len() < PAUSES_MIN).then_some(&PAUSE_ASSUMED);
        let Some(shortest) = self.between_bursts.iter().chain(assumed).min() else { return false };
        let free_until = (*shortest * 3 / 5).min((*shortest * 4 / 5).saturating_sub(turn));
        since >= quiet && since < free_until.max(quiet + TURN_MAX)
    }

    /// Nobody knows when the next write comes.
    fn is_overdue(&self, since: Duration) -> bool {
        let longest = self.between_bursts.iter().max().copied().unwrap_or_default();
        since > (longest * 2).max(OVERDUE_MIN)
    }

    /// After this much silence a burst is over: one that has lasted at some pace may falter for a beat or two. Once the rhythm is known,
    /// waiting longer would only bring the next burst closer.
    fn quiet(&self) -> Duration {
        let faltered = self.within_bursts.iter().max().map_or(Duration::ZERO, |longest| *longest * 3);
        match self.between_bursts.iter().min() {
            Some(shortest) if self.between_bursts.len() * 2 >= GAPS_KEPT => faltered.min(*shortest / 2).max(QUIET_MIN),
            _ => faltered.max(BURST_GAP_MAX),
        }
    }

    /// The time since the last write of a POS that is in use.
    fn since_write_in_use(&self, now: Duration) -> Option<Duration> {
        self.last_write.map(|last| now.saturating_sub(last)).filter(|since| *since < IDLE_MIN)
    }

    fn rest(&self, per_turn: u32) -> Duration {
        self.last_turn.map_or(REST_MIN, |(_, length)| (length * per_turn).clamp(REST_MIN, REST_MAX))
    }

    fn after_rest(&self, now: Duration, rest: Duration) -> Moment {
        let rested = self.last_turn.map_or(Duration::MAX, |(end, _)| now.saturating_sub(end));
        if rested >= rest { Moment::Ours } else { Moment::Wait(rest - rested) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// A POS that wrote at these times, watched all along.
    fn watched(writes: impl IntoIterator<Item = u64>) -> Rhythm {
        let mut rhythm = Rhythm::default();
        for at in writes {
            rhythm.wrote(MS(at), true);
        }
        rhythm
    }

    fn is_ours(rhythm: &Rhythm, now: u64) -> bool {
        rhythm.moment(MS(now), MS(now)) == Moment::Ours
    }

    #[test]
    fn a_store_that_nobody_writes_is_ours() {
        assert!(is_ours(&Rhythm::default(), 0));
        assert!(is_ours(&watched([0, 1_000]), 11_000));
    }

    #[test]
    fn a_first_sale_is_not_taken_for_the_last_of_a_while() {
        for writes in [vec![1_000], vec![0, 1_000]] {
            let rhythm = watched(writes);
            let ours: Vec<u64> = (1_000..3_001).filter(|now| is_ours(&rhythm, *now)).collect();
            assert_eq!((ours.first(), ours.last()), (Some(&1_025), Some(&1_149)));
        }
    }

    #[test]
    fn a_burst_goes_first() {
        let rhythm = watched([1_000, 1_003, 1_006]);
        assert_eq!(rhythm.moment(MS(1_010), MS(1_000)), Moment::Wait(MS(21)));
        assert!(is_ours(&rhythm, 1_031));
        let slow = watched([1_000, 1_015, 1_030]);
        assert_eq!(slow.moment(MS(1_055), MS(1_000)), Moment::Wait(MS(20)));
    }

    #[test]
    fn the_next_sale_goes_first_when_it_is_due() {
        let rhythm = watched((0..10).map(|sale| sale * 100));
        let ours: Vec<u64> = (900..1_101).filter(|now| is_ours(&rhythm, *now)).collect();
        assert_eq!((ours.first(), ours.last()), (Some(&925), Some(&959)));
        assert_eq!(rhythm.moment(MS(970), MS(100)), Moment::Wait(REST_MIN));
        assert!(!is_ours(&rhythm, 2_900));
        assert!(is_ours(&rhythm, 2_901), "overdue: nobody knows when it comes");
    }

    #[test]
    fn a_known_rhythm_leaves_more_time() {
        let rhythm = watched((0..40).map(|sale| sale * 50));
        let ours: Vec<u64> = (1_950..2_000).filter(|now| is_ours(&rhythm, *now)).collect();
        assert_eq!((ours.first(), ours.last()), (Some(&1_960), Some(&1_979)));
    }

    #[test]
    fn a_steady_writer_leaves_the_time_right_after_a_write() {
        let rhythm = watched((0..40).map(|write| write * 10));
        assert!(is_ours(&rhythm, 390) && is_ours(&rhythm, 393));
        assert!(!is_ours(&rhythm, 394) && !is_ours(&rhythm, 399));
        let rhythm = watched((0..40).map(|write| write * 3));
        assert!(!(117..142).any(|now| is_ours(&rhythm, now)), "no gap is long enough for a turn");
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut rhythm = watched((0..100).map(|write| write * 3));
        rhythm.wrote(MS(30_100), true);
        assert_eq!(rhythm.moment(MS(30_101), MS(200)), Moment::Wait(MS(24)));
        assert_eq!(rhythm.moment(MS(30_101), MS(100)), Moment::Ours);
    }

    #[test]
    fn turns_rest_while_the_pos_is_in_use() {
        let mut rhythm = watched([0, 5_000, 10_000, 15_000]);
        rhythm.took_turn(MS(16_000), MS(2));
        assert_eq!(rhythm.moment(MS(16_001), MS(16_001)), Moment::Wait(MS(15)));
        assert!(is_ours(&rhythm, 16_016));
        rhythm.took_turn(MS(90_000), MS(2));
        assert_eq!(rhythm.moment(MS(90_000), MS(90_000)), Moment::Wait(MS(1)));
    }

    #[test]
    fn turns_rest_while_the_pos_reads() {
        let mut rhythm = Rhythm::default();
        rhythm.took_turn(MS(2_000), MS(2));
        assert!(is_ours(&rhythm, 2_001));
        rhythm.read(MS(2_000));
        assert_eq!(rhythm.moment(MS(2_001), MS(2_001)), Moment::Wait(MS(15)));
        assert!(is_ours(&rhythm, 2_016));
    }

    #[test]
    fn a_gap_that_nobody_watched_is_none() {
        let mut rhythm = watched([0, 100]);
        rhythm.wrote(MS(1_000), false);
        assert_eq!(rhythm.between_bursts, [MS(100)]);
    }
}
