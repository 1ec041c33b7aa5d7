//! What `tillsync status --json` says.

use serde_json::Value;

/// Progress of the first full sync. The total is zero until the rows have been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullSync {
    /// Rows sent and fetched so far.
    pub done: u64,
    /// Rows to send and fetch.
    pub total: u64,
}

/// A register's state.
#[derive(Clone, Debug)]
pub struct Status {
    /// One word.
    pub state: String,
    /// One sentence.
    pub sentence: String,
    /// Changes that wait for the server.
    pub pending: u64,
    /// Changes in conflict.
    pub conflicts: u64,
    /// Changes sent and received so far.
    pub synced: u64,
    /// When the last sync ended, Unix milliseconds.
    pub last_sync_ms: Option<i64>,
    /// The first full sync, while it lasts.
    pub full_sync: Option<FullSync>,
    /// Everything a person should look at.
    pub problems: Vec<String>,
}

impl Status {
    /// Reads the command's output.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let json: Value = serde_json::from_slice(json)?;
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| json[name].as_u64().unwrap_or_default();
        let progress = &json["full_sync"];
        Ok(Self {
            state: text("state"),
            sentence: text("sentence"),
            pending: number("pending"),
            conflicts: number("conflicts"),
            synced: number("synced"),
            last_sync_ms: json["last_sync_ms"].as_i64(),
            full_sync: progress["total"]
                .as_u64()
                .map(|total| FullSync { done: progress["done"].as_u64().unwrap_or_default(), total }),
            problems: json["problems"].as_array().into_iter().flatten().map(problem).collect(),
        })
    }

    /// Whether the agent has nothing left to do; what then still needs attention, a person must look at.
    pub fn is_settled(&self) -> bool {
        self.pending == 0 && self.full_sync.is_none() && matches!(self.state.as_str(), "synced" | "attention")
    }

    /// Whether syncing stands still until somebody acts.
    pub fn is_stuck(&self) -> bool {
        self.state == "error"
    }
}

fn problem(problem: &Value) -> String {
    format!("{} {}", problem["text"].as_str().unwrap_or_default(), problem["action"].as_str().unwrap_or_default())
}
