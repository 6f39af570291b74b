//! What the journal says of its own log: a new origin after a loss, a new key.
//!
//! | record | who may | refused when |
//! |---|---|---|
//! | `origin_declared` | an operator, on a store that lacks a signed checkpoint | the origin is not the one after the lost checkpoint's, or that one is older than the log's own |
//! | `log_key_rotated` | who holds the key so far | the key to be replaced is not the log's; the new one has another name, or was replaced before |
//!
//! Signatures are not checked here: the verifiers do that, with the keys that they trust. The rules hold the order.

#![allow(clippy::needless_pass_by_value)] // an `Entry` is used up by the rule that writes it

use crate::domain::BookId;

use super::books::{Books, Ruling};
use super::effects::LogChange;
use super::record::{LostCheckpoint, Record};
use super::refusal::{Refusal, RefusalCode as Code};
use super::rules::Entry;

/// What every origin and every key name of a log begins with.
const PREFIX: &str = "social-wallet/";

/// Characters that a C2SP vkey of this log can have: its name, its hash, and 33 or 40 bytes in base64.
const VKEY_LENGTH_MAX: usize = 200;

/// What the journal has said of its log so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogState {
    /// Which origin its checkpoints carry: 1 until another is declared.
    pub generation: u32,
    /// The key that must sign them, as a vkey; `None` until the first rotation names it.
    pub key: Option<String>,
    /// The keys that were replaced. None of them comes back.
    pub retired: Vec<String>,
}

impl Default for LogState {
    fn default() -> Self {
        Self { generation: 1, key: None, retired: Vec::new() }
    }
}

/// The book and the generation that an origin names: `social-wallet/<book>` is the first, `social-wallet/<book>/2` the
/// second. There is one spelling of each.
#[must_use]
pub fn parse_origin(origin: &str) -> Option<(BookId, u32)> {
    let rest = origin.strip_prefix(PREFIX)?;
    let (book, generation) = match rest.split_once('/') {
        None => (rest, 1),
        Some((book, text)) => {
            let generation: u32 = text.parse().ok().filter(|generation| *generation >= 2)?;
            if generation.to_string() != text {
                return None;
            }
            (book, generation)
        }
    };
    Some((BookId::parse(book).ok()?, generation))
}

/// The book that a key of its log names: a key's name is the log's first origin, for ever.
fn book_of_key(vkey: &str) -> Option<BookId> {
    let (name, rest) = vkey.split_once('+').filter(|_| vkey.len() <= VKEY_LENGTH_MAX)?;
    let (hash, key) = rest.split_once('+')?;
    let is_hash = hash.len() == 8 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let (book, generation) = parse_origin(name)?;
    (generation == 1 && is_hash && !key.is_empty() && key.bytes().all(is_base64)).then_some(book)
}

impl Books {
    /// What the journal has said of its log.
    #[must_use]
    pub fn log(&self) -> &LogState {
        &self.log
    }

    /// Puts what the store says of the log into the books: all changes, in order.
    pub fn load_log(&mut self, changes: &[LogChange]) {
        self.log = changes.last().map_or_else(LogState::default, |change| LogState {
            generation: change.generation,
            key: change.key.clone(),
            retired: changes.iter().filter_map(|change| change.old_key.clone()).collect(),
        });
    }

    /// Declares the origin that follows a lost checkpoint's. An origin that was ever signed under is never used again: the
    /// lost checkpoint may be of a later origin than the restored journal knows.
    pub fn declare_origin(
        &mut self,
        entry: Entry<'_>,
        origin: String,
        lost: Box<LostCheckpoint>,
    ) -> Ruling<u64> {
        let refuse = |field| Err(Refusal::of(Code::OriginOutOfOrder, field).into());
        let Some((book, before)) = parse_origin(&lost.origin) else { return refuse("lost_origin") };
        if before < self.log.generation {
            return refuse("lost_origin");
        }
        if lost.size == 0 {
            return refuse("lost_size");
        }
        match parse_origin(&origin) {
            Some((of, generation)) if of == book && Some(generation) == before.checked_add(1) => {
                self.log.generation = generation;
            }
            _ => return refuse("origin"),
        }
        let seq = self.write(entry.fx, Record::OriginDeclared { origin, lost }, entry.actor);
        let LogState { generation, key, .. } = self.log.clone();
        entry.fx.log_changes.push(LogChange { seq, generation, old_key: None, key });
        Ok(seq)
    }

    /// Replaces the log's key.
    pub fn rotate_log_key(
        &mut self,
        entry: Entry<'_>,
        old: String,
        new: String,
        signature: Box<[u8; 64]>,
    ) -> Ruling<u64> {
        let refuse = |field| Err(Refusal::of(Code::LogKeyNotCurrent, field).into());
        let named = book_of_key(&old);
        if named.is_none() || self.log.key.as_ref().is_some_and(|current| *current != old) {
            return refuse("old_key");
        }
        if old == new || book_of_key(&new) != named || self.log.retired.contains(&new) {
            return refuse("new_key");
        }
        self.log.key = Some(new.clone());
        self.log.retired.push(old.clone());
        let (generation, old_key, key) = (self.log.generation, Some(old.clone()), Some(new.clone()));
        let seq = self.write(entry.fx, Record::LogKeyRotated { old, new, signature }, entry.actor);
        entry.fx.log_changes.push(LogChange { seq, generation, old_key, key });
        Ok(seq)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::ClientId;
    use crate::domain::time::Stamp;
    use crate::ledger::books::Fault;
    use crate::ledger::effects::Effects;
    use crate::ledger::record::Actor;
    use crate::ledger::replay::Replay;

    const BOOK: &str = "social-wallet/6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
    const OTHER: &str = "social-wallet/6f9619ff-8b86-4d01-b42d-00cf4fc96400";

    fn stamp() -> Stamp {
        Stamp::of(1_795_294_280_123).unwrap()
    }

    fn actor() -> Actor {
        let client = ClientId::parse("operator").unwrap();
        Actor { client, request: [0; 32], line: None, instruction: None }
    }

    #[allow(clippy::unnecessary_box_returns)] // as the rule takes it
    fn lost(origin: &str, size: u64) -> Box<LostCheckpoint> {
        Box::new(LostCheckpoint { origin: origin.into(), size, root: [1; 32], note_sha256: [2; 32] })
    }

    fn vkey(name: &str, number: u32) -> String {
        format!("{name}+{number:08x}+AbCd/+=")
    }

    /// The field at fault, or the state after.
    fn run(
        books: &mut Books,
        rule: impl FnOnce(&mut Books, Entry<'_>) -> Ruling<u64>,
    ) -> Result<LogState, &'static str> {
        let mut fx = Effects::default();
        let before = (books.size, books.log().clone());
        match rule(books, Entry { fx: &mut fx, stamp: stamp(), actor: actor() }) {
            Ok(seq) => {
                let [change] = fx.log_changes.as_slice() else { panic!("one change") };
                assert_eq!(
                    (change.seq, change.generation, &change.key),
                    (seq, books.log().generation, &books.log().key)
                );
                Ok(books.log().clone())
            }
            Err(Fault::Refused(refusal)) => {
                assert_eq!((books.size, books.log()), (before.0, &before.1), "a refusal changes nothing");
                assert!(fx.is_empty() && fx.log_changes.is_empty());
                Err(refusal.field.unwrap())
            }
            Err(fault) => panic!("{fault:?}"),
        }
    }

    fn declare(books: &mut Books, origin: &str, lost: Box<LostCheckpoint>) -> Result<u32, &'static str> {
        run(books, |books, entry| books.declare_origin(entry, origin.into(), lost)).map(|log| log.generation)
    }

    fn rotate(books: &mut Books, old: &str, new: &str) -> Result<Option<String>, &'static str> {
        run(books, |books, entry| books.rotate_log_key(entry, old.into(), new.into(), Box::new([3; 64])))
            .map(|log| log.key)
    }

    #[test]
    fn an_origin_has_one_spelling() {
        let book = BookId::parse(&BOOK[PREFIX.len()..]).unwrap();
        assert_eq!(parse_origin(BOOK), Some((book, 1)));
        assert_eq!(parse_origin(&format!("{BOOK}/2")), Some((book, 2)));
        for wrong in ["", "/", "/0", "/1", "/02", "/+2", "/2/", "/2 ", "/4294967296", "\n"] {
            assert_eq!(parse_origin(&format!("{BOOK}{wrong}")).is_some(), wrong.is_empty(), "{wrong:?}");
        }
        assert_eq!(parse_origin("social-wallet/x"), None);
        assert_eq!(parse_origin(&BOOK.to_uppercase()), None);
    }

    #[test]
    fn invariant_9_a_declared_origin_is_the_one_after_the_lost_checkpoints_and_never_one_used_before() {
        let mut books = Books::whole();
        let second = format!("{BOOK}/2");
        assert_eq!(declare(&mut books, BOOK, lost(BOOK, 5)), Err("origin"), "the same again");
        assert_eq!(declare(&mut books, &format!("{BOOK}/3"), lost(BOOK, 5)), Err("origin"), "one left out");
        assert_eq!(
            declare(&mut books, &format!("{OTHER}/2"), lost(BOOK, 5)),
            Err("origin"),
            "another book's"
        );
        assert_eq!(declare(&mut books, &second, lost("elsewhere", 5)), Err("lost_origin"));
        assert_eq!(declare(&mut books, &second, lost(BOOK, 0)), Err("lost_size"));
        assert_eq!(declare(&mut books, &second, lost(BOOK, 5)), Ok(2));
        assert_eq!(
            declare(&mut books, &second, lost(BOOK, 5)),
            Err("lost_origin"),
            "older than the log's own"
        );
        // A backup from before two declarations: their origins were signed under, so the next is the fourth.
        let mut restored = Books::whole();
        assert_eq!(declare(&mut restored, &format!("{BOOK}/4"), lost(&format!("{BOOK}/3"), 9)), Ok(4));
        assert_eq!(declare(&mut restored, &second, lost(BOOK, 5)), Err("lost_origin"));
    }

    #[test]
    fn a_key_is_replaced_only_by_naming_the_one_that_is_current() {
        let mut books = Books::whole();
        let [first, second, third] = [1, 2, 3].map(|number| vkey(BOOK, number));
        assert_eq!(rotate(&mut books, &first, &first), Err("new_key"));
        assert_eq!(rotate(&mut books, &first, &vkey(OTHER, 2)), Err("new_key"), "another book's");
        assert_eq!(
            rotate(&mut books, &first, &vkey(&format!("{BOOK}/2"), 2)),
            Err("new_key"),
            "another name"
        );
        for wrong in [
            "",
            "x",
            "x+00000001+AAAA",
            &format!("{BOOK}+1+AAAA"),
            &format!("{BOOK}+00000001+"),
            &format!("{BOOK}+00000001+A A"),
        ] {
            assert_eq!(rotate(&mut books, wrong, &second), Err("old_key"), "{wrong}");
        }
        assert_eq!(rotate(&mut books, &first, &second), Ok(Some(second.clone())));
        assert_eq!(rotate(&mut books, &first, &third), Err("old_key"), "replaced before");
        assert_eq!(
            rotate(&mut books, &second, &first),
            Err("new_key"),
            "a key that was replaced never comes back"
        );
        assert_eq!(rotate(&mut books, &second, &third), Ok(Some(third.clone())));
        assert_eq!(declare(&mut books, &format!("{BOOK}/2"), lost(BOOK, 5)), Ok(2));
        assert_eq!(books.log().key, Some(third), "an origin changes no key");
    }

    #[test]
    fn a_replay_holds_declared_origins_and_rotations_to_the_same_rules() {
        let mut replay = Replay::default();
        let mut apply = |record| replay.apply(&mut Effects::default(), stamp(), actor(), record);
        apply(Record::BookOpened).unwrap();
        let rotated = |old, new| Record::LogKeyRotated {
            old: vkey(BOOK, old),
            new: vkey(BOOK, new),
            signature: Box::new([3; 64]),
        };
        apply(rotated(1, 2)).unwrap();
        assert!(apply(rotated(1, 3)).unwrap_err().found.contains("log_key_not_current"));
        apply(rotated(2, 3)).unwrap();
        let declared = |generation, origin: &str| Record::OriginDeclared {
            origin: format!("{BOOK}/{generation}"),
            lost: lost(origin, 7),
        };
        apply(declared(2, BOOK)).unwrap();
        assert!(apply(declared(2, BOOK)).unwrap_err().found.contains("origin_out_of_order"));
    }
}
