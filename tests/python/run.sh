#!/bin/sh
# The Python tests and those of the examples in JavaScript: the golden ACH files before validators of others, and end to end a client that
# shares no code with the engine, only the .proto files.
# Makes a venv outside the clone (once per set of requirements) and stubs in a temporary folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
engine=${TALLYSTICK_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/tallystick}
if [ ! -x "$engine" ]; then
    echo "python: no engine at $engine; build it with \`make test\` or set TALLYSTICK_BIN" >&2
    exit 1
fi

key=$(cat "$here/requirements.txt" "$here/requirements-nacha.txt" | cksum | cut -d ' ' -f 1)-$(python3 -c 'import sys; print(sys.hexversion)')
venv=${TALLYSTICK_VENV:-$HOME/.cache/tallystick-venv}/$key
# Marked ready at the very end, so that an interrupted install is never taken for a whole one.
if [ ! -e "$venv/ready" ]; then
    rm -rf -- "$venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        --requirement "$here/requirements-nacha.txt"
    touch "$venv/ready"
fi

PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/nacha.py" \
    --golden "$root/engine/rails/src/golden"
# A bank that shares no code with the engine makes its answers anew: they are those that the engine's own
# tests read.
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/bank.py" \
    --check "$root/engine/rails/src/iso20022/answers"

# The examples in JavaScript, with what their lock file names. Marked at the end, as above.
examples=$root/docs/examples
stamp=$(cat "$examples/package.json" "$examples/package-lock.json" | cksum)
if [ "$(cat "$examples/node_modules/.ready" 2>/dev/null)" != "$stamp" ]; then
    npm ci --silent --no-progress --prefix "$examples"
    echo "$stamp" >"$examples/node_modules/.ready"
fi
node "$root/tests/js/vectors.mjs"

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT INT TERM
mkdir "$work/stubs"
"$venv/bin/python" -m grpc_tools.protoc -I "$root/proto" \
    --python_out="$work/stubs" --grpc_python_out="$work/stubs" \
    tallystick/v1/vouchers.proto tallystick/v1/operator.proto
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$work/stubs "$venv/bin/python" "$here/e2e.py" \
    --engine "$engine" --work "$work" --schema "$here/../schemas/pain.001.001.09.xsd"
# The README's commands, in a shell of their own.
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/readme.py" --engine "$engine" --work "$work/readme"
