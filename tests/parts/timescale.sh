#!/usr/bin/env bash
# A part that tests/run installs: a real TimescaleDB that Node.js runs, in tests/.parts/timescale.
# Its psql is that of postgres.sh.
#   missing   prints a line for each thing that is not there
#   install   installs them
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.parts/timescale
list=parts/timescale

has_node() { command -v node >/dev/null && command -v npm >/dev/null; }
# npm writes the hidden list when all is there.
is_made() {
  cmp -s "$list/package-lock.json" "$folder/package-lock.json" &&
    [ -f "$folder/node_modules/.package-lock.json" ]
}

case "${1:-}" in
  missing)
    has_node || echo "nodejs, npm (Debian packages; need root)"
    is_made || echo "$(sed -n 's/.*"npm:\(.*\)".*/\1/p' "$list/package.json") (npm package, into tests/$folder)"
    ;;
  install)
    if ! has_node; then
      if [ "$(id -u)" != 0 ]; then
        echo "nodejs and npm are missing and only root can install them" >&2
        exit 1
      fi
      apt-get update -qq
      DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends nodejs npm
    fi
    is_made && exit 0
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$list/package.json" "$list/package-lock.json" "$folder"
    cd "$folder"
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    ;;
  *)
    echo "usage: $0 missing|install" >&2
    exit 2
    ;;
esac
