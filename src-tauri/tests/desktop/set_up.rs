//! The first run: a machine becomes a register, in the window alone, and a manager's PIN is a manager's.

use tillsync_agent::control::{self, Answer, Command};
use tillsync_core::window::{Ask, Keep, Reply, Side};

use crate::desktop::Desktop;
use crate::panel::Panel;
use crate::support::{Register, Shop, count, eventually, pos, shell};
use crate::webdriver::Browser;

const SCHEMA: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, total INTEGER);
    CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT UNIQUE, price INTEGER);
    CREATE TABLE staff(id INTEGER PRIMARY KEY, name TEXT, pin TEXT)";

const TEA: &str = "INSERT INTO products VALUES (1, 'Tea', 100)";

#[test]
fn a_machine_becomes_a_register_and_its_key_is_in_the_keychain() {
    let shop = Shop::guarded();
    let mut other = shop.register("till-1", SCHEMA);
    pos(&other.store).execute_batch(TEA).unwrap();
    other.set("TILLSYNC_ENROLL_TOKEN", &shop.hub.enroll_token(1));
    other.init_with(&shop.hub.url, &["--credentials", "file"]).good();
    other.tillsync(&["tables", "set", "products", "--column", "price=manual"]).good();
    other.sync();

    let register = shop.empty_register("till-3");
    let mut desktop = Desktop::start(&register.folder);
    desktop.unlock_keychain();
    let panel = Panel::start(&desktop);
    let store = desktop.home.join(".local/share/pos/pos.db");
    std::fs::create_dir_all(store.parent().unwrap()).unwrap();
    pos(&store).execute_batch(&format!("{SCHEMA}; INSERT INTO sales VALUES (1, 100), (2, 250)")).unwrap();

    let window = Browser::start(&desktop, &[]);
    let item = panel.item();
    assert_eq!(item.tooltip(), "Not set up");
    window.shows("pos.db");
    window.picture("set-up-en");
    window.click("Next");
    window.write("Server address", &shop.hub.url);
    window.write("Enrolment code", &shop.hub.enroll_token(1));
    window.write("Register name", "Till 3");
    window.write("Manager PIN (optional)", "2580");
    window.click("Next");
    window.shows("What will sync");
    window.shows("Stays here: pin");
    window.click("Start syncing");
    window.shows("Up to date");
    item.says("Up to date");
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales'"), 2);
    eventually("the tea is here", || (count(&pos(&store), "SELECT count(*) FROM products") == 1).then_some(()));

    let found = desktop.command("secret-tool").args(["search", "--all", "service", "tillsync"]).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let key = found.lines().filter_map(|line| line.strip_prefix("secret = ")).find(|key| key.len() > 30);
    let key = key.unwrap_or_else(|| panic!("no key in {found}"));
    shell(&format!("grep -rIlF '{key}' {} --exclude-dir=keyrings", desktop.home.display())).said(1, &[]);

    decides_with_the_pin(&other, &desktop, &window, &store);
}

/// Whoever does not know the PIN decides nothing, not even past the window.
fn decides_with_the_pin(other: &Register, desktop: &Desktop, window: &Browser, store: &std::path::Path) {
    let place = desktop.home.join(".config/tillsync/tillsync.toml");
    let rule = ["tables", "set", "products", "--column", "price=manual", "--config", place.to_str().unwrap()];
    let program = crate::support::program("tillsync");
    assert!(desktop.command(program).args(rule).status().unwrap().success());
    let state = desktop.home.join(".local/share/tillsync");
    assert!(matches!(ask(&state, Ask::Pause { minutes: None }), Reply::Done));
    window.shows("Paused");
    pos(&other.store).execute_batch("UPDATE products SET price = 110").unwrap();
    other.sync();
    pos(store).execute_batch("UPDATE products SET price = 120").unwrap();
    window.click("Resume");
    window.shows("Needs attention (1)");
    let Reply::Conflicts { conflicts } = ask(&state, Ask::Conflicts) else { panic!("no list") };
    let decide = Ask::Decide { id: conflicts[0].id, version: conflicts[0].version, keep: Keep::All { side: Side::Local } };
    let Reply::Failed { problem } = ask(&state, decide) else { panic!("anybody may decide") };
    assert_eq!(problem.code, "manager_only");

    window.click("Conflicts");
    window.shows("Only a manager can decide.");
    window.click("Settings");
    window.write("Manager PIN", "1111");
    window.click("Unlock");
    window.shows("That is not the PIN.");
    window.write("Manager PIN", "2580");
    window.click("Unlock");
    window.shows("Unlocked.");
    window.click("Conflicts");
    window.click("Tea");
    window.click("Take the server's");
    window.shows("The server's value stays");
    eventually("the server's price is here", || (count(&pos(store), "SELECT price FROM products") == 110).then_some(()));
}

fn ask(state: &std::path::Path, ask: Ask) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(control::ask(state, &Command::Window { ask, pass: None })).unwrap() {
        Some(Answer::Window { reply }) => reply,
        other => panic!("{other:?}"),
    }
}
