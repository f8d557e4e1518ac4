import { stat } from 'node:fs/promises'

/** Programs on PATH can be exchanged without another path: size and time tell. */
export async function identities(paths: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  const pairs = Object.entries(paths).map(async ([name, path]) => {
    const { size, mtimeMs } = await stat(path)
    return [name, `${path} ${size} ${mtimeMs}`] as const
  })
  return Object.fromEntries(await Promise.all(pairs))
}
