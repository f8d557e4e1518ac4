/** The nightly workflow as a runner takes it: a bare clone of another user's, the real npm, and real nights against a lab with fake guests. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { npmEnvironment } from '../../images/language-servers/stage.ts'
import type { NightRecord } from '../../nightly/night.ts'
import { missingPrograms } from '../images/programs.ts'
import { runWorkflow, type RunJob } from '../nightly/ci.ts'
import { openPlace, type Place, type SiteFolder } from './place.ts'
import { openSources, type Sources } from './sources.ts'

const programs = missingPrograms(['gpg', 'gpgv', 'dpkg-deb', 'git', 'npm'])
const isOffline = programs.length === 0 && spawnSync('npm', ['ping', '--fetch-retries=0', '--fetch-timeout=20000']).status !== 0
const missing = [...programs, ...(isOffline ? ["npm's registry"] : [])]
const minute = 60_000

let place: Place
let sources: Sources
let site: SiteFolder
beforeAll(async () => {
  if (missing.length > 0) return
  place = await openPlace()
  sources = await openSources()
  site = await place.site({ layout: 'one-vm' })
  await sources.give(site)
  await site.prepare()
}, 15 * minute)
afterAll(async () => {
  await sources?.close()
  await place?.close()
})

/** `npm test` tells of its own user's places as well, where the runner's may not go. */
const wayToPackages = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(npmEnvironment(process.env)).filter(([name]) => !/^npm_config_(cache|userconfig|globalconfig)$/i.test(name)),
  )

/** A runner that is made for this job, but for what it keeps of npm and of this project's cache. Nothing of this clone is on its PATH. */
async function job(): Promise<RunJob & { readonly report: NightRecord }> {
  const { computer } = place
  const folder = join(computer.folder, 'job')
  const path = (computer.env.PATH ?? '').split(delimiter).filter((one) => !one.startsWith(computer.clone))
  try {
    const done = await runWorkflow({
      folder,
      vars: { GOLDEN_SITE: site.folder },
      env: { ...wayToPackages(), ...computer.env, PATH: path.join(delimiter) },
      give: computer.give,
      run: async (program, args, { cwd, env }) => {
        const { code, stdout, stderr } = await computer.run(program, args, { cwd, env: env as Record<string, string> })
        return { code, said: stdout + stderr }
      },
    })
    const found = (name: string): string => readFileSync(join(folder, 'temp/night', name), 'utf8')
    expect(done.summary, done.said).toBe(found('report.md'))
    return { ...done, report: JSON.parse(found('report.json')) as NightRecord }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const kept = ['report.html', 'report.json', 'report.md']
const here = missing.length > 0 ? ` (not here: ${missing.join(', ')})` : ''

it.skipIf(missing.length > 0)(
  `a first night installs, makes an image, verifies it, and tells the job that there is a new one${here}`,
  async () => {
    const { report, ...done } = await job()
    expect(done, done.said).toMatchObject({ ok: true, failed: undefined, outputs: 'new=true\n', kept })
    expect(report).toMatchObject({ outcome: 'new', verified: { passed: true }, failure: null, complaints: [] })
    expect(done.summary).toContain(report.baked?.name)
    // The site folder is where it was, and has what the night wrote down.
    expect(await readFile(join(site.folder, 'images.lock.json'), 'utf8')).toContain('"complete": true')
  },
  20 * minute,
)

it.skipIf(missing.length > 0)(
  `the next one, in another clone, finds nothing new, and is as good${here}`,
  async () => {
    const before = await place.inventory()
    const { report, ...done } = await job()
    expect(done, done.said).toMatchObject({ ok: true, outputs: '', kept })
    expect(report).toMatchObject({ outcome: 'nothing', news: [], steps: [{ step: 'lock' }] })
    expect(await place.inventory()).toEqual(before)
  },
  20 * minute,
)
