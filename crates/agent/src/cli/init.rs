//! `tillsync init`: check the store, write the config, register the device, install the capture. Every step may have been done before.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use tillsync_core::config::{Config, Credentials, Role, Table, TableChange, edit_table, merge_into};
use tillsync_core::sync::Trouble;
use uuid::Uuid;

use crate::adopt;
use crate::agent::Agent;
use crate::claim::Claim;
use crate::cli::context::{Lock, default_config_path, default_state_dir, explain, open_agent};
use crate::cli::propose::Proposed;
use crate::cli::say::say;
use crate::cli::{CredentialsArg, InitArgs, RoleArg, login, propose, tables};
use crate::foreign::Foreign;
use crate::machine::Standing;
use crate::remote::{PullQuery, PullReply, RegisterReply};
use crate::state::marks;
use crate::store::{StoreError, open, schema, settings};

pub fn init(path: Option<PathBuf>, args: &InitArgs) -> anyhow::Result<ExitCode> {
    let path = std::path::absolute(path.map_or_else(default_config_path, Ok)?)?;
    let config = make_config(&path, args)?;
    check_store(&config)?;
    let Some(_lock) = Lock::take(&config.state_dir)? else {
        bail!("an agent is running with the state folder {}; stop it first", config.state_dir.display());
    };
    let agent = open_agent(&config)?;
    refuse_another_store(&agent)?;
    let has_parted = settle_machine(&agent, args)?;
    agent.claim(if args.take_over { Claim::Any } else { Claim::Copies }).map_err(|error| explain(&error))?;
    write_config(&path, &config)?;
    say!("config     {}", path.display())?;
    match &agent.foreign {
        Some(foreign) => login::enter(&agent, foreign, &args.login)?,
        None => {
            args.login.refuse()?;
            register(&agent, args.enroll_token.as_deref().filter(|_| !has_parted))?;
        }
    }
    let agent = propose_keys(&path, args, agent)?;
    agent.set_up().map_err(|error| explain(&error))?;
    let store = agent.store();
    say!("store      {} ({} tables sync)", config.store.display(), store.schema.tables.len())?;
    for refused in &store.schema.refused {
        say!("           {} does not sync: {}", refused.table, refused.reason)?;
    }
    say!("ready      start the agent with `tillsync run --config {}`", path.display())?;
    Ok(ExitCode::SUCCESS)
}

/// A copy of a register on another machine takes that one's place, or becomes a register of its own. Says whether it did the latter.
fn settle_machine(agent: &Agent, args: &InitArgs) -> anyhow::Result<bool> {
    if agent.copied().map_err(|error| explain(&error))?.is_none() {
        return Ok(false);
    }
    if args.replace {
        agent.replace_machine()?;
        say!("machine    this one takes the other one's place")?;
        return Ok(false);
    }
    match runtime()?.block_on(agent.part(args.enroll_token.as_deref())).map_err(|error| explain(&error))? {
        Standing::Own => say!("machine    this was a copy of another register; it is one of its own now")?,
        Standing::Copy(problem) => bail!("{} {}", problem.text, problem.action),
        Standing::Unknown(trouble) => bail!("{}", explain_trouble(&agent.config.server, &trouble)),
    }
    Ok(true)
}

pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// What nobody has said about keys is proposed and written into the config, once: before the store is set up for the first time.
fn propose_keys(path: &Path, args: &InitArgs, agent: Agent) -> anyhow::Result<Agent> {
    let is_set_up = marks::get::<String>(agent.state().conn(), marks::INCARNATION)?.is_some();
    if is_set_up {
        return Ok(agent);
    }
    let others = args.key.iter().rfind(|(table, _)| table == propose::ALL_OTHERS).map(|(_, key)| *key);
    let named: Vec<&str> = args.key.iter().map(|(table, _)| table.as_str()).collect();
    let proposals = propose::propose(&agent, &named, others).map_err(|error| explain(&error))?;
    let mut text = std::fs::read_to_string(path)?;
    for Proposed { table, change, .. } in &proposals {
        text = edit_table(&text, table, change)?;
        let (key, reason) = (change.key.unwrap_or_default(), change.remark.as_deref().unwrap_or_default());
        say!("key        {table}: {}, {}", key.as_str(), reason.strip_prefix(&format!("{table}: ")).unwrap_or(reason))?;
    }
    tables::write_file(path, &text)?;
    let by_schema_alone = proposals.into_iter().filter(|proposed| proposed.by_schema_alone).map(|proposed| proposed.table);
    adopt::set_undecided(agent.state().conn(), &by_schema_alone.collect::<Vec<_>>())?;
    let Config { include_tables, exclude_tables, tables, .. } = Config::parse(&text)?;
    let config = Config { include_tables, exclude_tables, tables, ..agent.config.clone() };
    drop(agent);
    open_agent(&config)
}

/// A config that is there already is kept; arguments change what they name.
fn make_config(path: &Path, args: &InitArgs) -> anyhow::Result<Config> {
    let state_dir = match &args.state_dir {
        Some(folder) => std::path::absolute(folder)?,
        None => default_state_dir()?,
    };
    let known = match std::fs::read_to_string(path) {
        Ok(text) => Some(
            Config::parse(&text)
                .with_context(|| format!("the config {} is there but not valid; correct or remove it", path.display()))?,
        ),
        Err(_) => None,
    };
    let known_name = known.as_ref().map(|config| config.name.clone());
    let name = args.name.clone().or(known_name).unwrap_or_else(machine_name);
    let missing = |what| anyhow!("there is no config at {} yet; give {what}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let known_store = known.as_ref().map(|config| folder.join(&config.store));
    let store = args.store.clone().or(known_store).ok_or_else(|| missing("--store"))?;
    let known_server = known.as_ref().map(|config| config.server.clone());
    let server = args.server.clone().or(known_server).ok_or_else(|| missing("--server"))?;
    let mut config = Config::new(std::path::absolute(store)?, &server, &name, state_dir)?;
    if let Some(known) = known {
        let state_dir = if args.state_dir.is_some() { config.state_dir } else { known.state_dir.clone() };
        config = Config { store: config.store, server: config.server, name: config.name, state_dir, ..known };
    }
    if let Some(role) = args.role {
        config.role = match role {
            RoleArg::Register => Role::Register,
            RoleArg::Manager => Role::Manager,
        };
    }
    if let Some(credentials) = args.credentials {
        config.credentials = match credentials {
            CredentialsArg::Keychain => Credentials::Keychain,
            CredentialsArg::File => Credentials::File,
        };
    }
    if let Some(protocol) = args.protocol {
        config.protocol = protocol.into();
    }
    if let Some(tables) = &args.tables {
        config.include_tables = Some(tables.clone());
    }
    if let (None, Some(carried)) = (&config.include_tables, Foreign::new(&config).and_then(|foreign| foreign.tables())) {
        // A protocol that carries orders alone has no words for anything else.
        config.include_tables = Some(tables_among(&config, &carried)?);
    }
    for (table, key) in args.key.iter().filter(|(table, _)| table != propose::ALL_OTHERS) {
        let known = config.tables.keys().find(|known| known.eq_ignore_ascii_case(table)).cloned();
        config.tables.entry(known.unwrap_or_else(|| table.clone())).or_insert_with(Table::default).key = *key;
    }
    Ok(config)
}

fn tables_among(config: &Config, names: &[String]) -> anyhow::Result<Vec<String>> {
    let read =
        || schema::read(&open::reader(&config.store)?, config).map_err(|error| StoreError::from_sqlite(&config.store, error));
    let schema = read().map_err(|error| explain(&error.into()))?;
    let found = schema.tables.into_iter().map(|table| table.name);
    let found: Vec<String> = found.filter(|table| names.iter().any(|name| name.eq_ignore_ascii_case(table))).collect();
    if found.is_empty() {
        bail!(
            "{} carries {} only, and the store has no such table; say in [entities] of the config which ones they are",
            config.protocol.as_str(),
            names.join(", ")
        );
    }
    Ok(found)
}

/// What this machine calls itself.
pub fn machine_name() -> String {
    let from_file = std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned());
    let name = std::env::var("COMPUTERNAME").ok().or(from_file).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "Register".to_owned())
}

fn check_store(config: &Config) -> anyhow::Result<()> {
    let check = || -> Result<(schema::Schema, Vec<String>), StoreError> {
        let conn = open::writer(&config.store)?;
        let wrap = |error| StoreError::from_sqlite(&config.store, error);
        // A quick look at every page; a damaged store is found now and not in the middle of a sale.
        let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(wrap)?;
        if verdict != "ok" {
            return Err(StoreError::Corrupt(config.store.clone()));
        }
        Ok((schema::read(&conn, config).map_err(wrap)?, settings::complaints(&conn, config).map_err(wrap)?))
    };
    let (schema, complaints) = check().map_err(|error| explain(&error.into()))?;
    if let Some(complaint) = complaints.first() {
        bail!("{complaint}");
    }
    if schema.tables.is_empty() {
        let reasons: Vec<String> = schema.refused.iter().map(|refused| format!("{}: {}", refused.table, refused.reason)).collect();
        bail!(
            "the store {} has no table that can sync. {}",
            config.store.display(),
            if reasons.is_empty() { "Start the POS once so that it makes its tables.".to_owned() } else { reasons.join("; ") }
        );
    }
    Ok(())
}

/// One state belongs to one store and one server.
fn refuse_another_store(agent: &Agent) -> anyhow::Result<()> {
    let state = agent.state();
    let store: Option<String> = marks::get(state.conn(), marks::STORE)?;
    let server: Option<String> = marks::get(state.conn(), marks::DEVICE_SERVER)?;
    let now = agent.config.store.to_string_lossy();
    if let Some(store) = store.filter(|store| *store != now && Path::new(store).exists()) {
        bail!(
            "the state folder {} belongs to the store {store}; give another --state-dir and --config for a second store",
            agent.config.state_dir.display()
        );
    }
    let name = agent.config.server_name();
    if let Some(server) = server.filter(|server| *server != name) {
        say!("note       the server changes from {server} to {name}; the whole store will be sent there")?;
    }
    Ok(marks::set(state.conn(), marks::STORE, now)?)
}

fn write_config(path: &Path, config: &Config) -> anyhow::Result<()> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) if Config::parse(&text).is_ok_and(|there| there == *config) => return Ok(()),
        Ok(text) => with_keys(merge_into(&text, config)?, config)?,
        Err(_) => {
            let text = toml::to_string(config).context("the config cannot be written as TOML")?;
            format!("# Tillsync's config; made by `tillsync init`. The API key is not here.\n\n{text}")
        }
    };
    tables::write_file(path, &text)
}

/// What arguments said about keys, in a text that is there already.
fn with_keys(mut text: String, config: &Config) -> anyhow::Result<String> {
    for (table, settings) in &config.tables {
        if Config::parse(&text)?.table(table).key != settings.key {
            text = edit_table(&text, table, &TableChange { key: Some(settings.key), ..TableChange::default() })?;
        }
    }
    Ok(text)
}

fn register(agent: &Agent, token: Option<&str>) -> anyhow::Result<()> {
    let (known, server, registration) = {
        let state = agent.state();
        let known: Option<String> = marks::get(state.conn(), marks::DEVICE_ID)?;
        let server: Option<String> = marks::get(state.conn(), marks::DEVICE_SERVER)?;
        let registration = match marks::get::<String>(state.conn(), marks::REGISTRATION_ID)? {
            Some(id) => id,
            None => {
                let id = Uuid::new_v4().to_string();
                marks::set(state.conn(), marks::REGISTRATION_ID, &id)?;
                id
            }
        };
        (known, server, registration)
    };
    let same_server = server.as_deref() == Some(&agent.config.server_name());
    if let (Some(device_id), true, None) = (&known, same_server, token) {
        agent.remote.credentials().read(device_id).map_err(|why| {
            anyhow::anyhow!(
                "this register is enrolled as {device_id}, but {why}; run `tillsync init` with --enroll-token to get a new key"
            )
        })?;
        if !is_key_refused(agent, device_id)? {
            say!("device     {device_id} (enrolled before)")?;
            return Ok(());
        }
        // A hub that was emptied, or that knows it no more: whoever may register there without a token does so anew.
        say!("note       {} does not know this register's key any more", agent.config.server)?;
    }
    agent.remote.credentials().probe().map_err(anyhow::Error::msg)?;
    match runtime()?.block_on(agent.ask_to_enrol(token, registration)) {
        RegisterReply::Registered { device_id, key, heard } => {
            agent.remote.credentials().write(&device_id, &key).map_err(anyhow::Error::msg)?;
            agent.enrolled(&device_id)?;
            heard.map_or(Ok(()), |heard| agent.hear(&heard))?;
            say!("device     {device_id} (enrolled at {})", agent.config.server)?;
            Ok(())
        }
        RegisterReply::TokenNeeded(why) => {
            bail!("{} refuses to enrol this register: {why}; run `tillsync init` with --enroll-token", agent.config.server)
        }
        RegisterReply::Refused(why) => bail!("{} refuses this register: {why}", agent.config.server),
        RegisterReply::Trouble(trouble) => bail!("{}", explain_trouble(&agent.config.server, &trouble)),
    }
}

/// Whether the server answers and refuses the key. One that does not answer may know it.
fn is_key_refused(agent: &Agent, device_id: &str) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let cursor = marks::get::<i64>(agent.state().conn(), marks::CURSOR)?.unwrap_or(0);
    let query = PullQuery { cursor, exclude_own: true, entities: None, limit: Some(1), wait_ms: 0, epoch: None };
    let reply = runtime.block_on(agent.remote.pull(device_id, query));
    // A key that has expired is the agent's own business for a while.
    Ok(matches!(reply, PullReply::Trouble(Trouble::Unauthorized(_))) && !agent.remote.key_has_expired())
}

pub(super) fn explain_trouble(server: &str, trouble: &Trouble) -> String {
    match trouble {
        Trouble::Offline(why) => {
            format!("{server} does not answer ({why}); check the address and the network, then run `tillsync init` again")
        }
        Trouble::NotTheServer(why) => {
            format!(
                "what answers at {server} is not a sync server ({why}); check the address, or log in to the network if it shows a log-in page"
            )
        }
        Trouble::ServerFailed(why) => format!("{server} failed ({why}); tell whoever runs it, then run `tillsync init` again"),
        Trouble::RateLimited { retry_after_ms } => {
            format!("{server} asks to wait {} s; run `tillsync init` again then", retry_after_ms / 1000)
        }
        Trouble::Unauthorized(why) | Trouble::KeyMissing(why) => format!("{server} refuses this register: {why}"),
        Trouble::Suspended => format!("{server} has suspended this register; ask its administrator"),
    }
}
