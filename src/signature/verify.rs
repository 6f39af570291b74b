//! Reading and checking a signature, in three steps that cannot be taken in another order: [`Claim::read`] before the key
//! is known, [`Claim::verify`] with the key, [`Signed::check_body`] when the body has arrived.

use ed25519_dalek::{Signature, VerifyingKey};
use http::header::CONTENT_TYPE;
use sfv::{BareItem, DictSerializer, Dictionary, InnerList, Key, ListEntry, Parser, StringRef};

use crate::domain::KeyId;

use super::base::{self, Component, single};
use super::{
    AGE_SECONDS_MAX, AHEAD_SECONDS_MAX, ALGORITHM, CONTENT_DIGEST, Head, IDEMPOTENCY_KEY, INPUT_BYTES_MAX,
    LIFETIME_SECONDS_MAX, NONCE_CHARACTERS_MAX, NONCE_CHARACTERS_MIN, SIGNATURE, SIGNATURE_INPUT,
    SignatureError, TAG, digest,
};

const INPUT: &str = "signature-input";
const VALUE: &str = "signature";

/// What a request says of its signature. Nothing of it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim(Signed);

/// A request's head, signed by the key that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Which key.
    pub key_id: KeyId,
    /// 16 to 64 visible ASCII characters other than `"` and `\`.
    pub nonce: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// The last second in which it holds, since 1970.
    pub expires: i64,
    /// The bytes that were signed.
    pub base: String,
    /// The signature over them.
    pub signature: [u8; 64],
    /// What the body's SHA-256 must be; `None` if the head speaks of no body.
    digest: Option<[u8; 32]>,
    /// Whether the head names the type of a body.
    typed: bool,
}

struct Parameters {
    created: i64,
    expires: i64,
    nonce: String,
    key_id: KeyId,
}

impl Claim {
    /// Reads the signature of a request and holds it to the profile. `now` is in seconds since 1970.
    pub fn read(head: &Head<'_>, now: i64) -> Result<Self, SignatureError> {
        let input = single(head, &SIGNATURE_INPUT, INPUT)?;
        let value = single(head, &SIGNATURE, VALUE)?;
        let input = input.ok_or(SignatureError::Missing(INPUT))?;
        let value = value.ok_or(SignatureError::Missing(VALUE))?;
        let (label, list, canonical) = read_input(input)?;
        let signature = read_value(value, &label)?;
        let components = read_components(head, &list)?;
        let parameters = read_parameters(&list, now)?;
        let digest = single(head, &CONTENT_DIGEST, "content-digest")?.map(digest::read).transpose()?;
        single(head, &IDEMPOTENCY_KEY, "idempotency-key")?;
        Ok(Self(Signed {
            base: base::of_request(head, &components, &canonical)?,
            signature,
            key_id: parameters.key_id,
            nonce: parameters.nonce,
            created: parameters.created,
            expires: parameters.expires,
            digest,
            typed: single(head, &CONTENT_TYPE, "content-type")?.is_some(),
        }))
    }

    /// Which key it says has signed.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.0.key_id
    }

    /// Checks it with the key of that id, strictly: one signature has one spelling, and a key of small order is no key.
    pub fn verify(self, key: &VerifyingKey) -> Result<Signed, SignatureError> {
        let signature = Signature::from_bytes(&self.0.signature);
        key.verify_strict(self.0.base.as_bytes(), &signature).map_err(|_| SignatureError::Invalid)?;
        Ok(self.0)
    }
}

impl Signed {
    /// Checks that this is the body which was signed. A request without a body needs neither digest nor type.
    pub fn check_body(&self, sha256: &[u8; 32], length: usize) -> Result<(), SignatureError> {
        match self.digest {
            None if length == 0 => Ok(()),
            None => Err(SignatureError::BodyFieldMissing("content-digest")),
            Some(_) if length > 0 && !self.typed => Err(SignatureError::BodyFieldMissing("content-type")),
            Some(digest) if digest == *sha256 => Ok(()),
            Some(_) => Err(SignatureError::DigestMismatch),
        }
    }
}

/// The one member of a dictionary field, and its label.
fn read_member(text: &str, field: &'static str) -> Result<(Key, ListEntry), SignatureError> {
    if text.len() > INPUT_BYTES_MAX {
        return Err(SignatureError::Malformed(field));
    }
    let members: Dictionary = Parser::new(text).parse().map_err(|_| SignatureError::Malformed(field))?;
    let mut members = members.into_iter();
    match (members.next(), members.next()) {
        (Some(member), None) => Ok(member),
        (None, _) => Err(SignatureError::Missing(field)),
        (Some(_), Some(_)) => Err(SignatureError::NotSingle(field)),
    }
}

/// The label, the list of components with its parameters, and the list in canonical form.
///
/// The whole field must be in that form: a parser lets the last of two members of one name win, which is how two readers
/// see two signatures.
fn read_input(text: &str) -> Result<(Key, InnerList, String), SignatureError> {
    let malformed = SignatureError::Malformed(INPUT);
    let (label, ListEntry::InnerList(list)) = read_member(text, INPUT)? else { return Err(malformed) };
    let mut serializer = DictSerializer::new();
    let mut inner = serializer.inner_list(&label);
    inner.items(&list.items);
    let _ = inner.finish().parameters(&list.params);
    let canonical = serializer.finish().ok_or(malformed)?;
    let rest = canonical.strip_prefix(label.as_str()).and_then(|rest| rest.strip_prefix('='));
    let rest = rest.filter(|_| canonical == text).ok_or(malformed)?.to_owned();
    Ok((label, list, rest))
}

fn read_value(text: &str, label: &Key) -> Result<[u8; 64], SignatureError> {
    let malformed = SignatureError::Malformed(VALUE);
    let (found, entry) = read_member(text, VALUE)?;
    if found != *label {
        return Err(SignatureError::LabelMismatch);
    }
    let ListEntry::Item(item) = entry else { return Err(malformed) };
    let bytes = item.bare_item.as_byte_sequence().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let bytes = bytes.ok_or(malformed)?;
    let mut serializer = DictSerializer::new();
    let _ = serializer.bare_item(label, bytes.as_slice());
    if serializer.finish().as_deref() == Some(text) { Ok(bytes) } else { Err(malformed) }
}

fn read_components(head: &Head<'_>, list: &InnerList) -> Result<Vec<Component>, SignatureError> {
    let mut components = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let name = item.bare_item.as_string().ok_or(SignatureError::Malformed(INPUT))?;
        if !item.params.is_empty() {
            return Err(SignatureError::ComponentParameter);
        }
        let component = Component::parse(name.as_str()).ok_or(SignatureError::ComponentUnknown)?;
        if components.contains(&component) {
            return Err(SignatureError::ComponentRepeated(component.name()));
        }
        components.push(component);
    }
    let required = Component::required(head);
    if let Some(absent) = required.iter().find(|component| !components.contains(component)) {
        return Err(SignatureError::ComponentMissing(absent.name()));
    }
    // A field that was covered and is there no more: it was removed on the way.
    if components.len() > required.len() {
        return Err(SignatureError::ComponentUnknown);
    }
    Ok(components)
}

fn read_parameters(list: &InnerList, now: i64) -> Result<Parameters, SignatureError> {
    const KNOWN: [&str; 6] = ["created", "expires", "nonce", "keyid", "tag", "alg"];
    if list.params.keys().any(|name| !KNOWN.contains(&name.as_str())) {
        return Err(SignatureError::ParameterUnknown);
    }
    let take = |name: &'static str| {
        let value = list.params.iter().find(|(known, _)| known.as_str() == name);
        value.map(|(_, value)| value).ok_or(SignatureError::ParameterMissing(name))
    };
    let seconds = |name| {
        let value = take(name)?.as_integer().map(i64::from);
        value.ok_or(SignatureError::TimeMalformed(name))
    };
    let tag = take("tag")?;
    if tag.as_string().map(StringRef::as_str) != Some(TAG) {
        return Err(SignatureError::TagWrong);
    }
    if let Ok(algorithm) = take("alg")
        && algorithm.as_string().map(StringRef::as_str) != Some(ALGORITHM)
    {
        return Err(SignatureError::AlgorithmUnsupported);
    }
    let visible = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    let text = |value: &BareItem| value.as_string().map(|text| text.as_str().to_owned());
    let nonce = text(take("nonce")?).filter(|nonce| {
        (NONCE_CHARACTERS_MIN..=NONCE_CHARACTERS_MAX).contains(&nonce.len()) && nonce.bytes().all(visible)
    });
    let nonce = nonce.ok_or(SignatureError::NonceMalformed)?;
    let key_id = take("keyid")?.as_string().and_then(|id| KeyId::parse(id.as_str()).ok());
    let key_id = key_id.ok_or(SignatureError::KeyIdMalformed)?;
    let (created, expires) = (seconds("created")?, seconds("expires")?);
    if !(now - AGE_SECONDS_MAX..=now + AHEAD_SECONDS_MAX).contains(&created) {
        return Err(SignatureError::CreatedOutsideWindow);
    }
    if !(1..=LIFETIME_SECONDS_MAX).contains(&(expires - created)) {
        return Err(SignatureError::LifetimeOutOfRange);
    }
    if expires < now {
        return Err(SignatureError::Expired);
    }
    Ok(Parameters { created, expires, nonce, key_id })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
