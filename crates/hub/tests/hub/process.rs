//! The real program: its lines, its signals, and `kill -9`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::event;

/// A running `tillsync-hub serve`, killed when dropped.
struct Process {
    child: Child,
    lines: Vec<String>,
    address: String,
}

impl Process {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    fn start_with(folder: &Path, options: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], options].concat();
        let child = program(folder, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut started = Self { child, lines: Vec::new(), address: String::new() };
        for line in BufReader::new(started.child.stdout.take().unwrap()).lines() {
            started.lines.push(line.unwrap());
            let last = &started.lines[started.lines.len() - 1];
            if let Some(address) = last.strip_prefix("listening on http://") {
                started.address = address.to_owned();
                return started;
            }
        }
        panic!("no address in {:?}", started.lines);
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.send(path, "", body.to_string().as_bytes());
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Sends all of the body before it reads the answer.
    fn send(&self, path: &str, headers: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(stream, "POST {path} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n")
            .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tillsync-hub"));
    command.args(arguments).args(["--database", "sqlite:hub.db"]).current_dir(folder).stderr(Stdio::null());
    command
}

#[test]
fn a_command_whose_reader_has_gone_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["enroll-token", "admin-key"] {
        let (reader, unread) = std::io::pipe().unwrap();
        drop(reader);
        let ended = program(folder.path(), &[command]).stdout(unread).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && !said.contains("pipe"), "{command}: {said}");
    }
}

#[test]
fn a_killed_hub_has_everything_that_it_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Process::start(folder.path());
    assert!(hub.lines[0].starts_with("admin key (shown once): "), "{:?}", hub.lines);
    let token = program(folder.path(), &["enroll-token"]).output().unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let device = hub.post("/sync/register", &json!({ "name": "A", "enrollToken": token }));
    let (id, key) = (&device["device"]["id"], &device["apiKey"]);
    let mut hub = hub;
    for round in 1..=5 {
        let change = event("create", &round.to_string(), None, &[], json!({ "total": round }));
        let push = json!({ "deviceId": id, "apiKey": key, "changes": [change] });
        assert_eq!(hub.post("/sync/push", &push)["results"][0]["version"], round);
        drop(hub);
        hub = Process::start(folder.path());
        assert_eq!(hub.lines.len(), 1, "the admin key is shown once");
        assert_eq!(hub.post("/sync/push", &push)["results"][0]["status"], "duplicate");
        assert_eq!(hub.post("/sync/pull", &json!({ "deviceId": id, "apiKey": key }))["headCursorId"], round);
    }
}

#[cfg(unix)]
#[test]
fn sigterm_ends_long_polls_and_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = Process::start(folder.path());
    let token = program(folder.path(), &["enroll-token", "--uses", "2", "--expires", "1h"]).output().unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let device = hub.post("/sync/register", &json!({ "name": "A", "enrollToken": token }));
    let pull = json!({ "deviceId": device["device"]["id"], "apiKey": device["apiKey"], "waitMs": 25_000 });
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| hub.post("/sync/pull", &pull));
        // The poll reached the hub once its cursor is in the file.
        let connection = rusqlite::Connection::open(folder.path().join("hub.db")).unwrap();
        while connection.query_row("SELECT count(*) FROM sync_cursors", [], |row| row.get::<_, i64>(0)).unwrap() == 0 {
            std::thread::yield_now();
        }
        let killed = Command::new("kill").args(["-TERM", &hub.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(waiting.join().unwrap()["success"], true);
    });
    assert!(hub.child.wait().unwrap().success());
    assert!(start.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn errors_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Process::start(folder.path());
    let cases: [(&[&str], &str); 3] = [
        (&["serve", "--listen", &hub.address], "choose another with --listen"),
        (&["enroll-token", "--expires", "soon"], "is not a time"),
        (&["enroll-token", "--uses", "0"], "--uses"),
    ];
    for (arguments, expected) in cases {
        let output = program(folder.path(), arguments).stderr(Stdio::piped()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn a_client_that_sends_everything_first_still_reads_its_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Process::start(folder.path());
    let body = vec![b' '; 20_000_000];
    let stranger = hub.send("/sync/push", "x-device-id: a\r\nauthorization: Bearer b\r\n", &body);
    assert!(stranger.starts_with("HTTP/1.1 401"), "{stranger}");
    let too_large = hub.send("/sync/push", "", &body);
    assert!(too_large.starts_with("HTTP/1.1 413"), "{too_large}");
    let unknown = hub.send("/sync/push", "content-encoding: br\r\n", &body);
    assert!(unknown.starts_with("HTTP/1.1 415"), "{unknown}");
}

#[test]
fn the_operator_lets_users_in_and_says_where_protocols_are() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], input: &str| {
        let mut command = program(folder.path(), arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let ended = child.wait_with_output().unwrap();
        (ended.status.success(), String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    let settings = folder.path().join("protocols.toml");
    let file = settings.to_str().unwrap();
    std::fs::write(&settings, "[booky]\nprefix = 'books'").unwrap();
    let (good, _, error) = run(&["serve", "--listen", "127.0.0.1:0", "--protocols", file], "");
    assert!(!good && error.contains(file) && error.contains("booky.prefix"), "{error}");
    std::fs::write(&settings, "[booky]\nprefix = '/books'").unwrap();
    let hub = Process::start_with(folder.path(), &["--protocols", file]);

    let (good, token, _) = run(&["user", "add", "kitchen", "--token", "--role", "manager", "--entities", "books,tags"], "");
    assert!(good);
    for (arguments, input, why) in [
        (&["user", "add", "sara", "--password-stdin"][..], "short\n", "at least 8"),
        (&["user", "add", " ", "--token"], "", "a name has"),
        (&["user", "add", "sara"], "", "--password-stdin"),
        (&["user", "remove", "nobody"], "", "there is no user"),
    ] {
        let (good, _, error) = run(arguments, input);
        assert!(!good && error.contains(why), "{arguments:?}: {error}");
    }
    assert!(run(&["user", "add", "sara", "--password-stdin"], "correct horse\n").0);
    let (_, listed, _) = run(&["user", "list"], "");
    assert_eq!(listed, "kitchen\tmanager\ttoken\tbooks,tags\nsara\tregister\tpassword\tall tables\n");

    let login = hub.post("/books/auth/login", &json!({ "name": "sara", "password": "correct horse" }));
    for bearer in [token.trim(), login["accessToken"].as_str().unwrap()] {
        let headers = format!("authorization: Bearer {bearer}\r\n");
        let answer = hub.send("/books/api/sync/operations", &headers, br#"{"operations":[]}"#);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(run(&["user", "remove", "sara"], "").0);
    let again = hub.post("/books/auth/login", &json!({ "name": "sara", "password": "correct horse" }));
    assert_eq!(again["success"], false);
}

#[test]
fn the_operator_sets_policies_and_roles() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    let file = policies.to_str().unwrap();
    let serve = || {
        program(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--policies", file]).stderr(Stdio::piped()).output().unwrap()
    };
    for (text, expected) in [
        ("[tables.products]\npolicy = 'newest'", "newest"),
        ("[products]\npolicy = 'server'", "products"),
        ("[tables.products]\ncolums = { stock = 'sum' }", "colums"),
    ] {
        std::fs::write(&policies, text).unwrap();
        let ended = serve();
        let words = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && words.contains(file) && words.contains(expected), "{words}");
    }
    std::fs::write(&policies, "[tables.products]\npolicy = 'server'\ncolumns = { stock = 'sum' }\n").unwrap();
    let hub = Process::start_with(folder.path(), &["--policies", file]);
    let role = |token: &str| {
        let answer = hub.post("/sync/register", &json!({ "name": "n", "role": "manager", "enrollToken": token }));
        answer["device"]["role"].as_str().unwrap().to_owned()
    };
    let token = |options: &[&str]| {
        let ended = program(folder.path(), &[&["enroll-token"], options].concat()).output().unwrap();
        String::from_utf8(ended.stdout).unwrap().trim().to_owned()
    };
    assert_eq!([role(&token(&[])), role(&token(&["--role", "manager"]))], ["register", "manager"]);
}
