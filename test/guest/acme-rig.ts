/** A slot with an ACME server, for the guest's programs: real files in a folder, a clock of its own, and whoever stands in for lego. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Seed } from '../../images/contract/seed.ts'
import { thisMachine, type Files, type Machine, type Question, type Ran, type Reply } from '../../images/guest/machine.ts'
import { claimFile, dataFolder, imageRecordFile, legoFolder, run, seedFolder, tlsFolder } from '../../images/guest/places.ts'
import { image, seeds } from './seed.ts'

export const acmeImage = { ...image, services: { ...image.services, lego: `registry.invalid/lego@sha256:${'a'.repeat(64)}` } }
export const acmeSeed: Seed = { ...seeds.serena, acme: { server: 'https://acme.example.org/directory' } }

export const nothing: Ran = { status: 0, stdout: '', stderr: '' }

export interface AcmeSlot {
  readonly machine: Machine
  readonly seed: Seed
  /** As it is in the guest. */
  at(path: string): string
  read(path: string): string | undefined
  now: number
  mounted: boolean
  readonly said: string[]
  readonly complained: string[]
  /** What was started, but for `cat`. */
  readonly ran: string[]
  /** Whoever is run as golden-compose. */
  lego: () => Promise<Ran>
  peer: (question: Question) => Promise<Reply>
  /** Another VM gets the disk. */
  anew(): void
}

/** @param folder a slot's own; `disk` is its data disk, which others may share */
export function acmeSlot(folder: string, disk = join(folder, 'disk'), seed = acmeSeed): AcmeSlot {
  const at = (path: string): string => (path.startsWith(dataFolder) ? join(disk, path.slice(dataFolder.length)) : join(folder, path))
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(at(path)), { recursive: true })
    writeFileSync(at(path), text)
  }
  const slot: AcmeSlot = {
    seed,
    at,
    read: (path) => (existsSync(at(path)) ? readFileSync(at(path), 'utf8') : undefined),
    now: Date.parse('2026-11-30T12:00:00Z'),
    mounted: true,
    said: [],
    complained: [],
    ran: [],
    lego: async () => nothing,
    peer: async () => Promise.reject(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })),
    anew() {
      rmSync(join(folder, run), { recursive: true, force: true })
      mkdirSync(at(tlsFolder), { recursive: true })
      mkdirSync(disk, { recursive: true })
      for (const end of ['pem', 'key']) write(`${tlsFolder}/peer.${end}`, end)
      write(`${seedFolder}/seed.json`, JSON.stringify(seed))
      write(imageRecordFile, JSON.stringify(acmeImage))
      write(claimFile, '')
    },
    machine: {
      ...thisMachine,
      files: filesAt(at, () => slot.mounted),
      now: () => slot.now,
      uptime: () => slot.now,
      addresses: (card) => (card === undefined || card === 'eth0' ? [seed.address, ...(slot.mounted ? [seed.service] : [])] : []),
      say: (line) => void slot.said.push(line),
      complain: (line) => void slot.complained.push(line),
      ask: (question) => slot.peer(question),
      async run(program, args) {
        if (program === 'cat') {
          const text = slot.read(args[0] ?? '')
          return text === undefined ? { ...nothing, status: 1 } : { ...nothing, stdout: text }
        }
        slot.ran.push([program, ...args].join(' '))
        return program.endsWith('golden-compose') ? slot.lego() : nothing
      },
    },
  }
  slot.anew()
  return slot
}

function filesAt(at: (path: string) => string, isMounted: () => boolean): Files {
  const { files } = thisMachine
  return {
    ...files,
    exists: (path) => files.exists(at(path)),
    read: (path) =>
      path === '/proc/self/mountinfo' ? (isMounted() ? `1 1 8:16 / ${dataFolder} rw - ext4 /dev/sdb rw\n` : '') : files.read(at(path)),
    write: (path, content, mode) => files.write(at(path), content, mode),
    list: (path) => files.list(at(path)),
    look: (path) => files.look(at(path)),
    mkdir: (path, mode) => files.mkdir(at(path), mode),
    // Whoever runs this may not be root.
    chown: () => {},
    chmod: (path, mode) => files.chmod(at(path), mode),
    rename: (from, to) => files.rename(at(from), at(to)),
    symlink: (target, path) => files.symlink(target, at(path)),
    remove: (path) => files.remove(at(path)),
  }
}

/** As lego leaves it. */
export function leave(slot: AcmeSlot, id: string, pair: { readonly certificate: string; readonly key: string }): void {
  const folder = slot.at(join(legoFolder, 'certificates'))
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${id}.crt`), pair.certificate)
  writeFileSync(join(folder, `${id}.key`), pair.key)
}
