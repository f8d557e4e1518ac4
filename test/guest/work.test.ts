/** What is asked of a machine that is tried out: a client's work, and who can be reached. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { dashboardQueries, dashboards } from '../../images/dashboards/dashboards.ts'
import { dashboardProblems, queriesOf } from '../../images/guest/dashboards.ts'
import { thisMachine, type Machine, type Question, type Reply } from '../../images/guest/machine.ts'
import { countingTable, reach } from '../../images/guest/reach.ts'
import { answerIn, work } from '../../images/guest/work.ts'
import { seeds } from './seed.ts'

const worker = { user: 'me', password: 'pass', project: 'playground' }

/** Serena behind nginx, as far as a client sees it; `spoil` changes what a method, or a tool, answers. */
function serena(spoil: (what: string) => object | number | undefined = () => undefined): { machine: Machine; asked: Question[] } {
  const asked: Question[] = []
  const written = new Map<string, string>()
  const says = (status: number, body = '', headers: Record<string, string> = {}): Reply => ({ status, body, headers })
  const ask = async (question: Question): Promise<Reply> => {
    asked.push(question)
    if (question.headers?.authorization !== `Basic ${Buffer.from('me:pass').toString('base64')}`) return says(401)
    if (question.method === 'DELETE') return says(200)
    const { id, method, params } = JSON.parse(question.body ?? '')
    if (method !== 'initialize' && question.headers['mcp-session-id'] !== 's1') return says(400, 'no session')
    const spoilt = spoil(params?.name ?? method)
    if (typeof spoilt === 'number') return says(spoilt)
    if (method === 'notifications/initialized') return says(202)
    const text = (value: string) => ({ content: [{ type: 'text', text: value }] })
    const result = (): object => {
      if (method === 'initialize') return { serverInfo: { name: 'Serena' } }
      if (method === 'tools/list')
        return { tools: ['activate_project', 'create_text_file', 'find_symbol', 'read_file'].map((name) => ({ name })) }
      const { relative_path: path, content } = params.arguments
      if (params.name === 'create_text_file') written.set(path, content)
      return text(params.name === 'find_symbol' ? (written.get(path) ?? '') : 'OK')
    }
    const answer = JSON.stringify({ jsonrpc: '2.0', id, result: spoilt ?? result() })
    return says(200, `: ping\n\nevent: message\ndata: ${answer}\n\n`, { 'mcp-session-id': 's1' })
  }
  return { machine: { ...thisMachine, ask }, asked }
}

describe('work', () => {
  it('is a whole session, in which each language server finds what was written for it', async () => {
    const { machine, asked } = serena()
    const checks = await work(machine, seeds.both, worker)
    expect(checks.filter(({ ok }) => !ok)).toEqual([])
    expect(checks.map(({ name }) => name)).toEqual([
      'me opens a session',
      'Serena offers its tools',
      'project playground is activated',
      'Pyright finds a symbol in a file that was written',
      'typescript-language-server finds a symbol in a file that was written',
      'the session ends',
    ])
    expect(asked[0]).toMatchObject({
      to: { host: '127.0.0.1', port: 443 },
      tls: { name: 'serena.example.org' },
      headers: { host: 'serena.example.org' },
    })
    expect(asked.at(-1)?.method).toBe('DELETE')
  })

  it.each<[string, string, object | number, RegExp]>([
    ['initialize', 'me opens a session', 503, /answered with 503/],
    ['notifications/initialized', 'me opens a session', 400, /answered with 400/],
    [
      'tools/list',
      'Serena offers its tools',
      { tools: [{ name: 'read_file' }] },
      /offers 1 tools, without activate_project, create_text_file, find_symbol/,
    ],
    ['activate_project', 'project playground is activated', { isError: true, content: [{ text: 'no such project' }] }, /no such project/],
    ['find_symbol', 'Pyright finds a symbol in a file that was written', { content: [{ text: '[]' }] }, /find_symbol: \[\]/],
  ])('where %s goes wrong, says so', async (what, check, answer, detail) => {
    const checks = await work(serena((name) => (name === what ? answer : undefined)).machine, seeds.both, worker)
    expect(checks.find(({ name }) => name === check)).toMatchObject({ ok: false, detail: expect.stringMatching(detail) })
  })

  it('takes no wrong password for a session', async () => {
    const checks = await work(serena().machine, seeds.both, { ...worker, password: 'other' })
    expect(checks).toEqual([{ part: 'tools', name: 'me opens a session', ok: false, detail: expect.stringContaining('401') }])
  })

  it('finds an answer in a stream or alone, and takes none of another request', () => {
    expect(answerIn('{"id":2,"result":{}}', 2)).toEqual({ id: 2, result: {} })
    expect(answerIn('data: {"id":1,"result":{}}\n\ndata: {"method":"note"}\ndata: {"id":2,"error":{"message":"no"}}\n', 2)).toEqual({
      id: 2,
      error: { message: 'no' },
    })
    expect(answerIn('data: {"id":1}\n<html>\n{broken', 2)).toBeUndefined()
  })
})

describe('the queries of the dashboards', () => {
  const machine = (answer: (query: string) => string): Machine => ({
    ...thisMachine,
    files: { ...thisMachine.files, list: () => ['one.json'], read: () => JSON.stringify(dashboards()['golden-overview']) },
    ask: async ({ path }) => {
      const query = new URL(path, 'http://loki').searchParams.get('query') ?? ''
      const body = answer(query)
      return { status: body.startsWith('{') ? 200 : 400, headers: {}, body }
    },
  })

  it('are all asked, as Grafana asks them at first sight', async () => {
    const asked: string[] = []
    const problems = await dashboardProblems(
      machine((query) => {
        asked.push(query)
        return '{"status":"success","data":{}}'
      }),
      seeds.both,
    )
    expect(problems).toEqual([])
    expect(asked).toEqual(dashboardQueries())
    expect(asked.length).toBeGreaterThan(5)
    expect(asked.join('')).not.toContain('$')
  })

  it('that Loki does not take are named', async () => {
    const [first = ''] = dashboardQueries()
    const problems = await dashboardProblems(
      machine((query) => (query === first ? 'parse error at line 1' : '{"status":"success"}')),
      seeds.both,
    )
    expect(problems).toEqual([`${first}: status 400: parse error at line 1`])
  })

  it('are not there where there are no dashboards', () => {
    expect(queriesOf('{"panels":[]}')).toEqual([])
  })
})

describe('who can be reached', () => {
  it('is told of what takes a connection, and of nothing else', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const program = join(import.meta.dirname, '../../images/guest/reach.ts')
    const { stdout } = await promisify(execFile)(process.execPath, [program, `127.0.0.1:${port}`, '127.0.0.1:1', '--inspect', '; rm'])
    server.close()
    expect(JSON.parse(stdout)).toEqual([`127.0.0.1:${port}`])
  }, 30_000)

  const inContainer = (table: string, ran: string[][]): Machine => ({
    ...thisMachine,
    files: { ...thisMachine.files, write: () => {}, remove: () => {} },
    run: async (program, args) => {
      ran.push([program, ...args])
      const stdout = program === 'docker' ? '4711\n' : program === 'nft' ? table : '["10.0.0.1:22"]'
      return { status: 0, stdout, stderr: '' }
    },
  })

  it('is tried from the network of a container, by its process, and what leaves the machine is counted', async () => {
    const ran: string[][] = []
    const machine = inContainer('table inet golden_reach { counter left { packets 3 bytes 180 } }', ran)
    expect(await reach(machine, seeds.both, ['10.0.0.1:22'], 'serena_mcp')).toEqual({ reached: ['10.0.0.1:22'], left: 3 })
    expect(ran.map(([program]) => program)).toEqual(['docker', 'nft', 'nsenter', 'nft', 'nft'])
    expect(ran[2]?.slice(0, 4)).toEqual(['nsenter', '--target', '4711', '--net'])
    expect(ran[2]?.slice(-2)).toEqual(['--udp', '10.0.0.1:22'])
    expect(ran.at(-1)).toEqual(['nft', 'delete', 'table', 'inet', 'golden_reach'])
  })

  it('is not told of a container that does not run', async () => {
    const machine: Machine = { ...inContainer('', []), run: async () => ({ status: 1, stdout: '', stderr: 'Error: No such object: x' }) }
    await expect(reach(machine, seeds.both, ['10.0.0.1:22'], 'x')).rejects.toThrow('No such object')
  })

  it.skipIf(process.getuid?.() !== 0 || !existsSync('/usr/sbin/nft'))(
    'a real kernel counts what of a container gets out, past what holds it back (needs root and nft)',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'golden-reach-'))
      writeFileSync(join(folder, 'count.nft'), countingTable({ nameservers: ['198.18.0.6'] }))
      writeFileSync(
        join(folder, 'nat.nft'),
        'table ip nat {\n chain p {\n  type nat hook postrouting priority srcnat;\n  oifname "eth0" masquerade\n }\n}\n',
      )
      writeFileSync(
        join(folder, 'drop.nft'),
        'table inet golden {\n chain forward {\n  type filter hook forward priority filter; policy drop;\n }\n}\n',
      )
      // A machine of which nobody is at the other end of the cable, and a container in it.
      const script = `set -eu
cd "$1"
unshare -n sleep 60 & container=$!
until [ "$(readlink /proc/$container/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link add eth0 type veth peer name cable
ip addr add 198.18.0.1/29 dev eth0; ip link set eth0 up; ip link set cable up
ip route add default via 198.18.0.6
ip link add inside type veth peer name own netns $container
ip addr add 172.30.0.1/28 dev inside; ip link set inside up
nsenter --target $container --net sh -c 'ip addr add 172.30.0.11/28 dev own; ip link set own up; ip route add default via 172.30.0.1'
echo 1 > /proc/sys/net/ipv4/ip_forward
nft -f nat.nft
for firewall in '' drop.nft; do
  nft -f count.nft
  [ -z "$firewall" ] || nft -f $firewall
  nsenter --target $container --net "$2" "$3" --udp 192.0.2.1:443 198.18.0.6:53 > /dev/null 2>&1
  nft list table inet golden_reach | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'
  nft delete table inet golden_reach
done
kill $container`
      try {
        const program = join(import.meta.dirname, '../../images/guest/reach.ts')
        const { stdout } = await promisify(execFile)('unshare', ['-mn', 'sh', '-c', script, 'sh', folder, process.execPath, program])
        const [open = NaN, closed] = stdout.trim().split('\n').map(Number)
        // A datagram and the first packet of a connection, which is sent again; what goes to the name server does not count.
        expect(open).toBeGreaterThanOrEqual(2)
        expect(closed).toBe(0)
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    },
    120_000,
  )
})
