/** Which slot takes the service address and which gives it up: the decisions, and what comes of them when two slots make them. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isOver } from '../../images/guest/handover-address.ts'
import { reportIn, type OwnerReport } from '../../images/guest/peer.ts'
import { thisMachine, type Machine } from '../../images/guest/machine.ts'
import { claimFile, handoverFile, ownerFile, steeringFile } from '../../images/guest/places.ts'
import { newSuccession, succeed } from '../../images/guest/succeed.ts'
import { servicePorts, steeringRules } from '../../images/guest/steer.ts'
import { asksPeer, isUnderWay, turn, type Standing } from '../../images/guest/succession.ts'
import { seeds } from './seed.ts'

const standby: Standing = { disk: false, mayHold: false, inService: false, holds: false, handover: undefined, steers: false }
const owner: Standing = { ...standby, disk: true, mayHold: true, inService: true }
const peer = (change: Partial<OwnerReport> = {}): OwnerReport => ({
  release: 'r',
  slot: 'green',
  owner: false,
  healthy: false,
  holds: false,
  connections: 0,
  ...change,
})
const serving = peer({ owner: true, healthy: true, connections: null })

describe('at each round', () => {
  it('an owner that holds the address and a slot without either ask nobody and do nothing', () => {
    for (const here of [{ ...owner, holds: true }, standby]) {
      expect(asksPeer(here)).toBe(false)
      expect(turn(here, undefined)).toBe('none')
      expect(isUnderWay(here)).toBe(false)
    }
  })

  it('an owner takes it when it works, with steering where the peer answers, and not while that one has it', () => {
    expect(turn({ ...owner, inService: false }, peer())).toBe('none')
    expect(turn(owner, undefined)).toBe('claim')
    expect(turn(owner, peer())).toBe('take')
    expect(turn(owner, peer({ holds: true }))).toBe('refused')
    // Two owners there can't be; who answers for the address in the LAN decides.
    expect(turn(owner, { ...serving, holds: true })).toBe('take')
    expect(turn({ ...owner, handover: 'left' }, undefined)).toBe('take')
  })

  it('a slot without the disk keeps it until the peer works as an owner', () => {
    for (const handover of ['parking', 'forwarding', undefined] as const) {
      const here: Standing = { ...standby, holds: true, handover }
      expect(asksPeer(here)).toBe(true)
      expect(turn(here, undefined)).toBe('none')
      expect(turn(here, peer({ healthy: true }))).toBe('none')
      expect(turn(here, { ...serving, healthy: false })).toBe('none')
      expect(turn(here, serving)).toBe('leave')
    }
  })

  it('nothing goes while the disk is still here, on its way out', () => {
    expect(turn({ ...owner, mayHold: false, holds: true, handover: 'parking' }, serving)).toBe('none')
  })

  it('what was killed on its way out goes on, and a disk that is back ends it', () => {
    expect(turn({ ...standby, holds: true, handover: 'left' }, undefined)).toBe('leave')
    for (const handover of ['parking', 'forwarding', 'left'] as const)
      expect(turn({ ...owner, holds: true, inService: false, handover }, undefined)).toBe('resume')
  })
})

describe('two slots', () => {
  type Name = 'blue' | 'green'
  type Event = Name | 'give blue' | 'give green' | 'let go' | 'cut' | 'join' | 'reset blue' | 'reset green'
  const events = fc.array(
    fc.constantFrom<Event>(
      'blue',
      'green',
      'blue',
      'green',
      'give blue',
      'give green',
      'let go',
      'cut',
      'join',
      'reset blue',
      'reset green',
    ),
    { maxLength: 60 },
  )

  it('never both hold it, and in the end the owner does, whatever happens in between', () => {
    let moves = 0
    fc.assert(
      fc.property(events, (list) => {
        const slots: Record<Name, Standing> = { blue: { ...owner, holds: true }, green: standby }
        let joined = true
        const change = (name: Name, to: Partial<Standing>): void => {
          slots[name] = { ...slots[name], ...to }
        }
        const round = (name: Name): void => {
          const other = name === 'blue' ? 'green' : 'blue'
          const there = slots[other]
          const said = peer({ owner: there.disk, healthy: there.inService, holds: there.holds })
          switch (turn(slots[name], joined ? said : undefined)) {
            case 'leave':
              change(name, { holds: false, handover: 'left', mayHold: false })
              break
            case 'take':
            case 'claim':
              // The probe: whoever has it on a network card answers, whether the slots reach each other over TLS or not.
              if (there.holds) break
              change(name, { holds: true, handover: undefined })
              moves++
              break
            case 'resume':
              change(name, { handover: undefined })
              break
            case 'refused':
            case 'none':
          }
          expect(slots.blue.holds && slots.green.holds).toBe(false)
        }
        for (const event of list) {
          if (event === 'blue' || event === 'green') round(event)
          else if (event === 'cut' || event === 'join') joined = event === 'join'
          else if (event === 'let go') {
            for (const name of ['blue', 'green'] as const)
              if (slots[name].disk) change(name, { disk: false, mayHold: false, inService: false, handover: 'parking' })
          } else if (event.startsWith('reset')) {
            const name = event.slice(6) as Name
            if (!slots[name].disk) slots[name] = standby
          } else if (!slots.blue.disk && !slots.green.disk) change(event.slice(5) as Name, { disk: true, mayHold: true, inService: true })
        }
        joined = true
        if (!slots.blue.disk && !slots.green.disk) change('green', { disk: true, mayHold: true, inService: true })
        for (let at = 0; at < 4; at++) for (const name of ['blue', 'green'] as const) round(name)
        for (const name of ['blue', 'green'] as const) expect(slots[name].holds).toBe(slots[name].disk)
      }),
      { numRuns: 2000 },
    )
    expect(moves).toBeGreaterThan(200)
  })
})

describe('the way between the slots', () => {
  const seen = { ageMs: 6000, limitMs: 600_000, connections: 0, arrived: true }
  it('is there as long as a connection needs it, and until the limit', () => {
    expect(isOver(seen)).toBe(true)
    expect(isOver({ ...seen, connections: 1 })).toBe(false)
    expect(isOver({ ...seen, connections: undefined })).toBe(false)
    expect(isOver({ ...seen, connections: 1, ageMs: 600_000 })).toBe(true)
  })
  it('is there until the LAN knows the new place', () => {
    expect(isOver({ ...seen, ageMs: 4000 })).toBe(false)
    expect(isOver({ ...seen, arrived: false, ageMs: 500_000 })).toBe(false)
    expect(isOver({ ...seen, arrived: undefined })).toBe(false)
    expect(isOver({ ...seen, arrived: undefined, ageMs: 30_000 })).toBe(true)
  })
  it('is for what clients connect to, and nothing else', () => {
    expect([seeds.serena, seeds.logging, seeds.both].map(servicePorts)).toEqual([[80, 443], [8443], [80, 443, 8443]])
    expect(servicePorts({ roles: [] })).toEqual([])
    expect(steeringRules(seeds.logging)).toContain(`ip daddr != ${seeds.logging.service} accept`)
    expect(steeringRules(seeds.logging)).toContain('tcp dport != { 8443 } accept')
  })
})

/** Files in memory. */
const filesOf = (all: Map<string, string>): Machine['files'] => ({
  ...thisMachine.files,
  exists: (path) => all.has(path),
  read: (path) => all.get(path) ?? '',
  write: (path, content) => void all.set(path, content),
  rename(from, to) {
    all.set(to, all.get(from) ?? '')
    all.delete(from)
  },
  remove: (path) => void all.delete(path),
})

describe('golden-watch', () => {
  it('goes on steering as long as the peer answers, and tells its clients when it is gone', async () => {
    const files = new Map([
      ['/proc/self/mountinfo', '1 1 8:16 / /srv/golden rw - ext4 /dev/sdb rw'],
      [claimFile, ''],
      [steeringFile, '{"since":0}'],
    ])
    const ran: string[] = []
    let uptime = 0
    let answers = true
    const machine: Machine = {
      ...thisMachine,
      files: filesOf(files),
      addresses: (card) => (card === 'eth0' ? [seeds.serena.service] : []),
      now: () => 1000,
      uptime: () => uptime,
      async run(program, args) {
        ran.push([program, ...args].join(' '))
        return { status: 0, stdout: '', stderr: '' }
      },
      lock: async () => () => {},
      async ask() {
        if (!answers) throw new Error('no answer within 3 s')
        return { status: 200, headers: {}, body: JSON.stringify(peer({ connections: 1 })) }
      },
      say() {},
      complain() {},
    }
    const memory = newSuccession()
    const round = () => succeed(machine, seeds.serena, true, memory, () => Promise.reject(new Error('not asked to')))
    for (; uptime < 100_000; uptime += 10_000) expect(await round()).toBe(true)
    answers = false
    for (; uptime < 130_000; uptime += 10_000) expect(await round()).toBe(true)
    uptime += 10_000
    expect(await round()).toBe(false)
    expect(files.has(steeringFile)).toBe(false)
    expect(ran.filter((line) => line.startsWith('nft'))).toEqual(['nft add table ip golden_steering; delete table ip golden_steering'])
    // Whoever started it may have killed one that had taken the address and not said so.
    expect(ran.filter((line) => line.startsWith('arping'))).toHaveLength(1)
    expect(JSON.parse(files.get(ownerFile) ?? '')).toEqual({
      release: 'r1',
      slot: 'blue',
      owner: true,
      healthy: true,
      holds: true,
      connections: null,
    })
  })

  it('gives the address up though nginx does not take it in, and tells nginx again', async () => {
    const files = new Map([[handoverFile, '{"state":"parking","since":0}']])
    const addresses: Record<string, string[]> = { eth0: [seeds.serena.service], lo: [] }
    const machine: Machine = {
      ...thisMachine,
      files: filesOf(files),
      addresses: (card = '') => addresses[card] ?? [],
      now: () => 1000,
      uptime: () => 1000,
      async run(_program, args) {
        const [, , verb, , , card = ''] = args
        if (verb === 'add') addresses[card] = [seeds.serena.service]
        if (verb === 'del') addresses[card] = []
        return { status: 0, stdout: '', stderr: '' }
      },
      lock: async () => () => {},
      ask: async () => ({ status: 200, headers: {}, body: JSON.stringify(serving) }),
      say() {},
      complain() {},
    }
    let told = 0
    const memory = newSuccession()
    const forward = async (): Promise<void> => {
      if (++told < 3) throw new Error('status 500')
    }
    for (let at = 0; at < 4; at++) expect(await succeed(machine, seeds.serena, false, memory, forward)).toBe(true)
    expect(addresses).toEqual({ eth0: [], lo: [seeds.serena.service] })
    expect(JSON.parse(files.get(handoverFile) ?? '')).toMatchObject({ state: 'left' })
    expect(told).toBe(3)
  })
})

it('what a peer says is read for what it is, and nothing is made of what it is not', () => {
  expect(reportIn({ ...serving })).toEqual(serving)
  expect(reportIn({ release: 'r', slot: 'blue', owner: true })).toEqual(peer({ slot: 'blue', owner: true, connections: null }))
  fc.assert(fc.property(fc.object(), (said) => void expect(reportIn(said)).toBeUndefined()))
})
