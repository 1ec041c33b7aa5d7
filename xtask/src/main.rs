//! The project's own tasks: `cargo xtask COMMAND`.

mod platforms;
mod setup;
mod test;
mod workspace;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install the system packages that the tests need
    Setup,
    /// Set-up, formatting, clippy, documentation, all tests
    Test,
    /// Type-check everything for Windows and macOS
    CheckPlatforms {
        /// Use Debian's compiler even where rustup would do
        #[arg(long)]
        without_rustup: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Setup => setup::for_tests(),
        Task::Test => test::test(),
        Task::CheckPlatforms { without_rustup } => platforms::check(without_rustup),
    }
}
