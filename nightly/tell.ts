/** Tells people of a night who do not look for its report: by a webhook and by a command. */
import { setTimeout as delay } from 'node:timers/promises'
import { ChildFailure, run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { Failure } from '../core/failure.ts'
import type { NightlySettings } from '../settings/nightly.ts'
import { resolveSecret } from '../settings/resolve.ts'
import type { HeldNight } from './hold-night.ts'
import type { Report } from './report.ts'

export interface Telling {
  readonly settings: NightlySettings['tell']
  /** The site folder. */
  readonly folder: string
  /** Where the report's files are. */
  readonly reportFolder: string
  readonly env: NodeJS.ProcessEnv
  /** Between two tries. @default 5000 */
  readonly pauseMs?: number
}

/** Whether this night is one to be told of. */
export function isToBeTold({ when }: Pick<NightlySettings['tell'], 'when'>, { record: { outcome }, before }: HeldNight): boolean {
  if (outcome === 'stopped') return false
  const isBad = outcome === 'failed' || before.at(-1)?.outcome === 'killed'
  return when === 'always' || isBad || (when === 'changed' && outcome === 'new')
}

/** Chats cut longer ones, or refuse them. */
const longest = 1900

/** For a chat: what happened, and what is to be done. */
export function shortText({ title, outcome, headline, sections, words }: Report): string {
  const alarms = sections
    .filter((section) => section.title === words.section.attention)
    .flatMap(({ blocks }) => blocks.flatMap((block) => (block.kind === 'lines' ? block.lines : [])))
  const text = [`${title} – ${outcome}`, headline, ...alarms.map((line) => `• ${line}`)].join('\n')
  return text.length <= longest ? text : `${text.slice(0, longest - 1).toWellFormed()}…`
}

/** Chats that take JSON look for `text` or for `content`. */
export interface WebhookBody {
  readonly schema: 1
  readonly site: string
  readonly outcome: HeldNight['record']['outcome']
  readonly began: string
  readonly failure: HeldNight['record']['failure']
  readonly text: string
  readonly content: string
}

/** @returns what went wrong with it, as sentences: a night is none the worse for it */
export async function tell(telling: Telling, night: HeldNight, report: Report, markdown: string): Promise<string[]> {
  const { settings } = telling
  if (!isToBeTold(settings, night)) return []
  const text = shortText(report)
  const { record } = night
  const body: WebhookBody = {
    schema: 1,
    site: record.site,
    outcome: record.outcome,
    began: record.began,
    failure: record.failure ?? record.complaints[0] ?? null,
    text,
    content: text,
  }
  const problems = await Promise.all([callWebhook(telling, body), runCommand(telling, night, markdown)])
  return problems.filter((problem) => problem !== undefined)
}

const tries = 3
const answerMs = 20_000

/** The address may let whoever knows it post: nothing of it but the host is repeated. */
async function callWebhook(
  { settings: { webhook }, folder, env, pauseMs = 5000 }: Telling,
  body: WebhookBody,
): Promise<string | undefined> {
  if (webhook === undefined) return undefined
  let address: string
  try {
    address = await resolveSecret(webhook, 'nightly.tell.webhook', folder, env)
  } catch (error) {
    if (error instanceof Failure) return error.message
    throw error
  }
  if (!URL.canParse(address) || !/^https?:$/.test(new URL(address).protocol))
    return 'nightly.tell.webhook is no http:// or https:// address'
  const { host } = new URL(address)
  const { request } = await import('undici')
  const { WayOut } = await import('../core/way-out.ts')
  const dispatcher = new WayOut(env, { connectTimeoutMs: answerMs, headersTimeoutMs: answerMs, bodyTimeoutMs: answerMs })
  try {
    for (let left = tries; ; left--) {
      const problem = await post()
      if (problem === undefined || left === 1 || !problem.passes) return problem && `the webhook on ${host} was not told: ${problem.why}`
      await delay(pauseMs)
    }
  } finally {
    await dispatcher.destroy()
  }

  async function post(): Promise<{ readonly why: string; readonly passes: boolean } | undefined> {
    try {
      const answer = await request(address, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'user-agent': 'serena-golden' },
        body: JSON.stringify(body),
        dispatcher,
      })
      await answer.body.dump()
      const { statusCode } = answer
      if (statusCode >= 200 && statusCode < 300) return undefined
      return { why: `it answered ${statusCode}`, passes: statusCode === 429 || statusCode >= 500 }
    } catch (error) {
      return { why: (error as NodeJS.ErrnoException).code ?? 'it does not answer', passes: true }
    }
  }
}

const commandMs = 120_000

async function runCommand(
  { settings: { command, passes }, folder, reportFolder, env }: Telling,
  { record: { outcome, site } }: HeldNight,
  markdown: string,
): Promise<string | undefined> {
  if (command === undefined) return undefined
  const [program, ...args] = command
  try {
    await run(program, args, {
      cwd: folder,
      env: {
        ...childEnvironment(env, (name) => passes.includes(name)),
        GOLDEN_OUTCOME: outcome,
        GOLDEN_SITE_NAME: site,
        GOLDEN_REPORT: reportFolder,
      },
      input: markdown,
      timeoutMs: commandMs,
    })
    return undefined
  } catch (error) {
    if (!(error instanceof ChildFailure)) throw error
    return `nightly.tell.command failed: ${error.message}`
  }
}
