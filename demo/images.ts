/** What the lab needs before it can serve real guests: a base image and container images, all from packages. */
import type { QemuDriver } from '../lab/compute/qemu/driver.ts'
import { buildBase, type BaseShape } from '../lab/debian/base.ts'
import { buildContainers, type Containers } from '../lab/debian/containers.ts'
import { ensureHostPackages } from '../lab/debian/packages.ts'
import { startRegistry } from '../lab/debian/registry.ts'
import { buildRoot } from '../lab/debian/root.ts'
import { mirrorOf, SUITE } from '../lab/debian/settings.ts'
import type { LabOptions } from '../lab/index.ts'
import { Failure } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import type { SiteInput } from '../settings/site.ts'
import { startTools, type Tool } from '../tools/index.ts'
import { describe } from '../tools/progress.ts'
import { ofLab } from './lab-failure.ts'

export interface LabImages {
  readonly base: { readonly file: string; readonly sha256: string }
  /** For the lab: starts the registry inside of its LAN. */
  readonly startRegistry: NonNullable<LabOptions['startRegistry']>
  /** An ACME server for the LAN. */
  readonly pebble: string
  /** Of packages, as the base was made from. */
  readonly archives: NonNullable<SiteInput['image']['archives']>
  /**
   * What `golden lock` begins with in a site that uses this registry, which only the lab's LAN reaches: so there are no tags.
   * Grafana can't be had from packages, so it is not there.
   */
  readonly lock: (registryHost: string) => unknown
}

/**
 * Installs what is missing on this computer and builds what is not cached: the programs, the base image, the lab's
 * own Debian root and the container images. Minutes the first time, a second afterwards.
 */
export async function prepareImages(progress: Progress, signal: AbortSignal, shape: BaseShape = 'debian'): Promise<LabImages> {
  await progress.step('Debian packages that the lab needs', async (note) => {
    const found = await ensureHostPackages({ log: note })
    if (!found.ok) throw new Failure(found.code, found.cause, found.next)
    if (found.installed.length > 0) progress.info(`installed: ${found.installed.join(', ')}`)
  })
  // Programs are compiled while the images are put together: one is bound by processors, the other by the network.
  // Whichever fails first ends the other.
  const stop = new AbortController()
  const both = AbortSignal.any([signal, stop.signal])
  let heard = ''
  const tools = startTools(['packer', 'packer-plugin-proxmox', 'tofu', 'terraform-provider-proxmox', 'otelcol', 'loki', 'pebble', 'lego'], {
    signal: both,
    report: (event) => {
      if (event.type !== 'ready') heard = describe(event)
    },
  })
  let failed: unknown
  for (const tool of Object.values(tools))
    tool.catch((error: unknown) => {
      failed ??= error
      stop.abort(error)
    })
  let note: (text: string) => void = () => {}
  const build = {
    log: (line: string) => {
      note(line)
    },
    signal: both,
  }
  const step = async <T>(title: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await progress.step(title, (say) => {
        note = say
        return ofLab(work)
      })
    } catch (error) {
      stop.abort(error)
      // What stopped it matters, not that it was stopped.
      throw failed ?? error
    }
  }

  const base = await step('base image (Debian 13, from packages)', () => buildBase({ ...build, shape }))
  await step("the lab's own Debian root (registry, nginx, …)", () => buildRoot(build))
  await step('programs: Packer, its plugin, OpenTofu, the Proxmox provider, the log agent, Loki, ACME', async () => {
    const beat = setInterval(() => note(heard), 1000)
    try {
      for (const tool of await Promise.all(Object.values(tools) as Promise<Tool>[]))
        progress.info(`${tool.name} ${tool.version} (${tool.origin})`)
    } finally {
      clearInterval(beat)
    }
  })
  const programs = { loki: (await tools.loki).path, otelcol: (await tools.otelcol).path, lego: (await tools.lego).path }
  const containers = await step('container images (Serena, nginx, the log agent, Loki, the ACME client)', () =>
    buildContainers({ ...build, tools: programs }),
  )
  return {
    base,
    archives: debianArchives(),
    pebble: (await tools.pebble).path,
    async startRegistry({ driver, stateDir }) {
      // Only a LAN of network namespaces has a place for it; fake guests model their pulls.
      const { enter, layout } = (driver as QemuDriver).network
      return startRegistry({ enter, address: layout.registry, port: 5000, stateDir, layoutDir: containers.layoutDir, log: build.log })
    },
    lock: (registryHost) => lockOf(containers, registryHost),
  }
}

/** The mirror's suites that the lab's Debian is made of. */
function debianArchives(): LabImages['archives'] {
  const { main, security } = mirrorOf(undefined)
  return [
    { url: main, suites: [SUITE, `${SUITE}-updates`] },
    { url: security, suites: [`${SUITE}-security`] },
  ]
}

function lockOf(containers: Containers, host: string): unknown {
  const services = Object.fromEntries(
    Object.entries(containers.images).map(([name, image]) => [name, { image: `${host}/${name}`, digest: image.digest }]),
  )
  return { schema: 2, services }
}
