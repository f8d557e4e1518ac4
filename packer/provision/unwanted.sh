#!/bin/sh
# The units that a golden image must not run and that are not masked, or run all the same, one a line: what upgrades
# packages, tells somebody of this machine, takes disks, has firewall rules of its own, or does anything else by the clock.
# Found by what is there, not by the distribution's name: by the names in the file `unwanted`, every timer that is not in `timers` (both regular
# expressions for a whole name), and every service with a command that does such a thing. Run by packages.sh and check.sh.
# Uses: systemctl, grep, cut, find, sort.
set -uf
cd /run/golden-bake

there=$(systemctl list-unit-files --no-legend --no-pager | grep -vE '[[:space:]]masked(-runtime)?([[:space:]]|$)' | cut -d ' ' -f 1
systemctl list-units --state=active,activating,reloading --plain --no-legend --no-pager | cut -d ' ' -f 1)
commands='apt|apt-get|aptitude|apt\.systemd\.daily|unattended-upgrade|unattended-upgrade-shutdown|do-release-upgrade|snap|pkcon|fwupdmgr|flatpak|pro|curl|wget'
folders='ubuntu-advantage|update-notifier|ubuntu-release-upgrader|update-motd\.d|snapd|apport'
# Not what systemd has made in /run of such a file: that has the same name.
services=$(find /etc/systemd/system /usr/lib/systemd/system /usr/local/lib/systemd/system -type f -name '*.service' -exec grep -lE "^Exec[A-Za-z]*=[-@:+!|]*(.*[/[:space:]\"'])?(($commands)([[:space:]\"';]|\$)|($folders)/)" {} + 2> /dev/null)
{
  echo "$there" | grep -xE -f unwanted
  echo "$there" | grep '\.timer$' | grep -vxE -f timers
  for file in $services; do echo "$there" | grep -xF "${file##*/}"; done
} | sort -u
