/** Which verb is next. */
import { describe, expect, it } from 'vitest'
import { newRelease, noDeployment, type Deployment } from '../../releases/deployment.ts'
import {
  afterClient,
  afterDeleteData,
  afterDeploy,
  afterDestroy,
  afterImage,
  afterInit,
  afterLock,
  afterPlan,
  afterPrune,
  afterRevoke,
  afterRollback,
  afterRollout,
  afterSetup,
  afterStatus,
} from '../../scripts/after.ts'
import { nextLines, step, type NextStep } from '../../scripts/next-step.ts'
import { parseWords } from '../../scripts/parse-words.ts'
import { verbs } from '../../verbs.ts'
import { exampleSite } from '../images/example.ts'

const site = exampleSite()
const groups = Object.keys(site.groups)
const [first = ''] = groups

/** What is said, without `npx golden`; each has to be a command that there is. */
async function said(steps: readonly NextStep[]): Promise<string[]> {
  const all: string[] = []
  for (const { command, why } of steps) {
    const words = command.replace(/^npx golden /, '')
    expect(why).toMatch(/^\S.{2,}[^.]$/)
    if (words === command) expect(command).toMatch(/^(\$EDITOR|qm) /)
    else {
      const [name = '', ...more] = words.split(' ')
      parseWords(name, (await verbs[name]?.load())?.verb ?? {}, more)
    }
    all.push(words)
  }
  return all
}

const imageOf = (name: string) => ({ vmid: 9001, name, fingerprint: `of-${name}` })
/** Every group runs one, the way back another. */
const deployed = (now: string, before?: string): Deployment => ({
  schema: 1,
  groups: Object.fromEntries(
    groups.map((group) => {
      const release = (slot: 'blue' | 'green', name: string) =>
        newRelease(site, group, slot, { id: '0123456789ab', created: new Date(), image: imageOf(name) })
      const green = before === undefined ? {} : { green: release('green', before) }
      return [group, { active: 'blue' as const, slots: { blue: release('blue', now), ...green } }]
    }),
  ),
})

describe('from an empty folder to what runs', () => {
  const state = { folder: '/site', isExample: false, hasToken: false, hasLock: false, deployment: noDeployment }
  it.each([
    ['the example is as it was', { ...state, isExample: true }, true, ['$EDITOR /site/site.ts', 'init']],
    ['it is edited', state, true, ['setup']],
    ['the host is prepared', { ...state, hasToken: true }, false, ['lock']],
    ['there is a lock', { ...state, hasToken: true, hasLock: true }, false, ['bake']],
    [
      'it runs, and somebody has got a password',
      { ...state, hasToken: true, hasLock: true, deployment: deployed('a') },
      true,
      ['rollout --plan'],
    ],
    ['it runs, and nothing was made', { ...state, hasToken: true, hasLock: true, deployment: deployed('a') }, false, []],
  ])('init when %s', async (_what, at, made, next) => expect(await said(afterInit(at, made))).toEqual(next))

  it('setup', async () => {
    expect(await said(afterSetup(state))).toEqual(['lock'])
    expect(await said(afterSetup({ ...state, hasLock: true }))).toEqual(['bake'])
    expect(await said(afterSetup({ ...state, deployment: deployed('a') }))).toEqual(['status'])
  })

  it('lock', async () => {
    expect(await said([...afterLock(true, false), ...afterLock(false, false)])).toEqual(['bake', 'bake'])
    expect(await said(afterLock(true, true))).toEqual(['lock'])
    expect(afterLock(false, true)).toEqual([])
  })

  it('deploy', async () => {
    const group = { outcome: 'deployed', siteDiffers: false } as const
    expect(await said(afterDeploy([group, { ...group, outcome: 'unchanged' }]))).toEqual(['status', 'client --check', 'client claude-code'])
    expect(await said(afterDeploy([{ outcome: 'unchanged', siteDiffers: true }]))).toEqual(['rollout --plan'])
    expect(afterDeploy([{ outcome: 'unchanged', siteDiffers: false }])).toEqual([])
  })

  it('a plan', async () => {
    expect(await said(afterPlan('prune --old-slots', true))).toEqual(['prune --old-slots'])
    expect(afterPlan('bake', false)).toEqual([])
  })
})

describe('of an image', () => {
  const fresh = { name: 'b', fingerprint: 'of-b', verification: 'none', channel: 'candidate' } as const
  const passed = { ...fresh, verification: 'passed' } as const
  const wants = (image: Partial<typeof site.image>): typeof site => ({
    ...site,
    image: { ...site.image, onlyVerified: true, channel: 'candidate', ...image },
  })
  it.each([
    ['it was just baked', fresh, wants({}), noDeployment, ['verify b']],
    ['the site takes any', fresh, wants({ onlyVerified: false }), noDeployment, ['deploy']],
    ['it has passed', passed, wants({}), noDeployment, ['deploy']],
    ['another one runs', passed, wants({}), deployed('a'), ['rollout --plan']],
    ['it runs', passed, wants({}), deployed('b'), []],
    ['it has to be promoted', passed, wants({ channel: 'stable' }), deployed('a'), ['promote b']],
    ['it has no channel', { ...passed, channel: undefined }, wants({}), deployed('a'), ['promote b']],
    ['it is promoted', { ...passed, channel: 'stable' as const }, wants({ channel: 'stable' }), deployed('a'), ['rollout --plan']],
    ['it has failed', { ...fresh, verification: 'failed' as const }, wants({}), deployed('a'), ['bake']],
  ])('when %s', async (_what, image, at, deployment, next) => expect(await said(afterImage(image, at, deployment))).toEqual(next))

  it('that is not the newest, only by its name', async () => {
    expect(await said(afterImage(passed, wants({}), deployed('a'), false))).toEqual(['rollout --plan --image b'])
    expect(afterImage(passed, wants({}), noDeployment, false)).toEqual([])
  })

  it('that is revoked', async () => {
    expect(await said(afterRevoke(true, true))).toEqual(['rollout'])
    expect(await said(afterRevoke(false, true))).toEqual(['lock', 'bake', 'rollout'])
    expect(await said(afterRevoke(false, false))).toEqual(['lock', 'bake'])
    expect(afterRevoke(true, false)).toEqual([])
  })
})

describe('of what runs', () => {
  const group = {
    group: first,
    health: 'healthy',
    rollout: null,
    revoked: null,
    newerImage: null,
    siteDiffers: false,
    vm: { vmid: 9011, name: 'x-blue', running: true },
  }
  const status = (...more: object[]) =>
    afterStatus({ groups: Object.fromEntries(more.map((one, index) => [String(index), { ...group, ...one }])) } as never)
  it.each([
    ['all is well', [{}], []],
    ['one is not there', [{}, { health: 'absent' }], ['deploy']],
    ['one is switched off', [{ health: 'stopped' }], ['qm start 9011']],
    ['there is something newer', [{ newerImage: 'b' }, { siteDiffers: true }], ['rollout --plan']],
    ['a rollout was interrupted', [{ newerImage: 'b' }, { rollout: { phase: 'watch' } }], [`rollout ${first}`, `rollback ${first}`]],
    ['a rollout has failed', [{ rollout: { phase: 'failed' } }], []],
    ['one runs a revoked image, and there is another', [{ revoked: 'a key', newerImage: 'b' }], ['rollout']],
    ['one runs a revoked image, and there is none', [{ revoked: 'a key' }], ['lock', 'bake', 'rollout']],
  ])('status when %s', async (_what, all, next) => expect(await said(status(...all))).toEqual(next))

  it('client', async () => {
    const at = { deployed: true, file: '/home/me/.cursor/mcp.json' }
    expect(await said(afterClient('cursor', { ...at, did: 'print' }))).toEqual(['client cursor --write', 'client --check'])
    expect(await said(afterClient('json', { deployed: true, file: undefined, did: 'print' }))).toEqual(['client --check'])
    expect(await said(afterClient('cursor', { ...at, did: 'plan' }))).toEqual(['client cursor --write'])
    expect(await said(afterClient('cursor', { ...at, did: 'write' }))).toEqual(['client --check'])
    expect(await said(afterClient('cursor', { ...at, deployed: false, did: 'print' }))).toEqual(['deploy'])
  })

  it('rollout', async () => {
    expect(await said(afterRollout([{ outcome: 'nothing' }, { outcome: 'rolled-out' }]))).toEqual(['status', 'rollback'])
    expect(afterRollout([{ outcome: 'nothing' }])).toEqual([])
  })

  it('rollback: the next rollout must not bring back what was left', async () => {
    const back = [{ group: first, outcome: 'rolled-out', slot: 'blue' }] as const
    expect(await said(afterRollback(back, deployed('a', 'b')).filter(({ command }) => !command.includes('revoke')))).toEqual(['status'])
    expect(afterRollback(back, deployed('a', 'b'))[1]?.command).toBe('npx golden revoke b --reason "…"')
    expect(await said(afterRollback(back, deployed('a', 'a')))).toEqual(['status', 'rollout --plan'])
    expect(afterRollback([{ ...back[0], outcome: 'nothing' }], deployed('a', 'b'))).toEqual([])
  })

  it('destroy and delete-data', async () => {
    expect(
      await said(
        afterDestroy([
          { group: first, dataDisk: 'kept' },
          { group: 'other', dataDisk: 'none' },
        ]),
      ),
    ).toEqual(['deploy', `delete-data ${first}`])
    expect(await said(afterDestroy([{ group: first, dataDisk: 'none' }]))).toEqual(['deploy'])
    expect(await said(afterDeleteData(deployed('a')))).toEqual(['deploy'])
    expect(await said(afterDeleteData(noDeployment))).toEqual(['deploy', 'prune --all'])
  })
})

it('prune: of a site that is to go, what setup made is next', async () => {
  expect(await said(afterPrune('prune --all', 0, true, noDeployment))).toEqual(['setup --remove'])
  expect(afterPrune('prune --all', 0, true, deployed('a'))).toEqual([])
  expect(afterPrune('prune', 0, false, noDeployment)).toEqual([])
  expect(await said(afterPrune('prune --old-slots', 1, false, deployed('a')))).toEqual(['prune --old-slots'])
})

it('is told in lines, what it is for in a column', () => {
  expect(nextLines([step('status', 'how it is'), step('client --check', 'what a client sees')])).toEqual([
    'Next:',
    '  npx golden status           # how it is',
    '  npx golden client --check   # what a client sees',
  ])
  expect(nextLines([])).toEqual([])
})
