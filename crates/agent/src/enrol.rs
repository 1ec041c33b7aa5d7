//! Enrolling: a device of this register's own at the server.

use tillsync_core::wire::hub::RegisterRequest;

use crate::agent::Agent;
use crate::remote::RegisterReply;

impl Agent {
    /// Asks the server for a device and its key. The same registration id gets the same device again, with a fresh key.
    pub async fn ask_to_enrol(&self, token: Option<&str>, registration: String) -> RegisterReply {
        let request = RegisterRequest {
            name: self.config.name.clone(),
            kind: "desktop".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            platform: platform().to_owned(),
            metadata: Some(serde_json::json!({ "role": self.config.role })),
            enroll_token: token.map(str::to_owned),
            registration_id: Some(registration),
            role: Some(self.config.role),
        };
        self.remote.register(&request).await
    }
}

/// The platform's name as the cloud sync API writes it.
pub(crate) fn platform() -> &'static str {
    match std::env::consts::OS {
        "windows" => "Windows",
        "macos" => "macOS",
        "linux" => "Linux",
        other => other,
    }
}
