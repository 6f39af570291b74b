//! `call`: any request of the interface, signed and sent.

use std::io::{Read as _, Write as _};
use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, RawRequest};
use crate::domain::IdempotencyKey;

use super::Global;
use super::error::{CliError, Outcome};

/// Fields of an answer that say something: those of this interface and of its log.
const FIELDS_OF_INTEREST: [&str; 8] = [
    "content-type",
    "idempotency-replayed",
    "social-wallet-entry",
    "social-wallet-leaf-hash",
    "social-wallet-receipt",
    "retry-after",
    "ratelimit",
    "location",
];

/// What to send.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// GET, POST or PUT
    #[arg(value_name = "METHOD")]
    method: String,
    /// The path and query, like `/v1/programmes`
    #[arg(value_name = "PATH")]
    path: String,
    /// The body: the text itself, @FILE, or - for standard input, which keeps people's numbers out of `ps`
    #[arg(value_name = "BODY")]
    body: Option<String>,
    /// The Idempotency-Key [default: a new one for a POST with a body]
    #[arg(long, value_name = "KEY", value_parser = IdempotencyKey::parse)]
    idempotency_key: Option<IdempotencyKey>,
    /// What the body is
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: String,
    /// What the answer should be
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    accept: String,
}

fn body(text: Option<&str>) -> Result<Vec<u8>, CliError> {
    match text {
        None => Ok(Vec::new()),
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        Some(text) => match text.strip_prefix('@') {
            Some(file) => std::fs::read(file).map_err(CliError::file(Path::new(file))),
            None => Ok(text.as_bytes().to_vec()),
        },
    }
}

/// Runs the command: exit code 0 if the answer is a success, 1 if it is a refusal, 3 if the service failed.
pub async fn run(global: &Global, args: CallArgs) -> Result<Outcome, CliError> {
    let body = body(args.body.as_deref())?;
    let post = args.method.eq_ignore_ascii_case("POST");
    let key = args.idempotency_key.or_else(|| (post && !body.is_empty()).then(Client::fresh_key));
    let request = RawRequest {
        method: args.method.to_ascii_uppercase(),
        path: args.path,
        key,
        content_type: args.content_type,
        accept: args.accept,
        body,
    };
    let answer = global.client()?.call(&request).await?;
    let fields: Vec<(&str, &str)> = FIELDS_OF_INTEREST
        .iter()
        .filter_map(|name| Some((*name, answer.headers.get(*name)?.to_str().ok()?)))
        .collect();
    let content = serde_json::from_slice::<Value>(&answer.body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&answer.body).into_owned()));
    let headers: serde_json::Map<String, Value> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let key = request.key.as_ref().map(IdempotencyKey::as_str);
    let value = json!({"status": answer.status, "headers": headers, "body": content, "idempotency_key": key});
    global.show(&value, |out| {
        writeln!(out, "{}", answer.status)?;
        if let Some(key) = key {
            writeln!(out, "idempotency-key (sent): {key}")?;
        }
        for (name, value) in &fields {
            writeln!(out, "{name}: {value}")?;
        }
        match &content {
            Value::String(text) => writeln!(out, "\n{}", text.trim_end()),
            content => writeln!(out, "\n{content:#}"),
        }
    })?;
    match answer.status {
        200..=299 => Ok(Outcome::Done),
        500.. => Err(CliError::Service(format!("the service answered {}", answer.status))),
        _ => Ok(Outcome::NotAll),
    }
}
