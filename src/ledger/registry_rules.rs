//! Who may be a client, which keys it has, and what two operators must agree on.
//!
//! | record | who may | refused when |
//! |---|---|---|
//! | `operators_bootstrapped` | whoever holds the book's keys, once | somebody is registered; fewer than two operators; an operator or a key comes twice; an operator is called `system`, as the service itself is |
//! | `client_registered` | an operator; of an operator or an authority, two | the id is taken, as `system` always is; the scope does not fit the role |
//! | `client_key_added` | an operator, or the client; another operator's or an authority's, two | the client is unknown; the key was ever registered; the client has [`KEYS_MAX`] |
//! | `client_key_revoked` | an operator, or the client | the key is unknown or revoked; fewer than two operators would have a key |
//! | `client_suspended`, `client_reinstated` | an operator, not for itself | the client is unknown, or is so already; no operator would be left |
//! | `approval_requested` | an operator | what it asks for would be refused |
//! | `approval_given` | another operator, then in the next entry what it approves | it has ended or expired; another digest; it would be refused now |
//! | `approval_closed` | an operator: `withdrawn` by who asked, `refused` by another | it has ended |
//! | `programme_class_changed` | two operators | the programme is unknown; the class is the same |
//! | `limits_set` | two operators | they are the same |
//! | `number_added`, `wallets_merged` | two operators: one of them alone would move any wallet's money to another | see `person.rs` |
//! | `rules_set` | two operators; the first, the service itself | the table is unsound, or the same |
//!
//! From the first operators on, funding a programme takes two of them as well. Before, the book is one that is being set up:
//! nobody can be told apart, and the journal says so.
//!
//! What two must agree on is written by the entry right after its `approval_given`, in the same commit and by the same
//! client; a replay refuses such an entry anywhere else.

#![allow(clippy::needless_pass_by_value)] // an `Entry` is used up by the rule that writes it

use std::collections::BTreeSet;

use crate::domain::{ClientId, FundClass, KeyId, ProgrammeCode, PublicKey, Reason, Role, Scope};

use super::books::{Books, Fault, Ruling};
use super::effects::NewClass;
use super::payment::Limits;
use super::record::{Actor, Record};
use super::refusal::{Refusal, RefusalCode as Code};
use super::registry::{
    APPROVAL_LIFETIME, Approval, ApprovalOutcome, Change, Founder, KEYS_MAX, OPERATORS_MAX, OPERATORS_MIN,
    Proposal, Registry, RegistryChange,
};
use super::rules::{Entry, Person};

fn refuse<T>(code: Code, field: &'static str) -> Ruling<T> {
    Err(Refusal::of(code, field).into())
}

/// Whether a client would bear the name under which the service itself acts: the journal could not tell them apart.
fn is_the_service(client: &ClientId) -> bool {
    client.as_str() == super::cash_rules::SYSTEM
}

impl Books {
    /// Who may call.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Puts what the store says of the clients into the books: all changes, in order.
    pub fn load_registry(&mut self, changes: &[RegistryChange]) {
        self.registry = Registry::of(changes);
    }

    fn change(&mut self, entry: Entry<'_>, change: Change) -> u64 {
        let seq = self.write(entry.fx, change.clone().into(), entry.actor);
        let change = RegistryChange { seq, by: entry.actor.client, change };
        self.registry.apply(&change);
        entry.fx.registry.push(change);
        seq
    }

    /// Only an operator that is not suspended.
    pub(super) fn need_operator(&self, actor: &Actor) -> Ruling<()> {
        match self.registry.client(actor.client) {
            Some(known) if known.client.role == Role::Operator && !known.client.suspended => Ok(()),
            _ => refuse(Code::OperatorRequired, "client"),
        }
    }

    /// Only what another operator has approved in the entry before. A book without clients has no two to ask.
    pub(super) fn need_approval(&self, actor: &Actor, proposal: &Proposal) -> Ruling<()> {
        let approved = self.registry.approved.as_ref();
        if self.registry.is_empty()
            || approved.is_some_and(|(by, what)| *by == actor.client && what == proposal)
        {
            return Ok(());
        }
        refuse(Code::ApprovalRequired, "approval")
    }

    /// Gives a new book its operators.
    pub fn bootstrap(&mut self, entry: Entry<'_>, operators: Vec<Founder>) -> Ruling<u64> {
        if let Some(first) = self.registry.clients().next() {
            return Err(Refusal::of(Code::BookBootstrapped, "operators").by(first.seq).into());
        }
        let clients: BTreeSet<ClientId> = operators.iter().map(|founder| founder.client).collect();
        let keys: BTreeSet<PublicKey> = operators.iter().map(|founder| founder.public_key).collect();
        if clients.len() < operators.len() || clients.iter().any(is_the_service) {
            return refuse(Code::ClientExists, "operators");
        }
        if keys.len() < operators.len() {
            return refuse(Code::KeyExists, "operators");
        }
        if !(OPERATORS_MIN..=OPERATORS_MAX).contains(&operators.len()) {
            return refuse(Code::OperatorsTooFew, "operators");
        }
        Ok(self.change(entry, Change::OperatorsBootstrapped { operators }))
    }

    fn check_register(&self, client: ClientId, role: Role, scope: Option<Scope>) -> Ruling<()> {
        if let Some(known) = self.registry.client(client) {
            return Err(Refusal::of(Code::ClientExists, "client").by(known.seq).into());
        }
        if is_the_service(&client) {
            return refuse(Code::ClientExists, "client");
        }
        if scope.is_none() {
            let field = if role == Role::Bank { "bic" } else { "bin" };
            return refuse(Code::ScopeMismatch, field);
        }
        Ok(())
    }

    /// Registers a client. An operator and an authority take two operators.
    pub fn register_client(
        &mut self,
        entry: Entry<'_>,
        client: ClientId,
        role: Role,
        scope: Scope,
    ) -> Ruling<u64> {
        let (bin, bic, issuer) = (scope.bin(), scope.bic(), scope.issuer());
        let fits = Scope::of(role, bin, bic, issuer).ok().filter(|fits| *fits == scope);
        self.check_register(client, role, fits)?;
        self.need_operator(&entry.actor)?;
        if matches!(role, Role::Operator | Role::Authority) {
            self.need_approval(&entry.actor, &Proposal::RegisterClient { client, role, bin, bic, issuer })?;
        }
        Ok(self.change(entry, Change::ClientRegistered { client, role, bin, bic, issuer }))
    }

    fn check_key(&self, client: ClientId, public_key: PublicKey) -> Ruling<Role> {
        let Some(known) = self.registry.client(client) else { return refuse(Code::ClientUnknown, "client") };
        // Also a key of another client: two clients with one key would be one that approves what it asked for.
        let taken = self.registry.owner(&public_key).is_some();
        if taken || self.registry.key(&KeyId::of(client, &public_key)).is_some() {
            return refuse(Code::KeyExists, "public_key");
        }
        if known.live_keys().count() >= KEYS_MAX {
            return refuse(Code::KeysTooMany, "public_key");
        }
        Ok(known.client.role)
    }

    /// Gives a client a further key. Whoever could give an operator a key could be that operator: so that takes two, unless
    /// it is the client's own word.
    pub fn add_key(&mut self, entry: Entry<'_>, client: ClientId, public_key: PublicKey) -> Ruling<u64> {
        let role = self.check_key(client, public_key)?;
        if !self.is_own(&entry.actor, client) {
            self.need_operator(&entry.actor)?;
            if matches!(role, Role::Operator | Role::Authority) {
                self.need_approval(&entry.actor, &Proposal::AddKey { client, public_key })?;
            }
        }
        let key = KeyId::of(client, &public_key);
        Ok(self.change(entry, Change::ClientKeyAdded { client, key, public_key }))
    }

    /// Whether a client speaks for itself.
    fn is_own(&self, actor: &Actor, client: ClientId) -> bool {
        actor.client == client && self.registry.client(client).is_some_and(|known| !known.client.suspended)
    }

    /// Revokes a key: nothing signed with it is accepted after this entry.
    pub fn revoke_key(&mut self, entry: Entry<'_>, id: KeyId) -> Ruling<u64> {
        let Some((client, key)) = self.registry.key(&id) else { return refuse(Code::KeyUnknown, "key") };
        let (client, revoked) = (*client, key.revoked);
        if !self.is_own(&entry.actor, client.id) {
            self.need_operator(&entry.actor)?;
        }
        if let Some(seq) = revoked {
            return Err(Refusal::of(Code::KeyRevoked, "key").by(seq).into());
        }
        let last = self.registry.client(client.id).is_some_and(|known| known.live_keys().count() == 1);
        // Two must be left who can approve a key for the one that has none.
        if client.role == Role::Operator
            && last
            && self.registry.other_operators(client.id, true) < OPERATORS_MIN
        {
            return refuse(Code::OperatorsTooFew, "key");
        }
        Ok(self.change(entry, Change::ClientKeyRevoked { key: id }))
    }

    /// Suspends a client, or lets it in again.
    pub fn set_suspended(
        &mut self,
        entry: Entry<'_>,
        client: ClientId,
        suspended: bool,
        reason: Reason,
    ) -> Ruling<u64> {
        let Some(known) = self.registry.client(client) else { return refuse(Code::ClientUnknown, "client") };
        let known = known.client;
        self.need_operator(&entry.actor)?;
        if known.suspended == suspended {
            return refuse(Code::ClientStateUnchanged, "client");
        }
        // Who suspends is left, and can reinstate; nobody can lock everybody out.
        if entry.actor.client == client || self.registry.other_operators(client, false) == 0 {
            return refuse(Code::OperatorsTooFew, "client");
        }
        let change = if suspended {
            Change::ClientSuspended { client, reason }
        } else {
            Change::ClientReinstated { client, reason }
        };
        Ok(self.change(entry, change))
    }

    /// Whether a proposal could be carried out now.
    fn check(&mut self, proposal: &Proposal) -> Ruling<()> {
        match proposal {
            Proposal::RegisterClient { client, role, bin, bic, issuer } => {
                self.check_register(*client, *role, Scope::of(*role, *bin, *bic, *issuer).ok())
            }
            Proposal::AddKey { client, public_key } => self.check_key(*client, *public_key).map(drop),
            Proposal::ChangeClass { programme, class } => self.check_class(*programme, *class).map(drop),
            Proposal::Fund { programme, amount, bank_reference } => {
                self.check_fund(*programme, *amount, bank_reference).map(drop)
            }
            Proposal::SetLimits { limits } => self.check_limits(*limits),
            Proposal::SetRules { rules } => self.check_rules(rules),
            Proposal::MergeWallets { wallet, merged, .. } => self.check_merge(*wallet, *merged).map(drop),
            Proposal::AddNumber { wallet, leads, .. } => self.check_number(*wallet, *leads).map(drop),
        }
    }

    fn check_limits(&self, limits: Limits) -> Ruling<()> {
        if self.registry.limits() == limits { refuse(Code::LimitsUnchanged, "limits") } else { Ok(()) }
    }

    /// Holds payments to other limits from now on. It takes two operators.
    pub fn set_limits(&mut self, entry: Entry<'_>, limits: Limits) -> Ruling<u64> {
        self.check_limits(limits)?;
        self.need_approval(&entry.actor, &Proposal::SetLimits { limits })?;
        Ok(self.change(entry, Change::LimitsSet { limits }))
    }

    /// Asks another operator to approve.
    pub fn request_approval(&mut self, entry: Entry<'_>, proposal: Proposal) -> Ruling<u64> {
        self.check(&proposal)?;
        self.need_operator(&entry.actor)?;
        let expires = entry.stamp.at + APPROVAL_LIFETIME;
        let digest = proposal.digest();
        Ok(self.change(entry, Change::ApprovalRequested { proposal, digest, expires }))
    }

    /// A request for an approval that has not ended.
    fn open_approval(&self, seq: u64) -> Ruling<&Approval> {
        match self.registry.approval(seq) {
            None => refuse(Code::ApprovalUnknown, "approval"),
            Some(Approval { end: Some((_, end, _)), .. }) => {
                Err(Refusal::of(Code::ApprovalEnded, "approval").by(*end).into())
            }
            Some(approval) => Ok(approval),
        }
    }

    /// Approves: [`Books::carry_out`] must write the next entry.
    pub fn give_approval(&mut self, entry: Entry<'_>, seq: u64, digest: [u8; 32]) -> Ruling<Proposal> {
        let approval = self.open_approval(seq)?.clone();
        if approval.digest != digest {
            return refuse(Code::ApprovalDigestMismatch, "digest");
        }
        self.need_operator(&entry.actor)?;
        // Who asked must still be one whose word counts.
        self.need_operator(&Actor { client: approval.by, ..entry.actor })?;
        if approval.by == entry.actor.client {
            return refuse(Code::ApprovalSelf, "approval");
        }
        if entry.stamp.at > approval.expires {
            return refuse(Code::ApprovalExpired, "approval");
        }
        self.check(&approval.proposal)?;
        let client = entry.actor.client;
        self.change(entry, Change::ApprovalGiven { approval: seq, digest });
        self.registry.approved = Some((client, approval.proposal.clone()));
        Ok(approval.proposal)
    }

    /// Carries out what was just approved. `sealed_iin`: the number that is added, encrypted; empty if none is.
    pub fn carry_out(&mut self, entry: Entry<'_>, proposal: Proposal, sealed_iin: Vec<u8>) -> Ruling<u64> {
        let done = match proposal {
            Proposal::RegisterClient { client, role, bin, bic, issuer } => {
                match Scope::of(role, bin, bic, issuer) {
                    Ok(scope) => self.register_client(entry, client, role, scope),
                    Err(_) => refuse(Code::ScopeMismatch, "role"),
                }
            }
            Proposal::AddKey { client, public_key } => self.add_key(entry, client, public_key),
            Proposal::ChangeClass { programme, class } => self.change_class(entry, programme, class),
            Proposal::Fund { programme, amount, bank_reference } => {
                self.fund(entry, programme, amount, bank_reference)
            }
            Proposal::SetLimits { limits } => self.set_limits(entry, limits),
            Proposal::SetRules { rules } => self.set_rules(entry, *rules),
            Proposal::MergeWallets { wallet, merged, document } => {
                self.merge(entry, wallet, merged, document)
            }
            Proposal::AddNumber { wallet, leads, person, document } => {
                self.add_number(entry, wallet, leads, Person { tag: person, sealed_iin }, document)
            }
        };
        // The approval is written: nothing may be refused any more.
        done.map_err(|_| Fault::Unread("what an approved command needs"))
    }

    /// Ends a request: withdrawn by who asked, refused by another operator.
    pub fn close_approval(&mut self, entry: Entry<'_>, seq: u64, reason: Reason) -> Ruling<u64> {
        let by = self.open_approval(seq)?.by;
        self.need_operator(&entry.actor)?;
        let withdrawn = by == entry.actor.client;
        let outcome = if withdrawn { ApprovalOutcome::Withdrawn } else { ApprovalOutcome::Refused };
        Ok(self.change(entry, Change::ApprovalClosed { approval: seq, outcome, reason }))
    }

    fn check_class(&self, programme: ProgrammeCode, class: FundClass) -> Ruling<usize> {
        let Some(&place) = self.programme_by_code.get(&programme) else {
            return refuse(Code::ProgrammeUnknown, "programme");
        };
        if self.programmes[place].spec.class == class {
            return refuse(Code::ClassUnchanged, "class");
        }
        self.check_general(class)?;
        Ok(place)
    }

    /// Changes the class of what a programme credits from now on. Lots keep theirs: class follows money.
    pub fn change_class(
        &mut self,
        entry: Entry<'_>,
        programme: ProgrammeCode,
        class: FundClass,
    ) -> Ruling<u64> {
        let place = self.check_class(programme, class)?;
        self.need_approval(&entry.actor, &Proposal::ChangeClass { programme, class })?;
        let seq = self.write(entry.fx, Record::ProgrammeClassChanged { programme, class }, entry.actor);
        let known = &mut self.programmes[place];
        known.spec.class = class;
        entry.fx.classes.push(NewClass { seq, programme: known.number, class });
        Ok(seq)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::time::Stamp;
    use crate::domain::{Amount, BankReference, Bic, Bin, LegalBasis, Names, Text};
    use crate::ledger::account::SystemAccount;
    use crate::ledger::effects::Effects;
    use crate::ledger::order::RuleTable;
    use crate::ledger::record::ProgrammeSpec;
    use crate::ledger::replay::Replay;

    const NOW: i64 = 1_795_294_280_123;

    fn client(id: &str) -> ClientId {
        ClientId::parse(id).unwrap()
    }

    fn key(number: u8) -> PublicKey {
        let secret = ed25519_dalek::SigningKey::from_bytes(&[number; 32]);
        PublicKey::from_bytes(secret.verifying_key().to_bytes()).unwrap()
    }

    fn asp() -> ProgrammeCode {
        ProgrammeCode::parse(b"ASP").unwrap()
    }

    fn reason() -> Reason {
        Reason::parse("as decided").unwrap()
    }

    /// Books, and a replay that follows them entry by entry: it must let through what the rules did, and end as they did.
    struct World {
        books: Books,
        replay: Replay,
        stamp: Stamp,
    }

    impl World {
        /// With one programme, registered while nobody is.
        fn new() -> Self {
            let stamp = Stamp::of(NOW).unwrap();
            let mut world = Self { books: Books::whole(), replay: Replay::default(), stamp };
            world
                .by("setup", |books, entry| {
                    books.open_book(entry);
                    Ok(0)
                })
                .unwrap();
            let name = |text| Text::parse(text).unwrap();
            let spec = ProgrammeSpec {
                code: asp(),
                names: Names { kk: name("А"), ru: name("А"), en: name("A") },
                payer: Bin::parse(b"940140000385").unwrap(),
                legal_basis: LegalBasis::parse("law").unwrap(),
                class: FundClass::Protected,
                knp: None,
                kbe: None,
                iso_purpose: None,
            };
            world.by("setup", |books, entry| books.register_programme(entry, spec)).unwrap();
            world
        }

        /// With the operators `a` and `b`, who have the keys 1 and 2.
        fn bootstrapped() -> Self {
            let mut world = Self::new();
            world.bootstrap(&[("a", 1), ("b", 2)]).unwrap();
            world
        }

        fn by(
            &mut self,
            by: &str,
            rule: impl FnOnce(&mut Books, Entry<'_>) -> Ruling<u64>,
        ) -> Result<u64, Code> {
            let actor = Actor { client: client(by), request: [0; 32], line: None, instruction: None };
            let mut fx = Effects::default();
            let before = (self.books.size, self.books.registry.clone());
            match rule(&mut self.books, Entry { fx: &mut fx, stamp: self.stamp, actor }) {
                Ok(seq) => {
                    for (record, actor) in fx.records {
                        self.replay.apply(&mut Effects::default(), self.stamp, actor, record).unwrap();
                    }
                    self.replay.finish().unwrap();
                    assert_eq!(self.replay.books.registry, self.books.registry);
                    Ok(seq)
                }
                Err(Fault::Refused(refusal)) => {
                    assert!(fx.is_empty() && fx.registry.is_empty(), "a refusal writes nothing");
                    assert_eq!((self.books.size, &self.books.registry), (before.0, &before.1));
                    Err(refusal.code)
                }
                Err(fault) => panic!("{fault:?}"),
            }
        }

        fn bootstrap(&mut self, operators: &[(&str, u8)]) -> Result<u64, Code> {
            let founder =
                |(id, number): &(&str, u8)| Founder { client: client(id), public_key: key(*number) };
            let operators: Vec<_> = operators.iter().map(founder).collect();
            self.by("setup", |books, entry| books.bootstrap(entry, operators))
        }

        fn register(&mut self, by: &str, id: &str, role: Role, scope: Scope) -> Result<u64, Code> {
            self.by(by, |books, entry| books.register_client(entry, client(id), role, scope))
        }

        fn add_key(&mut self, by: &str, id: &str, number: u8) -> Result<u64, Code> {
            self.by(by, |books, entry| books.add_key(entry, client(id), key(number)))
        }

        fn revoke(&mut self, by: &str, id: &str, number: u8) -> Result<u64, Code> {
            let key = KeyId::of(client(id), &key(number));
            self.by(by, |books, entry| books.revoke_key(entry, key))
        }

        fn suspend(&mut self, by: &str, id: &str, suspended: bool) -> Result<u64, Code> {
            self.by(by, |books, entry| books.set_suspended(entry, client(id), suspended, reason()))
        }

        fn request(&mut self, by: &str, proposal: &Proposal) -> Result<u64, Code> {
            self.by(by, |books, entry| books.request_approval(entry, proposal.clone()))
        }

        fn approve(&mut self, by: &str, approval: u64, proposal: &Proposal) -> Result<u64, Code> {
            let digest = proposal.digest();
            self.by(by, |books, Entry { fx, stamp, actor }| {
                let proposal = books.give_approval(Entry { fx, stamp, actor }, approval, digest)?;
                books.carry_out(Entry { fx, stamp, actor }, proposal, Vec::new())
            })
        }

        /// What two operators do.
        fn agree(&mut self, proposal: &Proposal) -> Result<u64, Code> {
            let approval = self.request("a", proposal)?;
            self.approve("b", approval, proposal)
        }

        fn close(&mut self, by: &str, approval: u64) -> Result<u64, Code> {
            self.by(by, |books, entry| books.close_approval(entry, approval, reason()))
        }
    }

    fn funding(tenge: i64, reference: &str) -> Proposal {
        let amount = Amount::from_tiyn(tenge * 100).unwrap();
        Proposal::Fund { programme: asp(), amount, bank_reference: BankReference::parse(reference).unwrap() }
    }

    fn operator(id: &str) -> Proposal {
        Proposal::RegisterClient {
            client: client(id),
            role: Role::Operator,
            bin: None,
            bic: None,
            issuer: None,
        }
    }

    fn state(world: &World, id: &str) -> bool {
        world.books.registry.client(client(id)).unwrap().client.suspended
    }

    #[test]
    fn a_book_is_bootstrapped_once_with_two_operators_or_more() {
        let mut world = World::new();
        assert_eq!(world.register("a", "x", Role::Auditor, Scope::Book), Err(Code::OperatorRequired));
        assert_eq!(world.bootstrap(&[]), Err(Code::OperatorsTooFew));
        assert_eq!(world.bootstrap(&[("a", 1)]), Err(Code::OperatorsTooFew));
        assert_eq!(world.bootstrap(&[("a", 1), ("a", 2)]), Err(Code::ClientExists));
        assert_eq!(world.bootstrap(&[("a", 1), ("system", 2)]), Err(Code::ClientExists), "the service's own");
        assert_eq!(world.bootstrap(&[("a", 1), ("b", 1)]), Err(Code::KeyExists), "one key is one person");
        let names: Vec<String> = (0..=OPERATORS_MAX).map(|number| format!("op{number}")).collect();
        let many: Vec<(&str, u8)> = names.iter().map(String::as_str).zip(1..).collect();
        assert_eq!(world.bootstrap(&many), Err(Code::OperatorsTooFew), "one more than may be");
        let mut largest = World::new();
        largest.bootstrap(&many[1..]).unwrap();
        world.bootstrap(&[("a", 1), ("b", 2)]).unwrap();
        assert_eq!(world.bootstrap(&[("c", 3), ("d", 4)]), Err(Code::BookBootstrapped));
    }

    #[test]
    fn an_operator_registers_clients_but_operators_and_authorities_take_two() {
        let mut world = World::bootstrapped();
        let bin = Bin::parse(b"940140000385").unwrap();
        let bic = Bic::parse(b"CASPKZKA").unwrap();
        world.register("a", "payer", Role::Payer, Scope::Payer(bin)).unwrap();
        world.register("a", "bank", Role::Bank, Scope::Bank(bic)).unwrap();
        world.register("a", "auditor", Role::Auditor, Scope::Book).unwrap();
        assert_eq!(world.register("a", "payer", Role::Auditor, Scope::Book), Err(Code::ClientExists));
        assert_eq!(world.register("a", "system", Role::Auditor, Scope::Book), Err(Code::ClientExists));
        let system = operator("system");
        assert_eq!(world.request("a", &system), Err(Code::ClientExists), "nor by two operators");
        assert_eq!(world.register("a", "x", Role::Payer, Scope::Book), Err(Code::ScopeMismatch));
        assert_eq!(world.register("a", "x", Role::Bank, Scope::Payer(bin)), Err(Code::ScopeMismatch));
        assert_eq!(world.register("payer", "x", Role::Auditor, Scope::Book), Err(Code::OperatorRequired));
        assert_eq!(world.register("nobody", "x", Role::Auditor, Scope::Book), Err(Code::OperatorRequired));
        assert_eq!(world.register("a", "c", Role::Operator, Scope::Book), Err(Code::ApprovalRequired));
        let authority = Scope::Authority(bin, crate::domain::Issuer::Bailiff);
        assert_eq!(world.register("a", "court", Role::Authority, authority), Err(Code::ApprovalRequired));
        world.agree(&operator("c")).unwrap();
        assert_eq!(world.books.registry.client(client("c")).unwrap().client.role, Role::Operator);
    }

    #[test]
    fn what_takes_two_is_never_done_by_one() {
        let mut world = World::bootstrapped();
        let proposal = funding(100, "R1");
        let fund = |books: &mut Books, entry: Entry<'_>| {
            let reference = BankReference::parse("R1").unwrap();
            books.fund(entry, asp(), Amount::from_tiyn(10_000).unwrap(), reference)
        };
        assert_eq!(world.by("a", fund), Err(Code::ApprovalRequired));
        let approval = world.request("a", &proposal).unwrap();
        assert_eq!(world.by("b", fund), Err(Code::ApprovalRequired), "a request alone is no approval");
        assert_eq!(world.approve("a", approval, &proposal), Err(Code::ApprovalSelf));
        assert_eq!(world.approve("b", approval, &funding(101, "R1")), Err(Code::ApprovalDigestMismatch));
        assert_eq!(world.approve("nobody", approval, &proposal), Err(Code::OperatorRequired));
        assert_eq!(world.approve("b", approval + 1, &proposal), Err(Code::ApprovalUnknown));
        world.approve("b", approval, &proposal).unwrap();
        let place = world.books.system_by_account[&SystemAccount::Funding(asp())];
        assert_eq!(world.books.system[place].balance(), 10_000);
        assert_eq!(world.approve("b", approval, &proposal), Err(Code::ApprovalEnded), "never twice");
        assert_eq!(world.by("b", fund), Err(Code::BankReferenceUsed));
        assert_eq!(world.request("a", &proposal), Err(Code::BankReferenceUsed));
    }

    #[test]
    fn an_approval_is_refused_withdrawn_or_expires_at_its_limit() {
        let mut world = World::bootstrapped();
        let proposal = funding(100, "R1");
        let [refused, withdrawn, late] = [0; 3].map(|_| world.request("a", &proposal).unwrap());
        world.close("b", refused).unwrap();
        world.close("a", withdrawn).unwrap();
        let outcome = |world: &World, seq| world.books.registry.approval(seq).unwrap().end.unwrap().0;
        assert_eq!(outcome(&world, refused), ApprovalOutcome::Refused);
        assert_eq!(outcome(&world, withdrawn), ApprovalOutcome::Withdrawn);
        assert_eq!(world.close("a", refused), Err(Code::ApprovalEnded));
        assert_eq!(world.approve("b", withdrawn, &proposal), Err(Code::ApprovalEnded));
        world.stamp = Stamp::of(NOW + APPROVAL_LIFETIME + 1).unwrap();
        assert_eq!(world.approve("b", late, &proposal), Err(Code::ApprovalExpired));
        for before_limit in [0, 1] {
            let mut world = World::bootstrapped();
            let approval = world.request("a", &proposal).unwrap();
            world.stamp = Stamp::of(NOW + APPROVAL_LIFETIME - before_limit).unwrap();
            world.approve("b", approval, &proposal).unwrap();
        }
    }

    #[test]
    fn an_approval_does_not_outlive_the_trust_in_who_asked_nor_what_has_changed() {
        let mut world = World::bootstrapped();
        world.agree(&operator("c")).unwrap();
        let approval = world.request("a", &funding(1, "R1")).unwrap();
        world.suspend("b", "a", true).unwrap();
        assert_eq!(world.approve("b", approval, &funding(1, "R1")), Err(Code::OperatorRequired));
        world.suspend("b", "a", false).unwrap();
        let again = world.request("a", &funding(1, "R1")).unwrap();
        world.approve("b", approval, &funding(1, "R1")).unwrap();
        assert_eq!(world.approve("b", again, &funding(1, "R1")), Err(Code::BankReferenceUsed));
    }

    #[test]
    fn a_key_is_one_clients_for_ever_and_another_operators_takes_two() {
        let mut world = World::bootstrapped();
        world.register("a", "auditor", Role::Auditor, Scope::Book).unwrap();
        world.add_key("a", "auditor", 3).unwrap();
        world.add_key("auditor", "auditor", 4).unwrap();
        assert_eq!(world.add_key("auditor", "a", 5), Err(Code::OperatorRequired));
        assert_eq!(world.add_key("a", "b", 5), Err(Code::ApprovalRequired), "who has b's key is b");
        world.add_key("b", "b", 5).unwrap();
        assert_eq!(world.add_key("a", "auditor", 1), Err(Code::KeyExists), "the key of another client");
        assert_eq!(world.add_key("a", "nobody", 9), Err(Code::ClientUnknown));
        world.revoke("auditor", "auditor", 3).unwrap();
        assert_eq!(world.add_key("a", "auditor", 3), Err(Code::KeyExists), "a revoked key never comes back");
        assert_eq!(world.revoke("a", "auditor", 3), Err(Code::KeyRevoked));
        assert_eq!(world.revoke("a", "auditor", 9), Err(Code::KeyUnknown));
        assert_eq!(world.revoke("auditor", "a", 1), Err(Code::OperatorRequired));
        let proposal = Proposal::AddKey { client: client("b"), public_key: key(6) };
        world.agree(&proposal).unwrap();
        assert_eq!(world.books.registry.client(client("b")).unwrap().live_keys().count(), 3);
    }

    #[test]
    fn a_client_has_keys_up_to_the_limit() {
        let mut world = World::bootstrapped();
        world.register("a", "auditor", Role::Auditor, Scope::Book).unwrap();
        let last = 10 + u8::try_from(KEYS_MAX).unwrap();
        for number in 10..last {
            world.add_key("a", "auditor", number).unwrap();
        }
        assert_eq!(world.add_key("a", "auditor", last), Err(Code::KeysTooMany));
        world.revoke("a", "auditor", 10).unwrap();
        world.add_key("a", "auditor", last).unwrap();
    }

    #[test]
    fn operators_cannot_lock_themselves_out() {
        let mut world = World::bootstrapped();
        assert_eq!(world.suspend("a", "a", true), Err(Code::OperatorsTooFew), "not oneself");
        assert_eq!(world.revoke("a", "a", 1), Err(Code::OperatorsTooFew), "the last key of one of two");
        world.add_key("a", "a", 3).unwrap();
        world.revoke("a", "a", 1).unwrap();
        world.suspend("a", "b", true).unwrap();
        assert!(state(&world, "b"));
        assert_eq!(world.suspend("b", "a", true), Err(Code::OperatorRequired), "b is suspended");
        assert_eq!(world.add_key("b", "b", 7), Err(Code::OperatorRequired), "nor may it rotate");
        assert_eq!(world.suspend("a", "b", true), Err(Code::ClientStateUnchanged));
        world.suspend("a", "b", false).unwrap();
        assert!(!state(&world, "b"));
        assert_eq!(world.suspend("a", "nobody", true), Err(Code::ClientUnknown));
        world.agree(&operator("c")).unwrap();
        world.agree(&Proposal::AddKey { client: client("c"), public_key: key(8) }).unwrap();
        world.revoke("b", "a", 3).unwrap();
    }

    #[test]
    fn a_programmes_class_is_changed_by_two_for_what_comes_later() {
        let mut world = World::bootstrapped();
        let change = Proposal::ChangeClass { programme: asp(), class: FundClass::General };
        let alone =
            |books: &mut Books, entry: Entry<'_>| books.change_class(entry, asp(), FundClass::General);
        assert_eq!(world.by("a", alone), Err(Code::GeneralNotAllowed), "the book takes benefits only");
        let shipped = RuleTable::shipped();
        let rules = Box::new(RuleTable { mode: crate::ledger::order::Mode::Mixed, ..shipped });
        world.agree(&Proposal::SetRules { rules }).unwrap();
        assert_eq!(world.by("a", alone), Err(Code::ApprovalRequired));
        world.agree(&change).unwrap();
        assert_eq!(world.books.programme(asp()).unwrap().spec.class, FundClass::General);
        assert_eq!(world.agree(&change), Err(Code::ClassUnchanged));
    }

    #[test]
    fn a_replay_refuses_what_was_not_approved_by_the_entry_before() {
        let mut world = World::bootstrapped();
        let proposal = funding(100, "R1");
        let approval = world.request("a", &proposal).unwrap();
        let given: Record = Change::ApprovalGiven { approval, digest: proposal.digest() }.into();
        let actor = |by: &str| Actor { client: client(by), request: [0; 32], line: None, instruction: None };
        let stamp = world.stamp;
        let mut apply = |by: &str, record: &Record| {
            world.replay.apply(&mut Effects::default(), stamp, actor(by), record.clone())
        };
        assert!(apply("b", &proposal.record()).unwrap_err().found.contains("approval_required"));
        assert!(apply("a", &given).unwrap_err().found.contains("approval_self"));
        apply("b", &given).unwrap();
        let other = apply("b", &funding(101, "R1").record()).unwrap_err();
        assert!(other.expected.contains("approved"), "{other}");
        let by_another = apply("a", &proposal.record()).unwrap_err();
        assert!(by_another.found.contains("approval_required"), "{by_another}");
        world.replay.finish().unwrap_err();
        world.replay.apply(&mut Effects::default(), stamp, actor("b"), proposal.record()).unwrap();
        world.replay.finish().unwrap();
    }

    #[test]
    fn the_registry_is_the_same_from_what_is_stored() {
        let mut world = World::bootstrapped();
        let mut fx = Effects::default();
        let actor = Actor { client: client("a"), request: [0; 32], line: None, instruction: None };
        let stamp = world.stamp;
        let founders = world.books.registry.clients().next().unwrap().seq;
        let operators =
            [("a", 1), ("b", 2)].map(|(id, n)| Founder { client: client(id), public_key: key(n) });
        let mut changes = vec![RegistryChange {
            seq: founders,
            by: client("setup"),
            change: Change::OperatorsBootstrapped { operators: operators.to_vec() },
        }];
        let books = &mut world.books;
        books.request_approval(Entry { fx: &mut fx, stamp, actor }, operator("c")).unwrap();
        books.set_suspended(Entry { fx: &mut fx, stamp, actor }, client("b"), true, reason()).unwrap();
        changes.append(&mut fx.registry);
        for change in &mut changes {
            let stored = serde_json::to_string(&change.change).unwrap();
            change.change = serde_json::from_str(&stored).unwrap();
        }
        assert_eq!(Registry::of(&changes), world.books.registry);
    }
}
