//! The clients of a book that a real process serves, as `bootstrap --trial` makes them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use social_wallet::client::{Client, key};
use social_wallet::domain::{ClientId, ProgrammeCode};
use social_wallet::sequencer::clock;
use social_wallet::signature::Signer;
use tokio::process::Command;

/// Whoever may call, by name.
#[derive(Clone)]
pub struct Crew(PathBuf);

impl Crew {
    /// Bootstraps a new book. `command` is `bootstrap --trial` with what says where the book is.
    pub async fn bootstrap(data: &Path, mut command: Command) -> Self {
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self::of(data)
    }

    /// Those of a book that was bootstrapped before.
    pub fn of(data: &Path) -> Self {
        Self(data.join("clients"))
    }

    /// The key file of one.
    pub fn key(&self, name: &str) -> String {
        self.0.join(format!("{name}.pem")).display().to_string()
    }

    /// One of them, as a client of a service.
    pub fn client(&self, name: &str, url: &str) -> Client {
        let (key, owner) = key::load(Path::new(&self.key(name))).unwrap();
        assert_eq!(owner, Some(ClientId::parse(name).unwrap()));
        let signer = Signer::new(owner.unwrap(), key).unwrap();
        Client::new(url).unwrap().with_patience(Duration::from_mins(1)).with_signer(signer, clock::now)
    }

    /// Funds a programme, as two operators.
    pub async fn fund(&self, url: &str, code: ProgrammeCode, amount: &str, reference: &str) -> Value {
        let (one, other) = (self.client("operator-1", url), self.client("operator-2", url));
        let asked = one.fund(code, amount, reference, &Client::fresh_key()).await.unwrap().value;
        assert_eq!(asked["kind"], "approval_requested");
        let (entry, digest) = (asked["entry"].as_u64().unwrap(), asked["digest"].as_str().unwrap());
        other.approve(entry, digest, None, &Client::fresh_key()).await.unwrap().value
    }
}
