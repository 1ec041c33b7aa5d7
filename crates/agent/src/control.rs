//! The control socket: how `tillsync status|sync|pause …` and the tray window reach a running agent.
//!
//! A Unix socket in a folder that only its owner can enter, or a named pipe. Each side first sends a hello with its version; then the
//! client sends one request and the agent one answer, both as length-delimited JSON.

use std::io;
use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::tokio::{Listener as _, Stream as _};
use interprocess::local_socket::{ListenerOptions, Name};
use serde::{Deserialize, Serialize};
use tillsync_core::config::Config;
use tillsync_core::problem::Problem;
use tillsync_core::sync::Trouble;
use tillsync_core::window::{Ask, Reply, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use crate::agent::Agent;
use crate::pin::Opened;
use crate::reconcile::Comparison;
use crate::rekey::Rekeyed;
use crate::runtime::{Outcome, Request};
use crate::scan::Scan;
use crate::status::Status;
use crate::window;
use crate::wiped::Fetched;

/// Both sides say this first; another number means another version of Tillsync.
const VERSION: u32 = 1;

/// A message is at most this long: a status with its problems is a few kilobytes.
const MESSAGE_BYTES_MAX: u32 = 1024 * 1024;

/// Clients served at a time; more wait.
const CLIENTS_MAX: usize = 16;

/// A client that says nothing for this long is gone.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that waits for news hears at least this often that there are none.
const WATCH_MAX: Duration = Duration::from_secs(30);

/// Steps of the loop come in bursts; a person sees where they led.
const WATCH_REST: Duration = Duration::from_millis(150);

#[derive(Serialize, Deserialize)]
struct Hello {
    tillsync_control: u32,
}

/// What a client asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// The status.
    Status,
    /// Sync now.
    Sync {
        /// Give up after this long.
        timeout_ms: u64,
    },
    /// Be quiet.
    Pause {
        /// Unix milliseconds.
        until_ms: Option<i64>,
    },
    /// Go on.
    Resume,
    /// Look at the outbox again.
    Look,
    /// Read the config file again.
    Reload,
    /// Which config the agent works with.
    Config,
    /// Compare store and shadow.
    Scan {
        /// Believe any number of vanished rows.
        accept_deletes: bool,
    },
    /// Fetch what has vanished from the store.
    FetchVanished,
    /// Compare with the server.
    Compare {
        /// Put right what differs.
        repair: bool,
    },
    /// Replace the API key.
    Rekey,
    /// What the window asks.
    Window {
        /// The question.
        ask: Ask,
        /// What [`Command::Unlock`] gave, for decisions.
        #[serde(default)]
        pass: Option<String>,
    },
    /// The status, once it is another than the one that the client knows, or after a while.
    Watch {
        /// The print of the known one; anything when there is none.
        known: u64,
    },
    /// Let a manager decide.
    Unlock {
        /// The manager's PIN.
        pin: Secret,
    },
    /// The end of it.
    Lock,
    /// Stop.
    Stop,
}

/// What the agent answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The status.
    Status(Box<Status>),
    /// How the sync ended.
    Synced {
        /// How it ended.
        ended: Ended,
    },
    /// What the scan found.
    Scanned(Scan),
    /// What becomes of vanished rows.
    Fetched(Fetched),
    /// What the comparison with the server found.
    Compared(Box<Comparison>),
    /// How replacing the key went.
    Rekeyed(RekeyEnd),
    /// The config that the agent works with.
    Config {
        /// [`config_print`] of it.
        print: u64,
    },
    /// What the window asked.
    Window {
        /// The answer.
        reply: Reply,
    },
    /// The status and its print.
    Watched {
        /// What to name in the next [`Command::Watch`].
        print: u64,
        /// The status.
        status: Box<Status>,
    },
    /// Whoever shows this may decide.
    Unlocked {
        /// To go with a decision.
        pass: String,
    },
    /// It was the wrong PIN.
    WrongPin {
        /// No other is taken for so many seconds.
        wait_s: u32,
    },
    /// It is done.
    Done,
    /// It could not be done.
    Failed(Problem),
}

impl From<Opened> for Answer {
    fn from(opened: Opened) -> Self {
        match opened {
            Opened::Pass(pass) => Self::Unlocked { pass },
            Opened::Wrong { wait_s } => Self::WrongPin { wait_s },
        }
    }
}

/// How replacing the key ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RekeyEnd {
    /// There is another key, which expires then, Unix milliseconds.
    Done(Option<i64>),
    /// The server was not reached; why.
    Unreachable(String),
    /// The server refuses the key, or replacing it; why.
    Refused(String),
}

impl From<Rekeyed> for RekeyEnd {
    fn from(rekeyed: Rekeyed) -> Self {
        match rekeyed {
            Rekeyed::Done { expires_ms } => Self::Done(expires_ms),
            Rekeyed::Refused(why) => Self::Refused(why),
            Rekeyed::Trouble(Trouble::Unauthorized(why) | Trouble::KeyMissing(why)) => Self::Refused(why),
            Rekeyed::Trouble(Trouble::Suspended) => Self::Refused("this register is suspended".to_owned()),
            Rekeyed::Trouble(Trouble::Offline(why) | Trouble::NotTheServer(why) | Trouble::ServerFailed(why)) => {
                Self::Unreachable(why)
            }
            Rekeyed::Trouble(Trouble::RateLimited { .. }) => Self::Unreachable("the server asks for quiet".to_owned()),
        }
    }
}

/// How a sync ended, without what only this process understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All is captured, sent and fetched.
    Settled,
    /// The server was not reached, or not in time; why.
    Unreachable(String),
    /// The server refuses this register; why.
    NotAuthorised(String),
    /// Syncing is paused.
    Paused,
    /// The POS had the store until time was up.
    StoreInUse,
    /// Store or state could not be used.
    Failed(Problem),
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Settled => Self::Settled,
            Outcome::Paused => Self::Paused,
            Outcome::StoreInUse => Self::StoreInUse,
            Outcome::Failed(problem) => Self::Failed(problem),
            Outcome::TimedOut => Self::Unreachable("it took too long; the rest goes on later".to_owned()),
            Outcome::Trouble(Trouble::Offline(why) | Trouble::NotTheServer(why) | Trouble::ServerFailed(why)) => {
                Self::Unreachable(why)
            }
            Outcome::Trouble(Trouble::RateLimited { retry_after_ms }) => {
                Self::Unreachable(format!("it asks to be left alone for {} s", retry_after_ms / 1000))
            }
            Outcome::Trouble(Trouble::Unauthorized(why) | Trouble::KeyMissing(why)) => Self::NotAuthorised(why),
            Outcome::Trouble(Trouble::Suspended) => Self::NotAuthorised("this register is suspended".to_owned()),
        }
    }
}

/// A print of a config, to see whether two processes work with the same one.
pub fn config_print(config: &Config) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&serde_json::to_vec(config).expect("a config encodes"))
}

/// Serves clients until the loop is gone.
pub async fn serve(agent: Arc<Agent>, requests: mpsc::Sender<Request>) -> io::Result<()> {
    let listener = listen(&agent.config.state_dir)?;
    let owner = owner(&agent.config.state_dir)?;
    let places = Arc::new(tokio::sync::Semaphore::new(CLIENTS_MAX));
    loop {
        let client = listener.accept().await?;
        if !is_welcome(&client, owner) {
            tracing::warn!("another user asked for control");
            continue;
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let (agent, requests) = (Arc::clone(&agent), requests.clone());
        tokio::spawn(async move {
            if let Err(error) = serve_client(client, &agent, &requests).await {
                tracing::debug!(%error, "a control client went away");
            }
            drop(place);
        });
    }
}

/// The user who made the socket, which is the one who runs the agent.
#[cfg(unix)]
fn owner(state_dir: &Path) -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(socket_path(state_dir)?)?.uid())
}

/// Whether the other end is the agent's own user, or the administrator, whom nothing could keep out. The socket lies in a folder that nobody else can
/// enter; this holds also where somebody opens that folder.
#[cfg(unix)]
fn is_welcome(client: &Stream, owner: u32) -> bool {
    use interprocess::local_socket::traits::StreamCommon;
    let user = client.peer_creds().ok().and_then(|found| found.euid());
    user.is_some_and(|user| user == owner || user == 0)
}

/// A named pipe has its own list of those who may open it.
#[cfg(windows)]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as elsewhere")]
fn owner(_state_dir: &Path) -> io::Result<u32> {
    Ok(0)
}

#[cfg(windows)]
fn is_welcome(_client: &Stream, _owner: u32) -> bool {
    true
}

/// Asks a running agent; `None` when none runs.
pub async fn ask(state_dir: &Path, command: &Command) -> io::Result<Option<Answer>> {
    let mut stream = match Stream::connect(name(state_dir)?).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(error),
    };
    greet(&mut stream).await?;
    send(&mut stream, command).await?;
    receive(&mut stream).await.map(Some)
}

async fn serve_client(mut client: Stream, agent: &Arc<Agent>, requests: &mpsc::Sender<Request>) -> io::Result<()> {
    let command = tokio::time::timeout(CLIENT_TIMEOUT, async {
        greet(&mut client).await?;
        receive::<Command>(&mut client).await
    })
    .await
    .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let answer = answer(command, agent, requests).await;
    send(&mut client, &answer).await
}

async fn answer(command: Command, agent: &Arc<Agent>, requests: &mpsc::Sender<Request>) -> Answer {
    let request = match command {
        Command::Status => {
            return on_thread(agent, |agent| agent.status(true).map(|status| Answer::Status(Box::new(status)))).await;
        }
        Command::Window { ask, pass } => {
            return Answer::Window { reply: window::answer(agent, requests, ask, pass.as_deref()).await };
        }
        Command::Watch { known } => return watch(agent, known).await,
        Command::Unlock { pin } => {
            return on_thread(agent, move |agent| Ok(agent.gate.open(&agent.config.state_dir, pin.expose()).into())).await;
        }
        Command::Lock => {
            agent.gate.close();
            return Answer::Done;
        }
        Command::Config => return Answer::Config { print: config_print(&agent.config) },
        Command::Scan { accept_deletes } => {
            let answer = on_thread(agent, move |agent| agent.scan(accept_deletes).map(Answer::Scanned)).await;
            let _ = requests.send(Request::Look).await;
            return answer;
        }
        Command::FetchVanished => {
            let answer = match agent.fetch_vanished().await {
                Ok(fetched) => Answer::Fetched(fetched),
                Err(error) => Answer::Failed(error.problem()),
            };
            let _ = requests.send(Request::Look).await;
            return answer;
        }
        Command::Compare { repair } => {
            let answer = match agent.reconcile(repair).await {
                Ok(comparison) => Answer::Compared(Box::new(comparison)),
                Err(error) => Answer::Failed(error.problem()),
            };
            let _ = requests.send(Request::Look).await;
            return answer;
        }
        Command::Rekey => {
            return match agent.rekey().await {
                Ok(rekeyed) => Answer::Rekeyed(RekeyEnd::from(rekeyed)),
                Err(error) => Answer::Failed(error.problem()),
            };
        }
        Command::Sync { timeout_ms } => {
            let (answer, ended) = oneshot::channel();
            let _ = requests.send(Request::Sync { timeout: Duration::from_millis(timeout_ms), answer }).await;
            let ended = ended.await.map_or_else(|_| Ended::Unreachable("the agent is stopping".to_owned()), Ended::from);
            return Answer::Synced { ended };
        }
        Command::Pause { until_ms } => Request::Pause { until_ms },
        Command::Resume => Request::Resume,
        Command::Look => Request::Look,
        Command::Reload => Request::Reload,
        Command::Stop => Request::Stop,
    };
    match requests.send(request).await {
        Ok(()) => Answer::Done,
        Err(_) => Answer::Failed(Problem::agent_not_running()),
    }
}

/// Waits until the status is another than the known one.
async fn watch(agent: &Arc<Agent>, known: u64) -> Answer {
    let mut news = agent.news.subscribe();
    let end = tokio::time::Instant::now() + WATCH_MAX;
    loop {
        news.mark_unchanged();
        let answer = on_thread(agent, |agent| {
            let status = Box::new(agent.status(true)?);
            let print = xxhash_rust::xxh3::xxh3_64(&serde_json::to_vec(&status).expect("a status encodes"));
            Ok(Answer::Watched { print, status })
        })
        .await;
        let is_known = matches!(answer, Answer::Watched { print, .. } if print == known);
        if !is_known || tokio::time::timeout_at(end, news.changed()).await.is_err() {
            return answer;
        }
        tokio::time::sleep(WATCH_REST).await;
    }
}

async fn on_thread(
    agent: &Arc<Agent>,
    work: impl FnOnce(&Agent) -> Result<Answer, crate::agent::AgentError> + Send + 'static,
) -> Answer {
    let agent = Arc::clone(agent);
    match tokio::task::spawn_blocking(move || work(&agent)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer::Failed(error.problem()),
        Err(_) => Answer::Failed(Problem::state("The agent failed; see the log.")),
    }
}

async fn greet(stream: &mut Stream) -> io::Result<()> {
    send(stream, &Hello { tillsync_control: VERSION }).await?;
    let hello: Hello = receive(stream).await?;
    if hello.tillsync_control != VERSION {
        return Err(io::Error::other("the running agent is another version of Tillsync; restart it"));
    }
    Ok(())
}

async fn send(stream: &mut Stream, message: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_le_bytes()).await?;
    stream.write_all(&json).await?;
    stream.flush().await
}

async fn receive<T: for<'de> Deserialize<'de>>(stream: &mut Stream) -> io::Result<T> {
    let length = stream.read_u32_le().await?;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut json = vec![0; length as usize];
    stream.read_exact(&mut json).await?;
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(unix)]
fn listen(state_dir: &Path) -> io::Result<Listener> {
    let path = socket_path(state_dir)?;
    // The lock on the state folder is ours, so a socket that is still there belongs to nobody.
    let _ = std::fs::remove_file(path);
    ListenerOptions::new().name(name(state_dir)?).create_tokio()
}

#[cfg(windows)]
fn listen(state_dir: &Path) -> io::Result<Listener> {
    // A named pipe without a security descriptor of its own admits its owner and administrators.
    ListenerOptions::new().name(name(state_dir)?).create_tokio()
}

#[cfg(unix)]
fn name(state_dir: &Path) -> io::Result<Name<'static>> {
    use interprocess::local_socket::{GenericFilePath, ToFsName};
    socket_path(state_dir)?.to_fs_name::<GenericFilePath>()
}

#[cfg(windows)]
fn name(state_dir: &Path) -> io::Result<Name<'static>> {
    use interprocess::local_socket::{GenericNamespaced, ToNsName};
    format!("tillsync-{}", fold(state_dir)).to_ns_name::<GenericNamespaced>()
}

/// In the state folder where the system's limit for socket paths allows it, in a private folder for short-lived files otherwise.
#[cfg(unix)]
fn socket_path(state_dir: &Path) -> io::Result<PathBuf> {
    /// `sun_path` holds 104 bytes on macOS, 108 on Linux.
    const PATH_BYTES_MAX: usize = 100;
    let near = state_dir.join("control.sock");
    if near.as_os_str().len() <= PATH_BYTES_MAX && near.is_absolute() {
        return Ok(near);
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let user = directories::BaseDirs::new().map(|dirs| fold(dirs.home_dir())).unwrap_or_default();
    let folder = runtime.join(format!("tillsync-{user}"));
    crate::state::make_private_folder(&folder)?;
    Ok(folder.join(format!("{}.sock", fold(state_dir))))
}

fn fold(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(path.as_os_str().as_encoded_bytes()))
}
