/** Names and contents of systemd's unit files. */

export interface UnitFile {
  readonly name: string
  readonly path: string
  readonly masked: boolean
  /** Further files whose text is in it, in order. */
  readonly dropins: readonly string[]
  /** All values of a key, in order; an empty value forgets the ones before, as systemd does. */
  all(section: string, key: string): string[]
  one(section: string, key: string): string | undefined
}

/** systemd.unit(5): a path as a unit name. */
export function deviceUnit(path: string): string {
  return `${escapePath(path)}.device`
}

export function escapePath(path: string): string {
  return (
    path
      .replace(/^\/+|\/+$/g, '')
      .split('')
      .map((letter, at) =>
        letter === '/'
          ? '-'
          : /[A-Za-z0-9:_]/.test(letter) || (letter === '.' && at > 0)
            ? letter
            : `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`,
      )
      .join('') || '-'
  )
}

export function unitName(unit: string): string {
  if (unit.startsWith('/dev/')) return deviceUnit(unit)
  return /\.(service|target|mount|timer|socket|path|device|slice|scope|automount|swap)$/.test(unit) ? unit : `${unit}.service`
}

export function parseUnit(name: string, path: string, text: string, masked = false, dropins: readonly string[] = []): UnitFile {
  const values = new Map<string, string[]>()
  let section = ''
  for (const line of text.replaceAll(/\\\n\s*/g, ' ').split('\n')) {
    const header = /^\[(\w+)\]\s*$/.exec(line)
    if (header) section = header[1] ?? ''
    const [, key, value = ''] = /^([A-Za-z-]+)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (key === undefined) continue
    const at = `${section}.${key}`
    values.set(at, value === '' ? [] : [...(values.get(at) ?? []), value])
  }
  const listed = new Set([
    'Requires',
    'Requisite',
    'Wants',
    'BindsTo',
    'PartOf',
    'After',
    'Before',
    'Conflicts',
    'RequiresMountsFor',
    'WantedBy',
    'RequiredBy',
    'Also',
    'Alias',
    'SuccessExitStatus',
  ])
  return {
    name,
    path,
    masked,
    dropins,
    all: (where, key) => {
      const found = values.get(`${where}.${key}`) ?? []
      return listed.has(key) ? found.flatMap((value) => value.split(/\s+/)).filter(Boolean) : found
    },
    one: (where, key) => values.get(`${where}.${key}`)?.at(-1),
  }
}
