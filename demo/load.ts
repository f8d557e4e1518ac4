/** Clients of all kinds at work while slots change, and what came of all their calls. */
import { randomBytes } from 'node:crypto'
import type { SlotName } from '../settings/site.ts'
import { findMark } from './access.ts'
import { ensureSerena, findInterpreter } from './serena-program.ts'
import { guestAt, type Scene } from './scene.ts'
import { idleClient, numberedConnection, toolClients } from './traffic/clients.ts'
import type { KeptConnection } from './traffic/kept-connection.ts'
import { expectNumbers } from './traffic/numbers.ts'
import { expectNoFailure, expectOneSession, summaryLines } from './traffic/summary.ts'
import { startTraffic, type Traffic } from './traffic/traffic.ts'

/** Clients that are at work, and what came of it. */
export interface Load {
  readonly traffic: Traffic
  readonly kept: KeptConnection
  /** Milliseconds since 1970. */
  readonly began: number
}

/** Clients of all kinds, each of which has been answered once. */
export async function startLoad(scene: Scene): Promise<boolean> {
  const { checks, label, access, target, env, signal, pace } = scene
  const interpreter = findInterpreter()
  const withPython = `${label}: Python's official SDK is among the clients`
  let python: string | undefined
  if (interpreter === undefined) checks.skip(withPython, 'there is no Python 3.11 to 3.14 with venv on this computer')
  else
    await checks.check(withPython, async () => {
      python = (await ensureSerena(interpreter, env)).python
    })
  return checks.check(`${label}: clients of all kinds call Serena's tools without pause`, async () => {
    // The project is a process's own: clients without sessions use the one that is active.
    await findMark(access, scene.mark)
    const kept = numberedConnection(target, newMark(), pace.numberEveryMs)
    const traffic = startTraffic([...toolClients({ ...target, ...(python === undefined ? {} : { python }) }, pace.idleMs), kept], signal)
    scene.load = { traffic, kept, began: Date.now() }
    await traffic.round()
    for (const line of summaryLines(traffic.record.calls)) checks.found(line)
    expectNoFailure(traffic.record.calls)
  })
}

/** Whose lines are to arrive, and somebody who works meanwhile: Serena's VM is not what changes. */
export function startLines(scene: Scene): void {
  const { target, pace, signal } = scene
  const kept = numberedConnection(target, newMark(), pace.numberEveryMs)
  scene.load = { traffic: startTraffic([kept, idleClient(target, pace.idleMs)], signal), kept, began: Date.now() }
}

/** Also what was called between the verbs counts. */
export async function endLoad(scene: Scene): Promise<void> {
  const { load, checks, label } = scene
  if (load === undefined) return
  delete scene.load
  await load.traffic.stop()
  const { calls } = load.traffic.record
  await checks.check(`${label}: of all calls from the first to the last none failed`, async () => {
    for (const line of summaryLines(calls)) checks.found(line)
    expectNoFailure(calls)
    expectOneSession(calls)
  })
}

const newMark = (): string => randomBytes(4).toString('hex')

/** @param slot of the logging VM that has the data now */
export async function allNumbers(scene: Scene, slot: SlotName): Promise<void> {
  const { checks, label, load, logging } = scene
  await checks.check(`${label}: every numbered line since the clients began is in Loki exactly once`, async () => {
    if (load === undefined) throw new Error('there are no clients')
    const count = await expectNumbers(load.kept, guestAt(scene, logging, slot), load.began)
    checks.found(`${count} of ${count} lines once`)
  })
}
