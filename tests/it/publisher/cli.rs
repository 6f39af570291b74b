//! The commands, as an operator gives them to real processes.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use social_wallet::client::RawRequest;
use social_wallet::domain::IdempotencyKey;
use social_wallet::log::checkpoint::Policy;
use social_wallet::log::note::VerifierKey;
use tokio::process::{Child, Command};

use crate::crew::Crew;

/// Entries of a book with its clients and nothing else.
const BOOTSTRAPPED: u64 = 34;

struct Home(PathBuf);

impl Home {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_social-wallet"));
        command.args(arguments).arg("--data-dir").arg(&self.0).stdin(Stdio::null()).kill_on_drop(true);
        for name in ["SERVER", "DATABASE_URL", "KEYS", "LOG_KEY", "CHECKPOINT_FILE", "CLIENT", "CLIENT_KEY"] {
            command.env_remove(format!("SOCIAL_WALLET_{name}"));
        }
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.unwrap()
    }

    /// The JSON answer of a command that does what it is asked.
    async fn done(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Makes the book, with its clients.
    async fn bootstrap(&self) -> Crew {
        Crew::bootstrap(&self.0, self.command(&["bootstrap", "--trial"])).await
    }

    async fn serve(&self) -> (Child, String) {
        crate::serve(self.command(&["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::null())).await
    }

    /// Serves, makes some entries, and waits until the last is covered by a checkpoint; then the process is killed.
    async fn work(&self, programme: &str) {
        let (mut child, url) = self.serve().await;
        let client = Crew::of(&self.0).client("operator-1", &url);
        let key = IdempotencyKey::parse(programme).unwrap();
        let entry = client.register_programme(&crate::http::programme(programme), &key).await.unwrap().value;
        let receipt = RawRequest {
            method: "GET".into(),
            path: entry["receipt"].as_str().unwrap().into(),
            key: None,
            content_type: String::new(),
            accept: "application/json".into(),
            body: Vec::new(),
        };
        let covered = async || (client.call(&receipt).await.unwrap().status == 200).then_some(());
        crate::until("a receipt", covered).await;
        child.kill().await.unwrap();
    }

    fn kept(&self) -> String {
        std::fs::read_to_string(self.0.join("checkpoint")).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_9_an_operator_restores_an_old_backup_is_refused_declares_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home(directory.path().join("data"));
    home.bootstrap().await;
    home.work("ASP").await;
    let backup = directory.path().join("backup");
    copy(&home.0, &backup);
    home.work("BIRTH").await;
    let lost = home.kept();
    let refused = home.run(&["log", "declare-origin"]).await;
    assert_eq!(refused.status.code(), Some(1), "nothing is lost");

    // Everything of the database is old; the checkpoint file is not.
    for entry in std::fs::read_dir(&home.0).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("book.sqlite") {
            std::fs::remove_file(&path).unwrap();
        }
    }
    for entry in std::fs::read_dir(&backup).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("book.sqlite") {
            std::fs::copy(&path, home.0.join(path.file_name().unwrap())).unwrap();
        }
    }
    let output = home.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("restored from an old backup") && told.contains("declare-origin"), "{told}");
    let output = home.run(&["log", "rotate-key"]).await;
    assert_eq!(output.status.code(), Some(3), "nothing is written to it");
    assert_eq!(home.kept(), lost);

    let declared = home.done(&["log", "declare-origin"]).await;
    assert!(declared["origin"].as_str().unwrap().ends_with("/2"));
    home.work("CHILDCARE").await;
    assert!(home.kept().lines().next().unwrap().ends_with("/2"));
    assert_eq!(home.done(&["replay"]).await["matches"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_printed_and_rotated_and_the_log_is_exported_from_the_store_and_from_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home(directory.path().join("data"));
    let auditor = home.bootstrap().await.key("auditor");
    home.work("ASP").await;
    let printed = home.run(&["log", "key"]).await;
    let old: VerifierKey = String::from_utf8(printed.stdout).unwrap().trim().parse().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    let first = home.done(&["log", "export", one.to_str().unwrap()]).await;
    assert_eq!(
        (&first["size"], &first["new_entries"]),
        (&(BOOTSTRAPPED + 1).into(), &(BOOTSTRAPPED + 1).into())
    );
    Policy::of_log(old.clone()).open(&std::fs::read(one.join("checkpoint")).unwrap()).unwrap();

    let earlier = directory.path().join("earlier");
    std::fs::copy(one.join("checkpoint"), &earlier).unwrap();
    let rotated = home.done(&["log", "rotate-key"]).await;
    let keys = home.done(&["log", "key"]).await;
    assert_eq!(keys["keys"], serde_json::json!([old.to_string(), rotated["key"]]));
    home.work("BIRTH").await;
    let second = home.done(&["log", "export", one.to_str().unwrap()]).await;
    assert_eq!((&second["size"], &second["new_entries"]), (&(BOOTSTRAPPED + 3).into(), &2.into()));
    let new: VerifierKey = rotated["key"].as_str().unwrap().parse().unwrap();
    // A verifier that shares no code with us follows the rotation too, whichever key it has.
    for key in [&old, &new] {
        let arguments = [&key.to_string(), "--earlier", earlier.to_str().unwrap()];
        let (code, said) = crate::log::independent::verify(&one, &arguments);
        assert_eq!(code, 0, "{said}");
    }
    let note = std::fs::read(one.join("checkpoint")).unwrap();
    Policy::of_log(new).open(&note).unwrap();
    Policy::of_log(old).open(&note).unwrap_err();

    let (mut child, url) = home.serve().await;
    let export = ["log", "export", two.to_str().unwrap(), "--from-server", "--server", &url];
    let output = home.run(&[&export[..], &["--client-key", &auditor]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let size = BOOTSTRAPPED + 3;
    for file in
        ["checkpoint".to_owned(), format!("tile/0/000.p/{size}"), format!("tile/entries/000.p/{size}")]
    {
        assert_eq!(
            std::fs::read(one.join(&file)).unwrap(),
            std::fs::read(two.join(&file)).unwrap(),
            "{file}"
        );
    }
    child.kill().await.unwrap();
    // A service without its log's key does not make another.
    std::fs::remove_file(home.0.join("log.key")).unwrap();
    let output = home.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--log-key"));
}
