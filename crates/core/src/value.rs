//! SQLite values and how they travel in JSON without loss.
//!
//! A value is encoded by what it *is* (`typeof`), never by its column's declared type. Plain JSON is used where every JSON
//! reader keeps it exact; everything else is an object with one `$` member:
//!
//! | value | JSON |
//! |---|---|
//! | NULL | `null` |
//! | integer, at most 2^53 − 1 either way | `42` |
//! | any other integer | `{"$int":"9223372036854775807"}` |
//! | real with a fraction | `0.1`, the shortest text that reads back to the same bits |
//! | real without a fraction, infinite, −0 | `{"$real":"1.0"}`, `{"$real":"Infinity"}` |
//! | text | `"…"` |
//! | text with NUL or invalid UTF-8 | `{"$text":"<base64>"}` |
//! | blob | `{"$blob":"<base64>"}` |

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Integers up to this one are exact in every JSON reader (2^53 − 1).
const SAFE_INTEGER_MAX: i64 = 9_007_199_254_740_991;

/// One SQLite value.
#[derive(Clone, Debug)]
pub enum Value {
    /// NULL.
    Null,
    /// A 64-bit signed integer.
    Integer(i64),
    /// An IEEE 754 double; never NaN, which SQLite stores as NULL.
    Real(f64),
    /// Text that is valid UTF-8; NUL characters are allowed.
    Text(String),
    /// Text whose bytes are not valid UTF-8.
    RawText(Vec<u8>),
    /// A blob.
    Blob(Vec<u8>),
}

impl Value {
    /// Text from bytes as SQLite stores them.
    pub fn text(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::RawText(bytes.to_vec()),
        }
    }

    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// About how many bytes the value takes, for limits.
    pub fn size(&self) -> usize {
        match self {
            Self::Null => 1,
            Self::Integer(_) | Self::Real(_) => 8,
            Self::Text(text) => text.len(),
            Self::RawText(bytes) | Self::Blob(bytes) => bytes.len(),
        }
    }

    /// The storage class as SQLite's `typeof` names it, then the value's bytes: what prints are made of.
    pub(crate) fn digest_parts(&self, mut each: impl FnMut(&[u8])) {
        match self {
            Self::Null => each(b"n"),
            Self::Integer(n) => {
                each(b"i");
                each(&n.to_le_bytes());
            }
            Self::Real(r) => {
                each(b"r");
                each(&r.to_bits().to_le_bytes());
            }
            Self::Text(text) => {
                each(b"t");
                each(text.as_bytes());
            }
            Self::RawText(bytes) => {
                each(b"t");
                each(bytes);
            }
            Self::Blob(bytes) => {
                each(b"b");
                each(bytes);
            }
        }
    }
}

/// Equal when SQLite would store the same bytes: `1` and `1.0` differ, `0.0` and `-0.0` differ.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Real(a), Self::Real(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::RawText(a), Self::RawText(b)) | (Self::Blob(a), Self::Blob(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => out.serialize_unit(),
            Self::Integer(n) if n.unsigned_abs() <= SAFE_INTEGER_MAX as u64 => out.serialize_i64(*n),
            Self::Integer(n) => tagged(out, "$int", &n.to_string()),
            Self::Real(r) if r.is_finite() && r.fract() != 0.0 => out.serialize_f64(*r),
            Self::Real(r) => tagged(out, "$real", &real_text(*r)),
            Self::Text(text) if !text.contains('\0') => out.serialize_str(text),
            Self::Text(text) => tagged(out, "$text", &BASE64.encode(text)),
            Self::RawText(bytes) => tagged(out, "$text", &BASE64.encode(bytes)),
            Self::Blob(bytes) => tagged(out, "$blob", &BASE64.encode(bytes)),
        }
    }
}

fn tagged<S: Serializer>(out: S, tag: &'static str, text: &str) -> Result<S::Ok, S::Error> {
    let mut map = out.serialize_map(Some(1))?;
    map.serialize_entry(tag, text)?;
    map.end()
}

fn real_text(r: f64) -> String {
    if r == f64::INFINITY {
        "Infinity".to_owned()
    } else if r == f64::NEG_INFINITY {
        "-Infinity".to_owned()
    } else {
        format!("{r:?}")
    }
}

fn parse_real(text: &str) -> Option<f64> {
    match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok().filter(|r: &f64| r.is_finite()),
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("null, a number, a text, or an object like {\"$int\":\"…\"}")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Real(value as f64), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    /// A list comes from servers that hold JSON in a column; SQLite holds it as text.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<serde_json::Value>()? {
            items.push(item);
        }
        Ok(Value::Text(serde_json::Value::Array(items).to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Some(tag) = map.next_key::<String>()? else {
            return Ok(Value::Text("{}".to_owned()));
        };
        if !matches!(tag.as_str(), "$int" | "$real" | "$text" | "$blob") {
            return untagged_object(tag, map);
        }
        let text: String = map.next_value()?;
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(de::Error::custom(format!("an object with {tag} has no other members")));
        }
        let bytes = || BASE64.decode(&text).map_err(|_| de::Error::custom(format!("{tag} is not base64")));
        match tag.as_str() {
            "$int" => text.parse().map(Value::Integer).map_err(|_| de::Error::custom("$int is not a 64-bit integer")),
            "$real" => parse_real(&text).map(Value::Real).ok_or_else(|| de::Error::custom("$real is not a number")),
            "$text" => Ok(Value::text(&bytes()?)),
            _ => Ok(Value::Blob(bytes()?)),
        }
    }
}

fn untagged_object<'de, A: MapAccess<'de>>(first: String, mut map: A) -> Result<Value, A::Error> {
    let mut object = serde_json::Map::new();
    object.insert(first, map.next_value()?);
    while let Some((name, value)) = map.next_entry()? {
        object.insert(name, value);
    }
    Ok(Value::Text(serde_json::Value::Object(object).to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(value: &Value, json: &str) {
        assert_eq!(serde_json::to_string(value).unwrap(), json);
        assert_eq!(&serde_json::from_str::<Value>(json).unwrap(), value, "{json}");
    }

    #[test]
    fn values_travel_as_documented() {
        check(&Value::Null, "null");
        check(&Value::Integer(0), "0");
        check(&Value::Integer(SAFE_INTEGER_MAX), "9007199254740991");
        check(&Value::Integer(SAFE_INTEGER_MAX + 1), r#"{"$int":"9007199254740992"}"#);
        check(&Value::Integer(i64::MIN), r#"{"$int":"-9223372036854775808"}"#);
        check(&Value::Real(0.1), "0.1");
        check(&Value::Real(5e-324), "5e-324");
        check(&Value::Real(1.0), r#"{"$real":"1.0"}"#);
        check(&Value::Real(-0.0), r#"{"$real":"-0.0"}"#);
        check(&Value::Real(1e300), r#"{"$real":"1e300"}"#);
        check(&Value::Real(f64::INFINITY), r#"{"$real":"Infinity"}"#);
        check(&Value::Text("قهوة \"x\"".to_owned()), r#""قهوة \"x\"""#);
        check(&Value::Text("a\0b".to_owned()), r#"{"$text":"YQBi"}"#);
        check(&Value::RawText(vec![0xff, 0xfe]), r#"{"$text":"//4="}"#);
        check(&Value::Blob(vec![]), r#"{"$blob":""}"#);
    }

    #[test]
    fn other_servers_shapes_are_understood() {
        let read = |json| serde_json::from_str::<Value>(json).unwrap();
        assert_eq!(read("true"), Value::Integer(1));
        assert_eq!(read("[1,2]"), Value::Text("[1,2]".to_owned()));
        assert_eq!(read(r#"{"a":1}"#), Value::Text(r#"{"a":1}"#.to_owned()));
        assert_eq!(read("{}"), Value::Text("{}".to_owned()));
    }

    #[test]
    fn damaged_tags_are_refused() {
        for json in [r#"{"$int":"x"}"#, r#"{"$blob":"?"}"#, r#"{"$real":"NaN"}"#, r#"{"$int":"1","more":2}"#, r#"{"$int":1}"#] {
            assert!(serde_json::from_str::<Value>(json).is_err(), "{json}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            any::<f64>().prop_filter("SQLite has no NaN", |r| !r.is_nan()).prop_map(Value::Real),
            any::<String>().prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(|bytes| Value::text(&bytes)),
            any::<Vec<u8>>().prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn every_value_survives_the_wire(value in any_value()) {
            let json = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        }

        #[test]
        fn any_text_is_read_or_refused(json in any::<String>()) {
            let _ = serde_json::from_str::<Value>(&json);
        }
    }
}
