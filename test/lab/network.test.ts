import { mkdtemp, readFile, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { FirewallRule, FirewallScope } from '../../lab/compute/driver.ts'
import { run } from '../../lab/network/command.ts'
import { createNetwork, type RealNetwork } from '../../lab/network/network.ts'
import { greeter, networkImpossible, openScope, outcome, plugGuest, type Guest } from './network-guests.ts'

const needs = networkImpossible ?? 'root'

describe.skipIf(networkImpossible !== undefined)(`the lab's LAN (needs ${needs})`, () => {
  let folder: string
  let network: RealNetwork
  let a: Guest
  let b: Guest
  let servers: Awaited<ReturnType<typeof greeter>>[]
  const said: string[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sgl-test-'))
    network = await createNetwork({ stateDir: folder, subnet: '10.77.0.0/24', log: (line) => void said.push(line), dialTimeoutMs: 1_000 })
    a = await plugGuest(network, 101, '10.77.0.101')
    b = await plugGuest(network, 102, '10.77.0.102')
    servers = await Promise.all([greeter('I am a'), greeter('I am b')])
    for (const port of [22, 80, 443, 3000]) {
      await a.publish(a.address, port, servers[0]!.port)
      await b.publish(b.address, port, servers[1]!.port)
    }
  })
  afterAll(async () => {
    await Promise.all([a?.close(), b?.close()])
    await network?.close()
    await Promise.all(servers.map((server) => server.close()))
    await rm(folder, { recursive: true, force: true })
  })

  const guard = async (vms: Record<number, Partial<FirewallScope>>, cluster: Partial<FirewallScope> = {}) => {
    const scopes = Object.entries(vms).map(([vmid, scope]) => [
      vmid,
      { ...openScope, ...scope, options: { enable: '1', ...scope.options } },
    ])
    await network.applyFirewall({
      cluster: { ...openScope, ...cluster, options: { enable: '1', ...cluster.options } },
      vms: Object.fromEntries(scopes),
    })
  }
  const rule = (rest: Partial<FirewallRule>): FirewallRule => ({ type: 'in', action: 'ACCEPT', enable: true, ...rest })

  describe('without rules in force', () => {
    beforeAll(() => network.applyFirewall({ cluster: openScope, vms: { 101: { ...openScope, options: { enable: '1' } } } }))

    it('this computer reaches guests, and guests each other', async () => {
      expect(await outcome(network.dial(a.address, 22))).toBe('I am a')
      expect(await outcome(a.dial(b.address, 80))).toBe('I am b')
    })

    it('a closed port and an address without a host are told apart', async () => {
      expect(await outcome(network.dial(a.address, 23))).toBe('ECONNREFUSED')
      expect(await outcome(network.dial('10.77.0.200', 23))).toMatch(/EHOSTUNREACH|ETIMEDOUT/)
    })

    it('a large answer and its end come through both ways', async () => {
      const { createServer } = await import('node:net')
      const server = createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket))
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      await b.publish(b.address, 7000, (server.address() as { port: number }).port)
      const socket = await network.dial(b.address, 7000)
      const sent = Buffer.alloc(3_000_000, 'serena')
      socket.end(sent)
      const chunks: Buffer[] = []
      for await (const chunk of socket) chunks.push(chunk as Buffer)
      expect(Buffer.concat(chunks).equals(sent)).toBe(true)
      server.close()
    })

    it("a port of this computer can be published at one of the lab's own addresses", async () => {
      const api = await greeter('I am the API')
      await network.publish(network.layout.admin, 8006, api.port)
      expect(await outcome(a.dial(network.layout.admin, 8006))).toBe('I am the API')
      await api.close()
    })

    it('other programs can run as the services host', async () => {
      const addresses = await run([...network.enter, 'ip', '-o', '-4', 'address'])
      expect(addresses).toContain('10.77.0.3/24')
    })
  })

  describe('the router', () => {
    beforeAll(() => network.applyFirewall({ cluster: openScope, vms: {} }))

    it('forwards 80 and 443 to the target, and nothing else', async () => {
      await network.setForwards({ target: a.address })
      expect(await outcome(network.dialRouter(443))).toBe('I am a')
      expect(await outcome(network.dialRouter(80))).toBe('I am a')
      expect(await outcome(network.dialRouter(22))).toBe('ECONNREFUSED')
      expect(await outcome(network.dialRouter(3000))).toBe('ECONNREFUSED')
      await network.setForwards({ target: b.address })
      expect(await outcome(network.dialRouter(443))).toBe('I am b')
    })

    it("forwards other ports to a second site's, which has 80 and 443 as the first has", async () => {
      await network.setForwards({ target: a.address, second: b.address })
      expect(await outcome(network.dialRouter(443))).toBe('I am a')
      expect(await outcome(network.dialRouter(2443))).toBe('I am b')
      expect(await outcome(network.dialRouter(2080))).toBe('I am b')
      await network.setForwards({ second: null })
      expect(await outcome(network.dialRouter(2443))).toBe('ECONNREFUSED')
      expect(await outcome(network.dialRouter(443))).toBe('I am a')
    })

    it('answers nothing without a target', async () => {
      await network.setForwards({ target: null })
      expect(await outcome(network.dialRouter(443))).toBe('ECONNREFUSED')
    })

    it('lets guests in by the public address too, the target included', async () => {
      await network.setForwards({ target: a.address })
      expect(await outcome(b.dial(network.layout.outside, 443))).toBe('I am a')
      expect(await outcome(a.dial(network.layout.outside, 443))).toBe('I am a')
    })

    it('the guest sees where an outside connection comes from', async () => {
      await network.setForwards({ target: a.address })
      await guard({
        101: { rules: [rule({ macro: 'HTTPS', source: network.layout.internetHost }), rule({ macro: 'HTTP', source: '10.0.0.0/8' })] },
      })
      expect(await outcome(network.dialRouter(443))).toBe('I am a')
      expect(await outcome(network.dialRouter(80))).toBe('ETIMEDOUT')
      await network.applyFirewall({ cluster: openScope, vms: {} })
    })

    it('is the way out only while the internet is on', async () => {
      // slirp4netns's own address, beyond the router, answers for itself (RFC 1812: "network unreachable").
      const beyond = '198.18.0.2'
      await network.setInternet(false)
      expect(await outcome(a.dial(beyond, 9))).toBe('EHOSTUNREACH')
      await network.setInternet(true)
      expect(await outcome(a.dial(beyond, 9))).toBe('ENETUNREACH')
    })
  })

  describe("Proxmox's firewall", () => {
    it('drops what no rule lets in, and lets out by default', async () => {
      await guard({ 101: { rules: [rule({ macro: 'SSH', source: '10.77.0.2' })] } })
      expect(await outcome(network.dial(a.address, 22))).toBe('I am a')
      expect(await outcome(network.dial(a.address, 80))).toBe('ETIMEDOUT')
      expect(await outcome(b.dial(a.address, 22))).toBe('ETIMEDOUT')
      expect(await outcome(a.dial(b.address, 80))).toBe('I am b')
    })

    it('does nothing while the datacenter, the VM or the card has it off', async () => {
      await guard({ 101: {} }, { options: { enable: '0' } })
      expect(await outcome(network.dial(a.address, 80))).toBe('I am a')
      await guard({ 101: { options: { enable: '0' } } })
      expect(await outcome(network.dial(a.address, 80))).toBe('I am a')
      await guard({ 101: {} })
      expect(await outcome(network.dial(a.address, 80))).toBe('ETIMEDOUT')
    })

    it('takes the first rule that matches, and skips rules that are off', async () => {
      await guard({
        101: {
          rules: [
            rule({ action: 'DROP', proto: 'tcp', dport: '80', enable: false }),
            rule({ action: 'REJECT', proto: 'tcp', dport: '3000:3010' }),
            rule({ proto: 'tcp', dport: '80,3000' }),
            rule({ action: 'DROP', proto: 'tcp', dport: '80' }),
          ],
        },
      })
      expect(await outcome(network.dial(a.address, 80))).toBe('I am a')
      expect(await outcome(network.dial(a.address, 3000))).toBe('ECONNREFUSED')
    })

    it('a guest that may not send does not, but it answers', async () => {
      await guard({
        101: {
          options: { policy_in: 'ACCEPT', policy_out: 'DROP' },
          rules: [rule({ type: 'out', proto: 'tcp', dport: '443', dest: '10.77.0.102' })],
        },
      })
      expect(await outcome(a.dial(b.address, 80))).toBe('ETIMEDOUT')
      expect(await outcome(a.dial(b.address, 443))).toBe('I am b')
      expect(await outcome(b.dial(a.address, 80))).toBe('I am a')
    })

    it('what one guest may send, the other must still let in', async () => {
      await guard({ 101: { rules: [rule({ type: 'out', proto: 'tcp' })] }, 102: { rules: [rule({ proto: 'tcp', dport: '443' })] } })
      expect(await outcome(a.dial(b.address, 443))).toBe('I am b')
      expect(await outcome(a.dial(b.address, 80))).toBe('ETIMEDOUT')
    })

    it('knows IP sets and aliases of the guest and of the datacenter', async () => {
      await guard(
        {
          101: {
            ipsets: {
              friends: [
                { cidr: '10.77.0.0/24', nomatch: false },
                { cidr: '10.77.0.102', nomatch: true },
              ],
            },
            rules: [
              rule({ macro: 'SSH', source: '+friends' }),
              rule({ macro: 'HTTP', source: 'other' }),
              rule({ macro: 'HTTPS', source: '+dc/none' }),
            ],
          },
        },
        { aliases: { other: '10.77.0.102' }, ipsets: { none: [] } },
      )
      expect(await outcome(network.dial(a.address, 22))).toBe('I am a')
      expect(await outcome(b.dial(a.address, 22))).toBe('ETIMEDOUT')
      expect(await outcome(b.dial(a.address, 80))).toBe('I am a')
      expect(await outcome(network.dial(a.address, 443))).toBe('ETIMEDOUT')
    })

    it('a rule that it does not understand lets nothing in, and is reported', async () => {
      await guard({
        101: { rules: [rule({ macro: 'Unheard' }), rule({ proto: 'tcp', dport: '80; accept' }), rule({ source: 'nowhere' })] },
      })
      expect(await outcome(network.dial(a.address, 80))).toBe('ETIMEDOUT')
      expect(said.filter((line) => line.includes('ignored'))).toHaveLength(3)
    })

    it('a connection outlives the rule that let it in', async () => {
      await guard({ 102: { rules: [rule({ proto: 'tcp', dport: '7000' })] } })
      const socket = await network.dial(b.address, 7001).catch(() => undefined)
      expect(socket).toBeUndefined()
      const { createServer } = await import('node:net')
      const echo = createServer((connection) => void connection.pipe(connection))
      await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
      await b.publish(b.address, 7001, (echo.address() as { port: number }).port)
      await guard({ 102: { rules: [rule({ proto: 'tcp', dport: '7001' })] } })
      const open = await network.dial(b.address, 7001)
      await guard({ 102: { rules: [] } })
      open.write('still here')
      expect(String((await once(open, 'data'))[0])).toBe('still here')
      expect(await outcome(network.dial(b.address, 7001))).toBe('ETIMEDOUT')
      open.destroy()
      echo.close()
    })

    it("a guest can't send with another MAC, unless the filter is off", async () => {
      await guard({ 102: { options: { policy_in: 'ACCEPT' } } })
      await b.namespace.ip(['link set eth0 address bc:24:11:00:00:ff'])
      try {
        expect(await outcome(b.dial(a.address, 80))).toMatch(/EHOSTUNREACH|ETIMEDOUT/)
        await guard({ 102: { options: { macfilter: '0' } } })
        await b.namespace.ip(['neigh flush all'])
        expect(await outcome(b.dial(a.address, 80))).toBe('I am a')
      } finally {
        await b.namespace.ip(['link set eth0 address bc:24:11:00:00:66'])
      }
    })

    it('ipfilter-net0 holds the addresses that a card may use, by ARP too', async () => {
      await b.namespace.ip(['address add 10.77.0.150/24 dev eth0'])
      const { startGateway } = await import('../../lab/network/gateway-client.ts')
      const second = await startGateway(b.namespace, '10.77.0.150', join(folder, 'second'), 1_000)
      try {
        await guard({ 102: { ipsets: { 'ipfilter-net0': [{ cidr: '10.77.0.102', nomatch: false }] } } })
        expect(await outcome(b.dial(a.address, 80))).toBe('I am a')
        expect(await outcome(second.dial(a.address, 80))).toMatch(/EHOSTUNREACH|ETIMEDOUT/)
        await guard({
          102: {
            ipsets: {
              'ipfilter-net0': [
                { cidr: '10.77.0.102', nomatch: false },
                { cidr: '10.77.0.150', nomatch: false },
              ],
            },
          },
        })
        await b.namespace.ip(['neigh flush all'])
        expect(await outcome(second.dial(a.address, 80))).toBe('I am a')
        await guard({ 102: { options: { ipfilter: '1' } } })
        expect(await outcome(b.dial(a.address, 80))).toMatch(/EHOSTUNREACH|ETIMEDOUT/)
      } finally {
        await second.close()
        await b.namespace.ip(['address del 10.77.0.150/24 dev eth0'])
      }
    })
  })
})

describe.skipIf(networkImpossible !== undefined)(`the LAN's end (needs ${needs})`, () => {
  /** Network namespaces of all processes. */
  async function namespaces(): Promise<Set<string>> {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    const links = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/ns/net`).catch(() => '')))
    return new Set(links.filter((link) => link !== ''))
  }

  it('close leaves no namespace, link or process', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sgl-test-'))
    const links = await run(['ip', '-o', 'link'])
    const mounts = await readFile('/proc/self/mounts', 'utf8')
    const network = await createNetwork({ stateDir: folder, subnet: '10.78.0.0/24', log: () => {} })
    const own = await readlink(network.bridge.path)
    expect(await namespaces()).toContain(own)
    expect(await run(['ip', '-o', 'link'])).toBe(links)
    await network.close()
    expect(await namespaces()).not.toContain(own)
    expect(await run(['ip', '-o', 'link'])).toBe(links)
    expect(await readFile('/proc/self/mounts', 'utf8')).toBe(mounts)
    await rm(folder, { recursive: true })
  })

  it('nothing outlives a lab that is killed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sgl-test-'))
    const program = `
      import { createNetwork } from ${JSON.stringify(new URL('../../lab/network/network.ts', import.meta.url).href)}
      const network = await createNetwork({ stateDir: ${JSON.stringify(folder)}, subnet: '10.79.0.0/24', log: () => {} })
      console.log(network.bridge.pid)
      setInterval(() => {}, 1000)`
    const lab = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    const pid = Number(String((await once(lab.stdout, 'data'))[0]))
    const own = await readlink(`/proc/${pid}/ns/net`)
    lab.kill('SIGKILL')
    await once(lab, 'exit')
    await expect.poll(async () => (await namespaces()).has(own), { timeout: 5_000 }).toBe(false)
    await rm(folder, { recursive: true })
  })

  it('a subnet that makes no sense is refused', async () => {
    await expect(createNetwork({ stateDir: '/nowhere', subnet: '10.77.0.1/24', log: () => {} })).rejects.toThrow('host bits')
    await expect(createNetwork({ stateDir: '/nowhere', subnet: '10.77.0.0/30', log: () => {} })).rejects.toThrow('/8 to /27')
  })
})
