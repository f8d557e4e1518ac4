/** What the modelled distribution's packages bring: programs, units, users. Versions are Debian 13's. */

export interface PackageModel {
  readonly version: string
  readonly depends?: readonly string[]
  /** Programs in /usr/bin; with a path, elsewhere. */
  readonly programs?: readonly string[]
  /** Unit files in /usr/lib/systemd/system by name. */
  readonly units?: Readonly<Record<string, string>>
  /** Units that the package enables and starts when it is installed. */
  readonly enable?: readonly string[]
  readonly users?: readonly string[]
  readonly groups?: readonly string[]
  readonly files?: Readonly<Record<string, string>>
}

const service = (description: string, exec: string, extra = '', wantedBy = 'multi-user.target'): string =>
  `[Unit]\nDescription=${description}\n${extra.startsWith('[') ? '' : ''}\n[Service]\nType=simple\nExecStart=${exec}\n${extra}\n[Install]\nWantedBy=${wantedBy}\n`

const COREUTILS = `
  awk base64 basename cat chmod chown clear comm cp cut date diff dirname du egrep env expand expr false fgrep find fold getent
  grep gunzip gzip head hostname id install join ln ls md5sum mkdir mktemp mv nl od paste printenv readlink rev rm rmdir sed seq
  sha1sum sha256sum sleep sort split stat sync tac tail tar tee test timeout touch tr true truncate unexpand uniq uptime wc which
  whoami xargs zcat column strings time sh bash dash free ps
`
  .trim()
  .split(/\s+/)

export const CATALOGUE: Readonly<Record<string, PackageModel>> = {
  'base-files': { version: '13.8' },
  coreutils: { version: '9.7-3', programs: COREUTILS },
  'util-linux': {
    version: '2.41-5',
    programs: [
      'findmnt',
      'logger',
      'lsblk',
      'mount',
      'mountpoint',
      'nsenter',
      'umount',
      'setpriv',
      'su',
      '/usr/sbin/blkid',
      '/usr/sbin/fstrim',
      '/usr/sbin/runuser',
      '/usr/sbin/wipefs',
      '/usr/sbin/nologin',
    ],
  },
  e2fsprogs: { version: '1.47.2-3+b3', programs: ['/usr/sbin/mkfs.ext4', '/usr/sbin/tune2fs'] },
  passwd: {
    version: '1:4.17.4-2',
    programs: ['passwd', '/usr/sbin/groupadd', '/usr/sbin/groupmod', '/usr/sbin/useradd', '/usr/sbin/userdel'],
  },
  apt: {
    version: '3.0.3',
    programs: ['apt', 'apt-get'],
    units: {
      'apt-daily.timer':
        '[Unit]\nDescription=Daily apt download activities\n[Timer]\nOnCalendar=*-*-* 6,18:00\n[Install]\nWantedBy=timers.target\n',
      'apt-daily-upgrade.timer':
        '[Unit]\nDescription=Daily apt upgrade and clean activities\n[Timer]\nOnCalendar=*-*-* 6:00\n[Install]\nWantedBy=timers.target\n',
      'apt-daily.service': service('Daily apt download activities', '/usr/bin/true'),
      'apt-daily-upgrade.service': service('Daily apt upgrade', '/usr/bin/true'),
    },
    enable: ['apt-daily.timer', 'apt-daily-upgrade.timer'],
  },
  dpkg: { version: '1.22.21', programs: ['dpkg', 'dpkg-query'] },
  systemd: {
    version: '257.8-1~deb13u2',
    programs: ['systemctl', 'journalctl', 'systemd-sysusers', '/usr/sbin/reboot', '/usr/sbin/shutdown'],
    units: {
      'systemd-fsck@.service':
        '[Unit]\nDescription=File System Check on %f\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/true\n',
      'systemd-random-seed.service':
        '[Unit]\nDescription=Load/Save OS Random Seed\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/true\n',
      'systemd-journald.service': service('Journal Service', '/usr/lib/systemd/systemd-journald'),
      'systemd-networkd.service': service('Network Configuration', '/usr/lib/systemd/systemd-networkd'),
      'systemd-timesyncd.service': service('Network Time Synchronization', '/usr/lib/systemd/systemd-timesyncd'),
      'systemd-resolved.service': service('Network Name Resolution', '/usr/lib/systemd/systemd-resolved'),
      'getty@tty1.service': service('Getty on tty1', '/sbin/agetty'),
    },
    enable: ['systemd-journald.service', 'systemd-networkd.service', 'systemd-timesyncd.service'],
  },
  udev: {
    version: '257.8-1~deb13u2',
    programs: ['udevadm'],
    units: { 'systemd-udevd.service': service('Rule-based Manager for Device Events and Files', '/usr/lib/systemd/systemd-udevd') },
    enable: ['systemd-udevd.service'],
  },
  procps: { version: '2:4.0.4-9', programs: ['free', 'pgrep', 'pkill', 'ps'] },
  iproute2: { version: '6.15.0-1', programs: ['ip', 'ss'] },
  'iputils-arping': { version: '3:20240905-3', programs: ['arping'] },
  'iputils-ping': { version: '3:20240905-3', programs: ['ping'] },
  'openssh-server': {
    version: '1:10.0p1-7',
    programs: ['/usr/sbin/sshd'],
    units: {
      'ssh.service': service('OpenBSD Secure Shell server', '/usr/sbin/sshd -D'),
      'ssh.socket':
        '[Unit]\nDescription=OpenBSD Secure Shell server socket\n[Socket]\nListenStream=22\n[Install]\nWantedBy=sockets.target\n',
    },
    enable: ['ssh.service'],
    users: ['sshd'],
  },
  'openssh-client': { version: '1:10.0p1-7', programs: ['ssh', 'scp'] },
  sudo: { version: '1.9.16p2-3', programs: ['sudo'], groups: ['sudo'] },
  'cloud-init': {
    version: '25.1.4-1',
    programs: ['cloud-init'],
    units: {
      'cloud-init-local.service': service('cloud-init: local stage', '/usr/bin/cloud-init init --local'),
      'cloud-init-main.service': service('cloud-init: single process', '/usr/bin/cloud-init'),
      'cloud-init-network.service': service('cloud-init: network stage', '/usr/bin/cloud-init init'),
      'cloud-config.service': service('cloud-init: config stage', '/usr/bin/cloud-init modules'),
      'cloud-final.service': service('cloud-init: final stage', '/usr/bin/cloud-init modules'),
    },
  },
  'cloud-guest-utils': { version: '0.33-1' },
  'netplan.io': { version: '1.1.2-7', programs: ['/usr/sbin/netplan'] },
  python3: { version: '3.13.5-1', programs: ['python3'] },
  'ca-certificates': {
    version: '20250419',

    files: { '/etc/ssl/certs/ca-certificates.crt': '' },
  },
  openssl: { version: '3.5.1-1' },
  curl: { version: '8.14.1-2', programs: ['curl'] },
  wget: { version: '1.25.0-2', programs: ['wget'] },
  cron: { version: '3.0pl1-197' },
  'qemu-guest-agent': {
    version: '1:10.0.3+ds-0+deb13u1',

    units: { 'qemu-guest-agent.service': service('QEMU Guest Agent', '', 'dev-virtio\\x2dports-org.qemu.guest_agent.0.device') },
    enable: ['qemu-guest-agent.service'],
  },
  containerd: {
    version: '1.7.24~ds1-6+b4',
    programs: ['containerd'],
    units: { 'containerd.service': service('containerd container runtime', '/usr/bin/containerd') },
    enable: ['containerd.service'],
  },
  'docker.io': {
    version: '26.1.5+dfsg1-9+b9',
    depends: ['containerd', 'iptables', 'tini'],
    programs: ['docker', 'docker-init', '/usr/sbin/dockerd'],
    units: {
      'docker.service': service('Docker Application Container Engine', '/usr/sbin/dockerd -H fd://'),
      'docker.socket':
        '[Unit]\nDescription=Docker Socket for the API\n[Socket]\nListenStream=/run/docker.sock\n[Install]\nWantedBy=sockets.target\n',
    },
    enable: ['docker.service', 'docker.socket'],
    groups: ['docker'],
  },
  'docker-cli': { version: '26.1.5+dfsg1-9+b9', programs: ['docker'] },
  'docker-compose': { version: '2.26.1-4', programs: ['docker-compose', '/usr/libexec/docker/cli-plugins/docker-compose'] },
  'docker-compose-v2': { version: '2.26.1-4', programs: ['docker-compose', '/usr/libexec/docker/cli-plugins/docker-compose'] },
  nftables: {
    version: '1.1.3-1',
    programs: ['/usr/sbin/nft'],
    units: {
      'nftables.service': `[Unit]\nDescription=nftables\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\n[Install]\nWantedBy=sysinit.target\n`,
    },
    files: { '/etc/nftables.conf': '#!/usr/sbin/nft -f\n\nflush ruleset\n' },
  },
  iptables: { version: '1.8.11-2', programs: ['/usr/sbin/ip6tables'] },
  nginx: {
    version: '1.26.3-3+deb13u1',
    programs: ['/usr/sbin/nginx'],
    units: { 'nginx.service': service('A high performance web server', '/usr/sbin/nginx') },
    enable: ['nginx.service'],
    users: ['www-data'],
  },
  jq: { version: '1.7.1-6', programs: ['jq'] },
  git: {
    version: '1:2.47.3-0+deb13u1',
    programs: ['git', 'git-receive-pack', 'git-upload-pack', 'git-shell'],
    files: {
      '/usr/share/doc/git/copyright':
        'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: its authors\nLicense: GPL-2\n',
    },
  },
  rsync: { version: '3.4.1+ds1-5', programs: ['rsync'] },
  file: { version: '1:5.46-5', programs: ['file'] },
  tree: { version: '2.2.1-1', programs: ['tree'] },
  zstd: { version: '1.5.7+dfsg-1' },
  'libstdc++6': { version: '14.2.0-19' },
  tini: { version: '0.19.0-1+b8', programs: ['tini', 'tini-static'] },
  'openssh-sftp-server': { version: '1:10.0p1-7', programs: ['/usr/lib/openssh/sftp-server'] },
  apparmor: { version: '4.1.0-1' },
  'unattended-upgrades': {
    version: '2.12',
    programs: ['unattended-upgrade'],
    units: { 'unattended-upgrades.service': service('Unattended Upgrades Shutdown', '/usr/bin/true') },
    enable: ['unattended-upgrades.service'],
  },
  logrotate: { version: '3.22.0-1', programs: ['/usr/sbin/logrotate'] },
  'systemd-timesyncd': { version: '257.8-1~deb13u2' },
  'systemd-resolved': { version: '257.8-1~deb13u2', enable: ['systemd-resolved.service'] },
  'linux-image-cloud-amd64': { version: '6.12.48-1' },
  fdisk: { version: '2.41-5', programs: ['/usr/sbin/fdisk', '/usr/sbin/sfdisk'] },
  dosfstools: { version: '4.2-1.2' },
  'apt-utils': { version: '3.0.3' },
  dbus: { version: '1.16.2-2' },
  locales: { version: '2.41-12' },
  tzdata: { version: '2025b-4' },
  'bash-completion': { version: '1:2.16.0-7' },
  less: { version: '668-1' },
  'vim-tiny': { version: '2:9.1.1230-2', programs: ['vi'] },
}

/** On the modelled cloud image from the start. */
export const CLOUD_IMAGE: readonly string[] = `
  base-files coreutils util-linux e2fsprogs passwd apt dpkg systemd udev procps iproute2 iputils-ping openssh-server
  openssh-client openssh-sftp-server sudo cloud-init cloud-guest-utils netplan.io python3 ca-certificates openssl
  linux-image-cloud-amd64 dbus locales tzdata less vim-tiny bash-completion systemd-timesyncd apparmor
`
  .trim()
  .split(/\s+/)
