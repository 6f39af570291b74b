//! `specs/verify_log.py`, which shares no code with us, on directories that hold and on directories that do not.

use std::fs;
use std::path::Path;
use std::process::Command;

use social_wallet::domain::{BankReference, FundClass, Period, Reason};
use social_wallet::ledger::account::SystemAccount;
use social_wallet::ledger::books::SystemHead;
use social_wallet::ledger::payment::CashReference;
use social_wallet::ledger::payment_rules::Answer;
use social_wallet::ledger::record::{LostCheckpoint, Record};
use social_wallet::log::checkpoint::Checkpoint;
use social_wallet::log::note::SigningKey;
use social_wallet::log::origin::{key_name, origin};
use social_wallet::log::tile::BundleEntries;

use super::{checkpoint, leaves, log_key, rotation, unruled, write_directory};
use crate::audit::furnished;
use crate::store::book::{Book, amount, book_id, month, wallet_id};
use crate::store::{Place, in_both_rooms};

/// Runs the verifier: its exit code and what it says.
pub fn verify(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let python = std::env::var("SOCIAL_WALLET_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs/verify_log.py");
    let output = Command::new(&python).arg("-B").arg(script).arg(directory).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{python} cannot be run: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn vkey(key: &SigningKey) -> String {
    key.verifier_key().to_string()
}

/// A directory of these leaves, signed by a key for a generation: what the verifier says to who has `trusted`.
pub fn verdict(leaves: &[Vec<u8>], signer: u8, generation: u32, trusted: u8) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    write_directory(
        directory.path(),
        leaves,
        &checkpoint(leaves, generation).sign(&log_key(signer)).unwrap(),
    );
    verify(directory.path(), &[&vkey(&log_key(trusted))])
}

fn refused(verdict: (i32, String), finding: &str) {
    let (code, said) = verdict;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(finding), "expected {finding:?}, found {said}");
}

/// 13 named entries, and enough others to fill a tile.
fn journal() -> (Book, Vec<Vec<u8>>) {
    let mut book = Book::new();
    book.draft(|draft| {
        draft.open_book(); // 0
        draft.register("ASP", FundClass::Protected); // 1
        draft.register("BONUS", FundClass::General); // 2
        draft.fund("ASP", 100_000_000); // 3
        draft.fund("BONUS", 1_000); // 4
        draft.accrue(1, "ASP", month(1), 1, 1_000); // 5 opens, 6
        draft.accrue(1, "BONUS", Period::Once, 1, 400); // 7
        let paid = draft.pay_out(1, 1_100); // 8
        draft.give_back(paid, 50); // 9
        draft.accrue(2, "ASP", month(1), 1, 1_000); // 10 opens, 11
        draft.reverse(2, "ASP", month(1), 1); // 12
    });
    book.draft(|draft| {
        for person in 100..260 {
            draft.accrue(person, "ASP", month(2), 1, 777);
        }
    });
    let leaves = leaves(&book);
    (book, leaves)
}

fn text(leaf: &[u8]) -> String {
    String::from_utf8(leaf.to_vec()).unwrap()
}

async fn a_real_log_verifies_and_its_totals_are_those_of_the_books(place: &Place) {
    furnished(place).await;
    let store = place.open().await;
    let mut leaves: Vec<Vec<u8>> = Vec::new();
    let size = store.head().await.unwrap().unwrap().size;
    while (leaves.len() as u64) < size {
        for bundle in store.bundles(leaves.len() as u64, 16).await.unwrap() {
            leaves.extend(BundleEntries::new(&bundle.bytes).map(|entry| entry.unwrap().to_vec()));
        }
    }
    // The book ends with entries about its log, whose keys are made up.
    let of_log =
        |leaf: &Vec<u8>| text(leaf).contains("\"old_key\"") || text(leaf).contains("\"lost_origin\"");
    let end = leaves.iter().position(of_log).unwrap_or(leaves.len());
    assert!(leaves[end..].iter().all(of_log));
    leaves.truncate(end);
    let (code, said) = verdict(&leaves, 1, 1, 1);
    assert_eq!(code, 0, "{said}");
    let accounts = store.system_accounts().await.unwrap();
    let wallets = accounts.iter().filter(|head| matches!(head.account, SystemAccount::Wallets(_)));
    let held: i64 = wallets.map(SystemHead::balance).sum();
    let expected = format!("hold {}.{:02} KZT of e-money", held / 100, held % 100);
    assert!(held > 0 && said.contains(&expected), "{expected}: {said}");
    for kind in ["accrual", "pay_out", "return", "reversal"] {
        assert!(said.contains(kind), "the log has no {kind}: {said}");
    }
}

in_both_rooms! { a_real_log_verifies_and_its_totals_are_those_of_the_books }

#[test]
fn what_was_done_to_a_file_is_found_and_the_entry_named() {
    let (_, leaves) = journal();
    let key = vkey(&log_key(1));
    let good = checkpoint(&leaves, 1).sign(&log_key(1)).unwrap();
    let after = |tamper: &dyn Fn(&Path)| {
        let directory = tempfile::tempdir().unwrap();
        write_directory(directory.path(), &leaves, &good);
        tamper(directory.path());
        verify(directory.path(), &[&key])
    };
    assert_eq!(after(&|_| ()).0, 0, "{}", after(&|_| ()).1);
    let replace = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    };

    let byte_of_entry_6: usize = leaves[..6].iter().map(|leaf| leaf.len() + 2).sum::<usize>() + 40;
    let flipped = after(&|log| replace(&log.join("tile/entries/000"), &|bytes| bytes[byte_of_entry_6] ^= 1));
    refused(flipped, "entry 6: tile/0/000 has another hash");
    let flipped = after(&|log| replace(&log.join("tile/0/000"), &|bytes| bytes[32 * 255] ^= 1));
    refused(flipped, "entry 255: tile/0/000 has another hash");
    let flipped = after(&|log| replace(&log.join("tile/1/000.p/1"), &|bytes| bytes[0] ^= 1));
    refused(flipped, "entry 0: tile/1/000.p/1 has another hash");
    let cut = after(&|log| replace(&log.join("tile/entries/001.p/77"), &|bytes| bytes.truncate(9)));
    refused(cut, "entry 256: tile/entries/001.p/77 ends within it");
    let longer = after(&|log| replace(&log.join("tile/entries/001.p/77"), &|bytes| bytes.push(0)));
    refused(longer, "tile/entries/001.p/77 has more than 77 entries");
    let longer = after(&|log| replace(&log.join("tile/0/001.p/77"), &|bytes| bytes.push(0)));
    refused(longer, "tile/0/001.p/77 has 2465 bytes");
    let gone = after(&|log| fs::remove_file(log.join("tile/entries/001.p/77")).unwrap());
    refused(gone, "tile/entries/001.p/77 is missing");
    let gone = after(&|log| fs::remove_file(log.join("tile/0/000")).unwrap());
    refused(gone, "tile/0/000 is missing");
    refused(after(&|log| fs::remove_file(log.join("checkpoint")).unwrap()), "checkpoint is missing");

    // The checkpoint itself, changed in a byte here and there.
    let note = good.to_string();
    for at in (0..note.len()).step_by(23) {
        let (code, said) = after(&|log| replace(&log.join("checkpoint"), &|bytes| bytes[at] ^= 1));
        assert_eq!(code, 1, "byte {at}: {said}");
    }
}

/// A log that its own operator has falsified: tiles and signature fit the entries.
#[test]
fn what_the_rules_forbid_is_found_though_the_log_is_signed() {
    let (book, leaves) = journal();
    let forged = |finding: &str, forge: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut leaves = leaves.clone();
        forge(&mut leaves);
        refused(verdict(&leaves, 1, 1, 1), finding);
    };
    let rewritten = |seq: usize, from: &str, to: &str, finding: &str| {
        forged(finding, &|leaves| {
            let before = text(&leaves[seq]);
            leaves[seq] = before.replacen(from, to, 1).into_bytes();
            assert_ne!(text(&leaves[seq]), before, "{from}");
        });
    };
    // Order.
    forged("entry 7: its number is 8", &|leaves| drop(leaves.remove(7)));
    forged("entry 7: its number is 8", &|leaves| leaves.swap(7, 8));
    forged("entry 9: its number is 8", &|leaves| leaves.insert(8, leaves[8].clone()));
    rewritten(20, "T", "Q", "entry 20: its time is malformed");
    rewritten(20, "\"at\":\"2026", "\"at\":\"2025", "entry 20: its time");
    rewritten(20, "\"date\":\"2026", "\"date\":\"2025", "entry 20: its date");
    rewritten(20, "\"book\":\"0", "\"book\":\"1", "entry 20: it is of another book");
    // Form.
    rewritten(20, "\"currency\":\"KZT\"", "\"currency\":\"USD\"", "entry 20: its version or currency");
    rewritten(20, "\"v\":1", "\"v\":2", "entry 20: its version or currency");
    rewritten(20, "\"v\":1", "\"v\": 1", "entry 20: it is not canonical JSON");
    rewritten(20, "\"v\":1", "\"v\":1,\"v\":1", "entry 20: it is not canonical JSON");
    rewritten(20, "\"v\":1", "\"v\":1.0", "entry 20: 1.0 is not an integer");
    rewritten(20, "\"kind\":\"accrual\"", "\"kind\":\"gift\"", "entry 20: its kind gift is unknown");
    rewritten(0, "\"kind\":\"book_opened\"", "\"kind\":\"batch_released\"", "entry 0: a book is opened once");
    rewritten(20, "{", "", "entry 20: malformed");
    rewritten(20, "\"kind\":\"accrual\",", "", "entry 20: malformed");
    // Money.
    rewritten(
        6,
        "\"amount\":\"10.00\"",
        "\"amount\":\"0.00\"",
        "entry 6: a posting's amount is not above zero",
    );
    rewritten(6, "\"amount\":\"10.00\"", "\"amount\":\"-1.00\"", "entry 6: '-1.00' is not an amount");
    rewritten(6, "\"amount\":\"10.00\"", "\"amount\":\"10.0\"", "entry 6: '10.0' is not an amount");
    rewritten(7, "\"amount\":\"4.00\"", "\"amount\":\"10.01\"", "entry 7: funding:BONUS would hold -0.01");
    rewritten(8, "\"amount\":\"4.00\"", "\"amount\":\"4.01\"", "entry 8: lot 7 of 4.00 would hold -0.01");
    rewritten(8, "\"amount\":\"7.00\"", "\"amount\":\"10.01\"", "entry 8: wallet:");
    rewritten(9, "\"amount\":\"0.50\"", "\"amount\":\"7.01\"", "entry 9: lot 6 of 10.00 would hold 10.01");
    rewritten(12, "\"amount\":\"10.00\"", "\"amount\":\"10.01\"", "entry 12: wallet:");
    rewritten(12, "\"lot\":11", "\"lot\":6", "entry 12: lot 6 is not one of wallet:");
    rewritten(8, "\"lot\":7", "\"lot\":3", "entry 8: lot 3 is not one of wallet:");
    rewritten(6, "\"debit\":\"funding:ASP\"", "\"debit\":\"funding:BONUS\"", "entry 6: a posting's debit is");
    rewritten(6, "\"credit\":\"wallet:0", "\"credit\":\"wallet:1", "entry 6: a posting's credit is");
    rewritten(7, "\"class\":\"general\"", "\"class\":\"protected\"", "entry 7: its class is not that of");
    rewritten(6, "\"class\":\"protected\"", "\"class\":\"general\"", "entry 6: its class is not that of");
    // Once.
    let again = |seq: usize, finding: &str| {
        forged(finding, &|leaves| {
            let (from, to) = (format!("\"seq\":{seq},"), format!("\"seq\":{},", leaves.len()));
            let last = text(leaves.last().unwrap());
            let member = |text: &str, name: &str, length: usize| {
                let at = text.find(&format!("\"{name}\":\"")).unwrap() + name.len() + 4;
                text[at..at + length].to_owned()
            };
            let leaf = text(&leaves[seq]).replace(&from, &to);
            let leaf = leaf.replace(&member(&leaf, "at", 24), &member(&last, "at", 24));
            leaves.push(leaf.into_bytes());
        });
    };
    let end = leaves.len();
    again(6, &format!("entry {end}: benefit ASP 2026-01 1 wallet:"));
    again(5, &format!("entry {end}: person "));
    again(4, &format!("entry {end}: bank reference ref-4 was already there in entry 4"));
    again(1, &format!("entry {end}: programme ASP was already there in entry 1"));
    // A person's wallet that was never opened.
    forged("was not opened", &|leaves| {
        let record = &book.commits[0].effects.records[7].0;
        leaves[5] = unruled(5, book.at - 1_000, record);
    });
}

/// Money on its way out, what a choice sends on, a further number, and two wallets that become one.
#[test]
fn what_is_sent_on_and_what_is_merged_is_checked() {
    let mut book = Book::new();
    book.draft(|draft| {
        draft.open_book();
        draft.register("ASP", FundClass::Protected);
        draft.fund("ASP", 1_000_000);
        draft.accrue(1, "ASP", month(1), 1, 1_000);
        let given = draft.authorise(1, false, 50_000);
        draft.choose(1, given);
        let transfer = draft.accrue(1, "ASP", month(2), 1, 700) + 1;
        draft.accrue(1, "ASP", month(3), 1, 50_000);
        draft.answer(transfer, &Answer::Settled);
        let (amount, reason) = (Some(amount(150)), Reason::parse("card closed").unwrap());
        let reference = BankReference::parse("R-1").unwrap();
        draft.answer(transfer, &Answer::Returned { amount, reference, reason });
        let given = draft.authorise(1, true, 1_000);
        let reference = CashReference::from_bytes([1; 10]);
        draft.cash(given, 300, reference);
        draft.redeem(reference, true);
        draft.add_number(1, 101);
        draft.accrue(2, "ASP", month(1), 1, 1_000);
        draft.accrue(2, "ASP", month(5), 1, 80);
        draft.merge(1, 2);
        draft.accrue(101, "ASP", month(6), 1, 60_000);
        draft.reverse(1, "ASP", month(5), 1);
    });
    let leaves = leaves(&book);
    let (code, said) = verdict(&leaves, 1, 1, 1);
    assert_eq!(code, 0, "{said}");
    for kind in ["transfer_settled 7.00", "transfer_returned 1.50", "wallets_merged 10.80"] {
        assert!(said.contains(kind), "{kind}: {said}");
    }
    let rewritten = |kind: &str, from: &str, to: &str, finding: &str| {
        let of_kind = |leaf: &&mut Vec<u8>| text(leaf).contains(&format!("\"kind\":\"{kind}\""));
        let mut leaves = leaves.clone();
        let leaf = leaves.iter_mut().find(of_kind).unwrap();
        let before = text(leaf);
        *leaf = before.replacen(from, to, 1).into_bytes();
        assert_ne!(text(leaf), before, "{from}");
        refused(verdict(&leaves, 1, 1, 1), finding);
    };
    let (of, credited) = ("it is not of the accrual before it", "it is not of the amount that was credited");
    rewritten("transfer_requested", "\"accrual\":", "\"accrual\":1", of);
    rewritten("transfer_requested", "\"amount\":\"7.00\"", "\"amount\":\"7.01\"", credited);
    rewritten("transfer_not_started", "\"accrual\":", "\"accrual\":1", of);
    rewritten("transfer_settled", "\"amount\":\"7.00\"", "\"amount\":\"0.00\"", "not above zero");
    let (ours, theirs) = (wallet_id(1).to_string(), wallet_id(2).to_string());
    rewritten("number_added", &wallet_id(101).to_string(), &ours, "was already there");
    rewritten("wallets_merged", "\"amount\":\"0.80\"", "\"amount\":\"0.79\"", "is not moved whole");
    rewritten(
        "wallets_merged",
        &format!("\"merged\":\"{theirs}\""),
        &format!("\"merged\":\"{ours}\""),
        "is no wallet",
    );
    let told = text(leaves.iter().find(|leaf| text(leaf).contains("wallets_merged")).unwrap());
    let (start, end) = (told.find("\"collisions\":[").unwrap() + 14, told.find("],\"currency").unwrap());
    rewritten("wallets_merged", &told[start..end], "", "not all are told");
}

#[test]
fn an_earlier_checkpoint_convicts_a_log_that_was_cut_or_rewritten() {
    let (_, leaves) = journal();
    let key = vkey(&log_key(1));
    let kept = tempfile::NamedTempFile::new().unwrap();
    let against = |earlier: &[Vec<u8>], now: &[Vec<u8>], signer: u8| {
        let directory = tempfile::tempdir().unwrap();
        write_directory(directory.path(), now, &checkpoint(now, 1).sign(&log_key(1)).unwrap());
        let earlier = checkpoint(earlier, 1).sign(&log_key(signer)).unwrap();
        fs::write(kept.path(), earlier.to_string()).unwrap();
        verify(directory.path(), &[&key, "--earlier", kept.path().to_str().unwrap()])
    };
    for size in [0, 1, 255, 256, 257, leaves.len()] {
        assert_eq!(
            against(&leaves[..size], &leaves, 1).0,
            0,
            "{size}: {}",
            against(&leaves[..size], &leaves, 1).1
        );
    }
    refused(against(&leaves, &leaves[..100], 1), "the earlier checkpoint has 333 entries, the log only 100");
    let mut other = leaves.clone();
    other[50] = text(&other[50]).replace("7.77", "7.78").into_bytes();
    refused(against(&other[..200], &leaves, 1), "the log does not begin with the entries of the earlier");
    refused(against(&leaves[..200], &leaves, 2), "the earlier checkpoint bears no signature of");
}

#[test]
fn keys_and_origins_follow_one_another() {
    let (book, mut log) = journal();
    let (before, at) = (log.clone(), book.at + 1);
    let [first, second, third] = [1, 2, 3].map(log_key);
    log.push(unruled(log.len(), at, &rotation(&first, &second)));
    let rotated = log.clone();
    let declared = |generation, lost_generation| Record::OriginDeclared {
        origin: origin(book_id(), generation),
        lost: Box::new(LostCheckpoint {
            origin: origin(book_id(), lost_generation),
            size: 400,
            root: [1; 32],
            note_sha256: [2; 32],
        }),
    };
    // Who trusts either key follows; who signs with the old one is found; a stranger's key is none of the log's.
    for trusted in [1, 2] {
        let (code, said) = verdict(&rotated, 2, 1, trusted);
        assert_eq!(code, 0, "{said}");
        refused(verdict(&rotated, 1, 1, trusted), "the checkpoint bears no signature of");
    }
    refused(verdict(&rotated, 2, 1, 3), "the verifier key given is none of this log's");
    refused(verdict(&rotated, 3, 1, 3), "the verifier key given is none of this log's");
    refused(verdict(&before, 2, 1, 1), "the checkpoint bears no signature of");

    let after = |record: &Record, finding: &str| {
        let mut leaves = rotated.clone();
        leaves.push(unruled(leaves.len(), at, record));
        refused(verdict(&leaves, 2, 1, 1), finding);
    };
    let seq = rotated.len();
    after(&rotation(&first, &third), &format!("entry {seq}: the key that it replaces is not the log's"));
    after(&rotation(&second, &first), &format!("entry {seq}: a key that was replaced comes back"));
    let stolen = match rotation(&second, &third) {
        Record::LogKeyRotated { old, new, .. } => {
            Record::LogKeyRotated { old, new, signature: Box::new(third.sign_message(b"mine")) }
        }
        _ => unreachable!("a rotation is a rotation"),
    };
    after(&stolen, &format!("entry {seq}: the old key has not signed it"));
    let elsewhere = SigningKey::from_seed(&format!("{}/2", key_name(book_id())), &[3; 32]).unwrap();
    after(&rotation(&second, &elsewhere), "a key bears another name than the log");
    after(&declared(3, 1), &format!("entry {seq}: its origin does not follow"));
    after(&declared(1, 1), &format!("entry {seq}: its origin does not follow"));

    let mut renamed = rotated.clone();
    renamed.push(unruled(seq, at, &declared(2, 1)));
    let (code, said) = verdict(&renamed, 2, 2, 1);
    assert_eq!(code, 0, "{said}");
    // Who kept the lost checkpoint hears of the loss; who kept another of that history is told that it is not this one.
    let (directory, kept) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    write_directory(directory.path(), &renamed, &checkpoint(&renamed, 2).sign(&second).unwrap());
    let against = |size: u64| {
        let lost = Checkpoint { origin: origin(book_id(), 1), size, root: [1; 32], extensions: Vec::new() };
        fs::write(kept.path(), lost.sign(&second).unwrap().to_string()).unwrap();
        verify(directory.path(), &[&vkey(&first), "--earlier", kept.path().to_str().unwrap()])
    };
    let (code, said) = against(400);
    assert!(code == 0 && said.contains("LOST: "), "{said}");
    refused(against(399), "the earlier checkpoint is of social-wallet/");
    refused(against(renamed.len() as u64 - 1), "the log does not begin with the entries of the earlier");
    refused(verdict(&renamed, 2, 1, 1), "the checkpoint is of social-wallet/");
    refused(verdict(&rotated, 2, 2, 1), "the checkpoint is of social-wallet/");
}

#[test]
fn a_wrong_call_is_told_apart_from_a_wrong_log() {
    let (_, leaves) = journal();
    let directory = tempfile::tempdir().unwrap();
    write_directory(directory.path(), &leaves, &checkpoint(&leaves, 1).sign(&log_key(1)).unwrap());
    let key = vkey(&log_key(1));
    for arguments in
        [&[][..], &["x"], &[&key.replace('0', "1")], &[&key, "--earlier", "/nowhere"], &[&key, "--no"]]
    {
        let (code, said) = verify(directory.path(), arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
    }
    assert_eq!(verify(Path::new("/nowhere"), &[&key]).0, 2);
}
