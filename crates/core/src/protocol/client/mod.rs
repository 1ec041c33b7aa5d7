//! The client's end of the other servers' protocols: what a request looks like, and what its answer says. Pure functions behind one trait, one
//! file per protocol; who sends requests, when, and again, is none of their business.

pub mod auraflow;
pub mod booky;
pub mod events;
pub mod insight;
pub mod login;
pub mod nuqta;
pub mod prints;

#[cfg(test)]
mod tests;

use std::fmt::Debug;

use serde_json::Value as Json;
use uuid::Uuid;

use super::{Object, time};
use crate::change::Operation;

/// What a protocol can do, and what it takes.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The protocol's name.
    pub name: &'static str,
    /// The largest batch, unless the config says otherwise.
    pub batch_max: usize,
    /// A request stops growing at this many bytes.
    pub bytes_max: usize,
    /// Changes are asked for again from so far back, in a log from the cursor that the server gave then: servers commit out of order, and their clocks are read before.
    pub overlap_ms: i64,
    /// The last question of a pull is to be from the last time, without overlap.
    pub ends_exactly: bool,
    /// Deletes can be told.
    pub tells_deletes: bool,
    /// Deletes by others are heard of.
    pub hears_deletes: bool,
    /// Nothing in a change tells the server that it has it already, and the later one takes the place of the whole row: who sends must look what is
    /// there before.
    pub must_look: bool,
    /// A device registers and gets a key.
    pub registers: bool,
    /// Nobody gets in without a token or a log-in.
    pub needs_token: bool,
    /// The only entities that it carries; any when `None`.
    pub entities: Option<&'static [&'static str]>,
    /// Members that the server makes anew at every answer: they count for rows only that are not here.
    pub loose: &'static [&'static str],
    /// An update carries only what changed.
    pub sends_parts: bool,
}

/// A protocol as its client speaks it.
pub trait Client: Debug + Send + Sync {
    /// What it can do.
    fn facts(&self) -> Facts;
    /// A batch of changes.
    fn push(&self, who: &Who<'_>, items: &[Item]) -> Ask;
    /// What became of each item, in their order.
    fn pushed(&self, items: &[Item], answer: &Json) -> Result<Vec<Became>, Whole>;
    /// What came since a cursor, from the beginning without one.
    fn pull(&self, who: &Who<'_>, from: Option<&str>) -> Ask;
    /// The answer; the error is for people.
    fn pulled(&self, who: &Who<'_>, from: Option<&str>, answer: &Json) -> Result<Page, String>;
    /// Whether cursors are places in a log, and no times from which it is easy to go back.
    fn pull_is_by_place(&self) -> bool {
        false
    }
    /// What to remember of a row that turned out to be stored as it was sent, though no answer said so.
    fn assumed(&self, _item: &Item) -> Object {
        Object::new()
    }
    /// Something that costs nothing and needs whatever the others need.
    fn status(&self, who: &Who<'_>) -> Ask;
}

/// Who asks, and how.
#[derive(Clone, Debug)]
pub struct Who<'a> {
    /// The register's id.
    pub device_id: &'a str,
    /// Its key, for protocols that put it into the request.
    pub key: Option<&'a str>,
    /// The server's clock as far as it is known, Unix milliseconds.
    pub now_ms: i64,
    /// How far the register has pulled.
    pub cursor: Option<&'a str>,
    /// The entities that it wants, by their names on the wire.
    pub entities: &'a [String],
    /// So far back from the cursor; 0 within one pull of several pages.
    pub overlap_ms: i64,
    /// What the register itself has sent is to come, too, where servers leave that out.
    pub with_own: bool,
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Below the server's address.
    pub path: String,
    /// `None` for a GET.
    pub body: Option<Json>,
}

impl Ask {
    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self { path: path.into(), body: None }
    }

    /// A POST.
    pub fn post(path: impl Into<String>, body: Json) -> Self {
        Self { path: path.into(), body: Some(body) }
    }
}

/// A change on its way.
#[derive(Clone, Debug)]
pub struct Item {
    /// What the protocol calls the row's kind.
    pub entity: String,
    /// The row, as the server knows it.
    pub id: Json,
    /// Its fields, with the rows inside it; the key alone for a delete.
    pub object: Object,
    /// What happened.
    pub operation: Operation,
    /// One for life.
    pub event_id: Uuid,
    /// When, by the server's clock, Unix milliseconds.
    pub at_ms: i64,
    /// The fields that were changed; all when `None`.
    pub updated_fields: Option<Vec<String>>,
    /// What the server said about the row before.
    pub known: Object,
    /// The server has failed over this one alone.
    pub again: bool,
}

impl Item {
    /// The id as text.
    pub fn id_text(&self) -> String {
        text(&self.id)
    }

    /// The fields that an update changed, beside the id; all of them otherwise.
    pub fn changed(&self) -> Object {
        let Some(fields) = self.updated_fields.as_ref().filter(|_| self.operation == Operation::Update) else {
            return self.object.clone();
        };
        let named = |name: &String| name == "id" || fields.contains(name) || self.object[name].is_array();
        self.object.iter().filter(|(name, _)| named(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Became {
    /// In short.
    pub fate: Fate,
    /// What to remember of the row.
    pub about: Object,
}

impl Became {
    /// Nothing but its fate.
    pub fn only(fate: Fate) -> Self {
        Self { fate, about: Object::new() }
    }
}

/// What became of an item, in short.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// The server has it, now or since before.
    Stored,
    /// The server's own row stayed; as far as it says, this is it.
    Kept(Option<Object>),
    /// It has a row with this id already, and does not say which.
    Exists(String),
    /// It does not take it in this form; there is another one, which [`Item::again`] asks for.
    Again(String),
    /// It does not take it.
    Refused(String),
    /// The answer does not say.
    Unsaid(String),
}

/// Why an answer is none to its items; for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whole {
    /// Nothing of the batch was stored, or nobody knows; one of its items may be why.
    Failed(String),
    /// The request itself is refused.
    Refused(String),
    /// No server of the protocol says such a thing.
    Foreign(String),
}

/// A row that the server tells of.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What the protocol calls its kind.
    pub entity: String,
    /// Its id, where it stands beside the row.
    pub id: Option<Json>,
    /// Its fields; `None` when it is gone.
    pub object: Option<Object>,
    /// When it was written, Unix milliseconds, as far as it is known.
    pub at_ms: Option<i64>,
    /// What to remember of it.
    pub about: Object,
}

/// What came since a cursor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// In the server's order.
    pub told: Vec<Told>,
    /// Where to go on from; `None` to stay.
    pub cursor: Option<String>,
    /// Whether to go on at once.
    pub more: bool,
    /// The server has not come as far as the cursor says: it was reset.
    pub behind: bool,
}

/// What options there are beside the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speech {
    /// `events` in camel case, under `/api/sync`.
    pub camel: bool,
}

/// A protocol by its name; `None` for the hub's own, which is no business of this module.
pub fn of(name: &str, speech: Speech) -> Option<Box<dyn Client>> {
    Some(match name {
        "nuqta" => Box::new(nuqta::Nuqta),
        "auraflow" => Box::new(auraflow::Auraflow),
        "events" => Box::new(events::Events { camel: speech.camel }),
        "booky" => Box::new(booky::Booky),
        "insight" => Box::new(insight::Insight),
        _ => return None,
    })
}

/// The server's clock where an answer says it, Unix milliseconds.
pub fn server_ms(answer: &Json) -> Option<i64> {
    let inner = answer.get("data").unwrap_or(answer);
    let named = [&inner["serverTimestamp"], &answer["_meta"]["timestamp"], &answer["serverTime"], &answer["timestamp"]];
    named.into_iter().find_map(time::read)
}

/// What an answer says is wrong, in whatever shape.
pub fn error_text(answer: &Json) -> Option<String> {
    let named = [
        &answer["error"]["message"],
        &answer["message"],
        &answer["error"],
        &answer["detail"],
        &answer["details"],
        &answer["title"],
        &answer["reason"],
    ];
    let said = named.into_iter().find(|said| said.as_str().is_some_and(|text| !text.is_empty()) || said.is_array());
    said.map(text)
}

/// The code of an error, if it has one.
pub fn error_code(answer: &Json) -> Option<&str> {
    let named = [&answer["error"]["code"], &answer["code"], &answer["error"]];
    named.into_iter().find_map(Json::as_str)
}

/// Text as it is, and anything else as JSON.
pub fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A cursor or a number that may be text.
fn number(value: &Json) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

/// A member under any of its names, unless it is null.
fn member<'a>(object: &'a Json, names: &[&str]) -> Option<&'a Json> {
    names.iter().filter_map(|name| object.get(*name)).find(|value| !value.is_null())
}

/// The items of a list; none when it is none.
fn list<'a>(object: &'a Json, names: &[&str]) -> &'a [Json] {
    member(object, names).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// An object, or the text of one.
fn object(value: &Json) -> Option<Object> {
    match value {
        Json::Object(object) => Some(object.clone()),
        Json::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

/// When a row says that it was written.
fn written_ms(object: &Object) -> Option<i64> {
    ["updatedAt", "updated_at", "deletedAt", "deleted_at"].iter().find_map(|name| object.get(*name)).and_then(time::read)
}

/// A cursor that is a time, so much earlier; one that is none as it is.
fn earlier(cursor: &str, by_ms: i64) -> String {
    match time::parse(cursor) {
        Some(ms) if by_ms > 0 => time::format(ms.saturating_sub(by_ms)),
        _ => cursor.to_owned(),
    }
}

/// Characters of a query's value that need no escape.
fn in_query(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let each = value.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    each.collect()
}
