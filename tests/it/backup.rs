//! Backups with real processes, on both stores: taken during a payday, restored elsewhere, replayed and verified; and what is
//! refused, by name.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use social_wallet::client::Client;
use social_wallet::domain::Iin;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::process::Command;

use crate::crash::{Home, Service, payday};
use crate::store::{Place, Raw, in_both_rooms};

/// Another place, of the same kind, that has no book: another data directory, and another database. It is removed by name.
struct Elsewhere {
    home: Home,
    database: Option<(String, String)>,
}

impl Elsewhere {
    async fn new(home: &Home, data: PathBuf, name: &str) -> Self {
        std::fs::create_dir_all(&data).unwrap();
        let Some((url, schema)) = &home.database else {
            return Self { home: Home { data, database: None }, database: None };
        };
        let name = format!("{schema}_{name}");
        let mut connection = PgConnection::connect(url).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        let (server, _) = url.rsplit_once('/').unwrap();
        let database = Some((format!("{server}/{name}"), schema.clone()));
        Self { home: Home { data, database }, database: Some((url.clone(), name)) }
    }

    fn place(&self) -> Option<Place> {
        let (owner_url, schema) = self.home.database.clone()?;
        Some(Place::Postgres { owner_url, schema })
    }

    async fn remove(self) {
        if let Some((url, name)) = self.database {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            // Not WITH (FORCE): that would be refused while the server itself vacuums there, which it leaves off for a plain DROP.
            let sql = format!(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                 WHERE datname = '{name}' AND usename = current_user"
            );
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
            let sql = format!("DROP DATABASE {name}");
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }
}

async fn run(home: &Home, arguments: &[&str]) -> Output {
    home.command(arguments).output().await.unwrap()
}

/// The JSON answer of a command that does what it is asked.
async fn done(home: &Home, arguments: &[&str]) -> Value {
    let output = run(home, &[arguments, &["--json"]].concat()).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the verifier says, who knows the files and the key, and nothing of the place.
async fn verify(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_social-wallet"));
    command.args(["verify", "--json"]).args(arguments).env_remove("SOCIAL_WALLET_DATABASE_URL");
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {told}");
    for word in words {
        assert!(told.contains(word), "{word}: {told}");
    }
}

fn bring(from: &Home, to: &Home, names: &[&str]) {
    for name in names {
        std::fs::copy(from.data.join(name), to.data.join(name)).unwrap();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Opens wallets, one after the other, until this is done.
async fn while_wallets_are_opened<T>(client: &Client, done: impl Future<Output = T>) -> T {
    let opening = async {
        for person in 1.. {
            let iin = Iin::parse(crate::http::iin(person).as_bytes()).unwrap();
            client.open_wallet(&iin, &Client::fresh_key()).await.unwrap();
        }
    };
    tokio::select! { answer = done => answer, () = opening => unreachable!("it does not end") }
}

async fn a_book_is_backed_up_during_a_payday_and_what_is_restored_replays_and_is_its_beginning(
    place: &Place,
) {
    let directory = tempfile::tempdir().unwrap();
    let original = Home::of(place, directory.path());
    let backup = directory.path().join("backup");
    let mut service = Service::begin(&original).await;
    let mut manifest = Value::Null;
    payday(&mut service, directory.path(), async |service: &mut Service, chunk| {
        if chunk == 5 {
            crate::signed(&service.url).await;
            // However far the payday is by now: somebody writes from its beginning to its end.
            let arguments = ["backup", text(&backup)];
            let backing_up = done(&original, &arguments);
            let answer = while_wallets_are_opened(&service.client("operator-1"), backing_up).await;
            manifest = answer["manifest"].clone();
        }
    })
    .await;
    // Everything after it is signed, so that the kept checkpoint is of more than the backup.
    let (web, ready) = (crate::web(), format!("{}/health/ready", service.url));
    let all_signed = async || {
        let told: Value = web.get(&ready).send().await.unwrap().json().await.unwrap();
        (told["log"]["unsigned_entries"] == 0).then_some(())
    };
    crate::until("a checkpoint of everything", all_signed).await;
    let whole = directory.path().join("whole");
    let last = done(&original, &["backup", text(&whole)]).await["manifest"].take();
    service.child.kill().await.unwrap();
    assert!(manifest["size"].as_u64().unwrap() > 2_500 && manifest["size"].as_u64() <= last["size"].as_u64());
    for (file, private) in [("", 0o700), (manifest["files"][0]["name"].as_str().unwrap(), 0o600)] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(backup.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, private, "{file}: encrypted numbers are in it");
    }
    let names: Vec<_> = std::fs::read_dir(&backup).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the book and the manifest, and no key: {names:?}");

    let elsewhere = Elsewhere::new(&original, directory.path().join("elsewhere"), "restored").await;
    let restored = &elsewhere.home;
    let answer = done(restored, &["restore", text(&backup)]).await;
    assert_eq!((&answer["restored"], &answer["manifest"]), (&true.into(), &manifest));
    bring(&original, restored, &["keys.json", "log.key"]);
    let report = done(restored, &["replay"]).await;
    assert_eq!((&report["matches"], &report["entries"]), (&true.into(), &manifest["size"]));
    // Its log is verified with the key alone; the original's has grown out of it.
    let (log, grown) = (directory.path().join("log"), directory.path().join("grown"));
    let keys = done(restored, &["log", "key"]).await;
    let key = keys["keys"][0].as_str().unwrap();
    let exported = done(restored, &["log", "export", text(&log)]).await;
    assert!(exported["size"].as_u64().unwrap() > 0);
    done(&original, &["log", "export", text(&grown)]).await;
    let verified = verify(&[text(&log), "--key", key]).await;
    assert_eq!(verified["matches"], true);
    let earlier = log.join("checkpoint");
    let verified = verify(&[text(&grown), "--key", key, "--earlier", text(&earlier)]).await;
    assert_eq!((&verified["matches"], &verified["entries"]), (&true.into(), &last["size"]));
    // The database itself still refuses changes.
    let mut raw = if let Some(place) = elsewhere.place() {
        place.raw().await
    } else {
        let url = format!("sqlite://{}", restored.data.join("book.sqlite").display());
        Raw::Sqlite(sqlx::SqliteConnection::connect(&url).await.unwrap())
    };
    for sql in ["DELETE FROM journal", "UPDATE wallet_entry SET version = 9"] {
        raw.run(sql).await.unwrap_err();
    }
    drop(raw);
    // What was signed and is lacking is not passed over: neither is it overwritten by another restore.
    bring(&original, restored, &["checkpoint"]);
    let output = run(restored, &["serve", "--listen", "127.0.0.1:0"]).await;
    refused(&output, 3, &["restored from an old backup", "declare-origin"]);
    refused(&run(restored, &["restore", text(&whole)]).await, 2, &["has a book"]);
    elsewhere.remove().await;

    // One that lacks nothing is served.
    let elsewhere = Elsewhere::new(&original, directory.path().join("again"), "again").await;
    bring(&original, &elsewhere.home, &["keys.json", "log.key", "checkpoint"]);
    let answer = done(&elsewhere.home, &["restore", text(&whole)]).await;
    assert_eq!((&answer["manifest"], &answer["lacking"]), (&last, &0.into()));
    let mut service = Service::start(&elsewhere.home, "127.0.0.1:0").await;
    let ready = crate::web().get(format!("{}/health/ready", service.url)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    service.child.kill().await.unwrap();
    // With the file of what was signed at hand, it is told at once what the older backup lacks.
    elsewhere.remove().await;
    let elsewhere = Elsewhere::new(&original, directory.path().join("older"), "older").await;
    bring(&original, &elsewhere.home, &["checkpoint"]);
    let answer = done(&elsewhere.home, &["restore", text(&backup)]).await;
    let lacking = last["size"].as_u64().unwrap() - manifest["size"].as_u64().unwrap();
    assert_eq!(answer["lacking"], lacking);
    elsewhere.remove().await;
}

/// A directory like another, with one file changed; `None` removes it.
fn altered(backup: &Path, to: &Path, name: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(backup).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    let path = to.join(name);
    match change(std::fs::read(&path).unwrap()) {
        Some(bytes) => std::fs::write(&path, bytes).unwrap(),
        None => std::fs::remove_file(&path).unwrap(),
    }
}

async fn what_is_wrong_with_a_backup_is_named_and_nothing_is_restored_from_it(place: &Place) {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let original = Home::of(place, directory.path());
    let nothing = Home { data: at("nothing"), database: None };
    refused(&run(&nothing, &["backup", text(&at("none"))]).await, 2, &["there is no book"]);
    assert!(!nothing.data.exists() && !at("none").exists(), "nothing is made on the way");

    let mut service = Service::begin(&original).await;
    service.child.kill().await.unwrap();
    let backup = at("backup");
    let manifest = done(&original, &["backup", text(&backup)]).await["manifest"].take();
    refused(&run(&original, &["backup", text(&backup)]).await, 2, &["is not empty"]);
    let book = manifest["files"][0]["name"].as_str().unwrap();

    let elsewhere = Elsewhere::new(&original, at("elsewhere"), "refused").await;
    let restored = &elsewhere.home;
    let said = |change: &dyn Fn(&mut Value)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        Some(serde_json::to_vec(&manifest).unwrap())
    };
    let torn = at("torn");
    type Change<'a> = Box<dyn FnOnce(Vec<u8>) -> Option<Vec<u8>> + 'a>;
    let cases: Vec<(&str, Change, &str)> = vec![
        (
            book,
            Box::new(|mut bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                Some(bytes)
            }),
            "is not the one that was backed up",
        ),
        (
            book,
            Box::new(|bytes| Some(bytes[..bytes.len() - 1].to_vec())),
            "is not the one that was backed up",
        ),
        (book, Box::new(|bytes| Some([bytes, vec![0]].concat())), "is not the one that was backed up"),
        (book, Box::new(|_| None), "is missing"),
        ("manifest.json", Box::new(|_| None), "was not finished"),
        ("manifest.json", Box::new(|bytes| Some(bytes[..bytes.len() / 2].to_vec())), "is not whole"),
        ("manifest.json", Box::new(|_| Some(Vec::new())), "is not whole"),
        ("manifest.json", Box::new(|_| said(&|it| it["format"] = json!("social-wallet-backup/2"))), "format"),
        (
            "manifest.json",
            Box::new(|_| said(&|it| it["files"][0]["name"] = json!("../backup/book.sqlite"))),
            "one file",
        ),
        ("manifest.json", Box::new(|_| said(&|it| it["files"] = json!([]))), "one file"),
        ("manifest.json", Box::new(|_| said(&|it| it["schema_version"] = json!(99))), "version 99"),
    ];
    for (name, change, words) in cases {
        altered(&backup, &torn, name, change);
        refused(&run(restored, &["restore", text(&torn)]).await, 1, &[words]);
        assert!(!restored.data.join("book.sqlite").exists());
    }
    // Keys of another book are in the way.
    std::fs::copy(original.data.join("keys.json"), restored.data.join("keys.json")).unwrap();
    altered(&backup, &torn, "manifest.json", |_| {
        said(&|it| it["book"] = json!("5f0c8f0e-1111-4222-8333-444455556666"))
    });
    refused(&run(restored, &["restore", text(&torn)]).await, 2, &["another book"]);
    // Where a crash has left something of a book, none is restored.
    if original.database.is_none() {
        std::fs::write(restored.data.join("book.sqlite-wal"), b"").unwrap();
        refused(&run(restored, &["restore", text(&backup)]).await, 2, &["has a book"]);
        std::fs::remove_file(restored.data.join("book.sqlite-wal")).unwrap();
    }
    // A manifest that is not of what is beside it is found by the restored book.
    altered(&backup, &torn, "manifest.json", |_| said(&|it| it["root"] = json!("00".repeat(32))));
    refused(&run(restored, &["restore", text(&torn)]).await, 3, &["must not be served", "root"]);
    refused(&run(restored, &["restore", text(&backup)]).await, 2, &["has a book"]);
    elsewhere.remove().await;
}

in_both_rooms!(
    a_book_is_backed_up_during_a_payday_and_what_is_restored_replays_and_is_its_beginning,
    what_is_wrong_with_a_backup_is_named_and_nothing_is_restored_from_it,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_to_the_kind_of_store_and_the_schema_that_it_is_of() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::postgres().await;
    let [postgres, sqlite] =
        [Home::of(&place, directory.path()), Home { data: directory.path().join("sqlite"), database: None }];
    for home in [&postgres, &sqlite] {
        Service::begin(home).await.child.kill().await.unwrap();
    }
    let [of_postgres, of_sqlite] = ["of-postgres", "of-sqlite"].map(|name| directory.path().join(name));
    done(&postgres, &["backup", text(&of_postgres)]).await;
    done(&sqlite, &["backup", text(&of_sqlite)]).await;
    let to = |database| Home { data: directory.path().join("to"), database };
    let url = postgres.database.clone().unwrap().0;
    refused(&run(&to(None), &["restore", text(&of_postgres)]).await, 2, &["--database-url"]);
    refused(&run(&to(postgres.database.clone()), &["restore", text(&of_sqlite)]).await, 2, &["in SQLite"]);
    let other = to(Some((url, "another_schema".into())));
    refused(&run(&other, &["restore", text(&of_postgres)]).await, 2, &["--schema", place.schema()]);
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pg_dump_is_found_new_enough_and_is_told_no_password_by_its_arguments() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::postgres().await;
    let home = Home::of(&place, directory.path());
    Service::begin(&home).await.child.kill().await.unwrap();
    let programs = directory.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let backup = directory.path().join("backup");
    let arguments = ["backup", text(&backup), "--pg-programs", text(&programs)];
    refused(&run(&home, &arguments).await, 3, &["there is no", "pg_dump", "postgresql-client"]);

    let write = |text: &str| script(&programs, text);
    write("echo 'pg_dump (PostgreSQL) 9.6.24'");
    refused(&run(&home, &arguments).await, 3, &["of version 9", "the server is of version"]);
    write("echo something else");
    refused(&run(&home, &arguments).await, 3, &["its version is"]);
    assert!(!backup.exists());
    let told = directory.path().join("told");
    let password = place_password(&place);
    write(&format!(
        "echo \"$@\" >>{}; test \"$PGPASSWORD\" = {password} || test \"$1\" = --version || exit 9; exec pg_dump \"$@\"",
        text(&told)
    ));
    done(&home, &arguments).await;
    let told = std::fs::read_to_string(told).unwrap();
    assert!(told.contains("--snapshot=") && !told.contains(&password), "{told}");
    // A program that fails half-way leaves no manifest.
    let torn = directory.path().join("torn");
    write("test \"$1\" = --version && exec pg_dump --version; echo out of disk >&2; exit 1");
    let output = run(&home, &["backup", text(&torn), "--pg-programs", text(&programs)]).await;
    refused(&output, 3, &["out of disk"]);
    assert!(!torn.join("manifest.json").exists());
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_after_the_snapshot_and_before_pg_dump_reads_is_not_in_the_backup() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::postgres().await;
    let home = Home::of(&place, directory.path());
    let mut service = Service::begin(&home).await;
    let client = service.client("operator-1");
    let open_wallet = async |person| {
        let iin = Iin::parse(crate::http::iin(person).as_bytes()).unwrap();
        client.open_wallet(&iin, &Client::fresh_key()).await.unwrap();
    };
    open_wallet(1).await;
    let size = client.book().await.unwrap()["size"].clone();
    // It says that it was called, and goes on when it is told to.
    let programs = directory.path();
    let (called, go) = (programs.join("called"), programs.join("go"));
    let wait = format!(": >'{}'; until test -e '{}'; do sleep 0.01; done", text(&called), text(&go));
    script(programs, &format!("test \"$1\" = --version || {{ {wait}; }}\nexec pg_dump \"$@\""));
    let backup = programs.join("backup");
    let arguments = ["backup", text(&backup), "--pg-programs", text(programs)];
    let writing = async {
        crate::until("a call of pg_dump", async || called.exists().then_some(())).await;
        open_wallet(2).await;
        std::fs::write(&go, "").unwrap();
    };
    let (answer, ()) = tokio::join!(done(&home, &arguments), writing);
    service.child.kill().await.unwrap();
    assert_eq!(answer["manifest"]["size"], size);
    let elsewhere = Elsewhere::new(&home, directory.path().join("elsewhere"), "snapshot").await;
    done(&elsewhere.home, &["restore", text(&backup)]).await;
    elsewhere.remove().await;
    place.remove().await;
}

/// A `pg_dump` of one's own.
fn script(directory: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join("pg_dump");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

fn place_password(place: &Place) -> String {
    let Place::Postgres { owner_url, .. } = place else { panic!("a file has no password") };
    let (_, rest) = owner_url.split_once("://owner:").unwrap();
    rest.split_once('@').unwrap().0.to_owned()
}
