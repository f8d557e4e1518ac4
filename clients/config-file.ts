/** A file of somebody else's program: read as it is, replaced in one step, with what it was beside it. */
import { mkdir, readFile, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Failure } from '../core/failure.ts'
import { writeWhole } from '../core/write-whole.ts'

export interface ConfigFile {
  /** Where it is: people have links to their files elsewhere. */
  readonly path: string
  /** Undefined: there is none. */
  readonly text: string | undefined
  readonly mode: number
}

/** @throws Failure `client-file-unfit` */
export async function readConfig(file: string): Promise<ConfigFile> {
  const path = await realpath(file).catch(() => file)
  try {
    const bytes = await readFile(path)
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return { path, text, mode: (await stat(path)).mode & 0o777 }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { path, text: undefined, mode: 0o600 }
    if (!(error instanceof TypeError)) throw error
    throw new Failure('client-file-unfit', `${file}: it is not UTF-8`, 'Nothing was changed. Save it as UTF-8.', { cause: error })
  }
}

export interface ReplaceOptions {
  /** Others may not read it any more. */
  readonly secret: boolean
  readonly now: Date
}

/** @returns the backup's path, if there was anything. @throws Failure `client-file-busy` */
export async function replaceConfig(
  { path, text: before, mode }: ConfigFile,
  text: string,
  { secret, now }: ReplaceOptions,
): Promise<string | undefined> {
  const kept = secret ? mode & 0o700 : mode
  await mkdir(dirname(path), { recursive: true })
  let backup: string | undefined
  await writeWhole(path, text, {
    mode: kept,
    exactly: true,
    async beforeReplacing() {
      const there = await readConfig(path)
      if (there.text !== before)
        throw new Failure('client-file-busy', `${path} was changed in this very moment`, 'Quit the client, and run the same command again.')
      if (before === undefined) return
      backup = `${path}.before-golden-${now.toISOString().replaceAll(/[-:.]/g, '')}`
      await writeWhole(backup, before, { mode: kept, exactly: true })
    },
  })
  return backup
}
