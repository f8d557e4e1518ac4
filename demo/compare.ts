/**
 * That fake guests are like real ones: a real one answers as the transcripts say, which the fake ones are held against, and
 * nobody asks a guest for anything that the transcripts do not know of.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readLock, references } from '../images/lock.ts'
import type { Recorded } from '../lab/record.ts'
import { beyond, shapesOf } from '../lab/shape.ts'
import { runBatch, type Script } from '../lab/transcript/batch.ts'
import { ofRoot } from '../lab/transcript/root.ts'
import { expectThat, type Checks } from './checks.ts'
import { askedFile, readRecording } from './recording.ts'
import type { Guest } from './survive.ts'
import { ofSlot, type SlotVariables } from './transcript.ts'

/** Many times what an emulated guest takes. */
const timeoutMs = 1_800_000

export interface ComparedSlot {
  readonly guest: Guest
  /** Its own. */
  readonly address: string
  /** The site's folder. */
  readonly folder: string
}

/** In two calls of its agent, in a minute or two where it is emulated. Who is served there does not notice. */
export async function checkTranscript(checks: Checks, { guest, address, folder }: ComparedSlot, label: string): Promise<void> {
  const { proxmox, node, vmid, signal } = guest
  const run = (input: string) => proxmox.agentExec(node, vmid, ['/bin/sh'], { input, signal, timeoutMs })
  const compare = (what: string, steps: readonly Script[]): Promise<boolean> =>
    checks.check(`${label}: a real guest answers as the transcript says that fake ones are held against: ${what}`, async () => {
      const { nginx = '' } = references(await readLock(folder))
      const variables: SlotVariables = { IMAGE: nginx, CONTAINER: 'nginx_proxy', ADDRESS: address }
      const differences = await runBatch(run, steps, variables)
      checks.found(`${steps.length - differences.length} of ${steps.length} steps are as they should be`)
      const told = differences.map(({ step, wanted, found }) => `${step}: wanted ${wanted}, found ${found}`)
      expectThat(told.length === 0, told.join('\n'))
    })
  await compare('files, packages, units, network and mounts', ofRoot)
  await compare('containers and what else is in a slot', ofSlot)
}

/** @param labFolder the lab's state folder */
export async function checkAsked(checks: Checks, labFolder: string): Promise<void> {
  await checks.check('what this demo has asked guests is in the recording, which the transcripts cover', async () => {
    const lines = readFileSync(join(labFolder, askedFile), 'utf8').split('\n').filter(Boolean)
    const { flows, demo } = readRecording()
    const asked = shapesOf(lines.map((line) => JSON.parse(line) as Recorded))
    expectThat(asked.exec.length > 0, 'the lab has noted nothing')
    const inNone = beyond(asked, demo).filter((shape) => beyond(asked, flows).includes(shape))
    expectThat(inNone.length === 0, `not there ("npm run record -- ${join(labFolder, askedFile)}" adds it): ${inNone.join('; ')}`)
  })
}
