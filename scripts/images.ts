/** `golden images`: what there is; `images diff A B`: what is different; `images cve [IMAGE]`: what is known to be vulnerable. */
import { resolve } from 'node:path'
import { Failure } from '../core/failure.ts'
import { diffLines } from '../images/diff.ts'
import { compareImages, imageLines, readImages } from '../rollout/list-images.ts'
import { checkImage } from './images-cve.ts'
import { openProxmox } from './open.ts'
import type { Verb } from './verb.ts'

/** How many words follow. */
const known: Readonly<Record<string, readonly number[]>> = { diff: [2], cve: [0, 1] }

export const verb: Verb = {
  operands: '[diff A B | cve [IMAGE]]',
  options: { osv: { type: 'string' }, download: { type: 'boolean' } },
  optionHelp: {
    osv: 'cve: the folder with the data of osv.dev',
    download: 'cve: bring the data of today into that folder, as far as the image has anything of it',
  },
  changes: 'nothing; with --download the folder that it is given',
  examples: [
    ['npx golden images', 'what there is'],
    ['npx golden images diff 9003 9004', 'what is different, by packages, containers and files'],
    ['npx golden images cve --osv ~/osv --download', 'what is known to be vulnerable in the newest'],
  ],
  completes: { operands: ['diff', 'cve'], options: { osv: 'folder' } },
  async run({ arguments: [what, ...names], flags, env, progress, signal, result }) {
    if (what !== undefined && !(Object.hasOwn(known, what) && known[what]?.includes(names.length)))
      throw new Failure('usage', `"images" takes nothing, "diff" and two images, or "cve" and one, not "${what}"`, usage)
    if ((what === 'cve') !== (typeof flags.osv === 'string' && flags.osv !== ''))
      throw new Failure('usage', '"images cve" takes the folder of the data, --osv FOLDER, and nothing else does', usage)
    if (flags.download === true && what !== 'cve') throw new Failure('usage', '--download is for "images cve"', usage)
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      const [from, to] = names
      if (what === 'cve') {
        const checking = { ...open, proxmox, progress, signal, ...(flags.download === true ? { download: { env } } : {}) }
        const { lines, document, isFound } = await checkImage(checking, from, resolve(String(flags.osv)))
        result(lines.join('\n'), document)
        return isFound ? 3 : 0
      }
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

const usage = 'Run "npx golden images --help".'
