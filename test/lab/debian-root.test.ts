/** The lab's Debian root and the registry in it; nothing here builds them, that takes minutes. */
import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { resolveDigest } from '../../images/registry.ts'
import { command } from '../../lab/debian/command.ts'
import { writeImage } from '../../lab/debian/oci.ts'
import { startRegistry, type Registry } from '../../lab/debian/registry.ts'
import { inRoot, rootPath } from '../../lab/debian/root.ts'

const root = { folder: await rootPath() }
const noRoot = process.getuid?.() !== 0 || !existsSync(root.folder)
const why = "(needs root and the lab's Debian root in the cache: node lab/debian/build.ts root)"
const quiet = () => {}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-root-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe.skipIf(noRoot)(`programs in the lab's root ${why}`, () => {
  it('they are those of Debian 13, see only what is bound and leave nothing', async () => {
    await writeFile(join(folder, 'given'), 'from outside')
    const shared = join(folder, 'shared')
    await mkdir(shared)
    const script =
      'set -e; . /etc/os-release; cat /in/given; echo " $VERSION_CODENAME $COLOUR-$HOME"; echo back > /out/file; echo scratch > /etc/scratch; ! echo no 2>/dev/null > /in/given'
    const { stdout } = await inRoot(root, ['sh', '-c', script], {
      binds: [
        { from: join(folder, 'given'), to: '/in/given' },
        { from: shared, to: '/out', writable: true },
      ],
      env: { COLOUR: 'gold' },
    })
    expect(stdout).toBe('from outside trixie gold-/root\n')
    expect(await readFile(join(shared, 'file'), 'utf8')).toBe('back\n')
    expect(existsSync(join(root.folder, 'tree/etc/scratch'))).toBe(false)
    expect(await readFile('/proc/self/mounts', 'utf8')).not.toContain(root.folder)
  })

  it('several run at the same time, each with its own files', async () => {
    const numbers = [1, 2, 3, 4]
    const results = await Promise.all(numbers.map((number) => inRoot(root, ['sh', '-c', `echo ${number} > /srv/n; sync; cat /srv/n`])))
    expect(results.map((result) => Number(result.stdout))).toEqual(numbers)
  })

  it.each([
    ['nginx with njs', ['sh', '-c', 'nginx -T 2>/dev/null | grep "^load_module.*http_js"']],
    ['docker compose', ['docker', 'compose', 'version']],
    ['cloud-init', ['cloud-init', 'schema', '--help']],
    ['nft', ['nft', '--version']],
    ['skopeo', ['skopeo', '--version']],
    ['python venv', ['python3', '-m', 'venv', '--without-pip', '/tmp/venv']],
  ])('%s is there', async (_name, program) => {
    expect((await inRoot(root, program)).code).toBe(0)
  })
})

describe.skipIf(noRoot)(`registry ${why}`, () => {
  let registry: Registry
  let digest: string
  let port: number
  const start = () =>
    startRegistry({
      enter: [],
      address: '127.0.0.1',
      port,
      stateDir: join(folder, 'state'),
      layoutDir: join(folder, 'layouts'),
      log: quiet,
    })

  beforeAll(async () => {
    const tree = join(folder, 'tree')
    await mkdir(tree)
    await writeFile(join(tree, 'file'), 'content')
    digest = await writeImage({ tree, layout: join(folder, 'layouts/thing'), tag: '1', config: {}, epoch: 1_700_000_000 })
    const listener = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => listener.once('listening', resolve))
    port = (listener.address() as AddressInfo).port
    await new Promise((resolve) => listener.close(resolve))
    registry = await start()
  })
  afterAll(() => registry?.close())

  const get = async (path: string) => {
    const ca = await readFile(registry.caFile)
    return new Promise<{ status: number | undefined; digest: unknown }>((resolve, reject) => {
      request(
        `https://${registry.host}${path}`,
        { ca, agent: false, headers: { accept: 'application/vnd.oci.image.manifest.v1+json' } },
        (response) => {
          response.resume().once('end', () => resolve({ status: response.statusCode, digest: response.headers['docker-content-digest'] }))
        },
      )
        .once('error', reject)
        .end()
    })
  }

  it('answers over TLS with a certificate for its address, by digest and by tag', async () => {
    expect(await get('/v2/')).toMatchObject({ status: 200 })
    expect(await get(`/v2/thing/manifests/${digest}`)).toEqual({ status: 200, digest })
    expect(await get('/v2/thing/manifests/1')).toEqual({ status: 200, digest })
    expect(await get('/v2/other/manifests/1')).toMatchObject({ status: 404 })
  })

  it('golden lock finds the digest of a tag, and says what it can not find', async () => {
    const caPem = await readFile(registry.caFile, 'utf8')
    expect(await resolveDigest(`${registry.host}/thing`, '1', { caPem })).toBe(digest)
    await expect(resolveDigest(`${registry.host}/thing`, '2', { caPem })).rejects.toMatchObject({ code: 'image-not-found' })
    await expect(resolveDigest(`${registry.host}/thing`, '1')).rejects.toMatchObject({
      code: 'registry-unreachable',
      hint: expect.stringContaining('image.registries') as string,
    })
  })

  it('a real client pulls the image and keeps its digest', async () => {
    const binds = [{ from: registry.caFile, to: '/run/certs/ca.crt' }]
    const script =
      'skopeo copy -q --preserve-digests --src-cert-dir /run/certs "docker://$1" oci:/tmp/copy:1 && skopeo inspect --format "{{.Digest}}" oci:/tmp/copy:1'
    expect((await inRoot(root, ['sh', '-c', script, 'pull', `${registry.host}/thing@${digest}`], { binds })).stdout.trim()).toBe(digest)
  })

  it('its key is for its owner only, its authority can sign nothing else', async () => {
    expect((await stat(join(folder, 'state/registry/tls/tls.key'))).mode & 0o077).toBe(0)
    expect(new X509Certificate(await readFile(registry.caFile)).ca).toBe(true)
    expect((await command(['find', join(folder, 'state'), '-name', '*ca*key*'])).stdout).toBe('')
  })

  it('closed, nothing of it is left; started again, it is the same authority', async () => {
    const before = await readFile(registry.caFile, 'utf8')
    await registry.close()
    await expect(get('/v2/')).rejects.toThrow(/ECONNREFUSED/)
    registry = await start()
    expect(await readFile(registry.caFile, 'utf8')).toBe(before)
    expect(await get('/v2/')).toMatchObject({ status: 200 })
  })

  it('a port in use is a failure with its cause', async () => {
    await expect(start()).rejects.toMatchObject({
      code: 'registry-failed',
      message: expect.stringContaining('address already in use') as string,
    })
  })
})
