#!/bin/sh
# Distribution packages, from the file `packages` (one a line), and units that are masked: those of the file `masked`,
# and what unwanted.sh finds.
# Uses: apt-get, dpkg, systemctl, sh, cat, grep, rm, find, chmod, sleep.
set -eu
cd /run/golden-bake
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

# mask UNIT…: all are masked before the first is stopped, or one would start another again.
mask() {
  # A file of that name in /etc would be in the mask's way.
  for unit in "$@"; do rm -f "/etc/systemd/system/$unit"; done
  systemctl mask --quiet "$@"
  # One that is not there can't be stopped.
  systemctl stop "$@" 2> /dev/null || true
}
mask_unwanted() {
  found=$(sh unwanted.sh)
  if [ -z "$found" ]; then return; fi
  echo "golden: masking what this base brings:" $found
  mask $found
}

# patiently FUNCTION: again while another package manager holds a lock, for ten minutes. apt's own patience
# (DPkg::Lock::Timeout) is for dpkg's locks, not for that of its lists.
patiently() {
  left=60
  until "$1" > said 2>&1; do
    if ! grep -qi 'lock' said; then cat said; return 1; fi
    if [ "$left" = 60 ]; then echo "golden: waiting: $(grep -i 'lock' said | head -n 1)"; fi
    left=$((left - 1))
    if [ "$left" = 0 ]; then
      cat said
      echo 'golden-failure package-lock: another package manager in the build VM did not let go of its lock within ten minutes'
      return 1
    fi
    sleep 10
  done
  cat said
}

# Before anything else: a package manager of the guest's own in the background would hold the lock.
echo 'golden: masking units that a golden image does not run'
mask $(cat masked)
mask_unwanted
# What was stopped may have left things half done, and what it had started may still be at it.
complete() { dpkg --configure -a; }
patiently complete

echo 'golden: reading the lists of packages'
# A list that can not be had is an error: an upgrade from half of them would say that all is well.
update() { apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Update::Error-Mode=any update; }
patiently update
# Without a wait for the disk after each file: a build VM that dies is thrown away, and finish.sh syncs. And packages
# start nothing and have systemd read nothing (its ENVIRONMENT.md, SYSTEMD_OFFLINE): all of it once, below, will do.
get() { SYSTEMD_OFFLINE=1 apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0 "$@"; }
# The base is as old as its checksum in the site; what has been mended since then has to be in the image.
echo 'golden: upgrading the packages of the base'
get dist-upgrade --yes --no-install-recommends
echo 'golden: installing packages'
get install --yes --no-install-recommends $(cat packages)
systemctl daemon-reload
# Packages bring units too.
mask_unwanted
# What runs at every login to tell the news: Ubuntu's asks for a newer release on the way.
find /etc/update-motd.d -type f -exec chmod a-x {} + 2> /dev/null || true
echo 'golden: packages are installed'
