/** What a slot that begins to serve, or goes on, takes up of what its clients had. */
import { expect, it } from 'vitest'
import type { Carry } from '../../images/guest/keeper-control.ts'
import type { Machine, Question } from '../../images/guest/machine.ts'
import { carryFile, claimFile, dataFolder } from '../../images/guest/places.ts'
import { takeIn } from '../../images/guest/serving.ts'
import { seeds } from './seed.ts'

/** A slot with the data, its nginx and its Serena: the files it has, and what it was asked. */
function slot(nginx: { state: string; carry: Carry }, kept?: string, freeMiB = 1000) {
  const files = new Map([[claimFile, '']])
  if (kept !== undefined) files.set(carryFile, kept)
  const serena: string[] = []
  const complaints: string[] = []
  const answer = ({ path, method, body = '' }: Question): object => {
    if (path === '/mcp') {
      const { method: what, params } = JSON.parse(body || '{}')
      serena.push(what === 'tools/call' ? `${params.name} ${JSON.stringify(params.arguments)}` : (what ?? method))
      return {}
    }
    if (path === '/handover/carry') return method === 'PUT' ? (nginx.carry = JSON.parse(body)) : nginx.carry
    if (method === 'PUT') nginx.state = JSON.parse(body).state
    return { state: nginx.state }
  }
  const machine = {
    complain: (text: string) => void complaints.push(text),
    lock: async () => () => {},
    ask: async (question: Question) => ({ status: 200, headers: { 'mcp-session-id': 's1' }, body: JSON.stringify(answer(question)) }),
    files: {
      exists: (path: string) => path === dataFolder || files.has(path),
      read: (path: string) =>
        path === '/proc/self/mountinfo' ? `1 1 8:16 / ${dataFolder} rw - ext4 /dev/sdb rw\n` : (files.get(path) ?? ''),
      write: (path: string, text: string) => void files.set(path, text),
      remove: (path: string) => void files.delete(path),
      space: () => ({ bsize: 1024 ** 2, blocks: 10_000, bfree: freeMiB, bavail: freeMiB, files: 0, ffree: 0 }),
    },
  } as unknown as Machine
  return { machine, nginx, serena, complaints, kept: () => files.get(carryFile) }
}
const project = { project: 'website' }
const known: Carry = { schema: 1, project }
const seed = { ...seeds.serena, serena: { ...seeds.serena.serena!, transports: ['streamable-http' as const] } }

it('the project that clients have activated is noted with the data, once, and when it is another one', async () => {
  const it = slot({ state: 'open', carry: known })
  await takeIn(it.machine, { seed })
  expect(it.kept()).toBe(JSON.stringify(known))
  it.nginx.carry = { schema: 1, project: { project: 'other' } }
  await takeIn(it.machine, { seed })
  expect(it.kept()).toContain('other')
  expect(it.serena).toEqual([])
})

it('an nginx that was started again is told of it, and Serena has it active, before that is asked for', async () => {
  const it = slot({ state: 'open', carry: { schema: 1 } }, JSON.stringify(known))
  await takeIn(it.machine, { seed })
  expect(it.nginx.carry).toEqual(known)
  expect(it.serena).toContain(`activate_project ${JSON.stringify(project)}`)
  const asked = it.serena.length
  await takeIn(it.machine, { seed })
  expect(it.serena).toHaveLength(asked)
})

it('what is with the data is news to a slot that gets it, whatever it knew itself', async () => {
  const it = slot({ state: 'forward', carry: { schema: 1, project: { project: 'of before' } } }, JSON.stringify(known))
  await takeIn(it.machine, { seed })
  expect(it.nginx).toEqual({ state: 'open', carry: known })
  expect(it.kept()).toBe(JSON.stringify(known))
})

it('a note of which a power cut has left a part is told of once, and written anew', async () => {
  const it = slot({ state: 'open', carry: { schema: 1 } }, '{"schema":1,"pro')
  for (let round = 0; round < 3; round++) await takeIn(it.machine, { seed })
  expect(it.complaints).toHaveLength(1)
  it.nginx.carry = known
  await takeIn(it.machine, { seed })
  expect(it.kept()).toBe(JSON.stringify(known))
})

it('an nginx that can not be told now is told later', async () => {
  const it = slot({ state: 'open', carry: { schema: 1 } }, JSON.stringify(known))
  const { ask } = it.machine
  const refusing = {
    ...it.machine,
    ask: (question: Question) => ask(question).then((reply) => (question.method === 'PUT' ? { ...reply, status: 502 } : reply)),
  }
  await takeIn(refusing, { seed })
  expect([it.complaints.length, it.kept()]).toEqual([1, JSON.stringify(known)])
  it.nginx.carry = { schema: 1 }
  await takeIn(it.machine, { seed })
  expect(it.nginx.carry).toEqual(known)
})

it('on a full disk nothing is written, and nothing said again and again', async () => {
  const it = slot({ state: 'open', carry: known }, undefined, 1)
  for (let round = 0; round < 3; round++) await takeIn(it.machine, { seed })
  expect([it.kept(), it.complaints]).toEqual([undefined, []])
})
