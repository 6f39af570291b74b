//! The door: every request but those to public routes is signed (`specs/http.md`, Authentication), and its client's role
//! must be one that the route is for. What passes has a [`Caller`].
//!
//! An application without a [`Door`] takes its clients at their word: it is for whoever embeds it. `serve` always has one.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::directory::{Directory, Holder};
use crate::domain::{Bin, ClientId, Role, Scope};
use crate::keys::BookKeys;
use crate::ledger::signed::{Nonce, SignedRequest};
use crate::signature::{Claim, Head, SignatureError, Signed};

use super::App;
use super::access::{Route, Who};
use super::catalogue::Code;
use super::problem::Problem;
use super::rate;

/// What an unsigned or badly signed request is told to do (RFC 9421, section 5.1).
const ACCEPT_SIGNATURE: &str =
    r#"sig1=("@method" "@target-uri");created;expires;nonce;keyid;alg="ed25519";tag="social-wallet-v1""#;

/// The service's address as its clients know it, which they sign: a scheme and a host, and a port if it is not the scheme's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// It is not an address of that form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a public address is https:// or http://, a host in lower case and a port if it is not the scheme's own, like https://ledger.example.kz"
)]
pub struct PublicUrlError;

impl PublicUrl {
    /// The address of a service that is reached where it listens, by `https` or `http`.
    #[must_use]
    pub fn of(scheme: &str, address: SocketAddr) -> Self {
        let own_port = if scheme == "https" { 443 } else { 80 };
        let host = match address {
            SocketAddr::V6(address) if address.port() == own_port => format!("[{}]", address.ip()),
            address if address.port() == own_port => address.ip().to_string(),
            address => address.to_string(),
        };
        Self(format!("{scheme}://{host}"))
    }

    /// Reads `https://host[:port]` or `http://host[:port]`, with nothing after it.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let uri: Uri = text.parse().map_err(|_| PublicUrlError)?;
        let (scheme, host) = text.split_once("://").ok_or(PublicUrlError)?;
        let own_port = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return Err(PublicUrlError),
        };
        let bare = uri.authority().is_some_and(|authority| authority.as_str() == host) && !host.contains('@');
        let plain = !host.ends_with(own_port) && !host.bytes().any(|byte| byte.is_ascii_uppercase());
        if bare && plain { Ok(Self(text.to_owned())) } else { Err(PublicUrlError) }
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What the door needs to know.
pub struct Door {
    /// Who may sign.
    pub directory: Directory,
    /// What clients sign requests to.
    pub public_url: PublicUrl,
    /// The clock: UTC milliseconds.
    pub now: fn() -> i64,
}

/// Who sends a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Which client.
    pub client: ClientId,
    /// What it was let in by; `None` if clients are taken at their word.
    pub admission: Option<Arc<Admission>>,
}

/// What a client was let in by.
#[derive(Debug)]
pub struct Admission {
    /// What the client is.
    pub role: Role,
    /// What of the book it may touch.
    pub scope: Scope,
    /// The head of the request, verified: key, nonce, expiry, signature base and signature.
    pub signed: Signed,
}

impl Caller {
    /// Whether it may act for this payer, and see what is that payer's. A payer may for itself; who is let in under another
    /// role is not bound to one.
    #[must_use]
    pub fn acts_for(&self, payer: Bin) -> bool {
        match self.admission.as_deref() {
            Some(Admission { role: Role::Payer, scope, .. }) => scope.bin() == Some(payer),
            _ => true,
        }
    }

    /// Refuses a request in another payer's name.
    pub(super) fn must_act_for(&self, payer: Bin) -> Result<(), Problem> {
        if self.acts_for(payer) {
            return Ok(());
        }
        let detail = "The payer is not the one that this client is registered for.";
        Err(Problem::new(Code::PayerNotYours, detail).with("field", json!("payer")))
    }

    /// Whether it may see what this client has done.
    #[must_use]
    pub fn sees_acts_of(&self, client: &str) -> bool {
        let all = self.role().is_none_or(|role| matches!(role, Role::Auditor | Role::Operator));
        all || self.client.as_str() == client
    }

    /// Who issues the orders that it sends; `None`: it sends none.
    #[must_use]
    pub fn issuer(&self) -> Option<Bin> {
        match self.admission.as_deref() {
            Some(Admission { role: Role::Authority, scope: Scope::Authority(bin, _), .. }) => Some(*bin),
            _ => None,
        }
    }

    /// Whether it may see the orders of this issuer: an authority its own, auditors and operators all.
    #[must_use]
    pub fn sees_orders_of(&self, issuer: Bin) -> bool {
        match self.role() {
            Some(Role::Authority) => self.issuer() == Some(issuer),
            role => role.is_none_or(|role| matches!(role, Role::Auditor | Role::Operator)),
        }
    }

    /// What its entries name the request by: SHA-256 of the signature base followed by the signature, which a request that
    /// is not signed does not have; of such a one, the body's.
    #[must_use]
    pub fn request_digest(&self, body: &[u8]) -> [u8; 32] {
        match self.admission.as_deref() {
            Some(Admission { signed, .. }) => {
                Sha256::new().chain_update(&signed.base).chain_update(signed.signature).finalize().into()
            }
            None => Sha256::digest(body).into(),
        }
    }

    /// What is kept of the request if it writes.
    pub(super) fn signed_request(&self, keys: &BookKeys, body: &[u8]) -> Option<Box<SignedRequest>> {
        let Signed { key_id, nonce, expires, base, signature, .. } = &self.admission.as_ref()?.signed;
        // A nonce under another expiry is the nonce of another signature.
        let digest = Sha256::new()
            .chain_update(key_id.as_str())
            .chain_update([0])
            .chain_update(nonce)
            .chain_update([0])
            .chain_update(expires.to_be_bytes())
            .finalize();
        let id = digest[..16].try_into().expect("16 of 32 bytes");
        Some(Box::new(SignedRequest {
            nonce: Nonce { expires: *expires, id },
            key: *key_id,
            signature: *signature,
            sealed: keys.seal_request(signature, base, body).into(),
        }))
    }

    /// Its role; `None` if clients are taken at their word.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.admission.as_ref().map(|admission| admission.role)
    }
}

/// What the door has found out. It is in every request that a handler sees.
#[derive(Clone)]
struct Entered(Caller);

/// Who sends a request that is not public.
pub(super) fn caller(request: &Request) -> Result<Caller, Problem> {
    entered(request.extensions())
}

fn entered(extensions: &axum::http::Extensions) -> Result<Caller, Problem> {
    match extensions.get::<Entered>() {
        Some(Entered(caller)) => Ok(caller.clone()),
        None => Err(Problem::internal(&"a handler asks who calls, and its route is public")),
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        entered(&parts.extensions)
    }
}

/// What checks the body of a request when it has been read: `None` if the request is not signed.
pub(super) fn admission(request: &Request) -> Option<Arc<Admission>> {
    entered(request.extensions()).ok()?.admission
}

/// The layer of each route.
pub(super) async fn enter(
    State((app, route)): State<(Arc<App>, &'static Route)>,
    mut request: Request,
    next: Next,
) -> Response {
    let Who::Clients(roles) = route.who else { return next.run(request).await };
    let caller = match &app.door {
        None => Ok(at_its_word(request.headers())),
        Some(door) => match claim(door, &request) {
            Ok(claim) => admit(door, route, roles, claim).await,
            Err(problem) => Err(problem.into()),
        },
    };
    match caller {
        Ok(caller) => {
            let client = caller.client;
            request.extensions_mut().insert(Entered(caller));
            rate::limited(&app.rate, client, next.run(request)).await
        }
        Err(Refused { problem, suspended: Some(caller) }) if route.method != "GET" => {
            // When it is reinstated, nobody must find what it was refused carried out by sending it again.
            let spend = async {
                let spent = app.spend(caller.signed_request(&app.keys, b"").as_deref()).await;
                spent.map_or_else(Problem::into_response, |()| problem.into_response())
            };
            rate::limited(&app.rate, caller.client, spend).await
        }
        Err(Refused { problem, .. }) => problem.into_response(),
    }
}

/// What a request says of its signature. Apart from [`admit`], since a body cannot be shared while something is waited for.
fn claim(door: &Door, request: &Request) -> Result<Claim, Problem> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let target_uri = format!("{}{path}", door.public_url);
    let head =
        Head { method: request.method().as_str(), target_uri: &target_uri, headers: request.headers() };
    let now = (door.now)().div_euclid(1_000);
    Claim::read(&head, now).map_err(|error| unauthorized(error, &door.public_url))
}

/// Why a request was not let in.
struct Refused {
    problem: Problem,
    /// Who sent it, if it was signed by a client that is suspended.
    suspended: Option<Caller>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, suspended: None }
    }
}

async fn admit(door: &Door, route: &Route, roles: &[Role], claim: Claim) -> Result<Caller, Refused> {
    let unsigned = |error| unauthorized(error, &door.public_url);
    let found = door.directory.find(&claim.key_id()).await.map_err(Problem::from)?;
    let Holder { client, verifying_key, .. } = found.ok_or_else(|| unsigned(SignatureError::KeyUnknown))?;
    let signed = claim.verify(&verifying_key).map_err(unsigned)?;
    let admission = Admission { role: client.role, scope: client.scope, signed };
    let caller = Caller { client: client.id, admission: Some(Arc::new(admission)) };
    if client.suspended {
        let detail = "The client is suspended: none of its requests is accepted. Ask the operator.";
        let problem = Problem::new(Code::ClientSuspended, detail);
        return Err(Refused { problem, suspended: Some(caller) });
    }
    if !roles.contains(&client.role) {
        return Err(route.refusal().into());
    }
    Ok(caller)
}

/// 401, with what a signature must be.
fn unauthorized(error: SignatureError, public_url: &PublicUrl) -> Problem {
    let mut problem = Problem::new(Code::from(error), error.to_string());
    if let Some(field) = error.field() {
        problem = problem.with("field", json!(field));
    }
    if error == SignatureError::Invalid {
        problem = problem.with("public_url", json!(public_url.to_string()));
    }
    let challenge =
        [(header::WWW_AUTHENTICATE.as_str(), "Signature"), ("accept-signature", ACCEPT_SIGNATURE)];
    challenge.into_iter().fold(problem, |problem, (name, value)| problem.header(name, value))
}

/// 401: the body is not the one that was signed.
pub(super) fn body_refused(error: SignatureError) -> Problem {
    Problem::new(Code::from(error), error.to_string())
        .with("field", json!(error.field()))
        .header("www-authenticate", "Signature")
}

/// Who calls, taken at its word.
fn at_its_word(headers: &HeaderMap) -> Caller {
    let name = headers.get("social-wallet-client").and_then(|name| ClientId::parse(name.to_str().ok()?).ok());
    let nobody = || ClientId::parse("anonymous").expect("a client id of the documented form");
    Caller { client: name.unwrap_or_else(nobody), admission: None }
}

impl From<SignatureError> for Code {
    fn from(error: SignatureError) -> Self {
        use SignatureError as Error;
        match error {
            Error::Missing(_) => Self::SignatureMissing,
            Error::FieldRepeated(_) => Self::SignatureFieldRepeated,
            Error::Malformed(_) => Self::SignatureMalformed,
            Error::NotSingle(_) => Self::SignatureNotSingle,
            Error::LabelMismatch => Self::SignatureLabelMismatch,
            Error::ComponentMissing(_) => Self::SignatureComponentMissing,
            Error::ComponentUnknown => Self::SignatureComponentUnknown,
            Error::ComponentRepeated(_) => Self::SignatureComponentRepeated,
            Error::ComponentParameter => Self::SignatureComponentParameter,
            Error::ParameterMissing(_) => Self::SignatureParameterMissing,
            Error::ParameterUnknown => Self::SignatureParameterUnknown,
            Error::TimeMalformed(_) => Self::SignatureTimeMalformed,
            Error::NonceMalformed => Self::SignatureNonceMalformed,
            Error::KeyIdMalformed => Self::SignatureKeyidMalformed,
            Error::TagWrong => Self::SignatureTagWrong,
            Error::AlgorithmUnsupported => Self::SignatureAlgorithmUnsupported,
            Error::CreatedOutsideWindow => Self::SignatureCreatedOutsideWindow,
            Error::LifetimeOutOfRange => Self::SignatureLifetimeOutOfRange,
            Error::Expired => Self::SignatureExpired,
            Error::KeyUnknown => Self::SignatureKeyUnknown,
            Error::Invalid => Self::SignatureInvalid,
            Error::BodyFieldMissing(_) => Self::SignatureBodyFieldMissing,
            Error::DigestMalformed => Self::ContentDigestMalformed,
            Error::DigestMismatch => Self::ContentDigestMismatch,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn where_a_service_listens_is_an_address_that_can_be_signed() {
        for (scheme, address, url) in [
            ("http", "127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http", "127.0.0.1:443", "http://127.0.0.1:443"),
            ("https", "192.0.2.1:443", "https://192.0.2.1"),
            ("https", "[::1]:443", "https://[::1]"),
            ("https", "[::1]:8443", "https://[::1]:8443"),
        ] {
            let made = PublicUrl::of(scheme, address.parse().unwrap());
            assert_eq!((made.to_string().as_str(), PublicUrl::parse(url)), (url, Ok(made)));
        }
    }

    #[test]
    fn a_public_address_has_one_spelling() {
        for text in
            ["https://ledger.example.kz", "http://127.0.0.1:8080", "https://[::1]:8443", "http://a:443"]
        {
            assert_eq!(PublicUrl::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "ledger.example.kz",
            "ftp://ledger.example.kz",
            "https://",
            "https://ledger.example.kz/",
            "https://ledger.example.kz/path",
            "https://ledger.example.kz?a",
            "https://Ledger.example.kz",
            "HTTPS://ledger.example.kz",
            "https://ledger.example.kz:443",
            "http://ledger.example.kz:80",
            "https://me@ledger.example.kz",
        ] {
            assert_eq!(PublicUrl::parse(text), Err(PublicUrlError), "{text}");
        }
    }
}
