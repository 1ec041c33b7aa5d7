//! The loop: asks the sync machine what is next, carries it out, and reports what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tillsync_core::config::Capture as CaptureMode;
use tillsync_core::problem::Problem;
use tillsync_core::sync::{Applied, Captured, Effect, Event, Pulled, Pushed, Settings, Sync, Trouble};
use tillsync_core::window::Happening;
use tillsync_core::wire::hub::WAIT_MS_MAX;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::agent::{Agent, AgentError};
use crate::clock::{in_ticks, now_ms, ticks_ms};
use crate::push::BATCH_MAX;
use crate::state::{activity, conflicts, inbox, marks, outbox};
use crate::status::full_sync;

/// Hints that wait to be handled; more would say nothing new.
const HINTS_MAX: usize = 64;

/// The loop looks around at least this often, whatever the clock does.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Memory is given back after this much rest.
const REST: Duration = Duration::from_secs(3);

/// A one-time sync gives up on a server that failed this often in a row.
const FAILURES_MAX: u32 = 3;

/// When stopping, effects in flight and a last push get this long.
const DRAIN: Duration = Duration::from_secs(4);

/// How a requested sync ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was there is captured, sent and fetched.
    Settled,
    /// The server could not be used; everything is kept.
    Trouble(Trouble),
    /// Store or state could not be used.
    Failed(Problem),
    /// A person asked for quiet.
    Paused,
    /// Time is up.
    TimedOut,
    /// Time is up, and what is left waits for the POS.
    StoreInUse,
}

/// What others ask of the loop.
#[derive(Debug)]
pub enum Request {
    /// Sync now and say how it ended.
    Sync {
        /// Give up after this long.
        timeout: Duration,
        /// Where the answer goes.
        answer: oneshot::Sender<Outcome>,
    },
    /// Be quiet, until then or until [`Request::Resume`].
    Pause {
        /// Unix milliseconds.
        until_ms: Option<i64>,
    },
    /// Go on.
    Resume,
    /// Look at the outbox again: a person moved something there.
    Look,
    /// Come to an end so that the caller can go on with another config.
    Reload,
    /// Stop, after a last try to send what is there.
    Stop,
}

/// Why the loop came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to stop, or nobody is left who could ask for anything.
    Stopped,
    /// It is to begin anew with the config as it is now.
    Reload,
    /// It is to begin anew when the config follows what other registers have; see [`crate::adopt`].
    OtherKeys,
}

struct Waiter {
    since: i64,
    deadline: i64,
    answer: oneshot::Sender<Outcome>,
}

/// What waits for its turn at the store.
#[derive(Default)]
struct Waiting {
    capture: bool,
    apply: bool,
}

impl Waiting {
    fn begin(&mut self, effect: &Effect) {
        match effect {
            Effect::Capture => self.capture = true,
            Effect::Apply => self.apply = true,
            Effect::Push { .. } | Effect::Pull { .. } | Effect::InterruptPull => {}
        }
    }

    fn end(&mut self, done: &Done) {
        match &done.event {
            Event::Captured(captured) => self.capture = *captured == Captured::Busy,
            Event::Applied(applied) => self.apply = *applied != Applied::Done && done.error.is_none(),
            _ => {}
        }
    }
}

/// What an effect came to: the event for the machine, and the error if there was one.
struct Done {
    event: Event,
    error: Option<AgentError>,
}

/// The loop's own state.
pub struct Runtime {
    agent: Arc<Agent>,
    sync: Sync,
    hints: mpsc::Receiver<Event>,
    hint_sender: mpsc::Sender<Event>,
    done: mpsc::UnboundedReceiver<Done>,
    /// Effects report here; there are never more than three in flight.
    done_sender: mpsc::UnboundedSender<Done>,
    in_flight: u32,
    /// Effects at the store that are under way, or that met the POS there the last time.
    waiting: Waiting,
    /// The daily look goes on.
    looking: Arc<AtomicBool>,
    /// When work was last done whose memory has not been given back yet.
    worked: Option<Instant>,
    interrupt: Arc<Notify>,
    waiters: Vec<Waiter>,
    trouble: Option<Trouble>,
    failure: Option<Problem>,
    /// The first full sync goes on.
    first_sync: bool,
}

impl Runtime {
    /// A loop over an agent. Without `long_poll` pulls go by the timer.
    pub fn new(agent: Arc<Agent>, long_poll: bool) -> Self {
        let (hint_sender, hints) = mpsc::channel(HINTS_MAX);
        let (done_sender, done) = mpsc::unbounded_channel();
        let now = ticks_ms();
        let settings = Settings {
            interval_ms: agent.config.interval_ms,
            pull_wait_ms: if long_poll && agent.config.long_poll { WAIT_MS_MAX } else { 0 },
            batch_max: BATCH_MAX,
            seed: now as u64 ^ u64::from(std::process::id()),
        };
        Self {
            agent,
            sync: Sync::new(settings, now),
            hints,
            hint_sender,
            done,
            done_sender,
            in_flight: 0,
            waiting: Waiting::default(),
            looking: Arc::default(),
            worked: None,
            interrupt: Arc::new(Notify::new()),
            waiters: Vec::new(),
            trouble: None,
            failure: None,
            first_sync: false,
        }
    }

    /// Where hints go.
    pub fn hints(&self) -> mpsc::Sender<Event> {
        self.hint_sender.clone()
    }

    /// Runs until a stop or a new beginning is requested, or every requester is gone.
    pub async fn run(mut self, mut requests: mpsc::Receiver<Request>) -> Result<End, AgentError> {
        self.begin()?;
        let end = loop {
            if self.agent.keys_in_doubt.load(Ordering::Relaxed) {
                break End::OtherKeys;
            }
            self.start_effects();
            self.answer_waiters();
            self.agent.news.send_replace(());
            let wakeup = self.wakeup();
            tokio::select! {
                Some(hint) = self.hints.recv() => self.sync.handle(hint, ticks_ms()),
                Some(done) = self.done.recv() => self.finish_effect(done)?,
                request = requests.recv() => match request {
                    None | Some(Request::Stop) => break End::Stopped,
                    Some(Request::Reload) => break End::Reload,
                    Some(request) => self.take_request(request)?,
                },
                () = tokio::time::sleep(wakeup) => self.tidy_up(),
            }
        };
        if tokio::time::timeout(DRAIN, self.drain(end)).await.is_err() {
            tracing::info!("stopped with changes still to send; they are kept");
        }
        if end == End::Stopped {
            activity::note(self.agent.state().conn(), Happening::Stopped, now_ms())?;
        }
        Ok(end)
    }

    fn begin(&mut self) -> Result<(), AgentError> {
        let state = self.agent.state();
        let unknown = outbox::sent_becomes_unknown(state.conn())?;
        if unknown > 0 {
            tracing::info!(unknown, "changes were on their way when the agent ended; they are sent again");
        }
        outbox::ask_about_conflicts(state.conn())?;
        outbox::prune(state.conn(), now_ms())?;
        conflicts::prune(state.conn(), now_ms())?;
        marks::clear(state.conn(), marks::STORE_TROUBLE)?;
        activity::note(state.conn(), Happening::Started, now_ms())?;
        self.first_sync = full_sync(state.conn())?.is_some();
        if let Some(until) = marks::get::<i64>(state.conn(), marks::PAUSED)? {
            self.sync.handle(Event::Pause { until_ms: (until > 0).then(|| in_ticks(until)) }, ticks_ms());
        }
        Ok(())
    }

    fn start_effects(&mut self) {
        while let Some(effect) = self.sync.poll_effect(ticks_ms()) {
            if effect == Effect::InterruptPull {
                self.interrupt.notify_waiters();
                continue;
            }
            self.in_flight += 1;
            self.waiting.begin(&effect);
            let (agent, done, interrupt) = (Arc::clone(&self.agent), self.done_sender.clone(), Arc::clone(&self.interrupt));
            tokio::spawn(async move {
                let _ = done.send(carry_out(agent, effect, &interrupt).await);
            });
        }
    }

    fn wakeup(&self) -> Duration {
        let deadlines = self.waiters.iter().map(|waiter| waiter.deadline);
        let next = self.sync.next_wakeup().into_iter().chain(deadlines).min();
        let idle_max = if self.worked.is_some() { REST } else { IDLE_MAX };
        next.map_or(idle_max, |next| Duration::from_millis((next - ticks_ms()).max(0) as u64).min(idle_max))
    }

    /// Once a day everything is compared.
    fn look_if_due(&self) {
        let is_free = self.in_flight <= 1 && self.sync.failures() == 0 && self.sync.paused().is_none();
        if !is_free || !self.agent.daily_look_is_due().unwrap_or(false) || self.looking.swap(true, Ordering::Relaxed) {
            return;
        }
        let (agent, hints, looking) = (Arc::clone(&self.agent), self.hint_sender.clone(), Arc::clone(&self.looking));
        tokio::spawn(async move {
            if let Err(error) = agent.daily_look().await {
                tracing::warn!(%error, "the daily look is put off");
            }
            looking.store(false, Ordering::Relaxed);
            let _ = hints.send(Event::Asked).await;
        });
    }

    /// After some work and then some rest, memory goes back to the system.
    fn tidy_up(&mut self) {
        self.look_if_due();
        if self.worked.is_some_and(|since| since.elapsed() >= REST) {
            self.worked = None;
            crate::memory::give_back();
        }
    }

    fn finish_effect(&mut self, done: Done) -> Result<(), AgentError> {
        self.in_flight -= 1;
        self.waiting.end(&done);
        if let Some(error) = done.error {
            self.note_error(error)?;
        } else if matches!(done.event, Event::Captured(Captured::Done { .. } | Captured::Later { .. }))
            && self.failure.take().is_some()
        {
            marks::clear(self.agent.state().conn(), marks::STORE_TROUBLE)?;
        }
        let trouble = match &done.event {
            Event::Pushed(Pushed::Trouble(trouble)) | Event::Pulled(Pulled::Trouble(trouble)) => Some(trouble.clone()),
            _ => None,
        };
        let answered =
            matches!(done.event, Event::Pushed(Pushed::Done { .. }) | Event::Pulled(Pulled::Page { .. } | Pulled::Nothing));
        let writes = matches!(done.event, Event::Pushed(Pushed::Done { .. }) | Event::Applied(Applied::Done));
        // A push with nothing left may have ended the first full sync, for which rows waited.
        let settles = writes || matches!(done.event, Event::Pushed(Pushed::Nothing));
        if writes {
            self.worked = Some(Instant::now());
        }
        let pushed = matches!(done.event, Event::Pushed(Pushed::Done { .. }));
        self.sync.handle(done.event, ticks_ms());
        if self.first_sync && full_sync(self.agent.state().conn())?.is_none() {
            self.first_sync = false;
            activity::note(self.agent.state().conn(), Happening::FullSync, now_ms())?;
        }
        // What was sent just now is missing in a restored store, and a pull brings it back.
        if self.agent.pull_anew.swap(false, Ordering::Relaxed) || (pushed && self.agent.is_restoring()?) {
            self.sync.handle(Event::Asked, ticks_ms());
        }
        if self.agent.freed.swap(false, Ordering::Relaxed) {
            self.sync.handle(Event::Freed, ticks_ms());
        }
        if let Some(trouble) = trouble {
            tracing::warn!(?trouble, failures = self.sync.failures(), "trouble with the server");
            self.agent.note_trouble(&trouble, self.sync.failures())?;
            self.trouble = Some(trouble);
        } else if answered {
            self.trouble = None;
        }
        if settles && self.inbox_is_due()? {
            self.sync.handle(Event::StoreChanged, ticks_ms());
        }
        Ok(())
    }

    /// Rows that waited may be applicable, or the end of the first full sync was all that a scan waited for; the capture lane tries.
    fn inbox_is_due(&self) -> Result<bool, AgentError> {
        let is_due = self.agent.inbox_due.load(Ordering::Relaxed);
        Ok(is_due && (!inbox::is_empty(self.agent.state().conn())? || self.agent.must_scan()?))
    }

    fn note_error(&mut self, error: AgentError) -> Result<(), AgentError> {
        if let AgentError::Ended(_) = error {
            return Err(error);
        }
        let problem = error.problem();
        tracing::error!(code = problem.code, %error, "a step failed");
        let json = serde_json::to_string(&problem).expect("a problem encodes");
        // When the state itself is what fails, there is nowhere to note it; the log and the sentence of this process have it.
        let _ = marks::set(self.agent.state().conn(), marks::STORE_TROUBLE, json);
        self.failure = Some(problem);
        Ok(())
    }

    fn take_request(&mut self, request: Request) -> Result<(), AgentError> {
        let now = ticks_ms();
        match request {
            Request::Sync { timeout, answer } => {
                self.agent.inbox_due.store(true, Ordering::Relaxed);
                (self.trouble, self.failure) = (None, None);
                self.sync.handle(Event::Asked, now);
                let deadline = now.saturating_add(i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX));
                self.waiters.push(Waiter { since: now, deadline, answer });
            }
            Request::Pause { until_ms } => {
                marks::set(self.agent.state().conn(), marks::PAUSED, until_ms.unwrap_or(0))?;
                activity::note(self.agent.state().conn(), Happening::Paused, now_ms())?;
                self.sync.handle(Event::Pause { until_ms: until_ms.map(in_ticks) }, now);
            }
            Request::Resume => {
                marks::clear(self.agent.state().conn(), marks::PAUSED)?;
                activity::note(self.agent.state().conn(), Happening::Resumed, now_ms())?;
                self.sync.handle(Event::Resume, now);
            }
            Request::Look => {
                // What a person settled may have been all that a row of the inbox waited for.
                self.agent.inbox_due.store(true, Ordering::Relaxed);
                self.sync.handle(Event::Freed, now);
                self.sync.handle(Event::Asked, now);
            }
            Request::Reload | Request::Stop => {}
        }
        Ok(())
    }

    fn answer_waiters(&mut self) {
        if self.waiters.is_empty() {
            return;
        }
        let now = ticks_ms();
        for waiter in std::mem::take(&mut self.waiters) {
            match self.outcome(&waiter, now) {
                Some(outcome) => drop(waiter.answer.send(outcome)),
                None => self.waiters.push(waiter),
            }
        }
    }

    fn outcome(&self, waiter: &Waiter, now: i64) -> Option<Outcome> {
        if let Some(problem) = &self.failure {
            return Some(Outcome::Failed(problem.clone()));
        }
        if let Some(trouble) = &self.trouble
            && (self.sync.failures() >= FAILURES_MAX || !may_pass_soon(trouble))
        {
            return Some(Outcome::Trouble(trouble.clone()));
        }
        if self.sync.paused().is_some() {
            return Some(Outcome::Paused);
        }
        if self.sync.settled_since(waiter.since)
            && !self.inbox_is_due().unwrap_or(false)
            && !self.agent.is_restoring().unwrap_or(false)
        {
            return Some(Outcome::Settled);
        }
        let late = if self.waiting.capture || self.waiting.apply { Outcome::StoreInUse } else { Outcome::TimedOut };
        (now >= waiter.deadline).then_some(late)
    }

    /// Before the end: lets effects finish, and sends what is there if the server is.
    async fn drain(&mut self, end: End) {
        self.interrupt.notify_waiters();
        self.sync.handle(Event::Asked, ticks_ms());
        let since = ticks_ms();
        loop {
            if end != End::OtherKeys && !self.sync.is_backing_off() && !self.sync.settled_since(since) && self.failure.is_none() {
                self.start_effects();
            }
            if self.in_flight == 0 {
                return;
            }
            if let Some(done) = self.done.recv().await
                && self.finish_effect(done).is_err()
            {
                return;
            }
        }
    }
}

/// Waiting a second or two may help with these.
fn may_pass_soon(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Offline(_) | Trouble::ServerFailed(_) | Trouble::NotTheServer(_))
}

async fn carry_out(agent: Arc<Agent>, effect: Effect, interrupt: &Notify) -> Done {
    let (result, failed) = match effect {
        Effect::Capture => (on_thread(agent, look_at_store).await, Event::Captured(Captured::Failed)),
        Effect::Apply => (on_thread(agent, |agent| agent.apply().map(Event::Applied)).await, Event::Applied(Applied::Failed)),
        Effect::Push { changes_max } => (agent.push(changes_max).await.map(Event::Pushed), Event::Pushed(Pushed::Failed)),
        Effect::Pull { wait_ms } => {
            let pulled = tokio::select! {
                pulled = agent.pull(wait_ms) => pulled,
                () = interrupt.notified() => Ok(Pulled::Interrupted),
            };
            (pulled.map(Event::Pulled), Event::Pulled(Pulled::Interrupted))
        }
        Effect::InterruptPull => (Ok(Event::StoreChanged), Event::StoreChanged),
    };
    match result {
        Ok(event) => Done { event, error: None },
        Err(AgentError::Store(error)) if error.is_passing() => Done { event: busy(failed), error: None },
        Err(error) => Done { event: failed, error: Some(error) },
    }
}

/// The POS has the store just now.
fn busy(failed: Event) -> Event {
    match failed {
        Event::Captured(_) => Event::Captured(Captured::Busy),
        Event::Applied(_) => Event::Applied(Applied::Failed),
        other => other,
    }
}

async fn on_thread(agent: Arc<Agent>, work: fn(&Agent) -> Result<Event, AgentError>) -> Result<Event, AgentError> {
    tokio::task::spawn_blocking(move || work(&agent)).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Capture, and a scan where one is due or where it takes the place of the triggers.
fn look_at_store(agent: &Agent) -> Result<Event, AgentError> {
    let captured = agent.capture()?;
    let (due, restoring) = {
        let state = agent.state();
        let due = marks::get(state.conn(), marks::SCAN_DUE)?.unwrap_or(false);
        (due, marks::get(state.conn(), marks::PULL_OWN)?.unwrap_or(false))
    };
    let scans = due || agent.config.capture == CaptureMode::Scan;
    if restoring && captured.added == 0 {
        return Ok(Event::Captured(Captured::Later { added: 0 }));
    }
    if due && !restoring && !captured.more && !agent.has_uploaded()? {
        // Rows that the first full sync has passed may have changed unseen, and a scan now would leave its tables out.
        return Ok(Event::Captured(Captured::Later { added: captured.added }));
    }
    if !scans || restoring || captured.more {
        return Ok(Event::Captured(Captured::Done { added: captured.added, more: captured.more }));
    }
    let scan = agent.scan(false)?;
    Ok(Event::Captured(Captured::Done { added: captured.added + scan.added, more: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(effect: &Effect, event: Event, waits: bool) {
        let mut waiting = Waiting::default();
        waiting.begin(effect);
        waiting.end(&Done { event, error: None });
        assert_eq!(waiting.capture || waiting.apply, waits, "{effect:?}");
    }

    #[test]
    fn who_meets_the_pos_at_the_store_waits_for_it_and_not_for_the_server() {
        let mut waiting = Waiting::default();
        waiting.begin(&Effect::Apply);
        assert!(waiting.apply, "what is under way may be waiting for its turn");
        check(&Effect::Apply, Event::Applied(Applied::Busy), true);
        check(&Effect::Apply, Event::Applied(Applied::Failed), true);
        check(&Effect::Apply, Event::Applied(Applied::Done), false);
        check(&Effect::Capture, Event::Captured(Captured::Busy), true);
        check(&Effect::Capture, Event::Captured(Captured::Done { added: 1, more: false }), false);
        check(&Effect::Pull { wait_ms: 0 }, Event::Pulled(Pulled::Nothing), false);
    }
}
