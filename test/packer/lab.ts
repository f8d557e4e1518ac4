/** A lab with fake guests, set up as `golden setup` does, and a site for it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { archivesOf } from '../../images/archive/archives.ts'
import type { LockedPackages } from '../../images/lock.ts'
import { askedOf, readPackages } from '../../images/packages.ts'
import { guestFiles, rootfsOf, type SmallFile } from '../../images/stage.ts'
import { startLab, type Lab } from '../../lab/index.ts'
import type { Recorded } from '../../lab/record.ts'
import type { BakeOptions } from '../../packer/bake.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import { guestContents } from '../../demo/guest-contents.ts'
import { emptyBase, labSite, writeLabSite } from '../../demo/lab-site.ts'
import { initSecrets } from '../../scripts/init.ts'
import { loadSite } from '../../settings/load.ts'
import { parseSite, type Site, type SiteInput } from '../../settings/site.ts'
import { toolEnvironment } from '../../tools/index.ts'
import { recorder, setUp, testLock } from '../set-up.ts'

export interface TestLab {
  /** From the start of the lab on the place for temporary files of this test file alone: others bake at the same time. */
  readonly temporary: string
  readonly lab: Lab
  readonly site: Site
  readonly folder: string
  /** With the token that setup made. */
  readonly proxmox: Proxmox
  /** With the lab's root token: for looking around, and for playing somebody else. */
  readonly root: Proxmox
  /** Everything that was shown, in order. */
  readonly shown: string[]
  /** What guests were asked. */
  readonly recorded: Recorded[]
  bakeOptions(change?: Partial<BakeOptions>): BakeOptions
  /** The same site with something changed. */
  siteWith(change: (input: Site) => void): Site
  close(): Promise<void>
}

export async function startTestLab(): Promise<TestLab> {
  const work = await mkdtemp(join(tmpdir(), 'gl-'))
  const recorded: Recorded[] = []
  const record = (each: Recorded): unknown => recorded.push(each)
  const lab = await startLab({ stateDir: join(work, 'lab'), driver: 'fake', contents: guestContents, record })
  const folder = join(work, 'site')
  const base = await emptyBase(join(work, 'base.qcow2'))
  const input: SiteInput = labSite(lab.connection, { name: 'test', layout: 'two-vms', base, isoPath: join(work, 'iso') })
  await writeLabSite(folder, input, lab.connection)
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  await writeFile(join(folder, 'images.lock.json'), JSON.stringify(testLock))
  const { caFile, token, root, proxmox } = await setUp(lab, site, folder)
  const environment = await toolEnvironment()
  const { shown, progress } = recorder()
  const temporary = await mkdtemp(join(tmpdir(), 'golden-test-'))
  vi.stubEnv('TMPDIR', temporary)
  return {
    temporary,
    lab,
    site,
    folder,
    proxmox,
    root,
    shown,
    recorded,
    bakeOptions: (change = {}) => ({
      site,
      folder,
      proxmox,
      token,
      caFile,
      environment,
      cacheDir: join(work, 'cache'),
      progress,
      signal: new AbortController().signal,
      stage: stageWith(),
      ...change,
    }),
    siteWith: (change) => {
      const copy = structuredClone(site)
      change(copy)
      const parsed = parseSite(copy)
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
      return parsed.site
    },
    close: async () => {
      proxmox.close()
      root.close()
      await lab.close()
      vi.unstubAllEnvs()
      for (const path of [temporary, work]) await rm(path, { recursive: true, force: true })
    },
  }
}

/** Of Node, by whose path the programs of the image are run. */
const standIn: SmallFile = { path: 'opt/golden/node/bin/node', mode: 0o755, content: Buffer.from('\x7fELF stand-in') }
/** The image's own files, and more, without the language servers, which are too much for a model of a guest. */
export const stageWith =
  (...extra: SmallFile[]): NonNullable<BakeOptions['stage']> =>
  async () =>
    rootfsOf([...(await guestFiles()), standIn, ...extra])

/** As `golden lock` has it before the first bake: of apt's packages it knows those that it asks for. */
export async function openPackages({ site, folder }: Pick<TestLab, 'site' | 'folder'>): Promise<LockedPackages> {
  const archives = (await archivesOf(site, folder)).map(({ url, components, suites, snapshots = '' }) => ({
    url,
    components: [...components],
    suites: Object.fromEntries(suites.map((suite) => [suite, '2026-11-20T08:00:00Z'])),
    snapshot: { service: snapshots, at: '20261129T120000Z' },
  }))
  return { archives, asked: askedOf(await readPackages(), 'debian-13'), complete: false, versions: { 'docker.io': '26.1.5+dfsg1-9+b9' } }
}
