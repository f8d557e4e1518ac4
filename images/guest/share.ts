/**
 * Loki's share of the data disk. What is free of it only Loki may write to: ext4's reserved blocks belong to its uid
 * (srv-golden.mount), on disks of any age and without quotas, for which Ubuntu's cloud kernel has no module. And Loki
 * gets no more: near its share it keeps lines for a shorter time, at its share it takes none until there is room.
 */
import { join } from 'node:path'
import type { Seed } from '../contract/seed.ts'
import type { Files, Machine } from './machine.ts'
import { dataDevice, dataFolder, lokiOverrides, owner, shareReport } from './places.ts'

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
    retentionHours:
      part > 0.8
        ? Math.max(Math.min(shortestHours, wantedHours), Math.floor(retentionHours * 0.75))
        : part < 0.6
          ? Math.min(wantedHours, Math.ceil(retentionHours / 0.75))
          : retentionHours,
  }
}

/** What Loki reads again every few seconds. 0 refuses every push for now, with 429: the agents try again. */
export const overridesOf = ({ retentionHours, takes }: Limits): string =>
  JSON.stringify({
    overrides: { fake: { retention_period: `${retentionHours}h`, ...(takes ? {} : { ingestion_rate_mb: 0, ingestion_burst_size_mb: 0 }) } },
  }) + '\n'

/** The same, read back; `{}` is what a boot renders (render.ts). Pure. @throws what is no JSON of this shape */
export function limitsOf(overrides: string, wantedHours: number): Limits {
  const { fake } =
    (JSON.parse(overrides) as { overrides?: { fake?: { retention_period?: string; ingestion_rate_mb?: number } } }).overrides ?? {}
  if (fake === undefined) return { retentionHours: wantedHours, takes: true }
  const retentionHours = Number(/^(\d+)h$/.exec(fake.retention_period ?? '')?.[1])
  if (!(retentionHours > 0)) throw new Error('no retention')
  return { retentionHours: Math.min(retentionHours, wantedHours), takes: fake.ingestion_rate_mb !== 0 }
}

/** Pure. */
export function shareProblems(limits: Limits, wantedHours: number, share: number): string[] {
  const gib = (share / 1024 ** 3).toFixed(1)
  return [
    ...(limits.retentionHours < wantedHours
      ? [
          `Loki keeps ${(limits.retentionHours / 24).toFixed(1)} days instead of ${wantedHours / 24}: its share of the data disk, ${gib} GiB, is nearly full`,
        ]
      : []),
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

/** What it measures and changes. */
export interface SharePlaces {
  readonly dataFolder: string
  readonly overrides: string
  readonly report: string
}

const usual: SharePlaces = { dataFolder, overrides: lokiOverrides, report: shareReport }

/** Called every few seconds while the data disk is there; looks once a minute. What Loki reads is what counts: this program may be a new one. */
export class Share {
  #looked = -Infinity
  #stepped: number | undefined
  #reported: string | undefined
  readonly #wantedHours: number
  readonly #roles: readonly string[]
  readonly #machine: Machine
  readonly #places: SharePlaces

  constructor(machine: Machine, seed: Pick<Seed, 'roles'> & { logging: NonNullable<Seed['logging']> }, places = usual) {
    this.#wantedHours = seed.logging.retentionDays * 24
    this.#roles = seed.roles
    this.#machine = machine
    this.#places = places
  }

  async keep(now = this.#machine.uptime()): Promise<void> {
    const { files } = this.#machine
    const [places, wantedHours] = [this.#places, this.#wantedHours]
    const folder = join(places.dataFolder, 'loki')
    // A new disk gets it when Loki is first started (prepare.ts).
    if (now - this.#looked < looksMs || !files.exists(folder)) return
    this.#looked = now
    const { bsize, blocks, bfree, bavail } = files.space(places.dataFolder)
    const share = shareOf(this.#roles, blocks * bsize)
    const used = Number((await this.#run('du', ['-s', '--block-size=1', folder])).split('\t')[0])
    if (this.#roles.includes('serena')) {
      const reserve = reserveOf(used, share, bsize, bfree - bavail)
      if (reserve !== undefined) await this.#run('tune2fs', ['-r', String(reserve), dataDevice])
    }
    const found = readLimits(files, places.overrides, wantedHours)
    const before = found ?? { retentionHours: wantedHours, takes: true }
    // A program that starts again and again would else shorten it each time.
    this.#stepped ??=
      before.retentionHours < wantedHours ? now - Math.max(0, this.#machine.now() - files.look(places.overrides).mtimeMs) : -Infinity
    const next = nextLimits(before, wantedHours, used, share)
    // Shorter again only when the last step has had its effect.
    const step = next.retentionHours !== before.retentionHours && now - this.#stepped >= stepsMs
    if (step) this.#stepped = now
    const limits = { takes: next.takes, retentionHours: step ? next.retentionHours : before.retentionHours }
    if (found === undefined || step || limits.takes !== before.takes) this.#write(places.overrides, overridesOf(limits), owner.loki)
    const problems = shareProblems(limits, wantedHours, share)
    const report = JSON.stringify(problems)
    if (report === this.#reported) return
    this.#write(places.report, report, owner.root)
    this.#reported = report
    for (const problem of problems) this.#machine.say(problem)
  }

  #write(path: string, content: string, of: number): void {
    const { files } = this.#machine
    files.write(`${path}.new`, content, 0o600)
    files.chown(`${path}.new`, of, of)
    files.chmod(`${path}.new`, 0o400)
    files.rename(`${path}.new`, path)
  }

  async #run(program: string, args: readonly string[]): Promise<string> {
    const { status, stdout, stderr, error } = await this.#machine.run(program, args)
    if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${stderr.trim() || error}`)
    return stdout
  }
}

function readLimits(files: Files, file: string, wantedHours: number): Limits | undefined {
  try {
    return limitsOf(files.read(file), wantedHours)
  } catch {
    return undefined // written anew
  }
}
