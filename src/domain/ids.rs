//! Names that the service or its clients give: wallets, batches, books, clients, requests.

use std::fmt;

use thiserror::Error;
use uuid::Uuid;

use super::inline::Inline;
use super::serde_text::{deserialized_by, serialized_by_display, shown_by_as_str};

/// Why a text is not one of the ids of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// Not a UUID in its hyphenated lower-case form.
    #[error("the id is not a UUID in hyphenated lower case")]
    Uuid,
    /// Not `[a-z0-9][a-z0-9._-]{0,31}`.
    #[error("the client id is not 1 to 32 lower-case letters, digits, points, underscores and hyphens")]
    Client,
    /// Not 1 to 64 visible ASCII characters without `"` and `\`.
    #[error("the idempotency key is not 1 to 64 visible ASCII characters without quotes and backslashes")]
    IdempotencyKey,
}

/// Reads the one canonical spelling, so that two texts never name one thing.
fn parse_uuid(text: &str) -> Result<Uuid, IdError> {
    let uuid = Uuid::try_parse(text).map_err(|_| IdError::Uuid)?;
    let mut canonical = Uuid::encode_buffer();
    if *uuid.hyphenated().encode_lower(&mut canonical) == *text { Ok(uuid) } else { Err(IdError::Uuid) }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Uuid);

        impl $type {
            /// Reads a UUID in hyphenated lower case, its only spelling here.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parse_uuid(text).map(Self)
            }

            /// Names it by this UUID.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(formatter)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($type), "({})"), self.0)
            }
        }

        serialized_by_display!($type);
        deserialized_by!($type, $type::parse);
    };
}

uuid_id! {
    /// The public id of a wallet.
    WalletId
}
uuid_id! {
    /// The id of a batch of payroll lines.
    BatchId
}
uuid_id! {
    /// The id of a book: one whole ledger.
    BookId
}

/// The name of a client of the service, `[a-z0-9][a-z0-9._-]{0,31}`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(Inline<32>);

impl ClientId {
    /// Reads `[a-z0-9][a-z0-9._-]{0,31}`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let follows = |byte: u8| begins(byte) || matches!(byte, b'.' | b'_' | b'-');
        if !text.bytes().next().is_some_and(begins) || !text.bytes().all(follows) {
            return Err(IdError::Client);
        }
        Inline::new(text.as_bytes()).map(Self).ok_or(IdError::Client)
    }

    /// 1 to 32 ASCII characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

shown_by_as_str!(ClientId, "ClientId");
serialized_by_display!(ClientId);
deserialized_by!(ClientId, ClientId::parse);

/// The name that a client gives to a write, so that a repeated request is known for what it is. 1 to 64 visible ASCII
/// characters without `"` and `\`, so that it needs no escaping in a header, a log leaf or a shell.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    const LENGTH_MAX: usize = 64;

    /// Reads 1 to 64 visible ASCII characters without `"` and `\`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if text.is_empty() || text.len() > Self::LENGTH_MAX || !text.bytes().all(allowed) {
            return Err(IdError::IdempotencyKey);
        }
        Ok(Self(text.to_owned()))
    }

    /// 1 to 64 ASCII characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

shown_by_as_str!(IdempotencyKey, "IdempotencyKey");
serialized_by_display!(IdempotencyKey);
deserialized_by!(IdempotencyKey, IdempotencyKey::parse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_one_spelling() {
        let text = "0191e3a0-7c3b-7def-8123-456789abcdef";
        let id = WalletId::parse(text).unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(format!("{id:?}"), format!("WalletId({text})"));
        assert_eq!(serde_json::from_str::<WalletId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        for other in [
            "",
            "0191E3A0-7C3B-7DEF-8123-456789ABCDEF",
            "0191e3a07c3b7def8123456789abcdef",
            "{0191e3a0-7c3b-7def-8123-456789abcdef}",
            "urn:uuid:0191e3a0-7c3b-7def-8123-456789abcdef",
        ] {
            assert_eq!(WalletId::parse(other), Err(IdError::Uuid), "{other}");
        }
    }

    #[test]
    fn a_client_id_is_short_and_lower_case() {
        for text in ["a", "ministry-of-labour", "0.bank_1", &"a".repeat(32)] {
            assert_eq!(ClientId::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "-a", ".a", "A", "a b", "a/b", "ж", &"a".repeat(33)] {
            assert_eq!(ClientId::parse(text), Err(IdError::Client), "{text}");
        }
    }

    #[test]
    fn an_idempotency_key_needs_no_escaping_anywhere() {
        for text in ["a", "2026-11/ASP#1", "~!@$%^&*()", &"k".repeat(64)] {
            assert_eq!(IdempotencyKey::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "a b", "a\"b", "a\\b", "a\tb", "a\nb", "ключ", &"k".repeat(65)] {
            assert_eq!(IdempotencyKey::parse(text), Err(IdError::IdempotencyKey), "{text:?}");
        }
    }
}
