/**
 * Whether a connection from outside comes through the router: asked of a program of the user's own, somewhere on the
 * internet. What it has to do is in docs/doctor.md.
 */
import { z } from 'zod'

export interface OutsideQuestion {
  /** The helper's https:// address. */
  readonly helper: string
  readonly host: string
  readonly port: number
  readonly env: NodeJS.ProcessEnv
  readonly signal: AbortSignal
}

export interface OutsideView {
  /** A TCP connection from there came about. */
  readonly open: boolean
  /** The address that the question came from: this network's, as it is seen from outside. */
  readonly from?: string | undefined
}

/** @throws Error when it does not answer, or not as it should */
export type AskOutside = (question: OutsideQuestion) => Promise<OutsideView>

const answerSchema = z.object({ open: z.boolean(), from: z.union([z.ipv4(), z.ipv6()]).optional() })

/** It tries a connection itself first, and that may be one that nobody answers. */
const answerMs = 8000

/** Pure. */
export function outsideUrl({ helper, host, port }: Pick<OutsideQuestion, 'helper' | 'host' | 'port'>): string {
  const url = new URL(helper)
  url.searchParams.set('host', host)
  url.searchParams.set('port', String(port))
  return url.href
}

export const askOutside: AskOutside = async (question) => {
  // Only for whoever has a helper: they take their time to load.
  const [{ request }, { WayOut }] = await Promise.all([import('undici'), import('../core/way-out.ts')])
  const dispatcher = new WayOut(question.env, { connectTimeoutMs: answerMs, headersTimeoutMs: answerMs, bodyTimeoutMs: answerMs })
  try {
    const signal = AbortSignal.any([question.signal, AbortSignal.timeout(answerMs)])
    const { statusCode, body } = await request(outsideUrl(question), { dispatcher, signal, headers: { accept: 'application/json' } })
    const text = await body.text()
    if (statusCode !== 200) throw new Error(`it answers with ${statusCode}`)
    return readAnswer(text)
  } finally {
    await dispatcher.destroy()
  }
}

/** @throws Error */
export function readAnswer(text: string): OutsideView {
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch {
    throw new Error('it does not answer in JSON')
  }
  const parsed = answerSchema.safeParse(data)
  if (!parsed.success) throw new Error('it does not answer with { "open": true or false, "from": "ADDRESS" }')
  return parsed.data
}
