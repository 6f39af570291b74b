#!/usr/bin/env bash
# A private PostgreSQL cluster for tests and benchmarks. It never touches a server that is already there.
#
#   scripts/postgres.sh start   [--dir DIR]                create if need be, start, wait until it answers
#   scripts/postgres.sh url     [--dir DIR] [--superuser]  print the URL of database social_wallet
#   scripts/postgres.sh status  [--dir DIR]                print name=value lines; exit 0 if running, 3 if not
#   scripts/postgres.sh stop    [--dir DIR]                fast shutdown; the data stay
#   scripts/postgres.sh destroy [--dir DIR]                stop and delete the data
#
# DIR is target/postgres by default. The URL's role `owner` owns the database and may create databases and roles, but is
# no superuser. `--superuser` is for tests that need one. To try a crash: kill -9 the `pid` that `status` prints, then
# `start` again.
#
# In DIR:
#   data/               the cluster
#   log, log.1          the server's log since the last start, and before it
#   *.password          random, readable by the cluster's user alone
#   port                kept between starts unless another program has taken it
#   location            only if DIR cannot hold the cluster (see choose_home): the directory that does
set -euo pipefail

version_min=15
start_seconds_max=300 # recovery after a crash may have max_wal_size to read again
database=social_wallet

export LC_ALL=C # launch() reads the server's messages
unset "${!PG@}" # PGHOST, PGOPTIONS, PGSSLMODE ... are about somebody else's server

say() { printf 'postgres.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
usage() { sed -n '4,8s/^# *//p' "$scripts/postgres.sh" >&2; exit 2; }

# Whose the cluster is. PostgreSQL refuses to run as root, so root lends it to a lesser user: the one it already belongs
# to, else `postgres`, else `nobody`.
choose_user() {
  if [[ $EUID -ne 0 ]]; then user=$(id -un)
  elif [[ -d $home/data ]]; then user=$(stat -c %U "$home/data")
  elif id postgres >/dev/null 2>&1; then user=postgres
  else user=nobody
  fi
}

as_user() {
  if [[ $EUID -eq 0 ]]; then
    setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups -- "$@"
  else
    "$@"
  fi
}

# Sets home: where the cluster lives, or would live.
find_home() {
  home=$dir
  if [[ -f $dir/location ]]; then home=$(<"$dir/location"); fi
  choose_user
}

# Sets home for a new cluster: DIR, unless its user cannot reach it (a checkout below a home of mode 0700, as root).
choose_home() {
  home=$dir
  choose_user
  if [[ $EUID -eq 0 ]]; then
    if ! { chown "$user" "$dir" 2>/dev/null && as_user test -w "$dir"; }; then
      home=$(mktemp -d /tmp/social-wallet-postgres.XXXXXXXX)
      chown root "$dir"
      chown "$user" "$home"
      printf '%s\n' "$home" >"$dir/location"
      say "user $user cannot reach $dir: the cluster goes to $home"
    fi
  fi
  chmod 700 "$home"
}

# Sets bin and version: the newest server programs of at least version_min, or those of major version $1.
find_programs() {
  local wanted=${1:-} candidate major
  bin='' version=0
  for candidate in /usr/lib/postgresql/*/bin "$(pg_config --bindir 2>/dev/null)" \
    "$(dirname "$(command -v postgres || echo /nowhere/postgres)")"; do
    [[ -x $candidate/postgres && -x $candidate/initdb && -x $candidate/pg_ctl &&
      -x $candidate/pg_isready && -x $candidate/psql ]] || continue
    [[ $("$candidate/postgres" --version) =~ \(PostgreSQL\)\ ([0-9]+) ]] || continue
    major=${BASH_REMATCH[1]}
    if ((major >= version_min && major > version)) && [[ -z $wanted || $major == "$wanted" ]]; then
      bin=$candidate version=$major
    fi
  done
  [[ -n $bin ]]
}

find_programs_of_cluster() {
  local major
  major=$(cat "$home/data/PG_VERSION") || die "cannot read $home: does it belong to another user?"
  find_programs "$major" ||
    die "$home was made by PostgreSQL $major, which is gone: install it again, or run: $0 destroy --dir $dir"
}

exists() { [[ -e $home/data ]]; }

is_running() { as_user "$bin/pg_ctl" status -D "$home/data" >/dev/null 2>&1; }

is_ready() { "$bin/pg_isready" --quiet --timeout=3 --host=127.0.0.1 --port="$(<"$home/port")"; }

# Writes standard input to file $1, of the cluster's user and for nobody else.
write_private() {
  # shellcheck disable=SC2016 # $1 is the inner shell's
  as_user sh -c 'umask 077; cat >"$1"' sh "$1"
}

# Below 32768, where the system takes the ports of outgoing connections from. Whether it is free, launch() finds out.
random_port() { echo $((20000 + RANDOM % 10000)); }

# The memory that this machine, or the container around us, has.
memory_mb() {
  local machine_kb group_bytes
  machine_kb=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
  group_bytes=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [[ $group_bytes =~ ^[0-9]+$ ]] && ((group_bytes / 1024 < machine_kb)); then
    echo $((group_bytes / 1024 / 1024))
  else
    echo $((machine_kb / 1024))
  fi
}

# lz4 is cheaper than PostgreSQL's own method (`on`), but a build may lack it.
wal_compression() {
  if as_user "$bin/postgres" -D "$home/data" -c wal_compression=lz4 -C wal_compression >/dev/null 2>&1; then
    echo lz4
  else
    echo on
  fi
}

# Durable, as in production, so that benchmarks are honest; sized so that the machine is left to the program under test.
write_settings() {
  local memory shared_buffers
  memory=$(memory_mb)
  shared_buffers=$((memory / 4 < 1024 ? memory / 4 : 1024))
  write_private "$home/data/social_wallet.conf" <<CONF
# Written anew at every start by scripts/postgres.sh.
listen_addresses = '127.0.0.1'
port = $(<"$home/port")
unix_socket_directories = ''
max_connections = 200

fsync = on
synchronous_commit = on
full_page_writes = on
wal_compression = $(wal_compression)
max_wal_size = '8GB'
checkpoint_timeout = '15min'
autovacuum = on

shared_buffers = '${shared_buffers}MB'
effective_cache_size = '$((memory / 2))MB'
jit = off

timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
lc_messages = 'C'
CONF
}

# Makes the cluster beside its final name, so that an interrupted attempt is never taken for a cluster.
create() {
  local name
  choose_home
  as_user rm -rf "$home/data.new"
  for name in superuser owner; do
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' | write_private "$home/$name.password"
  done
  random_port | write_private "$home/port"
  as_user "$bin/initdb" --pgdata="$home/data.new" --username=postgres --pwfile="$home/superuser.password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C --data-checksums >/dev/null
  echo "include_if_exists 'social_wallet.conf'" | as_user tee -a "$home/data.new/postgresql.conf" >/dev/null
  as_user mv "$home/data.new" "$home/data"
}

# One attempt to start the server. Returns if it runs, or if another attempt makes sense.
launch() {
  local log_bytes
  write_settings
  log_bytes=$(stat -c %s "$home/log" 2>/dev/null || echo 0)
  # The lock (9) must not live on in the server.
  if as_user "$bin/pg_ctl" start --silent --wait --timeout="$start_seconds_max" \
    --pgdata="$home/data" --log="$home/log" </dev/null >/dev/null 2>&1 9>&-; then
    return
  fi
  case $(tail -c "+$((log_bytes + 1))" "$home/log" 2>/dev/null) in
    *"could not create any TCP/IP sockets"*) random_port | write_private "$home/port" ;;
    # After kill -9 of the server its children need a moment to notice.
    *"is still in use"* | *'lock file "postmaster.pid" already exists'*) sleep 0.5 ;;
    *)
      tail -n 20 "$home/log" >&2 || true
      die "the server does not start; its log: $home/log"
      ;;
  esac
}

superuser_psql() {
  PGPASSWORD=$(<"$home/superuser.password") "$bin/psql" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 \
    --host=127.0.0.1 --port="$(<"$home/port")" --username=postgres --dbname=postgres
}

create_owner_and_database() {
  superuser_psql <<SQL
SELECT 'CREATE ROLE "owner"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'owner') \gexec
ALTER ROLE "owner" LOGIN CREATEDB CREATEROLE PASSWORD '$(<"$home/owner.password")';
SELECT 'CREATE DATABASE $database OWNER "owner"'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '$database') \gexec
SQL
}

# One start, stop or destroy at a time per DIR.
lock() {
  exec 9<"$dir"
  flock 9
}

start() {
  mkdir -p "$dir" || die "cannot create $dir"
  lock
  find_home
  if [[ $EUID -eq 0 && $home != "$dir" ]] && [[ ! -d $home || $(stat -c %U "$home") != "$user" ]]; then
    say "$home is gone (is /tmp emptied at boot?): starting afresh"
    rm -f "$dir/location"
    find_home
  fi
  if exists; then
    find_programs_of_cluster
  else
    if ! find_programs; then
      "$scripts/apt-install.sh" postgresql
      find_programs || die "the distribution's PostgreSQL is older than $version_min: see https://www.postgresql.org/download/"
    fi
    create
  fi

  if ! is_running && [[ -f $home/log ]]; then as_user mv "$home/log" "$home/log.1"; fi
  local deadline=$((SECONDS + start_seconds_max))
  until is_running && is_ready; do
    ((SECONDS < deadline)) || die "the server does not answer; its log: $home/log"
    if is_running; then sleep 0.2; else launch; fi
  done
  create_owner_and_database
  say "PostgreSQL $version runs on 127.0.0.1:$(<"$home/port"), data in $home; for its URL: $0 url --dir $dir"
}

stop() {
  [[ -d $dir ]] || { say "not running"; return; }
  lock
  find_home
  if exists; then
    find_programs_of_cluster
    if is_running; then
      as_user "$bin/pg_ctl" stop --silent --wait --timeout="$start_seconds_max" --mode=fast --pgdata="$home/data"
      say "stopped"
      return
    fi
  fi
  say "not running"
}

url() {
  local role=owner password_file
  find_home
  if ! { exists && find_programs_of_cluster && is_running; }; then die "not running; first: $0 start --dir $dir"; fi
  password_file=$home/owner.password
  if [[ $superuser == yes ]]; then role=postgres password_file=$home/superuser.password; fi
  printf 'postgres://%s:%s@127.0.0.1:%s/%s\n' "$role" "$(<"$password_file")" "$(<"$home/port")" "$database"
}

status() {
  find_home
  if exists && find_programs_of_cluster && is_running; then
    printf '%s\n' state=running "version=$version" "pid=$(head -n 1 "$home/data/postmaster.pid")" \
      "port=$(<"$home/port")" "home=$home" "log=$home/log"
  else
    echo state=stopped
    exit 3
  fi
}

# Deletes what this script has made, by name, and nothing else.
destroy() {
  [[ -d $dir ]] || return 0
  stop
  rm -rf "$home/data" "$home/data.new"
  rm -f "$home/log" "$home/log.1" "$home/port" "$home/owner.password" "$home/superuser.password" "$dir/location"
  if [[ $home != "$dir" && -d $home ]]; then rmdir "$home"; fi
  rmdir "$dir"
}

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$scripts/../target/postgres
superuser=no
[[ $# -gt 0 ]] || usage
command=$1
shift
while [[ $# -gt 0 ]]; do
  case $1 in
    --dir) [[ -n ${2:-} ]] || usage; dir=$2; shift 2 ;;
    --superuser) superuser=yes; shift ;;
    *) usage ;;
  esac
done
dir=$(realpath -m "$dir")
cd / # the cluster's user may have no business in the caller's directory

case $command in
  start | stop | url | status | destroy) "$command" ;;
  *) usage ;;
esac
