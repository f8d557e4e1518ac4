/** Who is told of a night, and that a night is none the worse for those who can't be. */
import { createServer, type Server } from 'node:http'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { HeldNight } from '../../nightly/hold-night.ts'
import { reportOf } from '../../nightly/report.ts'
import { isToBeTold, shortText, tell, type Telling, type WebhookBody } from '../../nightly/tell.ts'
import { wordsOf } from '../../nightly/words.ts'
import { eventful } from './example-night.ts'

let folder = ''
let server: Server
let answers: number[] = []
let heard: WebhookBody[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gt-'))
  answers = []
  heard = []
  server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    request.on('end', () => {
      heard.push(JSON.parse(text) as WebhookBody)
      response.writeHead(answers.shift() ?? 204).end()
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
})
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  await rm(folder, { recursive: true, force: true })
})

const failed: HeldNight = {
  before: [],
  record: {
    ...eventful,
    outcome: 'failed',
    steps: [{ step: 'bake', ms: 1, ok: false }],
    failure: { code: 'proxmox-unreachable', message: 'Proxmox does not answer', hint: 'Start it.' },
  },
}
const report = reportOf(failed, wordsOf.en, 'UTC')
const address = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/services/T0/secret-path`
const telling = (settings: Partial<Telling['settings']>): Telling => ({
  settings: { when: 'failed', passes: [], ...settings },
  folder,
  reportFolder: join(folder, 'nightly'),
  env: { PATH: process.env.PATH, HOOK: address(), GONE: 'http://127.0.0.1:1/secret-path', TOKEN: 'token', SECRET: 'secret' },
  pauseMs: 1,
})

it.each([
  ['failed', { failed: true, new: false, nothing: false, stopped: false }],
  ['changed', { failed: true, new: true, nothing: false, stopped: false }],
  ['always', { failed: true, new: true, nothing: true, stopped: false }],
] as const)('when %s: these nights', (when, wanted) => {
  for (const [outcome, isTold] of Object.entries(wanted))
    expect(isToBeTold({ when }, { ...failed, record: { ...failed.record, outcome: outcome as 'new' } }), outcome).toBe(isTold)
})

it('a night that was killed is told of by the next one', () => {
  const before = [{ outcome: 'killed' } as HeldNight['before'][number]]
  expect(isToBeTold({ when: 'failed' }, { record: { ...failed.record, outcome: 'nothing' }, before })).toBe(true)
})

it('the webhook gets what chats look for, and what programs look for', async () => {
  expect(await tell(telling({ webhook: { kind: 'env', name: 'HOOK' } }), failed, report, '')).toEqual([])
  expect(heard).toEqual([
    {
      schema: 1,
      site: 'home',
      outcome: 'failed',
      began: eventful.began,
      failure: failed.record.failure,
      text: shortText(report),
      content: shortText(report),
    },
  ])
  expect(shortText(report).split('\n').slice(0, 3)).toEqual([
    'Night of 2026-11-29: home – FAILED',
    'The night failed at this step: bake.',
    '• proxmox-unreachable: Proxmox does not answer → Start it.',
  ])
})

it('one that is busy is asked again, one that refuses is not, and nothing is repeated of its address but the host', async () => {
  answers = [503, 429, 200]
  expect(await tell(telling({ webhook: { kind: 'env', name: 'HOOK' } }), failed, report, '')).toEqual([])
  expect(heard).toHaveLength(3)
  answers = [404]
  const problems = [
    ...(await tell(telling({ webhook: { kind: 'env', name: 'HOOK' } }), failed, report, '')),
    ...(await tell(telling({ webhook: { kind: 'env', name: 'GONE' } }), failed, report, '')),
    ...(await tell(telling({ webhook: { kind: 'env', name: 'NOT_SET' } }), failed, report, '')),
    ...(await tell(telling({ webhook: { kind: 'env', name: 'TOKEN' } }), failed, report, '')),
  ]
  expect(heard).toHaveLength(4)
  expect(problems).toEqual([
    expect.stringMatching(/^the webhook on 127\.0\.0\.1:\d+ was not told: it answered 404$/),
    expect.stringMatching(/^the webhook on 127\.0\.0\.1:1 was not told: /),
    expect.stringContaining('NOT_SET'),
    'nightly.tell.webhook is no http:// or https:// address',
  ])
  expect(problems.join()).not.toContain('secret-path')
})

it('the command gets the report, where its files are, and the variables that it was promised', async () => {
  const command: Telling['settings']['command'] = [
    'sh',
    '-c',
    'cat > told; echo "$GOLDEN_OUTCOME $GOLDEN_SITE_NAME $GOLDEN_REPORT $TOKEN $SECRET" >> told',
  ]
  expect(await tell(telling({ command, passes: ['TOKEN'] }), failed, report, '# the report\n')).toEqual([])
  expect(await readFile(join(folder, 'told'), 'utf8')).toBe(`# the report\nfailed home ${join(folder, 'nightly')} token \n`)
  expect(await tell(telling({ command: ['sh', '-c', 'echo no mail server >&2; exit 4'] }), failed, report, '')).toEqual([
    expect.stringMatching(/^nightly\.tell\.command failed: sh ended with 4:\nno mail server$/),
  ])
})

it('a chat is not told more than it takes', () => {
  const long = reportOf({ ...failed, record: { ...failed.record, warnings: ['x'.repeat(5000)] } }, wordsOf.ja, 'UTC')
  expect(shortText(long).length).toBeLessThanOrEqual(1900)
  expect(shortText(long)).toMatch(/…$/)
})
