//! Every value that SQLite can hold arrives as it left: the same storage class, the same bytes.

use super::support::{Shop, pos, same};

const SCHEMA: &str = "
    CREATE TABLE free(id INTEGER PRIMARY KEY, value);
    CREATE TABLE typed(id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC);";

/// SQL expressions.
const VALUES: &[&str] = &[
    "NULL",
    "0.1",
    "0.1 + 0.2",
    "19.99",
    "1.0",
    "3.0e20",
    "5e-324",
    "2.2250738585072014e-308",
    "1e308",
    "1.7976931348623157e308",
    "-0.0",
    "9e999",
    "-9e999",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740991",
    "-9007199254740992",
    "-9007199254740993",
    "9007199254740993.0",
    "9223372036854775807",
    "-9223372036854775808",
    "''",
    "x''",
    "x'00ff10'",
    "'12 apples'",
    "'0012'",
    "' 12 '",
    "'1e3'",
    "'null'",
    "'{\"$int\":\"1\"}'",
    "'a' || char(0) || 'b'",
    "char(0)",
    "CAST(x'ff' AS TEXT)",
    "CAST(x'c328' AS TEXT)",
    "CAST(x'eda080' AS TEXT)",
    "'😀👩‍👩‍👧 café'",
    "'حليب كامل الدسم'",
    "char(0xfeff) || 'x' || char(0x202e)",
    "'two' || char(13, 10) || 'lines' || char(9) || '\\ \" / ' || char(0x7f, 0x1b, 0x2028)",
    "'2026-07-31 09:15:00'",
    "'2026-07-31T06:15:00Z'",
    "replace(hex(zeroblob(1048576)), '00', 'ab')",
    "randomblob(2097152)",
];

fn fill(from: usize) -> String {
    let rows = VALUES.iter().enumerate().map(|(place, value)| {
        let id = from + place;
        format!(
            "INSERT INTO free VALUES ({id}, {value}); INSERT INTO typed VALUES ({id}, {value}, {value}, {value}, {value}, {value});"
        )
    });
    rows.collect()
}

/// Each value takes the place of another one.
fn change() -> String {
    let rows = VALUES.iter().enumerate().map(|(place, value)| {
        let id = 1 + (place + 1) % VALUES.len();
        format!("UPDATE free SET value = {value} WHERE id = {id}; UPDATE typed SET i = {value}, b = {value} WHERE id = {id};")
    });
    rows.collect()
}

#[test]
fn hazard_07_every_value_arrives_as_it_left() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, &fill(1));
    same(&a.store, &b.store);
    for writes in [fill(1001), change(), "UPDATE free SET value = NULL; DELETE FROM typed WHERE id % 2;".to_owned()] {
        pos(&a.store).execute_batch(&writes).unwrap();
        a.sync();
        b.sync();
        same(&a.store, &b.store);
    }
    assert_eq!((a.problems(), b.problems()), (vec!["agent_not_running".to_owned()], vec!["agent_not_running".to_owned()]));
}

#[test]
fn hazard_07_a_value_that_changes_only_its_class_is_a_change() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, "INSERT INTO free VALUES (1, 1), (2, 'a'), (3, 0.0), (4, NULL), (5, '1'), (6, 1e15);");
    for writes in [
        "UPDATE free SET value = 1.0 WHERE id = 1",
        "UPDATE free SET value = x'61' WHERE id = 2",
        "UPDATE free SET value = 0 WHERE id = 3",
        "UPDATE free SET value = '' WHERE id = 4",
        "UPDATE free SET value = 1 WHERE id = 5",
        "UPDATE free SET value = 1000000000000000 WHERE id = 6",
    ] {
        pos(&a.store).execute_batch(writes).unwrap();
        a.sync();
        b.sync();
        same(&a.store, &b.store);
    }
}
