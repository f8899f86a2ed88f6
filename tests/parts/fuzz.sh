#!/usr/bin/env bash
# A part that tests/run installs: cargo-fuzz in tests/.parts/fuzz.
#   missing   prints a line for each thing that is not there
#   install   installs them
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.parts/fuzz
version=0.13.2

is_made() { [ "$("$folder/bin/cargo-fuzz" --version 2>/dev/null)" = "cargo-fuzz $version" ]; }
# libFuzzer is C++.
has_compiler() { command -v c++ >/dev/null; }

case "${1:-}" in
  missing)
    has_compiler || echo "g++ (Debian package; needs root)"
    is_made || echo "cargo-fuzz $version (crate, built into tests/$folder)"
    ;;
  install)
    if ! has_compiler; then
      if [ "$(id -u)" != 0 ]; then
        echo "a C++ compiler is missing and only root can install it" >&2
        exit 1
      fi
      apt-get update -qq
      DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends g++
    fi
    is_made && exit 0
    cargo install --quiet --locked --version "$version" --root "$folder" cargo-fuzz
    ;;
  *)
    echo "usage: $0 missing|install" >&2
    exit 2
    ;;
esac
