//! The commit: the head, where it still is what the commit was decided on, then the rows, table by table, in one
//! transaction that has the file's lock from its beginning.
//!
//! Rows go in many at a time, by statements with places for 256, 64, 16, 4 and 1 of them that stay prepared: a statement a
//! row costs four times as much, and one JSON text for all of them nearly twice (measured).

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, Executor, SqlSafeStr, SqlStr, Sqlite, SqliteConnection};

use crate::domain::BookId;
use crate::store::rows::{self, pay_out_rows};
use crate::store::tables::{Cell, Many, Stored, benefits_paid};
use crate::store::{Commit, CommitError, FixedCheckpoint, PublishedCheckpoint, StoreError};

/// Rows of a statement, the most first.
const ROWS: [usize; 5] = [256, 64, 16, 4, 1];

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

/// Begins, with the file's lock.
pub(super) async fn begin(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    connection.execute("BEGIN IMMEDIATE").await?;
    Ok(())
}

pub(super) async fn roll_back(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    connection.execute("ROLLBACK").await?;
    Ok(())
}

/// Commits in the open transaction. After an error the transaction is still open.
pub(super) async fn in_transaction(
    connection: &mut SqliteConnection,
    commit: &Commit,
) -> Result<(), CommitError> {
    if !move_head(connection, commit).await.map_err(CommitError::Failed)? {
        return Err(CommitError::Stale);
    }
    write(connection, commit).await.map_err(CommitError::Failed)?;
    // What SQLite says of COMMIT is the truth, but for a thread or a disk that failed.
    connection.execute("COMMIT").await.map(drop).map_err(|error| match error {
        sqlx::Error::Database(ref said) if said.code().as_deref() == Some("5") => {
            CommitError::Failed(error.into())
        }
        error => CommitError::Unknown(error.into()),
    })
}

async fn move_head(connection: &mut SqliteConnection, commit: &Commit) -> Result<bool, StoreError> {
    let (before, after) = (&commit.before, &commit.after);
    let sql = "UPDATE log_head SET size = ?, wallet_count = ?, batch_count = ?, at = ?, nonce = ?
        WHERE size = ? AND nonce = ? AND book = ?";
    let query = sqlx::query(sql)
        .bind(rows::signed::<_, i64>("log_head", "size", after.size)?)
        .bind(after.wallet_count)
        .bind(after.batch_count)
        .bind(after.at)
        .bind(after.nonce.to_vec())
        .bind(rows::signed::<_, i64>("log_head", "size", before.size)?)
        .bind(before.nonce.to_vec())
        .bind(before.book.uuid());
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

async fn write(connection: &mut SqliteConnection, commit: &Commit) -> Result<(), StoreError> {
    let effects = &commit.effects;
    let many = Many::of(commit);
    insert(connection, std::slice::from_ref(commit)).await?;
    insert(connection, &commit.bundles).await?;
    insert(connection, &commit.tiles).await?;
    insert(connection, &effects.programmes).await?;
    insert(connection, &effects.system_accounts).await?;
    insert(connection, &effects.system_entries).await?;
    insert(connection, &many.wallets).await?;
    insert(connection, &many.tags).await?;
    insert(connection, &many.sealed).await?;
    insert(connection, &many.entries).await?;
    insert(connection, &effects.movements).await?;
    insert(connection, &pay_out_rows(commit)?).await?;
    insert(connection, &benefits_paid(commit)).await?;
    insert(connection, &effects.instructions).await?;
    insert(connection, &effects.batches).await?;
    insert(connection, &effects.batch_entries).await?;
    insert(connection, &effects.log_changes).await
}

/// Inserts the rows of a table. While SQLite's thread inserts some, the next are made ready.
async fn insert<T: Stored>(connection: &mut SqliteConnection, rows: &[T]) -> Result<(), StoreError> {
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
            let insert = sqlx::query_with(sql.clone(), arguments).execute(&mut *connection);
            let prepare = async { others.get(..*count).map(arguments_of).transpose() };
            let (inserted, prepared) = tokio::join!(biased; insert, prepare);
            inserted?;
            ready = prepared?;
        }
    }
    Ok(())
}

fn arguments_of<T: Stored>(rows: &[T]) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(rows.len() * T::COLUMNS.len(), 0);
    let mut refused = None;
    for row in rows {
        row.cells(&mut |cell| {
            if let Err(error) = bind(&mut arguments, cell) {
                refused = Some(error);
            }
        })?;
    }
    match refused {
        None => Ok(arguments),
        Some(error) => Err(StoreError::Database(sqlx::Error::Encode(error))),
    }
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
