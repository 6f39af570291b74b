//! Files of an honest log, changed behind its back.

use social_wallet::log::note::SigningKey;
use social_wallet::log::tile::BundleEntries;

use super::{Log, checkpoint_of, key, kinds, leaves, swap};

/// Takes a bundle apart, lets it be changed, and puts it together again.
fn edit_bundle(log: &Log, path: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    log.edit(path, |bytes| {
        let mut entries: Vec<Vec<u8>> =
            BundleEntries::new(bytes).map(|entry| entry.unwrap().to_vec()).collect();
        change(&mut entries);
        bytes.clear();
        for entry in &entries {
            bytes.extend_from_slice(&u16::try_from(entry.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(entry);
        }
    });
}

fn names(log: &Log, entry: Option<u64>, place: &str) {
    let finding = log.finding();
    assert_eq!((finding.entry, finding.place.as_str()), (entry, place), "{finding}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_log_fits_and_its_sums_are_told() {
    let leaves = leaves().await;
    let mut log = Log::of(&leaves).await;
    let sizes = [0, 1, 255, 256, 257, 511, leaves.len() - 1, leaves.len()];
    for size in sizes {
        log = log.keeping(checkpoint_of(&leaves, size, 1, &key()));
    }
    let report = log.verify();
    assert_eq!(report.finding, None);
    assert_eq!((report.entries, report.earlier.len()), (leaves.len() as u64, sizes.len()));
    let counted = report.kinds.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
    assert_eq!(kinds(&leaves), counted);
    assert_eq!(report.signed_by, [key().verifier_key().label().to_string()]);
    let totals = report.totals.unwrap();
    assert_eq!(totals.wallets + totals.funding + totals.clearing, totals.backing);
    assert_eq!(totals.backing, 2_000_000_000_000);
    for row in &totals.programmes {
        assert!(row.accrued > 0 && row.funded == 1_000_000_000_000, "{row:?}");
        assert_eq!(row.funded - row.accrued + row.reversed, row.funding_left, "{row:?}");
        assert_eq!(row.accrued - row.reversed - row.paid_out, row.in_wallets, "{row:?}");
    }
    assert!(totals.clearing > 0 && totals.programmes.iter().any(|row| row.reversed > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_exported_bit_by_bit_fits_at_every_step() {
    let leaves = leaves().await;
    let directory = tempfile::tempdir().unwrap();
    for size in [1, 200, 256, 300, 513, leaves.len()] {
        let log = Log::under(&leaves, checkpoint_of(&leaves, size, 1, &key())).await;
        let told = super::Told { leaves: &leaves, checkpoint: checkpoint_of(&leaves, size, 1, &key()) };
        super::export(&told, directory.path(), |_| ()).await.unwrap();
        // A checkpoint may lie within a commit here, so that only the lines of a chunk may be told later.
        let report = log.verify();
        assert_eq!(report.entries, size as u64, "{:?}", report.finding);
        let found = report.finding.map(|finding| finding.expected);
        assert!(found.is_none_or(|expected| expected.starts_with("an entry of a chunk")), "{size}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_9_a_changed_byte_names_its_entry_wherever_it_is() {
    let leaves = leaves().await;
    for entry in [0, 5, 255, 256, 600, leaves.len() - 1] {
        let log = Log::of(&leaves).await;
        let width = leaves.len() % 256;
        let (bundle, place) = (entry / 256, entry % 256);
        let path = if bundle == leaves.len() / 256 {
            format!("tile/entries/{bundle:03}.p/{width}")
        } else {
            format!("tile/entries/{bundle:03}")
        };
        edit_bundle(&log, &path, |entries| {
            let middle = entries[place].len() / 2;
            entries[place][middle] ^= 1;
        });
        names(&log, Some(entry as u64), &path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_9_entries_taken_out_put_in_or_reordered_are_named() {
    let leaves = leaves().await;
    let bundle = "tile/entries/001";
    let changed = async |change: fn(&mut Vec<Vec<u8>>)| {
        let log = Log::of(&leaves).await;
        edit_bundle(&log, bundle, change);
        log
    };
    names(&changed(|entries| drop(entries.pop())).await, Some(511), bundle);
    names(&changed(|entries| drop(entries.remove(100))).await, Some(356), bundle);
    names(&changed(|entries| entries.swap(20, 21)).await, Some(276), bundle);
    names(&changed(|entries| entries.insert(7, entries[6].clone())).await, Some(263), bundle);
    names(&changed(|entries| entries.push(b"{}".to_vec())).await, Some(512), bundle);
    names(&changed(Vec::clear).await, Some(256), bundle);

    let log = Log::of(&leaves).await;
    log.edit(bundle, |bytes| bytes.truncate(bytes.len() - 3));
    names(&log, Some(511), bundle);
    std::fs::remove_file(log.path(bundle)).unwrap();
    names(&log, None, bundle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_9_the_newest_entries_cannot_be_dropped_from_the_files() {
    let leaves = leaves().await;
    let log = Log::of(&leaves).await;
    let (bundle, width) = (leaves.len() / 256, leaves.len() % 256);
    let path = format!("tile/entries/{bundle:03}.p/{width}");
    edit_bundle(&log, &path, |entries| drop(entries.drain(width - 2..)));
    names(&log, Some(leaves.len() as u64 - 2), &path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_9_swapped_tiles_are_named_and_swapped_bundles_name_the_first_entry() {
    let leaves = leaves().await;
    let log = Log::of(&leaves).await;
    swap(&log.path("tile/entries/000"), &log.path("tile/entries/002"));
    names(&log, Some(0), "tile/entries/000");

    let log = Log::of(&leaves).await;
    swap(&log.path("tile/0/001"), &log.path("tile/0/002"));
    names(&log, None, "tile/0/001");

    let log = Log::of(&leaves).await;
    let upper = format!("tile/1/000.p/{}", leaves.len() / 256);
    log.edit(&upper, |bytes| bytes[40] ^= 1);
    names(&log, None, &upper);

    let log = Log::of(&leaves).await;
    log.edit("tile/0/001", |bytes| bytes[32 * 9] ^= 1);
    names(&log, None, "tile/0/001");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_9_a_bundle_and_its_tile_changed_together_do_not_lead_to_the_root() {
    let leaves = leaves().await;
    let mut other = leaves.clone();
    let place = super::first(&other, "programme_registered", |_| true);
    super::rewrite(&mut other[place], |map| {
        map.insert("legal_basis".into(), "another law".into());
    });
    // Every file is of the changed log, but the checkpoint.
    let log = Log::of(&other).await;
    std::fs::write(log.path("checkpoint"), checkpoint_of(&leaves, leaves.len(), 1, &key())).unwrap();
    names(&log, None, "checkpoint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_9_an_old_checkpoint_is_refused_by_who_kept_a_newer_one() {
    let leaves = leaves().await;
    let kept = checkpoint_of(&leaves, leaves.len(), 1, &key());
    let log = Log::under(&leaves, checkpoint_of(&leaves, 700, 1, &key())).await.keeping(kept);
    let finding = log.finding();
    assert_eq!(finding.place, "checkpoint");
    assert!(finding.expected.contains(&format!("the {} entries of kept-0", leaves.len())), "{finding}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_9_two_histories_are_told_apart_by_a_kept_checkpoint() {
    let leaves = leaves().await;
    let mut other = leaves.clone();
    let place = super::first(&other, "wallet_opened", |_| true);
    super::rewrite(&mut other[place], |map| {
        map.insert("blind".into(), "0".repeat(32).into());
    });
    for size in [place + 1, 400, leaves.len()] {
        let kept = checkpoint_of(&leaves, size, 1, &key());
        let finding = Log::of(&other).await.keeping(kept).finding();
        assert_eq!(finding.place, "kept-0");
        assert!(finding.found.contains("two histories"), "{finding}");
    }
    // Each alone fits.
    assert_eq!(Log::of(&other).await.verify().finding, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_not_in_the_key_file_signs_nothing() {
    let leaves = leaves().await;
    let stranger = SigningKey::from_seed(key().verifier_key().name(), &[8; 32]).unwrap();
    let log = Log::under(&leaves, checkpoint_of(&leaves, leaves.len(), 1, &stranger)).await;
    let finding = log.finding();
    assert_eq!(finding.place, "checkpoint");
    assert!(finding.expected.contains(&key().verifier_key().label().to_string()), "{finding}");

    let elsewhere = SigningKey::from_seed("elsewhere.example/log", &[9; 32]).unwrap();
    let log = Log::of(&leaves).await.trusting(&[elsewhere.verifier_key()]);
    let finding = log.finding();
    assert!(finding.expected.contains("elsewhere.example/log"), "{finding}");
    assert_eq!(log.verify().entries, 0, "nothing is read for a log of no key");

    // A signature that does not verify is found before any entry is read.
    let log = Log::of(&leaves).await;
    log.edit("checkpoint", |note| {
        let text = String::from_utf8(note.clone()).unwrap();
        *note =
            text.replacen(&format!("\n{}\n", leaves.len()), &format!("\n{}\n", leaves.len() - 1), 1).into();
    });
    assert_eq!((log.finding().place.as_str(), log.verify().entries), ("checkpoint", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bitmaps_that_do_not_fit_into_memory_come_back_when_they_are_needed() {
    let leaves = leaves().await;
    let mut log = Log::of(&leaves).await;
    let report = log.verify();
    assert_eq!((report.finding, report.bitmaps_put_away), (None, 0));
    log.bitmap_bytes_max = 0;
    let report = log.verify();
    assert_eq!(report.finding, None);
    assert!(report.bitmaps_put_away > 20, "{}", report.bitmaps_put_away);
}
