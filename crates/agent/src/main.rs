//! The `tillsync` command.

fn main() -> std::process::ExitCode {
    tillsync_agent::cli::main()
}
