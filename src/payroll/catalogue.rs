//! The benefit programmes of `specs/programmes.json`: what the demo, the generator and a new book start from. A
//! ministry can change every one of these facts, so none of them is code.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::domain::{Amount, Bin, FundClass, IsoPurpose, Kbe, Knp, LegalBasis, Names, ProgrammeCode};

/// A benefit programme and where each fact about it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Programme {
    /// Its short code.
    pub code: ProgrammeCode,
    /// Its names.
    pub names: Names,
    /// The body that pays.
    pub payer_bin: Bin,
    /// The law that it rests on.
    pub legal_basis: LegalBasis,
    /// Whether its money is shielded.
    pub class: FundClass,
    /// The payment purpose code, if known.
    pub knp: Option<Knp>,
    /// The beneficiary code, if known.
    pub kbe: Option<Kbe>,
    /// The ISO 20022 purpose, if one fits.
    pub iso_purpose: Option<IsoPurpose>,
    /// The least that generated payrolls pay.
    pub amount_min: Amount,
    /// The most that generated payrolls pay.
    pub amount_max: Amount,
    /// Its share of the lines of a generated payroll, against the sum of all weights.
    pub weight: u32,
    /// Per field, where the fact comes from and how sure it is.
    pub source: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "about")]
    _about: Vec<String>,
    programmes: Vec<Programme>,
}

/// The programmes, in the order of the file.
#[must_use]
pub fn catalogue() -> &'static [Programme] {
    static CATALOGUE: LazyLock<Vec<Programme>> = LazyLock::new(|| {
        let file: File = serde_json::from_str(include_str!("../../specs/programmes.json"))
            .expect("the file is compiled in, and a test reads this very text");
        file.programmes
    });
    &CATALOGUE
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_catalogue_has_the_thirteen_programmes_with_distinct_codes() {
        let codes: BTreeSet<_> = catalogue().iter().map(|programme| programme.code).collect();
        assert_eq!(catalogue().len(), 13);
        assert_eq!(codes.len(), 13);
    }

    #[test]
    fn every_fact_says_where_it_comes_from() {
        for programme in catalogue() {
            let json = serde_json::to_value(programme).unwrap();
            for field in json.as_object().unwrap().keys().filter(|field| *field != "source") {
                assert!(programme.source.contains_key(field), "{} of {}", field, programme.code);
            }
        }
    }

    #[test]
    fn benefits_are_protected_and_their_amounts_and_weights_can_be_drawn_from() {
        for programme in catalogue() {
            assert_eq!(programme.class, FundClass::Protected);
            assert!(programme.amount_min < programme.amount_max);
            assert!(programme.weight > 0);
        }
    }
}
