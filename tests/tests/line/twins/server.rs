//! The engine of the twins: HTTP/1.1 on a port of its own, one request per connection, and what goes wrong on the way of an answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ways::{Way, Ways};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST /sync/push`, without the query.
    pub line: String,
    query: String,
    headers: String,
    /// JSON, or null when it is none.
    pub body: Value,
    bytes: usize,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

/// A back end.
pub trait Server: Send {
    /// Carries a request out.
    fn answer(&mut self, request: &Request, ways: &mut Ways) -> Reply;

    /// An answer that says that something failed, in this server's words.
    fn failure(&self) -> Reply;

    /// Rows as they are, by their ids: what was sent, without what the server added. A row that is there twice is here twice.
    fn rows(&self) -> Vec<(String, Value)>;

    /// What another device does: writes a row, or deletes it.
    fn other_device(&mut self, id: &str, row: Option<Value>);

    /// The same, but by a transaction that began long ago: what it writes stands before what clients have pulled already.
    fn other_device_late(&mut self, id: &str, row: Value);

    /// Forgets everything, as a server in memory does when it is started again.
    fn restart(&mut self);

    /// How often something was stored.
    fn stored(&self) -> u64;
}

/// Requests within a window of time, by all clients together.
#[derive(Debug)]
struct Limit {
    requests: u32,
    window: Duration,
    begun: Instant,
    counted: u32,
}

struct Inner {
    server: Box<dyn Server>,
    ways: Ways,
    limit: Option<Limit>,
    log: Vec<(Request, u16)>,
}

/// A running twin.
pub struct Twin {
    pub url: String,
    inner: Arc<Mutex<Inner>>,
}

impl Twin {
    pub fn start(server: Box<dyn Server>, ways: &[Way]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Mutex::new(Inner { server, ways: Ways::new(ways), limit: None, log: Vec::new() }));
        let shared = Arc::clone(&inner);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(&client, &shared));
            }
        });
        Self { url, inner }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// From now on the server has this way …
    pub fn turn_on(&self, way: Way) {
        self.inner().ways.turn_on(way);
    }

    /// … or has it no more.
    pub fn turn_off(&self, way: Way) {
        self.inner().ways.turn_off(way);
    }

    /// The next `times` times.
    pub fn turn_on_for(&self, way: Way, times: u32) {
        self.inner().ways.turn_on_for(way, times);
    }

    /// Whether a way that was to happen some times has happened as often.
    pub fn has_happened(&self, way: Way) -> bool {
        !self.inner().ways.has(way)
    }

    /// Takes so many requests in so long a time; refused ones count as well.
    pub fn limit(&self, requests: u32, window: Duration) {
        self.inner().limit = Some(Limit { requests, window, begun: Instant::now(), counted: 0 });
    }

    /// Rows as they are, sorted.
    pub fn rows(&self) -> Vec<(String, Value)> {
        let mut rows = self.inner().server.rows();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows
    }

    /// What another device does.
    pub fn other_device(&self, id: &str, row: Option<Value>) {
        self.inner().server.other_device(id, row);
    }

    /// What another device began before clients pulled, and finishes now.
    pub fn other_device_late(&self, id: &str, row: Value) {
        self.inner().server.other_device_late(id, row);
    }

    /// Forgets everything.
    pub fn restart(&self) {
        self.inner().server.restart();
    }

    /// How often something was stored.
    pub fn stored(&self) -> u64 {
        self.inner().server.stored()
    }

    /// The requests so far whose line begins like this, with the status of their answers.
    pub fn requests(&self, line: &str) -> Vec<(Request, u16)> {
        self.inner().log.iter().filter(|(request, _)| request.line.starts_with(line)).cloned().collect()
    }
}

/// What becomes of an answer on its way.
enum Fate {
    Arrives,
    Lost,
    CutShort,
}

fn serve(mut client: &TcpStream, shared: &Mutex<Inner>) {
    let Some(request) = Request::read(client) else { return };
    let (reply, fate) = {
        let mut inner = shared.lock().unwrap();
        let told = inner.carry_out(&request);
        inner.log.push((request, told.0.status));
        told
    };
    let mut bytes = format!(
        "HTTP/1.1 {} Twin\r\n{}content-length: {}\r\nconnection: close\r\n\r\n{}",
        reply.status,
        reply.headers,
        reply.body.len(),
        reply.body
    )
    .into_bytes();
    match fate {
        Fate::Arrives => {}
        Fate::Lost => bytes.clear(),
        Fate::CutShort => bytes.truncate(bytes.len() - reply.body.len() / 2 - 1),
    }
    let _ = client.write_all(&bytes);
    let _ = client.shutdown(Shutdown::Both);
}

impl Inner {
    fn carry_out(&mut self, request: &Request) -> (Reply, Fate) {
        if let Some(refused) = self.limit.as_mut().and_then(|limit| limit.count(&self.ways)) {
            return (refused, Fate::Arrives);
        }
        if self.ways.take(Way::AnswersInHtml) {
            return (Reply::html(502, "<html><body><h1>502 Bad Gateway</h1></body></html>"), Fate::Arrives);
        }
        if self.ways.take(Way::LogInPage) {
            return (Reply::html(200, "<html><body>Please log in to the network.</body></html>"), Fate::Arrives);
        }
        let before = self.server.stored();
        let reply = self.server.answer(request, &mut self.ways);
        if self.server.stored() == before {
            return (reply, Fate::Arrives);
        }
        if self.ways.take(Way::LosesAnswers) {
            return (reply, Fate::Lost);
        }
        if self.ways.take(Way::CutsAnswersShort) {
            return (reply, Fate::CutShort);
        }
        if self.ways.take(Way::FailsAfterStoring) {
            return (self.server.failure(), Fate::Arrives);
        }
        (reply, Fate::Arrives)
    }
}

impl Limit {
    fn count(&mut self, ways: &Ways) -> Option<Reply> {
        if self.begun.elapsed() >= self.window {
            (self.begun, self.counted) = (Instant::now(), 0);
        }
        self.counted += 1;
        if self.counted <= self.requests {
            return None;
        }
        let left = (self.window - self.begun.elapsed().min(self.window)).as_secs() + 1;
        let headers = if ways.has(Way::LimitsInSecondsLeft) {
            format!("ratelimit-limit: {}\r\nratelimit-remaining: 0\r\nratelimit-reset: {left}\r\n", self.requests)
        } else {
            let at = super::clock::now_ms() / 1000 + i64::try_from(left).unwrap();
            format!("x-ratelimit-limit: {}\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: {at}\r\n", self.requests)
        };
        let body = json!({ "success": false, "error": "Too many requests, please try again later.", "code": "RATE_LIMITED" });
        Some(Reply { headers: format!("content-type: application/json\r\n{headers}"), ..Reply::json(429, &body) })
    }
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: "content-type: application/json; charset=utf-8\r\n".to_owned(), body: body.to_string() }
    }

    pub fn html(status: u16, body: &str) -> Self {
        Self { status, headers: "content-type: text/html\r\n".to_owned(), body: body.to_owned() }
    }

    /// There is no such path.
    pub fn missing() -> Self {
        Self::html(404, "<pre>Cannot do that</pre>")
    }
}

impl Request {
    fn read(client: &TcpStream) -> Option<Self> {
        let mut input = BufReader::new(client);
        let mut first = String::new();
        input.read_line(&mut first).ok()?;
        let mut words = first.split_whitespace();
        let (method, target) = (words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = String::new();
        while input.read_line(&mut headers).ok()? > 2 {}
        let lines = headers.lines().filter_map(|line| line.split_once(':'));
        let headers: String = lines.map(|(name, value)| format!("{}:{}\n", name.to_lowercase(), value.trim())).collect();
        let length = header(&headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        input.read_exact(&mut body).ok()?;
        let line = format!("{method} {path}");
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Some(Self { line, query: query.to_owned(), headers, body, bytes: length })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The token of `Authorization: Bearer`.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// A member of the query, percent-decoded; a plus is a space, as in forms.
    pub fn member(&self, name: &str) -> Option<String> {
        let value = self.query.split('&').find_map(|pair| pair.split_once('=').filter(|(own, _)| *own == name))?.1;
        let mut bytes = value.bytes();
        let mut plain = Vec::new();
        while let Some(byte) = bytes.next() {
            plain.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [bytes.next()?, bytes.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                other => other,
            });
        }
        String::from_utf8(plain).ok()
    }

    /// How large the body was on the wire.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_compressed(&self) -> bool {
        self.header("content-encoding").is_some()
    }
}

fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    headers.lines().find_map(|line| line.split_once(':').filter(|(own, _)| *own == name)).map(|(_, value)| value)
}
