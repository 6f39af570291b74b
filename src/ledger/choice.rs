//! Where a holder wants benefits to go: to the wallet, where they land anyway, or on from there to a card or an account.
//!
//! | record | who may | refused when |
//! |---|---|---|
//! | `destination_chosen` | a channel | the programme or the wallet is unknown; the consent is older than a day, or was used; the authorisation is not the holder's standing one through this channel, is revoked or over; the wallet is stopped; it is chosen already; the channel has sent on as many as a day allows |
//! | `transfer_requested` with `accrual` | the accrual: the entry before it | never: |
//! | `transfer_not_started` | the accrual: the entry before it | never |
//!
//! A choice names a standing authorisation, so that there is one place that says who may take what from whom. The newest choice for
//! a programme counts, else the newest for all. An accrual under a choice is credited as any other and then, in the same
//! commit, its very money is held for a transfer: what lies in the wallet already stays, and no lot is read. What would
//! refuse a transfer never refuses the accrual: that none was started is an entry, which the channel is told. A transfer that a
//! choice starts counts for its wallet's day, and not for its channel's: the channel is counted when it chooses.

#![allow(clippy::needless_pass_by_value)] // an `Entry` is used up by the rule that writes it

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{Amount, ProgrammeCode, WalletId};

use super::books::{Books, Fault, Ruling};
use super::effects::Effects;
use super::payment::{Authorisation, Consent, Counted, Drawn, PaymentKind, PaymentRecord, Purpose};
use super::payment_rules::{Party, Way, moneyless, tell};
use super::record::{Actor, Record};
use super::refusal::{Refusal, RefusalCode as Code};
use super::rules::{Accrual, Entry, Person, refuse, share};
use super::wallet::{EntryKind, Lot, LotMovement, Wallet, WalletState};

/// What a holder chose, or what came of it, as its entry says it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChoiceRecord {
    /// A holder chose, through a channel, where benefits go.
    DestinationChosen {
        /// From which wallet.
        wallet: WalletId,
        /// The benefits of which programme; of all that have no choice of their own, if none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        programme: Option<ProgrammeCode>,
        /// The authorisation that transfers are made under; they stay in the wallet, if none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authorisation: Option<u64>,
        /// What shows that the holder was asked.
        consent: Consent,
        /// Whether the wallet became active by it.
        activates: bool,
    },
    /// An accrual under a choice has landed, and no transfer could be started: the money stays in the wallet.
    TransferNotStarted {
        /// In which wallet.
        wallet: WalletId,
        /// Under which authorisation it would have been.
        authorisation: u64,
        /// The accrual.
        accrual: u64,
        /// How much.
        amount: Amount,
        /// Why: what a request for it would have been refused with.
        #[serde(with = "code")]
        reason: Code,
    },
}

mod code {
    //! A refusal's code as the interface names it.
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Code;

    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
    pub fn serialize<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(code.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Code::ALL.into_iter().find(|code| code.name() == name);
        known.ok_or_else(|| D::Error::custom("not a refusal's code"))
    }
}

impl From<ChoiceRecord> for Record {
    fn from(record: ChoiceRecord) -> Self {
        Self::Choice(Box::new(record))
    }
}

impl ChoiceRecord {
    /// The names of all kinds.
    pub const KINDS: [&'static str; 2] = ["destination_chosen", "transfer_not_started"];

    /// The entry's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DestinationChosen { .. } => Self::KINDS[0],
            Self::TransferNotStarted { .. } => Self::KINDS[1],
        }
    }

    /// The wallet that it is about.
    #[must_use]
    pub fn wallet(&self) -> WalletId {
        match self {
            Self::DestinationChosen { wallet, .. } | Self::TransferNotStarted { wallet, .. } => *wallet,
        }
    }

    /// The members of its leaf.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(mut map)) => {
                map.remove("kind");
                map
            }
            _ => unreachable!("a tagged struct of texts and numbers is a JSON object"),
        }
    }
}

/// The number that stands for all programmes in the place of one.
pub const ALL_PROGRAMMES: u32 = 0;

/// A choice that holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chosen {
    /// The entry that made it.
    pub seq: u64,
    /// The authorisation that transfers are made under; `None`: the wallet.
    pub authorisation: Option<u64>,
}

/// The choices of a wallet that hold, by the programme's internal number or [`ALL_PROGRAMMES`].
pub type Choices = BTreeMap<u32, Chosen>;

/// A choice as it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NewChoice {
    /// The entry that made it: the choice, or the merging that brought it.
    pub seq: u64,
    /// The wallet's internal number.
    pub account: u32,
    /// The programme's internal number, or [`ALL_PROGRAMMES`].
    pub programme: u32,
    /// The authorisation that transfers are made under; `None`: the wallet.
    pub authorisation: Option<u64>,
}

/// A credit that a choice sends on: the next entry says what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    wallet: WalletId,
    account: u32,
    lot: Lot,
    authorisation: u64,
    actor: Actor,
}

impl Due {
    /// Whose entry the next one is: the accrual's, which binds no instruction a second time.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// Whether a record may be the one that says what came of it.
    #[must_use]
    pub fn is_told_by(&self, record: &Record) -> bool {
        let told = match record {
            Record::Payment(record) => match **record {
                PaymentRecord::TransferRequested { accrual, .. } => accrual,
                _ => None,
            },
            Record::Choice(record) => match **record {
                ChoiceRecord::TransferNotStarted { accrual, .. } => Some(accrual),
                ChoiceRecord::DestinationChosen { .. } => None,
            },
            _ => None,
        };
        told == Some(self.lot.seq)
    }
}

impl Books {
    /// Credits a benefit, as [`Books::credit`] does, and sends it on if the holder has chosen so.
    pub fn accrue(
        &mut self,
        entry: Entry<'_>,
        accrual: &Accrual,
        payer: Option<crate::domain::Bin>,
        batch: Option<crate::domain::BatchId>,
        person: Option<&dyn Fn() -> Person>,
    ) -> Ruling<u64> {
        let Entry { fx, stamp, actor } = entry;
        let seq = self.credit(Entry { fx: &mut *fx, stamp, actor }, accrual, payer, batch, person)?;
        if self.due.is_some() {
            self.send_on(Entry { fx, stamp, actor })?;
        }
        Ok(seq)
    }

    /// The credit that must be sent on by the next entry.
    #[must_use]
    pub fn due(&self) -> Option<&Due> {
        self.due.as_ref()
    }

    /// Notes that a credit is to be sent on, if the wallet's holder has chosen so for its programme.
    pub(super) fn note_due(
        &mut self,
        wallet: WalletId,
        after: &Wallet,
        lot: Lot,
        actor: Actor,
    ) -> Ruling<()> {
        let choices = self.choices_of(after.account)?;
        let chosen = choices.get(&lot.benefit.programme).or_else(|| choices.get(&ALL_PROGRAMMES));
        if let Some(authorisation) = chosen.and_then(|chosen| chosen.authorisation) {
            let actor = Actor { instruction: None, ..actor };
            self.due = Some(Due { wallet, account: after.account, lot, authorisation, actor });
        }
        Ok(())
    }

    /// The choices of a wallet that hold.
    pub fn choices_of(&self, account: u32) -> Ruling<Choices> {
        match self.choices.get(&account) {
            Some(choices) => Ok(choices.clone()),
            None if self.whole.is_some() => Ok(Choices::new()),
            None => Err(Fault::Unread("the choices of a wallet")),
        }
    }

    /// Writes what becomes of a credit that a choice sends on: a transfer, or that there is none and why.
    pub(super) fn send_on(&mut self, entry: Entry<'_>) -> Ruling<u64> {
        let due = self.due.take().ok_or(Fault::Unread("a credit that is to be sent on"))?;
        let Due { wallet, account, lot, authorisation, actor } = due;
        let Entry { fx, stamp, .. } = entry;
        let known = self.authorisations.get(&authorisation).copied();
        let known = known.ok_or(Fault::Unread("the authorisation of a choice"))?;
        let amount = Amount::from_tiyn(lot.amount).ok_or(Fault::Unread("the amount of a credit"))?;
        let checked = self.check_authorised(stamp, &known, amount, Way::SentOn);
        let (before, bank) = match (checked, known.terms.bank()) {
            (Ok((_, before)), Some(bank)) => (before, bank),
            (Err(Fault::Refused(refusal)), _) => {
                let (reason, accrual) = (refusal.code, lot.seq);
                let record =
                    ChoiceRecord::TransferNotStarted { wallet, authorisation, accrual, amount, reason };
                let seq = self.write(fx, record.into(), actor);
                tell(fx, seq, known.channel, None);
                return Ok(seq);
            }
            (Err(fault), _) => return Err(fault),
            (_, None) => return Err(Fault::Unread("the bank of a choice")),
        };
        let record = PaymentRecord::TransferRequested {
            wallet,
            authorisation,
            bank,
            amount,
            accrual: Some(lot.seq),
            shares: vec![share(&lot, lot.amount)],
            split: self.split(&[(lot, lot.amount)]),
        };
        let seq = self.write(fx, record.into(), actor);
        // Of the wallet's other lots nothing is known, and nothing need be: this one is new, and free.
        let after = self.hold_lot(fx, before, lot);
        self.post_entry(fx, wallet, moneyless(seq, stamp.at, EntryKind::Hold, None, after));
        let drawn = vec![Drawn(lot.version, lot.amount, lot.seq)];
        self.keep_payment(fx, stamp, seq, (wallet, account), &known, PaymentKind::Transfer { bank }, drawn)?;
        tell(fx, seq, known.channel, Some(bank));
        Ok(seq)
    }

    /// Holds all of a lot that was credited just now; the head after it.
    fn hold_lot(&mut self, fx: &mut Effects, before: Wallet, lot: Lot) -> Wallet {
        let version = before.version + 1;
        let is_general = lot.class == crate::domain::FundClass::General;
        let held = Lot { held: lot.amount, movements: lot.movements + 1, ..lot };
        if self.whole.is_some() || self.lots.contains_key(&before.account) {
            self.put_lot(before.account, held);
        }
        fx.movements.push(LotMovement {
            account: before.account,
            lot: lot.version,
            movement: held.movements,
            version,
            amount: 0,
            remaining: held.remaining,
            held: held.held,
            reversed: held.reversed,
        });
        Wallet {
            version,
            held: before.held + lot.amount,
            general_held: before.general_held + if is_general { lot.amount } else { 0 },
            ..before
        }
    }

    /// A holder chooses where benefits go, of a programme or of all: on under a standing authorisation, or to the wallet.
    pub fn choose(
        &mut self,
        entry: Entry<'_>,
        wallet: WalletId,
        programme: Option<ProgrammeCode>,
        authorisation: Option<u64>,
        consent: Consent,
    ) -> Ruling<u64> {
        let key = match programme.map(|code| self.programme(code)) {
            None => ALL_PROGRAMMES,
            Some(Some(programme)) => programme.number,
            Some(None) => return refuse(Code::ProgrammeUnknown, "programme"),
        };
        let Some((id, before)) = self.find_wallet(wallet)? else {
            return refuse(Code::WalletUnknown, "wallet");
        };
        if let Some(named) = authorisation {
            self.check_choosable(&entry, id, named)?;
        }
        self.check_party(&entry.actor, Party::Channel)?;
        let asked = self.check_consent(&entry, &consent)?;
        match self.may_pay_out(&before, entry.stamp.at) {
            // Whoever lets nothing out may still be told to keep it.
            Err(Fault::Refused(Refusal { code: Code::OutflowBlocked, .. })) if authorisation.is_none() => {}
            ruling => ruling?,
        }
        let mut choices = self.choices_of(before.account)?;
        let made = choices.get(&key).copied();
        let by_default = key == ALL_PROGRAMMES && authorisation.is_none();
        let is_same = made.map_or(by_default, |made| made.authorisation == authorisation);
        if is_same {
            let refusal = Refusal::of(Code::ChoiceUnchanged, "destination");
            return Err(made.map_or(refusal.clone(), |made| refusal.by(made.seq)).into());
        }
        let counted = authorisation.map(|_| Counted::Choices(entry.actor.client));
        if let Some(counted) = &counted
            && self.used(counted, entry.stamp.date)?.0 >= self.registry.limits().channel_day_choices
        {
            return refuse(Code::ChannelLimitExceeded, "destination");
        }
        let activates = before.state == WalletState::Provisioned;
        let Entry { fx, stamp, actor } = entry;
        let record =
            ChoiceRecord::DestinationChosen { wallet: id, programme, authorisation, consent, activates };
        let seq = self.write(fx, record.into(), actor);
        self.bind(fx, asked, seq);
        if let Some(counted) = counted {
            self.count(fx, seq, stamp.date, counted, 0)?;
        }
        choices.insert(key, Chosen { seq, authorisation });
        let after = Wallet {
            version: before.version + 1,
            state: if activates { WalletState::Active } else { before.state },
            choice: sends_on(&choices),
            ..before
        };
        self.post_entry(fx, id, moneyless(seq, stamp.at, EntryKind::Choice, None, after));
        self.choices.insert(before.account, choices);
        fx.choices.push(NewChoice { seq, account: before.account, programme: key, authorisation });
        let bank = authorisation
            .and_then(|named| self.authorisations.get(&named))
            .and_then(|known| known.terms.bank());
        tell(fx, seq, actor.client, bank);
        Ok(seq)
    }

    /// Whether a choice may name an authorisation: a standing one, for transfers, of this holder, through this channel.
    fn check_choosable(&mut self, entry: &Entry<'_>, wallet: WalletId, named: u64) -> Ruling<()> {
        let known = self.authorisations.get(&named).copied();
        let known = known.filter(|known| known.channel == entry.actor.client);
        let of_holder = match &known {
            Some(known) => self.canonical(known.wallet)? == wallet,
            None => false,
        };
        let Some(known) = known.filter(|_| of_holder) else {
            return refuse(Code::AuthorisationUnknown, "authorisation");
        };
        let Authorisation { terms, revoked, .. } = known;
        if !terms.standing || !matches!(terms.purpose, Purpose::Transfer { .. }) {
            return refuse(Code::AuthorisationMismatch, "authorisation");
        }
        if revoked {
            return refuse(Code::AuthorisationRevoked, "authorisation");
        }
        if entry.stamp.at > terms.expires {
            return refuse(Code::AuthorisationExpired, "authorisation");
        }
        Ok(())
    }
}

/// Whether any of the choices sends benefits on.
pub(super) fn sends_on(choices: &Choices) -> bool {
    choices.values().any(|chosen| chosen.authorisation.is_some())
}
