#!/bin/sh
# start.sh DIR CLIENT_PORT CONTROLLER_PORT
# Starts one Kafka broker on 127.0.0.1 with its data in DIR and returns when it is ready. A second start on the same
# DIR continues with the same data. start-secure.sh adds properties and users to it. Needs Java 17 and, for the first time, Maven; the jars stay in .cache/kafka.
set -eu

[ $# -eq 3 ] || { echo "usage: start.sh DIR CLIENT_PORT CONTROLLER_PORT" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
jars=$root/.cache/kafka/jars
heap=${KAFKA_TEST_HEAP:-256m}

for tool in java sed flock; do
  command -v "$tool" > /dev/null || { echo "start.sh needs $tool: install it first." >&2; exit 3; }
done

# Downloads into a folder of its own and renames it, so that an interrupted download is never taken for the whole.
fetch_jars() {
  [ -d "$jars" ] && return 0
  command -v mvn > /dev/null || { echo "start.sh needs mvn to fetch Kafka: install it first." >&2; exit 3; }
  rm -rf "$jars.part"
  mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars.part"
  mv "$jars.part" "$jars"
}
mkdir -p "$root/.cache/kafka"
(flock 9 && fetch_jars) 9> "$root/.cache/kafka/lock" >&2

# Later lines win; without the variable the second file is empty.
cat "$here/server.properties.template" "${POOLMETER_KAFKA_EXTRA:-/dev/null}" |
  sed -e "s#@DATA_DIR@#$dir/data#g" -e "s#@DIR@#$dir#g" -e "s#@CLIENT_PORT@#$2#g" -e "s#@CONTROLLER_PORT@#$3#g" \
    -e "s#@PLAIN_USERS@#${POOLMETER_KAFKA_PLAIN_USERS:-}#g" > "$dir/server.properties"
logging="-Dlog4j2.configurationFile=$here/log4j2.properties -Dlog4j2.disable.jmx=true"

if [ ! -f "$dir/data/meta.properties" ]; then
  # A cluster id is 16 random bytes in URL-safe base64; one that begins with "-" would be taken for an option.
  id=-
  while [ "${id#-}" != "$id" ]; do id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='); done
  # shellcheck disable=SC2086 # the options are words
  java -Xmx128m $logging -cp "$jars/*" kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" \
    ${POOLMETER_KAFKA_FORMAT_ARGS:-} > "$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; exit 1; }
fi

: > "$dir/broker.log"
# Level 1 of the compiler starts in half the time, which matters more here than speed afterwards.
# shellcheck disable=SC2086
setsid nohup java -Xms"$heap" -Xmx"$heap" -XX:+UseG1GC -XX:+ExitOnOutOfMemoryError -XX:TieredStopAtLevel=1 $logging \
  -cp "$jars/*" kafka.Kafka "$dir/server.properties" >> "$dir/broker.log" 2>&1 < /dev/null &
pid=$!
echo "$pid" > "$dir/broker.pid"

tries=0
until grep -q 'Kafka Server started' "$dir/broker.log"; do
  kill -0 "$pid" 2> /dev/null || { cat "$dir/broker.log" >&2; echo "The broker ended; see above." >&2; exit 1; }
  tries=$((tries + 1))
  [ "$tries" -lt 900 ] || { kill -KILL "$pid"; echo "The broker was not ready within 90 s." >&2; exit 1; }
  sleep 0.1
done
echo "$pid"
