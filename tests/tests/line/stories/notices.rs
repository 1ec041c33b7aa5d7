//! The point-of-sale program must not notice us: what its statements and commits go through while agents run, and how soon a
//! sale is on the other register.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tillsync_tests::retail::{Journal, With, create_store};

use super::support::{Register, Running, Shop, content, count, eventually, pos, program};

/// Sales rung up at each till in a run.
const SALES: i64 = 150;

/// Runs of which one must go without a failed statement.
const TRIES: usize = 3;

/// A till without any patience for locks; gives back its totals.
struct Till {
    running: Running,
    printed: std::path::PathBuf,
}

impl Till {
    fn open(register: &Register, number: &str, journal: Journal, per_second: u32) -> Self {
        let printed = register.folder.join("till.out");
        let _ = fs::remove_file(&printed);
        let mut command = Command::new(program("pos-simulator"));
        command.arg("--store").arg(&register.store).args(["--register", number]);
        command.args(["--per-second", &per_second.to_string(), "--sales", &SALES.to_string()]);
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

/// Whether agents serve the two stores.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Agents {
    In,
    Out,
}

/// How many statements failed at the two tills.
fn run(journal: Journal, agents: Agents, per_second: u32) -> i64 {
    let shop = Shop::open();
    let mut registers = [shop.empty_register("a"), shop.empty_register("b")];
    for register in &mut registers {
        create_store(&register.store, journal, With::Catalogue).unwrap();
        if agents == Agents::In {
            register.init(&shop.hub.url).good();
            register.sync();
            register.start();
            register.waits_for("synced", |status| status["state"] == "synced");
        }
    }
    let [a, b] = &registers;
    let tills = [Till::open(a, "1", journal, per_second), Till::open(b, "2", journal, per_second)];
    let totals = tills.map(Till::totals);
    if agents == Agents::In {
        eventually("both stores are the same", || (content(&a.store) == content(&b.store)).then_some(()));
        assert_eq!(a.problems(), Vec::<String>::new());
    }
    let number = |name: &str| totals.each_ref().map(|totals| totals[name].as_i64().unwrap());
    let (failed, p50, p99) = (number("failed_statements"), number("p50_us"), number("p99_us"));
    eprintln!("{} {agents:?} {per_second}/s: failed statements {failed:?}, commit p50 {p50:?} µs, p99 {p99:?} µs", journal.name());
    failed.iter().sum()
}

/// Two tills without patience sell at a brisk pace, and each takes in what the other sells. On a machine that has nothing else to
/// do no statement fails; one that is busy may hold one of us up in the middle of a turn, so that the best run of a few counts.
fn hazard_01(journal: Journal, paces: &[u32]) {
    run(journal, Agents::Out, paces[0]);
    for per_second in paces {
        let mut failed = Vec::new();
        while failed.len() < TRIES && failed.last() != Some(&0) {
            failed.push(run(journal, Agents::In, *per_second));
        }
        assert!(failed.iter().min() <= Some(&(2 * SALES / 50)), "failed statements at {per_second}/s: {failed:?}");
    }
}

#[test]
fn hazard_01_impatient_tills_in_wal_mode_do_not_notice_us() {
    hazard_01(Journal::Wal, &[20, 100]);
}

#[test]
fn hazard_01_impatient_tills_with_a_rollback_journal_do_not_notice_us() {
    hazard_01(Journal::Delete, &[20]);
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
