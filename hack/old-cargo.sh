#!/usr/bin/env bash
# Unpacks Debian's cargo 1.65, which knows the git index only, into the cache and prints the path of a program that runs it with
# the machine's own rustc. Nothing is installed. Needs apt-get and dpkg.
set -euo pipefail
packages=(cargo libgit2-1.5 libhttp-parser2.9 libmbedcrypto7 libmbedtls14 libmbedx509-1 libssh2-1)
dir=${XDG_CACHE_HOME:-$HOME/.cache}/crateyard/cargo-1.65
if [ ! -x "$dir/cargo" ]; then
  command -v apt-get dpkg >/dev/null || { echo "error: cargo 1.65 comes from Debian's packages: run the tests on Debian 12" >&2; exit 1; }
  mkdir -p "$(dirname "$dir")"
  new=$(mktemp -d "$dir.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  (
    cd "$new"
    { apt-get download "${packages[@]}" || { apt-get update -qq && apt-get download "${packages[@]}"; }; } >&2
    for deb in *.deb; do dpkg -x "$deb" root; done
    rm -- *.deb
    # The libraries are in a folder of the machine's kind: usr/lib/x86_64-linux-gnu, say.
    lib=$(basename "$(dirname root/usr/lib/*/libgit2.so.1.5)")
    printf '#!/bin/sh\nexport LD_LIBRARY_PATH="%s"\nexec "%s" "$@"\n' "$dir/root/usr/lib/$lib" "$dir/root/usr/bin/cargo" > cargo
    chmod 755 . cargo
  )
  mv -T "$new" "$dir" 2>/dev/null || [ -x "$dir/cargo" ] # another test may have been faster
fi
"$dir/cargo" --version | grep -q '^cargo 1\.65\.' || { echo "error: $dir/cargo is no cargo 1.65: remove the folder and try again" >&2; exit 1; }
echo "$dir/cargo"
