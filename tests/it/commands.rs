//! The commands of who may call, given to real processes; and the signing examples, against a live service.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::crew::Crew;
use crate::http::iin;

pub struct Home {
    directory: tempfile::TempDir,
    url: String,
}

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_social-wallet"));
    command.stdin(Stdio::null()).kill_on_drop(true).env("RUST_LOG", "error");
    for name in ["SERVER", "DATABASE_URL", "KEYS", "LOG_KEY", "CHECKPOINT_FILE", "CLIENT", "CLIENT_KEY"] {
        command.env_remove(format!("SOCIAL_WALLET_{name}"));
    }
    command
}

impl Home {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), url: String::new() }
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn at(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    pub async fn serve(&mut self) -> Child {
        let mut command = program();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(self.data());
        let (child, url) = crate::serve(&mut command).await;
        self.url = url;
        child
    }

    pub async fn run(&self, arguments: &[&str]) -> Output {
        program().args(arguments).env("SOCIAL_WALLET_SERVER", &self.url).output().await.unwrap()
    }

    /// The answer of a command that does what it is asked.
    pub async fn done(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a command says that is not done, with its exit code.
    pub async fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_book_begins_with_two_operators_once_and_they_register_the_others() {
    let mut home = Home::new();
    let data = home.data().display().to_string();
    let key = async |home: &Home, name: &str| {
        let made = home.done(&["keygen", name, &home.at(name)]).await;
        made["public_key"].as_str().unwrap().to_owned()
    };
    let (one, two, bank) = (key(&home, "anna").await, key(&home, "berik").await, key(&home, "halyk").await);
    let founder = |name: &str, key: &str| format!("{name}={key}");
    let bootstrap = |operators: &[String]| {
        let mut arguments = vec!["bootstrap".to_owned(), "--data-dir".to_owned(), data.clone()];
        arguments.extend(operators.iter().flat_map(|operator| ["--operator".to_owned(), operator.clone()]));
        arguments
    };
    let alone = bootstrap(&[founder("anna", &one)]);
    let alone: Vec<&str> = alone.iter().map(String::as_str).collect();
    assert!(home.refused(&alone, 1).await.contains("operators_too_few"));
    let both = bootstrap(&[founder("anna", &one), founder("berik", &two)]);
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    assert_eq!(home.done(&both).await["operators"], json!(["anna", "berik"]));
    assert!(home.refused(&both, 1).await.contains("the book has its operators"), "never twice");
    assert!(
        home.refused(&["keygen", "anna", &home.at("anna")], 2).await.contains("exists"),
        "never overwritten"
    );

    let _service = home.serve().await;
    assert!(home.refused(&["programme", "list"], 1).await.contains("signature_missing"));
    let (anna, berik, halyk) = (home.at("anna"), home.at("berik"), home.at("halyk"));
    let as_anna = ["--client-key", anna.as_str()];
    let add = ["client", "add", "halyk", "--role", "bank", "--bic", "HSBKKZKX", "--public-key", &bank];
    home.done(&[&add[..], &as_anna].concat()).await;
    let own = home.done(&["call", "GET", "/v1/clients/halyk", "--client-key", &halyk]).await;
    assert_eq!((&own["status"], &own["body"]["role"]), (&json!(200), &json!("bank")));
    let health = home.done(&["health", "--wait", "30", "--client-key", &halyk]).await;
    assert!(health["book"]["size"].as_u64().unwrap() > 3);
    assert_eq!(home.done(&["health"]).await, json!({"ready": true}));

    // A third operator takes both of the first: once for the registration, once for the key.
    let third = key(&home, "dana").await;
    let add = ["client", "add", "dana", "--role", "operator"];
    let asked = home.done(&[&add[..], &as_anna].concat()).await;
    let approve = async |home: &Home, asked: &Value| {
        let (entry, digest) = (asked["entry"].to_string(), asked["digest"].as_str().unwrap().to_owned());
        let shown = home.done(&["approval", "show", &entry, "--client-key", &berik]).await;
        assert_eq!((&shown["state"], &shown["digest"]), (&json!("open"), &asked["digest"]));
        let own = ["approval", "approve", &entry, &digest, "--client-key", &anna];
        assert!(home.refused(&own, 1).await.contains("approval_self"));
        home.done(&["approval", "approve", &entry, &digest, "--client-key", &berik]).await;
    };
    approve(&home, &asked).await;
    let asked = home.done(&[&["client", "add-key", "dana", &third][..], &as_anna].concat()).await;
    approve(&home, &asked).await;
    let dana = home.at("dana");
    let listed = home.done(&["client", "list", "--client-key", &dana]).await;
    assert_eq!(listed["clients"].as_array().unwrap().len(), 4);

    // A person's further number: who approves it gives it again.
    let [first, further] = [1, 2].map(|person| {
        let path = home.at(&format!("person-{person}"));
        std::fs::write(&path, iin(person)).unwrap();
        path
    });
    let open = format!("{{\"iin\":\"{}\"}}", iin(1));
    home.done(&["call", "POST", "/v1/wallets", &open, "--client-key", &anna]).await;
    let wallet =
        home.done(&["wallet", "show", "--iin-file", &first, "--client-key", &anna]).await["wallet"].clone();
    let path = format!("/v1/wallets/{}/numbers", wallet.as_str().unwrap());
    let number = json!({"iin": iin(2), "document": "act 7"}).to_string();
    let asked = home.done(&["call", "POST", &path, &number, "--client-key", &anna]).await["body"].clone();
    let (entry, digest) = (asked["entry"].to_string(), asked["digest"].as_str().unwrap().to_owned());
    let approve = ["approval", "approve", &entry, &digest, "--client-key", &berik];
    assert!(home.refused(&approve, 1).await.contains("approval_digest_mismatch"));
    let other = [&approve[..], &["--iin-file", &first]].concat();
    assert!(home.refused(&other, 1).await.contains("approval_digest_mismatch"));
    home.done(&[&approve[..], &["--iin-file", &further]].concat()).await;
    let led = home.done(&["wallet", "show", "--iin-file", &further, "--client-key", &anna]).await;
    assert_eq!(led["wallet"], wallet);

    // One that is suspended, one whose key is revoked.
    let suspend = ["client", "suspend", "halyk", "--reason", "under inquiry", "--client-key", &dana];
    home.done(&suspend).await;
    assert!(home.refused(&["entry", "1", "--client-key", &halyk], 1).await.contains("client_suspended"));
    home.done(&["client", "reinstate", "halyk", "--reason", "cleared", "--client-key", &dana]).await;
    let id = own["body"]["keys"][0]["key"].as_str().unwrap().to_owned();
    home.done(&["client", "revoke-key", &id, "--client-key", &halyk]).await;
    assert!(home.refused(&["health", "--client-key", &halyk], 1).await.contains("signature_key_unknown"));

    // Without a name in the key file it must be told; a file that others may read is no key.
    let text = std::fs::read_to_string(&dana).unwrap();
    let bare = home.at("bare");
    std::fs::write(&bare, text.split_once('\n').unwrap().1).unwrap();
    std::fs::set_permissions(&bare, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert!(home.refused(&["health", "--client-key", &bare], 2).await.contains("--client"));
    home.done(&["health", "--client-key", &bare, "--client", "dana"]).await;
    std::fs::set_permissions(&bare, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    assert!(
        home.refused(&["health", "--client-key", &bare, "--client", "dana"], 2).await.contains("chmod 600")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signing_examples_in_python_and_shell_are_understood_by_a_live_service() {
    let mut home = Home::new();
    let mut new = program();
    new.args(["bootstrap", "--trial", "--data-dir"]).arg(home.data());
    let crew = Crew::bootstrap(&home.data(), new).await;
    let _service = home.serve().await;
    let python = std::env::var("SOCIAL_WALLET_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let (script, shell) = (examples.join("sign.py"), examples.join("sign.sh"));
    for (number, command) in
        [vec![python.as_str(), "-B", script.to_str().unwrap()], vec![shell.to_str().unwrap()]]
            .into_iter()
            .enumerate()
    {
        let send = async |name: &str, method: &str, path: &str, body: &str| {
            let url = format!("{}{path}", home.url);
            let mut process = Command::new(command[0]);
            process.args(&command[1..]).args([&crew.key(name), name, method, &url]);
            if !body.is_empty() {
                process.arg(body);
            }
            let output = process.output().await.unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8(said).unwrap())
        };
        let code = format!("EXAMPLE_{number}");
        let body = crate::http::programme(&code).to_string();
        let (done, said) = send("operator-1", "POST", "/v1/programmes", &body).await;
        assert!(done && said.contains("programme_registered"), "{command:?}: {said}");
        let (done, said) = send("auditor", "GET", &format!("/v1/programmes/{code}?"), "").await;
        assert!(done && said.contains(&code), "{command:?}: {said}");
        let (done, said) = send("bank", "POST", "/v1/programmes", &body).await;
        assert!(!done && said.contains("role_forbidden"), "{command:?}: {said}");
    }
}
