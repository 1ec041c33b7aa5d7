//! The command line is a contract: exit codes, words, files and what must never be in them.

use std::fs;
use std::path::Path;

use rusqlite::config::DbConfig;
use serde_json::Value;

use super::support::{Register, Running, Shop, content, count, end, eventually, open, pos, rows, same, unread};

const SCHEMA: &str = "CREATE TABLE sales(id TEXT PRIMARY KEY, cents INTEGER, note TEXT)";

/// The hub takes no key as long as this.
fn refused_key() -> String {
    "k".repeat(5000)
}

fn parked(register: &Register) -> Vec<Value> {
    serde_json::from_str(&register.tillsync(&["outbox", "--parked", "--json"]).good().out).unwrap()
}

#[test]
fn a_refused_change_waits_for_a_person_and_the_rest_goes_on() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, "INSERT INTO sales VALUES ('1', 1, NULL)");
    let till = pos(&a.store);
    till.execute("INSERT INTO sales VALUES (?1, 2, NULL)", [refused_key()]).unwrap();
    till.execute_batch("INSERT INTO sales VALUES ('3', 3, NULL)").unwrap();
    a.tillsync(&["sync"]).said(3, &["1 waiting for a person", "outbox --parked"]);
    let status = a.status();
    assert_eq!(
        (&status["state"], &status["parked"], &status["pending"]),
        (&"attention".into(), &1.into(), &0.into()),
        "{status:#}"
    );
    b.sync();
    assert_eq!(count(&pos(&b.store), "SELECT count(*) FROM sales WHERE length(id) = 1"), 2);

    // More about the same row waits behind it.
    till.execute("UPDATE sales SET cents = 22 WHERE id = ?1", [refused_key()]).unwrap();
    a.tillsync(&["sync"]).said(3, &["waiting for a person"]);
    let entry = &parked(&a)[0];
    assert!(entry["reason"].as_str().unwrap().contains("4096"), "{entry}");
    let id = entry["id"].to_string();
    a.tillsync(&["outbox", "retry", &id]).good();
    a.tillsync(&["sync"]).said(3, &[]);
    a.tillsync(&["outbox", "retry", "4711"]).said(1, &["no change 4711", "outbox --parked"]);
    let before = shop.hub.number("SELECT max(id) FROM change_log");
    for _ in 0..2 {
        for entry in parked(&a) {
            let ended = a.tillsync(&["outbox", "discard", &entry["id"].to_string()]).good();
            let path = ended.out.trim().rsplit_once(" in ").unwrap().1;
            let copy: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            assert_eq!(copy["data"]["id"], refused_key(), "the copy has the whole row");
        }
        let _ = a.tillsync(&["sync"]);
    }
    a.sync();
    assert_eq!(a.status()["state"], "synced");
    assert_eq!(shop.hub.number("SELECT max(id) FROM change_log"), before);
    assert_eq!(count(&till, "SELECT count(*) FROM sales"), 3, "the store keeps its row");
}

#[test]
fn a_conflict_waits_for_a_person_who_takes_the_servers_row() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, "INSERT INTO sales VALUES ('1', 1, NULL)");
    pos(&a.store).execute_batch("DELETE FROM sales").unwrap();
    pos(&b.store).execute_batch("UPDATE sales SET cents = 5").unwrap();
    a.sync();
    b.tillsync(&["sync"]).said(3, &["1 waiting for a person"]);
    let status = b.status();
    assert_eq!((&status["state"], &status["conflicts"]), (&"attention".into(), &1.into()), "{status:#}");
    assert_eq!(count(&pos(&b.store), "SELECT cents FROM sales"), 5, "nobody has decided yet");
    let id = parked(&b)[0]["id"].to_string();
    b.tillsync(&["outbox", "discard", &id]).good();
    b.sync();
    same(&a.store, &b.store);
    assert_eq!(shop.hub.number("SELECT count(*) FROM conflict_log WHERE resolution = 'pending'"), 0, "nor does the hub wait");
    assert_eq!(count(&pos(&b.store), "SELECT count(*) FROM sales"), 0);
}

#[test]
fn a_row_that_the_store_refuses_is_told_and_comes_when_it_can() {
    let shop = Shop::open();
    let schema = "CREATE TABLE bills(id INTEGER PRIMARY KEY, number TEXT UNIQUE)";
    let (a, b) = shop.pair(schema, "");
    b.tillsync(&["pause"]).good();
    pos(&b.store).execute_batch("INSERT INTO bills VALUES (200, 'R-1')").unwrap();
    pos(&a.store).execute_batch("INSERT INTO bills VALUES (100, 'R-1'), (101, 'R-2')").unwrap();
    a.sync();
    b.tillsync(&["resume"]).good();
    b.tillsync(&["sync"]).said(3, &["1 waiting for a person"]);
    b.tillsync(&["outbox", "--parked"]).said(0, &["incoming", "bills", "UNIQUE"]);
    a.tillsync(&["sync"]).said(3, &[]);
    assert_eq!(rows(&pos(&b.store), "bills").len(), 2, "both shops' other bills are there");
    pos(&b.store).execute_batch("UPDATE bills SET number = 'R-1b' WHERE id = 200").unwrap();
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    assert_eq!(rows(&pos(&b.store), "bills").len(), 3);
}

#[test]
fn a_row_that_the_store_refuses_is_kept_out_when_a_person_says_so_until_it_changes() {
    let shop = Shop::open();
    let (a, b) = shop.pair("CREATE TABLE bills(id INTEGER PRIMARY KEY, number TEXT UNIQUE)", "");
    pos(&b.store).execute_batch("INSERT INTO bills VALUES (200, 'R-1')").unwrap();
    pos(&a.store).execute_batch("INSERT INTO bills VALUES (100, 'R-1')").unwrap();
    a.sync();
    b.tillsync(&["sync"]).said(3, &["1 waiting for a person"]);
    let listed: Vec<Value> = serde_json::from_str(&b.tillsync(&["outbox", "--parked", "--json"]).good().out).unwrap();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    b.tillsync(&["outbox", "--parked"]).said(0, &[&id, "incoming"]);
    b.tillsync(&["outbox", "retry", &id]).said(0, &["tried again"]);
    b.tillsync(&["sync"]).said(3, &["1 waiting for a person"]);
    b.tillsync(&["outbox", "discard", &id]).said(0, &["stays out", "discarded"]);
    b.tillsync(&["outbox", "discard", &id]).said(1, &["no row"]);
    assert_eq!(b.sync().out.trim(), "Up to date");
    assert_eq!(b.status()["parked"], 0);
    // Not even when everything is compared does it come back, …
    b.tillsync(&["verify", "--against-server", "--repair"]).said(0, &["hold the same"]);
    assert_eq!(b.sync().out.trim(), "Up to date");
    assert_eq!(rows(&pos(&b.store), "bills").len(), 1);
    // … but when somebody has changed it.
    pos(&a.store).execute_batch("UPDATE bills SET number = 'R-9' WHERE id = 100").unwrap();
    a.tillsync(&["outbox", "retry", "nonsense"]).said(2, &["such as 12 or i345"]);
    a.tillsync(&["sync"]);
    b.sync();
    a.sync();
    same(&a.store, &b.store);
    assert_eq!(rows(&pos(&b.store), "bills").len(), 2);
    b.tillsync(&["verify", "--against-server"]).said(0, &["hold the same"]);
}

#[test]
fn a_pause_keeps_capturing_and_ends() {
    let shop = Shop::open();
    let mut register = shop.register("a", SCHEMA);
    register.init(&shop.hub.url).good();
    for running in [false, true] {
        if running {
            register.start();
            register.waits_for("synced", |status| status["state"] == "synced");
        }
        register.tillsync(&["pause"]).good();
        register.tillsync(&["sync"]).said(1, &["paused", "tillsync resume"]);
        pos(&register.store).execute("INSERT INTO sales VALUES (?1, 1, '')", [format!("paused {running}")]).unwrap();
        let status = register.waits_for("paused", |status| status["state"] == "paused" && status["pending"] == 1);
        assert_eq!(status["sentence"], "Paused");
        register.tillsync(&["resume"]).good();
        register.sync();
        assert_eq!(register.status()["pending"], 0);
    }
    register.tillsync(&["pause", "--for", "1h"]).good();
    let sentence = register.waits_for("paused", |status| status["state"] == "paused")["sentence"].to_string();
    assert!(sentence.contains("Paused until "), "{sentence}");
    register.tillsync(&["pause", "--for", "soon"]).said(1, &["`soon` is no time", "30m or 1h"]);
    register.tillsync(&["pause", "--for", "1s"]).good();
    register.waits_for("going on by itself", |status| status["state"] == "synced");
}

#[test]
fn verify_finds_what_no_trigger_saw() {
    let shop = Shop::open();
    let (mut a, b) = shop.pair(SCHEMA, "INSERT INTO sales VALUES ('1', 1, NULL), ('2', 2, NULL), ('3', 3, NULL)");
    for running in [false, true] {
        if running {
            a.start();
            a.waits_for("synced", |status| status["state"] == "synced");
        }
        let till = pos(&a.store);
        till.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
        till.execute("INSERT INTO sales VALUES (?1, 9, 'unseen')", [format!("new {running}")]).unwrap();
        till.execute_batch(
            "UPDATE sales SET cents = cents + 5 WHERE id = '2'; DELETE FROM sales WHERE id = (SELECT min(id) FROM sales WHERE id <> '2')",
        )
        .unwrap();
        drop(till);
        a.sync();
        b.sync();
        assert_ne!(content(&a.store), content(&b.store), "triggers were off");
        a.tillsync(&["verify"]).said(0, &["3 differences found and queued"]);
        a.sync();
        b.sync();
        same(&a.store, &b.store);
        a.tillsync(&["verify"]).said(0, &["0 differences"]);
    }
}

#[test]
fn detach_leaves_no_trace() {
    let shop = Shop::open();
    let schema = "CREATE TABLE sales(id INTEGER PRIMARY KEY AUTOINCREMENT, v UNIQUE); CREATE TABLE t(a TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE INDEX i ON sales(v); CREATE TRIGGER own AFTER INSERT ON sales BEGIN INSERT OR IGNORE INTO t VALUES ('x'); END; CREATE VIEW w AS SELECT 1 AS one;";
    let mut register = shop.register("a", schema);
    let everything = |register: &Register| {
        let db = open(&register.store);
        (rows(&db, "sqlite_schema"), rows(&db, "sqlite_sequence"), content(&register.store))
    };
    pos(&register.store).execute_batch("INSERT INTO sales(v) VALUES (1), (2)").unwrap();
    let before = everything(&register);
    register.init(&shop.hub.url).good();
    register.sync();
    register.start();
    register.waits_for("synced", |status| status["state"] == "synced");
    assert_eq!(register.stop(), 0);
    pos(&register.store)
        .execute_batch("INSERT INTO sales(v) VALUES (3); DELETE FROM sales WHERE v = 3; UPDATE sqlite_sequence SET seq = 2")
        .unwrap();
    pos(&register.store).execute_batch("INSERT INTO t VALUES ('y')").unwrap();
    register.tillsync(&["detach"]).said(1, &["unsent", "tillsync sync", "--force"]);
    register.sync();
    pos(&register.store).execute_batch("DELETE FROM t WHERE a = 'y'").unwrap();
    register.sync();
    register.tillsync(&["detach"]).good();
    let after = everything(&register);
    let without_pages = |schema: &[String]| -> Vec<String> {
        let cut = |row: &String| row.split(' ').filter(|part| !part.starts_with("rootpage=")).collect::<Vec<_>>().join(" ");
        schema.iter().map(cut).collect()
    };
    assert_eq!(without_pages(&before.0), without_pages(&after.0));
    assert_eq!((before.1, before.2), (after.1, after.2));
    // And back again, without registering twice or sending anything twice.
    let log = shop.hub.number("SELECT count(*) FROM change_log");
    register.init(&shop.hub.url).said(0, &["enrolled before"]);
    register.sync();
    assert_eq!(shop.hub.number("SELECT count(*) FROM change_log"), log);
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 1);
}

#[test]
fn neither_keys_nor_rows_are_written_where_they_do_not_belong() {
    const MARKER: &str = "Jane-Doe-4111";
    let shop = Shop::guarded();
    let token = shop.hub.enroll_token(1);
    let mut register = shop.register("a", SCHEMA);
    register.init_with(&shop.hub.url, &["--credentials", "file", "--enroll-token", &token]).good();
    let key = fs::read_to_string(register.state.join("api-key")).unwrap().trim().to_owned();
    assert!(key.len() > 20);
    let till = pos(&register.store);
    till.execute("INSERT INTO sales VALUES ('1', 1, ?1)", [MARKER]).unwrap();
    register.sync();
    register.start();
    till.execute("INSERT INTO sales VALUES (?1, 1, ?1)", [MARKER]).unwrap();
    till.execute("UPDATE sales SET note = ?1 || note", [MARKER]).unwrap();
    register.waits_for("sent", |status| status["pending"] == 0 && status["state"] == "synced");
    // Trouble of every kind is logged too.
    fs::write(register.state.join("api-key"), "d3Jvbmc=").unwrap();
    register.stop();
    till.execute("INSERT INTO sales VALUES (?1, 1, 'refused')", [MARKER.repeat(400)]).unwrap();
    let mut shown = String::new();
    for command in [&["sync"][..], &["doctor"], &["status"], &["status", "--json"], &["logs", "--lines", "9999"]] {
        let ended = register.tillsync(command);
        shown.push_str(&(ended.out + &ended.err));
    }
    fs::write(register.state.join("api-key"), &key).unwrap();
    let ended = register.tillsync(&["sync"]);
    shown.push_str(&(ended.out + &ended.err));
    assert!(!shown.contains(&key) && !shown.contains(&token) && !shown.contains(MARKER), "{shown}");
    let written = files_below(&register.folder);
    assert!(written.iter().any(|path| path.starts_with(register.state.join("logs"))));
    for path in written {
        let bytes = fs::read(&path).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name == "api-key" || !holds(&key), "the key is in {}", path.display());
        assert!(!holds(&token), "the token is in {}", path.display());
        let may_hold_rows = name.starts_with("pos.db") || name.starts_with("agent.db");
        assert!(may_hold_rows || !holds(MARKER), "a row is in {}", path.display());
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files
}

#[cfg(unix)]
#[test]
fn the_key_file_is_private_and_the_environment_can_hold_the_key() {
    use std::os::unix::fs::PermissionsExt;
    let shop = Shop::open();
    let mut register = shop.register("a", SCHEMA);
    register.init(&shop.hub.url).good();
    let file = register.state.join("api-key");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&register.state)), (0o600, 0o700));
    for shared in [0o644, 0o640, 0o604] {
        fs::set_permissions(&file, fs::Permissions::from_mode(shared)).unwrap();
        register.tillsync(&["sync"]).said(4, &["can be read by others", "chmod 600"]);
    }
    assert_eq!(register.problems()[0], "key_missing");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    register.sync();
    let key = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    register.tillsync(&["sync"]).said(4, &["key"]);
    register.set("TILLSYNC_API_KEY", "wrong");
    register.tillsync(&["sync"]).said(4, &["refuses this register"]);
    register.set("TILLSYNC_API_KEY", key.trim());
    register.sync();
    assert!(!file.exists());
}

#[test]
fn status_has_every_promised_field() {
    let shop = Shop::open();
    let (a, _) = shop.pair(SCHEMA, "INSERT INTO sales VALUES ('1', 1, NULL)");
    let status = a.status();
    for field in ["parked", "pending", "conflicts"] {
        assert_eq!(status[field], 0, "{status:#}");
    }
    assert_eq!((&status["state"], &status["sentence"]), (&"synced".into(), &"Up to date".into()));
    assert_eq!((&status["server"], &status["store"]), (&shop.hub.url.as_str().into(), &a.store.to_str().unwrap().into()));
    assert!(status["oldest_pending_ms"].is_null() && status["last_sync_ms"].is_i64() && status["cursor"].is_i64(), "{status:#}");
    assert!(status["device_id"].is_string());
    let problem = &status["problems"][0];
    for field in ["code", "severity", "text", "action"] {
        assert!(problem[field].is_string(), "{problem}");
    }
    a.tillsync(&["status"]).said(0, &["up to date", "pending    0"]);
    a.tillsync(&["outbox"]).said(0, &["nothing waits"]);
    a.tillsync(&["logs"]).said(0, &["pushed"]);
}

#[test]
fn a_command_whose_reader_has_gone_does_its_work_and_says_nothing_more() {
    let shop = Shop::open();
    let (a, _) = shop.pair(SCHEMA, "INSERT INTO sales VALUES ('1', 1, NULL)");
    let check = |arguments: &[&str], code: i32| {
        let ended = end(a.command(arguments).stdout(unread()));
        assert_eq!((ended.code, ended.err.as_str()), (code, ""), "{arguments:?}");
        assert_eq!(end(a.command(arguments).stdout(unread()).stderr(unread())).code, code, "{arguments:?}");
    };
    check(&["status"], 0);
    check(&["status", "--json"], 0);
    check(&["outbox"], 0);
    check(&["outbox", "--json"], 0);
    check(&["logs"], 0);
    check(&["logs", "--path"], 0);
    check(&["verify"], 0);
    check(&["doctor"], a.tillsync(&["doctor"]).code);
    pos(&a.store).execute_batch("UPDATE sales SET cents = 2").unwrap();
    check(&["sync"], 0);
    assert_eq!(a.status()["pending"], 0);
    let (store, state) = (a.store.to_str().unwrap(), a.state.to_str().unwrap());
    check(&["init", "--store", store, "--server", &shop.hub.url, "--state-dir", state, "--credentials", "file"], 0);
    assert_eq!(end(a.command(&["outbox", "retry", "4711"]).stderr(unread())).code, 1, "it cannot even complain");
}

#[test]
fn an_agent_whose_log_nobody_reads_goes_on() {
    let shop = Shop::open();
    let (a, b) = shop.pair(SCHEMA, "INSERT INTO sales VALUES ('1', 1, NULL)");
    let mut agent = Running::start_unheard(&mut a.command(&["run"]));
    eventually("the agent answers", || a.state.join("control.sock").exists().then_some(()));
    pos(&a.store).execute_batch("UPDATE sales SET cents = 2").unwrap();
    a.sync();
    assert!(agent.is_alive());
    assert_eq!(agent.stop(), 0);
    b.sync();
    same(&a.store, &b.store);
}

/// Somebody else on the machine, for whom the agent's folder was opened.
#[cfg(target_os = "linux")]
#[test]
fn another_user_cannot_tell_the_agent_what_to_do() {
    let shop = Shop::open();
    let (mut a, _) = shop.pair(SCHEMA, "");
    if super::support::shell("test $(id -u) = 0 && setpriv --reuid=65534 --clear-groups true").code != 0 {
        eprintln!("not tested: only root can become another user");
        return;
    }
    a.start();
    for path in [shop.path(), &a.folder, &a.state] {
        super::support::shell(&format!("chmod 777 {}", path.display())).good();
    }
    super::support::shell(&format!("chmod 777 {0}/control.sock; chmod 666 {0}/agent.db* {0}/lock", a.state.display())).good();
    let copy = a.folder.join("tillsync");
    std::fs::copy(super::support::program("tillsync"), &copy).unwrap();
    let pause = |user: u32| {
        let mut command = std::process::Command::new("setpriv");
        command.args([&format!("--reuid={user}"), "--clear-groups"]).arg(&copy).args(["pause", "--config"]).arg(&a.config);
        end(command.env("HOME", &a.folder)).code
    };
    assert_ne!(pause(65534), 0);
    assert_ne!(a.status()["state"], "paused");
    assert_eq!(pause(0), 0);
    assert_eq!(a.status()["state"], "paused");
}
