//! Connections, roles and migrations.

use std::str::FromStr;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row, SqlSafeStr};

use crate::store::StoreError;

/// The role that serves, unless another is named.
pub const SERVICE_ROLE: &str = "social_wallet_service";

/// The version of the schema that this program needs.
pub const SCHEMA_VERSION: i64 = BOOK.0;

/// The newest migration; the only one so far.
const BOOK: (i64, &str, &str) = (1, "book", include_str!("../../../migrations/postgres/0001_book.sql"));

/// Prepared statements kept per connection: one for each shape of a commit.
pub(super) const STATEMENTS: usize = 256;

/// A name that needs no quotes in SQL, so that none can be forgotten.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identifier(String);

impl Identifier {
    /// Reads `[a-z_][a-z0-9_]{0,62}`.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let begins = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        let fits = (1..=63).contains(&text.len())
            && text.bytes().next().is_some_and(begins)
            && text.bytes().all(|byte| begins(byte) || byte.is_ascii_digit())
            && !text.starts_with("pg_");
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(StoreError::Schema("a schema or role is not named [a-z_][a-z0-9_]{0,62}".into()))
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url)?.application_name("social-wallet");
    Ok(options.statement_cache_capacity(STATEMENTS).disable_statement_logging())
}

/// What every connection says first.
///
/// The planner is told to take indexes: every statement here finds its rows by one, and a plan that was made while a
/// table was small or empty is kept when it has grown. Time-outs make a dead replica let go of the head in seconds.
pub(super) fn session(schema: &Identifier, role: &Identifier) -> String {
    let (schema, role) = (schema.as_str(), role.as_str());
    format!(
        "SET ROLE {role};
         SET search_path = {schema};
         SET synchronous_commit = on;
         SET default_transaction_isolation = 'read committed';
         SET statement_timeout = '60s';
         SET lock_timeout = '30s';
         SET idle_in_transaction_session_timeout = '10s';
         SET tcp_keepalives_idle = 5;
         SET tcp_keepalives_interval = 2;
         SET tcp_keepalives_count = 3;
         SET tcp_user_timeout = '10s';
         SET plan_cache_mode = force_generic_plan;
         SET enable_seqscan = off;
         SET enable_hashjoin = off;
         SET enable_mergejoin = off;
         SET enable_bitmapscan = off;
         SET work_mem = '32MB';
         SET jit = off"
    )
}

pub(super) async fn begin_session(connection: &mut PgConnection, session: &str) -> Result<(), sqlx::Error> {
    connection.execute(AssertSqlSafe(session)).await.map(drop)
}

pub(super) async fn connect(options: &PgConnectOptions, session: &str) -> Result<PgConnection, StoreError> {
    let mut connection = options.connect().await?;
    begin_session(&mut connection, session).await?;
    Ok(connection)
}

fn book_migration() -> Migration {
    let (version, name, sql) = BOOK;
    Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
}

fn made_by_another(schema: &str) -> StoreError {
    StoreError::Schema(format!(
        "schema {schema} was made by another build of this program: serve it with that one"
    ))
}

/// Creates the schema, or brings it up to date.
pub(super) async fn migrate(url: &str, schema: &Identifier, role: &Identifier) -> Result<(), StoreError> {
    let (schema, role) = (schema.as_str(), role.as_str());
    let mut connection = options(url)?.connect().await?;
    create_role(&mut connection, role).await?;
    let sql = format!("CREATE SCHEMA IF NOT EXISTS {schema}; SET search_path = {schema}");
    connection.execute(AssertSqlSafe(sql)).await?;
    let migrator = Migrator::with_migrations(vec![book_migration()]);
    migrator.run_direct(None, &mut connection, false).await.map_err(|error| match error {
        MigrateError::VersionMismatch(_) => made_by_another(schema),
        error => StoreError::Schema(error.to_string()),
    })?;
    let grants = format!(
        "REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
         GRANT USAGE ON SCHEMA {schema} TO {role};
         REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role};
         GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA {schema} TO {role};
         GRANT UPDATE ON {schema}.book TO {role};
         GRANT DELETE ON {schema}.person, {schema}.person_number, {schema}.nonce TO {role};
         REVOKE INSERT ON {schema}._sqlx_migrations FROM {role}"
    );
    connection.execute(AssertSqlSafe(grants)).await?;
    connection.close().await?;
    Ok(())
}

/// Creates the service role if there is none, and makes the owner a member, so that its URL can serve too.
async fn create_role(connection: &mut PgConnection, role: &str) -> Result<(), StoreError> {
    let sql = format!(
        "DO $$
         BEGIN
             IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') THEN
                 BEGIN
                     CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
                 EXCEPTION WHEN duplicate_object OR unique_violation THEN
                     NULL; -- another migration was faster
                 END;
             END IF;
             IF NOT pg_catalog.pg_has_role(current_user, '{role}', 'MEMBER') THEN
                 EXECUTE format('GRANT {role} TO %I', current_user);
             END IF;
         END
         $$"
    );
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(())
}

/// Connects, and holds the schema and the role against what this program needs.
pub(super) async fn checked(
    options: &PgConnectOptions,
    session: &str,
    schema: &Identifier,
    role: &Identifier,
) -> Result<PgConnection, StoreError> {
    let (schema, role) = (schema.as_str(), role.as_str());
    let mut connection = options.connect().await?;
    let row = sqlx::query(
        "SELECT pg_catalog.to_regclass($1) IS NOT NULL,
                (SELECT pg_catalog.pg_has_role(oid, 'MEMBER') FROM pg_catalog.pg_roles WHERE rolname = $2)",
    );
    let row = row.bind(format!("{schema}._sqlx_migrations")).bind(role).fetch_one(&mut connection).await?;
    if !row.try_get::<bool, _>(0)? {
        return Err(StoreError::Schema(format!(
            "there is no book in schema {schema}: run the migration first"
        )));
    }
    match row.try_get(1)? {
        Some(true) => {}
        Some(false) => return Err(StoreError::Schema(format!("this login is no member of role {role}"))),
        None => return Err(StoreError::Schema(format!("there is no role {role}: run the migration first"))),
    }
    begin_session(&mut connection, session).await?;
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut connection)
        .await?;
    if newest != Some(BOOK.0) {
        let newest = newest.unwrap_or_default();
        return Err(StoreError::Schema(format!(
            "schema {schema} is at version {newest}, this program needs {}",
            BOOK.0
        )));
    }
    let made: Vec<u8> = sqlx::query_scalar("SELECT checksum FROM _sqlx_migrations WHERE version = $1")
        .bind(BOOK.0)
        .fetch_one(&mut connection)
        .await?;
    if made != *book_migration().checksum {
        return Err(made_by_another(schema));
    }
    let row = connection
        .fetch_one(
            "SELECT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
                    pg_catalog.has_table_privilege('wallet_entry', 'UPDATE, DELETE, TRUNCATE')",
        )
        .await?;
    if row.try_get(0)? || row.try_get(1)? {
        return Err(StoreError::Schema(format!("role {role} may do more than serve")));
    }
    Ok(connection)
}

/// Settings that would let the server forget what it has confirmed.
pub(super) async fn durability_warnings(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let rows = connection
        .fetch_all(
            "SELECT name, setting FROM pg_catalog.pg_settings
             WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting <> 'on' ORDER BY name",
        )
        .await?;
    let mut warnings = Vec::new();
    for row in rows {
        let (name, setting): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        warnings.push(format!("{name} = {setting}: the server may forget a commit that it has confirmed"));
    }
    Ok(warnings)
}
