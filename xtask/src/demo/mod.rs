//! The line, told with real processes: two registers, a hub, a network that fails in between, and a proof at the end.

mod board;
mod edits;
mod network;
mod proof;
mod stores;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use board::Board;
use edits::Editor;
use network::Wire;

use crate::shop::{Folder, Host, Hub, Pos, PosTotals, Register, Status, interruptible, pause, wait_until};
use crate::workspace::{cargo, run};
use crate::{setup, window};

/// Unoptimised, because the reader waits for the build: a third of the time of a release build, and fast enough for a shop.
const PROFILE: &str = "debug";
/// A busy counter, so that half a minute shows something.
const SALES_PER_SECOND: f64 = 8.0;
/// For a step that only waits for the agents; the extract needs a few seconds, a reader's own store may need minutes.
const SETTLE_WITHIN: Duration = Duration::from_secs(600);
/// An agent that was refused tries again within a minute, whatever happened before.
const ONLINE_WITHIN: Duration = Duration::from_secs(120);
/// How often the registers are asked for their state.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What the reader asked for.
#[derive(clap::Args)]
pub struct Options {
    /// How long sales are rung up
    #[arg(long, default_value_t = 18, value_parser = clap::value_parser!(u64).range(3..))]
    seconds: u64,
    /// Keep everything in this new folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Use a copy of this SQLite store instead of the retail extract; some of its rows are edited instead of sales
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Show register B's agent in the tray of this desktop
    #[arg(long)]
    tray: bool,
}

/// Tells the story; an error unless the proof holds.
pub fn demo(options: Options) -> Result<()> {
    interruptible()?;
    println!("Building the agent, the hub and a point-of-sale program …");
    let mut packages = vec!["-p", "tillsync-agent", "-p", "tillsync-hub", "-p", "tillsync-tests"];
    if options.tray {
        setup::install(setup::FOR_APP)?;
        window::build()?;
        packages.extend(["-p", "tillsync-tray"]);
    }
    run(cargo().args(["build", "--quiet", "--bins"]).args(packages))?;
    let folder = Folder::new(options.keep)?;
    let third = Duration::from_secs(options.seconds) / 3;

    let host = if options.tray { Host::Tray } else { Host::CommandLine };
    let mut shop = Shop::open(&folder, options.store.as_deref(), host)?;
    shop.first_full_sync()?;
    shop.ring_up_with_the_network_cut_in_between(third)?;
    let totals = shop.close()?;
    let [a, b] = &shop.registers;
    let holds = proof::prove(a, b, &shop.hub, &totals);
    if let Folder::Kept(path) = &folder {
        println!("Everything is in {}", path.display());
    }
    ensure!(holds?, "the line does not hold");
    println!("\nthe line holds");
    if options.tray {
        shop.stays()?;
    }
    Ok(())
}

/// The processes come before the wire and the hub, so that they end first.
struct Shop {
    at_work: Vec<AtWork>,
    registers: [Register; 2],
    wire: Wire,
    hub: Hub,
    board: Board,
    own_store: bool,
}

/// Whoever changes rows at a register.
enum AtWork {
    Pos(Pos),
    Editor(Editor),
}

impl Shop {
    fn open(folder: &Folder, own_store: Option<&Path>, host: Host) -> Result<Self> {
        let new = |name| Register::new(PROFILE, folder.path(), name);
        let registers = [new("Register A")?, new("Register B")?.hosted_by(host)];
        let [a, b] = &registers;
        match own_store {
            None => stores::retail(a, b)?,
            Some(path) => stores::copies(path, a, b)?,
        }
        let hub = Hub::start(PROFILE, folder.path(), registers.len())?;
        let wire = Wire::to(hub.address)?;
        a.init(hub.address, &hub.enroll_token)?;
        b.init(wire.address, &hub.enroll_token)?;
        Ok(Self { at_work: Vec::new(), board: Board::new(registers.len()), registers, wire, hub, own_store: own_store.is_some() })
    }

    fn first_full_sync(&mut self) -> Result<()> {
        self.board.tell("\n1  Register A has a year of sales, register B is new. The first full sync:");
        for register in &mut self.registers {
            register.start_agent()?;
            register.wait_for_status()?;
        }
        self.watch_until_settled()?;
        // B may have been in step with a hub that A had not finished filling.
        self.registers.iter().try_for_each(Register::sync)
    }

    fn ring_up_with_the_network_cut_in_between(&mut self, third: Duration) -> Result<()> {
        self.board.tell("\n2  Both registers ring up sales:");
        self.at_work = self.registers.iter().zip(1..).map(|(at, number)| self.go_to_work(at, number)).collect::<Result<_>>()?;
        self.watch(third)?;
        self.board.tell("\n3  Register B's network is cut; it goes on selling and its queue grows:");
        self.wire.cut();
        self.watch(third)?;
        let status = self.registers[1].status()?;
        ensure!(status.pending > 0, "register B lost its network and sold on, but nothing waits in its queue");
        self.board.tell(&format!("\n4  The network is back; {} changes wait in register B:", status.pending));
        self.wire.mend();
        wait_until("register B finds the hub again", ONLINE_WITHIN, || {
            self.look()?;
            Ok(self.registers[1].status()?.state != "offline")
        })?;
        self.watch(third)
    }

    fn go_to_work(&self, at: &Register, number: u32) -> Result<AtWork> {
        if self.own_store {
            return Ok(AtWork::Editor(Editor::start(&at.store, number)?));
        }
        Pos::start(PROFILE, at, number, SALES_PER_SECOND).map(AtWork::Pos)
    }

    /// Ends the sales, lets the agents finish, ends them too, and syncs once more by hand.
    fn close(&mut self) -> Result<Vec<PosTotals>> {
        self.board.tell("\n5  The registers close; what is still waiting is synced:");
        let mut totals = Vec::new();
        for at_work in self.at_work.drain(..) {
            match at_work {
                AtWork::Pos(pos) => totals.push(pos.finish()?),
                AtWork::Editor(editor) => self.board.tell(&format!("   {}", editor.finish()?)),
            }
        }
        self.watch_until_settled()?;
        self.board.finish();
        for register in &mut self.registers {
            register.end_agent();
        }
        // A second time for A, since B may have had the last word.
        let [a, b] = &self.registers;
        for register in [a, b, a] {
            register.sync()?;
        }
        Ok(totals)
    }

    /// Opens register B once more, for whoever wants to look around.
    fn stays(&mut self) -> Result<()> {
        println!("\nRegister B's tray app stays, and so does the hub: quit it in its menu, or press Ctrl-C here.");
        println!("Its store is {}", self.registers[1].store.display());
        self.registers[1].start_agent()?;
        // Ctrl-C is an answer, too.
        let _ = self.registers[1].wait_for_end();
        Ok(())
    }

    fn watch(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.look()?;
            pause(LOOK_EVERY.min(end.saturating_duration_since(Instant::now())))?;
        }
        Ok(())
    }

    fn watch_until_settled(&mut self) -> Result<()> {
        let mut settled_before = false;
        wait_until("both registers are synced", SETTLE_WITHIN, || {
            // Twice in a row: what B sends last is not yet pending anywhere when A is asked first.
            let settled = self.look()?;
            let done = settled && settled_before;
            settled_before = settled;
            if !done {
                pause(LOOK_EVERY)?;
            }
            Ok(done)
        })?;
        self.show()
    }

    /// Sees that everybody is alive and shows the registers; whether both have nothing left to do.
    fn look(&mut self) -> Result<bool> {
        self.hub.ensure_alive()?;
        for register in &mut self.registers {
            register.ensure_alive()?;
        }
        for at_work in &mut self.at_work {
            match at_work {
                AtWork::Pos(pos) => pos.ensure_alive()?,
                AtWork::Editor(editor) => editor.edit()?,
            }
        }
        if self.board.is_due() {
            self.show()?;
        }
        let statuses = self.registers.iter().map(Register::status).collect::<Result<Vec<_>>>()?;
        Ok(statuses.iter().all(Status::is_settled))
    }

    fn show(&mut self) -> Result<()> {
        let registers: Vec<_> =
            self.registers.iter().map(|register| Ok((register.name.as_str(), register.status()?))).collect::<Result<_>>()?;
        self.board.show(&registers);
        match registers.iter().find(|(_, status)| status.is_stuck()) {
            Some((name, status)) => bail!("{name}: {}\n{}", status.sentence, status.problems.join("\n")),
            None => Ok(()),
        }
    }
}
