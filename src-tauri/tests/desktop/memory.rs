//! What an idle register pays.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Running, eventually};
use crate::till::Till;

/// Proportional memory of an idle app, in bytes. An unoptimised program is several times as large as what ships, and half of this.
const IDLE_BYTES_MAX: u64 = if cfg!(debug_assertions) { 130 } else { 90 } * 1024 * 1024;

/// The same once a window was open: what the browser's libraries took in this process stays there until its end.
const AFTER_WINDOW_BYTES_MAX: u64 = 180 * 1024 * 1024;

/// Processes of the app, itself included.
fn processes(app: &Running) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|id: u32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            // The name before it may hold anything.
            let (_, rest) = stat.rsplit_once(')')?;
            Some((id, rest.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect();
    let mut found = vec![app.id()];
    let mut place = 0;
    while let Some(parent) = found.get(place).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| id));
        place += 1;
    }
    found
}

fn proportional_bytes(id: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Clock ticks of processor time so far.
fn ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
fn an_idle_register_pays_for_an_agent_and_not_for_a_browser() {
    let till = Till::open();
    let app = till.start(&["--window-kept", "3"]);
    let item = till.panel.item();
    item.says("Up to date");
    let before = proportional_bytes(app.id());
    assert_eq!(processes(&app), [app.id()], "no browser before anybody wants a window");

    item.activate();
    let window = till.desktop.window("^Tillsync");
    eventually("the window has a browser", || (processes(&app).len() > 1).then_some(()));
    till.desktop.press(&window, &["alt+F4"]);
    eventually("the window is hidden", || till.desktop.windows("^Tillsync").is_empty().then_some(()));
    assert!(processes(&app).len() > 1, "who comes back soon finds it again");
    eventually("the browser is gone", || (processes(&app) == [app.id()]).then_some(()));
    let after = proportional_bytes(app.id());

    item.says("Up to date");
    let (begun, used) = (Instant::now(), ticks(app.id()));
    eventually("a while has passed", || (begun.elapsed() > Duration::from_secs(10)).then_some(()));
    let used = ticks(app.id()) - used;
    eprintln!("idle: {before} bytes before the window was open, {after} after; {used} ticks in ten seconds");
    assert!(before < IDLE_BYTES_MAX, "{before} bytes");
    assert!(after < AFTER_WINDOW_BYTES_MAX, "{after} bytes once the window was open");
    assert!(used < 20, "{used} ticks of processor time in ten idle seconds");
}

#[test]
fn the_icon_is_there_within_a_blink() {
    let till = Till::open();
    let mut best = Duration::MAX;
    // The first start reads the program from the disk.
    for _ in 0..3 {
        let begun = Instant::now();
        let mut app = till.start(&[]);
        let item = till.panel.item();
        best = best.min(begun.elapsed());
        item.says("Up to date");
        item.click("Quit");
        assert_eq!(app.wait(), 0);
    }
    eprintln!("start to icon: {best:?}");
    assert!(best < Duration::from_millis(1500), "{best:?}");
}
