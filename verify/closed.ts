/** What a clone lets in, and what it lets its containers do. */
import { containersOf } from './clones.ts'
import type { Trial, Trying } from './course.ts'
import { run, slotctl, type Place } from './inside.ts'
import { clientProblems, reachableFromHere } from './outside.ts'
import { Unfit } from './report.ts'
import { isOpen, isOpenToSome, surprises, targetText, temptations, tempting, type Target } from './targets.ts'
import { trialUser } from './trial.ts'

const itself: Target = { host: '127.0.0.1', port: 9121 }

/** From the network of Serena's container nothing is reached but itself. @throws Unfit */
export async function reachesNothing(trying: Trying, all: readonly Trying[]): Promise<void> {
  const { site, clone } = trying
  const [container = ''] = containersOf(clone)
  const targets = temptations(
    site,
    all.flatMap(({ clone: { release } }) => [release.seed.address, release.seed.service]),
  )
  const { reached, left } = await reach(trying, ['--in', container], [...targets, itself])
  const wrong = surprises([...targets, itself], reached, (target) => target === itself)
  // Whatever becomes of them outside of the machine.
  if (left !== 0) wrong.push(`${left} packets to ${targets.length} places have left the machine`)
  if (wrong.length > 0) throw new Unfit(`from ${container}, ${wrong.join('; ')}`)
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
