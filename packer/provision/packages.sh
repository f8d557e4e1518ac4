#!/bin/sh
# Distribution packages, from the file `packages` (one a line), and units that are masked: those of the file `masked`,
# and what unwanted.sh finds.
# Where apt gets them, and what they have to be in the end, is in `archive.sources` and `locked-packages` (NAME VERSION a line;
# all of them if there is a file `lock-complete`), if the lock says so.
# Uses: apt-get, dpkg, dpkg-query, systemctl, sh, cat, grep, rm, find, chmod, sleep, sed, sort, awk, head, tr.
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
from=''
if [ -s archive.sources ]; then from='-o Dir::Etc::SourceList=/run/golden-bake/archive.sources -o Dir::Etc::SourceParts=/dev/null'; fi
update() { apt-get -qq $from -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Update::Error-Mode=any update; }
if ! patiently update; then
  altered='signature|is not signed|NO_PUBKEY|BADSIG|NOSPLIT|Hash Sum mismatch|unexpected size'
  if grep -qiE "$altered" said; then
    echo "golden-failure archive-signature: apt does not take what an archive serves: $(grep -iE "$altered" said | head -n 1)"
  elif [ -n "$from" ] && grep -qE '[^0-9]404[^0-9]|does not have a Release file' said; then
    echo "golden-failure packages-gone: an archive no longer has the state that the lock says: $(grep -E '[^0-9]404[^0-9]|does not have a Release file' said | head -n 1)"
  fi
  exit 1
fi
# Without a wait for the disk after each file: a build VM that dies is thrown away, and finish.sh syncs. And packages
# start nothing and have systemd read nothing (its ENVIRONMENT.md, SYSTEMD_OFFLINE): all of it once, below, will do.
# Ubuntu gives an update to some machines first, by chance: here the same inputs are to be the same image.
get() { SYSTEMD_OFFLINE=1 apt-get -qq $from -o APT::Get::Always-Include-Phased-Updates=true -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0 "$@"; }
# What is there, `NAME VERSION` a line.
installed() { dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' | sed -n 's/^installed //p' | LC_ALL=C sort; }
installed > base-packages
# The base is as old as its checksum; what has been mended since then has to be in the image.
echo 'golden: upgrading the packages of the base'
get dist-upgrade --yes --no-install-recommends
echo 'golden: installing packages'
get install --yes --no-install-recommends $(cat packages)
installed > installed-packages
# Told as `NAME IS LOCKED` where they differ.
differing() {
  awk -v complete="$complete" '
    FILENAME == "locked-packages" { locked[$1] = $2 }
    FILENAME == "installed-packages" { there[$1] = $2 }
    END {
      for (name in there) if (name in locked && locked[name] != there[name]) print name, there[name], locked[name]
      if (complete != "yes") exit
      for (name in there) if (!(name in locked)) print name, there[name], "absent"
      for (name in locked) if (!(name in there)) print name, "absent", locked[name]
    }
  ' locked-packages installed-packages | LC_ALL=C sort
}
if [ -s locked-packages ]; then
  complete=no
  if [ -f lock-complete ]; then complete=yes; fi
  : > wrong
  differing > differ
  while read -r name is locked; do
    # Until a bake has said what there is, the lock does not know the base, which may have something newer than the archive.
    if [ "$complete" = no ] && grep -qxF "$name $is" base-packages && dpkg --compare-versions "$is" gt "$locked"; then continue; fi
    echo "$name is $is, locked is $locked" >> wrong
  done < differ
  if [ -s wrong ]; then
    cat wrong
    echo "golden-failure packages-differ: what apt has installed is not what the lock says: $(head -n 5 wrong | tr '\n' ';')"
    exit 1
  fi
fi
# For the lock.
sed 's/^/golden-package /' installed-packages
systemctl daemon-reload
# Packages bring units too.
mask_unwanted
# What runs at every login to tell the news: Ubuntu's asks for a newer release on the way.
find /etc/update-motd.d -type f -exec chmod a-x {} + 2> /dev/null || true
echo 'golden: packages are installed'
