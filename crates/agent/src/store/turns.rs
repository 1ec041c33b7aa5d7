//! Whose turn is it at the store? The POS is watched from outside, by the stamps of its files, and goes first.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tillsync_core::rhythm::{Moment, Rhythm};

use crate::store::open::log_path;

/// Looks that are closer together than this miss no write.
const WATCH_GAP_MAX: Duration = Duration::from_millis(4);

/// The write lock is held no longer than this, committing included.
const TURN_MAX: Duration = Duration::from_millis(4);

/// Work within one turn; committing comes on top. It is fitted to the machine and its disk.
const WORK: [Duration; 2] = [Duration::from_micros(500), Duration::from_micros(1200)];

/// The same while the POS is in use and committing costs next to nothing, so that little is in its way at any time.
const WORK_IN_USE: Duration = Duration::from_micros(500);

/// The same without a write-ahead log.
const WORK_WITHOUT_LOG: Duration = Duration::from_millis(1);

/// What the file system says of a file: its length and when it was written.
type Stamp = Option<(u64, SystemTime)>;

/// The turns at one store.
#[derive(Debug)]
pub struct Turns {
    files: [PathBuf; 3],
    rhythm: Rhythm,
    stamps: Option<[Stamp; 3]>,
    looked: Option<Instant>,
    work: Duration,
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

    /// How long to work under the lock before committing.
    pub fn work(&self) -> Duration {
        let in_use = self.rhythm.is_in_use(since_epoch(SystemTime::now()));
        match (self.readers_block, in_use) {
            // Every commit waits for the disk several times, under the lock.
            (true, _) => self.work.min(WORK_WITHOUT_LOG),
            (false, true) => self.work.min(WORK_IN_USE),
            (false, false) => self.work,
        }
    }

    /// We are about to write: what changes now is our doing.
    pub fn begin(&mut self) {
        self.look();
        self.is_ours = true;
    }

    /// What changes from now on is not our doing.
    pub fn pause(&mut self) {
        self.is_ours = false;
        self.stamps = Some(self.read_stamps());
    }

    /// We have written, or not; the write lock was held for this long, until now.
    pub fn end(&mut self, length: Duration) {
        self.pause();
        tracing::trace!(?length, work = ?self.work, "turn");
        self.rhythm.took_turn(since_epoch(SystemTime::now()), length);
        let fitted = match length.saturating_sub(self.work) {
            // A disk that takes this long to commit is not helped by more commits.
            commit if commit > TURN_MAX => WORK[1],
            _ if length > TURN_MAX * 3 / 4 => self.work / 2,
            _ => self.work * 9 / 8,
        };
        self.work = fitted.clamp(WORK[0], WORK[1]);
    }

    /// The POS had the lock.
    pub fn met_pos(&mut self) {
        self.is_ours = false;
        self.look();
        self.rhythm.wrote(since_epoch(SystemTime::now()), false);
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
            self.rhythm.wrote(since_epoch(written), watched);
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
