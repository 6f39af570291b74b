//! The commit: the head, where it still is what the commit was decided on, then the rows, table by table, in one
//! transaction that has the file's lock from its beginning.
//!
//! Rows go in many at a time, by statements with places for 256, 64, 16, 4 and 1 of them that stay prepared: a statement a
//! row costs four times as much, and one JSON text for all of them nearly twice (measured).

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, Executor, SqlSafeStr, SqlStr, Sqlite, SqliteConnection};

use crate::domain::BookId;
use crate::ledger::signed::Nonce;
use crate::store::rows;
use crate::store::sqlite::read;
use crate::store::tables::{self, Cell, Many, Sink, Stored};
use crate::store::{Commit, CommitError, FixedCheckpoint, PublishedCheckpoint, StoreError};

/// Rows of a statement, the most first.
const ROWS: [usize; 5] = [256, 64, 16, 4, 1];

/// Journal entries of a commit that is one text, at most: the texts of larger ones would hardly ever come again.
const SCRIPT_ENTRIES_MAX: usize = 64;

/// What the triggers of `log_commit` say when the head is not this commit's, or a commit of its size is there.
const STALE: [&str; 2] = ["stale: the head is another", "append-only: replace of log_commit is refused"];

/// Primary result codes of SQLite.
const BUSY: u32 = 5;
const CONSTRAINT: u32 = 19;

const MOVE_HEAD: &str = "UPDATE log_head SET size = ?, wallet_count = ?, batch_count = ?, at = ?, nonce = ?
    WHERE size = ? AND nonce = ? AND book = ?";

pub(super) async fn create_book(connection: &mut SqliteConnection, book: BookId) -> Result<(), StoreError> {
    let sql = "INSERT INTO log_head (one, book, size, at, wallet_count, batch_count, nonce)
        SELECT 1, ?, 0, 0, 0, 0, ? WHERE NOT EXISTS (SELECT 1 FROM log_head)";
    sqlx::query(sql).bind(book.uuid()).bind([0u8; 16].as_slice()).execute(connection).await?;
    Ok(())
}

/// Fixes the body of a checkpoint, if the newest is still the one that it follows.
pub(super) async fn fix_checkpoint(
    connection: &mut SqliteConnection,
    checkpoint: &FixedCheckpoint,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO checkpoint (size, previous_size, body)
         SELECT $1, $2, $3 WHERE $2 = (SELECT coalesce(max(size), 0) FROM checkpoint)";
    let query = sqlx::query(sql)
        .bind(rows::signed::<_, i64>("checkpoint", "size", checkpoint.size)?)
        .bind(rows::signed::<_, i64>("checkpoint", "previous_size", checkpoint.previous_size)?)
        .bind(checkpoint.body.clone());
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

/// Publishes the note of a checkpoint, if it is not published.
pub(super) async fn publish_checkpoint(
    connection: &mut SqliteConnection,
    checkpoint: &PublishedCheckpoint,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO checkpoint_published (size, at, note)
         SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM checkpoint_published WHERE size = $1)";
    let query = sqlx::query(sql)
        .bind(rows::signed::<_, i64>("checkpoint_published", "size", checkpoint.size)?)
        .bind(checkpoint.at)
        .bind(checkpoint.note.clone());
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

/// Spends nonces that no commit carries, all in one transaction. Answers which were not spent before.
pub(super) async fn spend(
    connection: &mut SqliteConnection,
    nonces: &[Nonce],
) -> Result<Vec<[u8; 16]>, StoreError> {
    // Not `INSERT OR IGNORE`: the trigger against replacing comes before it.
    let sql = "INSERT INTO nonce (expires, id)
        SELECT DISTINCT k.value ->> 0, unhex(k.value ->> 1) FROM json_each(?) k WHERE NOT EXISTS (
            SELECT 1 FROM nonce WHERE expires = k.value ->> 0 AND id = unhex(k.value ->> 1))
        RETURNING id";
    let nonces = read::json_nonces(nonces);
    let rows = sqlx::query(sql).bind(nonces).fetch_all(connection).await?;
    rows.iter().map(rows::nonce).collect()
}

pub(super) async fn forget_nonces(
    connection: &mut SqliteConnection,
    before: i64,
    at_most: u32,
) -> Result<u64, StoreError> {
    let sql = "DELETE FROM nonce WHERE (expires, id) IN
        (SELECT expires, id FROM nonce WHERE expires < ? ORDER BY expires, id LIMIT ?)";
    Ok(sqlx::query(sql).bind(before).bind(at_most).execute(connection).await?.rows_affected())
}

/// Begins, with the file's lock.
pub(super) async fn begin(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    connection.execute("BEGIN IMMEDIATE").await?;
    Ok(())
}

pub(super) async fn roll_back(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    connection.execute("ROLLBACK").await?;
    Ok(())
}

/// Commits, or says why not. A commit of a few entries is one text of statements, `BEGIN` to `COMMIT`: every statement of
/// its own would be handed to SQLite's thread and waited for, which takes longer than the statement.
pub(super) async fn commit(connection: &mut SqliteConnection, commit: &Commit) -> Result<(), CommitError> {
    if commit.effects.records.len() > SCRIPT_ENTRIES_MAX {
        begin(connection).await.map_err(CommitError::Failed)?;
        let outcome = in_transaction(connection, commit).await;
        if matches!(outcome, Err(CommitError::Stale)) {
            roll_back(connection).await.map_err(CommitError::Failed)?;
        }
        return outcome;
    }
    let mut script = Script::begin(commit).map_err(CommitError::Failed)?;
    write_rows(commit, &mut script).await.map_err(CommitError::Failed)?;
    script.sql.push_str("; COMMIT");
    let query = sqlx::query_with(AssertSqlSafe(script.sql), script.arguments);
    query.execute(connection).await.map(drop).map_err(|error| {
        let said = error.as_database_error();
        let code = said.and_then(|said| said.code()?.parse::<u32>().ok()).map(|code| code & 0xFF);
        match code {
            // The trigger has rolled all back.
            Some(CONSTRAINT) if said.is_some_and(|said| STALE.contains(&said.message())) => {
                CommitError::Stale
            }
            Some(BUSY | CONSTRAINT) => CommitError::Failed(error.into()),
            // It may have come of the COMMIT.
            _ => CommitError::Unknown(error.into()),
        }
    })
}

/// Commits in the open transaction. After an error the transaction is still open.
pub(super) async fn in_transaction(
    connection: &mut SqliteConnection,
    commit: &Commit,
) -> Result<(), CommitError> {
    let head = head_arguments(commit).map_err(CommitError::Failed)?;
    let moved = sqlx::query_with(MOVE_HEAD, head).execute(&mut *connection).await;
    if moved.map_err(|error| CommitError::Failed(error.into()))?.rows_affected() != 1 {
        return Err(CommitError::Stale);
    }
    let mut bulk = Bulk { connection: &mut *connection };
    write_rows(commit, &mut bulk).await.map_err(CommitError::Failed)?;
    // What SQLite says of COMMIT is the truth, but for a thread or a disk that failed.
    connection.execute("COMMIT").await.map(drop).map_err(|error| match error {
        sqlx::Error::Database(ref said) if said.code().as_deref() == Some("5") => {
            CommitError::Failed(error.into())
        }
        error => CommitError::Unknown(error.into()),
    })
}

/// The commit's own row first: its trigger holds it against the head.
async fn write_rows(commit: &Commit, sink: &mut impl Sink) -> Result<(), StoreError> {
    sink.rows(std::slice::from_ref(commit)).await?;
    tables::write(commit, &Many::of(commit), sink).await
}

fn head_arguments(commit: &Commit) -> Result<SqliteArguments, StoreError> {
    let (before, after) = (&commit.before, &commit.after);
    let mut arguments = SqliteArguments::default();
    let cells = [
        Cell::Int8(rows::signed("log_head", "size", after.size)?),
        Cell::Int8(after.wallet_count.into()),
        Cell::Int8(after.batch_count.into()),
        Cell::Int8(after.at),
        Cell::Bytes(&after.nonce),
        Cell::Int8(rows::signed("log_head", "size", before.size)?),
        Cell::Bytes(&before.nonce),
        Cell::Uuid(before.book.uuid()),
    ];
    for cell in cells {
        bind(&mut arguments, cell).map_err(encoding)?;
    }
    Ok(arguments)
}

fn encoding(error: sqlx::error::BoxDynError) -> StoreError {
    StoreError::Database(sqlx::Error::Encode(error))
}

/// The statements of a small commit in one text, with the arguments of all of them in a row.
struct Script {
    sql: String,
    arguments: SqliteArguments,
}

impl Script {
    fn begin(commit: &Commit) -> Result<Self, StoreError> {
        Ok(Self { sql: format!("BEGIN IMMEDIATE; {MOVE_HEAD}"), arguments: head_arguments(commit)? })
    }
}

impl Sink for Script {
    async fn rows<T: Stored + Sync>(&mut self, rows: &[T]) -> Result<(), StoreError> {
        let mut rest = rows;
        for count in ROWS {
            while let Some((these, others)) = rest.split_at_checked(count) {
                rest = others;
                self.sql.push_str("; ");
                self.sql.push_str(&insert_sql::<T>(count));
                add_rows(&mut self.arguments, these)?;
            }
        }
        Ok(())
    }
}

/// Statement by statement. While SQLite's thread inserts some rows, the next are made ready.
struct Bulk<'c> {
    connection: &'c mut SqliteConnection,
}

impl Sink for Bulk<'_> {
    async fn rows<T: Stored + Sync>(&mut self, rows: &[T]) -> Result<(), StoreError> {
        let mut rest = rows;
        for count in if T::LARGE { &ROWS[ROWS.len() - 1..] } else { &ROWS } {
            let mut texts = None;
            let mut ready = None;
            while let Some((these, others)) = rest.split_at_checked(*count) {
                rest = others;
                let sql: &SqlStr =
                    texts.get_or_insert_with(|| AssertSqlSafe(insert_sql::<T>(*count)).into_sql_str());
                let arguments = match ready.take() {
                    Some(arguments) => arguments,
                    None => arguments_of(these)?,
                };
                let insert = sqlx::query_with(sql.clone(), arguments).execute(&mut *self.connection);
                let prepare = async { others.get(..*count).map(arguments_of).transpose() };
                let (inserted, prepared) = tokio::join!(biased; insert, prepare);
                inserted?;
                ready = prepared?;
            }
        }
        Ok(())
    }
}

fn arguments_of<T: Stored>(rows: &[T]) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(rows.len() * T::COLUMNS.len(), 0);
    add_rows(&mut arguments, rows)?;
    Ok(arguments)
}

fn add_rows<T: Stored>(arguments: &mut SqliteArguments, rows: &[T]) -> Result<(), StoreError> {
    for row in rows {
        let mut refused = None;
        row.cells(&mut |cell| {
            if let Err(error) = bind(arguments, cell) {
                refused = Some(error);
            }
        })?;
        if let Some(error) = refused {
            return Err(encoding(error));
        }
    }
    Ok(())
}

fn insert_sql<T: Stored>(rows: usize) -> String {
    let names: Vec<&str> = T::COLUMNS.iter().map(|(name, _)| *name).collect();
    let places = format!("({})", vec!["?"; names.len()].join(", "));
    let values = vec![places.as_str(); rows].join(", ");
    // A row that is refused ends the transaction: see the migration.
    format!("INSERT OR ROLLBACK INTO {} ({}) VALUES {values}", T::TABLE, names.join(", "))
}

fn bind(arguments: &mut SqliteArguments, cell: Cell<'_>) -> Result<(), sqlx::error::BoxDynError> {
    fn add<'q>(
        arguments: &mut SqliteArguments,
        value: impl Encode<'q, Sqlite> + sqlx::Type<Sqlite>,
    ) -> Result<(), sqlx::error::BoxDynError> {
        Arguments::add(arguments, value)
    }
    match cell {
        Cell::Null => add(arguments, None::<i64>),
        Cell::Int8(value) => add(arguments, value),
        Cell::Int4(value) => add(arguments, value),
        Cell::Int2(value) => add(arguments, value),
        Cell::Flag(value) => add(arguments, value),
        Cell::Bytes(value) => add(arguments, value.to_vec()),
        Cell::Text(value) => add(arguments, value.to_owned()),
        Cell::Uuid(value) => add(arguments, value),
    }
}
