#!/usr/bin/env bash
# Builds grpcurl and Jaeger from source with Go. Nothing but a look around needs them.
# Usage: install_tools.sh FOLDER
set -euo pipefail

folder=$1

if ! command -v go >/dev/null; then
  echo "error: Go is not installed, so nothing can be built." >&2
  echo "way out: install grpcurl and jaeger from your distribution, or from their projects'" >&2
  echo "release pages, and put them on PATH." >&2
  exit 1
fi

mkdir -p "$folder"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing=()

# As a dependency of an empty module, because `go install` refuses programs whose own module
# replaces some of its dependencies, as Jaeger's does.
build() {
  local name=$1 package=$2 version=$3
  if [[ -x $folder/$name ]]; then
    return
  fi
  echo "Building $name $version …"
  mkdir "$scratch/$name"
  if ! (
    cd "$scratch/$name"
    go mod init tools &&
      go get "$package@$version" &&
      go build -o "$folder/$name" "$package"
  ) >"$scratch/$name.log" 2>&1; then
    tail -n 5 "$scratch/$name.log" >&2
    missing+=("$name")
  fi
}

build grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl v1.9.4
build jaeger github.com/jaegertracing/jaeger/cmd/jaeger v1.76.0

if ((${#missing[@]})); then
  echo "error: could not be built: ${missing[*]}." >&2
  echo "way out: put your own on PATH; only the tests that use them are skipped without." >&2
  exit 1
fi
echo "Installed in $folder."
