//! Logging in, after every prefix.

use super::{Endpoint, Who};

const SESSION: &str = r#"{ "success": true, "accessToken": "eyJh…", "refreshToken": "base64", "tokenType": "Bearer", "expiresIn": 3600,
    "user": { "id": "1", "name": "sara" } }"#;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "POST",
        path: "/login",
        summary: "Log in with name and password",
        access: Who::Anybody,
        query: &[],
        body: r#"{ "name": "sara", "password": "correct horse" }"#,
        status: 200,
        answer: SESSION,
    },
    Endpoint {
        method: "POST",
        path: "/refresh",
        summary: "Another access token",
        access: Who::Anybody,
        query: &[],
        body: r#"{ "refreshToken": "base64" }"#,
        status: 200,
        answer: SESSION,
    },
    Endpoint {
        method: "POST",
        path: "/google",
        summary: "Log in with a Google account's ID token",
        access: Who::Anybody,
        query: &[],
        body: r#"{ "idToken": "eyJh…" }"#,
        status: 200,
        answer: SESSION,
    },
    Endpoint {
        method: "POST",
        path: "/logout",
        summary: "End the session and its tokens",
        access: Who::Bearer,
        query: &[],
        body: "",
        status: 200,
        answer: r#"{ "success": true }"#,
    },
];
