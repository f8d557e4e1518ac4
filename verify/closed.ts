/** What a clone lets in, and what it lets its containers do. */
import type { Trial, Trying } from './course.ts'
import { guestAt, run, slotctl, type Place } from './inside.ts'
import { clientProblems, reachableFromHere } from './outside.ts'
import { Unfit } from './report.ts'
import { scansOf } from './scans.ts'
import { isOpen, isOpenToSome, surprises, targetText, tempting, type Target } from './targets.ts'
import { trialUser } from './trial.ts'

/** From the networks of its containers nothing is reached but themselves and what the flow table lets out. @throws Unfit */
export async function reachesNothing(trying: Trying, all: readonly Trying[], note: (text: string) => void): Promise<void> {
  const { site, clone } = trying
  const running = Object.entries((await guestAt(trying).status())?.services ?? {}).flatMap(([name, { state }]) =>
    state === 'running' ? [name] : [],
  )
  const vms = all.flatMap(({ clone: { release } }) => [release.seed.address, release.seed.service])
  const scans = scansOf(site, clone, running, vms)
  if (scans.length === 0) throw new Unfit('no container runs from which it could be tried')
  const problems: string[] = []
  for (const scan of scans) {
    note(`from ${scan.container}`)
    const { container, targets, own, isItself } = scan
    const ask = (): Promise<Reached> => reach(trying, ['--in', container], [...targets, own])
    const { reached, left } = isItself ? await counted(trying, targets, ask) : await ask()
    const wrong = surprises([...targets, own], reached, (target) => target === own)
    // Whatever becomes of them outside of the machine.
    if (left !== 0) wrong.push(`${left} packets to ${targets.length} places have left the machine`)
    if (wrong.length > 0) problems.push(`from ${container}, ${wrong.join('; ')}`)
  }
  if (problems.length > 0) throw new Unfit(problems.join('; '))
}

const counting = 'golden_verify'

/**
 * How many packets to these targets leave a machine, counted behind all that could hold them back: slotctl counts only those
 * of containers with addresses of their own. The table goes with the clone.
 */
export function countingTable(targets: readonly Target[]): string {
  const places = targets.map(({ host, port }) => `${host} . ${port}`).join(', ')
  const rules = ['tcp', 'udp'].map((protocol) => `    oifname "eth0" ip daddr . ${protocol} dport { ${places} } counter name left\n`)
  return `table inet ${counting}
delete table inet ${counting}
table inet ${counting} {
  counter left { packets 0 bytes 0 }
  chain out {
    type filter hook postrouting priority filter; policy accept;
${rules.join('')}  }
}
`
}

/** What the machine itself sends while this is asked. */
async function counted(place: Place, targets: readonly Target[], ask: () => Promise<Reached>): Promise<Reached> {
  await run(place, 'nft', countingTable(targets))
  const { reached } = await ask()
  const [, packets] = /packets (\d+)/.exec(await run(place, 'nft', 'list', 'table', 'inet', counting)) ?? []
  return { reached, left: Number(packets) }
}

interface Reached {
  readonly reached: readonly string[]
  readonly left?: number
}

async function reach(place: Place, how: readonly string[], targets: readonly Target[]): Promise<Reached> {
  const said = (await slotctl(place, 'reach', ...how, ...targets.map(targetText))) as Partial<Reached>
  if (!Array.isArray(said.reached)) throw new Unfit('slotctl reach says nothing')
  return { ...said, reached: said.reached }
}

/** From the other clone, if there is one, and from this computer, if it gets there. */
export async function lookFromOutside({ trying, course }: Trial, all: readonly Trying[]): Promise<void> {
  const { site, clone, here, secrets, trial } = trying
  if (course.isOver) {
    for (const name of ['closed-outside', 'client'] as const) course.has(name)
    return
  }
  const { seed, flows } = clone.release
  const ports = tempting(site)
  const other = all.find((one) => one !== trying)
  // Its way to the LAN is not in its seed: with that it would be in every other network, too.
  const open = { host: seed.service, port: 443 }
  const isHere = seed.service === site.image.build.address && (await reachableFromHere(trying, open))
  const unseen = isHere ? undefined : `this computer does not get to ${seed.service}`
  if (other === undefined && !isHere) course.skip('closed-outside', `there is no second clone, and ${unseen}`)
  else
    await course.check('closed-outside', async () => {
      const wrong: string[] = []
      if (other !== undefined) {
        const from = other.clone.release.seed.address
        const targets = [seed.address, seed.service].flatMap((host) => ports.map((port) => ({ host, port })))
        await run(other, 'ip', '-4', 'route', 'replace', `${seed.service}/32`, 'dev', 'eth0')
        const { reached } = await reach(other, [], targets)
        wrong.push(...surprises(targets, reached, (target) => isOpen(flows, from, target)).map((text) => `from ${from}, ${text}`))
      }
      if (isHere) {
        const targets = ports.map((port) => ({ host: seed.service, port }))
        const reached = await here.reached(targets)
        // Whether this computer is one of the administrators' is known to nobody here: its address may be another one there.
        const wanted = (target: Target): boolean | undefined =>
          isOpen(flows, undefined, target) ? true : isOpenToSome(flows, target) ? undefined : false
        wrong.push(...surprises(targets, reached, wanted).map((text) => `from this computer, ${text}`))
      }
      if (wrong.length > 0) throw new Unfit(wrong.join('; '))
    })
  if (unseen !== undefined) return course.has('client') ? course.skip('client', unseen) : undefined
  await course.check('client', async () => {
    const problems = await clientProblems(here, {
      to: open,
      host: trial.public.host,
      ca: secrets.ca,
      user: trialUser,
      password: secrets.password,
    })
    if (problems.length > 0) throw new Unfit(problems.join('; '))
  })
}
