//! `keygen`: a key that a client signs its requests with.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::client::key;
use crate::domain::ClientId;
use crate::signature::Signer;

use super::error::{CliError, Outcome};
use super::{Global, table};

/// Where to write the key.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The client that will sign with it: 1 to 32 of a-z 0-9 . _ -
    #[arg(value_name = "CLIENT", value_parser = ClientId::parse)]
    owner: ClientId,
    /// The file, which must not exist: PKCS#8 PEM, readable by its owner only
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs the command. The private key stays in its file; what is printed may be given to anybody.
pub fn run(global: &Global, args: &KeygenArgs) -> Result<Outcome, CliError> {
    let key = key::create(&args.file, args.owner)?;
    let signer = Signer::new(args.owner, key)
        .ok_or_else(|| CliError::Service("the random key is of small order: run it again".to_owned()))?;
    let (id, public) = (signer.key_id(), signer.public_key());
    let value = json!({"file": args.file.display().to_string(), "keyid": id, "public_key": public});
    let facts = [
        ("key file", args.file.display().to_string()),
        ("keyid", id.to_string()),
        ("public key", public.to_string()),
    ];
    global.show(&value, |out| table::print(out, &table::facts(facts)))?;
    Ok(Outcome::Done)
}
