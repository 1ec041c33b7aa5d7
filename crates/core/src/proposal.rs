//! Proposals: what a table's keys mean, from its schema, its data and what other registers have sent. Each comes with one line that says why.

use crate::config::Key;
use crate::key::parse_uuid;
use crate::value::Value;

/// A counted key uses its numbers up: among so many numbers there is at least one row.
const GAPS_MAX: i64 = 1_000;

/// What is known of a table.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Its name.
    pub table: String,
    /// The key's columns, in order.
    pub key: Vec<KeyColumn>,
    /// Whether SQLite gives no number twice.
    pub autoincrement: bool,
    /// How many rows it has.
    pub rows: u64,
    /// Some keys of its rows, the smallest and the largest among them: the values of the key's last column.
    pub sample: Vec<Value>,
    /// How many other tables refer to it.
    pub referred_by: usize,
    /// Tables that it refers to whose keys every register counts for itself.
    pub parents: Vec<String>,
    /// The id of a row that another register has sent.
    pub sent: Option<String>,
}

/// A column of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its name.
    pub name: String,
    /// Whether it holds numbers, as declared.
    pub is_integer: bool,
    /// The table that it refers to.
    pub refers_to: Option<String>,
}

/// A choice and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The choice.
    pub key: Key,
    /// Why, for people; without the table's name.
    pub reason: String,
}

/// What a row that another register has sent says of its table.
pub fn as_sent(id: &str) -> Proposal {
    let key = key_of_sent(id);
    let reason = match key {
        Key::Register => "as the other registers have it".to_owned(),
        Key::Global => format!("as the other registers have it, with keys such as {id}"),
    };
    Proposal { key, reason }
}

/// The kind of key behind an id. Ids that registers give are UUIDs of version 5; a list of parts means the same everywhere, its parts
/// do.
pub fn key_of_sent(id: &str) -> Key {
    let is_given = parse_uuid(id).is_some_and(|id| id.get_version_num() == 5);
    if is_given { Key::Register } else { Key::Global }
}

/// Proposes.
pub fn propose(facts: &Facts) -> Proposal {
    let register = |reason: String| Proposal { key: Key::Register, reason };
    let global = |reason: String| Proposal { key: Key::Global, reason };
    if let Some(id) = &facts.sent {
        return as_sent(id);
    }
    let own: Vec<&KeyColumn> = facts.key.iter().filter(|column| column.refers_to.is_none()).collect();
    let parent = facts.key.iter().filter_map(|column| column.refers_to.as_ref()).find(|parent| facts.parents.contains(parent));
    match (own.as_slice(), parent) {
        ([], Some(parent)) => return register(format!("its key is that of {parent}")),
        ([], None) => return global("its key consists of references to rows that all registers share".to_owned()),
        ([column], Some(parent)) if column.is_integer => {
            return register(format!("{} counts within a row of {parent}", column.name));
        }
        ([_], None) if facts.key.len() == 1 => {}
        _ => {
            let names: Vec<&str> = facts.key.iter().map(|column| column.name.as_str()).collect();
            return global(format!("key of {}, which together mean the same everywhere", names.join(", ")));
        }
    }
    if own[0].is_integer { propose_counted(facts) } else { propose_text(facts) }
}

fn propose_text(facts: &Facts) -> Proposal {
    let example = facts.sample.iter().find_map(|value| match value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    });
    let (key, reason) = match example {
        None => (Key::Global, "TEXT key".to_owned()),
        Some(text) if parse_uuid(&text.to_lowercase()).is_some() => (Key::Global, "UUIDs, unique everywhere".to_owned()),
        Some(text) if is_a_record(&facts.table) && facts.sample.iter().all(is_counter) => {
            (Key::Register, format!("TEXT key that counts, such as '{text}', and rows are made on each register"))
        }
        Some(text) => (Key::Global, format!("TEXT key such as '{text}'")),
    };
    Proposal { key, reason }
}

fn propose_counted(facts: &Facts) -> Proposal {
    let numbers: Vec<i64> =
        facts.sample.iter().filter_map(|value| if let Value::Integer(n) = value { Some(*n) } else { None }).collect();
    let largest = numbers.iter().max().copied().unwrap_or(0);
    let rows = i64::try_from(facts.rows).unwrap_or(i64::MAX);
    let kind = if facts.autoincrement { "AUTOINCREMENT" } else { "counted" };
    let (key, reason) = if facts.sample.iter().any(|value| !matches!(value, Value::Integer(_))) || largest / GAPS_MAX > rows {
        (Key::Global, format!("its numbers are given, not counted, such as {largest}"))
    } else if let Some(parent) = facts.parents.first() {
        (Key::Register, format!("{kind} key, its rows belong to {parent}"))
    } else if is_a_record(&facts.table) {
        (Key::Register, format!("{kind} key, rows are made on each register"))
    } else if !facts.autoincrement {
        (Key::Global, "INTEGER key without AUTOINCREMENT, looks like master data that all registers share".to_owned())
    } else if facts.referred_by > 0 && facts.rows > 0 {
        (Key::Global, format!("{} rows that others refer to, looks like master data that all registers share", facts.rows))
    } else {
        (Key::Register, format!("{kind} key, rows are made on each register"))
    };
    Proposal { key, reason }
}

/// Whether the key counts up, as `17` and `INV-0017` do.
fn is_counter(value: &Value) -> bool {
    let Value::Text(text) = value else { return false };
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a table's name says that its rows record what happened at a till.
fn is_a_record(table: &str) -> bool {
    const WORDS: [&str; 36] = [
        "sale",
        "order",
        "invoice",
        "receipt",
        "bill",
        "ticket",
        "basket",
        "cart",
        "payment",
        "transaction",
        "refund",
        "return",
        "movement",
        "adjustment",
        "shift",
        "session",
        "log",
        "audit",
        "event",
        "visit",
        "entry",
        "line",
        "drawer",
        "closing",
        "expense",
        "purchase",
        "delivery",
        "transfer",
        "history",
        "void",
        "deposit",
        "withdrawal",
        "tender",
        "journal",
        "quote",
        "reservation",
    ];
    // The last word says what a row is: `order_types` are types, `customer_orders` are orders.
    let mut words: Vec<String> = vec![String::new()];
    let mut before = 'a';
    for letter in table.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    let last = words.iter().rev().find(|word| !word.is_empty()).cloned().unwrap_or_default();
    let singulars = [last.as_str(), last.trim_end_matches('s'), last.trim_end_matches("es")];
    let with_y = last.strip_suffix("ies").map(|stem| format!("{stem}y"));
    singulars.iter().any(|word| WORDS.contains(word)) || with_y.is_some_and(|word| WORDS.contains(&word.as_str()))
}

/// The table that a column refers to by its name alone: `sale_id` and `saleId` refer to `sales` or `sale`.
pub fn referred_table<'a>(column: &str, tables: &[&'a str]) -> Option<&'a str> {
    let stem = ["_id", "_ID", "Id", "ID", "_Id"].iter().find_map(|end| column.strip_suffix(end)).filter(|stem| !stem.is_empty())?;
    let mut names = vec![stem.to_owned(), format!("{stem}s"), format!("{stem}es")];
    names.extend(stem.strip_suffix('y').map(|stem| format!("{stem}ies")));
    let plain = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    tables.iter().find(|table| names.iter().any(|name| plain(name) == plain(table))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, is_integer: bool, refers_to: Option<&str>) -> KeyColumn {
        KeyColumn { name: name.to_owned(), is_integer, refers_to: refers_to.map(str::to_owned) }
    }

    fn table(name: &str, rows: u64, sample: Vec<Value>) -> Facts {
        let is_integer = !sample.iter().any(|value| matches!(value, Value::Text(_)));
        Facts { table: name.to_owned(), key: vec![column("id", is_integer, None)], rows, sample, ..Facts::default() }
    }

    fn numbers(largest: i64) -> Vec<Value> {
        vec![Value::Integer(1), Value::Integer(largest)]
    }

    fn texts(texts: &[&str]) -> Vec<Value> {
        texts.iter().map(|&text| Value::Text(text.to_owned())).collect()
    }

    fn check(facts: &Facts, key: Key, reason: &str) {
        let proposal = propose(facts);
        assert_eq!(proposal.key, key, "{facts:?}: {}", proposal.reason);
        assert!(proposal.reason.contains(reason), "{}", proposal.reason);
    }

    #[test]
    fn keys_are_judged_by_schema_and_data() {
        let (register, global) = (Key::Register, Key::Global);
        check(&Facts { autoincrement: true, ..table("sales", 40, numbers(41)) }, register, "AUTOINCREMENT key, rows are made");
        check(&table("CustomerOrders", 0, Vec::new()), register, "counted key");
        check(&table("sales", 50, numbers(31_198_570_044)), global, "given, not counted, such as 31198570044");
        check(&table("order_types", 5, numbers(5)), global, "master data");
        check(&table("products", 50, numbers(50)), global, "without AUTOINCREMENT");
        check(&Facts { autoincrement: true, referred_by: 2, ..table("products", 50, numbers(50)) }, global, "50 rows");
        check(&Facts { autoincrement: true, referred_by: 2, ..table("customers", 0, Vec::new()) }, register, "AUTOINCREMENT");
        check(&Facts { parents: vec!["sales".into()], ..table("sale_extras", 9, numbers(9)) }, register, "belong to sales");
        check(&table("products", 9, texts(&["SKU-001", "SKU-009"])), global, "TEXT key such as 'SKU-001'");
        check(&table("invoices", 9, texts(&["INV-001", "INV-009"])), register, "counts, such as 'INV-001'");
        check(&table("sales", 9, texts(&["0191b2c3-d4e5-7f60-8123-456789abcdef"])), global, "UUIDs");
    }

    #[test]
    fn composite_keys_follow_what_they_refer_to() {
        let lines = |key: Vec<KeyColumn>, parents: &[&str]| Facts {
            key,
            parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
            ..table("lines", 9, numbers(3))
        };
        let (sale, product) = (column("sale_id", true, Some("sales")), column("product_id", true, Some("products")));
        check(
            &lines(vec![sale.clone(), column("line", true, None)], &["sales"]),
            Key::Register,
            "line counts within a row of sales",
        );
        check(&lines(vec![sale.clone(), column("line", true, None)], &[]), Key::Global, "together");
        check(&lines(vec![sale.clone(), product.clone()], &["sales"]), Key::Register, "its key is that of sales");
        check(&lines(vec![product], &[]), Key::Global, "references to rows that all registers share");
        check(&lines(vec![sale, column("rate", false, None)], &["sales"]), Key::Global, "together");
    }

    #[test]
    fn what_other_registers_have_sent_decides() {
        let sent = |id: &str| Facts { sent: Some(id.to_owned()), ..table("sales", 40, numbers(41)) };
        check(&sent("17"), Key::Global, "as the other registers");
        check(&sent("87bf2c40-3220-532b-b4d2-d4a6a29504e4"), Key::Register, "as the other registers");
        check(&sent(r#"["87bf2c40-3220-532b-b4d2-d4a6a29504e4","5%"]"#), Key::Global, "as the other registers");
        check(&sent("0191b2c3-d4e5-7f60-8123-456789abcdef"), Key::Global, "as the other registers");
    }

    #[test]
    fn columns_refer_by_their_names() {
        let check = |column: &str, expected: Option<&str>| {
            assert_eq!(referred_table(column, &["sales", "Categories", "sale_boxes", "tax"]), expected, "{column}");
        };
        check("sale_id", Some("sales"));
        check("saleId", Some("sales"));
        check("category_id", Some("Categories"));
        check("sale_box_id", Some("sale_boxes"));
        check("taxID", Some("tax"));
        check("id", None);
        check("_id", None);
        check("void", None);
        check("customer_id", None);
    }
}
