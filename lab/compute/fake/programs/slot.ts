/** What a deployed slot knows about itself, read from the guest's files as its own programs do. */
import type { Guest } from '../guest.ts'

export const DATA_DEVICE = '/dev/golden/data'
export const DATA_FOLDER = '/srv/golden'
export const SEED_FOLDER = '/run/golden/seed'

/** The fields of `golden/seed.json` that matter here. */
export interface SlotSeed {
  readonly schema: number
  readonly release: string
  readonly group: string
  readonly slot: string
  readonly roles: readonly string[]
  readonly service: string
  readonly serena?: {
    readonly transports: readonly string[]
    readonly memoryMiB?: number
    readonly interface?: string
    readonly projects: readonly { readonly name: string }[]
  }
  readonly logging?: { readonly port: number }
  readonly loki?: { readonly agent?: string }
  readonly ssh?: { readonly projectKeys?: readonly string[]; readonly adminKeys?: readonly string[] }
}

export interface ImageRecord {
  readonly fingerprint: string
  readonly services: Readonly<Record<string, string>>
}

/** A container that a slot should run. */
export interface Part {
  readonly name: string
  readonly service: string
  readonly unit: 'edge' | 'serena' | 'logging'
}

export type DataDisk = 'absent' | 'blank' | 'foreign' | 'ready' | 'mounted'

export function readSlot(guest: Guest): { seed: SlotSeed; image: ImageRecord } | undefined {
  const { vfs } = guest
  if (!vfs.exists(`${SEED_FOLDER}/seed.json`)) return undefined
  return {
    seed: JSON.parse(vfs.readText(`${SEED_FOLDER}/seed.json`)) as SlotSeed,
    image: JSON.parse(vfs.readText('/etc/golden/image.json')) as ImageRecord,
  }
}

export function partsOf(seed: SlotSeed): Part[] {
  const serena = seed.roles.includes('serena') ? (seed.serena?.transports ?? []) : []
  return [
    { name: 'nginx_proxy', service: 'nginx', unit: 'edge' },
    ...(seed.loki
      ? [
          seed.loki.agent === 'otelcol'
            ? ({ name: 'otelcol', service: 'otelcol', unit: 'edge' } as const)
            : ({ name: 'promtail', service: 'promtail', unit: 'edge' } as const),
        ]
      : []),
    ...(serena.includes('streamable-http') ? [{ name: 'serena_mcp', service: 'serena', unit: 'serena' } as const] : []),
    ...(serena.includes('sse') ? [{ name: 'serena_mcp_sse', service: 'serena', unit: 'serena' } as const] : []),
    ...(seed.roles.includes('logging') && seed.logging
      ? [{ name: 'loki', service: 'loki', unit: 'logging' } as const, { name: 'grafana', service: 'grafana', unit: 'logging' } as const]
      : []),
  ]
}

export function isMounted(guest: Guest): boolean {
  return guest.vfs.mounts.some((mount) => mount.target === DATA_FOLDER)
}

export function dataDisk(guest: Guest): DataDisk {
  const device = guest.deviceAt(DATA_DEVICE)
  if (!device) return 'absent'
  if (isMounted(guest)) return 'mounted'
  const { content } = device
  if (content.kind === 'blank') return 'blank'
  return content.kind === 'filesystem' && content.filesystem.type === 'ext4' && content.filesystem.label === 'golden-data'
    ? 'ready'
    : 'foreign'
}

/** State of a part by its container; one that is ordered to be sick never answers. */
export function stateOf(guest: Guest, part: Part): 'running' | 'starting' | 'unhealthy' | 'stopped' | 'absent' {
  const container = guest.docker.running ? guest.docker.store().containers.find((each) => each.name === part.name) : undefined
  if (!container) return 'absent'
  if (container.state !== 'running') return 'stopped'
  return guest.behaviour.unhealthy?.includes(part.name) ? 'unhealthy' : 'running'
}

export function holdsAddress(guest: Guest, address: string): boolean {
  return guest.interfaces.some((card) => card.addresses.some((each) => each.address === address))
}
