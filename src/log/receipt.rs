//! Receipts, C2SP `tlog-proof`: that an entry is in the log, to be checked offline.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! index 73894
//! gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
//! …
//!
//! social-wallet/018f4e9e-7c1b-7000-8000-0000000000b0
//! 109482
//! …
//! ```
//!
//! The same members as JSON: `extra`, `index`, `proof` and `checkpoint`, the last being the signed note as it stands.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointError, Policy};
use super::encoding::{base64, decimal, from_base64, hash_from_base64};
use super::merkle::{Hash, ProofError, SIZE_MAX, verify_inclusion};
use super::note::{NOTE_BYTES_MAX, NoteError, SignedNote};

/// The first line: the format and its version.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The longest proof, in hashes: the height of the largest tree.
pub const PROOF_HASHES_MAX: usize = 63;

/// The most extra data in bytes: as much as an entry.
pub const EXTRA_BYTES_MAX: usize = u16::MAX as usize;

/// The longest receipt in bytes: more than its parts at their longest.
pub const RECEIPT_BYTES_MAX: usize = NOTE_BYTES_MAX + 100_000;

/// That the leaf of a number is in the tree of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Data of the application, which no signature covers. Not empty: nothing is `None`.
    pub extra: Option<Vec<u8>>,
    /// The entry's number in the log.
    pub index: u64,
    /// The inclusion proof: RFC 6962 section 2.1.1, from the leaf's neighbour up.
    pub proof: Vec<Hash>,
    /// The checkpoint that the proof leads to.
    pub checkpoint: SignedNote,
}

/// Why bytes are not a receipt, or why it does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Longer than [`RECEIPT_BYTES_MAX`].
    #[error("the receipt is longer than {RECEIPT_BYTES_MAX} bytes")]
    TooLong,
    /// Not UTF-8 text of the first line of the format, then lines, an empty line and a checkpoint.
    #[error("the receipt is not a text of the form {HEADER}")]
    Form,
    /// Not JSON of the members of a receipt.
    #[error("the receipt is not JSON of the members extra, index, proof and checkpoint")]
    Json,
    /// The extra data are not 1 to [`EXTRA_BYTES_MAX`] bytes in base64.
    #[error("the receipt's extra data are not 1 to {EXTRA_BYTES_MAX} bytes in base64")]
    Extra,
    /// The index is not a decimal number without leading zeros, or no index of any tree.
    #[error("the receipt's index is not a decimal number below {SIZE_MAX}")]
    Index,
    /// A line of the proof is not a hash in base64, or there are more than [`PROOF_HASHES_MAX`].
    #[error("line {0} of the receipt's proof is not a hash in base64, or is one too many")]
    Proof(usize),
    /// The checkpoint is not a signed note.
    #[error("the receipt's checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The checkpoint is not believed.
    #[error("the receipt's checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The proof does not lead from the leaf to the checkpoint's root.
    #[error("the receipt's proof: {0}")]
    Inclusion(#[from] ProofError),
}

/// The receipt as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extra: Option<String>,
    index: u64,
    proof: Vec<String>,
    checkpoint: String,
}

impl Receipt {
    /// Reads the text. Nothing is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ReceiptError::Form)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ReceiptError::Form)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(ReceiptError::Form);
        }
        let extra = match lines.next_if(|line| line.starts_with("extra")) {
            Some(line) => Some(read_extra(line.strip_prefix("extra ").ok_or(ReceiptError::Extra)?)?),
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(ReceiptError::Index)?;
        let index = check_index(decimal(index))?;
        let proof = read_proof(lines)?;
        Ok(Self { extra, index, proof, checkpoint: SignedNote::parse(checkpoint.as_bytes())? })
    }

    /// Writes it as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let members = Members {
            extra: self.extra.as_ref().filter(|extra| !extra.is_empty()).map(base64),
            index: self.index,
            proof: self.proof.iter().map(base64).collect(),
            checkpoint: self.checkpoint.to_string(),
        };
        serde_json::to_string(&members).expect("strings and a number are JSON")
    }

    /// Reads the JSON. Nothing is verified.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReceiptError> {
        // Every character of the text may have been escaped.
        if bytes.len() > 6 * RECEIPT_BYTES_MAX {
            return Err(ReceiptError::TooLong);
        }
        let members = serde_json::from_slice::<Members>(bytes).map_err(|_| ReceiptError::Json)?;
        Ok(Self {
            extra: members.extra.as_deref().map(read_extra).transpose()?,
            index: check_index(Some(members.index))?,
            proof: read_proof(members.proof.iter().map(String::as_str))?,
            checkpoint: SignedNote::parse(members.checkpoint.as_bytes())?,
        })
    }

    /// Checks that the leaf with this hash is entry `index` of a log of the policy, and returns the checkpoint that says
    /// so.
    pub fn verify(&self, leaf_hash: &Hash, policy: &Policy) -> Result<Checkpoint, ReceiptError> {
        let checkpoint = policy.check(&self.checkpoint)?;
        verify_inclusion(leaf_hash, self.index, checkpoint.size, &self.proof, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

fn read_extra(text: &str) -> Result<Vec<u8>, ReceiptError> {
    from_base64(text).filter(|extra| (1..=EXTRA_BYTES_MAX).contains(&extra.len())).ok_or(ReceiptError::Extra)
}

fn check_index(index: Option<u64>) -> Result<u64, ReceiptError> {
    index.filter(|index| *index < SIZE_MAX).ok_or(ReceiptError::Index)
}

fn read_proof<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, ReceiptError> {
    let mut proof = Vec::new();
    for line in lines {
        let number = proof.len() + 1;
        let hash = hash_from_base64(line).filter(|_| number <= PROOF_HASHES_MAX);
        proof.push(hash.ok_or(ReceiptError::Proof(number))?);
    }
    Ok(proof)
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = self.extra.as_ref().filter(|extra| !extra.is_empty()) {
            writeln!(f, "extra {}", base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", base64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::super::merkle::inclusion_proof;
    use super::super::merkle::oracle::{Leaves, leaf_hashes, tree_hash};
    use super::super::note::SigningKey;
    use super::*;

    static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_seed("log", &[9; 32]).unwrap());

    fn policy() -> Policy {
        Policy::of_log(KEY.verifier_key().clone())
    }

    /// The receipt of one leaf of a tree, with the leaf's hash.
    fn receipt(size: u64, index: u64) -> (Receipt, Hash) {
        let leaves = leaf_hashes(size);
        let checkpoint =
            Checkpoint { origin: "log".to_owned(), size, root: tree_hash(&leaves), extensions: Vec::new() };
        let leaf = leaves[usize::try_from(index).unwrap()];
        let proof = inclusion_proof(size, index, &Leaves(leaves)).unwrap();
        (Receipt { extra: None, index, proof, checkpoint: checkpoint.sign(&KEY).unwrap() }, leaf)
    }

    #[test]
    fn a_receipt_holds_for_its_leaf_and_for_no_other() {
        for size in [1, 2, 3, 7, 8, 70] {
            for index in 0..size {
                let (receipt, leaf) = receipt(size, index);
                assert_eq!(receipt.verify(&leaf, &policy()).unwrap().size, size);
                let mut other = leaf;
                other[31] ^= 1;
                assert_eq!(
                    receipt.verify(&other, &policy()),
                    Err(ReceiptError::Inclusion(ProofError::RootMismatch))
                );
                for wrong in (0..=size).filter(|wrong| *wrong != index) {
                    let moved = Receipt { index: wrong, ..receipt.clone() };
                    assert!(moved.verify(&leaf, &policy()).is_err(), "{index} as {wrong} of {size}");
                }
            }
        }
    }

    #[test]
    fn a_receipt_with_any_node_changed_left_out_or_added_does_not_hold() {
        for (size, index) in [(2, 1), (7, 6), (70, 0), (70, 33), (70, 64), (70, 69)] {
            let (receipt, leaf) = receipt(size, index);
            for at in 0..receipt.proof.len() {
                let mut changed = receipt.clone();
                changed.proof[at][at % 32] ^= 0x10;
                assert!(changed.verify(&leaf, &policy()).is_err(), "node {at} of {index} in {size}");
                let mut shorter = receipt.clone();
                shorter.proof.remove(at);
                assert!(shorter.verify(&leaf, &policy()).is_err());
            }
            let mut longer = receipt.clone();
            longer.proof.push([0; 32]);
            assert!(longer.verify(&leaf, &policy()).is_err());
        }
    }

    #[test]
    fn a_receipt_altered_in_one_byte_of_its_text_does_not_hold() {
        let (receipt, leaf) = receipt(7, 5);
        let text = receipt.to_string();
        for at in 0..text.len() {
            for mask in [1, 2, 4, 8, 16, 32, 64, 128] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= mask;
                let holds = Receipt::parse(&bytes).and_then(|receipt| receipt.verify(&leaf, &policy()));
                assert!(holds.is_err(), "byte {at}, mask {mask}");
            }
        }
    }

    #[test]
    fn a_receipt_is_as_good_as_its_checkpoint() {
        let (receipt, leaf) = receipt(7, 5);
        let stranger = SigningKey::from_seed("log", &[8; 32]).unwrap();
        let refused = receipt.verify(&leaf, &Policy::of_log(stranger.verifier_key().clone()));
        assert_eq!(refused, Err(ReceiptError::Checkpoint(CheckpointError::Unsigned)));
        let wanted = Policy { witnesses_needed: 1, ..policy() };
        let missing = CheckpointError::Witnesses { needed: 1, found: 0 };
        assert_eq!(receipt.verify(&leaf, &wanted), Err(ReceiptError::Checkpoint(missing)));
    }

    #[test]
    fn a_receipt_is_written_as_the_specification_says() {
        let (receipt, _) = receipt(3, 2);
        let hash = base64(receipt.proof[0]);
        let checkpoint = receipt.checkpoint.to_string();
        let expected = format!("c2sp.org/tlog-proof@v1\nindex 2\n{hash}\n\n{checkpoint}");
        assert_eq!(receipt.to_string(), expected);
        let with_extra = Receipt { extra: Some(b"extra information".to_vec()), ..receipt };
        let expected = format!(
            "c2sp.org/tlog-proof@v1\nextra ZXh0cmEgaW5mb3JtYXRpb24=\nindex 2\n{hash}\n\n{checkpoint}"
        );
        assert_eq!(with_extra.to_string(), expected);
        let json: serde_json::Value = serde_json::from_str(&with_extra.to_json()).unwrap();
        let expected = serde_json::json!({
            "extra": "ZXh0cmEgaW5mb3JtYXRpb24=", "index": 2, "proof": [hash], "checkpoint": checkpoint,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn text_and_json_read_back() {
        for (size, index) in [(1, 0), (2, 0), (70, 33)] {
            for extra in [None, Some(vec![0]), Some(vec![255; EXTRA_BYTES_MAX])] {
                let receipt = Receipt { extra, ..receipt(size, index).0 };
                assert_eq!(Receipt::parse(receipt.to_string().as_bytes()), Ok(receipt.clone()));
                assert_eq!(Receipt::from_json(receipt.to_json().as_bytes()), Ok(receipt));
            }
        }
        let nothing = Receipt { extra: Some(Vec::new()), ..receipt(1, 0).0 };
        assert_eq!(Receipt::parse(nothing.to_string().as_bytes()).unwrap().extra, None);
        assert_eq!(Receipt::from_json(nothing.to_json().as_bytes()).unwrap().extra, None);
    }

    #[test]
    fn what_is_not_a_receipt_is_refused_for_what_is_wrong() {
        let text = receipt(3, 2).0.to_string();
        let hash = text.lines().nth(2).unwrap();
        let refused = [
            ("", "", ReceiptError::Form),
            ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2", ReceiptError::Form),
            ("c2sp.org/tlog-proof@v1", "", ReceiptError::Form),
            ("index 2", "index 02", ReceiptError::Index),
            ("index 2", "index", ReceiptError::Index),
            ("index 2", "index  2", ReceiptError::Index),
            ("index 2", "index 2 ", ReceiptError::Index),
            ("index 2", "index -5", ReceiptError::Index),
            ("index 2", "index notanumber", ReceiptError::Index),
            ("index 2", "Index 2", ReceiptError::Index),
            ("index 2\n", "", ReceiptError::Index),
            ("index 2", "index 2\nindex 2", ReceiptError::Proof(1)),
            ("index 2", "index 2\nextra AA==", ReceiptError::Proof(1)),
            ("index 2", "extra \nindex 2", ReceiptError::Extra),
            ("index 2", "extra\nindex 2", ReceiptError::Extra),
            ("index 2", "extra AA\nindex 2", ReceiptError::Extra),
            ("index 2", "extra !!notbase64!!\nindex 2", ReceiptError::Extra),
            ("index 2", "extra AA==\nextra AA==\nindex 2", ReceiptError::Index),
            (hash, "!!notbase64!!", ReceiptError::Proof(1)),
            (hash, &base64([0; 64]), ReceiptError::Proof(1)),
            (hash, &format!("{hash}\n{}", base64([0; 31])), ReceiptError::Proof(2)),
            (hash, &format!("{hash}\r"), ReceiptError::Proof(1)),
            ("\n— ", "\n- ", ReceiptError::Note(NoteError::Line(1))),
            ("\n\nlog", "\nlog", ReceiptError::Proof(2)),
        ];
        for (from, to, error) in refused {
            let broken = if from.is_empty() { String::new() } else { text.replacen(from, to, 1) };
            assert_eq!(Receipt::parse(broken.as_bytes()), Err(error), "{from:?} as {to:?}");
        }
        assert_eq!(Receipt::parse(b"\xff"), Err(ReceiptError::Form));
        // An empty line before the proof makes the rest the checkpoint: no three lines, then.
        let moved = text.replacen("index 2\n", "index 2\n\n", 1);
        let verified = Receipt::parse(moved.as_bytes()).and_then(|read| read.verify(&[0; 32], &policy()));
        assert!(verified.is_err());
    }

    #[test]
    fn json_of_other_members_or_types_is_refused() {
        let json = receipt(3, 2).0.to_json();
        for (from, to) in [
            ("\"index\":2", "\"index\":\"2\""),
            ("\"index\":2", "\"index\":2.0"),
            ("\"index\":2", "\"index\":-2"),
            ("\"index\":2", "\"index\":2,\"index\":2"),
            ("\"index\":2", "\"index\":2,\"other\":1"),
            ("\"index\":2,", ""),
            ("\"proof\":[", "\"proof\":[1,"),
        ] {
            let broken = json.replacen(from, to, 1);
            assert_ne!(broken, json);
            assert_eq!(Receipt::from_json(broken.as_bytes()), Err(ReceiptError::Json), "{from} as {to}");
        }
        let extra = json.replacen('{', "{\"extra\":\"\",", 1);
        assert_eq!(Receipt::from_json(extra.as_bytes()), Err(ReceiptError::Extra));
    }

    #[test]
    fn a_receipt_has_limits() {
        let (receipt, _) = receipt(1, 0);
        let read = |receipt: &Receipt| {
            let text = Receipt::parse(receipt.to_string().as_bytes()).err();
            assert_eq!(Receipt::from_json(receipt.to_json().as_bytes()).err(), text);
            text
        };
        let proof = |hashes| read(&Receipt { proof: vec![[1; 32]; hashes], ..receipt.clone() });
        assert_eq!([PROOF_HASHES_MAX - 1, PROOF_HASHES_MAX].map(proof), [None, None]);
        assert_eq!(proof(PROOF_HASHES_MAX + 1), Some(ReceiptError::Proof(PROOF_HASHES_MAX + 1)));

        let index = |index| read(&Receipt { index, ..receipt.clone() });
        assert_eq!([SIZE_MAX - 2, SIZE_MAX - 1].map(index), [None, None]);
        assert_eq!(index(SIZE_MAX), Some(ReceiptError::Index));

        let extra = |bytes| read(&Receipt { extra: Some(vec![1; bytes]), ..receipt.clone() });
        assert_eq!([EXTRA_BYTES_MAX - 1, EXTRA_BYTES_MAX].map(extra), [None, None]);
        assert_eq!(extra(EXTRA_BYTES_MAX + 1), Some(ReceiptError::Extra));

        // The longest note, proof and extra data still fit.
        let line = receipt.checkpoint.to_string().len() - receipt.checkpoint.text().len();
        let text = format!("{}\n", "x".repeat(NOTE_BYTES_MAX - line - 1));
        let longest = Receipt {
            extra: Some(vec![1; EXTRA_BYTES_MAX]),
            index: SIZE_MAX - 1,
            proof: vec![[1; 32]; PROOF_HASHES_MAX],
            checkpoint: SignedNote::sign(text, &KEY).unwrap(),
        };
        assert_eq!(longest.checkpoint.to_string().len(), NOTE_BYTES_MAX);
        assert_eq!(read(&longest), None);
        let long = |length| Receipt::parse(&vec![b'x'; length]);
        assert_eq!(long(RECEIPT_BYTES_MAX - 1), Err(ReceiptError::Form));
        assert_eq!(long(RECEIPT_BYTES_MAX), Err(ReceiptError::Form));
        assert_eq!(long(RECEIPT_BYTES_MAX + 1), Err(ReceiptError::TooLong));
    }
}
