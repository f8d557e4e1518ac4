/**
 * Runs a transcript: steps with the answers that every Debian 13 guest gives, fake or real, and tells what differs.
 */
export interface Answer {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
}

/** How to reach a guest. */
export interface TranscriptGuest {
  /** A command over SSH as `tester`. */
  ssh(command: string, input?: string): Promise<Answer>
  /** A file by SFTP as `tester`. */
  upload(path: string, content: string): Promise<void>
  /** A guest agent command, its `return`; rejects with an error of the driver's. */
  agent(command: string, args?: Record<string, unknown>): Promise<unknown>
  /** The guest's own IPv4 address. */
  readonly address: string
}

export type Wanted = { readonly exitCode: number | 'not 0'; readonly stdout?: string | RegExp; readonly stderr?: string | RegExp }

export type Step =
  | { readonly name: string; readonly upload: string; readonly content: string }
  | { readonly name: string; readonly ssh: string; readonly input?: string; readonly wanted: Wanted }
  | { readonly name: string; readonly agentExec: readonly string[]; readonly wanted: Wanted }
  | {
      readonly name: string
      readonly agent: string
      readonly args?: Record<string, unknown>
      readonly wanted: (result: unknown, address: string) => boolean
    }
  | { readonly name: string; readonly agent: string; readonly args?: Record<string, unknown>; readonly error: RegExp }

export const good = (stdout: string | RegExp): Wanted => ({ exitCode: 0, stdout })

export interface Difference {
  readonly step: string
  readonly wanted: string
  readonly found: string
}

/** Runs every step; what differs from the transcript, nothing if all is as it says. Rejects only when the guest is gone. */
export async function runTranscript(guest: TranscriptGuest, steps: readonly Step[]): Promise<Difference[]> {
  const differences: Difference[] = []
  for (const step of steps) {
    if ('upload' in step) {
      await guest.upload(step.upload, step.content)
    } else if ('ssh' in step || 'agentExec' in step) {
      const answer = 'ssh' in step ? await guest.ssh(step.ssh, step.input) : await execByAgent(guest, step.agentExec)
      differences.push(...differencesOf(step.name, step.wanted, answer))
    } else if ('error' in step) {
      const found = await guest.agent(step.agent, step.args).then(
        (result) => `result ${JSON.stringify(result)}`,
        (error: Error) => error.message,
      )
      if (!step.error.test(found)) differences.push({ step: step.name, wanted: String(step.error), found })
    } else {
      const result = await guest.agent(step.agent, step.args)
      if (!step.wanted(result, guest.address))
        differences.push({ step: step.name, wanted: String(step.wanted), found: JSON.stringify(result) })
    }
  }
  return differences
}

/** One, or none. */
export const differencesOf = (step: string, wanted: Wanted, answer: Answer): Difference[] =>
  matches(wanted, answer) ? [] : [{ step, wanted: show(wanted), found: show(answer) }]

/** A program in the guest, by its agent. */
export async function execByAgent(
  guest: Pick<TranscriptGuest, 'agent'>,
  [path, ...arg]: readonly string[],
  input?: string,
): Promise<Answer> {
  const given = input === undefined ? {} : { 'input-data': Buffer.from(input).toString('base64') }
  const { pid } = (await guest.agent('guest-exec', { path, arg, 'capture-output': true, ...given })) as { pid: number }
  for (;;) {
    const status = (await guest.agent('guest-exec-status', { pid })) as {
      exited: boolean
      exitcode?: number
      'out-data'?: string
      'err-data'?: string
    }
    if (!status.exited) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      continue
    }
    const text = (data: string | undefined): string => Buffer.from(data ?? '', 'base64').toString()
    return { exitCode: status.exitcode ?? -1, stdout: text(status['out-data']), stderr: text(status['err-data']) }
  }
}

function matches(wanted: Wanted, answer: Answer): boolean {
  const fits = (want: string | RegExp | undefined, text: string): boolean =>
    want === undefined || (typeof want === 'string' ? want === text : want.test(text))
  return (
    (wanted.exitCode === 'not 0' ? answer.exitCode !== 0 : answer.exitCode === wanted.exitCode) &&
    fits(wanted.stdout, answer.stdout) &&
    fits(wanted.stderr, answer.stderr)
  )
}

function show(value: Wanted | Answer): string {
  return JSON.stringify(value, (_, each: unknown) => (each instanceof RegExp ? String(each) : each))
}
