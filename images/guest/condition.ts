/** What a machine is like that came from an image a while ago: its first boot, its units, what is on its disk. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { seedFiles } from '../contract/files.ts'
import type { Seed } from '../contract/seed.ts'
import type { Machine } from './machine.ts'
import { imageRecordFile, run, seedFolder } from './places.ts'

const bootMs = 600_000

/** What cloud-init says of the boot, which it is waited for; also what it went on after ("degraded"). */
export async function firstBootProblem(machine: Machine): Promise<string[]> {
  const { status, stdout, stderr } = await machine.run('cloud-init', ['status', '--wait', '--long'], { timeoutMs: bootMs })
  return status === 0 && /^status: done$/m.test(stdout) ? [] : [oneLine(`${stdout}\n${stderr}`) || `it ended with ${status}`]
}

const oneLine = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('; ')

/** Units that have failed, and those that should run and do not. */
export async function unitProblems(machine: Machine, seed: Seed, active: boolean): Promise<string[]> {
  const wanted = [
    'golden-seed',
    'golden-firewall',
    'golden-auth',
    'golden-edge',
    'golden-watch',
    'docker',
    ...(active ? seed.roles.map((role) => `golden-${role}`) : []),
  ].map((name) => `${name}.service`)
  const failed = await machine.run('systemctl', ['list-units', '--state=failed', '--plain', '--no-legend', '--no-pager'])
  // A line for each, in their order; its exit code tells of the last one only.
  const states = (await machine.run('systemctl', ['is-active', ...wanted])).stdout.trim().split('\n')
  return [
    ...(failed.status === 0 ? [] : [`systemctl: ${oneLine(failed.stderr)}`]),
    ...failed.stdout.split('\n').flatMap((line) => (line.trim() === '' ? [] : [`${line.trim().split(/\s+/)[0]} has failed`])),
    ...wanted.flatMap((unit, at) => (states[at]?.trim() === 'active' ? [] : [`${unit} is ${states[at]?.trim() || 'not there'}`])),
  ]
}

/** Where anything is written that stays. The data disk is somewhere else. */
const diskFolders = ['/etc', '/home', '/opt', '/root', '/usr/local', '/var']
/** By it is seen that the search would find what is there. */
const control = '/var/lib/golden/search-control'

/** What the bake should have taken away, and secrets of the seed that a program has written to the root disk since. */
export async function hygieneProblems(machine: Machine): Promise<string[]> {
  const { files } = machine
  const problems: string[] = []
  if (/^bake:/m.test(files.read('/etc/passwd'))) problems.push('the user of the bake is there')
  if (!/^[0-9a-f]{32}$/.test(files.read('/etc/machine-id').trim())) problems.push('this machine has no id of its own')
  const canary = randomBytes(24).toString('hex')
  const patterns = `${run}/search`
  files.write(patterns, [...secretLines(machine), canary].map((line) => `${line}\n`).join(''), 0o600)
  files.write(control, canary, 0o600)
  try {
    const found = await machine.run('find', [
      ...[...diskFolders, '-type', 'f', '-newer', imageRecordFile],
      ...['-exec', 'grep', '-lF', '-f', patterns, '{}', '+'],
    ])
    const hits = found.stdout.split('\n').filter((line) => line !== '')
    if (!hits.includes(control)) problems.push('the search for secrets finds nothing at all, not even what was put there for it')
    const secrets = hits.filter((path) => path !== control)
    if (secrets.length > 0) problems.push(`a secret of the seed is on the disk, in ${secrets.join(', ')}`)
  } finally {
    files.remove(patterns)
    files.remove(control)
  }
  return problems
}

const secretFiles = [
  seedFiles.publicKey,
  seedFiles.loggingKey,
  seedFiles.peerKey,
  seedFiles.serenaUsers,
  seedFiles.lokiUsers,
  seedFiles.lokiPushPassword,
  seedFiles.grafanaAdminPassword,
  seedFiles.sshHostKey,
  seedFiles.acmeEnvironment,
  seedFiles.acmeExternalKey,
]

/** Of a key one line of its middle is enough: keys of one kind begin alike. */
function secretLines({ files }: Machine): string[] {
  return secretFiles.flatMap((name) => {
    const path = join(seedFolder, name)
    if (!files.exists(path)) return []
    const lines = files
      .read(path)
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.length >= 16 && !line.startsWith('-----'))
    return name.endsWith('.key') || name === seedFiles.sshHostKey ? lines.slice(lines.length >> 1, (lines.length >> 1) + 1) : lines
  })
}
