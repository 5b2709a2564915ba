#!/bin/sh
# The client libraries, with what their lock files name, on the real engine: `run.sh [typescript|browser|python]`. `browser` is
# the one in JavaScript in a real Chromium. `run.sh kills` is the long run of `make x402-kills`, of which `typescript` runs a
# small one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
TALLYSTICK_BIN=${TALLYSTICK_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/tallystick}
export TALLYSTICK_BIN
if [ ! -x "$TALLYSTICK_BIN" ]; then
    echo "clients: no engine at $TALLYSTICK_BIN; build it with \`make test\` or set TALLYSTICK_BIN" >&2
    exit 1
fi

# Installed once for each lock file. Marked ready at the very end, so that an interrupted install is never taken for a
# whole one.
packages() {
    package=$root/clients/typescript
    stamp=$(cat "$package/package.json" "$package/package-lock.json" | cksum)
    if [ "$(cat "$package/node_modules/.ready" 2>/dev/null)" != "$stamp" ]; then
        npm ci --silent --no-progress --prefix "$package"
        echo "$stamp" >"$package/node_modules/.ready"
    fi
    cd "$package"
    rm -rf dist
    node_modules/.bin/tsc
}

typescript() {
    packages
    node --test --test-reporter=dot test/*.test.mjs test/e2e/*.test.mjs
    PAYMENTS=400 KILLS=2 node test/long/kills.mjs
}

browser() {
    packages
    node --test --test-reporter=dot test/browser/*.test.mjs
}

kills() {
    packages
    node test/long/kills.mjs
}

python() {
    package=$root/clients/python
    key=clients-$(cksum <"$package/requirements-test.txt" | cut -d ' ' -f 1)-$(python3 -c 'import sys; print(sys.hexversion)')
    venv=${TALLYSTICK_VENV:-$HOME/.cache/tallystick-venv}/$key
    if [ ! -e "$venv/ready" ]; then
        rm -rf -- "$venv"
        mkdir -p "$(dirname "$venv")"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$package/requirements-test.txt"
        touch "$venv/ready"
    fi
    cd "$package"
    # Plug-ins of protoc are found by their names.
    PATH=$venv/bin:$PATH
    export PATH PYTHONPATH="$package/src" PYTHONDONTWRITEBYTECODE=1
    mypy --cache-dir=/dev/null
    python3 -m pytest -q
}

for what in ${*:-typescript browser python}; do
    printf 'clients: %s\n' "$what"
    ("$what")
done
