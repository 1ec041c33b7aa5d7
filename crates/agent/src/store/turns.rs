//! Whose turn is it at the store? The POS is watched from outside, by the stamps of its files, and goes first.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tillsync_core::rhythm::{Moment, Rhythm};

use crate::store::open::log_path;
use crate::store::write::Lock;

/// Looks that are closer together than this miss no write.
const WATCH_GAP_MAX: Duration = Duration::from_millis(4);

/// The write lock is held no longer than this, committing included.
const TURN_MAX: Duration = Duration::from_millis(4);

/// Work within one turn that has the lock from the beginning; committing comes on top. It is fitted to the machine and its disk.
const WORK: [Duration; 2] = [Duration::from_micros(500), Duration::from_micros(1000)];

/// The lock is held no longer than this where it is taken for the commit alone.
const LATE_MAX: Duration = Duration::from_micros(600);

/// Work before the lock is taken late: as much as leaves the commit short. What somebody else's commit makes vain is not much, either.
const LATE_WORK: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(12)];

/// The same while the POS is in use: a turn is to be over before it writes again.
const LATE_WORK_IN_USE: Duration = Duration::from_millis(5);

/// After so many turns in vain the lock is taken early: a program that commits again and again would never let us.
const VAIN_MAX: u32 = 3;

/// What the file system says of a file: its length and when it was written.
type Stamp = Option<(u64, SystemTime)>;

/// The turns at one store.
#[derive(Debug)]
pub struct Turns {
    files: [PathBuf; 3],
    rhythm: Rhythm,
    stamps: Option<[Stamp; 3]>,
    looked: Option<Instant>,
    /// How long to work in a turn that takes the lock early, or late.
    work: Duration,
    late_work: Duration,
    /// Turns in vain, one after the other.
    in_vain: u32,
    /// How the turn under way takes the lock, and when it began.
    lock: Lock,
    begun: Option<Instant>,
    /// Somebody tells of every touch.
    is_watched: bool,
    /// We are writing.
    is_ours: bool,
    /// Nobody else writes: a test whose POS is the same thread.
    is_alone: bool,
    /// Whether readers get in the POS's way, as they do without a write-ahead log.
    pub readers_block: bool,
}

impl Turns {
    /// The turns at this store.
    pub fn at(store: &Path) -> Self {
        let mut journal = store.as_os_str().to_owned();
        journal.push("-journal");
        Self {
            files: [store.to_owned(), log_path(store), journal.into()],
            rhythm: Rhythm::default(),
            stamps: None,
            looked: None,
            work: WORK[1],
            late_work: LATE_WORK[0] * 2,
            in_vain: 0,
            lock: Lock::Early,
            begun: None,
            is_watched: false,
            is_ours: false,
            is_alone: false,
            readers_block: false,
        }
    }

    /// Whether the moment is ours; `wanted_since` is when the wish came up.
    pub fn moment(&mut self, wanted_since: Instant) -> Moment {
        if self.is_alone {
            return Moment::Ours;
        }
        self.look();
        let now = since_epoch(SystemTime::now());
        self.rhythm.moment(now, now.saturating_sub(wanted_since.elapsed()))
    }

    /// Every moment is ours from now on.
    pub fn is_alone(&mut self) {
        self.is_alone = true;
    }

    /// What changes from now on is our doing.
    pub fn is_ours(&mut self) {
        self.look();
        self.is_ours = true;
    }

    /// We are about to write: how long to work before committing, and when to take the lock.
    pub fn begin(&mut self) -> (Duration, Lock) {
        self.is_ours();
        let is_late = !self.readers_block && self.in_vain < VAIN_MAX;
        self.lock = if is_late { Lock::Late } else { Lock::Early };
        self.begun = Some(Instant::now());
        let in_use = self.rhythm.is_in_use(since_epoch(SystemTime::now()));
        let work = match self.lock {
            Lock::Late if in_use => self.late_work.min(LATE_WORK_IN_USE),
            Lock::Late => self.late_work,
            Lock::Early => self.work,
        };
        (work, self.lock)
    }

    /// What changes from now on is not our doing.
    pub fn pause(&mut self) {
        self.is_ours = false;
        self.stamps = Some(self.read_stamps());
    }

    /// The turn is over. What was written held the write lock for this long, until now; `None` when nothing was.
    pub fn end(&mut self, locked: Option<Duration>) {
        self.pause();
        let early = || if self.lock == Lock::Early { self.begun.map_or(Duration::ZERO, |at| at.elapsed()) } else { Duration::ZERO };
        let length = locked.unwrap_or_else(early);
        self.rhythm.took_turn(since_epoch(SystemTime::now()), length);
        if locked.is_none() {
            return;
        }
        let (work, bounds) = match self.lock {
            Lock::Late => (&mut self.late_work, LATE_WORK),
            Lock::Early => (&mut self.work, WORK),
        };
        tracing::trace!(?length, ?work, lock = ?self.lock, "turn");
        let fitted = match self.lock {
            Lock::Late if length > LATE_MAX => *work / 2,
            // A disk that takes this long to commit is not helped by more commits.
            Lock::Early if length.saturating_sub(*work) > TURN_MAX => bounds[1],
            Lock::Early if length > TURN_MAX * 3 / 4 => *work / 2,
            _ => *work * 9 / 8,
        };
        *work = fitted.clamp(bounds[0], bounds[1]);
        self.in_vain = 0;
    }

    /// The POS had the lock, or wrote first. Without a write-ahead log it may only have read, for which a commit of ours does not wait long.
    pub fn met_pos(&mut self) {
        self.in_vain += 1;
        self.is_ours = false;
        let before = self.stamps;
        self.look();
        let now = since_epoch(SystemTime::now());
        if self.readers_block && self.stamps == before {
            self.rhythm.read(now);
        } else {
            self.rhythm.wrote(now, false);
        }
    }

    /// Something touched the store's files just now; whoever calls this does so every time.
    pub fn touched(&mut self) {
        self.is_watched = true;
        self.look();
    }

    fn look(&mut self) {
        let stamps = self.read_stamps();
        let watched = self.is_watched || self.looked.is_some_and(|at| at.elapsed() < WATCH_GAP_MAX);
        // What was written before the first look tells nothing about what comes.
        let changed = self.stamps.as_ref().is_some_and(|before| *before != stamps);
        if changed && !self.is_ours {
            // The time of the file system is coarse; whoever watches closely knows better.
            let now = SystemTime::now();
            let written = stamps.iter().flatten().map(|(_, at)| *at).max().filter(|at| *at < now && !watched).unwrap_or(now);
            // While there is a rollback journal a transaction goes on, however long its disk takes between two touches.
            let goes_on = self.stamps.as_ref().is_some_and(|[.., journal]| journal.is_some());
            self.rhythm.wrote(since_epoch(written), watched && !goes_on);
        }
        self.stamps = Some(stamps);
        self.looked = Some(Instant::now());
    }

    fn read_stamps(&self) -> [Stamp; 3] {
        // An empty log comes and goes with every reader; only what is in one was written.
        let stamp = |info: Metadata| Some((info.len(), info.modified().ok()?)).filter(|(length, _)| *length > 0);
        self.files.each_ref().map(|file| std::fs::metadata(file).ok().and_then(stamp))
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
