/** Docker in a fake guest: images and containers kept as a file of /var/lib/docker, so that a template's clones have them. */
import { createHash } from 'node:crypto'
import { parse } from 'yaml'
import type { Guest } from './guest.ts'
import type { GuestAnswer } from './programs.ts'
import { PATH } from './shell.ts'
import { ROOT } from './vfs.ts'

export interface Image {
  readonly id: string
  readonly repository: string
  readonly digest: string
  tags: string[]
}

export type ContainerState = 'created' | 'running' | 'exited'

export interface Container {
  readonly id: string
  readonly name: string
  readonly image: string
  state: ContainerState
  readonly restart: string
  readonly project?: string
  readonly service?: string
}

interface Store {
  images: Image[]
  containers: Container[]
  networks?: string[]
}
const FILE = '/var/lib/docker/fake-store.json'

export interface Reference {
  readonly repository: string
  readonly tag?: string
  readonly digest?: string
}

/** Splits `host/repo:tag@sha256:…`; a name without a host is Docker Hub's. Undefined if it is no reference. */
export function parseReference(text: string): Reference | undefined {
  const [, name = '', tag, digest] = /^((?:[\w.-]+(?::\d+)?\/)?[a-z0-9._/-]+?)(?::([\w.-]+))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(text) ?? []
  return name ? { repository: name, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) } : undefined
}

export interface ComposeService {
  /** Of the bind mounts that do not make their source. */
  readonly sources: readonly string[]
  /** Names of those networks of the project that it is in. */
  readonly networks: readonly string[]
  readonly init: boolean
  readonly name: string
  readonly containerName: string
  readonly image: string
  readonly restart: string
  readonly profiles: readonly string[]
  readonly pullPolicy: string | undefined
}
export interface ComposeFile {
  readonly project: string
  readonly services: readonly ComposeService[]
}

/** Reads compose files, later ones over earlier ones. Throws plain errors as `docker compose` words them. */
export function readCompose(texts: readonly string[], project: string, env: Readonly<Record<string, string>>): ComposeFile {
  const merged: { name?: string; services: Record<string, Record<string, unknown>>; networks: Record<string, { name?: string } | null> } = {
    services: {},
    networks: {},
  }
  for (const text of texts) {
    const file = (parse(interpolate(text, env), { merge: true }) ?? {}) as Partial<typeof merged>
    if (file.name !== undefined) merged.name = file.name
    Object.assign(merged.networks, file.networks)
    for (const [name, service] of Object.entries(file.services ?? {})) merged.services[name] = { ...merged.services[name], ...service }
  }
  const name = project || merged.name || 'default'
  const services = Object.entries(merged.services).map(([service, spec]): ComposeService => {
    if (typeof spec.image !== 'string')
      throw new Error(`service "${service}" has neither an image nor a build context specified: invalid compose project`)
    const volumes =
      (spec.volumes as (string | { type?: string; source?: string; bind?: { create_host_path?: boolean } })[] | undefined) ?? []
    const networks =
      spec.network_mode === undefined ? Object.keys((spec.networks as Record<string, unknown> | undefined) ?? { default: null }) : []
    return {
      sources: volumes.flatMap((volume) =>
        typeof volume !== 'string' && volume.type === 'bind' && volume.bind?.create_host_path === false ? [volume.source ?? ''] : [],
      ),
      networks: networks.map((network) => merged.networks[network]?.name ?? `${name}_${network}`),
      init: spec.init === true,
      name: service,
      image: spec.image,
      containerName: typeof spec.container_name === 'string' ? spec.container_name : `${name}-${service}-1`,
      restart: String(spec.restart ?? 'no'),
      profiles: (spec.profiles as string[] | undefined) ?? [],
      pullPolicy: spec.pull_policy as string | undefined,
    }
  })
  return { project: name, services }
}

function interpolate(text: string, env: Readonly<Record<string, string>>): string {
  return text.replaceAll(
    /\$(?:\$|\{(\w+)(?:(:?[-?+])([^}]*))?\}|(\w+))/g,
    (all, braced: string | undefined, operator: string | undefined, word: string | undefined, bare: string | undefined) => {
      if (all === '$$') return '$'
      const name = braced ?? bare ?? ''
      const value = env[name]
      const missing = value === undefined || (operator?.startsWith(':') && value === '')
      if (operator?.endsWith('?') && missing) throw new Error(`required variable ${name} is missing a value: ${word ?? ''}`)
      if (operator?.endsWith('+')) return missing ? '' : (word ?? '')
      return missing ? (operator?.endsWith('-') ? (word ?? '') : '') : value
    },
  )
}

export class Docker {
  readonly #guest: Guest
  constructor(guest: Guest) {
    this.#guest = guest
  }

  get running(): boolean {
    return this.#guest.systemd.state('docker.service') === 'active'
  }

  store(): Store {
    const { vfs } = this.#guest
    return vfs.exists(FILE) ? (JSON.parse(vfs.readText(FILE)) as Store) : { images: [], containers: [] }
  }

  #change(work: (store: Store) => void): void {
    const store = this.store()
    work(store)
    this.#guest.vfs.mkdir('/var/lib/docker', ROOT, { parents: true, mode: 0o710 })
    this.#guest.vfs.write(FILE, JSON.stringify(store), ROOT, { mode: 0o600 })
  }

  /** The daemon has started: containers that are to be restarted run again. */
  start(): undefined {
    this.#guest.vfs.mkdir('/var/lib/docker/containers', ROOT, { parents: true, mode: 0o710 })
    const { tables } = this.#guest.firewall
    for (const name of ['ip nat', 'ip filter']) if (!tables.has(name)) tables.set(name, ' chain DOCKER {\n }')
    this.#change(({ containers }) => {
      for (const each of containers) if (/^(always|unless-stopped)$/.test(each.restart)) each.state = 'running'
    })
    return undefined
  }

  /** The daemon has stopped; with `live-restore` its containers go on. */
  pause(): void {
    const { vfs } = this.#guest
    const settings = vfs.exists('/etc/docker/daemon.json') ? vfs.readText('/etc/docker/daemon.json') : '{}'
    if ((JSON.parse(settings) as Record<string, unknown>)['live-restore'] !== true) this.stop()
  }

  /** With the machine. */
  stop(): void {
    if (this.store().containers.some((each) => each.state === 'running'))
      this.#change(({ containers }) => {
        for (const each of containers) each.state = each.restart === 'no' || each.restart.startsWith('on-failure') ? 'exited' : each.state
      })
  }

  /** Names of the containers that run and are not ordered to be ill. */
  well(): ReadonlySet<string> {
    const ill = this.#guest.behaviour.unhealthy ?? []
    const running = this.running ? this.store().containers.filter(({ state }) => state === 'running') : []
    return new Set(running.map(({ name }) => name).filter((name) => !ill.includes(name)))
  }

  /** The daemon's own API; undefined while it does not run. */
  answer(method: string, path: string): GuestAnswer | undefined {
    if (!this.running) return undefined
    const json = (status: number, body: unknown): GuestAnswer => ({ status, headers: {}, body: JSON.stringify(body) })
    const { pathname, searchParams } = new URL(path, 'http://docker')
    if (method === 'GET' && pathname === '/containers/json') {
      const shown = this.store().containers.filter(({ state }) => searchParams.get('all') === '1' || state === 'running')
      return json(
        200,
        shown.map(({ id, name, image, state }) => ({ Id: id, Names: [`/${name}`], Image: image, State: state })),
      )
    }
    const [, name, verb] = /^\/containers\/([^/]+)\/(start|stop|restart)$/.exec(pathname) ?? []
    if (method === 'POST' && name !== undefined) {
      const before = this.store().containers.find((each) => each.name === name)?.state
      if (before === undefined) return json(404, { message: `No such container: ${name}` })
      const after = verb === 'stop' ? (before === 'running' ? 'exited' : before) : 'running'
      if (after === before && verb !== 'restart') return { status: 304, headers: {}, body: '' }
      this.setState(name, after)
      return { status: 204, headers: {}, body: '' }
    }
    return json(404, { message: 'page not found' })
  }

  findImage(text: string): Image | undefined {
    const reference = parseReference(text)
    const { images } = this.store()
    if (/^(sha256:)?[0-9a-f]{12,64}$/.test(text))
      return images.find((image) => image.id.startsWith(text.startsWith('sha256:') ? text : `sha256:${text}`))
    if (!reference) return undefined
    return images.find(
      (image) =>
        image.repository === reference.repository &&
        (reference.digest !== undefined ? image.digest === reference.digest : image.tags.includes(reference.tag ?? 'latest')),
    )
  }

  /** Pulls; returns the daemon's complaint, or undefined. */
  pull(text: string): string | undefined {
    const reference = parseReference(text)
    if (!reference) return 'invalid reference format'
    const host = /^([\w.-]+(?::\d+)?)\//.exec(reference.repository)?.[1]
    const registry = host !== undefined && /[.:]|^localhost$/.test(host) ? host : 'registry-1.docker.io'
    if (this.#guest.behaviour.pullFails?.some((part) => text.includes(part)))
      return `Error response from daemon: manifest for ${text} not found: manifest unknown: manifest unknown`
    if (this.#guest.behaviour.pullsAltered?.some((part) => text.includes(part)))
      return `Error response from daemon: manifest verification failed for digest ${reference.digest ?? ''}`
    const local = /^(10|192\.168|172\.(1[6-9]|2\d|3[01]))\./.test(registry) || registry.includes(':')
    if (!local && !this.#guest.world.internet(this.#guest, 443))
      return `Error response from daemon: Get "https://${registry}/v2/": dial tcp: lookup ${registry}: Temporary failure in name resolution`
    const digest =
      reference.digest ??
      `sha256:${createHash('sha256')
        .update(`${reference.repository}:${reference.tag ?? 'latest'}`)
        .digest('hex')}`
    this.#change(({ images }) => {
      const known = images.find((image) => image.repository === reference.repository && image.digest === digest)
      const tags = reference.digest === undefined ? [reference.tag ?? 'latest'] : []
      if (known) known.tags = [...new Set([...known.tags, ...tags])]
      else
        images.push({ id: `sha256:${createHash('sha256').update(digest).digest('hex')}`, repository: reference.repository, digest, tags })
    })
    return undefined
  }

  /** Why a container of this service could not be made or started: the daemon's complaint, or undefined. */
  refusal(service: ComposeService): string | undefined {
    const { vfs } = this.#guest
    const missing = service.sources.find((path) => !vfs.exists(path))
    if (missing !== undefined)
      return `Error response from daemon: invalid mount config for type "bind": bind source path does not exist: ${missing}`
    const isThere = this.store().containers.some(({ name }) => name === service.containerName)
    if (!isThere && vfs.mountOf('/var/lib/docker').filesystem.isFull)
      return `Error response from daemon: mkdir /var/lib/docker/containers/${service.containerName}: no space left on device`
    if (service.init && !['/usr/libexec/docker', ...PATH.split(':')].some((folder) => vfs.exists(`${folder}/docker-init`)))
      return 'Error response from daemon: exec: "docker-init": executable file not found in $PATH'
    return undefined
  }

  addNetworks(names: readonly string[]): void {
    if (names.length > 0)
      this.#change((store) => {
        store.networks = [...new Set([...(store.networks ?? []), ...names])]
      })
  }

  removeNetworks(names: readonly string[]): void {
    this.#change((store) => {
      store.networks = (store.networks ?? []).filter((name) => !names.includes(name))
    })
  }

  /** Makes or starts a container. Returns the daemon's complaint, or undefined. */
  run(container: {
    name: string
    image: string
    restart: string
    project?: string
    service?: string
    state?: ContainerState
  }): string | undefined {
    if (!this.findImage(container.image)) return `Error response from daemon: No such image: ${container.image}`
    this.#change((store) => {
      store.containers = store.containers.filter((each) => each.name !== container.name)
      store.containers.push({
        id: createHash('sha256').update(`${container.name}${Date.now()}`).digest('hex'),
        name: container.name,
        image: container.image,
        restart: container.restart,
        state: container.state ?? 'running',
        ...(container.project !== undefined && { project: container.project }),
        ...(container.service !== undefined && { service: container.service }),
      })
    })
    return undefined
  }

  setState(name: string, state: ContainerState): boolean {
    let hit = false
    this.#change(({ containers }) => {
      for (const each of containers)
        if (each.name === name || each.id.startsWith(name)) {
          each.state = state
          hit = true
        }
    })
    return hit
  }

  removeContainers(which: (container: Container) => boolean): void {
    this.#change((store) => {
      store.containers = store.containers.filter((each) => !which(each))
    })
  }
}
