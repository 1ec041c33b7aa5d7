//! The line between an agent and the hub's router: a transport in memory that fails one call.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use secrecy::ExposeSecret;
use tillsync_agent::remote::transport::{Answering, NoAnswer, Request, Response, Transport};
use tillsync_core::wire::hub::{DEVICE_ID_HEADER, RegisterResponse};
use tower::ServiceExt;

/// How a call fails.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The hub never sees the request.
    RequestLost,
    /// The hub does what was asked, and nobody hears of it.
    AnswerLost,
    /// The hub gets the request twice.
    Doubled,
}

/// The line of one register. Clones share everything.
#[derive(Clone)]
pub struct Line {
    /// The hub at the other end, which may be put back to an older one.
    router: Arc<Mutex<Router>>,
    /// The register's key, once the hub has handed it out.
    key: Arc<Mutex<String>>,
    /// Whether the agent has that key itself, and may replace it.
    pub own_key: bool,
    plan: Plan,
}

/// Which call of a whole shop fails.
#[derive(Clone, Default)]
pub struct Plan {
    fault: Option<Fault>,
    left: Arc<AtomicI64>,
}

impl Plan {
    /// The n-th call from now on fails, counted from 1.
    pub fn at(call: i64, fault: Fault) -> Self {
        Self { fault: Some(fault), left: Arc::new(AtomicI64::new(call)) }
    }

    /// No call fails before it is said which one.
    pub fn later(fault: Fault) -> Self {
        Self::at(i64::MAX, fault)
    }

    /// The n-th call from now on fails, counted from 1.
    pub fn fail_at(&self, call: i64) {
        self.left.store(call, Ordering::Relaxed);
    }

    /// The next call fails.
    pub fn fail_next(&self) {
        self.left.store(1, Ordering::Relaxed);
    }

    /// Whether the call that was to fail has come.
    pub fn happened(&self) -> bool {
        self.fault.is_some() && self.left.load(Ordering::Relaxed) <= 0
    }

    fn next(&self) -> Option<Fault> {
        self.fault.filter(|_| self.left.fetch_sub(1, Ordering::Relaxed) == 1)
    }
}

impl Line {
    /// A line to the hub.
    pub fn new(router: Router, plan: Plan, own_key: bool) -> Self {
        Self { router: Arc::new(Mutex::new(router)), key: Arc::default(), own_key, plan }
    }

    /// From now on another hub is at the other end.
    pub fn lead_to(&self, router: Router) {
        *self.router.lock().unwrap() = router;
    }

    async fn exchange(&self, request: Request) -> Result<Response, NoAnswer> {
        let lost = || NoAnswer("the line is broken".to_owned());
        match self.plan.next() {
            None => Ok(self.ask(&request).await),
            Some(Fault::RequestLost) => Err(lost()),
            Some(Fault::AnswerLost) => {
                self.ask(&request).await;
                Err(lost())
            }
            Some(Fault::Doubled) => {
                self.ask(&request).await;
                Ok(self.ask(&request).await)
            }
        }
    }

    async fn ask(&self, request: &Request) -> Response {
        let mut call = axum::http::Request::post(request.path.as_ref()).header(CONTENT_TYPE, "application/json");
        if request.gzip {
            call = call.header(CONTENT_ENCODING, "gzip");
        }
        if let Some((device_id, key)) = &request.device {
            let key = if self.own_key { key.expose_secret().to_owned() } else { self.key.lock().unwrap().clone() };
            call = call.header(DEVICE_ID_HEADER, device_id).header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let router = self.router.lock().unwrap().clone();
        let answer = router.oneshot(call.body(Body::from(request.body.clone())).unwrap()).await.unwrap();
        let (status, accepts_gzip) = (answer.status().as_u16(), answer.headers().contains_key(ACCEPT_ENCODING));
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec();
        if let Ok(registered) = serde_json::from_slice::<RegisterResponse>(&body) {
            *self.key.lock().unwrap() = registered.api_key;
        }
        Response { status, accepts_gzip, body, ..Response::default() }
    }
}

impl Transport for Line {
    fn send(&self, request: Request) -> Answering<'_> {
        Box::pin(self.exchange(request))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}
