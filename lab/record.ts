/**
 * What guests are asked to run, told to whoever starts the lab as it happens, with the answers: commands over SSH, commands
 * to the guest agent, and the programs that run in a guest because of them. SSH and programs of fake guests alone: into real
 * ones the lab does not look, but what their agents are asked comes through its API as well.
 *
 * No secret is told: nothing of what goes into files or comes out of them, of input only what a shell reads, and no word that
 * could be a key, a token or a password that a program made.
 */
import { appendFileSync } from 'node:fs'
import { posix } from 'node:path'

export interface RecordedAnswer {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

export type Recorded = { readonly vmid: number } & (
  | { readonly by: 'ssh'; readonly command: string; readonly input?: string; readonly answer: RecordedAnswer }
  | { readonly by: 'program'; readonly argv: readonly string[]; readonly answer: RecordedAnswer | { readonly error: string } }
  /** A program that the agent runs. Without an answer nobody was told how it ended. */
  | {
      readonly by: 'exec'
      /** The API's user or token. */
      readonly asker: string
      readonly argv: readonly string[]
      readonly input?: string
      readonly answer?: RecordedAnswer | { readonly error: string }
    }
  /** Any other command of the agent. */
  | {
      readonly by: 'agent'
      readonly asker: string
      readonly command: string
      readonly args: Readonly<Record<string, unknown>>
      readonly answer: { readonly result: unknown } | { readonly error: string }
    }
)

export interface Recorder {
  /** @param command undefined: a shell, which reads its input */
  ssh(vmid: number, command: string | undefined, input: string, answer: RecordedAnswer): void
  program(vmid: number, argv: readonly string[], answer: RecordedAnswer | { readonly error: string }): void
  /** A command in the agent's own words, with what it came to. */
  agent(
    asked: { readonly vmid: number; readonly asker: string },
    command: string,
    args: Readonly<Record<string, unknown>>,
    answer: { readonly result: unknown } | { readonly error: string },
  ): void
  /** Tells of programs that nobody has asked the end of. */
  close(): void
}

export function createRecorder(tell: (recorded: Recorded) => unknown): Recorder {
  const running = new Map<string, Extract<Recorded, { by: 'exec' }>>()
  const withInput = (argv: readonly string[], input: string): { input?: string } =>
    input !== '' && isShellReading(argv) ? { input: withoutSecrets(input) } : {}
  return {
    ssh(vmid, command, input, answer) {
      const argv = command === undefined ? ['sh'] : command.trim().split(/\s+/)
      tell({ vmid, by: 'ssh', command: withoutSecrets(command ?? ''), ...withInput(argv, input), answer: answerOf(answer) })
    },
    program: (vmid, argv, answer) => tell({ vmid, by: 'program', argv: argv.map(withoutSecrets), answer: answerOf(answer) }),
    agent({ vmid, asker }, command, args, answer) {
      if (command === 'guest-exec') {
        const argv = [String(args.path), ...((args.arg as string[] | undefined) ?? [])]
        const input = Buffer.from(String(args['input-data'] ?? ''), 'base64').toString()
        const exec = { vmid, by: 'exec', asker, argv: argv.map(withoutSecrets), ...withInput(argv, input) } as const
        if ('error' in answer) tell({ ...exec, answer: answerOf(answer) })
        else running.set(`${vmid} ${(answer.result as { pid: number }).pid}`, exec)
      } else if (command === 'guest-exec-status') {
        const id = `${vmid} ${Number(args.pid)}`
        const exec = running.get(id)
        const status = ('result' in answer ? answer.result : {}) as Record<string, unknown>
        if (exec === undefined || !status.exited) return
        running.delete(id)
        const text = (data: unknown): string => Buffer.from(String(data ?? ''), 'base64').toString()
        const exitCode = Number(status.exitcode ?? 128 + Number(status.signal ?? 0))
        tell({ ...exec, answer: answerOf({ exitCode, stdout: text(status['out-data']), stderr: text(status['err-data']) }) })
      } else tell({ vmid, by: 'agent', asker, command, args: harmless(args), answer: harmless(answer) })
    },
    close() {
      for (const exec of running.values()) tell(exec)
      running.clear()
    },
  }
}

/** Notes in a file of its owner's only, a line each: what is asked again and again only with its first answer. */
export function recordTo(file: string): (recorded: Recorded) => void {
  const noted = new Set<string>()
  return (recorded) => {
    const { answer, ...asked } = recorded
    const text = JSON.stringify(asked)
    if (noted.has(text)) return
    noted.add(text)
    appendFileSync(file, `${JSON.stringify({ ...asked, answer })}\n`, { mode: 0o600 })
  }
}

/** A script that is handed to a shell is what is asked; what other programs read is data. */
function isShellReading(argv: readonly string[]): boolean {
  const words = argv[0] === 'sudo' ? argv.slice(1).filter((word, at) => at > 0 || !word.startsWith('-')) : argv
  const [program = '', ...rest] = words
  return /^(sh|bash|dash)$/.test(posix.basename(program)) && (rest.length === 0 || rest.some((word) => /^-[a-z]*s$/.test(word)))
}

const answerOf = <Answer extends RecordedAnswer | { readonly error: string }>(answer: Answer): Answer =>
  ('error' in answer
    ? { error: withoutSecrets(answer.error) }
    : { exitCode: answer.exitCode, stdout: withoutSecrets(answer.stdout), stderr: withoutSecrets(answer.stderr) }) as Answer

/** What the agent's commands carry of files and passwords is left out. */
const secretFields = new Set(['buf-b64', 'password', 'content', 'input-data'])

function harmless<Value>(value: Value): Value {
  if (typeof value === 'string') return withoutSecrets(value) as Value
  if (Array.isArray(value)) return value.map(harmless) as Value
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, secretFields.has(key) ? '…' : harmless(each)])) as Value
}

/** A text without the words in it that could be secrets: long ones that nobody would make up. */
export function withoutSecrets(text: string): string {
  return text
    .replace(/-----BEGIN [^-]*PRIVATE KEY-----[\s\S]*?(-----END [^-]*PRIVATE KEY-----|$)/g, '…')
    .replace(/[\w+=-][\w+=/-]{9,}/g, (word) => (word.split('/').every(isPlain) ? word : '…'))
}

/** Made of English words, of names like `sha256` and of numbers, as those of programs, files, units and variables are. */
const isPlain = (word: string): boolean =>
  word
    .split(/[-_+=]/)
    .every((part) =>
      /^(?:\d{0,10}|\d{1,4}[a-z]{1,2}|[a-zA-Z]{0,2}\d{0,4}|\d{0,3}[A-Z]{1,16}\d{0,3}|[A-Z]?[a-z]{1,24}(?:[A-Z][a-z]{3,24}){0,5}(?:[A-Z]{2}|\d{0,3}))$/.test(
        part,
      ),
    )
