//! Whose store is it? Taking one over, setting it up, giving up a change, and leaving without a trace.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::agent::{Agent, AgentError};
use crate::state::outbox::Entry;
use crate::state::{again, conflicts, inbox, lost, marks as state_marks, outbox, outside, shadow, told, upload};
use crate::store::install::{self, Keep};
use crate::store::{StoreError, applied, marks, open};

/// Which stores an agent may make its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Those that are its own already, or nobody's.
    Own,
    /// Also copies of another register's store: `init` on a new machine.
    Copies,
    /// Any: a person said that the other agent is gone.
    Any,
}

impl Agent {
    /// Makes sure that this agent, and no other, serves the store.
    pub fn claim(&self, claim: Claim) -> Result<(), AgentError> {
        open::check_place(&self.config.store)?;
        let mine = self.own_id()?;
        self.note_machine()?;
        let conn = open::reader(&self.config.store)?;
        let get = |name| marks::get::<String>(&conn, name).map_err(|error| self.store_error(error));
        let (owner, state_dir, path) = (get(marks::OWNER)?, get(marks::OWNER_STATE_DIR)?, get(marks::STORE_PATH)?);
        drop(conn);
        let Some(owner) = owner.filter(|owner| *owner != mine) else { return Ok(()) };
        let state_dir = state_dir.unwrap_or_default();
        let is_copy = path.as_deref() != Some(&*self.store_place());
        // A state that was made anew in its own folder has forgotten its id; whoever asks holds the folder's lock.
        let is_abandoned = Path::new(&state_dir) == self.config.state_dir || !Path::new(&state_dir).join("agent.db").exists();
        let allowed = match claim {
            Claim::Own => is_abandoned,
            Claim::Copies => is_abandoned || is_copy,
            Claim::Any => true,
        };
        if !allowed {
            return Err(StoreError::Owned { store: self.config.store.clone(), state_dir }.into());
        }
        tracing::info!(owner, state_dir, is_copy, is_abandoned, "taking over a store");
        let mut conn = self.writer()?;
        let keep = if is_copy && !is_abandoned { Keep::IdsOfACopy } else { Keep::Ids };
        install::remove(&mut conn, keep).map_err(|error| self.store_error(error))
    }

    /// The store's place with every link followed, so that one file has one name.
    pub(crate) fn store_place(&self) -> String {
        self.config.store.canonicalize().unwrap_or_else(|_| self.config.store.clone()).to_string_lossy().into_owned()
    }

    fn own_id(&self) -> Result<String, AgentError> {
        let state = self.state();
        if let Some(id) = state_marks::get(state.conn(), state_marks::AGENT_ID)? {
            return Ok(id);
        }
        let id = Uuid::new_v4().to_string();
        state_marks::set(state.conn(), state_marks::AGENT_ID, &id)?;
        Ok(id)
    }

    /// Installs the capture and notes the register in the store.
    pub fn set_up(&self) -> Result<(), AgentError> {
        let mut store = self.store();
        self.recover_schema(&mut store)?;
        drop(store);
        // The first looks find what is missing and put it there.
        while self.capture()?.more {}
        Ok(())
    }

    /// The server knows this register now. Another server than before knows nothing of the store yet.
    pub fn enrolled(&self, device_id: &str) -> Result<(), AgentError> {
        self.known_as(device_id, false)
    }

    /// The server knows this register as another one than before, and perhaps nothing else.
    pub(crate) fn known_as(&self, device_id: &str, anew: bool) -> Result<(), AgentError> {
        let mut state = self.state();
        let server: Option<String> = state_marks::get(state.conn(), state_marks::DEVICE_SERVER)?;
        let name = self.config.server_name();
        let is_another = server.is_some_and(|server| anew || server != name);
        let tx = state.write()?;
        if is_another {
            conflicts::clear(&tx)?;
            upload::reset(&tx)?;
            lost::clear(&tx)?;
            again::clear(&tx)?;
            shadow::reset_versions(&tx)?;
            inbox::clear(&tx)?;
            told::clear(&tx)?;
            state_marks::set(&tx, state_marks::CURSOR, 0)?;
            for mark in [
                state_marks::EPOCH,
                state_marks::HEAD,
                state_marks::CAUGHT_UP,
                state_marks::PULL_OWN,
                state_marks::RESTORED_UP_TO,
                state_marks::SNAPSHOT,
            ] {
                state_marks::clear(&tx, mark)?;
            }
        }
        state_marks::set(&tx, state_marks::DEVICE_ID, device_id)?;
        state_marks::set(&tx, state_marks::DEVICE_SERVER, &name)?;
        state_marks::clear(&tx, state_marks::TROUBLE)?;
        tx.commit()?;
        drop(state);
        if is_another { self.forget_cursor() } else { Ok(()) }
    }

    /// The store's own cursor counts changes of the server before.
    fn forget_cursor(&self) -> Result<(), AgentError> {
        let conn = self.writer()?;
        let recorded = self.recorded()?;
        let forget = || {
            if marks::get::<i64>(&conn, marks::CURSOR)?.is_some() {
                marks::set(&conn, marks::CURSOR, 0)?;
                marks::set(&conn, marks::EPOCH, None::<String>)?;
                applied::clear(&conn)?;
                marks::set(&conn, marks::APPLIED_SEQ, recorded)?;
            }
            Ok(())
        };
        forget().map_err(|error| self.store_error(error))
    }

    /// Gives up a change that is stuck; gives back where its copy is. The server's row, if it is known, takes its place in the store.
    pub fn discard(&self, entry: &Entry, folder: &Path) -> anyhow::Result<PathBuf> {
        let data: serde_json::Value = serde_json::from_str(&entry.data).unwrap_or_default();
        let copy = serde_json::json!({
            "eventId": entry.event_id, "entityType": entry.entity, "entityId": entry.key, "operation": entry.operation,
            "data": data, "updatedFields": entry.updated_fields, "timestamp": entry.at_ms, "reason": entry.reason,
        });
        let path = export(folder, &entry.event_id.to_string(), &copy)?;
        outbox::discard(self.state().conn(), entry.id)?;
        self.inbox_due.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(path)
    }

    /// Keeps a row of the server's out of the store until it changes again; gives back where its copy is.
    pub fn keep_out(&self, entry: &inbox::Entry, folder: &Path) -> anyhow::Result<PathBuf> {
        let data: Option<serde_json::Value> = entry.data.as_deref().map(serde_json::from_str).transpose().unwrap_or_default();
        let copy = serde_json::json!({
            "version": entry.change_id, "entityType": entry.entity, "entityId": entry.key, "operation": entry.operation,
            "data": data, "reason": entry.detail,
        });
        let path = export(folder, &Uuid::now_v7().to_string(), &copy)?;
        let mut state = self.state();
        let tx = state.write()?;
        outside::add(&tx, &entry.entity, &entry.key)?;
        inbox::release(&tx, &entry.entity, &entry.key, entry.change_id)?;
        tx.commit()?;
        Ok(path)
    }

    /// Removes every trace from the store and forgets what was seen of it. The identity at the server is kept.
    pub fn detach(&self) -> Result<(), AgentError> {
        let mut conn = self.writer()?;
        install::remove(&mut conn, Keep::Nothing).map_err(|error| self.store_error(error))?;
        let mut state = self.state();
        let tx = state.write()?;
        shadow::clear(&tx)?;
        upload::reset(&tx)?;
        lost::clear(&tx)?;
        again::clear(&tx)?;
        for mark in [
            state_marks::INCARNATION,
            state_marks::CAPTURED_SEQ,
            state_marks::APPLIED_SEQ,
            state_marks::CURSOR,
            state_marks::CAUGHT_UP,
            state_marks::SNAPSHOT,
            state_marks::STORE,
        ] {
            state_marks::clear(&tx, mark)?;
        }
        Ok(tx.commit()?)
    }
}

/// Writes a copy of what is given up.
fn export(folder: &Path, name: &str, copy: &serde_json::Value) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_vec_pretty(copy)?)?;
    Ok(path)
}
