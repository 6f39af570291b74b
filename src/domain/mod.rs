//! Parsed values: past this room there is no raw string for a number, an amount or a code.
//!
//! Every type here is made by `parse` (or by a checked constructor), so holding one is the proof that the rule in
//! its doc comment holds. `Deserialize` goes through the same `parse`, and no error, of ours or of serde, repeats
//! the text that it refused: a mistyped field may hold a person's number.
//!
//! The room is pure: no clock, no randomness, no input or output, and it imports no other room.

mod bank;
mod blot;
mod client;
mod destination;
mod funds;
mod ids;
mod inline;
mod money;
mod number;
mod order;
mod period;
mod programme;
mod serde_text;
pub mod strict_json;
mod text;
pub mod time;

pub use bank::{Bic, BicError, Iban, IbanError};
pub use blot::blotted;
pub use client::{Client, ClientError, KeyId, PublicKey, Role, Scope};
pub use destination::{CardToken, Destination, DestinationError, DestinationForm, LastFour, has_card_number};
pub use funds::{FundClass, IsoPurpose, Kbe, Knp, PaymentCodeError};
pub use ids::{BatchId, BookId, ClientId, IdError, IdempotencyKey, WalletId};
pub use money::{Amount, AmountError, Currency, CurrencyError, Money};
pub use number::{Bin, Iin, NumberError, has_person_number};
pub use order::{
    Day, DebtType, DocumentNumber, EnforcementDocument, Issuer, OrderDocument, OrderError, OrderKind,
    OrderPurpose, Reach,
};
pub use period::{Part, PartError, Period, PeriodError};
pub use programme::{CodeError, Names, ProgrammeCode};
pub use text::{BankReference, LegalBasis, Reason, Text, TextError};
