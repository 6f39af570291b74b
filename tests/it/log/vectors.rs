//! The vectors of `specs/log-vectors/`: made again here and compared byte for byte, then read as a stranger reads them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use social_wallet::domain::FundClass;
use social_wallet::ledger::record::{LostCheckpoint, Record};
use social_wallet::log::checkpoint::{Checkpoint, Policy};
use social_wallet::log::merkle::{
    Hash, Node, NodeSource, consistency_proof, inclusion_proof, leaf_hash, node_hash, verify_consistency,
};
use social_wallet::log::note::{KeyType, SignedNote, SigningKey, VerifierKey};
use social_wallet::log::origin::{origin, rotation_statement};
use social_wallet::log::receipt::Receipt;
use social_wallet::log::tile::{RightEdge, write_bundle_entry};

use super::{BLIND_KEY, checkpoint, hashes, leaves, log_key, rotation, tree, unruled};
use crate::store::book::{Book, book_id, month};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("specs/log-vectors")
}

/// A journal with every kind of entry that moves money, a rotation and a declared origin.
pub fn journal() -> Vec<Vec<u8>> {
    let mut book = Book::new();
    book.draft(|draft| {
        draft.open_book();
        draft.register("ASP", FundClass::Protected);
        draft.register("BONUS", FundClass::General);
        draft.fund("ASP", 50_000_000);
        draft.fund("BONUS", 1_000_000);
    });
    book.draft(|draft| {
        draft.accrue(1, "ASP", month(10), 1, 7_879_800);
        draft.accrue(1, "ASP", month(11), 1, 2_945_325);
        draft.accrue(2, "BONUS", social_wallet::domain::Period::Once, 2, 1);
    });
    let mut paid = 0;
    book.draft(|draft| paid = draft.pay_out(1, 8_000_000));
    book.draft(|draft| {
        draft.reverse(1, "ASP", month(11), 1);
    });
    book.draft(|draft| {
        draft.give_back(paid, 5_000_000);
    });
    book.draft(|draft| {
        draft.open_batch(1, 3, 30, false);
        draft.chunk(1, 1, 3, 10);
        draft.close_batch(1);
    });
    let mut leaves = leaves(&book);
    leaves.push(unruled(leaves.len(), book.at + 1, &rotation(&log_key(1), &log_key(2))));
    let lost = LostCheckpoint {
        origin: origin(book_id(), 1),
        size: leaves.len() as u64 + 5,
        root: [0x1f; 32],
        note_sha256: [0x2e; 32],
    };
    let declared = Record::OriginDeclared { origin: origin(book_id(), 2), lost: Box::new(lost) };
    leaves.push(unruled(leaves.len(), book.at + 2, &declared));
    leaves
}

/// The witness of the vectors: its key, and its line for a checkpoint's text.
fn witness(text: &str) -> (VerifierKey, String) {
    let secret = SigningKey::from_seed("witness.example/1", &[9; 32]).unwrap();
    let public = secret.verifier_key().public_bytes();
    let key = VerifierKey::new("witness.example/1", KeyType::Cosignature, public).unwrap();
    let time: u64 = 1_790_000_100;
    let signature = secret.sign_message(format!("cosignature/v1\ntime {time}\n{text}").as_bytes());
    let bytes = [key.id().as_slice(), &time.to_be_bytes(), &signature].concat();
    (key, format!("— witness.example/1 {}", base64(&bytes)))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

/// Perfect subtrees of given leaf hashes.
struct Hashes(Vec<Hash>);

impl NodeSource for Hashes {
    fn node(&self, node: Node) -> Option<Hash> {
        let width = 1_usize << node.height;
        let start = usize::try_from(node.index).ok()? * width;
        let mut row = self.0.get(start..start + width)?.to_vec();
        while row.len() > 1 {
            row = row.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        row.first().copied()
    }
}

pub fn receipt(leaves: &[Vec<u8>], index: usize, checkpoint: &SignedNote, extra: bool) -> Receipt {
    let size = leaves.len() as u64;
    let proof = inclusion_proof(size, index as u64, &Hashes(hashes(leaves))).unwrap();
    let extra = extra.then(|| leaves[index].clone());
    Receipt { extra, index: index as u64, proof, checkpoint: checkpoint.clone() }
}

fn vectors() -> Value {
    let leaves = journal();
    let rotated = leaves.len() - 2;
    let (first, second) = (log_key(1), log_key(2));

    // The last before the rotation, both lines over it, and the last of all under the new origin, cosigned.
    let before = checkpoint(&leaves[..rotated], 1).sign(&first).unwrap();
    let mut both = checkpoint(&leaves[..=rotated], 1).sign(&second).unwrap();
    both.add_signature(first.sign(both.text())).unwrap();
    let mut last = checkpoint(&leaves, 2).sign(&second).unwrap();
    let (witness, line) = witness(last.text());
    last.add_signature(line.parse().unwrap()).unwrap();

    let mut bundle = Vec::new();
    leaves.iter().for_each(|leaf| write_bundle_entry(&mut bundle, leaf).unwrap());
    let roots = (0..=leaves.len()).map(|size| hex::encode(tree(&leaves[..size]).root())).collect::<Vec<_>>();
    let consistency =
        [(1, 2), (3, 7), (6, 8), (8, leaves.len()), (rotated, leaves.len())].map(|(old, new)| {
            let source = Hashes(hashes(&leaves[..new]));
            let proof = consistency_proof(old as u64, new as u64, &source).unwrap();
            json!({"old": old, "new": new, "proof": proof.iter().map(hex::encode).collect::<Vec<_>>()})
        });
    // Leaf i is i in eight bytes, big-endian.
    let counted = [255_u64, 256, 257, 65_536, 70_000].map(|size| {
        let mut edge = RightEdge::empty();
        let _ = edge.append((0..size).map(|number| leaf_hash(&number.to_be_bytes())));
        json!({"size": size, "root": hex::encode(edge.root())})
    });
    let receipts = [(0, false), (6, false), (leaves.len() - 1, true)].map(|(index, extra)| {
        let receipt = receipt(&leaves, index, &last, extra);
        let json: Value = serde_json::from_str(&receipt.to_json()).unwrap();
        json!({"text": receipt.to_string(), "json": json})
    });
    let statement = rotation_statement(book_id(), first.verifier_key(), second.verifier_key());
    json!({
        "book": book_id().to_string(),
        "keys": {
            "first": {"secret": *first.to_text(), "verifier": first.verifier_key().to_string()},
            "second": {"secret": *second.to_text(), "verifier": second.verifier_key().to_string()},
            "witness": witness.to_string(),
        },
        "blind_key": hex::encode(BLIND_KEY),
        "leaves": leaves.iter().map(|leaf| String::from_utf8(leaf.clone()).unwrap()).collect::<Vec<_>>(),
        "leaf_hashes": hashes(&leaves).iter().map(hex::encode).collect::<Vec<_>>(),
        "roots": roots,
        "bundle": {"path": format!("tile/entries/000.p/{}", leaves.len()), "hex": hex::encode(&bundle)},
        "tile": {"path": format!("tile/0/000.p/{}", leaves.len()), "hex": hex::encode(hashes(&leaves).as_flattened())},
        "counted_trees": counted,
        "consistency": consistency,
        "rotation": {
            "entry": rotated,
            "statement": String::from_utf8(statement.clone()).unwrap(),
            "signature": base64(&first.sign_message(&statement)),
        },
        "checkpoints": [before.to_string(), both.to_string(), last.to_string()],
        "receipts": receipts,
    })
}

/// To write the files anew after a deliberate change: `UPDATE_VECTORS=1 cargo test --test it log::vectors`.
#[test]
fn the_published_vectors_are_what_the_code_makes() {
    let path = directory().join("vectors.json");
    let made = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        fs::create_dir_all(directory()).unwrap();
        fs::write(&path, &made).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap();
    assert!(published == made, "specs/log-vectors/vectors.json is not what the code makes");
}

#[test]
fn the_published_vectors_hold_as_a_stranger_reads_them() {
    let vectors: Value =
        serde_json::from_str(&fs::read_to_string(directory().join("vectors.json")).unwrap()).unwrap();
    let texts = |name: &str| -> Vec<String> { serde_json::from_value(vectors[name].clone()).unwrap() };
    let key =
        |name: &str| vectors["keys"][name]["verifier"].as_str().unwrap().parse::<VerifierKey>().unwrap();
    let (leaves, roots, notes) = (texts("leaves"), texts("roots"), texts("checkpoints"));
    let hash = |text: &str| -> Hash { hex::decode(text).unwrap().try_into().unwrap() };

    let open = |policy: &Policy, note: &str| policy.open(note.as_bytes()).map(|(checkpoint, _)| checkpoint);
    let of = |name: &str| Policy::of_log(key(name));
    let root_of = |checkpoint: &Checkpoint| roots[usize::try_from(checkpoint.size).unwrap()].clone();
    for (names, note) in [vec!["first"], vec!["first", "second"], vec!["second"]].into_iter().zip(&notes) {
        for name in ["first", "second"] {
            let opened = open(&of(name), note);
            assert_eq!(opened.is_ok(), names.contains(&name));
            assert!(
                opened.is_err()
                    || hex::encode(opened.unwrap().root) == root_of(&open(&of(names[0]), note).unwrap())
            );
        }
    }
    let witness = vectors["keys"]["witness"].as_str().unwrap().parse().unwrap();
    let policy = Policy { witnesses: vec![witness], witnesses_needed: 1, ..of("second") };
    assert!(open(&policy, &notes[2]).is_ok() && open(&policy, &notes[1]).is_err());

    for proof in vectors["consistency"].as_array().unwrap() {
        let [old, new] = ["old", "new"].map(|name| proof[name].as_u64().unwrap());
        let nodes: Vec<String> = serde_json::from_value(proof["proof"].clone()).unwrap();
        let nodes = nodes.iter().map(|node| hash(node)).collect::<Vec<_>>();
        let root = |size: u64| hash(&roots[usize::try_from(size).unwrap()]);
        assert_eq!(verify_consistency(old, &root(old), new, &root(new), &nodes), Ok(()));
    }

    for receipt in vectors["receipts"].as_array().unwrap() {
        let read = Receipt::parse(receipt["text"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(Receipt::from_json(receipt["json"].to_string().as_bytes()).as_ref(), Ok(&read));
        let leaf = leaves[usize::try_from(read.index).unwrap()].as_bytes();
        assert_eq!(read.verify(&leaf_hash(leaf), &of("second")).unwrap().size, leaves.len() as u64);
        assert!(read.verify(&leaf_hash(leaf), &of("first")).is_err());
    }
}
