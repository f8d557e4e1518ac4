/** This computer: the site folder, and the programs that verbs run. */
import { isOnPath } from '../core/on-path.ts'
import { noVerifier, verifiers } from '../core/openpgp.ts'
import { noXz } from '../images/archive/programs.ts'
import { requireSigners, requireSigningKey } from '../images/signature.ts'
import type { Check } from './check.ts'
import { failureIn, fine, ofError, warn, warnOf } from './line.ts'

/** Programs are asked for their versions, and Go may have to think about which one it is. */
const programsMs = 20_000

export const computerChecks: readonly Check[] = [
  {
    id: 'site',
    section: 'this computer',
    looks: 'the site folder has a `site.ts` that can be read, and all settings are such as can be',
    mends: '`npx golden init`, GOLDEN_SITE, or the settings that the line names',
    limit: programsMs,
    async run(facts) {
      const { site, folder } = await facts.site()
      return fine(`${site.name}, in ${folder}`)
    },
  },
  {
    id: 'tools',
    section: 'this computer',
    looks: 'Packer, its plugin, the engine and its provider are here, or how they come',
    mends: '`npx golden env` fetches or builds them now; Go, or Terraform, installed',
    needs: ['site'],
    limit: programsMs,
    async run(facts) {
      const seen = await facts.programs((await facts.site()).site.engine, facts.signal)
      const missing = seen.flatMap((one) => (one.is === 'missing' ? [one] : []))
      const [first] = missing
      if (first !== undefined)
        return { ...ofError(first.failure), note: missing.map(({ name, failure }) => `${name}: ${failure.message}`).join('; ') }
      const toCome = seen.flatMap((one) => (one.is === 'to-come' ? [`${one.name} ${one.how}`] : []))
      if (toCome.length > 0)
        return warn(
          `not here yet, and made by the first verb that needs them: ${toCome.join(', ')}`,
          '"npx golden env" does it now; it may take minutes.',
        )
      return fine(seen.flatMap((one) => (one.is === 'there' ? [`${one.name} ${one.version}`] : [])).join(', '))
    },
  },
  {
    id: 'archive-programs',
    section: 'this computer',
    looks: 'gpgv or sqv, and xz, with which `golden lock` checks and reads archives of packages',
    mends: 'their packages, as the line says',
    limit: programsMs,
    async run({ env }) {
      const path = env.PATH ?? ''
      const found: string[] = []
      for (const program of verifiers) if (await isOnPath(program, path)) found.push(program)
      if (found.length === 0) return ofError(noVerifier())
      if (await isOnPath('xz', path)) return fine(`${found.join(', ')}, xz`)
      const { message, hint } = noXz()
      return warn(`${message}: archives that have them in no other form can't be read`, hint)
    },
  },
  {
    id: 'signing',
    section: 'this computer',
    looks: 'ssh-keygen, the key that images are signed with, and `allowed-signers`',
    mends: '`npx golden init`, OpenSSH, or `image.signed`',
    needs: ['site'],
    limit: programsMs,
    async run(facts) {
      const { site, folder } = await facts.site()
      if (!site.image.signed) return fine('the site asks for no signatures (image.signed)')
      requireSigners(folder)
      try {
        await requireSigningKey({ site, folder })
      } catch (error) {
        // Whoever only deploys has no key, and needs none.
        if (failureIn(error).code !== 'signing-key-missing') throw error
        return warnOf(error)
      }
      return fine(`${site.image.signingKey} signs, allowed-signers says whose signatures count`)
    },
  },
]
