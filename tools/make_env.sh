#!/usr/bin/env bash
# Makes the environment: every dependency by its hash, then this project itself, editable.
# Usage: make_env.sh FOLDER. Needs neither a HOME nor anything outside the package registry.
set -euo pipefail

venv=$1

fail() {
  echo "error: $1" >&2
  echo "way out: $2" >&2
  exit 1
}

# The newest Python first that is there and new enough; PYTHON=… overrides.
find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

python=$(find_python) || fail "Python 3.11 or newer is needed, and $(python3 --version 2>&1 || echo none) is what there is." \
  "Install it (on Debian: apt-get install python3 python3-venv), or name one: make env PYTHON=/path/to/python3.12"

projects=(-e .)
if [[ -f gen/python/pyproject.toml ]]; then
  projects+=(-e gen/python)
fi

if [[ ! -x $venv/bin/python ]]; then
  rm -rf "$venv"
fi

if command -v uv >/dev/null; then
  echo "Environment in $venv, by uv, with $("$python" --version) …"
  [[ -d $venv ]] || uv venv --quiet --python "$python" "$venv"
  uv pip sync --quiet --python "$venv/bin/python" --require-hashes requirements.txt
  uv pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation "${projects[@]}"
else
  echo "Environment in $venv, by pip, with $("$python" --version): a minute or two the first time …"
  if [[ ! -d $venv ]]; then
    "$python" -c 'import ensurepip' 2>/dev/null ||
      fail "this Python cannot make virtual environments: it lacks ensurepip." \
        "Install it (on Debian: apt-get install python3-venv), or install uv."
    "$python" -m venv "$venv"
  fi
  pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input)
  "${pip[@]}" install --require-hashes -r requirements.txt
  "${pip[@]}" install --no-deps --no-build-isolation "${projects[@]}"
fi
echo "Environment ready: $venv/bin/florin --help"
