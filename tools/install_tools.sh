#!/usr/bin/env bash
# Builds grpcurl and Jaeger from source with Go. Nothing but a look around needs them.
# Usage: install_tools.sh FOLDER
set -euo pipefail

folder=$1
grpcurl=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
jaeger=github.com/jaegertracing/jaeger/cmd/jaeger@v1.76.0

if ! command -v go >/dev/null; then
  echo "error: Go is not installed, so nothing can be built." >&2
  echo "way out: install grpcurl and jaeger from your distribution, or from their projects'" >&2
  echo "release pages, and put them on PATH." >&2
  exit 1
fi
mkdir -p "$folder"
for module in "$grpcurl" "$jaeger"; do
  echo "Building ${module##*/} …"
  GOBIN=$folder go install "$module" || {
    echo "error: $module could not be built." >&2
    echo "way out: see above; everything but the tests that use it works without." >&2
    exit 1
  }
done
echo "Installed in $folder."
