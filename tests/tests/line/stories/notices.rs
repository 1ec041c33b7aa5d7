//! The point-of-sale program must not notice us: what its statements and commits go through while agents run, and how soon a
//! sale is on the other register.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tillsync_tests::retail::{Journal, With, create_store};

use super::support::{Register, Running, Shop, content, count, eventually, pos, program};

/// How two tills sell while each takes in what the other sells. None of them has any patience for locks.
#[derive(Clone, Copy)]
struct Pace {
    journal: Journal,
    /// Sales rung up at each till.
    sales: i64,
    /// Arguments of the till.
    way: &'static [&'static str],
}

/// People at a counter: a sale with eight lines at random moments.
const BY_HAND: &[&str] = &["--between", "0.3", "2", "--lines", "8"];

/// The same with a program that opens its store for every sale.
const BY_HAND_ANEW: &[&str] = &["--between", "0.3", "2", "--lines", "8", "--anew"];

/// A till without any patience for locks; gives back its totals.
struct Till {
    running: Running,
    printed: std::path::PathBuf,
}

impl Till {
    fn open(register: &Register, number: &str, Pace { journal, sales, way }: Pace) -> Self {
        let printed = register.folder.join("till.out");
        let mut command = Command::new(program("pos-simulator"));
        command.arg("--store").arg(&register.store).args(["--register", number, "--sales", &sales.to_string()]).args(way);
        command.args(["--journal", journal.name(), "--busy-timeout", "0"]);
        Self { running: Running::start(&mut command, &printed), printed }
    }

    fn totals(mut self) -> Value {
        assert_eq!(self.running.wait(), 0);
        let text = fs::read_to_string(&self.printed).unwrap();
        text.lines().filter(|line| !line.starts_with('{')).for_each(|line| eprintln!("{line}"));
        let last = text.lines().rfind(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no totals in {text}"));
        serde_json::from_str(last).unwrap()
    }
}

/// How many statements failed at the two tills.
fn failed(pace: Pace) -> i64 {
    sell(pace).0
}

/// How many statements failed at the two tills, and how long their own transactions took, in the middle.
fn sell(pace: Pace) -> (i64, Duration) {
    let shop = Shop::open();
    let mut registers = [shop.empty_register("a"), shop.empty_register("b")];
    for register in &mut registers {
        create_store(&register.store, pace.journal, With::Catalogue).unwrap();
        register.init(&shop.hub.url).good();
        register.sync();
        register.start();
        register.waits_for("synced", |status| status["state"] == "synced");
    }
    let [a, b] = &registers;
    let tills = [Till::open(a, "1", pace), Till::open(b, "2", pace)];
    let totals = tills.map(Till::totals);
    eventually("both stores are the same", || {
        // Who reads all the time keeps everybody from committing where there is no write-ahead log.
        std::thread::sleep(Duration::from_secs(1));
        (content(&a.store) == content(&b.store)).then_some(())
    });
    assert_eq!(a.problems(), Vec::<String>::new());
    let number = |name: &str| totals.each_ref().map(|totals| totals[name].as_i64().unwrap());
    let (failed, p50, p99) = (number("failed_statements"), number("p50_us"), number("p99_us"));
    eprintln!("{} {:?}: failed {failed:?}, commit p50 {p50:?} µs, p99 {p99:?} µs", pace.journal.name(), pace.way);
    (failed.iter().sum(), Duration::from_micros(p50.into_iter().max().unwrap_or(0) as u64))
}

#[test]
fn hazard_01_impatient_tills_at_work_do_not_notice_us_in_wal_mode() {
    assert_eq!(failed(Pace { journal: Journal::Wal, sales: 25, way: BY_HAND }), 0);
}

#[test]
fn hazard_01_impatient_tills_that_open_the_store_for_every_sale_do_not_notice_us_in_wal_mode() {
    assert_eq!(failed(Pace { journal: Journal::Wal, sales: 25, way: BY_HAND_ANEW }), 0);
}

#[test]
fn hazard_01_impatient_tills_at_work_do_not_notice_us_with_a_rollback_journal() {
    assert_eq!(failed(Pace { journal: Journal::Delete, sales: 25, way: BY_HAND }), 0);
}

#[test]
fn hazard_01_impatient_tills_that_open_the_store_for_every_sale_do_not_notice_us_with_a_rollback_journal() {
    assert_eq!(failed(Pace { journal: Journal::Delete, sales: 25, way: BY_HAND_ANEW }), 0);
}

/// Nobody sells like this, and nothing tells when the next statement comes.
#[test]
fn hazard_01_impatient_tills_at_many_sales_a_second_hardly_notice_us_in_wal_mode() {
    for way in [&["--per-second", "20"], &["--per-second", "100"]] {
        assert!(failed(Pace { journal: Journal::Wal, sales: 150, way }) <= 1, "{way:?}");
    }
}

/// A commit of ours holds everybody up for as long as the disk takes, three times over: up to half of the time between two sales on a machine
/// that is busy. See docs/decisions/0012 for what is possible there.
#[test]
fn hazard_01_impatient_tills_at_many_sales_a_second_hardly_notice_us_with_a_rollback_journal() {
    let (failed, took) = sell(Pace { journal: Journal::Delete, sales: 150, way: &["--per-second", "20"] });
    // Where the till's own transactions leave no time between them there is none for anybody.
    assert!(failed <= 15 || took > Duration::from_millis(10), "{failed} failed, and a sale took {took:?}");
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
    assert!(worst <= Duration::from_secs(5), "{took:?}");
}
