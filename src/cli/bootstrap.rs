//! `bootstrap`: the first operators of a new book, or a whole cast to try it with.
//!
//! Nobody can be authenticated before there is anybody: so this is done where the book and its keys are, not over HTTP, and
//! a book can be bootstrapped once.

use std::io::Write as _;
use std::path::Path;

use clap::Args;
use serde_json::json;

use super::log::{open, writer};
use super::place::PlaceArgs;
use super::programme::{DEFAULT_PAYER, parse_payer};
use super::{CliError, Global, Outcome, table};
use crate::client::key;
use crate::domain::{Bic, Bin, ClientId, Issuer, PublicKey, Role, Scope};
use crate::ledger::record::Actor;
use crate::ledger::registry::{Founder, Proposal};
use crate::publisher::Publisher;
use crate::sequencer::Sequencer;
use crate::sequencer::clock;
use crate::sequencer::command::{Command, CommandError, EntryView, Outcome as Made, RegistryCommand};

/// Whom to begin with.
#[derive(Debug, Args)]
pub struct BootstrapArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// An operator and the public key that `keygen` printed; at least two of them
    #[arg(long = "operator", value_name = "ID=KEY", value_parser = parse_founder, required_unless_present = "trial")]
    operators: Vec<Founder>,
    /// Make keys for two operators, authorities of four kinds, and one client of each other role, in the directory `clients` of the data directory.
    /// To try it out: in earnest every key is made where it is used
    #[arg(long, conflicts_with = "operators")]
    trial: bool,
}

/// The clients of a trial: who they are, and what they may touch.
pub const TRIAL: [(&str, Role); 10] = [
    ("operator-1", Role::Operator),
    ("operator-2", Role::Operator),
    ("payer", Role::Payer),
    ("bank", Role::Bank),
    ("channel", Role::Channel),
    ("authority", Role::Authority),
    ("tax-authority", Role::Authority),
    ("bank-claims", Role::Authority),
    ("collector", Role::Authority),
    ("auditor", Role::Auditor),
];

/// What the authorities of a trial are, each with a BIN of its own. The one that is only called an authority is a bailiff.
const AUTHORITIES: [(&str, &[u8], Issuer); 4] = [
    ("authority", b"010140001230", Issuer::Bailiff),
    ("tax-authority", b"990740004567", Issuer::TaxAuthority),
    ("bank-claims", b"050840007897", Issuer::Bank),
    ("collector", b"881200003334", Issuer::Creditor),
];

/// The bank of a trial.
const TRIAL_BIC: &[u8] = b"CASPKZKA";

fn parse_founder(text: &str) -> Result<Founder, String> {
    let (client, key) = text.split_once('=').ok_or("an operator is given as ID=KEY")?;
    let client = ClientId::parse(client).map_err(|error| error.to_string())?;
    let public_key = PublicKey::parse(key).map_err(|error| error.to_string())?;
    Ok(Founder { client, public_key })
}

/// Runs the command.
pub async fn run(global: &Global, args: BootstrapArgs) -> Result<Outcome, CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::Service(error.to_string());
    let (store, keys) = open(&args.place).await?;
    if let Some(first) = store.registry_seq().await.map_err(|error| failed(&error))? {
        let text = format!("the book has its operators, the newest change of who may call is entry {first}");
        return Err(CliError::Refused(text));
    }
    // A store that lacks what was signed takes no entry.
    let log_key = args.place.open_log_key(&*store, keys.book()).await?;
    let kept = Box::new(args.place.kept());
    let checked = Publisher::open(store.clone(), keys.book(), log_key, kept, clock::now).await;
    checked.map_err(|error| failed(&error))?;
    let directory = args.place.data_dir.join("clients");
    let cast = if args.trial { Some(make_keys(&directory)?) } else { None };
    let (sequencer, writer) = writer(&store, &keys).await?;
    let done = match &cast {
        Some(cast) => register_all(&sequencer, cast).await,
        None => submit(&sequencer, "bootstrap", RegistryCommand::Bootstrap(args.operators.clone())).await,
    };
    drop(sequencer);
    writer.await.map_err(|error| failed(&error))?;
    let entry = done?.seq;
    let Some(cast) = cast else {
        let operators: Vec<ClientId> = args.operators.iter().map(|founder| founder.client).collect();
        global.show(&json!({"operators": operators, "entry": entry}), |out| {
            writeln!(out, "The book has {} operators, entry {entry}.", operators.len())
        })?;
        return Ok(Outcome::Done);
    };
    let files: Vec<(String, String)> = cast
        .iter()
        .map(|member| (member.client.to_string(), path_of(&directory, member.client).display().to_string()))
        .collect();
    let value = json!({"clients": files.iter().cloned().collect::<std::collections::BTreeMap<_, _>>()});
    global.show(&value, |out| {
        table::print(out, &table::facts(files.iter().map(|(name, file)| (name.as_str(), file.clone()))))
    })?;
    Ok(Outcome::Done)
}

/// The key file of a client of a trial.
pub fn path_of(directory: &Path, client: ClientId) -> std::path::PathBuf {
    directory.join(format!("{client}.pem"))
}

/// A client of a trial.
struct Member {
    client: ClientId,
    role: Role,
    public_key: PublicKey,
}

fn make_keys(directory: &Path) -> Result<Vec<Member>, CliError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(directory).map_err(CliError::file(directory))?;
    let mut cast = Vec::new();
    for (name, role) in TRIAL {
        let client = ClientId::parse(name).expect("a test reads them");
        let key = key::create(&path_of(directory, client), client)?;
        let public_key = PublicKey::from_bytes(key.verifying_key().to_bytes());
        let weak = |_| CliError::Service("the random key is of small order: run it again".to_owned());
        cast.push(Member { client, role, public_key: public_key.map_err(weak)? });
    }
    Ok(cast)
}

fn scope_of(name: &str, role: Role) -> Scope {
    match role {
        Role::Payer => Scope::Payer(parse_payer(DEFAULT_PAYER).expect("a test reads it")),
        Role::Authority => {
            let known = AUTHORITIES.iter().find(|(known, ..)| *known == name);
            let (_, bin, issuer) = known.expect("a test looks every authority up");
            Scope::Authority(Bin::parse(bin).expect("a test reads it"), *issuer)
        }
        Role::Bank => Scope::Bank(Bic::parse(TRIAL_BIC).expect("a test reads it")),
        Role::Channel | Role::Auditor | Role::Operator => Scope::Book,
    }
}

async fn register_all(sequencer: &Sequencer, cast: &[Member]) -> Result<EntryView, CliError> {
    let (founders, others) = cast.split_at(2);
    let [first, second] = [founders[0].client, founders[1].client];
    let founder = |member: &Member| Founder { client: member.client, public_key: member.public_key };
    let bootstrap = RegistryCommand::Bootstrap(founders.iter().map(founder).collect());
    let entry = submit(sequencer, "bootstrap", bootstrap).await?;
    for Member { client, role, public_key } in others {
        let (client, role, public_key, scope) =
            (*client, *role, *public_key, scope_of(client.as_str(), *role));
        let steps = if role == Role::Authority {
            let (bin, bic, issuer) = (scope.bin(), scope.bic(), scope.issuer());
            let register = Proposal::RegisterClient { client, role, bin, bic, issuer };
            agree(sequencer, first, second, register).await?;
            agree(sequencer, first, second, Proposal::AddKey { client, public_key }).await?;
            continue;
        } else {
            [
                RegistryCommand::Register { client, role, scope },
                RegistryCommand::AddKey { client, public_key },
            ]
        };
        for step in steps {
            submit(sequencer, first.as_str(), step).await?;
        }
    }
    Ok(entry)
}

/// One asks, the other approves.
async fn agree(
    sequencer: &Sequencer,
    one: ClientId,
    other: ClientId,
    proposal: Proposal,
) -> Result<(), CliError> {
    let digest = proposal.digest();
    let asked = submit(sequencer, one.as_str(), RegistryCommand::RequestApproval(proposal)).await?;
    let given = RegistryCommand::GiveApproval { approval: asked.seq, digest, iin: None };
    submit(sequencer, other.as_str(), given).await.map(drop)
}

async fn submit(sequencer: &Sequencer, by: &str, command: RegistryCommand) -> Result<EntryView, CliError> {
    let client = ClientId::parse(by).expect("written in this file");
    let actor = Actor { client, request: [0; 32], line: None, instruction: None };
    match sequencer.submit(Command::Registry(command), actor).await {
        Ok(Made::Entry(entry)) => Ok(entry),
        Ok(Made::Chunk(_) | Made::Answers(_)) => {
            Err(CliError::Service("the ledger answered without an entry".to_owned()))
        }
        Err(CommandError::Refused(refusal)) => Err(CliError::Refused(refusal.to_string())),
        Err(error) => Err(CliError::Service(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_of_a_trial_can_be_registered() {
        for (name, role) in TRIAL {
            assert!(ClientId::parse(name).is_ok());
            let scope = scope_of(name, role);
            assert_eq!(Scope::of(role, scope.bin(), scope.bic(), scope.issuer()), Ok(scope));
        }
        assert!(TRIAL[..2].iter().all(|(_, role)| *role == Role::Operator));
    }
}
