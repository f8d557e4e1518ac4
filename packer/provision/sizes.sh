#!/bin/sh
# What packages and container images take, in bytes, for the image's manifest (packer/manifest.ts); Packer hands it on.
# Uses: dpkg-query, docker, awk, echo.
set -eu
cd /run/golden-bake

kib=$(dpkg-query -W -f '${db:Status-Status} ${Installed-Size}\n' | awk '$1 == "installed" { sum += $2 } END { print sum }')
echo "golden-size packages $((kib * 1024))"
while read -r service ref; do
  bytes=$(docker image inspect --format '{{.Size}}' "$ref" < /dev/null)
  echo "golden-size $service $bytes"
done < images
