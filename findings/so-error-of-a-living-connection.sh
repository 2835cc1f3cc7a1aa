#!/bin/bash
# Linux: SO_ERROR of a TCP connection that lives tells an error that has not ended it.
#
#   a connection is established; a packet filter of its own host rejects what it sends, for a moment
#
# Expected: getsockopt(SO_ERROR) is 0 while the connection stands. Connection pools and balancers ask it to learn whether an
# idle connection is of use still.
# Seen: SO_ERROR is EHOSTUNREACH (113) or ECONNREFUSED (111), by the kind of the ICMP message, once. The connection has no error:
# poll(2) reports none, and after the filter is gone every byte arrives.
#
# It matters for whom SO_ERROR decides that a connection is dead: a route that is away for half a second, or a firewall that is
# loaded anew, costs every connection of the pool, none of which was broken. The error is a soft one (icmp(7)): TCP keeps it for
# the case that it gives up.
#
# Stand-alone, as root: unpacks the pinned package nftables and its libraries of Debian bookworm into a temporary folder (nothing
# is installed), and runs in network namespaces of its own, with the machine's python3 and ip. Ends with 0 while the behaviour
# is as described, with 1 when it has changed, with 2 when it could not be tried.

set -Eeuo pipefail
trap 'echo "line $LINENO: \"$BASH_COMMAND\" failed" >&2; exit 2' ERR

suite=bookworm
pinned=1.0.6-2

[ "$(id -u)" -eq 0 ] || { echo "run it as root: it makes network namespaces" >&2; exit 2; }
work=$(mktemp --directory)
client=so-error-client-$$
server=so-error-server-$$
end() {
  ip netns delete "$client" 2>/dev/null || true
  ip netns delete "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT

# ---- The package, from the mirror of Debian that this machine uses.
mkdir -p "$work"/{lists/partial,archives/partial,tree}
touch "$work/status"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/\?$' | sort -u | sed -n 1p)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > "$work/sources.list"
options=(
  -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists"
  -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/archives" -o Dir::Cache::pkgcache=
  -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root
)
apt-get "${options[@]}" update > /dev/null
apt-get "${options[@]}" --yes --no-install-recommends --download-only install "nftables=$pinned*" > /dev/null
for package in "$work"/archives/*.deb; do dpkg-deb --extract "$package" "$work/tree"; done
loader=$(find "$work/tree" -name 'ld-linux*.so.*' -print -quit)
libraries=$(find "$work/tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd :)
nft() { ip netns exec "$client" "$loader" --library-path "$libraries" "$work/tree/usr/sbin/nft" "$@"; }
echo "kernel: $(uname -r)"
echo "package: $(cd "$work/archives" && echo nftables_*.deb)"

# ---- Two hosts and a cable.
ip netns add "$client"
ip netns add "$server"
ip -n "$client" link add eth0 type veth peer name eth0 netns "$server"
ip -n "$client" address add 192.0.2.1/24 dev eth0
ip -n "$server" address add 192.0.2.2/24 dev eth0
# The host's own ICMP messages to itself go by its loopback interface.
ip -n "$client" link set lo up
ip -n "$client" link set eth0 up
ip -n "$server" link set eth0 up

cat > "$work/listen.py" <<'END'
import socket
listener = socket.create_server(("192.0.2.2", 8443))
print("listening", flush=True)
connection, _ = listener.accept()
received = b""
while len(received) < 2:
    received += connection.recv(2)
connection.sendall(received)
connection.recv(1)
END
cat > "$work/connect.py" <<'END'
import errno, select, socket, sys, time
connection = socket.create_connection(("192.0.2.2", 8443))
print("connected", flush=True)
sys.stdin.readline()
connection.sendall(b"1")
found = 0
deadline = time.monotonic() + 3
while not found and time.monotonic() < deadline:
    poll = select.poll()
    poll.register(connection, 0)
    events = poll.poll(0)
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
again = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
print(f"{found} {again} {len(events)}", flush=True)
sys.stdin.readline()
connection.sendall(b"2")
connection.settimeout(20)
answer = b""
while len(answer) < 2:
    answer += connection.recv(2)
print(answer.decode(), flush=True)
END

# try RULE ERROR: what SO_ERROR says under this rule, and whether the connection lives.
try() {
  local listener line
  mkfifo "$work/listening"
  ip netns exec "$server" python3 "$work/listen.py" > "$work/listening" &
  listener=$!
  read -r line < "$work/listening"
  rm "$work/listening"
  coproc CONNECT { ip netns exec "$client" python3 "$work/connect.py"; }
  local connector=$CONNECT_PID
  read -r line <&"${CONNECT[0]}"
  nft add table inet finding
  nft add chain inet finding output '{ type filter hook output priority 0; }'
  nft add rule inet finding output ip daddr 192.0.2.2 $1
  echo >&"${CONNECT[1]}"
  read -r found again events <&"${CONNECT[0]}"
  nft delete table inet finding
  echo >&"${CONNECT[1]}"
  read -r answer <&"${CONNECT[0]}"
  wait "$connector" "$listener" 2>/dev/null || true
  echo "$1: SO_ERROR $found, asked again $again, events of poll $events; after it is gone the server has sent back \"$answer\""
  [ "$found" = "$2" ] && [ "$again" = 0 ] && [ "$events" = 0 ] && [ "$answer" = 12 ]
}

changed=0
try 'reject with icmpx type admin-prohibited' 113 || changed=1
try 'reject' 111 || changed=1
if [ "$changed" = 0 ]; then
  echo "as described: SO_ERROR tells an error of a connection that lives"
else
  echo "CHANGED: the behaviour is not as described"
  exit 1
fi
