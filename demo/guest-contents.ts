/**
 * What is in a slot's VM besides Debian, for fake guests: the image's own programs, as they are, and what their
 * containers answer, which is modelled here.
 */
import { basename } from 'node:path'
import { boot } from '../images/guest/boot.ts'
import { clone } from '../images/guest/clone.ts'
import { goPrograms } from '../images/guest/go-programs.ts'
import { node, programsFolder } from '../images/guest/places.ts'
import { prepare } from '../images/guest/prepare.ts'
import { restorePoint } from '../images/guest/restore-point.ts'
import { slotctl } from '../images/guest/slotctl.ts'
import { unit } from '../images/guest/unit.ts'
import { watch } from '../images/guest/watch.ts'
import type { GuestContents, GuestProgram } from '../lab/compute/fake/programs.ts'
import { answer } from './guest-answers.ts'
import { reach, webServer } from './guest-network.ts'

/** As Node finds them in the image. Who answers nginx's questions about passwords is among the answers. */
const scripts: Readonly<Record<string, GuestProgram>> = {
  'boot.js': (_, machine) => boot(machine),
  'clone.js': (_, machine) => clone(machine),
  'reach.js': reach,
  'go-programs.js': (args, machine) => goPrograms(machine, args),
  'prepare.js': (args, machine) => prepare(machine, args),
  'restore-point.js': (_, machine) => restorePoint(machine),
  'slotctl.js': (args, machine) => slotctl(machine, args),
  'unit.js': (args, machine) => unit(machine, args),
  'watch.js': (_, machine) => watch(machine),
  'auth.js': async (_, machine) => {
    for (;;) await machine.pause(60_000)
  },
}

const runNode: GuestProgram = async (args, system) => {
  const [script = '', ...rest] = args.filter((word) => !word.startsWith('--max-'))
  if (script === '--version') {
    system.say('v24.0.0')
    return 0
  }
  const program = script === `${programsFolder}/${basename(script)}` && system.files.exists(script) ? scripts[basename(script)] : undefined
  if (program === undefined) throw new Error(`Cannot find module '${script}'`)
  return program(rest, system)
}

export const guestContents: GuestContents = { programs: { [node]: runNode }, answer, server: webServer }
