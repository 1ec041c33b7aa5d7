//! A row's identity: the text called `entityId` on the wire.
//!
//! One integer key is written as a decimal, one text key as itself; everything else (several columns, blobs, reals, NULL, a
//! text that looks like one of the other forms) is a JSON list of values. The forms never overlap, so the id alone gives back the key.

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

    proptest! {
        #[test]
        fn different_keys_have_different_ids(a in any::<String>(), n in any::<i64>()) {
            let text = entity_id(&[Value::Text(a.clone())]);
            prop_assert_ne!(&text, &entity_id(&[Value::Integer(n)]));
            prop_assert_eq!(parse_entity_id(&text).unwrap(), vec![Value::Text(a)]);
        }
    }
}
