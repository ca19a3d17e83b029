#!/usr/bin/env bash
# Copies a release to its hosts.
set -euo pipefail

readonly RELEASE_DIR="/srv/releases"
declare -A HOSTS=([staging]="a.example.org" [production]="b.example.org")
export DEPLOY_USER="${DEPLOY_USER:-deploy}"
KEEP=5

source "$(dirname "${BASH_SOURCE[0]}")/lib/log.sh"
. ./lib/retry.sh
# shellcheck source=lib/extra.sh
[[ -f "$HOME/.deployrc" ]] && source "$HOME/.deployrc"

# Says how it is called.
usage() {
  cat <<EOT
usage: ${0##*/} [-n] host
function not_one() { :; }
EOT
}

# Removes all but the newest releases.
function prune_releases {
  local host="$1" count="${2:-$KEEP}"
  remote "$host" "ls -1t ${RELEASE_DIR}" | tail -n "+$((count + 1))" | while read -r name; do
    remote "$host" "rm -rf ${RELEASE_DIR}/${name}"
  done
}

function remote() (
  ssh -o BatchMode=yes "${DEPLOY_USER}@$1" -- "${@:2}"
)

on_exit() { log "done with code $?"; }
trap on_exit EXIT

main() {
  local dry=0
  while getopts ":nh" option; do
    case "$option" in
      n) dry=1 ;;
      h) usage; return 0 ;;
      *) usage >&2; return 2 ;;
    esac
  done
  shift $((OPTIND - 1))
  if (( dry )); then
    log 'it would copy "everything"'
  fi
  retry 3 rsync -a --delete build/ "${HOSTS[$1]}:${RELEASE_DIR}/" || { log failed; return 1; }
  prune_releases "${HOSTS[$1]}"
  diff <(remote "$1" ls) <(ls build)
}

alias redeploy='main -n'

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
  main "$@"
fi
