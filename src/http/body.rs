//! Reading a JSON body field by field, so that a refusal names the field, and says nothing of what stood in it.

use serde_json::{Map, Value, json};

use crate::domain::strict_json::Strict;
use crate::domain::{
    Amount, AmountError, Currency, Iin, NumberError, Text, has_card_number, has_person_number,
};

use super::catalogue::Code;
use super::problem::Problem;

/// A body's members, taken one by one. The default is a body without any.
#[derive(Default)]
pub struct Body {
    members: Map<String, Value>,
}

impl Body {
    /// Reads a JSON object. Repeated members are refused: two readers must not see two commands.
    pub fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let malformed = |line, column| {
            Problem::new(Code::BodyMalformed, "The body is not a JSON object.")
                .with("line", json!(line))
                .with("column", json!(column))
        };
        match serde_json::from_slice::<Strict>(bytes) {
            Ok(Strict(Value::Object(members))) => Ok(Self { members }),
            Ok(_) => Err(malformed(1, 0)),
            Err(error) => Err(malformed(error.line(), error.column())),
        }
    }

    /// The members of an object within a body; `None`: it is no object.
    #[must_use]
    pub fn of(value: Value) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Self { members }),
            _ => None,
        }
    }

    /// All members, for who reads them in another way.
    #[must_use]
    pub fn into_members(self) -> Map<String, Value> {
        self.members
    }

    /// Whether a member is there, and is not null.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes a member that may be absent or null.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text member that may be absent, and parses it.
    pub fn optional<T, E>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => parse(&text).map(Some).map_err(|_| malformed(name)),
            Some(_) => Err(malformed(name)),
        }
    }

    /// Takes a text for people to read, if it is there. The number of a card or of a person in it is refused: it would stand in
    /// the log for ever.
    pub fn free_text<const MAX: usize>(&mut self, name: &'static str) -> Result<Option<Text<MAX>>, Problem> {
        let text = self.optional(name, Text::<MAX>::parse)?;
        if text.as_ref().is_some_and(|text| has_card_number(text.as_str())) {
            let detail = "A card's number has no place in a text that is kept. Nothing was done.";
            return Err(Problem::malformed(Code::CardNumberRefused, name, detail));
        }
        if text.as_ref().is_some_and(|text| has_person_number(text.as_str())) {
            let detail =
                "What may be a person's number has no place in a text that is kept. Nothing was done.";
            return Err(Problem::malformed(Code::PersonNumberRefused, name, detail));
        }
        Ok(text)
    }

    /// The same of a text that must be there.
    pub fn required_free_text<const MAX: usize>(&mut self, name: &'static str) -> Result<Text<MAX>, Problem> {
        self.free_text(name)?.ok_or_else(|| missing(name))
    }

    /// Takes a text member that must be there, and parses it.
    pub fn required<T, E>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Problem> {
        self.optional(name, parse)?.ok_or_else(|| missing(name))
    }

    /// Takes the number of a person.
    pub fn iin(&mut self) -> Result<Iin, Problem> {
        let text = self.required("iin", |text| Ok::<_, ()>(text.to_owned()))?;
        Iin::parse(text.as_bytes()).map_err(|error| match error {
            NumberError::Malformed => {
                Problem::malformed(Code::IinMalformed, "iin", "An IIN has twelve digits.")
            }
            NumberError::CheckDigit => Problem::malformed(
                Code::IinCheckDigit,
                "iin",
                "The IIN's check digit is wrong: a digit is mistyped.",
            ),
        })
    }

    /// Takes an amount and its currency.
    pub fn amount(&mut self) -> Result<Amount, Problem> {
        let text = self.required("amount", |text| Ok::<_, ()>(text.to_owned()))?;
        let amount = Amount::parse(text.as_bytes()).map_err(|error| {
            let (code, detail) = match error {
                AmountError::Malformed => {
                    (Code::AmountMalformed, "An amount is a plain decimal number like 12345.67.")
                }
                AmountError::Scale => (Code::AmountScale, "An amount has at most two decimals."),
                AmountError::Zero => (Code::AmountZero, "An amount is above zero."),
                AmountError::Negative => (Code::AmountNegative, "An amount is above zero."),
                AmountError::TooLarge => (Code::AmountTooLarge, "An amount is at most 999999999999.99."),
            };
            Problem::malformed(code, "amount", detail)
        })?;
        self.currency()?;
        Ok(amount)
    }

    /// Takes the currency, which is always KZT.
    pub fn currency(&mut self) -> Result<(), Problem> {
        let text = self.required("currency", |text| Ok::<_, ()>(text.to_owned()))?;
        Currency::parse(text.as_bytes())
            .map(|_| ())
            .map_err(|_| Problem::malformed(Code::CurrencyUnsupported, "currency", "The currency is KZT."))
    }

    /// Takes a list of texts, each parsed; sorted, without repetition. Absent is empty.
    pub fn list<T: Ord, E>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, Problem> {
        let Some(value) = self.take(name) else { return Ok(Vec::new()) };
        let Value::Array(items) = value else { return Err(malformed(name)) };
        let read =
            |item: &Value| item.as_str().and_then(|text| parse(text).ok()).ok_or_else(|| malformed(name));
        let set: std::collections::BTreeSet<T> = items.iter().map(read).collect::<Result<_, _>>()?;
        Ok(set.into_iter().collect())
    }

    /// Takes a whole number.
    pub fn integer(&mut self, name: &'static str) -> Result<Option<u64>, Problem> {
        self.take(name).map(|value| value.as_u64().ok_or_else(|| malformed(name))).transpose()
    }

    /// Takes a truth value; absent is false.
    pub fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        self.take(name).map_or(Ok(false), |value| value.as_bool().ok_or_else(|| malformed(name)))
    }

    /// Nothing may be left. The name that is left is not repeated: it is the client's text.
    pub fn finish(self) -> Result<(), Problem> {
        if self.members.is_empty() {
            return Ok(());
        }
        let detail = "The body has a member that this request does not know.";
        Err(Problem::new(Code::FieldUnknown, detail))
    }
}

/// 400: a member is not what it must be.
#[must_use]
pub fn malformed(name: &str) -> Problem {
    Problem::malformed(
        Code::FieldMalformed,
        name,
        format!("The member {name} is not of the documented form."),
    )
}

/// 400: a member must be there.
#[must_use]
pub fn missing(name: &str) -> Problem {
    Problem::malformed(Code::FieldMissing, name, format!("The member {name} is missing."))
}
