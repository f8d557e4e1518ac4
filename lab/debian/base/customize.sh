#!/bin/sh
# Makes of a Debian root what Debian's cloud images are: nothing of a machine in it, GRUB's files in place.
# sh customize.sh ROOT, with ROOT_UUID, MIRROR, SECURITY_MIRROR and SUITE in the environment.
set -eu
root=$1
here=$(dirname "$0")

cp -r --no-preserve=mode,ownership "$here/rootfs/." "$root/"
sed -i "s/@ROOT_UUID@/$ROOT_UUID/" "$root/etc/fstab" "$root/boot/grub/grub.cfg"

# The mirror's lists stay valid only if the sources' names stay: the same three, in today's format.
rm -f "$root/etc/apt/sources.list" "$root/etc/apt/apt.conf.d/99mmdebstrap"
cat > "$root/etc/apt/sources.list.d/debian.sources" <<SOURCES
Types: deb
URIs: $MIRROR
Suites: $SUITE $SUITE-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: $SECURITY_MIRROR
Suites: $SUITE-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES

# What grub-install copies; it also needs a device, which a root does not have.
mkdir -p "$root/boot/grub/i386-pc" "$root/boot/grub/fonts"
cp "$root"/usr/lib/grub/i386-pc/*.mod "$root"/usr/lib/grub/i386-pc/*.lst "$root/boot/grub/i386-pc/"
chroot "$root" grub-mkimage -O i386-pc -o /boot/grub/i386-pc/core.img -p '(,gpt1)/boot/grub' \
  biosdisk part_gpt ext2 normal linux search search_fs_uuid serial terminal configfile minicmd test echo
cp "$root/usr/lib/grub/i386-pc/boot.img" "$root/boot/grub/i386-pc/"

# Every clone makes its own.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/lib/dbus/machine-id "$root"/var/lib/systemd/random-seed
: > "$root/etc/machine-id"
echo localhost > "$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' > "$root/etc/hosts"
echo LANG=C.UTF-8 > "$root/etc/default/locale"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
chroot "$root" passwd -l root >/dev/null
chroot "$root" systemctl enable -q systemd-networkd systemd-resolved systemd-timesyncd ssh
