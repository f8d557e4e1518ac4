/** Claims on groups, on the host: two computers with copies of the site folder, clocks that differ, runs that are killed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { identityOf } from '../../core/process-identity.ts'
import { Failure } from '../../core/failure.ts'
import { who } from '../../core/who.ts'
import { connect, type Proxmox } from '../../proxmox/client.ts'
import { depotPrivileges, privilegeTable } from '../../proxmox/privileges.ts'
import { updatePins, withFirstRelease } from '../../releases/pins.ts'
import { newRelease } from '../../releases/deployment.ts'
import { claimGroupForHook, claimGroups } from '../../rollout/claim-groups.ts'
import { claimHeld } from '../../rollout/claim.ts'
import { deleteData } from '../../rollout/delete-data.ts'
import { deploy } from '../../rollout/deploy.ts'
import { destroy } from '../../rollout/destroy.ts'
import { claimIn, withClaim, type GroupClaim } from '../../rollout/group-claim.ts'
import type { DeployOptions } from '../../rollout/options.ts'
import { rollback } from '../../rollout/rollback.ts'
import { rollout } from '../../rollout/rollout.ts'
import { renderStatus } from '../../rollout/render-status.ts'
import { readStatus } from '../../rollout/status.ts'
import { placeOf } from '../../settings/site.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'

let t: RolloutLab
let notes = ''
/** The other computer's copy of the site folder. */
let copy = ''
/** The other computer's connection. */
let far: Proxmox

const depots = { logging: 9020, serena: 9010 } as const
const path = (vmid: number): string => `/nodes/pve/qemu/${vmid}/config`
const notesOf = async (vmid: number): Promise<string> => (await t.root.get<{ description?: string }>(path(vmid))).description ?? ''
const claimOf = async (vmid: number): Promise<GroupClaim | undefined> => claimIn(await notesOf(vmid))
const setNotes = (vmid: number, description: string): Promise<unknown> => t.root.put(path(vmid), { description })
const giveTo = (vmid: number, claim: GroupClaim): Promise<unknown> => setNotes(vmid, withClaim(notes, claim))

const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString()
const ann = (change: Partial<GroupClaim> = {}): GroupClaim => ({
  id: '0123456789abcdef',
  by: 'ann@laptop',
  verb: 'rollout',
  since: inMs(-600_000),
  until: inMs(240_000),
  process: { pid: 4711, host: 'laptop', started: 'boot 1' },
  ...change,
})

beforeAll(async () => {
  t = await startRolloutLab()
  notes = await notesOf(depots.serena)
  copy = await mkdtemp(join(tmpdir(), 'golden-copy-'))
  await cp(t.folder, copy, { recursive: true })
  far = connect({ url: t.proxmox.url, caPem: await readFile(t.options().caFile!, 'utf8'), auth: t.options().token })
})
afterEach(async () => {
  t.lab.faults.clear()
  t.shown.splice(0)
  for (const vmid of Object.values(depots)) await setNotes(vmid, notes)
})
afterAll(async () => {
  far?.close()
  await t?.close()
  await rm(copy, { recursive: true, force: true })
})

const elsewhere = (change: Partial<DeployOptions> = {}): DeployOptions => t.options({ folder: copy, proxmox: far, ...change })
/** Of which nothing is due while a test goes on. */
const rare = { ttlMs: 300_000, renewMs: 3_600_000 }

it('who comes second is told who is at it, since when, and when it may be taken; afterwards it goes on, and the notes are as before', async () => {
  expect(notes).toContain('serena-golden')
  await setNotes(depots.serena, `Ask Bob first.\n${notes}`)
  await claimGroups(t.options(), 'deploy', ['serena'], async () => {
    const claim = await claimOf(depots.serena)
    expect(claim).toMatchObject({ by: who(), verb: 'deploy', process: { pid: process.pid } })
    const refused = await claimGroups(elsewhere(), 'destroy', ['serena'], async () => 'went on').catch((error: unknown) => error)
    expect(refused).toMatchObject({
      code: 'group-claimed',
      message: expect.stringMatching(
        /^"golden destroy" has to wait: group serena is held by \S+@\S+ \("golden deploy", process \d+, since 20\S+ \S+ UTC\)$/,
      ),
      hint: expect.stringContaining(`after ${claim?.until.slice(0, 19).replace('T', ' ')} UTC`),
    })
    // Another group is nobody's.
    expect(await claimGroups(elsewhere(), 'destroy', ['logging'], async () => 'went on')).toBe('went on')
  })
  expect(await notesOf(depots.serena)).toBe(`Ask Bob first.\n${notes}`)
  expect(await claimGroups(elsewhere(), 'destroy', ['serena'], async () => 'went on')).toBe('went on')
})

it('it is given back by a run that fails, and by one that is stopped', async () => {
  await expect(claimGroups(t.options(), 'deploy', ['serena'], () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
  expect(await notesOf(depots.serena)).toBe(notes)
  const stop = new AbortController()
  const stopped = claimGroups(t.options({ signal: stop.signal }), 'deploy', ['serena'], async ({ signal }) => {
    stop.abort(new Error('stopped'))
    signal.throwIfAborted()
  })
  await expect(stopped).rejects.toThrow('stopped')
  expect(await notesOf(depots.serena)).toBe(notes)
})

// Before any of them has looked at anything, let alone changed it.
const verbs: readonly [string, (options: DeployOptions) => Promise<unknown>][] = [
  ['deploy', (options) => deploy(options)],
  ['destroy', (options) => destroy(options)],
  ['rollout', (options) => rollout({ ...options, only: ['serena'] })],
  ['rollback', (options) => rollback(options, ['serena'])],
  ['delete-data', (options) => deleteData(options, 'serena')],
]
it.each(verbs)('%s does nothing while somebody else is at a group of its', async (_name, run) => {
  await giveTo(depots.serena, ann())
  await expect(run(t.options())).rejects.toMatchObject({ code: 'group-claimed', message: expect.stringContaining('ann@laptop') })
  // The claims on other groups, which it had got, are given back.
  expect(await notesOf(depots.logging)).toBe(notes)
  expect(await claimOf(depots.serena)).toEqual(ann({ since: expect.any(String), until: expect.any(String) }))
})

it('two that delete the same data at once: one does, the other is told', async () => {
  await t.root.put(path(depots.serena), { scsi1: `${t.site.proxmox.storage.disks}:1,serial=golden-data` })
  const { progress } = t.options()
  let second: unknown
  const meeting: DeployOptions['progress'] = {
    ...progress,
    async step(title, work) {
      second = await deleteData(elsewhere(), 'serena').catch((error: unknown) => error)
      return progress.step(title, work)
    },
  }
  expect(await deleteData(t.options({ progress: meeting }), 'serena')).toMatch(/vm-9010-disk/)
  expect(second).toMatchObject({ code: 'group-claimed' })
  expect(await notesOf(depots.serena)).toBe(notes)
})

it('of two that want several groups at the same moment, in opposite orders, one gets them all', async () => {
  for (let times = 0; times < 5; times++) {
    const begun = Promise.withResolvers<void>()
    const work = (): Promise<void> => begun.promise
    const both = [
      claimGroups(t.options(), 'deploy', ['serena', 'logging'], work),
      claimGroups(elsewhere(), 'destroy', ['logging', 'serena'], work),
    ]
    const refused = await Promise.race(
      both.map((one) =>
        one.then(
          () => undefined,
          (error: unknown) => error,
        ),
      ),
    )
    expect(refused).toMatchObject({ code: 'group-claimed' })
    begun.resolve()
    expect((await Promise.allSettled(both)).map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  }
})

it("a stale one is taken over, by Proxmox's clock and nobody's own, and it is said from whom", async () => {
  await giveTo(depots.serena, ann({ until: inMs(-1500) }))
  expect(await claimGroups(t.options(), 'deploy', ['serena'], async () => (await claimOf(depots.serena))?.by)).toBe(who())
  expect(t.shown.join('\n')).toMatch(/group serena: took over from ann@laptop \("golden rollout", .*not renewed its claim in time/)
  // This computer's clock says that it has four minutes left.
  await giveTo(depots.serena, ann())
  const later = at(t.proxmox, { now: () => new Date(Date.now() + 300_000) })
  const until = await claimGroups(t.options({ proxmox: later }), 'deploy', ['serena'], async () => (await claimOf(depots.serena))?.until)
  expect(Date.parse(until ?? '')).toBeGreaterThan(Date.now() + 500_000)
  // And the other way round: by this computer's it would be long over.
  await giveTo(depots.serena, ann({ until: inMs(-600_000) }))
  const earlier = at(t.proxmox, { now: () => new Date(Date.now() - 900_000) })
  await expect(claimGroups(t.options({ proxmox: earlier }), 'deploy', ['serena'], async () => {})).rejects.toMatchObject({
    code: 'group-claimed',
  })
})

it("a killed run's is taken over at once on the same computer by the same user, and by nobody else", async () => {
  const child = spawn('sleep', ['600'])
  try {
    const alive = await identityOf(child.pid!)
    const own = ann({ by: who(), process: alive })
    await giveTo(depots.serena, own)
    await expect(claimGroups(t.options(), 'deploy', ['serena'], async () => {})).rejects.toMatchObject({ code: 'group-claimed' })
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
    const strangers: readonly GroupClaim[] = [
      { ...own, by: 'root@elsewhere' },
      { ...own, process: { ...alive, host: 'elsewhere' } },
      // A computer of the same name, or this one before it was restarted.
      { ...own, process: { ...alive, started: alive.started.replace(/^\S+/, 'another-boot') } },
    ]
    for (const claim of strangers) {
      await giveTo(depots.serena, claim)
      await expect(claimGroups(t.options(), 'deploy', ['serena'], async () => {})).rejects.toMatchObject({ code: 'group-claimed' })
    }
    await giveTo(depots.serena, own)
    expect(await claimGroups(t.options(), 'deploy', ['serena'], async () => 'went on')).toBe('went on')
    expect(t.shown.join('\n')).toContain('an earlier run on this computer that was killed')
  } finally {
    child.kill('SIGKILL')
  }
})

/** The same client, but for this. */
const at = (proxmox: Proxmox, change: Partial<Proxmox>): Proxmox =>
  new Proxy(proxmox, {
    get(target, key) {
      const changed: unknown = Reflect.get(change, key)
      const value: unknown = changed ?? Reflect.get(target, key)
      return typeof value === 'function' && changed === undefined ? (value.bind(target) as unknown) : value
    },
  })

/** Something that somebody else does right before the first write. */
function beforeFirstWrite(what: () => Promise<unknown>): Proxmox {
  let first = true
  return at(t.proxmox, {
    async put(where, form, sending) {
      if (first) {
        first = false
        await what()
      }
      return t.proxmox.put(where, form, sending)
    },
  })
}

it('somebody who writes between the look and the write is not overwritten', async () => {
  const quicker = beforeFirstWrite(() => giveTo(depots.serena, ann()))
  await expect(claimGroups(t.options({ proxmox: quicker }), 'deploy', ['serena'], async () => {})).rejects.toMatchObject({
    code: 'group-claimed',
  })
  expect(await claimOf(depots.serena)).toMatchObject({ by: 'ann@laptop' })
  const text = beforeFirstWrite(() => setNotes(depots.serena, `Moved to rack 2.\n${notes}`))
  await setNotes(depots.serena, notes)
  await claimGroups(t.options({ proxmox: text }), 'deploy', ['serena'], async () => {
    expect(await claimOf(depots.serena)).toMatchObject({ by: who() })
    await setNotes(depots.serena, (await notesOf(depots.serena)).replace('rack 2', 'rack 3'))
  })
  expect(await notesOf(depots.serena)).toBe(`Moved to rack 3.\n${notes}`)
})

it('an answer that is lost, of taking and of giving back, makes no difference', async () => {
  t.lab.faults.order({ request: { method: 'PUT', path: '/9010/config$' }, drop: 'after' })
  await claimGroups(t.options(), 'deploy', ['serena'], async () => {
    expect(await claimOf(depots.serena)).toMatchObject({ by: who() })
    t.lab.faults.order({ request: { method: 'PUT', path: '/9010/config$' }, drop: 'after' })
  })
  expect(await notesOf(depots.serena)).toBe(notes)
  t.lab.faults.order({ request: { method: 'PUT', path: '/9010/config$' }, drop: 'before' })
  await claimGroups(t.options(), 'deploy', ['serena'], async () => {
    expect(await claimOf(depots.serena)).toMatchObject({ by: who() })
  })
  expect(t.shown).toEqual([])
})

it('it is renewed while the work goes on', async () => {
  await claimGroups(t.options({ claimPace: { ttlMs: 300_000, renewMs: 20 } }), 'deploy', ['serena'], async () => {
    const first = await claimOf(depots.serena)
    await expect.poll(async () => (await claimOf(depots.serena))?.until, { timeout: 30_000, interval: 20 }).not.toBe(first?.until)
    expect(await claimOf(depots.serena)).toMatchObject({ id: first?.id, since: first?.since })
  })
  expect(await notesOf(depots.serena)).toBe(notes)
})

it('a run that finds somebody else in its place stops, changes nothing more, and leaves the other one alone', async () => {
  const lost = claimGroups(t.options({ claimPace: { ttlMs: 300_000, renewMs: 20 } }), 'deploy', ['serena'], async ({ signal, proxmox }) => {
    const { promise, reject } = Promise.withResolvers<never>()
    signal.addEventListener('abort', () => reject(new Error('the work was stopped')))
    await giveTo(depots.serena, ann())
    await promise.catch(() => {})
    await expect(proxmox.put(path(depots.logging), { description: 'a change' })).rejects.toMatchObject({ code: 'claim-lost' })
    await expect(proxmox.get('/version')).resolves.toBeDefined()
    return promise
  })
  await expect(lost).rejects.toMatchObject({ code: 'claim-lost', message: expect.stringContaining('ann@laptop') })
  expect(await claimOf(depots.serena)).toMatchObject({ by: 'ann@laptop' })
  expect(await notesOf(depots.logging)).toBe(notes)
})

it('one that could not renew for long, such as on a computer that slept, looks before its next change', async () => {
  const slept = { ttlMs: 1, renewMs: 3_600_000 }
  const change = (proxmox: Proxmox): Promise<unknown> => proxmox.put(path(depots.logging), { description: 'a change' })
  const still = await claimGroups(t.options({ claimPace: slept }), 'deploy', ['serena'], async ({ proxmox }) => {
    await change(proxmox)
    return claimOf(depots.serena)
  })
  expect(still).toMatchObject({ by: who() })
  expect(await notesOf(depots.logging)).toBe('a change')
  await setNotes(depots.logging, notes)
  const gone = claimGroups(t.options({ claimPace: slept }), 'deploy', ['serena'], async ({ proxmox }) => {
    await setNotes(depots.serena, notes)
    await change(proxmox)
  })
  await expect(gone).rejects.toMatchObject({ code: 'claim-lost', message: expect.stringContaining('taken it away') })
  expect(await notesOf(depots.logging)).toBe(notes)
})

it('an API that is away for longer than a claim lives costs nobody the claim', async () => {
  const away = t.options({ claimPace: { ttlMs: 50, renewMs: 10 } })
  const told = await claimGroups(away, 'deploy', ['serena'], async ({ signal, proxmox }) => {
    t.lab.faults.order({ request: { method: 'GET', path: '/9010/config$' }, drop: 'before', awayMs: 400 })
    await expect.poll(() => t.lab.faults.list().every(({ left }) => left === 0), { timeout: 30_000, interval: 10 }).toBe(true)
    await proxmox.put(path(depots.logging), { description: 'a change' })
    expect(signal.aborted).toBe(false)
    return claimOf(depots.serena)
  })
  expect(told).toMatchObject({ by: who() })
  expect(await notesOf(depots.serena)).toBe(notes)
})

it('without the privilege, as setup of an earlier version has left it, it goes on, and says once what to do', async () => {
  const { node: _node, ...place } = { ...placeOf(t.site) }
  const table = privilegeTable({ ...place, node: t.site.proxmox.node, pool: t.site.proxmox.pool, depotPool: t.site.proxmox.depotPool })
  const role = table.find((one) => one.role.startsWith('GoldenDepot'))?.role ?? ''
  await t.root.put(`/access/roles/${role}`, { privs: depotPrivileges.filter((one) => one !== 'VM.Config.Options').join(',') })
  try {
    expect(await claimGroups(t.options(), 'deploy', ['serena', 'logging'], async () => 'went on')).toBe('went on')
    expect(t.shown.filter((line) => line.includes('golden setup'))).toEqual([expect.stringMatching(/^warning: .*groups logging, serena/)])
    expect(await notesOf(depots.serena)).toBe(notes)
    // Who is at it can be seen without.
    await giveTo(depots.serena, ann())
    await expect(claimGroups(t.options(), 'deploy', ['serena'], async () => {})).rejects.toMatchObject({ code: 'group-claimed' })
  } finally {
    await t.root.put(`/access/roles/${role}`, { privs: depotPrivileges.join(',') })
  }
})

it('notes without room for it are left as they are', async () => {
  const full = 'x'.repeat(8100)
  await setNotes(depots.serena, full)
  expect(await claimGroups(t.options(), 'deploy', ['serena'], async () => 'went on')).toBe('went on')
  expect(t.shown.join('\n')).toContain('no room for the claim on group serena')
  expect(await notesOf(depots.serena)).toBe(full)
})

it('a depot that is locked is waited for, until there is a stop', async () => {
  const stop = new AbortController()
  const locked = at(t.proxmox, {
    get: async <T>(where: string, query?: Parameters<Proxmox['get']>[1]): Promise<T> => {
      const answer = await t.proxmox.get<T>(where, query)
      return where === path(depots.serena) ? { ...answer, lock: 'backup' } : answer
    },
  })
  const { progress } = t.options()
  const waiting = claimGroups(
    t.options({
      proxmox: locked,
      signal: stop.signal,
      progress: {
        ...progress,
        info(text) {
          progress.info(text)
          stop.abort(new Error('stopped'))
        },
      },
    }),
    'deploy',
    ['serena'],
    async () => 'went on',
  )
  await expect(waiting).rejects.toThrow()
  expect(t.shown).toEqual(['the depot of group serena, VM 9010, is locked (backup): waiting for it'])
})

it('a depot that Proxmox is busy with is waited for, and whoever renews its claim then is not taken from', async () => {
  const reason = "can't lock file '/var/lock/qemu-server/lock-9010.conf' - got timeout"
  t.lab.faults.order({ request: { method: 'PUT', path: '/9010/config$' }, status: 500, reason })
  expect(await claimGroups(t.options(), 'deploy', ['serena'], async () => (await claimOf(depots.serena))?.by)).toBe(who())
  await giveTo(depots.serena, ann({ until: inMs(-1000) }))
  t.lab.faults.order({ request: { method: 'PUT', path: '/9010/config$' }, status: 500, reason })
  // Its holder gets to renew it as soon as Proxmox has done what it was busy with.
  const busy = at(t.proxmox, {
    get: async <T>(where: string, query?: Parameters<Proxmox['get']>[1]): Promise<T> => {
      if (where.endsWith('/tasks')) await giveTo(depots.serena, ann())
      return t.proxmox.get<T>(where, query)
    },
  })
  await expect(claimGroups(t.options({ proxmox: busy }), 'deploy', ['serena'], async () => {})).rejects.toMatchObject({
    code: 'group-claimed',
  })
})

it("a depot that is not there, or is somebody else's, is for the verb to tell of", async () => {
  const { serena } = t.site.groups
  const without = { ...t.site, groups: { ...t.site.groups, serena: { ...serena!, depot: 9099 } } }
  expect(await claimGroups(t.options({ site: without }), 'deploy', ['serena', 'unknown'], async () => 'went on')).toBe('went on')
  await t.root.put(path(depots.serena), { name: 'mail' })
  expect(await claimGroups(t.options(), 'deploy', ['serena'], async () => notesOf(depots.serena))).toBe(notes)
  await t.root.put(path(depots.serena), { name: 'home-serena-depot' })
})

it('a hook has one of its own only when nobody holds one for it', async () => {
  const work = async (): Promise<GroupClaim | undefined> => claimOf(depots.serena)
  expect(await claimGroupForHook(t.options(), 'activate', 'serena', claimHeld, work)).toBeUndefined()
  expect(await claimGroupForHook(t.options(), 'activate', 'serena', {}, work)).toMatchObject({ verb: 'hook activate', by: who() })
})

it('status tells who is at a group, and who was', async () => {
  const line = async (): Promise<string | undefined> => /^ {2}claim .*$/m.exec(renderStatus(await readStatus(t.options())))?.[0]
  expect(await line()).toBeUndefined()
  await giveTo(depots.serena, ann())
  expect(await line()).toMatch(/^ {2}claim {4}ann@laptop \("golden rollout", process 4711, since .* UTC\) is at it$/)
  expect((await readStatus(t.options())).groups).toMatchObject({
    serena: { claim: { by: 'ann@laptop', verb: 'rollout', stale: false } },
    logging: { claim: null },
  })
  await giveTo(depots.serena, ann({ until: inMs(-60_000) }))
  expect(await line()).toContain('the next run takes over')
})

it('what is wrong with the work itself is told as it is, though the claim was lost at the end', async () => {
  const broken = new Failure('no-progress', 'broken', 'mend it')
  const late = claimGroups(t.options({ claimPace: rare }), 'deploy', ['serena'], async () => {
    await giveTo(depots.serena, ann())
    throw broken
  })
  await expect(late).rejects.toBe(broken)
  expect(await claimOf(depots.serena)).toMatchObject({ by: 'ann@laptop' })
})

// The last one: it leaves a pin.
it('groups that are deployed and that site.ts does not have any more hold nobody up', async () => {
  const release = newRelease(t.site, 'serena', 'blue', {
    id: 'abcabcabcabc',
    created: new Date(),
    image: { vmid: 9001, name: 'x', fingerprint: 'f'.repeat(64) },
  })
  await updatePins(t.folder, 'serena', (pins) => withFirstRelease(pins, 'blue', release, depots.serena))
  const { serena: _serena, ...groups } = t.site.groups
  expect(await claimGroups(t.options({ site: { ...t.site, groups } }), 'deploy', ['serena', 'logging'], async () => 'went on')).toBe(
    'went on',
  )
})
