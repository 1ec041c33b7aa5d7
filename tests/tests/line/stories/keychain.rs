//! The key in a real keychain: gnome-keyring on a session bus of the test's own.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::support::{Ended, Register, Shop, end, program, shell};

const SCHEMA: &str = "CREATE TABLE sales(id INTEGER PRIMARY KEY); INSERT INTO sales VALUES (1);";

/// Runs a script on a fresh session bus. `$TILLSYNC` is the program, `$CONFIG` the register's config.
fn on_a_bus(register: &Register, script: &str) -> Ended {
    for needed in ["dbus-run-session", "gnome-keyring-daemon", "secret-tool"] {
        assert_eq!(shell(&format!("command -v {needed}")).code, 0, "{needed} is missing; `cargo xtask setup` installs it");
    }
    let runtime = register.folder.join("runtime");
    fs::create_dir_all(&runtime).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir_all(register.folder.join(".local/share/keyrings")).unwrap();
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-c", script]);
    command.env("TILLSYNC", program("tillsync")).env("CONFIG", &register.config).env("STORE", &register.store);
    command.env("STATE", &register.state).env("HOME", &register.folder).env("XDG_RUNTIME_DIR", &runtime);
    command.env_remove("TILLSYNC_API_KEY").env_remove("XDG_DATA_HOME").env_remove("DISPLAY").env("NO_PROXY", "127.0.0.1");
    end(&mut command)
}

const UNLOCK: &str = "printf pw | gnome-keyring-daemon --unlock --components=secrets > /dev/null";

fn init(url: &str) -> String {
    format!("\"$TILLSYNC\" init --config \"$CONFIG\" --store \"$STORE\" --state-dir \"$STATE\" --name a --server {url}")
}

#[test]
fn the_key_is_in_the_keychain_and_nowhere_else() {
    let shop = Shop::open();
    let register = shop.register("a", SCHEMA);
    let script = format!(
        "set -e; {UNLOCK}; {} ; \"$TILLSYNC\" sync --config \"$CONFIG\"; \"$TILLSYNC\" doctor --config \"$CONFIG\"
         echo KEY:; secret-tool search --all service tillsync 2>/dev/null",
        init(&shop.hub.url)
    );
    let ended = on_a_bus(&register, &script).said(0, &["up to date", "the key can be read"]);
    let (_, found) = ended.out.split_once("KEY:").unwrap();
    let keys: Vec<&str> = found.lines().filter_map(|line| line.strip_prefix("secret = ")).collect();
    let key = keys.iter().find(|key| key.len() > 30).unwrap_or_else(|| panic!("no key in {found}"));
    assert!(!register.state.join("api-key").exists());
    shell(&format!("grep -rF '{key}' {}", register.folder.display())).said(1, &[]);
    assert_eq!(shop.hub.number("SELECT count(*) FROM change_log"), 1);
    // The next session, after a reboot, still finds it.
    on_a_bus(&register, &format!("{UNLOCK}; \"$TILLSYNC\" sync --config \"$CONFIG\"")).said(0, &["up to date"]);
    // One that nobody unlocked says so and keeps everything.
    register_another_sale(&register);
    let without = on_a_bus(&register, "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent \"$TILLSYNC\" sync --config \"$CONFIG\"");
    without.said(4, &["keychain", "1 changes are kept"]);
}

fn register_another_sale(register: &Register) {
    super::support::pos(&register.store).execute_batch("INSERT INTO sales VALUES (2)").unwrap();
}

#[test]
fn without_a_keychain_the_words_name_the_way_out_and_nobody_is_registered() {
    let shop = Shop::open();
    let no_bus = "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent";
    for (missing, prefix) in [("bus", no_bus), ("service", "env")] {
        let register = shop.register(missing, SCHEMA);
        let script = format!("{prefix} {}", init(&shop.hub.url));
        let ended = if missing == "service" { on_a_bare_bus(&register, &script) } else { on_a_bus(&register, &script) };
        ended.said(1, &["keychain", "credentials = \"file\""]);
    }
    assert_eq!(shop.hub.number("SELECT count(*) FROM devices"), 0);
}

/// The same on a bus that knows no service to start.
fn on_a_bare_bus(register: &Register, script: &str) -> Ended {
    let config = register.folder.join("bus.conf");
    let listen = register.folder.join("bus");
    fs::write(
        &config,
        format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">
             <busconfig><type>session</type><listen>unix:path={}</listen>
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            listen.display()
        ),
    )
    .unwrap();
    on_a_bus(register, &format!("exec dbus-run-session --config-file={} -- sh -c '{script}'", config.display()))
}
