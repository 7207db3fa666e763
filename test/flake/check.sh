#!/usr/bin/env bash
# Evaluates every output of flake.nix without a network and without building anything: nixpkgs is the stub beside this file.
# Needs `nix` alone (Debian's nix-bin). What it cannot see: whether nixpkgs has these packages, and whether they build.
set -euo pipefail
cd "$(dirname "$0")/../.."
work="$(mktemp -d)"
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
export NIX_STORE_DIR="$work/store" NIX_STATE_DIR="$work/state" NIX_LOG_DIR="$work/log" NIX_CONF_DIR="$work/conf" XDG_CACHE_HOME="$work/cache"
nix-instantiate --parse flake.nix > /dev/null
mkdir "$work/flake" && cp flake.nix "$work/flake"
flakes() {
  nix --extra-experimental-features "nix-command flakes" "$@" --no-write-lock-file --override-input nixpkgs "path:$PWD/test/flake/nixpkgs" 2> "$work/said" || { cat "$work/said" >&2; exit 1; }
}
flakes flake show "path:$work/flake"
# Every attribute that an output needs: show prints names alone.
for system in x86_64-linux aarch64-linux aarch64-darwin; do
  for output in packages.$system.default.drvPath checks.$system.default.drvPath devShells.$system.default.drvPath formatter.$system.drvPath apps.$system.default.program; do
    flakes eval --raw "path:$work/flake#$output" > /dev/null
  done
done
# The program itself, as a shell reads it.
flakes eval --raw "path:$work/flake#packages.x86_64-linux.default.text" | bash -n
