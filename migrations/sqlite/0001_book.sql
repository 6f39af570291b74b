-- One book: a whole ledger in one file.
--
-- Every table is append-only, and the database itself refuses UPDATE, DELETE and REPLACE, with two exceptions: log_head,
-- whose one row is the lock and the fence of all writers, and person, whose rows can be erased. INSERT OR REPLACE deletes
-- without a delete trigger, so an insert trigger looks for the key first. It rolls the whole transaction back, and the
-- service inserts OR ROLLBACK: where a statement alone could be undone, SQLite would keep a copy of every page that it
-- touches, and a bulk commit would take a fifth longer.
--
-- There are no foreign keys: a commit's rows are decided by rules that have read what they rest on under the head's
-- lock, nothing is ever deleted that a key could protect, and a key costs a look-up in another table's index for every
-- row. A replay of the journal proves more than they could.

-- The head of the log: exactly one row. A commit updates it where it still is what the commit was decided on.
CREATE TABLE log_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    book BLOB NOT NULL CHECK (length(book) = 16),
    size INTEGER NOT NULL CHECK (size >= 0),
    at INTEGER NOT NULL CHECK (at >= 0),
    wallet_count INTEGER NOT NULL CHECK (wallet_count >= 0),
    batch_count INTEGER NOT NULL CHECK (batch_count >= 0),
    nonce BLOB NOT NULL CHECK (length(nonce) = 16)
) STRICT;

-- One row a commit. Its evidence is what was signed: of each signed request that made entries, its key, its signature, and its
-- base and body, compressed and encrypted (docs/adr/0007).
CREATE TABLE log_commit (
    size_after INTEGER PRIMARY KEY,
    size_before INTEGER NOT NULL CHECK (size_before >= 0),
    at INTEGER NOT NULL CHECK (at >= 0),
    date INTEGER NOT NULL,
    nonce BLOB NOT NULL CHECK (length(nonce) = 16),
    frontier BLOB NOT NULL CHECK (length(frontier) >= 8),
    evidence BLOB NOT NULL,
    CHECK (size_before < size_after)
) STRICT;

-- The leaves of consecutive entries, at most 256, never across a multiple of 256: each a big-endian 16-bit length and
-- the bytes.
CREATE TABLE journal (
    first INTEGER PRIMARY KEY CHECK (first >= 0),
    count INTEGER NOT NULL CHECK (count BETWEEN 1 AND 256 AND first % 256 + count <= 256),
    leaves BLOB NOT NULL
) STRICT;

-- Full hash tiles (C2SP tlog-tiles, height 8): 256 hashes of 32 bytes.
CREATE TABLE tile (
    place INTEGER NOT NULL CHECK (place >= 0),
    level INTEGER NOT NULL CHECK (level BETWEEN 0 AND 63),
    hashes BLOB NOT NULL CHECK (length(hashes) = 8192),
    PRIMARY KEY (level, place)
) STRICT;

CREATE TABLE programme (
    seq INTEGER NOT NULL CHECK (seq >= 0),
    number INTEGER PRIMARY KEY CHECK (number >= 1),
    class INTEGER NOT NULL CHECK (class IN (1, 2)),
    code TEXT NOT NULL CONSTRAINT programme_code_once UNIQUE,
    name_kk TEXT NOT NULL,
    name_ru TEXT NOT NULL,
    name_en TEXT NOT NULL,
    payer TEXT NOT NULL,
    legal_basis TEXT NOT NULL,
    knp TEXT,
    kbe TEXT,
    iso_purpose TEXT
) STRICT;

-- Account 1 is backing, the one account whose balance (credits - debits) is never above zero; no other is ever below.
CREATE TABLE system_account (
    number INTEGER PRIMARY KEY CHECK (number >= 1),
    name TEXT NOT NULL CONSTRAINT system_account_name_once UNIQUE,
    CHECK ((number = 1) = (name = 'backing'))
) STRICT;

-- One row for each account that a commit touched. The sums are since the book was opened, this commit included.
CREATE TABLE system_entry (
    version INTEGER NOT NULL CHECK (version >= 1),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    at INTEGER NOT NULL CHECK (at >= 0),
    debits INTEGER NOT NULL CHECK (debits >= 0),
    credits INTEGER NOT NULL CHECK (credits >= 0),
    account INTEGER NOT NULL CHECK (account >= 1),
    PRIMARY KEY (account, version),
    CONSTRAINT system_balance_sign CHECK (CASE WHEN account = 1 THEN credits <= debits ELSE debits <= credits END)
) STRICT;

-- The id is made of a keyed hash of the person's number: unique, so a person has one wallet.
CREATE TABLE wallet (
    id BLOB NOT NULL CONSTRAINT wallet_id_once UNIQUE CHECK (length(id) = 16),
    opened_seq INTEGER NOT NULL CHECK (opened_seq >= 0),
    account INTEGER PRIMARY KEY CHECK (account >= 1)
) STRICT;

-- The person's tags in the log: a person whose number is replaced has several, but a tag has one wallet for ever.
CREATE TABLE person_tag (
    tag BLOB NOT NULL CONSTRAINT person_tag_once PRIMARY KEY CHECK (length(tag) = 32),
    account INTEGER NOT NULL CHECK (account >= 1)
) STRICT;

-- The person's number, encrypted. Erasing a person deletes the row, and nothing else.
CREATE TABLE person (
    account INTEGER PRIMARY KEY CHECK (account >= 1),
    sealed_iin BLOB NOT NULL
) STRICT;

-- What moved on a wallet, and its head after it: the newest row of an account is its head, all are its statement, and
-- a row of kind 1 or 11 is a lot. This is the hot table: rows are appended, and one random index is all that is written beside
-- them.
CREATE TABLE wallet_entry (
    seq INTEGER NOT NULL CHECK (seq >= 0),
    at INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    refers INTEGER,
    posted INTEGER NOT NULL,
    held INTEGER NOT NULL,
    general INTEGER NOT NULL,
    general_held INTEGER NOT NULL,
    account INTEGER NOT NULL,
    version INTEGER NOT NULL,
    first_open_lot INTEGER NOT NULL,
    programme INTEGER,
    period INTEGER,
    part INTEGER,
    class INTEGER,
    kind INTEGER NOT NULL,
    state INTEGER NOT NULL,
    choice INTEGER NOT NULL CHECK (choice IN (0, 1)),
    frozen INTEGER NOT NULL CHECK (frozen IN (0, 1)),
    CONSTRAINT wallet_entry_once UNIQUE (account, version),
    CONSTRAINT wallet_sums_sound CHECK (0 <= general_held AND general_held <= general AND general <= posted
        AND general_held <= held AND held <= posted),
    CONSTRAINT wallet_entry_shape CHECK (account >= 1 AND version >= 1 AND first_open_lot BETWEEN 0 AND version
        AND kind BETWEEN 1 AND 12 AND (amount <> 0 OR kind > 4) AND (kind <> 8 OR amount < 0) AND state BETWEEN 1 AND 5
        AND (kind <> 1 OR amount > 0 AND programme IS NOT NULL AND period IS NOT NULL AND part IS NOT NULL
            AND class IS NOT NULL)
        AND (kind <> 11 OR amount >= 0 AND programme IS NOT NULL AND period IS NOT NULL AND part IS NOT NULL
            AND class IS NOT NULL AND refers IS NOT NULL))
) STRICT;

-- A change of a lot (an accrual's version within its wallet), with the lot after it. One that was moved in from a merged
-- wallet (kind 11) has its first change with it.
CREATE TABLE lot_movement (
    amount INTEGER NOT NULL,
    remaining INTEGER NOT NULL,
    held INTEGER NOT NULL,
    reversed INTEGER NOT NULL,
    account INTEGER NOT NULL CHECK (account >= 1),
    lot INTEGER NOT NULL CHECK (lot >= 1),
    movement INTEGER NOT NULL CHECK (movement >= 1),
    version INTEGER NOT NULL CHECK (version >= lot),
    PRIMARY KEY (account, lot, movement),
    CONSTRAINT lot_sums_sound CHECK (0 <= held AND held <= remaining AND 0 <= reversed)
) STRICT;

-- The shares of pay-outs, in the order in which the lots were drawn. A return names the pay-out's journal entry, and
-- gives back in the opposite order.
CREATE TABLE pay_out (
    seq INTEGER NOT NULL CHECK (seq >= 0),
    amount INTEGER NOT NULL CHECK (amount > 0),
    draw INTEGER NOT NULL CHECK (draw >= 1),
    account INTEGER NOT NULL CHECK (account >= 1),
    version INTEGER NOT NULL CHECK (version >= 1),
    lot INTEGER NOT NULL CHECK (lot BETWEEN 1 AND version - 1),
    bank TEXT NOT NULL,
    PRIMARY KEY (seq, draw)
) STRICT;

-- Who was paid a benefit: one row a benefit and commit, with the wallets' account numbers as a serialised Roaring
-- bitmap (portable format). Who was ever paid is the union of a benefit's rows.
CREATE TABLE benefit_paid (
    size_after INTEGER NOT NULL CHECK (size_after >= 1),
    programme INTEGER NOT NULL CHECK (programme >= 1),
    period INTEGER NOT NULL CHECK (period >= 0),
    part INTEGER NOT NULL CHECK (part BETWEEN 1 AND 999),
    accounts BLOB NOT NULL,
    PRIMARY KEY (programme, period, part, size_after)
) STRICT;

-- Instruction ids (a hash of client and idempotency key), bound to their entries for ever.
CREATE TABLE instruction (
    seq INTEGER NOT NULL CHECK (seq >= 0),
    id BLOB NOT NULL CONSTRAINT instruction_once PRIMARY KEY CHECK (length(id) = 16)
) STRICT;

CREATE TABLE batch (
    id BLOB NOT NULL CONSTRAINT batch_id_once UNIQUE CHECK (length(id) = 16),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    number INTEGER PRIMARY KEY CHECK (number >= 1),
    client TEXT NOT NULL,
    declaration TEXT NOT NULL
) STRICT;

-- What happened to a batch, and its head after it.
CREATE TABLE batch_entry (
    seq INTEGER NOT NULL CHECK (seq >= 0),
    at INTEGER NOT NULL CHECK (at >= 0),
    first_line INTEGER NOT NULL CHECK (first_line >= 0),
    received_lines INTEGER NOT NULL CHECK (received_lines >= 0),
    received_total INTEGER NOT NULL CHECK (received_total >= 0),
    accepted_lines INTEGER NOT NULL CHECK (accepted_lines BETWEEN 0 AND received_lines),
    accepted_total INTEGER NOT NULL CHECK (accepted_total >= 0),
    batch INTEGER NOT NULL CHECK (batch >= 1),
    version INTEGER NOT NULL CHECK (version >= 1),
    lines INTEGER NOT NULL CHECK (lines >= 0),
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5),
    digest BLOB NOT NULL,
    verdicts BLOB NOT NULL,
    PRIMARY KEY (batch, version),
    CHECK ((kind = 2) = (lines > 0))
) STRICT;
CREATE INDEX batch_entry_chunk ON batch_entry (batch, first_line, lines) WHERE kind = 2;

-- What the journal says of its own log, after each entry that changes it: which origin and which key its checkpoints carry.
CREATE TABLE log_change (
    seq INTEGER PRIMARY KEY CHECK (seq >= 0),
    generation INTEGER NOT NULL CHECK (generation >= 1),
    old_key TEXT,
    log_key TEXT
) STRICT;

-- The class of what a programme credits, from an entry on, where it is not the one it was registered with.
CREATE TABLE programme_class (
    seq INTEGER PRIMARY KEY CHECK (seq >= 0),
    programme INTEGER NOT NULL CHECK (programme >= 1),
    class INTEGER NOT NULL CHECK (class IN (1, 2))
) STRICT;

-- Who may call, and what takes two operators: what each entry says, and whose request it was. Read whole.
CREATE TABLE registry_change (
    seq INTEGER PRIMARY KEY CHECK (seq >= 0),
    client TEXT NOT NULL,
    change TEXT NOT NULL
) STRICT;

-- What holders have authorised. The destination is encrypted; the journal knows it by a keyed tag.
CREATE TABLE authorisation (
    seq INTEGER PRIMARY KEY CHECK (seq >= 0),
    account INTEGER NOT NULL CHECK (account >= 1),
    channel TEXT NOT NULL,
    terms TEXT NOT NULL,
    sealed_destination BLOB NOT NULL
) STRICT;

-- What became of it: a row for each entry about it.
CREATE TABLE authorisation_entry (
    authorisation INTEGER NOT NULL CHECK (authorisation >= 0),
    seq INTEGER NOT NULL CHECK (seq >= authorisation),
    used INTEGER NOT NULL CHECK (used >= 0),
    version INTEGER NOT NULL CHECK (version >= 1),
    revoked INTEGER NOT NULL CHECK (revoked IN (0, 1)),
    PRIMARY KEY (authorisation, version)
) STRICT;

-- Transfers and cash-outs: of which lots each was drawn, in order, as JSON triples of the lot's version,
-- tiyn, and the entry that made the lot.
CREATE TABLE payment (
    seq INTEGER PRIMARY KEY CHECK (seq >= 0),
    authorisation INTEGER NOT NULL CHECK (authorisation BETWEEN 0 AND seq - 1),
    amount INTEGER NOT NULL CHECK (amount > 0),
    expires INTEGER,
    account INTEGER NOT NULL CHECK (account >= 1),
    bank TEXT,
    reference TEXT CONSTRAINT payment_reference_once UNIQUE,
    detail TEXT NOT NULL,
    drawn TEXT NOT NULL,
    CHECK ((bank IS NULL) = (reference IS NOT NULL) AND (reference IS NULL) = (expires IS NULL))
) STRICT;
CREATE INDEX payment_of_bank ON payment (bank, seq) WHERE bank IS NOT NULL;
CREATE INDEX payment_expires ON payment (expires, seq) WHERE expires IS NOT NULL;

-- What became of them: a row for each entry, with the sums after it.
CREATE TABLE payment_entry (
    payment INTEGER NOT NULL CHECK (payment >= 0),
    seq INTEGER NOT NULL CHECK (seq >= payment),
    at INTEGER NOT NULL CHECK (at >= 0),
    released INTEGER NOT NULL CHECK (released >= 0),
    settled INTEGER NOT NULL CHECK (settled >= 0),
    returned INTEGER NOT NULL CHECK (returned BETWEEN 0 AND settled),
    version INTEGER NOT NULL CHECK (version >= 1),
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5),
    tries INTEGER NOT NULL CHECK (tries BETWEEN 0 AND 5),
    agent TEXT,
    reference TEXT,
    PRIMARY KEY (payment, version)
) STRICT;
CREATE INDEX payment_ended ON payment_entry (payment) WHERE state >= 4;

-- What is counted by business day, and held to limits.
CREATE TABLE daily_usage (
    seq INTEGER NOT NULL CHECK (seq >= 0),
    amount INTEGER NOT NULL CHECK (amount >= 0),
    date INTEGER NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    counted TEXT NOT NULL,
    PRIMARY KEY (counted, date, version)
) STRICT;

-- Who is told of which entry. What he is told is the entry.
CREATE TABLE event (
    audience TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq >= 0),
    PRIMARY KEY (audience, seq)
) STRICT;

-- Where holders want benefits to go: of a programme, or (0) of all; on under an authorisation, or to the wallet. The newest holds.
CREATE TABLE choice (
    seq INTEGER NOT NULL CHECK (seq >= 0),
    authorisation INTEGER CHECK (authorisation BETWEEN 0 AND seq - 1),
    account INTEGER NOT NULL CHECK (account >= 1),
    programme INTEGER NOT NULL CHECK (programme >= 0),
    PRIMARY KEY (account, programme, seq)
) STRICT;

-- Ids that lead to another wallet: those that further numbers of a person make, and those of wallets that were merged.
CREATE TABLE wallet_lead (
    id BLOB NOT NULL CONSTRAINT wallet_lead_once PRIMARY KEY CHECK (length(id) = 16),
    leads_to BLOB NOT NULL CHECK (length(leads_to) = 16 AND leads_to <> id),
    seq INTEGER NOT NULL CHECK (seq >= 0)
) STRICT;
CREATE INDEX wallet_lead_to ON wallet_lead (leads_to);

-- A further number of a person, encrypted, by the id that it makes. Erasing a person deletes the row, and nothing else.
CREATE TABLE person_number (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    sealed_iin BLOB NOT NULL
) STRICT;

-- What was credited by the accrual of a lot that came from a merged wallet (kind 11 of wallet_entry).
CREATE TABLE moved_lot (
    credited INTEGER NOT NULL CHECK (credited > 0),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    account INTEGER NOT NULL CHECK (account >= 1),
    lot INTEGER NOT NULL CHECK (lot >= 1),
    PRIMARY KEY (account, lot)
) STRICT;

-- The rules that orders are decided by, from an entry on. The newest are in force.
CREATE TABLE rule_table (
    seq INTEGER PRIMARY KEY CHECK (seq >= 0),
    rules TEXT NOT NULL
) STRICT;

-- What became of orders. What an order says is in the journal; what is written in it is encrypted here. A document that was
-- decided is used up, and no more than a tax debt is taken for it; what is malformed uses up nothing. A payment to an authority, or a
-- hold for one, is money that was reached: nothing else makes it.
CREATE TABLE decision (
    seq INTEGER PRIMARY KEY CHECK (seq >= 0),
    asked INTEGER NOT NULL CHECK (asked >= 0),
    taken INTEGER NOT NULL CHECK (taken >= 0),
    held INTEGER NOT NULL CHECK (held >= 0),
    refused INTEGER NOT NULL CHECK (refused >= 0),
    expires INTEGER,
    account INTEGER NOT NULL CHECK (account >= 0),
    date INTEGER NOT NULL,
    tag BLOB NOT NULL CHECK (length(tag) = 32),
    debt BLOB CHECK (length(debt) = 32),
    client TEXT NOT NULL,
    issuer TEXT NOT NULL,
    issuer_kind TEXT NOT NULL,
    kind TEXT,
    outcome TEXT NOT NULL,
    drawn TEXT NOT NULL,
    sealed BLOB NOT NULL,
    CONSTRAINT decision_sums CHECK ((outcome IN ('executed', 'partial') OR taken = 0) AND (outcome = 'held' OR held = 0)
        AND (asked = 0 OR taken + held + refused = asked)),
    CONSTRAINT decision_wallet CHECK (account > 0 OR taken + held = 0)
) STRICT;
CREATE UNIQUE INDEX decision_tag_once ON decision (tag) WHERE outcome <> 'malformed';
CREATE INDEX decision_debt ON decision (debt, account) WHERE taken > 0;
CREATE INDEX decision_of_issuer ON decision (issuer, seq);
CREATE INDEX decision_against ON decision (account, seq);
CREATE INDEX decision_on ON decision (date, seq);
CREATE INDEX decision_expires ON decision (expires, seq) WHERE outcome = 'held';

-- Orders that held, and hold no longer: each ends once.
CREATE TABLE order_end (
    decision INTEGER PRIMARY KEY CHECK (decision >= 0),
    seq INTEGER NOT NULL CHECK (seq > decision)
) STRICT;

-- Nonces of signed writes, until they have expired. (docs/adr/0007)
CREATE TABLE nonce (
    expires INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    PRIMARY KEY (expires, id)
) STRICT, WITHOUT ROWID;

-- The body of a checkpoint, fixed before it is signed: there is one for a size, and one that follows another. So all
-- replicas sign one chain (docs/adr/0004).
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY CHECK (size >= 1),
    previous_size INTEGER NOT NULL CONSTRAINT checkpoint_follows_once UNIQUE CHECK (previous_size >= 0),
    body BLOB NOT NULL,
    CHECK (previous_size < size)
) STRICT;

-- The signed note of a checkpoint that may be shown.
CREATE TABLE checkpoint_published (
    size INTEGER PRIMARY KEY CHECK (size >= 1),
    at INTEGER NOT NULL CHECK (at >= 0),
    note BLOB NOT NULL
) STRICT;

-- A body follows the newest one, which is published, and is of a commit that is here.
CREATE TRIGGER checkpoint_follows BEFORE INSERT ON checkpoint
WHEN NOT EXISTS (SELECT 1 FROM checkpoint WHERE size = NEW.size OR previous_size = NEW.previous_size)
    AND (NEW.previous_size <> (SELECT coalesce(max(size), 0) FROM checkpoint)
        OR NEW.previous_size <> (SELECT coalesce(max(size), 0) FROM checkpoint_published)
        OR NOT EXISTS (SELECT 1 FROM log_commit WHERE size_after = NEW.size))
BEGIN SELECT RAISE(ROLLBACK, 'checkpoint does not follow'); END;

-- What is published is the newest body, with its signatures.
CREATE TRIGGER checkpoint_published_follows BEFORE INSERT ON checkpoint_published
WHEN NOT EXISTS (SELECT 1 FROM checkpoint_published WHERE size = NEW.size)
    AND (NEW.size <> (SELECT coalesce(max(size), 0) FROM checkpoint)
        OR NOT EXISTS (SELECT 1 FROM checkpoint WHERE size = NEW.size AND substr(NEW.note, 1, length(body)) = body))
BEGIN SELECT RAISE(ROLLBACK, 'checkpoint_published is not of the newest body'); END;

-- What takes money for an authority, or holds it for one (wallet_entry of kind 8 or 9), never moves a lot of protected money
-- (class 1). A commit's entries are in before its movements. Accruals move no lots.
CREATE TRIGGER lot_movement_reaches_general BEFORE INSERT ON lot_movement
WHEN EXISTS (SELECT 1 FROM wallet_entry WHERE account = NEW.account AND version = NEW.version AND kind IN (8, 9))
    AND EXISTS (SELECT 1 FROM wallet_entry WHERE account = NEW.account AND version = NEW.lot AND class = 1)
BEGIN SELECT RAISE(ROLLBACK, 'protected money is not reached'); END;

-- Append-only, table by table. Where the key is not the rowid, a row could be replaced by its rowid too: so none may be
-- given (SQLite has -1 there before it has chosen one).

CREATE TRIGGER log_head_no_replace BEFORE INSERT ON log_head
WHEN EXISTS (SELECT 1 FROM log_head WHERE one = NEW.one)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of log_head is refused'); END;
-- The head moves forward only.
CREATE TRIGGER log_head_forward BEFORE UPDATE ON log_head
WHEN NEW.one <> OLD.one OR NEW.book <> OLD.book OR NEW.size <= OLD.size OR NEW.at < OLD.at
    OR NEW.wallet_count < OLD.wallet_count OR NEW.batch_count < OLD.batch_count OR NEW.nonce = OLD.nonce
BEGIN SELECT RAISE(ABORT, 'append-only: update of log_head is refused'); END;
CREATE TRIGGER log_head_no_delete BEFORE DELETE ON log_head
BEGIN SELECT RAISE(ABORT, 'append-only: delete of log_head is refused'); END;

CREATE TRIGGER log_commit_no_replace BEFORE INSERT ON log_commit
WHEN EXISTS (SELECT 1 FROM log_commit WHERE size_after = NEW.size_after)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of log_commit is refused'); END;
-- A commit belongs to the head that it has moved; if it has moved none, another writer was there, and nothing of it stays.
CREATE TRIGGER log_commit_of_head BEFORE INSERT ON log_commit
WHEN NOT EXISTS (SELECT 1 FROM log_commit WHERE size_after = NEW.size_after)
    AND NOT EXISTS (SELECT 1 FROM log_head WHERE size = NEW.size_after AND nonce = NEW.nonce)
BEGIN SELECT RAISE(ROLLBACK, 'stale: the head is another'); END;
CREATE TRIGGER log_commit_no_update BEFORE UPDATE ON log_commit
BEGIN SELECT RAISE(ABORT, 'append-only: update of log_commit is refused'); END;
CREATE TRIGGER log_commit_no_delete BEFORE DELETE ON log_commit
BEGIN SELECT RAISE(ABORT, 'append-only: delete of log_commit is refused'); END;

CREATE TRIGGER journal_no_replace BEFORE INSERT ON journal
WHEN EXISTS (SELECT 1 FROM journal WHERE first = NEW.first)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of journal is refused'); END;
CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'append-only: update of journal is refused'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'append-only: delete of journal is refused'); END;

CREATE TRIGGER tile_no_replace BEFORE INSERT ON tile
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM tile WHERE level = NEW.level AND place = NEW.place)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of tile is refused'); END;
CREATE TRIGGER tile_no_update BEFORE UPDATE ON tile
BEGIN SELECT RAISE(ABORT, 'append-only: update of tile is refused'); END;
CREATE TRIGGER tile_no_delete BEFORE DELETE ON tile
BEGIN SELECT RAISE(ABORT, 'append-only: delete of tile is refused'); END;

CREATE TRIGGER programme_no_replace BEFORE INSERT ON programme
WHEN EXISTS (SELECT 1 FROM programme WHERE number = NEW.number) OR EXISTS (SELECT 1 FROM programme WHERE code = NEW.code)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of programme is refused'); END;
CREATE TRIGGER programme_no_update BEFORE UPDATE ON programme
BEGIN SELECT RAISE(ABORT, 'append-only: update of programme is refused'); END;
CREATE TRIGGER programme_no_delete BEFORE DELETE ON programme
BEGIN SELECT RAISE(ABORT, 'append-only: delete of programme is refused'); END;

CREATE TRIGGER system_account_no_replace BEFORE INSERT ON system_account
WHEN EXISTS (SELECT 1 FROM system_account WHERE number = NEW.number) OR EXISTS (SELECT 1 FROM system_account WHERE name = NEW.name)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of system_account is refused'); END;
CREATE TRIGGER system_account_no_update BEFORE UPDATE ON system_account
BEGIN SELECT RAISE(ABORT, 'append-only: update of system_account is refused'); END;
CREATE TRIGGER system_account_no_delete BEFORE DELETE ON system_account
BEGIN SELECT RAISE(ABORT, 'append-only: delete of system_account is refused'); END;

CREATE TRIGGER system_entry_no_replace BEFORE INSERT ON system_entry
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM system_entry WHERE account = NEW.account AND version = NEW.version)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of system_entry is refused'); END;
CREATE TRIGGER system_entry_no_update BEFORE UPDATE ON system_entry
BEGIN SELECT RAISE(ABORT, 'append-only: update of system_entry is refused'); END;
CREATE TRIGGER system_entry_no_delete BEFORE DELETE ON system_entry
BEGIN SELECT RAISE(ABORT, 'append-only: delete of system_entry is refused'); END;

CREATE TRIGGER wallet_no_replace BEFORE INSERT ON wallet
WHEN EXISTS (SELECT 1 FROM wallet WHERE account = NEW.account) OR EXISTS (SELECT 1 FROM wallet WHERE id = NEW.id)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of wallet is refused'); END;
CREATE TRIGGER wallet_no_update BEFORE UPDATE ON wallet
BEGIN SELECT RAISE(ABORT, 'append-only: update of wallet is refused'); END;
CREATE TRIGGER wallet_no_delete BEFORE DELETE ON wallet
BEGIN SELECT RAISE(ABORT, 'append-only: delete of wallet is refused'); END;

CREATE TRIGGER person_tag_no_replace BEFORE INSERT ON person_tag
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM person_tag WHERE tag = NEW.tag)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of person_tag is refused'); END;
CREATE TRIGGER person_tag_no_update BEFORE UPDATE ON person_tag
BEGIN SELECT RAISE(ABORT, 'append-only: update of person_tag is refused'); END;
CREATE TRIGGER person_tag_no_delete BEFORE DELETE ON person_tag
BEGIN SELECT RAISE(ABORT, 'append-only: delete of person_tag is refused'); END;

CREATE TRIGGER person_no_replace BEFORE INSERT ON person
WHEN EXISTS (SELECT 1 FROM person WHERE account = NEW.account)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of person is refused'); END;
CREATE TRIGGER person_no_update BEFORE UPDATE ON person
BEGIN SELECT RAISE(ABORT, 'append-only: update of person is refused'); END;

CREATE TRIGGER wallet_entry_no_replace BEFORE INSERT ON wallet_entry
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM wallet_entry WHERE account = NEW.account AND version = NEW.version)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of wallet_entry is refused'); END;
CREATE TRIGGER wallet_entry_no_update BEFORE UPDATE ON wallet_entry
BEGIN SELECT RAISE(ABORT, 'append-only: update of wallet_entry is refused'); END;
CREATE TRIGGER wallet_entry_no_delete BEFORE DELETE ON wallet_entry
BEGIN SELECT RAISE(ABORT, 'append-only: delete of wallet_entry is refused'); END;

CREATE TRIGGER lot_movement_no_replace BEFORE INSERT ON lot_movement
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM lot_movement WHERE account = NEW.account AND lot = NEW.lot AND movement = NEW.movement)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of lot_movement is refused'); END;
CREATE TRIGGER lot_movement_no_update BEFORE UPDATE ON lot_movement
BEGIN SELECT RAISE(ABORT, 'append-only: update of lot_movement is refused'); END;
CREATE TRIGGER lot_movement_no_delete BEFORE DELETE ON lot_movement
BEGIN SELECT RAISE(ABORT, 'append-only: delete of lot_movement is refused'); END;

CREATE TRIGGER pay_out_no_replace BEFORE INSERT ON pay_out
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM pay_out WHERE seq = NEW.seq AND draw = NEW.draw)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of pay_out is refused'); END;
CREATE TRIGGER pay_out_no_update BEFORE UPDATE ON pay_out
BEGIN SELECT RAISE(ABORT, 'append-only: update of pay_out is refused'); END;
CREATE TRIGGER pay_out_no_delete BEFORE DELETE ON pay_out
BEGIN SELECT RAISE(ABORT, 'append-only: delete of pay_out is refused'); END;

CREATE TRIGGER benefit_paid_no_replace BEFORE INSERT ON benefit_paid
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM benefit_paid WHERE programme = NEW.programme AND period = NEW.period AND part = NEW.part AND size_after = NEW.size_after)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of benefit_paid is refused'); END;
CREATE TRIGGER benefit_paid_no_update BEFORE UPDATE ON benefit_paid
BEGIN SELECT RAISE(ABORT, 'append-only: update of benefit_paid is refused'); END;
CREATE TRIGGER benefit_paid_no_delete BEFORE DELETE ON benefit_paid
BEGIN SELECT RAISE(ABORT, 'append-only: delete of benefit_paid is refused'); END;

CREATE TRIGGER instruction_no_replace BEFORE INSERT ON instruction
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM instruction WHERE id = NEW.id)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of instruction is refused'); END;
CREATE TRIGGER instruction_no_update BEFORE UPDATE ON instruction
BEGIN SELECT RAISE(ABORT, 'append-only: update of instruction is refused'); END;
CREATE TRIGGER instruction_no_delete BEFORE DELETE ON instruction
BEGIN SELECT RAISE(ABORT, 'append-only: delete of instruction is refused'); END;

CREATE TRIGGER batch_no_replace BEFORE INSERT ON batch
WHEN EXISTS (SELECT 1 FROM batch WHERE number = NEW.number) OR EXISTS (SELECT 1 FROM batch WHERE id = NEW.id)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of batch is refused'); END;
CREATE TRIGGER batch_no_update BEFORE UPDATE ON batch
BEGIN SELECT RAISE(ABORT, 'append-only: update of batch is refused'); END;
CREATE TRIGGER batch_no_delete BEFORE DELETE ON batch
BEGIN SELECT RAISE(ABORT, 'append-only: delete of batch is refused'); END;

CREATE TRIGGER batch_entry_no_replace BEFORE INSERT ON batch_entry
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM batch_entry WHERE batch = NEW.batch AND version = NEW.version)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of batch_entry is refused'); END;
CREATE TRIGGER batch_entry_no_update BEFORE UPDATE ON batch_entry
BEGIN SELECT RAISE(ABORT, 'append-only: update of batch_entry is refused'); END;
CREATE TRIGGER batch_entry_no_delete BEFORE DELETE ON batch_entry
BEGIN SELECT RAISE(ABORT, 'append-only: delete of batch_entry is refused'); END;

CREATE TRIGGER log_change_no_replace BEFORE INSERT ON log_change
WHEN EXISTS (SELECT 1 FROM log_change WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of log_change is refused'); END;
CREATE TRIGGER log_change_no_update BEFORE UPDATE ON log_change
BEGIN SELECT RAISE(ABORT, 'append-only: update of log_change is refused'); END;
CREATE TRIGGER log_change_no_delete BEFORE DELETE ON log_change
BEGIN SELECT RAISE(ABORT, 'append-only: delete of log_change is refused'); END;

CREATE TRIGGER programme_class_no_replace BEFORE INSERT ON programme_class
WHEN EXISTS (SELECT 1 FROM programme_class WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of programme_class is refused'); END;
CREATE TRIGGER programme_class_no_update BEFORE UPDATE ON programme_class
BEGIN SELECT RAISE(ABORT, 'append-only: update of programme_class is refused'); END;
CREATE TRIGGER programme_class_no_delete BEFORE DELETE ON programme_class
BEGIN SELECT RAISE(ABORT, 'append-only: delete of programme_class is refused'); END;

CREATE TRIGGER registry_change_no_replace BEFORE INSERT ON registry_change
WHEN EXISTS (SELECT 1 FROM registry_change WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of registry_change is refused'); END;
CREATE TRIGGER registry_change_no_update BEFORE UPDATE ON registry_change
BEGIN SELECT RAISE(ABORT, 'append-only: update of registry_change is refused'); END;
CREATE TRIGGER registry_change_no_delete BEFORE DELETE ON registry_change
BEGIN SELECT RAISE(ABORT, 'append-only: delete of registry_change is refused'); END;

-- A nonce is forgotten only when no clock of a replica can take its signature any more: five minutes after it expired by
-- the book's own time.
CREATE TRIGGER nonce_no_replace BEFORE INSERT ON nonce
WHEN EXISTS (SELECT 1 FROM nonce WHERE expires = NEW.expires AND id = NEW.id)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of nonce is refused'); END;
CREATE TRIGGER nonce_no_update BEFORE UPDATE ON nonce
BEGIN SELECT RAISE(ABORT, 'append-only: update of nonce is refused'); END;
CREATE TRIGGER nonce_kept BEFORE DELETE ON nonce
WHEN OLD.expires >= (SELECT at / 1000 - 300 FROM log_head)
BEGIN SELECT RAISE(ABORT, 'append-only: delete of nonce is refused: it has not expired'); END;

CREATE TRIGGER authorisation_no_replace BEFORE INSERT ON authorisation
WHEN EXISTS (SELECT 1 FROM authorisation WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of authorisation is refused'); END;
CREATE TRIGGER authorisation_no_update BEFORE UPDATE ON authorisation
BEGIN SELECT RAISE(ABORT, 'append-only: update of authorisation is refused'); END;
CREATE TRIGGER authorisation_no_delete BEFORE DELETE ON authorisation
BEGIN SELECT RAISE(ABORT, 'append-only: delete of authorisation is refused'); END;

CREATE TRIGGER authorisation_entry_no_replace BEFORE INSERT ON authorisation_entry
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM authorisation_entry WHERE authorisation = NEW.authorisation AND version = NEW.version)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of authorisation_entry is refused'); END;
CREATE TRIGGER authorisation_entry_no_update BEFORE UPDATE ON authorisation_entry
BEGIN SELECT RAISE(ABORT, 'append-only: update of authorisation_entry is refused'); END;
CREATE TRIGGER authorisation_entry_no_delete BEFORE DELETE ON authorisation_entry
BEGIN SELECT RAISE(ABORT, 'append-only: delete of authorisation_entry is refused'); END;

CREATE TRIGGER payment_no_replace BEFORE INSERT ON payment
WHEN EXISTS (SELECT 1 FROM payment WHERE seq = NEW.seq) OR NEW.reference IS NOT NULL AND EXISTS (SELECT 1 FROM payment WHERE reference = NEW.reference)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of payment is refused'); END;
CREATE TRIGGER payment_no_update BEFORE UPDATE ON payment
BEGIN SELECT RAISE(ABORT, 'append-only: update of payment is refused'); END;
CREATE TRIGGER payment_no_delete BEFORE DELETE ON payment
BEGIN SELECT RAISE(ABORT, 'append-only: delete of payment is refused'); END;

CREATE TRIGGER payment_entry_no_replace BEFORE INSERT ON payment_entry
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM payment_entry WHERE payment = NEW.payment AND version = NEW.version)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of payment_entry is refused'); END;
CREATE TRIGGER payment_entry_no_update BEFORE UPDATE ON payment_entry
BEGIN SELECT RAISE(ABORT, 'append-only: update of payment_entry is refused'); END;
CREATE TRIGGER payment_entry_no_delete BEFORE DELETE ON payment_entry
BEGIN SELECT RAISE(ABORT, 'append-only: delete of payment_entry is refused'); END;

CREATE TRIGGER daily_usage_no_replace BEFORE INSERT ON daily_usage
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM daily_usage WHERE counted = NEW.counted AND date = NEW.date AND version = NEW.version)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of daily_usage is refused'); END;
CREATE TRIGGER daily_usage_no_update BEFORE UPDATE ON daily_usage
BEGIN SELECT RAISE(ABORT, 'append-only: update of daily_usage is refused'); END;
CREATE TRIGGER daily_usage_no_delete BEFORE DELETE ON daily_usage
BEGIN SELECT RAISE(ABORT, 'append-only: delete of daily_usage is refused'); END;

CREATE TRIGGER event_no_replace BEFORE INSERT ON event
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM event WHERE audience = NEW.audience AND seq = NEW.seq)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of event is refused'); END;
CREATE TRIGGER event_no_update BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'append-only: update of event is refused'); END;
CREATE TRIGGER event_no_delete BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'append-only: delete of event is refused'); END;

CREATE TRIGGER choice_no_replace BEFORE INSERT ON choice
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM choice WHERE account = NEW.account AND programme = NEW.programme AND seq = NEW.seq)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of choice is refused'); END;
CREATE TRIGGER choice_no_update BEFORE UPDATE ON choice
BEGIN SELECT RAISE(ABORT, 'append-only: update of choice is refused'); END;
CREATE TRIGGER choice_no_delete BEFORE DELETE ON choice
BEGIN SELECT RAISE(ABORT, 'append-only: delete of choice is refused'); END;

CREATE TRIGGER wallet_lead_no_replace BEFORE INSERT ON wallet_lead
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM wallet_lead WHERE id = NEW.id)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of wallet_lead is refused'); END;
CREATE TRIGGER wallet_lead_no_update BEFORE UPDATE ON wallet_lead
BEGIN SELECT RAISE(ABORT, 'append-only: update of wallet_lead is refused'); END;
CREATE TRIGGER wallet_lead_no_delete BEFORE DELETE ON wallet_lead
BEGIN SELECT RAISE(ABORT, 'append-only: delete of wallet_lead is refused'); END;

CREATE TRIGGER moved_lot_no_replace BEFORE INSERT ON moved_lot
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM moved_lot WHERE account = NEW.account AND lot = NEW.lot)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of moved_lot is refused'); END;
CREATE TRIGGER moved_lot_no_update BEFORE UPDATE ON moved_lot
BEGIN SELECT RAISE(ABORT, 'append-only: update of moved_lot is refused'); END;
CREATE TRIGGER moved_lot_no_delete BEFORE DELETE ON moved_lot
BEGIN SELECT RAISE(ABORT, 'append-only: delete of moved_lot is refused'); END;

CREATE TRIGGER person_number_no_replace BEFORE INSERT ON person_number
WHEN NEW.rowid <> -1 OR EXISTS (SELECT 1 FROM person_number WHERE id = NEW.id)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of person_number is refused'); END;
CREATE TRIGGER person_number_no_update BEFORE UPDATE ON person_number
BEGIN SELECT RAISE(ABORT, 'append-only: update of person_number is refused'); END;

CREATE TRIGGER rule_table_no_replace BEFORE INSERT ON rule_table
WHEN EXISTS (SELECT 1 FROM rule_table WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of rule_table is refused'); END;
CREATE TRIGGER rule_table_no_update BEFORE UPDATE ON rule_table
BEGIN SELECT RAISE(ABORT, 'append-only: update of rule_table is refused'); END;
CREATE TRIGGER rule_table_no_delete BEFORE DELETE ON rule_table
BEGIN SELECT RAISE(ABORT, 'append-only: delete of rule_table is refused'); END;

CREATE TRIGGER decision_no_replace BEFORE INSERT ON decision
WHEN EXISTS (SELECT 1 FROM decision WHERE seq = NEW.seq)
    OR NEW.outcome <> 'malformed' AND EXISTS (SELECT 1 FROM decision WHERE tag = NEW.tag AND outcome <> 'malformed')
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of decision is refused'); END;
CREATE TRIGGER decision_within_debt BEFORE INSERT ON decision
WHEN NEW.debt IS NOT NULL AND NEW.taken > 0 AND NEW.asked < NEW.taken
    + (SELECT coalesce(sum(taken), 0) FROM decision WHERE debt = NEW.debt AND account = NEW.account AND taken > 0)
BEGIN SELECT RAISE(ROLLBACK, 'more than a tax debt is taken for it'); END;
CREATE TRIGGER decision_no_update BEFORE UPDATE ON decision
BEGIN SELECT RAISE(ABORT, 'append-only: update of decision is refused'); END;
CREATE TRIGGER decision_no_delete BEFORE DELETE ON decision
BEGIN SELECT RAISE(ABORT, 'append-only: delete of decision is refused'); END;

CREATE TRIGGER order_end_no_replace BEFORE INSERT ON order_end
WHEN EXISTS (SELECT 1 FROM order_end WHERE decision = NEW.decision)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of order_end is refused'); END;
CREATE TRIGGER order_end_no_update BEFORE UPDATE ON order_end
BEGIN SELECT RAISE(ABORT, 'append-only: update of order_end is refused'); END;
CREATE TRIGGER order_end_no_delete BEFORE DELETE ON order_end
BEGIN SELECT RAISE(ABORT, 'append-only: delete of order_end is refused'); END;

CREATE TRIGGER checkpoint_no_replace BEFORE INSERT ON checkpoint
WHEN EXISTS (SELECT 1 FROM checkpoint WHERE size = NEW.size OR previous_size = NEW.previous_size)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of checkpoint is refused'); END;
CREATE TRIGGER checkpoint_no_update BEFORE UPDATE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'append-only: update of checkpoint is refused'); END;
CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'append-only: delete of checkpoint is refused'); END;

CREATE TRIGGER checkpoint_published_no_replace BEFORE INSERT ON checkpoint_published
WHEN EXISTS (SELECT 1 FROM checkpoint_published WHERE size = NEW.size)
BEGIN SELECT RAISE(ROLLBACK, 'append-only: replace of checkpoint_published is refused'); END;
CREATE TRIGGER checkpoint_published_no_update BEFORE UPDATE ON checkpoint_published
BEGIN SELECT RAISE(ABORT, 'append-only: update of checkpoint_published is refused'); END;
CREATE TRIGGER checkpoint_published_no_delete BEFORE DELETE ON checkpoint_published
BEGIN SELECT RAISE(ABORT, 'append-only: delete of checkpoint_published is refused'); END;
