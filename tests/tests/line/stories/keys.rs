//! Tables whose keys every register counts for itself: all rows end on all registers, each with its own, whatever the numbers.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::support::{Register, Shop, count, eventually, open, plain, text};

const SCHEMA: &str = "CREATE TABLE products(sku TEXT PRIMARY KEY, name TEXT);
    CREATE TABLE sales(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, cents INTEGER);
    CREATE TABLE items(id INTEGER PRIMARY KEY, sale_id INTEGER NOT NULL REFERENCES sales(id) ON DELETE CASCADE,
      sku TEXT REFERENCES products(sku), what TEXT);
    CREATE INDEX items_sale ON items(sale_id);";

const KEYS: [&str; 2] = ["sales=register", "items=register"];

fn set_up(shop: &Shop, name: &str, schema: &str, keys: &[&str]) -> Register {
    let register = shop.register(name, schema);
    let keys = keys.iter().flat_map(|key| ["--key", key]);
    let arguments: Vec<&str> = ["--credentials", "file"].into_iter().chain(keys).collect();
    register.init_with(&shop.hub.url, &arguments).good();
    register
}

/// Rings up a sale of these items.
fn sell(register: &Register, what: &str, items: &[&str]) {
    let till = open(&register.store);
    till.execute_batch("BEGIN").unwrap();
    till.execute("INSERT INTO sales(what, cents) VALUES (?1, ?2)", (what, items.len() as i64 * 100)).unwrap();
    let sale = till.last_insert_rowid();
    for item in items {
        till.execute("INSERT INTO items(sale_id, what) VALUES (?1, ?2)", (sale, item)).unwrap();
    }
    till.execute_batch("COMMIT").unwrap();
}

/// What `SELECT …` finds, in its order.
fn found(register: &Register, sql: &str) -> Vec<String> {
    let store = open(&register.store);
    let mut query = store.prepare(&format!("SELECT {sql}")).unwrap();
    let texts = query.query_map([], |row| row.get_ref(0).map(plain)).unwrap();
    texts.collect::<rusqlite::Result<_>>().unwrap()
}

/// Every sale with its items, by their words alone.
fn receipts(register: &Register) -> Vec<String> {
    let items = "(SELECT group_concat(what) FROM (SELECT what FROM items WHERE sale_id = sales.id ORDER BY what))";
    found(register, &format!("what || ' ' || cents || ': ' || coalesce({items}, '') FROM sales ORDER BY what"))
}

fn sync_all(registers: &[&Register]) {
    for register in registers.iter().chain(registers) {
        register.sync();
    }
}

fn journal_mode(store: &Path, mode: &str) {
    open(store).pragma_update(None, "journal_mode", mode).unwrap();
}

#[test]
fn two_registers_whose_sales_both_start_at_1_end_with_all_sales() {
    for mode in ["wal", "delete"] {
        let shop = Shop::open();
        let (mut a, mut b) = (set_up(&shop, "a", SCHEMA, &KEYS), set_up(&shop, "b", SCHEMA, &KEYS));
        // Sales from before Tillsync, too.
        for register in [&a, &b] {
            journal_mode(&register.store, mode);
        }
        sell(&a, "a1", &["tea", "rum"]);
        sell(&b, "b1", &["ale"]);
        sell(&b, "b2", &["gin", "gin"]);
        for register in [&mut a, &mut b] {
            register.start();
        }
        sell(&a, "a2", &["cola"]);
        let all = ["a1 200: rum,tea", "a2 100: cola", "b1 100: ale", "b2 200: gin,gin"];
        for register in [&a, &b] {
            eventually("all sales with their items", || (receipts(register) == all).then_some(()));
        }
        for (number, register) in [(1, &a), (2, &b), (3, &a)] {
            sell(register, &format!("c{number}"), &["tea"]);
        }
        let later = [&all[..], &["c1 100: tea", "c2 100: tea", "c3 100: tea"]].concat();
        for register in [&a, &b] {
            eventually("the next sales", || (receipts(register) == later).then_some(()));
            register.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0 && status["parked"] == 0);
        }
        assert_eq!(text(&open(&a.store), "PRAGMA journal_mode"), mode);
        assert_eq!(text(&open(&a.store), "PRAGMA integrity_check"), "ok");
        assert_eq!(text(&open(&a.store), "PRAGMA foreign_key_check"), "");
        assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales' AND NOT deleted"), 7);
    }
}

#[test]
fn changes_and_deletes_find_the_row_under_its_other_key() {
    let shop = Shop::open();
    let (a, b) = (set_up(&shop, "a", SCHEMA, &KEYS), set_up(&shop, "b", SCHEMA, &KEYS));
    for (register, name) in [(&a, "a"), (&b, "b")] {
        for number in 1..=3 {
            sell(register, &format!("{name}{number}"), &["tea"]);
        }
    }
    sync_all(&[&a, &b]);
    assert_eq!(receipts(&a), receipts(&b));
    open(&b.store).execute_batch("UPDATE sales SET cents = 7 WHERE what = 'a2'; DELETE FROM sales WHERE what = 'a3'").unwrap();
    open(&a.store)
        .execute_batch("UPDATE sales SET cents = 8 WHERE what = 'a1'; UPDATE items SET what = 'rum' WHERE sale_id = 2")
        .unwrap();
    sync_all(&[&a, &b]);
    let all = ["a1 8: tea", "a2 7: rum", "b1 100: tea", "b2 100: tea", "b3 100: tea"];
    assert_eq!((receipts(&a), receipts(&b)), (all.map(str::to_owned).to_vec(), all.map(str::to_owned).to_vec()));
    // What was deleted at the end gives its key free; the next sale is another one, not the old one back.
    open(&b.store).execute_batch("DELETE FROM sales WHERE what = 'b3'").unwrap();
    sell(&b, "b4", &["ale"]);
    sell(&a, "a4", &["gin"]);
    sync_all(&[&a, &b]);
    let all = ["a1 8: tea", "a2 7: rum", "a4 100: gin", "b1 100: tea", "b2 100: tea", "b4 100: ale"];
    assert_eq!((receipts(&a), receipts(&b)), (all.map(str::to_owned).to_vec(), all.map(str::to_owned).to_vec()));
    assert_eq!((&a.status()["parked"], &a.status()["conflicts"]), (&0.into(), &0.into()));
}

#[test]
fn rows_refer_to_rows_of_their_own_table_and_to_themselves() {
    const TREE: &str = "CREATE TABLE categories(id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES categories(id), name TEXT)";
    let shop = Shop::open();
    let (a, b) = (set_up(&shop, "a", TREE, &["categories=register"]), set_up(&shop, "b", TREE, &["categories=register"]));
    let (here, there) = (open(&a.store), open(&b.store));
    there.execute_batch("INSERT INTO categories VALUES (1, NULL, 'food'), (2, 1, 'bread')").unwrap();
    // The child comes before its parent, and the root is its own parent.
    here.execute_batch(
        "PRAGMA foreign_keys = off; INSERT INTO categories VALUES (1, 3, 'tea'); INSERT INTO categories VALUES (3, 3, 'drinks')",
    )
    .unwrap();
    sync_all(&[&a, &b]);
    let tree =
        "c.name || '<' || coalesce(p.name, '') FROM categories c LEFT JOIN categories p ON p.id = c.parent_id ORDER BY c.name";
    let all = ["bread<food", "drinks<drinks", "food<", "tea<drinks"];
    assert_eq!((found(&a, tree), found(&b, tree)), (all.map(str::to_owned).to_vec(), all.map(str::to_owned).to_vec()));
    there
        .execute_batch("UPDATE categories SET parent_id = (SELECT id FROM categories WHERE name = 'food') WHERE name = 'tea'")
        .unwrap();
    sync_all(&[&b, &a]);
    assert_eq!(found(&a, tree)[3], "tea<food");
}

#[test]
fn composite_keys_keep_what_they_refer_to_and_count_the_rest() {
    const LINES: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, what TEXT);
        CREATE TABLE lines(sale_id INTEGER REFERENCES sales(id), line INTEGER, what TEXT, PRIMARY KEY(sale_id, line)) WITHOUT ROWID;
        CREATE TABLE taxes(sale_id INTEGER, line INTEGER, rate TEXT, cents INTEGER, PRIMARY KEY(sale_id, line, rate),
          FOREIGN KEY(sale_id, line) REFERENCES lines(sale_id, line));
        CREATE TABLE notes(sale_id INTEGER PRIMARY KEY REFERENCES sales(id), text TEXT)";
    let keys = ["sales=register", "lines=register", "taxes=global", "notes=register"];
    let shop = Shop::open();
    let (a, b) = (set_up(&shop, "a", LINES, &keys), set_up(&shop, "b", LINES, &keys));
    for (register, name) in [(&a, "a"), (&b, "b")] {
        let till = open(&register.store);
        for sale in 1..=2 {
            let batch = format!(
                "INSERT INTO sales VALUES ({sale}, '{name}{sale}'); INSERT INTO notes VALUES ({sale}, 'note {name}{sale}');
                 INSERT INTO lines VALUES ({sale}, 1, '{name}{sale} tea'), ({sale}, 2, '{name}{sale} rum');
                 INSERT INTO taxes VALUES ({sale}, 1, '5%', 1), ({sale}, 2, '19%', {sale})"
            );
            till.execute_batch(&batch).unwrap();
        }
    }
    sync_all(&[&a, &b]);
    let all = "s.what || ' ' || n.text || ' ' || l.line || ' ' || l.what || ' ' || t.rate || t.cents FROM sales s
        JOIN lines l ON l.sale_id = s.id JOIN notes n ON n.sale_id = s.id JOIN taxes t ON t.sale_id = s.id AND t.line = l.line ORDER BY 1";
    let rows = found(&a, all);
    assert_eq!(rows, found(&b, all));
    assert_eq!((rows.len(), rows[7].as_str()), (8, "b2 note b2 2 b2 rum 19%2"));
    // Both add a line to the same sale: two lines, not one.
    let add = "INSERT INTO lines SELECT id, 3, 'more at ' || ?1 FROM sales WHERE what = 'a1'";
    for (register, name) in [(&a, "a"), (&b, "b")] {
        open(&register.store).execute(add, [name]).unwrap();
    }
    open(&a.store)
        .execute_batch("DELETE FROM taxes WHERE sale_id = 1 AND line = 2; DELETE FROM lines WHERE sale_id = 1 AND line = 2")
        .unwrap();
    sync_all(&[&a, &b]);
    let lines = "l.what FROM sales s JOIN lines l ON l.sale_id = s.id WHERE s.what = 'a1' ORDER BY 1";
    let expected = ["a1 tea", "more at a", "more at b"];
    assert_eq!((found(&a, lines), found(&b, lines)), (expected.map(str::to_owned).to_vec(), expected.map(str::to_owned).to_vec()));
    assert_eq!(a.status()["parked"], 0);
}

#[test]
fn text_keys_that_count_and_references_that_only_the_config_knows() {
    const BILLS: &str = "CREATE TABLE bills(number TEXT PRIMARY KEY, what TEXT);
        CREATE TABLE lines(id INTEGER PRIMARY KEY, bill TEXT, what TEXT)";
    let shop = Shop::open();
    let keys = ["bills=register", "lines=register"];
    let (a, b) = (set_up(&shop, "a", BILLS, &keys), set_up(&shop, "b", BILLS, &keys));
    for (register, name) in [(&a, "a"), (&b, "b")] {
        register.tillsync(&["tables", "set", "lines", "--reference", "bill=bills"]).good();
        let till = open(&register.store);
        for number in 8..=11 {
            let batch = format!(
                "INSERT INTO bills VALUES ('R-{number}', '{name}{number}'); INSERT INTO lines(bill, what) VALUES ('R-{number}', 'of {name}{number}')"
            );
            till.execute_batch(&batch).unwrap();
        }
        till.execute_batch("INSERT INTO lines(bill, what) VALUES ('', 'of nobody'), (NULL, 'of nobody')").unwrap();
    }
    sync_all(&[&a, &b]);
    let all = "b.what || ' ' || l.what FROM bills b JOIN lines l ON l.bill = b.number ORDER BY 1";
    let rows = found(&a, all);
    assert_eq!((rows.len(), &rows), (8, &found(&b, all)));
    assert!(rows.iter().all(|row| row.split_once(" of ").is_some_and(|(bill, line)| bill == line)), "{rows:?}");
    for register in [&a, &b] {
        assert_eq!(count(&open(&register.store), "SELECT count(*) FROM lines WHERE what = 'of nobody'"), 4);
        let numbers = found(register, "number FROM bills");
        assert!(numbers.iter().all(|number| number.starts_with("R-") && number.len() < 6), "{numbers:?}");
    }
}

#[test]
fn a_row_that_comes_before_its_parent_waits_for_it() {
    let shop = Shop::open();
    let (a, b) = (set_up(&shop, "a", SCHEMA, &KEYS), set_up(&shop, "b", SCHEMA, &KEYS));
    // The sale is refused at first, so its items come first; then the reason goes away.
    open(&b.store)
        .execute_batch("CREATE UNIQUE INDEX one_price ON sales(cents); INSERT INTO sales(what, cents) VALUES ('b1', 100)")
        .unwrap();
    b.sync();
    sell(&a, "a1", &["tea"]);
    a.sync();
    b.tillsync(&["sync"]);
    assert_eq!(receipts(&b), ["b1 100: "]);
    assert_eq!(b.status()["parked"].as_i64().unwrap(), 1, "the sale is refused, the item waits for it");
    open(&b.store).execute_batch("DROP INDEX one_price").unwrap();
    b.sync();
    assert_eq!(receipts(&b), ["a1 100: tea", "b1 100: "]);
}

#[test]
fn hazard_22_numbers_made_on_every_register_and_unique_over_the_chain() {
    const BILLS: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, invoice TEXT NOT NULL UNIQUE, cents INTEGER)";
    let shop = Shop::open();
    let (a, b) = (set_up(&shop, "a", BILLS, &["sales=register"]), set_up(&shop, "b", BILLS, &["sales=register"]));
    open(&a.store).execute_batch("INSERT INTO sales VALUES (1, 'INV-1', 100)").unwrap();
    open(&b.store).execute_batch("INSERT INTO sales VALUES (1, 'INV-1', 200), (2, 'INV-2', 300)").unwrap();
    for register in [&a, &b, &a, &b] {
        register.tillsync(&["sync"]);
    }
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales' AND NOT deleted"), 3, "all three survive");
    assert_eq!(found(&a, "invoice || '=' || cents FROM sales ORDER BY 1"), ["INV-1=100", "INV-2=300"]);
    assert_eq!(found(&b, "invoice || '=' || cents FROM sales ORDER BY 1"), ["INV-1=200", "INV-2=300"]);
    for register in [&a, &b] {
        assert_eq!(register.status()["state"], "attention");
        register.tillsync(&["outbox", "--parked"]).said(0, &["incoming", "UNIQUE constraint failed: sales.invoice"]);
        register.tillsync(&["sync"]).said(3, &["waiting for a person"]);
    }
    // A person gives one of them another number.
    open(&b.store).execute_batch("UPDATE sales SET invoice = 'INV-1b' WHERE cents = 200").unwrap();
    sync_all(&[&b, &a]);
    for register in [&a, &b] {
        assert_eq!(found(register, "invoice || '=' || cents FROM sales ORDER BY 1"), ["INV-1=100", "INV-1b=200", "INV-2=300"]);
    }
}

#[test]
fn what_a_key_means_is_settled_once_rows_were_synced() {
    let shop = Shop::open();
    let a = set_up(&shop, "a", SCHEMA, &["sales=register"]);
    a.tillsync(&["tables", "set", "items", "--key", "register"]).good();
    sell(&a, "a1", &["tea"]);
    a.sync();
    a.tillsync(&["tables", "set", "sales", "--key", "global"]).said(1, &["were synced", "nothing was changed"]);
    let text = fs::read_to_string(&a.config).unwrap();
    fs::write(&a.config, text.replace("key = \"register\"", "key = \"global\"")).unwrap();
    sell(&a, "a2", &["rum"]);
    a.tillsync(&["sync"]).said(1, &["another kind of key", "tables set"]);
    assert!(a.problems().contains(&"key_changed".to_owned()), "{:#}", a.status());
    fs::write(&a.config, text).unwrap();
    a.sync();
    let b = set_up(&shop, "b", SCHEMA, &KEYS);
    b.sync();
    assert_eq!(receipts(&b), receipts(&a));
    // Where another register counts differently, its rows wait and a person is told.
    let c = set_up(&shop, "c", SCHEMA, &["sales=global", "items=global"]);
    sell(&c, "c1", &["ale"]);
    c.tillsync(&["sync"]).said(3, &["waiting for a person"]);
    b.tillsync(&["sync"]).said(3, &["waiting for a person"]);
    b.tillsync(&["outbox", "--parked"]).said(0, &["must say the same"]);
}

fn back_up(register: &Register) -> std::path::PathBuf {
    let backup = register.folder.join("backup.db");
    let _ = fs::remove_file(&backup);
    open(&register.store).execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    backup
}

fn restore(backup: &Path, store: &Path) {
    for end in ["-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(format!("{}{end}", store.display()));
    }
    fs::copy(backup, store).unwrap();
}

#[test]
fn hazard_03_a_key_that_is_used_again_after_a_restore_is_another_sale() {
    for (mode, extra) in [("wal", 0), ("delete", 0), ("wal", 2), ("wal", 9)] {
        let shop = Shop::open();
        let (a, b) = (set_up(&shop, "a", SCHEMA, &KEYS), set_up(&shop, "b", SCHEMA, &KEYS));
        journal_mode(&a.store, mode);
        sell(&a, "a1", &["tea"]);
        sell(&b, "b1", &["ale"]);
        sync_all(&[&a, &b]);
        let backup = back_up(&a);
        sell(&a, "lost 1", &["rum"]);
        sell(&a, "lost 2", &["gin", "gin"]);
        sync_all(&[&a, &b]);
        sell(&a, "lost and never sent", &["cola"]);
        restore(&backup, &a.store);
        journal_mode(&a.store, mode);
        // The same keys, the same journal numbers; with more sales the journal comes even further than it was.
        sell(&a, "new 1", &["mint"]);
        sell(&a, "new 2", &["sage"]);
        for number in 0..extra {
            sell(&a, &format!("newer {number}"), &["milk"]);
        }
        sync_all(&[&a, &b]);
        sync_all(&[&a, &b]);
        let expected =
            ["a1 100: tea", "b1 100: ale", "lost 1 100: rum", "lost 2 200: gin,gin", "new 1 100: mint", "new 2 100: sage"];
        let more = (0..extra).map(|number| format!("newer {number} 100: milk"));
        let all: Vec<String> = expected.map(str::to_owned).into_iter().chain(more).collect();
        assert_eq!(receipts(&a), all, "{mode} {extra}");
        assert_eq!(receipts(&b), all, "{mode} {extra}");
        assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales' AND NOT deleted"), all.len() as i64);
        assert_eq!((&a.status()["parked"], &a.status()["conflicts"]), (&0.into(), &0.into()));
        assert_eq!(text(&open(&a.store), "PRAGMA foreign_key_check"), "");
    }
}

#[test]
fn a_copied_store_keeps_the_old_sales_and_makes_its_own() {
    let shop = Shop::open();
    let (a, b) = (set_up(&shop, "a", SCHEMA, &KEYS), set_up(&shop, "b", SCHEMA, &KEYS));
    sell(&a, "a1", &["tea"]);
    sell(&b, "b1", &["ale"]);
    sync_all(&[&a, &b]);
    let c = shop.empty_register("c");
    fs::copy(back_up(&a), &c.store).unwrap();
    c.init_with(&shop.hub.url, &["--credentials", "file", "--key", "sales=register", "--key", "items=register"]).good();
    for (register, name) in [(&a, "a2"), (&b, "b2"), (&c, "c2")] {
        sell(register, name, &["gin"]);
    }
    sync_all(&[&a, &b, &c]);
    let all = ["a1 100: tea", "a2 100: gin", "b1 100: ale", "b2 100: gin", "c2 100: gin"];
    for register in [&a, &b, &c] {
        assert_eq!(receipts(register), all, "{}", register.name);
    }
    open(&c.store).execute_batch("UPDATE sales SET cents = 9 WHERE what = 'a1'").unwrap();
    sync_all(&[&c, &a]);
    assert_eq!(receipts(&a)[0], "a1 9: tea");
}

#[test]
fn ids_survive_when_the_pos_or_a_person_removes_what_keeps_them() {
    type Harm = fn(&Register, &Shop);
    let harms: [(&str, Harm); 3] = [
        ("the POS drops our tables", |register, _| drop_ours(&open(&register.store))),
        ("the state is lost", |register, shop| {
            fs::remove_dir_all(&register.state).unwrap();
            register.init(&shop.hub.url).good();
        }),
        ("detached and set up again", |register, shop| {
            register.tillsync(&["detach"]).good();
            register.init(&shop.hub.url).good();
        }),
    ];
    for (what, harm) in harms {
        let shop = Shop::open();
        let (a, b) = (set_up(&shop, "a", SCHEMA, &KEYS), set_up(&shop, "b", SCHEMA, &KEYS));
        sell(&a, "a1", &["tea"]);
        sell(&b, "b1", &["ale"]);
        sync_all(&[&a, &b]);
        harm(&a, &shop);
        sell(&a, "a2", &["gin"]);
        sell(&b, "b2", &["rum"]);
        sync_all(&[&a, &b]);
        open(&a.store).execute_batch("UPDATE sales SET cents = 5 WHERE what = 'b1'").unwrap();
        sync_all(&[&a, &b]);
        let all = ["a1 100: tea", "a2 100: gin", "b1 5: ale", "b2 100: rum"];
        assert_eq!(receipts(&a), all, "{what}");
        assert_eq!(receipts(&b), all, "{what}");
        assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales' AND NOT deleted"), 4, "{what}");
    }
}

fn drop_ours(db: &Connection) {
    let drops = "SELECT group_concat('DROP ' || type || ' ' || name, ';') FROM sqlite_schema
        WHERE type IN ('trigger', 'table') AND name LIKE '\\_tillsync\\_%' ESCAPE '\\' ORDER BY type DESC";
    let drops = text(db, drops);
    for drop in drops.split(';') {
        db.execute_batch(drop).unwrap();
    }
}

#[test]
fn init_proposes_what_keys_mean_and_says_why() {
    const SHOP: &str = "CREATE TABLE products(sku TEXT PRIMARY KEY, name TEXT);
        CREATE TABLE units(id INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE customers(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
        CREATE TABLE sales(id INTEGER PRIMARY KEY AUTOINCREMENT, customer_id INTEGER REFERENCES customers(id), cents INTEGER);
        CREATE TABLE sale_items(id INTEGER PRIMARY KEY, sale_id INTEGER REFERENCES sales(id), sku TEXT REFERENCES products(sku));
        CREATE TABLE payments(id INTEGER PRIMARY KEY, sale_id INTEGER, kind TEXT);
        CREATE TABLE baskets(number INTEGER PRIMARY KEY, cents INTEGER);
        CREATE TABLE keyless(a);";
    let shop = Shop::open();
    let a = shop.register("a", SHOP);
    open(&a.store)
        .execute_batch(
            "INSERT INTO products VALUES ('SKU-1', 'tea'); INSERT INTO units VALUES (1, 'kg'); INSERT INTO customers VALUES (1, 'Ann');
             INSERT INTO baskets VALUES (31198570044, 5)",
        )
        .unwrap();
    let said = a.init_with(&shop.hub.url, &["--credentials", "file", "--key", "customers=register"]).good().out;
    for line in [
        "products: global, TEXT key such as 'SKU-1'",
        "units: global, INTEGER key without AUTOINCREMENT, looks like master data",
        "sales: register, AUTOINCREMENT key, its rows belong to customers",
        "sale_items: register, counted key, its rows belong to sales",
        "payments: register, counted key, its rows belong to sales",
        "baskets: global, its numbers are given, not counted, such as 31198570044",
    ] {
        assert!(said.lines().any(|said| said.starts_with(&format!("key        {line}"))), "{line} in {said}");
    }
    let config = fs::read_to_string(&a.config).unwrap();
    for part in [
        "# units: INTEGER key without AUTOINCREMENT",
        "[tables.payments]\nkey = \"register\"\nreferences = { sale_id = \"sales\" }",
        "[tables.customers]\nkey = \"register\"",
    ] {
        assert!(config.contains(part), "{part} in {config}");
    }
    a.sync();
    // A register whose store is empty has other data, but not another opinion.
    let b = shop.register("b", SHOP);
    let said = b.init_with(&shop.hub.url, &["--credentials", "file"]).good().out;
    for line in ["customers: register, as the other registers have it", "baskets: global, as the other registers have it"] {
        assert!(said.contains(line), "{line} in {said}");
    }
    // Who runs it again hears nothing new, and what people wrote stays.
    fs::write(&a.config, format!("# Ours.\n{config}")).unwrap();
    assert!(!a.init_with(&shop.hub.url, &["--role", "manager"]).good().out.contains("key  "));
    let again = fs::read_to_string(&a.config).unwrap();
    assert!(again.contains("# Ours.") && again.contains("# units: INTEGER") && again.contains("\"manager\""), "{again}");
    for (register, name) in [(&a, "a"), (&b, "b")] {
        let sale = "INSERT INTO sales(cents) VALUES (7); INSERT INTO payments(sale_id, kind) SELECT max(id), '";
        open(&register.store).execute_batch(&format!("{sale}{name}' FROM sales")).unwrap();
    }
    sync_all(&[&a, &b]);
    let all = "kind FROM payments JOIN sales ON sales.id = sale_id ORDER BY kind";
    assert_eq!((found(&a, all), found(&b, all)), (vec!["a".to_owned(), "b".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn hazard_03_what_was_captured_and_not_sent_survives_a_restore() {
    let shop = Shop::open();
    let (mut a, b) = (set_up(&shop, "a", SCHEMA, &KEYS), set_up(&shop, "b", SCHEMA, &KEYS));
    sell(&a, "a1", &["tea"]);
    sync_all(&[&a, &b]);
    let backup = back_up(&a);
    a.start();
    a.waits_for("synced", |status| status["state"] == "synced");
    a.tillsync(&["pause"]).good();
    sell(&a, "lost", &["rum", "gin"]);
    // In the outbox and not only in the journal, which goes back with the store.
    eventually("captured", || (a.outbox().len() == 3).then_some(()));
    a.kill();
    restore(&backup, &a.store);
    sell(&a, "new", &["ale"]);
    a.tillsync(&["resume"]).good();
    sync_all(&[&a, &b]);
    sync_all(&[&a, &b]);
    let all = ["a1 100: tea", "lost 200: gin,rum", "new 100: ale"];
    assert_eq!(receipts(&a), all);
    assert_eq!(receipts(&b), all);
}

#[test]
fn rows_that_refer_to_each_other_come_together() {
    const STAFF: &str = "CREATE TABLE staff(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, shop_id INTEGER REFERENCES shops(id));
        CREATE TABLE shops(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, manager_id INTEGER REFERENCES staff(id), city TEXT REFERENCES cities(name));
        CREATE TABLE cities(name TEXT PRIMARY KEY, first_shop INTEGER REFERENCES shops(id));";
    for keys in [&["staff=register", "shops=register", "cities=global"][..], &["*=global"]] {
        let shop = Shop::open();
        let (a, b) = (set_up(&shop, "a", STAFF, keys), set_up(&shop, "b", STAFF, keys));
        let is_global = keys.len() == 1;
        open(&b.store).execute_batch(if is_global { "" } else { "INSERT INTO staff(name) VALUES ('Ann')" }).unwrap();
        sync_all(&[&a, &b]);
        open(&a.store)
            .execute_batch(
                "PRAGMA foreign_keys = off; BEGIN; INSERT INTO staff VALUES (8, 'Bob', 9), (7, 'Cid', 9);
                 INSERT INTO shops VALUES (9, 'main', 8, 'Aix'); INSERT INTO cities VALUES ('Aix', 9), ('Bonn', NULL); COMMIT",
            )
            .unwrap();
        sync_all(&[&a, &b]);
        let all = "shops.name || ':' || boss.name || ':' || staff.name || ':' || city || ':' || (cities.first_shop = shops.id) FROM shops
            JOIN staff boss ON boss.id = manager_id JOIN staff ON staff.shop_id = shops.id JOIN cities ON cities.name = city ORDER BY 1";
        let expected = ["main:Bob:Bob:Aix:1", "main:Bob:Cid:Aix:1"];
        assert_eq!(found(&a, all), expected, "{keys:?}");
        assert_eq!(found(&b, all), expected, "{keys:?}");
        assert_eq!((&b.status()["state"], &b.status()["parked"]), (&"synced".into(), &0.into()));
        // Nothing of it came back as a change of B's.
        assert_eq!(shop.hub.number("SELECT count(*) FROM change_log WHERE entity_type = 'shops'"), 1);
    }
}
