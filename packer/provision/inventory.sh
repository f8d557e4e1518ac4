#!/bin/sh
# For the SBOM: of this machine and of each container image (file `images`: service and reference a line) the files that say
# what is installed there and under which licence, in one archive, which Packer brings to images/sbom. Nothing is run of an
# image, and what is made for it goes again.
# Uses: docker, node, tar, install, sed, cat, head, chmod, rm.
set -eu
# tar's own words are looked at.
export LC_ALL=C
cd /run/golden-bake
found=/var/tmp/golden-bake/inventory
tidy() { rm -rf /var/tmp/golden-bake/inventory; }
trap tidy EXIT

echo 'golden: taking down what is in the image'
install -D -m 0644 /var/lib/dpkg/status "$found/machine/var/lib/dpkg/status"
install -D -m 0644 /etc/os-release "$found/machine/etc/os-release"
for file in /usr/share/doc/*/copyright; do
  # Of a link to a file what is in it; where documentation is left out there is none.
  if [ -f "$file" ]; then install -D -m 0644 "$file" "$found/machine$file"; fi
done
while read -r service ref; do
  # A command of its own, which nobody runs: some images have none.
  id=$(docker create --pull never --network none "$ref" true < /dev/null)
  install -d "$found/container-$service"
  # Not `docker export`: of what that has read, Docker keeps the container's layer when the container is removed, for good
  # (26.1.5: it takes hold of the layer and never lets go).
  # On its way what Go's programs say of their modules is read, which is in the middle of them; and whether the archive comes to
  # its end, or there is no file.
  { docker cp "$id:/." - 2> /run/golden-bake/copied |
    /opt/golden/node/bin/node /usr/local/lib/golden/go-programs.js "$found/container-$service/go-programs" 2> /run/golden-bake/looked |
    tar -x -C "$found/container-$service" --no-same-owner --no-same-permissions --wildcards \
      './var/lib/dpkg/status' './var/lib/dpkg/status.d/*' './usr/share/doc/*/copyright' './lib/apk/db/installed' './usr/lib/apk/db/installed' \
      './etc/os-release' './usr/lib/os-release' '*.dist-info/METADATA' '*.egg-info/PKG-INFO' '*node_modules/*/package.json' || true; } > said 2>&1
  docker rm --volumes "$id" > /dev/null
  # Links to what is not taken: the SBOM says that these were not read.
  sed -n '/Cannot hard link to/p' said > "$found/container-$service/unread"
  # What an image does not have is no mistake, but to tar.
  sed -e '/Cannot hard link to/d' -e '/Not found in archive/d' -e '/Exiting with failure status/d' said > wrong
  cat copied looked >> wrong
  if [ ! -f "$found/container-$service/go-programs" ]; then echo 'it ended in the middle' >> wrong; fi
  if [ -s wrong ]; then
    cat wrong
    echo "golden-failure inventory: what is in the image of $service can't be read: $(head -n 1 wrong)"
    exit 1
  fi
done < images
tar -czf inventory.tar.gz -C "$found" .
chmod 0644 inventory.tar.gz
