/** `golden images`: what there is; `golden images diff A B`: what is different. */
import { Failure } from '../core/failure.ts'
import { diffLines } from '../images/diff.ts'
import { compareImages, imageLines, readImages } from '../rollout/list-images.ts'
import { openProxmox } from './open.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: '[diff A B]',
  async run({ arguments: [what, from, to], env, progress, signal, result }) {
    if (what !== undefined && (what !== 'diff' || from === undefined || to === undefined))
      throw new Failure('usage', `"images" takes nothing, or "diff" and two images, not "${what}"`, 'Run "npx golden images --help".')
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      if (from !== undefined && to !== undefined) {
        const diff = await compareImages({ ...open, proxmox }, from, to)
        result(diffLines(diff).join('\n'), diff)
      } else {
        const list = await readImages({ ...open, proxmox })
        result(imageLines(list).join('\n'), list)
      }
      return 0
    } finally {
      proxmox.close()
    }
  },
}
