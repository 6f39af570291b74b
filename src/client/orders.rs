//! An authority's side: orders one by one and by file, and the documents of their decisions.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{Call, Client, ClientError, Written};
use crate::domain::IdempotencyKey;
use crate::orders::file::ORDERS_PER_FILE_MAX;
use crate::payroll::{Chunk, ChunkReader, Encoding};

/// How often a document is asked for until a checkpoint covers its entry: one comes within a second.
const DOCUMENT_TRIES: u32 = 10;
const DOCUMENT_PAUSE: Duration = Duration::from_millis(500);

/// The first line of every list of verdicts on orders.
pub const VERDICTS_HEADER: &str = "line,verdict,entry,outcome,taken,held,refused,code,field";

/// A verdict on a line of a file of orders, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderVerdict {
    /// `decided`, `already_decided` or `refused`.
    pub verdict: String,
    /// What became of the order; of a line that was refused, why.
    pub said: String,
    /// The decision's entry, if there is one.
    pub entry: Option<u64>,
    /// The rest of the row, after the line's number.
    pub row: String,
}

/// What form a document is wanted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentForm {
    /// For a program, with what tells whether it is about a person.
    Json,
    /// To print.
    Page,
}

impl Client {
    /// `POST /v1/orders`: an authority's order.
    pub async fn decide_order(&self, body: &Value, key: &IdempotencyKey) -> Result<Written, ClientError> {
        self.post(&["v1", "orders"], body, key).await
    }

    /// `POST /v1/orders/file`: a verdict on each line.
    pub async fn decide_orders(
        &self,
        encoding: Encoding,
        body: Bytes,
        key: &IdempotencyKey,
    ) -> Result<Vec<OrderVerdict>, ClientError> {
        let mut call = Call::new(Method::POST, &["v1", "orders", "file"]).key(key);
        call.content_type = Some(encoding.content_type());
        call.accept = "text/csv";
        call.body = body;
        let answer = self.send(&call).await?;
        verdicts(&answer.body).ok_or_else(|| self.protocol("the verdicts are not in the form agreed on"))
    }

    /// `GET /v1/orders/{entry}`.
    pub async fn order(&self, entry: u64) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "orders", &entry.to_string()])).await
    }

    /// `GET /v1/orders`: a page of this authority's orders.
    pub async fn orders(&self, standing: bool, after: u64) -> Result<Value, ClientError> {
        let state = if standing { "standing" } else { "all" };
        let call = Call::new(Method::GET, &["v1", "orders"]);
        self.read(call.query("state", Some(state)).query("after", Some(after))).await
    }

    /// `GET /v1/orders/{entry}/document`: waits until the log has it.
    pub async fn decision_document(
        &self,
        entry: u64,
        form: DocumentForm,
        language: Option<&str>,
    ) -> Result<Bytes, ClientError> {
        let entry = entry.to_string();
        let path = ["v1", "orders", &entry, "document"];
        for _ in 0..DOCUMENT_TRIES {
            let mut call = Call::new(Method::GET, &path).query("lang", language);
            call.accept = if form == DocumentForm::Page { "text/html" } else { "application/json" };
            let answer = self.send(&call).await?;
            if answer.status != StatusCode::ACCEPTED {
                return Ok(answer.body);
            }
            tokio::time::sleep(DOCUMENT_PAUSE).await;
        }
        Err(self.protocol("no checkpoint covers the decision"))
    }

    /// `GET /v1/rules`.
    pub async fn rules(&self) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "rules"])).await
    }

    /// `GET /v1/reports/orders`: of business days, both inclusive.
    pub async fn orders_report(&self, from: &str, to: &str) -> Result<Value, ClientError> {
        let call = Call::new(Method::GET, &["v1", "reports", "orders"]);
        self.read(call.query("from", Some(from)).query("to", Some(to))).await
    }
}

/// Reads a list of verdicts; `None`: it is not one, in ascending order of lines from 1.
fn verdicts(body: &[u8]) -> Option<Vec<OrderVerdict>> {
    let mut rows = std::str::from_utf8(body).ok()?.lines();
    if rows.next() != Some(VERDICTS_HEADER) {
        return None;
    }
    let read = |(number, row): (u64, &str)| {
        let (line, row) = row.split_once(',')?;
        let cells: Vec<&str> = row.split(',').collect();
        let [verdict, entry, outcome, _, _, _, code, _] = cells.as_slice() else { return None };
        let said = if code.is_empty() { *outcome } else { *code };
        let known = matches!(*verdict, "decided" | "already_decided" | "refused");
        (known && line.parse() == Ok(number)).then(|| OrderVerdict {
            verdict: (*verdict).to_owned(),
            said: said.to_owned(),
            entry: entry.parse().ok(),
            row: row.to_owned(),
        })
    };
    (1..).zip(rows).map(read).collect()
}

/// A file of orders, cut into what one request takes.
pub fn pieces(path: &Path) -> std::io::Result<(Encoding, impl Iterator<Item = std::io::Result<Chunk>>)> {
    let mut reader = ChunkReader::open(path)?.with_lines_max(ORDERS_PER_FILE_MAX);
    let encoding = reader.encoding();
    Ok((encoding, std::iter::from_fn(move || reader.next_chunk().transpose())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_as_they_are_written_and_no_others_are() {
        let good = format!(
            "{VERDICTS_HEADER}\n1,decided,7,refused_protected,0.00,0.00,5.00,,\n2,refused,,,,,,field_missing,number\n"
        );
        let read = verdicts(good.as_bytes()).unwrap();
        assert_eq!((read[0].said.as_str(), read[1].said.as_str()), ("refused_protected", "field_missing"));
        assert_eq!((read[0].entry, read[1].entry), (Some(7), None));
        assert_eq!(read[0].row, "decided,7,refused_protected,0.00,0.00,5.00,,");
        for bad in [
            "",
            "line,verdict\n",
            &good.replace("2,refused", "3,refused"),
            &good.replace("refused,,", "refused,"),
            &good.replace("1,decided", "1,done"),
        ] {
            assert!(verdicts(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
