/**
 * What the CLI takes of a processor, beside what it is held against: a Node that does nothing but import the client, a
 * CDKTF app with one empty stack. Rounds take turns, so that a machine that gets slower does so for all of them; the least
 * of each counts.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openPlace } from '../test/flow/place.ts'

const rounds = 5

interface Measured {
  readonly name: string
  readonly command: readonly string[]
  /** What it is held against, and how many times that it may take. */
  readonly limit?: { readonly of: string; readonly times: number }
}

const emptyApp = (project: string): string => `import { App, TerraformStack } from '${join(project, 'node_modules/cdktn/lib/index.js')}'
const app = new App({ outdir: process.env.CDKTF_OUTDIR })
new TerraformStack(app, 'empty')
app.synth()
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
    const list: readonly Measured[] = [
      { name: 'node', command: [...node, '-e', '0'] },
      { name: 'client', command: [...node, join(clone, 'proxmox/client.ts')] },
      { name: 'golden --help', command: [...node, join(clone, 'golden.ts'), '--help'], limit: { of: 'client', times: 1.3 } },
      { name: 'golden status', command: [...node, join(clone, 'golden.ts'), 'status', '--json'], limit: { of: 'client', times: 1.3 } },
      { name: 'empty app', command: [...node, empty] },
      { name: 'synth', command: [...node, join(clone, 'main.ts')], limit: { of: 'empty app', times: 1.5 } },
      { name: 'golden bake, unchanged', command: [...node, join(clone, 'golden.ts'), 'bake', '--json'] },
    ]
    const least = new Map<string, number>()
    for (let round = 0; round < rounds; round++) {
      for (const { name, command } of list) {
        const env = { GOLDEN_SITE: site.folder, CDKTF_OUTDIR: join(folder, 'home', 'out') }
        const { stderr } = await place.computer.run('bash', ['-c', 'TIMEFORMAT="cpu %U %S"; time "$@"', 'bash', ...command], { env })
        const [, user, system] = /^cpu (\S+) (\S+)$/m.exec(stderr) ?? []
        const seconds = Number(user) + Number(system)
        if (Number.isNaN(seconds)) throw new Error(`${name} was not measured:\n${stderr}`)
        least.set(name, Math.min(least.get(name) ?? Infinity, seconds))
      }
    }
    for (const { name, limit } of list) {
      const seconds = least.get(name) ?? Number.NaN
      const ratio = limit === undefined ? undefined : seconds / (least.get(limit.of) ?? Number.NaN)
      const held =
        ratio === undefined
          ? ''
          : `  ${ratio.toFixed(2)} times ${limit?.of}, ${limit?.times} allowed${ratio > (limit?.times ?? 0) ? ': TOO MUCH' : ''}`
      console.log(`${name.padEnd(24)} ${seconds.toFixed(2)} s${held}`)
    }
  } finally {
    await place.close()
  }
}
