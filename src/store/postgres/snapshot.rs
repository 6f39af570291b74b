//! One commit of a book, held open so that another program can read it.

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use super::{Identifier, connect, read};
use crate::store::{Held, StoreError};

/// A snapshot, exported: whoever names it reads what the book was at that commit, as long as this lives.
pub struct PostgresSnapshot {
    connection: PgConnection,
    /// Its name.
    pub id: String,
    /// What it holds; `None`: no book has been created.
    pub held: Option<Held>,
    /// The server's major version.
    pub server: u32,
}

impl PostgresSnapshot {
    /// Takes one.
    pub async fn take(url: &str, schema: &str, service_role: &str) -> Result<Self, StoreError> {
        let (schema, role) = (Identifier::parse(schema)?, Identifier::parse(service_role)?);
        let session = connect::session(&schema, &role);
        let mut connection = connect::checked(&connect::options(url)?, &session, &schema, &role).await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                     SET LOCAL idle_in_transaction_session_timeout = 0";
        connection.execute(begin).await?;
        let sql = "SELECT pg_catalog.pg_export_snapshot(),
                    pg_catalog.current_setting('server_version_num')::int4 / 10000,
                    (SELECT max(version) FROM _sqlx_migrations WHERE success)";
        let row = connection.fetch_one(sql).await?;
        let (id, server): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        let schema_version = row.try_get(2)?;
        let book = read::head(&mut connection).await?;
        let frontier = read::frontier(&mut connection).await?;
        let held = book.map(|head| Held { head, frontier, schema_version });
        Ok(Self { connection, id, held, server: server.unsigned_abs() })
    }

    /// Lets go of it.
    pub async fn release(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}

/// Makes the schema for a book that is to be restored into it. Answers whether there is nothing in it.
pub async fn make_schema(owner_url: &str, schema: &str) -> Result<bool, StoreError> {
    let schema = Identifier::parse(schema)?;
    let mut connection = sqlx::ConnectOptions::connect(&connect::options(owner_url)?).await?;
    let sql = format!("CREATE SCHEMA IF NOT EXISTS {}", schema.as_str());
    connection.execute(sqlx::AssertSqlSafe(sql)).await?;
    let sql = "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = $1::pg_catalog.regnamespace)
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc WHERE pronamespace = $1::pg_catalog.regnamespace)";
    let empty = sqlx::query_scalar(sql).bind(schema.as_str()).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(empty)
}
