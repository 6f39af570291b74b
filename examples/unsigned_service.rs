//! A service without its door, to measure what signatures cost: `cargo run --release --example unsigned_service -- DIR [URL]`.
//!
//! It takes clients at their word, so it listens on a loopback port and is of no other use. DIR is a new directory for the book
//! and its keys; URL is PostgreSQL's, of a role that may create the schema `unsigned`. What is sent to it, signed by nobody, and
//! what is sent to `social-wallet serve` are the same paydays: `accrue FILE --server http://127.0.0.1:PORT` sends them.

mod common;

use std::error::Error;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use common::{WALLETS_IN_MEMORY, new_store};
use social_wallet::http::server::Terms;
use social_wallet::http::{self, App};
use social_wallet::keys::BookKeys;
use social_wallet::log::origin::key_name;
use social_wallet::publisher::Publisher;
use social_wallet::publisher::file::CheckpointFile;
use social_wallet::publisher::key::LogKeyFile;
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::clock::{self, Clock};

const SCHEMA: &str = "unsigned";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc; // as `serve` has it

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("name a new directory")?);
    let store = new_store(&directory, arguments.next().as_deref(), SCHEMA).await?;
    let keys = BookKeys::create(&directory.join("keys.json"))?;
    store.create_book(keys.book()).await?;
    let log_key = LogKeyFile::create(&directory.join("log.key"), &key_name(keys.book()))?;
    let kept = Box::new(CheckpointFile(directory.join("checkpoint")));
    let publisher = Publisher::open(store.clone(), keys.book(), log_key, kept, clock::now).await?;
    let keys = Arc::new(keys);
    let started = Sequencer::start(store.clone(), keys.clone(), Clock::system(), WALLETS_IN_MEMORY).await?;
    let (sequencer, writer) = started;
    let shown = publisher.published();
    let publishing = tokio::spawn(publisher.run(sequencer.durable()));
    let listener = http::listen("127.0.0.1:0".parse()?, false).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = App::new(store, keys, sequencer, shown, NonZeroU32::MAX, None);
    http::serve(listener, app, Terms::default(), async { drop(tokio::signal::ctrl_c().await) }).await;
    writer.await?;
    publishing.await??;
    Ok(())
}
