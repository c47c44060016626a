#!/usr/bin/env bash
# Lints the protos and compares them with the last release. Usage: check_protos.sh BIN_FOLDER
set -euo pipefail

bin=$1
# The descriptor set that `make gen` leaves: it holds the imported files, too, which buf would
# otherwise look for in a registry.
image=.build/florin.binpb

# Of all files in the set, only ours are held to our rules.
"$bin/buf" lint "$image" --path florin

# What counts is what was released: until the first tag nobody relies on anything, and a comparison with the
# branch before would only forbid correcting mistakes.
last=$(git describe --tags --abbrev=0 2>/dev/null || true)
if [[ -z $last ]]; then
  echo "No release to compare with yet; the breaking check begins with the first tag."
  exit 0
fi
old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
git archive "$last" protos | tar -x -C "$old"
# Compiled by today's tools: only the protos are compared, not how they were compiled then.
"$bin/python" tools/generate.py --protos "$old/protos" --image "$old/florin.binpb"
"$bin/buf" breaking "$image" --against "$old/florin.binpb" --path florin
