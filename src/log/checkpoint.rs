//! Checkpoints, C2SP `tlog-checkpoint`: the size and the root of a log, signed.
//!
//! ```text
//! social-wallet/018f4e9e-7c1b-7000-8000-0000000000b0
//! 20852163
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — social-wallet/018f4e9e-7c1b-7000-8000-0000000000b0 Az3grlgtzPICa5OS8npVmf1Myq/5…
//! ```
//!
//! Who believes a checkpoint says by a [`Policy`] whose signatures it wants: one of the log, and as many of witnesses as it
//! trusts.

use std::collections::BTreeSet;

use super::encoding::{base64, decimal, hash_from_base64};
use super::merkle::{Hash, SIZE_MAX, empty_root};
use super::note::{KeyLabel, KeyType, NoteError, SignedNote, SigningKey, VerifierKey};
use super::origin;

/// The longest origin in bytes, and the longest extension line: the bound that newer cosignatures set for origins.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// The most extension lines. This log writes none.
pub const EXTENSIONS_MAX: usize = 16;

/// The head of a log: what a checkpoint's text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: see [`origin`](mod@super::origin).
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// The root of the tree of these leaves.
    pub root: Hash,
    /// Further lines, which mean nothing here. This log writes none.
    pub extensions: Vec<String>,
}

/// Why a text is not a checkpoint, or why it is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed note, or one with a bad signature of a known key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is not lines that end in newlines.
    #[error("the checkpoint is not at least three lines of text, each ended by a newline")]
    Form,
    /// The origin is empty or longer than [`ORIGIN_BYTES_MAX`].
    #[error("the checkpoint's origin is not 1 to {ORIGIN_BYTES_MAX} bytes of text")]
    Origin,
    /// The size is not a decimal number without leading zeros, or above [`SIZE_MAX`].
    #[error("the checkpoint's size is not a decimal number up to {SIZE_MAX}")]
    Size,
    /// The root is not 32 bytes in base64, or is not the empty tree's though the size is 0.
    #[error("the checkpoint's root is not a hash in base64 that fits its size")]
    Root,
    /// An extension line is empty or too long, or there are more than [`EXTENSIONS_MAX`].
    #[error("the checkpoint has an empty, a too long or one too many extension line")]
    Extension,
    /// No configured key has a name that goes with this origin.
    #[error("the checkpoint's origin is {0}, which is not the log of any configured key")]
    OtherLog(String),
    /// No configured key of the log has signed.
    #[error("the checkpoint bears no signature of a configured key of the log")]
    Unsigned,
    /// Fewer witnesses than wanted have signed.
    #[error("{found} of the {needed} witnesses needed have cosigned the checkpoint")]
    Witnesses {
        /// How many the policy wants.
        needed: usize,
        /// How many configured ones have signed.
        found: usize,
    },
    /// A witness key stands among the log's, or the other way round.
    #[error("the key {0} is of a type that cannot be used here")]
    KeyRole(KeyLabel),
}

impl Checkpoint {
    /// Reads a checkpoint's text: the text of a note, with its last newline.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(CheckpointError::Form);
        }
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Form)?.split('\n');
        let mut next = || lines.next().ok_or(CheckpointError::Form);
        let (origin, size, root) = (next()?, next()?, next()?);
        if !is_line(origin) {
            return Err(CheckpointError::Origin);
        }
        let size = decimal(size).filter(|size| *size <= SIZE_MAX).ok_or(CheckpointError::Size)?;
        let root = hash_from_base64(root).ok_or(CheckpointError::Root)?;
        if size == 0 && root != empty_root() {
            return Err(CheckpointError::Root);
        }
        let mut extensions = Vec::new();
        for line in lines {
            if !is_line(line) || extensions.len() == EXTENSIONS_MAX {
                return Err(CheckpointError::Extension);
            }
            extensions.push(line.to_owned());
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// The text that is signed. It reads back if the members are what [`Checkpoint::parse`] can return.
    #[must_use]
    pub fn body(&self) -> String {
        let mut body = format!("{}\n{}\n{}\n", self.origin, self.size, base64(self.root));
        for line in &self.extensions {
            body.push_str(line);
            body.push('\n');
        }
        body
    }

    /// Signs it. Members that would not read back as this checkpoint are refused before a signature exists.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedNote, CheckpointError> {
        let body = self.body();
        // A newline within a member would make a second member of its rest.
        if Self::parse(&body)? != *self {
            return Err(CheckpointError::Form);
        }
        Ok(SignedNote::sign(body, key)?)
    }
}

fn is_line(line: &str) -> bool {
    (1..=ORIGIN_BYTES_MAX).contains(&line.len())
}

/// Whose signatures make a checkpoint believed.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Keys of the log. One of them must have signed. A key's name says which log it is of.
    pub log_keys: Vec<VerifierKey>,
    /// Keys of witnesses.
    pub witnesses: Vec<VerifierKey>,
    /// How many different witnesses must have cosigned.
    pub witnesses_needed: usize,
}

impl Policy {
    /// Believes one key of the log, and wants no witness.
    #[must_use]
    pub fn of_log(key: VerifierKey) -> Self {
        Self { log_keys: vec![key], witnesses: Vec::new(), witnesses_needed: 0 }
    }

    /// Reads a signed checkpoint and checks its signatures.
    pub fn open(&self, note: &[u8]) -> Result<(Checkpoint, SignedNote), CheckpointError> {
        let note = SignedNote::parse(note)?;
        Ok((self.check(&note)?, note))
    }

    /// Checks the signatures of a note that has been read, and that it is a checkpoint of a log of this policy.
    ///
    /// Lines of unknown keys are ignored; a line of a known key that does not verify is an error.
    pub fn check(&self, note: &SignedNote) -> Result<Checkpoint, CheckpointError> {
        self.check_roles()?;
        // Signatures first: nothing that is not signed is read.
        let mut signers = Vec::new();
        for key in &self.log_keys {
            if note.is_signed_by(key)? {
                signers.push(key);
            }
        }
        // One operator may give one key several names, which makes it no second witness.
        let mut witnesses = BTreeSet::new();
        for key in &self.witnesses {
            if note.is_signed_by(key)? {
                witnesses.insert(key.public_bytes());
            }
        }
        if signers.is_empty() {
            return Err(CheckpointError::Unsigned);
        }
        let checkpoint = Checkpoint::parse(note.text())?;
        if !signers.iter().any(|key| origin::generation(&checkpoint.origin, key.name()).is_some()) {
            return Err(CheckpointError::OtherLog(checkpoint.origin));
        }
        let (needed, found) = (self.witnesses_needed, witnesses.len());
        if found < needed {
            return Err(CheckpointError::Witnesses { needed, found });
        }
        Ok(checkpoint)
    }

    fn check_roles(&self) -> Result<(), CheckpointError> {
        let misplaced = |keys: &[VerifierKey], role| {
            keys.iter().find(|key| key.key_type() != role).map(VerifierKey::label)
        };
        let log = misplaced(&self.log_keys, KeyType::Ed25519);
        match log.or_else(|| misplaced(&self.witnesses, KeyType::Cosignature)) {
            Some(key) => Err(CheckpointError::KeyRole(key)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::vectors::{WITNESS, WITNESSED, WITNESSED_LOG};
    use super::*;

    const ORIGIN: &str = "social-wallet/018f4e9e-7c1b-7000-8000-0000000000b0";

    fn log_key(seed: u8) -> SigningKey {
        SigningKey::from_seed(ORIGIN, &[seed; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: ORIGIN.to_owned(), size: 20_852_163, root: [0xa5; 32], extensions: Vec::new() }
    }

    fn policy(keys: &[&SigningKey]) -> Policy {
        Policy { log_keys: keys.iter().map(|key| key.verifier_key().clone()).collect(), ..Policy::default() }
    }

    /// A witness with its key and a line of its cosignature.
    fn witness(name: &str, seed: u8, text: &str) -> (VerifierKey, super::super::note::NoteSignature) {
        let secret = SigningKey::from_seed(name, &[seed; 32]).unwrap();
        let public = secret.verifier_key().public_bytes();
        let key = VerifierKey::new(name, KeyType::Cosignature, public).unwrap();
        let message = format!("cosignature/v1\ntime 1700000000\n{text}");
        let signature = secret.sign_message(message.as_bytes());
        let bytes = [&key.id()[..], &1_700_000_000_u64.to_be_bytes(), &signature].concat();
        let line = format!("— {name} {}", base64(bytes)).parse().unwrap();
        (key, line)
    }

    #[test]
    fn published_checkpoints_are_read_and_verified() {
        // Of sum.golang.org; the first is the example of tlog-checkpoint under its true origin.
        let key = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
        let published = [
            "go.sum database tree\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— sum.golang.org Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n",
            "go.sum database tree\n35225469\nvt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n\n— sum.golang.org Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=\n",
        ];
        for (text, size) in published.into_iter().zip([20_852_163, 35_225_469]) {
            let note = SignedNote::parse(text.as_bytes()).unwrap();
            assert_eq!(note.is_signed_by(&key.parse().unwrap()), Ok(true));
            let checkpoint = Checkpoint::parse(note.text()).unwrap();
            assert_eq!((checkpoint.size, checkpoint.body()), (size, note.text().to_owned()));
            // Its origin is not the name of its key, as ours always is.
            let refused = Policy::of_log(key.parse().unwrap()).open(text.as_bytes());
            assert_eq!(refused, Err(CheckpointError::OtherLog("go.sum database tree".to_owned())));
        }

        let (log, witness) = (WITNESSED_LOG.parse().unwrap(), WITNESS.parse().unwrap());
        let policy = Policy { log_keys: vec![log], witnesses: vec![witness], witnesses_needed: 1 };
        assert_eq!(policy.open(WITNESSED.as_bytes()).unwrap().0.size, 1_432_088_532);
        let policy = Policy { witnesses_needed: 2, ..policy };
        let missing = CheckpointError::Witnesses { needed: 2, found: 1 };
        assert_eq!(policy.open(WITNESSED.as_bytes()), Err(missing));
    }

    #[test]
    fn a_checkpoint_that_was_signed_is_read_and_believed() {
        let key = log_key(1);
        for extensions in [vec![], vec!["one".to_owned(), "two lines".to_owned()]] {
            let checkpoint = Checkpoint { extensions, ..checkpoint() };
            let note = checkpoint.sign(&key).unwrap();
            let (read, opened) = policy(&[&key]).open(note.to_string().as_bytes()).unwrap();
            assert_eq!((read, opened), (checkpoint, note));
        }
        let empty = Checkpoint { size: 0, root: empty_root(), ..checkpoint() };
        assert_eq!(Checkpoint::parse(&empty.body()), Ok(empty));
        let second = Checkpoint { origin: format!("{ORIGIN}/2"), ..checkpoint() };
        assert!(policy(&[&key]).check(&second.sign(&key).unwrap()).is_ok());
    }

    #[test]
    fn what_is_not_a_checkpoint_is_refused_for_what_is_wrong() {
        let root = base64([0xa5; 32]);
        let refused = [
            (String::new(), CheckpointError::Form),
            ("o\n".to_owned(), CheckpointError::Form),
            ("o\n1\n".to_owned(), CheckpointError::Form),
            (format!("o\n1\n{root}"), CheckpointError::Form),
            (format!("o\t\n1\n{root}\n"), CheckpointError::Form),
            (format!("\n1\n{root}\n"), CheckpointError::Origin),
            (format!("o\n\n{root}\n"), CheckpointError::Size),
            (format!("o\n01\n{root}\n"), CheckpointError::Size),
            (format!("o\n00\n{root}\n"), CheckpointError::Size),
            (format!("o\n-1\n{root}\n"), CheckpointError::Size),
            (format!("o\n+1\n{root}\n"), CheckpointError::Size),
            (format!("o\n 1\n{root}\n"), CheckpointError::Size),
            (format!("o\n1.0\n{root}\n"), CheckpointError::Size),
            (format!("o\n{}\n{root}\n", SIZE_MAX + 1), CheckpointError::Size),
            (format!("o\n3438945738945739845734895735\n{root}\n"), CheckpointError::Size),
            ("o\n1\n\n".to_owned(), CheckpointError::Root),
            ("o\n1\nYmFuYW5hcw==\n".to_owned(), CheckpointError::Root),
            (format!("o\n1\n{}\n", base64([0; 33])), CheckpointError::Root),
            (format!("o\n1\n{}\n", base64([0; 31])), CheckpointError::Root),
            (format!("o\n1\n{}\n", root.trim_end_matches('=')), CheckpointError::Root),
            (format!("o\n1\n {root}\n"), CheckpointError::Root),
            (format!("o\n0\n{root}\n"), CheckpointError::Root),
            (format!("o\n1\n{root}\n\n"), CheckpointError::Extension),
            (format!("o\n1\n{root}\n\nx\n"), CheckpointError::Extension),
        ];
        for (text, error) in refused {
            assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_checkpoint_has_limits() {
        let read = |checkpoint: &Checkpoint| Checkpoint::parse(&checkpoint.body()).err();
        let size = |size| read(&Checkpoint { size, ..checkpoint() });
        assert_eq!([SIZE_MAX - 1, SIZE_MAX].map(size), [None, None]);
        assert_eq!(size(SIZE_MAX + 1), Some(CheckpointError::Size));

        let origin = |length| read(&Checkpoint { origin: "o".repeat(length), ..checkpoint() });
        assert_eq!([1, ORIGIN_BYTES_MAX - 1, ORIGIN_BYTES_MAX].map(origin), [None, None, None]);
        assert_eq!(origin(ORIGIN_BYTES_MAX + 1), Some(CheckpointError::Origin));

        let extension =
            |length, count| read(&Checkpoint { extensions: vec!["e".repeat(length); count], ..checkpoint() });
        assert_eq!(extension(ORIGIN_BYTES_MAX - 1, EXTENSIONS_MAX - 1), None);
        assert_eq!(extension(ORIGIN_BYTES_MAX, EXTENSIONS_MAX), None);
        assert_eq!(extension(ORIGIN_BYTES_MAX + 1, 1), Some(CheckpointError::Extension));
        assert_eq!(extension(1, EXTENSIONS_MAX + 1), Some(CheckpointError::Extension));
    }

    #[test]
    fn members_that_would_read_back_otherwise_are_not_signed() {
        let key = log_key(1);
        let refused = [
            Checkpoint { origin: String::new(), ..checkpoint() },
            Checkpoint { origin: "o\n7".to_owned(), ..checkpoint() },
            Checkpoint { size: SIZE_MAX + 1, ..checkpoint() },
            Checkpoint { size: 0, ..checkpoint() },
            Checkpoint { extensions: vec!["one\ntwo".to_owned()], ..checkpoint() },
            Checkpoint { extensions: vec![String::new()], ..checkpoint() },
        ];
        for checkpoint in refused {
            assert!(checkpoint.sign(&key).is_err(), "{checkpoint:?}");
        }
    }

    #[test]
    fn one_known_key_is_enough_and_unknown_lines_mean_nothing() {
        let (first, second, stranger) = (log_key(1), log_key(2), log_key(3));
        let mut note = checkpoint().sign(&first).unwrap();
        note.add_signature(second.sign(note.text())).unwrap();
        for keys in
            [&[&first][..], &[&second], &[&first, &second], &[&stranger, &first], &[&second, &stranger]]
        {
            assert_eq!(policy(keys).check(&note), Ok(checkpoint()));
        }
        assert_eq!(policy(&[&stranger]).check(&note), Err(CheckpointError::Unsigned));
        assert_eq!(policy(&[]).check(&note), Err(CheckpointError::Unsigned));
    }

    #[test]
    fn a_known_key_with_a_bad_signature_is_not_outvoted() {
        let (first, second) = (log_key(1), log_key(2));
        let mut note = checkpoint().sign(&first).unwrap();
        note.add_signature(second.sign("other text\n")).unwrap();
        let bad = CheckpointError::Note(NoteError::BadSignature(second.verifier_key().label()));
        assert_eq!(policy(&[&first, &second]).check(&note), Err(bad));
        assert_eq!(policy(&[&first]).check(&note), Ok(checkpoint()));
    }

    #[test]
    fn the_log_of_another_book_is_another_log() {
        let key = log_key(1);
        for origin in ["social-wallet/018f4e9e-7c1b-7000-8000-0000000000b1", &format!("{ORIGIN}/1"), "x"] {
            let other = Checkpoint { origin: origin.to_owned(), ..checkpoint() };
            let refused = policy(&[&key]).check(&other.sign(&key).unwrap());
            assert_eq!(refused, Err(CheckpointError::OtherLog(origin.to_owned())));
        }
        // A key that has not signed lends its name to nobody.
        let elsewhere = SigningKey::from_seed("elsewhere", &[5; 32]).unwrap();
        let note = checkpoint().sign(&elsewhere).unwrap();
        let refused = policy(&[&key, &elsewhere]).check(&note);
        assert_eq!(refused, Err(CheckpointError::OtherLog(ORIGIN.to_owned())));
    }

    #[test]
    fn witnesses_are_counted_once_each_and_must_be_right() {
        let key = log_key(1);
        let mut note = checkpoint().sign(&key).unwrap();
        let text = note.text().to_owned();
        let (one, one_line) = witness("w.example/1", 11, &text);
        let (two, two_line) = witness("w.example/2", 12, &text);
        let (alias, alias_line) = witness("w.example/alias", 11, &text);
        let (_, wrong_line) = witness("w.example/2", 12, "other\n");
        let with = |witnesses: &[&VerifierKey], witnesses_needed| Policy {
            witnesses: witnesses.iter().map(|key| (*key).clone()).collect(),
            witnesses_needed,
            ..policy(&[&key])
        };
        assert!(with(&[&one], 0).check(&note).is_ok());
        let missing = |needed, found| Err(CheckpointError::Witnesses { needed, found });
        assert_eq!(with(&[&one], 1).check(&note), missing(1, 0));

        note.add_signature(one_line.clone()).unwrap();
        note.add_signature(one_line).unwrap();
        note.add_signature(alias_line).unwrap();
        assert_eq!(with(&[&one], 1).check(&note), Ok(checkpoint()));
        // Neither two lines, nor a key given twice, nor a second name of one key is a second witness.
        assert_eq!(with(&[&one, &one, &alias, &two], 2).check(&note), missing(2, 1));
        note.add_signature(two_line).unwrap();
        assert_eq!(with(&[&one, &two], 2).check(&note), Ok(checkpoint()));
        assert_eq!(with(&[&one, &two], 3).check(&note), missing(3, 2));

        note.add_signature(wrong_line).unwrap();
        let bad = CheckpointError::Note(NoteError::BadSignature(two.label()));
        assert_eq!(with(&[&one, &two], 1).check(&note), Err(bad));
        assert_eq!(with(&[&one], 1).check(&note), Ok(checkpoint()));
    }

    #[test]
    fn a_witness_is_not_the_log_and_the_log_is_no_witness() {
        let key = log_key(1);
        let note = checkpoint().sign(&key).unwrap();
        let (witness, _) = witness("w.example/1", 11, note.text());
        let policy = Policy { log_keys: vec![witness.clone()], ..Policy::default() };
        assert_eq!(policy.check(&note), Err(CheckpointError::KeyRole(witness.label())));
        let log = key.verifier_key().clone();
        let policy = Policy { witnesses: vec![log.clone()], ..Policy::of_log(log.clone()) };
        assert_eq!(policy.check(&note), Err(CheckpointError::KeyRole(log.label())));
    }

    #[test]
    fn a_checkpoint_altered_in_one_byte_is_not_believed() {
        let (key, stranger) = (log_key(1), log_key(2));
        let mut note = checkpoint().sign(&key).unwrap();
        note.add_signature(stranger.sign(note.text())).unwrap();
        let text = note.to_string();
        let unknown = text.rfind('—').unwrap();
        let policy = policy(&[&key]);
        for at in 0..text.len() {
            for mask in [1, 2, 4, 8, 16, 32, 64, 128] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= mask;
                // Of a stranger's line it may mean nothing, and then the checkpoint is the one that was signed.
                match policy.open(&bytes) {
                    Ok((read, _)) => assert!(at >= unknown && read == checkpoint(), "byte {at}, mask {mask}"),
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
}
