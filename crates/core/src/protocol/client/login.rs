//! Logging in: with a name and a password, with a token of Google's, and again with a refresh token. The same for all protocols that know users.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Ask, error_text, member, text};

/// Where servers take log-ins when the config says nothing else.
pub const PATH: &str = "/auth";

/// How somebody says who it is.
#[derive(Clone)]
pub enum Proof {
    /// A name and a password.
    Password(String, String),
    /// An id token that Google gave.
    Google(String),
    /// What an earlier log-in left.
    Refresh(String),
}

/// What a log-in gives. It is a secret as a whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Goes with every request.
    pub access: String,
    /// Gets the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
}

impl Session {
    /// From what is kept as the key: a session's JSON, or a token as it is.
    pub fn read(kept: &str) -> Self {
        let session = serde_json::from_str(kept).ok().filter(|_| kept.starts_with('{'));
        session.unwrap_or_else(|| Self { access: kept.to_owned(), refresh: None })
    }

    /// What to keep.
    pub fn keep(&self) -> String {
        match self.refresh {
            Some(_) => serde_json::to_string(self).expect("two texts encode"),
            None => self.access.clone(),
        }
    }
}

/// The request. Names of members differ among servers, so the usual ones are all there.
pub fn ask(path: &str, proof: &Proof) -> Ask {
    match proof {
        Proof::Password(name, password) => {
            let mut body = json!({ "name": name, "username": name, "password": password });
            if name.contains('@') {
                body["email"] = Json::String(name.clone());
            }
            Ask::post(format!("{path}/login"), body)
        }
        Proof::Google(token) => Ask::post(format!("{path}/google"), json!({ "idToken": token, "id_token": token })),
        Proof::Refresh(token) => Ask::post(format!("{path}/refresh"), json!({ "refreshToken": token, "refresh_token": token })),
    }
}

/// The session that an answer gives; one that leaves out the refresh token means the one before. The error is for people.
pub fn session(answer: &Json, before: Option<&str>) -> Result<Session, String> {
    let places = [answer, &answer["data"], &answer["tokens"], &answer["data"]["tokens"]];
    let find = |names: &[&str]| places.iter().find_map(|place| member(place, names)).and_then(Json::as_str).map(str::to_owned);
    let access = find(&["accessToken", "access_token", "token", "access", "jwt"]);
    let refresh = find(&["refreshToken", "refresh_token", "refresh"]).or_else(|| before.map(str::to_owned));
    match access {
        Some(access) => Ok(Session { access, refresh }),
        None => Err(error_text(answer).unwrap_or_else(|| format!("the answer has no token ({})", excerpt(answer)))),
    }
}

fn excerpt(answer: &Json) -> String {
    let names = answer.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>().join(", "));
    names.unwrap_or_else(|| text(answer).chars().take(40).collect())
}
