/**
 * golden-acme.service: has lego look whether it is time, and get a certificate if it is; what it has got is kept on the data
 * disk and shown. golden-watch starts it when it is due (keep-certificate.ts). It never fails for what an ACME server does:
 * that is in the state, in the journal and in `slotctl status`.
 */
import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { failed, readAcmeState, succeeded, writeAcmeState } from './acme-state.ts'
import { pairProblem, showPair, shownCertificate, storedPair, storePair, type Pair } from './certificate.ts'
import { isOverdue } from './certificate-age.ts'
import { isMounted } from './disk.ts'
import { certificateId } from './lego.ts'
import { thisMachine, type Machine } from './machine.ts'
import { acmeFolder, acmeWebroot, legoFolder, owner } from './places.ts'
import { readSlot, type Slot } from './slot.ts'

/** DNS may take minutes to be the same everywhere. */
const runMs = 15 * 60_000
export const acmeContainer = 'acme'

export async function acme(machine: Machine, chance: () => number = Math.random): Promise<number> {
  const { files } = machine
  const slot = readSlot(files)
  if (slot?.seed.acme === undefined || !isMounted(files)) return 0
  const { release } = slot.seed
  const problem = await attempt(machine, slot).catch((error: Error) => error.message)
  // The disk may have left meanwhile, with the container: the next owner goes on.
  if (!isMounted(files)) return 0
  const now = machine.now()
  if (problem === undefined) writeAcmeState(files, succeeded(release, now, chance()))
  else {
    const state = failed(readAcmeState(files), release, now, problem, chance())
    writeAcmeState(files, state)
    machine.complain(`no certificate from the ACME server: ${problem}; the next try is at ${new Date(state.nextTry).toISOString()}`)
    const shown = shownCertificate(files)
    if (shown !== undefined && isOverdue(shown.validFromDate, shown.validToDate, new Date(now)))
      machine.complain(`the certificate ends on ${shown.validToDate.toISOString()}, and is not renewed`)
  }
  return 0
}

/** @returns why there is none; undefined: all is as it should be */
async function attempt(machine: Machine, { seed, image }: Slot): Promise<string | undefined> {
  const { files } = machine
  if (image.services.lego === undefined) return 'the image has no container image for lego'
  prepare(machine)
  const ran = await machine.run(
    '/usr/local/sbin/golden-compose',
    ['run', '--rm', '--no-deps', '-T', '--name', acmeContainer, acmeContainer],
    { timeoutMs: runMs },
  )
  const { lines, error } = readLog(`${ran.stdout}\n${ran.stderr}`)
  for (const line of lines) machine.say(`lego: ${line}`)
  if (ran.status !== 0) return error ?? ran.error ?? `lego ended with ${ran.status}`
  const pair = await readPair(machine, certificateId(seed.acme!, seed.public.host))
  if (pair === undefined) return 'lego has left no certificate'
  const unfit = pairProblem(pair, seed.public.host, new Date(machine.now()))
  if (unfit !== undefined) return `the certificate is of no use: ${unfit}`
  if (storedPair(files)?.certificate !== pair.certificate) storePair(files, pair)
  if (showPair(machine, pair)) machine.say(describe(pair))
  return undefined
}

function describe({ certificate }: Pair): string {
  const { issuer, validToDate } = new X509Certificate(certificate)
  return `a certificate by ${(issuer ?? '').split('\n').join(', ')}, until ${validToDate.toISOString()}`
}

/** Folders of its own, and nothing that an earlier run has left for nginx to show. */
function prepare({ files }: Machine): void {
  files.mkdir(acmeFolder, 0o711)
  // lego's user comes through to its own.
  files.chmod(acmeFolder, 0o711)
  for (const path of [legoFolder, acmeWebroot]) {
    if (path === acmeWebroot) files.remove(path)
    files.mkdir(path)
    files.chown(path, owner.acme, owner.acme)
    files.chmod(path, path === acmeWebroot ? 0o755 : 0o700)
  }
  // A copy of its settings, keys among them, that lego would keep on the disk.
  const copy = join(legoFolder, '.lego.bck.yaml')
  files.remove(copy)
  files.symlink('/dev/null', copy)
}

/** By whose folder it is: what lies there may be a link to anywhere. */
async function readPair(machine: Machine, id: string): Promise<Pair | undefined> {
  const read = async (end: string): Promise<string | undefined> => {
    const { status, stdout } = await machine.run('cat', [join(legoFolder, 'certificates', `${id}.${end}`)], { user: owner.acme })
    return status === 0 ? stdout : undefined
  }
  const [certificate, key] = [await read('crt'), await read('key')]
  return certificate === undefined || key === undefined ? undefined : { certificate, key }
}

/** What lego says, as JSON, for people; and of what went wrong the last. Others may have said something, too. Pure. */
export function readLog(output: string): { readonly lines: readonly string[]; readonly error: string | undefined } {
  const lines: string[] = []
  // lego's own word for it, else the last of whoever did not let it run.
  let error: string | undefined
  let other: string | undefined
  for (const text of output.split('\n')) {
    if (text.trim() === '') continue
    // It would quote the file, with secrets.
    if (/environment variable/i.test(text)) {
      error = "lego can't read what public.certificate.dns.environment says"
      continue
    }
    const { msg, level, time: _time, ...more } = entryOf(text)
    const line = [
      msg,
      ...Object.entries(more).map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`),
    ]
      .join('; ')
      .replaceAll(/\s+/g, ' ')
    lines.push(line)
    if (level === 'ERROR') error = typeof more.error === 'string' ? more.error.replaceAll(/\s+/g, ' ') : line
    else if (level === undefined) other = line
  }
  return { lines, error: error ?? other }
}

function entryOf(text: string): Record<string, unknown> {
  try {
    const entry = JSON.parse(text) as Record<string, unknown>
    if (typeof entry === 'object' && entry !== null && typeof entry.msg === 'string') return entry
  } catch {
    // A line of Docker's, or of the program's end.
  }
  return { msg: text.trim() }
}

if (import.meta.main) process.exitCode = await acme(thisMachine)
