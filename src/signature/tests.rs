//! The vectors of RFC 9421, and every way to cheat.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::domain::ClientId;
use crate::signature::{
    AGE_SECONDS_MAX, AHEAD_SECONDS_MAX, LIFETIME_SECONDS_MAX, Signer, base, content_digest,
};

const NOW: i64 = 1_795_244_400;
const URI: &str = "https://ledger.example.kz/v1/accruals?a=1&b=%20";
const BODY: &[u8] = br#"{"amount":"1.00"}"#;
const NONCE: &str = "0123456789abcdef";
const KEY_ID: &str = "ministry:fe812c12f3ab4ce6";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// A request as it arrives.
#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    uri: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn signed_by(key: SigningKey, body: &[u8], created: i64, nonce: &str) -> Request {
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("payday-1"));
    }
    let signer = Signer::new(ClientId::parse("ministry").unwrap(), key).unwrap();
    let method = if body.is_empty() { "GET" } else { "POST" };
    signer.sign(method, URI, &mut headers, body, created, nonce);
    Request { method, uri: URI.to_owned(), headers, body: body.to_vec() }
}

fn write() -> Request {
    signed_by(key(), BODY, NOW, NONCE)
}

fn read() -> Request {
    signed_by(key(), b"", NOW, NONCE)
}

impl Request {
    fn verify_at(&self, now: i64) -> Result<Signed, SignatureError> {
        let head = Head { method: self.method, target_uri: &self.uri, headers: &self.headers };
        let signed = Claim::read(&head, now)?.verify(&key().verifying_key())?;
        signed.check_body(&Sha256::digest(&self.body).into(), self.body.len())?;
        Ok(signed)
    }

    fn verify(&self) -> Result<Signed, SignatureError> {
        self.verify_at(NOW)
    }

    #[track_caller]
    fn refused(&self, error: SignatureError) {
        assert_eq!(self.verify().map(|_| ()), Err(error), "{self:?}");
    }

    fn field(&self, name: &HeaderName) -> String {
        self.headers[name].to_str().unwrap().to_owned()
    }

    fn set(&mut self, name: &HeaderName, value: &str) {
        self.headers.insert(name.clone(), HeaderValue::from_str(value).unwrap());
    }

    /// Changes what the signature says of itself, and signs it anew: only the profile can refuse it then.
    fn resigned(&self, change: impl FnOnce(&str) -> String) -> Self {
        let mut request = self.clone();
        let input = self.field(&SIGNATURE_INPUT);
        let parameters = change(input.strip_prefix("sig1=").unwrap());
        request.sign_list(&parameters);
        request
    }

    /// Signs as a client does that covers whatever stands in its list.
    fn sign_list(&mut self, parameters: &str) {
        let list = &parameters[1..parameters.find(')').unwrap()];
        let mut lines = Vec::new();
        for name in list.split(' ').map(|item| item.split(';').next().unwrap().trim_matches('"')) {
            let value = match name {
                "@method" => self.method.to_owned(),
                "@target-uri" => self.uri.clone(),
                "@authority" => "ledger.example.kz".to_owned(),
                name => self.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned(),
            };
            lines.push((name, value));
        }
        let lines: Vec<(&str, &str)> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let signature = key().sign(base::of_lines(&lines, parameters).as_bytes());
        self.set(&SIGNATURE_INPUT, &format!("sig1={parameters}"));
        self.set(&SIGNATURE, &format!("sig1=:{}:", BASE64.encode(signature.to_bytes())));
    }
}

/// RFC 9421, appendix B.2.6, with the key of B.1.4.
#[test]
fn the_vector_of_the_rfc() {
    const SECRET: &str = "n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=";
    const PUBLIC: &str = "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
    const PARAMETERS: &str = "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")\
         ;created=1618884473;keyid=\"test-key-ed25519\"";
    const SIGNED: &str =
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    let lines = [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("@method", "POST"),
        ("@path", "/foo"),
        ("@authority", "example.com"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ];
    let base = base::of_lines(&lines, PARAMETERS);
    let key = SigningKey::from_bytes(&BASE64.decode(SECRET).unwrap().try_into().unwrap());
    assert_eq!(BASE64.encode(key.verifying_key().as_bytes()), PUBLIC);
    let signature = key.sign(base.as_bytes());
    assert_eq!(BASE64.encode(signature.to_bytes()), SIGNED);
    key.verifying_key().verify_strict(base.as_bytes(), &signature).unwrap();

    // That request is well signed, and not as our profile asks.
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-length", "18"),
        ("signature-input", &format!("sig-b26={PARAMETERS}")),
        ("signature", &format!("sig-b26=:{SIGNED}:")),
    ] {
        headers
            .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let head =
        Head { method: "POST", target_uri: "https://example.com/foo?param=Value&Pet=dog", headers: &headers };
    assert_eq!(Claim::read(&head, 1_618_884_473), Err(SignatureError::ComponentUnknown));
}

/// Our own vector: what a client in another language can be held to. It stands in `specs/http.md`.
#[test]
fn our_own_vector() {
    let request = write();
    let signed = request.verify().unwrap();
    assert_eq!(
        signed.base,
        "\"@method\": POST\n\"@target-uri\": https://ledger.example.kz/v1/accruals?a=1&b=%20\n\
         \"content-digest\": sha-256=:7NS+sH1InNyZm6fEDl2G0uQz48UkirCM82ioXJP7gEA=:\n\
         \"content-type\": application/json\n\"idempotency-key\": payday-1\n\
         \"@signature-params\": (\"@method\" \"@target-uri\" \"content-digest\" \"content-type\" \"idempotency-key\")\
         ;created=1795244400;expires=1795244700;nonce=\"0123456789abcdef\";keyid=\"ministry:fe812c12f3ab4ce6\"\
         ;alg=\"ed25519\";tag=\"social-wallet-v1\""
    );
    assert_eq!(
        request.field(&SIGNATURE),
        "sig1=:w3qQMHl8psJSnG7ZScvu7gCT0TD00viPamkOuWKkJ2lY6i9zibv4BF5wEvfg8O5DupSp7By2x41ewzrE/zP7DQ==:"
    );
    assert_eq!((signed.key_id.as_str(), signed.nonce.as_str()), (KEY_ID, NONCE));
    assert_eq!((signed.created, signed.expires), (NOW, NOW + 300));
    assert!(read().verify().unwrap().base.starts_with("\"@method\": GET\n\"@target-uri\": https://"));
}

#[test]
fn a_label_an_order_and_the_algorithm_are_free() {
    let label = |text: String| text.replace("sig1=", "my-bank.7=");
    let mut request = write();
    for name in [SIGNATURE_INPUT, SIGNATURE] {
        let value = label(request.field(&name));
        request.set(&name, &value);
    }
    request.verify().unwrap();
    write()
        .resigned(|list| list.replace(r#""@method" "@target-uri""#, r#""@target-uri" "@method""#))
        .verify()
        .unwrap();
    write().resigned(|list| list.replace(r#";alg="ed25519""#, "")).verify().unwrap();
    write().resigned(|list| list.replace(r#";alg="ed25519""#, "") + r#";alg="ed25519""#).verify().unwrap();
}

#[test]
fn an_unsigned_request_is_refused() {
    for name in [SIGNATURE_INPUT, SIGNATURE] {
        let mut request = write();
        request.headers.remove(&name);
        let name = if name == SIGNATURE { "signature" } else { "signature-input" };
        request.refused(SignatureError::Missing(name));
        request.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(""));
        request.refused(SignatureError::Missing(name));
    }
}

#[test]
fn a_field_that_was_signed_cannot_be_removed() {
    for name in [super::super::CONTENT_DIGEST, CONTENT_TYPE, IDEMPOTENCY_KEY] {
        let mut request = write();
        request.headers.remove(&name);
        request.refused(SignatureError::ComponentUnknown);
    }
}

#[test]
fn a_field_that_is_signed_when_there_cannot_be_added() {
    for (name, text) in [
        (super::super::CONTENT_DIGEST, content_digest(b"")),
        (CONTENT_TYPE, "text/csv".to_owned()),
        (IDEMPOTENCY_KEY, "other".to_owned()),
    ] {
        let mut request = read();
        request.set(&name, &text);
        let field = request.verify().unwrap_err().field().unwrap();
        assert_eq!(field, name.as_str());
        request.refused(SignatureError::ComponentMissing(field));
    }
}

#[test]
fn no_field_can_be_changed() {
    for (name, text) in [
        (super::super::CONTENT_DIGEST, content_digest(b"other")),
        (CONTENT_TYPE, "text/csv".to_owned()),
        (IDEMPOTENCY_KEY, "payday-2".to_owned()),
    ] {
        let mut request = write();
        request.set(&name, &text);
        request.refused(SignatureError::Invalid);
    }
}

#[test]
fn no_field_can_be_there_twice() {
    let all = [super::super::CONTENT_DIGEST, CONTENT_TYPE, IDEMPOTENCY_KEY, SIGNATURE_INPUT, SIGNATURE];
    for name in all {
        let mut request = write();
        let value = request.headers[&name].clone();
        request.headers.append(name.clone(), value);
        let error = request.verify().unwrap_err();
        assert!(matches!(error, SignatureError::FieldRepeated(_)), "{error:?}");
        assert_eq!(error.field(), Some(name.as_str()));
    }
}

#[test]
fn a_field_outside_ascii_is_refused() {
    for name in [super::super::CONTENT_DIGEST, CONTENT_TYPE, IDEMPOTENCY_KEY, SIGNATURE_INPUT, SIGNATURE] {
        let mut request = write();
        request.headers.insert(name.clone(), HeaderValue::from_bytes("sig1=é".as_bytes()).unwrap());
        let error = request.verify().unwrap_err();
        assert!(matches!(error, SignatureError::Malformed(_)), "{error:?}");
        assert_eq!(error.field(), Some(name.as_str()));
    }
}

#[test]
fn the_method_the_host_the_path_and_the_query_are_signed() {
    let mut request = write();
    request.method = "PUT";
    request.refused(SignatureError::Invalid);
    for uri in [
        "http://ledger.example.kz/v1/accruals?a=1&b=%20",
        "https://ledger.example.org/v1/accruals?a=1&b=%20",
        "https://ledger.example.kz:444/v1/accruals?a=1&b=%20",
        "https://ledger.example.kz/v1/reversals?a=1&b=%20",
        "https://ledger.example.kz/v1/accruals?b=%20&a=1",
        "https://ledger.example.kz/v1/accruals?a=1&b=+",
        "https://ledger.example.kz/v1/accruals",
    ] {
        let mut request = write();
        uri.clone_into(&mut request.uri);
        request.refused(SignatureError::Invalid);
    }
}

#[test]
fn the_body_is_signed() {
    for body in [b"{}".as_slice(), b""] {
        let mut request = write();
        request.body = body.to_vec();
        request.refused(SignatureError::DigestMismatch);
    }
    let mut request = read();
    request.body = b"{}".to_vec();
    request.refused(SignatureError::BodyFieldMissing("content-digest"));
    // Signed with a digest, but without a type.
    let mut request = write();
    request.headers.remove(CONTENT_TYPE);
    request
        .resigned(|list| list.replace(r#" "content-type""#, ""))
        .refused(SignatureError::BodyFieldMissing("content-type"));
    // A digest that is signed and is none.
    let mut request = write();
    request.set(&super::super::CONTENT_DIGEST, "sha-512=:AA==:");
    request.resigned(ToOwned::to_owned).refused(SignatureError::DigestMalformed);
}

#[test]
fn another_key_or_a_key_of_small_order_does_not_verify() {
    signed_by(SigningKey::from_bytes(&[8; 32]), BODY, NOW, NONCE).refused(SignatureError::Invalid);
    // The neutral point with R neutral and s = 0 satisfies the equation for every message, unless it is checked strictly.
    let neutral = {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        bytes
    };
    let mut request = write();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&neutral);
    request.set(&SIGNATURE, &format!("sig1=:{}:", BASE64.encode(signature)));
    let head = Head { method: request.method, target_uri: &request.uri, headers: &request.headers };
    let claim = Claim::read(&head, NOW).unwrap();
    let key = VerifyingKey::from_bytes(&neutral).unwrap();
    assert_eq!(claim.verify(&key), Err(SignatureError::Invalid));
}

#[test]
fn a_signature_has_one_spelling() {
    let mut request = write();
    let value = request.field(&SIGNATURE);
    let changed = |change: &dyn Fn(&str) -> String| change(&value);
    for text in [
        changed(&|it| it.replace("==:", ":")),
        changed(&|it| format!("{it};a")),
        changed(&|it| it.replace("sig1=:", "sig1=\"").trim_end_matches(':').to_owned() + "\""),
        changed(&|it| format!("{it},{it}")), // the last member of one name wins in a parser
        "sig1=:AAAA:".to_owned(),
        "sig1=(:AAAA:)".to_owned(),
        "=".to_owned(),
    ] {
        request.set(&SIGNATURE, &text);
        request.refused(SignatureError::Malformed("signature"));
    }
    request.set(&SIGNATURE, &value.replace("sig1", "sig2"));
    request.refused(SignatureError::LabelMismatch);
}

#[test]
fn what_is_signed_has_one_spelling() {
    let mut request = write();
    let input = request.field(&SIGNATURE_INPUT);
    for text in [
        input.replace(' ', "  "),
        input.replace(';', "; "),
        format!("{input},{input}"), // one label twice
        format!("{input};created={NOW}"),
        input.replace(&format!("created={NOW}"), &format!("created=0{NOW}")),
        input.replace("sig1=(", "sig1=\""),
        format!("sig1=\"x\"{}", &input[input.find(')').unwrap() + 1..]),
        input.replace("\"@method\"", "@method"),
        input.replace("\"@method\"", "token"),
    ] {
        request.set(&SIGNATURE_INPUT, &text);
        request.refused(SignatureError::Malformed("signature-input"));
    }
}

#[test]
fn there_is_one_signature() {
    for name in [SIGNATURE_INPUT, SIGNATURE] {
        let mut request = write();
        let value = request.field(&name);
        request.set(&name, &format!("{value}, {}", value.replace("sig1", "sig2")));
        let error = request.verify().unwrap_err();
        assert!(matches!(error, SignatureError::NotSingle(_)), "{error:?}");
        assert_eq!(error.field(), Some(name.as_str()));
    }
}

#[test]
fn exactly_the_components_of_the_profile_are_covered() {
    for name in ["@method", "@target-uri", "content-digest", "content-type", "idempotency-key"] {
        let without = |list: &str| {
            list.replacen(&format!("\"{name}\""), "", 1)
                .replace("( ", "(")
                .replace("  ", " ")
                .replace(" )", ")")
        };
        let error = write().resigned(without).verify().unwrap_err();
        assert!(matches!(error, SignatureError::ComponentMissing(_)), "{error:?}");
        assert_eq!(error.field(), Some(name));
        let twice = |list: &str| list.replace(')', &format!(" \"{name}\")"));
        let error = write().resigned(twice).verify().unwrap_err();
        assert!(matches!(error, SignatureError::ComponentRepeated(_)), "{error:?}");
        assert_eq!(error.field(), Some(name));
        for parameter in ["sf", "key=\"a\"", "bs", "req", "tr"] {
            let with =
                |list: &str| list.replacen(&format!("\"{name}\""), &format!("\"{name}\";{parameter}"), 1);
            write().resigned(with).refused(SignatureError::ComponentParameter);
        }
    }
    for name in ["@authority", "@path", "@query-param", "@status", "date", "Content-Type", "", "accept"] {
        let with = |list: &str| list.replace(')', &format!(" \"{name}\")"));
        write().resigned(with).refused(SignatureError::ComponentUnknown);
    }
    // Nothing of a read may be covered that it does not carry.
    read().resigned(|list| list.replace(')', " \"content-type\")")).refused(SignatureError::ComponentUnknown);
}

#[test]
fn exactly_the_parameters_of_the_profile_are_given() {
    for name in ["created", "expires", "nonce", "keyid", "tag"] {
        let without = |list: &str| {
            let (components, parameters) = list.split_once(')').unwrap();
            let kept = parameters.split(';').filter(|it| !it.starts_with(&format!("{name}=")));
            format!("{components}){}", kept.collect::<Vec<_>>().join(";"))
        };
        write().resigned(without).refused(SignatureError::ParameterMissing(name));
    }
    for more in ["x=1", "context=\"a\"", "nonce2=\"a\""] {
        write().resigned(|list| format!("{list};{more}")).refused(SignatureError::ParameterUnknown);
    }
}

#[test]
fn the_tag_and_the_algorithm_are_ours() {
    let tag = format!("\"{TAG}\"");
    for other in ["\"social-wallet-v2\"", "\"\"", "social-wallet-v1", "1"] {
        write().resigned(|list| list.replace(&tag, other)).refused(SignatureError::TagWrong);
    }
    for other in ["\"hmac-sha256\"", "\"Ed25519\"", "ed25519", "\"none\""] {
        write()
            .resigned(|list| list.replace("\"ed25519\"", other))
            .refused(SignatureError::AlgorithmUnsupported);
    }
}

#[test]
fn the_window_of_created_is_held_to_the_second() {
    let created = |offset: i64| signed_by(key(), BODY, NOW + offset, NONCE);
    for inside in [-AGE_SECONDS_MAX, 1 - AGE_SECONDS_MAX, 0, AHEAD_SECONDS_MAX - 1, AHEAD_SECONDS_MAX] {
        created(inside).verify().unwrap();
    }
    for outside in [-AGE_SECONDS_MAX - 1, AHEAD_SECONDS_MAX + 1, -NOW, 999_999_999_999_999 - NOW - 300] {
        created(outside).refused(SignatureError::CreatedOutsideWindow);
    }
    for text in ["1.5", "\"1795244400\"", "?0", "@1795244400"] {
        let other = |list: &str| list.replace(&format!("created={NOW}"), &format!("created={text}"));
        write().resigned(other).refused(SignatureError::TimeMalformed("created"));
    }
}

#[test]
fn the_lifetime_is_held_to_the_second() {
    let expires = |lifetime: i64| {
        let (from, to) = (format!("expires={}", NOW + 300), format!("expires={}", NOW + lifetime));
        write().resigned(|list| list.replace(&from, &to))
    };
    for inside in [1, LIFETIME_SECONDS_MAX - 1, LIFETIME_SECONDS_MAX] {
        expires(inside).verify().unwrap();
    }
    for outside in [-1, 0, LIFETIME_SECONDS_MAX + 1, -NOW - 999_999_999_999_999] {
        expires(outside).refused(SignatureError::LifetimeOutOfRange);
    }
    let short = expires(10);
    short.verify_at(NOW + 9).unwrap();
    short.verify_at(NOW + 10).unwrap();
    assert_eq!(short.verify_at(NOW + 11), Err(SignatureError::Expired));
    let text = format!("expires={}", NOW + 300);
    write()
        .resigned(|list| list.replace(&text, "expires=1.0"))
        .refused(SignatureError::TimeMalformed("expires"));
}

#[test]
fn a_nonce_has_16_to_64_visible_characters() {
    let nonce = |text: &str| signed_by(key(), BODY, NOW, text);
    for length in [16, 17, 63, 64] {
        nonce(&"n".repeat(length)).verify().unwrap();
    }
    for length in [0, 15, 65] {
        nonce(&"n".repeat(length)).refused(SignatureError::NonceMalformed);
    }
    for text in ["0123456789 abcdef", r"0123456789\\abcdef", r#"0123456789\"abcdef"#] {
        nonce(text).refused(SignatureError::NonceMalformed);
    }
    let token = |list: &str| list.replace(&format!("\"{NONCE}\""), "a123456789abcdef");
    write().resigned(token).refused(SignatureError::NonceMalformed);
}

#[test]
fn a_key_id_names_a_client_and_a_fingerprint() {
    let id = |text: &str| write().resigned(|list| list.replace(KEY_ID, text));
    for length in [1, 31, 32] {
        let text = format!("{}:fe812c12f3ab4ce6", "k".repeat(length));
        assert_eq!(id(&text).verify().unwrap().key_id.as_str(), text);
    }
    let long = format!("{}:fe812c12f3ab4ce6", "k".repeat(33));
    for text in ["", "ministry", "a b:fe812c12f3ab4ce6", "ministry:fe812c12f3ab4ce", &long] {
        id(text).refused(SignatureError::KeyIdMalformed);
    }
}

#[test]
fn the_fields_of_a_signature_have_at_most_1024_bytes() {
    let labelled = |length: usize| {
        let mut request = write();
        let rest = request.field(&SIGNATURE_INPUT).strip_prefix("sig1").unwrap().to_owned();
        let label = "l".repeat(length - rest.len());
        let value = request.field(&SIGNATURE).replace("sig1", &label);
        request.set(&SIGNATURE_INPUT, &format!("{label}{rest}"));
        request.set(&SIGNATURE, &value);
        request
    };
    labelled(INPUT_BYTES_MAX - 1).verify().unwrap();
    labelled(INPUT_BYTES_MAX).verify().unwrap();
    labelled(INPUT_BYTES_MAX + 1).refused(SignatureError::Malformed("signature-input"));
}

#[test]
fn no_secret_is_shown() {
    let signer = Signer::new(ClientId::parse("ministry").unwrap(), key()).unwrap();
    assert_eq!(format!("{signer:?}"), format!("Signer {{ key_id: KeyId({KEY_ID}), .. }}"));
}
