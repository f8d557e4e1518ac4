#!/bin/sh
# First: the guest's own first boot has to be over, and well. Then the two folders of the bake are made.
# Uses: cloud-init, install, grep, rm.
set -eu

echo 'golden: waiting for the first boot to end'
state=$(cloud-init status --wait --long || true)
if ! echo "$state" | grep -q '^status: done'; then
  echo "$state"
  echo 'golden-failure first-boot: cloud-init did not end well in the build VM'
  exit 1
fi
if echo "$state" | grep -q '^extended_status: degraded'; then
  echo "$state"
  echo 'golden-failure first-boot: cloud-init reports recoverable errors in the build VM'
  exit 1
fi
install -d -m 0700 -o bake /run/golden-bake
install -d -m 0700 -o bake /var/tmp/golden-bake
# This script itself came to /tmp, before there was a better place.
rm -f "$0"
