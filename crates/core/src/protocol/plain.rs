//! Values as every JSON reader knows them, without the hub's tags. Not all of them survive that; what a row holds already tells what was meant.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Number, Value as Json};

use crate::row::Row;
use crate::value::Value;

/// Plain JSON: blobs in base64, infinite numbers and text that is no UTF-8 as text.
pub fn to_plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(n) => (*n).into(),
        Value::Real(r) => Number::from_f64(*r).map_or_else(|| Json::String(r.to_string()), Json::Number),
        Value::Text(text) => Json::String(text.clone()),
        Value::RawText(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        Value::Blob(bytes) => Json::String(BASE64.encode(bytes)),
    }
}

/// The SQLite value of plain JSON: truth is 1, lists and objects are their text.
pub fn from_plain(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Integer((*truth).into()),
        Json::Number(number) => match number.as_i64() {
            Some(n) => Value::Integer(n),
            None => number.as_f64().map_or(Value::Null, Value::Real),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => Value::Text(json.to_string()),
    }
}

/// Gives values that went through a client the form in which the row has them: `150` is `150.0` again where that is what the row has.
pub fn fit(row: &mut Row, known: &Row) {
    let fitted: Vec<(String, Value)> = row
        .iter()
        .filter_map(|(name, value)| {
            known.get(name).and_then(|known| fit_value(value, known)).map(|fitted| (name.to_owned(), fitted))
        })
        .collect();
    for (name, value) in fitted {
        row.set(&name, value);
    }
}

fn fit_value(value: &Value, known: &Value) -> Option<Value> {
    match (value, known) {
        (Value::Integer(n), Value::Real(_)) => Some(*n as f64).filter(|r| *r as i64 == *n).map(Value::Real),
        (Value::Real(r), Value::Integer(_)) => Some(*r as i64).filter(|n| *n as f64 == *r).map(Value::Integer),
        (Value::Text(text), Value::Integer(_)) => text.parse::<i64>().ok().filter(|n| n.to_string() == *text).map(Value::Integer),
        (Value::Text(text), Value::Real(_)) => text.parse::<f64>().ok().filter(|r| r.is_finite()).map(Value::Real),
        (Value::Text(text), Value::Blob(_)) => BASE64.decode(text).ok().map(Value::Blob),
        (Value::Text(text), Value::RawText(bytes)) => (*text == String::from_utf8_lossy(bytes)).then(|| known.clone()),
        (Value::Text(text), Value::Text(before)) if text != before => {
            let is_same_moment = as_moment(text).is_some_and(|moment| as_moment(before) == Some(moment));
            (is_same_moment || is_same_json(text, before)).then(|| known.clone())
        }
        _ => None,
    }
}

/// The moment that a text with a date and a time of day names, Unix microseconds. Servers write it in a form of their own, with or without a zone.
pub fn as_moment(text: &str) -> Option<i64> {
    let looks_so = matches!(text.as_bytes(), [y, _, _, _, b'-', _, _, b'-', _, _, b'T' | b' ', ..] if y.is_ascii_digit());
    if looks_so && text.len() >= 16 { super::time::micros(text) } else { None }
}

/// Whether both texts are lists or objects of the same content.
fn is_same_json(a: &str, b: &str) -> bool {
    let read = |text: &str| {
        let starts = text.trim_start().starts_with(['{', '[']);
        starts.then(|| serde_json::from_str::<Json>(text).ok()).flatten()
    };
    read(a).is_some_and(|a| read(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: &str, sent: &str, expected: &str) {
        let then: Row = serde_json::from_str(&format!("{{\"x\":{known}}}")).unwrap();
        let sent: Json = serde_json::from_str(sent).unwrap();
        let mut row: Row = [("x".to_owned(), from_plain(&sent))].into_iter().collect();
        fit(&mut row, &then);
        assert_eq!(row.to_json(), format!("{{\"x\":{expected}}}"), "{known} {sent}");
    }

    #[test]
    fn what_went_through_a_client_has_its_form_again() {
        check(r#"{"$real":"150.0"}"#, "150", r#"{"$real":"150.0"}"#);
        check(r#"{"$real":"150.0"}"#, "120", r#"{"$real":"120.0"}"#);
        check("7", "7.0", "7");
        check("7", "7.5", "7.5");
        check("12.5", r#""12.50""#, "12.5");
        check("7", r#""7""#, "7");
        check("7", r#""007""#, r#""007""#);
        check("1", "true", "1");
        check(r#"{"$blob":"AQ=="}"#, r#""AQ==""#, r#"{"$blob":"AQ=="}"#);
        check(r#""{ \"b\": 1, \"a\": 2 }""#, r#"{"a":2,"b":1}"#, r#""{ \"b\": 1, \"a\": 2 }""#);
        check(r#""2026-11-20T11:37:03Z""#, r#""2026-11-20 11:37:03+00:00""#, r#""2026-11-20T11:37:03Z""#);
        check(r#""x""#, r#""y""#, r#""y""#);
        check("null", r#""y""#, r#""y""#);
    }

    #[test]
    fn every_value_has_a_plain_form() {
        for (value, plain) in [
            (Value::Real(1.0), "1.0"),
            (Value::Real(f64::INFINITY), "\"inf\""),
            (Value::Integer(i64::MAX), "9223372036854775807"),
            (Value::Blob(vec![1]), "\"AQ==\""),
            (Value::RawText(vec![0xff]), "\"\u{fffd}\""),
            (Value::Null, "null"),
        ] {
            assert_eq!(to_plain(&value).to_string(), plain);
        }
    }
}
