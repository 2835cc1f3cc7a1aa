#!/bin/bash
# keepalived 2.2.7: the test of a good configuration ends with SIGTERM, which it sends itself.
#
#   keepalived --config-test, on a file with a vrrp_script and an existing script_user
#
# Expected: exit code 0, as the manual page says for a configuration without faults, so that the test can stand before a start.
# Seen: no line of output and SIGTERM (128 + 15 in a shell). The signal comes from keepalived itself. Where SIGTERM is ignored
# from the beginning, the same test of the same file ends with 0, and with 5 when the user does not exist.
#
# It matters for whom the test decides about the start (ExecStartPre of a unit): the good configuration fails it, and by its
# code the bad one fails no worse. A test that ignores the signal (env --ignore-signal=TERM) tells them apart.
#
# Stand-alone, as root: unpacks the pinned package and its dependencies of the Debian suite bookworm into a temporary folder
# (nothing is installed), and runs the test in a chroot and a network namespace of its own, with the machine's ip. Ends with 0
# while the behaviour is as described, with 1 when it has changed, with 2 when it could not be tried.

set -Eeuo pipefail
trap 'echo "line $LINENO: \"$BASH_COMMAND\" failed" >&2; exit 2' ERR

suite=bookworm
pinned=1:2.2.7-1

[ "$(id -u)" -eq 0 ] || { echo "run it as root: it makes a network namespace" >&2; exit 2; }
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT

# ---- The package, from the mirror of Debian that this machine uses.
tree=$work/tree
mkdir -p "$work"/{lists/partial,archives/partial} "$tree"/usr/{bin,sbin,lib,lib64}
touch "$work/status"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/\?$' | sort -u | sed -n 1p)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > "$work/sources.list"
options=(
  -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists"
  -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/archives" -o Dir::Cache::pkgcache=
  -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root
)
apt-get "${options[@]}" update > /dev/null
# With the suffixes of rebuilds, such as +b2. keepalived itself runs a shell, and the check is of coreutils.
apt-get "${options[@]}" --yes --no-install-recommends --download-only install "keepalived=$pinned*" dash coreutils > /dev/null
for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$tree/$folder"; done
for package in "$work"/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar --extract --keep-directory-symlink --directory "$tree"
done
mkdir -p "$tree"/{dev,etc/keepalived,proc,run,tmp}
chmod 755 "$work" "$tree"
echo "package: $(cd "$work/archives" && echo keepalived_*.deb | sed 's/%3a/:/')"
echo "version: $(chroot "$tree" /usr/sbin/keepalived --version 2>&1 | sed -n 1p)"

# ---- A user for the check, and a configuration.
printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'checker:x:998:998::/:/usr/sbin/nologin' > "$tree/etc/passwd"
printf '%s\n' 'root:x:0:' 'checker:x:998:' > "$tree/etc/group"

# test_of USER COMMAND...: tests a configuration with that script_user by the command; the code is in `code`.
test_of() {
  cat > "$tree/etc/keepalived/keepalived.conf" <<END
global_defs {
    enable_script_security
    script_user $1
}
vrrp_script check {
    script /usr/bin/true
}
vrrp_instance one {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        192.0.2.10/32
    }
    track_script {
        check
    }
}
END
  shift
  code=0
  unshare --net --mount sh -c '
    ip link add eth0 type veth peer name other && ip address add 192.0.2.1/24 dev eth0
    ip link set eth0 up && ip link set other up
    mount -t proc proc "$0/proc"; mount --bind /dev "$0/dev"; tree=$0; exec chroot "$tree" "$@"' "$tree" "$@" \
    > "$work/log" 2>&1 || code=$?
  echo "$*: ends with $code$(sed 's/^/, says: /' "$work/log" | tail -n 1)"
}

echo
echo "script_user checker, which exists:"
test_of checker /usr/sbin/keepalived --config-test
plain=$code
test_of checker /usr/bin/env --ignore-signal=TERM /usr/sbin/keepalived --config-test
ignored=$code
echo "script_user missing, which does not:"
test_of missing /usr/bin/env --ignore-signal=TERM /usr/sbin/keepalived --config-test
missing=$code

echo
if [ "$plain" -eq 143 ] && [ "$ignored" -eq 0 ] && [ "$missing" -eq 5 ]; then
  echo "as described: the test of a good configuration ends with SIGTERM, and with 0 where that is ignored"
else
  echo "CHANGED: the behaviour is not as described"
  exit 1
fi
