//! A small bank: follows its events and answers every transfer. A card whose last four digits are 0000 is closed: what is sent to
//! it comes back. It keeps its place in a file, and may be killed at any moment.
//!
//! `cargo run --bin mock-bank -- http://127.0.0.1:8080 data/clients/bank.pem bank.place`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use social_wallet::client::bank::{Decision, Desk};
use social_wallet::client::{Client, key};
use social_wallet::sequencer::clock;
use social_wallet::signature::Signer;

/// A bank that answers its transfers.
#[derive(Parser)]
struct Arguments {
    /// The address of the service
    server: String,
    /// The bank's key, as `social-wallet keygen` has made it
    key: PathBuf,
    /// Where it keeps how far it has come
    place: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let (key, owner) = key::load(&arguments.key)?;
    let owner = owner.ok_or("the key file names no client")?;
    let signer = Signer::new(owner, key).ok_or("the key is of small order: make another")?;
    let client = Client::new(&arguments.server)?.with_patience(Duration::from_mins(5));
    let mut desk = Desk::new(client.with_signer(signer, clock::now), read(&arguments.place)?);
    loop {
        let taken = desk
            .turn(20, |transfer| match transfer["destination"]["last_four"].as_str() {
                Some("0000") => Decision::Return("card closed".to_owned()),
                _ => Decision::Settle,
            })
            .await?;
        let mut out = std::io::stdout().lock();
        for answer in taken {
            writeln!(out, "{answer}")?;
        }
        out.flush()?;
        std::fs::write(&arguments.place, desk.after().to_string())?;
    }
}

/// How far it has come: nowhere, if there is no file.
fn read(place: &Path) -> Result<u64, Box<dyn std::error::Error>> {
    match std::fs::read_to_string(place) {
        Ok(text) => Ok(text.trim().parse()?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}
