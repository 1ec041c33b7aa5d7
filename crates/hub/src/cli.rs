//! The command line.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use tillsync_core::config::Role;
use tillsync_core::policy::Policies;
use tillsync_core::protocol::Protocols;
use tokio::net::TcpListener;

mod user;

use user::UserCommand;

use crate::database::Terms;
use crate::hub::{Hub, Keys, Options};
use crate::router::router;

/// Requests in flight get this long to finish after the signal; a client that is slower asks again.
const DRAIN_WAIT: Duration = Duration::from_secs(10);

/// The sync server that keeps a shop's registers in step.
#[derive(Parser)]
#[command(name = "tillsync-hub", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve registers until SIGTERM or Ctrl-C.
    Serve(Serve),
    /// Print a token that lets registers enrol. Works while the hub runs.
    EnrollToken(EnrollToken),
    /// Print a new admin key; the old one stops working. Works while the hub runs.
    AdminKey(Place),
    /// People and programs that come by other protocols. Works while the hub runs.
    #[command(subcommand)]
    User(UserCommand),
    /// Tell the registers that the database was restored from a backup. Needed where the file `…-head` beside it was restored along with
    /// it, or is missing; stop the hub before.
    NewEpoch(Place),
}

#[derive(Args)]
pub(crate) struct Place {
    /// Where the hub keeps everything.
    #[arg(long, value_name = "sqlite:PATH", default_value = "sqlite:tillsync-hub.db")]
    database: String,
}

#[derive(Args)]
struct Serve {
    /// Address and port; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    #[command(flatten)]
    place: Place,
    /// Let devices register without an enrolment token.
    #[arg(long)]
    open_registration: bool,
    /// How tables are merged, whatever the registers' configs say: TOML with the tables of a register's config.
    #[arg(long, value_name = "FILE")]
    policies: Option<PathBuf>,
    /// How the protocols of other servers are served: paths, names, limits. TOML; without it as in their documents.
    #[arg(long, value_name = "FILE")]
    protocols: Option<PathBuf>,
    /// How long superseded changes and deletes are kept: a number with s, m, h or d, or `forever`. A register that was away for longer
    /// fetches everything anew.
    #[arg(long, value_name = "TIME", default_value = "180d", value_parser = parse_retention)]
    retention: Retention,
    /// How long a device's key is good for: a number with s, m, h or d, or `forever`. Registers replace theirs by themselves before.
    #[arg(long, value_name = "TIME", default_value = "forever", value_parser = parse_retention)]
    key_lifetime: Retention,
    /// How much longer a key that was replaced works, and one that has expired may still be replaced.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_time)]
    key_grace: Duration,
}

/// How long what is superseded is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retention {
    Forever,
    For(Duration),
}

#[derive(Args)]
struct EnrollToken {
    #[command(flatten)]
    place: Place,
    /// How many registers may enrol with it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// How long it is good for: a number with s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_time)]
    expires: Duration,
    /// What these registers may do [default: register]
    #[arg(long, value_name = "ROLE", value_parser = parse_role)]
    role: Option<Role>,
    /// The only entities that these registers may send and fetch [default: all]
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    entities: Option<Vec<String>>,
}

impl Cli {
    /// Does what the command line says.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(serve) => serve.run().await,
            Command::EnrollToken(wanted) => {
                let terms = Terms { role: wanted.role, entities: wanted.entities };
                let token = wanted.place.open().await?.make_enroll_token(wanted.uses, wanted.expires, terms).await?;
                print_line(&token)
            }
            Command::User(command) => command.run().await,
            Command::NewEpoch(place) => print_line(&place.open().await?.database().begin_epoch().await?),
            Command::AdminKey(place) => print_line(&place.open().await?.replace_admin_key().await?),
        }
    }
}

impl Place {
    pub(crate) async fn open(&self) -> anyhow::Result<Hub> {
        let Some(path) = self.database.strip_prefix("sqlite:").filter(|path| !path.is_empty()) else {
            bail!("--database takes sqlite:PATH, for example sqlite:/var/lib/tillsync/hub.db");
        };
        Ok(Hub::open(PathBuf::from(path)).await?)
    }
}

impl Serve {
    async fn run(self) -> anyhow::Result<()> {
        let policies = self.policies.as_deref().map(read_policies).transpose()?.unwrap_or_default();
        let protocols = self.protocols.as_deref().map(read_protocols).transpose()?.unwrap_or_default();
        let listener = TcpListener::bind(self.listen).await.with_context(|| {
            format!(
                "cannot listen on {}: stop the program that uses this port, or choose another with --listen ADDR:PORT",
                self.listen
            )
        })?;
        let lifetime_ms = match self.key_lifetime {
            Retention::Forever => None,
            Retention::For(lifetime) => Some(in_ms(lifetime)),
        };
        let keys = Keys { lifetime_ms, grace_ms: in_ms(self.key_grace) };
        let hub = self.place.open().await?.with_keys(keys);
        hub.prepare(&protocols).await?;
        let protocols = Arc::new(protocols);
        let options = Options { open_registration: self.open_registration, policies: Arc::new(policies), protocols };
        let signalled = shutdown_signal()?;
        if let Some(key) = hub.make_first_admin_key().await? {
            print_line(&format!("admin key (shown once): {key}"))?;
        }
        print_line(&format!("listening on http://{}", listener.local_addr()?))?;
        if lifetime_ms.is_some() {
            hub.database().let_keys_age(crate::clock::now_ms()).await?;
        }
        if let Retention::For(retention) = self.retention {
            tokio::spawn(hub.clone().keep_pruned(retention));
        }
        tracing::info!(epoch = hub.database().epoch(), open_registration = self.open_registration, "serving");
        let stopped = hub.clone();
        let serving = axum::serve(listener, router(hub.clone(), options))
            .with_graceful_shutdown(async move { stopped.stopped().await })
            .into_future();
        let signalled = async {
            signalled.await;
            hub.stop();
        };
        tokio::select! {
            (served, ()) = async { tokio::join!(serving, signalled) } => served?,
            () = drain_over(&hub) => tracing::warn!("some requests did not finish in time"),
        }
        tracing::info!("stopped");
        Ok(())
    }
}

async fn drain_over(hub: &Hub) {
    hub.stopped().await;
    tokio::time::sleep(DRAIN_WAIT).await;
}

/// Resolves at the signal to stop. From this call on the signal no longer ends the program at once.
#[cfg(unix)]
fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Resolves at the signal to stop. From this call on the signal no longer ends the program at once.
#[cfg(windows)]
fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut close) = (tokio::signal::windows::ctrl_c()?, tokio::signal::windows::ctrl_close()?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = close.recv() => {}
        }
    })
}

/// Programs wait for these lines, so each one is flushed. Who waits for none any more and has closed the pipe stops nothing.
pub(crate) fn print_line(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

pub(crate) fn parse_role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| format!("{text:?} is not a role: write register or manager"))
}

/// The tables of a policies file; anything else in it is a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoliciesFile {
    #[serde(default)]
    tables: Policies,
}

fn read_policies(path: &Path) -> anyhow::Result<Policies> {
    let text = std::fs::read_to_string(path).with_context(|| format!("the policies {} cannot be read", path.display()))?;
    let file: PoliciesFile = toml::from_str(&text).with_context(|| format!("the policies {} are not valid", path.display()))?;
    Ok(file.tables)
}

fn read_protocols(path: &Path) -> anyhow::Result<Protocols> {
    let text = std::fs::read_to_string(path).with_context(|| format!("the settings {} cannot be read", path.display()))?;
    Protocols::parse(&text).map_err(|error| anyhow::anyhow!("the settings {} are not valid: {error}", path.display()))
}

fn in_ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn parse_retention(text: &str) -> Result<Retention, String> {
    if text == "forever" { Ok(Retention::Forever) } else { parse_time(text).map(Retention::For) }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time such as 30m, 12h or 7d");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|&seconds| seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, seconds: Option<u64>) {
        assert_eq!(parse_time(text).ok(), seconds.map(Duration::from_secs), "{text}");
    }

    #[test]
    fn times_have_a_unit() {
        check("30s", Some(30));
        check("5m", Some(300));
        check("7d", Some(604_800));
        assert_eq!(parse_retention("180d"), Ok(Retention::For(Duration::from_secs(15_552_000))));
        assert_eq!(parse_retention("forever"), Ok(Retention::Forever));
        for wrong in ["", "7", "d", "0d", "-1d", "1w", "99999999999999999999d", "7 d", "é"] {
            check(wrong, None);
        }
    }
}
