/**
 * Many steps of a transcript in one go, for guests that take their time to answer: each a shell script of root's, one after
 * another, in a folder that is theirs alone. A step leaves nothing behind; what it needs it makes itself.
 */
import { differencesOf, type Answer, type Difference, type Wanted } from './run.ts'

export interface Script {
  readonly name: string
  /** Its folder is `batchFolder`. */
  readonly script: string
  readonly wanted: Wanted
}

/** In memory. */
export const batchFolder = '/run/transcript'

const mark = '@@ transcript'

/**
 * One script out of all.
 * @param variables that the steps find in their environment
 */
export function batchOf(steps: readonly Script[], variables: Readonly<Record<string, string>> = {}): string {
  const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
  return [
    `rm -rf ${batchFolder}; install -d -m 0700 ${batchFolder}; cd ${batchFolder} || exit 1`,
    'export LC_ALL=C.UTF-8',
    ...Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}`),
    ...steps.flatMap(({ script }, index) => [
      `cat > .step <<'END_OF_STEP'\n${script}\nEND_OF_STEP`,
      'sh .step > .out 2> .err < /dev/null; code=$?',
      `printf '\\n${mark} ${index} %s\\n' "$code"; cat .out; printf '\\n${mark} err\\n'; cat .err`,
    ]),
    `cd /; rm -rf ${batchFolder}`,
    '',
  ].join('\n')
}

/** What each step has said; fewer than there were where the guest did not get to the end. */
export const answersIn = (output: string): Answer[] =>
  output
    .split(new RegExp(`(?:^|\\n)${mark} (?=\\d)`))
    .slice(1)
    .map((text) => {
      const [, exitCode, stdout = '', stderr = ''] = new RegExp(`^\\d+ (\\d+)\\n([\\s\\S]*?)\\n${mark} err\\n([\\s\\S]*)$`).exec(text) ?? []
      return { exitCode: Number(exitCode ?? -1), stdout, stderr }
    })

/** @param run a script in a shell of root's in the guest */
export async function runBatch(
  run: (script: string) => Promise<Answer>,
  steps: readonly Script[],
  variables?: Readonly<Record<string, string>>,
): Promise<Difference[]> {
  const { exitCode, stdout, stderr } = await run(batchOf(steps, variables))
  const answers = answersIn(stdout)
  return steps.flatMap(({ name, wanted }, at) =>
    differencesOf(name, wanted, answers[at] ?? { exitCode, stdout: '', stderr: `the guest did not get to this: ${stderr}` }),
  )
}
