//! Push to a server of another protocol. A batch that fails as a whole is halved until the one change is alone that the server fails over; that
//! is told from a server that fails anyway by the others, which get through.

use std::collections::{HashSet, VecDeque};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use secrecy::ExposeSecret;
use tillsync_core::change::Verdict;
use tillsync_core::protocol::Object;
use tillsync_core::protocol::client::{Became, Fate, Item, Whole};
use tillsync_core::sync::Trouble;

use super::look::There;
use super::parcel::{Parcel, Prepared};
use super::session::Refused;
use super::{Foreign, known};
use crate::agent::{Agent, AgentError};
use crate::clock::{Heard, now_ms};
use crate::push::is_blocked;
use crate::remote::{Answer, Outgoing, PushReply};
use crate::state::told;

/// A change that is alone in the outbox has nobody to show that the server is well; it is tried so often before it is parked, …
const LONELY_TRIES: u32 = 5;

/// … and for so long: a server whose push is out of order may well answer everything else meanwhile.
const LONELY_MS: i64 = 3_600_000;

/// One push under way.
pub(super) struct Step<'a> {
    batch: &'a [Outgoing],
    answers: Vec<Option<Answer>>,
    heard: Option<Heard>,
    /// Others have changed a row of the batch.
    pub is_later: bool,
    /// Something got through.
    is_well: bool,
    suspects: Vec<Suspect>,
    trouble: Option<Trouble>,
}

/// A change over which the server failed alone.
struct Suspect {
    parcel: Parcel,
    why: String,
    /// The server said that it is this change that is wrong.
    is_said: bool,
}

/// How sending some items went.
enum Sent {
    Became(Vec<Became>),
    /// All of them failed; whether the server said that they are wrong.
    Failed(String, bool),
    Trouble(Trouble),
}

impl Agent {
    /// Sends a batch.
    pub(crate) async fn push_foreign(
        &self,
        foreign: &Foreign,
        device_id: &str,
        batch: &[Outgoing],
    ) -> Result<PushReply, AgentError> {
        let _turn = foreign.turn.lock().await;
        let Prepared { answers, mut parcels, is_later } = tokio::task::block_in_place(|| self.prepare(foreign, batch))?;
        let mut step = Step { batch, answers, heard: None, is_later, is_well: false, suspects: Vec::new(), trouble: None };
        if foreign.facts.must_look && !parcels.is_empty() {
            match self.look(foreign, device_id).await? {
                Ok(seen) => parcels = tokio::task::block_in_place(|| self.sort_by_look(foreign, parcels, &seen, &mut step))?,
                Err(trouble) => return Ok(PushReply::Trouble(trouble)),
            }
        }
        let count = parcels.len();
        let mut queue: VecDeque<Vec<Parcel>> = in_batches(foreign, parcels);
        let mut was_doubted = false;
        loop {
            if queue.is_empty() && step.is_well && !was_doubted {
                // What failed alone may have met a moment in which everything fails.
                was_doubted = true;
                let doubted = step.suspects.extract_if(.., |suspect| !suspect.is_said);
                queue.extend(doubted.map(|suspect| vec![suspect.parcel]));
            }
            let Some(parcels) = queue.pop_front() else { break };
            let parcels = tokio::task::block_in_place(|| self.without_blocked(parcels, &step))?;
            if parcels.is_empty() {
                continue;
            }
            match self.send_items(foreign, device_id, &parcels, &mut step).await? {
                Sent::Became(became) => self.take_fates(foreign, device_id, parcels, became, &mut queue, &mut step).await?,
                Sent::Failed(why, is_said) => {
                    self.take_failure(foreign, device_id, parcels, (why, is_said), &mut queue, &mut step).await?;
                }
                Sent::Trouble(trouble) => step.trouble = Some(trouble),
            }
            if step.trouble.is_some() {
                break;
            }
        }
        self.judge_suspects(foreign, device_id, count, &mut step).await?;
        Ok(step.reply())
    }

    async fn send_items(
        &self,
        foreign: &Foreign,
        device_id: &str,
        parcels: &[Parcel],
        step: &mut Step<'_>,
    ) -> Result<Sent, AgentError> {
        let key = match self.foreign_key(foreign, device_id) {
            Ok(key) => key,
            Err(refused) => return Ok(Sent::Trouble(refused.into())),
        };
        let cursor = self.foreign_cursor()?;
        let who = self.who(device_id, key.as_ref().map(|key| key.expose_secret()), cursor.as_deref(), &[]);
        let items: Vec<Item> = parcels.iter().map(|parcel| parcel.item.clone()).collect();
        self.faults.point("items sent")?;
        Ok(match self.ask_foreign(foreign, device_id, &foreign.client.push(&who, &items)).await {
            Ok((answer, heard)) => {
                step.heard = Some(heard);
                match foreign.client.pushed(&items, &answer) {
                    Ok(became) => Sent::Became(became),
                    Err(Whole::Failed(why)) => Sent::Failed(why, false),
                    Err(Whole::Refused(why)) => Sent::Failed(why, true),
                    Err(Whole::Foreign(why)) => Sent::Trouble(Trouble::NotTheServer(why)),
                }
            }
            Err(Refused::Failed(why)) => Sent::Failed(why, false),
            Err(Refused::Request(why)) => Sent::Failed(why, true),
            Err(Refused::Trouble(trouble)) => Sent::Trouble(trouble),
        })
    }

    async fn take_fates(
        &self,
        foreign: &Foreign,
        device_id: &str,
        parcels: Vec<Parcel>,
        became: Vec<Became>,
        queue: &mut VecDeque<Vec<Parcel>>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let (alone, mut unsaid, mut other_form) = (parcels.len() == 1, Vec::new(), Vec::new());
        for (parcel, Became { fate, about }) in parcels.into_iter().zip(became) {
            match fate {
                Fate::Stored => {
                    foreign.other_form.fetch_or(parcel.in_other_form, Ordering::Relaxed);
                    tokio::task::block_in_place(|| self.settle_taken(foreign, &parcel, &about, step))?;
                }
                Fate::Again(_) => {
                    let item = Item { again: true, ..parcel.item };
                    other_form.push(Parcel { item, in_other_form: true, ..parcel });
                }
                Fate::Refused(why) => step.refuse(&parcel, &why),
                Fate::Kept(Some(object)) => {
                    let again = tokio::task::block_in_place(|| self.settle_kept(foreign, parcel, &object, &about, step))?;
                    queue.extend(again.map(|parcel| vec![parcel]));
                }
                Fate::Kept(None) => step.refuse(&parcel, "the server keeps its own version of the row and does not show it"),
                Fate::Exists(why) => unsaid.push((parcel, why, true)),
                Fate::Unsaid(why) => unsaid.push((parcel, why, false)),
            }
        }
        queue.extend((!other_form.is_empty()).then_some(other_form));
        if unsaid.is_empty() {
            return Ok(());
        }
        let seen = match self.look(foreign, device_id).await? {
            Ok(seen) => seen,
            Err(trouble) => {
                step.trouble = Some(trouble);
                return Ok(());
            }
        };
        for (parcel, why, exists) in unsaid {
            let assumed = foreign.client.assumed(&parcel.item);
            match tokio::task::block_in_place(|| self.there(foreign, &seen, &parcel))? {
                There::Another if exists => step.is_later = true,
                There::This => tokio::task::block_in_place(|| self.settle_taken(foreign, &parcel, &assumed, step))?,
                There::NothingNew if exists => {
                    tokio::task::block_in_place(|| self.settle_taken(foreign, &parcel, &assumed, step))?;
                }
                There::NothingNew | There::Another if alone => step.suspects.push(Suspect { parcel, why, is_said: false }),
                There::NothingNew | There::Another => queue.push_back(vec![parcel]),
            }
        }
        Ok(())
    }

    async fn take_failure(
        &self,
        foreign: &Foreign,
        device_id: &str,
        mut parcels: Vec<Parcel>,
        (why, is_said): (String, bool),
        queue: &mut VecDeque<Vec<Parcel>>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        tracing::warn!(items = parcels.len(), why, "batch failed");
        if foreign.facts.must_look {
            // It may be stored all the same.
            match self.look(foreign, device_id).await? {
                Ok(seen) => parcels = tokio::task::block_in_place(|| self.sort_by_look(foreign, parcels, &seen, step))?,
                Err(trouble) => {
                    step.trouble = Some(trouble);
                    return Ok(());
                }
            }
        }
        if parcels.len() > 1 {
            let rest = parcels.split_off(parcels.len() / 2);
            queue.push_front(rest);
            queue.push_front(parcels);
            return Ok(());
        }
        let Some(mut parcel) = parcels.pop() else { return Ok(()) };
        if parcel.item.again {
            step.suspects.push(Suspect { parcel, why, is_said });
        } else {
            parcel.item.again = true;
            queue.push_front(vec![parcel]);
        }
        Ok(())
    }

    /// Changes of rows over which the server fails, and of their children, wait.
    fn without_blocked(&self, parcels: Vec<Parcel>, step: &Step<'_>) -> Result<Vec<Parcel>, AgentError> {
        if step.suspects.is_empty() {
            return Ok(parcels);
        }
        let rows: HashSet<(String, String)> =
            step.suspects.iter().map(|suspect| (suspect.parcel.table.clone(), suspect.parcel.key.clone())).collect();
        let schema = self.ready_store()?.schema.clone();
        Ok(parcels.into_iter().filter(|parcel| !is_blocked(&schema, &rows, &parcel.table, &parcel.key, &parcel.row)).collect())
    }

    /// The server has all of a parcel.
    pub(super) fn settle_taken(
        &self,
        foreign: &Foreign,
        parcel: &Parcel,
        about: &Object,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let mut state = self.state();
        let tx = state.write()?;
        let answers = known::taken(&tx, foreign, parcel, about, step.batch)?;
        tx.commit()?;
        step.is_well = true;
        answers.into_iter().for_each(|(place, answer)| step.answers[place] = Some(answer));
        Ok(())
    }

    fn settle_kept(
        &self,
        foreign: &Foreign,
        parcel: Parcel,
        object: &Object,
        about: &Object,
        step: &mut Step<'_>,
    ) -> Result<Option<Parcel>, AgentError> {
        let store = self.ready_store()?;
        let entities = foreign.entities(&store.schema);
        let mut state = self.state();
        let tx = state.write()?;
        let settled = self.beside_kept(&tx, foreign, &entities, &store, (parcel, object, about))?;
        tx.commit()?;
        step.is_well = true;
        match settled {
            Ok(parcel) => Ok(Some(parcel)),
            Err(answers) => {
                answers.into_iter().for_each(|(place, answer)| step.answers[place] = Some(answer));
                Ok(None)
            }
        }
    }

    /// What a server fails over is parked where it takes other things meanwhile.
    async fn judge_suspects(
        &self,
        foreign: &Foreign,
        device_id: &str,
        count: usize,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let is_lonely = count == 1;
        for Suspect { parcel, why, is_said } in std::mem::take(&mut step.suspects) {
            let taken_ms = *foreign.taken_ms.lock().unwrap_or_else(PoisonError::into_inner);
            let has_taken = parcel.told.tried_ms.zip(taken_ms).is_some_and(|(tried, taken)| taken > tried);
            let tries = parcel.told.tries + 1;
            let long = parcel.told.tried_ms.is_some_and(|tried| now_ms() - tried >= LONELY_MS) && tries >= LONELY_TRIES;
            if is_said || step.is_well || has_taken || (is_lonely && long && self.is_foreign_well(foreign, device_id).await?) {
                step.refuse(&parcel, &why);
                continue;
            }
            let tried_ms = parcel.told.tried_ms.or_else(|| Some(now_ms()));
            told::put(self.state().conn(), &parcel.table, &parcel.key, &told::Told { tries, tried_ms, ..parcel.told })?;
            step.trouble.get_or_insert(Trouble::ServerFailed(why));
        }
        Ok(())
    }

    async fn is_foreign_well(&self, foreign: &Foreign, device_id: &str) -> Result<bool, AgentError> {
        Ok(self.foreign_status(foreign, device_id).await?.is_ok())
    }

    /// Asks how the server is.
    pub(crate) async fn foreign_status(&self, foreign: &Foreign, device_id: &str) -> Result<Result<(), Trouble>, AgentError> {
        let key = match self.foreign_key(foreign, device_id) {
            Ok(key) => key,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let cursor = self.foreign_cursor()?;
        let who = self.who(device_id, key.as_ref().map(|key| key.expose_secret()), cursor.as_deref(), &[]);
        let asked = self.ask_foreign(foreign, device_id, &foreign.client.status(&who)).await;
        Ok(asked.map(|_| ()).map_err(Trouble::from))
    }
}

impl Step<'_> {
    fn refuse(&mut self, parcel: &Parcel, why: &str) {
        for place in &parcel.places {
            self.answers[*place] = Some(Answer::only(Some(Verdict::Rejected), Some(why.to_owned())));
        }
    }

    fn reply(self) -> PushReply {
        let nothing = || Answer::only(None, None);
        if self.answers.iter().all(Option::is_none) {
            return match self.trouble {
                Some(trouble) => PushReply::Trouble(trouble),
                None if self.is_later => PushReply::Later,
                None => PushReply::Trouble(Trouble::ServerFailed("it says of no change what became of it".to_owned())),
            };
        }
        let heard = self.heard.unwrap_or_else(|| {
            let now = std::time::Instant::now();
            Heard { server_ms: now_ms(), sent: now, received: now }
        });
        PushReply::Answers(self.answers.into_iter().map(|answer| answer.unwrap_or_else(nothing)).collect(), heard)
    }
}

/// As the protocol takes them.
fn in_batches(foreign: &Foreign, parcels: Vec<Parcel>) -> VecDeque<Vec<Parcel>> {
    let (mut batches, mut batch, mut bytes) = (VecDeque::new(), Vec::new(), 0);
    for parcel in parcels {
        let own = parcel.bytes();
        if !batch.is_empty() && (batch.len() >= foreign.facts.batch_max || bytes + own > foreign.facts.bytes_max) {
            batches.push_back(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += own;
        batch.push(parcel);
    }
    if !batch.is_empty() {
        batches.push_back(batch);
    }
    batches
}
