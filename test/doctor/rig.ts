/** What tests of the doctor work with: a lab, a site in it, and a look at it with something changed. */
import type { HostAddresses } from '../../core/host-addresses.ts'
import type { Presence } from '../../core/neighbours.ts'
import { allChecks } from '../../doctor/all.ts'
import { examine, type Pace } from '../../doctor/examine.ts'
import { factsOf, type Around } from '../../doctor/facts.ts'
import type { Line } from '../../doctor/line.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import type { Site } from '../../settings/site.ts'
import type { RolloutLab } from '../rollout/lab.ts'

/** A busy machine is no fault of a line. */
export const patient: Pace = { apiMs: 120_000, atOnce: 16 }

type Mutable<T> = T extends object ? { -readonly [Key in keyof T]: Mutable<T[Key]> } : T
export type SiteDraft = Mutable<Site>

export interface Changed extends Partial<Omit<Around, 'opened'>> {
  /** Of the site, as if site.ts had said so. */
  readonly site?: (draft: SiteDraft) => void
  /** What Proxmox answers instead. */
  readonly answers?: (path: string, answer: unknown) => unknown
}

const names: HostAddresses = { dns: ['203.0.113.7'], here: [] }
const silent: Presence = { is: 'silent' }

/** As on a computer where all is well. @param folder of the site */
export const around = (folder: string, change: Partial<Around> = {}): Around => ({
  env: { ...process.env, GOLDEN_SITE: folder },
  signal: new AbortController().signal,
  now: () => new Date(),
  whoHas: async () => silent,
  addressesOf: async () => names,
  askOutside: async () => ({ open: true, from: '203.0.113.7' }),
  programs: async () => [{ name: 'packer', is: 'there', version: '1.16.0' }],
  outside: 'https://helper.example.org/',
  ...change,
})

/** As if Proxmox had answered otherwise. */
export const answering = (proxmox: Proxmox, change: (path: string, answer: unknown) => unknown): Proxmox =>
  new Proxy(proxmox, {
    get(target, key) {
      const own = Reflect.get(target, key) as unknown
      if (key === 'get') return async (path: string, query?: Record<string, string>) => change(path, await target.get(path, query))
      return typeof own === 'function' ? (own.bind(target) as unknown) : own
    },
  })

export class Lines {
  readonly list: readonly Line[]
  constructor(list: readonly Line[]) {
    this.list = list
  }

  /** The line, or the first of several with that state. */
  get(id: string, of?: string): Line {
    const found = this.list.filter((line) => line.id === id && (of === undefined || line.of === of))
    const worst = (['bad', 'warn', 'unknown'] as const).flatMap((state) => found.filter((line) => line.state === state))[0]
    const line = worst ?? found[0]
    if (line === undefined) throw new Error(`there is no line ${id} ${of ?? ''}`)
    return line
  }

  notFine(): string[] {
    return this.list.filter(({ state }) => state !== 'fine').map(({ id, of }) => (of === undefined ? id : `${id} ${of}`))
  }
}

/** Looks at all, or at some and what they need. */
export async function look(
  t: Pick<RolloutLab, 'folder' | 'site' | 'proxmox'>,
  { site: edit, answers, ...change }: Changed = {},
  only?: readonly string[],
): Promise<Lines> {
  const site = structuredClone(t.site) as SiteDraft
  edit?.(site)
  const proxmox = answers === undefined ? t.proxmox : answering(t.proxmox, answers)
  return lookAround(around(t.folder, { ...change, opened: { site: site as Site, folder: t.folder, proxmox } }), only)
}

export async function lookAround(where: Around, only?: readonly string[]): Promise<Lines> {
  const wanted = new Set<string>(only ?? allChecks.map(({ id }) => id))
  // A set that grows while it is gone through is gone through to its end.
  for (const id of wanted) for (const need of allChecks.find((check) => check.id === id)?.needs ?? []) wanted.add(need)
  const facts = factsOf(where)
  try {
    return new Lines(
      await examine(
        allChecks.filter(({ id }) => wanted.has(id)),
        facts,
        patient,
      ),
    )
  } finally {
    await facts.close()
  }
}
