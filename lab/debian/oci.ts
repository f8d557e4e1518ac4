/**
 * Writes container images as OCI image layouts (image-spec v1.1: image-layout.md, manifest.md, config.md), one layer
 * each. The same tree and settings give the same bytes and so the same digest, on any machine and any day.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createZstdCompress } from 'node:zlib'
import { startChild } from '../child.ts'

/** What a container of the image starts with; names and meaning as in the OCI image configuration. */
export interface ImageConfig {
  readonly User?: string
  readonly Env?: readonly string[]
  readonly Entrypoint?: readonly string[]
  readonly Cmd?: readonly string[]
  readonly WorkingDir?: string
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>
  readonly Labels?: Readonly<Record<string, string>>
  readonly StopSignal?: string
}

export interface ImageOptions {
  /** Folder whose content becomes the layer: owners, modes, links as they are; no extended attributes. */
  readonly tree: string
  /** Folder of the layout, made if it is missing. */
  readonly layout: string
  readonly tag: string
  readonly config: ImageConfig
  /** Seconds since 1970: the image's date, and the newest that a file in it may have. */
  readonly epoch: number
}

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const CONFIG = 'application/vnd.oci.image.config.v1+json'
/** zstd: Docker 23 and newer pull it, and it unpacks several times faster than gzip, which counts in a slow guest. */
const LAYER = 'application/vnd.oci.image.layer.v1.tar+zstd'
const LEVEL = 12

/** Writes the image and returns its manifest's digest, `sha256:…`. */
export async function writeImage({ tree, layout, tag, config, epoch }: ImageOptions): Promise<string> {
  const blobs = join(layout, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  const { diffId, layer } = await writeLayer(tree, blobs, epoch)
  const created = new Date(epoch * 1000).toISOString().replace('.000Z', 'Z')
  const image = {
    created,
    architecture: 'amd64',
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created, created_by: 'serena-golden lab' }],
  }
  const manifest = await writeJson(blobs, MANIFEST, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: await writeJson(blobs, CONFIG, image),
    layers: [layer],
  })
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  await writeFile(
    join(layout, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [
        { ...manifest, annotations: { 'org.opencontainers.image.ref.name': tag }, platform: { architecture: 'amd64', os: 'linux' } },
      ],
    }),
  )
  return manifest.digest
}

/** All blobs of a layout's images, with the manifest each image starts at. */
export async function readLayout(layout: string): Promise<{ tag: string; digest: string; blobs: string[] }[]> {
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
    manifests: (Descriptor & { annotations: Record<string, string> })[]
  }
  return Promise.all(
    index.manifests.map(async ({ digest, annotations }) => {
      const manifest = JSON.parse(await readFile(blobPath(layout, digest), 'utf8')) as { config: Descriptor; layers: Descriptor[] }
      return {
        tag: annotations['org.opencontainers.image.ref.name'] ?? 'latest',
        digest,
        blobs: [digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)],
      }
    }),
  )
}

export const blobPath = (layout: string, digest: string): string => join(layout, 'blobs', ...digest.split(':'))

async function writeLayer(tree: string, blobs: string, epoch: number): Promise<{ diffId: string; layer: Descriptor }> {
  // GNU's format has no time stamps of its own making, and names of any length.
  const tar = startChild([
    'tar',
    '--create',
    '--format=gnu',
    '--sort=name',
    '--numeric-owner',
    `--mtime=@${epoch}`,
    '--clamp-mtime',
    '--directory',
    tree,
    '.',
  ])
  const partial = join(blobs, `.${randomUUID()}`)
  const content = createHash('sha256')
  const compressed = createHash('sha256')
  await pipeline(
    tar.output,
    tap(content),
    pieces(1024 * 1024),
    createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 } }),
    tap(compressed),
    createWriteStream(partial),
  )
  await tar.ended
  const digest = compressed.digest('hex')
  const { size } = await stat(partial)
  await rename(partial, join(blobs, digest))
  return { diffId: `sha256:${content.digest('hex')}`, layer: { mediaType: LAYER, digest: `sha256:${digest}`, size } }
}

async function writeJson(blobs: string, mediaType: string, value: unknown): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(value))
  const hash = createHash('sha256').update(bytes).digest('hex')
  await writeFile(join(blobs, hash), bytes)
  return { mediaType, digest: `sha256:${hash}`, size: bytes.length }
}

const tap = (hash: ReturnType<typeof createHash>) =>
  new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      done(null, chunk)
    },
  })

/** Pieces of one size: what zstd writes depends on where its input was cut, and a pipe cuts it anywhere. */
const pieces = (size: number) => {
  let waiting: Buffer[] = []
  let length = 0
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      waiting.push(chunk)
      length += chunk.length
      if (length >= size) {
        let all = Buffer.concat(waiting)
        for (; all.length >= size; all = all.subarray(size)) this.push(all.subarray(0, size))
        waiting = [all]
        length = all.length
      }
      done()
    },
    flush(done) {
      done(null, Buffer.concat(waiting))
    },
  })
}
