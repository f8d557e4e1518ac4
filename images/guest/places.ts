/** Where things are in a golden VM, and which container is which. The one list for all programs of the guest. */
import type { ImageRecord } from '../contract/record.ts'
import type { Seed } from '../contract/seed.ts'
import { containerNetworks } from '../../settings/containers.ts'

/** These programs, and the Node that runs them. */
export const node = '/opt/golden/node/bin/node'
export const programsFolder = '/usr/local/lib/golden'
/** In memory; gone with the power. */
export const run = '/run/golden'
export const seedFolder = `${run}/seed`
export const imageRecordFile = '/etc/golden/image.json'
export const dashboardsFolder = '/opt/golden/grafana/dashboards'
export const dataDevice = '/dev/golden/data'
export const dataFolder = '/srv/golden'
export const dataLabel = 'golden-data'
export const projectsFolder = `${dataFolder}/projects`
export const serenaFolder = `${dataFolder}/serena`
/** The projects as people see them over SSH (opt-golden-jail-srv-golden-projects.mount). */
export const jailedProjectsFolder = `/opt/golden/jail${projectsFolder}`
/** The projects as Serena's container gets them: there they are Serena's own, on the disk they belong to `projects`. */
export const workspacesFolder = `${run}/workspaces`
/** There while this slot may hold the service address (golden-address.service). */
export const claimFile = `${run}/claim`
/** There while the group moves to the other slot (handover.ts): the service address stays without the data disk. */
export const handoverFile = `${run}/handover.json`
/** Locked by whoever is changing what this slot is; says who (in-turn.ts). */
export const turnFile = `${run}/turn`
/** There while segments of connections that the other slot has are steered to it (steer.ts), and since when. */
export const steeringFile = `${run}/steering.json`
/** What the owner before has left for the next one; on the data disk, so that it goes where that goes. */
export const carryFile = `${dataFolder}/handover.json`
/** Restore points of the services' own state, and who has used it; root's alone. */
export const restorePointsFolder = `${dataFolder}/restore-points`
/** There while this slot is to put back the state of before when the data disk comes (restore-points.ts). */
export const stateWishFile = '/var/lib/golden/state-before'
/** What became of the first clones, for `slotctl status`. */
export const cloneReport = `${run}/projects/report.json`
/** What keeps this slot from the service address, for `slotctl status`. */
export const addressReport = `${run}/address.json`
/** What was wrong when golden-watch last used Serena as a client does, for `slotctl status`. */
export const sessionReport = `${run}/session.json`
/** Names of containers that golden-watch restarted and that have not answered since. */
export const restartReport = `${run}/restarted.json`
/** Hashes of passwords, and the health check's own password: golden-auth reads them through its unit. */
export const authFolder = `${run}/auth`
export const probeFile = `${authFolder}/probe`
/** Whose data disk this is, for the peer slot, which nginx tells it: JSON, readable for `owner.nginx`, replaced in one step. */
export const ownerFile = `${run}/nginx/owner.json`
/** Certificates and keys that nginx shows. */
export const tlsFolder = `${run}/nginx/tls`
/** The pair of an ACME server, for the peer slot. */
export const peerPairFile = `${run}/nginx/pair.json`
/** What an ACME server looks for (HTTP-01), in the one folder that nginx sees; lego's own. */
export const acmeWebroot = `${run}/nginx/acme`
/** The one place for a secret on the data disk: account, key and certificate of an ACME server; root's. */
export const acmeFolder = `${dataFolder}/acme`
/** In there, what is lego's. */
export const legoFolder = `${acmeFolder}/lego`
/** lego's settings. */
export const acmeSettings = `${run}/acme`
/** There once the peer slot has been asked for its certificate. */
export const peerAsked = `${run}/peer-asked`
/** What the session keeper seals clients' ids with (images/nginx/keeper.ts): the same in both slots. */
export const sessionKeyFile = `${run}/nginx/session.key`
/** Made by golden-auth.socket in the one folder that nginx sees; the folder is closed to others. */
export const authSocketName = 'auth.sock'
export const authSocket = `${run}/nginx/${authSocketName}`
/** Loki's limits that change while it runs, and what they keep from it (share.ts). */
export const lokiOverrides = `${run}/loki/overrides.yaml`
export const shareReport = `${run}/share.json`
export const wantedProjects = `${run}/projects/wanted.json`
/** The collector's positions and what waits for Loki: on the slot's own disk, as the logs are. */
export const otelcolFolder = '/var/lib/golden/otelcol'
/** The journal, as the collector reads it (journal.ts). */
export const journalFolder = '/var/lib/golden/journal'

/**
 * Owners of files that containers read or write. Ours are far from the numbers that a distribution gives to its services
 * and to its first users (sysusers.d/golden.conf): one that somebody else has would be a key to that one's files. What can't
 * import this list repeats it: test/images/written-once.test.ts has those files.
 */
export const owner = { root: 0, projects: 9901, admin: 9902, serena: 9903, nginx: 9904, acme: 9905, grafana: 472, loki: 10_001 } as const
/** Whom the projects belong to on the data disk, in every image; mounts show them as `projects` and as `serena`. */
export const projectsOnDisk = 1000

export type ContainerName = 'nginx_proxy' | 'otelcol' | 'promtail' | 'serena_mcp' | 'serena_mcp_sse' | 'loki' | 'grafana'
export type ServiceName = keyof ImageRecord['services']

export interface Container {
  readonly name: ContainerName
  /** Which image of the lock it runs. */
  readonly service: ServiceName
  /** The unit that starts it; those of the edge run without the data disk too. */
  readonly unit: 'edge' | 'serena' | 'logging'
  /** Answers when the container works. Any status below 500 counts, a status of 500 and more means "not yet". */
  readonly probe: string
}

/** All containers that this slot's seed asks for, whether the image has them or not. */
export function wantedContainers(seed: Seed): Container[] {
  const at = containerNetworks(seed.containers)
  const list: Container[] = [{ name: 'nginx_proxy', service: 'nginx', unit: 'edge', probe: 'http://127.0.0.1:8099/health' }]
  if (seed.loki?.agent === 'otelcol')
    list.push({ name: 'otelcol', service: 'otelcol', unit: 'edge', probe: 'http://127.0.0.1:9080/metrics' })
  else if (seed.loki) list.push({ name: 'promtail', service: 'promtail', unit: 'edge', probe: 'http://127.0.0.1:9080/ready' })
  if (seed.roles.includes('serena') && seed.serena) {
    // Serena answers every unknown path with 404: enough to see that its HTTP server lives.
    if (seed.serena.transports.includes('streamable-http')) {
      list.push({ name: 'serena_mcp', service: 'serena', unit: 'serena', probe: `http://${at.serenaMcp}:9121/health` })
    }
    if (seed.serena.transports.includes('sse')) {
      list.push({ name: 'serena_mcp_sse', service: 'serena', unit: 'serena', probe: `http://${at.serenaMcpSse}:9121/health` })
    }
  }
  if (seed.roles.includes('logging') && seed.logging) {
    list.push({ name: 'loki', service: 'loki', unit: 'logging', probe: `http://${at.loki}:3100/ready` })
    list.push({ name: 'grafana', service: 'grafana', unit: 'logging', probe: `http://${at.grafana}:3000/api/health` })
  }
  return list
}

/** Those that can run: the image's lock has an image for them. */
export function presentContainers(seed: Seed, image: ImageRecord): Container[] {
  return wantedContainers(seed).filter((container) => image.services[container.service] !== undefined)
}

/**
 * Without which the service address would lead nowhere. Not the log agent and, where Serena is, not Loki: what is wrong with
 * the logs must not take Serena away from its users.
 */
export const isEssential = (seed: Seed, container: Container): boolean =>
  container.name === 'nginx_proxy' ||
  (container.unit === (seed.roles.includes('serena') ? 'serena' : 'logging') && container.name !== 'grafana')

/** A file that a rendering asks for. */
export interface RenderedFile {
  readonly path: string
  readonly content: string
  /** @default 0o644 */
  readonly mode?: number
  /** uid and gid. @default root */
  readonly owner?: number
}
