//! What the keys make of an order: the tags that the journal knows it by, and its content, encrypted.
//!
//! | made | of | whoever is given its opening can show |
//! |---|---|---|
//! | the order's tag | issuer, number, date | that a decision is about this document |
//! | the debtor's tag | the person's number: the tag of his wallet | that it is about this person |
//! | a text's commitment | the order's tag, the field's name, the text, the last four digits of the debtor's number | that the document had this text, and was about a number that ends so |
//! | a tax debt's tag | date, amount, type | nothing: it is compared, with others of the same wallet, and never shown |
//!
//! Every part of what is hashed stands after its length, so that no two documents run into one. An opening opens the one thing
//! that it was made for. A tax debt's tag says nothing of its debtor: he is known by his wallet, whichever of his numbers is written.

use aes_gcm_siv::Nonce;
use aes_gcm_siv::aead::{Aead as _, Payload};
use sha2::{Digest as _, Sha256};

use crate::domain::{
    Amount, Bin, DebtType, EnforcementDocument, Iin, OrderDocument, OrderKind, OrderPurpose,
};
use crate::ledger::order::{Order, Overpaid, TaxDebt};

use super::BookKeys;

/// What goes before an order's opening when its tag is made.
const ORDER_CONTEXT: &[u8] = b"social-wallet/order/v1";

/// What goes before a text's opening when it is committed to.
const TEXT_CONTEXT: &[u8] = b"social-wallet/order-text/v1";

/// What goes before a tax debt when its tag is made.
const DEBT_CONTEXT: &[u8] = b"social-wallet/tax-debt/v1";

/// A text of an order that the journal commits to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderText {
    /// The enforcement document.
    EnforcementDocument,
    /// The purpose.
    Purpose,
}

impl OrderText {
    /// The field's name in the API and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnforcementDocument => "enforcement_document",
            Self::Purpose => "purpose",
        }
    }
}

/// A tax debt as an order names it. Its date and amount are the order's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrittenDebt {
    /// Its type.
    pub debt_type: DebtType,
    /// Whether the order says that it was met elsewhere.
    pub met_elsewhere: bool,
}

/// An order as its issuer wrote it, parsed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrittenOrder {
    /// Its issuer: what the client is registered as, never what it says.
    pub issuer: Bin,
    /// Its number and date.
    pub document: OrderDocument,
    /// What it asks for.
    pub kind: OrderKind,
    /// Of whom.
    pub debtor: Iin,
    /// How much.
    pub amount: Option<Amount>,
    /// Until when it stands, UTC milliseconds.
    pub expires: Option<i64>,
    /// The document that it rests on.
    pub enforcement_document: EnforcementDocument,
    /// What it is for.
    pub purpose: OrderPurpose,
    /// The debt of a tax authority's collection.
    pub tax_debt: Option<WrittenDebt>,
    /// The accrual that an overpayment is recovered of.
    pub overpaid: Option<Overpaid>,
    /// The issuer's own earlier order that this one lifts, or carries out.
    pub lifts: Option<OrderDocument>,
}

impl BookKeys {
    /// The opening of an order's tag.
    #[must_use]
    pub fn order_opening(&self, issuer: Bin, document: &OrderDocument) -> [u8; 32] {
        self.tagged(ORDER_CONTEXT, &order_parts(&issuer.to_string(), document))
    }

    /// The tag that the journal knows an order by.
    #[must_use]
    pub fn order_tag(&self, issuer: Bin, document: &OrderDocument) -> [u8; 32] {
        order_tag_of(&self.order_opening(issuer, document), issuer, document)
    }

    /// The opening of a text's commitment.
    #[must_use]
    pub fn order_text_opening(&self, order: &[u8; 32], field: OrderText, text: &str) -> [u8; 32] {
        self.tagged(TEXT_CONTEXT, &[&hex::encode(order), field.as_str(), text])
    }

    fn order_text(&self, order: &[u8; 32], field: OrderText, text: &str, last_four: &str) -> [u8; 32] {
        order_text_of(&self.order_text_opening(order, field, text), field, text, last_four)
    }

    /// What the rules and the journal know of an order.
    #[must_use]
    pub fn order(&self, written: &WrittenOrder) -> Order {
        let order = self.order_tag(written.issuer, &written.document);
        let amount = written.amount.map_or_else(String::new, |amount| amount.to_string());
        let date = written.document.date.as_str();
        let debt = |debt: &WrittenDebt| {
            let parts = [date, amount.as_str(), debt.debt_type.as_str()];
            TaxDebt { tag: self.tagged(DEBT_CONTEXT, &parts), met_elsewhere: debt.met_elsewhere }
        };
        let document = written.enforcement_document.as_str();
        let last_four = &written.debtor.expose()[8..];
        Order {
            order,
            order_kind: written.kind,
            debtor: self.tag(&written.debtor),
            enforcement_document: self.order_text(
                &order,
                OrderText::EnforcementDocument,
                document,
                last_four,
            ),
            purpose: self.order_text(&order, OrderText::Purpose, written.purpose.as_str(), last_four),
            amount: written.amount,
            expires: written.expires,
            debt: written.tax_debt.as_ref().map(debt),
            overpaid: written.overpaid,
            lifts: written.lifts.as_ref().map(|document| self.order_tag(written.issuer, document)),
        }
    }

    /// What is written in an order, encrypted and bound to its tag (AES-256-GCM-SIV; the nonce is taken from the tag, which is
    /// safe with this cipher: that the same order came again unchanged is all that is told, and the journal tells that too).
    #[must_use]
    pub fn seal_order(&self, order: &[u8; 32], content: &[u8]) -> Vec<u8> {
        let nonce = Nonce::try_from(&order[..12]).expect("12 of 32 bytes");
        let payload = Payload { msg: content, aad: order };
        self.seal.encrypt(&nonce, payload).expect("an order is far below the cipher's limit")
    }

    /// That content again. `None`: the bytes were not made by [`Self::seal_order`] for this tag with these keys.
    #[must_use]
    pub fn unseal_order(&self, order: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
        let nonce = Nonce::try_from(&order[..12]).expect("12 of 32 bytes");
        self.seal.decrypt(&nonce, Payload { msg: sealed, aad: order }).ok()
    }
}

fn order_parts<'a>(issuer: &'a str, document: &'a OrderDocument) -> [&'a str; 3] {
    [issuer, document.number.as_str(), document.date.as_str()]
}

/// SHA-256 of a context, an opening, and texts, each after its length.
fn committed(context: &[u8], opening: &[u8; 32], parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(context);
    hash.update(opening);
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// The tag that an opening, an issuer and a document make.
#[must_use]
pub fn order_tag_of(opening: &[u8; 32], issuer: Bin, document: &OrderDocument) -> [u8; 32] {
    committed(ORDER_CONTEXT, opening, &order_parts(&issuer.to_string(), document))
}

/// The commitment that an opening, a text and the last four digits of the debtor's number make: a document shows these digits, and
/// nobody changes them there either.
#[must_use]
pub fn order_text_of(opening: &[u8; 32], field: OrderText, text: &str, last_four: &str) -> [u8; 32] {
    committed(TEXT_CONTEXT, opening, &[field.as_str(), text, last_four])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BookId, Day, Text};

    fn keys(fill: u8) -> BookKeys {
        let book = BookId::parse("6f9619ff-8b86-4d01-b42d-00cf4fc964ff").unwrap();
        BookKeys::new(book, [fill; 32], [fill + 1; 32], [fill + 2; 32], [fill + 3; 32])
    }

    fn document(number: &str, date: &str) -> OrderDocument {
        OrderDocument { number: Text::parse(number).unwrap(), date: Day::parse(date).unwrap() }
    }

    fn written() -> WrittenOrder {
        WrittenOrder {
            issuer: Bin::parse(b"940140000385").unwrap(),
            document: document("17-4/2026", "2026-11-02"),
            kind: OrderKind::Collection,
            debtor: Iin::parse(b"830717350867").unwrap(),
            amount: Amount::parse(b"1200.00").ok(),
            expires: None,
            enforcement_document: Text::parse("исполнительный лист 2-118").unwrap(),
            purpose: Text::parse("КНП 911").unwrap(),
            tax_debt: Some(WrittenDebt { debt_type: Text::parse("101202").unwrap(), met_elsewhere: false }),
            overpaid: None,
            lifts: None,
        }
    }

    #[test]
    fn an_order_is_known_by_issuer_number_and_date_and_by_nothing_else() {
        let (keys, order) = (keys(1), written());
        let tag = keys.order(&order).order;
        assert_eq!(tag, keys.order(&WrittenOrder { amount: None, ..order.clone() }).order);
        assert_eq!(
            tag,
            order_tag_of(&keys.order_opening(order.issuer, &order.document), order.issuer, &order.document)
        );
        assert_ne!(tag, super::tests::keys(9).order(&order).order, "another book's keys");
        let other = Bin::parse(b"961141000023").unwrap();
        assert_ne!(tag, keys.order_tag(other, &order.document));
        assert_ne!(tag, keys.order_tag(order.issuer, &document("17-4/2026", "2026-11-03")));
        assert_ne!(tag, keys.order_tag(order.issuer, &document("17-4/202", "2026-11-02")));
    }

    #[test]
    fn the_debtor_is_known_by_the_tag_of_his_wallet() {
        let (keys, order) = (keys(1), written());
        assert_eq!(keys.order(&order).debtor, keys.tag(&order.debtor));
    }

    #[test]
    fn a_text_is_shown_by_its_opening_and_no_other() {
        let (keys, order) = (keys(1), written());
        let made = keys.order(&order);
        let field = OrderText::Purpose;
        let opening = keys.order_text_opening(&made.order, field, "КНП 911");
        assert_eq!(order_text_of(&opening, field, "КНП 911", "0867"), made.purpose);
        assert_ne!(order_text_of(&opening, field, "КНП 912", "0867"), made.purpose);
        assert_ne!(order_text_of(&opening, field, "КНП 911", "0868"), made.purpose);
        assert_ne!(order_text_of(&opening, OrderText::EnforcementDocument, "КНП 911", "0867"), made.purpose);
    }

    #[test]
    fn a_tax_debt_is_one_of_date_amount_and_type_whichever_number_its_debtor_goes_by() {
        let (keys, order) = (keys(1), written());
        let debt = |order: &WrittenOrder| keys.order(order).debt.unwrap().tag;
        let same = WrittenOrder { document: document("18", "2026-11-02"), ..order.clone() };
        assert_eq!(debt(&order), debt(&same), "another document is about the same debt");
        let renumbered = WrittenOrder { debtor: Iin::parse(b"871008401427").unwrap(), ..order.clone() };
        assert_eq!(debt(&order), debt(&renumbered));
        let debt_type =
            |text| Some(WrittenDebt { debt_type: Text::parse(text).unwrap(), met_elsewhere: false });
        for other in [
            WrittenOrder { document: document("17-4/2026", "2026-11-03"), ..order.clone() },
            WrittenOrder { amount: Amount::parse(b"1200.01").ok(), ..order.clone() },
            WrittenOrder { tax_debt: debt_type("101203"), ..order.clone() },
        ] {
            assert_ne!(debt(&order), debt(&other));
        }
    }

    #[test]
    fn an_orders_content_is_unsealed_only_for_its_tag_and_with_its_key() {
        let tag = keys(1).order(&written()).order;
        let sealed = keys(1).seal_order(&tag, b"830717350867");
        assert!(!sealed.windows(6).any(|window| b"830717350867".starts_with(window)));
        assert_eq!(keys(1).unseal_order(&tag, &sealed), Some(b"830717350867".to_vec()));
        assert_eq!(keys(1).unseal_order(&[7; 32], &sealed), None);
        assert_eq!(keys(9).unseal_order(&tag, &sealed), None);
    }
}
