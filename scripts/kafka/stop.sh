#!/bin/sh
# stop.sh DIR: ends the broker that start.sh started on DIR; kills it when it is not gone after 20 s.
set -eu
[ $# -eq 1 ] || { echo "usage: stop.sh DIR" >&2; exit 2; }
[ -f "$1/broker.pid" ] || exit 0
pid=$(cat "$1/broker.pid")
kill -TERM "$pid" 2> /dev/null || { rm -f "$1/broker.pid"; exit 0; }
tries=0
while kill -0 "$pid" 2> /dev/null; do
  tries=$((tries + 1))
  [ "$tries" -lt 200 ] || { kill -KILL "$pid"; break; }
  sleep 0.1
done
rm -f "$1/broker.pid"
