#!/bin/sh
# The demo of x402, with what the lock files name: run.sh ENGINE DIR [CALLS].
set -eu
here=$(cd "$(dirname "$0")" && pwd)
library=$here/../../clients/typescript
command -v npm >/dev/null || { echo 'demo-x402: needs Node.js 20 and npm' >&2; exit 1; }

# Marked at the end, so that an interrupted install is never taken for a whole one.
stamp=$(cat "$library/package-lock.json" "$library"/src/* "$here/package.json" "$here/package-lock.json" | cksum)
if [ "$(cat "$here/node_modules/.ready" 2>/dev/null)" != "$stamp" ]; then
    npm ci --silent --no-progress --prefix "$library"
    npm run --silent --prefix "$library" build
    # The library is packed and installed as from the registry.
    (cd "$here" && npm ci --silent --no-progress)
    echo "$stamp" >"$here/node_modules/.ready"
fi
exec node "$here/demo.mjs" --engine "$1" --dir "$2" --calls "${3:-30000}"
