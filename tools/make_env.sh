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

is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Up to the newest that all dependencies have wheels for; the default of this machine first.
find_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
    if is_new_enough "$candidate" && "$candidate" -c 'import sys; sys.exit(sys.version_info >= (3, 15))'; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

if [[ -n ${PYTHON:-} ]]; then
  is_new_enough "$PYTHON" || fail "PYTHON is $PYTHON, which is no Python 3.11 or newer." \
    "Name another, or none: then one is looked for."
  python=$(command -v "$PYTHON")
elif is_new_enough "$venv/bin/python"; then
  python=$venv/bin/python
else
  python=$(find_python) || fail "Python 3.11 to 3.14 is needed, and $(python3 --version 2>&1 || echo none) is what there is." \
    "Install it (on Debian: apt-get install python3 python3-venv), or name one: make env PYTHON=/path/to/python3.12"
fi

# Said now, because no download mends it.
if [[ -z ${FLORIN_POSTGRES_URL:-} ]]; then
  "$python" -m runner.privilege "$venv" "${FLORIN_DATA_DIR:-.florin}"
fi

projects=(-e .)
if [[ -f gen/python/pyproject.toml ]]; then
  projects+=(-e gen/python)
fi

# What another Python made is made anew.
if [[ $("$venv/bin/python" --version 2>&1) != "$("$python" --version 2>&1)" ]]; then
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
    "$python" -m venv --without-pip "$venv"
  fi
  # uv makes environments without it.
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
  pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input)
  # Compiling all of it takes as long as unpacking; Python compiles what is used when it is used.
  "${pip[@]}" install --no-compile --require-hashes -r requirements.txt
  "${pip[@]}" install --no-deps --no-build-isolation "${projects[@]}"
fi
echo "Environment ready: $venv/bin/florin --help"
