/** Real Loki with the guest's configuration on a disk of its own that fills. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { lokiConfiguration } from '../../images/guest/loki.ts'
import { lokiProblem } from '../../images/guest/loki-probe.ts'
import { thisMachine } from '../../images/guest/machine.ts'
import { overridesOf } from '../../images/guest/share.ts'
import { answers, post } from '../../images/guest/probe.ts'
import { ensureTools, haveTools } from '../../tools/index.ts'
import { freePorts } from './free-ports.ts'
import { seeds } from './seed.ts'

const possible = process.getuid?.() === 0 && (await haveTools(['loki']))
const patient = { timeout: 60_000, interval: 200 }

let folder = ''
let url = ''
/** Holds the mount namespace with the disk. */
let holder: ChildProcess
let loki: ChildProcess | undefined

const inside = (script: string, ...words: string[]): string => {
  const result = spawnSync('nsenter', ['--target', String(holder.pid), '--mount', 'sh', '-c', script, 'sh', ...words], { encoding: 'utf8' })
  if (result.status !== 0) throw new Error(`${script}: ${result.stderr}`)
  return result.stdout
}
/** Fills what this user may fill. */
const fill = (uid: number, file: string): string =>
  inside(
    'setpriv --reuid "$1" --regid "$1" --clear-groups dd if=/dev/zero of="$2" bs=64k 2> /dev/null || true',
    String(uid),
    join(folder, 'data', file),
  )

async function startLoki(): Promise<void> {
  const { loki: program } = await ensureTools(['loki'])
  loki = spawn(
    'nsenter',
    [
      '--target',
      String(holder.pid),
      '--mount',
      'setpriv',
      '--reuid',
      '10001',
      '--regid',
      '10001',
      '--clear-groups',
      program.path,
      `-config.file=${join(folder, 'loki.yaml')}`,
      `-runtime-config.file=${join(folder, 'overrides.yaml')}`,
      '-runtime-config.reload-period=1s',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  loki.stderr?.on('data', (part: Buffer) => (said += part.toString()))
  while (!(await answers(thisMachine, `${url}/ready`))) {
    if (loki.exitCode !== null) throw new Error(`Loki ended: ${said.slice(-2000)}`)
    await pause(100) // it is starting
  }
}

async function stopLoki(): Promise<void> {
  if (loki === undefined || loki.exitCode !== null || loki.signalCode !== null) return
  const ended = once(loki, 'exit')
  loki.kill('SIGKILL')
  await ended
}

describe.skipIf(!possible)('Loki on a disk that fills (needs root, and Loki in the cache)', () => {
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'golden-loki-'))
    spawnSync('chmod', ['755', folder])
    const [http = 0, grpc = 0] = await freePorts(2)
    url = `http://127.0.0.1:${http}`
    const settings = JSON.parse(lokiConfiguration(seeds.both) ?? '')
    Object.assign(settings.server, { http_listen_address: '127.0.0.1', http_listen_port: http, grpc_listen_port: grpc })
    writeFileSync(join(folder, 'overrides.yaml'), '{}\n')
    writeFileSync(join(folder, 'loki.yaml'), JSON.stringify(settings).replaceAll('/var/lib/loki', join(folder, 'data/loki')))
    const unit = readFileSync(join(import.meta.dirname, '../../images/rootfs/usr/lib/systemd/system/srv-golden.mount'), 'utf8')
    const options = /^Options=(.*)$/m.exec(unit)?.[1] ?? ''
    mkdirSync(join(folder, 'data'))
    const script = `set -eu
truncate -s 64M "$1/disk"; mkfs.ext4 -q -m 1 "$1/disk"
mount -o "loop,$2" "$1/disk" "$1/data"
install -d -o 1000 -g 1000 "$1/data/projects"; install -d -o 10001 -g 10001 "$1/data/loki"
echo ready; exec sleep infinity`
    holder = spawn(
      'unshare',
      ['--mount', '--propagation', 'private', 'setpriv', '--pdeathsig', 'KILL', 'sh', '-c', script, 'sh', folder, options],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    await once(holder.stdout!, 'data')
    await startLoki()
  })
  afterEach(async () => {
    await stopLoki()
    const ended = once(holder, 'exit')
    holder.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })

  it("works on while projects fill the disk, counts as broken when it can't write, and comes back with the room", async () => {
    expect(await lokiProblem(thisMachine, url)).toBeUndefined()
    inside('tune2fs -r 16384 "$(findmnt -n -o SOURCE "$1")"', join(folder, 'data'))
    fill(1000, 'projects/all')
    for (let round = 0; round < 5; round++) expect(await lokiProblem(thisMachine, url)).toBeUndefined()

    fill(10_001, 'loki/all')
    await vi.waitUntil(async () => (await lokiProblem(thisMachine, url)) !== undefined, patient)
    expect(await lokiProblem(thisMachine, url)).toMatch(/^status 5\d\d/)
    // All that was asked before.
    expect(await answers(thisMachine, `${url}/ready`)).toBe(true)

    inside('rm "$1"', join(folder, 'data/loki/all'))
    await stopLoki()
    await startLoki()
    await vi.waitUntil(async () => (await lokiProblem(thisMachine, url)) === undefined, patient)
  })

  // Loki looks at a limit of its rate every 10 s.
  it.skipIf(process.env.GOLDEN_TEST_LONG !== '1')(
    'takes no lines at its share, which agents try again, and takes them again after',
    async () => {
      writeFileSync(join(folder, 'overrides.yaml'), overridesOf({ retentionHours: 24, takes: false }))
      const push = (): Promise<string> =>
        post(
          thisMachine,
          `${url}/loki/api/v1/push`,
          JSON.stringify({ streams: [{ stream: { job: 'agent' }, values: [[`${Date.now()}000000`, 'a line']] }] }),
        ).then(
          () => 'taken',
          (error: Error) => error.message,
        )
      await vi.waitUntil(async () => (await push()).startsWith('status 429'), patient)
      // Nothing is wrong with it: a restart would not help.
      expect(await lokiProblem(thisMachine, url)).toBeUndefined()
      writeFileSync(join(folder, 'overrides.yaml'), overridesOf({ retentionHours: 24, takes: true }))
      await vi.waitUntil(async () => (await push()) === 'taken', patient)
      expect(await lokiProblem(thisMachine, url)).toBeUndefined()
    },
    150_000,
  )
})
