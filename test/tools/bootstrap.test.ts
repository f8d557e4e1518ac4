/** What `npm run …` does first: npm packages are installed when they are not those of the lock file, and only then. */
import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import { executable, temporaryFolder } from './folder.ts'

const project = resolve(import.meta.dirname, '../..')
const lock = {
  packages: {
    '': { name: 'clone', dependencies: { a: '1.0.0' } },
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/elsewhere': { version: '3.0.0', integrity: 'sha512-e', optional: true },
    lab: { version: '0.1.0' },
    'node_modules/lab': { resolved: 'lab', link: true },
  },
}

/** A clone with nothing but what the bootstrap looks at, and an npm that does as the real one and writes down how it was called. */
async function clone() {
  const folder = await temporaryFolder()
  const bin = join(folder, 'bin')
  for (const name of ['bin', 'tools', 'scripts-make', 'installed/node_modules/node/bin'])
    await mkdir(join(folder, name), { recursive: true })
  await copyFile(join(project, 'tools/bootstrap.mjs'), join(folder, 'tools/bootstrap.mjs'))
  const write = (name: string, document: unknown): Promise<void> => writeFile(join(folder, name), JSON.stringify(document))
  await write('package-lock.json', lock)
  const { '': _, 'node_modules/elsewhere': __, ...record } = lock.packages
  await write('installed/node_modules/.package-lock.json', { packages: record })
  // What install scripts make: the pinned Node, which generates the bindings.
  await executable(join(folder, 'scripts-make'), 'node', 'mkdir -p stacks/bindings')
  await write('package.json', { allowScripts: { node: true } })
  const install =
    'rm -rf node_modules; cp -r installed/node_modules . && mkdir -p stacks/bindings && cp scripts-make/node node_modules/node/bin/node'
  await executable(
    bin,
    'npm',
    `echo "$@" >> called
[ ! -e broken ] || exit 7
case "$1" in
  ci) if [ -e ignore-scripts ]; then rm -rf node_modules; cp -r installed/node_modules .; else ${install}; fi ;;
  rebuild) mkdir -p node_modules/node/bin && cp scripts-make/node node_modules/node/bin/node ;;
esac`,
  )
  return {
    folder,
    write,
    /** As a person's own `npm ci`. */
    install: () => spawnSync('sh', ['-c', install], { cwd: folder }),
    /** @returns exit code, what was said, and how often npm was called meanwhile */
    run: async () => {
      await rm(join(folder, 'called'), { force: true })
      const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, 'tools/bootstrap.mjs')], {
        cwd: '/',
        env: { PATH: `${bin}:/usr/bin:/bin` },
        encoding: 'utf8',
      })
      const calls = (await readFile(join(folder, 'called'), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')
      return { status, stdout, stderr, calls: calls.map((line) => line.split(' ')[0]) }
    },
  }
}
const nothing = { status: 0, stdout: '', stderr: '', calls: [] }

it('a new clone is installed, once', async () => {
  const { run } = await clone()
  expect(await run()).toEqual({ status: 0, stdout: '', stderr: expect.stringMatching(/npm ci[\s\S]*installed in \d+ s/), calls: ['ci'] })
  expect(await run()).toEqual(nothing)
})

it('what somebody has installed with npm ci is not installed again', async () => {
  const { run, install } = await clone()
  install()
  expect(await run()).toEqual(nothing)
})

it.each([
  ['another version', { 'node_modules/a': { version: '1.0.1', integrity: 'sha512-a' } }],
  ['another content', { 'node_modules/a': { version: '1.0.0', integrity: 'sha512-b' } }],
  ['one more package', { 'node_modules/b': { version: '1.0.0', integrity: 'sha512-b' } }],
])('after the lock file has changed, it is installed: %s', async (_, change) => {
  const { run, install, write } = await clone()
  install()
  await write('package-lock.json', { packages: { ...lock.packages, ...change } })
  expect((await run()).calls).toEqual(['ci'])
})

it.each([
  ['node_modules/.package-lock.json', 'ci'],
  ['node_modules/node', 'rebuild'],
  ['stacks/bindings', 'rebuild'],
])('an installation without %s was not finished', async (path, call) => {
  const { folder, run, install } = await clone()
  install()
  await rm(join(folder, path), { recursive: true })
  expect((await run()).calls).toEqual([call])
  expect(await run()).toEqual(nothing)
})

it('who has turned install scripts off gets those that the project needs, and no others', async () => {
  const { folder, run } = await clone()
  await writeFile(join(folder, 'ignore-scripts'), '')
  expect(await run()).toMatchObject({
    status: 0,
    calls: ['ci', 'rebuild'],
    stderr: expect.stringContaining('install scripts that this project needs (node)'),
  })
  expect(await run()).toEqual(nothing)
})

it('when npm fails, it says so and what to do', async () => {
  const { folder, run } = await clone()
  await writeFile(join(folder, 'broken'), '')
  expect(await run()).toEqual({
    status: 1,
    stdout: '',
    stderr: expect.stringContaining(`exit code 7). Run it by hand in ${folder}`),
    calls: ['ci'],
  })
})
