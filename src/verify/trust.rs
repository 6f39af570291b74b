//! Whom the auditor trusts: the keys that were given, and those that the log's own entries join to them.
//!
//! A rotation is believed only with the old key's signature over the statement that names both. Who holds the first key
//! gets from it to the newest; who holds a newer one knows from the log which were before it.

use crate::domain::BookId;
use crate::ledger::record::Record;
use crate::log::checkpoint::{Checkpoint, CheckpointError, Policy};
use crate::log::merkle::Hash;
use crate::log::note::{SignedNote, VerifierKey};
use crate::log::origin::{generation, key_name, origin, rotation_statement};

use super::Finding;

/// The file of the newest checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint";

/// A change of the log's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rotated {
    /// The entry that says so.
    pub entry: u64,
    /// The key until then.
    pub old: VerifierKey,
    /// The key of every checkpoint of more entries than `entry`.
    pub new: VerifierKey,
}

/// A history that was declared lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Declared {
    /// The entry that says so; the entries before it are those that were left.
    pub entry: u64,
    /// The origin from then on.
    pub origin: String,
    /// The origin of the lost checkpoint.
    pub lost_origin: String,
    /// How many entries it was of.
    pub lost_size: u64,
    /// Its root.
    pub lost_root: Hash,
}

/// A checkpoint as it was found, before it is known whose signatures it needs.
pub(super) struct Unproven {
    pub(super) note: SignedNote,
    pub(super) checkpoint: Checkpoint,
    pub(super) book: BookId,
}

/// Reads a checkpoint, and refuses at once one that no key of the policy can ever make good.
pub(super) fn read(place: &str, bytes: &[u8], policy: &Policy) -> Result<Unproven, Finding> {
    let wrong = |error: CheckpointError| Finding::at(place, "a signed checkpoint", error.to_string());
    let note = SignedNote::parse(bytes).map_err(|error| wrong(error.into()))?;
    let signed_by = Policy { witnesses_needed: 0, ..policy.clone() }.check(&note);
    match signed_by {
        // A later key may have signed, which only the log's entries can tell.
        Ok(_) | Err(CheckpointError::Unsigned) => {}
        Err(error) => return Err(wrong(error)),
    }
    let checkpoint = Checkpoint::parse(note.text()).map_err(wrong)?;
    let book = book_of(&checkpoint.origin).ok_or_else(|| {
        Finding::at(place, "the origin of a social wallet's log", checkpoint.origin.clone())
    })?;
    if !policy.log_keys.iter().any(|key| key.name() == key_name(book)) {
        let keys: Vec<_> = policy.log_keys.iter().map(VerifierKey::name).collect();
        let expected = format!("a log of the keys given ({})", keys.join(", "));
        return Err(Finding::at(place, expected, checkpoint.origin));
    }
    Ok(Unproven { note, checkpoint, book })
}

/// The book that an origin of any generation names.
fn book_of(text: &str) -> Option<BookId> {
    let rest = text.strip_prefix("social-wallet/")?;
    let book = BookId::parse(rest.get(..36)?).ok()?;
    generation(text, &key_name(book)).map(|_| book)
}

/// What the entries say of the log's keys and origins.
pub(super) struct Trust {
    book: BookId,
    keys: Vec<VerifierKey>,
    pub(super) rotations: Vec<Rotated>,
    pub(super) declared: Vec<Declared>,
}

impl Trust {
    pub(super) fn new(book: BookId, policy: &Policy) -> Self {
        let keys = policy.log_keys.clone();
        Self { book, keys, rotations: Vec::new(), declared: Vec::new() }
    }

    /// Follows what an entry says of the log. The rules have accepted it.
    pub(super) fn follow(&mut self, entry: u64, record: &Record) -> Result<(), Finding> {
        let wrong =
            |expected: &str, found: String| Err(Finding::at("journal", expected, found).of_entry(entry));
        match record {
            Record::LogKeyRotated { old, new, signature } => {
                let (Ok(old), Ok(new)) = (old.parse::<VerifierKey>(), new.parse::<VerifierKey>()) else {
                    return wrong("two keys of the log", "a text that is no key".into());
                };
                if old.name() != key_name(self.book) || new.name() != old.name() {
                    return wrong("keys of this book's log", format!("{} and {}", old.name(), new.name()));
                }
                let statement = rotation_statement(self.book, &old, &new);
                if !old.verify_message(&statement, signature) {
                    let expected = "the old key's signature over the new key";
                    return wrong(expected, format!("one that {} has not made", old.label()));
                }
                self.rotations.push(Rotated { entry, old, new });
            }
            Record::OriginDeclared { origin, lost } => {
                if book_of(origin) != Some(self.book) {
                    return wrong("an origin of this book's log", origin.clone());
                }
                self.declared.push(Declared {
                    entry,
                    origin: origin.clone(),
                    lost_origin: lost.origin.clone(),
                    lost_size: lost.size,
                    lost_root: lost.root,
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// All keys that are joined to the given ones by rotations.
    fn joined(&self) -> Vec<VerifierKey> {
        let mut keys = self.keys.clone();
        for Rotated { old, new, .. } in &self.rotations {
            if keys.contains(old) && !keys.contains(new) {
                keys.push(new.clone());
            }
        }
        for Rotated { old, new, .. } in self.rotations.iter().rev() {
            if keys.contains(new) && !keys.contains(old) {
                keys.push(old.clone());
            }
        }
        keys
    }

    /// The keys one of which must have signed a checkpoint of `size` entries: the one that the log had then, if it is known.
    fn signers(&self, size: u64) -> Vec<VerifierKey> {
        let joined = self.joined();
        let before = self.rotations.iter().rfind(|rotated| rotated.entry < size);
        let current =
            before.map(|rotated| &rotated.new).or(self.rotations.first().map(|rotated| &rotated.old));
        match current {
            Some(key) => joined.into_iter().filter(|joined| joined == key).collect(),
            None => joined,
        }
    }

    /// The origin that a checkpoint of `size` entries has.
    pub(super) fn origin(&self, size: u64) -> String {
        let newest = self.declared.iter().rfind(|declared| declared.entry < size);
        newest.map_or_else(|| origin(self.book, 1), |declared| declared.origin.clone())
    }

    /// The declaration that took a kept checkpoint's history away, if one did.
    pub(super) fn loss_of(&self, kept: &Checkpoint) -> Option<&Declared> {
        let number = |origin: &str| generation(origin, &key_name(self.book));
        let after = |declared: &&Declared| number(&declared.origin) > number(&kept.origin);
        self.declared.iter().find(after).filter(|declared| declared.entry < kept.size)
    }

    /// Whether a checkpoint is signed by who had to sign it. The names of the trusted keys that did.
    pub(super) fn check(
        &self,
        place: &str,
        unproven: &Unproven,
        policy: &Policy,
    ) -> Result<Vec<String>, Finding> {
        let size = unproven.checkpoint.size;
        let log_keys = self.signers(size);
        if log_keys.is_empty() {
            let expected = "a key that was given, or one that such a key vouches for in the log";
            let rotated = self.rotations.iter().rfind(|rotated| rotated.entry < size);
            let found = rotated.map_or_else(
                || "none".into(),
                |rotated| format!("{}, which entry {} names", rotated.new.label(), rotated.entry),
            );
            return Err(Finding::at(place, expected, found));
        }
        let needed: Vec<_> = log_keys.iter().map(|key| key.label().to_string()).collect();
        let policy = Policy { log_keys, ..policy.clone() };
        policy.check(&unproven.note).map_err(|error| {
            Finding::at(place, format!("a signature of {}", needed.join(" or ")), error.to_string())
        })?;
        let trusted = policy.log_keys.iter().chain(&policy.witnesses);
        Ok(trusted
            .filter(|key| unproven.note.is_signed_by(key) == Ok(true))
            .map(|key| key.label().to_string())
            .collect())
    }
}
