/** Programs about addresses, packet filters and connections. */
import { toAddress } from '../interfaces.ts'
import { networkOf } from '../programs.ts'
import { fail, ok, type Program, type Result } from '../shell.ts'
import { options } from './files.ts'

/** `ip address add|del ADDRESS dev CARD`; and `ip route replace|del`, which changes nothing: in the fake LAN everybody reaches everybody. */
const ip: Program = (args, run) => {
  const [object = '', verb = '', text = '', , device = ''] = args.filter((word) => !word.startsWith('-'))
  if (object === 'route' && ['replace', 'del'].includes(verb))
    return run.as.uid === 0 ? ok() : fail('RTNETLINK answers: Operation not permitted', 2)
  if (object !== 'address' || !['add', 'del'].includes(verb)) return fail(`ip ${args.join(' ')}: not modelled by the fake guest`, 2)
  if (run.as.uid !== 0) return fail('RTNETLINK answers: Operation not permitted', 2)
  const { guest } = run
  const loopback = {
    get addresses() {
      return guest.loopback
    },
    set addresses(list) {
      guest.loopback = list
    },
  }
  const card = device === 'lo' ? loopback : guest.interfaces.find((each) => each.name === device)
  if (!card) return fail(`Cannot find device "${device}"`)
  const [address] = toAddress(text)
  if (!address) return fail(`Error: any valid prefix is expected rather than "${text}".`)
  const others = card.addresses.filter((each) => each.address !== address.address)
  const there = others.length < card.addresses.length
  if (there !== (verb === 'del')) return fail(`Error: ipv4: Address ${there ? 'already assigned' : 'not found'}.`, 2)
  card.addresses = verb === 'del' ? others : [...others, address]
  return ok()
}

const nft: Program = (args, run) => {
  if (run.as.uid !== 0) return fail('Error: Operation not permitted (you must be root)')
  const { flags, rest } = options(args, ['-f'])
  const file = flags.get('-f')
  const load = (ruleset: string): Result => {
    const problem = run.guest.firewall.load(ruleset, flags.has('-c'))
    return problem === undefined ? ok() : fail(file === undefined ? `${problem}\n${ruleset}` : `${file}:1:1-1: ${problem}`)
  }
  if (file === '-') return load(run.stdin)
  if (file !== undefined)
    return run.guest.vfs.exists(run.path(file))
      ? load(run.guest.vfs.readText(run.path(file)))
      : fail(`internal:0:0-0: Error: Could not open file "${file}": No such file or directory`)
  const text = rest.join(' ')
  if (text === 'list tables') return ok([...run.guest.firewall.tables.keys()].map((key) => `table ${key}\n`).join(''))
  const [, name] = /^list table (.+)$/.exec(text) ?? []
  if (name !== undefined) {
    const key = name.includes(' ') ? name : `ip ${name}`
    return run.guest.firewall.tables.has(key)
      ? ok(run.guest.firewall.list(key))
      : fail(`Error: No such file or directory\nlist table ${name}`)
  }
  if (text === '') return fail('nft: no command specified')
  return load(text)
}

/** `nsenter --target PID --net PROGRAM …`: what is asked in there is told whose network it is in. */
const nsenter: Program = (args, run) => {
  const [target, pid, what, ...words] = args
  if (target !== '--target' || what !== '--net') return fail(`nsenter ${args.join(' ')}: not modelled by the fake guest`)
  const container = run.guest.docker.ofPid(Number(pid))
  if (container === undefined) return fail(`nsenter: cannot open /proc/${pid}/ns/net: No such file or directory`)
  return run.exec(words, { env: { ...run.env, [networkOf]: container } })
}

/** curl, which reaches nothing. */
const fetchFailure: Program = (words, run) => {
  const host = /^https?:\/\/([^/:]+)/.exec(words.at(-1) ?? '')?.[1] ?? ''
  return run.guest.world.internet(run.guest, 443)
    ? fail('curl: what answers on the internet is not modelled by the fake guest', 127)
    : fail(`curl: (6) Could not resolve host: ${host}`, 6)
}

export const networkPrograms: Readonly<Record<string, Program>> = {
  ip,
  nft,
  nsenter,
  ss: (args, run) => {
    // Connections end with whoever has them: the model keeps no list of them.
    if (args.includes('state')) return ok()
    const listening = [
      ...(run.guest.sshUp ? ['0.0.0.0:22', '[::]:22'] : []),
      ...(run.guest.systemd.state('systemd-resolved.service') === 'active' ? ['127.0.0.53%lo:53'] : []),
    ]
    return ok(`${listening.map((each) => `LISTEN 0      128    ${each}      ${each.startsWith('[') ? '[::]' : '0.0.0.0'}:*\n`).join('')}`)
  },
  curl: fetchFailure,
  arping: (args, run) => {
    const address = args.at(-1) ?? ''
    const answers = run.guest.world.reachable(run.guest, address)
    if (args.includes('-U') || args.includes('-A')) return ok()
    return args.includes('-D')
      ? { stdout: '', stderr: '', exitCode: answers ? 1 : 0 }
      : { stdout: '', stderr: '', exitCode: answers ? 0 : 1 }
  },
  hostname: (_args, run) => ok(`${run.guest.hostname}\n`),
}
