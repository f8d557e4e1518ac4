/** Reads and writes `deployment.json`; what is in it is described in releases/deployment.ts. */
import { randomBytes } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { claimFile } from '../core/claim.ts'
import { Failure } from '../core/failure.ts'
import {
  noDeployment,
  parseDeployment,
  renderDeployment,
  type Deployment,
  type GroupPins,
  type Release,
  type RolloutNote,
} from './deployment.ts'
import type { SlotName } from '../settings/site.ts'
import { writeWhole } from '../core/write-whole.ts'

export const deploymentFile = (folder: string): string => join(folder, 'deployment.json')

/** @throws Failure `deployment-invalid`; a missing file is an empty deployment */
export async function readPins(folder: string): Promise<Deployment> {
  const file = deploymentFile(folder)
  let content: string
  try {
    content = await readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return noDeployment
    throw new Failure('deployment-unreadable', `${file} can't be read: ${(cause as Error).message}`, 'Give yourself read access to it.', {
      cause,
    })
  }
  const parsed = parseDeployment(content)
  if (parsed.ok) return parsed.deployment
  const { problems } = parsed
  const hint = 'It is written by golden; restore the last good one, e.g. with git.'
  throw new Failure(
    'deployment-invalid',
    `${file} is not valid:\n${problems.map(({ path, message }) => `  ${path === '' ? '' : `${path}: `}${message}`).join('\n')}`,
    hint,
    { parts: problems.map(({ path, message }) => ({ code: 'deployment-invalid', message, hint, path })) },
  )
}

/** Replaces the file in one step: whoever reads sees the old or the new one, after a power cut too. Without groups there is no file. */
export async function writePins(folder: string, deployment: Deployment): Promise<void> {
  const file = deploymentFile(folder)
  if (Object.keys(deployment.groups).length === 0) return rm(file, { force: true })
  await writeWhole(file, renderDeployment(deployment), { mode: 0o644 })
}

/** Longer than any change takes, a slow disk included. */
const lockMs = 30_000

/**
 * Changes one group's pins; `undefined` removes them. Groups are deployed side by side, each with hooks that are
 * processes of their own: one at a time reads and writes.
 * @throws Failure `pins-busy`, or as readPins
 */
export async function updatePins(folder: string, group: string, change: (pins: GroupPins) => GroupPins | undefined): Promise<Deployment> {
  const file = deploymentFile(folder)
  const lock = await claimFile(join(folder, 'state', 'pins.json'), {
    note: () => null,
    busy: { code: 'pins-busy', message: `${file} can't be changed: another process is at it` },
    wait: AbortSignal.timeout(lockMs),
    pauseMs: 20,
  })
  try {
    const before = await readPins(folder)
    const { [group]: own, ...others } = before.groups
    const changed = change(own ?? { slots: {} })
    const after: Deployment = { schema: 1, groups: changed === undefined ? others : { ...before.groups, [group]: changed } }
    await writePins(folder, after)
    return after
  } finally {
    await lock.release()
  }
}

/** Tells nothing about the release, and no two are alike. */
export const newReleaseId = (): string => randomBytes(6).toString('hex')

/** Marks the data disk; `undefined` says nothing about it. */
export const withDataDisk = (pins: GroupPins, dataDisk: 'new' | 'made' | undefined): GroupPins => {
  const { dataDisk: _before, ...rest } = pins
  return dataDisk === undefined ? rest : { ...rest, dataDisk }
}

/** A first release: the group has none yet. Its depot stays what it was while there is data. */
export const withFirstRelease = (pins: GroupPins, slot: SlotName, release: Release, depot: number): GroupPins => ({
  depot,
  ...pins,
  active: slot,
  slots: { [slot]: release },
})

/** The group without any release; what is known of its data disk stays. */
export const withoutReleases = ({ active: _active, rollout: _rollout, ...rest }: GroupPins): GroupPins => ({ ...rest, slots: {} })

/** A release beside the active one, in place of what the slot has had. */
export const withRelease = (pins: GroupPins, slot: SlotName, release: Release): GroupPins => ({
  ...pins,
  slots: { ...pins.slots, [slot]: release },
})

export function withoutRelease(pins: GroupPins, slot: SlotName): GroupPins {
  const { [slot]: _gone, ...slots } = pins.slots
  return { ...pins, slots }
}

/** What a rollout is at; `undefined`: nothing is left to be told. */
export function withRollout({ rollout: _before, ...rest }: GroupPins, rollout: RolloutNote | undefined): GroupPins {
  return rollout === undefined ? rest : { ...rest, rollout }
}
