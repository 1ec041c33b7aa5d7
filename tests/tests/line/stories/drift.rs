//! Registers get a new version of the point-of-sale program one after the other: what one holds in columns that another does not have yet is
//! there once that one has them, and nobody's values are lost to a default, a backfill or an old name.

use super::support::{Register, Shop, content, count, eventually, open, pos, same, text};

const SCHEMA: &str = "CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, cents INTEGER);
    CREATE TABLE sales(id TEXT PRIMARY KEY);
    CREATE TABLE items(id TEXT PRIMARY KEY, sale_id TEXT REFERENCES sales(id) ON DELETE CASCADE, product_id INTEGER, cents INTEGER);";

const ROWS: &str = "INSERT INTO products VALUES (1, 'milk', 100), (2, 'tea', 250), (3, 'bread', 80), (4, 'salt', 30);
    INSERT INTO sales VALUES ('s1'); INSERT INTO items VALUES ('i1', 's1', 1, 100), ('i2', 's1', 2, 250);";

fn run(register: &Register, sql: &str) {
    pos(&register.store).execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn sync(registers: &[&Register]) {
    for register in registers.iter().chain(registers) {
        register.sync();
    }
}

fn value(register: &Register, sql: &str) -> String {
    text(&open(&register.store), &format!("WITH found(v) AS (SELECT {sql}) SELECT group_concat(v, ' ') FROM found"))
}

#[track_caller]
fn in_step(registers: &[&Register]) {
    sync(registers);
    for register in registers {
        same(&registers[0].store, &register.store);
        // A scan finds nothing that was not told: defaults and new names are no changes.
        register.tillsync(&["verify"]).said(0, &[" 0 differences found"]);
        register.tillsync(&["verify", "--against-server"]).said(0, &["hold the same"]);
        assert_eq!(register.problems(), ["agent_not_running"], "{:#}", register.status());
    }
}

const ADD: &str = "ALTER TABLE products ADD COLUMN vat INTEGER NOT NULL DEFAULT 19;
    ALTER TABLE products ADD COLUMN note TEXT; ALTER TABLE items ADD COLUMN discount REAL DEFAULT '0.5';";

/// The same by a rebuild, which no trigger survives.
const REBUILD: &str = "PRAGMA foreign_keys = OFF; BEGIN;
    CREATE TABLE products_new(id INTEGER PRIMARY KEY, name TEXT, cents INTEGER, vat INTEGER NOT NULL DEFAULT 19, note TEXT);
    INSERT INTO products_new(id, name, cents) SELECT id, name, cents FROM products;
    DROP TABLE products; ALTER TABLE products_new RENAME TO products;
    ALTER TABLE items ADD COLUMN discount REAL DEFAULT '0.5'; COMMIT;";

#[test]
fn hazard_05_a_column_that_comes_later_is_filled_with_what_others_hold() {
    for migration in [ADD, REBUILD] {
        let shop = Shop::open();
        let (a, b) = shop.pair(SCHEMA, ROWS);
        run(&a, ADD);
        run(&a, "UPDATE products SET vat = 7, note = 'food' WHERE id = 1; UPDATE items SET discount = 3 WHERE id = 'i1'");
        run(&a, "INSERT INTO products VALUES (5, 'soap', 99, 16, 'new')");
        sync(&[&a, &b]);
        // B does not have the columns and changes the same rows.
        run(&b, "UPDATE products SET name = 'whole milk' WHERE id = 1; UPDATE products SET cents = 251 WHERE id = 2");
        sync(&[&b, &a]);
        run(&b, migration);
        run(&b, "UPDATE products SET name = 'rye bread' WHERE id = 3");
        sync(&[&b, &a]);
        assert_eq!(value(&b, "name || vat || note FROM products WHERE id IN (1, 5)"), "whole milk7food soap16new");
        assert_eq!(value(&a, "name || vat FROM products WHERE id = 3"), "rye bread19");
        assert_eq!(value(&b, "discount FROM items ORDER BY id"), "3.0 0.5");
        in_step(&[&a, &b]);
        // A register that comes with the new schema gets all of it.
        let c = shop.register("c", SCHEMA);
        run(&c, ADD);
        c.init(&shop.hub.url).good();
        in_step(&[&a, &b, &c]);
        assert_eq!(shop.hub.number("SELECT count(*) FROM conflict_log"), 0);
    }
}

#[test]
fn hazard_05_running_agents_fill_new_columns_by_themselves() {
    let shop = Shop::open();
    let (mut a, mut b) = shop.pair(SCHEMA, ROWS);
    for register in [&mut a, &mut b] {
        register.start();
        register.waits_for("synced", |status| status["state"] == "synced");
    }
    run(&a, ADD);
    run(&a, "UPDATE products SET vat = id, note = 'n' || id");
    b.waits_for("all received", |status| status["state"] == "synced");
    eventually("it is at the hub", || {
        (shop.hub.number("SELECT count(*) FROM change_log WHERE data LIKE '%\"note\":\"n%'") == 4).then_some(())
    });
    run(&b, ADD);
    eventually("the columns are filled", || (content(&a.store) == content(&b.store)).then_some(()));
    run(&b, "UPDATE products SET vat = 0 WHERE id = 2");
    eventually("and go on from there", || (count(&open(&a.store), "SELECT vat FROM products WHERE id = 2") == 0).then_some(()));
    same(&a.store, &b.store);
}

#[test]
fn hazard_05_a_register_that_is_offline_when_columns_come_overwrites_nothing() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, ROWS);
    run(&a, ADD);
    run(&a, "UPDATE products SET vat = 7");
    sync(&[&a]);
    // B has not heard of it, has the columns, sells on, and looks at every row.
    b.configure("server", "'http://127.0.0.1:9'");
    run(&b, ADD);
    run(&b, "UPDATE products SET cents = cents + 1 WHERE id <= 2; UPDATE products SET vat = 5 WHERE id = 4");
    b.tillsync(&["sync", "--timeout", "20"]).said(2, &["was not reached"]);
    b.tillsync(&["verify"]).said(0, &[" 0 differences found"]);
    b.configure("server", &format!("'{}'", shop.hub.url));
    in_step(&[&b, &a]);
    assert_eq!(value(&a, "cents || ':' || vat FROM products"), "101:7 251:7 80:7 30:5");
    // Both gave the last one a value; the later one stays, and the log has both.
    assert_eq!(shop.hub.number("SELECT count(*) FROM conflict_log"), 1);
}

#[test]
fn hazard_05_what_a_migration_computes_does_not_overwrite_what_people_wrote() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, ROWS);
    let computed = "PRAGMA foreign_keys = OFF; BEGIN;
        CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT, cents INTEGER, gross INTEGER);
        INSERT INTO p SELECT id, name, cents, cents * 2 FROM products; DROP TABLE products; ALTER TABLE p RENAME TO products; COMMIT;";
    run(&a, computed);
    sync(&[&a]);
    run(&a, "UPDATE products SET gross = 1 WHERE id = 1");
    sync(&[&a, &b]);
    run(&b, computed);
    in_step(&[&b, &a]);
    assert_eq!(value(&b, "gross FROM products"), "1 500 160 60");
    let c = shop.register("c", "CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, cents INTEGER, gross INTEGER);");
    c.init(&shop.hub.url).good();
    c.sync();
    assert_eq!(value(&c, "gross FROM products"), "1 500 160 60");
}

#[test]
fn hazard_05_a_column_with_a_new_name_keeps_the_values_of_every_register() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, ROWS);
    let rename = "ALTER TABLE products RENAME COLUMN cents TO price; ALTER TABLE items RENAME COLUMN cents TO price;";
    run(&a, rename);
    sync(&[&a]);
    run(&a, "UPDATE products SET price = 1000 WHERE id IN (1, 3)");
    sync(&[&a, &b]);
    // B still writes under the old name: a row of its own, and one that A has changed before.
    run(&b, "UPDATE products SET cents = 2000 WHERE id IN (2, 3); UPDATE products SET name = 'whole milk' WHERE id = 1");
    sync(&[&b, &a]);
    run(&b, rename);
    in_step(&[&b, &a]);
    assert_eq!(value(&a, "name || price FROM products"), "whole milk1000 tea2000 bread2000 salt30");
    assert_eq!(value(&a, "price FROM items"), "100 250");
    let c = shop.register("c", SCHEMA);
    run(&c, rename);
    c.init(&shop.hub.url).good();
    in_step(&[&a, &b, &c]);
    // And it is an ordinary column from then on.
    run(&b, "UPDATE products SET price = 3000 WHERE id = 1");
    in_step(&[&b, &a, &c]);
    assert_eq!(value(&c, "price FROM products WHERE id = 1"), "3000");
    assert_eq!(shop.hub.number("SELECT count(*) FROM conflict_log"), 0);
}

#[test]
fn hazard_05_a_column_that_is_dropped_here_stays_there_and_comes_back() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, ROWS);
    run(&a, "ALTER TABLE products DROP COLUMN cents");
    run(&a, "UPDATE products SET name = 'oat milk' WHERE id = 1; INSERT INTO products VALUES (5, 'soap')");
    sync(&[&a, &b]);
    assert_eq!(value(&b, "name || ifnull(cents, '-') FROM products"), "oat milk100 tea250 bread80 salt30 soap-");
    run(&b, "UPDATE products SET cents = 99 WHERE id IN (1, 5)");
    sync(&[&b, &a]);
    run(&a, "ALTER TABLE products ADD COLUMN cents INTEGER");
    in_step(&[&a, &b]);
    assert_eq!(value(&a, "cents FROM products"), "99 250 80 30 99");
}
