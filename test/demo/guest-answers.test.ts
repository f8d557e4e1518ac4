/** A fake guest's nginx understands what the guest's programs tell the real one while slots hand over (test/guest/handover.test.ts). */
import { expect, it } from 'vitest'
import { answer } from '../../demo/guest-answers.ts'
import { handoverState, peerOwner, readCarry, setHandoverState, writeCarry } from '../../images/guest/keeper-control.ts'
import { thisMachine, type Machine, type Reply } from '../../images/guest/machine.ts'
import { imageRecordFile, ownerFile, run, seedFolder } from '../../images/guest/places.ts'
import type { GuestFiles, GuestInside } from '../../lab/compute/fake/programs.ts'
import { image, seeds } from '../guest/seed.ts'

/** With what a boot has rendered, as far as nginx's model looks at it. */
function guest(hasKey: boolean, others: Readonly<Record<string, GuestInside>> = {}): GuestInside & { readonly machine: Machine } {
  const kept = new Map([
    [`${seedFolder}/seed.json`, JSON.stringify(seeds.both)],
    [imageRecordFile, JSON.stringify(image)],
    ...(hasKey ? [[`${run}/nginx/tls/peer.pem`, ''] as const] : []),
  ])
  const files = {
    exists: (path: string) => kept.has(path),
    read: (path: string) => kept.get(path) ?? '',
    write: (path: string, content: string) => void kept.set(path, content),
  } as unknown as GuestFiles
  const running = new Set(['nginx_proxy'])
  const ask: Machine['ask'] = async (question) => {
    const said = await answer(question, files, running, (address, port) => (port === 443 ? others[address] : undefined))
    if (said === undefined) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
    return said as Reply
  }
  return { files, running, machine: { ...thisMachine, ask } }
}

it('keeps the state and what is carried over, and nobody is busy', async () => {
  const { machine } = guest(true)
  expect(await handoverState(machine)).toMatchObject({ state: 'open', busy: 0, parked: 0 })
  for (const state of ['park', 'forward', 'open'] as const) expect(await setHandoverState(machine, state)).toMatchObject({ state, busy: 0 })
  expect(await readCarry(machine)).toEqual({ schema: 1 })
  await writeCarry(machine, { schema: 1, project: { project: 'one' } })
  expect(await readCarry(machine)).toEqual({ schema: 1, project: { project: 'one' } })
  await setHandoverState(machine, 'park')
  expect(await readCarry(machine)).toEqual({ schema: 1, project: { project: 'one' } })
})

it('asks the peer whose data disk it is, if there is a peer', async () => {
  const peer = guest(true)
  const { machine } = guest(true, { [seeds.both.peer]: peer })
  expect(await peerOwner(machine)).toEqual({})
  peer.files.write(ownerFile, '{"owner":"green"}')
  expect(await peerOwner(machine)).toEqual({ owner: 'green' })
  await expect(peerOwner(guest(true).machine)).rejects.toMatchObject({ status: 502 })
})

it('with a seed of an earlier version it has no peer to forward to', async () => {
  const { machine } = guest(false)
  await expect(setHandoverState(machine, 'forward')).rejects.toMatchObject({ status: 409 })
  await expect(peerOwner(machine)).rejects.toMatchObject({ status: 404 })
  expect(await handoverState(machine)).toMatchObject({ state: 'open' })
})
