/**
 * Kills nights with real steps (Packer, the engine, models of guests, sources on this computer) at a request of chance, and
 * sees that the next night ends well, that nothing is left over, and that at no moment anything was lost.
 */
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { listImages } from '../../images/catalog.ts'
import type { NightRecord, StepName } from '../../nightly/night.ts'
import { pinnedSlots } from '../../releases/deployment.ts'
import { readPins } from '../../releases/pins.ts'
import { placesOf } from '../../rollout/observe.ts'
import type { SiteStatus } from '../../rollout/status.ts'
import { loadSite } from '../../settings/load.ts'
import { watchInvariants, type Watcher } from '../rollout/invariants.ts'
import type { Running } from './computer.ts'
import { openPlace, type Place, type SiteFolder } from './place.ts'
import { openSources } from './sources.ts'

const group = 'all'
const steps: readonly StepName[] = ['lock', 'bake', 'verify', 'promote', 'rollout', 'prune']

export interface NightKilling {
  /** @returns what was done in it; throws with the same when it did not end well */
  round(random: () => number): Promise<string>
  close(): Promise<void>
}

/** @param requests how many a night has in which everything is new, about. @default counted, which takes one more night */
export async function startNightKilling(requests?: number): Promise<NightKilling> {
  const place = await openPlace()
  const sources = await openSources()
  try {
    const site = await place.site({ layout: 'one-vm' })
    await sources.give(site)
    await site.edit((draft) => {
      draft.image.keep = 1
      draft.rollout = { soakMinutes: 0 }
      draft.nightly = { promote: 'at-once', rollout: 'at-once' }
    })
    await site.prepare()
    await expectNight(site, 10)
    await site.done('deploy')
    const counted = requests ?? (await countRequests(place, site, sources.renew))
    const seen = await watch(place, site)
    return killing(place, site, sources.renew, seen, counted, async () => {
      await seen.stop()
      await sources.close()
      await place.close()
    })
  } catch (error) {
    await sources.close()
    await place.close()
    throw error
  }
}

async function expectNight(site: SiteFolder, ...codes: readonly number[]): Promise<NightRecord> {
  const ended = await site.golden('nightly')
  if (!codes.includes(ended.code)) throw new Error(`the night ended with ${ended.code}:\n${ended.stdout.slice(0, 3000)}\n${ended.stderr}`)
  return ended.json<NightRecord>()
}

const most = 1_000_000

async function countRequests({ lab }: Place, site: SiteFolder, renew: () => void): Promise<number> {
  const order = lab.faults.order({ request: { path: '.' }, delayMs: 0, times: most })
  renew()
  await expectNight(site, 10)
  const left = lab.faults.list().find(({ id }) => id === order)?.left ?? most
  lab.faults.clear(order)
  return most - left
}

async function watch(place: Place, { folder }: SiteFolder): Promise<Watcher> {
  const pins = (await readPins(folder)).groups[group]
  const service = pins?.slots.blue?.seed.service ?? ''
  const places = placesOf(await loadSite(folder), group, pins)
  return watchInvariants(place.root, places, (vmid) => place.driver.guest(vmid), ['serena_mcp', 'loki'], service)
}

function killing(
  place: Place,
  site: SiteFolder,
  renew: () => void,
  seen: Watcher,
  requests: number,
  close: () => Promise<void>,
): NightKilling {
  const { computer, lab } = place

  /** The CLI itself, without what starts it. */
  const start = (): Running =>
    computer.start(
      join(computer.clone, 'node_modules/node/bin/node'),
      ['--disable-warning=ExperimentalWarning', 'golden.ts', 'nightly', '--json'],
      { env: { GOLDEN_SITE: site.folder } },
    )

  /** As the next night will read it. */
  const stepNow = async (): Promise<string | undefined> => {
    const note = await readFile(join(site.folder, 'state', 'nightly.json'), 'utf8').catch(() => '')
    return /"step":"(\w+)"/.exec(note)?.[1]
  }

  /** A request, of which most are a bake's, or a step, of which some are soon over. */
  function momentOf(random: () => number): { readonly name: string; readonly come: () => Promise<boolean>; readonly over: () => void } {
    const laterMs = Math.floor(random() * 3000)
    if (random() < 0.5) {
      const step = steps[Math.floor(random() * steps.length)] ?? 'lock'
      const come = async (): Promise<boolean> => (await stepNow()) === step && (await delay(laterMs, true))
      return { name: `${laterMs} ms after it has begun to ${step}`, come, over: () => {} }
    }
    const at = 1 + Math.floor(random() * requests)
    // While it waits for the answer, or at whatever it does soon after that.
    const hangs = random() < 0.5
    const order = lab.faults.order({ request: { path: '.' }, skip: at - 1, delayMs: hangs ? 600_000 : 0 })
    const isThere = (): boolean => lab.faults.list().find(({ id }) => id === order)?.left !== 1
    return {
      name: `${hangs ? 'before the answer to' : `${laterMs} ms after`} request ${at} of ${requests}`,
      come: async () => isThere() && (hangs || (await delay(laterMs, true))),
      // A request that has come is carried out, whoever waits for its answer.
      over: () => lab.faults.clear(order),
    }
  }

  async function killOne(random: () => number, story: string[]): Promise<void> {
    const whole = random() < 0.5
    const moment = momentOf(random)
    const night = start()
    const gone = once(night.process, 'exit')
    const hasEnded = (): boolean => night.process.exitCode !== null
    try {
      while (!hasEnded() && !(await moment.come())) await delay(5)
      const { pid } = night.process
      if (pid !== undefined && !hasEnded()) process.kill(whole ? -pid : pid, 'SIGKILL')
      const what = hasEnded() ? 'it had ended' : `${whole ? 'all of it' : 'the process alone'} killed`
      story.push(`${what} ${moment.name}, at step ${await stepNow()}`)
    } finally {
      moment.over()
    }
    // Not what it has started: that may still be at it when the next night begins.
    await gone
  }

  async function check(story: readonly string[]): Promise<void> {
    const wrong = [...seen.broken, ...(await leftOver(place, site))]
    const status = await site.golden('status')
    if (status.code !== 0)
      wrong.push(`status ends with ${status.code}: ${JSON.stringify(status.json<SiteStatus>().groups[group]?.problems)}`)
    if (wrong.length > 0) throw new Error(`${wrong.join('\n  ')}\n  in: ${story.join('; ')}`)
  }

  return {
    async round(random) {
      renew()
      const story: string[] = []
      await killOne(random, story)
      // It may be killed once more while it mends what the first one left.
      if (random() < 0.25) await killOne(random, story)
      if (random() < 0.5) await delay(Math.floor(random() * 4000))
      const ended = await site.golden('nightly')
      const tell = (what: string): Error => new Error(`${what}\n  in: ${story.join('; ')}\n${ended.stdout.slice(0, 3000)}\n${ended.stderr}`)
      if (ended.code !== 0 && ended.code !== 10) throw tell(`the next night ended with ${ended.code}`)
      const record = ended.json<NightRecord>()
      story.push(`the next night: ${record.steps.map(({ step, ms }) => `${step} ${Math.round(ms / 1000)} s`).join(', ')}`)
      await check(story)
      const third = await expectNight(site, 0)
      if (third.outcome !== 'nothing') throw tell(`the night after that is not quiet: ${third.outcome}`)
      return story.join('; ')
    },
    close,
  }
}

/** What should not be there once a night has ended well. */
async function leftOver(place: Place, { folder }: SiteFolder): Promise<string[]> {
  const wrong: string[] = []
  // A program that was told to end has some seconds for it.
  for (let tries = 0; place.computer.processes().length > 0 && tries < 100; tries++) await delay(200)
  const { vms, volumes, temporary, processes } = await place.inventory()
  const site = await loadSite(folder)
  const deployment = await readPins(folder)
  const { images, bases, doomed, ignored } = await listImages(place.root, site)
  const pinned = pinnedSlots(deployment)

  if (processes.length > 0) wrong.push(`still runs: ${processes.join(', ')}`)
  if (temporary.length > 0) wrong.push(`temporary files: ${temporary.join(', ')}`)
  const prints = images.map(({ record }) => record.fingerprint)
  if (new Set(prints).size !== prints.length) wrong.push(`two images of one fingerprint: ${images.map(({ name }) => name).join(', ')}`)
  if (doomed.length + ignored.length > 0) wrong.push(`half-removed or unknown templates: ${JSON.stringify([...doomed, ...ignored])}`)
  const known = new Set([...images, ...bases].map(({ vmid }) => vmid))
  const slots = Object.values(site.groups).flatMap(({ depot, slots: { blue, green } }) => [depot, blue.vmid, green.vmid])
  for (const { vmid, name } of vms) if (!known.has(vmid) && !slots.includes(vmid)) wrong.push(`VM ${vmid} ${name}`)
  if (bases.length !== 1) wrong.push(`${bases.length} bases`)
  const used = new Set(pinned.map(({ release }) => release.image.vmid))
  const newest = images[0]
  for (const { vmid, name } of images)
    if (!used.has(vmid) && vmid !== newest?.vmid) wrong.push(`image ${name} (${vmid}), which nobody needs`)
  const active = deployment.groups[group]
  if (active?.active === undefined || active.slots[active.active]?.image.name !== newest?.name || active.rollout !== undefined)
    wrong.push(`the newest image, ${newest?.name}, does not serve: ${JSON.stringify([active?.active, active?.rollout])}`)
  const there = new Set(vms.map(({ vmid }) => String(vmid)))
  const seeds = new Set(pinned.map(({ release }) => release.vm.seed))
  for (const volume of volumes) {
    const owner = /[/:](?:vm|base)-(\d+)-/.exec(volume)?.[1]
    if (owner === undefined ? !seeds.has(volume) : !there.has(owner)) wrong.push(`volume ${volume}`)
  }
  const claims = (await readdir(join(folder, 'state'), { recursive: true })).filter((name) =>
    /(^|\/)(bake|nightly)\.json$|\.tmp$|\.takeover$/.test(name),
  )
  if (claims.length > 0) wrong.push(`claims and half files: ${claims.join(', ')}`)
  return wrong
}
