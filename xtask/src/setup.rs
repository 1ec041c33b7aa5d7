//! System packages: what is needed, why, and how to get what is missing.

use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::{is_installed, run, succeeds};

/// A Debian package, known to be there by a program or a file of it. Looking for the program is instant, needs no network, and is right
/// on machines that got it some other way.
pub struct Package {
    name: &'static str,
    program: &'static str,
    reason: &'static str,
}

/// For `cargo xtask test`.
const FOR_TESTS: &[Package] = &[
    Package { name: "gcc", program: "cc", reason: "builds SQLite, which is bundled as C" },
    Package { name: "git", program: "git", reason: "the tidy test asks it for the project's files" },
    Package { name: "dbus", program: "dbus-run-session", reason: "gives keychain tests a session bus of their own" },
    Package { name: "gnome-keyring", program: "gnome-keyring-daemon", reason: "the Secret Service that keychain tests talk to" },
    Package { name: "libsecret-tools", program: "secret-tool", reason: "lets keychain tests look at the keychain from outside" },
];

/// For the tests of the tray's window.
const FOR_WINDOW: &[Package] = &[
    Package { name: "npm", program: "npm", reason: "fetches what the window is made with" },
    Package { name: "chromium", program: "chromium", reason: "shows the window to its tests" },
    Package {
        name: "fonts-noto-core",
        program: "/usr/share/fonts/truetype/noto/NotoSansArabic-Regular.ttf",
        reason: "the letters in the pictures of the window",
    },
];

/// For the tray app.
pub const FOR_APP: &[Package] = &[
    Package { name: "pkg-config", program: "pkg-config", reason: "finds the libraries of the desktop" },
    Package {
        name: "libwebkit2gtk-4.1-dev",
        program: "/usr/include/webkitgtk-4.1/webkit2/webkit2.h",
        reason: "the desktop's libraries, which show the window",
    },
];

/// For the tests of the tray app.
const FOR_DESKTOP: &[Package] = &[
    Package { name: "xvfb", program: "Xvfb", reason: "a screen for the tray app that nobody sees" },
    Package { name: "webkit2gtk-driver", program: "WebKitWebDriver", reason: "clicks in the window of the tray app" },
    Package { name: "openbox", program: "openbox", reason: "gives windows the keyboard there" },
    Package { name: "xdotool", program: "xdotool", reason: "closes windows and answers dialogs of the tray app" },
    Package { name: "xclip", program: "xclip", reason: "lets tests of the tray app look into the clipboard" },
];

/// For the Windows half of `cargo xtask check-platforms`.
pub const FOR_WINDOWS: &[Package] = &[
    Package { name: "gcc-mingw-w64-x86-64", program: "x86_64-w64-mingw32-gcc", reason: "compiles C for Windows" },
    Package { name: "g++-mingw-w64-x86-64", program: "x86_64-w64-mingw32-g++", reason: "compiles C++ for Windows" },
];

/// Installs what the tests need and the machine lacks.
pub fn for_tests() -> Result<()> {
    [FOR_TESTS, FOR_WINDOW, FOR_APP, FOR_DESKTOP].into_iter().try_for_each(install)
}

/// Installs the packages that are missing, or says how to.
pub fn install(packages: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = packages.iter().filter(|package| !is_installed(package.program)).collect();
    if missing.is_empty() {
        println!("nothing is missing");
        return Ok(());
    }
    for package in &missing {
        println!("missing: {} ({})", package.name, package.reason);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let by_hand = format!("apt-get update && apt-get install -y --no-install-recommends {}", names.join(" "));
    let Some(mut prefix) = privileged() else {
        bail!("this needs root, and `sudo -n` is not allowed here. Run once:\n\n    sudo sh -c '{by_hand}'\n");
    };
    if !is_installed("apt-get") {
        bail!("this is not a Debian system: install the packages named above in its own way, then run this again");
    }
    prefix.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]);
    apt(&prefix, &["update"])?;
    apt(&prefix, &[&["install", "-y", "--no-install-recommends"], names.as_slice()].concat())?;
    match missing.iter().find(|package| !is_installed(package.program)) {
        Some(package) => bail!("{} is installed but `{}` is not in the search path", package.name, package.program),
        None => Ok(()),
    }
}

/// What to put before a command that needs root; `None` when there is no way.
fn privileged() -> Option<Vec<&'static str>> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.starts_with(b"0\n"));
    if is_root {
        return Some(Vec::new());
    }
    succeeds("sudo", &["-n", "true"]).then(|| vec!["sudo", "-n"])
}

fn apt(prefix: &[&str], arguments: &[&str]) -> Result<()> {
    let words = [prefix, arguments].concat();
    run(Command::new(words[0]).args(&words[1..]))
}
