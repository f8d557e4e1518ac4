/** `golden tour`: the whole story in a terminal, with models of guests. No root, no QEMU; nothing is left of it. */
import { X509Certificate } from 'node:crypto'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder, makeFolder } from '../core/folders.ts'
import { Failure } from '../core/failure.ts'
import { inScratch } from '../core/scratch.ts'
import { languageServersDigest, languageServersFolder } from '../images/language-servers/stage.ts'
import { startLab, type Lab } from '../lab/index.ts'
import { ask } from '../scripts/confirm.ts'
import { programEnvironment } from '../scripts/programs.ts'
import { duration } from '../scripts/render.ts'
import type { Verb, VerbContext } from '../scripts/verb.ts'
import { guestContents } from './guest-contents.ts'
import { ofLab } from './lab-failure.ts'
import { typeVerb } from './program.ts'
import { chapters, endLines, type Chapter, type TourPlace } from './tour-story.ts'

export const verb: Verb = {
  options: { step: { type: 'boolean' } },
  optionHelp: { step: 'wait for Enter before each command' },
  changes: 'nothing that stays; programs that are missing are built or downloaded into the cache first, as bake and deploy would do',
  examples: [
    ['npm run tour', 'about two minutes, once Packer and OpenTofu are there'],
    ['npx golden tour --step', 'at your own pace'],
  ],
  async run(context) {
    const { flags, progress, signal, result } = context
    if (flags.step === true && !process.stdin.isTTY)
      throw new Failure('usage', '--step waits for Enter, and there is no terminal', 'Run it without.')
    // Not the tour's own time: they are for every verb from then on.
    await progress.step('Packer, OpenTofu and their plugins', () =>
      programEnvironment({ site: { engine: 'tofu', programs: {} }, folder: undefined }, ['packer', 'engine'], progress, signal),
    )
    const began = performance.now()
    const commands = await inScratch((folder) => tour(folder, context))
    const seconds = Math.round((performance.now() - began) / 1000)
    result(
      [...endLines, '', `That was ${commands.length} commands in ${duration(seconds * 1000)}; all of it is gone again.`].join('\n'),
      { seconds, commands },
      [
        { command: 'npm run demo', why: 'the same with real guests on this computer, as root' },
        { command: 'npx golden init', why: 'for your own Proxmox' },
      ],
    )
    return 0
  },
}

interface Told {
  readonly command: string
  readonly seconds: number
}

async function tour(scratch: string, context: VerbContext): Promise<Told[]> {
  const { progress, signal } = context
  for (const name of ['cache/serena-golden', 'site']) await mkdir(join(scratch, name), { recursive: true, mode: 0o700 })
  await lendCache(cacheFolder(context.env), join(scratch, 'cache', 'serena-golden'))
  const lab = await progress.step('a Proxmox to look at: the API over models of guests', () =>
    ofLab(() => startLab({ stateDir: join(scratch, 'lab'), driver: 'fake', contents: guestContents })),
  )
  try {
    const place = await placeOf(scratch, lab)
    const told: Told[] = []
    for (const chapter of chapters(place)) {
      signal.throwIfAborted()
      told.push(...(await tell(chapter, place, scratch, context)))
    }
    return told
  } finally {
    await progress.step('take all of it away', () => lab.close())
  }
}

/**
 * Programs and compiled files from the user's cache. Of the language servers, 350 MB that models of guests have no use for, the
 * tour has a stand-in: not for the user's cache, where a bake would take it for the real ones.
 */
async function lendCache(from: string, to: string): Promise<void> {
  for (const name of ['tools', 'compiled']) {
    await makeFolder(join(from, name))
    await symlink(join(from, name), join(to, name))
  }
  const servers = languageServersFolder(to, await languageServersDigest())
  for (const file of ['node/bin/node', 'language-servers/bin/pyright-langserver']) {
    await mkdir(join(servers, file, '..'), { recursive: true })
    await writeFile(join(servers, file), '#!/bin/sh\n', { mode: 0o755 })
  }
}

async function placeOf(scratch: string, lab: Lab): Promise<TourPlace> {
  const { connection } = lab
  const { fingerprint256 } = new X509Certificate(await readFile(join(connection.caFile, '../server.pem')))
  return {
    folder: join(scratch, 'site'),
    connection,
    fingerprint: fingerprint256,
    isoPath: join(scratch, 'iso'),
    base: join(scratch, 'base.qcow2'),
  }
}

/** @returns what was typed, and how long it took */
async function tell(chapter: Chapter, place: TourPlace, scratch: string, { progress, signal, env, flags }: VerbContext): Promise<Told[]> {
  progress.info(`\n${chapter.title}`)
  for (const line of chapter.why) progress.info(`  ${line}`)
  await chapter.prepare?.()
  const told: Told[] = []
  for (const { shown, words, lines } of chapter.commands) {
    if (flags.step === true) await ask(`\nEnter goes on to: ${shown} `, { signal, hint: 'All of it is gone.' })
    const began = performance.now()
    const { code, stdout, stderr } = await progress.step(`$ ${shown}`, (note) =>
      typeVerb(words, {
        env: {
          ...env,
          GOLDEN_SITE: place.folder,
          XDG_CACHE_HOME: join(scratch, 'cache'),
          ...(words[0] === 'setup' ? { PROXMOX_ADMIN_PASSWORD: place.connection.admin.password } : {}),
        },
        signal,
        onLine: (line) => note(line.trim()),
      }),
    )
    if (code !== 0)
      throw new Failure(
        'verb-failed',
        `golden ${words.join(' ')} ended with exit code ${code}:\n${stderr.trim()}`,
        'Models of guests are less than guests: if it looks like a mistake of the tour, please report it with these lines.',
      )
    for (const line of outputLines(stdout, scratch, lines)) progress.info(`  │ ${line}`.trimEnd())
    told.push({ command: shown, seconds: Math.round((performance.now() - began) / 100) / 10 })
  }
  return told
}

/** What a verb has printed; long lists are cut, and the folder of the tour is called as one's own would be. */
function outputLines(stdout: string, scratch: string, most: number): string[] {
  const lines = stdout.trimEnd().replaceAll(`${scratch}/`, '').split('\n')
  return lines.length > most ? [...lines.slice(0, most - 1), `… and ${lines.length - most + 1} lines more`] : lines
}
