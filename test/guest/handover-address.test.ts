/**
 * The service address moves between two slots, on the real kernel: the lab's LAN with the rules that Proxmox gets, each
 * slot a namespace with the rules and settings that the guest gets, clients behind the lab's router.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Duplex } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Seed } from '../../images/contract/seed.ts'
import type { OwnerReport } from '../../images/guest/peer.ts'
import { routerPorts, type FirewallScope } from '../../lab/compute/driver.ts'
import { runChild } from '../../lab/child.ts'
import { rootPath } from '../../lab/debian/root.ts'
import { run } from '../../lab/network/command.ts'
import { createNetwork, type RealNetwork } from '../../lab/network/network.ts'
import { vmFlows } from '../../releases/flows.ts'
import { nftables } from '../../releases/nftables.ts'
import { proxmoxRules } from '../../releases/proxmox-rules.ts'
import { slotNames, type SlotName } from '../../settings/site.ts'
import { exampleSite } from '../images/example.ts'
import { networkImpossible, nicOf, openScope, plugGuest, type Guest } from '../lab/network-guests.ts'
import type { HandoverOptions } from './handover-program.ts'
import { seeds } from './seed.ts'

const root = join(await rootPath(), 'tree')
const impossible = networkImpossible ?? (existsSync(root) ? undefined : "the lab's Debian root in the cache")
const site = exampleSite()
const group = site.groups.serena!
const { service } = group
const other = (slot: SlotName): SlotName => (slot === 'blue' ? 'green' : 'blue')
const block = 'x'.repeat(65_536)

interface Slot {
  readonly guest: Guest
  readonly folder: string
  readonly server: Server
}

describe.skipIf(impossible !== undefined)(`the service address (needs ${impossible ?? 'root'})`, () => {
  let folder: string
  let network: RealNetwork
  const slots = {} as Record<SlotName, Slot>
  let holder: SlotName = 'blue'
  const clients = new Set<Client>()

  /** A connection of a client on the internet, kept open. */
  class Client {
    readonly #socket: Duplex
    readonly #lines: AsyncIterator<string>
    error: string | undefined

    constructor(socket: Duplex) {
      this.#socket = socket
      socket.on('error', (error: NodeJS.ErrnoException) => (this.error = error.code ?? error.message))
      this.#lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]()
      clients.add(this)
    }
    /** Who answers. @throws when the connection is over */
    async ask(text = 'hello'): Promise<string> {
      this.#socket.write(`${text}\n`)
      const { value, done } = await this.#lines.next()
      if (done) throw new Error(`the connection is over: ${this.error ?? 'closed'}`)
      const [slot = '', said] = (value as string).split(' ')
      if (said !== text) throw new Error('another answer than was asked for')
      return slot
    }
    close(): void {
      clients.delete(this)
      this.#socket.destroy()
    }
  }
  const client = async (): Promise<Client> => new Client(await network.dialRouter(routerPorts.target.https))

  /** A server that says which slot it is in, and the question. */
  const answering = async (slot: SlotName): Promise<Server> => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      createInterface({ input: socket }).on('line', (line) => socket.write(`${slot} ${line}\n`))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return server
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sgl-handover-'))
    network = await createNetwork({ stateDir: folder, subnet: site.network.subnet, log: () => {}, dialTimeoutMs: 5_000 })
    for (const slot of slotNames) {
      const { vmid, address } = group.slots[slot]
      const guest = await plugGuest(network, vmid, address)
      // As the guest boots: the image's settings, Debian's reverse path filter, its own firewall, and a FORWARD policy like Docker's.
      const settings = readFileSync(join(import.meta.dirname, '../../images/rootfs/etc/sysctl.d/60-golden.conf'), 'utf8')
      const values = [...settings.matchAll(/^net\.(ipv4\.conf\.all\.\S+) = (\d)$/gm)].map(([, name = '', value = '']) => [
        name.replaceAll('.', '/'),
        value,
      ])
      expect(Object.fromEntries(values)).toMatchObject({ 'ipv4/conf/all/arp_ignore': '1', 'ipv4/conf/all/arp_announce': '2' })
      await guest.namespace.sysctl({ ...Object.fromEntries(values), 'ipv4/conf/all/rp_filter': '2', 'ipv4/conf/eth0/rp_filter': '2' })
      await guest.namespace.nft(
        `${nftables(vmFlows(site, 'serena', slot))}table ip filter {\n chain FORWARD { type filter hook forward priority filter; policy drop; }\n}\n`,
      )
      const server = await answering(slot)
      await guest.publish('0.0.0.0', 443, (server.address() as AddressInfo).port)
      const own = join(folder, slot)
      await mkdir(own)
      const seed: Seed = { ...seeds.serena, slot, address, service, peer: group.slots[other(slot)].address, gateway: network.gateway }
      await writeFile(join(own, 'seed.json'), JSON.stringify(seed))
      slots[slot] = { guest, folder: own, server }
    }
    await guard()
    await network.setForwards({ target: service })
    await rightOf('blue')
    expect(await program('blue', 'take')).toBe(true)
  })

  afterAll(async () => {
    for (const one of clients) one.close()
    for (const { guest, server } of Object.values(slots)) {
      await guest.close()
      server.close()
    }
    await network?.close()
    await rm(folder, { recursive: true, force: true })
  })

  /** Puts Proxmox's rules into force. @param without rows of that kind */
  async function guard(without: (purpose: string) => boolean = () => false): Promise<void> {
    const scope = (slot: SlotName): FirewallScope => ({
      ...openScope,
      options: { enable: '1', policy_in: 'DROP', policy_out: 'DROP', macfilter: '1', ndp: '0', dhcp: '0', radv: '0' },
      rules: proxmoxRules(vmFlows(site, 'serena', slot))
        .filter(({ comment }) => !without(comment))
        .map(({ enabled, comment: _, ...rule }) => ({ ...rule, enable: enabled })),
    })
    await network.applyFirewall({
      cluster: { ...openScope, options: { enable: '1' } },
      vms: Object.fromEntries(slotNames.map((slot) => [group.slots[slot].vmid, scope(slot)])),
    })
  }

  /** As golden-address.service does when the data disk comes and goes. */
  const rightOf = async (slot: SlotName): Promise<void> => {
    await rm(join(slots[other(slot)].folder, 'claim'), { force: true })
    await writeFile(join(slots[slot].folder, 'claim'), '')
  }

  /** What the verb returns; undefined: it killed itself. */
  async function program(slot: SlotName, verb: string, options: HandoverOptions = {}): Promise<unknown> {
    const file = join(import.meta.dirname, 'handover-program.ts')
    const words = [process.execPath, file, slots[slot].folder, root, verb, JSON.stringify(options)]
    const ran = await runChild([...slots[slot].guest.namespace.enter, ...words]).catch((error: Error) => error)
    if (!(ran instanceof Error)) return JSON.parse(ran.stdout)
    if (options.killAt === undefined) throw ran
    return undefined
  }

  const report = (slot: SlotName, connections: number | null): OwnerReport => ({
    release: 'r',
    slot,
    owner: slot === holder,
    healthy: true,
    holds: slot === holder,
    connections,
  })

  /** @param killed before so many changes, each of the verbs, and then run again */
  async function move(killAt?: number): Promise<boolean> {
    const [from, to] = [holder, other(holder)]
    const options = killAt === undefined ? {} : { killAt }
    const killed: boolean[] = []
    const twice = async (slot: SlotName, verb: string): Promise<void> => {
      if (killAt !== undefined) killed.push((await program(slot, verb, options)) === undefined)
      expect(await program(slot, verb)).toBe(true)
    }
    await program(from, 'begin')
    await twice(from, 'leave')
    await rightOf(to)
    await twice(to, 'take')
    holder = to
    return killed.some((each) => each)
  }

  const connectionsOf = (slot: SlotName) => program(slot, 'connections') as Promise<number>
  const inside = (slot: SlotName, ...words: string[]): Promise<string> => run([...slots[slot].guest.namespace.enter, ...words])

  /** Both settle, a minute later. */
  async function settled(options: HandoverOptions = {}): Promise<unknown[]> {
    const old = other(holder)
    const open = await connectionsOf(old)
    const minute = { aheadMs: 60_000, ...options }
    return [
      await program(old, 'settle', { ...minute, peer: report(holder, null) }),
      await program(holder, 'settle', { ...minute, peer: report(old, open) }),
    ]
  }

  async function expectNothingLeft(): Promise<void> {
    for (const slot of slotNames) {
      expect(await inside(slot, 'nft', 'list', 'tables')).toBe('table inet golden\ntable ip filter\n')
      expect(await inside(slot, 'ip', '-4', '-o', 'address', 'show', 'dev', 'lo')).not.toContain(service)
      expect(await inside(slot, 'ip', 'rule')).toBe(
        '0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n',
      )
      expect(await inside(slot, 'ip', 'route', 'show', 'table', 'all')).not.toContain(' table 77')
      expect((await readdir(slots[slot].folder)).sort()).toEqual(slot === holder ? ['claim', 'seed.json'] : ['seed.json'])
      expect((await inside(slot, 'ip', '-4', '-o', 'address', 'show', 'dev', 'eth0')).includes(`${service}/32`)).toBe(slot === holder)
    }
  }

  /** Who answers for the address in the LAN, asked from a third machine until it is told to stop. */
  async function watchAnswers(): Promise<() => Promise<string[][]>> {
    const script = readFileSync(join(import.meta.dirname, 'who-has.py'), 'utf8')
    const [enter, ...words] = [...network.enter, 'chroot', root, 'python3', '-c', script, 'lan0', network.layout.admin, service]
    const child: ChildProcess = spawn(enter!, words, { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines: string[] = []
    const first = once(
      createInterface({ input: child.stdout! }).on('line', (line) => lines.push(line)),
      'line',
    )
    await first
    return async () => {
      const ended = once(child, 'close')
      child.stdin!.end()
      await ended
      return lines.map((line) => line.split(',').filter((mac) => mac !== ''))
    }
  }

  it('moves there, back, and there again: no connection breaks, and never do two answer for it', async () => {
    const stop = await watchAnswers()
    const idle: [Client, string][] = []
    const open = async (): Promise<void> => {
      const one = await client()
      idle.push([one, await one.ask()])
    }
    await open()
    let transferred = 0
    let goOn = true
    const busy = await client()
    const transfer = (async () => {
      for (; goOn; transferred++) expect(await busy.ask(block)).toBe('blue')
    })()
    for (const to of ['green', 'blue', 'green']) {
      const before = transferred
      await move()
      expect(holder).toBe(to)
      await open()
      expect(idle.at(-1)?.[1]).toBe(to)
      for (const [one, slot] of idle) expect(await one.ask()).toBe(slot)
      await vi.waitFor(() => expect(transferred).toBeGreaterThan(before + 10), 5000)
    }
    expect(idle.map(([, slot]) => slot)).toEqual(['blue', 'green', 'blue', 'green'])
    const answers = await stop()
    expect(answers.every((macs) => new Set(macs).size <= 1)).toBe(true)
    const turns = answers.flat().filter((mac, at, all) => mac !== all[at - 1])
    const macs = slotNames.map((slot) => nicOf(group.slots[slot].vmid).mac.toLowerCase())
    expect(turns).toEqual([macs[0], macs[1], macs[0], macs[1]])

    // Not as long as somebody is connected.
    expect(await settled()).toEqual([false, false])
    goOn = false
    await transfer
    busy.close()
    // The first segment that the new slot sees of some of these is the one with which they end.
    for (const [one] of idle) one.close()
    await vi.waitFor(async () => expect(await connectionsOf('blue')).toBe(0), { timeout: 10_000, interval: 100 })
    expect(await settled()).toEqual([true, true])
    await expectNothingLeft()
  })

  it('killed at any point and run again it ends well', async () => {
    for (let killAt = 0; ; killAt++) {
      const kept = await client()
      const before = holder
      expect(await kept.ask()).toBe(before)
      const killed = await move(killAt)
      expect(await kept.ask(), `killed at ${killAt}`).toBe(before)
      const next = await client()
      expect(await next.ask()).toBe(holder)
      next.close()
      kept.close()
      await vi.waitFor(async () => expect(await connectionsOf(other(holder))).toBe(0), { timeout: 10_000, interval: 100 })
      const cut = await settled({ killAt })
      expect(await settled()).toEqual([true, true])
      await expectNothingLeft()
      if (!killed && !cut.includes(undefined)) break
    }
  }, 300_000)

  it("Proxmox's host that has never seen the connection lets it through by the rows for it, and only by them", async () => {
    const forget = readFileSync(join(import.meta.dirname, 'forget-connections.py'), 'utf8')
    const kept = await client()
    const old = holder
    await kept.ask()
    await move()
    await run([...network.bridge.enter, 'chroot', root, 'python3', '-c', forget])
    expect(await kept.ask()).toBe(old)
    await guard((purpose) => purpose === 'Serena on the peer slot')
    await run([...network.bridge.enter, 'chroot', root, 'python3', '-c', forget])
    const answer = kept.ask()
    const passed = await Promise.race([answer, once(AbortSignal.timeout(1500), 'abort').then(() => 'nothing')])
    expect(passed).toBe('nothing')
    await guard()
    expect(await answer).toBe(old)
    kept.close()
  })

  it('goes by itself when the disk does, with nobody there to see to it and each slot killed in the middle', async () => {
    const from = holder
    const to = other(from)
    const kept = await client()
    await kept.ask()
    for (const slot of slotNames) {
      await mkdir(join(slots[slot].folder, 'nginx/tls'), { recursive: true })
      for (const name of ['pem', 'key']) await writeFile(join(slots[slot].folder, `nginx/tls/peer.${name}`), '')
    }
    await writeFile(join(slots[from].folder, 'disk'), '')
    const running: ChildProcess[] = []
    /** Started anew whenever it ends. @param dies by itself, each one a change later than the one before */
    const watch = (slot: SlotName, dies = false): void => {
      const { guest, folder } = slots[slot]
      const options = JSON.stringify({ peerFolder: slots[other(slot)].folder, ...(dies ? { killAt: killAt++ } : {}) })
      const file = join(import.meta.dirname, 'handover-program.ts')
      const [enter, ...words] = [...guest.namespace.enter, process.execPath, file, folder, root, 'watch', options]
      const child = spawn(enter!, words, { stdio: ['ignore', 'ignore', 'inherit'] })
      running.push(child)
      child.once('exit', () => {
        running.splice(running.indexOf(child), 1)
        if (!over) watch(slot, killAt < 24)
      })
    }
    let killAt = 4
    let over = false
    try {
      for (const slot of slotNames) watch(slot)
      const owner = async (slot: SlotName): Promise<OwnerReport> =>
        JSON.parse(readFileSync(join(slots[slot].folder, 'nginx/owner.json'), 'utf8'))
      await vi.waitFor(async () => expect(await owner(from)).toMatchObject({ owner: true, holds: true }), 10_000)
      await program(from, 'begin')
      await rm(join(slots[from].folder, 'disk'))
      for (const child of running) child.kill('SIGKILL')
      await rightOf(to)
      await writeFile(join(slots[to].folder, 'disk'), '')
      await vi.waitFor(async () => expect(await owner(to)).toMatchObject({ owner: true, holds: true }), { timeout: 60_000, interval: 100 })
      holder = to
      expect(await kept.ask()).toBe(from)
      const fresh = await client()
      expect(await fresh.ask()).toBe(to)
      fresh.close()
      kept.close()
      await vi.waitFor(
        async () => {
          for (const slot of slotNames)
            for (const name of ['handover.json', 'steering.json']) expect(existsSync(join(slots[slot].folder, name))).toBe(false)
        },
        { timeout: 60_000, interval: 200 },
      )
    } finally {
      over = true
      await Promise.all(
        running.map(async (child) => {
          const ended = once(child, 'exit')
          child.kill('SIGKILL')
          await ended
        }),
      )
    }
    for (const slot of slotNames)
      for (const name of ['nginx', 'disk', 'turn', 'address.json'])
        await rm(join(slots[slot].folder, name), { recursive: true, force: true })
    await expectNothingLeft()
  })

  it('at the end of the limit clients are told that their connection is over', async () => {
    const kept = await client()
    await kept.ask()
    await move()
    expect(await settled()).toEqual([false, false])
    expect(await settled({ limitMs: 1000 })).toEqual([true, true])
    await expectNothingLeft()
    await expect(kept.ask()).rejects.toThrow(/over/)
    kept.close()
  })
})
