#!/usr/bin/env bash
# A part that tests/run installs: Autobahn's suite of websocket tests in tests/.parts/autobahn.
# The suite is Python 2 only, so a Debian 11 of its own, which has one, lies around it.
#   missing   prints a line for each thing that is not there
#   install   installs them
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.parts/autobahn
list=parts/autobahn.txt

can_make() { command -v debootstrap >/dev/null; }
is_made() { cmp -s "$list" "$folder/autobahn.txt"; }

missing() {
  is_made && return
  can_make || echo "debootstrap (Debian package; needs root)"
  echo "Debian 11 with Python 2.7 (debootstrap, 380 MB, into tests/$folder; needs root)"
  echo "$(grep -v '^#' "$list" | paste -sd ' ') (PyPI packages, into tests/$folder)"
}

install() {
  is_made && return
  if [ "$(id -u)" != 0 ]; then
    echo "a Debian 11 of its own is missing and only root can make it" >&2
    exit 1
  fi
  rm -rf "$folder"
  mkdir -p "$folder"
  if ! can_make; then
    quietly apt-get update
    DEBIAN_FRONTEND=noninteractive quietly apt-get install -y --no-install-recommends debootstrap
  fi
  quietly debootstrap --variant=minbase --include=python2.7,python-pip-whl bullseye "$folder/root"
  cp "$list" "$folder/root/list"
  cp /etc/resolv.conf "$folder/root/etc/resolv.conf"
  # The authorities that this machine trusts, for the case that a proxy needs one of its own.
  mkdir -p "$folder/root/etc/ssl/certs"
  cp /etc/ssl/certs/ca-certificates.crt "$folder/root/etc/ssl/certs/" 2>/dev/null || true
  # What the others are built with comes first.
  quietly pip "$(grep '^setuptools==' "$list")" "$(grep '^wheel==' "$list")"
  quietly pip -r list
  # Its namespace is declared in a way that only a site folder is searched for.
  touch "$folder/root/suite/zope/__init__.py"
  # Last, because the tests take it as the sign that all is there.
  cp "$list" "$folder/autobahn.txt"
}

# Only what went wrong is shown.
quietly() {
  echo "+ $*" >>"$folder/install.log"
  "$@" >>"$folder/install.log" 2>&1 && return
  tail -n 15 "$folder/install.log" >&2
  exit 1
}

# Each version is in the list, so pip has nothing to solve. A folder of wheels that this machine's
# pip would look into is not there inside.
pip() {
  chroot "$folder/root" sh -c 'cd / && unset PIP_FIND_LINKS &&
    export HOME=/ PYTHONPATH=/suite PYTHONWARNINGS=ignore &&
    for wheel in /usr/share/python-wheels/*.whl; do PYTHONPATH=$PYTHONPATH:$wheel; done &&
    exec python2.7 -m pip install -q --disable-pip-version-check --no-python-version-warning \
      --no-input --no-cache-dir --no-deps --no-build-isolation --upgrade --target /suite "$@"' \
    pip "$@"
}

case "${1:-}" in
  missing) missing ;;
  install) install ;;
  *)
    echo "usage: $0 missing|install" >&2
    exit 2
    ;;
esac
