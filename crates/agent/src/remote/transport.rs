//! Requests and answers, and the one way they travel in production: HTTP by reqwest.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use secrecy::ExposeSecret;
use tillsync_core::wire::hub::DEVICE_ID_HEADER;

use crate::credentials::Key;

/// Bodies below this size are not worth compressing.
const COMPRESS_BYTES_MIN: usize = 1024;

/// A connection that takes longer than this to open is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that says nothing for this long, beyond what it was asked to wait, is not there.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// An answer larger than this is not read: four times the largest page.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How a request is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// With a body of JSON.
    Post,
    /// Without a body.
    Get,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// How it is asked.
    pub method: Method,
    /// Path below the server's address, with the query if there is one.
    pub path: Cow<'static, str>,
    /// JSON.
    pub body: Vec<u8>,
    /// Whether the body is compressed.
    pub gzip: bool,
    /// Whose request it is.
    pub device: Option<(String, Key)>,
    /// How long the server was asked to wait.
    pub wait: Duration,
}

impl Request {
    /// A request without a body.
    pub fn get(path: String) -> Self {
        Self { method: Method::Get, ..Self::new(path, Vec::new()) }
    }

    /// A JSON request.
    pub fn new(path: impl Into<Cow<'static, str>>, body: Vec<u8>) -> Self {
        Self { method: Method::Post, path: path.into(), body, gzip: false, device: None, wait: Duration::ZERO }
    }

    /// Compresses the body when that pays.
    pub fn compress(&mut self) {
        if self.body.len() < COMPRESS_BYTES_MIN {
            return;
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(self.body.len() / 4), Compression::fast());
        if encoder.write_all(&self.body).is_ok()
            && let Ok(packed) = encoder.finish()
        {
            self.body = packed;
            self.gzip = true;
        }
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// `Retry-After` in milliseconds.
    pub retry_after_ms: Option<i64>,
    /// Whether the server announces that it takes compressed requests (RFC 7694).
    pub accepts_gzip: bool,
    /// The server's clock by the `Date` header, Unix milliseconds.
    pub date_ms: Option<i64>,
    /// The server's limit is reached and asks for so much quiet, in milliseconds, by whichever headers it has.
    pub quiet_ms: Option<i64>,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

/// Why there is no answer; for people.
#[derive(Clone, Debug)]
pub struct NoAnswer(pub String);

/// The future of an answer.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Response, NoAnswer>> + Send + 'a>>;

/// A way to the server. Tests put the real router behind it.
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends a request.
    fn send(&self, request: Request) -> Answering<'_>;
}

/// HTTP.
#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    server: String,
}

impl Http {
    /// HTTP to a server address without a trailing slash.
    pub fn new(server: &str) -> anyhow::Result<Self> {
        // Installing twice is an error that means "already there".
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("tillsync/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect on the way to a sync server is a captive portal; following it would send the key there.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .build()
            .context("the HTTP client cannot be made")?;
        Ok(Self { client, server: server.to_owned() })
    }

    async fn exchange(&self, request: Request) -> Result<Response, NoAnswer> {
        let url = format!("{}{}", self.server, request.path);
        let mut call = match request.method {
            Method::Post => self.client.post(url).header("content-type", "application/json"),
            Method::Get => self.client.get(url),
        };
        call = call.timeout(ANSWER_TIMEOUT + request.wait);
        if request.gzip {
            call = call.header("content-encoding", "gzip");
        }
        if let Some((device_id, key)) = &request.device {
            call = call.bearer_auth(key.expose_secret()).header(DEVICE_ID_HEADER, device_id);
        }
        let mut answer = call.body(request.body).send().await.map_err(|error| no_answer(&error))?;
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = answer.status().as_u16();
        let retry_after_ms = header("retry-after").and_then(|text| parse_retry_after(&text));
        let accepts_gzip = header("accept-encoding").is_some_and(|encodings| encodings.contains("gzip"));
        let date_ms = header("date").and_then(|text| parse_date(&text));
        let quiet_ms = quiet_ms(status, crate::clock::now_ms(), header);
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| no_answer(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(NoAnswer(format!("the answer is larger than {ANSWER_BYTES_MAX} bytes")));
            }
        }
        Ok(Response { status, retry_after_ms, accepts_gzip, date_ms, quiet_ms, body })
    }
}

impl Transport for Http {
    fn send(&self, request: Request) -> Answering<'_> {
        Box::pin(self.exchange(request))
    }
}

/// The innermost cause says most; the address is left out, since people see it beside the sentence.
fn no_answer(error: &reqwest::Error) -> NoAnswer {
    if error.is_timeout() {
        return NoAnswer("no answer in time".to_owned());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    NoAnswer(cause.to_string())
}

/// Seconds, or a date.
fn parse_retry_after(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.trim().parse::<i64>() {
        return Some(seconds.clamp(0, 86_400) * 1000);
    }
    parse_date(text).map(|date_ms| (date_ms - crate::clock::now_ms()).clamp(0, 86_400_000))
}

fn parse_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text.trim()).ok().map(|date| date.timestamp().as_millisecond())
}

/// Numbers above this one are Unix seconds, and seconds that are left below it.
const EPOCH_SECONDS_MIN: i64 = 1_000_000_000;

/// How long a limit asks to be quiet: of two header styles, one names a time and one what is left until then.
fn quiet_ms(status: u16, now_ms: i64, header: impl Fn(&'static str) -> Option<String>) -> Option<i64> {
    let number = |names: [&'static str; 2]| names.into_iter().find_map(|name| header(name)?.trim().parse::<f64>().ok());
    let is_used_up = number(["x-ratelimit-remaining", "ratelimit-remaining"]).is_some_and(|left| left < 1.0);
    if status != 429 && !is_used_up {
        return None;
    }
    let reset = number(["ratelimit-reset", "x-ratelimit-reset"])?.ceil() as i64;
    let left_ms = if reset >= EPOCH_SECONDS_MIN { reset.saturating_mul(1000) - now_ms } else { reset.saturating_mul(1000) };
    Some(left_ms.clamp(0, 3_600_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parse_retry_after("7"), Some(7000));
        assert_eq!(parse_retry_after("-3"), Some(0));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        assert_eq!(parse_retry_after("soon"), None);
    }

    #[test]
    fn limits_say_in_two_styles_when_they_end() {
        let check = |status: u16, headers: &[(&str, &str)], expected: Option<i64>| {
            let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(quiet_ms(status, 1_800_000_000_000, header), expected, "{headers:?}");
        };
        check(429, &[("x-ratelimit-reset", "1800000007")], Some(7_000));
        check(429, &[("ratelimit-reset", "9"), ("x-ratelimit-reset", "1800000007")], Some(9_000));
        check(200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1800000007")], Some(7_000));
        check(200, &[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "1800000007")], None);
        check(429, &[], None);
    }
}
