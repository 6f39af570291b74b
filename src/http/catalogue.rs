//! The catalogue of problems: one table, from which every refusal of the interface is made.
//!
//! A [`Problem`](super::problem::Problem) takes a [`Code`], so that no code exists outside the table, and a code of the
//! ledger without a row here does not compile. `specs/errors.md` and the responses in `specs/openapi.json` are written from it.

use std::fmt::Write as _;

use axum::http::StatusCode;

use crate::ledger::refusal::RefusalCode;
use crate::payroll::ChunkFault;

/// When a fault is looked for. Of several faults in one request, the one of the earliest stage is answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// The size of the head, the path and the method.
    Route,
    /// Who sends it, and whether the request is for its role.
    Identity,
    /// Whether the service takes another request of this client.
    Admission,
    /// The ids in the path.
    Path,
    /// The headers, and whether the body arrives whole and within its limits.
    Transfer,
    /// What the body and the parameters say, member by member in the order of their documentation.
    Content,
    /// What the books say: unknown, in the way of the state, refused by a rule, in the order of `specs/ledger.md`.
    Books,
    /// The service itself fails. It may do so at any time.
    Service,
}

impl Stage {
    /// All, in the order of precedence.
    pub const ALL: [Self; 8] = [
        Self::Route,
        Self::Identity,
        Self::Admission,
        Self::Path,
        Self::Transfer,
        Self::Content,
        Self::Books,
        Self::Service,
    ];

    /// 1 goes first.
    #[must_use]
    pub fn precedence(self) -> u8 {
        self as u8 + 1
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Route => "the size of the head, the path and the method",
            Self::Identity => {
                "who sends the request, and whether it is for its role; among the faults of a signature, no order is promised."
            }
            Self::Admission => "whether the service takes another request of this client",
            Self::Path => "the ids in the path",
            Self::Transfer => {
                "the headers, and whether the body arrives whole and within its limits; among them, no order is promised"
            }
            Self::Content => {
                "what the parameters and the body say, member by member. The lines of a chunk can only be read for a batch that is known: \
                 `batch_unknown` goes before the chunk's faults"
            }
            Self::Books => "what the books say, in the order of `ledger.md`",
            Self::Service => "the service itself fails: at any time",
        }
    }
}

macro_rules! catalogue {
    (
        interface { $($code:ident $status:literal $stage:ident $name:literal $title:literal $meaning:literal $advice:literal)+ }
        chunk { $($fault:ident $fault_code:ident $fault_status:literal $fault_stage:ident $fault_title:literal $fault_meaning:literal $fault_advice:literal)+ }
        ledger { $($refusal:ident $refusal_status:literal $refusal_title:literal $refusal_meaning:literal)+ }
    ) => {
        /// The stable code of a problem.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $(#[doc = $meaning] $code,)+
            $(#[doc = $fault_meaning] $fault_code,)+
            $(#[doc = $refusal_meaning] $refusal,)+
        }

        impl Code {
            /// All, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+ $(Self::$fault_code,)+ $(Self::$refusal,)+];

            /// Its row.
            #[must_use]
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$code => Row {
                        name: $name, status: $status, stage: Stage::$stage, title: $title, meaning: $meaning, advice: $advice,
                    },)+
                    $(Self::$fault_code => Row {
                        name: ChunkFault::$fault.code(), status: $fault_status, stage: Stage::$fault_stage, title: $fault_title,
                        meaning: $fault_meaning, advice: $fault_advice,
                    },)+
                    $(Self::$refusal => Row {
                        name: RefusalCode::$refusal.name(), status: $refusal_status, stage: Stage::Books, title: $refusal_title,
                        meaning: $refusal_meaning, advice: RefusalCode::$refusal.advice(),
                    },)+
                }
            }
        }

        impl From<RefusalCode> for Code {
            fn from(code: RefusalCode) -> Self {
                match code { $(RefusalCode::$refusal => Self::$refusal,)+ }
            }
        }

        impl From<ChunkFault> for Code {
            fn from(fault: ChunkFault) -> Self {
                match fault { $(ChunkFault::$fault => Self::$fault_code,)+ }
            }
        }
    };
}

/// A row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The stable code on the wire, in snake case.
    pub name: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Which faults it gives way to.
    pub stage: Stage,
    /// A few words that never change.
    pub title: &'static str,
    /// What has happened, one sentence.
    pub meaning: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

impl Code {
    /// The code on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The status that goes with it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().status).expect("a test holds every status of the table to HTTP's")
    }
}

catalogue! {
    interface {
        SignatureMissing 401 Identity "signature_missing" "Signature missing"
            "The request is not signed." "Sign it: http.md, Authentication, and `social-wallet call` does it."
        SignatureFieldRepeated 401 Identity "signature_field_repeated" "Field repeated"
            "A field that is signed, or that signs, is there more than once." "Send each field once."
        SignatureMalformed 401 Identity "signature_malformed" "Signature malformed"
            "A field of the signature is not in the canonical form of RFC 9651, or is too long." "Write it as http.md shows."
        SignatureNotSingle 401 Identity "signature_not_single" "Several signatures"
            "The request has more than one signature." "Send one."
        SignatureLabelMismatch 401 Identity "signature_label_mismatch" "Labels differ"
            "Signature and Signature-Input have different labels." "Give both the same label."
        SignatureComponentMissing 401 Identity "signature_component_missing" "Component not covered"
            "The signature does not cover what it must." "Cover the component named in field."
        SignatureComponentUnknown 401 Identity "signature_component_unknown" "Component unknown"
            "The signature covers something that the profile does not know, or that the request does not carry." "Cover @method, @target-uri, and those of content-digest, content-type and idempotency-key that are sent."
        SignatureComponentRepeated 401 Identity "signature_component_repeated" "Component repeated"
            "The signature covers a component twice." "Cover each component once."
        SignatureComponentParameter 401 Identity "signature_component_parameter" "Component with a parameter"
            "A covered component has a parameter." "Cover components as they are."
        SignatureParameterMissing 401 Identity "signature_parameter_missing" "Parameter missing"
            "The signature lacks a parameter." "Add the parameter named in field."
        SignatureParameterUnknown 401 Identity "signature_parameter_unknown" "Parameter not allowed"
            "The signature has a parameter that the profile does not know." "Leave out all but created, expires, nonce, keyid, tag and alg."
        SignatureTimeMalformed 401 Identity "signature_time_malformed" "Time malformed"
            "A time of the signature is not a whole number of seconds since 1970." "Correct the parameter named in field."
        SignatureNonceMalformed 401 Identity "signature_nonce_malformed" "Nonce malformed"
            "The nonce is too short, too long, or holds other characters than it may." "Take 16 to 64 visible ASCII characters, at random."
        SignatureKeyidMalformed 401 Identity "signature_keyid_malformed" "Key id malformed"
            "The keyid is not a client, a colon and 16 hexadecimal digits." "Use the keyid that `keygen` printed."
        SignatureTagWrong 401 Identity "signature_tag_wrong" "Tag wrong"
            "The signature was made for another purpose." "Set the tag of the profile."
        SignatureAlgorithmUnsupported 401 Identity "signature_algorithm_unsupported" "Algorithm unsupported"
            "The algorithm is not Ed25519." "Sign with Ed25519."
        SignatureCreatedOutsideWindow 401 Identity "signature_created_outside_window" "Signed too early or too late"
            "The signature is older than it may be, or from the future." "Set the clock by NTP, and sign when sending."
        SignatureLifetimeOutOfRange 401 Identity "signature_lifetime_out_of_range" "Lifetime out of range"
            "The signature would hold for too long, or not at all." "Let it expire 1 to 300 seconds after it was created."
        SignatureExpired 401 Identity "signature_expired" "Signature expired"
            "The signature has expired." "Sign the request again, with a new nonce."
        SignatureKeyUnknown 401 Identity "signature_key_unknown" "Key unknown"
            "No key of this keyid may sign: it was never registered, or it was revoked." "Sign with a registered key."
        SignatureInvalid 401 Identity "signature_invalid" "Signature invalid"
            "The signature is not of this key over this request." "Sign the method, the address under public_url and the fields exactly as they are sent."
        SignatureBodyFieldMissing 401 Transfer "signature_body_field_missing" "Body not described"
            "A body came without Content-Digest or Content-Type." "Send both, and cover both."
        ContentDigestMalformed 401 Identity "content_digest_malformed" "Content-Digest malformed"
            "The Content-Digest is not one SHA-256 digest in canonical form." "Write sha-256=:<base64>: alone."
        ContentDigestMismatch 401 Transfer "content_digest_mismatch" "Body changed"
            "The body is not the one that the Content-Digest was made of." "Send the body that was signed."
        ClientSuspended 403 Identity "client_suspended" "Client suspended"
            "The client is suspended: none of its requests is accepted." "Ask the operators."
        RoleForbidden 403 Identity "role_forbidden" "Not for this role"
            "The request is not for clients of this role." "access.md says whom each request is for."
        RateLimited 429 Admission "rate_limited" "Too many requests"
            "The client has sent more requests than it may in a second; nothing was done." "Send the same request again after Retry-After, and fewer at once."
        PathUnknown 404 Route "path_unknown" "Path unknown"
            "There is nothing at this path." "Look for a misspelt path; openapi.json has them all."
        MethodNotAllowed 405 Route "method_not_allowed" "Method not allowed"
            "The path knows other methods." "Use a method of the header Allow."
        HeadTooLarge 431 Route "head_too_large" "Head too large"
            "The request line and the header fields have more bytes, or there are more fields, than a request may have; nothing was done."
            "Send fewer and shorter fields."
        BatchMalformed 400 Path "batch_malformed" "Batch id malformed"
            "The batch's id in the path is not a UUID in lower case, with hyphens." "Write the batch's id as it was given when the batch was opened."
        ProgrammeNotFound 404 Path "programme_not_found" "Programme not found"
            "No programme is registered under the code in the path." "Correct the code, or register the programme."
        BankNotFound 404 Path "bank_not_found" "Bank not found"
            "The path names no bank, or another than that of the client." "Name your own BIC."
        CardNumberRefused 400 Content "card_number_refused" "Card number refused"
            "The destination is the number of a card, which is never taken or kept." "Give the token that the card's bank has issued for it."
        PersonNumberRefused 400 Content "person_number_refused" "Person's number refused"
            "A text that is kept for ever holds what may be a person's number." "Leave the numbers of persons and companies out of it; name the document that has them."
        IdempotencyKeyMissing 400 Transfer "idempotency_key_missing" "Idempotency key missing"
            "The write carries no Idempotency-Key, or several." "Send one Idempotency-Key, and the same one when you send the write again."
        IdempotencyKeyMalformed 400 Transfer "idempotency_key_malformed" "Idempotency key malformed"
            "The Idempotency-Key is not 1 to 64 visible ASCII characters other than \" and \\." "Use a UUID, or a number of your own system."
        ContentTypeUnsupported 415 Transfer "content_type_unsupported" "Content type unsupported"
            "The lines of a chunk are neither text/csv nor application/x-ndjson." "Send the right Content-Type."
        BodyIncomplete 400 Transfer "body_incomplete" "Body incomplete"
            "The body did not arrive whole; nothing was done." "Send the same request again."
        BodyTooSlow 408 Transfer "body_too_slow" "Body too slow"
            "The body did not arrive in the time that a body may take; nothing was done." "Send the same request again; a chunk with fewer lines, if the line is slow."
        BodyTooLarge 413 Transfer "body_too_large" "Body too large"
            "The body has more bytes than a single command may have; nothing was done." "Send many lines in the chunks of a batch."
        BodyMalformed 400 Content "body_malformed" "Body malformed"
            "The body is not one JSON object, or an object in it has a name twice." "Correct the JSON at the line and column given."
        FieldMissing 400 Content "field_missing" "Member missing"
            "A member that must be there is absent." "Add the member named in field."
        FieldMalformed 400 Content "field_malformed" "Member malformed"
            "A member or a parameter is not of the documented form." "Correct what is named in field; openapi.json has its form."
        FieldUnknown 400 Content "field_unknown" "Member unknown"
            "The body has a member that this request does not know." "Look for a misspelt member; what is not understood is not ignored."
        ParameterUnknown 400 Content "parameter_unknown" "Parameter unknown"
            "The request has a parameter that it does not know." "Look for a misspelt parameter; what is not understood is not ignored."
        ParameterMalformed 400 Content "parameter_malformed" "Parameter malformed"
            "The parameters cannot be read, or one of them is given twice." "Write each parameter once, percent-encoded UTF-8."
        CursorMalformed 400 Content "cursor_malformed" "Cursor malformed"
            "The cursor was not given by this interface." "Give the `next` of the page before, as it is."
        IinMalformed 400 Content "iin_malformed" "IIN malformed"
            "The IIN has not twelve digits." "Write the IIN with its twelve digits; spreadsheets drop zeros at the front."
        IinCheckDigit 400 Content "iin_check_digit" "IIN mistyped"
            "The check digit of the IIN is wrong." "Look for a mistyped digit."
        PartOutOfRange 400 Content "part_out_of_range" "Part out of range"
            "The part is not a whole number from 1 to 999." "Number the parts of an entitlement from 1."
        AmountMalformed 400 Content "amount_malformed" "Amount malformed"
            "The amount is not a plain decimal number in a string." "Write it like \"12345.67\"."
        AmountScale 400 Content "amount_scale" "Amount too fine"
            "The amount has more than two decimals." "Round the amount by the programme's rule."
        AmountZero 400 Content "amount_zero" "Amount of zero"
            "The amount is zero." "Leave out what moves nothing."
        AmountNegative 400 Content "amount_negative" "Amount negative"
            "The amount is below zero." "Take money back by a reversal."
        AmountTooLarge 400 Content "amount_too_large" "Amount too large"
            "The amount is larger than any amount may be." "Look for a missing point."
        CurrencyUnsupported 400 Content "currency_unsupported" "Currency unsupported"
            "The currency is not KZT." "Write KZT."
        PayerNotYours 403 Content "payer_not_yours" "Another payer"
            "The payer is not the one that the client is registered for." "Name the payer that the client is."
        EntryUnknown 404 Books "entry_unknown" "Entry unknown"
            "The journal, or the tree of the size asked for, has no entry of this number." "Ask for a number below the size."
        InstructionUnknown 404 Books "instruction_unknown" "Instruction unknown"
            "This client's Idempotency-Key made no entry; a refusal binds nothing." "Send the instruction again under the same key."
        EvidenceUnknown 404 Books "evidence_unknown" "No evidence"
            "No signed request is kept for the entry." "Ask for an entry that a client's request made."
        SignatureNonceUsed 401 Books "signature_nonce_used" "Nonce used"
            "The key has used this nonce for a write before; nothing was done now." "Sign the request again, with a new nonce."
        TileUnknown 404 Books "tile_unknown" "Tile unknown"
            "The published checkpoint's tree has no tile or bundle of this path." "Read the checkpoint first; it says how large the tree is."
        SizeUnknown 404 Books "size_unknown" "Size unknown"
            "No checkpoint of so many entries is published." "Ask for a size up to the one in `published`."
        LineValidatedAlready 409 Books "line_validated_already" "Line validated already"
            "A batch that is only validated takes every line once." "Open the batch anew to validate it again."
        VerdictsNotKept 409 Books "verdicts_not_kept" "Verdicts not kept"
            "The verdicts of a batch that is only validated are in the answers to its chunks." "Keep the answers to the chunks."
        Busy 503 Service "busy" "Busy"
            "The service has as much to do as it takes; nothing was done." "Send the same request again after Retry-After."
        NotWritable 503 Service "not_writable" "Not writable"
            "The ledger cannot write; reads may answer." "Send writes again later; the operator's log says why."
        LedgerUnavailable 503 Service "ledger_unavailable" "Ledger unavailable"
            "The ledger cannot write now, or does not know yet whether it has written."
            "Send the same request again: what was carried out is answered again, and moves nothing twice."
        DatabaseUnavailable 503 Service "database_unavailable" "Database unavailable"
            "The database does not answer." "Send the same request again after Retry-After."
        CheckpointPending 503 Service "checkpoint_pending" "Checkpoint pending"
            "No checkpoint is published yet; the first follows the first entry within a second." "Ask again after Retry-After."
        RequestTimeout 504 Service "request_timeout" "Request took too long"
            "The request was not answered in the time that a request may take; a write may still be carried out."
            "Send the same request again: what was carried out is answered again, and moves nothing twice."
        InternalError 500 Service "internal_error" "Internal error"
            "The service failed; its log has the rest under the trace." "Give the trace to the operator; the same request may be sent again."
    }
    chunk {
        Empty ChunkEmpty 400 Content "Chunk empty" "The chunk has no lines." "Send at least one line after the header."
        TooLarge ChunkTooLarge 413 Transfer "Chunk too large" "The chunk has more bytes than a chunk may have; nothing of it was recorded."
            "Cut the file into chunks of fewer lines."
        TooManyLines ChunkTooManyLines 413 Content "Chunk of too many lines" "The chunk has more lines than a chunk may have; nothing of it was recorded."
            "Cut the file into chunks of fewer lines."
        MissingHeader ChunkHeaderMissing 400 Content "Chunk without header" "The CSV chunk begins with data instead of the header line."
            "Put the header line before the lines of every chunk."
        UnknownHeader ChunkHeaderUnknown 400 Content "Chunk of unknown header" "The header line is none that this kind of batch takes."
            "Use a header of accrual-file.md that goes with the batch's kind."
    }
    ledger {
        ProgrammeUnknown 422 "Programme unknown" "The programme that the instruction names is not registered."
        ProgrammeExists 409 "Programme exists" "A programme is registered under this code already."
        ProgrammeNotDeclared 422 "Programme not declared" "The batch did not declare this programme."
        PeriodNotDeclared 422 "Period not declared" "The batch did not declare this period."
        PayerMismatch 422 "Payer mismatch" "The programme is paid by another payer."
        BenefitAlreadyPaid 422 "Benefit already paid" "The benefit (programme, period, person, part) has been paid, by the entry named."
        FundingInsufficient 422 "Funding insufficient" "The programme's funding does not cover the amount."
        LineConflict 422 "Line conflict" "The line was accepted before with other content."
        WalletDeceased 422 "Wallet of a deceased" "The holder has died."
        WalletClosed 422 "Wallet closed" "The wallet is closed."
        AccrualNotFound 422 "Accrual not found" "Nothing was paid to this person under this programme, period and part."
        NothingToReverse 422 "Nothing to reverse" "Nothing is left of the accrual: it was spent, or taken back before."
        WalletUnknown 404 "Wallet unknown" "There is no such wallet."
        BalanceInsufficient 422 "Balance insufficient" "The wallet's free money does not cover the amount."
        OutflowBlocked 422 "Outflow blocked" "The wallet's outflow is stopped."
        ReturnExceedsPayOut 422 "Return exceeds pay-out" "More would come back than went out."
        PayOutNotFound 422 "Pay-out not found" "The entry named is not a pay-out."
        BatchUnknown 404 "Batch unknown" "There is no such batch."
        BatchClosed 409 "Batch closed" "The batch is completed or cancelled."
        BatchNotStarted 409 "Batch not started" "The batch's `not_before` has not come."
        BatchNotReleased 409 "Batch not released" "The batch waits for its release by a second person."
        BatchSelfRelease 403 "Batch released by its opener" "The batch must be released by someone other than who opened it."
        DeclaredLinesExceeded 422 "Declared lines exceeded" "The chunk reaches beyond the declared number of lines."
        DeclaredTotalExceeded 422 "Declared total exceeded" "The chunk takes the received total beyond the declared total."
        BatchNotYours 403 "Batch of another client" "The batch belongs to another client."
        InstructionConflict 422 "Instruction conflict" "The key, or the id in the path, made an entry with other content."
        SumTooLarge 422 "Sum too large" "A sum would pass the largest amount that the ledger can hold."
        BankReferenceUsed 422 "Bank reference used" "The bank reference has funded a programme before, by the entry named."
        BookFull 422 "Book full" "The book has as many wallets or batches as it can number, 2,147,483,647."
        BatchReleasedAlready 409 "Batch released already" "The batch needs no release, or has it."
        WalletExists 409 "Wallet exists" "The person has a wallet."
        OriginOutOfOrder 422 "Origin out of order" "The origin declared does not follow the lost checkpoint's, or that one is older than the log's."
        LogKeyNotCurrent 422 "Log key not current" "The key to be replaced is not the log's, or the new one has not its name."
        ClientUnknown 404 "Client unknown" "There is no such client."
        ClientExists 409 "Client exists" "A client is registered under this id already, or the service itself acts under it (`system`)."
        ScopeMismatch 422 "Scope mismatch" "The scope does not fit the role."
        OperatorRequired 403 "Operator required" "Only an operator that is registered and not suspended may do this."
        KeyUnknown 404 "Key unknown" "There is no such key."
        KeyExists 409 "Key exists" "The key is registered, or was."
        KeyRevoked 409 "Key revoked" "The key is revoked, by the entry named."
        KeysTooMany 422 "Too many keys" "The client has as many keys as it may have."
        ClientStateUnchanged 409 "Client's state unchanged" "The client is suspended already, or is not."
        OperatorsTooFew 422 "Too few operators" "Too few operators would be left, or an operator acts on itself."
        BookBootstrapped 409 "Book bootstrapped" "The book has its operators; the entry named registered them."
        ApprovalRequired 403 "Approval required" "This takes two operators."
        ApprovalUnknown 404 "Approval unknown" "No such approval was requested."
        ApprovalEnded 409 "Approval ended" "The request was approved, refused or withdrawn, by the entry named."
        ApprovalExpired 409 "Approval expired" "The request was not approved in time."
        ApprovalSelf 403 "Approved by its requester" "The approval must come from another operator than the request."
        ApprovalDigestMismatch 422 "Approval of something else" "The digest, or the number of a person that is to be added, is not that of what is asked for."
        ClassUnchanged 409 "Class unchanged" "The programme has this class already."
        AuthorisationUnknown 404 "Authorisation unknown" "No such authorisation, or none that this client may use."
        AuthorisationMismatch 422 "Authorisation for something else" "The authorisation is for something else."
        AuthorisationRevoked 422 "Authorisation revoked" "The authorisation was taken back; `entry` did."
        AuthorisationExpired 422 "Authorisation expired" "The authorisation's time is over."
        AuthorisationUsed 422 "Authorisation used" "The authorisation was for one payment, which was made."
        AuthorisationExceeded 422 "Authorisation exceeded" "The payments under the authorisation would pass what the holder allowed."
        AuthorisationTooLong 422 "Authorisation too long" "The time of the authorisation is over already, or is longer than is allowed."
        ConsentOutsideWindow 422 "Consent outside its window" "The holder's consent is too old, or lies in the future."
        ChannelStopped 422 "Channel stopped" "The channel that the holder gave the authorisation to is suspended."
        ClientNotEntitled 422 "Client not entitled" "The client is not, or no longer, one that may do this."
        WalletLimitExceeded 422 "Limit of the wallet exceeded" "The payments out of the wallet would pass the day's limit."
        ChannelLimitExceeded 422 "Limit of the channel exceeded" "The payments, or the choices that send benefits on, through the channel would pass the day's limit."
        CashLimitExceeded 422 "Limit of cash exceeded" "The cash-out, or those of the day, would pass the limit."
        TransferUnknown 404 "Transfer unknown" "No such transfer, or not one of yours."
        TransferEnded 409 "Transfer ended" "The transfer has come to an end that does not go with the answer; `entry` ended it."
        ReturnConflict 409 "Return with other content" "The reference named another return of this transfer; `field` differs from `entry`."
        ReturnsTooMany 422 "Too many returns" "The transfer has come back in as many parts as it may."
        ClearingInsufficient 422 "Less is owed to the bank" "Less is owed to the bank than this would take."
        CashUnknown 404 "Cash-out unknown" "No such cash-out, or not one of yours."
        CashCodeWrong 422 "Code wrong" "The code is wrong; `entry` counted it."
        CashEnded 409 "Cash-out ended" "The cash-out has expired, was released or was paid; nothing more can be done with it."
        CashReserved 409 "Cash-out reserved" "The cash-out is with an agent: only the agent's answer, or an operator with evidence, ends it."
        CashNotReserved 409 "Cash-out not reserved" "The cash-out is not with an agent."
        CashTriesExceeded 422 "Too many wrong codes" "Too many wrong codes today: from the terminal, from the bank's agents, or in all."
        CashLifetimeOutOfRange 422 "Lifetime out of range" "The cash-out would stand for less than 15 or more than 60 minutes."
        DocumentRequired 422 "Document required" "Whoever answers for a bank, or stops a wallet, names the document that he has."
        WalletStateUnchanged 409 "State unchanged" "The wallet is in this state already, or cannot go to it from the one that it is in."
        WalletNotEmpty 422 "Wallet not empty" "The wallet holds money."
        LotsTooMany 422 "Too many accruals" "The payment would take money of more than 256 accruals."
        ConsentUsed 409 "Consent used" "What shows the holder's consent was given for another authorisation; `entry` gave it."
        LimitsUnchanged 409 "Limits unchanged" "The limits are these."
        ChoiceUnchanged 409 "Chosen already" "This is chosen already; `entry` chose it."
        NumberKnown 409 "Number known" "The number leads to this wallet already."
        NumberHasWallet 409 "Number has a wallet" "The number has a wallet of its own."
        WalletMerged 409 "Wallet merged" "The wallet was merged into another."
        MergeTooLarge 422 "Too many accruals" "The wallet that would be merged has had more than 256 accruals."
        GeneralNotAllowed 422 "Nothing may be general" "The book takes benefits only: no money in it may be general."
        RulesUnsound 422 "Rules unsound" "The rule table cannot come into force; the detail says why."
        RulesUnchanged 409 "Rules unchanged" "The rules in force are these."
        OrderConflict 409 "Another order under this document" "An order of this issuer, number and date was decided; `field` differs from `entry`."
        OrderUnknown 404 "Order unknown" "No such order, or not one of yours, or it does not stand any more."
        LevyInsufficient 422 "Less is owed to the authority" "Less was taken for the authority than this would pay."
    }
}

/// `specs/errors.md`.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# Problems\n\n*Written from the catalogue in `src/http/catalogue.rs`; a test compares them.*\n\n\
         Refusals are `application/problem+json` (RFC 9457). A program decides by `code`, which never changes its meaning; `title`, \
         `status` and `advice` go with the code; `detail` is for people. `field` names the member, parameter or header at fault, \
         `entry` the journal entry that stands in the way. `\"final\": false` says that a rule refused and nothing was bound: the \
         same command, sent again, is decided again. An infrastructure failure (503, 504, 500) is never an outcome. The codes of \
         a line that cannot be read stand in verdicts only; `accrual-file.md` has them.\n\n\
         ## Precedence\nOf several faults in one request, the one of the lowest precedence number is answered.\n\n",
    );
    for stage in Stage::ALL {
        writeln!(text, "{}. {}", stage.precedence(), stage.explanation())
            .expect("writing to a string does not fail");
    }
    text.push_str("\n## The codes\n| code | status | precedence | title | meaning | what to do |\n|---|---|---|---|---|---|\n");
    for code in Code::ALL {
        let Row { name, status, stage, title, meaning, advice } = code.row();
        let precedence = stage.precedence();
        writeln!(text, "| `{name}` | {status} | {precedence} | {title} | {meaning} | {advice} |")
            .expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_whole_and_no_code_stands_twice() {
        let mut names = BTreeSet::new();
        for code in Code::ALL {
            let Row { name, status, title, meaning, advice, .. } = code.row();
            assert!(names.insert(name), "{name} stands twice");
            assert!((400..600).contains(&status) && code.status().canonical_reason().is_some(), "{name}");
            assert!(!title.is_empty() && meaning.ends_with('.') && !advice.is_empty(), "{name}");
            assert!(!format!("{title}{meaning}{advice}").contains('|'), "{name} would break the table");
        }
    }

    #[test]
    fn the_document_is_the_catalogue() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/specs/errors.md");
        crate::http::document_is_current(path, &document());
    }
}
