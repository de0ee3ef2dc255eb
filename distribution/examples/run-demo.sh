#!/bin/sh
# Two daemons on this machine:  lines -> remap -> qovery sink -> TCP -> qovery source -> console and file.
#   run-demo.sh [BINARY]           generated lines, until Ctrl-C
#   … | run-demo.sh [BINARY]       your lines, until they end
# QOVERY_DEMO_PORT (9000) is the port between the two.
set -eu

binary=${1:-qovery}
examples=$(cd "$(dirname "$0")" && pwd)
QOVERY_DEMO_DIR=$(mktemp -d "${TMPDIR:-/tmp}/qovery-demo.XXXXXX")
export QOVERY_DEMO_DIR
mkdir -p "$QOVERY_DEMO_DIR/send/run" "$QOVERY_DEMO_DIR/receive/run"
send="" receive=""

# A terminal or nothing at all: generated lines. A pipe or a file: those.
input=stdin
if [ -t 0 ] || [ "$(readlink /proc/self/fd/0 2>/dev/null)" = /dev/null ]; then
    input=generated
fi

# Waits for a child to end, whatever signals come meanwhile.
ended() {
    while kill -0 "$1" 2>/dev/null; do
        wait "$1" 2>/dev/null || true
    done
}

# The sender first, so that the receiver gets everything; then the receiver, which writes out what it has.
finish() {
    trap '' INT TERM
    if [ -n "$send" ]; then
        kill -TERM "$send" 2>/dev/null || true
        ended "$send"
    fi
    if [ -n "$receive" ]; then
        kill -TERM "$receive" 2>/dev/null || true
        ended "$receive"
    fi
    kept=0
    if [ -e "$QOVERY_DEMO_DIR/events.log" ]; then
        kept=$(wc -l <"$QOVERY_DEMO_DIR/events.log")
    fi
    echo "$kept events are in $QOVERY_DEMO_DIR/events.log" >&2
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

exec 3<&0
RUNTIME_DIRECTORY=$QOVERY_DEMO_DIR/receive/run "$binary" -q --config "$examples/demo-receive.toml" </dev/null &
receive=$!

# Until the receiver answers: the sender would get through later too, but with a warning.
tries=0
until "$binary" --socket "$QOVERY_DEMO_DIR/receive/run/api.sock" status >/dev/null 2>&1 || [ "$tries" -ge 50 ]; do
    kill -0 "$receive" 2>/dev/null || { echo "the receiving daemon did not start" >&2; exit 1; }
    sleep 0.1
    tries=$((tries + 1))
done
if [ "$input" = generated ]; then
    echo "one line a second, until Ctrl-C; pipe something in to see your own: tail -f LOG | make run" >&2
fi
RUNTIME_DIRECTORY=$QOVERY_DEMO_DIR/send/run "$binary" -q \
    --config "$examples/demo-$input.toml" --config "$examples/demo-send.toml" <&3 &
send=$!

status=0
wait "$send" || status=$?
exit "$status"
