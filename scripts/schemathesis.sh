#!/usr/bin/env bash
# Holds a running service to its own description: schemathesis makes requests from /openapi.json, good ones and bad ones, signed
# by clients of every role, and no answer may be a 5xx, or of a status, a content type, fields or a shape that is not documented.
#
#   scripts/schemathesis.sh [--examples N] [ARGUMENT FOR schemathesis run]...
#
# Each operation is sent what its description makes one think of, and N random requests: as many on a slow machine as on a fast one.
#
# It serves a new book of its own, in SQLite, with the program in target/debug (built if need be), and throws it away. The seed of
# a run that fails is printed: give it again with `--seed`. schemathesis comes from PyPI, once, into target/schemathesis. Where PyPI
# cannot be reached this fails; SOCIAL_WALLET_SKIP_SCHEMATHESIS=1 goes on without it, and says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=4.32.5
cryptography=48.0.0
examples=25
minutes_max=20 # a machine on which it takes longer than a minute or two is very busy

say() { printf 'schemathesis.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

if [[ -n ${SOCIAL_WALLET_SKIP_SCHEMATHESIS:-} ]]; then
  say "NOT RUN: SOCIAL_WALLET_SKIP_SCHEMATHESIS is set"
  exit 0
fi
if [[ ${1:-} == --examples ]]; then
  [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die "--examples takes a whole number"
  examples=$2
  shift 2
fi
python=${SOCIAL_WALLET_TEST_PYTHON:-python3}
for name in $(compgen -e SOCIAL_WALLET_); do unset "$name"; done # what is in them is for another service

environment=$PWD/target/schemathesis
if [[ $(cat "$environment/.installed" 2>/dev/null) != "$version $cryptography" ]]; then
  rm -rf "$environment"
  "$python" -m venv "$environment" || { scripts/apt-install.sh python3-venv && "$python" -m venv --clear "$environment"; }
  "$environment/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version" "cryptography==$cryptography" ||
    die "schemathesis $version cannot be had from PyPI: SOCIAL_WALLET_SKIP_SCHEMATHESIS=1 goes on without it"
  echo "$version $cryptography" >"$environment/.installed"
fi

cargo build --quiet --locked --bin social-wallet
program=$PWD/target/debug/social-wallet
home=$(mktemp -d "$PWD/target/schemathesis-run.XXXXXXXX")
service=''

finish() {
  local code=$?
  trap - EXIT
  if [[ -n $service ]]; then
    kill -TERM "$service" 2>/dev/null || true
    wait "$service" 2>/dev/null || { say "the service ended badly; its log ends so:"; tail -n 20 "$home/log" >&2; code=1; }
  fi
  if ((code == 0)); then rm -rf "$home"; else say "what there was is in $home"; fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

export SOCIAL_WALLET_DATA_DIR=$home/data
"$program" bootstrap --trial >/dev/null
# One client of each role sends all requests: its rate is not what is tried here.
RUST_LOG=info "$program" serve --listen 127.0.0.1:0 --requests-per-second 1000000 >"$home/out" 2>"$home/log" &
service=$!
until url=$(sed -n 's/^listening on //p' "$home/out") && [[ -n $url ]]; do
  kill -0 "$service" 2>/dev/null || { tail -n 20 "$home/log" >&2; die "the service did not start"; }
  sleep 0.1
done

# Something of everything, so that requests meet more than what is unknown.
export SOCIAL_WALLET_SERVER=$url
as() {
  local name=$1
  shift
  "$program" "$@" --client-key "$home/data/clients/$name.pem"
}
as operator-1 health --wait 30 >/dev/null
as operator-1 programme register-catalogue >/dev/null
for code in $("$environment/bin/python" -c 'import json; print(*(it["code"] for it in json.load(open("specs/programmes.json"))["programmes"]))'); do
  as operator-1 fund "$code" 5000000000 --reference "first/$code" --approver-key "$home/data/clients/operator-2.pem" >/dev/null
done
as operator-1 --json fund BIRTH 1.00 --reference open >"$home/approval.json"
"$program" generate --lines 60 --period 2026-11 -o "$home/payroll.csv" >/dev/null 2>&1
as payer accrue "$home/payroll.csv" >/dev/null
payer=$(as operator-1 --json call GET /v1/programmes/ASP | "$environment/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["body"]["payer"])')
batches=()
for number in 1 2 3 4; do
  batch=$(cat /proc/sys/kernel/random/uuid)
  as payer call PUT "/v1/batches/$batch" "{\"kind\": \"accrual\", \"payer\": \"$payer\", \"programmes\": [\"ASP\"],
    \"periods\": [\"2026-1$((number % 3))\"], \"lines\": 100, \"total\": \"100.00\", \"currency\": \"KZT\"}" >/dev/null
  batches+=("$batch")
done

"$environment/bin/python" - "$home" "$payer" "${batches[@]}" <<'PYTHON'
import csv, json, secrets, subprocess, sys, time
from pathlib import Path
home, payer, *batches = sys.argv[1:]
home = Path(home)
program = "target/debug/social-wallet"
iins = [row["iin"] for row in csv.DictReader(open(home / "payroll.csv"))]
def post(client, path, body):
    answer = subprocess.run([program, "--json", "call", "POST", path, json.dumps(body), "--client-key",
                             home / f"data/clients/{client}.pem"], capture_output=True, check=True)
    return json.loads(answer.stdout)["body"]
def order(name, kind, number, iin):
    order = {"number": str(number), "date": "2026-11-20", "kind": kind, "iin": iin, "amount": "50000.00", "currency": "KZT",
             "enforcement_document": "Writ 7", "purpose": "Debt"}
    if name == "tax-authority":
        order["tax_debt"] = {"type": "101202"}
    return post(name, "/v1/orders", order)["entry"]
given = [("authority", "collection"), ("authority", "arrest"), ("tax-authority", "collection"), ("bank-claims", "set_off"),
         ("collector", "payment_demand")]
orders = [order(name, kind, number, iin) for number, ((name, kind), iin) in enumerate(zip(given, iins))]
moment = lambda ahead: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + ahead))
def authorise(wallet, purpose):
    consent = {"method": "session", "evidence": secrets.token_hex(32), "at": moment(0)}
    body = {"wallet": wallet, "amount": "5000.00", "currency": "KZT", "standing": True, "expires": moment(7200), "consent": consent}
    return post("channel", "/v1/authorisations", body | purpose)["entry"]
approval = json.loads((home / "approval.json").read_text())
wallets = [post("auditor", "/v1/wallets/lookup", {"iin": iin})["wallet"] for iin in iins[:8]]
card = {"for": "transfer", "bank": "CASPKZKA", "card": {"token": "tok-8f14e45f", "last_four": "4242"}}
to_card = [authorise(wallet, card) for wallet in wallets]
to_cash = [authorise(wallet, {"for": "cash"}) for wallet in wallets]
out = lambda authorisation: {"authorisation": authorisation, "amount": "1.00", "currency": "KZT"}
transfers = [post("bank", "/v1/transfers", out(given))["entry"] for given in to_card]
cash = [post("channel", "/v1/cash", out(given)) for given in to_cash * 2]
codes = [(made["reference"], made["code"]) for made in cash]
for reference, code in codes[:6]:
    post("bank", "/v1/cash/redeem", {"reference": reference, "code": code, "terminal": "ATM-1"})
known = {
    "iin": iins, "payer": [payer], "wallet": wallets, "batch": batches, "code": ["ASP", "BIRTH"],
    "programme": ["ASP", "BIRTH"], "period": ["2026-10", "2026-11", "2026-12"], "entry": [0, 1, 20, approval["entry"], approval["entry"] + 1],
    "first_line": [1, 2, 50], "approvals": [approval["entry"]], "digest": [approval["digest"]],
    "authorisation": to_card + to_cash, "authorisations": to_card + to_cash, "transfers": transfers, "orders": orders,
    "cash": [made["entry"] for made in cash], "codes": codes[6:], "reserved": codes[:6],
}
(home / "known.json").write_text(json.dumps(known))
PYTHON

export SOCIAL_WALLET_FUZZ_KEYS=$home/data/clients SOCIAL_WALLET_FUZZ_KNOWN=$home/known.json SOCIAL_WALLET_FUZZ_TALLY=$home/tally.json
export SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH=$PWD/scripts PYTHONDONTWRITEBYTECODE=1
(
  cd "$home" # it keeps what it has found where it runs
  # Who sends a request, and whether signed, is for the hooks. What is of the documented form may be refused all the same: a person
  # who does not exist, an amount that is not covered. Requests are not made from earlier answers (stateful): what one role made,
  # another is told that it does not exist.
  timeout --foreground "${minutes_max}m" "$environment/bin/schemathesis" run "$url/openapi.json" \
    --max-examples "$examples" --workers 1 --no-color --warnings off --phases examples,coverage,fuzzing \
    --generation-with-security-parameters false --checks all \
    --exclude-checks ignored_auth,positive_data_acceptance "$@"
) || { code=$?; ((code != 124)) || say "it did not end within $minutes_max minutes"; exit "$code"; }

# If nearly everything were refused, little would have been tried: five of six operations usually do what they are asked.
"$environment/bin/python" - "$home/tally.json" <<'PYTHON'
import json, sys
from collections import Counter
answers, codes, done, asked = Counter(), Counter(), set(), set()
for line, count in json.load(open(sys.argv[1])).items():
    method, path, status, *code = line.split()
    operation = f"{method} {path}"
    answers[status] += count
    codes.update({name: count for name in code})
    asked.add(operation)
    if status < "300":
        done.add(operation)
print("answers by status:", ", ".join(f"{status}: {count}" for status, count in sorted(answers.items())))
print(f"{len(done)} of {len(asked)} operations did what they were asked at least once; not:", ", ".join(sorted(asked - done)) or "none")
print(f"{len(codes)} codes of problems were met")
if 3 * len(done) < 2 * len(asked) or answers["401"] * 4 > sum(answers.values()) or codes["client_suspended"]:
    sys.exit("too little was done to say anything")
PYTHON
