/**
 * Programs of the product that run inside a guest. They are JavaScript for a Node of the image's own, which a fake
 * guest can't run: their effects are modelled here, by the name of the script that Node is given.
 */
import { posix } from 'node:path'
import { fail, ok, type Program } from '../shell.ts'
import { boot } from './boot.ts'
import { prepare } from './prepare.ts'
import { slotctl } from './slotctl.ts'

const scripts: Readonly<Record<string, Program>> = {
  'boot.js': boot,
  'prepare.js': prepare,
  'slotctl.js': slotctl,
  'clone.js': () => ok(),
  'watch.js': () => ok(),
  'auth.js': () => ok(),
}

const node: Program = (args, run) => {
  const words = args.filter((word) => !word.startsWith('--max-'))
  const [script, ...rest] = words
  if (script === '--version' || script === '-v') return ok('v24.0.0\n')
  if (script === undefined) return fail('node: programs from standard input are not modelled by the fake guest', 127)
  if (!run.guest.vfs.exists(run.path(script), run.as))
    return fail(`node:internal/modules/cjs/loader\n\nError: Cannot find module '${run.path(script)}'`)
  const program = scripts[posix.basename(script)]
  return program ? program(rest, run) : fail(`node ${script}: not modelled by the fake guest`, 127)
}

/** By the path that the image has them at. */
export const programFiles: Readonly<Record<string, Program>> = { '/opt/golden/node/bin/node': node }
