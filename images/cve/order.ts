/** By ecosystem, which of two versions is the older one. Pure. */
import { compare as comparePython, valid as isPython } from '@renovatebot/pep440'
import semver from 'semver'
import { compareVersions } from '../archive/version-order.ts'
import { compareAlpine } from './alpine-order.ts'

/** Below 0: `a` is older than `b`; undefined: nobody can tell. */
export type Order = (a: string, b: string) => number | undefined

const semantic: Order = (a, b) => {
  const [left, right] = [semver.parse(a, { loose: true }), semver.parse(b, { loose: true })]
  return left === null || right === null ? undefined : semver.compare(left, right)
}

const python: Order = (a, b) => (isPython(a) === null || isPython(b) === null ? undefined : comparePython(a, b))

const orders: Readonly<Record<string, Order>> = {
  Debian: compareVersions,
  Ubuntu: compareVersions,
  Alpine: compareAlpine,
  PyPI: python,
  npm: semantic,
  Go: semantic,
}

/** @param ecosystem also with a release behind it, as in `Debian:13` */
export const orderOf = (ecosystem: string): Order | undefined => orders[ecosystem.split(':', 1).join('')]
