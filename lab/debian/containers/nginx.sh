#!/bin/sh
# sh nginx.sh ROOT: unpacked packages become what the official image looks like from outside: user nginx is 101,
# modules in /etc/nginx/modules, logs on the container's output, temporary files below /var/cache/nginx.
set -eu
root=$1
printf 'root:x:0:0:root:/root:/bin/sh\nnginx:x:101:101:nginx:/nonexistent:/bin/false\n' > "$root/etc/passwd"
printf 'root:x:0:\nnginx:x:101:\n' > "$root/etc/group"
rm -rf "$root/etc/nginx/modules" "$root/etc/nginx/modules-enabled" "$root/etc/nginx/sites-enabled" "$root/var/lib/nginx" "$root/var/log/nginx" "$root/usr/share/nginx/modules"
ln -s /usr/lib/nginx/modules "$root/etc/nginx/modules"
ln -s /usr/lib/nginx/modules "$root/usr/share/nginx/modules"
install -d -o 101 -g 101 "$root/var/cache/nginx"
ln -s /var/cache/nginx "$root/var/lib/nginx"
install -d "$root/var/log/nginx" "$root/etc/nginx/conf.d" "$root/run" "$root/root"
ln -s /dev/stdout "$root/var/log/nginx/access.log"
ln -s /dev/stderr "$root/var/log/nginx/error.log"
sed -i 's/^user .*/user nginx;/; /modules-enabled/d; /sites-enabled/d' "$root/etc/nginx/nginx.conf"
install -d -m 1777 "$root/tmp" "$root/var/tmp"
rm -rf "$root"/var/lib/apt "$root"/var/lib/dpkg "$root"/var/cache/apt "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/machine-id"
