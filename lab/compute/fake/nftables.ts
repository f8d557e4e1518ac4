/** The guest's own packet filter: rulesets are kept by table, and read back by `nft list`. */
export class Firewall {
  /** Text by `family name`, e.g. `inet filter`. */
  readonly tables = new Map<string, string>()

  /**
   * Loads a ruleset. Returns nft's complaint, or undefined. Nothing is changed by a ruleset with a mistake.
   * @param onlyChecks nothing is changed either way
   */
  load(text: string, onlyChecks = false): string | undefined {
    const next = new Map(this.tables)
    let at = 0
    const plain = text.replaceAll(/#.*$/gm, '')
    const space = /\s*;?\s*/y
    for (;;) {
      space.lastIndex = at
      space.exec(plain)
      at = Math.max(at, space.lastIndex)
      if (at >= plain.length) break
      const rest = plain.slice(at)
      const header =
        /^(flush ruleset|(?:(?:add|delete|destroy|flush)\s+)?table\s+(?:(ip6|ip|inet|arp|bridge|netdev)\s+)?([\w-]+)|define\s+[^\n]+|(?:add|insert)\s+(?:rule|element|chain|set)[^\n]+|include[^\n]+)\s*/.exec(
          rest,
        )
      if (!header) return `Error: syntax error, unexpected ${rest.split(/\s/)[0] ?? 'end of file'}`
      at += header[0].length
      const [statement = '', , family = 'ip', name = ''] = [header[1], header[1], header[2], header[3]]
      if (statement === 'flush ruleset') {
        next.clear()
        continue
      }
      if (!/table/.test(statement.split(/\s+/).slice(0, 2).join(' '))) continue
      const key = `${family} ${name}`
      if (/^(delete|destroy)/.test(statement)) {
        if (!next.delete(key) && statement.startsWith('delete')) return 'Error: Could not process rule: No such file or directory'
        continue
      }
      if (/^flush/.test(statement)) {
        next.set(key, '')
        continue
      }
      if (plain[at] !== '{') {
        next.set(key, next.get(key) ?? '')
        continue
      }
      let depth = 0
      const from = at
      for (; at < plain.length; at++) {
        if (plain[at] === '{') depth++
        if (plain[at] === '}' && --depth === 0) break
      }
      if (depth !== 0) return 'Error: syntax error, unexpected end of file'
      next.set(key, (next.get(key) ?? '') + plain.slice(from + 1, at))
      at++
    }
    if (onlyChecks) return undefined
    this.tables.clear()
    for (const [key, value] of next) this.tables.set(key, value)
    return undefined
  }

  list(only?: string): string {
    return [...this.tables]
      .filter(([key]) => only === undefined || key === only)
      .map(([key, body]) => `table ${key} {${body.trimEnd().replaceAll(/(\bcounter \w+ \{)\s*\}/g, '$1 packets 0 bytes 0 }')}\n}\n`)
      .join('')
  }
}
