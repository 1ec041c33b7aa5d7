//! Versions for servers that have none: a row as a server last told it is known by prints of its columns. They say whether something is new,
//! and which columns.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::protocol::plain;
use crate::row::Row;
use crate::value::Value;

/// Prints by column: 4 bytes of name and 8 of value each, in the order of the names. NULL has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prints(Vec<u8>);

const NAME: usize = 4;
const EACH: usize = NAME + 8;

impl Prints {
    /// Of a row.
    pub fn of(row: &Row) -> Self {
        let each = row.iter().filter_map(|(name, value)| Some((place(name), print(value)?)));
        let each: BTreeMap<[u8; NAME], [u8; 8]> = each.collect();
        Self(each.into_iter().flat_map(|(name, value)| name.into_iter().chain(value)).collect())
    }

    /// As they were kept.
    pub fn read(kept: Vec<u8>) -> Self {
        Self(kept)
    }

    /// To be kept.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a column has this value.
    pub fn holds(&self, name: &str, value: &Value) -> bool {
        let place = place(name);
        let kept = self.0.chunks_exact(EACH).find(|part| part[..NAME] == place).map(|part| &part[NAME..]);
        kept == print(value).as_ref().map(<[u8; 8]>::as_slice)
    }
}

fn place(name: &str) -> [u8; NAME] {
    (xxh3_64(name.as_bytes()) as u32).to_be_bytes()
}

/// The same for values that servers do not tell apart: 150 and 150.0, a moment with and without its zone, a list with and without blanks.
fn print(value: &Value) -> Option<[u8; 8]> {
    let text = match value {
        Value::Null => return None,
        Value::Real(r) if r.fract() == 0.0 && r.abs() < 9e15 => format!("n{}", *r as i64),
        Value::Integer(n) => format!("n{n}"),
        Value::Real(r) => format!("n{r}"),
        other => {
            let plain = plain::to_plain(other);
            let text = plain.as_str().unwrap_or_default();
            match plain::as_moment(text) {
                Some(ms) => format!("t{ms}"),
                None if text.starts_with(['{', '[']) => match serde_json::from_str::<serde_json::Value>(text) {
                    Ok(json) => format!("s{json}"),
                    Err(_) => format!("s{text}"),
                },
                None => format!("s{text}"),
            }
        }
    };
    Some(xxh3_64(text.as_bytes()).to_be_bytes())
}

/// The columns as they were before others changed them, as far as the prints tell: those that a row has now and that have not changed since.
pub fn unchanged(before: &Prints, now: &Row) -> Row {
    let same = now.iter().filter(|(name, value)| before.holds(name, value));
    same.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prints(json: &str) -> Prints {
        Prints::of(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_servers_do_not_tell_apart_is_the_same() {
        let same = |a: &str, b: &str| assert_eq!(prints(a), prints(b), "{a} {b}");
        same(r#"{"a":150,"b":null}"#, r#"{"a":{"$real":"150.0"}}"#);
        same(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#);
        same(r#"{"t":"2026-11-20T11:37:03Z"}"#, r#"{"t":"2026-11-20 11:37:03+00:00"}"#);
        same(r#"{"t":"2026-11-20T11:37:03Z"}"#, r#"{"t":"2026-11-20T11:37:03"}"#);
        same(r#"{"l":"[1, 2]"}"#, r#"{"l":"[1,2]"}"#);
        let other = |a: &str, b: &str| assert_ne!(prints(a), prints(b), "{a} {b}");
        other(r#"{"a":"007"}"#, r#"{"a":"7"}"#);
        other(r#"{"a":1}"#, r#"{"b":1}"#);
        other(r#"{"a":1}"#, r#"{"a":null}"#);
        other(r#"{"a":"2026"}"#, r#"{"a":"2027"}"#);
        other(r#"{"a":1.5}"#, r#"{"a":1.25}"#);
    }

    #[test]
    fn prints_tell_what_others_changed() {
        let before = prints(r#"{"id":1,"name":"tea","price":3,"size":5}"#);
        let now: Row = serde_json::from_str(r#"{"id":1,"name":"mint","price":3,"size":null}"#).unwrap();
        assert_eq!(unchanged(&before, &now).to_json(), r#"{"id":1,"price":3}"#);
        assert_eq!(Prints::read(before.as_bytes().to_vec()), before);
    }
}
