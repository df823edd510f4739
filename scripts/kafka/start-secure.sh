#!/bin/sh
# start-secure.sh DIR CLIENT_PORT CONTROLLER_PORT
# Starts a broker as start.sh does, for tests of access: SASL over TLS, and nothing is allowed without an access rule.
# Certificates are made into DIR/tls at the first start: ca.crt, broker.pem, and client.crt with client.key.
# Users: admin/admin-secret (may do everything, SCRAM and PLAIN); DIR/users names more, one "name password" a line, of
# which SCRAM credentials are made at the first start. OAUTHBEARER takes unsigned tokens, whose subject is the user.
set -eu
[ $# -eq 3 ] || { echo "usage: start-secure.sh DIR CLIENT_PORT CONTROLLER_PORT" >&2; exit 2; }
command -v openssl > /dev/null || { echo "start-secure.sh needs openssl: install it first." >&2; exit 3; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/tls"
tls=$(cd "$1/tls" && pwd)

# certificate NAME SUBJECT: a key and a certificate of our own authority for the loopback address.
certificate() {
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$2" -keyout "$tls/$1.key" -out "$tls/$1.csr" 2> /dev/null
  printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n' > "$tls/$1.ext"
  openssl x509 -req -in "$tls/$1.csr" -CA "$tls/ca.crt" -CAkey "$tls/ca.key" -CAcreateserial -days 2 \
    -extfile "$tls/$1.ext" -out "$tls/$1.crt" 2> /dev/null
}
if [ ! -f "$tls/broker.pem" ]; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=poolmeter test authority" \
    -keyout "$tls/ca.key" -out "$tls/ca.crt" 2> /dev/null
  certificate broker broker
  certificate client client
  { openssl pkcs8 -topk8 -nocrypt -in "$tls/broker.key"; cat "$tls/broker.crt"; } > "$tls/broker.pem"
fi

[ -f "$1/users" ] || printf 'north north-secret\nsouth south-secret\npipeline pipeline-secret\nnobody nobody-secret\n' > "$1/users"
scram=
plain='user_admin="admin-secret"'
for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
  scram="$scram --add-scram $mechanism=[name=admin,password=admin-secret]"
done
while read -r name password; do
  plain="$plain user_$name=\"$password\""
  for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
    scram="$scram --add-scram $mechanism=[name=$name,password=$password]"
  done
done < "$1/users"

POOLMETER_KAFKA_FORMAT_ARGS=$scram POOLMETER_KAFKA_PLAIN_USERS=$plain POOLMETER_KAFKA_EXTRA=$here/secure.properties.template \
  exec "$here/start.sh" "$1" "$2" "$3"
