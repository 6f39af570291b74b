//! The members of an order as they were written, and what they say.
//!
//! An order whose number and date can be read is known by them: whatever else is wrong with it is decided (`malformed`), and is an
//! entry that names the first member at fault. One without them is nothing that could be named, and is refused.
//!
//! An enforcement document and a purpose are another's words, and may name persons and cards: their numbers are blotted out before
//! anything is kept, committed to or shown. Refusing the order for it would be no answer to its issuer.

use serde_json::{Map, Value};

use crate::domain::time::parse_rfc3339;
use crate::domain::{
    Amount, Currency, Day, DebtType, DocumentNumber, EnforcementDocument, Iin, OrderDocument, OrderKind,
    OrderPurpose, Part, Period, ProgrammeCode, blotted,
};
use crate::ledger::order::{MalformedField, Overpaid};

/// A member of an order.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Member<T> {
    /// It is not there, or is null, or is an empty field of a row.
    #[default]
    Absent,
    /// It is there.
    Said(T),
    /// It is there, and is not of the kind that it must be.
    Wrong,
}

/// The members of an order, each as it was written.
#[derive(Clone, Default)]
#[allow(missing_docs)] // the members are those of `specs/order-file.md`
pub struct Fields {
    pub number: Member<String>,
    pub date: Member<String>,
    pub kind: Member<String>,
    pub iin: Member<String>,
    pub amount: Member<String>,
    pub currency: Member<String>,
    pub expires: Member<String>,
    pub enforcement_document: Member<String>,
    pub purpose: Member<String>,
    pub tax_debt: Member<TaxDebtFields>,
    pub overpaid: Member<OverpaidFields>,
    pub lifts: Member<DocumentFields>,
    /// Whether there is a member that orders do not have.
    pub unknown: bool,
}

/// The members of a tax debt.
#[derive(Clone, Default)]
#[allow(missing_docs)]
pub struct TaxDebtFields {
    pub kind: Member<String>,
    pub met_elsewhere: Member<bool>,
}

/// The members that name an accrual.
#[derive(Clone, Default)]
#[allow(missing_docs)]
pub struct OverpaidFields {
    pub programme: Member<String>,
    pub period: Member<String>,
    pub part: Member<u64>,
}

/// The members that name another order of the same issuer.
#[derive(Clone, Default)]
#[allow(missing_docs)]
pub struct DocumentFields {
    pub number: Member<String>,
    pub date: Member<String>,
}

/// A tax debt as an order says it.
#[derive(Clone, PartialEq, Eq)]
pub struct SaidDebt {
    /// What kind of debt.
    pub kind: DebtType,
    /// Whether it was met elsewhere.
    pub met_elsewhere: bool,
}

/// What an order says.
#[derive(Clone, PartialEq, Eq)]
pub struct Said {
    /// What it asks for.
    pub kind: OrderKind,
    /// The debtor.
    pub iin: Iin,
    /// How much.
    pub amount: Option<Amount>,
    /// What it rests on.
    pub enforcement_document: EnforcementDocument,
    /// What it is for.
    pub purpose: OrderPurpose,
    /// Until when it stands, UTC milliseconds.
    pub expires: Option<i64>,
    /// The debt of a tax authority's collection.
    pub debt: Option<SaidDebt>,
    /// What an overpayment is recovered of.
    pub overpaid: Option<Overpaid>,
    /// The issuer's own order that it lifts, or carries out.
    pub lifts: Option<OrderDocument>,
}

/// An order that can be named: what it says, or the first member that cannot be read.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// Its number and date.
    pub document: OrderDocument,
    /// The rest of it.
    pub said: Result<Said, MalformedField>,
}

/// Why an order cannot be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unnamed {
    /// `number` or `date`.
    pub field: &'static str,
    /// Whether it is not there at all.
    pub missing: bool,
}

impl<T> Member<T> {
    fn read<U>(self, read: impl FnOnce(T) -> Option<U>) -> Result<Option<U>, ()> {
        match self {
            Self::Absent => Ok(None),
            Self::Said(value) => read(value).map(Some).ok_or(()),
            Self::Wrong => Err(()),
        }
    }

    fn needed<U>(self, read: impl FnOnce(T) -> Option<U>) -> Result<U, ()> {
        self.read(read)?.ok_or(())
    }

    pub(super) fn map<U>(self, map: impl FnOnce(T) -> Member<U>) -> Member<U> {
        match self {
            Self::Absent => Member::Absent,
            Self::Said(value) => map(value),
            Self::Wrong => Member::Wrong,
        }
    }
}

fn text(value: Value) -> Member<String> {
    if let Value::String(text) = value { Member::Said(text) } else { Member::Wrong }
}

fn flag(value: &Value) -> Member<bool> {
    if let Value::Bool(flag) = value { Member::Said(*flag) } else { Member::Wrong }
}

fn whole(value: &Value) -> Member<u64> {
    value.as_u64().map_or(Member::Wrong, Member::Said)
}

fn object(value: Value) -> Member<Map<String, Value>> {
    if let Value::Object(map) = value { Member::Said(map) } else { Member::Wrong }
}

/// Takes a member. What is null is not there.
fn take(map: &mut Map<String, Value>, name: &str) -> Member<Value> {
    map.remove(name).filter(|value| !value.is_null()).map_or(Member::Absent, Member::Said)
}

/// A value made of an object whose members were all taken.
fn whole_object<T>(rest: &Map<String, Value>, value: T) -> Member<T> {
    if rest.is_empty() { Member::Said(value) } else { Member::Wrong }
}

impl Fields {
    /// The members of a JSON object.
    #[must_use]
    pub fn of_json(mut map: Map<String, Value>) -> Self {
        let mut taken = |name: &str| take(&mut map, name);
        let [number, date, kind, iin, amount, currency, expires, enforcement_document, purpose] = [
            "number",
            "date",
            "kind",
            "iin",
            "amount",
            "currency",
            "expires",
            "enforcement_document",
            "purpose",
        ]
        .map(|name| taken(name).map(text));
        let tax_debt = taken("tax_debt").map(object).map(|mut map| {
            let kind = take(&mut map, "type").map(text);
            let met_elsewhere = take(&mut map, "met_elsewhere").map(|value| flag(&value));
            whole_object(&map, TaxDebtFields { kind, met_elsewhere })
        });
        let overpaid = taken("overpaid").map(object).map(|mut map| {
            let [programme, period] = ["programme", "period"].map(|name| take(&mut map, name).map(text));
            let part = take(&mut map, "part").map(|value| whole(&value));
            whole_object(&map, OverpaidFields { programme, period, part })
        });
        let lifts = taken("lifts").map(object).map(|mut map| {
            let [number, date] = ["number", "date"].map(|name| take(&mut map, name).map(text));
            whole_object(&map, DocumentFields { number, date })
        });
        Self {
            number,
            date,
            kind,
            iin,
            amount,
            currency,
            expires,
            enforcement_document,
            purpose,
            tax_debt,
            overpaid,
            lifts,
            unknown: !map.is_empty(),
        }
    }

    /// Reads them.
    pub fn read(self) -> Result<Written, Unnamed> {
        let named = |field: &'static str, member: &Member<String>| {
            let missing = matches!(member, Member::Absent);
            Unnamed { field, missing }
        };
        let (no_number, no_date) = (named("number", &self.number), named("date", &self.date));
        let number = self.number.clone().needed(|text| DocumentNumber::parse(&text).ok());
        let number = number.map_err(|()| no_number)?;
        let date = self.date.clone().needed(|text| Day::parse(&text).ok()).map_err(|()| no_date)?;
        if self.names_the_debtor(&number) {
            return Err(Unnamed { field: "number", missing: false });
        }
        Ok(Written { document: OrderDocument { number, date }, said: self.said() })
    }

    /// Whether the debtor's number stands in the document's: whoever is told of the order would be told of it.
    fn names_the_debtor(&self, number: &DocumentNumber) -> bool {
        let digits: String = number.as_str().chars().filter(char::is_ascii_digit).collect();
        matches!(&self.iin, Member::Said(iin) if Iin::parse(iin.as_bytes()).is_ok() && digits.contains(iin.as_str()))
    }

    /// Faults in the documented order.
    fn said(self) -> Result<Said, MalformedField> {
        use MalformedField as Fault;
        let Self { kind, iin, amount, currency, expires, enforcement_document, purpose, .. } = self;
        let kind = kind.needed(|text| OrderKind::parse(&text).ok()).map_err(|()| Fault::Kind)?;
        let iin = iin.needed(|text| Iin::parse(text.as_bytes()).ok()).map_err(|()| Fault::Iin)?;
        let amount = amount.read(|text| Amount::parse(text.as_bytes()).ok()).map_err(|()| Fault::Amount)?;
        let currency = currency.read(|text| Currency::parse(text.as_bytes()).ok());
        let currency = currency.map_err(|()| Fault::Currency)?;
        if amount.is_some() && currency.is_none() {
            return Err(Fault::Currency);
        }
        let enforcement_document = enforcement_document
            .needed(|text| EnforcementDocument::parse(&blotted(&text)).ok())
            .map_err(|()| Fault::EnforcementDocument)?;
        let purpose =
            purpose.needed(|text| OrderPurpose::parse(&blotted(&text)).ok()).map_err(|()| Fault::Purpose)?;
        let expires = expires.read(|text| parse_rfc3339(&text)).map_err(|()| Fault::Expires)?;
        let debt = self.tax_debt.read(debt).map_err(|()| Fault::TaxDebt)?;
        let overpaid = self.overpaid.read(overpaid).map_err(|()| Fault::Overpaid)?;
        let lifts = self.lifts.read(document).map_err(|()| Fault::Lifts)?;
        if self.unknown {
            return Err(Fault::Unknown);
        }
        Ok(Said { kind, iin, amount, enforcement_document, purpose, expires, debt, overpaid, lifts })
    }
}

fn debt(fields: TaxDebtFields) -> Option<SaidDebt> {
    let kind = fields.kind.needed(|text| DebtType::parse(&text).ok()).ok()?;
    let met_elsewhere = fields.met_elsewhere.read(Some).ok()?.unwrap_or(false);
    Some(SaidDebt { kind, met_elsewhere })
}

fn overpaid(fields: OverpaidFields) -> Option<Overpaid> {
    let programme = fields.programme.needed(|text| ProgrammeCode::parse(text.as_bytes()).ok()).ok()?;
    let period = fields.period.needed(|text| Period::parse(text.as_bytes()).ok()).ok()?;
    let part = fields.part.read(|part| u16::try_from(part).ok().and_then(Part::new)).ok()?;
    Some(Overpaid { programme, period, part: part.unwrap_or(Part::FIRST) })
}

fn document(fields: DocumentFields) -> Option<OrderDocument> {
    let number = fields.number.needed(|text| DocumentNumber::parse(&text).ok()).ok()?;
    let date = fields.date.needed(|text| Day::parse(&text).ok()).ok()?;
    Some(OrderDocument { number, date })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn collection() -> Value {
        json!({"number": "0427/2026", "date": "2026-11-20", "kind": "collection", "iin": "830717350867",
            "amount": "50000.00", "currency": "KZT", "enforcement_document": "Writ 2-1187/2026",
            "purpose": "Debt under the writ"})
    }

    fn read(body: Value) -> Result<Written, Unnamed> {
        let Value::Object(map) = body else { panic!("an object") };
        Fields::of_json(map).read()
    }

    fn fault(name: &str, value: Value) -> Option<&'static str> {
        let mut body = collection();
        body[name] = value;
        read(body).unwrap().said.err().map(MalformedField::as_str)
    }

    #[test]
    fn an_order_is_read_member_by_member() {
        let written = read(collection()).unwrap();
        assert_eq!(written.document.number.as_str(), "0427/2026");
        let said = written.said.ok().unwrap();
        assert_eq!((said.kind, said.amount.unwrap().tiyn()), (OrderKind::Collection, 5_000_000));
        let mut whole = collection();
        whole["expires"] = json!("2026-12-01T00:00:00Z");
        whole["tax_debt"] = json!({"type": "VAT", "met_elsewhere": true});
        whole["overpaid"] = json!({"programme": "ASP", "period": "2026-11"});
        whole["lifts"] = json!({"number": "1", "date": "2026-11-01"});
        let said = read(whole).unwrap().said.ok().unwrap();
        assert!(said.debt.unwrap().met_elsewhere && said.overpaid.unwrap().part == Part::FIRST);
        assert_eq!(said.lifts.unwrap().date.as_str(), "2026-11-01");
    }

    #[test]
    fn a_member_that_cannot_be_read_is_named_and_the_order_is_still_known_by_its_document() {
        for (name, value, field) in [
            ("kind", json!("seize"), "kind"),
            ("kind", json!(null), "kind"),
            ("iin", json!("830717350860"), "iin"),
            ("iin", json!(830_717_350_867_u64), "iin"),
            ("amount", json!("0.00"), "amount"),
            ("amount", json!(5), "amount"),
            ("currency", json!("USD"), "currency"),
            ("currency", json!(null), "currency"),
            ("enforcement_document", json!(""), "enforcement_document"),
            ("enforcement_document", json!("x".repeat(301)), "enforcement_document"),
            ("purpose", json!("x".repeat(501)), "purpose"),
            ("purpose", json!("a\nb"), "purpose"),
            ("expires", json!("tomorrow"), "expires"),
            ("tax_debt", json!("VAT"), "tax_debt"),
            ("tax_debt", json!({"type": "x".repeat(33)}), "tax_debt"),
            ("tax_debt", json!({"type": "VAT", "more": 1}), "tax_debt"),
            ("tax_debt", json!({"type": "VAT", "met_elsewhere": "yes"}), "tax_debt"),
            ("overpaid", json!({"programme": "ASP"}), "overpaid"),
            ("overpaid", json!({"programme": "ASP", "period": "once", "part": 0}), "overpaid"),
            ("overpaid", json!({"programme": "ASP", "period": "once", "part": 1000}), "overpaid"),
            ("lifts", json!({"number": "1"}), "lifts"),
            ("issuer", json!("940140000385"), "unknown"),
        ] {
            assert_eq!(fault(name, value.clone()), Some(field), "{name}: {value}");
        }
        for (name, value) in [
            ("enforcement_document", json!("ә".repeat(300))),
            ("purpose", json!("ә".repeat(500))),
            ("tax_debt", json!({"type": "x".repeat(32)})),
            ("overpaid", json!({"programme": "ASP", "period": "once", "part": 999})),
            ("amount", json!(null)),
        ] {
            assert_eq!(fault(name, value), None, "{name}");
        }
    }

    #[test]
    fn an_order_without_a_number_or_a_date_is_nothing_that_could_be_named() {
        for (name, value, missing) in [
            ("number", json!(null), true),
            ("number", json!("x".repeat(65)), false),
            ("number", json!("17/830717350867"), false),
            ("number", json!("8307 1735-0867/17"), false),
            ("number", json!(7), false),
            ("date", json!(null), true),
            ("date", json!("20.11.2026"), false),
        ] {
            let mut body = collection();
            body[name] = value;
            assert!(
                matches!(read(body), Err(Unnamed { field, missing: said }) if field == name && said == missing)
            );
        }
        let mut another = collection();
        another["number"] = json!("760212350620");
        assert!(read(another).is_ok(), "twelve digits that are not the debtor's number are a document's");
        let mut longest = collection();
        longest["number"] = json!("x".repeat(64));
        assert!(read(longest).is_ok());
    }

    #[test]
    fn invariant_11_numbers_of_persons_and_cards_in_texts_are_blotted_out() {
        let mut body = collection();
        body["enforcement_document"] = json!("Writ against 830717350867");
        body["purpose"] = json!("From 4400 4301 2345 6787 of 830717350867");
        let said = read(body).unwrap().said.ok().unwrap();
        assert_eq!(said.enforcement_document.as_str(), "Writ against ••••••••0867");
        assert_eq!(said.purpose.as_str(), "From •••• •••• •••• 6787 of ••••••••0867");
    }

    #[test]
    fn the_first_fault_in_the_documented_order_is_named() {
        let mut body = collection();
        for name in ["purpose", "amount", "iin"] {
            body[name] = json!("");
            assert_eq!(read(body.clone()).unwrap().said.err().map(MalformedField::as_str), Some(name));
        }
    }
}
