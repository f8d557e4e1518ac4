/**
 * PVE's parameter verification (PVE::JSONSchema): types, formats, limits, with its messages. Property strings
 * (`file,key=value,key=value`) are values that have parameters of their own.
 */
import { parameterError } from './errors.ts'
import { formats } from './formats.ts'
import type { Param, PropertyFormat } from './schema.ts'

/** Values as they came: a string, or several for a key that came several times. */
export type RawParams = Record<string, string | string[]>
export interface Params {
  readonly values: Record<string, string>
  readonly lists: Record<string, string[]>
}

/** The complaint about one value, or nothing. */
export function complaintAbout(param: Param, value: string, path: string): string | undefined {
  const mismatch = `type check ('${param.type}') failed - got '${value}'`
  if (param.type === 'integer' && !/^[+-]?\d+$/.test(value)) return mismatch
  if (param.type === 'number' && !/^[+-]?(\d+(\.\d*)?|\.\d+)$/.test(value)) return mismatch
  if (param.type === 'boolean') return /^[01]$/.test(value) ? undefined : mismatch
  if (param.pattern !== undefined && !new RegExp(`^(?:${param.pattern.source})$`, param.pattern.flags).test(value)) {
    return 'value does not match the regex pattern'
  }
  if (param.format !== undefined) {
    const complaint = formats[param.format](value)
    if (complaint !== undefined) return `invalid format - ${complaint}`
  }
  if (param.properties !== undefined) {
    const { complaint } = parsePropertyString(param.properties, value, path)
    if (complaint !== undefined) return `invalid format - ${complaint}`
  }
  if (param.maxLength !== undefined && value.length > param.maxLength) return `value may only be ${param.maxLength} characters long`
  if (param.minLength !== undefined && value.length < param.minLength) return `value must be at least ${param.minLength} characters long`
  if (param.type === 'integer' || param.type === 'number') {
    if (param.max !== undefined && +value > param.max) return `value must have a maximum value of ${param.max}`
    if (param.min !== undefined && +value < param.min) return `value must have a minimum value of ${param.min}`
  }
  if (param.values !== undefined && !param.values.includes(value)) {
    return `value '${value}' does not have a value in the enumeration '${param.values.join(', ')}'`
  }
  return undefined
}

/** `scsi3` is described by `scsi[n]`. */
export function paramFor(params: Readonly<Record<string, Param>>, name: string): Param | undefined {
  if (Object.hasOwn(params, name)) return params[name]
  const numbered = /^([a-z]+)(0|[1-9]\d*)$/.exec(name)
  if (numbered === null) return undefined
  const [, stem = '', index = ''] = numbered
  const limit = numberedLimits[stem]
  return limit !== undefined && +index <= limit ? params[`${stem}[n]`] : undefined
}

/** Highest index of each numbered VM option (PVE::QemuServer's MAX_ constants). */
export const numberedLimits: Readonly<Record<string, number>> = {
  ide: 3,
  scsi: 30,
  virtio: 15,
  sata: 5,
  net: 31,
  ipconfig: 31,
  serial: 3,
  usb: 13,
  hostpci: 15,
  numa: 7,
  parallel: 2,
  unused: 255,
  virtiofs: 9,
}

/**
 * Checks what came against what a method takes.
 * @throws ApiError 400 with all complaints
 */
export function checkParams(params: Readonly<Record<string, Param>>, raw: RawParams): Params {
  const errors: Record<string, string> = {}
  const values: Record<string, string> = {}
  const lists: Record<string, string[]> = {}
  for (const [name, given] of Object.entries(raw)) {
    const param = paramFor(params, name)
    if (param === undefined) {
      errors[name] = 'property is not defined in schema and the schema does not allow additional properties'
      continue
    }
    if (param.type === 'array') {
      lists[name] = Array.isArray(given) ? given : [given]
      continue
    }
    if (Array.isArray(given) && !(param.format?.endsWith('-list') ?? false)) {
      errors[name] = `type check ('${param.type}') failed - got 'ARRAY'`
      continue
    }
    const value = Array.isArray(given) ? given.join(',') : given
    const complaint = complaintAbout(param, value, name)
    if (complaint !== undefined) errors[name] = complaint
    values[name] = value
    if (param.requires !== undefined && raw[param.requires] === undefined) {
      errors[param.requires] = `missing property - '${name}' requires this property`
    }
  }
  for (const [name, param] of Object.entries(params)) {
    if (!param.optional && raw[name] === undefined) errors[name] = 'property is missing and it is not optional'
  }
  if (Object.keys(errors).length > 0) throw parameterError(errors)
  return { values, lists }
}

export interface Parsed {
  readonly values: Record<string, string>
  readonly complaint?: string
}

/** Parses and checks; the complaint is PVE's text after `invalid format - `. `path` names the option in it. */
export function parsePropertyString(format: PropertyFormat, value: string, path = ''): Parsed {
  const values: Record<string, string> = {}
  const problems: string[] = []
  const bare = Object.entries(format).find(([, property]) => property.bare)?.[0]
  for (const part of value.split(',')) {
    if (part === '') continue
    const pair = /^([^=]+)=(.*)$/s.exec(part)
    let key = pair?.[1]
    let content = pair?.[2] ?? part
    if (key === undefined) {
      if (bare === undefined) return { values, complaint: 'value without key, but schema does not define a default key\n' }
      key = bare
    } else if (Object.hasOwn(format, key)) {
      const property = format[key]
      if (property?.keyAlias !== undefined) {
        values[property.keyAlias] = key
        key = property.alias as string
      } else if (property?.alias !== undefined) key = property.alias
    }
    if (Object.hasOwn(values, key)) return { values, complaint: `duplicate key in comma-separated list property: ${key}\n` }
    const property = Object.hasOwn(format, key) ? format[key] : undefined
    if (property?.type === 'boolean') content = booleanWord(content)
    values[key] = content
    const complaint =
      property === undefined
        ? 'property is not defined in schema and the schema does not allow additional properties'
        : complaintAbout(property, content, `${path}.${key}`)
    if (complaint !== undefined) problems.push(`${path}.${key}: ${complaint.replace(/\n$/, '')}`)
  }
  for (const [key, property] of Object.entries(format)) {
    if (!property.optional && property.alias === undefined && values[key] === undefined) {
      problems.push(`${path}.${key}: property is missing and it is not optional`)
    }
  }
  return problems.length === 0 ? { values } : { values, complaint: `format error\n${problems.join('\n')}\n` }
}

/** Inside property strings PVE also takes words for booleans. */
const booleanWord = (word: string): string => (/^(1|on|yes|true)$/i.test(word) ? '1' : /^(0|off|no|false)$/i.test(word) ? '0' : word)
