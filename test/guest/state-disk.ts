/** A data disk in a folder, for the guest's program that keeps restore points: real files, cp and du. */
import { cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { thisMachine, type Machine, type Ran, type Space } from '../../images/guest/machine.ts'
import { dataFolder, imageRecordFile, seedFolder, stateWishFile } from '../../images/guest/places.ts'
import { restorePoint } from '../../images/guest/restore-point.ts'
import { image, seeds } from './seed.ts'

export class Killed extends Error {}

export interface StateDisk {
  /** As it is in the guest. */
  path(path: string): string
  write(path: string, content: string): void
  /** All that is below it, links as `→ target`; undefined where it is not there. */
  tree(path: string): Record<string, string>
  /** A slot of that image gets the disk; its program is killed before so many changes, if it makes that many. */
  use(image: string, options?: { readonly wish?: 'now' | 'before'; readonly killAt?: number }): Promise<void>
  /** Programs that have run, since it was asked last. */
  ran(): string[]
  space: Partial<Space>
  /** Nothing more can be written. */
  full: boolean
  /** cp and du are modelled, not run: for what is tried hundreds of times. */
  modelled: boolean
}

const changing = ['write', 'rename', 'remove', 'mkdir', 'chown', 'symlink'] as const

async function model(program: string, words: readonly string[]): Promise<Ran> {
  const paths = words.slice(words.indexOf('--') + 1)
  const to = words[words.indexOf('-t') + 1] ?? ''
  if (program === 'cp') for (const path of paths) cpSync(path, join(to, basename(path)), { recursive: true, verbatimSymlinks: true })
  return { status: 0, stdout: program === 'du' ? paths.map((path) => `4096\t${path}\0`).join('') : '', stderr: '' }
}

export function stateDisk(folder: string): StateDisk {
  const at = (path: string): string => join(folder, path)
  const write = (path: string, content: string): void => {
    mkdirSync(dirname(at(path)), { recursive: true })
    writeFileSync(at(path), content)
  }
  write('/proc/self/mountinfo', `1 1 8:16 / ${dataFolder} rw - ext4 /dev/sdb rw\n`)
  write(`${seedFolder}/seed.json`, JSON.stringify(seeds.both))
  write(stateWishFile, '')
  mkdirSync(at(dataFolder), { recursive: true })
  let ran: string[] = []
  const disk: StateDisk = {
    path: at,
    write: (path, content) => write(join(dataFolder, path), content),
    space: {},
    modelled: false,
    full: false,
    ran() {
      const list = ran
      ran = []
      return list
    },
    tree(path) {
      const found: Record<string, string> = {}
      const walk = (name: string): void => {
        const here = join(at(dataFolder), name)
        const kind = lstatSync(here)
        if (kind.isSymbolicLink()) found[name] = `→ ${readlinkSync(here)}`
        else if (kind.isFile()) found[name] = readFileSync(here, 'utf8')
        else for (const each of readdirSync(here).sort()) walk(join(name, each))
      }
      if (existsSync(join(at(dataFolder), path))) walk(path)
      return found
    },
    async use(fingerprint, { wish = 'now', killAt = Infinity } = {}) {
      write(imageRecordFile, JSON.stringify({ ...image, fingerprint }))
      if (wish === 'before') write(stateWishFile, '')
      else rmSync(at(stateWishFile), { force: true })
      let left = killAt
      const alive = (changes = left): void => {
        if (changes < 0) throw new Killed('killed')
      }
      const change = (): void => {
        alive(--left)
      }
      await restorePoint({ ...machineIn(at, change, (line) => ran.push(line), disk), say: () => alive(), complain: () => alive() })
    },
  }
  return disk
}

/** This machine, with its root elsewhere; nobody's files need root. */
function machineIn(at: (path: string) => string, change: () => void, ran: (line: string) => void, disk: StateDisk): Machine {
  const { files } = thisMachine
  const changes = Object.fromEntries(
    changing.map((name) => [
      name,
      (...words: unknown[]) => {
        change()
        if (disk.full && (name === 'write' || name === 'mkdir'))
          throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
        const paths = name === 'rename' ? words.map((word) => at(word as string)) : [at(words[0] as string), ...words.slice(1)]
        if (name !== 'chown') (files[name] as (...all: unknown[]) => void)(...paths)
      },
    ]),
  )
  return {
    ...thisMachine,
    files: {
      ...files,
      exists: (path) => files.exists(at(path)),
      read: (path) => files.read(at(path)),
      list: (path) => files.list(at(path)),
      look: (path) => files.look(at(path)),
      space: (path) => ({ ...files.space(at(path)), ...disk.space }),
      ...changes,
    },
    run(program, words, options) {
      change()
      ran(program)
      // No power is cut here, and the disk is everybody's.
      if (program === 'sync') return Promise.resolve({ status: 0, stdout: '', stderr: '' })
      const mapped = words.map((word) => (word.startsWith(dataFolder) ? at(word) : word))
      return disk.modelled ? model(program, mapped) : thisMachine.run(program, mapped, options)
    },
  }
}
