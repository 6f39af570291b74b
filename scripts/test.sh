#!/usr/bin/env bash
# Every check of this project, on a Debian-like machine that has Rust and nothing else prepared.
#
#   scripts/test.sh [ARGUMENT FOR cargo test]...
#
# The last check holds the service to its description with schemathesis, which comes from PyPI: see scripts/schemathesis.sh.
#
# Installs what is missing (a C compiler, PostgreSQL, Python), as root or by a sudo that asks for no password. The tests get a
# PostgreSQL of their own, thrown away afterwards; to use another one, set SOCIAL_WALLET_TEST_DATABASE_URL to the URL of
# a role that may create databases and roles. The first check that fails ends the run, with its exit code.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step='' # what is being done, for the last line
postgres_dir=''

heading() {
  step=$1
  printf '\n=== %s\n' "$step"
}

finish() {
  local code=$?
  trap - EXIT
  trap '' INT TERM HUP # a second Ctrl-C must not leave a server behind
  if [[ -n $postgres_dir && -d $postgres_dir ]]; then
    if ! scripts/postgres.sh destroy --dir "$postgres_dir"; then
      echo "test.sh: PostgreSQL is left in $postgres_dir" >&2
      ((code != 0)) || code=1
    fi
  fi
  if ((code == 0)); then
    printf '\n=== PASSED: every check\n'
  else
    printf '\n=== FAILED: %s (exit code %d)\n' "$step" "$code" >&2
  fi
  exit "$code"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

can_compile_c() { echo 'int main(void) { return 0; }' | cc -x c -include stdlib.h -o /dev/null - 2>/dev/null; }

ensure_component() {
  cargo "$1" --version >/dev/null 2>&1 && return
  rustup component add "$2" || { echo "test.sh: cargo $1 is missing, and rustup could not add $2" >&2; return 1; }
}

# The log's independent verifier, specs/verify_log.py, needs Python 3.11 and its library `cryptography`.
can_verify() {
  command -v "$1" >/dev/null &&
    "$1" -c 'import sys, cryptography.hazmat.primitives.asymmetric.ed25519; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Debian's packages, or, where those are too old or cannot be installed, a virtual environment under target/.
ensure_python() {
  can_verify python3 && return
  scripts/apt-install.sh python3 python3-cryptography || true
  can_verify python3 && return
  local environment=$PWD/target/python
  can_verify "$environment/bin/python" ||
    { python3 -m venv "$environment" && "$environment/bin/pip" install --quiet cryptography; } || true
  can_verify "$environment/bin/python" ||
    { echo "test.sh: no Python 3.11 with the library cryptography, and none could be installed" >&2; return 1; }
  export SOCIAL_WALLET_TEST_PYTHON=$environment/bin/python
}

heading "tools"
if ! command -v cargo >/dev/null && [[ -f ${CARGO_HOME:-$HOME/.cargo}/env ]]; then
  # shellcheck source=/dev/null # rustup's file: it sets PATH
  . "${CARGO_HOME:-$HOME/.cargo}/env"
fi
command -v cargo >/dev/null || { echo "test.sh: no cargo; see https://rustup.rs" >&2; exit 1; }
can_compile_c || scripts/apt-install.sh gcc libc6-dev # ring and the bundled SQLite are C
{ command -v curl && command -v openssl; } >/dev/null || scripts/apt-install.sh curl openssl # examples/sign.sh
[[ -e /etc/ssl/certs/ca-certificates.crt ]] || scripts/apt-install.sh ca-certificates # cargo's downloads
[[ -n ${SOCIAL_WALLET_TEST_PYTHON:-} ]] || ensure_python
ensure_component fmt rustfmt
ensure_component clippy clippy
cargo --version

heading "cargo fmt"
cargo fmt --check

heading "cargo clippy"
cargo clippy --locked --all-targets -- -D warnings

if [[ -z ${SOCIAL_WALLET_TEST_DATABASE_URL:-} ]]; then
  heading "PostgreSQL"
  mkdir -p target
  postgres_dir=$(mktemp -d "$PWD/target/postgres-test.XXXXXXXX")
  scripts/postgres.sh start --dir "$postgres_dir"
  SOCIAL_WALLET_TEST_DATABASE_URL=$(scripts/postgres.sh url --dir "$postgres_dir")
fi
export SOCIAL_WALLET_TEST_DATABASE_URL

heading "cargo test"
cargo test --locked "$@"

heading "schemathesis"
scripts/schemathesis.sh
