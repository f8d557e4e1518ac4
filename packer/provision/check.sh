#!/bin/sh
# What an image has to be. Every check says what it found; one that fails fails the bake, after all have spoken.
# Run by finish.sh as root, with Docker still up, in a folder with the files `packages`, `images`, `enabled`,
# `masked` and `registries` (see packer/inputs.ts).
# Uses: find, grep, cat, cut, docker, systemctl, dpkg, dpkg-query, ss.
set -uf
cd /run/golden-bake
failed=0

# check NAME WHAT FOUND: nothing found is good.
check() {
  if [ -z "$3" ]; then
    echo "golden-check ok $1: $2"
  else
    echo "golden-check FAILED $1: $2, but there is:" $3
    failed=1
  fi
}
# need NAME WHAT MISSING: nothing missing is good.
need() {
  if [ -z "$3" ]; then
    echo "golden-check ok $1: $2"
  else
    echo "golden-check FAILED $1: $2, but this is not so:" $3
    failed=1
  fi
}
# Files that set a proxy; comments do not. Only their names: a proxy's address can hold a password.
settings() { find "$@" -type f -exec grep -lE '^[^#]*([hH][tT][tT][pP][sS]?|[aA][lL][lL]|[nN][oO])_[pP][rR][oO][xX][yY]=|^[^#/]*Acquire::[^ ]*[pP]roxy' {} + 2> /dev/null; }

check host-keys 'no SSH host keys' "$(find /etc/ssh -name 'ssh_host_*' 2> /dev/null)"
check machine-id 'the machine id is empty' "$(cat /etc/machine-id)"
check dbus-machine-id 'no machine id of its own for D-Bus' "$(find /var/lib/dbus -type f -name machine-id -size +0 2> /dev/null)"
check cloud-init 'no cloud-init instance and no seed' "$(find /var/lib/cloud -mindepth 1 2> /dev/null)"
check network 'no network settings of the build VM' "$(grep -rls 'golden-build' /etc/netplan /etc/network/interfaces.d /etc/systemd/network /etc/hosts /etc/hostname; find /etc/netplan /etc/network/interfaces.d /etc/systemd/network -name '*cloud-init*' 2> /dev/null)"
check passwords 'no user has a password' "$(grep -Ev '^[^:]*:[*!]+:' /etc/shadow | cut -d: -f1)"
check bake-user 'the user of the bake is gone' "$(grep -ls '^bake:' /etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/subuid /etc/subgid /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-; find /home/bake /etc/sudoers.d/90-cloud-init-users 2> /dev/null)"
check authorized-keys 'no authorised SSH keys' "$(find /root /home -name 'authorized_keys*' 2> /dev/null)"
check history 'no shell history' "$(find /root /home -name '.*history' -size +0 2> /dev/null)"
check logs 'no logs' "$(find /var/log -type f -size +0 2> /dev/null)"
check logins 'no record of who logged in' "$(find /var/lib/wtmpdb /var/lib/lastlog -type f -size +0 2> /dev/null)"
check leftovers 'nothing in temporary folders' "$(find /tmp /var/tmp -mindepth 1 2> /dev/null)"
check core-dumps 'no core dumps' "$(find /var/crash /var/lib/systemd/coredump -mindepth 1 2> /dev/null)"
check package-lists 'no lists and archives of packages' "$(find /var/lib/apt/lists /var/cache/apt/archives -type f -size +0 ! -name lock 2> /dev/null)"
check random-seed 'no random seed' "$(find /var/lib/systemd -maxdepth 1 -name random-seed 2> /dev/null)"

check registry-ca 'no CA of a registry' "$(find /etc/docker/certs.d /usr/local/share/ca-certificates -mindepth 1 2> /dev/null)"
check registry-login 'no credentials of a registry' "$(find /root/.docker /root/.config/containers /etc/docker/config.json 2> /dev/null)"
check registry-mirror 'no mirror or insecure registry' "$(grep -nE 'registry-mirrors|insecure-registries' /etc/docker/daemon.json 2> /dev/null)"
check hosts 'no host names but its own' "$(grep -vE '^[[:space:]]*(#|$)|^(127\.|::1|f[ef]0[0-9a-f]::)' /etc/hosts)"
check registry-host 'no registry host in /etc/hosts' "$(while read -r host file; do grep -F "${host%:*}" /etc/hosts; done < registries)"
check proxy 'no proxy settings' "$(settings /etc/environment /etc/profile /etc/profile.d /etc/apt/apt.conf /etc/apt/apt.conf.d /etc/default /etc/systemd/system /etc/docker /root)"

# Container images: exactly those of the lock, each by its digest.
missing=''
while read -r service ref; do
  found=$(docker image inspect --format '{{json .RepoDigests}}' "$ref" < /dev/null 2> /dev/null)
  case $found in
    *"@${ref##*@}"*) ;; # Docker leaves docker.io out of names, so it is the digest that is compared
    *) missing="$missing $service=$ref" ;;
  esac
done < images
need images 'every container image of the lock is there by digest' "$missing"
check containers 'no containers' "$(docker ps --all --quiet)"

missing=''
for package in $(cat packages); do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)
  if [ "$state" != installed ]; then missing="$missing $package"; fi
done
need packages 'every package is installed' "$missing"
check broken-packages 'no half-installed packages' "$(dpkg --audit)"

missing=''
for unit in $(cat enabled); do
  case $(systemctl is-enabled "$unit" 2> /dev/null) in
    enabled | enabled-runtime | static | indirect | alias) ;;
    *) missing="$missing $unit" ;;
  esac
done
need units 'every unit of the image is enabled' "$missing"
missing=''
for unit in $(cat masked); do
  if [ "$(systemctl is-enabled "$unit" 2> /dev/null)" != masked ]; then missing="$missing $unit"; fi
done
need masked-units 'every unit that must not run is masked' "$missing"
check seed 'no seed of a slot' "$(find /run/golden/seed /srv/golden -mindepth 1 2> /dev/null)"
check listening 'nothing listens but SSH and what is on loopback' "$(ss -H -lnt | grep -vE '(^|[[:space:]])(127\.[0-9.]+(%lo)?|\[::1\]):[0-9]+[[:space:]]|(0\.0\.0\.0|\*|\[::\]):22[[:space:]]')"

exit $failed
