//! What the service does when clients, paths or the database are not as they should be.

use std::cell::Cell;

use futures::future::{join, join_all};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{
    HEADER, Service, accrual, declaration, fresh, in_both_rooms, line, lines, programme, reversal, with,
};
use crate::store::{Place, in_place, owner_url};

in_both_rooms! {
    unknown_paths_and_methods_are_told_as_problems,
    clients_that_stall_keep_nobody_waiting,
    a_client_that_stalls_leaves_places_to_others,
    a_body_that_breaks_off_does_nothing,
    a_body_of_a_hundred_megabytes_is_refused_and_the_client_is_told,
    the_service_says_that_it_lives_and_is_ready,
    a_member_that_is_not_known_is_refused_also_if_it_is_null,
    a_member_that_may_be_left_out_may_be_null,
}

async fn unknown_paths_and_methods_are_told_as_problems(place: &Place) {
    let service = Service::on_new_book(place).await;
    for path in ["/", "/v1", "/v1/", "/v2/book", "/v1/book/", "/v1/wallets/a/b/c", "/v1/..%2fbook"] {
        service.get(path).await.refused(404, "path_unknown", None);
    }
    for (method, path) in [
        ("DELETE", "/v1/programmes"),
        ("PUT", "/v1/programmes"),
        ("GET", "/v1/accruals"),
        ("POST", "/v1/book"),
        ("PATCH", "/v1/entries/0"),
        ("GET", "/v1/batches/x/close"),
        ("POST", "/health/live"),
    ] {
        let answer = service.send(service.request(method, path)).await;
        answer.refused(405, "method_not_allowed", None);
    }
    service.close().await;
}

/// Sends text on a connection of its own and leaves it open.
async fn begin(service: &Service, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn clients_that_stall_keep_nobody_waiting(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(20, "20.00").await;
    let mut stalled = Vec::new();
    for number in 0..16 {
        let body = accrual(1, "1.00").to_string();
        let half = format!(
            "POST /v1/accruals HTTP/1.1\r\nhost: x\r\nidempotency-key: {number}\r\ncontent-length: {}\r\n\r\n{}",
            body.len(),
            &body[..body.len() / 2]
        );
        stalled.push(begin(&service, &half).await);
        stalled.push(begin(&service, "GET /v1/boo").await);
    }
    for number in 1..16 {
        let half = format!(
            "PUT /v1/batches/{id}/chunks/{number} HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\n\
             social-wallet-client: payer-{}\r\ncontent-length: 1000\r\n\r\n{HEADER}",
            number % 2
        );
        stalled.push(begin(&service, &half).await);
    }
    let answer = service.chunk(&id, 1, &line(2, "1.00")).await.expect(200);
    assert_eq!(answer["counts"]["accepted"], 1);
    service.write("/v1/accruals", &accrual(3, "1.00")).await.expect(201);
    // One more is as many chunks as are taken at once: then the service says that it is full, and serves the rest.
    let half = format!(
        "PUT /v1/batches/{id}/chunks/16 HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\ncontent-length: 9\r\n\r\n"
    );
    stalled.push(begin(&service, &half).await);
    let mut filled = async || {
        let answer = service.chunk(&id, 1, &line(2, "1.00")).await;
        if answer.status != 503 {
            // The stalled one may have come while ours held the last place, and been turned away itself: another comes.
            stalled.push(begin(&service, &half).await);
        }
        (answer.status == 503).then_some(answer)
    };
    let full = crate::until("that it is full", &mut filled).await;
    full.refused(503, "busy", None);
    assert_eq!(full.header("retry-after"), Some("1"));
    service.write("/v1/accruals", &accrual(4, "1.00")).await.expect(201);
    drop(stalled);
    let free = async || {
        let answer = service.chunk(&id, 2, &line(5, "1.00")).await;
        (answer.status != 503).then_some(answer)
    };
    crate::until("a place", free).await.expect(200);
    let lookup = json!({"iin": super::iin(1)}).to_string();
    let nobody = service.send(service.request("POST", "/v1/wallets/lookup").body(lookup)).await;
    nobody.refused(404, "wallet_unknown", None);
    service.close().await;
}

async fn a_client_that_stalls_leaves_places_to_others(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(20, "20.00").await;
    let half = format!(
        "PUT /v1/batches/{id}/chunks/9 HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\n\
         social-wallet-client: slow\r\ncontent-length: 1000\r\n\r\n"
    );
    let chunk_of = async |client: &str| {
        let request = service.request("PUT", &format!("/v1/batches/{id}/chunks/1"));
        let request = request.header("Content-Type", "text/csv").header("Social-Wallet-Client", client);
        service.send(request.body(format!("{HEADER}{}", line(2, "1.00")))).await
    };
    let mut stalled = Vec::new();
    for number in 0.. {
        assert!(number < 1_000, "a client may have more than 8 chunks in memory");
        stalled.push(begin(&service, &half).await);
        let answer = chunk_of("slow").await;
        if answer.status == 503 {
            assert!(number >= 7, "turned away with {} chunks in memory", number + 1);
            answer.refused(503, "busy", None);
            break;
        }
    }
    chunk_of("anonymous").await.expect(200);
    drop(stalled);
    service.close().await;
}

async fn a_body_that_breaks_off_does_nothing(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(2, "2.00").await;
    let size = service.size().await;
    let whole = format!("{HEADER}{}", lines(1..3, "1.00"));
    for sent in [0, 1, HEADER.len(), HEADER.len() + line(1, "1.00").len(), whole.len() - 1] {
        let head = format!(
            "PUT /v1/batches/{id}/chunks/1 HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\ncontent-length: {}\r\n\r\n",
            whole.len()
        );
        let mut stream = begin(&service, &format!("{head}{}", &whole[..sent])).await;
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.is_empty() || answer.contains("body_incomplete"), "{answer}");
    }
    assert_eq!(service.size().await, size);
    assert_eq!(service.chunk(&id, 1, &lines(1..3, "1.00")).await.expect(200)["counts"]["accepted"], 2);
    service.close().await;
}

async fn a_body_of_a_hundred_megabytes_is_refused_and_the_client_is_told(place: &Place) {
    const BYTES: usize = 100_000_000;
    let service = Service::start(place).await;
    let id = service.open(2, "2.00").await;
    let (size, batch) = (service.size().await, service.batch(&id).await);
    // One line of a hundred megabytes, its length told before or not.
    let told = format!("content-length: {BYTES}\r\n\r\n");
    let untold = "transfer-encoding: chunked\r\n\r\n".to_owned();
    for (path, kind, code) in [
        (format!("PUT /v1/batches/{id}/chunks/1"), "text/csv", "chunk_too_large"),
        ("POST /v1/wallets/lookup".to_owned(), "application/json", "body_too_large"),
    ] {
        for framing in [&told, &untold] {
            let head = format!(
                "{path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\nconnection: close\r\n{framing}"
            );
            let mut stream = begin(&service, &head).await;
            let piece = vec![b'1'; 1_000_000];
            for _ in 0..BYTES / piece.len() {
                if framing == &told {
                    stream.write_all(&piece).await.unwrap();
                } else {
                    stream.write_all(b"f4240\r\n").await.unwrap();
                    stream.write_all(&piece).await.unwrap();
                    stream.write_all(b"\r\n").await.unwrap();
                }
            }
            if framing == &untold {
                stream.write_all(b"0\r\n\r\n").await.unwrap();
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
            assert!(answer.contains(code), "{answer}");
        }
        // A client that asks first sends nothing.
        let head =
            format!("{path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\nexpect: 100-continue\r\n{told}");
        let mut stream = begin(&service, &head).await;
        let mut answer = [0; 13];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413 ");
    }
    assert_eq!((service.size().await, service.batch(&id).await), (size, batch));
    service.close().await;
}

async fn the_service_says_that_it_lives_and_is_ready(place: &Place) {
    let service = Service::on_new_book(place).await;
    assert_eq!(service.get("/health/live").await.expect(200)["status"], "live");
    assert_eq!(service.get("/health/ready").await.expect(200)["status"], "ready");
    let book = service.get("/v1/book").await.expect(200);
    assert_eq!((&book["size"], &book["wallets"], &book["batches"]), (&json!(1), &json!(0), &json!(0)));
    let name = if matches!(place, Place::Sqlite { .. }) { "sqlite" } else { "postgres" };
    assert_eq!(book["store"].as_str().unwrap().to_lowercase()[..6], name[..6]);
    service.close().await;
}

async fn a_member_that_is_not_known_is_refused_also_if_it_is_null(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(1, "1.00").await;
    let size = service.size().await;
    let (steps, batch) = (["release", "close", "cancel"], format!("/v1/batches/{id}"));
    let mut requests: Vec<(&str, String, Value)> =
        steps.iter().map(|step| ("POST", format!("{batch}/{step}"), json!({}))).collect();
    requests.extend([
        ("PUT", format!("/v1/batches/{}", fresh()), declaration(1, "1.00")),
        ("POST", "/v1/programmes".to_owned(), programme("OTHER")),
        ("POST", "/v1/programmes/ASP/fundings".to_owned(), funding()),
        ("POST", "/v1/wallets".to_owned(), json!({"iin": super::iin(1)})),
        ("POST", "/v1/wallets/lookup".to_owned(), json!({"iin": super::iin(1)})),
        ("POST", "/v1/accruals".to_owned(), accrual(1, "1.00")),
        ("POST", "/v1/reversals".to_owned(), reversal(1)),
        ("POST", "/v1/clients".to_owned(), json!({"client": "halyk", "role": "bank", "bic": "HSBKKZKX"})),
    ]);
    for (method, path, body) in &requests {
        for (name, value) in [("colour", json!("red")), ("colour", json!(null)), ("", json!(null))] {
            let mut body = body.clone();
            body[name] = value;
            let request = service.request(method, path).header("Idempotency-Key", fresh());
            let request = request.header("Content-Type", "application/json").body(body.to_string());
            service.send(request).await.refused(400, "field_unknown", None);
        }
    }
    assert_eq!(service.size().await, size, "nothing was done");
    service.close().await;
}

async fn a_member_that_may_be_left_out_may_be_null(place: &Place) {
    let service = Service::start(place).await;
    let paid =
        service.write("/v1/accruals", &with(accrual(1, "1.00"), "part", Value::Null)).await.expect(201);
    assert_eq!(paid["part"], 1);
    let mut bare = programme("BARE");
    for name in ["knp", "kbe", "iso_purpose"] {
        bare[name] = Value::Null;
    }
    service.write("/v1/programmes", &bare).await.expect(201);
    let mut batch = declaration(1, "1.00");
    for name in ["not_before", "release_required", "validate_only"] {
        batch[name] = Value::Null;
    }
    service.put_batch(&fresh(), &batch).await.expect(201);
    service.close().await;
}

fn funding() -> Value {
    json!({"amount": "1.00", "currency": "KZT", "bank_reference": fresh()})
}

/// Invariants 6 and 7: what is acknowledged is there; everything repeated is done exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_6_connections_lost_during_commands_lose_nothing_and_double_nothing() {
    in_place(Place::postgres().await, |place| Box::pin(connections_are_lost(place))).await;
}

async fn connections_are_lost(place: &Place) {
    let service = Service::start(place).await;
    let batch = fresh();
    service.put_batch(&batch, &declaration(800, "800.00")).await.expect(201);
    let bodies: Vec<_> = (1_000..1_040).map(|person| accrual(person, "2.00")).collect();
    let texts: Vec<_> = (0..8).map(|part| lines(part * 100..part * 100 + 100, "1.00")).collect();
    let (mut acknowledged, mut killed) = (0, 0);
    for round in 0..4 {
        // A few connections a round: the store is lost and found again, and the writer is patient. The first is lost while a
        // commit waits for the head, and so for sure; the others whenever it happens.
        let mut connection = PgConnection::connect(&owner_url()).await.unwrap();
        let mut blocker = place.raw().await;
        blocker.run("BEGIN; LOCK TABLE book IN EXCLUSIVE MODE").await.unwrap();
        let done = Cell::new(false);
        let killing = async {
            let mut kill = async || {
                let row = connection.fetch_one(AssertSqlSafe(place.killing())).await.unwrap();
                row.get::<i64, _>(0)
            };
            let first = async || Some(kill().await).filter(|count| *count > 0 || done.get());
            let mut count = crate::until("a commit that waits, or the end", first).await;
            blocker.run("ROLLBACK").await.unwrap();
            while count < 3 && !done.get() {
                count += kill().await;
            }
            count
        };
        let singles = bodies[round * 10..round * 10 + 10].iter().enumerate().map(|(number, body)| {
            let key = format!("key-{}", round * 10 + number);
            let service = &service;
            async move { service.post("/v1/accruals", &key, body).await }
        });
        let chunks =
            (round * 2..round * 2 + 2).map(|part| service.chunk(&batch, part as u64 * 100 + 1, &texts[part]));
        let commands = async {
            let answers = join(join_all(singles), join_all(chunks)).await;
            done.set(true);
            answers
        };
        let ((singles, chunks), count) = join(commands, killing).await;
        killed += count;
        for answer in singles.iter().chain(&chunks) {
            match answer.status {
                200 | 201 => acknowledged += 1,
                503 => assert!(answer.header("retry-after").is_some()),
                other => panic!("{other}: {}", answer.body),
            }
        }
    }
    assert!(killed >= 4, "{killed} connections lost");
    println!("{killed} connections lost, {acknowledged} of 48 commands acknowledged meanwhile");
    for (number, body) in bodies.iter().enumerate() {
        service.post_patiently("/v1/accruals", &format!("key-{number}"), body).await.expect(201);
    }
    for (part, text) in texts.iter().enumerate() {
        let asked = async || {
            let answer = service.chunk(&batch, part as u64 * 100 + 1, text).await;
            (answer.status != 503).then_some(answer)
        };
        let answer = crate::until("a writer", asked).await.expect(200);
        assert_eq!(answer["counts"]["refused"], 0);
    }
    assert_eq!(service.step(&batch, "close", "anonymous").await.expect(200)["state"], "completed");
    let programme = service.get("/v1/programmes/ASP").await.expect(200);
    assert_eq!(programme["in_wallets"], "880.00", "40 of 2.00 and 800 of 1.00");
    service.close().await;
}
