#!/bin/bash
# keepalived 2.3.4: a track script whose user does not exist does not count as failed.
#
#   vrrp_script:  always fails ("script /usr/bin/false")
#   script_user:  a user that does not exist
#
# Expected: the instance does not become master, as when the user exists, since a check that cannot run has not succeeded.
# Seen: keepalived logs "Unable to set default user for vrrp script check - removing" and "track script check not found,
# ignoring...", starts without the check, becomes master and takes the address. `keepalived --config-test` ends with 5 for
# the same file.
#
# It matters for whom the check tells whether this host may have the address: where the package or the sysusers file that
# makes the user is missing, an unattended start takes the address although nothing stands behind it.
#
# Stand-alone, as root: unpacks the pinned package and its dependencies of the Debian suite forky into a temporary folder
# (nothing is installed), and runs it in a network namespace of its own. Ends with 0 while the behaviour is as described,
# with 1 when it has changed, with 2 when it could not be tried.

set -Eeuo pipefail
trap 'echo "line $LINENO: \"$BASH_COMMAND\" failed" >&2; exit 2' ERR

suite=forky
pinned=1:2.3.4-1
address=192.0.2.10

[ "$(id -u)" -eq 0 ] || { echo "run it as root: it makes a network namespace" >&2; exit 2; }
work=$(mktemp --directory)
namespace=keepalived-finding-$$
process=
end() {
  [ -z "$process" ] || { kill "$process" && wait "$process"; } 2>/dev/null || true
  ip netns delete "$namespace" 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT

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

# ---- A host with one interface, a check that always fails, and a user for it.
ip netns add "$namespace"
ip -n "$namespace" link add eth0 type veth peer name other
ip -n "$namespace" address add 192.0.2.1/24 dev eth0
ip -n "$namespace" link set eth0 up
ip -n "$namespace" link set other up
printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'checker:x:998:998::/:/usr/sbin/nologin' > "$tree/etc/passwd"
printf '%s\n' 'root:x:0:' 'checker:x:998:' > "$tree/etc/group"

in_tree() {
  exec ip netns exec "$namespace" unshare --mount sh -c '
    mount -t proc proc "$0/proc"; mount --bind /dev "$0/dev"; tree=$0; exec chroot "$tree" "$@"' "$tree" "$@"
}

# run USER: runs keepalived for some seconds with that script_user, and prints what has come of it.
run() {
  cat > "$tree/etc/keepalived/keepalived.conf" <<END
global_defs {
    enable_script_security
    script_user $1
}
vrrp_script check {
    script /usr/bin/false
    interval 1
    fall 1
    rise 1
}
vrrp_instance one {
    state BACKUP
    priority 100
    interface eth0
    virtual_router_id 51
    advert_int 1
    virtual_ipaddress {
        $address/32
    }
    track_script {
        check
    }
}
END
  echo
  echo "script_user $1:"
  code=0
  (in_tree /usr/sbin/keepalived --config-test) > "$work/test.log" 2>&1 || code=$?
  in_tree /usr/sbin/keepalived --dont-fork --log-console --vrrp > "$work/log" 2>&1 &
  process=$!
  taken=no
  for _ in $(seq 60); do
    if ip -n "$namespace" -oneline address show dev eth0 | grep -q "$address/"; then
      taken=yes
      break
    fi
    sleep 0.2
  done
  kill "$process"
  wait "$process" 2>/dev/null || true
  process=
  ip -n "$namespace" address del "$address/32" dev eth0 2>/dev/null || true
  grep -E '[Ss]cript|STATE' "$work/log" | sed 's/^[A-Z][a-z]* [A-Z][a-z]* *[0-9]* [0-9:]* [0-9]*: /  log: /' || true
  echo "  keepalived --config-test ends with $code"
  echo "  address taken within 12 s: $taken"
}

run checker
existing=$taken
run missing
if [ "$existing" = no ] && [ "$taken" = yes ] && [ "$code" -eq 5 ] &&
  grep -q 'Unable to set default user for vrrp script check - removing' "$work/log"
then
  echo
  echo "as described: the check that always fails keeps the address away while its user exists, and not when it is missing"
else
  echo
  echo "CHANGED: the behaviour is not as described"
  exit 1
fi
