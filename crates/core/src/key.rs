//! A row's identity: the text called `entityId` on the wire.
//!
//! One integer key is written as a decimal, one text key as itself; everything else (several columns, blobs, reals, NULL, a
//! text that looks like one of the other forms) is a JSON list of values. The forms never overlap, so the id alone gives back the key.

use uuid::Uuid;

use crate::value::Value;

/// The key's id. A real without a fraction counts as the integer it equals, since no SQLite key tells them apart.
pub fn entity_id(key: &[Value]) -> String {
    match key {
        [Value::Integer(n)] => n.to_string(),
        [Value::Text(text)] if is_plain(text) => text.clone(),
        _ => {
            let parts: Vec<Value> = key.iter().map(normal).collect();
            match parts.as_slice() {
                [Value::Integer(n)] => n.to_string(),
                parts => serde_json::to_string(parts).expect("values always encode"),
            }
        }
    }
}

/// The key columns' values; `None` if the id is a damaged list.
pub fn parse_entity_id(id: &str) -> Option<Vec<Value>> {
    if id.starts_with('[') {
        return serde_json::from_str(id).ok();
    }
    if let Some(n) = canonical_integer(id) {
        return Some(vec![Value::Integer(n)]);
    }
    Some(vec![Value::Text(id.to_owned())])
}

/// The id on the wire of a row that a register made and counted for itself: a UUID version 5 of the store's namespace, the table and
/// the local key. A key that is used again for another row counts generations, from 0.
pub fn register_id(namespace: Uuid, table: &str, local: &str, generation: u32) -> Uuid {
    Uuid::new_v5(&namespace, format!("{table}\0{local}\0{generation}").as_bytes())
}

/// The UUID that a value is, when it is written exactly as ids on the wire are.
pub fn parse_register_id(value: &Value) -> Option<Uuid> {
    let Value::Text(text) = value else { return None };
    parse_uuid(text)
}

/// The UUID that a text is, in small letters and with hyphens.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    let mut buffer = Uuid::encode_buffer();
    Uuid::parse_str(text).ok().filter(|id| id.hyphenated().encode_lower(&mut buffer) == text)
}

/// Whether a value in a column that refers to rows says that there is none.
pub fn is_nobody(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Integer(n) => *n <= 0,
        Value::Text(text) => text.is_empty() || text == "0",
        Value::Real(_) | Value::RawText(_) | Value::Blob(_) => false,
    }
}

/// The text key after this one: its last run of digits counts up and keeps its width, `A-0099` becomes `A-0100`.
pub fn next_counter(text: &str, step: u64) -> String {
    let digits_end = text.rfind(|c: char| c.is_ascii_digit()).map_or(text.len(), |last| last + 1);
    let digits_start = text[..digits_end]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |before| before + text[before..].chars().next().map_or(1, char::len_utf8));
    let digits = &text[digits_start..digits_end];
    let next = digits.parse::<u64>().ok().and_then(|number| number.checked_add(step));
    let Some(next) = next else { return format!("{text}-{step}") };
    let width = digits.len();
    format!("{}{next:0width$}{}", &text[..digits_start], &text[digits_end..])
}

fn normal(value: &Value) -> Value {
    match value {
        // Both bounds are exact as doubles; the cast is exact between them.
        Value::Real(r) if r.fract() == 0.0 && *r >= i64::MIN as f64 && *r < i64::MAX as f64 => Value::Integer(*r as i64),
        other => other.clone(),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('[') && !text.contains('\0') && canonical_integer(text).is_none()
}

fn canonical_integer(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|n| n.to_string() == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(key: &[Value], id: &str) {
        assert_eq!(entity_id(key), id);
        assert_eq!(parse_entity_id(id).unwrap(), key);
    }

    #[test]
    fn ids_read_like_the_key() {
        check(&[Value::Integer(-7)], "-7");
        check(&[Value::Text("SKU 1".into())], "SKU 1");
        check(&[Value::Text("7".into())], r#"["7"]"#);
        check(&[Value::Text("007".into())], "007");
        check(&[Value::Text("[x".into())], r#"["[x"]"#);
        check(&[Value::Text(String::new())], r#"[""]"#);
        check(&[Value::Null], "[null]");
        check(&[Value::Integer(1), Value::Text("a".into())], r#"[1,"a"]"#);
        check(&[Value::Blob(vec![1])], r#"[{"$blob":"AQ=="}]"#);
        assert_eq!(entity_id(&[Value::Real(7.0)]), "7");
        assert_eq!(parse_entity_id("[1,"), None);
    }

    #[test]
    fn a_row_has_one_id_whoever_asks() {
        let namespace = Uuid::from_u128(7);
        let id = register_id(namespace, "sales", "1", 0);
        assert_eq!(id.to_string(), "87bf2c40-3220-532b-b4d2-d4a6a29504e4");
        for other in [
            register_id(Uuid::from_u128(8), "sales", "1", 0),
            register_id(namespace, "lines", "1", 0),
            register_id(namespace, "sales", "2", 0),
            register_id(namespace, "sales", "1", 1),
        ] {
            assert_ne!(other, id);
        }
        assert_eq!(parse_register_id(&Value::Text(id.to_string())), Some(id));
        for other in [Value::Integer(1), Value::Text(id.to_string().to_uppercase()), Value::Text(id.simple().to_string())] {
            assert_eq!(parse_register_id(&other), None);
        }
    }

    #[test]
    fn text_keys_count_on() {
        let check = |text: &str, expected: &str| assert_eq!(next_counter(text, 1), expected);
        check("A-18446744073709551615", "A-18446744073709551615-1");
        check("7", "8");
        check("000099", "000100");
        check("A-0099", "A-0100");
        check("INV-99", "INV-100");
        check("2024/17-b", "2024/18-b");
        check("é9", "é10");
        check("first", "first-1");
        check("", "-1");
    }

    proptest! {
        #[test]
        fn different_keys_have_different_ids(a in any::<String>(), n in any::<i64>()) {
            let text = entity_id(&[Value::Text(a.clone())]);
            prop_assert_ne!(&text, &entity_id(&[Value::Integer(n)]));
            prop_assert_eq!(parse_entity_id(&text).unwrap(), vec![Value::Text(a)]);
        }
    }
}
