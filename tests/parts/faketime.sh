#!/usr/bin/env bash
# A part that tests/run installs: libfaketime, under which a process sees another wall clock.
#   missing   prints a line for each thing that is not there
#   install   installs them
set -euo pipefail

is_there() { [ -e "/usr/lib/$(uname -m)-linux-gnu/faketime/libfaketimeMT.so.1" ]; }

case "${1:-}" in
  missing)
    is_there || echo "libfaketime (Debian package; needs root)"
    ;;
  install)
    is_there && exit 0
    if [ "$(id -u)" != 0 ]; then
      echo "libfaketime is missing and only root can install it" >&2
      exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends libfaketime
    ;;
  *)
    echo "usage: $0 missing|install" >&2
    exit 2
    ;;
esac
