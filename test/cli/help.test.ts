/** The command line itself: help, bad usage, and the way from the system's Node to the pinned one. */
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { userComputer, type Computer } from '../flow/computer.ts'
import { systemNode } from './system-node.ts'

let computer: Computer
beforeAll(async () => {
  computer = await userComputer({ tools: false })
}, 60_000)
afterAll(() => computer?.close())

const golden = (...args: string[]) => computer.run(join(computer.clone, 'scripts/golden'), args)
const verbs = [
  'init',
  'setup',
  'doctor',
  'lock',
  'bake',
  'images',
  'promote',
  'revoke',
  'sign',
  'prune',
  'verify',
  'deploy',
  'status',
  'client',
  'certificate',
  'rollout',
  'rollback',
  'nightly',
  'destroy',
  'delete-data',
  'env',
  'demo',
  'tour',
  'lab',
  'completion',
  'version',
]

describe('golden', () => {
  it('lists every verb with a line of help', async () => {
    for (const args of [[], ['help'], ['--help']]) {
      const { code, stdout, stderr } = await golden(...args)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      for (const verb of verbs) expect(stdout).toMatch(new RegExp(`^  ${verb} +\\S.{15}`, 'm'))
      expect(stdout).not.toContain('hook')
    }
  }, 60_000)

  it('loads no verb to list them', async () => {
    const say =
      'data:text/javascript,import { registerHooks } from "node:module"; registerHooks({ load(url, context, next) { console.error(url); return next(url, context) } })'
    const { stderr } = await computer.run(process.execPath, ['--import', say, join(computer.clone, 'golden.ts'), '--help'])
    const loaded = stderr.split('\n').flatMap((url) => /\/clone\/(\S+)$/.exec(url)?.[1] ?? [])
    expect(loaded).toContain('scripts/render.ts')
    for (const verb of verbs) expect(loaded.filter((file) => file.endsWith(`/${verb}.ts`))).toEqual([])
    expect(loaded.filter((file) => /^(proxmox|settings|rollout|packer|lab|node_modules)\//.test(file))).toEqual([])
  })

  it.each(verbs)(
    '%s --help tells what it changes, its options, each with a line, and examples',
    async (verb) => {
      const { code, stdout, stderr } = await golden(verb, '--help')
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toMatch(new RegExp(`^usage: npx golden ${verb}\\b.*\\[--json\\]\n\n.+\n\nChanges: .+\\.$`, 'm'))
      for (const line of stdout.split('\n').filter((one) => one.startsWith('  --'))) expect(line).toMatch(/^ {2}--[a-z-]+( VALUE)? +\S.{5}/)
      expect(stdout).toMatch(new RegExp(`^Examples:\n  .*\\b(golden|run) ${verb}\\b`, 'm'))
    },
    30_000,
  )

  it('help VERB is the same', async () => {
    expect((await golden('help', 'rollout')).stdout).toBe((await golden('rollout', '--help')).stdout)
  }, 30_000)

  it('tells its versions, and the commit of a checkout', async () => {
    const { version } = JSON.parse(await readFile(join(computer.clone, 'package.json'), 'utf8')) as { version: string }
    const alone = await golden('--version')
    expect(alone).toMatchObject({ code: 0, stdout: `serena-golden ${version}, Node ${process.versions.node}\n`, stderr: '' })
    const commit = '0123456789abcdef0123456789abcdef01234567'
    const git = join(computer.clone, '.git')
    try {
      await mkdir(git)
      await writeFile(join(git, 'HEAD'), 'ref: refs/heads/main\n')
      await writeFile(join(git, 'packed-refs'), `# pack-refs with: peeled fully-peeled sorted\n${commit} refs/heads/main\n`)
      expect((await golden('version')).stdout).toContain(`, commit ${commit.slice(0, 12)}, `)
      expect((await golden('--version', '--json')).json()).toEqual({ name: 'serena-golden', version, commit, node: process.versions.node })
    } finally {
      await rm(git, { recursive: true })
    }
  }, 60_000)

  it.each([
    ['of a verb that is not there', ['bakee']],
    ['of a flag that is not there', ['bake', '--quick']],
    ['of a name of JavaScript', ['constructor']],
    ['of a word too many', ['client', 'cline', 'cursor']],
    ['of a word for a verb that takes none', ['bake', 'serena']],
    ['of a value that an option does not have', ['lab', '--driver', 'kvm']],
  ])(
    'exits with 2 in case %s, and says where to look',
    async (_, args) => {
      const { code, stdout, stderr } = await golden(...args)
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(/^error usage: .+\n→ (Did you mean "\S+"\? )?(Run "npx golden .*help|Say )/)
      const asked = await golden(...args, '--json')
      expect({ code: asked.code, document: asked.json() }).toEqual({
        code: 2,
        document: { errors: [{ code: 'usage', message: expect.stringMatching(/./), hint: expect.stringMatching(/./) }] },
      })
    },
    30_000,
  )

  it('names what somebody may have meant', async () => {
    for (const [words, meant] of [
      [['verfy'], 'verify'],
      [['rolout', '--plan'], 'rollout'],
      [['--versoin'], '--version'],
      [['bake', '--plna'], '--plan'],
      [['setup', '--enable'], '--enable-datacenter-firewall'],
      [['completion', 'fisch'], 'fish'],
    ] as const) {
      const { code, error } = await golden(...words, '--json')
      expect({ code, hint: error?.hint }).toEqual({ code: 2, hint: expect.stringMatching(new RegExp(`^Did you mean "${meant}"\\? \\S`)) })
    }
    expect((await golden('hok', '--json')).error?.hint).not.toContain('hook')
  }, 60_000)

  it('tells what the system refuses as a failure, not as a bug', async () => {
    const closed = join(computer.folder, 'closed')
    await mkdir(closed, { mode: 0o555 })
    await writeFile(join(computer.folder, 'file'), '', { mode: 0o666 })
    for (const [folder, code] of [
      [join(closed, 'site'), 'file-not-allowed'],
      [join(computer.folder, 'file'), 'file-in-the-way'],
      [join(computer.folder, 'file', 'site'), 'file-in-the-way'],
    ] as const) {
      const {
        code: exit,
        error,
        stderr,
      } = await computer.run(join(computer.clone, 'scripts/golden'), ['init', '--json'], { env: { GOLDEN_SITE: folder } })
      expect({ exit, code: error?.code }, stderr).toEqual({ exit: 1, code })
      expect(stderr).not.toMatch(/^\s+at /m)
    }
  }, 60_000)

  it('says which verb to run when there is no site', async () => {
    const { code, error, stderr } = await computer.run(join(computer.clone, 'scripts/golden'), ['status', '--json'], {
      env: { GOLDEN_SITE: join(computer.folder, 'none') },
    })
    expect({ code, error: error?.code }).toEqual({ code: 1, error: 'site-missing' })
    expect(stderr).toContain('npx golden init')
  }, 30_000)
})

describe.skipIf(systemNode === undefined)("with the system's Node (needs a Node below 24 on PATH besides the pinned one)", () => {
  const env = { PATH: `${systemNode?.folder}:/usr/bin:/bin` }

  it('npx golden runs the pinned Node', async () => {
    const { code, stdout, stderr } = await computer.run('npx', ['golden', 'help'], { env })
    expect(code, stderr).toBe(0)
    expect(stdout).toContain('usage: npx golden VERB')
  }, 60_000)

  it('scripts/golden alone does, too', async () => {
    expect(execFileSync(join(systemNode?.folder ?? '', 'node'), ['--version'], { encoding: 'utf8' })).not.toMatch(/^v24/)
    const { code, stderr } = await computer.run(join(computer.clone, 'scripts/golden'), ['help'], { env })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  }, 30_000)

  it("npm scripts and npx pass a verb's exit code on", async () => {
    expect((await computer.run('npx', ['golden', 'nothing'], { env })).code).toBe(2)
  }, 60_000)
})
