/** The verb where its git can do nothing: systemd runs it, and nobody reads what it prints. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { silent } from '../../core/progress.ts'
import { readNights } from '../../nightly/nights.ts'
import { verb } from '../../scripts/nightly.ts'

const project = join(import.meta.dirname, '../..')
let folder = ''
let env: NodeJS.ProcessEnv
const git = (...args: string[]): string => execFileSync('git', args, { cwd: folder, env, encoding: 'utf8', stdio: 'pipe' }).trim()
const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8')

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-'))
  env = { PATH: process.env.PATH, HOME: folder, GOLDEN_SITE: folder, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }
  const example = await readFile(join(project, 'site.example.ts'), 'utf8')
  const nightly = `{ git: { to: 'commit' }, tell: { command: ['sh', '-c', 'echo "$GOLDEN_OUTCOME" >told; cat >>told'] } }`
  await writeFile(join(folder, 'site.ts'), example.replace("name: 'home',", `name: 'home',\n  nightly: ${nightly},`))
  git('init', '--quiet')
  git('add', 'site.ts')
  git('-c', 'user.name=me', '-c', 'user.email=me@here', 'commit', '--quiet', '-m', 'first')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

it('fails as the first thing of the night, with a report, in the history, and tells people', async () => {
  git('checkout', '--quiet', '--detach')
  const said: string[] = []
  const code = await verb.run({
    flags: {},
    arguments: [],
    env,
    progress: silent,
    json: false,
    signal: new AbortController().signal,
    result: (text) => said.push(text),
  })
  expect(code).toBe(1)
  expect(said.join()).toContain('git-impossible')
  expect(JSON.parse(await read('state/nightly/report.json'))).toMatchObject({
    outcome: 'failed',
    steps: [{ step: 'deliver', ok: false }],
    failure: { code: 'git-impossible', message: expect.stringContaining('no branch is checked out') },
  })
  expect(await readNights(folder)).toMatchObject([{ outcome: 'failed', code: 'git-impossible' }])
  expect(await read('told')).toMatch(/^failed\n(.*\n)*.*git-impossible/)
  await expect(read('images.lock.json')).rejects.toMatchObject({ code: 'ENOENT' })
})
