/** The lab's method table against the API schema of Proxmox VE 9.1. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { handlers } from '../../lab/api/handlers.ts'
import { methods } from '../../lab/api/methods.ts'
import { pathNames, type Check, type Param, type PropertyFormat } from '../../lab/api/schema.ts'
import { cutSchema, renderSchema, schemaFile, type Schema, type SchemaParam } from '../../lab/recorded/cut-schema.ts'

const text = readFileSync(schemaFile, 'utf8')
const schema = JSON.parse(text) as Schema
/** All of it, where it is beside the clone. */
const wholeFile = resolve(import.meta.dirname, '../../../shared/data/pve-api-9.1.json')

/** Perl's way to print a regular expression, and ours, reduced to what they say. */
const bare = (pattern: string): string =>
  pattern
    .replaceAll('(?^:', '(?:')
    .replaceAll('^(0x)', '0x')
    .replace(/\{,/g, '{0,')
    .replaceAll('\\@', '@')
    .replaceAll('\\/', '/')
    .replaceAll('\\-', '-')
    .replaceAll('\\.', '.')
    .replaceAll('\\_', '_')
    .replaceAll('(?:', '(')
    .replace(/[\^$()]/g, '')

function wanted(param: SchemaParam): Record<string, unknown> {
  return {
    type: param.type ?? 'string',
    optional: param.optional === 1,
    values: param.enum ?? undefined,
    min: param.minimum === undefined ? undefined : Number(param.minimum),
    max: param.maximum === undefined ? undefined : Number(param.maximum),
    minLength: param.minLength,
    maxLength: param.maxLength,
    requires: param.requires,
    pattern: param.pattern === undefined ? undefined : bare(param.pattern),
    format: typeof param.format === 'string' ? param.format : undefined,
  }
}

function written(param: Param): Record<string, unknown> {
  return {
    type: param.type,
    optional: param.optional ?? false,
    values: param.values,
    min: param.min,
    max: param.max,
    minLength: param.minLength,
    maxLength: param.maxLength,
    requires: param.requires,
    pattern: param.pattern === undefined ? undefined : bare(param.pattern.source),
    format: param.format,
  }
}

/** Property formats that the schema gives by name only, written out by the lab. */
function compareFormat(where: string, ours: PropertyFormat | undefined, theirs: SchemaParam['format']): void {
  if (typeof theirs !== 'object') {
    expect(ours, where).toBeUndefined()
    return
  }
  expect(
    Object.keys(ours ?? {}).filter((key) => !(key in theirs)),
    `${where}: keys that Proxmox VE does not know`,
  ).toEqual([])
  for (const [key, property] of Object.entries(ours ?? {})) {
    const their = theirs[key] ?? {}
    expect({ bare: property.bare ?? false, alias: property.alias, keyAlias: property.keyAlias }, `${where}.${key}`).toEqual({
      bare: their.default_key === 1,
      alias: their.alias,
      keyAlias: their.keyAlias,
    })
    if (their.alias === undefined) expect(written(property), `${where}.${key}`).toEqual(wanted(their))
  }
}

function expression(check: Check): unknown {
  switch (check.kind) {
    case 'perm':
      return [
        'perm',
        check.path,
        [...check.privileges],
        ...(check.any ? ['any', 1] : []),
        ...(check.ifGiven === undefined ? [] : ['require_param', check.ifGiven]),
      ]
    case 'and':
    case 'or':
      return [check.kind, ...check.of.map(expression)]
    case 'aclOf':
      return ['perm-modify', check.path]
    case 'self':
      return ['userid-param', 'self']
    case 'realm':
      return ['userid-param', 'Realm.AllocateUser']
    case 'userGroup':
      return ['userid-group', [...check.privileges], ...(check.groupsParam === undefined ? [] : ['groups_param', check.groupsParam])]
    default:
      return check.kind
  }
}

/** `any` of a single privilege says the same with and without. */
const simplified = (node: unknown): unknown =>
  Array.isArray(node) && node[0] === 'perm' && Array.isArray(node[2]) && node[2].length === 1 && node[3] === 'any'
    ? node.slice(0, 3)
    : Array.isArray(node)
      ? node.map(simplified)
      : node

/** Options of storage types, hardware and features that the lab does not have; a caller who sends one gets a 400. */
const leftOut: readonly RegExp[] = [
  /^(POST|PUT) \/storage\S* (?!storage$|type$|path$|content$|disable$|shared$|delete$|digest$)/,
  /^(POST \/nodes\/\{node\}\/qemu|(POST|PUT) \S+\/config) (amd-sev|intel-tdx|import-working-storage)$/,
  /^GET \/nodes\/\{node\}\/qemu\/\{vmid\}\/agent\/\S+ $/,
]

describe('the schema in lab/recorded', () => {
  it('has the methods of the lab, each and no other (node lab/recorded/cut-schema.ts writes it)', () => {
    expect(Object.keys(schema)).toEqual(Object.keys(methods).sort())
  })

  it('is as it is written, and what the whole schema says', () => {
    expect(renderSchema(schema)).toBe(text)
    if (existsSync(wholeFile))
      expect(renderSchema(cutSchema(JSON.parse(readFileSync(wholeFile, 'utf8')) as Schema, Object.keys(methods)))).toBe(text)
  })

  it('is cut to what is compared, without prose, and only to methods that there are', () => {
    const whole = {
      'GET /a': {
        parameters: {
          properties: {
            b: { type: 'string', description: 'B.', typetext: '<string>', format: { c: { default_key: 1, format_description: 'C' } } },
          },
        },
        permissions: { user: 'all', description: 'Everybody.' },
        returns: { type: 'null' },
      },
      'GET /z': {},
    } as Schema
    expect(cutSchema(whole, ['GET /a'])).toEqual({
      'GET /a': { parameters: { properties: { b: { type: 'string', format: { c: { default_key: 1 } } } } }, permissions: { user: 'all' } },
    })
    expect(() => cutSchema(whole, ['GET /b'])).toThrow('no method GET /b')
  })
})

describe('method table', () => {
  it('every method has a handler', () => {
    expect(Object.keys(methods).filter((key) => handlers[key] === undefined)).toEqual([])
    expect(Object.keys(handlers).filter((key) => methods[key] === undefined)).toEqual([])
  })

  it.each(Object.keys(methods))('%s', (key) => {
    const ours = methods[key]
    const theirs = schema[key]
    if (ours === undefined || theirs === undefined) throw new Error(`no method ${key}`)
    const properties = theirs.parameters?.properties ?? {}
    expect(
      Object.keys(ours.params).filter((name) => !(name in properties)),
      'parameters that Proxmox VE does not know',
    ).toEqual([])
    expect(
      Object.keys(properties).filter((name) => !(name in ours.params) && !leftOut.some((pattern) => pattern.test(`${key} ${name}`))),
      'parameters that the lab leaves out',
    ).toEqual([])
    expect(
      pathNames(key).filter((name) => !(name in ours.params)),
      'names in the path',
    ).toEqual([])
    for (const [name, param] of Object.entries(ours.params)) {
      const their = properties[name] ?? {}
      expect(written(param), name).toEqual(wanted(their))
      compareFormat(name, param.properties, their.format)
    }
    const { permissions } = theirs
    const expected =
      permissions?.check === undefined ? (permissions?.user === 'world' ? 'world' : 'everybody') : simplified(permissions.check)
    // PVE lets everybody read the options and filters them itself.
    if (key !== 'GET /cluster/options') expect(simplified(expression(ours.check))).toEqual(expected)
  })
})
