//! What a batch of commands touches, read before it is decided.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use crate::domain::{BatchId, OrderKind, WalletId};
use crate::ledger::batch::{LineVerdict, VERDICT_BYTES, Verdict};
use crate::ledger::batch_rules::Chunk;
use crate::ledger::books::{
    Books, Bound, Paid, Prior, bank_reference_id, consent_id, levy_settlement_id, settlement_id,
};
use crate::ledger::order::{Known, Order, OrderRecord, Outcome as OrderOutcome};
use crate::ledger::order_rules::Intake;
use crate::ledger::payment::{CashReference, Counted, Payment};
use crate::ledger::record::Record;
use crate::ledger::registry::Proposal;
use crate::ledger::signed::Nonce;
use crate::ledger::wallet::{Benefit, Wallet, WalletState};
use crate::log::leaf::Leaf;
use crate::log::merkle::{Hash, leaf_hash};
use crate::payroll::Line;
use crate::store::orders::OrderRow;
use crate::store::{Head, Standing, StoreError};

use super::{Desk, DeskError, Request};
use crate::sequencer::command::{Command, OrderCommand, PaymentCommand, RegistryCommand};
use crate::sequencer::holder::{Choosing, HolderCommand, Touched};

/// Orders against a wallet that are read at once.
const ORDERS_READ: u32 = 1_000;

/// Memory of benefits' bitmaps: how many are kept before the ones not in use are forgotten.
const BENEFITS_MAX: usize = 512;

impl Desk {
    /// Reads what the commands touch, and last of all the store's head, which it answers. `settled`: no commit is under way.
    /// `None`: something must be read that a commit under way may be changing; come again when it is settled.
    pub async fn read(&mut self, requests: &[Request], settled: bool) -> Result<Option<Head>, DeskError> {
        self.trusting = false;
        self.books.orders.ending.clear();
        if settled {
            self.books.forget_lookups();
            self.read_batches(requests).await?;
            self.read_payments(requests).await?;
            self.read_orders(requests).await?;
        }
        let wanted = Wanted::of(requests, &self.books);
        let named = wanted.named;
        self.read_wallets(wanted.wallets).await?;
        self.read_benefits(wanted.benefits, settled).await?;
        let mut paid: HashSet<(u32, Benefit)> = HashSet::new();
        let mut choosing = Choosing::default();
        for (wallet, benefit) in wanted.accruals {
            let Some(Some(head)) = self.books.wallets.get(wallet) else { continue };
            if head.choice && choosing.0.insert(head.account) {
                choosing.1.push(head);
            }
            if self.books.benefits.get(&benefit).is_some_and(|accounts| accounts.contains(head.account)) {
                paid.insert((head.account, benefit));
            }
        }
        // What a choice sends on is counted against limits, which a commit under way may be changing.
        if !settled && !choosing.0.is_empty() {
            return Ok(None);
        }
        if !paid.is_empty() {
            if !settled {
                return Ok(None);
            }
            let paid: Vec<_> = paid.into_iter().collect();
            for (key, entry) in self.store.paid(&paid).await? {
                // Where two wallets were both paid and merged, the first is named.
                self.books.paid.entry(key).or_insert(entry);
            }
            if let Some(rehearsed) = &self.rehearsed {
                let forgotten = Paid { seq: self.head.size - 1, amount: 0 };
                for key in &paid {
                    let known = rehearsed.paid.get(key).copied().unwrap_or(forgotten);
                    self.books.paid.entry(*key).or_insert(known);
                }
            }
        }
        if settled {
            self.read_ending(named, &choosing).await?;
            self.read_debts(requests).await?;
            self.read_lots(requests).await?;
            for request in requests {
                let touched = Touched::of(&request.command, self.books.registry());
                let Some(touched) = touched else { continue };
                choosing.add(&mut self.books, &touched);
                self.read_merge(&touched).await?;
            }
            self.read_choices(&choosing).await?;
            self.read_usage(requests, &choosing).await?;
            for request in requests {
                if let Command::Chunk(chunk) = &request.command {
                    self.read_prior(chunk).await?;
                }
            }
        }
        self.read_standing(requests, settled).await.map(Some)
    }

    async fn read_batches(&mut self, requests: &[Request]) -> Result<(), DeskError> {
        let unknown = |id: &BatchId| !self.books.batches.contains_key(id);
        let ids: BTreeSet<BatchId> =
            requests.iter().filter_map(|request| batch_of(&request.command)).filter(unknown).collect();
        if !ids.is_empty() {
            let ids: Vec<_> = ids.into_iter().collect();
            for batch in self.store.batches(&ids).await? {
                self.books.batches.insert(batch.declaration.batch, batch);
            }
        }
        Ok(())
    }

    /// The authorisations and payments that commands name.
    async fn read_payments(&mut self, requests: &[Request]) -> Result<(), DeskError> {
        let commands = || requests.iter().filter_map(payment_of);
        let mut authorisations: BTreeSet<u64> = BTreeSet::new();
        let mut payments: BTreeSet<u64> = BTreeSet::new();
        let references: BTreeSet<CashReference> = commands().filter_map(PaymentCommand::reference).collect();
        for command in commands() {
            match command {
                PaymentCommand::Revoke { authorisation, .. }
                | PaymentCommand::Transfer { authorisation, .. }
                | PaymentCommand::CreateCash { authorisation, .. } => {
                    authorisations.insert(*authorisation);
                }
                PaymentCommand::Answer { answers, .. } => {
                    payments.extend(answers.iter().map(|(transfer, ..)| *transfer));
                }
                PaymentCommand::ExpireCash(entries) => payments.extend(entries),
                _ => {}
            }
        }
        authorisations.extend(requests.iter().filter_map(|request| request.command.authorisation()));
        let references: Vec<_> = references.into_iter().collect();
        for (reference, cash) in self.store.cash_outs(&references).await? {
            self.books.cash.insert(reference, cash);
            payments.insert(cash);
        }
        let authorisations: Vec<_> = authorisations.into_iter().collect();
        for known in self.store.authorisations(&authorisations).await? {
            self.books.authorisations.insert(known.seq, known);
        }
        let payments: Vec<_> = payments.into_iter().collect();
        for known in self.store.payments(&payments).await? {
            self.books.payments.insert(known.seq, known);
        }
        Ok(())
    }

    /// What holders have chosen, with the authorisations that they chose.
    async fn read_choices(&mut self, choosing: &Choosing) -> Result<(), DeskError> {
        if choosing.0.is_empty() {
            return Ok(());
        }
        let accounts: Vec<u32> = choosing.0.iter().copied().collect();
        for account in &accounts {
            self.books.choices.entry(*account).or_default();
        }
        let mut named: BTreeSet<u64> = BTreeSet::new();
        for (account, programme, chosen) in self.store.choices(&accounts).await? {
            named.extend(chosen.authorisation);
            self.books.choices.entry(account).or_default().insert(programme, chosen);
        }
        let unread: Vec<u64> =
            named.into_iter().filter(|seq| !self.books.authorisations.contains_key(seq)).collect();
        let found = self.store.authorisations(&unread).await?;
        // An authorisation may have been given to a wallet that was merged since.
        self.read_wallets(found.iter().map(|known| known.wallet).collect()).await?;
        self.books.authorisations.extend(found.into_iter().map(|known| (known.seq, known)));
        Ok(())
    }

    /// Everything that a wallet ever was paid, which is to be merged, and what of it the other was paid too.
    async fn read_merge(&mut self, touched: &Touched) -> Result<(), DeskError> {
        let Some((wallet, merged)) = touched.merges else { return Ok(()) };
        let heads = (self.books.wallets.get(wallet), self.books.wallets.get(merged));
        let (Some(Some(kept)), Some(Some(gone))) = heads else { return Ok(()) };
        self.books.lots.entry(gone.account).or_default();
        self.books.lots.entry(kept.account).or_default();
        let mut benefits: BTreeSet<Benefit> = BTreeSet::new();
        if gone.version > 0 {
            for (account, lot) in self.store.lots(&[(gone.account, 1, gone.version)]).await? {
                benefits.insert(lot.benefit);
                self.books.lots.entry(account).or_default().insert(lot.version, lot);
            }
        }
        let (mut after, mut standing) = (0, BTreeSet::new());
        loop {
            let rows = self.store.orders_against(gone.account, after, ORDERS_READ).await?;
            let stands = |row: &&OrderRow| row.outcome == OrderOutcome::Held && row.ended.is_none();
            standing.extend(rows.iter().filter(stands).map(|row| row.seq));
            match rows.last() {
                Some(last) if rows.len() == ORDERS_READ as usize => after = last.seq,
                _ => break,
            }
        }
        self.books.orders.standing.insert(gone.account, standing);
        self.read_benefits(benefits.clone(), true).await?;
        let keys: Vec<_> = benefits.into_iter().map(|benefit| (kept.account, benefit)).collect();
        if !keys.is_empty() {
            for (account, lot) in self.store.lots_of_benefits(&keys).await? {
                self.books.lots.entry(account).or_default().insert(lot.version, lot);
            }
        }
        Ok(())
    }

    /// The orders that commands bring or name, and those that they name in turn.
    async fn read_orders(&mut self, requests: &[Request]) -> Result<(), DeskError> {
        let mut tags: BTreeSet<[u8; 32]> = BTreeSet::new();
        let mut entries: BTreeSet<u64> = BTreeSet::new();
        for request in requests {
            match &request.command {
                Command::Order(OrderCommand::Decide(orders)) => {
                    tags.extend(orders.iter().map(Intake::tag));
                    for order in orders.iter().filter_map(|intake| intake.said.as_ref().ok()) {
                        tags.extend(order.lifts);
                    }
                }
                Command::Order(OrderCommand::Expire(orders)) => entries.extend(orders),
                _ => {}
            }
        }
        let tags: Vec<[u8; 32]> = tags.into_iter().collect();
        let entries: Vec<u64> = entries.into_iter().collect();
        let mut rows = self.store.orders_by_tag(&tags).await?;
        rows.extend(self.store.orders(&entries).await?);
        rows.retain(|row| row.outcome != OrderOutcome::Malformed);
        self.books.orders.by_tag.extend(tags.into_iter().map(|tag| (tag, None)));
        self.know_orders(rows).await
    }

    /// Keeps orders, with what their entries say.
    async fn know_orders(&mut self, rows: Vec<OrderRow>) -> Result<(), DeskError> {
        if rows.is_empty() {
            return Ok(());
        }
        let entries: Vec<u64> = rows.iter().map(|row| row.seq).collect();
        let mut decisions = HashMap::with_capacity(rows.len());
        for (seq, bytes) in self.store.leaves(&entries).await? {
            match Leaf::read(&bytes).and_then(|leaf| leaf.record()) {
                Ok(Record::Order(record)) => {
                    if let OrderRecord::Decided(decision) = *record {
                        decisions.insert(seq, *decision);
                    }
                }
                _ => return Err(DeskError::Journal(seq)),
            }
        }
        for row in rows {
            let OrderRow { seq, tag, account, drawn, ended, .. } = row;
            let decision = decisions.remove(&seq).ok_or(DeskError::Journal(seq))?;
            let orders = &mut self.books.orders;
            orders.by_tag.insert(tag, Some(seq));
            orders.known.insert(seq, Known { seq, decision, account, drawn, ended });
        }
        Ok(())
    }

    /// What was taken for the tax debts that orders name, of their debtors' wallets.
    async fn read_debts(&mut self, requests: &[Request]) -> Result<(), DeskError> {
        let mut debts: BTreeSet<(u32, [u8; 32])> = BTreeSet::new();
        for request in requests {
            let Command::Order(OrderCommand::Decide(orders)) = &request.command else { continue };
            for intake in orders {
                let Some(debt) = intake.said.as_ref().ok().and_then(|order| order.debt) else { continue };
                self.books.orders.debts.insert(debt.tag);
                if let Some(Some(wallet)) = intake.wallet.and_then(|id| self.books.wallets.get(id)) {
                    debts.insert((wallet.account, debt.tag));
                }
            }
        }
        let debts: Vec<_> = debts.into_iter().collect();
        for (account, debt, taken) in self.store.collected(&debts).await? {
            self.books.orders.collect(account, debt, taken);
        }
        Ok(())
    }

    /// The orders that stand on wallets, and whose time ends: those whose time is over end before anything else is decided. Most
    /// wallets are not frozen and have nothing general that is held, and none stands on them.
    async fn read_ending(&mut self, named: Vec<WalletId>, choosing: &Choosing) -> Result<(), DeskError> {
        let mut accounts: Vec<u32> = Vec::new();
        let mut look = |orders: &mut crate::ledger::order_rules::Orders, wallet: Wallet| {
            orders.freezes.insert(wallet.account, BTreeSet::new());
            orders.ending.insert(wallet.account, BTreeMap::new());
            if wallet.frozen || wallet.general_held > 0 {
                accounts.push(wallet.account);
            }
        };
        for id in named {
            if let Some(Some(wallet)) = self.books.wallets.get(id) {
                look(&mut self.books.orders, wallet);
            }
        }
        for wallet in &choosing.1 {
            look(&mut self.books.orders, *wallet);
        }
        // Nothing that a rehearsal ends would stay so.
        if accounts.is_empty() || self.rehearsed.is_some() {
            return Ok(());
        }
        accounts.sort_unstable();
        accounts.dedup();
        let rows = self.store.standing_until(&accounts).await?;
        for row in &rows {
            let orders = &mut self.books.orders;
            if row.kind == Some(OrderKind::Freeze) {
                orders.freezes.entry(row.account).or_default().insert(row.seq);
            }
            orders.ending.entry(row.account).or_default().extend(row.expires.map(|end| (row.seq, end)));
        }
        self.know_orders(rows).await
    }

    /// What was counted lately of what commands will count.
    async fn read_usage(&mut self, requests: &[Request], choosing: &Choosing) -> Result<(), DeskError> {
        let mut counted: BTreeSet<Counted> = BTreeSet::new();
        for account in &choosing.0 {
            counted.extend([Counted::Wallet(*account), Counted::WalletCash(*account)]);
        }
        let sends_on = |request: &&Request| holder_of(request).is_some_and(|it| it.authorisation().is_some());
        let channels = requests.iter().filter(sends_on).map(|request| request.actor.client);
        counted.extend(channels.map(Counted::Choices));
        for command in requests.iter().filter_map(payment_of) {
            match command {
                PaymentCommand::Transfer { authorisation, .. }
                | PaymentCommand::CreateCash { authorisation, .. } => {
                    let Some(known) = self.books.authorisations.get(authorisation).copied() else { continue };
                    let Some(Some(wallet)) = self.books.wallets.get(known.wallet) else { continue };
                    let account = wallet.account;
                    counted.extend([Counted::Wallet(account), Counted::WalletCash(account)]);
                    counted.insert(Counted::Channel(known.channel));
                }
                PaymentCommand::Redeem { bank, terminal, .. } => {
                    let terminal = Counted::TriesOfTerminal(*bank, terminal.clone());
                    counted.extend([terminal, Counted::TriesOfBank(*bank), Counted::Tries]);
                }
                _ => {}
            }
        }
        let counted: Vec<Counted> = counted.into_iter().collect();
        let mut found: HashMap<String, _> = HashMap::new();
        for row in self.store.usage(&counted).await? {
            found.insert(row.counted.clone(), row);
        }
        for counted in counted {
            let newest = found.remove(&counted.to_string());
            self.books.usage.insert(counted, newest);
        }
        Ok(())
    }

    /// Which instructions are bound, which nonces are spent, and the store's head, in one read. A command that may overtake
    /// a commit binds no instruction.
    async fn read_standing(&mut self, requests: &[Request], settled: bool) -> Result<Head, DeskError> {
        let mut ids: BTreeSet<[u8; 16]> = BTreeSet::new();
        for request in requests.iter().filter(|_| settled) {
            ids.extend(request.actor.instruction);
            ids.extend(self.reference_of(request));
        }
        let ids: Vec<_> = ids.into_iter().collect();
        let nonces: Vec<Nonce> = requests.iter().filter_map(Request::nonce).collect();
        let standing = self.store.standing(&ids, &nonces).await?;
        let Standing { head, bound, spent } =
            standing.ok_or_else(|| StoreError::Schema("the book is gone".into()))?;
        self.spent = spent.into_iter().collect();
        for id in ids {
            self.books.instructions.insert(id, None);
        }
        let entries: Vec<u64> = bound.iter().map(|(_, seq)| *seq).collect();
        let leaves = self.read_leaves(&entries).await?;
        for (id, seq) in bound {
            let (content, hash) = leaves.get(&seq).cloned().ok_or(DeskError::Journal(seq))?;
            let kind = content.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            let bound = Bound { seq, kind, content, leaf_hash: Some(hash) };
            self.books.instructions.insert(id, Some(bound));
        }
        Ok(head)
    }

    /// The id, other than its instruction's, that a command would bind: of a bank reference, or of a consent.
    fn reference_of(&self, request: &Request) -> Option<[u8; 16]> {
        let proposal = match &request.command {
            Command::Payment(PaymentCommand::Authorise { consent, .. })
            | Command::Holder(HolderCommand::Choose { consent, .. }) => {
                return Some(consent_id(request.actor.client, &consent.evidence));
            }
            Command::Fund { bank_reference, .. } => return Some(bank_reference_id(bank_reference)),
            Command::Payment(PaymentCommand::SettleClearing { bank, direction, bank_reference, .. }) => {
                return Some(settlement_id(*bank, *direction, bank_reference));
            }
            Command::Order(OrderCommand::SettleLevy { authority, bank_reference, .. }) => {
                return Some(levy_settlement_id(*authority, bank_reference));
            }
            Command::Registry(RegistryCommand::RequestApproval(proposal)) => proposal,
            Command::Registry(RegistryCommand::GiveApproval { approval, .. }) => {
                &self.books.registry().approval(*approval)?.proposal
            }
            _ => return None,
        };
        match proposal {
            Proposal::Fund { bank_reference, .. } => Some(bank_reference_id(bank_reference)),
            _ => None,
        }
    }

    /// The members of leaves, and their hashes.
    async fn read_leaves(
        &self,
        entries: &[u64],
    ) -> Result<HashMap<u64, (Map<String, Value>, Hash)>, DeskError> {
        if entries.is_empty() {
            return Ok(HashMap::new());
        }
        let mut leaves = HashMap::with_capacity(entries.len());
        for (seq, bytes) in self.store.leaves(entries).await? {
            let members = serde_json::from_slice(&bytes).map_err(|_| DeskError::Journal(seq))?;
            leaves.insert(seq, (members, leaf_hash(&bytes)));
        }
        Ok(leaves)
    }

    async fn read_wallets(&mut self, mut wanted: Vec<WalletId>) -> Result<(), DeskError> {
        loop {
            let mut unknown: Vec<WalletId> =
                wanted.into_iter().filter_map(|id| self.books.wallets.missing(id)).collect();
            unknown.sort_unstable();
            unknown.dedup();
            if unknown.is_empty() {
                return Ok(());
            }
            let found = self.store.wallets(&unknown).await?;
            let leads = if self.books.leads {
                // Where no wallet is, or a closed one, the id may lead to another.
                let open = found.iter().filter(|(_, wallet)| wallet.state != WalletState::Closed);
                let open: HashSet<WalletId> = open.map(|(id, _)| *id).collect();
                let others: Vec<WalletId> = unknown.iter().copied().filter(|id| !open.contains(id)).collect();
                self.store.leads(&others).await?
            } else {
                Vec::new()
            };
            // Nothing is remembered before all of it is read: half of it would tell of a wallet that is none any more.
            for id in unknown {
                self.books.wallets.put(id, None);
            }
            for (id, wallet) in found {
                self.books.wallets.put(id, Some(wallet));
            }
            for (id, to) in &leads {
                self.books.wallets.lead(*id, *to);
            }
            wanted = leads.into_iter().map(|(_, to)| to).collect();
        }
    }

    async fn read_benefits(&mut self, wanted: BTreeSet<Benefit>, settled: bool) -> Result<(), DeskError> {
        if settled && self.books.benefits.len() > BENEFITS_MAX {
            self.books.benefits.retain(|benefit, _| wanted.contains(benefit));
        }
        let unknown: Vec<Benefit> =
            wanted.into_iter().filter(|benefit| !self.books.benefits.contains_key(benefit)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let found = self.store.benefits(&unknown).await?;
        for benefit in unknown {
            self.books.benefits.insert(benefit, roaring::RoaringBitmap::new());
        }
        self.books.benefits.extend(found);
        Ok(())
    }

    /// Whether lots of the wallet are looked at for an order. Most wallets have no free general money, and none are; but other
    /// commands of the batch may bring some.
    fn order_needs_lots(&mut self, order: &Order, wallet: WalletId) -> bool {
        let known = self.books.wallets.get(wallet).flatten();
        let is_bare = known.is_none_or(|known| known.general == known.general_held);
        !is_bare || order.lifts.is_some() || order.overpaid.is_some()
    }

    /// The wallets that others are to be merged into.
    fn merged_into(&self, requests: &[Request]) -> BTreeSet<WalletId> {
        let touched = requests.iter().filter_map(|it| Touched::of(&it.command, self.books.registry()));
        touched.filter_map(|touched| touched.merges).map(|(wallet, _)| wallet).collect()
    }

    async fn read_lots(&mut self, requests: &[Request]) -> Result<(), DeskError> {
        let mut wallets = self.merged_into(requests);
        let mut benefits: Vec<(WalletId, Benefit)> = Vec::new();
        let mut pay_outs: BTreeSet<u64> = BTreeSet::new();
        let benefit_of = |books: &Books, programme, period, part| {
            books.programme(programme).map(|programme| Benefit { programme: programme.number, period, part })
        };
        let others = requests.iter().any(|request| !matches!(request.command, Command::Order(_)));
        for request in requests {
            match &request.command {
                Command::Reverse { reversal, .. } => {
                    wallets.insert(reversal.wallet);
                    let benefit = benefit_of(&self.books, reversal.programme, reversal.period, reversal.part);
                    benefits.extend(benefit.map(|benefit| (reversal.wallet, benefit)));
                }
                Command::Chunk(chunk) => {
                    for line in &chunk.lines {
                        if let (Some(wallet), Ok(Line::Reversal(read))) = (line.wallet, &line.parsed.line) {
                            wallets.insert(wallet);
                            let benefit = benefit_of(&self.books, read.programme, read.period, read.part);
                            benefits.extend(benefit.map(|benefit| (wallet, benefit)));
                        }
                    }
                }
                Command::PayOut { wallet, .. } => {
                    wallets.insert(*wallet);
                }
                Command::Return { pay_out, .. } => {
                    pay_outs.insert(*pay_out);
                }
                Command::Order(OrderCommand::Decide(orders)) => {
                    for (order, wallet) in
                        orders.iter().filter_map(|intake| Some((intake.said.as_ref().ok()?, intake.wallet?)))
                    {
                        if others || self.order_needs_lots(order, wallet) {
                            wallets.insert(wallet);
                        }
                        let paid = order
                            .overpaid
                            .and_then(|paid| benefit_of(&self.books, paid.programme, paid.period, paid.part));
                        benefits.extend(paid.map(|benefit| (wallet, benefit)));
                    }
                }
                _ => {}
            }
        }
        // What an order holds is open.
        wallets.extend(self.books.orders.known.values().filter_map(|known| known.decision.wallet));
        let mut from: HashMap<WalletId, u32> = HashMap::new();
        for known in self.books.payments.values() {
            let first = first_drawn(known, self.books.wallets.led(known.wallet).is_some());
            let lowest = from.entry(known.wallet).or_insert(u32::MAX);
            *lowest = first.min(*lowest);
            wallets.insert(known.wallet);
        }
        wallets.extend(self.books.authorisations.values().map(|known| known.wallet));
        if !pay_outs.is_empty() {
            let entries: Vec<u64> = pay_outs.into_iter().collect();
            let found = self.store.pay_outs(&entries).await?;
            self.read_wallets(found.iter().map(|(_, pay_out)| pay_out.wallet).collect()).await?;
            for (entry, pay_out) in found {
                let first = pay_out.shares.iter().map(|share| share.lot).min().unwrap_or(u32::MAX);
                let lowest = from.entry(pay_out.wallet).or_insert(u32::MAX);
                *lowest = first.min(*lowest);
                wallets.insert(pay_out.wallet);
                self.books.pay_outs.insert(entry, pay_out);
            }
        }
        let mut open = Vec::new();
        for id in wallets {
            let Some(Some(wallet)) = self.books.wallets.get(id) else { continue };
            self.books.lots.entry(wallet.account).or_default();
            let first = if wallet.first_open_lot == 0 { wallet.version + 1 } else { wallet.first_open_lot };
            let first = first.min(from.get(&id).copied().unwrap_or(u32::MAX));
            if first <= wallet.version {
                open.push((wallet.account, first, wallet.version));
            }
        }
        if !open.is_empty() {
            for (account, lot) in self.store.lots(&open).await? {
                self.books.lots.entry(account).or_default().insert(lot.version, lot);
            }
        }
        let named: Vec<(u32, Benefit)> = benefits
            .into_iter()
            .filter_map(|(wallet, benefit)| Some((self.books.wallets.get(wallet)??.account, benefit)))
            .collect();
        if !named.is_empty() {
            for (account, lot) in self.store.lots_of_benefits(&named).await? {
                self.books.lots.entry(account).or_default().insert(lot.version, lot);
            }
        }
        if let Some(rehearsed) = &self.rehearsed {
            for (account, lots) in &mut self.books.lots {
                lots.extend(
                    rehearsed.lots.get(account).into_iter().flatten().map(|(version, lot)| (*version, *lot)),
                );
            }
        }
        Ok(())
    }

    /// Reads the earlier verdicts of lines that come again, and what was accepted then.
    async fn read_prior(&mut self, chunk: &Chunk) -> Result<(), DeskError> {
        let lines = chunk.lines.len() as u64;
        let Some(batch) = self.books.batches.get(&chunk.batch) else { return Ok(()) };
        if !batch.received.overlaps(chunk.first_line, lines) {
            return Ok(());
        }
        let last = chunk.first_line + lines - 1;
        let rows = self.store.chunks(batch.number, chunk.first_line, last).await?;
        let mut priors: HashMap<u64, Prior> = HashMap::new();
        for row in rows {
            for (line, bytes) in (row.first_line..).zip(row.verdicts.chunks(VERDICT_BYTES)) {
                if (chunk.first_line..=last).contains(&line) {
                    let verdict = LineVerdict::load(bytes).ok_or(StoreError::Inconsistent {
                        table: "batch_entry",
                        column: "verdicts",
                        found: format!("line {line}"),
                    })?;
                    let from = (row.digest, row.first_line);
                    let origin = match (priors.get(&line), verdict.verdict) {
                        // A later row may carry the line's verdict over from the chunk that made it.
                        (Some(before), Verdict::Accepted { .. })
                            if before.line.verdict == verdict.verdict =>
                        {
                            before.chunk
                        }
                        _ => from,
                    };
                    priors.insert(line, Prior { line: verdict, chunk: origin, content: None });
                }
            }
        }
        let same = (chunk.digest, chunk.first_line);
        let other = |prior: &Prior| match prior.line.verdict {
            Verdict::Accepted { entry } if prior.chunk != same => Some(entry),
            _ => None,
        };
        let entries: Vec<u64> = priors.values().filter_map(other).collect();
        let leaves = self.read_leaves(&entries).await?;
        for (line, mut prior) in priors {
            prior.content =
                other(&prior).and_then(|entry| leaves.get(&entry)).map(|(members, _)| members.clone());
            self.books.prior.insert((chunk.batch, line), prior);
        }
        Ok(())
    }
}

/// What a batch of commands names.
struct Wanted {
    wallets: Vec<WalletId>,
    /// Those of them that commands are about which credit nothing.
    named: Vec<WalletId>,
    benefits: BTreeSet<Benefit>,
    accruals: Vec<(WalletId, Benefit)>,
}

impl Wanted {
    fn of(requests: &[Request], books: &Books) -> Self {
        let mut wanted =
            Self { wallets: Vec::new(), named: Vec::new(), benefits: BTreeSet::new(), accruals: Vec::new() };
        for request in requests {
            match &request.command {
                Command::Chunk(chunk) => {
                    for line in &chunk.lines {
                        let Some(wallet) = line.wallet else { continue };
                        wanted.wallets.push(wallet);
                        if let Ok(Line::Accrual(read)) = &line.parsed.line {
                            wanted.accrual(books, wallet, read.programme, read.period, read.part);
                        }
                    }
                }
                Command::Accrue { accrual, .. } => {
                    wanted.wallets.push(accrual.wallet);
                    wanted.accrual(books, accrual.wallet, accrual.programme, accrual.period, accrual.part);
                }
                Command::Reverse { reversal, .. } => wanted.named.push(reversal.wallet),
                Command::OpenWallet { wallet, .. }
                | Command::PayOut { wallet, .. }
                | Command::Payment(PaymentCommand::Authorise { wallet, .. }) => wanted.named.push(*wallet),
                Command::ChangeState(record) => wanted.named.push(record.wallet()),
                Command::Holder(_) | Command::Registry(_) => {
                    let touched = Touched::of(&request.command, books.registry());
                    wanted.named.extend(touched.into_iter().flat_map(|touched| touched.wallets));
                }
                Command::Order(OrderCommand::Decide(orders)) => {
                    wanted.named.extend(orders.iter().filter_map(|intake| intake.wallet));
                }
                _ => {}
            }
        }
        // Those of the authorisations and payments that commands name.
        wanted.named.extend(books.authorisations.values().map(|known| known.wallet));
        wanted.named.extend(books.payments.values().map(|known| known.wallet));
        wanted.named.extend(books.orders.known.values().filter_map(|known| known.decision.wallet));
        wanted.wallets.extend(&wanted.named);
        wanted
    }

    fn accrual(
        &mut self,
        books: &Books,
        wallet: WalletId,
        programme: crate::domain::ProgrammeCode,
        period: crate::domain::Period,
        part: crate::domain::Part,
    ) {
        if let Some(programme) = books.programme(programme) {
            let benefit = Benefit { programme: programme.number, period, part };
            // Most lines of a payroll name the benefit of the line before.
            if self.accruals.last().is_none_or(|(_, last)| *last != benefit) {
                self.benefits.insert(benefit);
            }
            self.accruals.push((wallet, benefit));
        }
    }
}

fn batch_of(command: &Command) -> Option<BatchId> {
    match command {
        Command::OpenBatch(declaration) => Some(declaration.batch),
        Command::ReleaseBatch(id) | Command::CloseBatch(id) | Command::CancelBatch(id) => Some(*id),
        Command::Chunk(chunk) => Some(chunk.batch),
        _ => None,
    }
}

fn payment_of(request: &Request) -> Option<&PaymentCommand> {
    match &request.command {
        Command::Payment(command) => Some(command),
        _ => None,
    }
}

fn holder_of(request: &Request) -> Option<&HolderCommand> {
    match &request.command {
        Command::Holder(command) => Some(command),
        _ => None,
    }
}

/// The first lot, by its version, that a payment may have drawn. Where lots were moved to from a merged wallet, their versions there
/// are not known.
fn first_drawn(known: &Payment, is_moved: bool) -> u32 {
    known.drawn.iter().map(|drawn| if is_moved { 1 } else { drawn.0 }).min().unwrap_or(u32::MAX)
}
