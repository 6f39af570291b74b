//! A bank's side of transfers: follow the events, answer each transfer once.

use serde_json::{Value, json};

use super::{Client, ClientError};

/// What a bank does with a transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The money is the holder's now.
    Settle,
    /// It goes back, for this reason.
    Return(String),
}

/// Follows the events of a bank. What it has answered before is answered with the same entries: so it may be killed at any
/// moment and begin anew from any event.
pub struct Desk {
    client: Client,
    after: u64,
}

impl Desk {
    /// A desk that begins after an event; 0 is the beginning.
    #[must_use]
    pub fn new(client: Client, after: u64) -> Self {
        Self { client, after }
    }

    /// The last event whose transfer has been answered: where to begin the next time.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.after
    }

    /// Waits so many seconds for events, and answers the transfers among them: they are with the bank, then settled or
    /// returned. Gives what the service said of each answer.
    pub async fn turn(
        &mut self,
        wait: u64,
        decide: impl Fn(&Value) -> Decision,
    ) -> Result<Vec<Value>, ClientError> {
        let told = self.client.events(self.after, wait).await?;
        let mut answers = Vec::new();
        for event in told["events"].as_array().into_iter().flatten() {
            let data = &event["data"];
            let Some(entry) = data["entry"].as_u64().filter(|_| data["kind"] == "transfer_requested") else {
                continue;
            };
            let transfer = self.client.transfer(entry).await?;
            // Decided before: what is decided now might be something else.
            if !matches!(transfer["state"].as_str(), Some("requested" | "sent" | "unknown")) {
                continue;
            }
            answers.push(json!({"transfer": entry, "answer": "sent"}));
            answers.push(match decide(&transfer) {
                Decision::Settle => json!({"transfer": entry, "answer": "settled"}),
                Decision::Return(reason) => json!({"transfer": entry, "answer": "returned",
                    "reference": format!("R-{entry}"), "reason": reason}),
            });
        }
        let mut taken = Vec::new();
        for some in answers.chunks(1_000) {
            let told = self.client.answer_transfers(some).await?;
            taken.extend(told["answers"].as_array().cloned().unwrap_or_default());
        }
        self.after = told["next"].as_u64().unwrap_or(self.after);
        Ok(taken)
    }
}
