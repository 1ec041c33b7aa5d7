//! The program `tillsync-hub`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use tillsync_hub::cli::Cli;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    match cli.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // When that fails nobody is left to be told.
            let _ = writeln!(std::io::stderr(), "tillsync-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}
