//! A person decides a conflict: the server is asked to carry it out for the version of the row that the person saw. It refuses when
//! the row has moved or somebody else was first; then nothing is written anywhere.

use std::sync::atomic::Ordering;

use serde_json::value::RawValue;
use tillsync_core::row::Row;
use tillsync_core::sync::Trouble;
use tillsync_core::wire::hub::{Conflict, Resolution, ResolveRequest};

use crate::agent::{Agent, AgentError};
use crate::remote::ResolveReply;
use crate::state::{conflicts, inbox};

/// What is to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The value of the register whose change it was.
    Local,
    /// The value that the server had.
    Server,
    /// The server's row with these columns.
    Columns(Row),
}

/// What became of a decision.
#[derive(Debug)]
pub enum Decided {
    /// It is carried out; the row comes with the next pull.
    Done(Box<Conflict>),
    /// The row has changed since the person looked; nothing was written. The conflict and the row as they are now.
    RowChanged(Box<Conflict>, Option<Box<RawValue>>),
    /// Somebody has decided before; nothing was written.
    AlreadyResolved(Box<Conflict>),
    /// The server does not take it, for this reason.
    Refused(String),
    /// The server was not reached or does not know this register.
    Trouble(Trouble),
}

impl Agent {
    /// Carries out a decision. `version` is the row's version that the person saw; when absent, the one that the register was told
    /// with the conflict.
    pub async fn resolve(&self, id: i64, keep: &Keep, version: Option<i64>) -> Result<Decided, AgentError> {
        let Some((device_id, _)) = self.identity()? else {
            return Ok(Decided::Trouble(Trouble::Unauthorized("this register is not enrolled".to_owned())));
        };
        let version = match version {
            Some(version) => Some(version),
            None => self.told_version(id)?,
        };
        let Some(base_version) = version else {
            let why =
                format!("conflict {id} is not this register's; look at it with `conflicts show {id}` and name the row's --version");
            return Ok(Decided::Refused(why));
        };
        let (resolution, data) = match keep {
            Keep::Local => (Resolution::ClientWins, None),
            Keep::Server => (Resolution::ServerWins, None),
            Keep::Columns(columns) => (Resolution::Merged, RawValue::from_string(columns.to_json()).ok()),
        };
        let request = ResolveRequest { resolution, base_version, data };
        Ok(match self.remote.resolve(&device_id, id, &request).await {
            ResolveReply::Refused(why) => Decided::Refused(why),
            ResolveReply::Trouble(trouble) => Decided::Trouble(trouble),
            ResolveReply::Answer(answer) => match answer.code.as_deref() {
                None => {
                    self.close(&answer.conflict)?;
                    Decided::Done(Box::new(answer.conflict))
                }
                Some("already_resolved") => {
                    self.close(&answer.conflict)?;
                    // The answer to the first try may have got lost.
                    if answer.conflict.resolved_by.as_deref() == Some(&device_id) && says_the_same(&answer.conflict, &request) {
                        Decided::Done(Box::new(answer.conflict))
                    } else {
                        Decided::AlreadyResolved(Box::new(answer.conflict))
                    }
                }
                Some(_) => {
                    conflicts::tell(self.state().conn(), &answer.conflict)?;
                    Decided::RowChanged(Box::new(answer.conflict), answer.data)
                }
            },
        })
    }

    /// The row's version when the person was last told of the conflict. What has come since nobody has looked at.
    fn told_version(&self, id: i64) -> Result<Option<i64>, AgentError> {
        Ok(conflicts::get(self.state().conn(), id)?.map(|entry| entry.conflict.version))
    }

    /// The conflict is over; the row that the server had before is not worth writing any more.
    fn close(&self, conflict: &Conflict) -> Result<(), AgentError> {
        let mut state = self.state();
        let tx = state.write()?;
        if let Some(entry) = conflicts::get(&tx, conflict.id)? {
            if conflicts::close(&tx, conflict)? {
                self.freed.store(true, Ordering::Relaxed);
            }
            inbox::release(&tx, &entry.entity, &entry.key, conflict.version - 1)?;
        }
        tx.commit()?;
        self.inbox_due.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn says_the_same(conflict: &Conflict, request: &ResolveRequest) -> bool {
    let word = match request.resolution {
        Resolution::ClientWins => "client-wins",
        Resolution::ServerWins => "server-wins",
        Resolution::Merged => "merged",
    };
    let row = |json: Option<&RawValue>| json.and_then(|json| serde_json::from_str::<Row>(json.get()).ok()).unwrap_or_default();
    let (wanted, there) = (row(request.data.as_deref()), row(conflict.resolved_value.as_deref()));
    conflict.resolution == word && wanted.iter().all(|(name, value)| there.get(name) == Some(value))
}
