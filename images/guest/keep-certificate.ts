/**
 * What golden-watch does for the certificate of an ACME server: the slot with the data shows what is on the disk and has the
 * server asked when it is due; the other one has what its peer has, before the data comes.
 */
import { dueAt, readAcmeState } from './acme-state.ts'
import { peerPair, showPair, showStored } from './certificate.ts'
import { isMounted } from './disk.ts'
import { holds } from './address.ts'
import { readHandover } from './handover.ts'
import type { Machine } from './machine.ts'
import { peerAsked, claimFile } from './places.ts'
import type { Slot } from './slot.ts'

const peerMs = 30_000
/** Whoever is started twice is started once; but each time is a program. */
const startMs = 60_000

export interface Keeping {
  /** Of the machine's uptime: when the peer is asked again, and when lego may be started again. */
  peerDue: number
  startDue: number
  wasActive: boolean
  /** What was said of the peer, so that it is said once. */
  complained: string | undefined
}

export const newKeeping = (): Keeping => ({ peerDue: 0, startDue: 0, wasActive: false, complained: undefined })

export async function keepCertificate(machine: Machine, { seed, image }: Slot, memory: Keeping): Promise<void> {
  if (seed.acme === undefined) return
  const { files } = machine
  const uptime = machine.uptime()
  if (isMounted(files)) {
    memory.wasActive = true
    if (showStored(machine, seed)) machine.say('the certificate on the data disk is shown')
    // The server comes to the service address (HTTP-01), and one slot at a time asks.
    const mayAsk = image.services.lego !== undefined && files.exists(claimFile) && holds(machine, seed.service)
    if (!mayAsk || readHandover(files) !== undefined || uptime < memory.startDue) return
    if (machine.now() < dueAt(readAcmeState(files), seed.release)) return
    memory.startDue = uptime + startMs
    await machine.run('systemctl', ['start', '--no-block', 'golden-acme.service'], { shown: true })
    return
  }
  // While the service address is on its way, nothing is waited for.
  if (readHandover(files) !== undefined || (!memory.wasActive && uptime < memory.peerDue)) return
  memory.wasActive = false
  memory.peerDue = uptime + peerMs
  try {
    const pair = await peerPair(machine, seed)
    memory.complained = undefined
    if (pair !== undefined && showPair(machine, pair)) machine.say('the certificate of the peer slot is shown here, too')
  } catch (error) {
    // One that is away has none to give. Where it could not be had from one that is there, it comes with the data disk, and is
    // shown before anybody is let in (slotctl.ts): no reason not to stand by.
    const { code, message } = error as NodeJS.ErrnoException
    if (memory.complained !== message) machine.complain(`the peer slot's certificate can't be had: ${code ?? message}`)
    memory.complained = message
  }
  files.write(peerAsked, '')
}
