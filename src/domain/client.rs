//! Who may call the service: clients, what each may see, and the public keys that they sign with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::bank::Bic;
use super::ids::ClientId;
use super::inline::Inline;
use super::number::Bin;
use super::order::Issuer;
use super::serde_text::{deserialized_by, serialized_by_display, shown_by_as_str};

/// Why a text is not one of the values of this file, or a scope does not fit its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClientError {
    /// Not one of the six roles.
    #[error("the role is none of payer, bank, channel, authority, auditor, operator")]
    Role,
    /// A payer without a BIN, a bank without a BIC, or another role with either.
    #[error(
        "the scope does not fit the role: a payer has a bin, an authority a bin and what it is as an issuer, a bank has a bic, \
         others have none"
    )]
    Scope,
    /// Not a client id, a colon and 16 lower-case hexadecimal digits.
    #[error("the key id is not a client id, a colon and 16 lower-case hexadecimal digits")]
    KeyId,
    /// Not 32 bytes in padded base64, not a point of the curve, or one of the few points that any signature fits.
    #[error("the public key is not an Ed25519 public key of 32 bytes in base64")]
    PublicKey,
}

/// What a client is to the service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Pays benefits of its own programmes.
    Payer,
    /// Sends and receives transfers of its customers.
    Bank,
    /// Acts for holders, who authorise it: eGov Mobile, 1414.
    Channel,
    /// Issues orders against wallets.
    Authority,
    /// Reads everything, moves nothing.
    Auditor,
    /// Runs the service.
    Operator,
}

impl Role {
    /// All roles, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Payer, Self::Bank, Self::Channel, Self::Authority, Self::Auditor, Self::Operator];

    /// Reads the role's name.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(ClientError::Role)
    }

    /// The role's name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payer => "payer",
            Self::Bank => "bank",
            Self::Channel => "channel",
            Self::Authority => "authority",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
        }
    }
}

shown_by_as_str!(Role, "Role");
serialized_by_display!(Role);
deserialized_by!(Role, Role::parse);

/// What of the book a client may touch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// A payer: the programmes that name its BIN as their payer.
    Payer(Bin),
    /// A bank: what comes to its BIC or leaves from it.
    Bank(Bic),
    /// An authority: its own orders, of the kinds that what it is in law may give.
    Authority(Bin, Issuer),
    /// The other roles: whatever the role may do, in the whole book.
    Book,
}

impl Scope {
    /// The scope of a role: a payer has a BIN, an authority a BIN and what it is as an issuer, a bank a BIC, others have
    /// nothing; and none has more.
    pub fn of(
        role: Role,
        bin: Option<Bin>,
        bic: Option<Bic>,
        issuer: Option<Issuer>,
    ) -> Result<Self, ClientError> {
        match (role, bin, bic, issuer) {
            (Role::Payer, Some(bin), None, None) => Ok(Self::Payer(bin)),
            (Role::Authority, Some(bin), None, Some(issuer)) => Ok(Self::Authority(bin, issuer)),
            (Role::Bank, None, Some(bic), None) => Ok(Self::Bank(bic)),
            (Role::Channel | Role::Auditor | Role::Operator, None, None, None) => Ok(Self::Book),
            _ => Err(ClientError::Scope),
        }
    }

    /// The BIN of a payer or an authority.
    #[must_use]
    pub const fn bin(self) -> Option<Bin> {
        match self {
            Self::Payer(bin) | Self::Authority(bin, _) => Some(bin),
            Self::Bank(_) | Self::Book => None,
        }
    }

    /// The BIC of a bank.
    #[must_use]
    pub const fn bic(self) -> Option<Bic> {
        match self {
            Self::Bank(bic) => Some(bic),
            Self::Payer(_) | Self::Authority(..) | Self::Book => None,
        }
    }

    /// What an authority is as an issuer of orders.
    #[must_use]
    pub const fn issuer(self) -> Option<Issuer> {
        match self {
            Self::Authority(_, issuer) => Some(issuer),
            Self::Payer(_) | Self::Bank(_) | Self::Book => None,
        }
    }
}

/// A registered client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// What it is.
    pub role: Role,
    /// What it may touch. It fits the role.
    pub scope: Scope,
    /// Whether none of its requests is accepted for now.
    pub suspended: bool,
}

/// An Ed25519 public key (RFC 8032): a point of the curve, and none of those few that any signature would fit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Takes 32 bytes that are such a key.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, ClientError> {
        match VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(bytes)),
            _ => Err(ClientError::PublicKey),
        }
    }

    /// Reads padded base64 (RFC 4648, section 4).
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let bytes = BASE64.decode(text).map_err(|_| ClientError::PublicKey)?;
        Self::from_bytes(bytes.try_into().map_err(|_| ClientError::PublicKey)?)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// SHA-256 of the 32 bytes.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(&BASE64.encode(self.0))
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PublicKey({self})")
    }
}

serialized_by_display!(PublicKey);
deserialized_by!(PublicKey, PublicKey::parse);

/// The name of a key, the `keyid` of a signature: its client, a colon, and the first 16 hexadecimal digits of the key's
/// fingerprint. `[a-z0-9][a-z0-9._-]{0,31}:[0-9a-f]{16}`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Inline<49>);

impl KeyId {
    /// Reads a client id, a colon and 16 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let (client, digits) = text.split_once(':').ok_or(ClientError::KeyId)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if ClientId::parse(client).is_err() || digits.len() != 16 || !digits.bytes().all(is_digit) {
            return Err(ClientError::KeyId);
        }
        Inline::new(text.as_bytes()).map(Self).ok_or(ClientError::KeyId)
    }

    /// The name of a client's key.
    #[must_use]
    pub fn of(client: ClientId, key: &PublicKey) -> Self {
        let text = format!("{client}:{}", hex::encode(&key.fingerprint()[..8]));
        Self(Inline::new(text.as_bytes()).expect("32 characters, a colon and 16 are 49"))
    }

    /// The client that it names.
    #[must_use]
    pub fn client(&self) -> ClientId {
        let (client, _) = self.as_str().split_once(':').expect("`parse` and `of` let no other in");
        ClientId::parse(client).expect("`parse` and `of` let no other in")
    }

    /// 18 to 49 ASCII characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

shown_by_as_str!(KeyId, "KeyId");
serialized_by_display!(KeyId);
deserialized_by!(KeyId, KeyId::parse);

#[cfg(test)]
mod tests {
    use super::*;

    /// The public key of RFC 8032, section 7.1, test 1.
    const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    #[test]
    fn a_public_key_has_one_spelling_and_weak_ones_are_refused() {
        let key = PublicKey::parse(KEY).unwrap();
        assert_eq!(key.to_string(), KEY);
        assert_eq!(serde_json::from_str::<PublicKey>(&format!("\"{KEY}\"")).unwrap(), key);
        let short = BASE64.encode([1; 31]);
        let long = BASE64.encode([1; 33]);
        let off_curve = BASE64.encode([2; 32]);
        let mut identity = [0; 32];
        identity[0] = 1;
        let weak = BASE64.encode(identity);
        for text in ["", &KEY[..43], &KEY.replace('/', "_"), &KEY.replace("Ro=", "Rp="), &short, &long, &weak]
        {
            assert_eq!(PublicKey::parse(text), Err(ClientError::PublicKey), "{text}");
        }
        assert_eq!(PublicKey::parse(&off_curve), Err(ClientError::PublicKey), "not on the curve");
    }

    #[test]
    fn a_key_id_names_its_client_and_the_keys_fingerprint() {
        let key = PublicKey::parse(KEY).unwrap();
        for name in ["a", "ministry-of-labour", &"a".repeat(32)] {
            let client = ClientId::parse(name).unwrap();
            let id = KeyId::of(client, &key);
            assert_eq!(id.as_str(), format!("{name}:21fe31dfa154a261"));
            assert_eq!(id.client(), client);
            assert_eq!(KeyId::parse(id.as_str()), Ok(id));
        }
        let digits = "21fe31dfa154a261";
        for text in [
            digits.to_owned(),
            format!(":{digits}"),
            format!("A:{digits}"),
            format!("a:{}", &digits[1..]),
            format!("a:{digits}0"),
            format!("a:{}", digits.to_uppercase()),
            format!("{}:{digits}", "a".repeat(33)),
            format!("a:b:{digits}"),
        ] {
            assert_eq!(KeyId::parse(&text), Err(ClientError::KeyId), "{text}");
        }
    }

    #[test]
    fn a_scope_fits_its_role_and_no_other() {
        let bin = Bin::parse(b"940140000385").unwrap();
        let bic = Bic::parse(b"CASPKZKA").unwrap();
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Ok(role));
            for given in 0..8 {
                let [has_bin, has_bank, has_issuer] = [1, 2, 4].map(|bit| given & bit != 0);
                let fits = match role {
                    Role::Payer => has_bin && !has_bank && !has_issuer,
                    Role::Authority => has_bin && !has_bank && has_issuer,
                    Role::Bank => has_bank && !has_bin && !has_issuer,
                    Role::Channel | Role::Auditor | Role::Operator => given == 0,
                };
                let issuer = has_issuer.then_some(Issuer::Bailiff);
                let scope = Scope::of(role, has_bin.then_some(bin), has_bank.then_some(bic), issuer);
                assert_eq!(scope.is_ok(), fits, "{role} {given}");
                if let Ok(scope) = scope {
                    assert_eq!((scope.bin().is_some(), scope.bic().is_some()), (has_bin, has_bank));
                    assert_eq!(scope.issuer(), issuer);
                }
            }
        }
        assert_eq!(Role::parse("Operator"), Err(ClientError::Role));
    }
}
