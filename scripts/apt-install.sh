#!/usr/bin/env bash
# Installs Debian packages: directly as root, otherwise by a sudo that asks for no password.
#
#   scripts/apt-install.sh PACKAGE...
#
# A PostgreSQL that comes in this way starts no service: scripts/postgres.sh runs clusters of its own.
set -euo pipefail

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$@"; exit 1; }

[[ $# -gt 0 ]] || die "usage: scripts/apt-install.sh PACKAGE..."
command -v apt-get >/dev/null || die "this machine has no apt-get; please install by hand: $*"

as_root=()
if [[ $EUID -ne 0 ]]; then
  as_root=(sudo -n)
  "${as_root[@]}" true 2>/dev/null ||
    die "not root, and sudo is absent or wants a password; please run: sudo apt-get install --no-install-recommends $*"
fi

# Two checkouts may get here at once, and apt-get gives up where it could wait: they queue on apt's own directory.
# UCF_FORCE_CONFFOLD keeps the configuration file written below when the package brings its own.
apt() {
  flock --close /var/lib/apt \
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
    apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}

# Debian's server package creates and starts a cluster on port 5432 unless this file forbids it. If the file is there,
# somebody has already decided.
if [[ " $* " == *" postgresql "* && ! -e /etc/postgresql-common/createcluster.conf ]]; then
  "${as_root[@]}" mkdir -p /etc/postgresql-common
  "${as_root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null <<'CONF'
# Written before PostgreSQL was installed for social-wallet's scripts/postgres.sh, which wants the programs only.
create_main_cluster = false
CONF
fi

say "installing $*"
apt update || say "could not refresh the package lists; trying with those at hand"
apt install --no-install-recommends -y "$@" || die "apt-get could not install: $*"
