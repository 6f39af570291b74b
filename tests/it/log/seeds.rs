//! The seeds of the fuzz targets, replayed without a fuzzer: the same functions on the same files, every time.

#[path = "../../../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::PathBuf;

use social_wallet::log::checkpoint::Checkpoint;
use social_wallet::log::leaf::Leaf;
use social_wallet::log::note::{SignedNote, VerifierKey};
use social_wallet::log::receipt::Receipt;
use social_wallet::log::tile::{BundleEntries, TilePath, write_bundle_entry};

use super::vectors::{journal, receipt};
use super::{checkpoint, log_key};

/// What a fuzz target does with bytes.
type Check = fn(&[u8]);

const TARGETS: [(&str, Check); 6] = [
    ("note", checks::note),
    ("checkpoint", checks::checkpoint),
    ("receipt", checks::receipt),
    ("tile_path", checks::tile_path),
    ("entry_bundle", checks::entry_bundle),
    ("leaf", checks::leaf),
];

fn directory(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target)
}

/// Real values, one file each: the target, the file's name, the bytes.
fn made() -> Vec<(&'static str, String, Vec<u8>)> {
    let leaves = journal();
    let key = log_key(1);
    let head = checkpoint(&leaves, 1);
    let mut note = head.sign(&key).unwrap();
    note.add_signature(log_key(2).sign(note.text())).unwrap();
    let mut extended = head.clone();
    extended.extensions = vec!["an extension".to_owned(), "another".to_owned()];
    let with_extra = receipt(&leaves, 6, &note, true);
    let mut bundle = Vec::new();
    leaves[..3].iter().for_each(|leaf| write_bundle_entry(&mut bundle, leaf).unwrap());
    let mut seeds = vec![
        ("note", "signed".to_owned(), note.to_string().into_bytes()),
        ("note", "verifier_key".to_owned(), key.verifier_key().to_string().into_bytes()),
        ("note", "secret_key".to_owned(), key.to_text().as_bytes().to_vec()),
        ("checkpoint", "signed".to_owned(), note.to_string().into_bytes()),
        ("checkpoint", "body".to_owned(), head.body().into_bytes()),
        ("checkpoint", "extended".to_owned(), extended.body().into_bytes()),
        ("receipt", "text".to_owned(), receipt(&leaves, 6, &note, false).to_string().into_bytes()),
        ("receipt", "extra".to_owned(), with_extra.to_string().into_bytes()),
        ("receipt", "json".to_owned(), with_extra.to_json().into_bytes()),
        ("entry_bundle", "three".to_owned(), bundle),
        ("entry_bundle", "empty_entries".to_owned(), vec![0; 512]),
    ];
    for (name, path) in [
        ("first", "tile/0/000"),
        ("partial", "tile/1/x001/000.p/17"),
        ("entries", "tile/entries/x001/x234/067.p/255"),
        ("last", "tile/63/x018/x446/x744/x073/x709/x551/615"),
    ] {
        seeds.push(("tile_path", name.to_owned(), path.into()));
    }
    for (seq, leaf) in leaves.into_iter().enumerate() {
        seeds.push(("leaf", format!("entry_{seq:02}"), leaf));
    }
    seeds
}

/// To write them anew after a deliberate change: `UPDATE_VECTORS=1 cargo test --test it log::seeds`.
#[test]
fn the_seeds_are_real_values() {
    for (target, name, bytes) in made() {
        let path = directory(target).join(&name);
        if std::env::var_os("UPDATE_VECTORS").is_some() {
            fs::create_dir_all(directory(target)).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(
            fs::read(&path).ok().as_ref(),
            Some(&bytes),
            "fuzz/seeds/{target}/{name} is not what it should be"
        );
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let is_read = match (target, name.as_str()) {
            ("note", "verifier_key") => text.parse::<VerifierKey>().is_ok(),
            ("note", "secret_key") => text.ends_with(&*log_key(1).to_text()),
            ("note", _) | ("checkpoint", "signed") => SignedNote::parse(&bytes).is_ok(),
            ("checkpoint", _) => Checkpoint::parse(text).is_ok(),
            ("receipt", "json") => Receipt::from_json(&bytes).is_ok(),
            ("receipt", _) => Receipt::parse(&bytes).is_ok(),
            ("tile_path", _) => text.parse::<TilePath>().is_ok(),
            ("entry_bundle", _) => BundleEntries::new(&bytes).all(|entry| entry.is_ok()),
            _ => Leaf::read(&bytes).and_then(|leaf| leaf.record()).is_ok(),
        };
        assert!(is_read, "fuzz/seeds/{target}/{name} does not read");
    }
}

/// Every seed, and every file that a fuzzer has found: as it is, cut anywhere, and with each byte changed once.
#[test]
fn every_seed_passes_what_the_fuzz_targets_check() {
    for (target, check) in TARGETS {
        let mut files = 0;
        for file in fs::read_dir(directory(target)).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            check(&bytes);
            let step = bytes.len() / 200 + 1;
            for at in (0..bytes.len()).step_by(step) {
                check(&bytes[..at]);
                for mask in [0x01, 0x20, 0x80] {
                    let mut changed = bytes.clone();
                    changed[at] ^= mask;
                    check(&changed);
                }
            }
            files += 1;
        }
        assert!(files > 0, "{target} has no seeds");
    }
}
