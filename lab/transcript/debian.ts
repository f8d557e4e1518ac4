/**
 * What a Debian 13 guest answers over SSH and through its agent, as data. It runs on a fake guest and on a real one:
 * both have to give the answers written here, so the model stays true where whoever starts the lab relies on it.
 *
 * The guest: booted from the lab's base with a NoCloud seed whose user `tester` has the shell /bin/bash and may use
 * sudo without a password; a spare disk of 1 GiB with the serial `transcript` (scsi), blank; a way to Debian's archive.
 */
import { isDeepStrictEqual } from 'node:util'
import { good, type Step, type Wanted } from './run.ts'

const exec = (name: string, ssh: string, wanted: Wanted, input?: string): Step => ({
  name,
  ssh,
  wanted,
  ...(input !== undefined && { input }),
})
const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

const unit = (lines: string): string =>
  `[Unit]\nDescription=transcript\n[Service]\nType=oneshot\nRemainAfterExit=yes\n${lines}\n[Install]\nWantedBy=multi-user.target\n`

export const transcript: readonly Step[] = [
  exec('output and exit code', 'echo out; echo err >&2; exit 3', { exitCode: 3, stdout: 'out\n', stderr: 'err\n' }),
  exec('unknown command', 'frobnicate', { exitCode: 127, stdout: '', stderr: /frobnicate: command not found/ }),
  exec('input', 'cat', good('hello'), 'hello'),
  exec('script from input', 'sh -s -- "a b"', good('<a b>\n'), 'echo "<$1>"\n'),
  exec('first boot', 'cloud-init status --wait', good(/^\.*status: done\n$/)),
  exec('who', 'id -un; pwd; sudo -n id -u', good('tester\n/home/tester\n0\n')),
  exec('not allowed', 'cat /etc/shadow', { exitCode: 1, stdout: '', stderr: /Permission denied/ }),
  exec('redirection not allowed', 'echo x > /etc/transcript', { exitCode: 'not 0', stderr: /\/etc\/transcript: Permission denied/ }),
  { name: 'a script', upload: '/tmp/transcript.sh', content: '#!/bin/sh -eu\necho "$FOO:$#:$2"\nfalse\necho not reached\n' },
  exec('script without the mode', '/tmp/transcript.sh', { exitCode: 126, stderr: /Permission denied/ }),
  exec('script with a variable', "chmod +x /tmp/transcript.sh; FOO='b a r' /tmp/transcript.sh one 'two three'", {
    exitCode: 1,
    stdout: 'b a r:2:two three\n',
  }),
  // Its first line says -eu; who is told of the file alone does not read that.
  exec('a mode', 'chmod 0755 /tmp/transcript.sh', good('')),
  exec('a script of root', 'sudo -n sh /tmp/transcript.sh', good(':0:\nnot reached\n')),
  exec('scp brings a file', 'scp -vt /tmp', { exitCode: 0, stdout: '\0\0\0' }, 'C0640 5 transcript.txt\nhello\0'),
  exec('a mode for it', 'chmod 0644 /tmp/transcript.txt', good('')),
  exec('scp fetches it', 'scp -vf /tmp/transcript.txt', good('C0644 5 transcript.txt\nhello\0'), '\0\0\0'),
  exec(
    'script with many arguments',
    'printf \'#!/bin/sh\\necho "$# ${11} ${12}"\\n\' > /tmp/many.sh; chmod 755 /tmp/many.sh; /tmp/many.sh 1 2 3 4 5 6 7 8 9 10 "e f" g',
    good('12 e f g\n'),
  ),
  exec('sudo drops the environment', 'FOO=bar sudo -n sh -c \'echo "<${FOO-}> $HOME"\'', good('<> /root\n')),
  exec('sudo -E keeps it', 'FOO=bar sudo -n -E sh -c \'echo "<${FOO-}>"\'', good('<bar>\n')),
  exec(
    'trap at the end',
    'sh -c \'d=$(mktemp -d); clean() { rmdir "$d"; echo cleaned; }; trap clean EXIT; test -d "$d" && echo there; exit 4\'',
    { exitCode: 4, stdout: 'there\ncleaned\n' },
  ),
  exec('read in a loop', 'printf "a 1\\nb 2\\n" > /tmp/list; while read -r k v; do echo "$v$k"; done < /tmp/list', good('1a\n2b\n')),
  exec(
    'modes and owners',
    "sudo -n install -d -m 0750 -o root -g root /var/tmp/transcript && sudo -n stat -c '%a %U:%G %F' /var/tmp/transcript; sudo -n rmdir /var/tmp/transcript",
    good('750 root:root directory\n'),
  ),
  exec('installed package', "dpkg-query -W -f '${db:Status-Status}' sudo", good('installed')),
  exec('unknown package', 'dpkg-query -W frobnicate', { exitCode: 1, stdout: '', stderr: /no packages found matching frobnicate/ }),
  exec('no Docker yet', 'command -v docker', { exitCode: 1, stdout: '' }),
  exec('distribution', '. /etc/os-release; echo "$ID $VERSION_ID"', good('debian 13\n')),
  exec('machine id', "grep -cE '^[0-9a-f]{32}$' /etc/machine-id", good('1\n')),
  exec('host keys', 'ls /etc/ssh/ssh_host_ed25519_key.pub', good('/etc/ssh/ssh_host_ed25519_key.pub\n')),
  exec('running unit', 'systemctl is-active ssh.service', good('active\n')),
  exec('absent unit', 'systemctl is-active frobnicate.service', { exitCode: 'not 0', stdout: 'inactive\n' }),
  exec(
    'a unit that works',
    `printf '${unit('ExecStart=/bin/sh -c "echo $NAME > /run/transcript"\\nEnvironment=NAME=value').replaceAll('\n', '\\n')}' | sudo -n tee /etc/systemd/system/transcript.service > /dev/null && sudo -n systemctl daemon-reload && sudo -n systemctl enable --quiet --now transcript.service; systemctl is-enabled transcript.service; systemctl is-active transcript.service; cat /run/transcript`,
    good('enabled\nactive\nvalue\n'),
  ),
  exec(
    'a unit that fails',
    "sudo -n sed -i 's|^ExecStart=.*|ExecStart=/bin/false|' /etc/systemd/system/transcript.service && sudo -n systemctl daemon-reload && sudo -n systemctl restart transcript.service; systemctl is-failed transcript.service",
    good('failed\n'),
  ),
  exec(
    'a masked unit',
    'sudo -n systemctl disable --quiet transcript.service; sudo -n rm /etc/systemd/system/transcript.service; sudo -n systemctl mask --quiet transcript.service; systemctl is-enabled transcript.service; sudo -n systemctl start transcript.service',
    { exitCode: 1, stdout: 'masked\n', stderr: /transcript\.service is masked/ },
  ),
  exec(
    'unmasked again',
    'sudo -n systemctl unmask --quiet transcript.service; sudo -n systemctl daemon-reload; sudo -n systemctl reset-failed; test ! -e /etc/systemd/system/transcript.service',
    good(''),
  ),
  exec(
    'a packet filter of its own',
    "printf 'table inet transcript\\ndelete table inet transcript\\ntable inet transcript {\\n chain input {\\n }\\n}\\n' | sudo -n nft -f - && sudo -n nft list tables | grep -c transcript; sudo -n nft delete table inet transcript; sudo -n nft list table inet transcript",
    { exitCode: 1, stdout: '1\n', stderr: /No such file or directory/ },
  ),
  exec('a link by the serial', 'readlink -f /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_transcript', good(/^\/dev\/sd[a-z]\n$/)),
  exec('a blank disk', 'sudo -n blkid -p -o export /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_transcript', { exitCode: 2, stdout: '' }),
  exec(
    'a new file system',
    'sudo -n mkfs.ext4 -q -L transcript -m 1 /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_transcript && sudo -n udevadm settle && sudo -n blkid -p -o export /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_transcript | grep -E "^(LABEL|TYPE)="',
    good('LABEL=transcript\nTYPE=ext4\n'),
  ),
  exec(
    'blocks that are kept back',
    'sudo -n tune2fs -r 100 /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_transcript',
    good(/^tune2fs [\d.]+ \([^)]*\)\nSetting reserved blocks count to 100\n$/),
  ),
  exec(
    'mounted by its label',
    'sudo -n mount /dev/disk/by-label/transcript /mnt && echo kept | sudo -n tee /mnt/file > /dev/null && findmnt -no FSTYPE,TARGET /mnt | tr -s " " && sudo -n umount /mnt && ls /mnt',
    good('ext4 /mnt\n'),
  ),
  exec('what was written is there again', 'sudo -n mount LABEL=transcript /mnt && cat /mnt/file; sudo -n umount /mnt; mountpoint -q /mnt', {
    exitCode: 32,
    stdout: 'kept\n',
  }),
  exec(
    'wiped',
    'sudo -n wipefs -qa /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_transcript; sudo -n blkid -p /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_transcript',
    { exitCode: 2, stdout: '' },
  ),
  exec(
    'lists of packages, of the archives that the machine has and of one that is named',
    `export DEBIAN_FRONTEND=noninteractive
how='-o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Update::Error-Mode=any'
printf 'Types: deb\\nURIs: http://deb.debian.org/debian\\nSuites: trixie\\nComponents: main\\n' > /tmp/archive.sources
sudo -n apt-get -qq $how update; echo $?; sudo -n apt-get -qq -o Dir::Etc::SourceList=/tmp/archive.sources -o Dir::Etc::SourceParts=/dev/null $how update; echo $?`,
    good('0\n0\n'),
  ),
  exec(
    'a package, and what apt has kept of it',
    `how='-o APT::Get::Always-Include-Phased-Updates=true -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0'
sudo -n env DEBIAN_FRONTEND=noninteractive apt-get -qq $how install --yes --no-install-recommends tini > /tmp/said 2>&1; echo $?; dpkg-query -W -f '\${db:Status-Status}\\n' tini; command -v tini
sudo -n apt-get clean; echo $?; sudo -n find /var/cache/apt/archives -name '*.deb'`,
    good('0\ninstalled\n/usr/bin/tini\n0\n'),
  ),
  exec('the journal in memory', 'sudo -n journalctl --relinquish-var', good('')),
  { name: 'agent: ping', agent: 'guest-ping', wanted: (result) => isDeepStrictEqual(result, {}) },
  {
    name: 'agent: which system',
    agent: 'guest-get-osinfo',
    wanted: (result) => record(result).id === 'debian' && record(result)['version-id'] === '13',
  },
  {
    name: 'agent: the address',
    agent: 'guest-network-get-interfaces',
    wanted: (result, address) =>
      Array.isArray(result) &&
      result.some((card) =>
        (record(card)['ip-addresses'] as { 'ip-address': string; 'ip-address-type': string; prefix: number }[] | undefined)?.some(
          (each) => each['ip-address'] === address && each['ip-address-type'] === 'ipv4' && each.prefix === 24,
        ),
      ),
  },
  {
    name: 'agent: a program',
    agentExec: ['/bin/sh', '-c', 'id -u; pwd; echo err >&2; exit 5'],
    wanted: { exitCode: 5, stdout: '0\n/\n', stderr: 'err\n' },
  },
  {
    name: 'agent: which boot it is',
    agentExec: ['/bin/cat', '/proc/sys/kernel/random/boot_id'],
    wanted: good(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$/),
  },
  {
    name: 'agent: a route',
    agentExec: ['ip', '-4', 'route', 'replace', '192.0.2.78/32', 'dev', 'lo'],
    wanted: { exitCode: 0, stdout: '', stderr: '' },
  },
  { name: 'agent: a line for the journal', agentExec: ['/usr/bin/logger', '-t', 'transcript', 'a line'], wanted: good('') },
  {
    name: 'agent: a missing program',
    agent: 'guest-exec',
    args: { path: '/nowhere/frobnicate' },
    error: /frobnicate.*No such file or directory/,
  },
  { name: 'agent: an unknown process', agent: 'guest-exec-status', args: { pid: 999_999_999 }, error: /PID .* does not exist/ },
  { name: 'agent: a missing file', agent: 'guest-file-open', args: { path: '/nowhere/file' }, error: /No such file or directory/ },
  { name: 'agent: an unknown command', agent: 'guest-frobnicate', error: /guest-frobnicate/ },
]
