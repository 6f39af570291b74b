//! Every way in which a request is not signed as the profile asks. None repeats what the client sent.

use super::{
    AGE_SECONDS_MAX, AHEAD_SECONDS_MAX, ALGORITHM, INPUT_BYTES_MAX, LIFETIME_SECONDS_MAX,
    NONCE_CHARACTERS_MAX, NONCE_CHARACTERS_MIN, TAG,
};

/// Why a request is not taken for its client's. All of them are 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// `Signature-Input` or `Signature` is absent.
    #[error("The request has no {0}. Every request but the public log and health is signed (RFC 9421).")]
    Missing(&'static str),
    /// A field that is signed, or that signs, is there more than once.
    #[error("The request has {0} more than once.")]
    FieldRepeated(&'static str),
    /// `Signature-Input` or `Signature` cannot be read.
    #[error(
        "{0} is not one member of a dictionary in the canonical form of RFC 9651, of at most {INPUT_BYTES_MAX} bytes."
    )]
    Malformed(&'static str),
    /// There are several signatures.
    #[error("{0} has more than one member. A request has exactly one signature.")]
    NotSingle(&'static str),
    /// The two fields name different signatures.
    #[error("Signature and Signature-Input have different labels.")]
    LabelMismatch,
    /// A component that must be covered is not.
    #[error("The signature does not cover {0}.")]
    ComponentMissing(&'static str),
    /// A component is covered that the profile does not know, or that the request does not carry.
    #[error(
        "The signature covers something else than @method, @target-uri and those of content-digest, content-type and idempotency-key that the request carries."
    )]
    ComponentUnknown,
    /// A component is covered twice.
    #[error("The signature covers {0} twice.")]
    ComponentRepeated(&'static str),
    /// A component has parameters.
    #[error(
        "A covered component has a parameter (sf, key, bs, req, tr). Components are covered as they are."
    )]
    ComponentParameter,
    /// A parameter is absent.
    #[error("The signature has no parameter {0}.")]
    ParameterMissing(&'static str),
    /// A parameter that the profile does not know.
    #[error("The signature has a parameter other than created, expires, nonce, keyid, tag and alg.")]
    ParameterUnknown,
    /// A time is not a whole number of seconds.
    #[error("The parameter {0} is not a whole number of seconds since 1970.")]
    TimeMalformed(&'static str),
    /// `nonce` is out of bounds.
    #[error(
        "The nonce is not a string of {NONCE_CHARACTERS_MIN} to {NONCE_CHARACTERS_MAX} visible ASCII characters other than \" and \\."
    )]
    NonceMalformed,
    /// `keyid` is not a [`KeyId`](crate::domain::KeyId).
    #[error(
        "The keyid is not a string of the client's name, a colon and the first 16 hexadecimal digits of the SHA-256 of the public key."
    )]
    KeyIdMalformed,
    /// `tag` is another.
    #[error("The tag is not the string \"{TAG}\".")]
    TagWrong,
    /// `alg` is another.
    #[error("The algorithm is not \"{ALGORITHM}\". The parameter alg may be left out.")]
    AlgorithmUnsupported,
    /// `created` is too far back, or ahead.
    #[error(
        "The signature was created more than {AGE_SECONDS_MAX} seconds ago, or more than {AHEAD_SECONDS_MAX} seconds ahead. Set the clock by NTP."
    )]
    CreatedOutsideWindow,
    /// `expires` is not after `created`, or too long after it.
    #[error("The signature expires not 1 to {LIFETIME_SECONDS_MAX} seconds after it was created.")]
    LifetimeOutOfRange,
    /// `expires` is past.
    #[error("The signature has expired. Sign the request again, with a new nonce.")]
    Expired,
    /// No key of this id may sign.
    #[error("No key of this keyid may sign: it was never registered, or it was revoked.")]
    KeyUnknown,
    /// The signature is not of this key over this request.
    #[error(
        "The signature does not hold for this request and key. Sign the method, the target under the service's public address and the fields exactly as they are sent."
    )]
    Invalid,
    /// A body came without `Content-Digest` or `Content-Type`.
    #[error("The request has a body and no {0}.")]
    BodyFieldMissing(&'static str),
    /// `Content-Digest` is not one SHA-256 digest.
    #[error("The Content-Digest is not sha-256=:…: with the digest in base64, alone and in canonical form.")]
    DigestMalformed,
    /// The body is another than the one that was signed.
    #[error("The body is not the one that the Content-Digest was made of.")]
    DigestMismatch,
}

impl SignatureError {
    /// The field, component or parameter at fault.
    #[must_use]
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::Missing(name)
            | Self::FieldRepeated(name)
            | Self::Malformed(name)
            | Self::NotSingle(name)
            | Self::ComponentMissing(name)
            | Self::ComponentRepeated(name)
            | Self::ParameterMissing(name)
            | Self::TimeMalformed(name)
            | Self::BodyFieldMissing(name) => Some(name),
            Self::LabelMismatch => Some("signature"),
            Self::ComponentUnknown | Self::ComponentParameter | Self::ParameterUnknown => {
                Some("signature-input")
            }
            Self::NonceMalformed => Some("nonce"),
            Self::KeyIdMalformed | Self::KeyUnknown => Some("keyid"),
            Self::TagWrong => Some("tag"),
            Self::AlgorithmUnsupported => Some("alg"),
            Self::CreatedOutsideWindow => Some("created"),
            Self::LifetimeOutOfRange | Self::Expired => Some("expires"),
            Self::DigestMalformed | Self::DigestMismatch => Some("content-digest"),
            Self::Invalid => None,
        }
    }
}
