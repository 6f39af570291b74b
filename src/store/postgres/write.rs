//! The commit.
//!
//! One statement adds the rows of every table that the commit touches, one or two as they are, more as an array of records, and before
//! them the commit's own row: it names the commit that it follows, which must be there (else NULL is written, and refused), and which no other
//! may have followed (a unique index). So a commit of a few entries is one round trip; one that is stale fails whole, and adds
//! nothing; and no row is ever changed. The table `book` is the lock: all who commit share it, and who wants to be alone
//! locks it against them ([`lock_head`](super::read::lock_head)).
//!
//! The rows of a commit of many wallets or entries are streamed by `COPY` after it, in one transaction: that is nearly twice as fast as an
//! array for each column (measured: 8,192 entries in 50 ms against 80), because the server takes them in without a query and logs a page of them
//! at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, BytesMut};
use sqlx::encode::IsNull;
use sqlx::error::{BoxDynError, ErrorKind};
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgBindIterExt, PgDatabaseError, PgHasArrayType, PgTypeInfo,
};
use sqlx::{Arguments, AssertSqlSafe, Encode, Executor, PgConnection, Postgres};

use crate::domain::BookId;
use crate::ledger::signed::Nonce;
use crate::store::rows;
use crate::store::tables::{self, Cell, Many, Sink, Stored, Type};
use crate::store::{Commit, CommitError, FixedCheckpoint, PublishedCheckpoint, StoreError};

use super::connect::STATEMENTS;

/// From so many wallets or entries on they are copied: below, the transaction's round trips cost more than they save.
const COPY_MIN: usize = 128;

/// Rows of a table that are sent as they are, and not as an array: the two accounts of a single entry are.
const AS_THEY_ARE_MAX: usize = 2;

/// Rows that are sent at a time.
const COPY_ROWS: usize = 512;

pub(super) async fn create_book(connection: &mut PgConnection, book: BookId) -> Result<(), StoreError> {
    let sql = "INSERT INTO book (id) VALUES ($1) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(book.uuid()).execute(connection).await?;
    Ok(())
}

/// Fixes the body of a checkpoint, if the newest is still the one that it follows.
pub(super) async fn fix_checkpoint(
    connection: &mut PgConnection,
    checkpoint: &FixedCheckpoint,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO checkpoint (size, previous_size, body)
         SELECT $1, $2, $3 WHERE $2 = (SELECT coalesce(max(size), 0) FROM checkpoint)
         ON CONFLICT DO NOTHING";
    let query = sqlx::query(sql)
        .bind(rows::signed::<_, i64>("checkpoint", "size", checkpoint.size)?)
        .bind(rows::signed::<_, i64>("checkpoint", "previous_size", checkpoint.previous_size)?)
        .bind(checkpoint.body.clone());
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

/// Publishes the note of a checkpoint, if it is not published.
pub(super) async fn publish_checkpoint(
    connection: &mut PgConnection,
    checkpoint: &PublishedCheckpoint,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO checkpoint_published (size, at, note)
         SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM checkpoint_published WHERE size = $1)
         ON CONFLICT DO NOTHING";
    let query = sqlx::query(sql)
        .bind(rows::signed::<_, i64>("checkpoint_published", "size", checkpoint.size)?)
        .bind(checkpoint.at)
        .bind(checkpoint.note.clone());
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

/// Spends nonces that no commit carries. Answers which were not spent before.
pub(super) async fn spend(
    connection: &mut PgConnection,
    nonces: &[Nonce],
) -> Result<Vec<[u8; 16]>, StoreError> {
    let sql = "INSERT INTO nonce (expires, id) SELECT DISTINCT * FROM unnest($1::bigint[], $2::bytea[])
        ON CONFLICT DO NOTHING RETURNING id";
    let expires: Vec<i64> = nonces.iter().map(|nonce| nonce.expires).collect();
    let ids: Vec<&[u8]> = nonces.iter().map(|nonce| nonce.id.as_slice()).collect();
    let rows = sqlx::query(sql).bind(expires).bind(ids).fetch_all(connection).await?;
    rows.iter().map(rows::nonce).collect()
}

pub(super) async fn forget_nonces(
    connection: &mut PgConnection,
    before: i64,
    at_most: u32,
) -> Result<u64, StoreError> {
    // By the rows' places: a join with so many of them could be planned as one with the whole table.
    let sql = "DELETE FROM nonce WHERE ctid = ANY (ARRAY
        (SELECT ctid FROM nonce WHERE expires < $1 ORDER BY expires, id LIMIT $2))";
    let deleted = sqlx::query(sql).bind(before).bind(i64::from(at_most)).execute(connection).await?;
    Ok(deleted.rows_affected())
}

pub(super) async fn begin(connection: &mut PgConnection) -> Result<(), StoreError> {
    connection.execute("BEGIN").await?;
    Ok(())
}

/// Commits, or says why not.
pub(super) async fn commit(
    connection: &mut PgConnection,
    commit: &Commit,
    texts: &Texts,
) -> Result<(), CommitError> {
    if is_large(commit) {
        // Nothing is sent that could be in doubt before COMMIT is.
        begin(connection).await.map_err(CommitError::Failed)?;
        let outcome = in_transaction(connection, commit, texts).await;
        if matches!(outcome, Err(CommitError::Stale)) {
            connection.execute("ROLLBACK").await.map_err(|error| CommitError::Failed(error.into()))?;
        }
        return outcome;
    }
    let statement = Statement::of(commit, &Many::of(commit)).await.map_err(CommitError::Failed)?;
    match statement.run(connection, texts).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(CommitError::Stale),
        Err(error) => Err(in_doubt(error)),
    }
}

/// Whether a commit has rows enough to be copied.
fn is_large(commit: &Commit) -> bool {
    commit.effects.entries.len() >= COPY_MIN || commit.effects.wallets.len() >= COPY_MIN
}

/// Commits in the open transaction. After an error the transaction is still open.
pub(super) async fn in_transaction(
    connection: &mut PgConnection,
    commit: &Commit,
    texts: &Texts,
) -> Result<(), CommitError> {
    let failed = |error: sqlx::Error| CommitError::Failed(error.into());
    let mut many = Many::of(commit);
    let mut copied = Many::default();
    if is_large(commit) {
        std::mem::swap(&mut many, &mut copied);
    }
    let statement = Statement::of(commit, &many).await.map_err(CommitError::Failed)?;
    if !statement.run(connection, texts).await.map_err(failed)? {
        return Err(CommitError::Stale);
    }
    copy(connection, &copied.bundles).await?;
    copy(connection, &copied.wallets).await?;
    copy(connection, &copied.tags).await?;
    copy(connection, &copied.sealed).await?;
    copy(connection, &copied.entries).await?;
    copy(connection, &copied.movements).await?; // after the entries: what takes money for an authority is looked at
    connection.execute("COMMIT").await.map(drop).map_err(in_doubt)
}

/// What an error means when it came while the server may have been committing: if the server says that it failed, it
/// did; if the connection was lost, or the server shut down, nobody knows.
fn in_doubt(error: sqlx::Error) -> CommitError {
    let said = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    match said.as_deref() {
        // 57P0x: the server shuts down, perhaps while the commit is on its way to a standby. 08: connection. 40003.
        Some(code) if !code.starts_with("57P0") && !code.starts_with("08") && code != "40003" => {
            CommitError::Failed(error.into())
        }
        _ => CommitError::Unknown(error.into()),
    }
}

/// The size of the commit that this one follows, or NULL if it is not there, or in another book. What is read FOR UPDATE locks its table in
/// the mode ROW SHARE: that is how the lock is shared. No row is found, so that none is written to for being locked.
const FOLLOWS: &str = "(SELECT size_after FROM log_commit WHERE size_after = $2 AND nonce = $8
    AND NOT EXISTS (SELECT FROM book WHERE id <> $9 FOR UPDATE))";

/// The same of a book's first commit, which follows nothing.
const FOLLOWS_NONE: &str = "(SELECT $2 FROM book WHERE id = $9 FOR UPDATE)";

/// The arguments of the commit's own row: its cells, in the order of its columns, the nonce of the commit that it follows, and the book.
const OWN_ARGUMENTS: usize = Commit::COLUMNS.len() + 2;

/// What is broken by a commit that follows one which is not the newest: what comes after it is there, or it is not.
const STALE: [&str; 2] = ["log_commit_pkey", "log_commit_follows_once"];

/// Whether the server refused a commit because the head is another.
fn is_stale(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let absent = || {
        let column = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::column);
        (error.kind(), error.table(), column)
            == (ErrorKind::NotNullViolation, Some(Commit::TABLE), Some("size_before"))
    };
    error.constraint().is_some_and(|constraint| STALE.contains(&constraint)) || absent()
}

/// The texts of statements, by which tables have how many rows: made once.
#[derive(Default)]
pub(super) struct Texts(Mutex<HashMap<Shape, Arc<str>>>);

/// What a statement's text depends on.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Shape {
    /// Whether it is of a book's first commit.
    first: bool,
    /// The tables, each with the number of its rows; `AS_THEY_ARE_MAX + 1` stands for any that are sent as an array.
    tables: Vec<(&'static str, usize)>,
}

impl Texts {
    fn of(&self, statement: &Statement) -> Arc<str> {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = texts.get(&statement.shape) {
            return Arc::clone(text);
        }
        if texts.len() == STATEMENTS {
            texts.clear();
        }
        let text: Arc<str> = statement.text().into();
        texts.insert(statement.shape.clone(), Arc::clone(&text));
        text
    }
}

/// The statement of a commit, with its arguments.
#[derive(Default)]
struct Statement {
    shape: Shape,
    columns: Vec<&'static [(&'static str, Type)]>,
    arguments: PgArguments,
}

impl Statement {
    async fn of(commit: &Commit, many: &Many<'_>) -> Result<Self, StoreError> {
        let mut statement = Self::default();
        statement.bind_row(commit)?;
        statement.shape.first = commit.before.size == 0;
        statement.bind(commit.before.nonce.as_slice())?;
        statement.bind(commit.before.book.uuid())?;
        tables::write(commit, many, &mut statement).await?;
        Ok(statement)
    }

    fn text(&self) -> String {
        let mut sql = String::new();
        let mut first = OWN_ARGUMENTS + 1;
        for ((table, rows), columns) in self.shape.tables.iter().zip(&self.columns) {
            let mut places = || {
                first += columns.len();
                (first - columns.len()..first).map(|place| format!("${place}"))
            };
            sql.push_str(if sql.is_empty() { "WITH " } else { ", " });
            sql.extend(["to_", table, " AS (INSERT INTO ", table, " ("]);
            list(&mut sql, names(columns));
            if *rows <= AS_THEY_ARE_MAX {
                for row in 0..*rows {
                    sql.push_str(if row == 0 { ") VALUES (" } else { "), (" });
                    list(&mut sql, places());
                }
            } else {
                sql.extend([") SELECT * FROM unnest(", &format!("${first}")]);
                first += 1;
            }
            sql.push_str("))");
        }
        // What is not in the WITH is done first: a stale commit is told as that. (Nothing rests on the order: all is added, or none.)
        sql.extend([" INSERT INTO ", Commit::TABLE, " ("]);
        list(&mut sql, names(Commit::COLUMNS));
        sql.push_str(") VALUES (");
        let follows = if self.shape.first { FOLLOWS_NONE } else { FOLLOWS };
        let own = names(Commit::COLUMNS).zip(1..).map(|(name, place)| match name {
            "size_before" => follows.to_owned(),
            _ => format!("${place}"),
        });
        list(&mut sql, own);
        sql.push(')');
        sql
    }

    fn bind<'q>(
        &mut self,
        value: impl Encode<'q, Postgres> + sqlx::Type<Postgres>,
    ) -> Result<(), StoreError> {
        self.arguments.add(value).map_err(|error| StoreError::Database(sqlx::Error::Encode(error)))
    }

    /// Runs it: whether the head was the one that was wanted.
    async fn run(self, connection: &mut PgConnection, texts: &Texts) -> Result<bool, sqlx::Error> {
        let text = AssertSqlSafe(texts.of(&self));
        match sqlx::query_with(text, self.arguments).execute(connection).await {
            Ok(_) => Ok(true),
            Err(error) if is_stale(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Sink for Statement {
    /// Adds a table's rows. A table without rows is left out, so that a small commit is a small statement; each
    /// shape is prepared once a connection.
    async fn rows<T: Stored + Sync>(&mut self, rows: &[T]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.shape.tables.push((T::TABLE, rows.len().min(AS_THEY_ARE_MAX + 1)));
        self.columns.push(T::COLUMNS);
        if rows.len() <= AS_THEY_ARE_MAX {
            return rows.iter().try_for_each(|row| self.bind_row(row));
        }
        self.bind(PgBindIterExt::bind_iter(rows.iter().map(Record)))
    }
}

fn names(columns: &'static [(&'static str, Type)]) -> impl Iterator<Item = &'static str> {
    columns.iter().map(|(name, _)| *name)
}

/// Adds a list, with commas between.
fn list(sql: &mut String, items: impl Iterator<Item = impl AsRef<str>>) {
    for (number, item) in items.enumerate() {
        sql.push_str(if number == 0 { "" } else { ", " });
        sql.push_str(item.as_ref());
    }
}

impl Statement {
    /// A row as it is: one or two need no array, and no function that takes it apart.
    fn bind_row<T: Stored>(&mut self, row: &T) -> Result<(), StoreError> {
        let mut kinds = T::COLUMNS.iter().map(|(_, kind)| *kind);
        let mut bound = Ok(());
        row.cells(&mut |cell| {
            let kind = kinds.next().expect("a row has as many cells as columns");
            if bound.is_ok() {
                bound = self.bind_cell(kind, cell);
            }
        })?;
        bound
    }

    fn bind_cell(&mut self, kind: Type, cell: Cell<'_>) -> Result<(), StoreError> {
        match (kind, cell) {
            (Type::Int8, Cell::Null) => self.bind(None::<i64>),
            (Type::Int4, Cell::Null) => self.bind(None::<i32>),
            (Type::Int2, Cell::Null) => self.bind(None::<i16>),
            (Type::Text, Cell::Null) => self.bind(None::<&str>),
            (Type::Bytes, Cell::Null) => self.bind(None::<&[u8]>),
            (Type::Int8, Cell::Int8(value)) => self.bind(value),
            (Type::Int4, Cell::Int4(value)) => self.bind(value),
            (Type::Int2, Cell::Int2(value)) => self.bind(value),
            (Type::Text, Cell::Text(value)) => self.bind(value),
            (Type::Flag, Cell::Flag(value)) => self.bind(value),
            (Type::Bytes, Cell::Bytes(value)) => self.bind(value),
            (Type::Uuid, Cell::Uuid(value)) => self.bind(value),
            (_, cell) => unexpected(cell),
        }
    }
}

fn unexpected(cell: Cell<'_>) -> ! {
    unreachable!("a cell of its column's type, not {cell:?}: both are told in one place")
}

/// A row as a record: a value of the type that its table is, which has the table's columns in their order. An array of records is one
/// argument and one function to the server, where an array for each column were as many as there are columns.
struct Record<'a, T>(&'a T);

impl<T: Stored> sqlx::Type<Postgres> for Record<'_, T> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name(T::TABLE)
    }
}

impl<T: Stored> PgHasArrayType for Record<'_, T> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of(T::TABLE)
    }
}

impl<T: Stored> Encode<'_, Postgres> for Record<'_, T> {
    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        out.put_u32(u32::try_from(T::COLUMNS.len()).expect("a table has few columns"));
        put_cells(&mut **out, self.0, |out, kind| out.put_u32(oid(kind)))?;
        Ok(IsNull::No)
    }
}

/// The number by which every PostgreSQL knows a type (`pg_type.dat`).
fn oid(kind: Type) -> u32 {
    match kind {
        Type::Flag => 16,
        Type::Bytes => 17,
        Type::Int8 => 20,
        Type::Int2 => 21,
        Type::Int4 => 23,
        Type::Text => 25,
        Type::Uuid => 2950,
    }
}

fn copy_sql<T: Stored>() -> String {
    let names: Vec<&str> = T::COLUMNS.iter().map(|(name, _)| *name).collect();
    format!("COPY {} ({}) FROM STDIN (FORMAT binary)", T::TABLE, names.join(", "))
}

/// Copies rows in. While the server takes in some, the next are made ready.
async fn copy<T: Stored>(connection: &mut PgConnection, rows: &[T]) -> Result<(), CommitError> {
    if rows.is_empty() {
        return Ok(());
    }
    let failed = |error: sqlx::Error| CommitError::Failed(error.into());
    let mut copy = connection.copy_in_raw(&copy_sql::<T>()).await.map_err(failed)?;
    let mut out = BytesMut::with_capacity(COPY_ROWS * 192);
    out.put_slice(b"PGCOPY\n\xff\r\n\0");
    out.put_bytes(0, 8); // no flags, no extension
    for rows in rows.chunks(COPY_ROWS) {
        for row in rows {
            copy_row(&mut out, row).map_err(CommitError::Failed)?;
        }
        copy.send(out.split()).await.map_err(failed)?;
    }
    out.put_i16(-1);
    copy.send(out).await.map_err(failed)?;
    copy.finish().await.map(drop).map_err(failed)
}

/// A row in the binary format of `COPY`.
fn copy_row<T: Stored>(out: &mut BytesMut, row: &T) -> Result<(), StoreError> {
    out.put_i16(i16::try_from(T::COLUMNS.len()).expect("a table has few columns"));
    put_cells(out, row, |_, _| ())
}

/// The values of a row in their binary form, each after its length, and that after what `before` puts there.
fn put_cells<T: Stored, B: BufMut>(
    out: &mut B,
    row: &T,
    before: impl Fn(&mut B, Type),
) -> Result<(), StoreError> {
    let mut kinds = T::COLUMNS.iter().map(|(_, kind)| *kind);
    row.cells(&mut |cell| {
        let kind = kinds.next().expect("a row has as many cells as columns");
        before(out, kind);
        let mut put = |value: &[u8]| {
            out.put_i32(i32::try_from(value.len()).expect("a row's values are far smaller than 2 GiB"));
            out.put_slice(value);
        };
        match (kind, cell) {
            (_, Cell::Null) => out.put_i32(-1),
            (Type::Int8, Cell::Int8(value)) => put(&value.to_be_bytes()),
            (Type::Int4, Cell::Int4(value)) => put(&value.to_be_bytes()),
            (Type::Int2, Cell::Int2(value)) => put(&value.to_be_bytes()),
            (Type::Flag, Cell::Flag(value)) => put(&[value.into()]),
            (Type::Bytes, Cell::Bytes(value)) => put(value),
            (Type::Text, Cell::Text(value)) => put(value.as_bytes()),
            (Type::Uuid, Cell::Uuid(value)) => put(value.as_bytes()),
            (_, cell) => unexpected(cell),
        }
    })?;
    assert!(kinds.next().is_none(), "a row has as many cells as columns");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(tables: &[(&'static str, usize)]) -> Statement {
        const COLUMNS: &[(&str, Type)] = &[("a", Type::Int8), ("b", Type::Text)];
        let shape = Shape { first: false, tables: tables.to_vec() };
        Statement { columns: vec![COLUMNS; tables.len()], shape, ..Statement::default() }
    }

    #[test]
    fn a_text_is_made_once_for_its_shape_and_no_more_are_kept_than_a_connection_keeps() {
        let texts = Texts::default();
        // A row in a table or none, by the bits of a number: eight tables have as many shapes as are kept, the ninth has more.
        let names = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8"];
        let shape = |number: usize| {
            let filled = names.iter().enumerate().filter(|(place, _)| number >> place & 1 == 1);
            statement(&filled.map(|(_, name)| (*name, 1)).collect::<Vec<_>>())
        };
        let kept = || texts.0.lock().unwrap().len();
        let first = texts.of(&shape(0));
        for number in 1..STATEMENTS {
            assert_eq!(&*texts.of(&shape(number)), shape(number).text());
        }
        assert_eq!(kept(), STATEMENTS);
        assert!(Arc::ptr_eq(&first, &texts.of(&shape(0))), "made once");
        assert_eq!(&*texts.of(&shape(STATEMENTS)), shape(STATEMENTS).text());
        assert_eq!(kept(), 1, "one more: all are made anew");
        assert_eq!(texts.of(&shape(0)), first, "and are what they were");
    }

    #[test]
    fn rows_as_they_are_and_many_as_an_array_are_numbered_through() {
        let text = statement(&[("one", 1), ("many", 3), ("two", 2)]).text();
        let place = |place: usize| OWN_ARGUMENTS + 1 + place;
        let row = |first: usize| format!("(${}, ${})", place(first), place(first + 1));
        assert!(text.contains(&format!("INTO one (a, b) VALUES {})", row(0))), "{text}");
        assert!(text.contains(&format!("INTO many (a, b) SELECT * FROM unnest(${}))", place(2))), "{text}");
        assert!(text.contains(&format!("INTO two (a, b) VALUES {}, {})", row(3), row(5))), "{text}");
    }
}
