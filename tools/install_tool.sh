#!/usr/bin/env bash
# Builds a Go program from source, once for each version. Nothing but a look around needs them.
# Usage: install_tool.sh FOLDER grpcurl|jaeger
set -euo pipefail

folder=$1 name=$2

case $name in
  grpcurl) module=github.com/fullstorydev/grpcurl version=v1.9.4 ;;
  jaeger) module=github.com/jaegertracing/jaeger version=v1.76.0 ;;
  *)
    echo "error: $name is none of grpcurl and jaeger." >&2
    exit 2
    ;;
esac

if ! command -v go >/dev/null; then
  echo "error: Go is not installed, so $name cannot be built." >&2
  echo "way out: install $name from your distribution, or from its project's release page, and put it on PATH." >&2
  exit 1
fi

program=$folder/$name-$version
if [[ ! -x $program ]]; then
  echo "Building $name $version …"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  # In its own module and not by `go install`, which refuses programs whose module replaces some of its
  # dependencies, as Jaeger's does; and so with the dependencies that its own go.sum names.
  source=$(cd "$scratch" && go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  cp -r "$source" "$scratch/source"
  chmod -R u+w "$scratch/source"
  mkdir -p "$folder"
  (cd "$scratch/source" && go build -o "$scratch/$name" "./cmd/$name")
  mv "$scratch/$name" "$program"
fi
ln -sf "$name-$version" "$folder/$name"
echo "Installed: $folder/$name"
