//! The digest of a body: `Content-Digest` (RFC 9530) with SHA-256, and nothing else.

use sfv::{Dictionary, ListEntry, Parser};
use sha2::{Digest as _, Sha256};

use super::SignatureError;

/// The name of the algorithm in the field.
const SHA_256: &str = "sha-256";

/// The field's value for a body.
#[must_use]
pub fn content_digest(body: &[u8]) -> String {
    write(&Sha256::digest(body).into())
}

fn write(digest: &[u8; 32]) -> String {
    use base64::Engine as _;
    format!("{SHA_256}=:{}:", base64::engine::general_purpose::STANDARD.encode(digest))
}

/// Reads a field's value: one SHA-256 digest, in canonical form.
pub fn read(text: &str) -> Result<[u8; 32], SignatureError> {
    let members: Dictionary = Parser::new(text).parse().map_err(|_| SignatureError::DigestMalformed)?;
    let digest = match members.get(SHA_256) {
        Some(ListEntry::Item(item)) => item.bare_item.as_byte_sequence(),
        _ => None,
    };
    let digest: [u8; 32] =
        digest.and_then(|bytes| bytes.try_into().ok()).ok_or(SignatureError::DigestMalformed)?;
    if write(&digest) == text { Ok(digest) } else { Err(SignatureError::DigestMalformed) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// RFC 9530, appendix D: the bodies without their final line feed are those of RFC 9421, appendix B.2.
    #[test]
    fn the_vectors_of_the_rfcs() {
        let world = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
        assert_eq!(content_digest(br#"{"hello": "world"}"#), world);
        assert_eq!(
            content_digest(b"{\"hello\": \"world\"}\n"),
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
        );
        assert_eq!(read(world).unwrap(), <[u8; 32]>::from(Sha256::digest(br#"{"hello": "world"}"#)));
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let right = content_digest(b"x");
        let refused = [
            String::new(),
            right.replace("sha-256", "SHA-256"),
            right.replace("sha-256", "sha-512"),
            format!("{right},{right}"),
            format!("{right}, sha-512=:AA==:"),
            format!("{right};a"),
            format!("{right} "),
            right.replace("=:", "=\"").replace(':', "\""),
            right.trim_end_matches("=:").to_owned() + ":",
            "sha-256=:AAAA:".to_owned(),
            "sha-256=?1".to_owned(),
        ];
        for text in refused {
            assert_eq!(read(&text), Err(SignatureError::DigestMalformed), "{text}");
        }
    }
}
