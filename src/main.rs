//! The one program: the service, and the commands that call it.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IsTerminal};
use std::process::ExitCode;

use social_wallet::cli::{Cli, CliError, LogFormat, Outcome, ReadError};
use tracing_subscriber::EnvFilter;

// A request is a few hundred small allocations on one thread, freed on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(ReadError::Arguments(error)) => error.exit(),
        Err(ReadError::Config(error)) => {
            eprintln!("social-wallet: {error}");
            return ExitCode::from(2);
        }
    };
    // Standard output belongs to answers. RUST_LOG chooses what is told; by default only what went wrong.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(io::stderr);
    match cli.log_format() {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
        }
    }
    match cli.run().await {
        Ok(outcome) => outcome.exit_code(),
        // Whoever read our output has had enough of it (`… | head`).
        Err(CliError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Outcome::Done.exit_code(),
        Err(error) => {
            eprintln!("social-wallet: {error}");
            error.exit_code()
        }
    }
}
