//! The one program: the service, and the commands that call it.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IsTerminal};
use std::num::NonZeroUsize;
use std::process::ExitCode;

use social_wallet::cli::{Cli, CliError, LogFormat, Outcome, ReadError};
use tracing_subscriber::EnvFilter;

// A request is a few hundred small allocations on one thread, freed on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build();
    match built {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => {
            eprintln!("social-wallet: threads cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Threads for requests: one for two processors. The others are the database's, and those of what takes long (payrolls, large
/// batches), which has threads of its own. A small request is done sooner where it came in than by another thread, which must
/// be woken first.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get).div_ceil(2)
}

async fn run() -> ExitCode {
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
