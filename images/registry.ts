/**
 * Asks a container registry for the digest of a tag, and what it is made of: the manifest, with the token flow of Docker Hub and
 * ghcr.io (OCI distribution specification; Docker's "token authentication" specification).
 */
import { getCACertificates } from 'node:tls'
import { request, type Dispatcher } from 'undici'
import { WayOut } from '../core/way-out.ts'
import { Failure } from '../core/failure.ts'
import { sha256 } from '../core/canonical.ts'

export interface RegistryOptions {
  /** PEM of the registry's own CA, trusted besides the usual ones, as Docker does: tokens may come from another host. */
  readonly caPem?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** An index (several platforms) comes first: its digest stands for the image on every platform. */
const accepted = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')

/** Docker Hub's images are named docker.io, but its API is elsewhere. */
const apiHost = (host: string): string => (host === 'docker.io' ? 'registry-1.docker.io' : host)

/**
 * @param image `host/repository`
 * @returns `sha256:…`: of an index where the tag has several platforms
 * @throws Failure `registry-unreachable`, `image-not-found`, `registry-denied`, `registry-refused`
 */
export async function resolveDigest(image: string, tag: string, options: RegistryOptions = {}): Promise<string> {
  return withRegistry(image, options, async (manifest) => {
    const answer = await manifest('HEAD', tag)
    await answer.body.dump()
    const named = header(answer, 'docker-content-digest')
    // A registry may leave the header out: then the digest is that of the manifest's bytes.
    return isDigest(named) ? named : digestOf(await bytesOf(await manifest('GET', tag)))
  })
}

/**
 * @param digest what a tag means
 * @returns the digest of the manifest for linux/amd64 in that index, or of the manifest itself if it is none
 * @throws Failure as `resolveDigest`; `registry-altered`, `image-other-platform`
 */
export async function resolvePlatform(image: string, digest: string, options: RegistryOptions = {}): Promise<string> {
  const bytes = await withRegistry(image, options, async (manifest) => bytesOf(await manifest('GET', digest)))
  const found = digestOf(bytes)
  if (found !== digest)
    throw new Failure(
      'registry-altered',
      `the registry serves something else as ${image}@${digest}: its digest is ${found}`,
      'Do not use this registry until you know why. Run "npx golden lock" again when it is mended.',
    )
  let parsed: { manifests?: readonly { digest?: unknown; platform?: { os?: unknown; architecture?: unknown } }[] }
  try {
    parsed = JSON.parse(bytes.toString('utf8')) as typeof parsed
  } catch (cause) {
    throw new Failure('registry-refused', `${image}@${digest} is no manifest`, 'Correct image and tag in images.lock.json.', { cause })
  }
  if (parsed.manifests === undefined) return digest
  const wanted = parsed.manifests.find(({ platform }) => platform?.os === 'linux' && platform.architecture === 'amd64')
  if (typeof wanted?.digest !== 'string' || !isDigest(wanted.digest))
    throw new Failure('image-other-platform', `${image}@${digest} is not for linux/amd64`, 'Correct image and tag in images.lock.json.')
  return wanted.digest
}

const isDigest = (text: string): boolean => /^sha256:[0-9a-f]{64}$/.test(text)
const digestOf = (bytes: Uint8Array): string => `sha256:${sha256(bytes)}`
const bytesOf = async (answer: Dispatcher.ResponseData): Promise<Buffer> => Buffer.from(await answer.body.arrayBuffer())

/** Asks for the manifest of a tag or digest; the answer is 200, and its body still to be read. */
type Manifest = (method: Method, wanted: string) => Promise<Dispatcher.ResponseData>

async function withRegistry<T>(image: string, options: RegistryOptions, use: (manifest: Manifest) => Promise<T>): Promise<T> {
  const [host = '', ...rest] = image.split('/')
  const repository = host === 'docker.io' && rest.length === 1 ? `library/${rest[0]}` : rest.join('/')
  const dispatcher = new WayOut(process.env, options.caPem === undefined ? {} : { ca: [...getCACertificates('default'), options.caPem] })
  const once = async (target: string, method: Method, headers: Headers): Promise<Dispatcher.ResponseData> => {
    try {
      return await request(target, { method, headers, dispatcher, ...(options.signal ? { signal: options.signal } : {}) })
    } catch (cause) {
      if (options.signal?.aborted) throw cause
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new Failure(
        'registry-unreachable',
        `${new URL(target).host} does not answer: ${why}`,
        'Check the network and HTTPS_PROXY; a registry with a CA of its own needs an entry in image.registries of site.ts.',
        { cause },
      )
    }
  }
  const ask: Ask = async (target, method, headers) => {
    let at = target
    let sent = headers
    for (let hops = 0; hops < 5; hops++) {
      const answer = await once(at, method, sent)
      const location = header(answer, 'location')
      if (![301, 302, 303, 307, 308].includes(answer.statusCode) || location === '' || !URL.canParse(location, at)) return answer
      await answer.body.dump()
      const next = new URL(location, at)
      if (next.protocol !== 'https:')
        throw new Failure(
          'registry-refused',
          `${new URL(at).host} sends on to ${next.protocol}//${next.host}`,
          'Use a registry that is served over TLS all the way.',
        )
      // The token is the registry's own, not for wherever it sends people.
      if (next.host !== new URL(at).host) sent = Object.fromEntries(Object.entries(sent).filter(([name]) => name !== 'authorization'))
      at = next.href
    }
    throw new Failure('registry-refused', `${host} sends on more than five times for ${image}`, 'Run "npx golden lock" again later.')
  }
  let headers: Headers = { accept: accepted }
  const manifest: Manifest = async (method, wanted) => {
    const url = `https://${apiHost(host)}/v2/${repository}/manifests/${encodeURIComponent(wanted).replace('%3A', ':')}`
    let answer = await ask(url, method, headers)
    if (answer.statusCode === 401 && headers.authorization === undefined) {
      await answer.body.dump()
      const token = await tokenFor(header(answer, 'www-authenticate'), repository, ask, image)
      headers = { ...headers, authorization: `Bearer ${token}` }
      answer = await ask(url, method, headers)
    }
    if (answer.statusCode === 200) return answer
    await answer.body.dump()
    if (answer.statusCode === 404)
      throw new Failure(
        'image-not-found',
        wanted.startsWith('sha256:') ? `${image} has no ${wanted}` : `${image} has no tag ${wanted}`,
        'Correct image and tag in images.lock.json.',
      )
    if (answer.statusCode === 401 || answer.statusCode === 403)
      throw new Failure(
        'registry-denied',
        `${host} does not let anybody read ${repository}`,
        "Correct the image's name in images.lock.json, or use a public image.",
      )
    throw new Failure(
      'registry-refused',
      `${host} answered ${answer.statusCode} for ${repository}:${wanted}`,
      answer.statusCode === 429
        ? 'The registry limits how often one may ask: wait a while, then run "npx golden lock" again.'
        : 'Run "npx golden lock" again later.',
    )
  }
  try {
    return await use(manifest)
  } finally {
    await dispatcher.destroy()
  }
}

type Method = 'GET' | 'HEAD'
type Headers = Record<string, string>
type Ask = (target: string, method: Method, headers: Headers) => Promise<Dispatcher.ResponseData>

/** An anonymous token, from where the registry's challenge says. */
async function tokenFor(challenge: string, repository: string, ask: Ask, image: string): Promise<string> {
  const fields = Object.fromEntries([...challenge.matchAll(/([a-z]+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]))
  const { realm, service } = fields
  const denied = new Failure(
    'registry-denied',
    `the registry of ${image} wants a login that is not supported`,
    'Use a public image, or a mirror of it without login.',
  )
  if (!/^bearer /i.test(challenge) || realm === undefined || !URL.canParse(realm) || new URL(realm).protocol !== 'https:') throw denied
  const target = new URL(realm)
  if (service !== undefined) target.searchParams.set('service', service)
  target.searchParams.set('scope', fields.scope ?? `repository:${repository}:pull`)
  const answer = await ask(target.href, 'GET', { accept: 'application/json' })
  if (answer.statusCode !== 200) {
    await answer.body.dump()
    throw new Failure(
      'registry-denied',
      `the registry of ${image} gives no token for reading it (${answer.statusCode})`,
      "Correct the image's name in images.lock.json, or use a public image.",
    )
  }
  const body = (await answer.body.json()) as { token?: string; access_token?: string }
  const token = body.token ?? body.access_token
  if (token === undefined) throw denied
  return token
}

function header(answer: Dispatcher.ResponseData, name: string): string {
  const value = answer.headers[name]
  return (Array.isArray(value) ? value[0] : value) ?? ''
}
