//! A network between agents and hub that can be cut or end at a log-in page, and servers that are no sync servers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What happens to connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// They reach this address.
    To(String),
    /// They are closed at once.
    Cut,
    /// Every request gets this answer.
    Answer(String),
}

struct Inner {
    way: Way,
    open: Vec<TcpStream>,
}

/// A network on an address of its own.
pub struct Network {
    pub url: String,
    inner: Arc<Mutex<Inner>>,
}

impl Network {
    pub fn new(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Mutex::new(Inner { way, open: Vec::new() }));
        let shared = Arc::clone(&inner);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || carry(client, &shared));
            }
        });
        Self { url, inner }
    }

    /// Closes every connection; new ones go this way.
    pub fn turn(&self, way: Way) {
        let mut inner = self.inner.lock().unwrap();
        inner.way = way;
        for stream in inner.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn carry(client: TcpStream, shared: &Mutex<Inner>) {
    let mut inner = shared.lock().unwrap();
    match inner.way.clone() {
        Way::Cut => {}
        Way::Answer(answer) => {
            drop(inner);
            answer_all(client, &answer);
        }
        Way::To(address) => {
            let Ok(server) = TcpStream::connect(address) else { return };
            // Otherwise small answers wait for an acknowledgement, and latencies would measure that.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            inner.open.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
            drop(inner);
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || pour(from, to));
            pour(server, client);
        }
    }
}

fn pour(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Servers that are no sync servers.
pub struct Web;

impl Web {
    /// Answers every request with this status line and body.
    pub fn answer(status: &str, headers: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    /// A page where one logs in to a network.
    pub fn log_in_page() -> String {
        Self::answer("200 OK", "content-type: text/html\r\n", "<html><body>Welcome! Please log in to the network.</body></html>")
    }
}

/// Reads a request to its end before it answers, as servers do.
fn answer_all(mut client: TcpStream, answer: &str) {
    let mut request = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !is_whole(&request) {
        let Ok(length @ 1..) = client.read(&mut buffer) else { return };
        request.extend_from_slice(&buffer[..length]);
    }
    let _ = client.write_all(answer.as_bytes());
    let _ = client.shutdown(Shutdown::Both);
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    request.len() >= head.len() + 4 + length.unwrap_or(0)
}

/// Sends a request without a body and gives back the whole answer.
pub fn ask(address: &str, request: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n{headers}content-length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
