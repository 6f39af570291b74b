//! A payroll from file to closed batch: what `accrue`, `demo` and `bench` have in common.
//!
//! | step      | does |
//! |-----------|------|
//! | [`look`]  | reads the file once: how many lines, what total, which programmes and periods, its digest |
//! | [`open`]  | finds its batch on the service, or opens it |
//! | [`send`]  | sends what is missing, gathers every verdict in order of lines, closes the batch |
//!
//! Each step can be repeated: the batch's id comes from the file, so a second run finds the first one's batch and takes
//! up where it stopped.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use uuid::Uuid;

use super::error::CliError;
use super::programme::code_of;
use crate::client::{
    BatchRequest, Client, ClientError, Judged, Summary, Upload, UploadError, VerdictKind, VerdictList,
};
use crate::domain::{BatchId, Bin, ProgrammeCode};
use crate::http::limits::CHUNKS_OF_A_CLIENT_MAX;
use crate::payroll::{Encoding, FileSurvey, LINES_PER_CHUNK_MAX, LineKind, survey};

/// What is to be done with a file.
#[derive(Debug, Clone)]
pub struct Order {
    /// The file.
    pub file: PathBuf,
    /// What its lines are.
    pub kind: LineKind,
    /// Who pays; told by the programmes if not given.
    pub payer: Option<Bin>,
    /// The batch; told by the file if not given.
    pub batch: Option<BatchId>,
    /// Whether to give verdicts and post nothing.
    pub validate: bool,
    /// RFC 3339: no line moves before.
    pub not_before: Option<String>,
    /// Whether a second person must release the batch.
    pub release_required: bool,
    /// Lines in a chunk.
    pub chunk_lines: usize,
    /// Chunks under way at once.
    pub in_flight: usize,
    /// Where to write the verdicts.
    pub verdicts: Option<PathBuf>,
    /// Where to write the refused lines, as a file that can be corrected and sent.
    pub refused: Option<PathBuf>,
}

impl Order {
    /// To pay a file of accruals in the ordinary way.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            kind: LineKind::Accrual,
            payer: None,
            batch: None,
            validate: false,
            not_before: None,
            release_required: false,
            chunk_lines: LINES_PER_CHUNK_MAX,
            in_flight: CHUNKS_OF_A_CLIENT_MAX,
            verdicts: None,
            refused: None,
        }
    }
}

/// A batch that is ready for its lines.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its id.
    pub batch: BatchId,
    /// Where it stands.
    pub state: String,
    /// Whether an earlier run opened it.
    pub resumed: bool,
    /// Programmes that the file names and the service does not know: their lines will be refused.
    pub unknown: Vec<ProgrammeCode>,
    /// How many lines it has.
    pub lines: u64,
    missing: Vec<(u64, u64)>,
}

/// What came of a file.
#[derive(Debug, Clone)]
pub struct Paid {
    /// The batch at the end.
    pub batch: Value,
    /// The verdicts, counted.
    pub summary: Summary,
    /// Lines sent now; the others were received in an earlier run.
    pub lines_sent: u64,
    /// From the first chunk to the answer to closing.
    pub took: Duration,
}

impl Paid {
    /// Whether every line is accepted and the batch is completed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.summary.refused.is_empty() && self.batch["state"] == "completed"
    }
}

/// Reads the file once.
pub async fn look(file: &Path, kind: LineKind) -> Result<FileSurvey, CliError> {
    let path = file.to_owned();
    let surveyed =
        tokio::task::spawn_blocking(move || survey(&path, kind)).await.expect("a survey does not panic");
    let surveyed = surveyed.map_err(CliError::file(file))?;
    match surveyed.lines {
        0 => Err(CliError::Usage(format!("{} has no lines.", file.display()))),
        _ => Ok(surveyed),
    }
}

/// The batch of a file: UUID version 8 (RFC 9562) of the first 16 bytes of SHA-256 over the text
/// `social-wallet batch v1`, a line feed, the kind, a line feed, and the 32 bytes of SHA-256 of the whole file.
///
/// So the same file is the same batch wherever and whenever it is sent, and a file that differs in one byte is another.
#[must_use]
pub fn batch_id(kind: LineKind, digest: &[u8; 32]) -> BatchId {
    let mut hash = Sha256::new();
    hash.update(b"social-wallet batch v1\n");
    hash.update(kind_name(kind).as_bytes());
    hash.update(b"\n");
    hash.update(digest);
    let hash: [u8; 32] = hash.finalize().into();
    let (first, _) = hash.split_first_chunk::<16>().expect("a hash of 32 bytes has 16");
    BatchId::from_uuid(Uuid::new_v8(*first))
}

/// The kind as the service names it.
#[must_use]
pub fn kind_name(kind: LineKind) -> &'static str {
    match kind {
        LineKind::Accrual => "accrual",
        LineKind::Reversal => "reversal",
        LineKind::WalletOpening => "wallet_opening",
    }
}

/// Finds the batch of the file, or opens it.
pub async fn open(client: &Client, order: &Order, survey: &FileSurvey) -> Result<Opened, CliError> {
    let id = match order.batch {
        Some(batch) => batch,
        // A validation is asked for anew each time: funds and wallets are others than the last time.
        None if order.validate => BatchId::from_uuid(Uuid::new_v4()),
        None => batch_id(order.kind, &survey.digest),
    };
    let (batch, resumed, unknown) = if let Some(batch) = client.batch(id).await? {
        check_same(&batch, id, order, survey)?;
        (batch, true, Vec::new())
    } else {
        let (request, unknown) = request(client, order, survey).await?;
        (client.open_batch(id, &request).await?.value, false, unknown)
    };
    let state = batch["state"].as_str().unwrap_or_default().to_owned();
    match state.as_str() {
        "cancelled" => {
            let text = format!(
                "batch {id} of this file is cancelled; to send the file again, name a new one with --batch."
            );
            return Err(CliError::Refused(text));
        }
        "awaiting_release" => {
            let text = format!(
                "batch {id} is open and waits for its release by a second person: \
                 `social-wallet batch release {id} --client THEIRS`. Then run the same command again."
            );
            return Err(CliError::Refused(text));
        }
        _ => {}
    }
    let missing = if state == "completed" { Vec::new() } else { missing(client, &batch)? };
    Ok(Opened { batch: id, state, resumed, unknown, lines: survey.lines, missing })
}

/// A batch named on the command line may be another file's.
fn check_same(batch: &Value, id: BatchId, order: &Order, survey: &FileSurvey) -> Result<(), CliError> {
    let declared = &batch["declared"];
    let same = batch["kind"] == kind_name(order.kind)
        && declared["lines"] == survey.lines
        && declared["total"].as_str() == Some(&survey.total.to_string());
    if same {
        return Ok(());
    }
    let text = format!(
        "batch {id} was opened for {} lines of kind {} and {} KZT; this file has {} lines of kind {} and {} KZT. \
         Name another batch with --batch, or none.",
        declared["lines"],
        batch["kind"].as_str().unwrap_or("unknown"),
        declared["total"].as_str().unwrap_or("0.00"),
        survey.lines,
        kind_name(order.kind),
        survey.total,
    );
    Err(CliError::Refused(text))
}

/// What to declare. A programme that is not registered is left out, so that its lines are refused and no others.
async fn request(
    client: &Client,
    order: &Order,
    survey: &FileSurvey,
) -> Result<(BatchRequest, Vec<ProgrammeCode>), CliError> {
    let registered = client.programmes().await?;
    let payer_of = |code: ProgrammeCode| {
        registered.iter().find(|programme| code_of(programme) == code.as_str())?["payer"].as_str()
    };
    let (known, unknown): (Vec<_>, Vec<_>) =
        survey.programmes.iter().copied().partition(|code| payer_of(*code).is_some());
    let mut payers: Vec<(&str, Vec<ProgrammeCode>)> = Vec::new();
    for code in &known {
        let payer = payer_of(*code).expect("the known ones are those that have a payer");
        match payers.iter_mut().find(|(of, _)| *of == payer) {
            Some((_, codes)) => codes.push(*code),
            None => payers.push((payer, vec![*code])),
        }
    }
    let payer = match (order.payer, payers.as_slice()) {
        (Some(payer), _) => payer.to_string(),
        (None, [(payer, _)]) => (*payer).to_owned(),
        (None, []) if order.kind == LineKind::WalletOpening => {
            let first = registered.first().and_then(|programme| programme["payer"].as_str());
            first
                .ok_or_else(|| {
                    CliError::Usage("no programme is registered yet; say who opens with --payer.".into())
                })?
                .to_owned()
        }
        (None, []) => {
            let text = "no line of the file names a programme that is registered; \
                        see `social-wallet programme list`, and `social-wallet programme register-catalogue`.";
            return Err(CliError::Refused(text.to_owned()));
        }
        (None, several) => return Err(CliError::Refused(several_payers(several))),
    };
    let programmes =
        known.iter().filter(|code| payer_of(**code) == Some(&payer)).map(ToString::to_string).collect();
    let request = BatchRequest {
        kind: kind_name(order.kind),
        payer,
        programmes,
        periods: survey.periods.iter().map(ToString::to_string).collect(),
        lines: survey.lines,
        total: survey.total.to_string(),
        not_before: order.not_before.clone(),
        release_required: order.release_required,
        validate_only: order.validate,
    };
    Ok((request, unknown))
}

fn several_payers(payers: &[(&str, Vec<ProgrammeCode>)]) -> String {
    let each = |(payer, codes): &(&str, Vec<ProgrammeCode>)| {
        let codes: Vec<_> = codes.iter().map(ProgrammeCode::as_str).collect();
        format!("{payer} pays {}", codes.join(", "))
    };
    let each: Vec<_> = payers.iter().map(each).collect();
    format!(
        "the file mixes programmes of {} payers, and a batch has one: {}. \
         Split the file by payer, or name one with --payer and have the others' lines refused.",
        payers.len(),
        each.join("; "),
    )
}

fn missing(client: &Client, batch: &Value) -> Result<Vec<(u64, u64)>, ClientError> {
    let range = |range: &Value| Some((range[0].as_u64()?, range[1].as_u64()?));
    batch["missing"].as_array().and_then(|ranges| ranges.iter().map(range).collect()).ok_or_else(|| {
        ClientError::Protocol {
            url: client.address().to_owned(),
            what: "a batch without its missing lines".to_owned(),
        }
    })
}

/// Sends what is missing, gathers all verdicts, closes the batch. `judged` is told of every piece, in order of lines.
pub async fn send(
    client: &Client,
    order: &Order,
    survey: &FileSurvey,
    opened: &Opened,
    mut judged: impl FnMut(&Judged),
) -> Result<Paid, CliError> {
    let mut summary = Summary::default();
    let mut lines_sent = 0;
    let mut verdicts = order.verdicts.as_deref().map(Replaced::create).transpose()?;
    let mut refused = order.refused.as_deref().map(Replaced::create).transpose()?;
    if let Some(file) = &mut verdicts {
        file.write(VerdictList::header_text())?;
    }
    if let Some(file) = &mut refused {
        file.write(&header(survey))?;
    }
    let upload = Upload {
        client: client.clone(),
        batch: opened.batch,
        kind: order.kind,
        path: order.file.clone(),
        lines: opened.lines,
        missing: opened.missing.clone(),
        chunk_lines: order.chunk_lines,
        in_flight: order.in_flight,
    };
    let begun = Instant::now();
    upload
        .run(|piece: Judged| -> Result<(), CliError> {
            summary.add(&piece.verdicts, &piece.amounts);
            lines_sent += if piece.sent { piece.lines } else { 0 };
            if let Some(file) = &mut verdicts {
                file.write(piece.verdicts.rows_text())?;
            }
            if let Some(file) = &mut refused {
                write_refused(file, survey.encoding, &piece)?;
            }
            judged(&piece);
            Ok(())
        })
        .await?;
    let batch = match opened.state.as_str() {
        "completed" => {
            let batch = client.batch(opened.batch).await?;
            batch.ok_or_else(|| CliError::Refused(format!("batch {} is gone.", opened.batch)))?
        }
        _ => client.close_batch(opened.batch).await?,
    };
    let took = begun.elapsed();
    for file in [verdicts, refused].into_iter().flatten() {
        file.finish()?;
    }
    Ok(Paid { batch, summary, lines_sent, took })
}

fn header(survey: &FileSurvey) -> Vec<u8> {
    survey.header.as_ref().map(|header| [header.as_slice(), b"\n"].concat()).unwrap_or_default()
}

/// Copies the refused lines of a piece.
fn write_refused(file: &mut Replaced, encoding: Encoding, piece: &Judged) -> Result<(), CliError> {
    let header_lines = usize::from(encoding == Encoding::Csv);
    let lines = piece.body.split_inclusive(|byte| *byte == b'\n').skip(header_lines);
    for (line, verdict) in lines.zip(piece.verdicts.iter()) {
        if verdict.verdict == VerdictKind::Refused {
            file.write(line)?;
        }
    }
    Ok(())
}

/// A file that takes its name when it is whole, so that nobody reads a half of it.
#[derive(Debug)]
struct Replaced {
    path: PathBuf,
    out: BufWriter<NamedTempFile>,
}

impl Replaced {
    fn create(path: &Path) -> Result<Self, CliError> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = NamedTempFile::new_in(directory).map_err(CliError::file(path))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.out.write_all(bytes).map_err(CliError::file(&self.path))
    }

    fn finish(self) -> Result<(), CliError> {
        let file = self
            .out
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .map_err(CliError::file(&self.path))?;
        file.as_file().sync_all().map_err(CliError::file(&self.path))?;
        file.persist(&self.path).map_err(|error| error.error).map_err(CliError::file(&self.path))?;
        Ok(())
    }
}

impl From<UploadError> for CliError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Client(error) => Self::Client(error),
            error => Self::Usage(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_id_comes_from_the_file_and_the_kind_and_from_nothing_else() {
        let id = batch_id(LineKind::Accrual, &[7; 32]);
        assert_eq!(id, batch_id(LineKind::Accrual, &[7; 32]));
        assert_ne!(id, batch_id(LineKind::Reversal, &[7; 32]));
        assert_ne!(id, batch_id(LineKind::Accrual, &[8; 32]));
    }

    #[test]
    fn a_batch_id_is_the_documented_hash_for_ever() {
        let mut text = b"social-wallet batch v1\naccrual\n".to_vec();
        text.extend([0; 32]);
        let hash = Sha256::digest(&text);
        let id = batch_id(LineKind::Accrual, &[0; 32]).uuid();
        assert_eq!(id.get_version_num(), 8);
        assert_eq!(id.as_bytes()[..6], hash[..6]);
        assert_eq!(id.as_bytes()[9..], hash[9..16]);
    }

    #[test]
    fn a_mixed_file_is_told_whose_programmes_it_mixes() {
        let code = |text: &str| ProgrammeCode::parse(text.as_bytes()).unwrap();
        let text = several_payers(&[("1", vec![code("ASP"), code("ALQA")]), ("2", vec![code("PENSION")])]);
        assert!(text.contains("2 payers") && text.contains("1 pays ASP, ALQA; 2 pays PENSION"), "{text}");
    }

    #[test]
    fn a_file_takes_its_name_only_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("verdicts.csv");
        let mut file = Replaced::create(&path).unwrap();
        file.write(b"half").unwrap();
        assert!(!path.exists());
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"half");
    }
}
