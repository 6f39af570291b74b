//! Who a log is: its origin, the name of its keys, and how one key hands over to the next.
//!
//! A log whose newest entries were lost for good (an old backup restored, a failover that dropped commits) cannot go on
//! under its name, because it would sign two histories. An operator declares a new *generation*: the same book and the same
//! keys under a new origin.

use crate::domain::BookId;

use super::note::VerifierKey;

/// The first line of a rotation statement: a text that is neither a checkpoint nor a cosignature.
const ROTATION_CONTEXT: &str = "social-wallet/log-key-rotation/v1";

/// The origin of a book's log: `social-wallet/<book>` for generation 1, then `social-wallet/<book>/2` and so on.
///
/// Generations count from 1; 0 is taken as 1.
#[must_use]
pub fn origin(book: BookId, generation: u32) -> String {
    let name = key_name(book);
    if generation <= 1 { name } else { format!("{name}/{generation}") }
}

/// The name that all keys of a book's log bear, for ever: its first origin.
#[must_use]
pub fn key_name(book: BookId) -> String {
    format!("social-wallet/{book}")
}

/// Which generation an origin is of the log whose keys have this name; `None` if it is not this log's.
#[must_use]
pub fn generation(origin: &str, key_name: &str) -> Option<u32> {
    match origin.strip_prefix(key_name)? {
        "" => Some(1),
        rest => super::encoding::decimal(rest.strip_prefix('/')?)
            .and_then(|generation| u32::try_from(generation).ok())
            .filter(|generation| *generation >= 2),
    }
}

/// What the old key signs to hand over to a new one: the book and both keys, a line each.
///
/// It names no entry: a key that was replaced never comes back, so that a statement can be used once only.
#[must_use]
pub fn rotation_statement(book: BookId, old: &VerifierKey, new: &VerifierKey) -> Vec<u8> {
    format!("{ROTATION_CONTEXT}\n{book}\n{old}\n{new}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::note::SigningKey;
    use super::*;

    const BOOK: &str = "018f4e9e-7c1b-7000-8000-0000000000b0";

    #[test]
    fn the_first_origin_is_the_name_of_the_keys_and_later_ones_are_numbered() {
        let book = BookId::parse(BOOK).unwrap();
        assert_eq!(key_name(book), format!("social-wallet/{BOOK}"));
        assert_eq!(origin(book, 1), key_name(book));
        assert_eq!(origin(book, 2), format!("social-wallet/{BOOK}/2"));
        for number in [1, 2, 10, u32::MAX] {
            assert_eq!(generation(&origin(book, number), &key_name(book)), Some(number));
        }
    }

    #[test]
    fn an_origin_of_another_log_or_another_spelling_is_of_no_generation() {
        let name = key_name(BookId::parse(BOOK).unwrap());
        let refused = ["/", "/0", "/1", "/02", "/+2", "/2/", "/2/3", "2", " ", "/4294967296", "/x"];
        for rest in refused {
            assert_eq!(generation(&format!("{name}{rest}"), &name), None, "{rest:?}");
        }
        assert_eq!(generation("", &name), None);
        assert_eq!(generation("other", &name), None);
        assert_eq!(generation(&name[1..], &name), None);
    }

    #[test]
    fn a_rotation_names_the_book_and_both_keys() {
        let book = BookId::parse(BOOK).unwrap();
        let key = |seed| SigningKey::from_seed(&key_name(book), &[seed; 32]).unwrap();
        let (old, new) = (key(1), key(2));
        let statement = rotation_statement(book, old.verifier_key(), new.verifier_key());
        let expected = format!(
            "social-wallet/log-key-rotation/v1\n{BOOK}\n{}\n{}\n",
            old.verifier_key(),
            new.verifier_key()
        );
        assert_eq!(statement, expected.as_bytes());
        let signature = old.sign_message(&statement);
        assert!(old.verifier_key().verify_message(&statement, &signature));
        let other = rotation_statement(book, new.verifier_key(), old.verifier_key());
        assert!(!old.verifier_key().verify_message(&other, &signature));
    }

    #[test]
    fn a_rotation_is_no_checkpoint() {
        let book = BookId::parse(BOOK).unwrap();
        let key = SigningKey::from_seed(&key_name(book), &[1; 32]).unwrap();
        let statement = rotation_statement(book, key.verifier_key(), key.verifier_key());
        let text = String::from_utf8(statement).unwrap();
        assert!(super::super::checkpoint::Checkpoint::parse(&text).is_err());
    }
}
