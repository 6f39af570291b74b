//! Settings: options, the environment, the file, defaults; and `serve --check`, which holds them against the machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use social_wallet::keys::BookKeys;
use social_wallet::log::checkpoint::Checkpoint;
use social_wallet::log::origin::key_name;
use social_wallet::publisher::key::LogKeyFile;
use tokio::process::Command;

use crate::crew::Crew;
use crate::store::{Place, in_both_rooms};

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file of settings.
    fn write(&self, text: &str) -> PathBuf {
        let path = self.at("social-wallet.toml");
        fs::write(&path, text).unwrap();
        path
    }
}

/// A command that knows nothing of the environment that the tests run in.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_social-wallet"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).env("RUST_LOG", "error");
    crate::unset(&mut command);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What `serve --check --json` found, by what it looked at; and whether all of it is good.
async fn checked(mut command: Command) -> (bool, BTreeMap<String, (bool, String)>) {
    let output = command.output().await.unwrap();
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let good = report["good"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!good)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = report["checks"].as_array().unwrap().iter();
    (
        good,
        rows.map(|row| (text(&row["what"]), (row["good"].as_bool().unwrap(), text(&row["found"])))).collect(),
    )
}

#[tokio::test]
async fn an_option_goes_before_its_variable_that_before_the_file_and_the_file_before_the_default() {
    let home = Home::new();
    let data = home.at("data");
    let text = format!(
        "data-dir = \"{}\"\nrequests-per-second = 5\nlisten = \"127.0.0.1:5\"\nbehind-tls = true\n\
         public-url = \"https://file.example.kz\"\n",
        data.display()
    );
    let file = home.write(&text);
    let file = file.to_str().unwrap();
    // What is said: by the file (and how that is named), by the environment, by an option; and what is heard.
    for (named, variable, option, rate) in [
        (None, None, None, 20_000),
        (Some("option"), None, None, 5),
        (Some("variable"), None, None, 5),
        (Some("option"), Some("6"), None, 6),
        (None, Some("6"), None, 6),
        (Some("option"), Some("6"), Some("7"), 7),
        (Some("option"), None, Some("7"), 7),
        (None, Some("6"), Some("7"), 7),
    ] {
        let mut command = program(&["serve", "--check", "--json"]);
        command.current_dir(home.0.path());
        match named {
            Some("option") => _ = command.args(["--config", file]),
            Some(_) => _ = command.env("SOCIAL_WALLET_CONFIG", file),
            None => {}
        }
        if let Some(rate) = variable {
            command.env("SOCIAL_WALLET_REQUESTS_PER_SECOND", rate);
        }
        if let Some(rate) = option {
            command.args(["--requests-per-second", rate]);
        }
        let (good, found) = checked(command).await;
        assert!(good, "{found:?}");
        let limits = &found["limits"].1;
        assert!(
            limits.contains(&format!(" {rate} requests a second")),
            "{named:?} {variable:?} {option:?}: {limits}"
        );
        let listens = if named.is_some() { "http://127.0.0.1:5" } else { "http://127.0.0.1:8080" };
        assert_eq!(found["listens on"].1, listens);
    }
    // A flag can be taken back, by its variable and by the option; and an option may stand before the command.
    for (variable, option, good) in [
        (None, None, true),
        (Some("false"), None, false),
        (Some("false"), Some("true"), true),
        (None, Some("false"), false),
    ] {
        let mut command =
            program(&["--config", file, "--json", "serve", "--check", "--listen", "192.0.2.1:5"]);
        if let Some(flag) = variable {
            command.env("SOCIAL_WALLET_BEHIND_TLS", flag);
        }
        if let Some(flag) = option {
            command.arg(format!("--behind-tls={flag}"));
        }
        let (found_good, found) = checked(command).await;
        assert_eq!(found_good, good, "{variable:?} {option:?} {found:?}");
        assert_eq!(found["clients sign"].1, "https://file.example.kz");
    }
    // The same file is for every command.
    let output = program(&["--config", file, "bootstrap", "--trial"]).output().await.unwrap();
    assert!(output.status.success() && data.join("book.sqlite").is_file(), "{}", said(&output));
}

#[tokio::test]
async fn a_file_that_cannot_be_heard_ends_the_command_with_the_reason() {
    let home = Home::new();
    for (text, reason) in [
        (Some("lisen = \"127.0.0.1:1\""), "line 1: there is no setting `lisen`; is `listen` meant?"),
        (Some("\nconnections = \"many\""), "line 2: `connections` is written as a whole number"),
        (Some("listen = \"nowhere\""), "line 1: `listen`: invalid value 'nowhere'"),
        (Some("listen = "), "line 1: "),
        (Some("database-url = \"postgres://a:hunter2@db/b\""), "PGPASSFILE"),
        (None, "absent.toml"),
    ] {
        let path = text.map_or_else(|| home.at("absent.toml"), |text| home.write(text));
        for arguments in [&["serve", "--check"][..], &["health"]] {
            let output = program(arguments).arg("--config").arg(&path).output().await.unwrap();
            let said = said(&output);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(reason) && !said.contains("hunter2"), "{said}");
        }
    }
    // A mistake in the arguments is told as one, and help is given, with a file or without.
    let good = home.write("connections = 7\n");
    let output = program(&["serve", "--bogus", "--config"]).arg(&good).output().await.unwrap();
    assert!(output.status.code() == Some(2) && said(&output).contains("--bogus"), "{}", said(&output));
    let output = program(&["serve", "--help", "--config"]).arg(&good).output().await.unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && help.contains("--connections"), "{help}");
}

in_both_rooms! {
    a_check_tells_what_would_be_served_and_writes_nothing,
}

/// A book with its clients, as a file of settings says.
async fn served(place: &Place, home: &Home) -> (PathBuf, String) {
    let mut text = format!("data-dir = \"{}\"\nlisten = \"127.0.0.1:0\"\n", home.at("data").display());
    let mut command = program(&["bootstrap", "--trial", "--config"]);
    let mut url = String::new();
    if let Place::Postgres { owner_url, schema } = place {
        text.push_str(&format!("schema = \"{schema}\"\n"));
        owner_url.clone_into(&mut url);
        command.env("SOCIAL_WALLET_DATABASE_URL", owner_url);
    }
    let file = home.write(&text);
    command.arg(&file);
    Crew::bootstrap(&home.at("data"), command).await;
    (file, url)
}

/// All files below a directory with their bytes, but for what SQLite keeps while a book is open.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut rooms = vec![directory.to_owned()];
    while let Some(directory) = rooms.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let passing =
                ["sqlite-shm", "sqlite-wal"].iter().any(|end| path.extension().is_some_and(|it| it == *end));
            if path.is_dir() {
                rooms.push(path);
            } else if !passing {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}

async fn a_check_tells_what_would_be_served_and_writes_nothing(place: &Place) {
    let home = Home::new();
    let (file, url) = served(place, &home).await;
    let check = |url: &str| {
        let mut command = program(&["serve", "--check", "--json", "--config"]);
        command.arg(&file);
        if !url.is_empty() {
            command.env("SOCIAL_WALLET_DATABASE_URL", url);
        }
        command
    };
    let (before, entries) = (files(home.0.path()), place_size(place, &home).await);
    let (good, found) = checked(check(&url)).await;
    assert!(good, "{found:?}");
    for what in [
        "configuration",
        "listens on",
        "clients sign",
        "store",
        "keys",
        "log key",
        "checkpoint",
        "log",
        "limits",
    ] {
        assert!(found[what].0, "{what}");
    }
    assert!(found["store"].1.contains(&format!(" of {entries} entries")), "{found:?}");
    let told = check(&url).output().await.unwrap().stdout;
    let password = reqwest::Url::parse(&url).ok().and_then(|url| url.password().map(str::to_owned));
    if let Some(password) = password {
        assert!(!String::from_utf8(told).unwrap().contains(&format!(":{password}@")));
    }
    assert_eq!(
        (files(home.0.path()), place_size(place, &home).await),
        (before, entries),
        "nothing was written"
    );

    // What is good is served, with the same settings.
    let mut serve = program(&["serve", "--config"]);
    serve.arg(&file);
    if !url.is_empty() {
        serve.env("SOCIAL_WALLET_DATABASE_URL", &url);
    }
    let (mut child, address) = crate::serve(&mut serve).await;
    assert!(address.starts_with("http://127.0.0.1:"), "{address}");
    let (good, found) = checked(check(&url)).await;
    assert!(good, "also while it is served: {found:?}");
    crate::signed(&address).await;
    child.kill().await.unwrap();

    // A store that lacks what was signed is told, as `serve` would tell it; and so is a key that is not the journal's.
    let kept = home.at("data/checkpoint");
    let signed = fs::read_to_string(&kept).unwrap();
    let (good, found) = checked(check(&url)).await;
    assert!(good, "{found:?}");
    let other = BookKeys::load(&home.at("data/keys.json")).unwrap();
    let log_key = LogKeyFile::load(&home.at("data/log.key")).unwrap();
    let origin = key_name(other.book());
    let grown = Checkpoint { origin, size: entries + 1_000, root: [1; 32], extensions: Vec::new() };
    fs::write(&kept, grown.sign(log_key.find(None).unwrap()).unwrap().to_string()).unwrap();
    let (good, found) = checked(check(&url)).await;
    assert!(!good && found["log"].1.contains("was signed"), "{found:?}");
    fs::write(&kept, signed).unwrap();

    // What stands in the way is told, each thing by itself.
    let keys = home.at("data/keys.json");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    let hidden = home.at("log.key");
    fs::rename(home.at("data/log.key"), &hidden).unwrap();
    fs::rename(home.at("data/checkpoint"), home.at("checkpoint")).unwrap(); // that it was signed, the store knows too
    let mut command = check(&url);
    let absent = home.at("absent.pem");
    command.arg("--tls-certificate").arg(&absent).arg("--tls-key").arg(&absent);
    command.args(["--metrics-listen", "192.0.2.1:1"]);
    let (good, found) = checked(command).await;
    assert!(!good);
    for (what, reason) in [
        ("keys", "chmod 600"),
        ("log key", "is missing"),
        ("certificate", "absent.pem"),
        ("figures", "not a loopback address"),
    ] {
        let (good, told) = &found[what];
        assert!(!good && told.contains(reason), "{what}: {told}");
    }
    assert!(found["store"].0 && found["listens on"].0, "{found:?}");
    fs::remove_file(&keys).unwrap();
    let (good, found) = checked(check(&url)).await;
    assert!(!good && found["keys"].1.contains("cannot be read without it"), "{found:?}");
    let (good, found) = checked(check("postgres://someone:hunter2@127.0.0.1:1/nothing")).await;
    assert!(
        !good && found["store"].1.contains("someone:***@") && !found["store"].1.contains("hunter2"),
        "{found:?}"
    );
    if !url.is_empty() {
        let mut command = check(&url);
        command.args(["--schema", "no_such_schema"]);
        let (good, found) = checked(command).await;
        assert!(!good && found["store"].1.contains("run the migration first"), "{found:?}");
    }
}

/// Entries of the book.
async fn place_size(place: &Place, home: &Home) -> u64 {
    let store: std::sync::Arc<dyn social_wallet::store::Store> = match place {
        Place::Sqlite { .. } => {
            let book = home.at("data/book.sqlite");
            std::sync::Arc::new(social_wallet::store::sqlite::SqliteStore::open_to_read(&book).await.unwrap())
        }
        Place::Postgres { .. } => place.open().await,
    };
    store.head().await.unwrap().unwrap().size
}
