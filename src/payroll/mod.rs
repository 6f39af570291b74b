//! Payroll files: reading them into lines, cutting them into chunks, and generating them for trials.
//!
//! A payroll is sent as chunks of at most [`LINES_PER_CHUNK_MAX`] lines. [`parse_chunk`] turns the whole of one into
//! a list with one item per line: a parsed value, or the one fault for which the line is refused. A bad line never
//! stops a good one. The format for those who write such files is in `specs/accrual-file.md`.
//!
//! | File           | Holds |
//! |----------------|-------|
//! | `chunk.rs`     | a chunk's limits and headers, cutting it into lines |
//! | `row.rs`       | CSV lines |
//! | `object.rs`    | NDJSON lines |
//! | `line.rs`      | fields to a line, in the order in which faults are looked for |
//! | `fault.rs`     | why a line or a chunk is refused |
//! | `file.rs`      | files of any size in bounded memory: survey and chunks |
//! | `catalogue.rs` | the programmes of `specs/programmes.json` |
//! | `generate.rs`  | reproducible payrolls |
//!
//! The room knows the shape of a line and nothing of the ledger: whether a programme exists, is funded or has paid
//! already is decided elsewhere.

mod catalogue;
mod chunk;
mod fault;
mod file;
mod generate;
mod line;
mod object;
mod row;

pub use catalogue::{Programme, catalogue};
pub use chunk::{CHUNK_BYTES_MAX, Encoding, LINE_BYTES_MAX, LINES_PER_CHUNK_MAX, parse_chunk};
pub(crate) use chunk::{below_header, each_line};
pub use fault::{ChunkFault, Field, LineFault, LineFaultCode};
pub use file::{Chunk, ChunkReader, FileSurvey, survey};
pub use generate::{BadKind, BadShares, GeneratorConfig, OutputFormat, PEOPLE_MAX, ProgrammeSum, Summary};
pub use line::{AccrualLine, Line, LineKind, OpeningLine, ParsedLine, ReversalLine};
pub(crate) use row::columns;
