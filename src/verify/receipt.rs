//! One receipt, with the entry that it is for: no log is needed.

use crate::log::checkpoint::{Checkpoint, Policy};
use crate::log::merkle::Hash;
use crate::log::receipt::{Receipt, ReceiptError};

/// What a receipt proves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiptReport {
    /// The entry's number.
    pub entry: u64,
    /// The checkpoint whose tree has the entry there.
    pub checkpoint: Checkpoint,
    /// The trusted keys that signed it: name and id.
    pub signed_by: Vec<String>,
}

/// Verifies a receipt, given as C2SP `tlog-proof` text or as JSON, for the entry of this leaf hash.
pub fn verify_receipt(
    bytes: &[u8],
    leaf_hash: &Hash,
    policy: &Policy,
) -> Result<ReceiptReport, ReceiptError> {
    let is_json = bytes.trim_ascii_start().starts_with(b"{");
    let receipt = if is_json { Receipt::from_json(bytes)? } else { Receipt::parse(bytes)? };
    let checkpoint = receipt.verify(leaf_hash, policy)?;
    let trusted = policy.log_keys.iter().chain(&policy.witnesses);
    let signed = trusted.filter(|key| receipt.checkpoint.is_signed_by(key) == Ok(true));
    let signed_by = signed.map(|key| key.label().to_string()).collect();
    Ok(ReceiptReport { entry: receipt.index, checkpoint, signed_by })
}
