//! A request in one of the protocols, with what every handler needs: how the protocol is served and who asks. The body is read only once it is known
//! that somebody may ask.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use tillsync_core::protocol::Settings;

use super::access::{Caller, Client, caller};
use super::intake::Intake;
use super::{Served, with_allowance};
use crate::body;
use crate::hub::{Hub, Options};
use crate::live;
use crate::query::member;
use crate::refusal::Refusal;

/// A request of somebody who may ask.
pub(crate) struct Asked {
    pub hub: Hub,
    pub served: Served,
    options: Options,
    caller: Caller,
    headers: HeaderMap,
    query: String,
}

impl FromRequestParts<Hub> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Refusal> {
        let served: Served = parts.extensions.get().cloned().ok_or_else(Refusal::internal)?;
        let options: Options = parts.extensions.get().cloned().ok_or_else(Refusal::internal)?;
        let caller = caller(hub, &served, &parts.headers).await?;
        let query = parts.uri.query().unwrap_or_default().to_owned();
        Ok(Self { hub: hub.clone(), served, options, caller, headers: parts.headers.clone(), query })
    }
}

impl Asked {
    /// How the protocol is served.
    pub(crate) fn settings(&self) -> &Settings {
        &self.served.settings
    }

    /// What the body says.
    pub(crate) async fn read<T: DeserializeOwned>(&self, body: Body, bytes_max: usize) -> Result<T, Refusal> {
        body::parse(&body::read(&self.headers, body, bytes_max).await?)
    }

    /// A member of the query that says something.
    pub(crate) fn member(&self, name: &str) -> Option<String> {
        member(&self.query, name).filter(|value| !value.is_empty())
    }

    /// The device that asks; `claimed` is what it calls itself.
    pub(crate) async fn client(&self, claimed: Option<&str>) -> Result<Client, Refusal> {
        self.caller.client(&self.hub, &self.served, claimed).await
    }

    /// The same, and it counts as being served until the mark is dropped.
    pub(crate) async fn serve(&self, claimed: Option<&str>) -> Result<(Client, live::Served), Refusal> {
        let client = self.client(claimed).await?;
        let mark = self.hub.live().serve(&client.device_id);
        Ok((client, mark))
    }

    /// The way into the log, for changes whose times are by this hub's clock.
    pub(crate) fn intake<'a>(&'a self, client: &'a Client, now_ms: i64) -> Intake<'a> {
        Intake { hub: &self.hub, served: &self.served, options: &self.options, client, skew_ms: 0, now_ms }
    }

    /// An answer that tells how the caller stands with its limit.
    pub(crate) fn answer(&self, said: impl IntoResponse) -> Response {
        with_allowance(said.into_response(), self.caller.allowance)
    }
}
