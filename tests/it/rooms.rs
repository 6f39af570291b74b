//! Dependencies point one way: each room's sources name only what its place on the map lets them.

use std::fs;
use std::path::Path;

/// The code of every file of a room: without comments, and without the unit tests that follow it.
fn sources(room: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rooms = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room)];
    while let Some(directory) = rooms.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // A directory of unit tests is none of the room's code.
                if !path.ends_with("order_tests") {
                    rooms.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") && !is_tests(&path) {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                let code: String =
                    code.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect();
                found.push((path.display().to_string(), code));
            }
        }
    }
    assert!(!found.is_empty(), "there is no room {room}");
    found
}

/// Whether a file is nothing but unit tests.
fn is_tests(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("tests.rs"))
}

fn mentions(code: &str, word: &str) -> bool {
    let part = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part))
}

fn never(rooms: &[&str], words: &[&str]) {
    for (file, code) in rooms.iter().flat_map(|room| sources(room)) {
        for word in words {
            assert!(!mentions(&code, word), "{file} mentions {word}");
        }
    }
}

fn others(rooms: &[&str]) -> Vec<String> {
    rooms.iter().map(|room| format!("crate::{room}")).collect()
}

#[test]
fn the_domain_and_the_ledger_know_no_runtime_no_database_no_clock_no_chance_and_no_files() {
    never(
        &["domain", "ledger"],
        &[
            "tokio",
            "sqlx",
            "axum",
            "reqwest",
            "std::time",
            "SystemTime",
            "Instant",
            "rand",
            "std::fs",
            "std::net",
            "std::env",
            "async",
        ],
    );
    never(
        &["log", "signature"],
        &["tokio", "sqlx", "axum", "reqwest", "std::time", "rand", "std::fs", "async"],
    );
}

#[test]
fn no_room_imports_one_that_stands_after_it() {
    let edge = ["http", "cli", "client", "audit", "verify"];
    let after = |rooms: &[&str]| others(&[rooms, &edge[..]].concat());
    let check = |room: &str, forbidden: Vec<String>| {
        never(&[room], &forbidden.iter().map(String::as_str).collect::<Vec<_>>());
    };
    check("domain", after(&["payroll", "ledger", "log", "keys", "store", "sequencer"]));
    check("payroll", after(&["ledger", "log", "keys", "store", "sequencer"]));
    check("ledger", after(&["log", "keys", "store", "sequencer"]));
    check("log", after(&["keys", "store", "sequencer"]));
    check("orders", after(&["store", "sequencer", "publisher"]));
    never(&["orders"], &["tokio", "sqlx", "axum", "reqwest", "std::time", "rand", "std::fs", "async"]);
    never(&["domain", "payroll", "ledger", "log", "signature", "store", "sequencer"], &["crate::orders"]);
    check("signature", after(&["payroll", "ledger", "log", "keys", "store", "sequencer"]));
    check("store", after(&["sequencer"]));
    check("sequencer", after(&[]));
    check("backup", others(&["sequencer", "http", "cli", "client", "audit", "verify"]));
    check("audit", others(&["sequencer", "http", "cli", "client"]));
    check("verify", others(&["keys", "store", "sequencer", "http", "cli", "client", "audit"]));
    never(&["verify"], &["sqlx", "axum"]);
    never(&["domain", "payroll", "ledger", "log", "store", "sequencer", "audit"], &["crate::publisher"]);
    check("publisher", others(&["http", "cli", "client", "audit"]));
    check("http", others(&["cli", "client"]));
    check("client", others(&["ledger", "log", "keys", "store", "sequencer", "http", "cli", "audit"]));
}

#[test]
fn a_mention_is_a_whole_word() {
    assert!(mentions("use tokio::sync;", "tokio") && mentions("(rand)", "rand"));
    assert!(!mentions("fn random() {} operand", "rand"));
}
