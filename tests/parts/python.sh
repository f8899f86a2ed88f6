#!/usr/bin/env bash
# A part that tests/run installs: a Python in tests/.parts/python with readers of Parquet and
# clients of the exchange.
#   missing   prints a line for each thing that is not there
#   install   installs them
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.parts/python
list=parts/python.txt

# Debian's python3 has no way to make a venv without the package python3-venv.
can_make() { python3 -c 'import ensurepip, venv' 2>/dev/null; }
is_made() { cmp -s "$list" "$folder/python.txt" && "$folder/bin/python" -c '' 2>/dev/null; }

case "${1:-}" in
  missing)
    is_made && exit 0
    can_make || echo "python3-venv (Debian package; needs root)"
    echo "$(grep -v '^#' "$list" | paste -sd ' ') (PyPI packages, into tests/$folder)"
    ;;
  install)
    is_made && exit 0
    if ! can_make; then
      if [ "$(id -u)" != 0 ]; then
        echo "python3-venv is missing and only root can install it" >&2
        exit 1
      fi
      apt-get update -qq
      DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3-venv
    fi
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install -q --disable-pip-version-check --no-input \
      --only-binary :all: -r "$list"
    # Last, because the tests take it as the sign that all is there.
    cp "$list" "$folder/python.txt"
    ;;
  *)
    echo "usage: $0 missing|install" >&2
    exit 2
    ;;
esac
