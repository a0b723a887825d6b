#!/bin/sh
# Makes .venv beside the checkout and installs one set from its hash-pinned lock: install.sh hil|test|flight|ground
# Run again, it does nothing until a lock or pyproject.toml changes. PYTHON=/path/to/python3.12 chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."
wanted=${1:?usage: requirements/install.sh hil|test|flight|ground}

say() { printf '%s\n' "orbitlm: $*"; }
stop() { say "$*" >&2; exit 1; }

[ -f "requirements/$wanted.txt" ] || stop "expected one of hil, test, flight, ground; found '$wanted'."
state=$(cat pyproject.toml requirements/build.txt "requirements/$wanted.txt" flight/inference/kernel/library/q8_0.c | cksum | tr ' ' '-')
stamp=.venv/orbitlm-$wanted
kernel=flight/inference/kernel/library
built() { ls "$kernel"/*.so >/dev/null 2>&1; }
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ] && { built || [ "$wanted" = ground ]; }; then exit 0; fi

fits() {
    "$1" - >/dev/null 2>&1 <<'PY'
import sys, ensurepip, venv
raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PY
}
if [ ! -x .venv/bin/python ]; then
    python=
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if fits "$candidate"; then python=$candidate; break; fi
    done
    [ -n "$python" ] || stop "needs Python 3.11, 3.12 or 3.13 with venv and found none: install one (Debian and Ubuntu: apt install python3 python3-venv; others: python.org) or say PYTHON=/path/to/python3.12."
    say "making .venv with $("$python" --version)"
    "$python" -m venv .venv
fi
if [ "$wanted" != ground ] && ! .venv/bin/python -c 'import llama_cpp' >/dev/null 2>&1; then
    for tool in cc c++; do
        command -v "$tool" >/dev/null || stop "needs a C and C++ compiler and found no '$tool': install one (Debian and Ubuntu: apt install build-essential)."
    done
    say "llama.cpp is built from source the first time: about 4 minutes on two cores; pip keeps the result"
    CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(getconf _NPROCESSORS_ONLN)}
    export CMAKE_BUILD_PARALLEL_LEVEL
fi
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
# The build tools come from a lock as well, so nothing unpinned is fetched while llama.cpp is built.
pip install -q --require-hashes -r requirements/build.txt
PATH="$PWD/.venv/bin:$PATH" pip install -q --require-hashes --no-build-isolation -r "requirements/$wanted.txt"
rm -f "$kernel"/*.so # a build that fails must not leave an older one
pip install -q --no-deps --no-build-isolation -e .
built || [ "$wanted" = ground ] || say "no C compiler could build $kernel/q8_0.c: all works, batches at llama.cpp's own pace"
printf '%s' "$state" >"$stamp"
say "environment '$wanted' is ready in .venv"
