/**
 * What the CLI takes of a processor, beside what it is held against: a Node that does nothing but import the client, a
 * CDKTF app with one empty stack, the packing of the image's files. Rounds take turns, so that a machine that gets slower
 * does so for all of them; the least of each counts. User time alone, and of the whole in brackets.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder } from '../core/folders.ts'
import { run } from '../core/child.ts'
import { noDeployment } from '../releases/deployment.ts'
import { stackInputVariable, type StackInput } from '../releases/stack-input.ts'
import { loadSite } from '../settings/load.ts'
import { project } from '../test/flow/computer.ts'
import { openPlace, type Place } from '../test/flow/place.ts'

const rounds = 5

interface Measured {
  readonly name: string
  readonly command: readonly string[]
  /** Ends with these. @default 0 */
  readonly codes?: readonly number[]
  readonly env?: Readonly<Record<string, string>>
  /** As whoever runs this, not as the user of the clone. */
  readonly here?: boolean
  /** What it is held against, and how many times that it may take. */
  readonly limit?: { readonly of: string; readonly times: number }
}

const emptyApp = (project: string): string => `import { App, TerraformStack } from '${join(project, 'node_modules/cdktn/lib/index.js')}'
const app = new App({ outdir: process.env.CDKTF_OUTDIR })
new TerraformStack(app, 'empty')
app.synth()
`

/** In this project, not in the clone: there the language servers, nearly all of the archive, are stand-ins. */
const pack = (folder: string): string => `import { mkdtemp, rm } from 'node:fs/promises'
import { collectRootfs } from '${join(folder, 'images/stage.ts')}'
const folder = await mkdtemp('/tmp/golden-bench-')
try {
  const rootfs = await collectRootfs('${cacheFolder(process.env)}')
  await rootfs.write(folder)
} finally {
  await rm(folder, { recursive: true })
}
`

export async function bench(): Promise<void> {
  const place = await openPlace()
  try {
    const site = await place.site()
    await site.prepare()
    console.error('bake once, with a model of a guest …')
    await site.done('bake')
    const { clone, folder } = place.computer
    const node = [join(clone, 'node_modules/node/bin/node'), '--disable-warning=ExperimentalWarning']
    const empty = join(folder, 'home', 'empty.mjs')
    await writeFile(empty, emptyApp(clone))
    await place.computer.give(empty)
    const input = join(folder, 'home', 'stack-input.json')
    const given: StackInput = { site: await loadSite(site.folder), deployment: noDeployment, folder: site.folder }
    await writeFile(input, JSON.stringify(given))
    await place.computer.give(input)
    const packing = join(folder, 'pack.mjs')
    await writeFile(packing, pack(project))
    // As scripts/golden starts it; what that takes itself is in the last of them.
    const cached = { NODE_COMPILE_CACHE: join(folder, 'cache', 'serena-golden', 'compiled') }
    const golden = (...args: string[]): string[] => [...node, join(clone, 'golden.ts'), ...args]
    const list: readonly Measured[] = [
      { name: 'node', command: [...node, '-e', '0'] },
      { name: 'client', command: [...node, join(clone, 'proxmox/client.ts')] },
      { name: 'golden --help', command: golden('--help'), env: cached, limit: { of: 'client', times: 1.3 } },
      // Nothing is deployed: 3 says that not everything is well.
      { name: 'golden status', command: golden('status', '--json'), env: cached, codes: [3], limit: { of: 'client', times: 1.3 } },
      { name: 'empty app', command: [...node, empty] },
      { name: 'synth, by hand', command: [...node, join(clone, 'main.ts')], limit: { of: 'empty app', times: 1.5 } },
      {
        name: 'synth, as deploy does',
        command: [...node, join(clone, 'main.ts')],
        env: { ...cached, [stackInputVariable]: input },
        limit: { of: 'empty app', times: 1.5 },
      },
      { name: 'pack', command: [process.execPath, packing], here: true },
      { name: 'golden bake, unchanged', command: golden('bake', '--json'), env: cached, limit: { of: 'pack', times: 1 / 3 } },
      { name: 'npx golden status', command: [join(clone, 'scripts/golden'), 'status', '--json'], codes: [3] },
    ]
    const least = new Map<string, Taken>()
    for (let round = 0; round < rounds; round++) {
      for (const one of list) {
        const env = { GOLDEN_SITE: site.folder, CDKTF_OUTDIR: join(folder, 'home', 'out'), ...one.env }
        const taken = await measure(one, env, place)
        const before = least.get(one.name) ?? { user: Infinity, all: Infinity }
        least.set(one.name, { user: Math.min(before.user, taken.user), all: Math.min(before.all, taken.all) })
      }
    }
    for (const { name, limit } of list) {
      const { user, all } = least.get(name) as Taken
      const of = limit === undefined ? undefined : least.get(limit.of)
      const held =
        limit === undefined || of === undefined
          ? ''
          : `  ${(user / of.user).toFixed(2)} (${(all / of.all).toFixed(2)}) times ${limit.of}, ${limit.times.toFixed(2)} allowed${user / of.user > limit.times ? ': TOO MUCH' : ''}`
      console.log(`${name.padEnd(24)} ${user.toFixed(2)} s (${all.toFixed(2)})${held}`)
    }
  } finally {
    await place.close()
  }
}

interface Taken {
  /** In seconds. */
  readonly user: number
  /** With the kernel's. */
  readonly all: number
}

async function measure({ name, command, codes = [0], here = false }: Measured, env: Record<string, string>, place: Place): Promise<Taken> {
  const timed = ['-c', 'TIMEFORMAT="cpu %U %S"; time "$@"', 'bash', ...command]
  const { code, stderr } = here
    ? { code: 0, ...(await run('bash', timed, { env: process.env })) }
    : await place.computer.run('bash', timed, { env })
  if (!codes.includes(code)) throw new Error(`${name} ended with ${code}:\n${stderr}`)
  const [, user, system] = /^cpu (\S+) (\S+)$/m.exec(stderr) ?? []
  if (user === undefined) throw new Error(`${name} was not measured:\n${stderr}`)
  return { user: Number(user), all: Number(user) + Number(system) }
}
