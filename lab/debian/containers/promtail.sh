#!/bin/sh
# sh promtail.sh ROOT: nothing but the C library, libsystemd and what it loads for compressed journals.
set -eu
root=$1
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n' > "$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' > "$root/etc/group"
install -d -m 1777 "$root/tmp"
install -d "$root/usr/bin" "$root/root"
rm -rf "$root"/var/lib/apt "$root"/var/lib/dpkg "$root"/var/cache/apt "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/machine-id"
