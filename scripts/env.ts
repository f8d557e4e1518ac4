/** `golden env`: what plain tools need, as shell text; no secret. */
import { delimiter, resolve } from 'node:path'
import { shellWord } from '../core/shell-word.ts'
import { openSite } from './open.ts'
import { programEnvironment } from './programs.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  changes: 'nothing; programs that are missing are built or downloaded into the cache first',
  examples: [
    ['eval "$(npx golden env)"; npx cdktn deploy \'*\'', 'plain CDKTF, with what is pinned'],
    ['eval "$(npx golden env)"; npx cdktn diff serena', 'what it would change'],
  ],
  async run({ env, progress, signal, result }) {
    const { site, folder } = await openSite(env)
    const { PATH = '', ...others } = await programEnvironment({ site, folder }, ['packer', 'engine'], progress, signal)
    const variables = {
      ...others,
      GOLDEN_SITE: folder,
      // The engine gets the token and Proxmox's CA from our wrapper, not from this output.
      TERRAFORM_BINARY_NAME: resolve(import.meta.dirname, 'golden-tofu'),
    }
    // In front of what that shell has: npx, which calls this, has put folders of its own into PATH.
    const programs = PATH.split(delimiter).slice(0, 2).join(delimiter)
    result(
      [
        `export PATH=${shellWord(programs)}"\${PATH:+:$PATH}"`,
        ...Object.entries(variables).map(([name, value]) => `export ${name}=${shellWord(value)}`),
      ].join('\n'),
      { ...variables, PATH: programs },
    )
    return 0
  },
}
