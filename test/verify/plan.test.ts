import { describe, expect, it } from 'vitest'
import type { Image } from '../../images/catalog.ts'
import { seedForm } from '../../images/contract/seed.ts'
import { parts } from '../../images/contract/selftest.ts'
import { checkNames, checksOf, imageToVerify, planLines, planVerify } from '../../verify/plan.ts'
import { failedChecks, hasPassed, resultLines, type CheckResult } from '../../verify/report.ts'
import { selectorsOf } from '../../verify/logs.ts'
import { verdict } from '../../verify/try-out.ts'
import { trialRelease, trialSite } from '../../verify/trial.ts'
import { exampleSite, hash } from '../images/example.ts'

const site = exampleSite()
const image = (vmid: number, change: { base?: string; built?: string; revoked?: boolean; seed?: number; node?: string } = {}): Image =>
  ({
    vmid,
    name: `golden-home-${String(vmid).padStart(12, '0')}`,
    node: change.node ?? 'pve',
    storage: 'local-lvm',
    revoked: change.revoked ?? false,
    record: {
      fingerprint: hash('f'),
      base: { sha256: change.base ?? hash('a') },
      built: change.built ?? '2026-11-24T01:00:00Z',
      seed: change.seed ?? seedForm,
    },
  }) as Image

describe('the image', () => {
  it("is the newest of the site's base that is not revoked", () => {
    const list = [
      image(9001),
      image(9002, { built: '2026-11-25T01:00:00Z' }),
      image(9003, { built: '2026-11-26T01:00:00Z', revoked: true }),
      image(9004, { built: '2026-11-26T01:00:00Z', base: hash('b') }),
    ]
    expect(imageToVerify(site, list, undefined).vmid).toBe(9002)
  })

  it('is the one that is named, by VMID, name or the end of it', () => {
    const list = [image(9001), image(9004, { base: hash('b') })]
    for (const name of ['9004', 'golden-home-000000009004', '009004']) expect(imageToVerify(site, list, name).vmid).toBe(9004)
  })

  it.each([
    ['no-image', [], undefined],
    ['no-image', [image(9001, { revoked: true })], undefined],
    ['image-unknown', [image(9001)], '9002'],
    ['image-revoked', [image(9001, { revoked: true })], '9001'],
    ['image-of-other-version', [image(9001, { seed: 1 })], undefined],
    ['image-elsewhere', [image(9001, { node: 'other' })], undefined],
  ] as const)('%s', (code, list, name) => {
    expect(() => imageToVerify(site, list, name)).toThrow(expect.objectContaining({ code }))
  })
})

describe('the plan', () => {
  it('has a clone for each set of roles, with the checks that it can show', () => {
    const plan = planVerify(site, image(9001))
    expect(plan.image).toEqual({ vmid: 9001, name: 'golden-home-000000009001', fingerprint: hash('f') })
    expect(plan.clones).toMatchObject([{ group: 'serena', roles: ['serena'], service: '192.168.1.40', memoryMiB: 4096, dataGiB: 4 }])
    expect(plan.clones[0]?.checks).toEqual(checkNames.filter((name) => name !== 'logs' && name !== 'dashboards'))
    expect(planLines(plan)[0]).toContain('clone golden-home-000000009001 (9001) for serena: 2 cores, 4096 MiB')
    expect(planLines(plan)).toHaveLength(1 + checkNames.length - 2)
  })

  it('leaves no check out that some clone can show', () => {
    const all = [checksOf(['serena'], true), checksOf(['logging'], true)].flat()
    expect(new Set(all)).toEqual(new Set(checkNames))
    expect(checksOf(['serena', 'logging'], true)).toEqual(checkNames)
    expect(checksOf(['logging'], true)).not.toContain('tools')
  })

  it('has a check for each part of what slotctl says of itself', () => {
    expect(parts.filter((part) => !checkNames.includes(part))).toEqual([])
  })
})

describe('the verdict', () => {
  it('on a part is that on all its checks, and there has to be one', () => {
    const seen = [
      { part: 'tls', name: 'a', ok: true },
      { part: 'auth', name: 'b', ok: false, detail: '200' },
      { part: 'auth', name: 'c', ok: false },
    ] as const
    expect(verdict('tls', seen)).toEqual({ ok: true })
    expect(verdict('auth', seen)).toEqual({ ok: false, detail: 'not so: b (200); not so: c' })
    expect(verdict('units', seen)).toEqual({ ok: false, detail: 'slotctl says nothing of it' })
  })

  it('on an image is that on all that was tried', () => {
    const good: CheckResult = { clone: 'serena', name: 'boots', ok: true, ms: 1 }
    const bad: CheckResult = { clone: 'serena', name: 'tls', ok: false, detail: 'no', ms: 1 }
    const skipped: CheckResult = { clone: 'serena', name: 'client', ok: true, skipped: true, detail: 'why', ms: 0 }
    expect([hasPassed([good, skipped]), hasPassed([good, bad]), hasPassed([])]).toEqual([true, false, false])
    expect(failedChecks([good, bad, skipped])).toEqual(['serena/tls'])
    expect(resultLines([good, bad, skipped])).toEqual(['1 of 2 checks hold.', 'failed     serena/tls: no', 'not tried  serena/client: why'])
  })
})

it('lines are looked for by all the labels that they should have', () => {
  const one = exampleSite((input) => {
    input.groups.serena.roles = ['serena', 'logging']
  })
  const origin = { run: '6925a0000001', id: 'aaaaaaaaaaaa', created: new Date(0), image: image(9001), fullClone: false }
  const release = trialRelease(one, trialSite(one, [9005]), 0, origin)
  const labels = `host="verify-serena-blue", group="serena", role="serena+logging", slot="blue", image="${hash('f').slice(0, 12)}"`
  expect(selectorsOf({ at: 0, group: 'serena', roles: ['serena', 'logging'], release })).toEqual([
    `{${labels}, job="containers", container_name="nginx_proxy"}`,
    `{${labels}, job="containers", container_name="serena_mcp"}`,
    `{${labels}, job="journal"}`,
  ])
})
