import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openProxmox } from '../../scripts/open.ts'
import { silent } from '../../core/progress.ts'
import { loadSite, siteFolder, variablesOfSites } from '../../settings/load.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-load-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

it('the site folder is what GOLDEN_SITE says, or site in the clone', () => {
  expect(siteFolder({ GOLDEN_SITE: '/srv/site' })).toBe('/srv/site')
  expect(siteFolder({ GOLDEN_SITE: 'mine' })).toBe(resolve('mine'))
  expect(siteFolder({})).toBe(join(resolve(import.meta.dirname, '../..'), 'site'))
})

it.each(['', ' ', '~/site', '~', '/srv/site\r', ' /srv/site'])(
  'a GOLDEN_SITE that would be a folder that nobody meant is refused: "%s"',
  (given) => {
    expect(() => siteFolder({ GOLDEN_SITE: given })).toThrow(expect.objectContaining({ code: 'site-folder-unclear' }))
  },
)

it('what does not parse is told with its line', async () => {
  await writeFile(
    join(folder, 'site.ts'),
    "import { defineSite } from 'serena-golden'\n\nexport default defineSite({\n  name: 'home'\n  proxmox: {}\n})\n",
  )
  // By the Node that runs the verbs: here something else reads TypeScript.
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', resolve(import.meta.dirname, '../../golden.ts'), 'status'],
    { env: { PATH: process.env.PATH, GOLDEN_SITE: folder }, encoding: 'utf8' },
  )
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: expect.stringContaining(`error site-unreadable: ${folder}/site.ts:5 can't be read: Expected ','`),
  })
})

it.each([
  ['what does not run', '\nexport default { name: nothing.at.all }\n', 2],
  ['what throws something of its own', "\n\n\nthrow new Error('no')\n", 4],
])('%s is told with its line', async (_what, text, line) => {
  await writeFile(join(folder, 'site.ts'), text)
  await expect(loadSite(folder)).rejects.toMatchObject({
    code: 'site-unreadable',
    message: expect.stringMatching(new RegExp(`${folder}/site\\.ts:${line}(:\\d+)? can't be read: `)),
  })
})

it('what a site file reads of the environment is known: the hooks read it again', async () => {
  await writeFile(
    join(folder, 'site.ts'),
    "export default { name: process.env['NAME_OF_THE_SITE'], engine: process.env.ENGINE_OF_THE_SITE }\n",
  )
  const own = process.env
  await expect(loadSite(folder)).rejects.toMatchObject({ code: 'site-invalid' })
  expect([...variablesOfSites()]).toEqual(expect.arrayContaining(['NAME_OF_THE_SITE', 'ENGINE_OF_THE_SITE']))
  expect(process.env).toBe(own)
})

it('a hook takes the token from the engine: how the site names it may want more than the engine has', async () => {
  const example = join(import.meta.dirname, '../../site.example.ts')
  await writeFile(
    join(folder, 'site.ts'),
    `import site from '${example}'\nexport default { ...site, proxmox: { ...site.proxmox, token: { kind: 'command', command: ['false'] } } }\n`,
  )
  const waiting = { progress: silent, signal: new AbortController().signal }
  const env = { GOLDEN_SITE: folder, PROXMOX_VE_API_TOKEN: 'golden@pve!golden=handed' }
  await expect(openProxmox(env, waiting)).rejects.toMatchObject({ code: 'secret-unavailable' })
  const { token, proxmox } = await openProxmox(env, waiting, true)
  proxmox.close()
  expect(token.secret).toBe('handed')
  await expect(openProxmox({ ...env, PROXMOX_VE_API_TOKEN: 'other@pve!x=handed' }, waiting, true)).rejects.toMatchObject({
    code: 'secret-unavailable',
  })
})
