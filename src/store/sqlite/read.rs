//! Reads. Every one takes an array, as the JSON text that `json_each` reads, and finds its rows by an index: `CROSS JOIN`
//! fixes the order of the loops, from the array to the table.

use std::collections::BTreeMap;
use std::fmt::Display;

use futures::TryStreamExt;
use roaring::RoaringBitmap;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, SqliteConnection};

use crate::domain::{BatchId, WalletId};
use crate::ledger::account::SystemAccount;
use crate::ledger::batch::Batch;
use crate::ledger::books::{PayOut, SystemHead};
use crate::ledger::effects::{LogChange, SystemEntry};
use crate::ledger::registry::RegistryChange;
use crate::ledger::signed::{Evidence, Nonce};
use crate::ledger::wallet::{Benefit, Lot, LotMovement, Wallet, WalletEntry};
use crate::store::rows::{self, entry_columns, head_columns, lot_columns, system_at};
use crate::store::{
    BatchTimes, Bundle, ChunkRow, Commit, FixedCheckpoint, Head, ProgrammeRow, PublishedCheckpoint, Standing,
    StatementRange, StoreError, Tile,
};

type Read<T> = Result<T, StoreError>;
type Asked = Query<'static, Sqlite, SqliteArguments>;

async fn all<T>(
    connection: &mut SqliteConnection,
    query: Asked,
    read: impl Fn(&SqliteRow) -> Read<T>,
) -> Read<Vec<T>> {
    query.fetch_all(connection).await?.iter().map(read).collect()
}

async fn one<T>(
    connection: &mut SqliteConnection,
    query: Asked,
    read: impl Fn(&SqliteRow) -> Read<T>,
) -> Read<Option<T>> {
    query.fetch_optional(connection).await?.as_ref().map(read).transpose()
}

/// A number as far as its column reaches: beyond it there is nothing.
fn int8(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A JSON array of what writes itself as JSON.
fn json<T: Display>(items: impl Iterator<Item = T>) -> String {
    let mut text = String::from("[");
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&item.to_string());
    }
    text.push(']');
    text
}

/// A JSON array of byte strings, in hexadecimal digits.
fn json_bytes<B: AsRef<[u8]>>(items: impl Iterator<Item = B>) -> String {
    json(items.map(|bytes| format!("\"{}\"", hex::encode(bytes))))
}

pub(super) async fn head(connection: &mut SqliteConnection) -> Read<Option<Head>> {
    let sql = "SELECT book, size, wallet_count, batch_count, at, nonce FROM log_head";
    one(connection, sqlx::query(sql), rows::head).await
}

pub(super) async fn has_commit(connection: &mut SqliteConnection, commit: &Commit) -> Read<bool> {
    let query = sqlx::query_scalar::<_, Vec<u8>>("SELECT nonce FROM log_commit WHERE size_after = ?");
    let nonce = query.bind(int8(commit.after.size)).fetch_optional(connection).await?;
    Ok(nonce.is_some_and(|nonce| nonce == commit.after.nonce))
}

pub(super) async fn programmes(connection: &mut SqliteConnection) -> Read<Vec<ProgrammeRow>> {
    let sql = "SELECT number, seq, code, name_kk, name_ru, name_en, payer, legal_basis,
            coalesce((SELECT c.class FROM programme_class c WHERE c.programme = number ORDER BY c.seq DESC LIMIT 1), class),
            knp, kbe, iso_purpose
        FROM programme ORDER BY number";
    all(connection, sqlx::query(sql), rows::programme).await
}

pub(super) async fn system_accounts(connection: &mut SqliteConnection) -> Read<Vec<SystemHead>> {
    let sql = "SELECT a.number, a.name, e.version, e.debits, e.credits
        FROM system_account a LEFT JOIN system_entry e ON e.account = a.number
            AND e.version = (SELECT max(version) FROM system_entry WHERE account = a.number)
        ORDER BY a.number";
    all(connection, sqlx::query(sql), rows::system_head).await
}

/// Wallets by id, with their newest entries.
const WALLETS: &str = concat!(
    "SELECT w.id, w.account, ",
    head_columns!(),
    " FROM json_each(?) k CROSS JOIN wallet w ON w.id = unhex(k.value)
      LEFT JOIN wallet_entry e ON e.account = w.account
          AND e.version = (SELECT max(version) FROM wallet_entry WHERE account = w.account)"
);

pub(super) async fn wallets(
    connection: &mut SqliteConnection,
    ids: &[WalletId],
) -> Read<Vec<(WalletId, Wallet)>> {
    let ids = json_bytes(ids.iter().map(|id| id.uuid().into_bytes()));
    all(connection, sqlx::query(WALLETS).bind(ids), rows::wallet_by_id).await
}

fn benefit_json(benefit: &Benefit) -> String {
    format!("{},{},{}", benefit.programme, benefit.period.code(), benefit.part)
}

const BENEFITS: &str = "SELECT b.programme, b.period, b.part, b.accounts
    FROM json_each(?) k CROSS JOIN benefit_paid b
        ON b.programme = k.value ->> 0 AND b.period = k.value ->> 1 AND b.part = k.value ->> 2";

pub(super) async fn benefits(
    connection: &mut SqliteConnection,
    benefits: &[Benefit],
) -> Read<Vec<(Benefit, RoaringBitmap)>> {
    let keys = json(benefits.iter().map(|benefit| format!("[{}]", benefit_json(benefit))));
    let mut found = sqlx::query(BENEFITS).bind(keys).fetch(connection);
    let mut paid: BTreeMap<Benefit, RoaringBitmap> = BTreeMap::new();
    while let Some(row) = found.try_next().await? {
        let (benefit, accounts) = rows::benefit_paid(&row)?;
        *paid.entry(benefit).or_default() |= accounts;
    }
    Ok(paid.into_iter().collect())
}

/// The lots that benefits made, as they are now. After a merging there may be several of one.
const LOTS_OF_BENEFITS: &str = concat!(
    "SELECT ",
    lot_columns!(),
    " FROM json_each(?) k CROSS JOIN wallet_entry e ON e.account = k.value ->> 0 AND e.kind IN (1, 11)
          AND e.programme = k.value ->> 1 AND e.period = k.value ->> 2 AND e.part = k.value ->> 3
      LEFT JOIN lot_movement m ON m.account = e.account AND m.lot = e.version
          AND m.movement = (SELECT max(movement) FROM lot_movement WHERE account = e.account AND lot = e.version)"
);

pub(super) async fn lots_of_benefits(
    connection: &mut SqliteConnection,
    keys: &[(u32, Benefit)],
) -> Read<Vec<(u32, Lot)>> {
    let keys = json(keys.iter().map(|(account, benefit)| format!("[{account},{}]", benefit_json(benefit))));
    let mut lots = all(connection, sqlx::query(LOTS_OF_BENEFITS).bind(keys), rows::lot).await?;
    lots.sort_unstable_by_key(|(account, lot)| (*account, lot.version));
    Ok(lots)
}

/// The lots of wallets from a version on, as of a version.
const LOTS: &str = concat!(
    "SELECT ",
    lot_columns!(),
    " FROM json_each(?) k CROSS JOIN wallet_entry e ON e.account = k.value ->> 0
          AND e.version BETWEEN k.value ->> 1 AND k.value ->> 2 AND e.kind IN (1, 11)
      LEFT JOIN lot_movement m ON m.account = e.account AND m.lot = e.version AND m.movement =
          (SELECT max(movement) FROM lot_movement
               WHERE account = e.account AND lot = e.version AND version <= k.value ->> 2)"
);

pub(super) async fn lots(
    connection: &mut SqliteConnection,
    keys: &[(u32, u32, u32)],
) -> Read<Vec<(u32, Lot)>> {
    let keys = json(keys.iter().map(|(account, first, as_of)| format!("[{account},{first},{as_of}]")));
    all(connection, sqlx::query(LOTS).bind(keys), rows::lot).await
}

/// The shares of pay-outs, with what has come back of each.
const PAY_OUTS: &str = "SELECT p.seq, w.id, p.bank, p.lot, p.amount,
        (SELECT coalesce(sum(m.amount), 0) FROM wallet_entry e
            CROSS JOIN lot_movement m ON m.account = e.account AND m.lot = p.lot AND m.version = e.version
            WHERE e.account = p.account AND e.version > p.version AND e.kind = 4 AND e.refers = p.seq)
    FROM json_each(?) k CROSS JOIN pay_out p ON p.seq = k.value CROSS JOIN wallet w ON w.account = p.account
    ORDER BY p.seq, p.draw";

pub(super) async fn pay_outs(connection: &mut SqliteConnection, entries: &[u64]) -> Read<Vec<(u64, PayOut)>> {
    let query = sqlx::query(PAY_OUTS).bind(json(entries.iter()));
    Ok(rows::pay_outs(all(connection, query, rows::pay_out_share).await?))
}

const INSTRUCTIONS: &str =
    "SELECT i.id, i.seq FROM json_each(?) k CROSS JOIN instruction i ON i.id = unhex(k.value)";

pub(super) async fn instructions(
    connection: &mut SqliteConnection,
    ids: &[[u8; 16]],
) -> Read<Vec<([u8; 16], u64)>> {
    all(connection, sqlx::query(INSTRUCTIONS).bind(json_bytes(ids.iter())), rows::instruction).await
}

// One statement, so one moment: what is not bound and not spent at this head cannot be so before a commit on it.
const STANDING: &str = "SELECT h.book, h.size, h.wallet_count, h.batch_count, h.at, h.nonce,
        (SELECT json_group_array(json_array(hex(i.id), i.seq))
            FROM json_each(?1) k CROSS JOIN instruction i ON i.id = unhex(k.value)),
        (SELECT json_group_array(hex(n.id))
            FROM json_each(?2) k CROSS JOIN nonce n ON n.expires = k.value ->> 0 AND n.id = unhex(k.value ->> 1))
    FROM log_head h";

pub(super) async fn standing(
    connection: &mut SqliteConnection,
    ids: &[[u8; 16]],
    nonces: &[Nonce],
) -> Read<Option<Standing>> {
    let query = sqlx::query(STANDING).bind(json_bytes(ids.iter())).bind(json_nonces(nonces));
    one(connection, query, rows::standing).await
}

/// A JSON array of `[expires, id in hexadecimal digits]`.
pub(super) fn json_nonces(nonces: &[Nonce]) -> String {
    json(nonces.iter().map(|nonce| format!("[{},\"{}\"]", nonce.expires, hex::encode(nonce.id))))
}

pub(super) async fn evidence(connection: &mut SqliteConnection, entry: u64) -> Read<Option<Evidence>> {
    let sql = "SELECT evidence FROM log_commit WHERE size_after > ? ORDER BY size_after LIMIT 1";
    let read = |row: &_| rows::evidence(row, entry);
    Ok(one(connection, sqlx::query(sql).bind(int8(entry)), read).await?.flatten())
}

const BATCHES: &str = "SELECT b.number, b.id, b.client, b.declaration, e.version, e.state, e.received_lines,
        e.received_total, e.accepted_lines, e.accepted_total
    FROM json_each(?) k CROSS JOIN batch b ON b.id = unhex(k.value)
    LEFT JOIN batch_entry e ON e.batch = b.number
        AND e.version = (SELECT max(version) FROM batch_entry WHERE batch = b.number)";

const RECEIVED: &str = "SELECT e.batch, e.first_line, e.lines FROM json_each(?) k
    CROSS JOIN batch_entry e ON e.batch = k.value ->> 0 AND e.version <= k.value ->> 1 AND e.kind = 2";

pub(super) async fn batches(connection: &mut SqliteConnection, ids: &[BatchId]) -> Read<Vec<Batch>> {
    let ids = json_bytes(ids.iter().map(|id| id.uuid().into_bytes()));
    let mut batches = all(connection, sqlx::query(BATCHES).bind(ids), rows::batch).await?;
    // Two statements see two moments: only the chunks up to the version that the first one saw are counted.
    let keys = json(batches.iter().map(|batch| format!("[{},{}]", batch.number, batch.version)));
    let received = all(connection, sqlx::query(RECEIVED).bind(keys), rows::received).await?;
    rows::receive(&mut batches, received);
    Ok(batches)
}

const CHUNKS: &str = "SELECT version, first_line, lines, digest, verdicts FROM batch_entry
    WHERE batch = ?1 AND kind = 2 AND first_line <= ?3 AND first_line + lines > ?2 ORDER BY version";

pub(super) async fn chunks(
    connection: &mut SqliteConnection,
    batch: u32,
    first: u64,
    last: u64,
) -> Read<Vec<ChunkRow>> {
    all(connection, sqlx::query(CHUNKS).bind(batch).bind(int8(first)).bind(int8(last)), rows::chunk).await
}

pub(super) async fn batch_times(connection: &mut SqliteConnection, batch: u32) -> Read<BatchTimes> {
    let sql = "SELECT min(at), max(at) FROM batch_entry WHERE batch = ? AND kind = 2";
    let row = sqlx::query(sql).bind(batch).fetch_one(connection).await?;
    Ok(BatchTimes { first_chunk_at: row.try_get(0)?, last_chunk_at: row.try_get(1)? })
}

/// The rows of the journal that hold entries.
const PLACES: &str = "SELECT DISTINCT j.first FROM json_each(?) k
    CROSS JOIN journal j ON j.first = (SELECT max(first) FROM journal WHERE first <= k.value)
    WHERE k.value < j.first + j.count ORDER BY j.first";

const PLACED: &str =
    "SELECT j.first, j.count, j.leaves FROM json_each(?) k CROSS JOIN journal j ON j.first = k.value";

pub(super) async fn leaves(connection: &mut SqliteConnection, entries: &[u64]) -> Read<Vec<(u64, Vec<u8>)>> {
    let query = sqlx::query_scalar(PLACES).bind(json(entries.iter()));
    let places: Vec<i64> = query.fetch_all(&mut *connection).await?;
    // A few bundles at a time are in memory, whatever the number of entries asked for.
    let mut found = sqlx::query(PLACED).bind(json(places.iter())).fetch(connection);
    let mut leaves = rows::Wanted::new(entries);
    while let Some(row) = found.try_next().await? {
        leaves.take_from(&rows::bundle(&row)?)?;
    }
    Ok(leaves.found)
}

pub(super) async fn bundles(connection: &mut SqliteConnection, entry: u64, limit: u32) -> Read<Vec<Bundle>> {
    let sql = "SELECT first, count, leaves FROM journal
        WHERE first >= (SELECT max(first) FROM journal WHERE first BETWEEN ?2 AND ?1) ORDER BY first LIMIT ?3";
    let query = sqlx::query(sql).bind(int8(entry)).bind(int8(rows::bundle_of(entry))).bind(limit);
    all(connection, query, rows::bundle).await
}

pub(super) async fn tile(connection: &mut SqliteConnection, level: u8, index: u64) -> Read<Option<Tile>> {
    let query = sqlx::query_scalar("SELECT hashes FROM tile WHERE level = ? AND place = ?");
    let hashes = query.bind(level).bind(int8(index)).fetch_optional(connection).await?;
    Ok(hashes.map(|hashes| Tile { level, index, hashes }))
}

pub(super) async fn frontier(connection: &mut SqliteConnection) -> Read<Vec<u8>> {
    let sql = "SELECT frontier FROM log_commit WHERE size_after = (SELECT size FROM log_head)";
    Ok(sqlx::query_scalar(sql).fetch_optional(connection).await?.unwrap_or_default())
}

pub(super) async fn tiles(
    connection: &mut SqliteConnection,
    level: u8,
    index: u64,
    limit: u32,
) -> Read<Vec<Tile>> {
    let sql = "SELECT level, place, hashes FROM tile WHERE level = ? AND place >= ? ORDER BY place LIMIT ?";
    let query = sqlx::query(sql).bind(level).bind(int8(index)).bind(limit);
    all(connection, query, rows::tile).await
}

pub(super) async fn frontier_at(connection: &mut SqliteConnection, size: u64) -> Read<Option<Vec<u8>>> {
    let query = sqlx::query_scalar("SELECT frontier FROM log_commit WHERE size_after = ?");
    Ok(query.bind(int8(size)).fetch_optional(connection).await?)
}

pub(super) async fn log_changes(connection: &mut SqliteConnection) -> Read<Vec<LogChange>> {
    let sql = "SELECT seq, generation, old_key, log_key FROM log_change ORDER BY seq";
    all(connection, sqlx::query(sql), rows::log_change).await
}

pub(super) async fn registry_changes(connection: &mut SqliteConnection) -> Read<Vec<RegistryChange>> {
    let sql = "SELECT seq, client, change FROM registry_change ORDER BY seq";
    all(connection, sqlx::query(sql), rows::registry_change).await
}

pub(super) async fn registry_seq(connection: &mut SqliteConnection) -> Read<Option<u64>> {
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT max(seq) FROM registry_change").fetch_one(connection).await?;
    newest.map(|seq| rows::signed("registry_change", "seq", seq)).transpose()
}

pub(super) async fn fixed_checkpoint(connection: &mut SqliteConnection) -> Read<Option<FixedCheckpoint>> {
    let sql = "SELECT size, previous_size, body FROM checkpoint ORDER BY size DESC LIMIT 1";
    one(connection, sqlx::query(sql), rows::fixed_checkpoint).await
}

pub(super) async fn published_checkpoint(
    connection: &mut SqliteConnection,
) -> Read<Option<PublishedCheckpoint>> {
    let sql = "SELECT size, at, note FROM checkpoint_published ORDER BY size DESC LIMIT 1";
    one(connection, sqlx::query(sql), rows::published_checkpoint).await
}

pub(super) async fn wallet_at(
    connection: &mut SqliteConnection,
    account: u32,
    at: i64,
) -> Read<Option<Wallet>> {
    let sql = concat!(
        "SELECT e.account, ",
        head_columns!(),
        " FROM wallet_entry e WHERE e.account = ? AND e.at <= ? ORDER BY e.version DESC LIMIT 1"
    );
    one(connection, sqlx::query(sql).bind(account).bind(at), rows::wallet).await
}

pub(super) async fn statement(
    connection: &mut SqliteConnection,
    account: u32,
    range: StatementRange,
) -> Read<Vec<WalletEntry>> {
    let sql = concat!(
        "SELECT ",
        entry_columns!(),
        " FROM wallet_entry e WHERE e.account = ? AND e.version > ? AND e.at BETWEEN ? AND ?
          ORDER BY e.version LIMIT ?"
    );
    let query = sqlx::query(sql).bind(account).bind(range.after_version).bind(range.from).bind(range.to);
    all(connection, query.bind(range.limit), rows::wallet_entry).await
}

const SYSTEM_AT: &str = system_at!("?");

pub(super) async fn system_at(
    connection: &mut SqliteConnection,
    at: i64,
) -> Read<Vec<(SystemAccount, SystemEntry)>> {
    all(connection, sqlx::query(SYSTEM_AT).bind(at), rows::named_system_entry).await
}

pub(super) async fn sealed_iin(connection: &mut SqliteConnection, account: u32) -> Read<Option<Vec<u8>>> {
    let query = sqlx::query_scalar("SELECT sealed_iin FROM person WHERE account = ?");
    Ok(query.bind(account).fetch_optional(connection).await?)
}

const WALLET_ENTRIES: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM wallet_entry e WHERE (e.account, e.version) > (?, ?) ORDER BY e.account, e.version LIMIT ?"
);

pub(super) async fn wallet_entries(
    connection: &mut SqliteConnection,
    after: (u32, u32),
    limit: u32,
) -> Read<Vec<WalletEntry>> {
    let query = sqlx::query(WALLET_ENTRIES).bind(after.0).bind(after.1).bind(limit);
    all(connection, query, rows::wallet_entry).await
}

pub(super) async fn lot_movements(
    connection: &mut SqliteConnection,
    after: (u32, u32, u32),
    limit: u32,
) -> Read<Vec<LotMovement>> {
    let sql = "SELECT account, lot, movement, version, amount, remaining, held, reversed FROM lot_movement
        WHERE (account, lot, movement) > (?, ?, ?) ORDER BY account, lot, movement LIMIT ?";
    let query = sqlx::query(sql).bind(after.0).bind(after.1).bind(after.2).bind(limit);
    all(connection, query, rows::lot_movement).await
}

pub(super) async fn system_entries(
    connection: &mut SqliteConnection,
    after: (u32, u64),
    limit: u32,
) -> Read<Vec<SystemEntry>> {
    let sql = "SELECT account, version, seq, at, debits, credits FROM system_entry
        WHERE (account, version) > (?, ?) ORDER BY account, version LIMIT ?";
    let query = sqlx::query(sql).bind(after.0).bind(int8(after.1)).bind(limit);
    all(connection, query, rows::system_entry).await
}

pub(super) async fn wallet_ids(
    connection: &mut SqliteConnection,
    after: u32,
    limit: u32,
) -> Read<Vec<(u32, WalletId, u64)>> {
    let sql = "SELECT account, id, opened_seq FROM wallet WHERE account > ? ORDER BY account LIMIT ?";
    all(connection, sqlx::query(sql).bind(after).bind(limit), rows::wallet_id).await
}
