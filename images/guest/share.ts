/**
 * Loki's share of the data disk. What is free of it only Loki may write to: ext4's reserved blocks belong to its uid
 * (srv-golden.mount), on disks of any age and without quotas, for which Ubuntu's cloud kernel has no module. And Loki
 * gets no more: near its share it keeps lines for a shorter time, at its share it takes none until there is room.
 */
import { execFile } from 'node:child_process'
import { chmodSync, chownSync, existsSync, renameSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Seed } from '../seed.ts'
import { dataDevice, dataFolder, lokiOverrides, owner, shareReport } from './places.ts'

const run = promisify(execFile)

export interface Limits {
  readonly retentionHours: number
  /** Whether Loki takes lines. */
  readonly takes: boolean
}

/** Bytes. Where Serena is, a quarter; alone, all but a rest for Grafana and the file system. */
export const shareOf = (roles: readonly string[], size: number): number => Math.floor(roles.includes('serena') ? size / 4 : size * 0.9)

/** Loki's shortest (its documentation of retention_period). */
const shortestHours = 24

/** One step, from what was measured: pure. What is shortened is deleted half an hour later (loki.ts). */
export function nextLimits(before: Limits, wantedHours: number, used: number, share: number): Limits {
  const part = used / share
  const { retentionHours } = before
  return {
    takes: part < (before.takes ? 1 : 0.95),
    retentionHours: part > 0.8 ? Math.max(Math.min(shortestHours, wantedHours), Math.floor(retentionHours * 0.75)) : part < 0.6 ? Math.min(wantedHours, Math.ceil(retentionHours / 0.75)) : retentionHours,
  }
}

/** What Loki reads again every few seconds. 0 refuses every push for now, with 429: the agents try again. */
export const overridesOf = ({ retentionHours, takes }: Limits): string =>
  JSON.stringify({ overrides: { fake: { retention_period: `${retentionHours}h`, ...(takes ? {} : { ingestion_rate_mb: 0, ingestion_burst_size_mb: 0 }) } } }) + '\n'

/** Pure. */
export function shareProblems(limits: Limits, wantedHours: number, share: number): string[] {
  const gib = (share / 1024 ** 3).toFixed(1)
  return [
    ...(limits.retentionHours < wantedHours ? [`Loki keeps ${(limits.retentionHours / 24).toFixed(1)} days instead of ${wantedHours / 24}: its share of the data disk, ${gib} GiB, is nearly full`] : []),
    ...(limits.takes ? [] : [`Loki takes no lines until there is room in its share of the data disk, ${gib} GiB; they wait in their VMs`]),
  ]
}

/** Blocks to reserve, or undefined where what is reserved will do: pure. */
export function reserveOf(used: number, share: number, blockSize: number, reserved: number): number | undefined {
  const wanted = Math.max(0, Math.floor((share - used) / blockSize))
  return Math.abs(wanted - reserved) * blockSize > 64 * 1024 ** 2 || (wanted === 0 && reserved > 0) ? wanted : undefined
}

const looksMs = 60_000
const stepsMs = 45 * 60_000

/** Called every few seconds while the data disk is there; looks once a minute. */
export class Share {
  private limits: Limits
  private looked = -Infinity
  private stepped = -Infinity
  private readonly wantedHours: number
  private readonly roles: readonly string[]

  constructor(seed: Seed & { logging: NonNullable<Seed['logging']> }) {
    this.wantedHours = seed.logging.retentionDays * 24
    this.roles = seed.roles
    this.limits = { retentionHours: this.wantedHours, takes: true }
  }

  async keep(now = performance.now()): Promise<void> {
    const folder = join(dataFolder, 'loki')
    // A new disk gets it when Loki is first started (prepare.ts).
    if (now - this.looked < looksMs || !existsSync(folder)) return
    this.looked = now
    const { bsize, blocks, bfree, bavail } = statfsSync(dataFolder)
    const share = shareOf(this.roles, blocks * bsize)
    const { stdout } = await run('du', ['-s', '--block-size=1', folder])
    const used = Number(stdout.split('\t')[0])
    if (this.roles.includes('serena')) {
      const reserve = reserveOf(used, share, bsize, bfree - bavail)
      if (reserve !== undefined) await run('tune2fs', ['-r', String(reserve), dataDevice])
    }
    const next = nextLimits(this.limits, this.wantedHours, used, share)
    // Shorter again only when the last step has had its effect.
    const step = next.retentionHours !== this.limits.retentionHours && now - this.stepped >= stepsMs
    if (step) this.stepped = now
    const limits = { takes: next.takes, retentionHours: step ? next.retentionHours : this.limits.retentionHours }
    if (limits.takes === this.limits.takes && !step) return
    this.limits = limits
    write(lokiOverrides, overridesOf(limits), owner.loki)
    write(shareReport, JSON.stringify(shareProblems(limits, this.wantedHours, share)), owner.root)
    for (const problem of shareProblems(limits, this.wantedHours, share)) console.log(problem)
  }
}

function write(path: string, content: string, of: number): void {
  writeFileSync(`${path}.new`, content, { mode: 0o600 })
  chownSync(`${path}.new`, of, of)
  chmodSync(`${path}.new`, 0o400)
  renameSync(`${path}.new`, path)
}
