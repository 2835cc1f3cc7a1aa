#!/bin/bash
# Builds Kubernetes from Debian's source package, once, into a cache outside the tree.
#
# Prints the folder that holds the result as its last line:
#   FOLDER/bin/     kube-apiserver, kube-controller-manager, kube-scheduler, kubectl
#   FOLDER/gopath/  the source tree, on whose client-go the load program in ../clients is built
#
# Why from source: Debian 12 packages kubectl but no server. kubectl is built along with the servers, so that the
# machine's own kubectl (of whatever age, from whatever vendor) has no part in the tests.
#
# The first run takes about six minutes on two cores; later runs return at once. The cache is keyed by the version of
# the source package and is complete when FOLDER/complete exists; remove the folder to build again.

set -Eeuo pipefail
trap 'echo "${BASH_SOURCE[0]}:$LINENO: \"$BASH_COMMAND\" failed" >&2' ERR

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=packages.sh
source "$here/packages.sh"

cache=${FAIRLEAD_CACHE:-${HOME:-/root}/.cache/fairlead}
commands=(kube-apiserver kube-controller-manager kube-scheduler kubectl)
go_root=/usr/lib/go-1.19
started=$SECONDS

say() { echo "[kubernetes +$((SECONDS - started))s] $*"; }

# The version that apt would fetch, or nothing when no source entry is configured (apt-cache fails then).
source_version() {
  { apt-cache showsrc --only-source kubernetes 2>/dev/null || true; } |
    sed -n 's/^Version: //p' | sort --version-sort | tail -n 1
}

# Adds a deb-src entry for the mirror that the machine uses already, in a file of its own.
add_source_entry() {
  local mirror
  # shellcheck disable=SC2016 # apt expands it
  mirror=$(apt-get indextargets --format '$(REPO_URI)' \
    'Created-By: Packages' 'Codename: bookworm' 'Component: main' | head -n 1)
  if [ -z "$mirror" ]; then
    say "no Debian 12 (bookworm) mirror is configured; this suite is built for Debian 12" >&2
    return 1
  fi
  say "adding a deb-src entry for $mirror"
  cat >/etc/apt/sources.list.d/fairlead-kubernetes-source.sources <<-ENTRY
	Types: deb-src
	URIs: $mirror
	Suites: bookworm
	Components: main
	Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	ENTRY
  apt_quietly update
}

# An already built tree is used without asking apt: a machine without network can run the suite again.
for complete in "$cache"/kubernetes-*/complete; do
  if [ -e "$complete" ]; then
    dirname "$complete"
    exit 0
  fi
done

require_packages ca-certificates dpkg-dev golang-1.19-go jq make rsync

version=$(source_version)
if [ -z "$version" ]; then
  add_source_entry
  version=$(source_version)
fi
if [ -z "$version" ]; then
  say "apt knows no source package 'kubernetes'" >&2
  exit 1
fi

folder=$cache/kubernetes-$version
mkdir -p "$cache"
exec 9>"$cache/kubernetes.lock"
flock 9
if [ -e "$folder/complete" ]; then
  echo "$folder"
  exit 0
fi

say "building $version, about six minutes on two cores (log: $folder/build.log)"
rm -rf "$folder"
mkdir -p "$folder/download" "$folder/bin" "$folder/gopath/src/k8s.io" "$folder/go-build"

(
  cd "$folder/download"
  # Unsandboxed: apt's own user can seldom write to a home folder, and warns about it.
  apt_quietly source --download-only --option APT::Sandbox::User=root "kubernetes=$version"
  dpkg-source --extract --no-check ./*.dsc "$folder/source" >"$folder/build.log" 2>&1
)
ln -s "$folder/source" "$folder/gopath/src/k8s.io/kubernetes"

# Without git the build would call itself v0.0.0-master; the upstream version is the changelog's, behind `+really`.
upstream=${version#*+really}
upstream=v${upstream%%-*}
cat >"$folder/version" <<VERSION
KUBE_GIT_COMMIT='debian-$version'
KUBE_GIT_TREE_STATE='clean'
KUBE_GIT_VERSION='$upstream'
KUBE_GIT_MAJOR='$(echo "${upstream#v}" | cut -d. -f1)'
KUBE_GIT_MINOR='$(echo "${upstream#v}" | cut -d. -f2)'
VERSION

build() {
  # make, and not plain `go build`: it generates the OpenAPI code first.
  cd "$folder/gopath/src/k8s.io/kubernetes"
  env -i HOME="$folder" PATH="$go_root/bin:/usr/sbin:/usr/bin:/sbin:/bin" GOROOT="$go_root" \
    GOPATH="$folder/gopath" GOCACHE="$folder/go-build" GO111MODULE=off CGO_ENABLED=0 GOFLAGS= \
    KUBE_GIT_VERSION_FILE="$folder/version" \
    nice -n 5 make WHAT="${commands[*]/#/cmd/}"
}

# A process group of its own, so that Ctrl-C here ends the compilers too.
set -m
(build) </dev/null >>"$folder/build.log" 2>&1 &
build_pid=$!
while sleep 15; do
  say "$(tail -n 1 "$folder/build.log" | cut -c 1-110)"
done &
ticker_pid=$!
set +m
trap 'kill -- "-$build_pid" "-$ticker_pid" 2>/dev/null || true' EXIT
built=0
wait "$build_pid" || built=$?
kill -- "-$ticker_pid" 2>/dev/null || true
trap - EXIT
if [ "$built" != 0 ]; then
  say "the build failed; the end of $folder/build.log:" >&2
  tail -n 40 "$folder/build.log" >&2
  exit 1
fi

for command in "${commands[@]}"; do
  install -m 0755 "$folder/source/_output/bin/$command" "$folder/bin/$command"
done
rm -rf "$folder/download" "$folder/source/_output" "$folder"/*.orig.tar.*
touch "$folder/complete"
say "done: $("$folder/bin/kube-apiserver" --version)"
echo "$folder"
