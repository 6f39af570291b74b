//! Orders on their way in, and what is told of the decisions on them. Pure: nothing here knows a store, a socket or a clock.
//!
//! | file | holds |
//! |---|---|
//! | `fields.rs` | the members of an order as they were written, and what they say |
//! | `file.rs` | many orders in a file: CSV or NDJSON, a verdict a line |
//! | `contents.rs` | what is written in an order: encrypted at rest, and shown to whom it is shown |
//! | `document.rs` | the decision as a document: the figures, and the proof that they are the journal's |
//! | `page.rs` | the same as a page to print, in Kazakh and Russian |
//! | `check.rs` | that a document says what the log says, with the log's key alone |
//! | `notice.rs` | what the holder is told |
//! | `words.rs` | the texts, which are data: `specs/decision.json` and `specs/notices.json` |

pub mod check;
pub mod contents;
pub mod document;
pub mod fields;
pub mod file;
pub mod notice;
pub mod page;
pub mod words;
