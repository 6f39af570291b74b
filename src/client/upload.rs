//! A payroll file on its way to the service: in chunks, several in flight, in bounded memory.
//!
//! The file is gone through once, in order. Lines that the service still misses are sent; lines that it has received in
//! an earlier run are not sent again, their verdicts are asked for. Either way the verdicts come out in order of lines,
//! so that the one who writes them down needs to hold none back.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc;

use super::verdicts::VerdictList;
use super::{Client, ClientError};
use crate::domain::{Amount, BatchId};
use crate::payroll::{Chunk, ChunkReader, Encoding, LineKind, parse_chunk};

/// The service lists no more missing ranges than this; what lies beyond the last of so many is unknown.
const MISSING_RANGES_MAX: usize = 1_000;

/// Why a file did not get through.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The service refused a chunk, or could not be reached for too long.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The file could not be read.
    #[error("the file cannot be read: {0}")]
    File(#[from] io::Error),
    /// The file is not the one that was surveyed.
    #[error(
        "the file changed while it was being sent; leave it as it is until the command has ended, then run it again"
    )]
    FileChanged,
}

/// A file to be sent, and what the service has of it already.
#[derive(Debug, Clone)]
pub struct Upload {
    /// To whom.
    pub client: Client,
    /// The batch that it is.
    pub batch: BatchId,
    /// What its lines are.
    pub kind: LineKind,
    /// Where it is.
    pub path: PathBuf,
    /// How many lines it has.
    pub lines: u64,
    /// The lines that the service has not received: (first, last), ascending.
    pub missing: Vec<(u64, u64)>,
    /// Lines to put into a chunk.
    pub chunk_lines: usize,
    /// Chunks to have under way at once.
    pub in_flight: usize,
}

/// A piece of the file with its verdicts.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The number of its first line.
    pub first_line: u64,
    /// How many lines it has.
    pub lines: u64,
    /// Whether it was sent now, rather than in an earlier run.
    pub sent: bool,
    /// The lines, after the header line if there is one.
    pub body: Bytes,
    /// The readable amounts of its lines, in tiyn; 0 for a line without one.
    pub amounts: Vec<i64>,
    /// A verdict for each of its lines.
    pub verdicts: VerdictList,
    /// How long the service took over it, waits included.
    pub took: Duration,
}

/// A run of lines that are all to be sent, or all to be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: u64,
    last: u64,
    send: bool,
}

struct Piece {
    chunk: Chunk,
    amounts: Vec<i64>,
    encoding: Encoding,
    send: bool,
}

impl Upload {
    /// Goes through the file. Each piece is handed on in order of lines, when the verdicts on it and on all before it are
    /// known. The first error ends it; what was committed stays, and the next run takes up from there.
    pub async fn run<E: From<UploadError>>(
        self,
        mut judged: impl FnMut(Judged) -> Result<(), E>,
    ) -> Result<(), E> {
        let (client, batch, in_flight) = (self.client.clone(), self.batch, self.in_flight.max(1));
        let (pieces, mut received) = mpsc::channel(in_flight);
        let reading = tokio::task::spawn_blocking(move || self.read(&pieces));
        let pieces = stream::poll_fn(move |context| received.poll_recv(context));
        let mut verdicts = pieces.map(|piece| judge(&client, batch, piece)).buffered(in_flight);
        while let Some(piece) = verdicts.next().await {
            judged(piece?)?;
        }
        reading.await.expect("reading a file does not panic").map_err(E::from)
    }

    /// Reads the file piece by piece, for as long as somebody takes them.
    fn read(&self, pieces: &mpsc::Sender<Piece>) -> Result<(), UploadError> {
        let mut reader = ChunkReader::open(&self.path)?;
        let encoding = reader.encoding();
        for run in runs(&self.missing, self.lines) {
            let mut next = run.first;
            while next <= run.last {
                let rest = usize::try_from(run.last - next + 1).unwrap_or(usize::MAX);
                reader = reader.with_lines_max(rest.min(self.chunk_lines));
                let chunk = reader.next_chunk()?.ok_or(UploadError::FileChanged)?;
                next += u64::from(chunk.lines);
                let amounts = amounts(self.kind, encoding, &chunk)?;
                if pieces.blocking_send(Piece { chunk, amounts, encoding, send: run.send }).is_err() {
                    return Ok(());
                }
            }
        }
        match reader.next_chunk()? {
            Some(_) => Err(UploadError::FileChanged),
            None => Ok(()),
        }
    }
}

async fn judge(client: &Client, batch: BatchId, piece: Piece) -> Result<Judged, UploadError> {
    let Piece { chunk, amounts, encoding, send } = piece;
    let (first_line, lines) = (chunk.first_line, u64::from(chunk.lines));
    let body = Bytes::from(chunk.body);
    let asked = Instant::now();
    let verdicts = if send {
        client.send_chunk(batch, first_line, encoding, body.clone()).await?
    } else {
        client.verdicts(batch, first_line - 1, chunk.lines).await?
    };
    if !verdicts.covers(first_line, lines) {
        return Err(client.protocol("the verdicts are not those on the lines that were sent").into());
    }
    Ok(Judged { first_line, lines, sent: send, body, amounts, verdicts, took: asked.elapsed() })
}

fn amounts(kind: LineKind, encoding: Encoding, chunk: &Chunk) -> Result<Vec<i64>, UploadError> {
    if kind != LineKind::Accrual {
        return Ok(vec![0; chunk.lines as usize]);
    }
    let lines = parse_chunk(kind, encoding, &chunk.body).map_err(|_| UploadError::FileChanged)?;
    Ok(lines.iter().map(|line| line.amount.map_or(0, Amount::tiyn)).collect())
}

/// Cuts lines 1 to `lines` into runs of missing and of received ones.
fn runs(missing: &[(u64, u64)], lines: u64) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut next = 1;
    for (index, &(first, last)) in missing.iter().enumerate() {
        // The list may have been cut here. A line that is sent once too often is only told so.
        let last = if index + 1 == MISSING_RANGES_MAX { lines } else { last };
        if next < first {
            runs.push(Run { first: next, last: first - 1, send: false });
        }
        runs.push(Run { first, last, send: true });
        next = last + 1;
    }
    if next <= lines {
        runs.push(Run { first: next, last: lines, send: false });
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use axum::Router;
    use axum::extract::{Path, Query};
    use axum::routing::{get, put};

    use super::*;

    fn run(first: u64, last: u64, send: bool) -> Run {
        Run { first, last, send }
    }

    #[test]
    fn a_new_batch_is_one_run_to_send_and_a_finished_one_is_one_run_to_ask_about() {
        assert_eq!(runs(&[(1, 100)], 100), [run(1, 100, true)]);
        assert_eq!(runs(&[], 100), [run(1, 100, false)]);
        assert_eq!(runs(&[], 0), []);
    }

    #[test]
    fn runs_cover_every_line_once_in_order() {
        let expected = [run(1, 10, false), run(11, 20, true), run(21, 30, false), run(31, 40, true)];
        assert_eq!(runs(&[(11, 20), (31, 40)], 40), expected);
        let expected = [run(1, 20, true), run(21, 40, false)];
        assert_eq!(runs(&[(1, 20)], 40), expected);
    }

    #[test]
    fn beyond_a_list_of_missing_ranges_that_was_cut_everything_is_sent() {
        let missing: Vec<_> = (0..1_000).map(|range| (range * 2 + 1, range * 2 + 1)).collect();
        let runs = runs(&missing, 5_000);
        assert_eq!(runs.last(), Some(&run(1_999, 5_000, true)));
    }

    /// Accepts every line of every chunk; the first chunk is answered last.
    async fn judge_all(Path((_, first)): Path<(String, u64)>, body: String) -> String {
        if first == 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let lines: Vec<_> = body
            .lines()
            .skip(1)
            .zip(first..)
            .map(|(_, line)| format!("{line},accepted,{line},,\n"))
            .collect();
        format!("line,verdict,entry,code,field\n{}", lines.concat())
    }

    /// Remembers that every line asked about was accepted.
    async fn remember(Query(asked): Query<HashMap<String, u64>>) -> String {
        let first = asked["after_line"] + 1;
        let lines: Vec<_> =
            (first..first + asked["limit"]).map(|line| format!("{line},accepted,{line},,\n")).collect();
        format!("line,verdict,entry,code,field\n{}", lines.concat())
    }

    async fn upload(
        lines: u64,
        declared: u64,
        missing: Vec<(u64, u64)>,
    ) -> Result<Vec<(u64, u64, bool)>, UploadError> {
        let router = Router::new()
            .route("/v1/batches/{id}/chunks/{first}", put(judge_all))
            .route("/v1/batches/{id}/verdicts", get(remember));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("payroll.csv");
        let line = "830717350867,ASP,2026-11,1,1.50,KZT\n".repeat(usize::try_from(lines).unwrap());
        std::fs::write(&path, format!("iin,programme,period,part,amount,currency\n{line}")).unwrap();
        let upload = Upload {
            client: Client::new(&url).unwrap(),
            batch: BatchId::parse("0191e3a0-7c3b-7def-8123-456789abcdef").unwrap(),
            kind: LineKind::Accrual,
            path,
            lines: declared,
            missing,
            chunk_lines: 10,
            in_flight: 4,
        };
        let mut pieces = Vec::new();
        upload
            .run(|piece| {
                assert_eq!(piece.amounts, vec![150; usize::try_from(piece.lines).unwrap()]);
                pieces.push((piece.first_line, piece.lines, piece.sent));
                Ok::<_, UploadError>(())
            })
            .await?;
        Ok(pieces)
    }

    #[tokio::test]
    async fn pieces_come_out_in_order_however_they_are_answered() {
        let pieces = upload(35, 35, vec![(1, 35)]).await.unwrap();
        assert_eq!(pieces, [(1, 10, true), (11, 10, true), (21, 10, true), (31, 5, true)]);
    }

    #[tokio::test]
    async fn only_missing_lines_are_sent_and_the_rest_is_asked_about() {
        let pieces = upload(40, 40, vec![(6, 20), (38, 40)]).await.unwrap();
        let expected =
            [(1, 5, false), (6, 10, true), (16, 5, true), (21, 10, false), (31, 7, false), (38, 3, true)];
        assert_eq!(pieces, expected);
    }

    #[tokio::test]
    async fn a_file_that_has_become_shorter_or_longer_is_noticed() {
        assert!(matches!(upload(35, 36, vec![(1, 36)]).await, Err(UploadError::FileChanged)));
        assert!(matches!(upload(36, 35, vec![(1, 35)]).await, Err(UploadError::FileChanged)));
    }
}
