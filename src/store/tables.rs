//! What a commit writes, table by table: the columns and their values, told once for both rooms.
//!
//! A room takes the cells of a row one by one, in the order of [`Stored::COLUMNS`], and puts them where its protocol wants
//! them: bound parameters, an array of records, or a copy stream.

use uuid::Uuid;

use crate::ledger::batch::BatchEntry;
use crate::ledger::choice::NewChoice;
use crate::ledger::effects::{
    Effects, LogChange, NewBatch, NewClass, NewProgramme, NewSystemAccount, SystemEntry,
};
use crate::ledger::order::{NewOrder, OrderEnd, RuleTable};
use crate::ledger::payment::{
    Audience, AuthorisationEntry, NewAuthorisation, NewPayment, PaymentEntry, PaymentKind, UsageEntry,
};
use crate::ledger::person::{MovedLot, NewLead};
use crate::ledger::registry::RegistryChange;
use crate::ledger::signed::Nonce;
use crate::ledger::wallet::{Benefit, LotMovement, NewWallet, WalletEntry};

use super::orders::OrderFacts;
use super::rows::{PayOutRow, bitmap, declaration_json, pay_out_rows, registry_change_json};
use super::{Bundle, Commit, StoreError, Tile};

/// The rows of a table that can be many, in the order of their random index: neighbours in it are written together, which
/// saves more than half of the time of writing (measured on SQLite: 5 µs a row against 14).
#[derive(Default)]
pub(super) struct Many<'a> {
    pub(super) bundles: Vec<&'a Bundle>,
    pub(super) wallets: Vec<&'a NewWallet>,
    pub(super) tags: Vec<Tag<'a>>,
    pub(super) sealed: Vec<Sealed<'a>>,
    pub(super) entries: Vec<&'a WalletEntry>,
    pub(super) movements: Vec<&'a LotMovement>,
}

impl<'a> Many<'a> {
    pub(super) fn of(commit: &'a Commit) -> Self {
        let Effects { wallets, entries, movements, .. } = &commit.effects;
        let mut many = Self {
            bundles: commit.bundles.iter().collect(),
            wallets: wallets.iter().collect(),
            tags: wallets.iter().map(|wallet| Tag(&wallet.tag, wallet.account)).collect(),
            sealed: wallets.iter().map(Sealed).collect(),
            entries: entries.iter().collect(),
            movements: movements.iter().collect(),
        };
        many.wallets.sort_unstable_by_key(|wallet| wallet.id);
        many.tags.sort_unstable_by_key(|tag| *tag.0);
        many.entries.sort_unstable_by_key(|entry| (entry.after.account, entry.after.version));
        many
    }
}

/// The type of a column, as PostgreSQL has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Type {
    Int8,
    Int4,
    Int2,
    Flag,
    Bytes,
    Text,
    Uuid,
}

/// One value of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    Null,
    Int8(i64),
    Int4(i32),
    Int2(i16),
    Flag(bool),
    Bytes(&'a [u8]),
    Text(&'a str),
    Uuid(Uuid),
}

/// A row as its table holds it.
pub(super) trait Stored {
    const TABLE: &'static str;

    /// All columns, in the order in which PostgreSQL's table has them.
    const COLUMNS: &'static [(&'static str, Type)];

    /// Whether a row is of many kilobytes: such rows are not handled many at a time.
    const LARGE: bool = false;

    /// Gives the row's cells, in the order of the columns.
    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError>;
}

/// What takes the rows of a commit.
pub(super) trait Sink {
    /// Takes rows of a table.
    async fn rows<T: Stored + Sync>(&mut self, rows: &[T]) -> Result<(), StoreError>;
}

/// Gives the rows of a commit, table by table: the order in which every room writes them. The commit's own row is not among
/// them: it is a part of the room's fence.
pub(super) async fn write(commit: &Commit, many: &Many<'_>, sink: &mut impl Sink) -> Result<(), StoreError> {
    let effects = &commit.effects;
    sink.rows(&many.bundles).await?;
    sink.rows(&commit.tiles).await?;
    sink.rows(&effects.programmes).await?;
    sink.rows(&effects.system_accounts).await?;
    sink.rows(&effects.system_entries).await?;
    sink.rows(&many.wallets).await?;
    sink.rows(&many.tags).await?;
    sink.rows(&many.sealed).await?;
    sink.rows(&many.entries).await?;
    sink.rows(&many.movements).await?;
    sink.rows(&pay_out_rows(commit)?).await?;
    sink.rows(&benefits_paid(commit)).await?;
    sink.rows(&effects.instructions).await?;
    sink.rows(&effects.batches).await?;
    sink.rows(&effects.batch_entries).await?;
    sink.rows(&effects.log_changes).await?;
    sink.rows(&effects.registry).await?;
    sink.rows(&effects.classes).await?;
    sink.rows(&effects.authorisations).await?;
    sink.rows(&effects.authorisation_entries).await?;
    sink.rows(&effects.payments).await?;
    sink.rows(&effects.payment_entries).await?;
    sink.rows(&effects.usage).await?;
    sink.rows(&effects.events).await?;
    sink.rows(&effects.choices).await?;
    sink.rows(&effects.leads).await?;
    sink.rows(&effects.moved_lots).await?;
    let numbers: Vec<Number<'_>> = effects.leads.iter().filter_map(Number::of).collect();
    sink.rows(&numbers.iter().map(|number| Tag(&number.tag, number.account)).collect::<Vec<_>>()).await?;
    sink.rows(&numbers).await?;
    sink.rows(&effects.rule_tables).await?;
    sink.rows(&order_rows(effects)).await?;
    sink.rows(&effects.order_ends).await?;
    sink.rows(&commit.nonces).await
}

fn too_large(value: impl std::fmt::Display) -> StoreError {
    StoreError::Schema(format!("{value} does not fit its column"))
}

fn int8(value: u64) -> Result<Cell<'static>, StoreError> {
    i64::try_from(value).map(Cell::Int8).map_err(|_| too_large(value))
}

fn int4(value: u32) -> Result<Cell<'static>, StoreError> {
    i32::try_from(value).map(Cell::Int4).map_err(|_| too_large(value))
}

fn part(benefit: &Benefit) -> Cell<'static> {
    Cell::Int2(i16::try_from(benefit.part.get()).expect("a part is at most 999"))
}

fn text_or_null(text: Option<&str>) -> Cell<'_> {
    text.map_or(Cell::Null, Cell::Text)
}

impl<T: Stored> Stored for &T {
    const TABLE: &'static str = T::TABLE;
    const COLUMNS: &'static [(&'static str, Type)] = T::COLUMNS;
    const LARGE: bool = T::LARGE;

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        T::cells(self, put)
    }
}

/// The commit itself.
impl Stored for Commit {
    const TABLE: &'static str = "log_commit";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("size_after", Type::Int8),
        ("size_before", Type::Int8),
        ("at", Type::Int8),
        ("date", Type::Int4),
        ("nonce", Type::Bytes),
        ("frontier", Type::Bytes),
        ("evidence", Type::Bytes),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.after.size)?);
        put(int8(self.before.size)?);
        put(Cell::Int8(self.stamp.at));
        put(Cell::Int4(self.stamp.date));
        put(Cell::Bytes(&self.after.nonce));
        put(Cell::Bytes(&self.frontier));
        let mut kept = Vec::new();
        for evidence in &self.evidence {
            evidence.write(&mut kept);
        }
        put(Cell::Bytes(&kept));
        Ok(())
    }
}

impl Stored for Bundle {
    const TABLE: &'static str = "journal";
    const COLUMNS: &'static [(&'static str, Type)] =
        &[("first", Type::Int8), ("count", Type::Int4), ("leaves", Type::Bytes)];

    const LARGE: bool = true;

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.first)?);
        put(int4(self.count)?);
        put(Cell::Bytes(&self.bytes));
        Ok(())
    }
}

impl Stored for Tile {
    const TABLE: &'static str = "tile";
    const COLUMNS: &'static [(&'static str, Type)] =
        &[("place", Type::Int8), ("level", Type::Int2), ("hashes", Type::Bytes)];

    const LARGE: bool = true;

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.index)?);
        put(Cell::Int2(self.level.into()));
        put(Cell::Bytes(&self.hashes));
        Ok(())
    }
}

impl Stored for NewProgramme {
    const TABLE: &'static str = "programme";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("seq", Type::Int8),
        ("number", Type::Int4),
        ("class", Type::Int2),
        ("code", Type::Text),
        ("name_kk", Type::Text),
        ("name_ru", Type::Text),
        ("name_en", Type::Text),
        ("payer", Type::Text),
        ("legal_basis", Type::Text),
        ("knp", Type::Text),
        ("kbe", Type::Text),
        ("iso_purpose", Type::Text),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        let spec = &self.spec;
        put(int8(self.seq)?);
        put(int4(self.number)?);
        put(Cell::Int2(spec.class.code()));
        put(Cell::Text(spec.code.as_str()));
        put(Cell::Text(spec.names.kk.as_str()));
        put(Cell::Text(spec.names.ru.as_str()));
        put(Cell::Text(spec.names.en.as_str()));
        put(Cell::Text(&spec.payer.to_string()));
        put(Cell::Text(spec.legal_basis.as_str()));
        put(text_or_null(spec.knp.as_ref().map(crate::domain::Knp::as_str)));
        put(text_or_null(spec.kbe.as_ref().map(crate::domain::Kbe::as_str)));
        put(text_or_null(spec.iso_purpose.as_ref().map(crate::domain::IsoPurpose::as_str)));
        Ok(())
    }
}

impl Stored for NewSystemAccount {
    const TABLE: &'static str = "system_account";
    const COLUMNS: &'static [(&'static str, Type)] = &[("number", Type::Int4), ("name", Type::Text)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int4(self.number)?);
        put(Cell::Text(&self.account.to_string()));
        Ok(())
    }
}

impl Stored for LogChange {
    const TABLE: &'static str = "log_change";
    const COLUMNS: &'static [(&'static str, Type)] =
        &[("seq", Type::Int8), ("generation", Type::Int4), ("old_key", Type::Text), ("log_key", Type::Text)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.seq)?);
        put(int4(self.generation)?);
        put(text_or_null(self.old_key.as_deref()));
        put(text_or_null(self.key.as_deref()));
        Ok(())
    }
}

impl Stored for RegistryChange {
    const TABLE: &'static str = "registry_change";
    const COLUMNS: &'static [(&'static str, Type)] =
        &[("seq", Type::Int8), ("client", Type::Text), ("change", Type::Text)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.seq)?);
        put(Cell::Text(self.by.as_str()));
        put(Cell::Text(&registry_change_json(&self.change)));
        Ok(())
    }
}

impl Stored for Nonce {
    const TABLE: &'static str = "nonce";
    const COLUMNS: &'static [(&'static str, Type)] = &[("expires", Type::Int8), ("id", Type::Bytes)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(Cell::Int8(self.expires));
        put(Cell::Bytes(&self.id));
        Ok(())
    }
}

impl Stored for NewClass {
    const TABLE: &'static str = "programme_class";
    const COLUMNS: &'static [(&'static str, Type)] =
        &[("seq", Type::Int8), ("programme", Type::Int4), ("class", Type::Int2)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.seq)?);
        put(int4(self.programme)?);
        put(Cell::Int2(self.class.code()));
        Ok(())
    }
}

impl Stored for SystemEntry {
    const TABLE: &'static str = "system_entry";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("version", Type::Int8),
        ("seq", Type::Int8),
        ("at", Type::Int8),
        ("debits", Type::Int8),
        ("credits", Type::Int8),
        ("account", Type::Int4),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.version)?);
        put(int8(self.seq)?);
        put(Cell::Int8(self.at));
        put(Cell::Int8(self.debits));
        put(Cell::Int8(self.credits));
        put(int4(self.account)?);
        Ok(())
    }
}

impl Stored for NewWallet {
    const TABLE: &'static str = "wallet";
    const COLUMNS: &'static [(&'static str, Type)] =
        &[("id", Type::Uuid), ("opened_seq", Type::Int8), ("account", Type::Int4)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(Cell::Uuid(self.id.uuid()));
        put(int8(self.seq)?);
        put(int4(self.account)?);
        Ok(())
    }
}

/// The tag of a new wallet's person, or of a further number.
pub(super) struct Tag<'a>(pub(super) &'a [u8; 32], pub(super) u32);

impl Stored for Tag<'_> {
    const TABLE: &'static str = "person_tag";
    const COLUMNS: &'static [(&'static str, Type)] = &[("tag", Type::Bytes), ("account", Type::Int4)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(Cell::Bytes(self.0));
        put(int4(self.1)?);
        Ok(())
    }
}

/// The encrypted number of a new wallet's person.
pub(super) struct Sealed<'a>(pub(super) &'a NewWallet);

impl Stored for Sealed<'_> {
    const TABLE: &'static str = "person";
    const COLUMNS: &'static [(&'static str, Type)] = &[("account", Type::Int4), ("sealed_iin", Type::Bytes)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int4(self.0.account)?);
        put(Cell::Bytes(&self.0.sealed_iin));
        Ok(())
    }
}

/// A further number of a person, encrypted, and its tag.
pub(super) struct Number<'a> {
    id: Uuid,
    sealed_iin: &'a [u8],
    tag: [u8; 32],
    account: u32,
}

impl<'a> Number<'a> {
    fn of(lead: &'a NewLead) -> Option<Self> {
        let number = lead.number.as_ref()?;
        let (id, account) = (lead.id.uuid(), lead.account);
        Some(Self { id, sealed_iin: &number.sealed_iin, tag: number.tag, account })
    }
}

impl Stored for Number<'_> {
    const TABLE: &'static str = "person_number";
    const COLUMNS: &'static [(&'static str, Type)] = &[("id", Type::Uuid), ("sealed_iin", Type::Bytes)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(Cell::Uuid(self.id));
        put(Cell::Bytes(self.sealed_iin));
        Ok(())
    }
}

impl Stored for NewLead {
    const TABLE: &'static str = "wallet_lead";
    const COLUMNS: &'static [(&'static str, Type)] =
        &[("id", Type::Uuid), ("leads_to", Type::Uuid), ("seq", Type::Int8)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(Cell::Uuid(self.id.uuid()));
        put(Cell::Uuid(self.to.uuid()));
        put(int8(self.seq)?);
        Ok(())
    }
}

impl Stored for MovedLot {
    const TABLE: &'static str = "moved_lot";
    const COLUMNS: &'static [(&'static str, Type)] =
        &[("credited", Type::Int8), ("seq", Type::Int8), ("account", Type::Int4), ("lot", Type::Int4)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(Cell::Int8(self.credited));
        put(int8(self.seq)?);
        put(int4(self.account)?);
        put(int4(self.lot)?);
        Ok(())
    }
}

impl Stored for NewChoice {
    const TABLE: &'static str = "choice";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("seq", Type::Int8),
        ("authorisation", Type::Int8),
        ("account", Type::Int4),
        ("programme", Type::Int4),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.seq)?);
        put(self.authorisation.map_or(Ok(Cell::Null), int8)?);
        put(int4(self.account)?);
        put(int4(self.programme)?);
        Ok(())
    }
}

impl Stored for WalletEntry {
    const TABLE: &'static str = "wallet_entry";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("seq", Type::Int8),
        ("at", Type::Int8),
        ("amount", Type::Int8),
        ("refers", Type::Int8),
        ("posted", Type::Int8),
        ("held", Type::Int8),
        ("general", Type::Int8),
        ("general_held", Type::Int8),
        ("account", Type::Int4),
        ("version", Type::Int4),
        ("first_open_lot", Type::Int4),
        ("programme", Type::Int4),
        ("period", Type::Int4),
        ("part", Type::Int2),
        ("class", Type::Int2),
        ("kind", Type::Int2),
        ("state", Type::Int2),
        ("choice", Type::Flag),
        ("frozen", Type::Flag),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        let after = &self.after;
        let benefit = self.benefit.as_ref();
        put(int8(self.seq)?);
        put(Cell::Int8(self.at));
        put(Cell::Int8(self.amount));
        put(self.refers.map_or(Ok(Cell::Null), int8)?);
        put(Cell::Int8(after.posted));
        put(Cell::Int8(after.held));
        put(Cell::Int8(after.general));
        put(Cell::Int8(after.general_held));
        put(int4(after.account)?);
        put(int4(after.version)?);
        put(int4(after.first_open_lot)?);
        put(benefit.map_or(Ok(Cell::Null), |benefit| int4(benefit.programme))?);
        put(benefit.map_or(Cell::Null, |benefit| Cell::Int4(benefit.period.code())));
        put(benefit.map_or(Cell::Null, part));
        put(self.class.map_or(Cell::Null, |class| Cell::Int2(class.code())));
        put(Cell::Int2(self.kind.code()));
        put(Cell::Int2(after.state.code()));
        put(Cell::Flag(after.choice));
        put(Cell::Flag(after.frozen));
        Ok(())
    }
}

impl Stored for LotMovement {
    const TABLE: &'static str = "lot_movement";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("amount", Type::Int8),
        ("remaining", Type::Int8),
        ("held", Type::Int8),
        ("reversed", Type::Int8),
        ("account", Type::Int4),
        ("lot", Type::Int4),
        ("movement", Type::Int4),
        ("version", Type::Int4),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(Cell::Int8(self.amount));
        put(Cell::Int8(self.remaining));
        put(Cell::Int8(self.held));
        put(Cell::Int8(self.reversed));
        put(int4(self.account)?);
        put(int4(self.lot)?);
        put(int4(self.movement)?);
        put(int4(self.version)?);
        Ok(())
    }
}

impl Stored for PayOutRow {
    const TABLE: &'static str = "pay_out";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("seq", Type::Int8),
        ("amount", Type::Int8),
        ("draw", Type::Int4),
        ("account", Type::Int4),
        ("version", Type::Int4),
        ("lot", Type::Int4),
        ("bank", Type::Text),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.seq)?);
        put(Cell::Int8(self.amount));
        put(int4(self.draw)?);
        put(int4(self.account)?);
        put(int4(self.version)?);
        put(int4(self.lot)?);
        put(Cell::Text(self.bank.as_str()));
        Ok(())
    }
}

/// Whom a commit paid a benefit.
pub(super) struct BenefitPaid {
    pub(super) size_after: u64,
    pub(super) benefit: Benefit,
    /// A serialised bitmap.
    pub(super) accounts: Vec<u8>,
}

impl Stored for BenefitPaid {
    const TABLE: &'static str = "benefit_paid";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("size_after", Type::Int8),
        ("programme", Type::Int4),
        ("period", Type::Int4),
        ("part", Type::Int2),
        ("accounts", Type::Bytes),
    ];

    const LARGE: bool = true;

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.size_after)?);
        put(int4(self.benefit.programme)?);
        put(Cell::Int4(self.benefit.period.code()));
        put(part(&self.benefit));
        put(Cell::Bytes(&self.accounts));
        Ok(())
    }
}

/// Whom a commit paid which benefit.
fn benefits_paid(commit: &Commit) -> Vec<BenefitPaid> {
    let paid = commit.effects.benefits.iter().map(|(benefit, accounts)| BenefitPaid {
        size_after: commit.after.size,
        benefit: *benefit,
        accounts: bitmap(accounts),
    });
    paid.collect()
}

/// An instruction id and the entry that it is bound to.
impl Stored for ([u8; 16], u64) {
    const TABLE: &'static str = "instruction";
    const COLUMNS: &'static [(&'static str, Type)] = &[("seq", Type::Int8), ("id", Type::Bytes)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.1)?);
        put(Cell::Bytes(&self.0));
        Ok(())
    }
}

impl Stored for NewBatch {
    const TABLE: &'static str = "batch";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("id", Type::Uuid),
        ("seq", Type::Int8),
        ("number", Type::Int4),
        ("client", Type::Text),
        ("declaration", Type::Text),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(Cell::Uuid(self.declaration.batch.uuid()));
        put(int8(self.seq)?);
        put(int4(self.number)?);
        put(Cell::Text(self.client.as_str()));
        put(Cell::Text(&declaration_json(&self.declaration)));
        Ok(())
    }
}

impl Stored for BatchEntry {
    const TABLE: &'static str = "batch_entry";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("seq", Type::Int8),
        ("at", Type::Int8),
        ("first_line", Type::Int8),
        ("received_lines", Type::Int8),
        ("received_total", Type::Int8),
        ("accepted_lines", Type::Int8),
        ("accepted_total", Type::Int8),
        ("batch", Type::Int4),
        ("version", Type::Int4),
        ("lines", Type::Int4),
        ("kind", Type::Int2),
        ("state", Type::Int2),
        ("digest", Type::Bytes),
        ("verdicts", Type::Bytes),
    ];

    const LARGE: bool = true;

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.seq)?);
        put(Cell::Int8(self.at));
        put(int8(self.first_line)?);
        put(int8(self.totals.received_lines)?);
        put(Cell::Int8(self.totals.received_total));
        put(int8(self.totals.accepted_lines)?);
        put(Cell::Int8(self.totals.accepted_total));
        put(int4(self.batch)?);
        put(int4(self.version)?);
        put(int4(self.lines)?);
        put(Cell::Int2(self.kind.code()));
        put(Cell::Int2(self.state.code()));
        put(Cell::Bytes(&self.digest));
        put(Cell::Bytes(&self.verdicts));
        Ok(())
    }
}

/// A value of ours as JSON.
pub(super) fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("texts, numbers and lists of them are JSON")
}

impl Stored for NewAuthorisation {
    const TABLE: &'static str = "authorisation";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("seq", Type::Int8),
        ("account", Type::Int4),
        ("channel", Type::Text),
        ("terms", Type::Text),
        ("sealed_destination", Type::Bytes),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.seq)?);
        put(int4(self.account)?);
        put(Cell::Text(self.channel.as_str()));
        put(Cell::Text(&json_text(&self.terms)));
        put(Cell::Bytes(&self.sealed_destination));
        Ok(())
    }
}

impl Stored for AuthorisationEntry {
    const TABLE: &'static str = "authorisation_entry";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("authorisation", Type::Int8),
        ("seq", Type::Int8),
        ("used", Type::Int8),
        ("version", Type::Int4),
        ("revoked", Type::Flag),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.authorisation)?);
        put(int8(self.seq)?);
        put(Cell::Int8(self.used));
        put(int4(self.version)?);
        put(Cell::Flag(self.revoked));
        Ok(())
    }
}

impl Stored for NewPayment {
    const TABLE: &'static str = "payment";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("seq", Type::Int8),
        ("authorisation", Type::Int8),
        ("amount", Type::Int8),
        ("expires", Type::Int8),
        ("account", Type::Int4),
        ("bank", Type::Text),
        ("reference", Type::Text),
        ("detail", Type::Text),
        ("drawn", Type::Text),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        let cash = match &self.kind {
            PaymentKind::Transfer { .. } => None,
            PaymentKind::Cash { reference, expires, .. } => Some((reference.to_string(), *expires)),
        };
        put(int8(self.seq)?);
        put(int8(self.authorisation)?);
        put(Cell::Int8(self.amount));
        put(cash.as_ref().map_or(Cell::Null, |(_, expires)| Cell::Int8(*expires)));
        put(int4(self.account)?);
        put(match &self.kind {
            PaymentKind::Transfer { bank } => Cell::Text(bank.as_str()),
            PaymentKind::Cash { .. } => Cell::Null,
        });
        put(text_or_null(cash.as_ref().map(|(reference, _)| reference.as_str())));
        put(Cell::Text(&json_text(&self.kind)));
        put(Cell::Text(&json_text(&self.drawn)));
        Ok(())
    }
}

impl Stored for PaymentEntry {
    const TABLE: &'static str = "payment_entry";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("payment", Type::Int8),
        ("seq", Type::Int8),
        ("at", Type::Int8),
        ("released", Type::Int8),
        ("settled", Type::Int8),
        ("returned", Type::Int8),
        ("version", Type::Int4),
        ("state", Type::Int2),
        ("tries", Type::Int2),
        ("agent", Type::Text),
        ("reference", Type::Text),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.payment)?);
        put(int8(self.seq)?);
        put(Cell::Int8(self.at));
        put(Cell::Int8(self.released));
        put(Cell::Int8(self.settled));
        put(Cell::Int8(self.returned));
        put(int4(self.version)?);
        put(Cell::Int2(self.state.code()));
        put(Cell::Int2(self.tries.into()));
        put(text_or_null(self.agent.as_ref().map(crate::domain::Bic::as_str)));
        put(text_or_null(self.reference.as_ref().map(crate::domain::BankReference::as_str)));
        Ok(())
    }
}

impl Stored for UsageEntry {
    const TABLE: &'static str = "daily_usage";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("seq", Type::Int8),
        ("amount", Type::Int8),
        ("date", Type::Int4),
        ("version", Type::Int4),
        ("counted", Type::Text),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.seq)?);
        put(Cell::Int8(self.amount));
        put(Cell::Int4(self.date));
        put(int4(self.version)?);
        put(Cell::Text(&self.counted));
        Ok(())
    }
}

/// Who is told of an entry.
impl Stored for (Audience, u64) {
    const TABLE: &'static str = "event";
    const COLUMNS: &'static [(&'static str, Type)] = &[("audience", Type::Text), ("seq", Type::Int8)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(Cell::Text(&self.0.to_string()));
        put(int8(self.1)?);
        Ok(())
    }
}

/// A rule table and the entry from which on it is in force.
impl Stored for (u64, RuleTable) {
    const TABLE: &'static str = "rule_table";
    const COLUMNS: &'static [(&'static str, Type)] = &[("seq", Type::Int8), ("rules", Type::Text)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.0)?);
        put(Cell::Text(&json_text(&self.1)));
        Ok(())
    }
}

/// A decided order, with what is written in it.
pub(super) struct DecidedOrder<'a> {
    facts: OrderFacts,
    sealed: &'a [u8],
}

/// The orders that a commit decided.
fn order_rows(effects: &Effects) -> Vec<DecidedOrder<'_>> {
    let rows = effects.orders.iter();
    let row = |order: &'_ NewOrder| OrderFacts::of(order);
    rows.filter_map(|order| Some(DecidedOrder { facts: row(order)?, sealed: &order.sealed })).collect()
}

impl Stored for DecidedOrder<'_> {
    const TABLE: &'static str = "decision";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("seq", Type::Int8),
        ("asked", Type::Int8),
        ("taken", Type::Int8),
        ("held", Type::Int8),
        ("refused", Type::Int8),
        ("expires", Type::Int8),
        ("account", Type::Int4),
        ("date", Type::Int4),
        ("tag", Type::Bytes),
        ("debt", Type::Bytes),
        ("client", Type::Text),
        ("issuer", Type::Text),
        ("issuer_kind", Type::Text),
        ("kind", Type::Text),
        ("outcome", Type::Text),
        ("drawn", Type::Text),
        ("sealed", Type::Bytes),
    ];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        let facts = &self.facts;
        put(int8(facts.seq)?);
        put(Cell::Int8(facts.asked));
        put(Cell::Int8(facts.taken));
        put(Cell::Int8(facts.held));
        put(Cell::Int8(facts.refused));
        put(facts.expires.map_or(Cell::Null, Cell::Int8));
        put(int4(facts.account)?);
        put(Cell::Int4(facts.date));
        put(Cell::Bytes(&facts.tag));
        put(facts.debt.as_ref().map_or(Cell::Null, |debt| Cell::Bytes(debt)));
        put(Cell::Text(&facts.client));
        put(Cell::Text(&facts.issuer));
        put(Cell::Text(facts.issuer_kind));
        put(text_or_null(facts.kind));
        put(Cell::Text(facts.outcome));
        put(Cell::Text(&facts.drawn));
        put(Cell::Bytes(self.sealed));
        Ok(())
    }
}

/// The end of an order that stood.
impl Stored for OrderEnd {
    const TABLE: &'static str = "order_end";
    const COLUMNS: &'static [(&'static str, Type)] = &[("decision", Type::Int8), ("seq", Type::Int8)];

    fn cells(&self, put: &mut impl FnMut(Cell<'_>)) -> Result<(), StoreError> {
        put(int8(self.order)?);
        put(int8(self.seq)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::BookId;
    use crate::domain::time::Stamp;
    use crate::store::Head;

    /// The tables that PostgreSQL's migration makes, each with its columns in their order.
    fn made() -> BTreeMap<&'static str, Vec<(&'static str, Type)>> {
        let migration = include_str!("../../migrations/postgres/0001_book.sql");
        let column = |line: &'static str| {
            let (name, rest) = line.trim_start().split_once(' ')?;
            let kind = match rest.split([' ', ',']).next()? {
                "bigint" => Type::Int8,
                "integer" => Type::Int4,
                "smallint" => Type::Int2,
                "boolean" => Type::Flag,
                "bytea" => Type::Bytes,
                "text" => Type::Text,
                "uuid" => Type::Uuid,
                _ => return None,
            };
            Some((name, kind))
        };
        let table = |text: &'static str| {
            let (name, rest) = text.split_once(" (").unwrap();
            let (columns, _) = rest.split_once("\n);").unwrap();
            (name, columns.lines().filter_map(column).collect())
        };
        migration.split("\nCREATE TABLE ").skip(1).map(table).collect()
    }

    /// Takes tables, and no rows.
    #[derive(Default)]
    struct Tables(BTreeMap<&'static str, &'static [(&'static str, Type)]>);

    impl Sink for Tables {
        async fn rows<T: Stored + Sync>(&mut self, _: &[T]) -> Result<(), StoreError> {
            self.0.insert(T::TABLE, T::COLUMNS);
            Ok(())
        }
    }

    /// Rows go to PostgreSQL as records of their tables, in which columns have no names: two of one type that changed
    /// places would not be refused.
    #[tokio::test]
    async fn columns_are_told_in_the_order_in_which_the_tables_have_them() {
        let head = Head {
            book: BookId::from_uuid(Uuid::nil()),
            size: 0,
            wallet_count: 0,
            batch_count: 0,
            at: 0,
            nonce: [0; 16],
        };
        let commit = Commit {
            before: head,
            after: head,
            stamp: Stamp::of(0).unwrap(),
            bundles: Vec::new(),
            tiles: Vec::new(),
            frontier: Vec::new(),
            effects: Effects::default(),
            nonces: Vec::new(),
            evidence: Vec::new(),
        };
        let mut told = Tables::default();
        told.rows(std::slice::from_ref(&commit)).await.unwrap();
        write(&commit, &Many::of(&commit), &mut told).await.unwrap();
        let made = made();
        for (table, columns) in &told.0 {
            assert_eq!(made[table], *columns, "{table}");
        }
        // These are not written by commits.
        let others = ["book", "checkpoint", "checkpoint_published"];
        let mut all: Vec<_> = told.0.into_keys().chain(others).collect();
        all.sort_unstable();
        assert_eq!(all, made.into_keys().collect::<Vec<_>>());
    }
}
