#!/bin/sh
# Makes the example export anew: example.tallyexp, example-receipt.json, example.json. Needed when the form of a
# record changes; the keys are new each time, so all three change together.
#
# Usage: tests/vectors/example.sh ENGINE        (e.g. target/release/tallystick)
set -eu
engine=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || { kill "$pid"; wait "$pid"; } 2>/dev/null || true; rm -rf -- "$work"' EXIT INT TERM
cd "$work"

for name in ann bob; do "$engine" operator token --name "$name" --out "$name.token" --json >"$name.json"; done
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }
cat >config.toml <<EOF
data_dir = "$work/data"
listen = "127.0.0.1:0"
ready_file = "$work/ready"
[operators]
ann = "$(field ann.json digest)"
bob = "$(field bob.json digest)"
EOF
# serves CONFIG
serves() {
    rm -f ready
    "$engine" serve --config "$1" 2>"$work/log" &
    pid=$!
    until [ -f ready ]; do
        kill -0 "$pid" 2>/dev/null || { cat log >&2; exit 1; }
    done
    export TALLYSTICK_SERVER="$(field ready grpc)"
}
serves config.toml
ann() { "$engine" --token-file ann.token "$@" >out; }
bob() { "$engine" --token-file bob.token "$@" >out; }

ann asset add --number 978 --code EUR --scale 6 --model multilateral
ann asset add --number 840 --code USD --scale 6 --model bilateral
for n in 1 2 3; do
    party=$(printf "%064d" 0 | sed "s/0/0$n/g" | cut -c 1-64)
    eval "p$n=$party"
    ann party add --id "$party" --name "Party $n" --account iso20022:iban=DE02120300000000202051,bic=BYLADEM1001
    "$engine" voucher keygen --out "$n.key" --json >"$n.json"
    ann signer add --party "$party" --key "$(field "$n.json" signer)"
    for asset in 978 840; do ann limit set --party "$party" --asset "$asset" 100000000; done
done
ann deposit record --party "$p3" --asset 978 1000000 --reference 'a transfer of Monday'
# From here on batches take two; and so would all that was registered so far.
kill "$pid"
wait "$pid" || true
{ echo 'four_eyes = true'; cat config.toml; } >two.toml
serves two.toml
expires=$(($(date +%s) + 86400))
# pays LANE FROM TO ASSET TOTAL
pays() {
    ann voucher sign --key-file "$2.key" --payee "$3" --asset "$4" --lane "$1" --cumulative "$5" \
        --expires-at "$expires" --submit
}
pays 0 1 "$p2" 978 2345678
pays 1 1 "$p2" 978 534247
pays 0 3 "$p2" 978 4567890
pays 0 2 "$p3" 978 12345
pays 0 1 "$p2" 840 770001
ann window close
ann batch create --window 1 --asset 978 --rail iso20022 --json
multilateral=$(field out batch_id)
ann batch create --window 1 --asset 840 --rail iso20022 --json
bilateral=$(field out batch_id)
"$engine" operator key new --out bob.key --json >bob-key.json
bob operator key set bob --sign-with bob.key
bob batch approve "$multilateral" --sign-with bob.key
bob batch approve "$bilateral" --sign-with bob.key
ann leg report "$bilateral" --pay-outs --word rejected --reason 'the account is closed'
bob key rotate
pays 0 1 "$p2" 978 2345800
pays 2 3 "$p1" 840 40001
ann window close
ann evidence export 1 2 --out "$here/example.tallyexp"
ann receipt --signer "$(field 1.json signer)" --payee "$p2" --asset 978 \
    --expires-at "$expires" --out "$here/example-receipt.json"
"$engine" audit "$here/example.tallyexp" --receipt "$here/example-receipt.json" \
    --operator-key "bob=$(field bob-key.json key)" --json >audit.json
ann window show 2 --json
python3 - "$here/example.json" audit.json <<'EOF'
import json, sys
audit = json.load(open(sys.argv[2]))
names = ["network_id", "first_engine_key", "engine_key", "events", "windows", "obligations", "carried", "positions",
         "voucher_signatures", "engine_signatures", "batches", "legs", "approvals", "approvals_signed", "words",
         "words_signed", "receipts", "operator_keys"]
said = {
    "what": "example.tallyexp, made by an engine of this version: two operators and four eyes, two windows, a "
            "multilateral batch whose debtor's deposit pays a part, a bilateral one whose only leg was rejected, an "
            "approver who signs with their own key, and a new key of the engine; audited with example-receipt.json",
    "audit": {name: audit[name] for name in names},
}
open(sys.argv[1], "w").write(json.dumps(said, indent=1) + "\n")
EOF
kill "$pid"
wait "$pid" || true
pid=
