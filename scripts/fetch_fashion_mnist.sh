#!/bin/sh
# Fetches the full Fashion-MNIST into data/fashion-mnist: from its official home, or else from
# Debian's package dataset-fashion-mnist, which is unpacked without installing it and without root.
#
#     scripts/fetch_fashion_mnist.sh [--data-dir DIR]
set -eu

cargo xtask data fetch fashion-mnist "$@" && exit

echo "trying Debian's package dataset-fashion-mnist" >&2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && apt-get download dataset-fashion-mnist && dpkg -x ./*.deb .)
cargo xtask data fetch fashion-mnist --from "$folder/usr/share/datasets/fashion-mnist" "$@"
