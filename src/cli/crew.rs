//! The clients of a trial at work, for `demo` and `bench`: whoever may do a thing does it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::bootstrap::path_of;
use super::error::CliError;
use crate::client::key;
use crate::client::{Client, ClientError};
use crate::domain::{ClientId, ProgrammeCode};
use crate::sequencer::clock;
use crate::signature::Signer;

/// The clients that `bootstrap --trial` has made.
pub struct Crew {
    directory: PathBuf,
    url: String,
    patience: Duration,
}

impl Crew {
    /// Those of this data directory, of a service at this address; they wait so long for it when it is away.
    #[must_use]
    pub fn of(data_dir: &std::path::Path, url: &str, patience: Duration) -> Self {
        Self { directory: data_dir.join("clients"), url: url.to_owned(), patience }
    }

    /// The one of this name.
    pub fn client(&self, name: &str) -> Result<Client, CliError> {
        let id = ClientId::parse(name).expect("named in the program");
        let (key, _) = key::load(&path_of(&self.directory, id))?;
        let signer =
            Signer::new(id, key).ok_or_else(|| CliError::Service("a key of small order".to_owned()))?;
        Ok(Client::new(&self.url)?.with_patience(self.patience).with_signer(signer, clock::now))
    }

    /// Funds a programme: one operator asks, the other approves.
    pub async fn fund(&self, code: ProgrammeCode, amount: &str, reference: &str) -> Result<(), CliError> {
        let [one, other] = [self.client("operator-1")?, self.client("operator-2")?];
        let asked = one.fund(code, amount, reference, &Client::fresh_key()).await?.value;
        let entry = asked["entry"].as_u64();
        let (Some(entry), Some(digest)) = (entry, asked["digest"].as_str()) else {
            let what = json!({"kind": asked["kind"]}).to_string();
            return Err(ClientError::Protocol { url: self.url.clone(), what }.into());
        };
        other.approve(entry, digest, None, &Client::fresh_key()).await?;
        Ok(())
    }
}
