#!/bin/bash
# Builds the load program on the client-go of the cached Kubernetes tree, once per version of its source.
#
# Usage: build.sh KUBERNETES_FOLDER   (as kubernetes/build.sh printed it)
# Prints the path of the program as its last line.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../kubernetes/packages.sh
source "$here/../kubernetes/packages.sh"

kubernetes=$1
go_root=/usr/lib/go-1.19

key=$(cd "$here" && cat ./*.go | sha256sum | cut -c 1-16)
program=$kubernetes/bin/clients-$key
if [ ! -x "$program" ]; then
  # Inside the Kubernetes tree, because in GOPATH mode only there its vendored libraries can be imported.
  package=cmd/fairlead-clients-$key
  rm -rf "$kubernetes/source/cmd"/fairlead-clients-* "$kubernetes/bin"/clients-*
  mkdir "$kubernetes/source/$package"
  cp "$here"/*.go "$kubernetes/source/$package/"
  require_packages golang-1.19-go
  echo "building the clients"
  cd "$kubernetes/gopath/src/k8s.io/kubernetes"
  env -i HOME="$kubernetes" PATH="$go_root/bin:/usr/bin:/bin" GOROOT="$go_root" GOPATH="$kubernetes/gopath" \
    GOCACHE="$kubernetes/go-build" GO111MODULE=off CGO_ENABLED=0 \
    nice -n 5 go build -o "$program.partial" "k8s.io/kubernetes/$package" </dev/null
  mv "$program.partial" "$program"
fi
echo "$program"
