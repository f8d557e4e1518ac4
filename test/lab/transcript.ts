/**
 * What a Debian 13 guest answers over SSH and through its agent, as data. It runs on a fake guest and on a real one:
 * both have to give the answers written here, so the model stays true where this project relies on it.
 *
 * The guest: booted from the lab's base with a NoCloud seed whose user `tester` has the shell /bin/bash and may use
 * sudo without a password; a spare disk of 1 GiB with the serial `transcript` (scsi), blank.
 */
import { isDeepStrictEqual } from 'node:util'

export interface Answer {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
}

/** How to reach a guest. */
export interface TranscriptGuest {
  /** A command over SSH as `tester`. */
  ssh(command: string, input?: string): Promise<Answer>
  /** A file by SFTP as `tester`. */
  upload(path: string, content: string): Promise<void>
  /** A guest agent command, its `return`; rejects with an error of the driver's. */
  agent(command: string, args?: Record<string, unknown>): Promise<unknown>
  /** The guest's own IPv4 address. */
  readonly address: string
}

type Wanted = { readonly exitCode: number | 'not 0'; readonly stdout?: string | RegExp; readonly stderr?: string | RegExp }

export type Step =
  | { readonly name: string; readonly upload: string; readonly content: string }
  | { readonly name: string; readonly ssh: string; readonly input?: string; readonly wanted: Wanted }
  | { readonly name: string; readonly agentExec: readonly string[]; readonly wanted: Wanted }
  | {
      readonly name: string
      readonly agent: string
      readonly args?: Record<string, unknown>
      readonly wanted: (result: unknown, address: string) => boolean
    }
  | { readonly name: string; readonly agent: string; readonly args?: Record<string, unknown>; readonly error: RegExp }

const exec = (name: string, ssh: string, wanted: Wanted, input?: string): Step => ({
  name,
  ssh,
  wanted,
  ...(input !== undefined && { input }),
})
const good = (stdout: string | RegExp): Wanted => ({ exitCode: 0, stdout })
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
  exec('a blank disk', 'sudo -n blkid -p /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_transcript', { exitCode: 2, stdout: '' }),
  exec(
    'a new file system',
    'sudo -n mkfs.ext4 -q -L transcript /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_transcript && sudo -n udevadm settle && sudo -n blkid -p -o export /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_transcript | grep -E "^(LABEL|TYPE)="',
    good('LABEL=transcript\nTYPE=ext4\n'),
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
    name: 'agent: a missing program',
    agent: 'guest-exec',
    args: { path: '/nowhere/frobnicate' },
    error: /frobnicate.*No such file or directory/,
  },
  { name: 'agent: an unknown process', agent: 'guest-exec-status', args: { pid: 999_999_999 }, error: /PID .* does not exist/ },
  { name: 'agent: a missing file', agent: 'guest-file-open', args: { path: '/nowhere/file' }, error: /No such file or directory/ },
  { name: 'agent: an unknown command', agent: 'guest-frobnicate', error: /guest-frobnicate/ },
]

export interface Difference {
  readonly step: string
  readonly wanted: string
  readonly found: string
}

/** Runs every step; what differs from the transcript, nothing if all is as it says. Rejects only when the guest is gone. */
export async function runTranscript(guest: TranscriptGuest, steps: readonly Step[] = transcript): Promise<Difference[]> {
  const differences: Difference[] = []
  for (const step of steps) {
    if ('upload' in step) {
      await guest.upload(step.upload, step.content)
    } else if ('ssh' in step || 'agentExec' in step) {
      const answer = 'ssh' in step ? await guest.ssh(step.ssh, step.input) : await execByAgent(guest, step.agentExec)
      if (!matches(step.wanted, answer)) differences.push({ step: step.name, wanted: show(step.wanted), found: show(answer) })
    } else if ('error' in step) {
      const found = await guest.agent(step.agent, step.args).then(
        (result) => `result ${JSON.stringify(result)}`,
        (error: Error) => error.message,
      )
      if (!step.error.test(found)) differences.push({ step: step.name, wanted: String(step.error), found })
    } else {
      const result = await guest.agent(step.agent, step.args)
      if (!step.wanted(result, guest.address))
        differences.push({ step: step.name, wanted: String(step.wanted), found: JSON.stringify(result) })
    }
  }
  return differences
}

async function execByAgent(guest: TranscriptGuest, [path, ...arg]: readonly string[]): Promise<Answer> {
  const { pid } = (await guest.agent('guest-exec', { path, arg, 'capture-output': true })) as { pid: number }
  for (;;) {
    const status = (await guest.agent('guest-exec-status', { pid })) as {
      exited: boolean
      exitcode?: number
      'out-data'?: string
      'err-data'?: string
    }
    if (!status.exited) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      continue
    }
    const text = (data: string | undefined): string => Buffer.from(data ?? '', 'base64').toString()
    return { exitCode: status.exitcode ?? -1, stdout: text(status['out-data']), stderr: text(status['err-data']) }
  }
}

function matches(wanted: Wanted, answer: Answer): boolean {
  const fits = (want: string | RegExp | undefined, text: string): boolean =>
    want === undefined || (typeof want === 'string' ? want === text : want.test(text))
  return (
    (wanted.exitCode === 'not 0' ? answer.exitCode !== 0 : answer.exitCode === wanted.exitCode) &&
    fits(wanted.stdout, answer.stdout) &&
    fits(wanted.stderr, answer.stderr)
  )
}

function show(value: Wanted | Answer): string {
  return JSON.stringify(value, (_, each: unknown) => (each instanceof RegExp ? String(each) : each))
}
