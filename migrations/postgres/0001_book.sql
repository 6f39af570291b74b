-- One book: a whole ledger in one schema. The connection's search_path names the schema; the setting
-- social_wallet.service_role names the lesser role that serves.
--
-- Every table is append-only, and the database itself refuses UPDATE, DELETE and TRUNCATE, of the owner too, but that rows
-- of person and person_number can be erased, and of nonce forgotten when they have expired.
--
-- There are no foreign keys: a commit's rows are decided by rules that have read what they rest on under the head's
-- lock, nothing is ever deleted that a key could protect, and a key costs a look-up in another table's index and a row
-- lock for every row. A replay of the journal proves more than they could.
--
-- The server reads the text of a CHECK again for every statement that inserts: in the tables that every accrual or payment
-- writes, only rules about money are CHECKs. Whether a row is well formed is asked by who reads it (docs/adr/0002).

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'append-only: % of % is refused', lower(TG_OP), TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;

-- Exactly one row, which is the lock of all writers. (To lock it takes the right to update it, which nobody can.)
CREATE TABLE book (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id uuid NOT NULL
);

-- One row a commit. The newest is the head of the log. A commit follows the one whose size_after is its size_before, and no two
-- follow the same: that is the fence. Its evidence is what was signed: of each signed request that made entries, its key, its signature,
-- and its base and body, compressed and encrypted (docs/adr/0007).
CREATE TABLE log_commit (
    size_after bigint PRIMARY KEY,
    size_before bigint NOT NULL CONSTRAINT log_commit_follows_once UNIQUE,
    at bigint NOT NULL,
    date integer NOT NULL,
    nonce bytea NOT NULL,
    frontier bytea NOT NULL,
    evidence bytea NOT NULL
);

-- The leaves of consecutive entries, at most 256, never across a multiple of 256: each a big-endian 16-bit length and
-- the bytes.
CREATE TABLE journal (
    first bigint PRIMARY KEY,
    count integer NOT NULL,
    leaves bytea NOT NULL
);

-- Full hash tiles (C2SP tlog-tiles, height 8): 256 hashes of 32 bytes.
CREATE TABLE tile (
    place bigint NOT NULL CHECK (place >= 0),
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 63),
    hashes bytea NOT NULL CHECK (length(hashes) = 8192),
    PRIMARY KEY (level, place)
);

CREATE TABLE programme (
    seq bigint NOT NULL CHECK (seq >= 0),
    number integer PRIMARY KEY CHECK (number >= 1),
    class smallint NOT NULL CHECK (class IN (1, 2)),
    code text NOT NULL CONSTRAINT programme_code_once UNIQUE,
    name_kk text NOT NULL,
    name_ru text NOT NULL,
    name_en text NOT NULL,
    payer text NOT NULL,
    legal_basis text NOT NULL,
    knp text,
    kbe text,
    iso_purpose text
);

-- Account 1 is backing, the one account whose balance (credits - debits) is never above zero; no other is ever below.
CREATE TABLE system_account (
    number integer PRIMARY KEY CHECK (number >= 1),
    name text NOT NULL CONSTRAINT system_account_name_once UNIQUE,
    CHECK ((number = 1) = (name = 'backing'))
);

-- One row for each account that a commit touched. The sums are since the book was opened, this commit included.
CREATE TABLE system_entry (
    version bigint NOT NULL,
    seq bigint NOT NULL,
    at bigint NOT NULL,
    debits bigint NOT NULL,
    credits bigint NOT NULL,
    account integer NOT NULL,
    PRIMARY KEY (account, version),
    CONSTRAINT system_balance_sign CHECK (CASE WHEN account = 1 THEN 0 <= credits AND credits <= debits
        ELSE 0 <= debits AND debits <= credits END)
);

-- The id is made of a keyed hash of the person's number: unique, so a person has one wallet.
CREATE TABLE wallet (
    id uuid NOT NULL CONSTRAINT wallet_id_once UNIQUE,
    opened_seq bigint NOT NULL CHECK (opened_seq >= 0),
    account integer PRIMARY KEY CHECK (account >= 1)
);

-- The person's tags in the log: a person whose number is replaced has several, but a tag has one wallet for ever.
CREATE TABLE person_tag (
    tag bytea CONSTRAINT person_tag_once PRIMARY KEY CHECK (length(tag) = 32),
    account integer NOT NULL CHECK (account >= 1)
);

-- The person's number, encrypted. Erasing a person deletes the row, and nothing else.
CREATE TABLE person (
    account integer PRIMARY KEY CHECK (account >= 1),
    sealed_iin bytea NOT NULL
);

-- What moved on a wallet, and its head after it: the newest row of an account is its head, all are its statement, and
-- a row of kind 1 or 11 is a lot. Eight-byte columns come first, so that no padding is stored. This is the hot table: one
-- random index and no other.
CREATE TABLE wallet_entry (
    seq bigint NOT NULL,
    at bigint NOT NULL,
    amount bigint NOT NULL,
    refers bigint,
    posted bigint NOT NULL,
    held bigint NOT NULL,
    general bigint NOT NULL,
    general_held bigint NOT NULL,
    account integer NOT NULL,
    version integer NOT NULL,
    first_open_lot integer NOT NULL,
    programme integer,
    period integer,
    part smallint,
    class smallint,
    kind smallint NOT NULL,
    state smallint NOT NULL,
    choice boolean NOT NULL,
    frozen boolean NOT NULL,
    CONSTRAINT wallet_entry_once UNIQUE (account, version),
    CONSTRAINT wallet_sums_sound CHECK (0 <= general_held AND general_held <= general AND general <= posted
        AND general_held <= held AND held <= posted)
);

-- A change of a lot (an accrual's version within its wallet), with the lot after it. One that was moved in from a merged
-- wallet (kind 11) has its first change with it.
CREATE TABLE lot_movement (
    amount bigint NOT NULL,
    remaining bigint NOT NULL,
    held bigint NOT NULL,
    reversed bigint NOT NULL,
    account integer NOT NULL,
    lot integer NOT NULL,
    movement integer NOT NULL,
    version integer NOT NULL,
    PRIMARY KEY (account, lot, movement),
    CONSTRAINT lot_sums_sound CHECK (0 <= held AND held <= remaining AND 0 <= reversed)
);

-- The shares of pay-outs, in the order in which the lots were drawn. A return names the pay-out's journal entry, and
-- gives back in the opposite order.
CREATE TABLE pay_out (
    seq bigint NOT NULL CHECK (seq >= 0),
    amount bigint NOT NULL CHECK (amount > 0),
    draw integer NOT NULL CHECK (draw >= 1),
    account integer NOT NULL CHECK (account >= 1),
    version integer NOT NULL CHECK (version >= 1),
    lot integer NOT NULL CHECK (lot BETWEEN 1 AND version - 1),
    bank text NOT NULL,
    PRIMARY KEY (seq, draw)
);

-- Who was paid a benefit: one row a benefit and commit, with the wallets' account numbers as a serialised Roaring
-- bitmap (portable format). Who was ever paid is the union of a benefit's rows.
CREATE TABLE benefit_paid (
    size_after bigint NOT NULL,
    programme integer NOT NULL,
    period integer NOT NULL,
    part smallint NOT NULL,
    accounts bytea NOT NULL,
    PRIMARY KEY (programme, period, part, size_after)
);

-- Instruction ids (a hash of client and idempotency key), bound to their entries for ever.
CREATE TABLE instruction (
    seq bigint NOT NULL,
    id bytea CONSTRAINT instruction_once PRIMARY KEY
);

CREATE TABLE batch (
    id uuid NOT NULL CONSTRAINT batch_id_once UNIQUE,
    seq bigint NOT NULL CHECK (seq >= 0),
    number integer PRIMARY KEY CHECK (number >= 1),
    client text NOT NULL,
    declaration text NOT NULL
);

-- What happened to a batch, and its head after it.
CREATE TABLE batch_entry (
    seq bigint NOT NULL CHECK (seq >= 0),
    at bigint NOT NULL CHECK (at >= 0),
    first_line bigint NOT NULL CHECK (first_line >= 0),
    received_lines bigint NOT NULL CHECK (received_lines >= 0),
    received_total bigint NOT NULL CHECK (received_total >= 0),
    accepted_lines bigint NOT NULL CHECK (accepted_lines BETWEEN 0 AND received_lines),
    accepted_total bigint NOT NULL CHECK (accepted_total >= 0),
    batch integer NOT NULL CHECK (batch >= 1),
    version integer NOT NULL CHECK (version >= 1),
    lines integer NOT NULL CHECK (lines >= 0),
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 4),
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 5),
    digest bytea NOT NULL,
    verdicts bytea NOT NULL,
    PRIMARY KEY (batch, version),
    CHECK ((kind = 2) = (lines > 0))
);
CREATE INDEX batch_entry_chunk ON batch_entry (batch, first_line, lines) WHERE kind = 2;

-- What the journal says of its own log, after each entry that changes it: which origin and which key its checkpoints carry.
CREATE TABLE log_change (
    seq bigint PRIMARY KEY CHECK (seq >= 0),
    generation integer NOT NULL CHECK (generation >= 1),
    old_key text,
    log_key text
);

-- The class of what a programme credits, from an entry on, where it is not the one it was registered with.
CREATE TABLE programme_class (
    seq bigint PRIMARY KEY CHECK (seq >= 0),
    programme integer NOT NULL CHECK (programme >= 1),
    class smallint NOT NULL CHECK (class IN (1, 2))
);

-- Who may call, and what takes two operators: what each entry says, and whose request it was. Read whole.
CREATE TABLE registry_change (
    seq bigint PRIMARY KEY CHECK (seq >= 0),
    client text NOT NULL,
    change text NOT NULL
);

-- What holders have authorised. The destination is encrypted; the journal knows it by a keyed tag.
CREATE TABLE authorisation (
    seq bigint PRIMARY KEY CHECK (seq >= 0),
    account integer NOT NULL CHECK (account >= 1),
    channel text NOT NULL,
    terms text NOT NULL,
    sealed_destination bytea NOT NULL
);

-- What became of it: a row for each entry about it.
CREATE TABLE authorisation_entry (
    authorisation bigint NOT NULL,
    seq bigint NOT NULL,
    used bigint NOT NULL CHECK (used >= 0),
    version integer NOT NULL,
    revoked boolean NOT NULL,
    PRIMARY KEY (authorisation, version)
);

-- Transfers and cash-outs: of which lots each was drawn, in order, as JSON triples of the lot's version,
-- tiyn, and the entry that made the lot.
CREATE TABLE payment (
    seq bigint PRIMARY KEY,
    authorisation bigint NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    expires bigint,
    account integer NOT NULL,
    bank text,
    reference text CONSTRAINT payment_reference_once UNIQUE,
    detail text NOT NULL,
    drawn text NOT NULL,
    CHECK ((bank IS NULL) = (reference IS NOT NULL) AND (reference IS NULL) = (expires IS NULL))
);
CREATE INDEX payment_of_bank ON payment (bank, seq) WHERE bank IS NOT NULL;
CREATE INDEX payment_expires ON payment (expires, seq) WHERE expires IS NOT NULL;

-- What became of them: a row for each entry, with the sums after it.
CREATE TABLE payment_entry (
    payment bigint NOT NULL,
    seq bigint NOT NULL,
    at bigint NOT NULL,
    released bigint NOT NULL CHECK (released >= 0),
    settled bigint NOT NULL CHECK (settled >= 0),
    returned bigint NOT NULL CHECK (returned BETWEEN 0 AND settled),
    version integer NOT NULL,
    state smallint NOT NULL,
    tries smallint NOT NULL,
    agent text,
    reference text,
    PRIMARY KEY (payment, version)
);
CREATE INDEX payment_ended ON payment_entry (payment) WHERE state >= 4;

-- What is counted by business day, and held to limits.
CREATE TABLE daily_usage (
    seq bigint NOT NULL,
    amount bigint NOT NULL CHECK (amount >= 0),
    date integer NOT NULL,
    version integer NOT NULL,
    counted text NOT NULL,
    PRIMARY KEY (counted, date, version)
);

-- Who is told of which entry. What he is told is the entry.
CREATE TABLE event (
    audience text NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (audience, seq)
);

-- Where holders want benefits to go: of a programme, or (0) of all; on under an authorisation, or to the wallet. The newest holds.
CREATE TABLE choice (
    seq bigint NOT NULL CHECK (seq >= 0),
    authorisation bigint CHECK (authorisation BETWEEN 0 AND seq - 1),
    account integer NOT NULL CHECK (account >= 1),
    programme integer NOT NULL CHECK (programme >= 0),
    PRIMARY KEY (account, programme, seq)
);

-- Ids that lead to another wallet: those that further numbers of a person make, and those of wallets that were merged.
CREATE TABLE wallet_lead (
    id uuid CONSTRAINT wallet_lead_once PRIMARY KEY,
    leads_to uuid NOT NULL CHECK (leads_to <> id),
    seq bigint NOT NULL CHECK (seq >= 0)
);
CREATE INDEX wallet_lead_to ON wallet_lead (leads_to);

-- A further number of a person, encrypted, by the id that it makes. Erasing a person deletes the row, and nothing else.
CREATE TABLE person_number (
    id uuid PRIMARY KEY,
    sealed_iin bytea NOT NULL
);

-- What was credited by the accrual of a lot that came from a merged wallet (kind 11 of wallet_entry).
CREATE TABLE moved_lot (
    credited bigint NOT NULL CHECK (credited > 0),
    seq bigint NOT NULL CHECK (seq >= 0),
    account integer NOT NULL CHECK (account >= 1),
    lot integer NOT NULL CHECK (lot >= 1),
    PRIMARY KEY (account, lot)
);

-- The rules that orders are decided by, from an entry on. The newest are in force.
CREATE TABLE rule_table (
    seq bigint PRIMARY KEY CHECK (seq >= 0),
    rules text NOT NULL
);

-- What became of orders. What an order says is in the journal; what is written in it is encrypted here. A document that was
-- decided is used up, and no more than a tax debt is taken for it; what is malformed uses up nothing. A payment to an authority, or a
-- hold for one, is money that was reached: nothing else makes it.
CREATE TABLE decision (
    seq bigint PRIMARY KEY CHECK (seq >= 0),
    asked bigint NOT NULL CHECK (asked >= 0),
    taken bigint NOT NULL CHECK (taken >= 0),
    held bigint NOT NULL CHECK (held >= 0),
    refused bigint NOT NULL CHECK (refused >= 0),
    expires bigint,
    account integer NOT NULL CHECK (account >= 0),
    date integer NOT NULL,
    tag bytea NOT NULL CHECK (length(tag) = 32),
    debt bytea CHECK (length(debt) = 32),
    client text NOT NULL,
    issuer text NOT NULL,
    issuer_kind text NOT NULL,
    kind text,
    outcome text NOT NULL,
    drawn text NOT NULL,
    sealed bytea NOT NULL,
    CONSTRAINT decision_sums CHECK ((outcome IN ('executed', 'partial') OR taken = 0) AND (outcome = 'held' OR held = 0)
        AND (asked = 0 OR taken + held + refused = asked)),
    CONSTRAINT decision_wallet CHECK (account > 0 OR taken + held = 0)
);
CREATE UNIQUE INDEX decision_tag_once ON decision (tag) WHERE outcome <> 'malformed';
CREATE INDEX decision_debt ON decision (debt, account) WHERE taken > 0;
CREATE INDEX decision_of_issuer ON decision (issuer, seq);
CREATE INDEX decision_against ON decision (account, seq);
CREATE INDEX decision_on ON decision (date, seq);
CREATE INDEX decision_expires ON decision (expires, seq) WHERE outcome = 'held';

-- Orders that held, and hold no longer: each ends once.
CREATE TABLE order_end (
    decision bigint PRIMARY KEY CHECK (decision >= 0),
    seq bigint NOT NULL CHECK (seq > decision)
);

-- Nonces of signed writes, until they have expired. (docs/adr/0007)
CREATE TABLE nonce (
    expires bigint NOT NULL,
    id bytea NOT NULL,
    PRIMARY KEY (expires, id)
);

-- The body of a checkpoint, fixed before it is signed: there is one for a size, and one that follows another. So all
-- replicas sign one chain (docs/adr/0004).
CREATE TABLE checkpoint (
    size bigint PRIMARY KEY CHECK (size >= 1),
    previous_size bigint NOT NULL CONSTRAINT checkpoint_follows_once UNIQUE CHECK (previous_size >= 0),
    body bytea NOT NULL,
    CHECK (previous_size < size)
);

-- The signed note of a checkpoint that may be shown.
CREATE TABLE checkpoint_published (
    size bigint PRIMARY KEY CHECK (size >= 1),
    at bigint NOT NULL CHECK (at >= 0),
    note bytea NOT NULL
);

-- A body follows the newest one, which is published, and is of a commit that is here. (One that is there already is
-- refused by its keys.)
CREATE FUNCTION check_checkpoint() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM checkpoint WHERE size = NEW.size OR previous_size = NEW.previous_size)
        AND (NEW.previous_size <> (SELECT coalesce(max(size), 0) FROM checkpoint)
            OR NEW.previous_size <> (SELECT coalesce(max(size), 0) FROM checkpoint_published)
            OR NOT EXISTS (SELECT FROM log_commit WHERE size_after = NEW.size)) THEN
        RAISE EXCEPTION 'checkpoint does not follow' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

-- What is published is the newest body, with its signatures.
CREATE FUNCTION check_checkpoint_published() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM checkpoint_published WHERE size = NEW.size)
        AND (NEW.size <> (SELECT coalesce(max(size), 0) FROM checkpoint)
            OR NOT EXISTS (SELECT FROM checkpoint WHERE size = NEW.size AND substr(NEW.note, 1, length(body)) = body)) THEN
        RAISE EXCEPTION 'checkpoint_published is not of the newest body' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

-- What takes money for an authority, or holds it for one (wallet_entry of kind 8 or 9), never moves a lot of protected money
-- (class 1): all movements of a commit are looked at together, when its entries are in. Accruals move no lots.
CREATE FUNCTION check_levy() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM moved m
        CROSS JOIN LATERAL (SELECT kind FROM wallet_entry WHERE account = m.account AND version = m.version LIMIT 1) e
        CROSS JOIN LATERAL (SELECT class FROM wallet_entry WHERE account = m.account AND version = m.lot LIMIT 1) l
        WHERE e.kind IN (8, 9) AND l.class = 1) THEN
        RAISE EXCEPTION 'protected money is not reached' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER lot_movement_reaches_general AFTER INSERT ON lot_movement REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION check_levy();

-- Orders for one tax debt of a wallet take no more in all than each of them asks for.
CREATE FUNCTION check_debt() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM made m WHERE m.debt IS NOT NULL AND m.taken > 0
        AND m.asked < (SELECT sum(taken) FROM decision WHERE debt = m.debt AND account = m.account AND taken > 0)) THEN
        RAISE EXCEPTION 'more than a tax debt is taken for it' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER decision_within_debt AFTER INSERT ON decision REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION check_debt();

-- Leaves, hashes and what is encrypted do not shrink: no time is spent on trying. What fits a page is not cut in pieces either.
ALTER TABLE journal SET (toast_tuple_target = 8160);
ALTER TABLE log_commit SET (toast_tuple_target = 8160);
ALTER TABLE log_commit ALTER COLUMN evidence SET STORAGE EXTERNAL;
ALTER TABLE journal ALTER COLUMN leaves SET STORAGE EXTERNAL;
ALTER TABLE tile ALTER COLUMN hashes SET STORAGE EXTERNAL;
ALTER TABLE benefit_paid ALTER COLUMN accounts SET STORAGE EXTERNAL;
ALTER TABLE batch_entry ALTER COLUMN verdicts SET STORAGE EXTERNAL;
ALTER TABLE person ALTER COLUMN sealed_iin SET STORAGE EXTERNAL;

CREATE TRIGGER checkpoint_follows BEFORE INSERT ON checkpoint FOR EACH ROW EXECUTE FUNCTION check_checkpoint();
CREATE TRIGGER checkpoint_published_follows BEFORE INSERT ON checkpoint_published
    FOR EACH ROW EXECUTE FUNCTION check_checkpoint_published();

-- A nonce is forgotten only when no clock of a replica can take its signature any more: five minutes after it expired by
-- the book's own time.
CREATE TRIGGER nonce_not_changed BEFORE UPDATE ON nonce FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER nonce_not_emptied BEFORE TRUNCATE ON nonce EXECUTE FUNCTION refuse_change();
CREATE FUNCTION refuse_early_reuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.expires >= (SELECT at / 1000 - 300 FROM log_commit ORDER BY size_after DESC LIMIT 1) THEN
        RAISE EXCEPTION 'append-only: delete of nonce is refused: it has not expired';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER nonce_kept BEFORE DELETE ON nonce FOR EACH ROW EXECUTE FUNCTION refuse_early_reuse();

-- A person can be erased, one at a time, and never be given another number.
CREATE TRIGGER person_not_changed BEFORE UPDATE ON person FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER person_not_emptied BEFORE TRUNCATE ON person EXECUTE FUNCTION refuse_change();
CREATE TRIGGER person_number_not_changed BEFORE UPDATE ON person_number FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER person_number_not_emptied BEFORE TRUNCATE ON person_number EXECUTE FUNCTION refuse_change();

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['book', 'log_commit', 'journal', 'tile', 'programme', 'system_account', 'system_entry', 'wallet',
        'person_tag', 'wallet_entry', 'lot_movement', 'pay_out', 'benefit_paid', 'instruction', 'batch', 'batch_entry',
        'log_change', 'programme_class', 'registry_change', 'authorisation',
        'authorisation_entry', 'payment', 'payment_entry', 'daily_usage', 'event', 'rule_table', 'decision',
        'order_end', 'choice', 'wallet_lead', 'moved_lot', 'checkpoint', 'checkpoint_published']
    LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I
            FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %I EXECUTE FUNCTION refuse_change()', name);
    END LOOP;
END
$$;
