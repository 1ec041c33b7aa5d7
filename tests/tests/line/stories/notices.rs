//! The point-of-sale program must not notice us: what its statements and commits go through while agents run, and how soon a
//! sale is on the other register.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tillsync_tests::retail::{Journal, With, create_store};

use super::support::{Register, Running, Shop, content, count, eventually, pos, program};

/// Sales rung up at each till in a run.
const SALES: &str = "250";

/// A till without any patience for locks; gives back its totals.
struct Till {
    running: Running,
    printed: std::path::PathBuf,
}

impl Till {
    fn open(register: &Register, number: &str, journal: Journal) -> Self {
        let printed = register.folder.join("till.out");
        let _ = fs::remove_file(&printed);
        let mut command = Command::new(program("pos-simulator"));
        command.arg("--store").arg(&register.store).args(["--register", number, "--per-second", "100", "--sales", SALES]);
        command.args(["--journal", journal.name(), "--busy-timeout", "0"]);
        Self { running: Running::start(&mut command, &printed), printed }
    }

    fn totals(mut self) -> Value {
        assert_eq!(self.running.wait(), 0);
        let text = fs::read_to_string(&self.printed).unwrap();
        let last = text.lines().rfind(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no totals in {text}"));
        serde_json::from_str(last).unwrap()
    }
}

/// The totals of register a's till; `sells` says whether register b sells too, so that rows come in all the time.
fn run(journal: Journal, agents: bool, other_sells: bool) -> Value {
    let shop = Shop::open();
    let (mut a, mut b) = (shop.empty_register("a"), shop.empty_register("b"));
    for register in [&mut a, &mut b] {
        create_store(&register.store, journal, With::Catalogue).unwrap();
        if agents {
            register.init(&shop.hub.url).good();
            register.sync();
            register.start();
            register.waits_for("synced", |status| status["state"] == "synced");
        }
    }
    let other = other_sells.then(|| Till::open(&b, "2", journal));
    let totals = Till::open(&a, "1", journal).totals();
    let others = other.map(Till::totals);
    if agents {
        eventually("both stores are the same", || (content(&a.store) == content(&b.store)).then_some(()));
        assert_eq!(a.problems(), Vec::<String>::new());
    }
    let failed = |totals: &Value| totals["failed_statements"].as_i64().unwrap();
    eprintln!(
        "{} agents={agents} other till sells={other_sells}: {} failed statements (other till: {}), commit p50 {} µs, p99 {} µs",
        journal.name(),
        failed(&totals),
        others.as_ref().map_or(0, failed),
        totals["p50_us"],
        totals["p99_us"]
    );
    totals
}

#[test]
fn an_impatient_till_in_wal_mode_never_fails_while_its_sales_are_captured() {
    run(Journal::Wal, false, false);
    let totals = run(Journal::Wal, true, false);
    assert_eq!(totals["failed_statements"], 0);
    run(Journal::Wal, true, true);
}

#[test]
fn an_impatient_till_with_a_rollback_journal_is_measured() {
    run(Journal::Delete, false, false);
    run(Journal::Delete, true, false);
    run(Journal::Delete, true, true);
}

#[test]
fn a_sale_is_on_the_other_register_within_a_blink() {
    const SALES: i64 = 30;
    let shop = Shop::open();
    let (mut a, mut b) = shop.pair("CREATE TABLE sales(id INTEGER PRIMARY KEY, cents INTEGER)", "");
    for register in [&mut a, &mut b] {
        register.configure("interval_ms", "3600000");
        register.start();
        register.waits_for("synced", |status| status["state"] == "synced");
    }
    let (till, other) = (pos(&a.store), pos(&b.store));
    let mut took: Vec<Duration> = (1..=SALES)
        .map(|id| {
            till.execute("INSERT INTO sales VALUES (?1, 1)", [id]).unwrap();
            let committed = Instant::now();
            while count(&other, &format!("SELECT count(*) FROM sales WHERE id = {id}")) == 0 {
                assert!(committed.elapsed() < Duration::from_secs(30), "sale {id} does not arrive");
                std::thread::sleep(Duration::from_millis(1));
            }
            committed.elapsed()
        })
        .collect();
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    eprintln!("commit on a to readable on b: p50 {median:?}, worst {worst:?}");
    assert!(median <= Duration::from_millis(150), "{took:?}");
    assert!(worst <= Duration::from_millis(1000), "{took:?}");
}
