//! Who asks, in the protocols that know nothing of devices' keys: a bearer is a device's key, a user's token, or the access token of a login. A
//! user's machines become devices, by the name that they give themselves.

use axum::http::HeaderMap;
use tillsync_core::protocol::settings::Access;
use tillsync_core::wire::hub::DEVICE_ID_HEADER;

use super::Served;
use crate::clock::now_ms;
use crate::credentials::{Credentials, bearer};
use crate::database::Terms;
use crate::database::clients::{ClientWish, User};
use crate::hub::Hub;
use crate::jwt;
use crate::key::Key;
use crate::rate::Allowance;
use crate::refusal::Refusal;

/// Names that clients give themselves are for people to read; longer ones are a mistake.
const NAME_BYTES_MAX: usize = 200;

/// Somebody who may ask.
pub(crate) struct Caller {
    who: Who,
    /// How it stands with its limit.
    pub allowance: Option<Allowance>,
    in_header: Option<String>,
}

enum Who {
    /// A device with a key of its own.
    Device(String),
    /// A user, by a token or by a session.
    User(Box<User>, Option<String>),
    /// The protocol is open to everybody.
    Anybody,
}

/// Somebody who may ask, as the device that the log knows.
pub(crate) struct Client {
    /// The device.
    pub device_id: String,
    /// Whose queue it sees.
    pub owner: String,
}

/// Looks at who asks, before anything else of the request is read, and counts the request.
pub(crate) async fn caller(hub: &Hub, served: &Served, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let settings = &served.settings;
    let who = match bearer(headers) {
        Some(key) => who(hub, key).await?,
        None if settings.access == Access::Open => Who::Anybody,
        None => return Err(Refusal::token_needed()),
    };
    let mut allowance = None;
    if let Some(limit) = settings.limit {
        let (now_ms, name) = (now_ms(), served.name);
        let counted = hub.rates().count(&format!("{name} {}", who.owner()), limit, now_ms);
        if counted.left.is_none() {
            return Err(Refusal::rate_limited(counted.wait_seconds(now_ms)));
        }
        allowance = Some(counted);
    }
    let in_header = headers.get(DEVICE_ID_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Caller { who, allowance, in_header })
}

async fn who(hub: &Hub, key: Key) -> Result<Who, Refusal> {
    if jwt::is_token(key.reveal()) {
        return of_login(hub, key.reveal()).await;
    }
    if let Some(device_id) = hub.database().device_of_key(key.hash()).await? {
        return Credentials::of(device_id, key).authenticate(hub).await.map(Who::Device);
    }
    let user = hub.database().user_of_token(key.hash()).await?;
    user.map(|user| Who::User(Box::new(user), None)).ok_or_else(Refusal::token_needed)
}

async fn of_login(hub: &Hub, token: &str) -> Result<Who, Refusal> {
    let secret = hub.database().token_secret().await?;
    let claims = jwt::verify(token, &secret).ok_or_else(Refusal::token_needed)?;
    let now_ms = now_ms();
    if claims.exp <= now_ms / 1000 {
        return Err(Refusal::token_expired());
    }
    // A session that was ended, or whose user was removed, ends its tokens.
    let user = hub.database().user_of_session(&claims.sid, now_ms).await?.ok_or_else(Refusal::token_expired)?;
    Ok(Who::User(Box::new(user), Some(claims.sid)))
}

impl Who {
    fn owner(&self) -> String {
        match self {
            Self::Device(device_id) => format!("device {device_id}"),
            Self::User(user, _) => format!("user {}", user.id),
            Self::Anybody => "anybody".to_owned(),
        }
    }
}

impl Caller {
    /// The device that the client is; `claimed` is what it calls itself.
    pub(crate) async fn client(&self, hub: &Hub, served: &Served, claimed: Option<&str>) -> Result<Client, Refusal> {
        let owner = self.who.owner();
        let claimed = claimed.or(self.in_header.as_deref());
        if claimed.is_some_and(|claimed| claimed.len() > NAME_BYTES_MAX || claimed.trim().is_empty()) {
            return Err(Refusal::bad_field("deviceId", format!("a device's name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        let (user, session) = match &self.who {
            Who::Device(device_id) => return Ok(Client { device_id: device_id.clone(), owner }),
            Who::User(user, session) => (Some(user), session.as_deref()),
            Who::Anybody => (None, None),
        };
        // Without a name every login is a machine of its own.
        let part = match (claimed, session) {
            (Some(claimed), _) => format!("named {claimed}"),
            (None, Some(session)) => format!("session {session}"),
            (None, None) => "alone".to_owned(),
        };
        let name = claimed.or(user.map(|user| user.name.as_str())).unwrap_or(served.name);
        let wish = ClientWish {
            client: format!("{} {owner} {part}", served.name),
            name: name.to_owned(),
            protocol: served.name,
            user_id: user.map(|user| user.id),
            terms: user.map_or_else(Terms::default, |user| user.terms.clone()),
            no_key: Key::make().hash(),
            now_ms: now_ms(),
        };
        match hub.database().device_of_client(wish).await? {
            Some((_, true)) => Err(Refusal::suspended()),
            Some((device_id, false)) => Ok(Client { device_id, owner }),
            None => Err(Refusal::too_many_clients()),
        }
    }
}
