#!/bin/sh
# What has come into the image, for its manifest (packer/manifest.ts): the file `manifest`, a line each, fields by tabs.
# Packer fetches it before the user of the bake is gone.
# Uses: dpkg-query, docker, printf, chmod.
set -eu
cd /run/golden-bake

dpkg-query -W -f 'package\t${db:Status-Abbrev}\t${binary:Package}\t${Version}\t${Installed-Size}\n' > manifest
while read -r service ref; do
  bytes=$(docker image inspect --format '{{.Size}}' "$ref" < /dev/null)
  printf 'container\t%s\t%s\n' "$service" "$bytes" >> manifest
done < images
# A base may give root's files to nobody else.
chmod 0644 manifest
