//! The server. A protocol is a pair of pure functions per request (encode, decode); transport, keys and the meaning of HTTP
//! statuses are here once.

pub mod http;
pub mod hub;
pub mod transport;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::de::DeserializeOwned;
use tillsync_core::change::{Operation, Verdict};
use tillsync_core::config::Protocol;
use tillsync_core::policy::Policies;
use tillsync_core::problem::Problem;
use tillsync_core::sync::Trouble;
use tillsync_core::wire::hub::{Conflict, ConflictsResponse, RekeyResponse, ResolveRequest, ResolveResponse};
use tillsync_core::wire::snapshot::{DigestResponse, SnapshotResponse};
use uuid::Uuid;

use crate::clock::Heard;
use crate::credentials::{Credentials, Key};
use crate::remote::http::Refusal;
use crate::remote::transport::Transport;

/// A change on its way to the server.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// One id for life.
    pub event_id: Uuid,
    /// The table.
    pub entity: String,
    /// The table's name on the wire.
    pub entity_type: String,
    /// The row.
    pub key: String,
    /// What happened.
    pub operation: Operation,
    /// The whole row as JSON; the key columns alone for a delete.
    pub data: String,
    /// The changed columns of an update.
    pub updated_fields: Option<Vec<String>>,
    /// Columns as they were before an update, as JSON, where their rule merges from there.
    pub before: Option<String>,
    /// Columns under a new name, and the name before.
    pub renamed: BTreeMap<String, String>,
    /// The row's version on the server that the change is based on.
    pub base_version: Option<i64>,
    /// The row's version on the server before it was restored from a backup, when it has lost that.
    pub restored: Option<i64>,
    /// When it was captured, Unix milliseconds.
    pub at_ms: i64,
}

/// What a push says beside its changes.
#[derive(Debug)]
pub struct PushContext {
    /// The register's cursor.
    pub cursor: i64,
    /// How the entities of its changes are merged.
    pub policies: Policies,
    /// What the register takes for the server's clock, Unix milliseconds; `None` where the times of the changes are by the server's clock
    /// and the register's own is but a guess.
    pub sent_at_ms: Option<i64>,
    /// The store was restored and has pulled what it had lost up to this change id; see [`PushRequest::restored_up_to`].
    ///
    /// [`PushRequest::restored_up_to`]: tillsync_core::wire::hub::PushRequest::restored_up_to
    pub restored_up_to: Option<i64>,
}

/// What the server said about one change.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The verdict; `None` when the server said nothing about this change.
    pub verdict: Option<Verdict>,
    /// The row's version on the server.
    pub version: Option<i64>,
    /// The row as the server has it now, as JSON.
    pub server_data: Option<String>,
    /// Why not.
    pub reason: Option<String>,
    /// What the server noted in its conflict log about this change.
    pub conflict: Option<Box<Conflict>>,
}

impl Answer {
    /// A verdict and nothing about the row.
    pub fn only(verdict: Option<Verdict>, reason: Option<String>) -> Self {
        Self { verdict, version: None, server_data: None, reason, conflict: None }
    }
}

/// How a push went.
#[derive(Debug)]
pub enum PushReply {
    /// One answer per change, in order; and the server's clock.
    Answers(Vec<Answer>, Heard),
    /// The server takes no batch like this.
    Refused(String),
    /// Others have changed rows of the batch: what they did comes first.
    Later,
    /// The request did not do its work.
    Trouble(Trouble),
}

/// A change from the server.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The change id, which is the row's version.
    pub id: i64,
    /// The table; on a page that just came, its name on the wire.
    pub entity: String,
    /// The row.
    pub key: String,
    /// What happened.
    pub operation: Operation,
    /// The whole row as JSON; `None` for a delete.
    pub data: Option<String>,
    /// The conflict that a person decided by it.
    pub resolves: Option<Resolves>,
}

/// A person's decision that arrives as a change.
#[derive(Clone, Debug)]
pub struct Resolves {
    /// The conflict's number.
    pub conflict_id: i64,
    /// The device where it was decided, or `admin`.
    pub by: Option<String>,
}

/// A page of changes.
#[derive(Clone, Debug)]
pub struct PulledPage {
    /// In the server's order.
    pub changes: Vec<Incoming>,
    /// Whether there is more.
    pub more: bool,
    /// Where to go on from.
    pub cursor: i64,
    /// The server's largest change id, if it says so.
    pub head: Option<i64>,
    /// The server's epoch, if it has one.
    pub epoch: Option<String>,
    /// Up to this change id the server may have forgotten deletes.
    pub pruned_through: i64,
    /// From when on the key should be replaced, Unix milliseconds.
    pub key_renew_at: Option<i64>,
    /// The server left the epoch that the query named: up to here nothing has changed, and what came after it is lost there.
    pub forked_at: Option<i64>,
}

/// How a pull went.
#[derive(Debug)]
pub enum PullReply {
    /// A page; and the server's clock.
    Page(PulledPage, Heard),
    /// The cursor is from before what the server still knows of deletes.
    Expired,
    /// The request did not do its work.
    Trouble(Trouble),
}

/// How fetching rows went.
#[derive(Debug)]
pub enum SnapshotReply {
    /// A page; and the server's clock.
    Page(SnapshotResponse, Heard),
    /// The server gives no such rows.
    Refused(String),
    /// The request did not do its work.
    Trouble(Trouble),
}

/// How replacing the key went.
#[derive(Debug)]
pub enum RekeyReply {
    /// The server knows the new one.
    Done(RekeyResponse),
    /// The server does not do that.
    Refused(String),
    /// The request did not do its work.
    Trouble(Trouble),
}

/// What to pull.
#[derive(Clone, Debug)]
pub struct PullQuery {
    /// Changes after this one.
    pub cursor: i64,
    /// Leave out this register's own.
    pub exclude_own: bool,
    /// Only these entities, by their names on the wire; all when `None`.
    pub entities: Option<Vec<String>>,
    /// At most this many changes; as many as the server gives when `None`.
    pub limit: Option<u32>,
    /// How long the server may wait.
    pub wait_ms: u64,
    /// The epoch that the cursor counts in, as far as it is known.
    pub epoch: Option<String>,
}

/// How the answer to a person's decision sounds.
#[derive(Debug)]
pub enum ResolveReply {
    /// Yes, or why not with the conflict as it is now.
    Answer(Box<ResolveResponse>),
    /// The server does not take it.
    Refused(String),
    /// The request did not do its work.
    Trouble(Trouble),
}

/// A page of the server's conflict log.
#[derive(Debug)]
pub enum ConflictsReply {
    /// What this register may see of it.
    Page(Box<ConflictsResponse>),
    /// The server has no such log.
    Refused(String),
    /// The request did not do its work.
    Trouble(Trouble),
}

/// How a registration went.
#[derive(Debug)]
pub enum RegisterReply {
    /// The device's id and key.
    Registered {
        /// The id.
        device_id: String,
        /// The key.
        key: Key,
        /// The server's clock, if it says what time it is.
        heard: Option<Heard>,
    },
    /// The server wants an enrolment token, or another one.
    TokenNeeded(String),
    /// The server refuses.
    Refused(String),
    /// The request did not do its work.
    Trouble(Trouble),
}

/// The server as the agent sees it.
#[derive(Debug)]
pub struct Remote {
    transport: Box<dyn Transport>,
    credentials: Credentials,
    protocol: Protocol,
    accepts_gzip: AtomicBool,
    /// What the last answer said of the key.
    key_expired: AtomicBool,
}

/// Whether what is at the other end is a sync server.
pub async fn answers(transport: &dyn Transport) -> Result<(), Problem> {
    match http::understand(transport.send(transport::Request::get("/health".to_owned())).await) {
        Ok(_) => Ok(()),
        Err(Refusal::Trouble(Trouble::Offline(why))) => Err(Problem::server_unreachable(1, &why)),
        Err(Refusal::Trouble(Trouble::NotTheServer(why))) => Err(Problem::not_a_sync_server(&why)),
        Err(Refusal::Trouble(Trouble::ServerFailed(why))) => Err(Problem::server_failing(1, &why)),
        // It knows what is asked, and refuses this one.
        Err(_) => Ok(()),
    }
}

impl Remote {
    /// A server behind a transport.
    pub fn new(transport: Box<dyn Transport>, credentials: Credentials) -> Self {
        let (accepts_gzip, key_expired) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { transport, credentials, protocol: Protocol::Hub, accepts_gzip, key_expired }
    }

    /// A server of this protocol.
    #[must_use]
    pub fn speaking(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// What only hubs are asked for.
    fn for_hubs(&self) -> Result<(), String> {
        let name = self.protocol.as_str();
        if self.protocol == Protocol::Hub { Ok(()) } else { Err(format!("{name} is a protocol that has no such thing")) }
    }

    /// Where the key is kept.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Whether the server said last that the key has expired.
    pub fn key_has_expired(&self) -> bool {
        self.key_expired.load(Ordering::Relaxed)
    }

    /// Sends a request as it is.
    pub async fn deliver_as_it_is(&self, mut request: transport::Request) -> Result<transport::Response, transport::NoAnswer> {
        if self.accepts_gzip.load(Ordering::Relaxed) {
            request.compress();
        }
        let response = self.transport.send(request).await?;
        self.accepts_gzip.store(response.accepts_gzip, Ordering::Relaxed);
        Ok(response)
    }

    /// Registers this device.
    pub async fn register(&self, request: &tillsync_core::wire::hub::RegisterRequest) -> RegisterReply {
        if let Err(why) = self.for_hubs() {
            return RegisterReply::Refused(why);
        }
        let sent = Instant::now();
        let response = self.transport.send(hub::encode_register(request)).await;
        let received = Instant::now();
        match http::understand(response) {
            Ok(body) => hub::decode_register(&body, |server_ms| Heard { server_ms, sent, received }),
            Err(Refusal::Trouble(Trouble::Unauthorized(why))) => RegisterReply::TokenNeeded(why),
            Err(Refusal::Trouble(trouble)) => RegisterReply::Trouble(trouble),
            Err(Refusal::Request(why) | Refusal::Expired(why)) => RegisterReply::Refused(why),
        }
    }

    /// Sends a batch.
    pub async fn push(&self, device_id: &str, context: PushContext, batch: &[Outgoing]) -> PushReply {
        let request = hub::encode_push(context, batch);
        let sent = Instant::now();
        match self.send(device_id, request).await {
            Ok(body) => match hub::decode_push(&body, batch) {
                Ok((answers, server_ms)) => PushReply::Answers(answers, Heard { server_ms, sent, received: Instant::now() }),
                Err(why) => PushReply::Trouble(Trouble::NotTheServer(why)),
            },
            Err(Refusal::Request(why) | Refusal::Expired(why)) => PushReply::Refused(why),
            Err(Refusal::Trouble(trouble)) => PushReply::Trouble(trouble),
        }
    }

    /// Fetches a page.
    pub async fn pull(&self, device_id: &str, query: PullQuery) -> PullReply {
        let sent = Instant::now();
        match self.send(device_id, hub::encode_pull(&query)).await {
            Ok(body) => match hub::decode_pull(&body, query.cursor) {
                Ok((page, server_ms)) => PullReply::Page(page, Heard { server_ms, sent, received: Instant::now() }),
                Err(why) => PullReply::Trouble(Trouble::NotTheServer(why)),
            },
            // A pull holds nothing that could be refused for its content: the server is not what it should be.
            Err(Refusal::Expired(_)) => PullReply::Expired,
            Err(Refusal::Request(why)) => PullReply::Trouble(Trouble::NotTheServer(why)),
            Err(Refusal::Trouble(trouble)) => PullReply::Trouble(trouble),
        }
    }

    /// Fetches a page of an entity's rows as they are now.
    pub async fn snapshot(&self, device_id: &str, entity_type: &str, after: Option<i64>) -> SnapshotReply {
        let sent = Instant::now();
        match self.send(device_id, hub::encode_snapshot(entity_type, after)).await {
            Ok(body) => match hub::decode_snapshot(&body, after) {
                Ok(page) => {
                    let heard = Heard { server_ms: page.at.server_timestamp, sent, received: Instant::now() };
                    SnapshotReply::Page(page, heard)
                }
                Err(why) => SnapshotReply::Trouble(Trouble::NotTheServer(why)),
            },
            Err(Refusal::Request(why) | Refusal::Expired(why)) => SnapshotReply::Refused(why),
            Err(Refusal::Trouble(trouble)) => SnapshotReply::Trouble(trouble),
        }
    }

    /// Tells the server the hash of the key that this register is to have.
    pub async fn rekey(&self, device_id: &str, new_key_hash: &str) -> RekeyReply {
        match self.ask(device_id, hub::encode_rekey(new_key_hash)).await {
            Ok(answer) => RekeyReply::Done(answer),
            Err(Trouble::NotTheServer(why)) => RekeyReply::Refused(why),
            Err(trouble) => RekeyReply::Trouble(trouble),
        }
    }

    /// Asks the server to carry out a person's decision.
    pub async fn resolve(&self, device_id: &str, id: i64, request: &ResolveRequest) -> ResolveReply {
        match self.exchange(device_id, hub::encode_resolve(id, request)).await {
            Ok(response) => match hub::decode_resolve(&response) {
                Some(answer) => ResolveReply::Answer(Box::new(answer)),
                None => match self.refusal(response) {
                    Refusal::Request(why) | Refusal::Expired(why) => ResolveReply::Refused(why),
                    Refusal::Trouble(trouble) => ResolveReply::Trouble(trouble),
                },
            },
            Err(trouble) => ResolveReply::Trouble(trouble),
        }
    }

    /// Reads the server's conflict log after an entry.
    pub async fn conflicts(&self, device_id: &str, after: i64) -> ConflictsReply {
        match self.exchange(device_id, hub::encode_conflicts(after)).await {
            Ok(response) => match hub::decode_conflicts(&response) {
                Some(page) => ConflictsReply::Page(Box::new(page)),
                None => match self.refusal(response) {
                    Refusal::Request(why) | Refusal::Expired(why) => ConflictsReply::Refused(why),
                    Refusal::Trouble(trouble) => ConflictsReply::Trouble(trouble),
                },
            },
            Err(trouble) => ConflictsReply::Trouble(trouble),
        }
    }

    /// Sends a request and gives the answer back as it is.
    async fn exchange(&self, device_id: &str, mut request: transport::Request) -> Result<transport::Response, Trouble> {
        self.for_hubs().map_err(Trouble::NotTheServer)?;
        let key = self.credentials.read(device_id).map_err(Trouble::KeyMissing)?;
        request.device = Some((device_id.to_owned(), key));
        self.transport.send(request).await.map_err(|transport::NoAnswer(why)| Trouble::Offline(why))
    }

    /// Why an answer is not what was asked for.
    fn refusal(&self, response: transport::Response) -> Refusal {
        if let Some(why) = http::refused_here(&response) {
            return Refusal::Request(why);
        }
        match http::understand(Ok(response)) {
            Ok(_) => Refusal::Trouble(Trouble::NotTheServer("the answer cannot be understood".to_owned())),
            Err(refusal) => refusal,
        }
    }

    /// Asks for digests: of every entity, of an entity's buckets, or for the rows in some buckets.
    pub async fn digest(
        &self,
        device_id: &str,
        entity_type: Option<&str>,
        buckets: Option<&[u32]>,
    ) -> Result<DigestResponse, Trouble> {
        self.ask(device_id, hub::encode_digest(entity_type, buckets)).await
    }

    /// Asks for some rows as they are now.
    pub async fn rows(&self, device_id: &str, entity_type: &str, ids: &[String]) -> Result<SnapshotResponse, Trouble> {
        self.ask(device_id, hub::encode_rows(entity_type, ids)).await
    }

    async fn ask<T: DeserializeOwned>(&self, device_id: &str, request: transport::Request) -> Result<T, Trouble> {
        match self.send(device_id, request).await {
            Ok(body) => serde_json::from_slice(&body)
                .map_err(|error| Trouble::NotTheServer(format!("the answer cannot be understood: {error}"))),
            Err(Refusal::Request(why) | Refusal::Expired(why)) => Err(Trouble::NotTheServer(why)),
            Err(Refusal::Trouble(trouble)) => Err(trouble),
        }
    }

    async fn send(&self, device_id: &str, mut request: transport::Request) -> Result<Vec<u8>, Refusal> {
        self.for_hubs().map_err(Refusal::Request)?;
        let key = self.credentials.read(device_id).map_err(|why| Refusal::Trouble(Trouble::KeyMissing(why)))?;
        request.device = Some((device_id.to_owned(), key));
        if self.accepts_gzip.load(Ordering::Relaxed) {
            request.compress();
        }
        let other = self.credentials.read_other(device_id);
        let again = other
            .map(|other| (transport::Request { device: Some((device_id.to_owned(), other.clone())), ..request.clone() }, other));
        let understood = self.deliver(request).await;
        if !is_refused_key(&understood) {
            return understood;
        }
        self.credentials.forget();
        // The key before, or the one that was to follow: the server may know only that, since an answer got lost or it was restored.
        let Some((again, other)) = again else { return understood };
        let answer = self.deliver(again).await;
        if is_refused_key(&answer) {
            return understood;
        }
        match self.credentials.replace(device_id, &other) {
            Ok(()) => tracing::info!("the server knows this register by its other key"),
            Err(why) => tracing::warn!(why, "the other key cannot take its place"),
        }
        answer
    }

    async fn deliver(&self, request: transport::Request) -> Result<Vec<u8>, Refusal> {
        let response = self.transport.send(request).await;
        if let Ok(response) = &response {
            self.accepts_gzip.store(response.accepts_gzip, Ordering::Relaxed);
            self.key_expired.store(http::is_expired_key(response), Ordering::Relaxed);
        }
        http::understand(response)
    }
}

/// Whether the server knows the device, if it does, by another key.
fn is_refused_key(understood: &Result<Vec<u8>, Refusal>) -> bool {
    matches!(understood, Err(Refusal::Trouble(Trouble::Unauthorized(_))))
}
