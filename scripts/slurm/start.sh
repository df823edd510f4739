#!/bin/bash
# start.sh DIR CONTROLLER_PORT REST_PORT NODE1_PORT NODE2_PORT NODE3_PORT NODE4_PORT
# Starts a Slurm of four fake 8-GPU nodes on 127.0.0.1 with everything of it in DIR: gpu1 and gpu2 (H100) up, gpu3 and
# gpu4 (A100) CLOUD and powered down. A second start on the same DIR starts again what is not running. As root. Prints
# the REST address; the token is DIR/run/token, the socket DIR/run/rest.sock. Needs Debian's slurmctld slurmd
# slurm-client slurmrestd munge slurm-wlm-jwt-plugin (22.05).
set -euo pipefail

[ $# -eq 7 ] || { echo "usage: start.sh DIR CONTROLLER_PORT REST_PORT NODE1..NODE4_PORT" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "start.sh needs root: slurmd starts jobs as their users." >&2; exit 3; }
for tool in munged slurmctld slurmd slurmrestd scontrol runuser; do
  command -v "$tool" > /dev/null || { echo "start.sh needs $tool: install it first." >&2; exit 3; }
done
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
mkdir -p "$dir"/{run,log,state,dev}
# The daemons run as three users; the keys are readable by their owners alone.
chmod 755 "$dir" "$dir/run"

for file in slurm.conf resume.sh suspend.sh; do
  sed -e "s#@DIR@#$dir#g" -e "s#@HOSTNAME@#$(hostname -s)#g" -e "s#@CTLD_PORT@#$2#g" -e "s#@NODE1_PORT@#$4#g" \
    -e "s#@NODE2_PORT@#$5#g" -e "s#@NODE3_PORT@#$6#g" -e "s#@NODE4_PORT@#$7#g" "$here/$file.template" > "$dir/$file"
done
chmod +x "$dir"/resume.sh "$dir"/suspend.sh
{
  echo "AutoDetect=off"
  for node in 1 2 3 4; do
    type=h100; [ "$node" -lt 3 ] || type=a100
    echo "NodeName=gpu$node Name=gpu Type=$type File=$dir/dev/n$node-nvidia[0-7]"
    for gpu in 0 1 2 3 4 5 6 7; do : > "$dir/dev/n$node-nvidia$gpu"; done
  done
} > "$dir/gres.conf"
[ -f "$dir/munge.key" ] || head -c 1024 /dev/urandom > "$dir/munge.key"
[ -f "$dir/jwt.key" ] || head -c 32 /dev/urandom > "$dir/jwt.key"
chown munge:munge "$dir/munge.key" "$dir/log" && chmod 600 "$dir/munge.key" "$dir/jwt.key"
mkdir -p "$dir/run/munge" && chown munge:munge "$dir/run" "$dir/run/munge"

export SLURM_CONF=$dir/slurm.conf
runs() { [ -f "$dir/run/$1.pid" ] && kill -0 "$(cat "$dir/run/$1.pid")" 2> /dev/null; }
# until_true SECONDS WHAT COMMAND…
until_true() {
  local tries=$(($1 * 20)) what=$2
  shift 2
  until "$@"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { tail -n 20 "$dir"/log/*.log >&2; echo "$what; see above." >&2; exit 1; }
    sleep 0.05
  done
}

runs munged || runuser -u munge -- munged --key-file="$dir/munge.key" --socket="$dir/run/munge.sock" --force \
  --pid-file="$dir/run/munged.pid" --log-file="$dir/log/munged.log" --seed-file="$dir/run/munge/seed"
runs slurmctld || slurmctld
for node in gpu1 gpu2; do runs "slurmd_$node" || slurmd -N "$node"; done
ready() { [ "$(sinfo -h -N -n gpu1,gpu2 -o %t 2> /dev/null | grep -cE '^(idle|mix|alloc|drain|drng|comp)$')" -eq 2 ]; }
until_true 30 "Slurm was not ready within 30 s" ready

if ! runs slurmrestd; then
  scontrol token username=root lifespan=86400 | sed 's/^SLURM_JWT=//' > "$dir/run/token"
  chmod 600 "$dir/run/token"
  # slurmrestd refuses to run as root, and its user must be able to make the socket.
  mkdir -p "$dir/run/rest" && chown slurm "$dir/run/rest"
  setsid runuser -u slurm -- env SLURM_CONF="$dir/slurm.conf" SLURM_JWT=daemon \
    slurmrestd -a rest_auth/jwt -s openapi/v0.0.38 "127.0.0.1:$3" "unix:$dir/run/rest/socket" \
    > "$dir/log/slurmrestd.log" 2>&1 < /dev/null &
  echo $! > "$dir/run/slurmrestd.pid"
  answers() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
  until_true 10 "slurmrestd did not listen within 10 s" answers "$3"
fi
echo "http://127.0.0.1:$3"
