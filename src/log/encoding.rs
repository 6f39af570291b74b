//! The small spellings that the log's text formats share. Each value has one, and nothing else reads as it.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::merkle::Hash;

/// Standard base64 of RFC 4648 section 4, padded.
pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Reads standard base64: padded, without white space, and with no bit set that belongs to no byte.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

/// Reads a hash in base64.
pub(super) fn hash_from_base64(text: &str) -> Option<Hash> {
    from_base64(text)?.try_into().ok()
}

/// Reads a number of ASCII digits without sign and without leading zeros.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("20852163"), Some(20_852_163));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for refused in
            ["", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "1e3", "0x1", "١", "18446744073709551616"]
        {
            assert_eq!(decimal(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(from_base64("AQ=="), Some(vec![1]));
        for refused in ["AQ", "AQ=", "AR==", "AQ==\n", " AQ==", "AQ===", "A-==", "A_=="] {
            assert_eq!(from_base64(refused), None, "{refused:?}");
        }
        assert_eq!(hash_from_base64(&base64([7; 32])), Some([7; 32]));
        assert_eq!(hash_from_base64(&base64([7; 31])), None);
        assert_eq!(hash_from_base64(&base64([7; 33])), None);
    }
}
