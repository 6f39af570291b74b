//! The commit: the head, where it still is what the commit was decided on, then the rows, table by table, in one
//! transaction that has the file's lock from its beginning.
//!
//! Rows go in many at a time, by statements with places for 256, 64, 16, 4 and 1 of them that stay prepared: a statement a
//! row costs four times as much, and one JSON text for all of them nearly twice (measured; see `benches/store.rs`).

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, Executor, Sqlite, SqliteConnection};

use crate::domain::BookId;
use crate::store::rows::{self, pay_out_rows};
use crate::store::tables::{BenefitPaid, Cell, Sealed, Stored, Tag};
use crate::store::{Commit, CommitError, StoreError};

/// Rows of a statement, the most first.
const ROWS: [usize; 5] = [256, 64, 16, 4, 1];

pub(super) async fn create_book(connection: &mut SqliteConnection, book: BookId) -> Result<(), StoreError> {
    let sql = "INSERT INTO log_head (one, book, size, at, wallet_count, batch_count, nonce)
        SELECT 1, ?, 0, 0, 0, 0, ? WHERE NOT EXISTS (SELECT 1 FROM log_head)";
    sqlx::query(sql).bind(book.uuid()).bind([0u8; 16].as_slice()).execute(connection).await?;
    Ok(())
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
    insert(connection, &[commit]).await?;
    insert(connection, &refs(&commit.bundles)).await?;
    insert(connection, &refs(&commit.tiles)).await?;
    insert(connection, &refs(&effects.programmes)).await?;
    insert(connection, &refs(&effects.system_accounts)).await?;
    insert(connection, &refs(&effects.system_entries)).await?;
    let tags: Vec<Tag<'_>> = effects.wallets.iter().map(Tag).collect();
    let sealed: Vec<Sealed<'_>> = effects.wallets.iter().map(Sealed).collect();
    insert(connection, &refs(&effects.wallets)).await?;
    insert(connection, &refs(&tags)).await?;
    insert(connection, &refs(&sealed)).await?;
    // In the order of their wallets, which is the index's: neighbours in it are written together.
    let mut entries = refs(&effects.entries);
    entries.sort_unstable_by_key(|entry| (entry.after.account, entry.after.version));
    insert(connection, &entries).await?;
    insert(connection, &refs(&effects.movements)).await?;
    insert(connection, &refs(&pay_out_rows(commit)?)).await?;
    let paid = effects.benefits.iter().map(|(benefit, accounts)| BenefitPaid {
        size_after: commit.after.size,
        benefit: *benefit,
        accounts: rows::bitmap(accounts),
    });
    insert(connection, &refs(&paid.collect::<Vec<_>>())).await?;
    insert(connection, &refs(&effects.instructions)).await?;
    insert(connection, &refs(&effects.batches)).await?;
    insert(connection, &refs(&effects.batch_entries)).await
}

fn refs<T>(rows: &[T]) -> Vec<&T> {
    rows.iter().collect()
}

/// Inserts the rows of a table.
async fn insert<T: Stored>(connection: &mut SqliteConnection, rows: &[&T]) -> Result<(), StoreError> {
    let mut rest = rows;
    for count in ROWS {
        if rest.len() < count {
            continue;
        }
        let sql = sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(insert_sql::<T>(count)));
        while let Some((these, others)) = rest.split_at_checked(count) {
            rest = others;
            let mut arguments = SqliteArguments::default();
            arguments.reserve(count * T::COLUMNS.len(), 0);
            let mut refused = None;
            for row in these {
                row.cells(&mut |cell| {
                    if let Err(error) = bind(&mut arguments, cell) {
                        refused = Some(error);
                    }
                })?;
            }
            if let Some(error) = refused {
                return Err(StoreError::Database(sqlx::Error::Encode(error)));
            }
            sqlx::query_with(sql.clone(), arguments).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

fn insert_sql<T: Stored>(rows: usize) -> String {
    let names: Vec<&str> = T::COLUMNS.iter().map(|(name, _)| *name).collect();
    let places = format!("({})", vec!["?"; names.len()].join(", "));
    format!(
        "INSERT INTO {} ({}) VALUES {}",
        T::TABLE,
        names.join(", "),
        vec![places.as_str(); rows].join(", ")
    )
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
