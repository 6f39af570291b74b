//! Reads. Every one takes arrays and finds its rows by an index: `= ANY`, or `LATERAL` from the array with an order that
//! only the index gives.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use roaring::RoaringBitmap;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Postgres, Row};
use uuid::Uuid;

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
type Asked = Query<'static, Postgres, PgArguments>;

async fn all<T>(
    connection: &mut PgConnection,
    query: Asked,
    read: impl Fn(&PgRow) -> Read<T>,
) -> Read<Vec<T>> {
    query.fetch_all(connection).await?.iter().map(read).collect()
}

async fn one<T>(
    connection: &mut PgConnection,
    query: Asked,
    read: impl Fn(&PgRow) -> Read<T>,
) -> Read<Option<T>> {
    query.fetch_optional(connection).await?.as_ref().map(read).transpose()
}

/// A number as far as its column reaches: beyond it there is nothing.
fn int4(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn int8(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// `book, size, wallet_count, batch_count, at, nonce`: the newest commit, or none yet. Wallets and batches are numbered without
/// a gap.
macro_rules! newest_commit {
    () => {
        "b.id, coalesce(c.size_after, 0), (SELECT coalesce(max(account), 0) FROM wallet),
        (SELECT coalesce(max(number), 0) FROM batch), coalesce(c.at, 0), coalesce(c.nonce, decode(repeat('00', 16), 'hex'))"
    };
}

/// Where [`newest_commit`] is taken from.
macro_rules! from_newest_commit {
    () => {
        "FROM book b LEFT JOIN LATERAL
            (SELECT size_after, at, nonce FROM log_commit ORDER BY size_after DESC LIMIT 1) c ON true"
    };
}

pub(super) async fn head(connection: &mut PgConnection) -> Read<Option<Head>> {
    let sql = concat!("SELECT ", newest_commit!(), " ", from_newest_commit!());
    one(connection, sqlx::query(sql), rows::head).await
}

/// Locks the head in the open transaction: waits for a commit that is under way, and lets none begin. Who waits for it is not passed by.
pub(super) async fn lock_head(connection: &mut PgConnection) -> Read<()> {
    connection.execute("LOCK TABLE book IN EXCLUSIVE MODE").await?;
    Ok(())
}

pub(super) async fn has_commit(connection: &mut PgConnection, commit: &Commit) -> Read<bool> {
    let query = sqlx::query_scalar::<_, Vec<u8>>("SELECT nonce FROM log_commit WHERE size_after = $1");
    let nonce = query.bind(int8(commit.after.size)).fetch_optional(connection).await?;
    Ok(nonce.is_some_and(|nonce| nonce == commit.after.nonce))
}

pub(super) async fn programmes(connection: &mut PgConnection) -> Read<Vec<ProgrammeRow>> {
    let sql = "SELECT number, seq, code, name_kk, name_ru, name_en, payer, legal_basis,
            coalesce((SELECT c.class FROM programme_class c WHERE c.programme = number ORDER BY c.seq DESC LIMIT 1), class),
            knp, kbe, iso_purpose
        FROM programme ORDER BY number";
    all(connection, sqlx::query(sql), rows::programme).await
}

pub(super) async fn system_accounts(connection: &mut PgConnection) -> Read<Vec<SystemHead>> {
    let sql = "SELECT a.number, a.name, e.version, e.debits, e.credits
        FROM system_account a LEFT JOIN LATERAL
            (SELECT * FROM system_entry WHERE account = a.number ORDER BY version DESC LIMIT 1) e ON true
        ORDER BY a.number";
    all(connection, sqlx::query(sql), rows::system_head).await
}

/// Wallets by id, with their newest entries.
const WALLETS: &str = concat!(
    "SELECT w.id, w.account, ",
    head_columns!(),
    " FROM unnest($1::uuid[]) k (id)
      CROSS JOIN LATERAL (SELECT id, account FROM wallet WHERE id = k.id LIMIT 1) w
      LEFT JOIN LATERAL (SELECT * FROM wallet_entry WHERE account = w.account ORDER BY version DESC LIMIT 1) e ON true"
);

pub(super) async fn wallets(
    connection: &mut PgConnection,
    ids: &[WalletId],
) -> Read<Vec<(WalletId, Wallet)>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    all(connection, sqlx::query(WALLETS).bind(ids), rows::wallet_by_id).await
}

/// Benefits as three arrays, and what comes before them as a fourth.
fn benefit_arrays<'a>(benefits: impl Iterator<Item = &'a Benefit>) -> (Vec<i32>, Vec<i32>, Vec<i16>) {
    let mut arrays = (Vec::new(), Vec::new(), Vec::new());
    for benefit in benefits {
        arrays.0.push(int4(benefit.programme));
        arrays.1.push(benefit.period.code());
        arrays.2.push(i16::try_from(benefit.part.get()).unwrap_or(i16::MAX));
    }
    arrays
}

const BENEFITS: &str = "SELECT b.programme, b.period, b.part, b.accounts
    FROM unnest($1::int[], $2::int[], $3::smallint[]) k (programme, period, part)
    CROSS JOIN LATERAL (SELECT * FROM benefit_paid
        WHERE programme = k.programme AND period = k.period AND part = k.part ORDER BY size_after) b";

pub(super) async fn benefits(
    connection: &mut PgConnection,
    benefits: &[Benefit],
) -> Read<Vec<(Benefit, RoaringBitmap)>> {
    let (programmes, periods, parts) = benefit_arrays(benefits.iter());
    let query = sqlx::query(BENEFITS).bind(programmes).bind(periods).bind(parts);
    let mut found = query.fetch(connection);
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
    " FROM unnest($1::int[], $2::int[], $3::int[], $4::smallint[]) k (account, programme, period, part)
      CROSS JOIN LATERAL (SELECT * FROM wallet_entry
          WHERE account = k.account AND kind IN (1, 11) AND programme = k.programme AND period = k.period AND part = k.part
          ORDER BY version) e
      LEFT JOIN LATERAL (SELECT * FROM lot_movement
          WHERE account = e.account AND lot = e.version ORDER BY movement DESC LIMIT 1) m ON true"
);

pub(super) async fn lots_of_benefits(
    connection: &mut PgConnection,
    keys: &[(u32, Benefit)],
) -> Read<Vec<(u32, Lot)>> {
    let accounts: Vec<i32> = keys.iter().map(|(account, _)| int4(*account)).collect();
    let (programmes, periods, parts) = benefit_arrays(keys.iter().map(|(_, benefit)| benefit));
    let query = sqlx::query(LOTS_OF_BENEFITS).bind(accounts).bind(programmes).bind(periods).bind(parts);
    let mut lots = all(connection, query, rows::lot).await?;
    lots.sort_unstable_by_key(|(account, lot)| (*account, lot.version));
    Ok(lots)
}

/// The lots of wallets from a version on, as of a version.
const LOTS: &str = concat!(
    "SELECT ",
    lot_columns!(),
    " FROM unnest($1::int[], $2::int[], $3::int[]) k (account, first, as_of)
      CROSS JOIN LATERAL (SELECT * FROM wallet_entry
          WHERE account = k.account AND version BETWEEN k.first AND k.as_of AND kind IN (1, 11) ORDER BY version) e
      LEFT JOIN LATERAL (SELECT * FROM lot_movement
          WHERE account = e.account AND lot = e.version AND version <= k.as_of ORDER BY movement DESC LIMIT 1) m ON true"
);

pub(super) async fn lots(connection: &mut PgConnection, keys: &[(u32, u32, u32)]) -> Read<Vec<(u32, Lot)>> {
    let accounts: Vec<i32> = keys.iter().map(|key| int4(key.0)).collect();
    let firsts: Vec<i32> = keys.iter().map(|key| int4(key.1)).collect();
    let as_of: Vec<i32> = keys.iter().map(|key| int4(key.2)).collect();
    all(connection, sqlx::query(LOTS).bind(accounts).bind(firsts).bind(as_of), rows::lot).await
}

/// The shares of pay-outs, with what has come back of each.
const PAY_OUTS: &str = "SELECT p.seq, w.id, p.bank, p.lot, p.amount, r.returned
    FROM unnest($1::bigint[]) k (seq)
    CROSS JOIN LATERAL (SELECT * FROM pay_out WHERE seq = k.seq ORDER BY draw) p
    CROSS JOIN LATERAL (SELECT id FROM wallet WHERE account = p.account LIMIT 1) w
    CROSS JOIN LATERAL (SELECT coalesce(sum(m.amount), 0)::bigint AS returned
        FROM (SELECT * FROM wallet_entry
            WHERE account = p.account AND version > p.version AND kind = 4 AND refers = p.seq ORDER BY version) e
        CROSS JOIN LATERAL (SELECT amount FROM lot_movement
            WHERE account = p.account AND lot = p.lot AND version = e.version ORDER BY movement LIMIT 1) m) r
    ORDER BY p.seq, p.draw";

pub(super) async fn pay_outs(connection: &mut PgConnection, entries: &[u64]) -> Read<Vec<(u64, PayOut)>> {
    let entries: Vec<i64> = entries.iter().map(|entry| int8(*entry)).collect();
    let shares = all(connection, sqlx::query(PAY_OUTS).bind(entries), rows::pay_out_share).await?;
    Ok(rows::pay_outs(shares))
}

const INSTRUCTIONS: &str = "SELECT id, seq FROM instruction WHERE id = ANY($1::bytea[])";

pub(super) async fn instructions(
    connection: &mut PgConnection,
    ids: &[[u8; 16]],
) -> Read<Vec<([u8; 16], u64)>> {
    let ids: Vec<&[u8]> = ids.iter().map(<[u8; 16]>::as_slice).collect();
    let found = sqlx::query(INSTRUCTIONS).bind(ids).fetch_all(connection).await?;
    found.iter().map(rows::instruction).collect()
}

// One statement, so one moment: what is not bound and not spent at this head cannot be so before a commit on it.
const STANDING: &str = concat!(
    "SELECT ",
    newest_commit!(),
    ",
        (SELECT coalesce(json_agg(json_build_array(encode(i.id, 'hex'), i.seq)), '[]')::text
            FROM unnest($1::bytea[]) k (id)
            CROSS JOIN LATERAL (SELECT id, seq FROM instruction WHERE id = k.id LIMIT 1) i),
        (SELECT coalesce(json_agg(encode(n.id, 'hex')), '[]')::text
            FROM unnest($2::bigint[], $3::bytea[]) k (expires, id)
            CROSS JOIN LATERAL (SELECT id FROM nonce WHERE expires = k.expires AND id = k.id LIMIT 1) n) ",
    from_newest_commit!()
);

pub(super) async fn standing(
    connection: &mut PgConnection,
    ids: &[[u8; 16]],
    nonces: &[Nonce],
) -> Read<Option<Standing>> {
    let ids: Vec<&[u8]> = ids.iter().map(<[u8; 16]>::as_slice).collect();
    let expires: Vec<i64> = nonces.iter().map(|nonce| nonce.expires).collect();
    let nonces: Vec<&[u8]> = nonces.iter().map(|nonce| nonce.id.as_slice()).collect();
    one(connection, sqlx::query(STANDING).bind(ids).bind(expires).bind(nonces), rows::standing).await
}

pub(super) async fn evidence(connection: &mut PgConnection, entry: u64) -> Read<Option<Evidence>> {
    let sql = "SELECT evidence FROM log_commit WHERE size_after > $1 ORDER BY size_after LIMIT 1";
    let read = |row: &_| rows::evidence(row, entry);
    Ok(one(connection, sqlx::query(sql).bind(int8(entry)), read).await?.flatten())
}

const BATCHES: &str = "SELECT b.number, b.id, b.client, b.declaration, e.version, e.state, e.received_lines,
        e.received_total, e.accepted_lines, e.accepted_total
    FROM unnest($1::uuid[]) k (id)
    CROSS JOIN LATERAL (SELECT * FROM batch WHERE id = k.id LIMIT 1) b
    LEFT JOIN LATERAL (SELECT * FROM batch_entry WHERE batch = b.number ORDER BY version DESC LIMIT 1) e ON true";

const RECEIVED: &str =
    "SELECT e.batch, e.first_line, e.lines FROM unnest($1::int[], $2::int[]) k (batch, version)
    CROSS JOIN LATERAL (SELECT * FROM batch_entry
        WHERE batch = k.batch AND version <= k.version AND kind = 2 ORDER BY version) e";

pub(super) async fn batches(connection: &mut PgConnection, ids: &[BatchId]) -> Read<Vec<Batch>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let mut batches = all(connection, sqlx::query(BATCHES).bind(ids), rows::batch).await?;
    // Two statements see two moments: only the chunks up to the version that the first one saw are counted.
    let numbers: Vec<i32> = batches.iter().map(|batch| int4(batch.number)).collect();
    let versions: Vec<i32> = batches.iter().map(|batch| int4(batch.version)).collect();
    let received = sqlx::query(RECEIVED).bind(numbers).bind(versions);
    rows::receive(&mut batches, all(connection, received, rows::received).await?);
    Ok(batches)
}

const CHUNKS: &str = "SELECT version, first_line, lines, digest, verdicts FROM batch_entry
    WHERE batch = $1 AND kind = 2 AND first_line <= $3 AND first_line + lines > $2 ORDER BY version";

pub(super) async fn chunks(
    connection: &mut PgConnection,
    batch: u32,
    first: u64,
    last: u64,
) -> Read<Vec<ChunkRow>> {
    let query = sqlx::query(CHUNKS).bind(int4(batch)).bind(int8(first)).bind(int8(last));
    all(connection, query, rows::chunk).await
}

pub(super) async fn batch_times(connection: &mut PgConnection, batch: u32) -> Read<BatchTimes> {
    let sql = "SELECT min(at), max(at) FROM batch_entry WHERE batch = $1 AND kind = 2";
    let row = sqlx::query(sql).bind(int4(batch)).fetch_one(connection).await?;
    Ok(BatchTimes { first_chunk_at: row.try_get(0)?, last_chunk_at: row.try_get(1)? })
}

/// The rows of the journal that hold entries.
const PLACES: &str = "SELECT DISTINCT j.first FROM unnest($1::bigint[]) k (entry)
    CROSS JOIN LATERAL (SELECT first, count FROM journal WHERE first <= k.entry ORDER BY first DESC LIMIT 1) j
    WHERE k.entry < j.first + j.count ORDER BY j.first";

const PLACED: &str = "SELECT first, count, leaves FROM journal WHERE first = ANY($1::bigint[])";

pub(super) async fn leaves(connection: &mut PgConnection, entries: &[u64]) -> Read<Vec<(u64, Vec<u8>)>> {
    let wanted: Vec<i64> = entries.iter().map(|entry| int8(*entry)).collect();
    let places: Vec<i64> = sqlx::query_scalar(PLACES).bind(wanted).fetch_all(&mut *connection).await?;
    // One bundle at a time is in memory, whatever the number of entries asked for.
    let mut found = sqlx::query(PLACED).bind(places).fetch(connection);
    let mut leaves = rows::Wanted::new(entries);
    while let Some(row) = found.try_next().await? {
        leaves.take_from(&rows::bundle(&row)?)?;
    }
    Ok(leaves.found)
}

pub(super) async fn bundles(connection: &mut PgConnection, entry: u64, limit: u32) -> Read<Vec<Bundle>> {
    let sql = "SELECT first, count, leaves FROM journal
        WHERE first >= (SELECT max(first) FROM journal WHERE first <= $1 AND first >= $2) ORDER BY first LIMIT $3";
    let query = sqlx::query(sql).bind(int8(entry)).bind(int8(rows::bundle_of(entry))).bind(i64::from(limit));
    all(connection, query, rows::bundle).await
}

pub(super) async fn tile(connection: &mut PgConnection, level: u8, index: u64) -> Read<Option<Tile>> {
    let query = sqlx::query_scalar("SELECT hashes FROM tile WHERE level = $1 AND place = $2");
    let hashes = query.bind(i16::from(level)).bind(int8(index)).fetch_optional(connection).await?;
    Ok(hashes.map(|hashes| Tile { level, index, hashes }))
}

pub(super) async fn frontier(connection: &mut PgConnection) -> Read<Vec<u8>> {
    let sql = "SELECT frontier FROM log_commit ORDER BY size_after DESC LIMIT 1";
    Ok(sqlx::query_scalar(sql).fetch_optional(connection).await?.unwrap_or_default())
}

pub(super) async fn tiles(
    connection: &mut PgConnection,
    level: u8,
    index: u64,
    limit: u32,
) -> Read<Vec<Tile>> {
    let sql =
        "SELECT level, place, hashes FROM tile WHERE level = $1 AND place >= $2 ORDER BY place LIMIT $3";
    let query = sqlx::query(sql).bind(i16::from(level)).bind(int8(index)).bind(i64::from(limit));
    all(connection, query, rows::tile).await
}

pub(super) async fn frontier_at(connection: &mut PgConnection, size: u64) -> Read<Option<Vec<u8>>> {
    let query = sqlx::query_scalar("SELECT frontier FROM log_commit WHERE size_after = $1");
    Ok(query.bind(int8(size)).fetch_optional(connection).await?)
}

pub(super) async fn log_changes(connection: &mut PgConnection) -> Read<Vec<LogChange>> {
    let sql = "SELECT seq, generation, old_key, log_key FROM log_change ORDER BY seq";
    all(connection, sqlx::query(sql), rows::log_change).await
}

pub(super) async fn registry_changes(connection: &mut PgConnection) -> Read<Vec<RegistryChange>> {
    let sql = "SELECT seq, client, change FROM registry_change ORDER BY seq";
    all(connection, sqlx::query(sql), rows::registry_change).await
}

pub(super) async fn registry_seq(connection: &mut PgConnection) -> Read<Option<u64>> {
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT max(seq) FROM registry_change").fetch_one(connection).await?;
    newest.map(|seq| rows::signed("registry_change", "seq", seq)).transpose()
}

pub(super) async fn fixed_checkpoint(connection: &mut PgConnection) -> Read<Option<FixedCheckpoint>> {
    let sql = "SELECT size, previous_size, body FROM checkpoint ORDER BY size DESC LIMIT 1";
    one(connection, sqlx::query(sql), rows::fixed_checkpoint).await
}

pub(super) async fn published_checkpoint(connection: &mut PgConnection) -> Read<Option<PublishedCheckpoint>> {
    let sql = "SELECT size, at, note FROM checkpoint_published ORDER BY size DESC LIMIT 1";
    one(connection, sqlx::query(sql), rows::published_checkpoint).await
}

pub(super) async fn wallet_at(connection: &mut PgConnection, account: u32, at: i64) -> Read<Option<Wallet>> {
    let sql = concat!(
        "SELECT e.account, ",
        head_columns!(),
        " FROM wallet_entry e WHERE e.account = $1 AND e.at <= $2 ORDER BY e.version DESC LIMIT 1"
    );
    one(connection, sqlx::query(sql).bind(int4(account)).bind(at), rows::wallet).await
}

pub(super) async fn statement(
    connection: &mut PgConnection,
    account: u32,
    range: StatementRange,
) -> Read<Vec<WalletEntry>> {
    let sql = concat!(
        "SELECT ",
        entry_columns!(),
        " FROM wallet_entry e WHERE e.account = $1 AND e.version > $2 AND e.at BETWEEN $3 AND $4
          ORDER BY e.version LIMIT $5"
    );
    let query = sqlx::query(sql).bind(int4(account)).bind(int4(range.after_version)).bind(range.from);
    all(connection, query.bind(range.to).bind(i64::from(range.limit)), rows::wallet_entry).await
}

const SYSTEM_AT: &str = system_at!("$1::bigint");

pub(super) async fn system_at(
    connection: &mut PgConnection,
    at: i64,
) -> Read<Vec<(SystemAccount, SystemEntry)>> {
    all(connection, sqlx::query(SYSTEM_AT).bind(at), rows::named_system_entry).await
}

pub(super) async fn sealed_iin(connection: &mut PgConnection, account: u32) -> Read<Option<Vec<u8>>> {
    let query = sqlx::query_scalar("SELECT sealed_iin FROM person WHERE account = $1");
    Ok(query.bind(int4(account)).fetch_optional(connection).await?)
}

const WALLET_ENTRIES: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM wallet_entry e WHERE (e.account, e.version) > ($1, $2) ORDER BY e.account, e.version LIMIT $3"
);

pub(super) async fn wallet_entries(
    connection: &mut PgConnection,
    after: (u32, u32),
    limit: u32,
) -> Read<Vec<WalletEntry>> {
    let query = sqlx::query(WALLET_ENTRIES).bind(int4(after.0)).bind(int4(after.1)).bind(i64::from(limit));
    all(connection, query, rows::wallet_entry).await
}

pub(super) async fn lot_movements(
    connection: &mut PgConnection,
    after: (u32, u32, u32),
    limit: u32,
) -> Read<Vec<LotMovement>> {
    let sql = "SELECT account, lot, movement, version, amount, remaining, held, reversed FROM lot_movement
        WHERE (account, lot, movement) > ($1, $2, $3) ORDER BY account, lot, movement LIMIT $4";
    let query = sqlx::query(sql).bind(int4(after.0)).bind(int4(after.1)).bind(int4(after.2));
    all(connection, query.bind(i64::from(limit)), rows::lot_movement).await
}

pub(super) async fn system_entries(
    connection: &mut PgConnection,
    after: (u32, u64),
    limit: u32,
) -> Read<Vec<SystemEntry>> {
    let sql = "SELECT account, version, seq, at, debits, credits FROM system_entry
        WHERE (account, version) > ($1, $2) ORDER BY account, version LIMIT $3";
    let query = sqlx::query(sql).bind(int4(after.0)).bind(int8(after.1)).bind(i64::from(limit));
    all(connection, query, rows::system_entry).await
}

pub(super) async fn wallet_ids(
    connection: &mut PgConnection,
    after: u32,
    limit: u32,
) -> Read<Vec<(u32, WalletId, u64)>> {
    let sql = "SELECT account, id, opened_seq FROM wallet WHERE account > $1 ORDER BY account LIMIT $2";
    all(connection, sqlx::query(sql).bind(int4(after)).bind(i64::from(limit)), rows::wallet_id).await
}

/// The reads whose plans matter, with the number of their arguments.
const PLANNED: [(&str, usize); 13] = [
    (WALLETS, 1),
    (BENEFITS, 3),
    (LOTS_OF_BENEFITS, 4),
    (LOTS, 3),
    (PAY_OUTS, 1),
    (INSTRUCTIONS, 1),
    (BATCHES, 1),
    (RECEIVED, 2),
    (CHUNKS, 3),
    (PLACES, 1),
    (PLACED, 1),
    (SYSTEM_AT, 1),
    (WALLET_ENTRIES, 3),
];

pub(super) async fn plans(connection: &mut PgConnection) -> Read<Vec<(&'static str, String)>> {
    let mut plans = Vec::new();
    for (sql, arguments) in PLANNED.into_iter().chain(crate::store::orders::PLANNED) {
        connection.execute(AssertSqlSafe(format!("PREPARE planned AS {sql}"))).await?;
        let nulls = vec!["NULL"; arguments].join(", ");
        let rows = connection.fetch_all(AssertSqlSafe(format!("EXPLAIN EXECUTE planned({nulls})"))).await?;
        connection.execute("DEALLOCATE planned").await?;
        let lines: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        plans.push((sql, lines.join("\n")));
    }
    Ok(plans)
}
