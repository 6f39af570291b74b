//! `demo`: a payday from an empty directory, with everything that goes wrong on one.
//!
//! It tells a story and checks it: each sentence that it prints is an answer of the service, and where an answer is not
//! the right one the command ends with an error instead of the sentence.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::child::{self, Place, Server};
use super::crew::Crew;
use super::error::{CliError, Outcome};
use super::generate;
use super::payday::{self, Opened, Order, Paid};
use super::programme::{DEFAULT_PAYER, parse_payer, register_catalogue};
use super::{figures, person, siege, statement, table, wallet};
use crate::client::bank::{Decision, Desk};
use crate::client::{self, AccrualRequest, Client, Judged, StatementQuery, VerdictKind};
use crate::domain::{Amount, BatchId, Bin, Iin, Money};
use crate::payroll::{
    AccrualLine, BadShares, FileSurvey, GeneratorConfig, Line, LineKind, OutputFormat, Summary, parse_chunk,
};

/// Chunks that the payroll is cut into at least, so that there is a middle to be killed in.
const CHUNKS_MIN: u64 = 16;
/// The programme that gets too little.
const SHORT: &str = "ASP";
/// What every other programme gets beyond what it pays is below this, in tiyn: a million tenge.
const ROUND: i64 = 100_000_000;
/// What a single benefit beside the payroll comes to.
const SUPPLEMENT: &str = "1000.00";
/// How much of his benefits, in all, a holder has sent on to a card by themselves.
const CHOSEN_MAX: &str = "50000.00";
/// The bank of `bootstrap --trial`.
const DEMO_BIC: &str = "CASPKZKA";
/// How long the client waits for the service that is killed under it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where, and how large.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// An empty directory [default: a new one for temporary files, which stays]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Lines of the payroll, 1000 to 5000000
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..=5_000_000))]
    lines: u64,
}

/// What the story needs on every page.
struct Stage {
    place: Place,
    order: Order,
    payer: Bin,
    /// Where the log is exported to.
    log: PathBuf,
    /// Where the documents of refused orders are kept.
    refusals: PathBuf,
    spinner: ProgressBar,
}

impl Stage {
    fn now(&self, what: &str) {
        self.spinner.set_message(format!("{what} …"));
    }
}

/// Runs the command.
pub async fn run(args: DemoArgs) -> Result<Outcome, CliError> {
    let dir = directory(args.dir)?;
    let stage = Stage {
        place: Place { data_dir: dir.join("data"), database: None },
        order: Order {
            verdicts: Some(dir.join("verdicts.csv")),
            refused: Some(dir.join("refused.csv")),
            chunk_lines: usize::try_from((args.lines / CHUNKS_MIN).clamp(1, 8_192)).expect("at most 8,192"),
            ..Order::of(&dir.join("payroll.csv"))
        },
        payer: parse_payer(DEFAULT_PAYER).expect("a test reads it"),
        log: dir.join("log"),
        refusals: dir.join("refusals"),
        spinner: if io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() },
    };
    stage.spinner.enable_steady_tick(Duration::from_millis(100));
    let story = play(&stage, args.lines).await;
    stage.spinner.finish_and_clear();
    tell(&mut io::stdout().lock(), &dir, &story?)?;
    Ok(Outcome::Done)
}

fn directory(named: Option<PathBuf>) -> Result<PathBuf, CliError> {
    let Some(dir) = named else {
        let dir = tempfile::Builder::new().prefix("social-wallet-demo-").tempdir();
        return Ok(dir.map_err(CliError::file(&std::env::temp_dir()))?.keep());
    };
    std::fs::create_dir_all(&dir).map_err(CliError::file(&dir))?;
    let empty = std::fs::read_dir(&dir).map_err(CliError::file(&dir))?.next().is_none();
    if empty {
        Ok(dir)
    } else {
        Err(CliError::Usage(format!("{} is not empty; name another directory with --dir.", dir.display())))
    }
}

/// What happened, for the telling.
struct Story {
    payroll: Summary,
    short: Money,
    killed: Killed,
    paid: Paid,
    again: Paid,
    renamed: Paid,
    iin: Iin,
    out: MoneyOut,
    refusals: Vec<siege::Refusal>,
    statement: Value,
    trial_balance: Value,
    replay: Value,
    proof: Value,
    key: String,
}

/// The middle of the payday.
struct Killed {
    lines_before: u64,
    away: Duration,
}

async fn play(stage: &Stage, lines: u64) -> Result<Story, CliError> {
    stage.now("starting the service");
    child::bootstrap(&stage.place).await?;
    let mut server = Server::start(stage.place.clone()).await?;
    let crew = Crew::of(server.data_dir(), &server.url, PATIENCE);
    let (client, auditor) = (crew.client("payer")?, crew.client("auditor")?);
    register_catalogue(&crew.client("operator-1")?, stage.payer).await?;
    stage.now("writing the payroll");
    let payroll = write_payroll(&stage.order.file, lines).await?;
    let short = fund(&crew, &payroll).await?;

    stage.now("paying, and killing the service in the middle");
    let survey = payday::look(&stage.order.file, LineKind::Accrual).await?;
    let opened = payday::open(&client, &stage.order, &survey).await?;
    let (paid, killed, line) = pay_through_a_crash(stage, &client, &mut server, &survey, &opened).await?;
    expect(paid.batch["state"] == "completed", "the batch is not completed")?;

    stage.now("sending the same file again");
    let again = pay(&client, &stage.order, &survey).await?;
    expect(again.lines_sent == 0, "lines of a completed batch were sent again")?;
    expect(is_same(&again.summary, &paid.summary), "a verdict was lost in the crash")?;
    let renamed = Order {
        batch: Some(BatchId::from_uuid(Uuid::new_v4())),
        verdicts: None,
        refused: None,
        ..stage.order.clone()
    };
    let renamed = pay(&client, &renamed, &survey).await?;
    expect(renamed.summary.accepted.lines == 0, "a payroll was paid twice")?;

    stage.now("reading the books");
    let iin = line.iin;
    supplement(&client, &line, 2).await?;
    let wallet = wallet::id_of(&auditor.lookup_wallet(&iin).await?, auditor.address())?;
    stage.now("sending money to a card, and taking cash");
    let out = money_out(&crew, wallet, &line).await?;
    stage.now("ordering money out of a wallet");
    let refusals = siege::lay(&crew, wallet, &iin, &stage.refusals).await?;
    stage.now("reading the books");
    let statement = auditor.statement(wallet, &StatementQuery::default()).await?;
    let trial_balance = auditor.trial_balance(None).await?;
    expect(trial_balance["balanced"] == true, "the books do not balance")?;

    stage.now("replaying the journal");
    server.stop().await?;
    let replay = child::replay(&stage.place).await?;
    expect(replay["matches"] == true, "the replay gives other balances")?;

    stage.now("exporting the log, and verifying it with its key alone");
    let (proof, key) = child::prove(&stage.place, &stage.log).await?;
    expect(proof["matches"] == true, "the log does not verify")?;
    siege::verify(&refusals, &key).await?;
    Ok(Story {
        payroll,
        short,
        killed,
        paid,
        again,
        renamed,
        iin,
        out,
        refusals,
        statement,
        trial_balance,
        replay,
        proof,
        key,
    })
}

/// What became of money on its way out.
struct MoneyOut {
    warning: String,
    wrong: String,
    terminal: String,
}

/// A holder's channel sends money to a card, and to another that is closed, and has the next benefit sent on by itself, and cash;
/// the bank does its part.
async fn money_out(
    crew: &Crew,
    wallet: crate::domain::WalletId,
    line: &AccrualLine,
) -> Result<MoneyOut, CliError> {
    let (channel, bank) = (crew.client("channel")?, crew.client("bank")?);
    let now = crate::sequencer::clock::now();
    let moment = crate::domain::time::rfc3339;
    let consent = || json!({"method": "sms_code", "evidence": hex::encode(rand::random::<[u8; 32]>()), "at": moment(now)});
    let allow = async |what: &str, last_four: &str, amount: &str| {
        let mut body = json!({"wallet": wallet, "for": what, "amount": amount, "currency": "KZT",
            "standing": amount == CHOSEN_MAX, "expires": moment(now + 3_600_000), "consent": consent()});
        if what == "transfer" {
            body["bank"] = json!(DEMO_BIC);
            body["card"] = json!({"token": format!("demo-card-{last_four}"), "last_four": last_four});
        }
        let given = channel.authorise(&body, &Client::fresh_key()).await?.value;
        let body = json!({"authorisation": given["entry"], "amount": amount, "currency": "KZT"});
        Ok::<Value, CliError>(body)
    };
    let first = allow("transfer", "4242", "400.00").await?;
    let first = channel.request_transfer(&first, &Client::fresh_key()).await?.value;
    let warning = first["warning"]["texts"]["en"].as_str().unwrap_or_default().to_owned();
    let second = allow("transfer", "0000", "100.00").await?;
    let second = channel.request_transfer(&second, &Client::fresh_key()).await?.value;
    let mut desk = Desk::new(bank.clone(), 0);
    let decide = |transfer: &Value| match transfer["destination"]["last_four"].as_str() {
        Some("0000") => Decision::Return("card closed".to_owned()),
        _ => Decision::Settle,
    };
    desk.turn(1, decide).await?;
    for (requested, state) in [(&first, "settled"), (&second, "returned")] {
        let shown = channel.transfer(requested["entry"].as_u64().unwrap_or_default()).await?;
        expect(shown["state"] == state, "a transfer is not where its bank put it")?;
    }

    let chosen = allow("transfer", "4242", CHOSEN_MAX).await?;
    let chosen =
        json!({"destination": "transfer", "authorisation": chosen["authorisation"], "consent": consent()});
    channel.choose(wallet, &chosen, &Client::fresh_key()).await?;
    let accrued = supplement(&crew.client("payer")?, line, 3).await?;
    let sent_on = accrued["entry"].as_u64().unwrap_or_default() + 1;
    desk.turn(1, decide).await?;
    let shown = channel.transfer(sent_on).await?;
    expect(shown["state"] == "settled" && shown["amount"] == SUPPLEMENT, "a benefit was not sent on")?;

    let cash = allow("cash", "", "200.00").await?;
    let cash = channel.create_cash(&cash, &Client::fresh_key()).await?.value;
    let code = cash["code"].as_str().unwrap_or_default();
    let digit = |byte: u8| char::from(b'0' + (byte - b'0' + 1) % 10);
    let wrong: String = code.bytes().map(digit).collect();
    let terminal = "DEMO-ATM-1".to_owned();
    let redeem = |code: &str| json!({"reference": cash["reference"], "code": code, "terminal": terminal});
    let refused = bank.redeem_cash(&redeem(&wrong), &Client::fresh_key()).await;
    let refused = refused.err().and_then(|error| error.code().map(str::to_owned));
    expect(refused.as_deref() == Some("cash_code_wrong"), "a wrong code was not refused")?;
    bank.redeem_cash(&redeem(code), &Client::fresh_key()).await?;
    let captured = json!({"reference": cash["reference"], "outcome": "captured"});
    bank.finish_cash(&captured, &Client::fresh_key()).await?;
    Ok(MoneyOut { warning, wrong: refused.unwrap_or_default(), terminal })
}

/// Whether the verdicts on record are those that were given.
fn is_same(recorded: &client::Summary, given: &client::Summary) -> bool {
    let accepted = |summary: &client::Summary| summary.accepted.lines + summary.already_accepted.lines;
    accepted(recorded) == accepted(given) && recorded.refused == given.refused
}

/// What the story says must be so; if it is not, the service is at fault and the story ends here.
pub(super) fn expect(holds: bool, otherwise: &str) -> Result<(), CliError> {
    if holds { Ok(()) } else { Err(CliError::Child(format!("the demonstration failed: {otherwise}."))) }
}

async fn write_payroll(path: &Path, lines: u64) -> Result<Summary, CliError> {
    let bad = BadShares {
        malformed: 0.001,
        iin_check_digit: 0.004,
        unknown_programme: 0.001,
        amount_zero: 0.001,
        duplicate: 0.005,
        ..BadShares::default()
    };
    let (period, format) = (generate::this_month(), OutputFormat::Csv);
    let config = GeneratorConfig { lines, seed: 1, period, shuffle: true, bad, format };
    let path = path.to_owned();
    let written = tokio::task::spawn_blocking(move || generate::write_file(&config, &path, None));
    written.await.expect("generating does not panic")
}

/// Funds every programme with what it pays, rounded up to a million, and one with half of it; gives that half.
async fn fund(crew: &Crew, payroll: &Summary) -> Result<Money, CliError> {
    let mut short = Money::ZERO;
    for (code, sum) in &payroll.programmes {
        let needed = sum.sum.tiyn();
        let placed = if code.as_str() == SHORT { needed / 2 } else { (needed / ROUND + 1) * ROUND };
        let Some(amount) = Amount::from_tiyn(placed) else { continue };
        crew.fund(*code, &amount.to_string(), &format!("DEMO-{code}")).await?;
        if code.as_str() == SHORT {
            short = amount.money();
        }
    }
    Ok(short)
}

/// One more benefit for somebody who has been paid, by a single request: another part of the same entitlement.
async fn supplement(client: &Client, line: &AccrualLine, part: u16) -> Result<Value, CliError> {
    let (programme, period) = (line.programme.to_string(), line.period.to_string());
    let accrual = AccrualRequest {
        payer: DEFAULT_PAYER,
        iin: &line.iin,
        programme: &programme,
        period: &period,
        part,
        amount: SUPPLEMENT,
    };
    Ok(client.accrue(&accrual, &Client::fresh_key()).await?.value)
}

async fn pay(client: &Client, order: &Order, survey: &FileSurvey) -> Result<Paid, CliError> {
    let opened = payday::open(client, order, survey).await?;
    payday::send(client, order, survey, &opened, |_| {}).await
}

/// Pays, kills the service when half of the lines are judged, starts it again; the client waits and goes on.
async fn pay_through_a_crash(
    stage: &Stage,
    client: &Client,
    server: &mut Server,
    survey: &FileSurvey,
    opened: &Opened,
) -> Result<(Paid, Killed, AccrualLine), CliError> {
    let (half, at_half) = oneshot::channel();
    let mut half = Some(half);
    let (mut judged, mut line) = (0, None);
    let paying = payday::send(client, &stage.order, survey, opened, |piece| {
        judged += piece.lines;
        if line.is_none() {
            line = first_paid(survey, piece);
        }
        if judged >= survey.lines / 2
            && let Some(half) = half.take()
        {
            // Nobody listens any more only if the crash itself failed, and then that error is told.
            let _ = half.send(judged);
        }
    });
    let crash = async {
        let Ok(lines_before) = at_half.await else {
            return Err(CliError::Child("the payroll ended before its middle.".to_owned()));
        };
        let begun = Instant::now();
        server.kill().await?;
        server.restart().await?;
        Ok(Killed { lines_before, away: begun.elapsed() })
    };
    let (paid, killed) = tokio::try_join!(paying, crash)?;
    let nobody = || CliError::Child("the demonstration failed: nobody was paid.".to_owned());
    Ok((paid, killed, line.ok_or_else(nobody)?))
}

/// The first line of a piece that was accepted, of a programme that has funds left.
fn first_paid(survey: &FileSurvey, piece: &Judged) -> Option<AccrualLine> {
    let lines = parse_chunk(LineKind::Accrual, survey.encoding, &piece.body).ok()?;
    let accepted =
        piece.verdicts.iter().zip(lines).filter(|(verdict, _)| verdict.verdict == VerdictKind::Accepted);
    accepted
        .filter_map(|(_, parsed)| match parsed.line {
            Ok(Line::Accrual(line)) => Some(line),
            _ => None,
        })
        .find(|line| line.programme.as_str() != SHORT)
}

/// One screenful.
fn tell(out: &mut impl Write, dir: &Path, story: &Story) -> io::Result<()> {
    for (name, sentences) in pages(story) {
        for (index, sentence) in sentences.into_iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            writeln!(out, "{name:<11} {sentence}")?;
        }
    }
    let (dir, short) = (dir.display(), story.short);
    writeln!(out)?;
    let keys = format!("{dir}/data/clients");
    writeln!(out, "Go on with this book:  social-wallet serve --data-dir {dir}/data")?;
    writeln!(out, "and, in another shell, as one operator and then as another:")?;
    writeln!(out, "                       export SOCIAL_WALLET_CLIENT_KEY={keys}/operator-1.pem")?;
    writeln!(out, "                       social-wallet fund {SHORT} {short} --reference MY-1")?;
    writeln!(
        out,
        "                       social-wallet approval approve … --client-key {keys}/operator-2.pem"
    )?;
    writeln!(
        out,
        "as the payer:          social-wallet accrue {dir}/refused.csv --client-key {keys}/payer.pem"
    )?;
    writeln!(out, "as an auditor:         social-wallet statement --client-key {keys}/auditor.pem")?;
    writeln!(out, "                       # of an IIN in {dir}/payroll.csv")
}

/// The story's pages: a name and its sentences.
fn pages(story: &Story) -> Vec<(&'static str, Vec<String>)> {
    let Story { payroll, short, killed, paid, again, renamed, iin, statement, trial_balance, .. } = story;
    let Story { out, refusals, replay, proof, key, .. } = story;
    let summary = &paid.summary;
    let (lines, total) = (figures::lines(payroll.lines), figures::tiyn(payroll.total.tiyn()));
    let bad = figures::count(payroll.bad.values().sum());
    let (funded, half) = (payroll.programmes.len(), figures::tiyn(short.tiyn()));

    let (before, away) = (figures::lines(killed.lines_before), figures::duration(killed.away));
    let mut crash = vec![format!("SIGKILL after {before}; back after {away}; the client went on by itself")];
    if summary.already_accepted.lines > 0 {
        let twice = figures::lines(summary.already_accepted.lines);
        crash.push(format!("{twice} had been paid unheard, were sent again, and were paid once"));
    }

    let accepted = figures::lines(summary.accepted.lines + summary.already_accepted.lines);
    let sum = figures::tiyn(summary.accepted.sum + summary.already_accepted.sum);
    let rate = figures::rate(figures::per_second(paid.lines_sent, paid.took));
    let took = figures::duration(paid.took);
    let refused = summary
        .refused
        .iter()
        .map(|(code, refused)| format!("{:>7}  {code}", figures::count(refused.tally.lines)));

    let state = again.batch["state"].as_str().unwrap_or_default();
    let again = figures::lines(again.lines_sent);
    let (renamed_sent, renamed_paid) =
        (figures::count(renamed.lines_sent), figures::count(renamed.summary.accepted.lines));

    let mut wallet =
        vec![format!("of {}, {} KZT", person::masked(iin), table::amount(statement, "closing_balance"))];
    // Without the table's head and the rule under it: the line above has said what this is. Nor what left the balance as it was.
    let rows = statement::entries(statement);
    let moved = rows.lines().skip(2).filter(|row| !row.contains(" +0.00 "));
    wallet.extend(moved.map(|row| row.trim_end().to_owned()));

    let (debit, credit) =
        (table::amount(trial_balance, "total_debit"), table::amount(trial_balance, "total_credit"));
    let (entries, wallets) = (table::text(replay, "entries"), table::text(replay, "wallets"));
    vec![
        ("programmes", vec![format!("{funded} funded; {SHORT} with {half} KZT, half of what it pays")]),
        ("payroll", vec![format!("{lines}, {total} KZT, {bad} of them bad on purpose")]),
        ("crash", crash),
        ("paid", vec![format!("{accepted}, {sum} KZT in {took} ({rate}, crash included)")]),
        ("refused", refused.collect()),
        (
            "again",
            vec![
                format!("the same file: batch {state}, {again} sent"),
                format!("the same lines as another batch: {renamed_sent} sent, {renamed_paid} accepted"),
            ],
        ),
        (
            "to a card",
            vec![
                format!("400.00 KZT, settled by its bank; the holder was told: {}", out.warning),
                "100.00 KZT to a card that is closed: returned, to the lots it had left".to_owned(),
                format!(
                    "{SUPPLEMENT} KZT, a benefit that the holder wants on the card: sent on by its own commit, settled"
                ),
            ],
        ),
        (
            "cash",
            vec![
                format!("a wrong code at {}: {}, and counted", out.terminal, out.wrong),
                "200.00 KZT with the right one, once".to_owned(),
            ],
        ),
        ("orders", orders(refusals)),
        ("wallet", wallet),
        ("books", vec![format!("Σ debits {debit} = Σ credits {credit}")]),
        (
            "replay",
            vec![format!("{entries} entries, replayed alone, give the balances of all {wallets} wallets")],
        ),
        (
            "log",
            vec![
                format!(
                    "exported, {} entries verified with nothing but the key",
                    table::text(proof, "entries")
                ),
                key.clone(),
            ],
        ),
    ]
}

/// What became of those who tried to take from the wallet.
fn orders(refusals: &[siege::Refusal]) -> Vec<String> {
    let mut sentences: Vec<String> = refusals
        .iter()
        .map(|it| format!("{:<15} {:<14} {:>10} KZT: refused, nothing taken", it.who, it.kind, it.asked))
        .collect();
    sentences.push(
        "each holds a signed refusal (refusals/*.html), verified with nothing but the key below; forged, none is"
            .to_owned(),
    );
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payer_and_the_short_programme_exist() {
        assert!(parse_payer(DEFAULT_PAYER).is_ok());
        assert!(crate::payroll::catalogue().iter().any(|programme| programme.code.as_str() == SHORT));
    }

    #[test]
    fn a_directory_with_anything_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(directory(Some(dir.path().join("new"))).is_ok());
        assert!(directory(Some(dir.path().to_owned())).is_err());
    }
}
