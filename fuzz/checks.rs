// What must hold of any bytes that the log's readers are given. The fuzz targets call these, and so does the test that
// replays the seeds: nothing panics, and what is read is written back as it was.

use social_wallet::domain::BookId;
use social_wallet::log::checkpoint::{Checkpoint, Policy};
use social_wallet::log::leaf::{Leaf, LeafWriter};
use social_wallet::log::note::{SignedNote, SigningKey, VerifierKey};
use social_wallet::log::reader::LeafReader;
use social_wallet::log::receipt::Receipt;
use social_wallet::log::tile::{BundleEntries, TilePath, write_bundle_entry};

/// The book of the seeds.
pub const BOOK: &str = "00000000-0000-0000-0000-00000000b00c";

/// A key whose signature some seeds bear.
pub const KEY_NAME: &str = "social-wallet/00000000-0000-0000-0000-00000000b00c";
pub const KEY_SEED: [u8; 32] = [1; 32];

fn key() -> SigningKey {
    SigningKey::from_seed(KEY_NAME, &KEY_SEED).expect("the name is one")
}

pub fn note(data: &[u8]) {
    if let Ok(note) = SignedNote::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data);
        assert!(!note.signatures().is_empty());
        let _ = note.is_signed_by(key().verifier_key());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = SigningKey::parse(text) {
        assert_eq!(*key.to_text(), text);
    }
}

pub fn checkpoint(data: &[u8]) {
    let policy = Policy::of_log(key().verifier_key().clone());
    if let Ok((checkpoint, note)) = policy.open(data) {
        assert_eq!(note.to_string().as_bytes(), data);
        assert_eq!(checkpoint.body(), note.text());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.body(), text);
        let note = checkpoint.sign(&key()).expect("what was read can be signed");
        let ours = social_wallet::log::origin::generation(&checkpoint.origin, KEY_NAME).is_some();
        assert_eq!(policy.check(&note).ok(), ours.then_some(checkpoint));
    }
}

pub fn receipt(data: &[u8]) {
    let policy = Policy::of_log(key().verifier_key().clone());
    if let Ok(receipt) = Receipt::parse(data) {
        assert_eq!(receipt.to_string().as_bytes(), data);
        assert_eq!(Receipt::from_json(receipt.to_json().as_bytes()).as_ref(), Ok(&receipt));
        let _ = receipt.verify(&[0; 32], &policy);
    }
    if let Ok(receipt) = Receipt::from_json(data) {
        assert_eq!(Receipt::parse(receipt.to_string().as_bytes()), Ok(receipt));
    }
}

pub fn tile_path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
    }
}

pub fn entry_bundle(data: &[u8]) {
    let entries = BundleEntries::new(data).collect::<Result<Vec<_>, _>>();
    let Ok(entries) = entries else { return };
    assert!(entries.len() <= 256);
    let mut bundle = Vec::new();
    for entry in entries {
        write_bundle_entry(&mut bundle, entry).expect("an entry that was read fits");
    }
    assert_eq!(bundle, data);
}

pub fn leaf(data: &[u8]) {
    let strict = LeafReader::new(BookId::parse(BOOK).expect("a UUID")).read(data);
    let read = Leaf::read(data)
        .and_then(|leaf| Ok((leaf.seq, leaf.book, leaf.stamp()?, leaf.actor()?, leaf.record()?)));
    let Ok((seq, book, stamp, actor, record)) = read else {
        return assert!(strict.is_err(), "the strict reader takes what the other does not");
    };
    if let Ok(entry) = strict {
        assert_eq!((entry.seq, entry.stamp, entry.actor, &entry.record), (seq, stamp, actor, &record));
    }
    let Ok(book_id) = BookId::parse(book) else { return };
    let mut writer = LeafWriter::new(book_id, &[4; 32]);
    writer.stamp(stamp);
    let mut written = Vec::new();
    writer.write(&mut written, seq, &record, &actor);
    let again = Leaf::read(&written).expect("a written leaf is a leaf");
    assert_eq!((again.seq, again.book, again.stamp()), (seq, book, Ok(stamp)));
    assert_eq!((again.actor(), again.record()), (Ok(actor), Ok(record)));
}
