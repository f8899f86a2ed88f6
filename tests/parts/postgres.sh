#!/usr/bin/env bash
# A part that tests/run installs: a PostgreSQL server (Debian package). The tests make clusters of
# their own; that of the package is not touched, and not made.
#   missing   prints a line for each thing that is not there
#   install   installs them
set -euo pipefail

is_there() {
  local folder
  for folder in /usr/lib/postgresql/*/bin ${PATH//:/ }; do
    [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && [ -x "$folder/psql" ] && return 0
  done
  return 1
}

case "${1:-}" in
  missing)
    is_there || echo "postgresql (Debian package; needs root)"
    ;;
  install)
    is_there && exit 0
    if [ "$(id -u)" != 0 ]; then
      echo "postgresql is missing and only root can install it" >&2
      exit 1
    fi
    # Without this the package would make a cluster and start it.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
      mkdir -p /etc/postgresql-common
      echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
      -o Dpkg::Options::=--force-confold postgresql
    ;;
  *)
    echo "usage: $0 missing|install" >&2
    exit 2
    ;;
esac
