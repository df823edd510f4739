#!/bin/bash
# stop.sh DIR: ends the Slurm that start.sh started on DIR, by process id, with its jobs.
set -u
[ $# -eq 1 ] || { echo "usage: stop.sh DIR" >&2; exit 2; }
[ -d "$1/run" ] || exit 0
dir=$(cd "$1" && pwd)
# Steps of jobs outlive their slurmd, so jobs end first.
SLURM_CONF=$dir/slurm.conf timeout 5 scancel --full --user=root 2> /dev/null && sleep 0.5
for file in "$dir"/run/slurmrestd.pid "$dir"/run/slurmctld.pid "$dir"/run/slurmd_*.pid "$dir"/run/munged.pid; do
  [ -f "$file" ] || continue
  pid=$(cat "$file")
  kill -TERM "$pid" 2> /dev/null
  for _ in $(seq 20); do
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.05
  done
  kill -KILL "$pid" 2> /dev/null
  rm -f "$file"
done
exit 0
