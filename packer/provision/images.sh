#!/bin/sh
# Container images by digest, from the file `images` (service and reference a line). A registry with a CA of its
# own (file `registries`: host and file a line) is known to Docker for exactly as long as this script runs.
# Uses: docker, install, rm, rmdir, cat, grep, head.
set -eu
cd /run/golden-bake

forget() {
  while read -r host file; do
    rm -rf "/etc/docker/certs.d/$host"
  done < /run/golden-bake/registries
  if [ -d /etc/docker/certs.d ]; then rmdir /etc/docker/certs.d; fi
}
trap forget EXIT

while read -r host file; do
  install -d -m 0755 "/etc/docker/certs.d/$host"
  install -m 0644 -o root -g root "$file" "/etc/docker/certs.d/$host/ca.crt"
done < registries

while read -r service ref; do
  echo "golden: pulling $service"
  pulled=''
  for attempt in 1 2 3; do
    # Standard input is the list.
    if docker pull --quiet "$ref" < /dev/null 2> said; then pulled=yes; break; fi
    cat said
    altered='verification failed|unexpected (commit )?digest|digest (mismatch|does not match|verification)|size validation'
    if grep -qiE "$altered" said; then
      echo "golden-failure image-altered: the registry serves something else as $ref: $(grep -iE "$altered" said | head -n 1)"
      exit 1
    fi
    echo "golden: attempt $attempt to pull $service failed"
  done
  if [ -z "$pulled" ]; then
    echo "golden-failure image-pull: the build VM can't pull $ref"
    exit 1
  fi
done < images
