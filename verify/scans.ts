/** From which containers of a clone it is tried what they get to, and which places. Pure. */
import { wantedContainers, type Container } from '../images/guest/places.ts'
import type { Site } from '../settings/site.ts'
import type { Clone } from './clones.ts'
import { isLetOut, temptations, type Inside, type Target } from './targets.ts'

export interface Scan {
  readonly container: string
  /** Whether its network is that of the VM. */
  readonly isItself: boolean
  /** None of which may be reached, nor be sent anything. */
  readonly targets: readonly Target[]
  /** By which it is seen that anything can be tried at all. */
  readonly own: Target
}

/**
 * The first of Serena's containers tries all places, the others those few that tell most: each scan takes seconds on a
 * slow machine. Of those in the VM's own network one stands for all: the firewall does not know them by anything else.
 * @param running names of containers
 * @param vms addresses of all clones
 */
export function scansOf(
  site: Site,
  { release: { seed, flows } }: Pick<Clone, 'release'>,
  running: readonly string[],
  vms: readonly string[],
): Scan[] {
  const all = wantedContainers(seed).filter(({ name }) => running.includes(name))
  const inItself = all.filter((one) => insideOf(one) === 'itself')
  // The log agent, whose configuration names a place to go to, before nginx.
  const tried = [...all.filter((one) => insideOf(one) !== 'itself'), ...inItself.slice(-1)]
  const first = tried.find((one) => insideOf(one) === 'serena')
  return tried.map((container) => {
    const from = insideOf(container)
    const isItself = from === 'itself'
    const targets = container === first ? temptations(site, vms) : temptations(site, vms, from, [443])
    return {
      container: container.name,
      isItself,
      targets: targets.filter((target) => !isLetOut(flows, isItself ? 'itself' : 'containers', target)),
      own: { host: '127.0.0.1', port: Number(new URL(container.probe).port) },
    }
  })
}

const insideOf = ({ name }: Container): Inside =>
  name === 'loki' || name === 'grafana' ? 'logging' : name === 'serena_mcp' || name === 'serena_mcp_sse' ? 'serena' : 'itself'
