#!/bin/sh
# Last: clean up, check, and give unused blocks back. From the first line of clean.sh on there is no user `bake` any
# more; the scripts go on in this session, which is root's already, and Packer's next step is to shut the VM down.
# Uses: sh, systemctl, rm, sync, fstrim.
set -eu
cd /run/golden-bake

sh clean.sh
sh check.sh

# Docker is needed by the checks. What it says about this one installation goes after it has ended, and so does what it has
# left of its own work: a folder with a random name for each look at the kernel.
systemctl stop docker.socket docker.service containerd.service
rm -f /var/lib/docker/engine-id /etc/docker/key.json
rm -rf /var/lib/docker/tmp
if systemctl is-active --quiet docker.service || [ -e /var/lib/docker/engine-id ]; then
  echo 'golden-check FAILED engine-id: no Docker engine with an id of its own, but it is up again'
  exit 1
fi
fstrim --all --quiet-unsupported || echo 'golden: this disk takes no trim'
sync
echo 'golden: the image is clean'
