#!/usr/bin/env bash
# The tests that need real servers: installs what they start (Debian and Ubuntu), then runs the project "int" of vitest.
# Arguments go to vitest. A server that is missing fails its tests; nothing is skipped for want of it.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A package_of=(
  [java]=default-jre-headless
  [mvn]=maven
  [promtool]=prometheus
  [amtool]=prometheus-alertmanager
  [chromium]=chromium
  [flock]=util-linux
  [slurmctld]='slurmctld slurm-wlm-jwt-plugin'
  [slurmd]=slurmd
  [slurmrestd]=slurmrestd
  [sbatch]=slurm-client
  [munged]=munge
)

missing=()
for tool in "${!package_of[@]}"; do
  # shellcheck disable=SC2206 # a tool may need several packages
  command -v "$tool" > /dev/null || missing+=(${package_of[$tool]})
done

if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get > /dev/null || {
    echo "The tests with real servers need ${missing[*]}: install them, then run this again." >&2
    exit 3
  }
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
  echo "Installing ${missing[*]}"
  # Run level 1 keeps the packages' services from being started: the tests start servers of their own.
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi

exec npx vitest run --project int "$@"
