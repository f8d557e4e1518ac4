/**
 * What an image is made from, on this computer and under a test's hand: an archive of packages with what the models of guests
 * have, a folder of cloud images with one build, and a registry. All of them say what they were asked.
 */
import { createHash } from 'node:crypto'
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { emptyBase } from '../../demo/lab-site.ts'
import type { Lock } from '../../images/lock.ts'
import { askedOf, readPackages } from '../../images/packages.ts'
import { CATALOGUE } from '../../lab/compute/fake/packages.ts'
import { makeArchiveKey, writeSuite } from '../../lab/debian/archive.ts'
import { serveFolder } from '../images/archive-server.ts'
import { serveTls } from '../images/tls-server.ts'
import type { SiteInput } from '../../settings/site.ts'
import type { SiteFolder } from './place.ts'

export interface Sources {
  /** `METHOD URL STATUS`, since it was emptied last. 304: what was asked has not changed since it was last asked for. */
  readonly asked: () => readonly string[]
  forget(): void
  /** A lock that names the containers, of which `golden lock` finds the digests. */
  lock(): Lock
  /** What a site says under `image` to take everything from here. @param folder where its files are written */
  settings(folder: string): Promise<Pick<SiteInput['image'], 'base' | 'archives' | 'registries'>>
  /** Has the site take everything from here. */
  give(site: SiteFolder): Promise<void>
  /** Serena's tag means another image from now on. */
  renew(): void
  /** The distribution has another version of a package from now on, guests get that one. @param name one that guests have */
  renewPackage(name: string, version: string): Promise<void>
  /** There is a newer build of the cloud image. */
  renewBase(): Promise<void>
  /** One request to each, side by side, and nothing else. */
  roundTrip(): Promise<void>
  close(): Promise<void>
}

const services = { serena: 'oraios/serena', nginx: 'library/nginx', otelcol: 'otel/contrib', loki: 'grafana/loki' } as const
const serials = ['20261117-2299', '20261124-2306'] as const

const sha = (algorithm: string, content: string | Buffer): string => createHash(algorithm).update(content).digest('hex')

export async function openSources(): Promise<Sources> {
  const folder = await mkdtemp(join(tmpdir(), 'golden-sources-'))
  const web = join(folder, 'web')
  const key = await makeArchiveKey()
  const asked = askedOf(await readPackages(), 'debian-13')
  const writeArchive = (day: string): Promise<void> =>
    writeSuite(join(web, 'debian'), key, {
      suite: 'stable',
      date: new Date(`2026-11-${day}T08:00:00Z`),
      hollow: true,
      packages: [...new Set([...Object.keys(CATALOGUE), ...asked])].map((name) => ({ name, version: CATALOGUE[name]?.version ?? '1.0-1' })),
    })
  const offered: string[] = []
  const offerBase = async (serial: string): Promise<void> => {
    const build = join(web, 'builds', serial)
    const image = `debian-13-genericcloud-amd64-${serial}.qcow2`
    await mkdir(build, { recursive: true })
    await emptyBase(join(build, image))
    // By its content a build is told from another one.
    if (offered.length > 0) await appendFile(join(build, image), serial)
    await writeFile(join(build, 'SHA512SUMS'), `${sha('sha512', await readFile(join(build, image)))}  ${image}\n`)
    offered.push(serial)
    await writeFile(join(web, 'builds/index.html'), offered.map((name) => `<a href="${name}/">${name}/</a>\n`).join(''))
  }
  await writeArchive('20')
  await offerBase(serials[0])
  const versions = new Map(Object.entries(CATALOGUE).map(([name, { version }]) => [name, version]))
  const archive = await serveFolder(web)

  let count = 1
  const manifests = new Map<string, string>()
  const tags = new Map<string, string>()
  const publish = (repository: string): void => {
    const manifest = JSON.stringify({ schemaVersion: 2, config: { digest: `sha256:${sha('sha256', `${repository} ${count}`)}` } })
    tags.set(repository, `sha256:${sha('sha256', manifest)}`)
    manifests.set(tags.get(repository) ?? '', manifest)
  }
  for (const repository of Object.values(services)) publish(repository)
  const seen: string[] = []
  const registry = await serveTls(({ method, url = '' }, response) => {
    const [, repository = '', wanted = ''] = /^\/v2\/(.+)\/manifests\/([^/]+)$/.exec(url) ?? []
    const digest = wanted.startsWith('sha256:') ? wanted : tags.get(repository)
    const manifest = manifests.get(digest ?? '')
    seen.push(`${method} https://registry${url} ${manifest === undefined ? 404 : 200}`)
    if (manifest === undefined) response.writeHead(404).end()
    else response.writeHead(200, { 'docker-content-digest': digest }).end(method === 'GET' ? manifest : undefined)
  })
  const lock = (): Lock => {
    const entries = Object.entries(services).map(([name, repository]) => [
      name,
      { image: `${registry.host}/${repository}`, tag: '1', digest: tags.get(repository) },
    ])
    return { schema: 2, services: Object.fromEntries(entries) as Lock['services'] }
  }
  const sources: Sources = {
    asked: () => [...archive.asked.map((line) => line.replace(' ', ' http://files')), ...seen],
    forget: () => {
      archive.asked.length = 0
      seen.length = 0
    },
    lock,
    settings: async (folder) => {
      const [keyFile, caFile] = [join(folder, 'archive.asc'), join(folder, 'registry-ca.pem')]
      await mkdir(folder, { recursive: true })
      await writeFile(keyFile, key.publicKey)
      await writeFile(caFile, registry.caPem)
      return {
        base: { os: 'debian-13', builds: `${archive.url}/builds` },
        archives: [{ url: `${archive.url}/debian`, suites: ['stable'], components: ['main'], keyFile }],
        registries: [{ host: registry.host, caFile }],
      }
    },
    give: async (site) => {
      await writeFile(join(site.folder, 'images.lock.json'), JSON.stringify(lock()))
      const settings = await sources.settings(site.folder)
      await site.edit((draft) => {
        Object.assign(draft.image, settings)
      })
    },
    renew: () => {
      count += 1
      publish(services.serena)
    },
    renewPackage: async (name, version) => {
      const model = CATALOGUE[name]
      if (model === undefined) throw new Error(`guests have no ${name}`)
      Object.assign(model, { version })
      await writeArchive('25')
    },
    renewBase: () => offerBase(serials[1]),
    roundTrip: async () => {
      const dispatcher = new Agent({ connect: { ca: registry.caPem } })
      const asked = [`${archive.url}/builds/`, `${archive.url}/debian/dists/stable/InRelease`]
      const heads = Object.values(services).map((repository) => `https://${registry.host}/v2/${repository}/manifests/1`)
      await Promise.all([
        ...asked.map(async (url) => (await request(url, { dispatcher })).body.dump()),
        ...heads.map(async (url) => (await request(url, { dispatcher, method: 'HEAD' })).body.dump()),
      ])
      await dispatcher.close()
    },
    close: async () => {
      for (const [name, version] of versions) Object.assign(CATALOGUE[name] ?? {}, { version })
      registry.server.close()
      registry.server.closeAllConnections()
      await Promise.all([archive.close(), key.close()])
      await rm(folder, { recursive: true, force: true })
    },
  }
  return sources
}
