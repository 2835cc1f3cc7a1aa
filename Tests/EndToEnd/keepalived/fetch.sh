#!/bin/bash
# Fetches keepalived from Debian's package, without installing it: its service must not start on this machine.
#
# Prints the binary as its last line. The libraries that it needs are installed; the package itself is unpacked into the
# cache (FAIRLEAD_CACHE) once.

set -Eeuo pipefail
trap 'echo "${BASH_SOURCE[0]}:$LINENO: \"$BASH_COMMAND\" failed" >&2' ERR

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../kubernetes/packages.sh
source "$here/../kubernetes/packages.sh"

cache=${FAIRLEAD_CACHE:-${HOME:-/root}/.cache/fairlead}
folder=$cache/keepalived
binary=$folder/usr/sbin/keepalived

require_packages libglib2.0-0 libmnl0 libnftnl11 libnl-3-200 libnl-genl-3-200 libpcre2-8-0 libsnmp40

if [ ! -x "$binary" ]; then
  work=$(mktemp --directory "$cache/keepalived.XXXXXX")
  chmod 755 "$work"
  # apt's own user cannot write there, which it says and then does without.
  (cd "$work" && { apt_quietly download keepalived || { apt_quietly update && apt_quietly download keepalived; }; })
  dpkg --extract "$work"/keepalived_*.deb "$work"
  rm "$work"/keepalived_*.deb
  rm -rf "$folder"
  mv "$work" "$folder"
fi

if missing=$(ldd "$binary" | grep 'not found'); then
  echo "keepalived lacks libraries: $missing" >&2
  exit 1
fi
echo "$binary"
