/** Programs about addresses, packet filters and connections. */
import { toAddress } from '../interfaces.ts'
import { fail, ok, type Program, type Result, type Run } from '../shell.ts'
import { ROOT } from '../vfs.ts'
import { options } from './files.ts'

const ip: Program = (args, run) => {
  const { flags, rest } = options(
    args.filter((word) => !/^-(4|6|br|o|c|color.*)$/.test(word)),
    ['-family', '-f', '-n'],
  )
  const json = flags.has('-j') || flags.has('-json') || args.includes('-j') || args.includes('-json')
  const [object = '', ...words] = rest
  const device = words.includes('dev') ? words[words.indexOf('dev') + 1] : undefined
  const cards = run.guest.interfaces
  const all = [{ name: 'lo', mac: '00:00:00:00:00:00', up: true, addresses: [{ address: '127.0.0.1', prefix: 8 }] }, ...cards]
  if (/^a(d(d(r(e(s(s)?)?)?)?)?)?$/.test(object)) {
    const verb = words[0] ?? 'show'
    if (['add', 'a', 'replace', 'del', 'd', 'delete'].includes(verb)) {
      if (run.as.uid !== 0) return fail('RTNETLINK answers: Operation not permitted', 2)
      const card = cards.find((each) => each.name === device)
      if (!card) return fail(`Cannot find device "${device ?? ''}"`)
      const [address] = toAddress(words[1] ?? '')
      if (!address) return fail(`Error: any valid prefix is expected rather than "${words[1] ?? ''}".`)
      const there = card.addresses.some((each) => each.address === address.address)
      if (verb.startsWith('d')) {
        if (!there) return fail('RTNETLINK answers: Cannot assign requested address', 2)
        card.addresses = card.addresses.filter((each) => each.address !== address.address)
      } else {
        if (there && verb !== 'replace') return fail('RTNETLINK answers: File exists', 2)
        if (!there) card.addresses = [...card.addresses, address]
      }
      return ok()
    }
    const shown = all.filter(
      (each) =>
        each.name ===
        (device ??
          (words.length > 0 && !['show', 'list', 'ls'].includes(verb)
            ? verb
            : words[1] !== undefined && !['up', 'scope', 'to', 'dev'].includes(words[1])
              ? words[1]
              : each.name)),
    )
    if (json)
      return ok(
        `${JSON.stringify(shown.map((each, index) => ({ ifindex: index + 1, ifname: each.name, operstate: each.up ? 'UP' : 'DOWN', address: each.mac.toLowerCase(), addr_info: each.addresses.map(({ address, prefix }) => ({ family: address.includes(':') ? 'inet6' : 'inet', local: address, prefixlen: prefix, scope: 'global' })) })))}\n`,
      )
    if (args.includes('-br'))
      return ok(
        shown
          .map(
            (each) =>
              `${each.name} ${each.up ? 'UP' : 'DOWN'} ${each.addresses.map(({ address, prefix }) => `${address}/${prefix}`).join(' ')}\n`,
          )
          .join(''),
      )
    if (args.includes('-o'))
      return ok(
        shown
          .flatMap((each, index) =>
            each.addresses.map(
              ({ address, prefix }) => `${index + 1}: ${each.name}    inet ${address}/${prefix} scope global ${each.name}\n`,
            ),
          )
          .join(''),
      )
    return ok(
      shown
        .map(
          (each, index) =>
            `${index + 1}: ${each.name}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state ${each.up ? 'UP' : 'DOWN'}\n    link/ether ${each.mac.toLowerCase()}\n${each.addresses.map(({ address, prefix }) => `    inet ${address}/${prefix} scope global ${each.name}\n`).join('')}`,
        )
        .join(''),
    )
  }
  if (/^l(i(n(k)?)?)?$/.test(object)) {
    if (words[0] === 'set') {
      const card = cards.find((each) => each.name === (device ?? words[1]))
      if (card && words.includes('down')) card.up = false
      if (card && words.includes('up')) card.up = true
      return ok()
    }
    return ok(all.map((each, index) => `${index + 1}: ${each.name}: <UP> mtu 1500\n    link/ether ${each.mac.toLowerCase()}\n`).join(''))
  }
  if (/^r(o(u(t(e)?)?)?)?$/.test(object))
    return ok(run.guest.gateway === undefined ? '' : `default via ${run.guest.gateway} dev ${cards[0]?.name ?? 'eth0'} proto static\n`)
  return ok()
}

const nft: Program = (args, run) => {
  if (run.as.uid !== 0) return fail('Error: Operation not permitted (you must be root)')
  const { flags, rest } = options(
    args.filter((word) => !['-j', '-a', '-n', '-s'].includes(word)),
    ['-f', '--file', '-I', '-D'],
  )
  const file = flags.get('-f') ?? flags.get('--file')
  const check = flags.has('-c') || flags.has('--check')
  const load = (text: string): Result => {
    const before = new Map(run.guest.firewall.tables)
    const problem = run.guest.firewall.load(text)
    if (problem !== undefined || check) {
      run.guest.firewall.tables.clear()
      for (const [key, value] of before) run.guest.firewall.tables.set(key, value)
    }
    return problem === undefined ? ok() : fail(`${file ?? 'cmdline'}:1:1-1: ${problem}`)
  }
  if (file !== undefined) {
    const path = file === '-' ? '/dev/stdin' : run.path(file)
    if (path !== '/dev/stdin' && !run.guest.vfs.exists(path))
      return fail(`${file}:0:0-0: Error: Could not open file "${file}": No such file or directory`)
    const text = path === '/dev/stdin' ? run.stdin : run.guest.vfs.readText(path)
    const missing = [...text.matchAll(/^\s*include\s+"([^"*]+)"/gm)]
      .map((match) => match[1] ?? '')
      .find((each) => !run.guest.vfs.exists(each))
    if (missing !== undefined) return fail(`${file}:2:1-1: Error: Could not open file "${missing}": No such file or directory`)
    return load(text.replaceAll(/^\s*include\s+"([^"*]+)"/gm, (_, each: string) => run.guest.vfs.readText(each)))
  }
  const text = rest.join(' ')
  if (text === 'list ruleset') return ok(run.guest.firewall.list())
  if (text === 'list tables') return ok([...run.guest.firewall.tables.keys()].map((key) => `table ${key}\n`).join(''))
  const [, name] = /^list table (.+)$/.exec(text) ?? []
  if (name !== undefined) {
    const key = name.includes(' ') ? name : `ip ${name}`
    return run.guest.firewall.tables.has(key)
      ? ok(run.guest.firewall.list(key))
      : fail(`Error: No such file or directory\nlist table ${name}`)
  }
  if (/^list (chain|set)/.test(text)) {
    const [, , family = '', table = ''] = text.split(' ')
    return run.guest.firewall.tables.has(`${family} ${table}`)
      ? ok(run.guest.firewall.list(`${family} ${table}`))
      : fail('Error: No such file or directory')
  }
  if (text === '') return fail('nft: no command specified')
  return load(text)
}

function fetchFailure(run: Run, words: readonly string[]): Result {
  const url = words.find((word) => /^https?:\/\//.test(word)) ?? words.at(-1) ?? ''
  const [, host = '', port] = /^(?:https?:\/\/)?([^/:]+)(?::(\d+))?/.exec(url) ?? []
  if (/^[\d.]+$|^localhost$/.test(host))
    return fail(
      `curl: (7) Failed to connect to ${host} port ${port ?? (url.startsWith('https') ? 443 : 80)} after 0 ms: Could not connect to server`,
      7,
    )
  return run.guest.world.internet(run.guest, 443)
    ? fail('curl: what answers on the internet is not modelled by the fake guest', 127)
    : fail(`curl: (6) Could not resolve host: ${host}`, 6)
}

export const networkPrograms: Readonly<Record<string, Program>> = {
  ip,
  nft,
  ss: (args, run) => {
    const listening = [
      ...(run.guest.sshUp ? ['0.0.0.0:22', '[::]:22'] : []),
      ...(run.guest.systemd.state('systemd-resolved.service') === 'active' ? ['127.0.0.53%lo:53'] : []),
    ]
    const header =
      args.includes('-H') || args.some((word) => /^-[a-zA-Z]*H/.test(word))
        ? ''
        : 'State  Recv-Q Send-Q Local Address:Port Peer Address:Port\n'
    return ok(
      `${header}${listening.map((each) => `LISTEN 0      128    ${each}      ${each.startsWith('[') ? '[::]' : '0.0.0.0'}:*\n`).join('')}`,
    )
  },
  curl: (args, run) => (args.includes('--version') || args.includes('-V') ? ok('curl 8.14.1\n') : fetchFailure(run, args)),
  wget: (args, run) => fetchFailure(run, args),
  ping: (args, run) => {
    const host = args.findLast((word) => /^[\d.]+$/.test(word) && word.includes('.')) ?? ''
    return run.guest.world.reachable(run.guest, host)
      ? ok(`64 bytes from ${host}: icmp_seq=1 ttl=64 time=0.1 ms\n`)
      : fail(`From ${host}: Destination Host Unreachable`)
  },
  arping: (args, run) => {
    const address = args.at(-1) ?? ''
    const answers = run.guest.world.reachable(run.guest, address)
    if (args.includes('-U') || args.includes('-A')) return ok()
    return args.includes('-D')
      ? { stdout: '', stderr: '', exitCode: answers ? 1 : 0 }
      : { stdout: '', stderr: '', exitCode: answers ? 0 : 1 }
  },
  netplan: () => ok(),
  iptables: () => ok(),
  ip6tables: () => ok(),
  'iptables-save': () => ok(),
  hostname: (args, run) => {
    const [name] = args.filter((word) => !word.startsWith('-'))
    if (name !== undefined) {
      if (run.as.uid !== 0) return fail('hostname: you must be root to change the host name')
      run.guest.vfs.write('/etc/hostname', `${name}\n`, ROOT)
      return ok()
    }
    if (args.includes('-I'))
      return ok(`${run.guest.interfaces.flatMap((card) => card.addresses.map(({ address }) => address)).join(' ')} \n`)
    return ok(`${run.guest.hostname}\n`)
  },
}
