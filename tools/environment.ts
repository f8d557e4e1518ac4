/** The variables by which Packer finds its plugin and the engine its provider, for whoever runs one of them. */
import { prepareEngine, type EngineOptions } from './engine-environment.ts'
import { preparePacker } from './packer-environment.ts'

/** What a verb runs. */
export type Program = 'packer' | 'engine'

export interface EnvironmentOptions extends EngineOptions {
  /** Nothing is provided of what is not asked for. @default both */
  readonly programs?: readonly Program[] | undefined
}

/** A part of it: what is tied together in a folder of the cache. */
export interface PreparedEnvironment {
  /** Folder with the programs, to be put in front of PATH. */
  readonly binDir: string
  /** What else to set. No secret among it. */
  readonly variables: Readonly<Record<string, string>>
}

/** @throws Failure */
export async function prepareEnvironment(options: EnvironmentOptions = {}): Promise<readonly PreparedEnvironment[]> {
  const { programs = ['packer', 'engine'] } = options
  const prepared: PreparedEnvironment[] = []
  // One after another, as each may have to be built, which takes all cores.
  for (const program of programs) prepared.push(await (program === 'packer' ? preparePacker(options) : prepareEngine(options)))
  return prepared
}

/**
 * Variables for a child process: `{ ...process.env, ...(await toolEnvironment()) }`. PATH is complete.
 * @throws Failure
 */
export async function toolEnvironment(options: EnvironmentOptions = {}): Promise<Record<string, string>> {
  const prepared = await prepareEnvironment(options)
  const path = [...prepared.map(({ binDir }) => binDir), options.searchPath ?? process.env.PATH ?? '']
  return Object.assign({}, ...prepared.map(({ variables }) => variables), { PATH: path.join(':') }) as Record<string, string>
}
