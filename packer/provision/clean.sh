#!/bin/sh
# Takes away all that belongs to this one machine and this one bake. Run by finish.sh; what it leaves is looked
# for by check.sh.
# Uses: cloud-init, systemctl, journalctl, apt-get, userdel, find, install, rm, truncate, sed.
set -eu

echo 'golden: cleaning up'
# From here on the journal is kept in memory, and nobody else writes logs. While the machine still has its id.
journalctl --relinquish-var
systemctl stop syslog.socket rsyslog.service 2> /dev/null || true

# Who was let in to bake. sudo's rule goes first: without the user nobody could remove it any more; this script
# goes on as root, and the connection stays until Packer ends it.
rm -f /etc/sudoers.d/90-cloud-init-users
userdel -f bake
rm -rf /home/bake /var/mail/bake /var/spool/mail/bake

# Registries: nothing may say how the images came here.
rm -rf /etc/docker/certs.d /root/.docker

# The next machine makes its own identity.
cloud-init clean --logs --seed
rm -rf /var/lib/cloud /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init /etc/ssh/sshd_config.d/50-cloud-init.conf
find /etc/systemd/network -name '*cloud-init*' -exec rm -f {} +
rm -f /etc/ssh/ssh_host_*
truncate -s 0 /etc/machine-id
if [ -f /var/lib/dbus/machine-id ] && [ ! -L /var/lib/dbus/machine-id ]; then rm -f /var/lib/dbus/machine-id; fi
# Stopped first, or it writes a new one when the machine goes down, and all clones would start with the same.
systemctl stop systemd-random-seed.service || true
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
echo localhost > /etc/hostname
sed -i '/golden-build/d' /etc/hosts
find /var/lib/dhcp /var/lib/dhcpcd /var/lib/NetworkManager -type f -exec rm -f {} + 2> /dev/null || true
rm -f /var/lib/systemd/timesync/clock

# Copies that account tools make before they change a file still hold the user.
rm -f /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/subuid- /etc/subgid-

apt-get clean
rm -rf /var/lib/apt/lists /var/cache/apt/archives /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/lib/update-notifier /var/lib/ubuntu-advantage/apt-esm
install -d -m 0755 /var/lib/apt/lists /var/lib/apt/lists/partial /var/cache/apt/archives /var/cache/apt/archives/partial
rm -rf /var/crash /var/lib/systemd/coredump

rm -rf /var/log/journal
find /var/log -type f -name '*.gz' -exec rm -f {} +
find /var/log -type f -exec truncate -s 0 {} +

# Who logged in, where it is not in /var/log.
rm -rf /var/lib/wtmpdb/wtmp.db /var/lib/lastlog/lastlog2.db /var/lib/sudo/lectured

find /root /home -name '.*history' -exec rm -f {} +
find /home -name 'known_hosts*' -exec rm -f {} +
rm -rf /root/.ssh /root/.cache /root/.wget-hsts /root/.lesshst
find /tmp /var/tmp -mindepth 1 -maxdepth 1 -exec rm -rf {} +
