/** What a lab tells of what its guests are asked, and what it keeps to itself. */
import { guestContents } from '../../demo/guest-contents.ts'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import ssh2 from 'ssh2'
import { afterEach, describe, expect, it, onTestFinished } from 'vitest'
import { createRecorder, recordTo, withoutSecrets, type Recorded } from '../../lab/record.ts'
import { shapesOf } from '../../lab/shape.ts'
import { Rig } from './fake-rig.ts'

let rig: Rig | undefined
afterEach(() => rig?.close())

function recorderAndTold() {
  const told: Recorded[] = []
  return { told, recorder: createRecorder((each) => told.push(each)) }
}
const ok = { exitCode: 0, stdout: '', stderr: '' }
const asked = { vmid: 9, asker: 'ann@pve!desk' }
const base64 = (text: string): string => Buffer.from(text).toString('base64')

describe('a recorder', () => {
  it('is told by a fake guest of SSH commands, with what a shell reads, and of the programs that run because of them', async () => {
    const { told, recorder } = recorderAndTold()
    rig = await Rig.create([], guestContents, recorder)
    await rig.driver.volumes.link(rig.path('base.qcow2'), rig.path('disk.qcow2'))
    await rig.start({ vmid: 131, address: '10.77.0.31', disk: 'disk.qcow2' })
    const client = await rig.connect('10.77.0.31')
    told.length = 0
    await rig.run(client, 'sudo -n sh -s', 'systemctl is-active ssh.service; cat /nowhere')
    await rig.run(client, 'tail -n 1', 'not for a shell')
    await rig.run(client, 'sudo -n frobnicate x')
    expect(told).toMatchObject([
      { vmid: 131, by: 'program', argv: ['systemctl', 'is-active', 'ssh.service'], answer: { exitCode: 0, stdout: 'active\n' } },
      { by: 'program', argv: ['cat', '/nowhere'], answer: { exitCode: 1, stderr: 'cat: /nowhere: No such file or directory\n' } },
      { by: 'program', argv: ['sh', '-s'] },
      { by: 'program', argv: ['sudo', '-n', 'sh', '-s'] },
      { by: 'ssh', command: 'sudo -n sh -s', input: 'systemctl is-active ssh.service; cat /nowhere', answer: { exitCode: 1 } },
      { by: 'program', argv: ['tail', '-n', '1'] },
      { by: 'ssh', command: 'tail -n 1', answer: { stdout: 'not for a shell' } },
      { by: 'program', argv: ['frobnicate', 'x'], answer: { exitCode: 127 } },
      { by: 'program', argv: ['sudo', '-n', 'frobnicate', 'x'] },
      { by: 'ssh', command: 'sudo -n frobnicate x' },
    ])
    expect(told.find((each) => each.by === 'ssh' && each.command.startsWith('tail'))).not.toHaveProperty('input')
  })

  it("tells of a program that an agent runs once it has ended, of others at the lab's end", () => {
    const { told, recorder } = recorderAndTold()
    recorder.agent(asked, 'guest-exec', { path: '/bin/sh', arg: ['-c', 'id'] }, { result: { pid: 1 } })
    recorder.agent(asked, 'guest-exec', { path: '/bin/reboot' }, { result: { pid: 2 } })
    recorder.agent(asked, 'guest-exec-status', { pid: 1 }, { result: { exited: false } })
    recorder.agent({ ...asked, vmid: 10 }, 'guest-exec-status', { pid: 1 }, { result: { exited: true, exitcode: 7 } })
    expect(told).toEqual([])
    recorder.agent(asked, 'guest-exec-status', { pid: 1 }, { result: { exited: true, exitcode: 3, 'err-data': base64('no\n') } })
    recorder.agent(asked, 'guest-exec', { path: '/nowhere' }, { error: 'No such file or directory' })
    const exec = { ...asked, by: 'exec' }
    expect(told).toEqual([
      { ...exec, argv: ['/bin/sh', '-c', 'id'], answer: { exitCode: 3, stdout: '', stderr: 'no\n' } },
      { ...exec, argv: ['/nowhere'], answer: { error: 'No such file or directory' } },
    ])
    recorder.close()
    expect(told.slice(2)).toEqual([{ ...exec, argv: ['/bin/reboot'] }])
  })

  it('leaves out what goes into files and comes out of them, what other programs than shells read, and passwords', () => {
    const { told, recorder } = recorderAndTold()
    const secret = 'a short one'
    recorder.agent(asked, 'guest-file-write', { handle: 1, 'buf-b64': base64(secret) }, { result: { count: 11 } })
    recorder.agent(asked, 'guest-file-read', { handle: 1 }, { result: { 'buf-b64': base64(secret), eof: true } })
    recorder.agent(asked, 'guest-set-user-password', { username: 'ann', password: base64(secret) }, { result: {} })
    recorder.agent(asked, 'guest-exec', { path: '/usr/bin/chpasswd', 'input-data': base64(secret) }, { result: { pid: 5 } })
    recorder.close()
    recorder.ssh(9, 'sudo -n tee /etc/secret', secret, ok)
    recorder.ssh(9, 'sudo sh /tmp/script.sh', secret, ok)
    expect(told).toHaveLength(6)
    for (const text of [secret, base64(secret)]) expect(JSON.stringify(told)).not.toContain(text)
  })

  it('leaves out words that a program made up, wherever they are', () => {
    const made = fc
      .tuple(fc.nat(), fc.integer({ min: 15, max: 32 }), fc.constantFrom<BufferEncoding>('base64', 'base64url', 'hex'))
      .map(([seed, length, encoding]) => createHash('sha256').update(`${seed}`).digest().subarray(0, length).toString(encoding))
    const around = fc.constantFrom(
      (word: string) => ['slotctl', 'work', 'ann', word],
      (word: string) => ['sh', '-c', `curl -u ann:${word} https://x/`],
      (word: string) => ['mount', '-o', `credentials=${word},ro`],
      (word: string) => ['echo', `"token":"${word}"`],
    )
    fc.assert(
      fc.property(made, around, (word, place) => {
        const { told, recorder } = recorderAndTold()
        recorder.program(9, place(word), { exitCode: 0, stdout: `it is ${word}\n`, stderr: word })
        recorder.program(9, ['x'], { error: word })
        recorder.ssh(9, place(word).join(' '), '', ok)
        const text = JSON.stringify(told)
        // Of base64 each piece between slashes.
        for (const piece of word.split('/').filter((each) => each.length >= 10)) expect(text).not.toContain(piece)
      }),
      { seed: 1, numRuns: 500 },
    )
  })

  it('leaves out private keys, whole and cut off', () => {
    const key = ssh2.utils.generateKeyPairSync('ed25519').private
    for (const text of [key, key.slice(0, 100), `before\n${key}\nafter`]) {
      const [, second = ''] = key.split('\n')
      expect(withoutSecrets(text)).not.toContain(second.slice(0, 30))
    }
    expect(withoutSecrets(`before\n${key.trim()}\nafter`)).toBe('before\n…\nafter')
  })

  it('notes in a file that only its owner reads, and what is asked again once', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'record-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const file = join(folder, 'asked.jsonl')
    const note = recordTo(file)
    const asked = { vmid: 9, by: 'program', argv: ['x'] } as const
    note({ ...asked, answer: ok })
    note({ ...asked, answer: { ...ok, exitCode: 1 } })
    note({ ...asked, vmid: 10, answer: ok })
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const lines = (await readFile(file, 'utf8')).trim().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { ...asked, answer: ok },
      { ...asked, vmid: 10, answer: ok },
    ])
  })

  it.each([
    'systemctl mask --quiet apt-daily-upgrade.timer man-db.timer',
    'apt-get -qq -o APT::Get::Always-Include-Phased-Updates=true -o Dpkg::Options::=--force-confold dist-upgrade',
    'mount -o bind,X-mount.idmap=1000:9903:1 /var/tmp/golden-bake/projects /mnt',
    'DEBIAN_FRONTEND=noninteractive docker-compose up --no-start nginx_proxy',
    'blkid -p /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_transcript',
  ])('tells of commands as they are: %s', (command) => {
    expect(withoutSecrets(command)).toBe(command)
  })
})

describe('shapes', () => {
  const programs = (...all: string[][]): readonly string[] =>
    shapesOf(all.map((argv) => ({ vmid: 1, by: 'program', argv, answer: ok }))).programs

  it('are the same whatever things are called and numbered', () => {
    expect(
      programs(
        ['systemctl', 'is-enabled', 'apt-daily.timer'],
        ['systemctl', 'is-enabled', 'snapd.seeded.service', 'opt-golden-jail-usr.mount'],
        ['ip', '-4', 'address', 'add', '10.77.0.20/32', 'dev', 'eth0'],
        ['ip', '-4', 'address', 'add', '198.18.0.164/32', 'dev', 'ens18'],
        ['docker', 'pull', '--quiet', 'docker.io/library/nginx@sha256:…'],
        ['docker', 'cp', '…:/.', '-'],
        ['docker', 'rm', '--volumes', '…'],
        ['/usr/sbin/nft', '-f', '/run/x.nft'],
        ['mount', '-o', 'bind,X-mount.idmap=1000:9903:1', '/a', '/b'],
      ),
    ).toEqual([
      'docker cp ID:PATH -',
      'docker pull --quiet IMAGE',
      'docker rm --volumes ID',
      'ip -4 address add ADDRESS/N dev NAME',
      'mount -o bind,X-mount.idmap=N:N:N PATH',
      'nft -f PATH',
      'systemctl is-enabled UNIT',
    ])
  })

  it('differ by verb, option and what is to be shown', () => {
    const different = [
      ['systemctl', 'stop', 'a.service'],
      ['systemctl', 'start', 'a.service'],
      ['systemctl', 'start', '--no-block', 'a.service'],
      ['docker', 'image', 'inspect', '--format', '{{.Size}}', 'a@sha256:…'],
      ['docker', 'image', 'inspect', '--format', '{{json .RepoDigests}}', 'a@sha256:…'],
      ['dpkg-query', '-W', '-f', '${db:Status-Status}', 'git'],
      ['dpkg-query', '-W', '-f', '${Version}', 'git'],
      ['nft', 'list', 'tables'],
      ['nft', 'list', 'table', 'inet', 'golden'],
    ]
    expect(programs(...different)).toHaveLength(different.length)
  })

  it("see the programs in a script that an agent's shell gets", () => {
    const script = `pid=$(docker inspect --format '{{.State.Pid}}' "$name") || exit 1
stop() { systemctl stop golden-watch.service; }
trap stop EXIT; for each in a b; do nft list counter inet scan $each | sed -n 's/x/y/p'; done; echo "$pid"`
    const exec = { vmid: 1, by: 'exec', asker: 'a', argv: ['/bin/sh', '-c', script] } as const
    expect(shapesOf([exec])).toEqual({
      ssh: [],
      agent: [],
      exec: ['sh -c TEXT'],
      programs: ['docker inspect --format {{.State.Pid}} TEXT', 'nft list counter inet NAME TEXT', 'sed -n TEXT', 'systemctl stop UNIT'],
    })
    expect(shapesOf([{ ...exec, argv: ['/bin/sh'], input: 'nft list tables' }])).toMatchObject({
      exec: ['sh < SCRIPT'],
      programs: ['nft list tables'],
    })
  })

  it('have no secret where a word is too short to be told from a name', () => {
    expect(shapesOf([{ vmid: 1, by: 'exec', asker: 'a', argv: ['/usr/local/sbin/x', 'work', 'ann', 'hunter2', 'demo'] }]).exec).toEqual([
      '/usr/local/sbin/x work NAME',
    ])
    expect(JSON.stringify(programs(['useradd', '-p', randomBytes(3).toString('hex')]))).toMatch(/useradd -p (NAME|N)/)
  })
})
