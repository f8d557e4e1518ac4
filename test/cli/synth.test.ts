/** The example site in a clone where only `npm ci` has run: both command lines of CDKTF write its stacks. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cacheFolder } from '../../core/folders.ts'
import { userComputer, type Computer } from '../flow/computer.ts'
import { systemNode } from './system-node.ts'

const archived = '0.21.0'

/** The archived command line, in a folder of the cache that is complete or not there. Its packages' install scripts are not needed to synthesise. */
async function archivedCli(): Promise<string> {
  const folder = join(cacheFolder(process.env), 'cdktf-cli', archived)
  if (existsSync(folder)) return folder
  await mkdir(dirname(folder), { recursive: true })
  const partial = await mkdtemp(`${folder}-`)
  try {
    await writeFile(join(partial, 'package.json'), '{ "private": true }\n')
    await promisify(execFile)(
      'npm',
      ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier', `cdktf-cli@${archived}`],
      { cwd: partial, maxBuffer: 16 << 20 },
    )
    await promisify(execFile)('chmod', ['755', partial])
    await rename(partial, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error
    })
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
  return folder
}

/** The stacks that a synth has written, with the types of their resources. */
async function stacksIn(clone: string): Promise<Record<string, string[]>> {
  const folder = join(clone, 'cdktf.out/stacks')
  const stacks: Record<string, string[]> = {}
  for (const name of (await readdir(folder)).sort()) {
    const { resource } = JSON.parse(await readFile(join(folder, name, 'cdk.tf.json'), 'utf8')) as { resource: Record<string, unknown> }
    stacks[name] = Object.keys(resource).sort()
  }
  return stacks
}

describe('in a clone where only npm ci has run', () => {
  let computer: Computer
  let expected: Record<string, string[]>
  // No engine on PATH, no bindings, no tools.
  let env: Record<string, string>
  beforeAll(async () => {
    const shared = systemNode === undefined ? {} : { cdktf: await archivedCli() }
    computer = await userComputer({ tools: false, bindings: false, shared })
    env = { CI: 'true', ...(systemNode === undefined ? {} : { PATH: `${computer.folder}/tools:${systemNode.folder}:/usr/bin:/bin` }) }
  }, 300_000)
  afterAll(() => computer?.close())

  it('npx cdktn synth writes the stacks of the example site', async () => {
    const { code, stdout, stderr } = await computer.run('npx', ['cdktn', 'synth'], { env })
    expect(code, stdout + stderr).toBe(0)
    expected = await stacksIn(computer.clone)
    expect(Object.keys(expected).length).toBeGreaterThan(1)
    // Others than who ran `npm ci` use the clone as well.
    expect((await stat(join(computer.clone, 'stacks/bindings'))).mode & 0o777).toBe(0o755)
  }, 120_000)

  it.skipIf(systemNode === undefined)(
    `cdktf synth ${archived} on the system's Node writes the same (needs a Node below 24 on PATH besides the pinned one)`,
    async () => {
      await rm(join(computer.clone, 'cdktf.out'), { recursive: true })
      await rm(join(computer.clone, 'stacks/bindings'), { recursive: true })
      const { code, stdout, stderr } = await computer.run(
        join(systemNode?.folder ?? '', 'node'),
        [join(computer.folder, 'cdktf/node_modules/cdktf-cli/bundle/bin/cdktf'), 'synth'],
        { env },
      )
      expect(code, stdout + stderr).toBe(0)
      expect(await stacksIn(computer.clone)).toEqual(expected)
    },
    180_000,
  )
})
