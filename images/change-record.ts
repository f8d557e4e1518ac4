/**
 * Changes what a template's record says. Proxmox takes the change only for the configuration that was looked at (`digest`),
 * so that of two computers that change it at once one looks again: no change is lost, and each decides by what is there.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Failure, isLost } from '../core/failure.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { isOutdated } from '../proxmox/conditions.ts'
import { vmAt } from '../proxmox/vm.ts'
import { sortRange, type Base, type Image } from './catalog.ts'
import { joinTags, splitTags, tagsOf } from './channels.ts'
import { replaceRecord, type Record } from './record.ts'

/** So often in a row somebody else may be quicker. */
const tries = 20

export interface Changing {
  readonly signal?: AbortSignal | undefined
  /** Before another look. @default 100 */
  readonly pauseMs?: number
}

/** What a record is to be, from how it is now; undefined: as it is. It is called again when somebody else was quicker. */
export type Decide<T extends Image | Base> = (now: T) => Promise<Record | undefined>

/**
 * @param template as it was seen: of the one that has its VMID by now, only the same one is changed
 * @param decide signs what it returns, or leaves a signature out: that of before would be wrong. What it throws ends this
 * @returns whether anything was changed
 * @throws Failure `image-changed`, `notes-full`, `changed-meanwhile`, what `decide` throws, or Proxmox's
 */
export async function changeRecord<T extends Image | Base>(
  proxmox: Proxmox,
  template: T,
  decide: Decide<T>,
  { signal, pauseMs = 100 }: Changing = {},
): Promise<boolean> {
  const { vmid, node, name } = template
  const vm = vmAt(proxmox, node, vmid)
  for (let left = tries; left > 0; left--) {
    signal?.throwIfAborted()
    const config = await vm.config()
    const { images, bases } = sortRange([{ vmid, node, config }])
    const now = [...images, ...bases].find(({ record }) => record.kind === template.record.kind) as T | undefined
    if (now?.record.fingerprint !== template.record.fingerprint || now.record.built !== template.record.built)
      throw new Failure(
        'image-changed',
        `template ${vmid} is not ${name} any more: it was removed, or changed by hand, meanwhile`,
        'See what there is with "npx golden images".',
      )
    const tags = splitTags(config.tags)
    const record = await decide(now)
    const wanted = tagsOf(record ?? now.record, tags)
    // After an answer that was lost it may be as wanted because of us.
    if (record === undefined && wanted === joinTags(tags)) return left < tries
    try {
      await vm.change({ tags: wanted, description: replaceRecord(config.description ?? '', record ?? now.record), digest: config.digest })
      return true
    } catch (error) {
      if (!isOutdated(error) && !isLost(error)) throw error
      await delay(pauseMs, undefined, signal === undefined ? {} : { signal })
    }
  }
  throw new Failure(
    'changed-meanwhile',
    `template ${vmid} (${name}) was changed by somebody else ${tries} times in a row`,
    'See who else is at it in Proxmox, then run the same command again.',
  )
}
