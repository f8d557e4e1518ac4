/** The programs that fake guests model: those that somebody asks for, and no others. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { programs } from '../../lab/compute/fake/commands/index.ts'

/** Who asks for each: a file of the product, or else a test. What no such file asks for does not belong here. */
const askedBy: Readonly<Record<string, string>> = {
  'apt-get': 'packer/provision/packages.sh',
  arping: 'images/guest/address.ts',
  bash: 'test/lab/fake-shell.test.ts',
  blkid: 'images/guest/disk.ts',
  cat: 'packer/provision/files.sh',
  chmod: 'packer/provision/packages.sh',
  chown: 'packer/provision/files.sh',
  'cloud-init': 'packer/provision/wait.sh',
  cp: 'images/guest/restore-point.ts',
  curl: 'test/lab/fake-network.test.ts',
  cut: 'packer/provision/check.sh',
  docker: 'packer/provision/images.sh',
  'docker-compose': 'images/rootfs/usr/local/sbin/golden-compose',
  dpkg: 'packer/provision/packages.sh',
  'dpkg-query': 'packer/provision/check.sh',
  du: 'images/guest/share.ts',
  env: 'test/lab/fake-ssh.test.ts',
  findmnt: 'lab/transcript/debian.ts',
  fstrim: 'packer/provision/finish.sh',
  getent: 'test/lab/fake-shell.test.ts',
  git: 'images/guest/project.ts',
  grep: 'packer/provision/check.sh',
  groupadd: 'test/packer/provision.test.ts',
  groupmod: 'packer/provision/files.sh',
  head: 'packer/provision/packages.sh',
  hostname: 'test/lab/fake-machine.test.ts',
  id: 'test/packer/provision.test.ts',
  install: 'packer/provision/files.sh',
  ip: 'images/guest/address.ts',
  journalctl: 'packer/provision/clean.sh',
  logger: 'rollout/last-line.ts',
  lsblk: 'test/lab/fake-machine.test.ts',
  'mkfs.ext4': 'images/guest/disk.ts',
  mktemp: 'lab/transcript/debian.ts',
  mount: 'images/guest/boot.ts',
  mountpoint: 'lab/transcript/debian.ts',
  nft: 'images/rootfs/usr/local/sbin/golden-firewall',
  nsenter: 'images/guest/reach.ts',
  pgrep: 'images/guest/transfers.ts',
  pkill: 'images/guest/slotctl.ts',
  reboot: 'test/lab/fake-slot.test.ts',
  runuser: 'test/lab/fake-shell.test.ts',
  setpriv: 'images/guest/selftest.ts',
  sh: 'packer/provision/packages.sh',
  sha256sum: 'test/lab/fake-shell.test.ts',
  sort: 'packer/provision/unwanted.sh',
  ss: 'packer/provision/check.sh',
  stat: 'packer/provision/trial.sh',
  su: 'test/lab/fake-shell.test.ts',
  sudo: 'packer/golden.pkr.hcl',
  sync: 'packer/provision/finish.sh',
  systemctl: 'packer/provision/files.sh',
  'systemd-sysusers': 'packer/provision/files.sh',
  tail: 'packer/provision/trial.sh',
  tar: 'packer/provision/files.sh',
  test: 'images/guest/selftest.ts',
  truncate: 'packer/provision/clean.sh',
  tune2fs: 'images/guest/share.ts',
  udevadm: 'images/guest/disk.ts',
  umount: 'images/guest/boot.ts',
  useradd: 'test/packer/provision.test.ts',
  userdel: 'packer/provision/clean.sh',
  wc: 'test/lab/fake-machine.test.ts',
  wipefs: 'lab/transcript/debian.ts',
}

it('are these', () => {
  expect(Object.keys(programs).sort()).toEqual(Object.keys(askedBy).sort())
})

it.each(Object.entries(askedBy))('%s is asked for by %s', (name, file) => {
  expect(readFileSync(join(import.meta.dirname, '../..', file), 'utf8')).toMatch(
    new RegExp(`(^|[^\\w.-])${name.replaceAll('.', '\\.')}([^\\w.-]|$)`, 'm'),
  )
})
