//! `serve --check`: what would be served, and what stands in its way. Nothing is bound, made or written.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use reqwest::Url;
use serde_json::{Value, json};

use crate::domain::BookId;
use crate::http;
use crate::http::door::PublicUrl;
use crate::keys::BookKeys;
use crate::log::origin::key_name;
use crate::publisher::Publisher;
use crate::publisher::file::Keep as _;
use crate::publisher::key::LogKeyFile;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{Head, Store, StoreError};

use super::place::PlaceArgs;
use super::serve::{Reached, ServeArgs};
use super::{CliError, Global, Outcome, table};

/// What was found, thing by thing.
#[derive(Default)]
struct Found(Vec<(&'static str, Result<String, String>)>);

impl Found {
    fn add(&mut self, what: &'static str, found: Result<String, String>) {
        self.0.push((what, found));
    }

    fn is_good(&self) -> bool {
        self.0.iter().all(|(_, found)| found.is_ok())
    }

    fn json(&self) -> Value {
        let rows = self.0.iter().map(|(what, found)| {
            let text = found.as_ref().unwrap_or_else(|fault| fault);
            json!({"what": what, "good": found.is_ok(), "found": text})
        });
        json!({"good": self.is_good(), "checks": rows.collect::<Vec<_>>()})
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut shown = table::table(&["state", "what", "found"]);
        for (what, found) in &self.0 {
            let (mark, text) = match found {
                Ok(text) => ("ok", text),
                Err(text) => ("FAULT", text),
            };
            shown.add_row([mark, *what, text.as_str()]);
        }
        table::print(out, &shown)?;
        let last = if self.is_good() { "It can be served." } else { "It cannot be served as it is." };
        writeln!(out, "{last}")
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Checks, and tells.
pub async fn run(global: &Global, args: &ServeArgs, reached: Reached) -> Result<Outcome, CliError> {
    let mut found = Found::default();
    if let Some(path) = &global.config {
        found.add("configuration", Ok(path.display().to_string())); // or we would not be here
    }
    door(&mut found, args, reached);
    let book = store(&mut found, &args.place).await;
    keys(&mut found, &args.place, book).await;
    let limits = format!(
        "{} connections, {} requests a second for each client, {} wallets in memory",
        args.connections, args.requests_per_second, args.wallets_in_memory
    );
    found.add("limits", Ok(limits));
    global.show(&found.json(), |out| found.print(out))?;
    Ok(if found.is_good() { Outcome::Done } else { Outcome::NotAll })
}

/// Addresses and the certificate.
fn door(found: &mut Found, args: &ServeArgs, Reached { scheme, files, public_url }: Reached) {
    let safe = files.is_some() || args.behind_tls;
    let listen = http::may_listen(args.listen, safe).map_err(text);
    found.add("listens on", listen.map(|()| format!("{scheme}://{}", args.listen)));
    let public_url = public_url.unwrap_or_else(|| PublicUrl::of(scheme, args.listen));
    found.add("clients sign", Ok(public_url.to_string()));
    if let Some(files) = files {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        let loaded = format!("{certificate}, {key}");
        found.add("certificate", files.load().map(|_| loaded).map_err(text));
    }
    if let Some(address) = args.metrics_listen {
        let listen = http::may_listen(address, false).map_err(text);
        found.add("figures", listen.map(|()| format!("http://{address}/metrics")));
    }
}

/// A book that is there.
struct Book {
    store: Arc<dyn Store>,
    head: Head,
    /// Whether its log was ever signed.
    signed: bool,
}

/// The store, and the book in it.
async fn store(found: &mut Found, place: &PlaceArgs) -> Option<Book> {
    let (name, book) = if let Some(url) = &place.database_url {
        let name = format!("{}, schema {}, role {}", masked(url), place.schema, place.service_role);
        let opened = PostgresStore::open(url, &place.schema, &place.service_role).await;
        let book = match opened {
            Ok(store) => {
                for warning in store.durability_warnings() {
                    found.add("store", Err(warning.clone()));
                }
                read_book(Arc::new(store)).await
            }
            Err(error) => Err(error),
        };
        (name, book)
    } else {
        let path = place.book_path();
        let book = match path.exists().then_some(SqliteStore::open_to_read(&path)) {
            None => Ok(None),
            Some(opened) => match opened.await {
                Ok(store) => read_book(Arc::new(store)).await,
                Err(error) => Err(error),
            },
        };
        (path.display().to_string(), book)
    };
    let (told, book) = match book {
        Ok(Some(book)) => {
            let told = format!("{name}: book {} of {} entries", book.head.book, book.head.size);
            (Ok(told), Some(book))
        }
        Ok(None) => (Ok(format!("{name}: no book yet; one would be made")), None),
        Err(error) => (Err(format!("{name}: {error}")), None),
    };
    found.add("store", told);
    book
}

async fn read_book(store: Arc<dyn Store>) -> Result<Option<Book>, StoreError> {
    let signed = store.published_checkpoint().await?.is_some();
    Ok(store.head().await?.map(|head| Book { store, head, signed }))
}

/// The book's keys, the log's, and the checkpoint that is kept outside.
async fn keys(found: &mut Found, place: &PlaceArgs, stored: Option<Book>) {
    let book = stored.as_ref().map(|stored| stored.head.book);
    let path = place.keys_path();
    let keys = match (book, path.exists()) {
        (_, true) => match (BookKeys::load(&path), book) {
            (Ok(keys), Some(book)) if keys.book() != book => {
                Err(format!("{} is of another book than the store's", path.display()))
            }
            (Ok(keys), _) => Ok(format!("{}, of book {}", path.display(), keys.book())),
            (Err(error), _) => Err(error.to_string()),
        },
        (Some(_), false) => {
            Err(format!("{} is missing, and the book cannot be read without it", path.display()))
        }
        (None, false) => Ok(format!("{} would be made", path.display())),
    };
    found.add("keys", keys);
    let kept = place.kept();
    let checkpoint = kept.read();
    let signed = matches!(checkpoint, Ok(Some(_))) || stored.as_ref().is_some_and(|stored| stored.signed);
    let log_key = log_key(&place.log_key_path(), book, signed);
    let is_there = log_key.is_ok();
    found.add("log key", log_key);
    let path = kept.0.display();
    let checkpoint = match checkpoint {
        Ok(Some(_)) => Ok(path.to_string()),
        Ok(None) => Ok(format!("{path}: none yet")),
        Err(error) => Err(format!("{path}: {error}")),
    };
    found.add("checkpoint", checkpoint);
    // What `serve` looks at before it serves: whether the store has what was signed, and the key is the one that the journal names.
    if let (true, Some(Book { store, head, .. }), Ok(keys)) =
        (is_there, stored, LogKeyFile::load(&place.log_key_path()))
    {
        let checked = Publisher::check(store, head.book, keys, Box::new(place.kept())).await;
        found.add("log", checked.map(|()| "the store has all that was signed".into()).map_err(text));
    }
}

fn log_key(path: &Path, book: Option<BookId>, signed: bool) -> Result<String, String> {
    let shown = path.display();
    if !path.exists() {
        return if signed {
            Err(format!("{shown} is missing, and the log is signed already"))
        } else {
            Ok(format!("{shown} would be made"))
        };
    }
    let file = LogKeyFile::load(path).map_err(text)?;
    let name = book.map(key_name);
    let names: Vec<String> = file.keys().iter().map(|key| key.verifier_key().name().to_owned()).collect();
    match name {
        Some(name) if !names.contains(&name) => Err(format!("{shown} is of another log than {name}")),
        _ => Ok(format!("{shown}, of {}", names.join(", "))),
    }
}

/// A database's address without its password.
fn masked(url: &str) -> String {
    let Some(mut url) = Url::parse(url).ok().filter(Url::has_host) else {
        return "an address that cannot be read".to_owned();
    };
    if url.password().is_some() {
        // An address that has a password has a host, and so takes another.
        _ = url.set_password(Some("***"));
    }
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| {
            let value = if name == "password" { "***".into() } else { value };
            (name.into_owned(), value.into_owned())
        })
        .collect();
    if !pairs.is_empty() {
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_masked_wherever_it_stands() {
        for (url, expected) in [
            ("postgres://a:hunter2@db/b", "postgres://a:***@db/b"),
            ("postgres://a@db:5433/b?sslmode=require", "postgres://a@db:5433/b?sslmode=require"),
            ("postgres://a@db/b?password=hunter2&x=1", "postgres://a@db/b?password=***&x=1"),
            ("a:hunter2@db/b", "an address that cannot be read"),
            ("postgres//a:hunter2@db", "an address that cannot be read"),
        ] {
            assert_eq!(masked(url), expected);
        }
    }
}
