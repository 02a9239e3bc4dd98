#!/usr/bin/env bash
# Publishes a new crate with the Secret of the demo's RegistryUser, and builds a dependant of it with a fresh CARGO_HOME.
# Needs a cluster that `make up` prepared, its KUBECONFIG, and cargo.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ "$cluster" = local ] && use_local
command -v cargo >/dev/null || die "cargo is not on the PATH"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
secret() { kubectl -n crateyard-demo get secret ci-cargo -o "go-template={{index .data \"$1\" | base64decode}}"; }
home() { # a fresh CARGO_HOME from the Secret
  mkdir -p "$1"
  secret config.toml >"$1/config.toml"
  secret credentials.toml >"$1/credentials.toml"
  export CARGO_HOME=$1
}
name=hello-crateyard-$(date +%s)-$RANDOM

home "$dir/publisher"
cargo new -q --vcs none --lib "$dir/$name"
echo 'pub fn hello() -> &'"'"'static str { "hello from a crate of your own registry" }' >"$dir/$name/src/lib.rs"
cargo publish --registry acme --allow-dirty --manifest-path "$dir/$name/Cargo.toml"

home "$dir/reader"
cargo new -q --vcs none "$dir/app"
cargo add -q --registry acme --manifest-path "$dir/app/Cargo.toml" "$name"
echo "fn main() { println!(\"{}\", ${name//-/_}::hello()) }" >"$dir/app/src/main.rs"
cargo run --manifest-path "$dir/app/Cargo.toml"
