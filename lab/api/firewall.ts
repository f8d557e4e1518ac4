/** Firewall configuration of the cluster and of each VM: one set of handlers for both. */
import { createHash } from 'node:crypto'
import { emptyFirewall, type FirewallDocument, type FirewallRuleDocument } from '../state/types.ts'
import type { Call, Handler, Handlers } from './context.ts'
import { fail, parameterError } from './errors.ts'
import { splitList } from './formats.ts'
import { applyFirewall } from './vm/firewall-state.ts'

const ruleKeys = ['type', 'action', 'enable', 'comment', 'dest', 'dport', 'icmp-type', 'iface', 'log', 'macro', 'proto', 'source', 'sport']
const digestOf = (part: unknown): string => createHash('sha1').update(JSON.stringify(part)).digest('hex')
const numbers = new Set(['enable', 'dhcp', 'ipfilter', 'macfilter', 'ndp', 'radv', 'ebtables'])
const typed = (record: Readonly<Record<string, string>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, numbers.has(key) ? Number(value) : value]))

interface Scope {
  document(call: Call): FirewallDocument
  save(call: Call, document: FirewallDocument): void
}

/** A write on a VM that does not exist succeeds, as on PVE. */
const vmScope: Scope = {
  document: (call) => call.context.state.vmFirewalls.value[call.params.vmid as string] ?? emptyFirewall(),
  save: (call, document) => {
    call.context.state.vmFirewalls.value[call.params.vmid as string] = document
    call.context.state.vmFirewalls.save()
  },
}
const clusterScope: Scope = {
  document: (call) => call.context.state.clusterFirewall.value,
  save: (call) => call.context.state.clusterFirewall.save(),
}

function requireDigest(call: Call, part: unknown): void {
  if (call.params.digest !== undefined && call.params.digest !== digestOf(part))
    fail('detected modified configuration - file changed by other user? Try again.')
}

/** PVE refuses a rule that can't mean anything. */
function requireSensible(rule: Readonly<FirewallRuleDocument>): void {
  if ((rule.dport !== undefined || rule.sport !== undefined) && rule.proto === undefined && rule.macro === undefined) {
    const text = "missing 'proto' property - 'dport' and 'sport' need it"
    throw parameterError({ proto: text })
  }
  if (rule.type !== 'group' && rule.macro === undefined && !/^(ACCEPT|DROP|REJECT)$/.test(rule.action ?? ''))
    throw parameterError({ action: `unknown action '${rule.action ?? ''}'` })
}

/** The rule's parts that the caller names, empty ones included. */
const given = (call: Call): FirewallRuleDocument =>
  Object.fromEntries(ruleKeys.filter((key) => call.params[key] !== undefined).map((key) => [key, call.params[key] as string]))

function shownRule(rules: readonly FirewallRuleDocument[], pos: number): Record<string, unknown> {
  const rule = rules[pos] ?? fail(`no rule at position ${pos}`)
  return { pos, ...typed(rule), digest: digestOf(rules) }
}

function handlersFor(base: string, scope: Scope): Record<string, Handler> {
  const read =
    (work: (document: FirewallDocument, call: Call) => unknown): Handler =>
    (call) =>
      work(scope.document(call), call)
  const write =
    (work: (document: FirewallDocument, call: Call) => void): Handler =>
    async (call) => {
      const document = scope.document(call)
      work(document, call)
      scope.save(call, document)
      await applyFirewall(call.context)
      return null
    }
  const setOf = (document: FirewallDocument, name: string) => document.ipsets[name] ?? fail(`no such IPSet '${name}'`)
  const entryOf = (document: FirewallDocument, call: Call) =>
    setOf(document, call.params.name as string).entries.find((entry) => entry.cidr === call.params.cidr) ??
    fail(`no such IP/Network or Alias '${call.params.cidr}' in IPSet`)
  const aliasOf = (document: FirewallDocument, name: string) => document.aliases[name] ?? fail(`no such alias '${name}'`)
  const shownEntry = (entry: { cidr: string; nomatch?: boolean; comment?: string }, entries: unknown) => ({
    cidr: entry.cidr,
    ...(entry.comment === undefined ? {} : { comment: entry.comment }),
    ...(entry.nomatch ? { nomatch: 1 } : {}),
    digest: digestOf(entries),
  })
  const shownAlias = (document: FirewallDocument, name: string) => {
    const { cidr, comment } = aliasOf(document, name)
    return {
      name,
      cidr,
      ipversion: cidr.includes(':') ? 6 : 4,
      ...(comment === undefined ? {} : { comment }),
      digest: digestOf(document.aliases),
    }
  }
  return {
    [`GET ${base}`]: () => ['aliases', 'ipset', 'options', 'refs', 'rules'].map((name) => ({ name })),
    [`GET ${base}/options`]: read((document) => ({ ...typed(document.options), digest: digestOf(document.options) })),
    [`PUT ${base}/options`]: write((document, call) => {
      requireDigest(call, document.options)
      for (const [key, value] of Object.entries(call.params))
        if (!['node', 'vmid', 'delete', 'digest'].includes(key)) document.options[key] = value
      for (const key of splitList(call.params.delete ?? '')) delete document.options[key]
    }),
    [`GET ${base}/rules`]: read((document) => document.rules.map((_, pos) => shownRule(document.rules, pos))),
    // A new rule goes to the top, whatever `pos` says.
    [`POST ${base}/rules`]: write((document, call) => {
      requireDigest(call, document.rules)
      const rule = Object.fromEntries(Object.entries(given(call)).filter(([, value]) => value !== ''))
      requireSensible(rule)
      document.rules.unshift(rule)
    }),
    [`GET ${base}/rules/{pos}`]: read((document, call) => {
      const { pos, ...rule } = shownRule(document.rules, Number(call.params.pos))
      return { pos: String(pos), ...rule }
    }),
    [`PUT ${base}/rules/{pos}`]: write((document, call) => {
      requireDigest(call, document.rules)
      const pos = Number(call.params.pos)
      const rule = document.rules[pos] ?? fail(`no rule at position ${pos}`)
      if (call.params.moveto !== undefined) {
        const target = Number(call.params.moveto)
        const moved = document.rules.filter((_, index) => index !== pos)
        moved.splice(target > pos ? target - 1 : target, 0, rule)
        document.rules = moved
        return
      }
      const changed = Object.fromEntries(Object.entries({ ...rule, ...given(call) }).filter(([, value]) => value !== ''))
      for (const key of splitList(call.params.delete ?? '')) delete changed[key]
      requireSensible(changed)
      document.rules[pos] = changed
    }),
    [`DELETE ${base}/rules/{pos}`]: write((document, call) => {
      requireDigest(call, document.rules)
      const pos = Number(call.params.pos)
      if (document.rules[pos] === undefined) fail(`no rule at position ${pos}`)
      document.rules.splice(pos, 1)
    }),
    [`GET ${base}/ipset`]: read((document) =>
      Object.entries(document.ipsets).map(([name, { comment }]) => ({
        name,
        ...(comment === undefined ? {} : { comment }),
        digest: digestOf(document.ipsets),
      })),
    ),
    [`POST ${base}/ipset`]: write((document, call) => {
      const { name = '', rename, comment } = call.params
      if (rename !== undefined) {
        const renamed = setOf(document, rename)
        if (rename !== name && document.ipsets[name] !== undefined) fail(`IPSet '${name}' already exists`)
        delete document.ipsets[rename]
        document.ipsets[name] = { ...renamed, ...(comment === undefined ? {} : { comment }) }
        return
      }
      if (document.ipsets[name] !== undefined) fail(`IPSet '${name}' already exists`)
      document.ipsets[name] = { entries: [], ...(comment === undefined ? {} : { comment }) }
    }),
    [`GET ${base}/ipset/{name}`]: read((document, call) => {
      const { entries } = setOf(document, call.params.name as string)
      return entries.map((entry) => shownEntry(entry, entries))
    }),
    [`POST ${base}/ipset/{name}`]: write((document, call) => {
      const { entries } = setOf(document, call.params.name as string)
      const { cidr = '', comment } = call.params
      if (entries.some((entry) => entry.cidr === cidr)) fail(`address '${cidr}' already exists`)
      if (/\/0+$/.test(cidr)) throw parameterError({ cidr: 'a zero prefix is not allowed in ipset entries' })
      entries.unshift({ cidr, ...(call.params.nomatch === '1' ? { nomatch: true } : {}), ...(comment === undefined ? {} : { comment }) })
    }),
    [`DELETE ${base}/ipset/{name}`]: write((document, call) => {
      const name = call.params.name as string
      const found = document.ipsets[name]
      if (found === undefined) return
      if (found.entries.length > 0 && call.params.force !== '1') fail(`IPSet '${name}' is not empty`)
      delete document.ipsets[name]
    }),
    [`GET ${base}/ipset/{name}/{cidr}`]: read((document, call) =>
      shownEntry(entryOf(document, call), setOf(document, call.params.name as string).entries),
    ),
    [`PUT ${base}/ipset/{name}/{cidr}`]: write((document, call) => {
      const entry = entryOf(document, call)
      if (call.params.comment !== undefined) entry.comment = call.params.comment
      if (call.params.nomatch !== undefined) entry.nomatch = call.params.nomatch === '1'
    }),
    [`DELETE ${base}/ipset/{name}/{cidr}`]: write((document, call) => {
      const found = setOf(document, call.params.name as string)
      found.entries = found.entries.filter((entry) => entry.cidr !== call.params.cidr)
    }),
    [`GET ${base}/aliases`]: read((document) => Object.keys(document.aliases).map((name) => shownAlias(document, name))),
    [`POST ${base}/aliases`]: write((document, call) => {
      const { name = '', cidr = '', comment } = call.params
      if (document.aliases[name.toLowerCase()] !== undefined) throw parameterError({ name: `alias '${name}' already exists` })
      document.aliases[name.toLowerCase()] = { cidr, ...(comment === undefined ? {} : { comment }) }
    }),
    [`GET ${base}/aliases/{name}`]: read((document, call) => shownAlias(document, (call.params.name as string).toLowerCase())),
    [`PUT ${base}/aliases/{name}`]: write((document, call) => {
      const name = (call.params.name as string).toLowerCase()
      const { comment } = aliasOf(document, name)
      const kept = call.params.comment ?? comment
      delete document.aliases[name]
      document.aliases[(call.params.rename ?? name).toLowerCase()] = {
        cidr: call.params.cidr as string,
        ...(kept === undefined ? {} : { comment: kept }),
      }
    }),
    [`DELETE ${base}/aliases/{name}`]: write((document, call) => {
      delete document.aliases[(call.params.name as string).toLowerCase()]
    }),
    [`GET ${base}/refs`]: read((document, call) => [
      ...(call.params.type === 'ipset'
        ? []
        : Object.entries(document.aliases).map(([name, { comment }]) => ({
            type: 'alias',
            name,
            ref: `guest/${name}`,
            ...(comment === undefined ? {} : { comment }),
          }))),
      ...(call.params.type === 'alias'
        ? []
        : Object.entries(document.ipsets).map(([name, { comment }]) => ({
            type: 'ipset',
            name,
            ref: `+guest/${name}`,
            ...(comment === undefined ? {} : { comment }),
          }))),
    ]),
  }
}

export const firewallHandlers: Handlers = {
  ...handlersFor('/cluster/firewall', clusterScope),
  ...handlersFor('/nodes/{node}/qemu/{vmid}/firewall', vmScope),
  'GET /cluster/firewall/groups': () => [],
}
