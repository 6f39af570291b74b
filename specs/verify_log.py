#!/usr/bin/env python3
"""Checks an exported log of a social-wallet book, sharing no code with the service: specs/log.md says what and why.

    verify_log.py DIRECTORY VKEY [--earlier CHECKPOINT]

Python 3.11 and `cryptography`. Exit code 0: everything holds; 1: a check failed, said on standard output; 2: usage.
"""
import argparse, base64, datetime, hashlib, json, pathlib, re, sys
from collections import Counter, defaultdict
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

class Finding(Exception):
    """A check that failed."""

def check(holds, finding):
    if not holds:
        raise Finding(finding)

def sha256(data):
    return hashlib.sha256(data).digest()

def unbase64(text):
    data = base64.b64decode(text, validate=True)
    check(base64.b64encode(data).decode() == text, f"{text} is not canonical base64")
    return data

class Key:
    """A C2SP verifier key, `name+id+base64(0x01 || public key)`."""
    def __init__(self, vkey):
        match = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", vkey)
        check(match, f"{vkey!r} is not a verifier key: name+id+base64")
        self.vkey, self.name, key = vkey, match[1], unbase64(match[3])
        check(len(key) == 33 and key[0] == 1, "the verifier key is not an Ed25519 key (type 0x01)")
        self.id = sha256(self.name.encode() + b"\n" + key)[:4]
        check(self.id.hex() == match[2], "the verifier key's id does not fit its name and key")
        self.public = Ed25519PublicKey.from_public_bytes(key[1:])

    def signed(self, message, signature):
        try:
            self.public.verify(signature, message)
        except InvalidSignature:
            return False
        return True

class Checkpoint:
    """A C2SP checkpoint: a signed note of origin, size and root."""
    def __init__(self, data, what):
        check(not re.search(rb"[\x00-\x09\x0b-\x1f]", data) and data.endswith(b"\n"), f"{what} is not a signed note")
        text, blank, lines = data[:-1].decode().rpartition("\n\n")
        lines = [re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/=]{8,})", line) for line in lines.split("\n")]
        check(blank and all(lines), f"{what} does not end in a blank line and signature lines")
        self.what, self.text = what, text.encode() + b"\n"
        self.lines = [(line[1], unbase64(line[2])[:4], unbase64(line[2])[4:]) for line in lines]
        body = text.split("\n")
        check(len(body) > 2 and all(body) and re.fullmatch("0|[1-9][0-9]{0,18}", body[1]), f"{what} is malformed")
        self.origin, self.size, self.root = body[0], int(body[1]), unbase64(body[2])

    def check_signed_by(self, key):
        """A line of the key must be there, and every line of it must hold. Other lines mean nothing."""
        mine = [signature for name, id, signature in self.lines if (name, id) == (key.name, key.id)]
        check(mine, f"{self.what} bears no signature of {key.name}+{key.id.hex()}")
        check(all(key.signed(self.text, line) for line in mine), f"{self.what}: a signature of {key.name} is wrong")

def tree_root(row):
    """RFC 6962 section 2.1 over leaf hashes: pair by pair, an odd last one moving up as it is."""
    while len(row) > 1:
        pairs = [sha256(b"\x01" + left + right) for left, right in zip(row[::2], row[1::2])]
        row = pairs + row[len(row) & ~1:]
    return row[0] if row else sha256(b"")

def read_tile(directory, kind, index, width):
    path = f"{index % 1000:03}"
    while index := index // 1000:
        path = f"x{index % 1000:03}/{path}"
    path = f"tile/{kind}/{path}" + (f".p/{width}" if width < 256 else "")
    check((directory / path).is_file(), f"{path} is missing")
    return (directory / path).read_bytes(), path

def read_entries(directory, size):
    entries = []
    for index in range((size + 255) // 256):
        width = min(256, size - 256 * index)
        rest, path = read_tile(directory, "entries", index, width)
        for _ in range(width):
            length = int.from_bytes(rest[:2], "big")
            check(len(rest) >= 2 + length, f"entry {len(entries)}: {path} ends within it")
            entries.append(rest[2:2 + length])
            rest = rest[2 + length:]
        check(not rest, f"entry {len(entries)}: {path} has more than {width} entries")
    return entries

def check_tiles(directory, row):
    """The hash tiles must be what the entries give. A hash of level l + 1 is the root of a full tile of level l."""
    level = 0
    while row:
        for start in range(0, len(row), 256):
            want = row[start:start + 256]
            tile, path = read_tile(directory, level, start // 256, len(want))
            check(len(tile) == 32 * len(want), f"{path} has {len(tile)} bytes")
            for place, hash in enumerate(want):
                check(tile[32 * place:][:32] == hash, f"entry {(start + place) * 256**level}: {path} has another hash")
        row = [tree_root(row[start:start + 256]) for start in range(0, len(row) & ~255, 256)]
        level += 1

def parse(data, seq, book, last_at):
    """An entry in its place in the book and in time."""
    entry = json.loads(data.decode(), parse_float=lambda text: check(False, f"{text} is not an integer"))
    again = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    check(again.encode() == data, "it is not canonical JSON (RFC 8785)")
    check((entry["v"], entry["currency"]) == (1, "KZT"), "its version or currency is another")
    check(entry["seq"] == seq, f"its number is {entry['seq']}")
    check(entry["book"] == book, f"it is of another book, {entry['book']}")
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["at"]), "its time is malformed")
    check(entry["at"] >= last_at, f"its time {entry['at']} is before {last_at}, that of the entry before it")
    day = datetime.datetime.fromisoformat(entry["at"]) + datetime.timedelta(hours=5)  # Asia/Almaty since March 2024
    check(entry["date"] == day.date().isoformat(), f"its date {entry['date']} is not that of its time")
    check(re.fullmatch("[0-9a-f]{32}", entry["blind"]) and entry["actor"]["client"], "its blind or actor is malformed")
    return entry

def tiyn(text):
    check(re.fullmatch(r"(0|[1-9][0-9]{0,13})\.[0-9]{2}", text), f"{text!r} is not an amount")
    return int(text.replace(".", ""))

def kzt(amount):
    return f"{'-' * (amount < 0)}{abs(amount) // 100}.{abs(amount) % 100:02}"

SILENT = """book_opened programme_registered wallet_opened batch_opened batch_released chunk_received batch_closed
    batch_cancelled origin_declared log_key_rotated programme_class_changed operators_bootstrapped client_registered
    client_key_added client_key_revoked client_suspended client_reinstated approval_requested approval_given
    approval_closed authorisation_given authorisation_revoked transfer_requested transfer_sent transfer_unknown
    cash_created cash_tried cash_reserved cash_unknown cash_released wallet_blocked wallet_unblocked wallet_deceased
    wallet_closed wallet_reopened limits_set destination_chosen transfer_not_started number_added rules_set
    order_malformed order_expired""".split()  # the kinds that move no money

MANY = """pay_out return transfer_settled transfer_returned cash_captured wallets_merged
    order_decided""".split()  # a posting for each lot

OUTFLOW = "authorisation_given transfer_requested cash_created wallets_merged".split()  # not of a frozen wallet

SHIPPED = pathlib.Path(__file__).with_name("rules.json")  # the rules of orders that every book begins with

class Books:
    """The balances that the postings make, and what may happen once only."""
    def __init__(self):
        self.balance, self.lots, self.classes, self.payers, self.wallets = defaultdict(int), {}, {}, {}, set()
        self.once, self.totals, self.persons, self.orders = {}, defaultdict(Counter), {}, Orders()

    def once_only(self, *what, seq):
        check(what not in self.once, f"{' '.join(map(str, what))} was already there in entry {self.once.get(what)}")
        self.once[what] = seq

    def apply(self, entry):
        kind, seq, programme, wallet = entry["kind"], entry["seq"], entry.get("programme"), f"wallet:{entry.get('wallet')}"
        benefit = ("benefit", programme, entry.get("period"), entry.get("part"), wallet)
        check((kind == "book_opened") == (seq == 0), "a book is opened once, by its first entry")
        if kind == "programme_registered":
            self.once_only("programme", programme, seq=seq)
            self.classes[programme], self.payers[programme] = entry["class"], entry["payer"]
        elif kind == "programme_class_changed":
            check(self.classes.get(programme) not in (None, entry["class"]), "the class is not another one")
            self.classes[programme] = entry["class"]
        elif kind == "programme_funded":
            self.once_only("bank reference", entry["bank_reference"], seq=seq)
        elif kind == "wallet_opened":
            self.once_only("person", entry["person"], seq=seq)
            self.once_only(wallet, seq=seq)
            self.wallets.add(wallet)
            self.persons[entry["person"]] = wallet
        elif kind == "accrual":
            self.once_only(*benefit, seq=seq)
            check(entry["class"] == self.classes.get(programme), "its class is not that of its programme")
        elif kind == "number_added":
            self.once_only("person", entry["person"], seq=seq)
            self.once_only(f"wallet:{entry['leads']}", seq=seq)
            self.persons[entry["person"]] = wallet
        elif kind == "wallets_merged":
            self.merge(wallet, f"wallet:{entry['merged']}", entry)
        elif kind == "levy_settled":
            self.once_only("levy", entry["authority"], entry["bank_reference"], seq=seq)
        self.check_sent_on(entry)
        self.orders.apply(entry, self)
        check(programme is None or programme in self.classes, f"programme {programme} is not registered")
        check("wallet" not in entry or wallet in self.wallets, f"{wallet} was not opened")
        funding, bank = f"funding:{programme}", "clearing:"
        sides = {"programme_funded": ("backing", funding), "accrual": (funding, wallet), "reversal": (wallet, funding),
                 "pay_out": (wallet, bank), "return": (bank, wallet), "transfer_settled": (wallet, bank),
                 "cash_captured": (wallet, "cash:")}.get(kind)
        if kind == "transfer_returned":
            sides = (bank, wallet) if entry["from"] == "clearing" else None
        elif kind == "clearing_settled":
            owed = f"{entry['owed']}:{entry['bank']}"
            sides = (owed, "backing") if entry["direction"] == "paid" else ("backing", owed)
        elif kind == "wallets_merged":
            sides = (f"wallet:{entry['merged']}", wallet) if "postings" in entry else None
        elif kind == "order_decided":
            recovered = entry["overpaid"]["programme"] if "overpaid" in entry else None
            to = f"funding:{recovered}" if recovered else f"levy:{entry['issuer']}"
            sides = (wallet, to) if "postings" in entry else None
        elif kind == "levy_settled":
            sides = (f"levy:{entry['authority']}", "backing")
        unposted = kind in SILENT or kind in ("transfer_returned", "wallets_merged", "order_decided")
        check(sides or unposted, f"its kind {kind} is unknown")
        postings = entry.get("postings", [])
        check(bool(postings) == bool(sides), "it moves money and should not, or the other way round")
        check(len(postings) < 2 or kind in MANY, "it has more than one posting")
        for posting in postings:
            amount = tiyn(posting["amount"])
            check(amount > 0, "a posting's amount is not above zero")
            for side, want in zip(("debit", "credit"), sides):
                fits = posting[side].startswith(want) if want.endswith(":") else posting[side] == want
                check(fits, f"a posting's {side} is {posting[side]}, not {want}")
            self.balance[posting["debit"]] -= amount
            self.balance[posting["credit"]] += amount
            debited = self.balance[posting["debit"]]
            check(debited >= 0 or posting["debit"] == "backing", f"{posting['debit']} would hold {kzt(debited)}")
            if kind in ("clearing_settled", "levy_settled"):
                continue
            if kind != "programme_funded":
                programme = self.move_lot(entry, posting.get("lot", seq), amount, wallet, benefit)
            self.totals[programme][kind] += amount

    def move_lot(self, entry, number, amount, wallet, benefit):
        """A credit of a benefit is a lot; what leaves a wallet leaves its lots, and comes back to them."""
        if entry["kind"] == "accrual":
            self.lots[number] = [wallet, entry["programme"], amount, 0, benefit[:4], entry["class"]]
        lot = self.lots.get(number)
        check(lot and lot[0] == wallet, f"lot {number} is not one of {wallet}")
        check(entry["kind"] != "reversal" or lot[4] == benefit[:4], f"lot {number} is not that of the benefit")
        if entry["kind"] == "wallets_merged":
            check(amount == lot[3], f"lot {number} is not moved whole")
            return lot[1]  # it has changed hands, and holds what it held
        lot[3] += amount if entry["kind"] in ("accrual", "return", "transfer_returned") else -amount
        check(0 <= lot[3] <= lot[2], f"lot {number} of {kzt(lot[2])} would hold {kzt(lot[3])}")
        return lot[1]

    def merge(self, wallet, merged, entry):
        """All lots of one wallet become another's; a benefit that was paid to either is paid."""
        check(wallet != merged and merged in self.wallets, f"{merged} is no wallet that could be merged")
        collisions = 0
        for key in [key for key in self.once if key[0] == "benefit" and key[4] == merged]:
            collisions += key[:4] + (wallet,) in self.once
            self.once.setdefault(key[:4] + (wallet,), self.once[key])
        check(collisions <= len(entry["collisions"]), f"{collisions} benefits were paid to both, and not all are told")
        moved = [number for number, lot in self.lots.items() if lot[0] == merged]
        left = sorted(number for number in moved if self.lots[number][3])
        check(left == sorted(posting["lot"] for posting in entry.get("postings", [])), "it does not move all that is left")
        for number in moved:
            self.lots[number][0] = wallet
        self.wallets.discard(merged)
        self.persons = {person: wallet if of == merged else of for person, of in self.persons.items()}
        self.orders.merge(wallet, merged)

    def check_sent_on(self, entry):
        """What a holder's choice makes of an accrual is said by the very next entry, of that accrual."""
        kind, seq, wallet = entry["kind"], entry["seq"], f"wallet:{entry.get('wallet')}"
        if kind == "transfer_not_started" or kind == "transfer_requested" and "accrual" in entry:
            lot = self.lots.get(entry["accrual"])
            check(entry["accrual"] == seq - 1 and lot and lot[0] == wallet, "it is not of the accrual before it")
            check(tiyn(entry["amount"]) == lot[2], "it is not of the amount that was credited")

TAKES = "collection payment_demand set_off fee alimony".split()
HOLDS = "arrest suspension freeze".split()

class Orders:
    """What orders took and hold. That as much was free as they reached takes a replay of all payments; the rest is checked."""
    def __init__(self):
        self.rules, self.bound, self.standing, self.collected, self.last = (None, {}), {}, {}, Counter(), None
        self.outcomes, self.protected = Counter(), 0

    def merge(self, wallet, merged):
        """What was taken for tax debts of one wallet was taken of the other, which is the same person's."""
        for of, debt in [key for key in self.collected if key[0] == merged]:
            self.collected[wallet, debt] += self.collected.pop((of, debt))

    def in_order(self, entry):
        """The orders of one request stand by the table's precedence, and of one kind by their lines."""
        actor, kinds = entry["actor"], self.rules[1]["precedence"] if self.rules[1] else []
        last, self.last = self.last, None
        if "line" in actor and entry["kind"] in ("order_decided", "order_malformed"):
            kind = entry.get("order_kind")
            rank = len(kinds) + 1 if kind is None else kinds.index(kind) if kind in kinds else len(kinds)
            self.last = (actor["client"], actor["chunk"]), (rank, actor["line"])
            check(not last or last[0] != self.last[0] or last[1] < self.last[1], "it is not in its place among those of its request")

    def apply(self, entry, books):
        kind, seq, wallet = entry["kind"], entry["seq"], f"wallet:{entry.get('wallet')}"
        self.in_order(entry)
        if kind in OUTFLOW or kind == "order_decided":
            over = [number for number, order in self.standing.items() if order["wallet"] in (entry.get("wallet"), entry.get("merged"))
                    and order.get("expires", entry["at"]) < entry["at"]]
            check(not over, f"the order of entry {over and over[0]} is over, and its end is not written")
        if kind == "rules_set":
            if entry["actor"]["client"] == "system":
                check(SHIPPED.is_file(), f"{SHIPPED} is missing, which the first rules are held against")
                first = self.rules[0] is None and entry["rules"] == json.loads(SHIPPED.read_text())
                check(first, f"the first rules are not those of {SHIPPED.name}")
            opened = [row for row in entry["rules"]["rules"] if row["class"] != "general" and row["effect"] != "refuse"]
            check(not opened, "its rules let orders reach protected money")
            self.rules = seq, entry["rules"]
        elif kind == "order_decided":
            self.decided(entry, books, wallet)
        elif kind == "order_expired":
            order = self.end(entry["order"], wallet, entry["shares"])
            check(entry["actor"]["client"] == "system" and entry["at"] > order["expires"], "its time was not over")
        elif kind in OUTFLOW:
            frozen = [order for order in self.standing.values() if order["wallet"] == entry.get("merged", entry["wallet"])
                      and (order["order_kind"] == "freeze" or kind == "wallets_merged")]  # one on the wallet that stays is no obstacle
            check(not frozen, "an order stands against it")

    def end(self, number, wallet, released):
        order = self.standing.pop(number, None)
        check(order and f"wallet:{order['wallet']}" == wallet, f"no order of entry {number} stands on {wallet}")
        check(released == order.get("shares", []), f"it does not let go what the order of entry {number} holds")
        return order

    def decided(self, entry, books, wallet):
        outcome, kind, issuer = entry["outcome"], entry["order_kind"], entry["issuer"]
        check(entry["rules"] == self.rules[0], f"it is not decided by the rules in force, of entry {self.rules[0]}")
        check(entry["order"] not in self.bound, f"its document was decided in entry {self.bound.get(entry['order'])}")
        held, released, postings = (entry.get(name, []) for name in ("shares", "released", "postings"))
        sums = [tiyn(entry[name]) for name in ("taken", "held", "refused")]
        sum_of = lambda shares: sum(tiyn(share["amount"]) for share in shares)
        check(sums[:2] == [sum_of(postings), sum_of(held)], "what was taken and is held is not what its lots say")
        asked = tiyn(entry["amount"]) if "amount" in entry else sums[0] + sums[1]
        check(sum(sums) == asked, "taken, held and refused are not what was asked")
        if "wallet" in entry or outcome not in ("malformed", "unauthorised_issuer"):
            check(books.persons.get(entry["debtor"]) == (wallet if "wallet" in entry else None), "it is not the debtor's wallet")
        competent = [known["orders"] for known in self.rules[1]["competences"] if known["issuer"] == entry["issuer_kind"]]
        if outcome not in ("malformed", "unauthorised_issuer"):
            check(any(kind in orders for orders in competent), f"a {entry['issuer_kind']} may not give such orders")
        if "lifted" in entry:
            check(self.bound.get(entry["lifts"]) == entry["lifted"], "the order that it ends is not the one that it names")
            check(self.end(entry["lifted"], wallet, released)["issuer"] == issuer, "the order that it ends is another's")
        check("lifted" in entry or not released, "it lets go what no order held")
        self.check_reached(entry, books, wallet, postings, held)
        full = "executed" if kind == "lift" or sums[0] == asked else "partial" if sums[0] else "refused_protected"
        full = ("held" if held or kind == "freeze" else "refused_protected") if kind in HOLDS else full
        debt = entry.get("debt", {"tag": None, "met_elsewhere": False})
        left = asked - self.collected[wallet, debt["tag"]] if debt["tag"] else asked
        check(sums[0] <= left, f"of the tax debt only {kzt(left)} is left")
        returned = debt["met_elsewhere"] or debt["tag"] and left == 0
        full = "returned_duplicate" if returned else full if "wallet" in entry else "no_wallet"
        check(outcome in (full, "malformed", "unauthorised_issuer"), f"its outcome is {full}, not {outcome}")
        if outcome != "malformed":
            self.bound[entry["order"]] = entry["seq"]
        if outcome == "held":
            self.standing[entry["seq"]] = entry
        if debt["tag"]:
            self.collected[wallet, debt["tag"]] += sums[0]
        self.outcomes[outcome] += 1

    def check_reached(self, entry, books, wallet, postings, held):
        """General money only, that the rules of its day allow; an overpayment comes back from the lot that it was paid into."""
        kind, day = entry["order_kind"], entry["date"]
        check(not postings or kind in TAKES or kind == "overpayment_recovery", f"a {kind} takes nothing")
        check(not held or kind in HOLDS, f"a {kind} holds nothing")
        frozen = any(order["order_kind"] == "freeze" and f"wallet:{order['wallet']}" == wallet for order in self.standing.values())
        own = {share["lot"]: tiyn(share["amount"]) for share in entry.get("released", [])}
        for share in postings + held:
            lot = books.lots.get(share["lot"])
            check(lot and lot[0] == wallet, f"lot {share['lot']} is not one of {wallet}")
            if kind == "overpayment_recovery":
                of = ("benefit", *(entry["overpaid"][name] for name in ("programme", "period", "part")))
                check(lot[4] == of, f"lot {share['lot']} is not that of the overpaid benefit")
                check(books.payers[lot[1]] == entry["issuer"], "another payer's money is recovered")
                continue
            check(lot[5] == "general", f"lot {share['lot']} is of protected money")
            rows = [row for row in self.rules[1]["rules"] if (row["order"], row["class"]) == (kind, "general")
                    and row["valid_from"] <= day <= row.get("valid_to", day)]
            rows = [row for row in rows if row.get("programme") == lot[1]] or [row for row in rows if "programme" not in row]
            check(rows and rows[0]["effect"] == "allow", f"no rule lets it reach lot {share['lot']}")
            others = [one for order in self.standing.values() for one in order.get("shares", []) if one["lot"] == share["lot"]]
            taken = tiyn(share["amount"]) + sum(tiyn(one["amount"]) for one in others)
            check(taken <= lot[3], f"lot {share['lot']} holds no {kzt(taken)}")
            thawed = kind in HOLDS or not frozen or tiyn(share["amount"]) <= own.get(share["lot"], 0)
            check(thawed, f"lot {share['lot']} is of a frozen wallet, and no arrest of its own held it")
            self.protected += tiyn(share["amount"]) if kind in TAKES and lot[5] != "general" else 0

class Trust:
    """What the log says of itself: its keys and origins, each with the size of tree from which it holds."""
    def __init__(self, key):
        self.given, self.name, self.keys, self.origins, self.lost = key, key.name, [], [(0, key.name)], []

    def generation(self, origin):
        match = re.fullmatch(re.escape(self.name) + "(?:/([2-9]|[1-9][0-9]+))?", origin)
        check(match, f"{origin} is no origin of this log")
        return int(match[1] or 1)

    def apply(self, entry):
        if entry["kind"] == "log_key_rotated":
            old, new = Key(entry["old_key"]), Key(entry["new_key"])
            self.keys = self.keys or [(0, old)]
            check(old.name == new.name == self.name, "a key bears another name than the log")
            check(old.vkey == self.keys[-1][1].vkey, "the key that it replaces is not the log's")
            check(new.vkey not in [key.vkey for _, key in self.keys], "a key that was replaced comes back")
            statement = f"social-wallet/log-key-rotation/v1\n{entry['book']}\n{old.vkey}\n{new.vkey}\n"
            check(old.signed(statement.encode(), unbase64(entry["signature"])), "the old key has not signed it")
            self.keys.append((entry["seq"] + 1, new))
        elif entry["kind"] == "origin_declared":
            now, lost, next = map(self.generation, (self.origins[-1][1], entry["lost_origin"], entry["origin"]))
            check(now <= lost == next - 1, "its origin does not follow that of the lost checkpoint")
            self.origins.append((entry["seq"] + 1, entry["origin"]))
            self.lost.append((entry["lost_origin"], entry["lost_size"], entry["lost_root"]))

    def is_lost(self, checkpoint):
        return (checkpoint.origin, checkpoint.size, checkpoint.root.hex()) in self.lost

    def check_checkpoint(self, checkpoint):
        keys = self.keys or [(0, self.given)]
        check(self.given.vkey in [key.vkey for _, key in keys], "the verifier key given is none of this log's")
        origin = [origin for since, origin in self.origins if since <= checkpoint.size][-1]
        check(checkpoint.origin == origin or self.is_lost(checkpoint), f"{checkpoint.what} is of {checkpoint.origin}, not of {origin}")
        checkpoint.check_signed_by([key for since, key in keys if since <= checkpoint.size][-1])

def verify(directory, key, earlier):
    check((directory / "checkpoint").is_file(), "the file checkpoint is missing")
    head = Checkpoint((directory / "checkpoint").read_bytes(), "the checkpoint")
    entries = read_entries(directory, head.size)
    hashes = [sha256(b"\x00" + data) for data in entries]
    check_tiles(directory, hashes)
    root, books, trust, last_at = tree_root(hashes), Books(), Trust(key), ""
    check(root == head.root, f"the {head.size} entries have the root {root.hex()}, the checkpoint {head.root.hex()}")
    for seq, data in enumerate(entries):
        try:
            entry = parse(data, seq, key.name.removeprefix("social-wallet/"), last_at)
            books.apply(entry)
            trust.apply(entry)
            last_at = entry["at"]
        except (Finding, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Finding(f"entry {seq}: " + (str(error) if isinstance(error, Finding) else f"malformed: {error!r}"))
    trust.check_checkpoint(head)
    if earlier:
        trust.check_checkpoint(earlier)
        if trust.is_lost(earlier):
            print(f"LOST: the log says that the history of the earlier checkpoint, {earlier.size} entries, was lost")
            return report(head, books)
        check(earlier.size <= head.size, f"the earlier checkpoint has {earlier.size} entries, the log only {head.size}")
        check(tree_root(hashes[:earlier.size]) == earlier.root, "the log does not begin with the entries of the earlier checkpoint")
    report(head, books)

def report(head, books):
    total = lambda kind: sum(amount for account, amount in books.balance.items() if account.startswith(kind))
    check(total("backing") + total("wallet:") + total("funding:") + total("clearing:") + total("cash:") + total("levy:") == 0, "the books do not balance")
    print(f"{head.origin}: {head.size} entries, root {head.root.hex()}: everything holds")
    for programme, sums in sorted(books.totals.items()):
        held = sum(lot[3] for lot in books.lots.values() if lot[1] == programme)
        moved = ", ".join(f"{kind} {kzt(amount)}" for kind, amount in sorted(sums.items()))
        print(f"{programme}: {moved}; in wallets {kzt(held)}, unspent {kzt(books.balance[f'funding:{programme}'])}")
    outcomes = ", ".join(f"{outcome} {count}" for outcome, count in sorted(books.orders.outcomes.items()))
    print(f"orders: {outcomes or 'none'}; taken from protected money: {kzt(books.orders.protected)}")
    print(f"{len(books.wallets)} wallets hold {kzt(total('wallet:'))} KZT of e-money; banks are owed {kzt(total('clearing:'))} KZT")

def main():
    arguments = argparse.ArgumentParser(description="Checks an exported log of a social-wallet book.")
    arguments.add_argument("directory", type=pathlib.Path, help="the log: checkpoint, tile/...")
    arguments.add_argument("vkey", help="a key of the log, as a C2SP verifier key")
    arguments.add_argument("--earlier", type=pathlib.Path, help="a checkpoint that was kept from before")
    options = arguments.parse_args()
    try:
        key = Key(options.vkey)
        kept = options.earlier and options.earlier.read_bytes()
        check(options.directory.is_dir(), f"{options.directory} is not a directory")
    except (Finding, ValueError, OSError) as error:
        arguments.error(str(error))
    try:
        verify(options.directory, key, kept and Checkpoint(kept, "the earlier checkpoint"))
    except (Finding, ValueError) as error:
        print(f"FAILED: {error}")
        return 1
    return 0

if __name__ == "__main__":
    sys.exit(main())
