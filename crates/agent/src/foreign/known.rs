//! What is remembered of rows: what the server took, and under which version the register counts it.

use rusqlite::Transaction;
use serde_json::Value as Json;
use tillsync_core::change::{Operation, Verdict};
use tillsync_core::protocol::client::prints::Prints;
use tillsync_core::protocol::client::text;

use super::Foreign;
use super::parcel::Parcel;
use crate::agent::AgentError;
use crate::clock::now_ms;
use crate::remote::{Answer, Outgoing};
use crate::state::marks;
use crate::state::told::{self, Told};

/// Members of what is remembered that are this side's own: what the server calls the row, and the row that it is inside,
pub(super) const NAME: &str = "_id";
pub(super) const PARENT: &str = "_parent";
/// And how many rows are inside it.
pub(super) const PARTS: &str = "_parts";

/// The server has everything in a parcel: gives the answer to each change that it covers.
pub(super) fn taken(
    tx: &Transaction<'_>,
    foreign: &Foreign,
    parcel: &Parcel,
    about: &tillsync_core::protocol::Object,
    batch: &[Outgoing],
) -> Result<Vec<(usize, Answer)>, AgentError> {
    let version = told::next(tx)?;
    let is_gone = parcel.item.operation == Operation::Delete;
    let mut known = parcel.told.about.clone();
    known.extend(about.clone());
    if parcel.is_nested {
        known.insert(PARTS.to_owned(), parcel.parts.len().into());
    }
    let alias = known.get("serverId").map(text).filter(|id| *id != parcel.key);
    let name = Some(parcel.item.id_text()).filter(|id| *id != parcel.key);
    let told = Told {
        version,
        prints: if is_gone { Prints::default() } else { Prints::of(&parcel.row) },
        before: Prints::default(),
        gone: is_gone,
        at_ms: Some(parcel.item.at_ms),
        their_id: parcel.told.their_id.clone().or(alias).or(name),
        about: known,
        tries: 0,
        tried_ms: None,
    };
    told::put(tx, &parcel.table, &parcel.key, &told)?;
    let mut versions = Vec::with_capacity(parcel.parts.len());
    for part in &parcel.parts {
        let version = told::next(tx)?;
        let before = told::get(tx, &part.table, &part.key)?.unwrap_or_default();
        let mut about = before.about;
        about.insert(PARENT.to_owned(), Json::String(parcel.key.clone()));
        let told = Told { version, prints: Prints::of(&part.row), gone: false, at_ms: told.at_ms, about, ..Told::default() };
        told::put(tx, &part.table, &part.key, &told)?;
        versions.push(version);
    }
    marks::set(tx, marks::SENT_SINCE, true)?;
    *foreign.taken_ms.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(now_ms());
    let answers = parcel.places.iter().map(|place| {
        let change = &batch[*place];
        let own = change.entity == parcel.table && change.key == parcel.key;
        let part = parcel.parts.iter().position(|part| part.table == change.entity && part.key == change.key);
        let merged = own && parcel.merged && !is_gone;
        let answer = Answer {
            verdict: Some(if merged { Verdict::Merged } else { Verdict::Applied }),
            version: Some(part.map_or(version, |part| versions[part])),
            server_data: merged.then(|| parcel.row.to_json()),
            reason: None,
            conflict: parcel.conflict.clone().filter(|_| own),
        };
        (*place, answer)
    });
    Ok(answers.collect())
}
