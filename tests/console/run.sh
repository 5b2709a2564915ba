#!/bin/sh
# The console in a real Chromium, on the real engine: `run.sh [pages|roles|money|...]`; `run.sh bench`: how fast it is; `run.sh
# consoles`: what open ones cost others. The last line is JSON.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
TALLYSTICK_BIN=${TALLYSTICK_BIN:-${CARGO_TARGET_DIR:-$here/../../target}/release/tallystick}
export TALLYSTICK_BIN
if [ ! -x "$TALLYSTICK_BIN" ]; then
    echo "console: no engine at $TALLYSTICK_BIN; build it with \`make test-console\` or set TALLYSTICK_BIN" >&2
    exit 1
fi
# Installed once for each lock file. Marked ready at the very end.
stamp=$(cat "$here/package.json" "$here/package-lock.json" | cksum)
if [ "$(cat "$here/node_modules/.ready" 2>/dev/null)" != "$stamp" ]; then
    npm ci --silent --no-progress --prefix "$here"
    echo "$stamp" >"$here/node_modules/.ready"
fi
case ${1:-} in
    bench | consoles) exec node "$here/$1.mjs" ;;
esac
exec node "$here/run.mjs" "$@"
