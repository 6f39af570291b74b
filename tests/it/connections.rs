//! Connections: how many, over what, and for how long. Those that say nothing are let go, and keep nobody waiting.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures::stream;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use social_wallet::http::limits::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, METRICS_CONNECTIONS};
use social_wallet::http::server::{self, Terms};
use social_wallet::tls::{self, Files};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::crew::Crew;
use crate::http::{Service, fresh};
use crate::soon;
use crate::store::{Place, in_place};

/// A clock that runs out while a test waits for it, and not while a client that is served pauses.
const SHORT: Duration = Duration::from_millis(500);

/// A certification authority, and a certificate of it for `localhost` and 127.0.0.1.
struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, fresh());
        let key = KeyPair::generate().unwrap();
        fs::write(directory.path().join("authority.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let authority = Self { directory, issuer: Issuer::new(params, key) };
        authority.renew();
        authority
    }

    /// Writes a new certificate and its key.
    fn renew(&self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let Files { certificate: path, key: key_path } = self.files();
        fs::write(path, certificate.pem()).unwrap();
        fs::write(&key_path, key.serialize_pem()).unwrap();
        fs::set_permissions(key_path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    fn files(&self) -> Files {
        let at = |name| self.directory.path().join(name);
        Files { certificate: at("certificate.pem"), key: at("key.pem") }
    }

    /// What trusts it.
    fn web(&self) -> reqwest::Client {
        tls::client("https://localhost", Some(&self.path())).unwrap().no_proxy().build().unwrap()
    }
}

/// A server of a few paths.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    /// A permit for each request to `/slow` that has begun.
    begun: Arc<Semaphore>,
    /// Permits for them to end.
    end: Arc<Semaphore>,
}

impl Server {
    async fn start(terms: Terms) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (begun, end) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (tell, ending) = (Arc::clone(&begun), Arc::clone(&end));
        let slow = move || async move {
            tell.add_permits(1);
            ending.acquire().await.unwrap().forget();
            "finished"
        };
        let endless = || async {
            let pieces = stream::repeat_with(|| Ok::<_, Infallible>(vec![b'x'; 65_536]));
            Body::from_stream(pieces)
        };
        let router = Router::new()
            .route("/", get(|| async { "served" }))
            .route("/slow", get(slow))
            .route("/endless", get(endless));
        let stopping = async { _ = stopped.await };
        let served = tokio::spawn(server::serve(listener, router, terms, stopping));
        Self { address, stop, served, begun, end }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn begins(&self) {
        soon(self.begun.acquire()).await.unwrap().forget();
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        soon(self.served).await.unwrap();
    }
}

/// Sends text on an open connection and gives what is answered to it: a whole answer with a `content-length`.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    answer(stream).await
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            length.is_some_and(|length| body.len() == length.parse::<usize>().unwrap())
        });
        if whole {
            return text;
        }
        let mut bytes = [0; 4_096];
        let count = soon(stream.read(&mut bytes)).await.unwrap();
        assert!(count > 0, "the connection was closed after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
}

/// Waits until the other side closes; gives what it said before.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end, too.
    _ = soon(stream.read_to_end(&mut said)).await;
    said
}

#[tokio::test]
async fn as_many_connections_are_served_as_the_limit_says_and_one_more_waits_for_a_place() {
    for open in [2, 3] {
        let server = Server::start(Terms { connections: 3, ..Terms::default() }).await;
        let mut taken = Vec::new();
        for _ in 0..open {
            let mut stream = server.connect().await;
            assert!(ask(&mut stream, "/").await.ends_with("served"));
            taken.push(stream);
        }
        // One more: it is served at once below the limit, and at the limit when another has gone.
        let mut more = server.connect().await;
        more.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        if open == 3 {
            // Those that have a place are served meanwhile, each of them.
            for stream in &mut taken {
                assert!(ask(stream, "/").await.ends_with("served"));
            }
            assert_eq!(server.begun.available_permits(), 0, "it has no place");
            drop(taken.pop());
        }
        server.begins().await;
        server.end.add_permits(1);
        assert!(answer(&mut more).await.ends_with("finished"));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_and_an_idle_connection_are_let_go_and_nobody_waits_for_them() {
    let server = Server::start(Terms { connections: 2, head_time: SHORT, ..Terms::default() }).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nfie").await.unwrap();
    let mut silent = server.connect().await;
    let mut third = server.connect().await;
    assert!(ask(&mut third, "/").await.ends_with("served"), "when the places of the others are free again");
    assert_eq!(closed(&mut slow).await, b"");
    assert_eq!(closed(&mut silent).await, b"");
    assert_eq!(closed(&mut third).await, b"", "idle for as long");
    // A request that takes longer than a head may is no matter of this clock.
    let mut working = server.connect().await;
    working.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.begins().await;
    let mut other = server.connect().await;
    assert_eq!(closed(&mut other).await, b"", "the clock has run out meanwhile");
    server.end.add_permits(1);
    assert!(answer(&mut working).await.ends_with("finished"));
    server.stop().await;
}

#[tokio::test]
async fn whoever_does_not_read_an_answer_is_let_go() {
    let server = Server::start(Terms { connections: 1, stall_time: SHORT, ..Terms::default() }).await;
    let mut lazy = server.connect().await;
    lazy.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut next = server.connect().await;
    assert!(ask(&mut next, "/").await.ends_with("served"), "the lazy one's place is free again");
    server.stop().await;
}

#[tokio::test]
async fn what_is_under_way_is_answered_when_the_service_stops_and_idle_connections_are_closed() {
    let server = Server::start(Terms::default()).await;
    let (mut idle, mut fresh, mut working) =
        (server.connect().await, server.connect().await, server.connect().await);
    assert!(ask(&mut idle, "/").await.ends_with("served"));
    working.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.begins().await;
    let Server { address, stop, served, end, .. } = server;
    stop.send(()).unwrap();
    assert_eq!(closed(&mut idle).await, b"");
    assert_eq!(closed(&mut fresh).await, b"");
    assert!(!served.is_finished(), "one is still served");
    TcpStream::connect(address).await.expect_err("nobody is accepted any more");
    end.add_permits(1);
    assert!(answer(&mut working).await.ends_with("finished"));
    assert_eq!(closed(&mut working).await, b"");
    soon(served).await.unwrap();
}

#[tokio::test]
async fn a_service_that_stops_waits_for_so_long_and_no_longer() {
    let server = Server::start(Terms { stop_time: SHORT, ..Terms::default() }).await;
    let mut working = server.connect().await;
    working.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.begins().await;
    server.stop().await;
    assert_eq!(closed(&mut working).await, b"", "broken off");
}

#[tokio::test]
async fn sixteen_look_at_the_figures_at_once_and_one_more_waits_for_a_place() {
    in_place(Place::sqlite(), |place| Box::pin(the_figures_have_sixteen_places(place))).await;
}

async fn the_figures_have_sixteen_places(place: &Place) {
    let service = Service::on_new_book(place).await;
    let address = service.metrics.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    let mut taken = Vec::new();
    for _ in 0..METRICS_CONNECTIONS {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        assert!(ask(&mut stream, "/metrics").await.contains("social_wallet_queue_depth"));
        taken.push(stream);
    }
    let mut more = TcpStream::connect(&address).await.unwrap();
    more.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    for stream in &mut taken {
        assert!(ask(stream, "/metrics").await.starts_with("HTTP/1.1 200"));
    }
    let nothing = more.try_read(&mut [0; 1]);
    assert!(nothing.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "it has no place");
    drop(taken.pop());
    assert!(answer(&mut more).await.starts_with("HTTP/1.1 200"));
    // Those that come to the service have their own places.
    service.get("/health/ready").await.expect(200);
    drop((taken, more));
    service.close().await;
}

#[tokio::test]
async fn the_head_of_a_request_has_its_limit_and_what_is_beyond_is_a_problem() {
    in_place(Place::sqlite(), |place| Box::pin(heads_are_held_to_their_limit(place))).await;
}

async fn heads_are_held_to_their_limit(place: &Place) {
    let service = Service::on_new_book(place).await;
    let address = service.url.trim_start_matches("http://").to_owned();
    let head = |path: &str, length: usize| {
        let line = format!("GET {path} HTTP/1.1\r\n");
        let fields = "host: x\r\nconnection: close\r\nfiller: ";
        let end = "\r\n\r\n";
        let filler = "f".repeat(length - line.len() - fields.len() - end.len());
        let head = format!("{line}{fields}{filler}{end}");
        assert_eq!(head.len(), length);
        head
    };
    let told = async |head: String| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // What is far too long may be refused before all of it is sent.
        _ = stream.write_all(head.as_bytes()).await;
        String::from_utf8(closed(&mut stream).await).unwrap()
    };
    for path in ["/health/live", "/v1/book", "/nowhere"] {
        for length in [HEAD_BYTES_MAX - 1, HEAD_BYTES_MAX, HEAD_BYTES_MAX + 1] {
            let answer = told(head(path, length)).await;
            let refused =
                answer.starts_with("HTTP/1.1 431 ") && answer.contains("\"code\":\"head_too_large\"");
            assert_eq!(refused, length > HEAD_BYTES_MAX, "{path} {length}: {answer}");
        }
    }
    // The path counts, and so do fields of no length.
    let long = format!("/{}", "p".repeat(HEAD_BYTES_MAX));
    assert!(told(head(&long, HEAD_BYTES_MAX + 100)).await.contains("head_too_large"));
    for (fields, refused) in
        [(HEAD_FIELDS_MAX - 1, false), (HEAD_FIELDS_MAX, false), (HEAD_FIELDS_MAX + 1, true)]
    {
        let more = "a:\r\n".repeat(fields - 2);
        let answer =
            told(format!("GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n")).await;
        assert_eq!(answer.contains("head_too_large"), refused, "{fields}: {answer}");
    }
    // What is far beyond is told without a reason: nobody reads so much to find one.
    for head in [head("/health/live", 200_000), format!("GET / HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(101))] {
        let answer = told(head).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let over =
        service.send(service.request("GET", "/v1/book").header("filler", "f".repeat(HEAD_BYTES_MAX))).await;
    over.refused(431, "head_too_large", None);
    service.close().await;
}

#[tokio::test]
async fn tls_is_spoken_to_whoever_trusts_the_authority_and_others_are_sent_away() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (current, renewal) = authority.files().open().unwrap();
    let renewing = tokio::spawn(renewal.run(Duration::from_millis(10)));
    let server = Server::start(Terms { tls: Some(current.clone()), ..Terms::default() }).await;
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/", server.address.port());
        let served = authority.web().get(&url).send().await.unwrap().text().await.unwrap();
        assert_eq!(served, "served");
        let refused = other.web().get(&url).send().await.unwrap_err();
        assert!(format!("{refused:?}").contains("UnknownIssuer"), "{refused:?}");
    }
    // Plain HTTP, nothing at all, and half of a greeting.
    let terms = Terms { tls: Some(current.clone()), handshake_time: SHORT, ..Terms::default() };
    let hurried = Server::start(terms).await;
    let mut plain = hurried.connect().await;
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(!closed(&mut plain).await.starts_with(b"HTTP"));
    let mut silent = hurried.connect().await;
    assert_eq!(closed(&mut silent).await, b"");
    let mut half = hurried.connect().await;
    half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    assert_eq!(closed(&mut half).await, b"");
    hurried.stop().await;
    // A renewed certificate is picked up, and a connection that is open stays.
    let url = format!("https://localhost:{}/", server.address.port());
    let before = authority.web();
    assert_eq!(before.get(&url).send().await.unwrap().status(), 200);
    let mut changed = current.clone();
    changed.mark_unchanged();
    authority.renew();
    soon(changed.changed()).await.unwrap();
    for web in [before, authority.web()] {
        assert_eq!(web.get(&url).send().await.unwrap().status(), 200);
    }
    server.stop().await;
    drop((current, changed));
    renewing.await.unwrap();
}

#[tokio::test]
async fn a_silent_handshake_keeps_no_other_waiting() {
    let authority = Authority::new();
    let (current, _renewal) = authority.files().open().unwrap();
    let server = Server::start(Terms { tls: Some(current), ..Terms::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(server.connect().await);
    }
    let url = format!("https://localhost:{}/", server.address.port());
    let answer = soon(authority.web().get(&url).send()).await.unwrap();
    assert_eq!(answer.status(), 200);
    server.stop().await; // and none of them is waited for
}

fn program(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_social-wallet"));
    command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).env("RUST_LOG", "error");
    crate::unset(&mut command);
    command.env("SOCIAL_WALLET_DATA_DIR", data);
    command
}

/// What a command that cannot be carried out says, with its exit code.
async fn refused(mut command: Command) -> (Option<i32>, String) {
    let output = soon(command.output()).await.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_with_a_certificate_is_called_by_the_command_line() {
    let (authority, home) = (Authority::new(), tempfile::tempdir().unwrap());
    let data = home.path().join("data");
    let mut new = program(&data);
    new.args(["bootstrap", "--trial"]);
    let crew = Crew::bootstrap(&data, new).await;
    let Files { certificate, key } = authority.files();
    let serve = |listen: &str| {
        let mut command = program(&data);
        command.args(["serve", "--listen", listen]);
        command
    };
    let with_tls = |mut command: Command| {
        command.arg("--tls-certificate").arg(&certificate).arg("--tls-key").arg(&key);
        command
    };
    let (_service, url) = crate::serve(&mut with_tls(serve("127.0.0.1:0"))).await;
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let call = |authority: Option<&Path>| {
        let mut command = program(&data);
        command.args(["call", "GET", "/v1/book", "--client-key", &crew.key("auditor"), "--server", &url]);
        if let Some(path) = authority {
            command.env("SOCIAL_WALLET_CA_CERTIFICATE", path);
        }
        command
    };
    let output = call(Some(&authority.path())).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (code, said) = refused(call(Some(&Authority::new().path()))).await;
    assert!(code == Some(3) && said.contains("--ca-certificate"), "{said}");
    let (code, said) = refused(call(Some(&data.join("absent.pem")))).await;
    assert!(code == Some(2) && said.contains("absent.pem"), "{said}");

    // What does not fit together is not served.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let (code, said) = refused(with_tls(serve("127.0.0.1:0"))).await;
    assert!(code == Some(3) && said.contains("chmod 600"), "{said}");
    let mut half = serve("127.0.0.1:0");
    half.arg("--tls-certificate").arg(&certificate);
    let mut both = with_tls(serve("127.0.0.1:0"));
    both.args(["--behind-tls", "--public-url", "https://ledger.example.kz"]);
    let (mut nameless, open) = (serve("127.0.0.1:0"), serve("192.0.2.1:0"));
    nameless.arg("--behind-tls");
    let everywhere = with_tls(serve("0.0.0.0:0"));
    for (command, code, reason) in [
        (half, 2, "go together"),
        (both, 2, "choose one"),
        (nameless, 2, "--public-url"),
        (everywhere, 2, "--public-url"),
        (open, 3, "not a loopback address"),
    ] {
        let (found, said) = refused(command).await;
        assert!(found == Some(code) && said.contains(reason), "{reason}: {found:?} {said}");
    }
}
