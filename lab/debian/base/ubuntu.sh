#!/bin/sh
# Makes of a Debian root what Ubuntu 24.04's cloud image is in the points that matter to who bakes from it: taken from a
# boot log of 24.04.4 (cloud-init 25.2), from livecd-rootfs (ubuntu-cpc) and from the sources of its packages.
# sh ubuntu.sh ROOT, with the environment of customize.sh, which it runs first.
set -eu
root=$1
here=$(dirname "$0")
sh "$here/customize.sh" "$root"
cp -r --no-preserve=ownership "$here/ubuntu/." "$root/"

# Who is there: groups that the cloud image brings, and somebody with the first uid that a person gets.
for group in admin netdev lxd; do chroot "$root" groupadd --system "$group"; done
chroot "$root" useradd --create-home --uid 1000 --user-group --shell /bin/bash ubuntu

# SSH is started by whoever calls (the socket is /etc/systemd/system/ssh.socket).
chroot "$root" systemctl disable -q ssh.service
chroot "$root" systemctl enable -q ssh.socket

# Stand-ins for units that Debian has no package for: they start with the machine or by the clock, and do nothing. Their
# programs have the names that they have on Ubuntu.
units=$root/usr/lib/systemd/system
stand_in() {
  unit=$1
  program=$2
  mkdir -p "$root$(dirname "$program")"
  if [ ! -e "$root$program" ]; then printf '#!/bin/sh\nexit 0\n' > "$root$program"; chmod 755 "$root$program"; fi
  printf '[Unit]\nDescription=Stand-in for %s\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=%s\n\n[Install]\nWantedBy=multi-user.target\n' "$unit" "$program" > "$units/$unit"
}
by_clock() {
  stand_in "$1.service" "$2"
  printf '[Unit]\nDescription=Stand-in for %s.timer\n\n[Timer]\nOnBootSec=1min\nOnUnitActiveSec=5min\n\n[Install]\nWantedBy=timers.target\n' "$1" > "$units/$1.timer"
  chroot "$root" systemctl enable -q "$1.timer"
}
by_socket() {
  printf '[Unit]\nDescription=Stand-in for %s.socket\n\n[Socket]\nListenStream=/run/%s.socket\n\n[Install]\nWantedBy=sockets.target\n' "$1" "$1" > "$units/$1.socket"
  chroot "$root" systemctl enable -q "$1.socket"
}
by_clock ua-timer /usr/lib/ubuntu-advantage/timer.py
by_clock update-notifier-download /usr/lib/update-notifier/package-data-downloader
by_clock update-notifier-motd /usr/lib/ubuntu-release-upgrader/release-upgrade-motd
by_clock fwupd-refresh /usr/bin/fwupdmgr
by_clock apport-autoreport /usr/share/apport/whoopsie-upload-all
by_clock motd-news /usr/lib/ubuntu/motd-news
by_clock snapd.snap-repair /usr/lib/snapd/snap-repair
for name in ubuntu-advantage apport snapd snapd.seeded pollinate ModemManager wpa_supplicant packagekit udisks2; do
  stand_in "$name.service" "/usr/lib/ubuntu/$name"
  chroot "$root" systemctl enable -q "$name.service"
done
for name in apt-news esm-cache; do stand_in "$name.service" "/usr/lib/ubuntu-advantage/$name.py"; done
for name in snapd lxd-installer; do by_socket "$name"; done
stand_in lxd-installer.service /usr/lib/ubuntu/lxd-installer
# Two that no list of names has: something by the clock, and something that upgrades packages when the machine starts.
by_clock vendor-inventory /usr/lib/vendor/inventory
stand_in vendor-updates.service /usr/bin/apt-get
sed -i 's|^ExecStart=.*|ExecStart=/usr/bin/apt-get --version|' "$units/vendor-updates.service"
chroot "$root" systemctl enable -q vendor-updates.service apt-daily-upgrade.service
