#!/bin/sh
# sh serena.sh ROOT: the user that Serena runs as, and the folders of the official image.
set -eu
root=$1
echo 'serena:x:1000:1000:Serena:/var/lib/serena:/bin/bash' >> "$root/etc/passwd"
echo 'serena:x:1000:' >> "$root/etc/group"
install -d -o 1000 -g 1000 "$root/var/lib/serena" "$root/workspaces" "$root/workspaces/projects" "$root/workspaces/serena" "$root/workspaces/serena/config"
install -d "$root/opt/serena"
ln -s /opt/serena "$root/workspaces/serena/.venv"
# The projects on the data disk belong to whoever pushes them; in the container there is one user only.
printf '[safe]\n\tdirectory = *\n' > "$root/etc/gitconfig"
rm -rf "$root"/var/lib/apt "$root"/var/cache/* "$root"/var/log/* "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/machine-id"
