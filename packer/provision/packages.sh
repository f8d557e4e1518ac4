#!/bin/sh
# Distribution packages, from the file `packages` (one a line), and units that are masked, from `masked`.
# Uses: apt-get, systemctl, cat.
set -eu
cd /run/golden-bake
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

# Before anything else: a package manager of the guest's own in the background would hold the lock.
echo 'golden: masking units that a golden image does not run'
systemctl mask --quiet --now $(cat masked) || systemctl mask --quiet $(cat masked)

echo 'golden: reading the lists of packages'
# A list that can not be had is an error: an upgrade from half of them would say that all is well.
apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Update::Error-Mode=any update
# Without a wait for the disk after each file: a build VM that dies is thrown away, and finish.sh syncs.
get() { apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0 "$@"; }
# The base is as old as its checksum in the site; what has been mended since then has to be in the image.
echo 'golden: upgrading the packages of the base'
get dist-upgrade --yes --no-install-recommends
echo 'golden: installing packages'
get install --yes --no-install-recommends $(cat packages)
echo 'golden: packages are installed'
