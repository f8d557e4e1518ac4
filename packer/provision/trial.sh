#!/bin/sh
# Runs each container image once, as compose.yaml will: entrypoint, user, read-only root, capabilities, init, mounts and
# network are its own; only the words after the entrypoint are others (`trials`), which end at once. An image that can't
# run here would be found by whoever deploys it. Then: whether this base can do the mount by which Serena gets the projects.
# Nothing of it stays; check.sh looks.
# Uses: docker-compose through golden-compose, timeout, install, chown, mount, umount, stat, sed, rm, rmdir, cat, grep, tail.
set -eu
cd /run/golden-bake
: > made

# make OWNER PATH: a folder that a mount wants to be there. Remembers the first that was missing on the way to it.
make() {
  path=$2
  first=''
  while [ ! -e "$path" ]; do
    first=$path
    path=${path%/*}
    if [ -z "$path" ]; then path=/; fi
  done
  if [ -z "$first" ]; then return; fi
  echo "$first" >> made
  install -d -m 0755 "$2"
  chown "$1" "$2"
}
tidy() {
  trap - EXIT
  if [ -d /run/golden-bake/mapped ]; then
    umount /run/golden-bake/mapped 2> /dev/null || true
    rmdir /run/golden-bake/mapped
  fi
  /usr/local/sbin/golden-compose down --volumes --timeout 5 > /run/golden-bake/said 2>&1 || cat /run/golden-bake/said
  while read -r path; do rm -rf "$path"; done < /run/golden-bake/made
}
trap tidy EXIT

make 0:0 /run/golden
install -m 0600 compose.env /run/golden/compose.env
while read -r owner path; do make "$owner" "$path"; done < trial-folders

while read -r service name words; do
  echo "golden: running $service once"
  # Its standard input is not the list.
  if timeout 900 /usr/local/sbin/golden-compose run --rm --no-deps -T "$name" $words < /dev/null > said 2>&1; then continue; fi
  cat said
  echo "golden-failure container-run: the image of $service does not run as $name in compose.yaml: $(grep -v '^[[:space:]]*$' said | tail -n 1)"
  exit 1
done < trials

# The projects belong to one user on the disk and to another in Serena's container (run-golden-workspaces.mount). The disk
# is an ext4 like this one; what is mounted here is not what will be.
unit=/usr/lib/systemd/system/run-golden-workspaces.mount
options=$(sed -n 's/^Options=//p' "$unit")
map=${options##*idmap=}
from=${map%%:*}
to=${map#*:}
to=${to%%:*}
make "$from:$from" /var/tmp/golden-bake/projects
install -d mapped
if ! mount -o "$options" /var/tmp/golden-bake/projects mapped > said 2>&1 || [ "$(stat -c %u mapped)" != "$to" ]; then
  cat said
  echo "golden-failure mapped-mount: this base can't mount a folder of uid $from as one of uid $to, by which Serena gets the projects: $(tail -n 1 said)"
  exit 1
fi
