# shellcheck shell=bash
# Installs Debian packages when they are missing. Sourced, never run.
#
# Usage: require_packages NAME...
#        require_packages_at_rest NAME...
#
# Nothing is asked and nothing is upgraded on purpose: a package that is there is good enough. apt's own lock is
# waited for, because a developer's machine often has a second apt running (unattended upgrades, another build).

require_packages() {
  local missing=() name
  for name in "$@"; do
    if [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$name" 2>/dev/null)" != installed ]; then
      missing+=("$name")
    fi
  done
  [ ${#missing[@]} -eq 0 ] && return 0

  if [ "$(id -u)" -ne 0 ]; then
    echo "these Debian packages are missing and only root can install them: ${missing[*]}" >&2
    return 1
  fi
  echo "installing Debian packages: ${missing[*]}"
  apt_quietly update
  apt_quietly install --yes --no-install-recommends "${missing[@]}"
}

# The same for packages of servers, whose services are not started.
require_packages_at_rest() {
  local policy=/usr/sbin/policy-rc.d ours= code=0
  if [ ! -e "$policy" ] && [ "$(id -u)" -eq 0 ]; then
    ours=$policy
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  require_packages "$@" >&2 || code=$?
  if [ -n "$ours" ]; then
    rm -f "$ours"
    trap - EXIT
  fi
  return "$code"
}

# apt-get without a terminal: no questions, no progress bars, its output shown only when it fails.
apt_quietly() {
  local output
  if ! output=$(DEBIAN_FRONTEND=noninteractive apt-get --quiet --option DPkg::Lock::Timeout=300 "$@" </dev/null 2>&1); then
    echo "apt-get $* failed:" >&2
    echo "$output" | tail -n 30 >&2
    return 1
  fi
}
