//! From columns to values and back, for both rooms.
//!
//! Reading is strict: what is out of range, or names nothing, is [`StoreError::Inconsistent`] with its table and column,
//! never a panic and never a guess. Integers are read as the width that the room stores and held against the width that
//! the domain has.

use std::collections::BTreeSet;
use std::fmt::Display;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, TypeInfo, ValueRef};
use uuid::Uuid;

use crate::domain::{
    BatchId, Bic, Bin, BookId, ClientId, FundClass, IsoPurpose, Kbe, Knp, LegalBasis, Money, Names, Part,
    Period, ProgrammeCode, Text, WalletId,
};
use crate::ledger::account::SystemAccount;
use crate::ledger::batch::{Batch, BatchState, LineSet};
use crate::ledger::books::{Paid, PayOut, PayOutShare, SystemHead};
use crate::ledger::effects::{Effects, LogChange, SystemEntry};
use crate::ledger::record::{BatchDeclaration, BatchTotals, ProgrammeSpec, Record};
use crate::ledger::registry::{Change, RegistryChange};
use crate::ledger::signed::{Evidence, Malformed};
use crate::ledger::wallet::{Benefit, EntryKind, Lot, LotMovement, Wallet, WalletEntry, WalletState};
use crate::payroll::LineKind;

use super::{
    Bundle, ChunkRow, Commit, FixedCheckpoint, Head, ProgrammeRow, PublishedCheckpoint, Standing, StoreError,
    Tile,
};

/// Entries of one full bundle.
pub(super) const BUNDLE: u64 = 256;

/// What the database holds and this program did not write.
pub(super) fn inconsistent(table: &'static str, column: &'static str, found: impl Display) -> StoreError {
    StoreError::Inconsistent { table, column, found: found.to_string() }
}

/// A number of the domain as a signed column holds it.
pub(super) fn signed<T, S>(table: &'static str, column: &'static str, value: T) -> Result<S, StoreError>
where
    T: Copy + Display,
    S: TryFrom<T>,
{
    S::try_from(value).map_err(|_| inconsistent(table, column, format!("{value} does not fit the column")))
}

/// The hash of a row, for an audit: of its values, in the order of their columns.
pub(super) fn row_hash(row: &impl std::hash::Hash) -> u64 {
    use std::hash::{DefaultHasher, Hasher as _};
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    hasher.finish()
}

/// A row of either room.
pub(super) trait Columns {
    /// An integer of any width, or a boolean.
    fn integer(&self, index: usize) -> Result<Option<i64>, sqlx::Error>;
    fn bytes(&self, index: usize) -> Result<Vec<u8>, sqlx::Error>;
    fn bytes_or_null(&self, index: usize) -> Result<Option<Vec<u8>>, sqlx::Error>;
    fn text(&self, index: usize) -> Result<Option<String>, sqlx::Error>;
    fn uuid(&self, index: usize) -> Result<Uuid, sqlx::Error>;
}

impl Columns for SqliteRow {
    fn integer(&self, index: usize) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(index)
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>, sqlx::Error> {
        self.try_get(index)
    }

    fn bytes_or_null(&self, index: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
        self.try_get(index)
    }

    fn text(&self, index: usize) -> Result<Option<String>, sqlx::Error> {
        self.try_get(index)
    }

    fn uuid(&self, index: usize) -> Result<Uuid, sqlx::Error> {
        self.try_get(index)
    }
}

impl Columns for PgRow {
    fn integer(&self, index: usize) -> Result<Option<i64>, sqlx::Error> {
        let value = self.try_get_raw(index)?;
        if value.is_null() {
            return Ok(None);
        }
        match value.type_info().name() {
            "INT2" => self.try_get::<i16, _>(index).map(i64::from),
            "INT4" => self.try_get::<i32, _>(index).map(i64::from),
            "BOOL" => self.try_get::<bool, _>(index).map(i64::from),
            _ => self.try_get::<i64, _>(index),
        }
        .map(Some)
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>, sqlx::Error> {
        self.try_get(index)
    }

    fn bytes_or_null(&self, index: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
        self.try_get(index)
    }

    fn text(&self, index: usize) -> Result<Option<String>, sqlx::Error> {
        self.try_get(index)
    }

    fn uuid(&self, index: usize) -> Result<Uuid, sqlx::Error> {
        self.try_get(index)
    }
}

/// Reads a row's columns in their order.
pub(super) struct Reader<'r, R> {
    row: &'r R,
    table: &'static str,
    next: usize,
}

impl<'r, R: Columns> Reader<'r, R> {
    pub(super) fn new(table: &'static str, row: &'r R) -> Self {
        Self { row, table, next: 0 }
    }

    /// The reader after so many columns.
    pub(super) fn past(mut self, columns: usize) -> Self {
        self.next += columns;
        self
    }

    fn index(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    fn bad(&self, column: &'static str, found: impl Display) -> StoreError {
        inconsistent(self.table, column, found)
    }

    pub(super) fn integer_or_null<T: TryFrom<i64>>(
        &mut self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let index = self.index();
        let Some(value) = self.row.integer(index)? else { return Ok(None) };
        T::try_from(value).map(Some).map_err(|_| self.bad(column, format!("{value} is out of range")))
    }

    pub(super) fn integer<T: TryFrom<i64>>(&mut self, column: &'static str) -> Result<T, StoreError> {
        self.integer_or_null(column)?.ok_or_else(|| self.bad(column, "null"))
    }

    /// An integer that is the code of something.
    pub(super) fn code<T>(
        &mut self,
        column: &'static str,
        read: impl Fn(i16) -> Option<T>,
    ) -> Result<T, StoreError> {
        let code = self.integer(column)?;
        read(code).ok_or_else(|| self.bad(column, format!("{code} is no code")))
    }

    pub(super) fn flag(&mut self, column: &'static str) -> Result<bool, StoreError> {
        self.code(column, |code| match code {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        })
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        let index = self.index();
        Ok(self.row.bytes(index)?)
    }

    pub(super) fn exactly<const N: usize>(&mut self, column: &'static str) -> Result<[u8; N], StoreError> {
        let bytes = self.bytes()?;
        bytes.as_slice().try_into().map_err(|_| self.bad(column, format!("{} bytes, not {N}", bytes.len())))
    }

    pub(super) fn exactly_or_null<const N: usize>(
        &mut self,
        column: &'static str,
    ) -> Result<Option<[u8; N]>, StoreError> {
        let index = self.index();
        let Some(bytes) = self.row.bytes_or_null(index)? else { return Ok(None) };
        let exact = bytes.as_slice().try_into();
        exact.map(Some).map_err(|_| self.bad(column, format!("{} bytes, not {N}", bytes.len())))
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, StoreError> {
        let index = self.index();
        Ok(self.row.uuid(index)?)
    }

    pub(super) fn parsed_or_null<T>(
        &mut self,
        column: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let index = self.index();
        let Some(text) = self.row.text(index)? else { return Ok(None) };
        // The text is not repeated: no rule says that it is not a person's.
        parse(&text).map(Some).ok_or_else(|| self.bad(column, "a text that does not parse"))
    }

    pub(super) fn parsed<T>(
        &mut self,
        column: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        self.parsed_or_null(column, parse)?.ok_or_else(|| self.bad(column, "null"))
    }

    pub(super) fn benefit(&mut self) -> Result<Benefit, StoreError> {
        self.benefit_or_null()?.ok_or_else(|| self.bad("programme", "null"))
    }

    fn benefit_or_null(&mut self) -> Result<Option<Benefit>, StoreError> {
        let programme = self.integer_or_null("programme")?;
        let period: Option<i32> = self.integer_or_null("period")?;
        let part: Option<u16> = self.integer_or_null("part")?;
        let (Some(programme), Some(period), Some(part)) = (programme, period, part) else {
            return match (programme, period, part) {
                (None, None, None) => Ok(None),
                _ => Err(self.bad("programme", "a benefit without one of programme, period and part")),
            };
        };
        let period = Period::from_code(period).ok_or_else(|| self.bad("period", period))?;
        let part = Part::new(part).ok_or_else(|| self.bad("part", part))?;
        Ok(Some(Benefit { programme, period, part }))
    }
}

/// The columns of a wallet's head, of `wallet_entry`.
macro_rules! head_columns {
    () => {
        "e.version, e.posted, e.held, e.general, e.general_held, e.first_open_lot, e.state, e.choice, \
         e.frozen"
    };
}

/// The columns of a wallet's entry, of `wallet_entry e`.
macro_rules! entry_columns {
    () => {
        concat!(
            "e.seq, e.at, e.kind, e.amount, e.programme, e.period, e.part, e.class, e.refers, e.account, ",
            crate::store::rows::head_columns!()
        )
    };
}

/// The columns of a lot as of some version: `wallet_entry e`, and `lot_movement m` or null. One that was moved in (kind 11) is named
/// by its accrual, and what that credited is told beside it.
macro_rules! lot_columns {
    () => {
        "e.account, e.programme, e.period, e.part, e.version, \
         CASE WHEN e.kind = 11 THEN e.refers ELSE e.seq END, e.class, \
         CASE WHEN e.kind = 11 THEN (SELECT credited FROM moved_lot l WHERE l.account = e.account AND l.lot = e.version) \
             ELSE e.amount END, \
         m.remaining, m.held, m.reversed, m.movement"
    };
}

/// The newest entry of every system account up to a time, which stands at this place of the statement. An account's versions are
/// counted from 1 and their times do not go back, so it is found by halving: an index by time would cost an entry for each account of each commit.
macro_rules! system_at {
    ($time:literal) => {
        concat!(
            "WITH RECURSIVE wanted (at) AS (SELECT ",
            $time,
            "), place (account, low, high) AS (
                SELECT a.number, CAST(0 AS bigint), (SELECT max(version) FROM system_entry WHERE account = a.number) FROM system_account a
                UNION ALL
                SELECT p.account, CASE WHEN e.at <= w.at THEN e.version ELSE p.low END,
                    CASE WHEN e.at <= w.at THEN p.high ELSE e.version - 1 END
                FROM place p CROSS JOIN wanted w
                CROSS JOIN system_entry e
                WHERE p.low < p.high AND e.account = p.account AND e.version = (p.low + p.high + 1) / 2)
            SELECT e.account, e.version, e.seq, e.at, e.debits, e.credits, a.name
            FROM place p CROSS JOIN system_entry e CROSS JOIN system_account a
            WHERE p.low = p.high AND e.account = p.account AND e.version = p.low AND a.number = p.account
            ORDER BY e.account"
        )
    };
}

pub(super) use {entry_columns, head_columns, lot_columns, system_at};

/// `book, size, wallet_count, batch_count, at, nonce`
pub(super) fn head<R: Columns>(row: &R) -> Result<Head, StoreError> {
    let mut row = Reader::new("log_head", row);
    Ok(Head {
        book: BookId::from_uuid(row.uuid()?),
        size: row.integer("size")?,
        wallet_count: row.integer("wallet_count")?,
        batch_count: row.integer("batch_count")?,
        at: row.integer("at")?,
        nonce: row.exactly("nonce")?,
    })
}

/// `book, size, wallet_count, batch_count, at, nonce, bound, spent`; the last two are JSON: pairs of an id in hexadecimal
/// digits and an entry, and ids.
pub(super) fn standing<R: Columns>(row: &R) -> Result<Standing, StoreError> {
    fn id(text: &str) -> Option<[u8; 16]> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).ok().map(|()| id)
    }
    let head = head(row)?;
    let mut row = Reader { row, table: "instruction", next: 6 };
    let bound = row.parsed("id", |text| {
        let pairs: Vec<(String, u64)> = serde_json::from_str(text).ok()?;
        pairs.iter().map(|(text, seq)| Some((id(text)?, *seq))).collect()
    })?;
    row.table = "nonce";
    let spent = row.parsed("id", |text| {
        let ids: Vec<String> = serde_json::from_str(text).ok()?;
        ids.iter().map(|text| id(text)).collect()
    })?;
    Ok(Standing { head, bound, spent })
}

/// `number, seq, code, name_kk, name_ru, name_en, payer, legal_basis, class, knp, kbe, iso_purpose`
pub(super) fn programme<R: Columns>(row: &R) -> Result<ProgrammeRow, StoreError> {
    fn name(text: &str) -> Option<Text<200>> {
        Text::parse(text).ok()
    }
    let mut row = Reader::new("programme", row);
    Ok(ProgrammeRow {
        number: row.integer("number")?,
        seq: row.integer("seq")?,
        spec: ProgrammeSpec {
            code: row.parsed("code", |text| ProgrammeCode::parse(text.as_bytes()).ok())?,
            names: Names {
                kk: row.parsed("name_kk", name)?,
                ru: row.parsed("name_ru", name)?,
                en: row.parsed("name_en", name)?,
            },
            payer: row.parsed("payer", |text| Bin::parse(text.as_bytes()).ok())?,
            legal_basis: row.parsed("legal_basis", |text| LegalBasis::parse(text).ok())?,
            class: row.code("class", FundClass::from_code)?,
            knp: row.parsed_or_null("knp", |text| Knp::parse(text.as_bytes()).ok())?,
            kbe: row.parsed_or_null("kbe", |text| Kbe::parse(text.as_bytes()).ok())?,
            iso_purpose: row.parsed_or_null("iso_purpose", |text| IsoPurpose::parse(text.as_bytes()).ok())?,
        },
    })
}

/// `number, name`, and of the newest entry or null `version, debits, credits`
pub(super) fn system_head<R: Columns>(row: &R) -> Result<SystemHead, StoreError> {
    let mut row = Reader::new("system_entry", row);
    let number = row.integer("account")?;
    let account = row.parsed("name", SystemAccount::parse)?;
    let version: Option<u64> = row.integer_or_null("version")?;
    let debits: Option<i64> = row.integer_or_null("debits")?;
    let credits: Option<i64> = row.integer_or_null("credits")?;
    let zero = i64::default;
    let head = (version.unwrap_or_default(), debits.unwrap_or_else(zero), credits.unwrap_or_else(zero));
    Ok(SystemHead::stored(number, account, head.0, head.1, head.2))
}

/// `account, version, seq, at, debits, credits`
pub(super) fn system_entry<R: Columns>(row: &R) -> Result<SystemEntry, StoreError> {
    system_entry_of(&mut Reader::new("system_entry", row))
}

fn system_entry_of<R: Columns>(row: &mut Reader<'_, R>) -> Result<SystemEntry, StoreError> {
    Ok(SystemEntry {
        account: row.integer("account")?,
        version: row.integer("version")?,
        seq: row.integer("seq")?,
        at: row.integer("at")?,
        debits: row.integer("debits")?,
        credits: row.integer("credits")?,
    })
}

/// `account, version, seq, at, debits, credits, name`
pub(super) fn named_system_entry<R: Columns>(row: &R) -> Result<(SystemAccount, SystemEntry), StoreError> {
    let mut row = Reader::new("system_entry", row);
    let entry = system_entry_of(&mut row)?;
    Ok((row.parsed("name", SystemAccount::parse)?, entry))
}

/// The head columns. A wallet without an entry has nulls there.
fn wallet_of<R: Columns>(row: &mut Reader<'_, R>, account: u32) -> Result<Wallet, StoreError> {
    let Some(version) = row.integer_or_null("version")? else { return Ok(Wallet::opened(account)) };
    let wallet = Wallet {
        account,
        version,
        posted: row.integer("posted")?,
        held: row.integer("held")?,
        general: row.integer("general")?,
        general_held: row.integer("general_held")?,
        first_open_lot: row.integer("first_open_lot")?,
        state: row.code("state", WalletState::from_code)?,
        choice: row.flag("choice")?,
        frozen: row.flag("frozen")?,
    };
    if version == 0 || !wallet.is_sound() {
        return Err(row.bad("posted", format!("an unsound head at version {version} of account {account}")));
    }
    Ok(wallet)
}

/// `account`, and the head columns
pub(super) fn wallet<R: Columns>(row: &R) -> Result<Wallet, StoreError> {
    let mut row = Reader::new("wallet_entry", row);
    let account = row.integer("account")?;
    wallet_of(&mut row, account)
}

/// `id, account`, and the head columns or nulls
pub(super) fn wallet_by_id<R: Columns>(row: &R) -> Result<(WalletId, Wallet), StoreError> {
    let mut row = Reader::new("wallet_entry", row);
    let id = WalletId::from_uuid(row.uuid()?);
    let account = row.integer("account")?;
    Ok((id, wallet_of(&mut row, account)?))
}

/// The entry columns
pub(super) fn wallet_entry<R: Columns>(row: &R) -> Result<WalletEntry, StoreError> {
    let mut row = Reader::new("wallet_entry", row);
    let (seq, at) = (row.integer("seq")?, row.integer("at")?);
    let kind = row.code("kind", EntryKind::from_code)?;
    let amount = row.integer("amount")?;
    let benefit = row.benefit_or_null()?;
    let class = match row.integer_or_null("class")? {
        None => None,
        Some(code) => Some(FundClass::from_code(code).ok_or_else(|| row.bad("class", code))?),
    };
    let refers = row.integer_or_null("refers")?;
    let account = row.integer("account")?;
    let after = wallet_of(&mut row, account)?;
    let is_lot = benefit.is_some() && class.is_some();
    let is_well_formed = match kind {
        EntryKind::Accrual => amount > 0 && is_lot,
        EntryKind::MovedIn => amount >= 0 && is_lot && refers.is_some(),
        EntryKind::Reversal | EntryKind::PayOut | EntryKind::Return => amount != 0,
        EntryKind::Levy => amount < 0,
        _ => true,
    };
    if !is_well_formed {
        return Err(
            row.bad("kind", format!("a malformed entry at version {} of account {account}", after.version))
        );
    }
    Ok(WalletEntry { seq, at, kind, amount, benefit, class, refers, after })
}

/// The lot columns
pub(super) fn lot<R: Columns>(row: &R) -> Result<(u32, Lot), StoreError> {
    Ok(benefit_lot(row)?.1)
}

/// The lot columns, with the benefit that made it
pub(super) fn benefit_lot<R: Columns>(row: &R) -> Result<(Benefit, (u32, Lot)), StoreError> {
    let mut row = Reader::new("wallet_entry", row);
    let account = row.integer("account")?;
    let benefit = row.benefit()?;
    let mut lot = Lot {
        version: row.integer("version")?,
        seq: row.integer("seq")?,
        benefit,
        class: row.code("class", FundClass::from_code)?,
        amount: row.integer("amount")?,
        remaining: 0,
        held: 0,
        reversed: 0,
        movements: 0,
    };
    lot.remaining = lot.amount;
    row.table = "lot_movement";
    if let Some(remaining) = row.integer_or_null("remaining")? {
        lot.remaining = remaining;
        lot.held = row.integer("held")?;
        lot.reversed = row.integer("reversed")?;
        lot.movements = row.integer("movement")?;
    }
    if lot.held < 0
        || lot.held > lot.remaining
        || lot.reversed < 0
        || lot.remaining > lot.amount - lot.reversed
    {
        let found = format!("an unsound lot {} of account {account}", lot.version);
        return Err(row.bad("remaining", found));
    }
    Ok((benefit, (account, lot)))
}

/// `account, lot, movement, version, amount, remaining, held, reversed`
pub(super) fn lot_movement<R: Columns>(row: &R) -> Result<LotMovement, StoreError> {
    let mut row = Reader::new("lot_movement", row);
    Ok(LotMovement {
        account: row.integer("account")?,
        lot: row.integer("lot")?,
        movement: row.integer("movement")?,
        version: row.integer("version")?,
        amount: row.integer("amount")?,
        remaining: row.integer("remaining")?,
        held: row.integer("held")?,
        reversed: row.integer("reversed")?,
    })
}

/// `programme, period, part, accounts`
pub(super) fn benefit_paid<R: Columns>(row: &R) -> Result<(Benefit, RoaringBitmap), StoreError> {
    let mut row = Reader::new("benefit_paid", row);
    let benefit = row.benefit()?;
    let bytes = row.bytes()?;
    let accounts = RoaringBitmap::deserialize_from(bytes.as_slice())
        .map_err(|_| row.bad("accounts", format!("{} bytes that are no bitmap", bytes.len())))?;
    Ok((benefit, accounts))
}

/// `seq, wallet id, bank, lot, amount, returned`
pub(super) fn pay_out_share<R: Columns>(row: &R) -> Result<(u64, WalletId, Bic, PayOutShare), StoreError> {
    let mut row = Reader::new("pay_out", row);
    let seq = row.integer("seq")?;
    let wallet = WalletId::from_uuid(row.uuid()?);
    let bank = row.parsed("bank", |text| Bic::parse(text.as_bytes()).ok())?;
    let share = PayOutShare {
        lot: row.integer("lot")?,
        amount: row.integer("amount")?,
        returned: row.integer("returned")?,
    };
    if share.returned < 0 || share.returned > share.amount {
        return Err(row.bad("amount", format!("entry {seq}: more came back than went out")));
    }
    Ok((seq, wallet, bank, share))
}

/// Gathers pay-outs from the rows of their shares, which come in order.
pub(super) fn pay_outs(shares: Vec<(u64, WalletId, Bic, PayOutShare)>) -> Vec<(u64, PayOut)> {
    let mut pay_outs: Vec<(u64, PayOut)> = Vec::new();
    for (seq, wallet, bank, share) in shares {
        match pay_outs.last_mut() {
            Some((last, pay_out)) if *last == seq => pay_out.shares.push(share),
            _ => pay_outs.push((seq, PayOut { wallet, bank, shares: vec![share] })),
        }
    }
    pay_outs
}

/// `number, id, client, declaration`, and of the newest entry or null `version, state, received_lines, received_total,
/// accepted_lines, accepted_total`. The received lines are put in later.
pub(super) fn batch<R: Columns>(row: &R) -> Result<Batch, StoreError> {
    let mut row = Reader::new("batch", row);
    let number = row.integer("number")?;
    let id = BatchId::from_uuid(row.uuid()?);
    let client = row.parsed("client", |text| ClientId::parse(text).ok())?;
    let stored: StoredDeclaration = row.parsed("declaration", |text| serde_json::from_str(text).ok())?;
    let declaration = stored.of(id);
    row.table = "batch_entry";
    let (version, state, totals) = match row.integer_or_null("version")? {
        Some(version) => {
            let state = row.code("state", BatchState::from_code)?;
            let totals = BatchTotals {
                received_lines: row.integer("received_lines")?,
                received_total: row.integer("received_total")?,
                accepted_lines: row.integer("accepted_lines")?,
                accepted_total: row.integer("accepted_total")?,
            };
            (version, state, totals)
        }
        None if declaration.release_required => (0, BatchState::AwaitingRelease, BatchTotals::default()),
        None => (0, BatchState::Open, BatchTotals::default()),
    };
    Ok(Batch { number, client, declaration, state, version, totals, received: LineSet::default() })
}

/// `batch, first_line, lines`
pub(super) fn received<R: Columns>(row: &R) -> Result<(u32, u64, u64), StoreError> {
    let mut row = Reader::new("batch_entry", row);
    Ok((row.integer("batch")?, row.integer("first_line")?, row.integer("lines")?))
}

/// `version, first_line, lines, digest, verdicts`
pub(super) fn chunk<R: Columns>(row: &R) -> Result<ChunkRow, StoreError> {
    let mut row = Reader::new("batch_entry", row);
    Ok(ChunkRow {
        version: row.integer("version")?,
        first_line: row.integer("first_line")?,
        lines: row.integer("lines")?,
        digest: row.exactly("digest")?,
        verdicts: row.bytes()?,
    })
}

/// `first, count, leaves`
pub(super) fn bundle<R: Columns>(row: &R) -> Result<Bundle, StoreError> {
    let mut row = Reader::new("journal", row);
    Ok(Bundle { first: row.integer("first")?, count: row.integer("count")?, bytes: row.bytes()? })
}

/// `level, place, hashes`
pub(super) fn tile<R: Columns>(row: &R) -> Result<Tile, StoreError> {
    let mut row = Reader::new("tile", row);
    Ok(Tile { level: row.integer("level")?, index: row.integer("place")?, hashes: row.bytes()? })
}

/// `seq, generation, old_key, log_key`
pub(super) fn log_change<R: Columns>(row: &R) -> Result<LogChange, StoreError> {
    let mut row = Reader::new("log_change", row);
    Ok(LogChange {
        seq: row.integer("seq")?,
        generation: row.integer("generation")?,
        old_key: row.parsed_or_null("old_key", |text| Some(text.to_owned()))?,
        key: row.parsed_or_null("log_key", |text| Some(text.to_owned()))?,
    })
}

/// `id`
pub(super) fn nonce<R: Columns>(row: &R) -> Result<[u8; 16], StoreError> {
    Reader::new("nonce", row).exactly("id")
}

/// `evidence`: that of an entry of the commit.
pub(super) fn evidence<R: Columns>(row: &R, entry: u64) -> Result<Option<Evidence>, StoreError> {
    let mut row = Reader::new("log_commit", row);
    let kept = row.bytes()?;
    Evidence::find(&kept, entry).map_err(|Malformed| row.bad("evidence", "malformed"))
}

/// `seq, client, change`
pub(super) fn registry_change<R: Columns>(row: &R) -> Result<RegistryChange, StoreError> {
    let mut row = Reader::new("registry_change", row);
    Ok(RegistryChange {
        seq: row.integer("seq")?,
        by: row.parsed("client", |text| ClientId::parse(text).ok())?,
        change: row.parsed("change", |text| serde_json::from_str(text).ok())?,
    })
}

/// A change of who may call, as stored.
pub(super) fn registry_change_json(change: &Change) -> String {
    serde_json::to_string(change).expect("texts and numbers are JSON")
}

/// `size, previous_size, body`
pub(super) fn fixed_checkpoint<R: Columns>(row: &R) -> Result<FixedCheckpoint, StoreError> {
    let mut row = Reader::new("checkpoint", row);
    Ok(FixedCheckpoint {
        size: row.integer("size")?,
        previous_size: row.integer("previous_size")?,
        body: row.bytes()?,
    })
}

/// `size, at, note`
pub(super) fn published_checkpoint<R: Columns>(row: &R) -> Result<PublishedCheckpoint, StoreError> {
    let mut row = Reader::new("checkpoint_published", row);
    Ok(PublishedCheckpoint { size: row.integer("size")?, at: row.integer("at")?, note: row.bytes()? })
}

/// The leaves of a bundle.
pub(super) fn leaves_of(bundle: &Bundle) -> Result<Vec<&[u8]>, StoreError> {
    let bad =
        |what| inconsistent("journal", "leaves", format!("the bundle from entry {}: {what}", bundle.first));
    let mut leaves = Vec::new();
    let mut rest = bundle.bytes.as_slice();
    while let Some((length, tail)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (leaf, tail) = tail.split_at_checked(length).ok_or_else(|| bad("a leaf is cut off"))?;
        leaves.push(leaf);
        rest = tail;
    }
    if !rest.is_empty() || leaves.len() as u64 != u64::from(bundle.count) {
        return Err(bad("another number of leaves than it says"));
    }
    Ok(leaves)
}

/// `account, id, opened_seq`
pub(super) fn wallet_id<R: Columns>(row: &R) -> Result<(u32, WalletId, u64), StoreError> {
    let mut row = Reader::new("wallet", row);
    Ok((row.integer("account")?, WalletId::from_uuid(row.uuid()?), row.integer("opened_seq")?))
}

/// A batch's declaration as JSON. Its id is a column of its own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDeclaration {
    kind: LineKind,
    payer: Bin,
    programmes: Vec<ProgrammeCode>,
    periods: Vec<Period>,
    lines: u64,
    total: Money,
    not_before: Option<i64>,
    release_required: bool,
}

impl StoredDeclaration {
    fn of(self, batch: BatchId) -> BatchDeclaration {
        let Self { kind, payer, programmes, periods, lines, total, not_before, release_required } = self;
        BatchDeclaration {
            batch,
            kind,
            payer,
            programmes,
            periods,
            lines,
            total,
            not_before,
            release_required,
        }
    }
}

/// A declaration as stored.
pub(super) fn declaration_json(declaration: &BatchDeclaration) -> String {
    let BatchDeclaration { kind, payer, lines, total, not_before, release_required, .. } = *declaration;
    let (programmes, periods) = (declaration.programmes.clone(), declaration.periods.clone());
    let stored =
        StoredDeclaration { kind, payer, programmes, periods, lines, total, not_before, release_required };
    serde_json::to_string(&stored).expect("texts, numbers and lists of them are JSON")
}

/// The wallets that a commit paid a benefit to, as a serialised bitmap.
pub(super) fn bitmap(accounts: &[u32]) -> Vec<u8> {
    // In order they go to the end of the bitmap, not into its middle.
    let mut sorted = accounts.to_vec();
    sorted.sort_unstable();
    let bitmap: RoaringBitmap = sorted.into_iter().collect();
    let mut bytes = Vec::with_capacity(bitmap.serialized_size());
    bitmap.serialize_into(&mut bytes).expect("a vector takes any number of bytes");
    bytes
}

/// A row of `pay_out`: one share of one pay-out.
pub(super) struct PayOutRow {
    pub(super) seq: u64,
    pub(super) draw: u32,
    pub(super) account: u32,
    pub(super) version: u32,
    pub(super) lot: u32,
    pub(super) amount: i64,
    pub(super) bank: Bic,
}

/// The rows of the pay-outs of a commit: the bank from the records, the shares from the movements, which are both in
/// journal order.
pub(super) fn pay_out_rows(commit: &Commit) -> Result<Vec<PayOutRow>, StoreError> {
    let Effects { records, entries, movements, .. } = &commit.effects;
    let mut movements = movements.iter().peekable();
    let mut rows = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind != EntryKind::Accrual) {
        let (account, version, seq) = (entry.after.account, entry.after.version, entry.seq);
        let record = entry
            .seq
            .checked_sub(commit.before.size)
            .and_then(|index| records.get(usize::try_from(index).ok()?));
        let bank = match record {
            Some((Record::PaidOut { bank, .. }, _)) if entry.kind == EntryKind::PayOut => Some(*bank),
            Some((Record::Payment(_), _)) => None, // `payment` has its lots
            _ if entry.kind == EntryKind::PayOut => {
                return Err(inconsistent(
                    "pay_out",
                    "bank",
                    format!("entry {seq} is written without its record"),
                ));
            }
            _ => None,
        };
        let mut draw = 0;
        while let Some(moved) =
            movements.next_if(|moved| (moved.account, moved.version) == (account, version))
        {
            draw += 1;
            if let Some(bank) = bank {
                rows.push(PayOutRow {
                    seq,
                    draw,
                    account,
                    version,
                    lot: moved.lot,
                    amount: -moved.amount,
                    bank,
                });
            }
        }
    }
    Ok(rows)
}

/// The first entry of the bundle that an entry is in.
pub(super) fn bundle_of(entry: u64) -> u64 {
    entry / BUNDLE * BUNDLE
}

/// `id, seq`
pub(super) fn instruction<R: Columns>(row: &R) -> Result<([u8; 16], u64), StoreError> {
    let mut row = Reader::new("instruction", row);
    Ok((row.exactly("id")?, row.integer("seq")?))
}

/// A lot as the entry that paid its benefit.
pub(super) fn paid((account, lot): (u32, Lot)) -> ((u32, Benefit), Paid) {
    ((account, lot.benefit), Paid { seq: lot.seq, amount: lot.amount })
}

/// Puts received lines, as (batch, first, lines), into their batches.
pub(super) fn receive(batches: &mut [Batch], received: Vec<(u32, u64, u64)>) {
    for (number, first, lines) in received {
        if let Some(batch) = batches.iter_mut().find(|batch| batch.number == number) {
            batch.received.insert(first, lines);
        }
    }
}

/// Leaves that are asked for.
pub(super) struct Wanted {
    entries: BTreeSet<u64>,
    pub(super) found: Vec<(u64, Vec<u8>)>,
}

impl Wanted {
    pub(super) fn new(entries: &[u64]) -> Self {
        Self { entries: entries.iter().copied().collect(), found: Vec::new() }
    }

    /// Takes what a bundle has of them.
    pub(super) fn take_from(&mut self, bundle: &Bundle) -> Result<(), StoreError> {
        let leaves = leaves_of(bundle)?;
        for (entry, leaf) in (bundle.first..).zip(leaves) {
            if self.entries.contains(&entry) {
                self.found.push((entry, leaf.to_vec()));
            }
        }
        Ok(())
    }
}
