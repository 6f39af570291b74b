//! Serde for values that travel as JSON strings: out by `Display`, in through `parse`.

use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Reads a string and parses it.
///
/// Serde's own type errors quote the number or boolean that they met; these do not, because a person's number
/// sent as a JSON number must not come back in an error.
pub(super) fn deserialize<'de, D, T, E, P>(deserializer: D, parse: P) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: Display,
    P: FnOnce(&str) -> Result<T, E>,
{
    // Asked for a string, serde_json would itself quote a number that it met instead; asked for anything, it hands the
    // number to the visitor, which keeps silent.
    deserializer.deserialize_any(TextVisitor { parse, value: PhantomData })
}

struct TextVisitor<P, T> {
    parse: P,
    value: PhantomData<T>,
}

const NOT_A_STRING: &str = "expected a string";

impl<T, E, P> Visitor<'_> for TextVisitor<P, T>
where
    E: Display,
    P: FnOnce(&str) -> Result<T, E>,
{
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<F: Error>(self, text: &str) -> Result<T, F> {
        (self.parse)(text).map_err(F::custom)
    }

    fn visit_bool<F: Error>(self, _: bool) -> Result<T, F> {
        Err(F::custom(NOT_A_STRING))
    }

    fn visit_i64<F: Error>(self, _: i64) -> Result<T, F> {
        Err(F::custom(NOT_A_STRING))
    }

    fn visit_i128<F: Error>(self, _: i128) -> Result<T, F> {
        Err(F::custom(NOT_A_STRING))
    }

    fn visit_u64<F: Error>(self, _: u64) -> Result<T, F> {
        Err(F::custom(NOT_A_STRING))
    }

    fn visit_u128<F: Error>(self, _: u128) -> Result<T, F> {
        Err(F::custom(NOT_A_STRING))
    }

    fn visit_f64<F: Error>(self, _: f64) -> Result<T, F> {
        Err(F::custom(NOT_A_STRING))
    }
}

/// `Display` and `Debug` by `as_str`, for public values.
macro_rules! shown_by_as_str {
    ($type:ty, $name:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, concat!($name, "({})"), self.as_str())
            }
        }
    };
}

/// `Serialize` by `Display`.
macro_rules! serialized_by_display {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

/// `Deserialize` of a JSON string through a parser of `&str`.
macro_rules! deserialized_by {
    ($type:ty, $parse:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::domain::serde_text::deserialize(deserializer, $parse)
            }
        }
    };
}

pub(super) use {deserialized_by, serialized_by_display, shown_by_as_str};

#[cfg(test)]
mod tests {
    use crate::domain::{Amount, Iin};

    #[test]
    fn a_refused_json_value_is_never_repeated_in_the_error() {
        for json in
            ["830717350860", "-830717350860", "\"830717350860\"", "83071735086.5", "8307173508608307173508"]
        {
            let number = serde_json::from_str::<Iin>(json).unwrap_err().to_string();
            let amount = serde_json::from_str::<Amount>(&format!("[{json}]")).unwrap_err().to_string();
            assert!(!number.contains("83071735"), "{number}");
            assert!(!amount.contains("83071735"), "{amount}");
        }
        assert!(
            serde_json::from_str::<Iin>("true").unwrap_err().to_string().starts_with("expected a string")
        );
        assert!(serde_json::from_str::<Iin>("null").is_err());
    }
}
