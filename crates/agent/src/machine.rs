//! Which machine is this? Whoever copies a disk copies a register's identity with it, and two machines must never be one device. The
//! machine's own id tells them apart. It is kept hashed with a salt, and never sent.

use std::sync::OnceLock;

use rusqlite::Connection;
use sha2::{Digest, Sha256};
use tillsync_core::key::parse_entity_id;
use tillsync_core::problem::Problem;
use tillsync_core::sync::Trouble;
use uuid::Uuid;

use crate::agent::{Agent, AgentError, StoreSide};
use crate::remote::RegisterReply;
use crate::state::{ids, marks, upload};
use crate::store::ids::{counter, largest, part_from_original};
use crate::store::marks as store_marks;

/// Takes the place of the machine's id where that says nothing: in containers, and in tests.
pub const MACHINE_VARIABLE: &str = "TILLSYNC_MACHINE_ID";

/// How a register stands that may be a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is nobody else's copy, or is none any more.
    Own,
    /// The server gives it no identity of its own; what to do about it.
    Copy(Problem),
    /// The server could not be asked.
    Unknown(Trouble),
}

impl Agent {
    /// The problem when state and key are a copy of a register on another machine. Whoever has one uses neither key nor store.
    pub fn copied(&self) -> Result<Option<Problem>, AgentError> {
        let state = self.state();
        let get = |name| marks::get::<String>(state.conn(), name);
        let (Some(before), Some(salt), Some(device)) = (get(marks::MACHINE)?, get(marks::AGENT_ID)?, get(marks::DEVICE_ID)?) else {
            return Ok(None);
        };
        let is_other = print(&salt).is_some_and(|now| now != before);
        Ok(is_other.then(|| Problem::copied(&self.config.name, &device)))
    }

    /// Notes the machine, unless what is noted is another one's.
    pub(crate) fn note_machine(&self) -> Result<(), AgentError> {
        match self.copied()? {
            Some(problem) => Err(AgentError::Problem(problem)),
            None => self.replace_machine(),
        }
    }

    /// From now on this is the machine that the register lives on: a person said that the other one is gone.
    pub fn replace_machine(&self) -> Result<(), AgentError> {
        let state = self.state();
        let salt: Option<String> = marks::get(state.conn(), marks::AGENT_ID)?;
        match salt.as_deref().and_then(print) {
            Some(print) => Ok(marks::set(state.conn(), marks::MACHINE, print)?),
            None => Ok(()),
        }
    }

    /// Makes a copy a register of its own, if the server lets it. What the original had yet to send goes along and is sent by both: the
    /// server stores an event once.
    pub async fn part(&self, token: Option<&str>) -> Result<Standing, AgentError> {
        let Some(problem) = self.copied()? else { return Ok(Standing::Own) };
        let (print, registration) = self.own_registration()?;
        if let Err(why) = self.remote.credentials().probe() {
            return Ok(Standing::Copy(Problem::key_missing(&why)));
        }
        match self.ask_to_enrol(token, registration.clone()).await {
            RegisterReply::Registered { device_id, key, heard } => {
                if let Err(why) = self.remote.credentials().write(&device_id, &key) {
                    return Ok(Standing::Copy(Problem::key_missing(&why)));
                }
                self.enrolled(&device_id)?;
                self.parted(&print, &registration)?;
                heard.map_or(Ok(()), |heard| self.hear(&heard))?;
                self.notice(&Problem::parted(&self.config.name))?;
                Ok(Standing::Own)
            }
            RegisterReply::TokenNeeded(why) | RegisterReply::Refused(why) => {
                tracing::warn!(why, "the server does not enrol this copy");
                Ok(Standing::Copy(problem))
            }
            RegisterReply::Trouble(trouble) => Ok(Standing::Unknown(trouble)),
        }
    }

    /// This machine's print, and a registration id that follows from it: a machine that is set up from the same image again is the same
    /// device again, and two are two.
    fn own_registration(&self) -> Result<(String, String), AgentError> {
        let state = self.state();
        let get = |name| Ok::<_, AgentError>(marks::get::<String>(state.conn(), name)?.unwrap_or_default());
        let print = print(&get(marks::AGENT_ID)?).unwrap_or_default();
        let hash = hash(&[&get(marks::REGISTRATION_ID)?, &print]);
        let bytes = hash.first_chunk().copied().unwrap_or_default();
        Ok((print, uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()))
    }

    /// Rows that this register counts from now on are none of the original's; the store hears of it before anything is read from it.
    fn parted(&self, print: &str, registration: &str) -> Result<(), AgentError> {
        let mut state = self.state();
        let tx = state.write()?;
        marks::set(&tx, marks::REGISTRATION_ID, registration)?;
        marks::set(&tx, marks::MACHINE, print)?;
        if marks::get::<String>(&tx, marks::NAMESPACE)?.is_some() {
            marks::set(&tx, marks::NAMESPACE, Uuid::new_v4().to_string())?;
            marks::set(&tx, marks::PARTING, true)?;
        }
        Ok(tx.commit()?)
    }

    /// Gives the store the register's own namespace, where it has the one of a register that it is a copy of: because it has just parted
    /// from it, or because it went back to a time before that.
    pub(crate) fn part_store(&self, conn: &Connection, store: &StoreSide) -> Result<(), AgentError> {
        let wrap = |error| self.store_error(error);
        let state = self.state();
        let mine: Option<String> = marks::get(state.conn(), marks::NAMESPACE)?;
        let theirs: Option<String> = store_marks::get(conn, store_marks::NAMESPACE).map_err(wrap)?;
        if let Some(mine) = mine.filter(|mine| theirs.is_some_and(|theirs| theirs != *mine))
            && let Ok(namespace) = Uuid::parse_str(&mine)
        {
            let kept = kept_from_original(conn, state.conn(), store).map_err(wrap)?;
            let part = || {
                conn.execute_batch("BEGIN IMMEDIATE")?;
                part_from_original(conn, &kept, namespace)?;
                conn.execute_batch("COMMIT")
            };
            part().map_err(wrap)?;
            tracing::info!("rows counted from now on are this register's own");
        }
        Ok(marks::clear(state.conn(), marks::PARTING)?)
    }
}

/// Up to which key rows are the original's, by table number: those that it had captured when it was copied. Of a table whose first full sync
/// goes on the state does not know all; there it is what the store holds.
pub(crate) fn kept_from_original(conn: &Connection, state: &Connection, store: &StoreSide) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut kept = Vec::new();
    for table in store.schema.tables.iter().filter(|table| table.fresh.is_some()) {
        let is_uploaded = upload::get(state, &table.name)?.is_some_and(|progress| progress.finished);
        let mut up_to = 0;
        if is_uploaded {
            ids::own(state, store.entity(&table.name).number, |local| {
                let number = parse_entity_id(local).and_then(|key| counter(table, &key));
                up_to = up_to.max(number.unwrap_or(0));
            })?;
        } else {
            up_to = largest(conn, table)?;
        }
        kept.push((table.number, up_to));
    }
    Ok(kept)
}

/// What is kept of the machine's id; `None` where the system has none, and copies are not noticed.
fn print(salt: &str) -> Option<String> {
    static ID: OnceLock<Option<String>> = OnceLock::new();
    let id = ID.get_or_init(|| std::env::var(MACHINE_VARIABLE).ok().filter(|id| !id.is_empty()).or_else(machine_id)).as_ref()?;
    Some(hash(&["tillsync machine", salt, id]).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().into()
}

/// The id that the system gave this machine when it was set up; its host name plays no part in it.
#[cfg(target_os = "linux")]
fn machine_id() -> Option<String> {
    // On an image that is yet to be set up the file is empty or says so.
    let is_id = |text: &String| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let read = |path| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(is_id);
    ["/etc/machine-id", "/var/lib/dbus/machine-id"].into_iter().find_map(read)
}

/// The same from the registry on Windows, and from the hardware on macOS.
#[cfg(not(target_os = "linux"))]
fn machine_id() -> Option<String> {
    machine_uid::get().ok().filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_print_neither_holds_the_id_nor_is_the_same_for_two_registers() {
        let Some(id) = machine_id() else { return };
        let (one, other) = (print("one").unwrap(), print("other").unwrap());
        assert_ne!(one, other);
        assert_eq!(one, print("one").unwrap());
        assert!(!one.contains(&id) && one.len() == 64);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }
}
