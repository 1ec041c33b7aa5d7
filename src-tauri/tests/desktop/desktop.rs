//! A desktop without a screen: an X server, a session bus that starts nothing by itself, a home folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use zbus::blocking::Connection;
use zbus::blocking::connection::Builder;
use zbus::blocking::fdo::DBusProxy;

use crate::support::{Running, eventually, shell};

/// Wide enough for the window beside the menu of a panel.
const SCREEN: &str = "1024x768x24";

/// Programs that a desktop consists of.
const NEEDED: [&str; 7] = ["Xvfb", "openbox", "dbus-daemon", "gnome-keyring-daemon", "WebKitWebDriver", "xdotool", "xclip"];

/// A desktop; all of it ends with the test.
pub struct Desktop {
    pub home: PathBuf,
    runtime: PathBuf,
    address: String,
    display: String,
    more: Vec<(String, String)>,
    programs: Vec<Running>,
}

impl Desktop {
    /// A desktop whose home is the folder of a register.
    pub fn start(home: &Path) -> Self {
        for needed in NEEDED {
            assert_eq!(shell(&format!("command -v {needed}")).code, 0, "{needed} is missing; `cargo xtask setup` installs it");
        }
        let runtime = home.join("runtime");
        fs::create_dir_all(&runtime).unwrap();
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();
        let (bus, address) = bus(&runtime);
        let (screen, display) = screen(&runtime);
        let mut desktop = Self { home: home.to_owned(), runtime, address, display, more: Vec::new(), programs: vec![bus, screen] };
        // Gives windows a frame and the keyboard, and closes them.
        desktop.run("openbox", desktop.command("openbox"));
        eventually("somebody manages the windows", || {
            let asked = desktop.command("xdotool").arg("get_num_desktops").output().unwrap();
            asked.status.success().then_some(())
        });
        desktop
    }

    /// Starts a program that ends with the desktop.
    fn run(&mut self, name: &str, mut command: Command) {
        let printed = self.runtime.join(format!("{name}.out"));
        self.programs.push(Running::start(&mut command, &printed));
    }

    /// Sets a variable for every program from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.more.push((name.to_owned(), value.to_owned()));
    }

    /// Starts and unlocks the keychain.
    pub fn unlock_keychain(&mut self) {
        fs::create_dir_all(self.home.join(".local/share/keyrings")).unwrap();
        let password = self.runtime.join("password");
        fs::write(&password, "password").unwrap();
        let line = format!("exec gnome-keyring-daemon --foreground --unlock --components=secrets < {}", password.display());
        let mut command = self.command("sh");
        command.args(["-c", &line]);
        self.run("keychain", command);
        let names = DBusProxy::new(&self.connect()).unwrap();
        eventually("the keychain is there", || {
            names.name_has_owner("org.freedesktop.secrets".try_into().unwrap()).unwrap().then_some(())
        });
    }

    /// A program on this desktop, with nothing of the desktop that the test itself may run on.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let kept = ["PATH", "LLVM_PROFILE_FILE", "RUST_BACKTRACE"];
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| kept.iter().any(|kept| name == kept)));
        command.envs(self.variables());
        command
    }

    fn variables(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let mut variables: Vec<(String, String)> = [
            ("HOME", text(&self.home)),
            ("XDG_RUNTIME_DIR", text(&self.runtime)),
            ("DBUS_SESSION_BUS_ADDRESS", self.address.clone()),
            ("DISPLAY", self.display.clone()),
            ("LANG", "en_GB.UTF-8".to_owned()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
            ("NO_AT_BRIDGE", "1".to_owned()),
            ("GDK_BACKEND", "x11".to_owned()),
            ("GSETTINGS_BACKEND", "memory".to_owned()),
            ("LIBGL_ALWAYS_SOFTWARE", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        variables.extend(self.more.iter().cloned());
        variables
    }

    /// The session bus.
    pub fn connect(&self) -> Connection {
        self.bus().build().unwrap()
    }

    /// The same for who serves something.
    pub fn bus(&self) -> Builder<'static> {
        Builder::address(zbus::Address::from_str(&self.address).unwrap()).unwrap()
    }

    /// Windows on the screen whose title holds a text.
    pub fn windows(&self, title: &str) -> Vec<String> {
        let found = self.command("xdotool").args(["search", "--onlyvisible", "--name", title]).output().unwrap();
        String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits for a window and gives back its number.
    pub fn window(&self, title: &str) -> String {
        eventually(&format!("a window called {title}"), || self.windows(title).pop())
    }

    /// Presses a key in a window.
    pub fn press(&self, window: &str, keys: &[&str]) {
        for arguments in [["windowactivate", "--sync", window].as_slice(), &[&["key"], keys].concat()] {
            let done = self.command("xdotool").args(arguments).status().unwrap();
            assert!(done.success(), "xdotool {arguments:?}");
        }
    }
}

/// A session bus without services that it would start by itself: what a test did not start is not there.
fn bus(runtime: &Path) -> (Running, String) {
    let (config, socket) = (runtime.join("bus.conf"), runtime.join("bus"));
    let text = format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">
         <busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
         <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
        socket.display()
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new("dbus-daemon");
    command.arg("--nofork").arg(format!("--config-file={}", config.display()));
    let running = Running::start(&mut command, &runtime.join("bus.out"));
    eventually("the session bus listens", || socket.exists().then_some(()));
    (running, format!("unix:path={}", socket.display()))
}

/// An X server on any free display.
fn screen(runtime: &Path) -> (Running, String) {
    let printed = runtime.join("screen.out");
    let mut command = Command::new("Xvfb");
    command.args(["-displayfd", "1", "-screen", "0", SCREEN, "-nolisten", "tcp", "-noreset"]);
    let running = Running::start(&mut command, &printed);
    let number = eventually("the X server has a display", || {
        fs::read_to_string(&printed).unwrap_or_default().lines().find_map(|line| line.trim().parse::<u32>().ok())
    });
    (running, format!(":{number}"))
}
