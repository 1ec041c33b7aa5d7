//! What goes wrong in shops: each time the exit code and the words are right, and afterwards nothing is lost.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::{Network, Register, Shop, Way, Web, count, end, eventually, pos, program, same, shell};

const SALES: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY, note TEXT)";

/// A register that is set up and has one sale at the hub and one that waits.
fn register_with_a_sale_waiting(shop: &Shop, server: &str) -> Register {
    let register = shop.register("a", SALES);
    register.init(&shop.hub.url).good();
    sell(&register, 1);
    register.sync();
    if server != shop.hub.url {
        register.configure("server", &format!("'{server}'"));
    }
    sell(&register, 2);
    register
}

fn sell(register: &Register, id: i64) {
    pos(&register.store).execute("INSERT INTO sales VALUES (?1, 'sold')", [id]).unwrap();
}

/// Everything that was sold is at the hub, once.
#[track_caller]
fn all_arrived(shop: &Shop, sales: i64) {
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE entity_type = 'sales' AND NOT deleted"), sales);
    assert_eq!(shop.hub.number("SELECT count(*) FROM change_log WHERE entity_type = 'sales'"), sales);
}

#[test]
fn hazard_05_a_store_that_cannot_be_used_is_named_at_init() {
    let shop = Shop::open();
    let check = |name: &str, make: &dyn Fn(&Path), words: &[&str]| {
        let register = shop.empty_register(name);
        make(&register.store);
        let path = register.store.to_string_lossy().into_owned();
        register.init(&shop.hub.url).said(1, &[words, &[&path]].concat());
        assert!(!register.config.exists(), "{name}: nothing is left behind");
    };
    check("missing", &|_| {}, &["there is no store at", "start the pos once"]);
    check("folder", &|path| fs::create_dir(path).unwrap(), &["not a sqlite database"]);
    check("text", &|path| fs::write(path, "sales,2026\n".repeat(500)).unwrap(), &["encrypted stores cannot be synced"]);
    check("encrypted", &|path| fs::write(path, noise()).unwrap(), &["not a sqlite database, or it is encrypted"]);
    check("corrupt", &|path| corrupt(path), &["is damaged", "restore a backup"]);
    check("empty", &|path| fs::write(path, "").unwrap(), &["is empty or not whole", "start the pos once"]);
    let keyless = |path: &Path| pos(path).execute_batch("CREATE TABLE t(a)").unwrap();
    check("keyless", &keyless, &["no table that can sync", "t: it has no primary key"]);
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 0, "nobody registered");
}

/// What an encrypted file looks like.
fn noise() -> Vec<u8> {
    let mut random = 88_172_645_463_325_252_u64;
    let next = std::iter::from_fn(|| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        Some(random)
    });
    next.take(8192).flat_map(u64::to_le_bytes).collect()
}

/// A store whose header is whole and whose pages are not.
fn corrupt(path: &Path) {
    let db = pos(path);
    db.execute_batch("CREATE TABLE sales(id INTEGER PRIMARY KEY, note TEXT); CREATE INDEX by_note ON sales(note);").unwrap();
    db.execute_batch(
        "WITH n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 500) INSERT INTO sales SELECT v, hex(randomblob(200)) FROM n",
    )
    .unwrap();
    // The last connection puts the log into the file.
    drop(db);
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..middle].fill(0xa5);
    fs::write(path, bytes).unwrap();
}

#[test]
fn hazard_05_a_store_that_breaks_later_is_named_and_nothing_is_lost() {
    let check = |breaks: &dyn Fn(&Path), words: &[&str], code: &str| {
        let shop = Shop::open();
        let register = register_with_a_sale_waiting(&shop, &shop.hub.url);
        let whole = fs::read(&register.store).unwrap();
        breaks(&register.store);
        register.tillsync(&["sync"]).said(1, words);
        let status = register.status();
        assert_eq!((&status["state"], &status["problems"][0]["code"]), (&"error".into(), &code.into()), "{status:#}");
        register.tillsync(&["doctor"]).said(1, words);
        fs::write(&register.store, whole).unwrap();
        register.sync();
        assert_eq!(register.status()["state"], "synced");
        all_arrived(&shop, 2);
    };
    check(&|path| fs::remove_file(path).unwrap(), &["there is no store", "correct `store` in the config"], "store_missing");
    check(&|path| fs::write(path, noise()).unwrap(), &["encrypted"], "store_not_a_database");
    let corrupt_in_place = |path: &Path| {
        let other = path.with_extension("other");
        corrupt(&other);
        fs::copy(other, path).unwrap();
    };
    check(&corrupt_in_place, &["is damaged"], "store_corrupt");
}

/// `tillsync` for a user who is not the owner of the store; `None` when this user cannot become another one.
#[cfg(target_os = "linux")]
fn as_nobody(register: &Register, arguments: &[&str]) -> Option<super::support::Ended> {
    let copy = register.folder.join("tillsync");
    if !copy.exists() {
        fs::copy(program("tillsync"), &copy).unwrap();
    }
    let own = register.command(arguments);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy).args(own.get_args());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let possible = shell("test $(id -u) = 0 && setpriv --reuid=65534 --clear-groups true").code == 0;
    possible.then(|| end(&mut command))
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_that_this_user_may_not_write_is_named() {
    let shop = Shop::open();
    let register = shop.register("a", SALES);
    let nobody = register.folder.join("nobody");
    fs::create_dir(&nobody).unwrap();
    shell(&format!("chmod 755 {}; chmod 777 {}", shop.path().display(), nobody.display())).good();
    let mut register = register;
    register.state = nobody.join("state");
    register.config = nobody.join("tillsync.toml");
    let init = |register: &Register| {
        let (store, state) = (register.store.to_str().unwrap(), register.state.to_str().unwrap());
        let words =
            ["init", "--store", store, "--server", &shop.hub.url, "--name", "a", "--state-dir", state, "--credentials", "file"];
        as_nobody(register, &words)
    };
    let Some(ended) = init(&register) else {
        eprintln!("not tested: only root can become another user");
        return;
    };
    ended.said(1, &["cannot be opened for reading and writing", "read and write access to the file and its folder"]);
    // The file alone is not enough: SQLite makes files beside it.
    shell(&format!("chmod 666 {}", register.store.display())).good();
    init(&register).unwrap().said(1, &["read and write access to the file and its folder"]);
    shell(&format!("chmod 777 {}", register.folder.display())).good();
    init(&register).unwrap().good();
    sell(&register, 1);
    shell(&format!("chmod 666 {}/pos.db*", register.folder.display())).good();
    as_nobody(&register, &["sync"]).unwrap().good();
    shell(&format!("chmod 444 {}/pos.db", register.folder.display())).good();
    sell(&register, 2);
    as_nobody(&register, &["sync"]).unwrap().said(1, &["cannot be opened", "access"]);
    shell(&format!("chmod 666 {}/pos.db*", register.folder.display())).good();
    as_nobody(&register, &["sync"]).unwrap().good();
    all_arrived(&shop, 2);
}

/// A small disk of its own; gone when dropped.
#[cfg(target_os = "linux")]
pub struct Disk(pub std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Disk {
    /// `None` when this user may not mount.
    pub fn mount(path: &Path, bytes: &str) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let mounted = shell(&format!("mount -t tmpfs -o size={bytes} tillsync-test {}", path.display()));
        if mounted.code != 0 {
            eprintln!("not tested: only root can mount a small disk: {}", mounted.err);
            return None;
        }
        Some(Self(path.to_owned()))
    }

    fn fill(&self) {
        let full = shell(&format!("dd if=/dev/zero of={}/filler bs=4k", self.0.display()));
        assert!(full.err.contains("No space"), "{full:?}");
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        shell(&format!("umount -l {}", self.0.display()));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn hazard_13_a_full_disk_under_the_state_loses_nothing() {
    let shop = Shop::open();
    let mut register = shop.register("a", SALES);
    let Some(disk) = Disk::mount(&register.folder.join("disk"), "4m") else { return };
    register.state = disk.0.join("state");
    register.init(&shop.hub.url).good();
    sell(&register, 1);
    register.sync();
    disk.fill();
    let till = pos(&register.store);
    till.execute_batch(
        "WITH n(v) AS (SELECT 2 UNION ALL SELECT v + 1 FROM n WHERE v < 2000) INSERT INTO sales SELECT v, hex(randomblob(40)) FROM n",
    )
    .unwrap();
    register.tillsync(&["sync"]).said(1, &["full", "free some space"]);
    disk.free();
    register.sync();
    all_arrived(&shop, 2000);
}

#[cfg(target_os = "linux")]
#[test]
fn hazard_13_a_full_disk_under_the_store_loses_nothing() {
    let shop = Shop::open();
    let a = shop.register("a", SALES);
    let mut b = shop.empty_register("b");
    let Some(disk) = Disk::mount(&b.folder.join("disk"), "4m") else { return };
    b.store = disk.0.join("pos.db");
    pos(&b.store).execute_batch(SALES).unwrap();
    for register in [&a, &b] {
        register.init(&shop.hub.url).good();
        register.sync();
    }
    pos(&a.store)
        .execute_batch(
            "WITH n(v) AS (SELECT 2 UNION ALL SELECT v + 1 FROM n WHERE v < 2000) INSERT INTO sales SELECT v, hex(randomblob(200)) FROM n",
        )
        .unwrap();
    a.sync();
    disk.fill();
    b.tillsync(&["sync"]).said(1, &["disk", "full", "free some space"]);
    assert_eq!(b.status()["state"], "error");
    disk.free();
    b.sync();
    same(&a.store, &b.store);
}

#[test]
fn what_is_no_hub_is_not_taken_for_one() {
    let shop = Shop::open();
    let closed = "http://127.0.0.1:1".to_owned();
    let redirect = Web::answer("302 Found", "location: http://127.0.0.1:1/login\r\n", "");
    let missing = Web::answer("404 Not Found", "content-type: text/html\r\n", "<h1>nginx</h1>");
    let json = Web::answer("200 OK", "content-type: application/json\r\n", "{\"hello\":\"world\"}");
    let empty = Web::answer("200 OK", "", "");
    let gateway = Web::answer("502 Bad Gateway", "", "<h1>Bad Gateway</h1>");
    let webs = [Web::log_in_page(), redirect, missing, json, empty, gateway].map(|answer| Network::new(Way::Answer(answer)));
    let urls: Vec<String> = webs.iter().map(|web| web.url.clone()).chain([closed]).collect();
    for (place, url) in urls.iter().enumerate() {
        let fresh = shop.register(&format!("fresh{place}"), SALES);
        fresh.init(url).said(1, &[url]);
        let register = shop.register(&format!("known{place}"), SALES);
        register.init(&shop.hub.url).good();
        register.sync();
        sell(&register, place as i64);
        register.configure("server", &format!("'{url}'"));
        register.tillsync(&["sync", "--timeout", "20"]).said(2, &[url, "kept"]);
        let status = register.status();
        assert_eq!((&status["pending"], status["state"] == "synced"), (&1.into(), false), "{url}: {status:#}");
        register.configure("server", &format!("'{}'", shop.hub.url));
        register.sync();
    }
    all_arrived(&shop, urls.len() as i64);
}

#[test]
fn the_words_say_what_kind_of_wrong_server_it_is() {
    let shop = Shop::open();
    let check = |way: Way, at_init: &[&str], problem: Option<&str>| {
        let network = Network::new(way.clone());
        let register = shop.register(&format!("r{}", network.url.rsplit(':').next().unwrap()), SALES);
        register.init(&network.url).said(1, at_init);
        network.turn(Way::To(shop.hub.address().to_owned()));
        register.init(&network.url).good();
        network.turn(way);
        assert_eq!(register.tillsync(&["sync"]).code, 2);
        if let Some(code) = problem {
            assert!(register.problems().contains(&code.to_owned()), "{:?}", register.status());
        }
    };
    check(Way::Answer(Web::log_in_page()), &["not a sync server", "log in to the network"], Some("not_a_sync_server"));
    check(Way::Answer(Web::answer("302 Found", "location: /x\r\n", "")), &["not a sync server"], Some("not_a_sync_server"));
    check(
        Way::Answer(Web::answer("404 Not Found", "", "nope")),
        &["not a sync server", "check the address"],
        Some("not_a_sync_server"),
    );
    check(Way::Cut, &["does not answer", "check the address and the network"], None);
}

#[test]
fn a_log_in_page_in_the_middle_of_a_run_loses_nothing() {
    let shop = Shop::open();
    let network = Network::new(Way::To(shop.hub.address().to_owned()));
    let mut register = shop.register("a", SALES);
    register.init(&network.url).good();
    register.start();
    sell(&register, 1);
    register.waits_for("synced", |status| status["state"] == "synced" && status["sent"] == 1);
    network.turn(Way::Answer(Web::log_in_page()));
    sell(&register, 2);
    let status = register.waits_for("told", |status| {
        status["problems"].as_array().unwrap().iter().any(|problem| problem["code"] == "not_a_sync_server")
    });
    assert_eq!(status["state"], "attention", "{status:#}");
    register.waits_for("kept", |status| status["pending"] == 1);
    network.turn(Way::To(shop.hub.address().to_owned()));
    register.waits_for("synced again", |status| status["state"] == "synced" && status["pending"] == 0);
    all_arrived(&shop, 2);
}

#[test]
fn hazard_11_a_wrong_key_keeps_the_queue_until_the_register_is_enrolled_again() {
    let shop = Shop::guarded();
    let token = || shop.hub.enroll_token(1);
    let register = shop.register("a", SALES);
    register.init(&shop.hub.url).said(1, &["enrol"]);
    register.init_with(&shop.hub.url, &["--credentials", "file", "--enroll-token", "nonsense"]).said(1, &["refuses", "token"]);
    register.init_with(&shop.hub.url, &["--credentials", "file", "--enroll-token", &token()]).good();
    sell(&register, 1);
    register.sync();
    let device = register.status()["device_id"].as_str().unwrap().to_owned();

    fs::write(register.state.join("api-key"), "bm90IHRoZSBrZXk=").unwrap();
    sell(&register, 2);
    register.tillsync(&["sync"]).said(4, &["refuses this register", "1 changes are kept"]);
    let status = register.status();
    assert_eq!((&status["state"], &status["pending"]), (&"error".into(), &1.into()), "{status:#}");
    assert_eq!(status["problems"][0]["code"], "key_refused");
    assert!(status["problems"][0]["action"].as_str().unwrap().contains("tillsync init"), "{status:#}");
    register
        .init_with(&shop.hub.url, &[])
        .said(1, &["does not know this register's key", "run `tillsync init` with --enroll-token"]);
    register.init_with(&shop.hub.url, &["--enroll-token", &token()]).good();
    register.sync();
    all_arrived(&shop, 2);
    assert_eq!(register.status()["device_id"], device.as_str(), "the same device, with a new key");
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 1);
}

#[test]
fn hazard_09_a_register_that_was_removed_at_the_hub_keeps_its_queue() {
    let shop = Shop::guarded();
    let register = shop.register("a", SALES);
    register.init_with(&shop.hub.url, &["--credentials", "file", "--enroll-token", &shop.hub.enroll_token(1)]).good();
    sell(&register, 1);
    register.sync();
    let device = register.status()["device_id"].as_str().unwrap().to_owned();
    shop.hub.administer("DELETE", &format!("/sync/{device}"));
    sell(&register, 2);
    register.tillsync(&["sync"]).said(4, &["refuses this register", "1 changes are kept"]);
    assert_eq!(register.status()["state"], "error");
    register.init_with(&shop.hub.url, &["--enroll-token", &shop.hub.enroll_token(1)]).good();
    register.sync();
    all_arrived(&shop, 2);
    assert_eq!(register.status()["state"], "synced");
}

#[test]
fn hazard_09_a_suspended_register_keeps_its_queue_and_goes_on_afterwards() {
    let shop = Shop::open();
    let mut register = register_with_a_sale_waiting(&shop, &shop.hub.url);
    let device = register.status()["device_id"].as_str().unwrap().to_owned();
    shop.hub.administer("POST", &format!("/sync/suspend/{device}"));
    register.tillsync(&["sync"]).said(4, &["suspended", "kept"]);
    let status = register.status();
    assert_eq!(status["sentence"], "Can't sync (The server has suspended this register)");
    assert_eq!(status["pending"], 1);
    // A running agent is told in the middle of a long poll, too, and goes on when asked.
    register.start();
    register.waits_for("suspended", |status| status["problems"][0]["code"] == "suspended");
    shop.hub.administer("POST", &format!("/sync/resume/{device}"));
    register.sync();
    assert_eq!(register.status()["state"], "synced");
    all_arrived(&shop, 2);
}

#[test]
fn hazard_09_a_register_suspended_while_it_runs_says_so() {
    let shop = Shop::open();
    let mut register = shop.register("a", SALES);
    register.init(&shop.hub.url).good();
    register.start();
    register.waits_for("synced", |status| status["state"] == "synced");
    let device = register.status()["device_id"].as_str().unwrap().to_owned();
    shop.hub.administer("POST", &format!("/sync/suspend/{device}"));
    sell(&register, 1);
    register.waits_for("told", |status| status["problems"][0]["code"] == "suspended" && status["pending"] == 1);
    shop.hub.administer("POST", &format!("/sync/resume/{device}"));
    register.tillsync(&["sync"]).good();
    all_arrived(&shop, 1);
}

#[test]
fn hazard_09_one_agent_per_state_and_per_store() {
    let shop = Shop::open();
    let mut register = shop.register("a", SALES);
    register.init(&shop.hub.url).good();
    register.start();
    register.tillsync(&["run"]).said(1, &["already running", register.state.to_str().unwrap()]);
    register.tillsync(&["detach"]).said(1, &["running", "stop it"]);
    register.init(&shop.hub.url).said(1, &["running", "stop it"]);

    let mut other = Register::new("other", &register.folder);
    other.state = register.folder.join("other");
    other.config = register.folder.join("other.toml");
    other.init(&shop.hub.url).said(1, &["already served", register.state.to_str().unwrap(), "detach"]);
    let text = fs::read_to_string(&register.config).unwrap();
    fs::write(&other.config, text.replace(register.state.to_str().unwrap(), other.state.to_str().unwrap())).unwrap();
    other.tillsync(&["sync"]).said(1, &["already served"]);
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 1);

    // A copy on a new machine is no second agent: it becomes a register of its own.
    sell(&register, 1);
    register.sync();
    assert_eq!(register.stop(), 0);
    let clone = shop.empty_register("clone");
    fs::copy(&register.store, &clone.store).unwrap();
    clone.init(&shop.hub.url).good();
    pos(&clone.store).execute_batch("INSERT INTO sales VALUES (9, 'by the clone')").unwrap();
    clone.sync();
    register.sync();
    same(&register.store, &clone.store);
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 2);
}

#[test]
fn a_config_that_is_wrong_says_where() {
    let shop = Shop::open();
    let register = shop.register("a", SALES);
    register.tillsync(&["sync"]).said(1, &["no config at", "tillsync init"]);
    register.init(&shop.hub.url).good();
    let good = fs::read_to_string(&register.config).unwrap();
    let check = |from: &str, to: &str, words: &[&str]| {
        let text = good.replace(from, to);
        assert_ne!(text, good, "{from} is in the config");
        fs::write(&register.config, text).unwrap();
        for command in ["sync", "status", "run", "doctor"] {
            register.tillsync(&[command]).said(1, &[words, &["tillsync.toml"]].concat());
        }
    };
    check("server = ", "sever = ", &["sever"]);
    check("server = ", "server = [", &["TOML"]);
    check("http://", "ftp://", &["is not an address", "https://"]);
    check("http://", "http://till:secret@", &["user name or password"]);
    check("interval_ms = 30000", "interval_ms = 1", &["too short"]);
    check("name = \"a\"", "name = \" \"", &["name is empty"]);
    check("credentials = \"file\"", "credentials = \"paper\"", &["paper"]);
    fs::write(&register.config, good).unwrap();
    register.sync();
    register.init_with("nowhere", &[]).said(1, &["is not an address"]);
    register.init_with(&shop.hub.url, &["--tables", "sales,nonsense"]).said(1, &["no table nonsense", "sales"]);
    register.init_with(&shop.hub.url, &["--key", "sales=uuid"]).said(2, &["global", "register"]);
    register.sync();
}

#[test]
fn init_again_never_registers_again() {
    let shop = Shop::open();
    let register = shop.register("a", SALES);
    register.init(&shop.hub.url).good();
    let device = register.status()["device_id"].clone();
    let config = fs::read_to_string(&register.config).unwrap();
    for _ in 0..3 {
        register.init(&shop.hub.url).said(0, &["enrolled before"]);
    }
    assert_eq!(fs::read_to_string(&register.config).unwrap(), config);
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 1);
    // Not even when it forgets that it was enrolled, or is told a token.
    register.init_with(&shop.hub.url, &["--enroll-token", "any"]).good();
    assert_eq!(register.status()["device_id"], device);
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 1);
    // Two inits at once are one init and an error.
    let ends: Vec<i32> = std::thread::scope(|scope| {
        let both: Vec<_> = (0..2).map(|_| scope.spawn(|| register.init(&shop.hub.url).code)).collect();
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(ends.contains(&0), "{ends:?}");
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 1);
    sell(&register, 1);
    register.sync();
}

#[test]
fn a_hub_that_was_emptied_gets_everything_again_once_the_register_has_enrolled_anew() {
    let mut shop = Shop::open();
    let register = register_with_a_sale_waiting(&shop, &shop.hub.url);
    register.sync();
    shop.hub.kill();
    for end in ["", "-wal", "-shm", "-head"] {
        let _ = fs::remove_file(format!("{}{end}", shop.hub.database.display()));
    }
    shop.hub.start_again();
    register.tillsync(&["sync"]).said(4, &["refuses this register"]);
    register.init_with(&shop.hub.url, &[]).said(0, &["does not know this register's key", "enrolled at"]);
    register.sync();
    all_arrived(&shop, 2);
    register.init(&shop.hub.url).said(0, &["enrolled before"]);
    // One that does not answer may know the register.
    shop.hub.kill();
    register.init(&shop.hub.url).said(0, &["enrolled before"]);
}

#[test]
fn another_server_gets_the_whole_store_and_gives_all_it_has() {
    let shop = Shop::open();
    let register = register_with_a_sale_waiting(&shop, &shop.hub.url);
    let second = Shop::open();
    let there = second.register("b", SALES);
    there.init(&second.hub.url).good();
    (101..120).for_each(|id| sell(&there, id));
    there.sync();
    register.init(&second.hub.url).said(0, &["the server changes"]);
    register.sync();
    there.sync();
    same(&register.store, &there.store);
    all_arrived(&second, 2 + 19);
    assert_eq!(second.hub.number("SELECT count(*) FROM devices"), 2);
    assert_eq!((register.status()["state"].as_str(), register.problems()), (Some("synced"), vec!["agent_not_running".to_owned()]));
}

#[test]
fn hazard_13_a_damaged_state_is_named_and_can_be_made_anew() {
    let shop = Shop::open();
    let register = register_with_a_sale_waiting(&shop, &shop.hub.url);
    let database = register.state.join("agent.db");
    for beside in ["agent.db-wal", "agent.db-shm"] {
        let _ = fs::remove_file(register.state.join(beside));
    }
    fs::write(&database, noise()).unwrap();
    register.tillsync(&["sync"]).said(1, &["state", "damaged", "tillsync init"]);
    fs::rename(&database, register.state.join("damaged.db")).unwrap();
    register.init(&shop.hub.url).good();
    register.sync();
    assert_eq!(shop.hub.number("SELECT count(*) FROM rows WHERE NOT deleted"), 2);
    assert_eq!(count(&pos(&register.store), "SELECT count(*) FROM sales"), 2);
}

#[test]
fn a_hub_that_is_gone_for_a_while_changes_nothing() {
    let mut shop = Shop::open();
    let mut register = register_with_a_sale_waiting(&shop, &shop.hub.url);
    // The journal is trimmed in a quiet moment, which the timer finds.
    register.configure("interval_ms", "1000");
    shop.hub.kill();
    register.tillsync(&["sync"]).said(2, &["1 changes are kept"]);
    register.start();
    sell(&register, 3);
    register.waits_for("offline", |status| status["state"] == "offline" && status["pending"] == 2);
    shop.hub.start_again();
    register.waits_for("synced", |status| status["state"] == "synced" && status["pending"] == 0);
    all_arrived(&shop, 3);
    let till = pos(&register.store);
    eventually("the journal is trimmed", || (count(&till, "SELECT count(*) FROM _tillsync_journal") <= 1).then_some(()));
}
