"""What schemathesis needs to get in: every request signed as examples/sign.py does it, by a role that the operation is for or, now
and then, by another; and ids, persons and programmes that there are, in the place of some that there are not.

Read by scripts/schemathesis.sh, which sets
  SOCIAL_WALLET_FUZZ_KEYS    the directory of the clients' key files, as `bootstrap --trial` makes them
  SOCIAL_WALLET_FUZZ_KNOWN   a JSON file: the ids of things that there are, by the name of a parameter or a member
  SOCIAL_WALLET_FUZZ_TALLY   where to write how often each operation gave which answer
"""
import atexit
import base64
import hashlib
import itertools
import json
import os
import re
import secrets
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
import schemathesis
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

ROLES = {
    "operator": ("operator-1", "operator-2"),
    "payer": ("payer",),
    "bank": ("bank",),
    "channel": ("channel",),
    "authority": ("authority", "tax-authority", "bank-claims", "collector"),
    "auditor": ("auditor",),
}
# Of so many requests, one is sent by a role that is drawn from all, and one unsigned or with a signature over something else.
STRANGERS = 8
INTRUDERS = 32
# What the path of a tile of the log may be.
TILES = ["0/000", "0/000.p/1", "0/000.p/40", "1/000", "000", "000.p/1", "000.p/40", "0/001", "checkpoint"]


def load(name):
    pem = (Path(os.environ["SOCIAL_WALLET_FUZZ_KEYS"]) / f"{name}.pem").read_bytes()
    return load_pem_private_key(pem[pem.index(b"-----BEGIN"):], None)


KEYS = {name: load(name) for names in ROLES.values() for name in names}
KNOWN = json.loads(Path(os.environ["SOCIAL_WALLET_FUZZ_KNOWN"]).read_text())
FORMS = {
    "id": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "code": r"[A-Z][A-Z0-9_]{0,15}",
    "programme": r"[A-Z][A-Z0-9_]{0,15}",
    "iin": r"[0-9]{12}",
    "payer": r"[0-9]{12}",
    "period": r"once|[0-9]{4}-[0-9]{2}",
    "wallet": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "digest": r"[0-9a-f]{64}",
}
# Members of payments, and what may take their place.
MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
PAYMENT = {
    "bank": (r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?", lambda drawn: "CASPKZKA"),
    "amount": (r"[0-9]{1,12}(\.[0-9]{1,2})?", lambda drawn: f"{1 + drawn % 3}.00"),
    "expires": (MOMENT, lambda drawn: moment(3600)),
    "at": (MOMENT, lambda drawn: moment(0)),
}
PAYMENT_PATHS = ("/v1/authorisations", "/v1/transfers", "/v1/cash", "/v1/settlements")


def moment(ahead):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + ahead))


def chance(*parts):
    """A number that the parts decide: the same request is changed and signed by the same client whenever it is sent again."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8])


class Signature(requests.auth.AuthBase):
    """HTTP Message Signatures (RFC 9421) over the request as it goes out: specs/http.md, Authentication."""

    def __init__(self, roles, turn):
        self.roles, self.turn = roles, turn

    def client(self, request):
        drawn = chance(request.method, request.url, request.body, self.turn)
        roles = self.roles if drawn % STRANGERS else list(ROLES)
        names = ROLES[roles[(drawn // 8) % len(roles)]]
        return names[(drawn // 512) % len(names)]

    def __call__(self, request):
        drawn = chance("in", request.method, request.url, request.body, self.turn) % (INTRUDERS * 2)
        if drawn == 0:
            return request
        signed = self.signed(request)
        if drawn == INTRUDERS:
            signed.headers["Idempotency-Key"] = "another"
        return signed

    def signed(self, request):
        b64 = lambda data: base64.b64encode(data).decode()
        field = lambda name: request.headers.get(name)
        text = lambda value: value.decode("latin-1") if isinstance(value, bytes) else value
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else bytes(body)
        name = self.client(request)
        key = KEYS[name]
        if body:
            request.headers["Content-Digest"] = f"sha-256=:{b64(hashlib.sha256(body).digest())}:"
        covered = {"@method": request.method, "@target-uri": request.url}
        for header in ("content-digest", "content-type", "idempotency-key"):
            if field(header) is not None:
                covered[header] = text(field(header)).strip(" \t")
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        created = int(time.time())
        names = " ".join(f'"{header}"' for header in covered)
        parameters = (f'({names});created={created};expires={created + 300};nonce="{secrets.token_hex(16)}"'
                      f';keyid="{name}:{hashlib.sha256(public).hexdigest()[:16]}";alg="ed25519";tag="social-wallet-v1"')
        lines = [f'"{header}": {value}' for header, value in covered.items()]
        base = "\n".join(lines + [f'"@signature-params": {parameters}'])
        request.headers["Signature-Input"] = f"sig1={parameters}"
        request.headers["Signature"] = f"sig1=:{b64(key.sign(base.encode('latin-1', 'replace')))}:"
        return request


def known(name, value, path=""):
    """A thing that there is for seven of eight that have its form; others stay as they are."""
    kind = "wallet" if name == "id" and "/wallets/" in path else "batch" if name == "id" and "/batches/" in path else name
    if name == "entry" and (of := re.match(r"/v1/([a-z]+)/", path)):
        kind = of[1] if of[1] in KNOWN else name
    things = KNOWN.get(kind, [])
    form = FORMS.get(name)
    if form and not (isinstance(value, str) and re.fullmatch(form, value)):
        return value
    if not form and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        return value
    drawn = chance(name, value)
    return things[(drawn // 8) % len(things)] if things and drawn % 8 else value


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    path = context.operation.path
    mapped = {name: known(name, value, path) for name, value in (path_parameters or {}).items()}
    if "/clients/" in path and context.operation.method == "get":
        drawn = chance(mapped)
        if drawn % 4:
            mapped["id"] = list(KEYS)[(drawn // 4) % len(KEYS)]
    if "/log/tile/" in path:
        drawn = chance(mapped)
        if drawn % 2:
            mapped["path"] = TILES[(drawn // 2) % len(TILES)]
    return mapped


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    path = context.operation.path
    if path.startswith(PAYMENT_PATHS):
        body = payment(body)
        if "/cash/" in path and re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{16}", str(body.get("reference"))):
            body = cash(body, "outcomes" in path)
    there = lambda name: name in FORMS and name != "code" or name == "authorisation"
    return {name: known(name, value) if there(name) else value for name, value in body.items()}


def payment(body):
    """What is of the documented form, and could be refused for its bank, its amount or its time alone."""
    mapped = {}
    for name, value in body.items():
        form, other = PAYMENT.get(name, (None, None))
        drawn = chance("payment", name, value)
        fits = form and isinstance(value, str) and re.fullmatch(form, value)
        mapped[name] = payment(value) if isinstance(value, dict) else other(drawn // 8) if fits and drawn % 8 else value
    return mapped


def cash(body, reserved):
    """A cash-out that there is, with its code: one that an agent has reserved where that is needed."""
    drawn = chance("cash", sorted(body.items(), key=repr))
    if drawn % 8 == 0:
        return body
    codes = KNOWN["reserved" if reserved else "codes"]
    reference, code = codes[(drawn // 8) % len(codes)]
    right = {"code": code} if re.fullmatch(r"[0-9]{8}", str(body.get("code"))) and drawn % 5 else {}
    return body | {"reference": reference} | right


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    lines = value if isinstance(value, (str, bytes)) else json.dumps(value)
    return {"data": lines.encode() if isinstance(lines, str) else lines}


# What the clients that sign must not be done to: whoever is suspended, or has no key, is told nothing else any more.
SPARED = {"id": "halyk", "key": "halyk:0011223344556677"}


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.path.endswith(("/suspend", "/revoke")):
        for name, other in SPARED.items():
            if str(case.path_parameters.get(name)).split(":")[0] in KEYS:
                case.path_parameters[name] = other
    # Nothing happens that an event could tell of, and a run has seconds.
    waited = str((case.query or {}).get("wait", ""))
    if waited.isdecimal() and 1 < int(waited) <= 30:
        case.query["wait"] = "1"
    roles = case.operation.definition.raw.get("x-roles")
    if roles:
        # A request that cannot vary is sent by one after another.
        fixed = not case.path_parameters and not case.query and case.operation.method == "get"
        kwargs["auth"] = Signature(roles, next(TURNS) if fixed else 0)


TURNS = itertools.count()
@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Lines that cannot be read are told so one by one, in an answer that succeeds: any bytes are lines. An order that cannot be
    read is decided, as malformed. A parameter that is written as nothing, such as an empty list, is not sent."""
    sent = urlsplit(response.request.url).query
    unsent = set(case.query or {}) - set(parse_qs(sent, keep_blank_values=True))
    lines = case.media_type in ("text/csv", "application/x-ndjson")
    malformed = response.status_code == 201 and case.operation.path == "/v1/orders" and response.json().get(
        "outcome", "malformed") == "malformed"
    return not (failure.code == "ST201" and (lines or malformed or unsent))


TALLY = Counter()
LOCK = threading.Lock()


@schemathesis.hook
def after_call(context, case, response):
    problem = b"application/problem+json" in str(response.headers.get("content-type")).encode()
    code = " " + response.json()["code"] if problem else ""
    with LOCK:
        TALLY[f"{case.operation.method.upper()} {case.operation.path} {response.status_code}{code}"] += 1


@atexit.register
def tell():
    Path(os.environ["SOCIAL_WALLET_FUZZ_TALLY"]).write_text(json.dumps(TALLY, indent=1, sort_keys=True))
