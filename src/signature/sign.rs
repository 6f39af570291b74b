//! Signing a request.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use http::header::{HeaderMap, HeaderValue};

use crate::domain::{ClientId, KeyId, PublicKey};

use super::base::{self, Component};
use super::{
    ALGORITHM, CONTENT_DIGEST, Head, LIFETIME_SECONDS_MAX, SIGNATURE, SIGNATURE_INPUT, TAG, content_digest,
};

/// The label of our own signatures.
const LABEL: &str = "sig1";

/// A client's key and its id. The key is not in its `Debug` output, and is wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Signer {
    key_id: KeyId,
    public: PublicKey,
    key: SigningKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Signer {
    /// Signs for a client with this key. `None` if its public key is one that any signature would fit.
    #[must_use]
    pub fn new(client: ClientId, key: SigningKey) -> Option<Self> {
        let public = PublicKey::from_bytes(key.verifying_key().to_bytes()).ok()?;
        Some(Self { key_id: KeyId::of(client, &public), public, key })
    }

    /// The id of the key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// Adds to a request's fields what makes it signed: `Content-Digest` if there is a body, `Signature-Input` and
    /// `Signature`. The fields that are covered must be there, each once. `created` is in seconds since 1970; the `nonce`
    /// is one that was never used, of 16 to 64 visible ASCII characters without `"` and `\`.
    pub fn sign(
        &self,
        method: &str,
        target_uri: &str,
        headers: &mut HeaderMap,
        body: &[u8],
        created: i64,
        nonce: &str,
    ) {
        if !body.is_empty() {
            headers.insert(CONTENT_DIGEST, visible(&content_digest(body)));
        }
        let (parameters, signature) = {
            let head = Head { method, target_uri, headers };
            let components = Component::required(&head);
            let parameters = self.parameters(&components, created, nonce);
            let base = base::of_request(&head, &components, &parameters)
                .expect("the fields that are required are there, and a client sets each once");
            (parameters, self.key.sign(base.as_bytes()).to_bytes())
        };
        headers.insert(SIGNATURE_INPUT, visible(&format!("{LABEL}={parameters}")));
        headers.insert(SIGNATURE, visible(&format!("{LABEL}=:{}:", BASE64.encode(signature))));
    }

    fn parameters(&self, components: &[Component], created: i64, nonce: &str) -> String {
        let names: Vec<String> = components.iter().map(|it| format!("\"{}\"", it.name())).collect();
        let expires = created + LIFETIME_SECONDS_MAX;
        let key_id = self.key_id;
        format!(
            r#"({});created={created};expires={expires};nonce="{nonce}";keyid="{key_id}";alg="{ALGORITHM}";tag="{TAG}""#,
            names.join(" ")
        )
    }
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("made of visible ASCII")
}
