//! What the tray's window hears from a running agent, over the control socket.

use std::collections::BTreeMap;

use tillsync_agent::control::{self, Answer, Command};
use tillsync_core::window::{Ask, Conflict, ConflictKind, Decided, Happening, Keep, Reply, Side, Way};

use super::support::{Register, Shop, count, eventually, pos};

const PRODUCTS: &str = "CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf TEXT, pin TEXT)";
const TEA: &str = "INSERT INTO products VALUES (1, 'Tea', 100, 'B4', '1234')";

#[track_caller]
fn ask(register: &Register, ask: Ask) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(control::ask(&register.state, &Command::Window { ask, pass: None })).unwrap() {
        Some(Answer::Window { reply }) => reply,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn conflict(register: &Register) -> Conflict {
    eventually("a conflict", || match ask(register, Ask::Conflicts) {
        Reply::Conflicts { conflicts } => conflicts.into_iter().next(),
        other => panic!("{other:?}"),
    })
}

#[track_caller]
fn decide(register: &Register, conflict: &Conflict, keep: Keep) -> Decided {
    match ask(register, Ask::Decide { id: conflict.id, version: conflict.version, keep }) {
        Reply::Decided { decided } => decided,
        other => panic!("{other:?}"),
    }
}

/// Two registers that know the tea and leave its price to a person; the second one's agent runs.
fn pair(shop: &Shop) -> (Register, Register) {
    let (a, mut b) = shop.pair(PRODUCTS, TEA);
    for register in [&a, &b] {
        register.tillsync(&["tables", "set", "products", "--column", "price=manual"]).good();
    }
    b.start();
    b.waits_for("up to date", |status| status["state"] == "synced");
    (a, b)
}

/// Both change the price while neither knows of the other.
fn disagree(a: &Register, b: &Register, here: i64, there: i64) -> Conflict {
    assert!(matches!(ask(b, Ask::Pause { minutes: None }), Reply::Done));
    b.waits_for("paused", |status| status["state"] == "paused");
    pos(&b.store).execute_batch(&format!("UPDATE products SET price = {there}, shelf = 'C{there}'")).unwrap();
    b.waits_for("captured", |status| status["pending"] == 1);
    pos(&a.store).execute_batch(&format!("UPDATE products SET price = {here}")).unwrap();
    a.sync();
    assert!(matches!(ask(b, Ask::Resume), Reply::Done));
    conflict(b)
}

#[test]
fn the_window_shows_both_values_and_decides_field_by_field() {
    let shop = Shop::open();
    let (a, b) = pair(&shop);
    let seen = disagree(&a, &b, 110, 120);
    assert_eq!((seen.kind, seen.title.as_deref(), seen.entity.as_str()), (ConflictKind::Update, Some("Tea"), "products"));
    let price = seen.columns.iter().find(|column| column.name == "price").unwrap();
    assert_eq!((price.local.as_deref(), price.server.as_deref()), (Some("120"), Some("110")), "{seen:#?}");
    let columns = BTreeMap::from([("price".to_owned(), Side::Server), ("shelf".to_owned(), Side::Local)]);
    assert_eq!(decide(&b, &seen, Keep::Each { columns }), Decided::Done);
    b.waits_for("up to date", |status| status["state"] == "synced" && status["conflicts"] == 0);
    a.sync();
    for register in [&a, &b] {
        let both = "SELECT count(*) FROM products WHERE price = 110 AND shelf = 'C120'";
        eventually("what was chosen is in the store", || (count(&pos(&register.store), both) == 1).then_some(()));
    }
}

#[test]
fn who_decides_about_a_row_that_has_moved_sees_it_as_it_is_now() {
    let shop = Shop::open();
    let (a, b) = pair(&shop);
    let seen = disagree(&a, &b, 110, 120);
    pos(&a.store).execute_batch("UPDATE products SET price = 115").unwrap();
    a.sync();
    let Decided::RowChanged { conflict: now } = decide(&b, &seen, Keep::All { side: Side::Local }) else {
        panic!("it was decided")
    };
    let price = now.columns.iter().find(|column| column.name == "price").unwrap();
    assert_eq!((price.local.as_deref(), price.server.as_deref()), (Some("120"), Some("115")));
    assert_eq!(*now, conflict(&b), "the list shows it, too");
    assert_eq!(decide(&b, &now, Keep::All { side: Side::Local }), Decided::Done);
    a.sync();
    assert_eq!(count(&pos(&a.store), "SELECT price FROM products"), 120);
}

#[test]
fn the_window_looks_back_at_what_happened() {
    let shop = Shop::open();
    let (a, b) = pair(&shop);
    let seen = disagree(&a, &b, 110, 120);
    assert_eq!(decide(&b, &seen, Keep::All { side: Side::Server }), Decided::Done);
    let status = b.waits_for("up to date", |status| status["state"] == "synced" && status["conflicts"] == 0);
    let Reply::Activity { activity } = ask(&b, Ask::Activity) else { panic!("no activity") };
    let happened: Vec<Happening> = activity.iter().rev().map(|event| event.what).collect();
    for what in [Happening::Started, Happening::Paused, Happening::Resumed, Happening::Conflict, Happening::Decided] {
        assert!(happened.contains(&what), "{what:?} is missing in {happened:?}");
    }
    let told = activity.iter().find(|event| event.what == Happening::Conflict).unwrap();
    assert_eq!((told.entity.as_deref(), told.row.as_deref()), (Some("products"), Some("Tea")));
    let Reply::Hours { hours } = ask(&b, Ask::Hours) else { panic!("no hours") };
    assert_eq!(hours.len(), 24);
    assert_eq!(Some(hours.iter().map(|hour| hour.received).sum()), status["received"].as_u64());
    let Reply::Tables { tables } = ask(&b, Ask::Tables) else { panic!("no tables") };
    assert_eq!(
        (tables[0].name.as_str(), tables[0].way, tables[0].secrets.as_slice()),
        ("products", Way::Both, &["pin".to_owned()][..])
    );
}
