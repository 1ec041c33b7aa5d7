//! The window as a person has it before them, over WebDriver: sees texts, clicks, types.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use crate::desktop::Desktop;
use crate::support::{Running, eventually};
use crate::till::PROGRAM;

/// The name under which WebDriver hands elements around.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Longer than anything takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Finds what can be clicked or filled in by its words, as a person does: a button, a tab, a field with its label. What comes first in the window wins.
const FIND: &str = r#"
    const wanted = arguments[0];
    const plain = (text) => (text ?? "").replace(/[\u2068\u2069]/g, "").replace(/\s+/g, " ").trim();
    const names = (one) => [one.getAttribute("aria-label"), one.innerText, ...[...(one.labels ?? [])].map((label) => label.innerText)].map(plain);
    const seen = (one) => one.getClientRects().length > 0 && !one.disabled;
    const all = [...document.querySelectorAll("button, input, select, summary, [role=button]")].filter(seen);
    return all.find((one) => names(one).includes(wanted)) ?? all.find((one) => names(one).some((name) => name.startsWith(wanted))) ?? null;
"#;

/// The app, started by a WebDriver.
pub struct Browser {
    address: String,
    session: String,
    _driver: Running,
}

impl Browser {
    /// Starts the app with its window shown.
    pub fn start(desktop: &Desktop, arguments: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = desktop.command("WebKitWebDriver");
        command.arg(format!("--port={port}")).arg("--host=127.0.0.1").env("TAURI_WEBVIEW_AUTOMATION", "true");
        let driver = Running::start(&mut command, &desktop.home.join("driver.out"));
        let address = format!("127.0.0.1:{port}");
        eventually("the driver listens", || TcpStream::connect(&address).ok());
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--open"]).collect();
        let options = json!({ "binary": PROGRAM, "args": arguments });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "webkitgtk:browserOptions": options } } });
        let mut browser = Self { address, session: String::new(), _driver: driver };
        let answer = browser.ask("POST", "/session", &wanted);
        answer["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}")).clone_into(&mut browser.session);
        browser
    }

    /// Runs a script in the window.
    #[track_caller]
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.in_session("POST", "/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// All that is to be read.
    pub fn text(&self) -> String {
        let text = self.run("return document.body.innerText", &[]);
        text.as_str().unwrap_or_default().replace(['\u{2068}', '\u{2069}'], "")
    }

    /// Waits until something is to be read.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        let mut last = String::new();
        let found = crate::support::wait::within(PATIENCE, || {
            last = self.text();
            last.contains(text).then_some(())
        });
        assert!(found.is_some(), "never `{text}`, but:\n{last}");
    }

    /// Clicks what has this name, once it can be clicked.
    #[track_caller]
    pub fn click(&self, name: &str) {
        let element = self.find(name);
        self.in_session("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Writes into the field with this label.
    #[track_caller]
    pub fn write(&self, label: &str, text: &str) {
        let element = self.find(label);
        self.in_session("POST", &format!("/element/{element}/clear"), &json!({}));
        self.in_session("POST", &format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// Chooses from the list with this label.
    #[track_caller]
    pub fn choose(&self, label: &str, value: &str) {
        let element = self.find(label);
        let choose = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change', { bubbles: true }))";
        self.run(choose, &[json!({ ELEMENT: element }), json!(value)]);
    }

    #[track_caller]
    fn find(&self, name: &str) -> String {
        let mut text = String::new();
        let found = crate::support::wait::within(PATIENCE, || {
            text = self.text();
            self.run(FIND, &[json!(name)])[ELEMENT].as_str().map(str::to_owned)
        });
        found.unwrap_or_else(|| panic!("nothing called `{name}` in:\n{text}"))
    }

    /// A picture of the window. `TILLSYNC_WRITE_SCREENSHOTS` puts it into the documents.
    pub fn picture(&self, name: &str) {
        // Whatever fades in has done so.
        let still = "return document.getAnimations().every((one) => one.playState !== 'running')";
        eventually("nothing moves", || (self.run(still, &[]) == true).then_some(()));
        let answer = self.in_session("GET", "/screenshot", &Value::Null);
        let png = base64::engine::general_purpose::STANDARD.decode(answer.as_str().unwrap()).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000, "{name} is empty");
        if std::env::var_os("TILLSYNC_WRITE_SCREENSHOTS").is_some() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/screenshots");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{name}.png")), png).unwrap();
        }
    }

    #[track_caller]
    fn in_session(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, &format!("/session/{}{path}", self.session), body);
        assert!(answer["error"].is_null(), "{method} {path}: {answer}");
        answer
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.address,
            body.len()
        );
        write!(stream, "{head}content-type: application/json\r\n\r\n{body}").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Value>(body).unwrap_or_else(|error| panic!("{method} {path}: {error}: {answer}"))["value"].clone()
    }
}

impl Drop for Browser {
    /// The driver ends the app that it started.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.ask("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
    }
}
