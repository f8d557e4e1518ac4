/** The lab's container registry: Debian's docker-registry over TLS, read-only, in the LAN's network namespace. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { link, copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { certify } from './certificate.ts'
import { DebianFailure } from './failure.ts'
import { blobPath, readLayout } from './oci.ts'
import { buildRoot, inRoot, spawnInRoot, type Bind, type Root } from './root.ts'
import type { BuildOptions } from './settings.ts'

export interface RegistryOptions extends BuildOptions {
  /** Command prefix that enters the namespace where the registry listens, such as `nsenter --net=… --`; may be empty. */
  readonly enter: readonly string[]
  /** An address of that namespace. It is in the certificate. */
  readonly address: string
  readonly port: number
  /** Folder for certificate, key (0600) and storage; certificate and key are kept for the next start. */
  readonly stateDir: string
  /** OCI image layouts, each in a folder named after its repository. */
  readonly layoutDir: string
}

export interface Registry {
  /** `address:port`, for image references. */
  readonly host: string
  /** The certificate of the authority that signed the registry's: what a client has to trust. */
  readonly caFile: string
  /** Ends the registry; resolves when its process is gone. */
  close(): Promise<void>
}

/** Starts the registry; resolves when it has answered over TLS. */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { enter, address, port, stateDir, layoutDir, log } = options
  const root = await buildRoot(options)
  const folder = join(stateDir, 'registry')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const { caFile, certificateFile, keyFile } = await certify(root, folder, address)
  const storage = join(folder, 'storage')
  await fillStorage(layoutDir, storage)
  const config = join(folder, 'config.json')
  await writeFile(
    config,
    JSON.stringify({
      // JSON is YAML
      version: 0.1,
      log: { level: 'info', formatter: 'text', accesslog: { disabled: true } },
      storage: {
        filesystem: { rootdirectory: '/srv/storage' },
        maintenance: { uploadpurging: { enabled: false }, readonly: { enabled: true } },
      },
      http: {
        addr: `${address}:${port}`,
        secret: 'only uploads use it and there are none',
        tls: { certificate: '/srv/tls.pem', key: '/srv/tls.key' },
      },
    }),
  )
  const binds: Bind[] = [
    { from: storage, to: '/srv/storage' },
    { from: config, to: '/srv/config.json' },
    { from: certificateFile, to: '/srv/tls.pem' },
    { from: keyFile, to: '/srv/tls.key' },
  ]
  const child = spawnInRoot(root, ['docker-registry', 'serve', '/srv/config.json'], { enter, binds })
  const ended = once(child, 'close')
  const close = async () => {
    child.kill('SIGKILL') // it writes nothing; and `unshare` ignores SIGTERM
    await ended
  }
  try {
    await listening(child, options.signal)
    await answers(root, enter, `https://${address}:${port}/v2/`, caFile)
  } catch (error) {
    await close()
    throw error
  }
  log(`registry answers on ${address}:${port}`)
  return { host: `${address}:${port}`, caFile, close }
}

/**
 * Makes a registry's storage of the layouts by links to their blobs, without a push. The paths are those of the
 * distribution project's filesystem driver (registry/storage/paths.go).
 */
export async function fillStorage(layoutDir: string, storage: string): Promise<void> {
  await rm(storage, { recursive: true, force: true })
  const base = join(storage, 'docker/registry/v2')
  for (const repository of (await readdir(layoutDir)).sort()) {
    const layout = join(layoutDir, repository)
    const own = join(base, 'repositories', repository)
    for (const { tag, digest, blobs } of await readLayout(layout)) {
      for (const blob of blobs) {
        const [algorithm = '', hex = ''] = blob.split(':')
        const target = join(base, 'blobs', algorithm, hex.slice(0, 2), hex)
        await mkdir(target, { recursive: true })
        await linkOrCopy(blobPath(layout, blob), join(target, 'data'))
        await point(join(own, '_layers', algorithm, hex), blob)
      }
      const [algorithm = '', hex = ''] = digest.split(':')
      await point(join(own, '_manifests/revisions', algorithm, hex), digest)
      await point(join(own, '_manifests/tags', tag, 'current'), digest)
      await point(join(own, '_manifests/tags', tag, 'index', algorithm, hex), digest)
    }
  }
}

async function point(folder: string, digest: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'link'), digest)
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return // two images with the same blob
    if (code !== 'EXDEV' && code !== 'EPERM') throw error // another file system, or one without hard links
    await copyFile(from, to)
  }
}

/** Until the registry says that it listens; rejects with its last words if it ends before. */
async function listening(child: ChildProcess, signal?: AbortSignal): Promise<void> {
  const last: string[] = []
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: unknown) =>
      reject(
        new DebianFailure(
          'registry-failed',
          `the lab's registry did not start: ${last.slice(-3).join('; ') || String(cause)}`,
          'is another lab running with the same subnet? Stop it, or choose another subnet',
          { cause },
        ),
      )
    for (const stream of [child.stdout, child.stderr]) {
      if (stream)
        createInterface({ input: stream }).on('line', (line) => {
          last.push(line)
          if (last.length > 20) last.shift()
          if (line.includes('listening on')) resolve()
        })
    }
    child.once('error', fail)
    child.once('close', (code) => fail(`it ended with ${code}`))
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}

/** Asks from where the guests are, with the certificate that they will be given. */
async function answers(root: Root, enter: readonly string[], url: string, caFile: string): Promise<void> {
  const { stdout, stderr } = await inRoot(
    root,
    [
      'curl',
      '--silent',
      '--show-error',
      '--noproxy',
      '*',
      '--max-time',
      '20',
      '--cacert',
      '/run/ca.pem',
      '--output',
      '/dev/null',
      '--write-out',
      '%{http_code}',
      url,
    ],
    { enter, binds: [{ from: caFile, to: '/run/ca.pem' }], accept: [1, 2, 6, 7, 28, 35, 51, 58, 60] },
  )
  if (stdout !== '200')
    throw new DebianFailure(
      'registry-failed',
      `${url} does not answer as it should: ${stderr.trim() || stdout}`,
      'run it again; if it stays, remove the folder "registry" in the lab\'s state folder',
    )
}
