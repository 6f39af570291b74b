//! Who sent a request, and that it arrived as it was sent: HTTP Message Signatures (RFC 9421) with Ed25519, and
//! Content-Digest (RFC 9530), in one strict profile.
//!
//! | File        | Holds |
//! |-------------|-------|
//! | `mod.rs`    | the profile: what is signed, and its bounds |
//! | `error.rs`  | every way in which a request is not signed as the profile asks |
//! | `base.rs`   | the bytes that are signed |
//! | `digest.rs` | the digest of a body |
//! | `verify.rs` | reading and checking a signature |
//! | `sign.rs`   | making one |
//!
//! The profile, in full in `specs/http.md`:
//! - exactly one signature, under any label, with the tag [`TAG`];
//! - it covers `@method`, `@target-uri` and those of `content-digest`, `content-type` and `idempotency-key` that the request
//!   carries, each once, in any order, without parameters, and nothing else; a request with a body carries the first two;
//! - its parameters are `created`, `expires`, `nonce`, `keyid`, `tag` and, if it is given, `alg`, and no others;
//! - the fields that are read are there once and in the canonical form of RFC 9651, so that nobody reads them otherwise.
//!
//! Everything here is a function of its arguments: no clock, no chance, no input or output.

mod base;
mod digest;
mod error;
mod sign;
mod verify;

pub use digest::content_digest;
pub use error::SignatureError;
pub use sign::Signer;
pub use verify::{Claim, Signed};

use http::HeaderMap;
use http::header::HeaderName;

/// What a signature is made for: no signature made for another purpose is taken for one of ours.
pub const TAG: &str = "social-wallet-v1";

/// The only algorithm.
pub const ALGORITHM: &str = "ed25519";

/// How long before its arrival a signature may have been made, in seconds.
pub const AGE_SECONDS_MAX: i64 = 300;

/// How far the signer's clock may be ahead of the service's, in seconds.
pub const AHEAD_SECONDS_MAX: i64 = 30;

/// How long a signature may hold, from `created` to `expires`, in seconds.
pub const LIFETIME_SECONDS_MAX: i64 = 300;

/// The shortest nonce, in characters: room for 96 random bits in base64.
pub const NONCE_CHARACTERS_MIN: usize = 16;

/// The longest nonce, in characters.
pub const NONCE_CHARACTERS_MAX: usize = 64;

/// The longest `Signature-Input`, in bytes: twice what the profile can need.
pub const INPUT_BYTES_MAX: usize = 1_024;

/// The digest of the body (RFC 9530).
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// What binds a write (see `specs/http.md`).
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What is signed, and how (RFC 9421).
pub const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// The signature (RFC 9421).
pub const SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// The head of a request, as it is signed.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The service's public address followed by the path and query, exactly as they stand in the request line.
    pub target_uri: &'a str,
    /// All its fields.
    pub headers: &'a HeaderMap,
}
