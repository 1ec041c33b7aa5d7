//! Tables as real point-of-sale programs make them, and what they do to their keys.

use super::support::{Register, Shop, count, pos, same};

struct Case {
    schema: &'static str,
    /// There before the agent; travels by full sync.
    rows: &'static str,
    /// Each is one transaction; all of them reach the other register in one sync, and then each one alone.
    writes: &'static [&'static str],
}

/// Both stores are the same after the full sync, after all writes in one sync, and on a third register after each write alone.
#[track_caller]
fn check(case: &Case) {
    for one_by_one in [false, true] {
        let shop = Shop::open();
        let (a, b) = shop.pair(case.schema, case.rows);
        same(&a.store, &b.store);
        let till = pos(&a.store);
        for writes in case.writes {
            till.execute_batch(&format!("BEGIN; {writes}; COMMIT;")).unwrap_or_else(|error| panic!("{writes}: {error}"));
            if one_by_one {
                a.sync();
                b.sync();
                same(&a.store, &b.store);
            }
        }
        a.sync();
        b.sync();
        same(&a.store, &b.store);
        let status = b.status();
        assert_eq!((&status["parked"], &status["pending"]), (&0.into(), &0.into()), "{status:#}");
        assert_eq!(count(&till, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
        let head = shop.hub.number("SELECT max(id) FROM change_log");
        for register in [&b, &a] {
            register.sync();
        }
        assert_eq!(shop.hub.number("SELECT max(id) FROM change_log"), head, "nothing echoes");
        if case.writes.len() < 2 {
            return;
        }
    }
}

#[test]
fn hazard_04_rowid_tables() {
    check(&Case {
        schema: "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b)",
        rows: "INSERT INTO t(a, b) VALUES ('x', 1), ('y', 2), ('z', NULL)",
        writes: &[
            "INSERT INTO t(a) VALUES ('new')",
            "UPDATE t SET b = b + 1",
            "DELETE FROM t WHERE a = 'x'",
            "UPDATE t SET id = 77 WHERE a = 'y'",
            "INSERT INTO t VALUES (-5, 'negative', 0)",
            "REPLACE INTO t VALUES (77, 'replaced', NULL)",
            "UPDATE t SET id = 3 - id WHERE id = 3",
            "DELETE FROM t; INSERT INTO t VALUES (1, 'again', 1)",
        ],
    });
}

#[test]
fn hazard_04_without_rowid_and_composite_keys() {
    check(&Case {
        schema:
            "CREATE TABLE prices(sku TEXT, shop INTEGER, since TEXT, cents INTEGER, PRIMARY KEY(shop, sku, since)) WITHOUT ROWID;
                 CREATE TABLE lines(bill INTEGER, n INTEGER, what TEXT, PRIMARY KEY(bill, n));",
        rows: "INSERT INTO prices VALUES ('a', 1, '2026-01-01', 100), ('a', 2, '2026-01-01', 90), ('b', 1, '', 5);
               INSERT INTO lines VALUES (1, 1, 'x'), (1, 2, 'y'), (2, 1, 'z');",
        writes: &[
            "UPDATE prices SET cents = cents + 1 WHERE sku = 'a'",
            "UPDATE prices SET shop = 3 WHERE shop = 2",
            "UPDATE lines SET n = n + 10 WHERE bill = 1",
            "DELETE FROM lines WHERE bill = 2; INSERT INTO lines VALUES (2, 1, 'z2')",
            "INSERT OR REPLACE INTO prices VALUES ('b', 1, '', 6)",
            "UPDATE lines SET n = CASE n WHEN 11 THEN 12 ELSE 11 END - 100",
        ],
    });
}

#[test]
fn hazard_04_text_blob_and_null_keys() {
    check(&Case {
        schema: "CREATE TABLE texts(id TEXT PRIMARY KEY, v); CREATE TABLE blobs(id BLOB PRIMARY KEY, v);
                 CREATE TABLE free(id PRIMARY KEY, v); CREATE TABLE pairs(a TEXT, b TEXT, v, PRIMARY KEY(a, b));",
        rows: "INSERT INTO texts VALUES ('', 0), ('1', 1), ('01', 2), ('null', 3), ('[1]', 4), ('\"', 5), ('حليب', 6), (NULL, 7);
               INSERT INTO blobs VALUES (x'', 0), (x'00', 1), ('00', 2), (x'31', 3), ('1', 4);
               INSERT INTO free VALUES (1, 'i'), ('1', 't'), (x'31', 'b'), (1.5, 'r'), (9007199254740993, 'big'), ('a' || char(0), 'nul');
               INSERT INTO pairs VALUES ('a', NULL, 1), ('a', 'b', 2), ('a,', 'b', 3), ('', '', 4);",
        writes: &[
            "UPDATE texts SET v = v + 10",
            "UPDATE blobs SET v = v + 10",
            "UPDATE free SET v = v || '!'",
            "UPDATE pairs SET v = v + 10",
            "UPDATE texts SET id = 'was null' WHERE id IS NULL",
            "UPDATE texts SET id = NULL WHERE id = ''",
            "DELETE FROM free WHERE typeof(id) = 'text'",
            "DELETE FROM blobs WHERE typeof(id) = 'blob'",
            "DELETE FROM pairs WHERE b IS NULL",
            "INSERT INTO pairs VALUES (NULL, NULL, 'both')",
            "INSERT INTO free VALUES (CAST(x'ff' AS TEXT), 'bad text'), (9e999, 'infinite'), (-9223372036854775808, 'least')",
        ],
    });
}

#[test]
fn hazard_04_keys_that_ignore_case() {
    check(&Case {
        schema: "CREATE TABLE sku(code TEXT COLLATE NOCASE PRIMARY KEY, v); CREATE TABLE trimmed(code TEXT COLLATE RTRIM PRIMARY KEY, v) WITHOUT ROWID;",
        rows: "INSERT INTO sku VALUES ('abc', 1), ('def', 2), ('GHI', 3); INSERT INTO trimmed VALUES ('a', 1);",
        writes: &[
            "UPDATE sku SET code = 'ABC' WHERE code = 'abc'",
            "UPDATE sku SET code = 'Abc', v = 9 WHERE code = 'abc'",
            "REPLACE INTO sku VALUES ('DEF', 22)",
            "DELETE FROM sku WHERE code = 'ghi'; INSERT INTO sku VALUES ('ghi', 33)",
            "UPDATE trimmed SET code = 'a  '",
            "DELETE FROM sku WHERE code = 'ABC'",
        ],
    });
}

#[test]
fn hazard_04_generated_columns_and_odd_names() {
    check(&Case {
        schema: "CREATE TABLE \"order\"(\"table\" INTEGER PRIMARY KEY, \"value\" TEXT, \"select\" INT, \"group by\" INT AS (\"select\" * 2) VIRTUAL,
                   \"where\" TEXT GENERATED ALWAYS AS (upper(\"value\")) STORED, \"k0\" INT, \"seq\" INT, \"t\" INT);
                 CREATE TABLE \"it's a \"\"table\"\"\"(\"the \"\"key\"\"\" TEXT PRIMARY KEY, \"a b\" INT, \"c'd\" INT, [e\"f] INT);
                 CREATE TABLE \"المبيعات\"(\"رقم\" INTEGER PRIMARY KEY, \"السعر\" REAL);
                 CREATE TABLE \"CamelCase\"(\"Id\" INTEGER PRIMARY KEY, \"isActive\" INT DEFAULT 0);
                 CREATE TABLE \"a.b;c--d\"(\"$key\" INTEGER PRIMARY KEY, \"?1\" INT, \":x\" INT, \"@y\" INT);",
        rows: "INSERT INTO \"order\"(\"value\", \"select\", k0) VALUES ('a', 1, 1), ('b', 2, 2);
               INSERT INTO \"it's a \"\"table\"\"\" VALUES ('x''y', 1, 2, 3);
               INSERT INTO \"المبيعات\" VALUES (1, 1.5);
               INSERT INTO CamelCase VALUES (1, 0);
               INSERT INTO \"a.b;c--d\" VALUES (1, 2, 3, 4);",
        writes: &[
            "UPDATE \"order\" SET \"select\" = 5, t = 1",
            "INSERT INTO \"order\"(\"table\", \"value\") VALUES (99, 'z')",
            "UPDATE \"it's a \"\"table\"\"\" SET \"a b\" = 7, \"c'd\" = NULL",
            "INSERT INTO \"it's a \"\"table\"\"\" VALUES ('\"; DROP TABLE x; --', 1, 2, 3)",
            "UPDATE \"المبيعات\" SET \"السعر\" = 2.25",
            "UPDATE camelcase SET isactive = 1",
            "UPDATE \"a.b;c--d\" SET \"?1\" = 9, \":x\" = 8, \"@y\" = 7",
            "DELETE FROM \"order\" WHERE \"table\" = 1",
        ],
    });
}

#[test]
fn hazard_04_keys_that_are_generated_or_alone() {
    check(&Case {
        schema: "CREATE TABLE tags(name TEXT PRIMARY KEY) WITHOUT ROWID; CREATE TABLE ids(id INTEGER PRIMARY KEY);
                 CREATE TABLE links(a INT, b INT, PRIMARY KEY(a, b));",
        rows: "INSERT INTO tags VALUES ('x'), ('y'); INSERT INTO ids VALUES (1), (2); INSERT INTO links VALUES (1, 2);",
        writes: &[
            "UPDATE tags SET name = 'z' WHERE name = 'x'",
            "INSERT INTO ids VALUES (9)",
            "DELETE FROM links",
            "REPLACE INTO tags VALUES ('y')",
        ],
    });
}

#[test]
fn hazard_06_strict_tables_checks_and_defaults() {
    check(&Case {
        schema: "CREATE TABLE s(id INTEGER PRIMARY KEY, i INT NOT NULL, r REAL, t TEXT DEFAULT 'd', b BLOB, a ANY, CHECK(i >= 0)) STRICT",
        rows: "INSERT INTO s(i, r, b, a) VALUES (1, 2, x'01', '007'), (2, 0.5, NULL, 7)",
        writes: &[
            "UPDATE s SET i = i + 1, a = a || ''",
            "INSERT INTO s(i, a) VALUES (5, x'ff')",
            "UPDATE s SET r = 1e300, t = NULL",
        ],
    });
}

#[test]
fn hazard_04_replace_pushes_out_other_rows() {
    check(&Case {
        schema: "CREATE TABLE bills(id INTEGER PRIMARY KEY, number TEXT UNIQUE, shop INT, day TEXT, cents INT, UNIQUE(shop, day));
                 CREATE TABLE cards(id INTEGER PRIMARY KEY, code TEXT, cents INT); CREATE UNIQUE INDEX cards_code ON cards(code);",
        rows:
            "INSERT INTO bills VALUES (1, 'A1', 1, 'mon', 5), (2, 'A2', 1, 'tue', 6), (3, 'A3', 2, 'mon', 7), (4, 'A4', 3, 'x', 1);
               INSERT INTO cards VALUES (1, 'c1', 10), (2, 'c2', 20), (3, 'c3', 30);",
        writes: &[
            "INSERT OR REPLACE INTO bills VALUES (9, 'A1', 9, 'wed', 50)",
            "INSERT OR REPLACE INTO bills VALUES (10, 'A2', 2, 'mon', 60)",
            "UPDATE OR REPLACE bills SET number = 'A4' WHERE id = 9",
            "INSERT OR REPLACE INTO cards VALUES (11, 'c1', 11)",
            "UPDATE OR REPLACE cards SET code = 'c3' WHERE id = 2",
            "INSERT OR IGNORE INTO bills VALUES (99, 'A2', 5, 'z', 0)",
            "REPLACE INTO bills VALUES (10, 'A9', 2, 'mon', 61)",
        ],
    });
}

#[test]
fn hazard_06_unique_values_that_change_places() {
    check(&Case {
        schema: "CREATE TABLE seats(id INTEGER PRIMARY KEY, who TEXT UNIQUE)",
        rows: "INSERT INTO seats VALUES (1, 'ann'), (2, 'bob'), (3, 'cy')",
        writes: &[
            "UPDATE seats SET who = 'tmp' WHERE id = 1; UPDATE seats SET who = 'ann' WHERE id = 2; UPDATE seats SET who = 'bob' WHERE id = 1",
            "DELETE FROM seats WHERE id = 3; INSERT INTO seats VALUES (4, 'cy')",
            "UPDATE seats SET id = id + 100",
        ],
    });
}

#[test]
fn hazard_04_families_of_rows() {
    check(&Case {
        schema: "CREATE TABLE a_child(id INTEGER PRIMARY KEY, parent INT NOT NULL REFERENCES z_parent(id) ON DELETE CASCADE, v);
                 CREATE TABLE z_parent(id INTEGER PRIMARY KEY, v);
                 CREATE INDEX a_child_parent ON a_child(parent);
                 CREATE TABLE staff(id INTEGER PRIMARY KEY, boss INT REFERENCES staff(id) ON DELETE SET NULL, name TEXT);
                 CREATE TABLE left_(id INTEGER PRIMARY KEY, r INT REFERENCES right_(id) DEFERRABLE INITIALLY DEFERRED);
                 CREATE TABLE right_(id INTEGER PRIMARY KEY, l INT REFERENCES left_(id) DEFERRABLE INITIALLY DEFERRED);",
        rows: "INSERT INTO z_parent VALUES (1, 'p'), (2, 'q'); INSERT INTO a_child VALUES (1, 1, 'x'), (2, 1, 'y'), (3, 2, 'z');
               INSERT INTO staff VALUES (5, NULL, 'chief'), (1, 5, 'lead'), (2, 1, 'clerk');
               BEGIN; INSERT INTO left_ VALUES (1, 1); INSERT INTO right_ VALUES (1, 1); COMMIT;",
        writes: &[
            "REPLACE INTO z_parent VALUES (1, 'p2')",
            "INSERT INTO z_parent VALUES (3, 'r'); INSERT INTO a_child VALUES (10, 3, 'n')",
            "DELETE FROM z_parent WHERE id = 2",
            "DELETE FROM staff WHERE id = 5",
            "INSERT INTO staff VALUES (0, 2, 'new'), (9, 0, 'newer')",
            "INSERT INTO left_ VALUES (2, 2); INSERT INTO right_ VALUES (2, 2)",
            "DELETE FROM left_; DELETE FROM right_",
        ],
    });
}

#[test]
fn hazard_06_the_pos_triggers_do_not_fire_twice() {
    check(&Case {
        schema:
            "CREATE TABLE stock(sku TEXT PRIMARY KEY, left INT); CREATE TABLE sold(id INTEGER PRIMARY KEY, sku TEXT, n INT);
                 CREATE TABLE audit(id INTEGER PRIMARY KEY, what TEXT);
                 CREATE TRIGGER sell AFTER INSERT ON sold BEGIN
                   UPDATE stock SET left = left - NEW.n WHERE sku = NEW.sku; INSERT INTO audit(what) VALUES (NEW.sku || NEW.n); END;
                 CREATE TRIGGER give_back AFTER DELETE ON sold BEGIN UPDATE stock SET left = left + OLD.n WHERE sku = OLD.sku; END;",
        rows: "INSERT INTO stock VALUES ('milk', 10), ('tea', 5); INSERT INTO sold VALUES (1, 'milk', 2);",
        writes: &[
            "INSERT INTO sold VALUES (2, 'milk', 3)",
            "DELETE FROM sold WHERE id = 1",
            "INSERT INTO sold SELECT 10 + id, sku, 1 FROM sold",
        ],
    });
}

#[test]
fn hazard_04_a_table_without_a_key_is_refused_with_a_reason() {
    let shop = Shop::open();
    let register =
        shop.register("a", "CREATE TABLE good(id INTEGER PRIMARY KEY); CREATE TABLE keyless(a, b); CREATE VIEW v AS SELECT 1;");
    register.init(&shop.hub.url).said(0, &["keyless does not sync", "no primary key"]);
    pos(&register.store).execute_batch("INSERT INTO keyless VALUES (1, 2); INSERT INTO good VALUES (1);").unwrap();
    register.sync();
    assert_eq!(shop.hub.number("SELECT count(*) FROM change_log"), 1);
    let status = register.status();
    let problem = status["problems"].as_array().unwrap().iter().find(|problem| problem["code"] == "table_refused").unwrap();
    assert!(problem["text"].as_str().unwrap().contains("keyless"), "{problem}");
    register.tillsync(&["doctor"]).said(0, &["keyless", "primary key"]);
}

/// What `status` says of rows that cannot be told apart.
fn told_apart(register: &Register) -> Option<String> {
    let status = register.status();
    let problem = status["problems"].as_array().unwrap().iter().find(|problem| problem["code"] == "rows_without_key")?;
    assert_eq!(status["state"], "attention", "{status:#}");
    Some(problem["text"].as_str().unwrap().split(" cannot").next().unwrap().to_owned())
}

const NULL_KEYS: &str = "CREATE TABLE sales(ref TEXT PRIMARY KEY, cents INTEGER)";

#[test]
fn hazard_04_rows_that_share_a_null_key_are_told_and_never_sent() {
    let shop = Shop::open();
    let [a, b] = ["a", "b"].map(|name| shop.register(name, NULL_KEYS));
    let till = pos(&a.store);
    till.execute_batch("INSERT INTO sales VALUES (NULL, 100), (NULL, 250), ('a', 1)").unwrap();
    for register in [&a, &b] {
        register.init_with(&shop.hub.url, &["--key", "sales=global", "--credentials", "file"]).good();
    }
    let attention = ["2 rows of the table sales cannot be told apart", "Give each of these rows a key of its own"];
    a.tillsync(&["sync"]).said(3, &attention);
    a.tillsync(&["doctor"]).said(1, &attention);
    // Neither the capture nor a look at every row sends any of them.
    till.execute_batch("INSERT INTO sales VALUES (NULL, 777), ('b', 2)").unwrap();
    a.tillsync(&["sync"]).said(3, &["3 rows of the table sales"]);
    a.tillsync(&["verify"]).said(0, &["2 rows compared, 0 differences"]);
    a.tillsync(&["sync"]).said(3, &["3 rows of the table sales"]);
    b.sync();
    assert_eq!(count(&pos(&b.store), "SELECT sum(cents) FROM sales"), 3);
    assert_eq!(shop.hub.number("SELECT count(*) FROM change_log"), 2);
    // With keys they are rows like others.
    till.execute_batch("UPDATE sales SET ref = 'c' || cents WHERE cents IN (100, 250)").unwrap();
    a.sync();
    assert_eq!(told_apart(&a), None, "one row has the key alone");
    till.execute_batch("UPDATE sales SET ref = 'd' WHERE ref IS NULL").unwrap();
    a.sync();
    b.sync();
    same(&a.store, &b.store);
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted"), 5);
    a.tillsync(&["doctor"]).said(0, &["nothing needs attention"]);
}

#[test]
fn hazard_04_a_row_with_a_null_key_that_another_one_joins_stays_with_the_server() {
    let shop = Shop::open();
    let (a, b) = shop.pair(NULL_KEYS, "INSERT INTO sales VALUES (NULL, 100)");
    let (till, other) = (pos(&a.store), pos(&b.store));
    assert_eq!(count(&other, "SELECT cents FROM sales WHERE ref IS NULL"), 100, "alone it syncs");
    till.execute_batch("INSERT INTO sales VALUES (NULL, 250)").unwrap();
    a.tillsync(&["sync"]).said(3, &["2 rows"]);
    a.tillsync(&["verify"]).said(0, &[" 0 differences"]);
    // What comes for the one row is written into neither of the two.
    other.execute_batch("UPDATE sales SET cents = 101").unwrap();
    b.sync();
    a.tillsync(&["sync"]).said(3, &[]);
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted"), 1);
    assert_eq!(count(&till, "SELECT sum(cents) FROM sales"), 350);
    a.tillsync(&["outbox", "--parked"]).said(0, &["its key holds NULL"]);
    till.execute_batch("DELETE FROM sales WHERE cents = 250").unwrap();
    a.sync();
    assert_eq!(told_apart(&a), None);
    same(&a.store, &b.store);
    assert_eq!(count(&till, "SELECT cents FROM sales"), 101);
}

#[test]
fn hazard_04_rows_with_one_null_key_on_two_registers_wait_for_a_person() {
    let shop = Shop::open();
    let (a, b) = shop.pair(NULL_KEYS, "");
    pos(&a.store).execute_batch("INSERT INTO sales VALUES (NULL, 500)").unwrap();
    pos(&b.store).execute_batch("INSERT INTO sales VALUES (NULL, 900)").unwrap();
    a.sync();
    b.tillsync(&["sync"]).said(3, &["waiting for a person"]);
    b.tillsync(&["conflicts"]).said(0, &["sales"]);
    assert_eq!(count(&pos(&a.store), "SELECT cents FROM sales"), 500);
    assert_eq!(count(&pos(&b.store), "SELECT cents FROM sales"), 900);
}

#[test]
fn hazard_04_composite_keys_with_null() {
    let shop = Shop::open();
    let [a, b] = ["a", "b"].map(|name| {
        shop.register(name, "CREATE TABLE pay(till TEXT COLLATE NOCASE, no INTEGER, cents INTEGER, PRIMARY KEY(till, no))")
    });
    let till = pos(&a.store);
    // Many rows that have such a key alone, more than one request carries, between some that do not.
    till.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 1509)
           INSERT INTO pay SELECT CASE i % 3 WHEN 0 THEN 'x' || i END, CASE WHEN i % 3 THEN i END, 1 FROM n;
         INSERT INTO pay VALUES (NULL, 1, 100), (NULL, 1, 250), ('t', NULL, 5), ('T', NULL, 6), (NULL, NULL, 8), ('x', 1, 7);",
    )
    .unwrap();
    for register in [&a, &b] {
        register.init_with(&shop.hub.url, &["--key", "pay=global", "--credentials", "file"]).good();
    }
    a.tillsync(&["sync"]).said(3, &["4 rows of the table pay"]);
    b.sync();
    assert_eq!(count(&pos(&b.store), "SELECT count(*) FROM pay"), 1_502);
    a.tillsync(&["verify"]).said(0, &["1502 rows compared, 0 differences"]);
    till.execute_batch("INSERT INTO pay VALUES ('t', NULL, 9); DELETE FROM pay WHERE cents = 250").unwrap();
    a.tillsync(&["sync"]).said(3, &["3 rows of the table pay"]);
    till.execute_batch("UPDATE pay SET no = cents WHERE till = 't' AND cents < 9").unwrap();
    a.sync();
    b.sync();
    assert_eq!(told_apart(&a), None);
    same(&a.store, &b.store);
}
