//! The project's own tasks: `cargo xtask COMMAND`.

mod bench;
mod content;
mod demo;
mod platforms;
mod setup;
mod shop;
mod test;
mod torture;
mod window;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Two registers, a hub and a failing network, with a proof at the end
    Demo(demo::Options),
    /// Measurements, as ratios against plain SQLite
    Bench(bench::Options),
    /// Install the system packages that the tests need
    Setup,
    /// Set-up, formatting, clippy, documentation, all tests
    Test,
    /// The simulator over many seeds
    Torture(torture::Options),
    /// Type-check everything for Windows and macOS
    CheckPlatforms {
        /// Use Debian's compiler even where rustup would do
        #[arg(long)]
        without_rustup: bool,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Demo(options) => demo::demo(options),
        Task::Bench(options) => bench::bench(&options),
        Task::Setup => setup::for_tests(),
        Task::Test => test::test(),
        Task::Torture(options) => torture::torture(&options),
        Task::CheckPlatforms { without_rustup } => platforms::check(without_rustup),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
