//! What a register lives through: weeks without a network, log-offs, sleep; and that it is never called healthy meanwhile when it is not.

use std::time::Duration;

use super::support::{Network, Register, Shop, Way, count, eventually, open, pos, same, text};

const SALES: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, what TEXT, cents INTEGER)";

/// Enough for a till that sells for weeks, and little enough for every run of the tests; the variable sets another number.
const OFFLINE_CHANGES: i64 = 50_000;

/// Sets the number of changes that wait.
const OFFLINE_VARIABLE: &str = "TILLSYNC_OFFLINE_CHANGES";

/// However many changes wait, the agent holds no more than this.
#[cfg(target_os = "linux")]
const MEMORY_BYTES_MAX: u64 = 96 * 1024 * 1024;

fn sell(register: &Register, from: i64, to: i64) {
    let sql = format!(
        "WITH n(v) AS (SELECT {from} UNION ALL SELECT v + 1 FROM n WHERE v < {to})
         INSERT INTO sales SELECT v, 'sale ' || v || hex(zeroblob(100)), v % 1000 FROM n"
    );
    pos(&register.store).execute_batch(&sql).unwrap();
}

/// Puts the agent to sleep between two visits to the store. A machine that sleeps stops its till in the same moment; this till goes on.
fn put_to_sleep(register: &mut Register) {
    eventually("it sleeps", || {
        register.process().signal("STOP");
        let till = open(&register.store);
        till.busy_timeout(Duration::ZERO).unwrap();
        let is_free = till.execute_batch("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; ROLLBACK").is_ok();
        if !is_free {
            register.process().signal("CONT");
        }
        is_free.then_some(())
    });
}

fn arrived(shop: &Shop) -> i64 {
    shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted")
}

#[cfg(target_os = "linux")]
#[test]
fn hazard_13_weeks_offline_fit_into_bounded_memory_and_arrive_once() {
    let changes = std::env::var(OFFLINE_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(OFFLINE_CHANGES);
    let shop = Shop::open();
    let net = Network::new(Way::To(shop.hub.address().to_owned()));
    let mut a = shop.register("a", SALES);
    a.init(&net.url).good();
    a.sync();
    a.start();
    a.waits_for("synced", |status| status["state"] == "synced");
    net.turn(Way::Cut);
    let began = std::time::Instant::now();
    // As fast as a till never sells: the journal must not hold more than the agent can read at a time.
    for from in (1..=changes).step_by(500) {
        sell(&a, from, (from + 499).min(changes));
    }
    let state = open(&a.state.join("agent.db"));
    let waiting = || count(&state, "SELECT count(*) FROM outbox WHERE state <> 3");
    let mut before = 0;
    while waiting() < changes {
        eventually("capture goes on", || (waiting() > before).then_some(()));
        before = waiting();
    }
    let captured = began.elapsed();
    let offline = a.process().peak_bytes();
    a.waits_for("offline", |status| status["state"] == "offline" && status["pending"] == changes);
    net.turn(Way::To(shop.hub.address().to_owned()));
    let began = std::time::Instant::now();
    // Looking on must not be what takes the time.
    let logged = || shop.hub.number("SELECT coalesce(max(id), 0) FROM change_log");
    let mut before = -1;
    while logged() < changes {
        eventually("the queue drains", || (logged() > before).then_some(()));
        before = logged();
    }
    a.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    let peak = a.process().peak_bytes();
    eprintln!(
        "{changes} changes: captured in {captured:?}, sent in {:?}, at most {} MB offline and {} MB in all",
        began.elapsed(),
        offline >> 20,
        peak >> 20
    );
    assert!(peak < MEMORY_BYTES_MAX, "{peak} bytes");
    assert_eq!(shop.hub.number("SELECT count(*) FROM change_log"), changes, "each was sent once");
}

#[test]
fn hazard_14_a_machine_that_sleeps_goes_on_where_it_was() {
    let shop = Shop::open();
    let (mut a, mut b) = shop.pair(SALES, "INSERT INTO sales VALUES (1, 'first', 1)");
    for register in [&mut a, &mut b] {
        register.start();
        register.waits_for("synced", |status| status["state"] == "synced");
    }
    for round in 1..=3 {
        put_to_sleep(&mut a);
        // The other machine goes on, and what this one's till wrote last is in its store.
        sell(&b, 100 * round, 100 * round + 9);
        sell(&a, 100 * round + 50, 100 * round + 59);
        eventually("the other one sends", || (arrived(&shop) >= 20 * round - 9).then_some(()));
        a.process().signal("CONT");
        eventually("both have all", || (arrived(&shop) == 20 * round + 1).then_some(()));
        for register in [&a, &b] {
            let till = open(&register.store);
            eventually("all is here", || (count(&till, "SELECT count(*) FROM sales") == 20 * round + 1).then_some(()));
            register.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
        }
    }
    same(&a.store, &b.store);
    for register in [&mut a, &mut b] {
        assert_eq!(register.problems(), Vec::<String>::new());
        assert_eq!(register.stop(), 0);
    }
}

#[test]
fn hazard_14_a_cashier_who_logs_off_in_the_middle_loses_nothing() {
    let shop = Shop::open();
    let (mut a, b) = shop.pair(SALES, "INSERT INTO sales VALUES (1, 'first', 1)");
    let mut sold = 1;
    // The terminal goes, the session ends, the service is stopped, the machine loses its power: with sales under way each time.
    for (round, signal) in ["HUP", "TERM", "INT", "KILL"].into_iter().cycle().take(8).enumerate() {
        a.start();
        let from = 1000 * (round as i64 + 1);
        for sale in 0..20 {
            sell(&a, from + sale, from + sale);
            sold += 1;
            if sale == 10 {
                a.process().signal(signal);
            }
        }
        a.process().wait();
        // An agent that was asked nicely may have sent all of it before it went.
        sell(&a, from + 20, from + 20);
        sold += 1;
        assert_ne!(a.status()["state"], "synced", "{signal}: a sale waits in the journal");
    }
    a.start();
    eventually("every sale is at the hub", || (arrived(&shop) == sold).then_some(()));
    a.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    assert_eq!(a.stop(), 0);
    b.sync();
    same(&a.store, &b.store);
    assert_eq!(text(&open(&a.store), "PRAGMA integrity_check"), "ok");
    assert_eq!(shop.hub.number("SELECT count(*) FROM change_log"), sold, "none twice");
}

/// Every way in which a person or a program can ask how things are says that somebody has to look.
#[track_caller]
fn needs_attention(register: &Register, what: &str, problem: &str) {
    let status = register.waits_for(what, |status| status["state"] == "attention");
    let sentence = status["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("Needs attention"), "{what}: {status:#}");
    assert!(register.problems().contains(&problem.to_owned()), "{what}: {status:#}");
    register.tillsync(&["status"]).said(0, &["needs attention"]);
    register.tillsync(&["doctor"]).said(1, &[]);
}

#[test]
fn hazard_16_nothing_is_healthy_while_something_is_parked_or_in_conflict() {
    let shop = Shop::open();
    let (mut a, b) =
        shop.pair("CREATE TABLE notes(id TEXT PRIMARY KEY, text TEXT UNIQUE)", "INSERT INTO notes VALUES ('1', 'one')");
    a.start();
    a.waits_for("synced", |status| status["state"] == "synced");
    // The hub takes no key as long as this.
    pos(&a.store).execute("INSERT INTO notes VALUES (?1, 'long')", ["k".repeat(5000)]).unwrap();
    needs_attention(&a, "parked at the hub", "parked");
    // Whatever else is well does not change it: other sales arrive, a pause, another start.
    pos(&a.store).execute_batch("INSERT INTO notes VALUES ('2', 'two')").unwrap();
    eventually("the rest goes on", || (arrived(&shop) == 2).then_some(()));
    needs_attention(&a, "in step but for it", "parked");
    a.tillsync(&["pause"]).good();
    needs_attention(&a, "paused", "parked");
    a.tillsync(&["resume"]).good();
    assert_eq!(a.stop(), 0);
    needs_attention(&a, "not running", "parked");

    // A row that the store refuses, and two rows that contradict each other.
    b.sync();
    pos(&b.store).execute_batch("INSERT INTO notes VALUES ('b', 'twice')").unwrap();
    pos(&a.store).execute_batch("INSERT INTO notes VALUES ('a', 'twice'); INSERT INTO notes VALUES ('c', 'of a')").unwrap();
    b.sync();
    a.tillsync(&["sync"]).said(3, &[]);
    pos(&b.store).execute_batch("INSERT INTO notes VALUES ('c', 'of b')").unwrap();
    b.tillsync(&["sync"]).said(3, &[]);
    needs_attention(&b, "refused by the store", "parked");
    needs_attention(&b, "in conflict", "conflicts");
}

#[test]
fn hazard_16_nothing_is_healthy_while_the_oldest_unsent_sale_is_hours_old() {
    let shop = Shop::open();
    let net = Network::new(Way::To(shop.hub.address().to_owned()));
    let mut a = shop.register("a", SALES);
    a.init(&net.url).good();
    a.sync();
    net.turn(Way::Cut);
    sell(&a, 1, 2);
    a.tillsync(&["sync"]).said(2, &["was not reached"]);
    assert_eq!(a.status()["state"], "offline", "a moment without a network is nothing to worry about");
    open(&a.state.join("agent.db")).execute("UPDATE outbox SET at_ms = at_ms - 3 * 3600000", []).unwrap();
    needs_attention(&a, "not running", "oldest_unsent");
    a.start();
    needs_attention(&a, "offline", "oldest_unsent");
    a.tillsync(&["pause"]).good();
    needs_attention(&a, "paused", "oldest_unsent");
    a.tillsync(&["resume"]).good();
    // A server that answers and stores nothing makes it no better.
    let failing = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    net.turn(Way::Answer(failing.to_owned()));
    needs_attention(&a, "the server fails", "oldest_unsent");
    net.turn(Way::To(shop.hub.address().to_owned()));
    a.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    assert_eq!(arrived(&shop), 2);
    // What only the journal has is not called in step either.
    assert_eq!(a.stop(), 0);
    sell(&a, 3, 3);
    let status = a.status();
    assert!(status["state"] != "synced" && status["pending"] == 1, "{status:#}");
}
