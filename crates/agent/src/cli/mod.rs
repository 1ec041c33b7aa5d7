//! The `tillsync` command: a contract that people, IT and tests rely on.
//!
//! Exit codes: 0 all is well; 1 something failed, the message says what to do; and for `sync` 2 the server was not reached and
//! everything is kept, 3 something waits for a person, 4 the server refuses this register.

mod conflicts;
pub(crate) mod context;
mod doctor;
pub(crate) mod init;
pub(crate) mod login;
mod outbox;
mod propose;
mod rekey;
pub(crate) mod run;
mod say;
mod show;
mod sync;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tillsync_core::config::{Direction, Key, Protocol};
use tillsync_core::policy::Rule;

use crate::cli::context::Context;
use crate::cli::login::LoginArgs;
use crate::cli::say::complain;

#[derive(Parser)]
#[command(name = "tillsync", version, about = "Keeps a shop's registers and its cloud in step")]
struct Cli {
    /// The config file [default: tillsync.toml in the platform's config folder]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the store, write the config, register this device and install the capture; safe to run again
    Init(InitArgs),
    /// Run the agent in the foreground until Ctrl-C or SIGTERM
    Run,
    /// Capture, push until nothing is left, pull until there is no more
    Sync {
        /// Give up after this many seconds
        #[arg(long, value_name = "S", default_value_t = 300)]
        timeout: u64,
    },
    /// Say in one sentence how things are
    Status {
        /// As JSON; times are Unix milliseconds
        #[arg(long)]
        json: bool,
    },
    /// List changes that wait, or handle one that the server refused
    Outbox(OutboxArgs),
    /// List how each table syncs, or change it
    Tables(TablesArgs),
    /// List what two registers changed in different ways, and what decided; or decide it
    Conflicts(ConflictsArgs),
    /// Stop sending and fetching; changes are still captured
    Pause {
        /// For how long, such as 30m or 1h [default: until `resume`]
        #[arg(long = "for", value_name = "TIME")]
        period: Option<String>,
    },
    /// End a pause
    Resume,
    /// Compare the store with what was last seen, row by row, or what was seen with the server
    Verify {
        /// Turn any number of vanished rows into deletes
        #[arg(long)]
        accept_deletes: bool,
        /// Fetch vanished rows back from the server
        #[arg(long, conflicts_with = "accept_deletes")]
        fetch_vanished: bool,
        /// Compare counts and hashes with the server, down to the row where they differ
        #[arg(long, conflicts_with_all = ["accept_deletes", "fetch_vanished"])]
        against_server: bool,
        /// Fetch and send again what differs
        #[arg(long, requires = "against_server")]
        repair: bool,
        /// Print JSON
        #[arg(long, requires = "against_server")]
        json: bool,
    },
    /// Get into a server of another protocol again, whose token or log-in is over
    Login(LoginArgs),
    /// Check everything and say what to do
    Doctor,
    /// Replace this register's API key; the one so far works for a while longer
    Rekey,
    /// Remove every trace of Tillsync from the store
    Detach {
        /// Also when changes are unsent
        #[arg(long)]
        force: bool,
    },
    /// Show the end of the log
    Logs {
        /// How many lines
        #[arg(long, default_value_t = 50)]
        lines: usize,
        /// Only print the folder
        #[arg(long)]
        path: bool,
    },
}

#[derive(Args)]
pub(crate) struct InitArgs {
    /// The POS's SQLite file [default: what the config says]
    #[arg(long, value_name = "PATH")]
    pub(crate) store: Option<PathBuf>,
    /// The server's address [default: what the config says]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The server's protocol [default: what the config says, or hub]
    #[arg(long, value_enum)]
    pub(crate) protocol: Option<ProtocolArg>,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
    /// What people call this register [default: the machine's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What this register may do
    #[arg(long, value_enum)]
    pub(crate) role: Option<RoleArg>,
    /// Permission to register, from whoever runs the server
    #[arg(long, value_name = "T", env = "TILLSYNC_ENROLL_TOKEN", hide_env_values = true)]
    pub(crate) enroll_token: Option<String>,
    /// Where the agent keeps its state [default: a folder in the platform's data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where the API key is kept [default: keychain]
    #[arg(long, value_enum)]
    pub(crate) credentials: Option<CredentialsArg>,
    /// Only these tables sync
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub(crate) tables: Option<Vec<String>>,
    /// How a table's key is meant, such as sales=register, or *=global for all others [default: proposed from schema and data]
    #[arg(long, value_name = "TABLE=KIND", value_parser = tables::parse_key)]
    pub(crate) key: Vec<(String, Key)>,
    /// Take over a store whose other agent is gone for good
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Stay the same register on this machine; the one before is gone for good
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ProtocolArg {
    Hub,
    Nuqta,
    Auraflow,
    Events,
    Booky,
    Insight,
}

impl From<ProtocolArg> for Protocol {
    fn from(arg: ProtocolArg) -> Self {
        match arg {
            ProtocolArg::Hub => Self::Hub,
            ProtocolArg::Nuqta => Self::Nuqta,
            ProtocolArg::Auraflow => Self::Auraflow,
            ProtocolArg::Events => Self::Events,
            ProtocolArg::Booky => Self::Booky,
            ProtocolArg::Insight => Self::Insight,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    Register,
    Manager,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CredentialsArg {
    Keychain,
    File,
}

#[derive(Args)]
struct ConflictsArgs {
    #[command(subcommand)]
    action: Option<ConflictsAction>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Ask the hub for all that this register may see; a manager's sees everything
    #[arg(long)]
    hub: bool,
}

#[derive(Subcommand)]
enum ConflictsAction {
    /// Show one with both values
    Show {
        /// Its number in the list
        id: i64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Decide one that waits, or change what a rule decided
    Resolve(ResolveArgs),
}

#[derive(Args)]
struct ResolveArgs {
    /// Its number in the list
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<i64>,
    /// Every one of a table that waits
    #[arg(long, requires = "entity")]
    all: bool,
    /// The table, for --all
    #[arg(long, value_name = "TABLE", requires = "all")]
    entity: Option<String>,
    /// Whose value stays
    #[arg(long, value_enum, conflicts_with = "set")]
    keep: Option<KeepArg>,
    /// Columns of the server's row that get another value; JSON, or else a text
    #[arg(long, value_name = "COL=VALUE", num_args = 1.., conflicts_with = "all")]
    set: Vec<String>,
    /// The row's version that you saw [default: the one that this register was told]
    #[arg(long, value_name = "N", conflicts_with = "all")]
    version: Option<i64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeepArg {
    /// That of the register whose change it was
    Local,
    /// That of the server
    Server,
}

#[derive(Args)]
struct OutboxArgs {
    #[command(subcommand)]
    action: Option<OutboxAction>,
    /// Only changes that wait for a person
    #[arg(long)]
    parked: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum OutboxAction {
    /// Send a refused change again, or try a row again that waits to get into the store
    Retry {
        /// Its number in the list, such as 12 or i345
        id: outbox::Number,
    },
    /// Give a refused change up, and the server's row takes its place; or keep a row out that waits to get into the store
    Discard {
        /// Its number in the list, such as 12 or i345
        id: outbox::Number,
    },
}

#[derive(Args)]
struct TablesArgs {
    #[command(subcommand)]
    action: Option<TablesAction>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum TablesAction {
    /// Change how a table syncs; the config keeps its comments, and a running agent goes on with the change
    Set(TablesSetArgs),
}

#[derive(Args)]
struct TablesSetArgs {
    /// The table
    table: String,
    /// How its key is meant
    #[arg(long, value_enum)]
    key: Option<KeyArg>,
    /// What happens where two registers gave a column two values
    #[arg(long, value_name = "P", value_parser = ["latest", "server", "client", "manager", "manual", "sum", "field", "json", "fill"])]
    policy: Option<String>,
    /// The rule of one column: latest, server, client, manager, manual, sum, json or fill
    #[arg(long, value_name = "COL=RULE", value_parser = tables::parse_rule)]
    column: Vec<(String, Rule)>,
    /// Which way its rows go
    #[arg(long, value_enum)]
    direction: Option<DirectionArg>,
    /// Columns that never leave the register, beside secrets; "" excludes nothing, not even secrets
    #[arg(long, value_name = "COL,...")]
    exclude: Option<String>,
    /// Columns that are each register's own, beside flip flags; "" ignores nothing
    #[arg(long, value_name = "COL,...")]
    ignore: Option<String>,
    /// Only rows that meet this condition sync; "" takes it away
    #[arg(long, value_name = "SQL")]
    filter: Option<String>,
    /// Its name on the wire; "" takes it away
    #[arg(long, value_name = "NAME")]
    entity: Option<String>,
    /// A reference that the schema does not declare, such as sale_id=sales
    #[arg(long, value_name = "COL=TABLE", value_parser = tables::parse_pair)]
    reference: Vec<(String, String)>,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeyArg {
    Global,
    Register,
}

impl From<KeyArg> for Key {
    fn from(arg: KeyArg) -> Self {
        match arg {
            KeyArg::Global => Self::Global,
            KeyArg::Register => Self::Register,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum DirectionArg {
    Both,
    Push,
    Pull,
}

impl From<DirectionArg> for Direction {
    fn from(arg: DirectionArg) -> Self {
        match arg {
            DirectionArg::Both => Self::Both,
            DirectionArg::Push => Self::Push,
            DirectionArg::Pull => Self::Pull,
        }
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            complain!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Command::Init(args) = &cli.command {
        return init::init(cli.config, args);
    }
    let context = Context::load(cli.config)?;
    match cli.command {
        Command::Init(_) => Ok(ExitCode::SUCCESS),
        Command::Run => run::run(&context),
        Command::Sync { timeout } => sync::sync(&context, timeout),
        Command::Status { json } => show::status(&context, json),
        Command::Outbox(OutboxArgs { action: None, parked, json }) => outbox::list(&context, parked, json),
        Command::Outbox(OutboxArgs { action: Some(OutboxAction::Retry { id }), .. }) => outbox::retry(&context, id),
        Command::Outbox(OutboxArgs { action: Some(OutboxAction::Discard { id }), .. }) => outbox::discard(&context, id),
        Command::Tables(TablesArgs { action: None, json }) => tables::list(&context, json),
        Command::Tables(TablesArgs { action: Some(TablesAction::Set(args)), .. }) => tables::set(&context, &args),
        Command::Conflicts(ConflictsArgs { action: Some(ConflictsAction::Show { id, json }), .. }) => {
            conflicts::show(&context, id, json)
        }
        Command::Conflicts(ConflictsArgs { action: Some(ConflictsAction::Resolve(args)), .. }) => {
            conflicts::resolve(&context, &args)
        }
        Command::Conflicts(args) => conflicts::list(&context, &args),
        Command::Pause { period } => run::pause(&context, period.as_deref()),
        Command::Resume => run::resume(&context),
        Command::Verify { against_server: true, repair, json, .. } => doctor::verify_against_server(&context, repair, json),
        Command::Verify { fetch_vanished: true, .. } => doctor::fetch_vanished(&context),
        Command::Verify { accept_deletes, .. } => doctor::verify(&context, accept_deletes),
        Command::Login(args) => login::login(&context, &args),
        Command::Doctor => doctor::doctor(&context),
        Command::Rekey => rekey::rekey(&context),
        Command::Detach { force } => doctor::detach(&context, force),
        Command::Logs { lines, path } => show::logs(&context, lines, path),
    }
}
