/** The lab's own way to write down what a method takes and who may call it. */

export type FormatName = keyof typeof import('./formats.ts').formats

/** A property string such as `virtio=…,bridge=vmbr0`: its keys, in no order. */
export interface PropertyFormat {
  readonly [key: string]: Property
}

export interface Param {
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'array'
  readonly optional?: true
  readonly format?: FormatName
  readonly properties?: PropertyFormat
  readonly values?: readonly string[]
  readonly pattern?: RegExp
  readonly min?: number
  readonly max?: number
  readonly minLength?: number
  readonly maxLength?: number
  /** Another parameter that has to be there when this one is. */
  readonly requires?: string
}

export interface Property extends Param {
  /** Its value may stand alone, without `key=`. */
  readonly bare?: true
  /** Only another name for this key. */
  readonly alias?: string
  /** `virtio=MAC`: the key itself is the value of that other key. */
  readonly keyAlias?: string
}

type Rest = Omit<Param, 'type' | 'optional'>
export const text = (rest: Rest = {}): Param => ({ type: 'string', ...rest })
export const integer = (rest: Rest = {}): Param => ({ type: 'integer', ...rest })
export const number = (rest: Rest = {}): Param => ({ type: 'number', ...rest })
export const flag: Param = { type: 'boolean' }
export const oneOf = (...values: readonly string[]): Param => ({ type: 'string', values })
export const like = (format: FormatName, rest: Rest = {}): Param => ({ type: 'string', format, ...rest })
export const optional = <T extends Param>(param: T): T & { optional: true } => ({ ...param, optional: true })

/** A permission expression, as in the schema of Proxmox VE. */
export type Check =
  | { readonly kind: 'everybody' } // any authenticated caller; the handler may check more
  | { readonly kind: 'world' } // no authentication
  | { readonly kind: 'rootOnly' }
  | {
      readonly kind: 'perm'
      readonly path: string
      readonly privileges: readonly string[]
      readonly any: boolean
      readonly ifGiven?: string
    }
  | { readonly kind: 'and' | 'or'; readonly of: readonly Check[] }
  | { readonly kind: 'aclOf'; readonly path: string } // may change permissions on that path
  | { readonly kind: 'self' } // the parameter userid is the caller
  | { readonly kind: 'realm' } // Realm.AllocateUser on the realm of userid
  | { readonly kind: 'userGroup'; readonly privileges: readonly string[]; readonly groupsParam?: 'create' | 'update' }

export const everybody: Check = { kind: 'everybody' }
export const world: Check = { kind: 'world' }
export const rootOnly: Check = { kind: 'rootOnly' }
export const all = (path: string, ...privileges: string[]): Check => ({ kind: 'perm', path, privileges, any: false })
export const any = (path: string, ...privileges: string[]): Check => ({ kind: 'perm', path, privileges, any: true })
export const ifGiven = (param: string, path: string, ...privileges: string[]): Check => ({
  kind: 'perm',
  path,
  privileges,
  any: false,
  ifGiven: param,
})
export const and = (...of: Check[]): Check => ({ kind: 'and', of })
export const or = (...of: Check[]): Check => ({ kind: 'or', of })

export interface Method {
  readonly check: Check
  readonly params: Readonly<Record<string, Param>>
}

/** Methods by `VERB /path/{with}/{names}`. */
export type MethodTable = Readonly<Record<string, Method>>

export const method = (check: Check, params: Readonly<Record<string, Param>> = {}): Method => ({ check, params })

/** The names that a path template holds. */
export const pathNames = (template: string): string[] => [...template.matchAll(/\{([^}]+)\}/g)].map((m) => m[1] as string)
