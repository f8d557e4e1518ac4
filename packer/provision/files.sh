#!/bin/sh
# The image's own files, from the archives, and the record of what the image is; then users and units of them.
# Uses: tar, install, grep, groupmod, systemd-sysusers, systemctl, cat, rm, chown, ln, command.
set -eu
cd /run/golden-bake

for archive in /var/tmp/golden-bake/*; do
  echo "golden: unpacking ${archive##*/}"
  # Folders that are there keep their owner and mode.
  tar --no-overwrite-dir --no-same-owner -C / -xpf "$archive"
  rm -f "$archive"
done
install -d -m 0755 /etc/golden
install -m 0644 -o root -g root image.json /etc/golden/image.json

echo 'golden: making users and enabling units'
# A group that the base brings by a name of ours (Ubuntu's cloud image: admin, empty) gets our number: systemd-sysusers
# would leave it as it is, and the user with it. Where the number is taken check.sh says so.
while read -r kind name number rest; do
  if [ "$kind" != u ] || ! grep -q "^$name:" /etc/group; then continue; fi
  if ! grep -q "^$name:[^:]*:$number:" /etc/group; then groupmod -g "$number" "$name" || true; fi
done < /usr/lib/sysusers.d/golden.conf
systemd-sysusers
systemctl daemon-reload
systemctl enable --quiet $(cat enabled)
# `init: true` in compose.yaml is a program that dockerd looks for under this name. Debian's docker.io brings it by way of
# tini's; whoever else has tini has it too.
if ! command -v docker-init > /dev/null && [ ! -e /usr/libexec/docker/docker-init ]; then ln -s /usr/bin/tini-static /usr/local/bin/docker-init; fi
# golden-compose calls the plugin itself, where Debian's package puts it; these are the other places where Docker looks.
plugin=/usr/libexec/docker/cli-plugins/docker-compose
for folder in /usr/lib /usr/local/libexec /usr/local/lib; do
  if [ ! -e "$plugin" ] && [ -e "$folder/docker/cli-plugins/docker-compose" ]; then
    install -d -m 0755 "${plugin%/*}"
    ln -s "$folder/docker/cli-plugins/docker-compose" "$plugin"
  fi
done
# A base without the agent gets it from our packages, and its package leaves the start to the next boot. Proxmox has to
# have it before that: with an agent in the VM's configuration it asks nobody else to shut down.
systemctl start qemu-guest-agent.service
# With the image's settings, whether its package is of the base, and runs, or is new.
systemctl restart docker.service
# Its configuration came with the files; without it, it would listen for its neighbours until the next boot.
systemctl try-restart systemd-resolved.service
