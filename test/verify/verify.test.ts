/** Clones of an image on fake guests, two side by side: one that is well, one with everything wrong, and one whose run was killed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { GuestQuestion } from '../../lab/compute/fake/programs.ts'
import type { Guest } from '../../lab/compute/fake/guest.ts'
import { ROOT } from '../../lab/compute/fake/vfs.ts'
import { jailedProjectsFolder } from '../../images/guest/places.ts'
import { readSlot } from '../../images/guest/slot.ts'
import type { Here } from '../../verify/outside.ts'
import { checkNames, checks, type CheckName } from '../../verify/plan.ts'
import { verify, type VerifyResult } from '../../verify/verify.ts'
import { imageVmid, startVerifyLab, type VerifyLab } from './lab.ts'

let t: VerifyLab
beforeAll(async () => {
  t = await startVerifyLab('two-vms')
})
afterAll(() => t?.close())
afterEach(() => {
  Object.assign(t.world, { instead: () => undefined, spoil: () => undefined })
  for (const set of [t.world.mute, t.world.ill, t.world.stubborn]) {
    Reflect.deleteProperty(set, 'has')
    set.clear()
  }
  t.shown.length = 0
})

const project = join(import.meta.dirname, '../..')

/** `golden verify` in a process of its own, until it says this. Then it is killed. */
async function killedAt(text: string): Promise<void> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(project, 'golden.ts'), 'verify'], {
    cwd: project,
    env: { ...process.env, GOLDEN_SITE: t.folder },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const said: string[] = []
  for await (const line of createInterface({ input: child.stderr })) {
    said.push(line)
    if (line.includes(text)) child.kill('SIGKILL')
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  expect(child.signalCode, said.join('\n')).toBe('SIGKILL')
}

const of = ({ checks: results }: VerifyResult, ok: boolean): string[] =>
  results.filter((one) => one.ok === ok && one.skipped !== true).map(({ clone, name }) => `${clone}/${name}`)
const detailOf = ({ checks: results }: VerifyResult, clone: string, name: CheckName): string | undefined =>
  results.find((one) => one.clone === clone && one.name === name)?.detail

describe('an image that is well', () => {
  it('is not known to be, and two clones and their seeds are there, when the run is killed with -9', async () => {
    await killedAt(`serena: ${checks.boots}`)
    expect(await t.tagsOfImage()).toBe('golden;golden-candidate')
    expect((await t.remains()).length).toBe(4)
  })

  it('passes in the next run, which takes away what the killed one left, and leaves nothing', async () => {
    const others: unknown[] = []
    const elsewhere = join(t.folder, '..', 'other-computer')
    // A computer that does not get into the VMs' network.
    const here: Here = { connect: () => Promise.reject(new Error('no way')), reached: async () => [] }
    const done = await verify(
      t.verification({
        here,
        ...t.watching((text) => {
          // Another one meanwhile, from the same site folder and from another computer's.
          if (text !== `logging: ${checks.boots}`) return
          const second = async (folder: string): Promise<void> => {
            if (folder !== t.folder) await cp(t.folder, folder, { recursive: true, filter: (path) => !path.endsWith('bake.json') })
            others.push(await verify(t.verification({ folder })).catch((error: unknown) => error))
          }
          others.push(Promise.all([second(t.folder), second(elsewhere)]))
        }),
      }),
    )
    await others[0]
    expect(others.slice(1)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ code: 'bake-in-progress', message: expect.stringContaining('already running') }),
        expect.objectContaining({ code: 'bake-in-progress', message: expect.stringContaining('another verification') }),
      ]),
    )
    expect(t.shown.filter((text) => text.includes('clone of a run that did not end'))).toHaveLength(2)
    expect(of(done, false)).toEqual([])
    expect(done).toMatchObject({ passed: true, image: { vmid: imageVmid } })
    expect(of(done, true)).toEqual(
      expect.arrayContaining(checkNames.filter((name) => name !== 'client' && name !== 'dashboards').map((name) => `serena/${name}`)),
    )
    expect(of(done, true)).toEqual(
      expect.arrayContaining(['logging/dashboards', 'logging/logs', 'logging/closed-outside', 'logging/shutdown']),
    )
    expect(detailOf(done, 'serena', 'client')).toContain('does not get to')
    expect(await t.tagsOfImage()).toContain('golden-verified')
    await t.expectNothingLeft()
  })
})

describe('an image with something wrong', () => {
  const guest = (name: 'logging' | 'serena'): Guest => {
    const at = name === 'logging' ? 0 : 1
    for (let vmid = 9000; vmid < 9010; vmid++) {
      const found = t.world.guest(vmid)
      if (found?.spec.name.includes(`-${at}-`) === true) return found
    }
    throw new Error(`no clone ${name} runs`)
  }
  const says = (status: number, body = '') => ({ status, headers: {}, body })

  it('fails, and everything that is wrong is named', async () => {
    let isUp = false
    let isLooking = false
    let isLettingGo = false
    t.world.spoil = (question: GuestQuestion, files) => {
      const { to, path, body = '', method } = question
      if (!('port' in to)) return undefined
      const isSerena = readSlot(files)?.seed.group === 'serena'
      if (to.port === 80 && path === '/mcp' && isLooking) return says(200)
      if (body.includes('golden-watch') && isLooking) return says(500)
      if (body.includes('"find_symbol"')) return says(200, `data: {"id":${JSON.parse(body).id},"result":{"content":[{"text":"[]"}]}}`)
      if (to.port === 9080 && isSerena && isLooking) return says(503)
      if (to.port === 8099 && path === '/handover' && method !== 'PUT' && isLettingGo)
        return says(200, '{"state":"open","busy":3,"oldestMs":9000}')
      const query = to.port === 3100 ? (new URL(path, 'http://x').searchParams.get('query') ?? '') : ''
      if (query.includes('rate(')) return says(400, 'parse error')
      if (query.includes('host="verify-logging-blue"') && query.includes('journal'))
        return says(200, '{"data":{"resultType":"streams","result":[]}}')
      return path === '/loki/api/v1/labels' && isUp ? says(200) : undefined
    }
    t.world.instead = (script, args, system) => {
      const answer = (what: unknown, code = 0): Promise<number> => {
        system.say(JSON.stringify(what))
        return Promise.resolve(code)
      }
      // A container gets to itself, as it should, and to the world.
      const reached = args.filter((target, at) => at === args.length - 1 || target === '192.0.2.1:443')
      if (script === 'reach.js') return answer(system.container === undefined ? ['198.18.0.1:9121'] : reached)
      if (script === 'slotctl.js' && args[0] === 'yield' && system.name.includes('-1-'))
        return answer({ error: { code: 'disk-busy', message: 'in use' } }, 1)
      return undefined
    }
    const look = (text: string): void => {
      if (text === `serena: ${checks.activates}`) {
        isUp = true
        const { cloudInit, systemd, vfs } = guest('logging')
        Object.assign(guest('logging'), { cloudInit: { ...cloudInit, warnings: ['a key is deprecated'] } })
        systemd.set('cron.service', 'failed')
        vfs.write('/var/log/leak', `password: ${vfs.readText('/run/golden/seed/secrets/loki-push-password')}`, ROOT)
      }
      if (text === `logging: ${checks['closed-outside']}`) {
        isLooking = true
        const { systemd, firewall, vfs } = guest('serena')
        void systemd.stop('golden-watch.service')
        systemd.set('ssh.service', 'inactive')
        firewall.tables.delete('inet golden')
        vfs.chmod(jailedProjectsFolder, 0o555)
      }
      if (text === `serena: ${checks.tools}`) {
        isLooking = false
        guest('serena').systemd.set('ssh.service', 'active')
        void guest('serena').systemd.start('golden-watch.service')
      }
      isLettingGo = text === `serena: ${checks['let-go']}` || (isLettingGo && text !== `serena: ${checks.reboot}`)
      if (text === `serena: ${checks.reboot}`) t.world.stubborn.add(guest('serena').spec.name)
    }
    const done = await verify(t.verification(t.watching(look)))
    expect(done.passed).toBe(false)
    const expected: [clone: string, name: CheckName, detail: RegExp][] = [
      ['logging', 'first-boot', /deprecated/],
      ['logging', 'units', /cron\.service has failed/],
      ['logging', 'auth', /nothing but the push is offered \(200\)/],
      ['logging', 'dashboards', /rate\(.*parse error/],
      ['logging', 'hygiene', /\/var\/log\/leak/],
      ['logging', 'logs', /no line of .*journal/],
      ['logging', 'closed-inside', /^from loki, 192\.0\.2\.1:443 is open; from otelcol, 192\.0\.2\.1:443 is open$/],
      ['logging', 'closed-outside', /:8443 is closed/],
      ['serena', 'units', /golden-watch\.service is inactive/],
      ['serena', 'containers', /otelcol answers \(starting\)/],
      ['serena', 'firewall', /the firewall table is loaded/],
      ['serena', 'ssh', /the SSH server runs/],
      ['serena', 'tls', /plain HTTP is redirected \(200\)/],
      ['serena', 'session', /initialize is answered with 500/],
      ['serena', 'projects', /the projects belong to their user/],
      ['serena', 'tools', /Pyright finds a symbol.*find_symbol: \[\]/],
      ['serena', 'closed-inside', /^(from (serena_mcp|serena_mcp_sse|otelcol), 192\.0\.2\.1:443 is open(; |$)){3}$/],
      ['serena', 'closed-outside', /:443 is closed/],
      ['serena', 'let-go', /cut off 3 requests/],
      ['serena', 'reboot', /got timeout/],
      ['serena', 'yield', /refused "slotctl yield": in use/],
      ['serena', 'shutdown', /its power was cut/],
      // Booted again, it is no better.
      ['logging', 'reboot', /every query of the dashboards runs/],
    ]
    expect(of(done, false)).toEqual(expected.map(([clone, name]) => `${clone}/${name}`))
    for (const [clone, name, detail] of expected) expect(detailOf(done, clone, name), name).toMatch(detail)
    expect(await t.tagsOfImage()).not.toContain('golden-verified')
    await t.expectNothingLeft()
  })

  it('that does not even get so far fails, and what rests on that is not tried', async () => {
    const look = (text: string): void => {
      const [, vmid, at] = /^clone .* to VM (\d+), (logging|serena)$/.exec(text) ?? []
      if (vmid === undefined) return
      // By the name that the clone is going to have.
      const names = at === 'logging' ? t.world.ill : t.world.mute
      Object.assign(names, { has: (name: string) => name.includes(at === 'logging' ? '-0-' : '-1-') })
    }
    const done = await verify(t.verification(t.watching(look)))
    expect(of(done, false)).toEqual(['logging/standby', 'serena/boots'])
    expect(detailOf(done, 'logging', 'standby')).toMatch(/nginx/)
    expect(of(done, true)).toEqual(['logging/boots'])
    expect(detailOf(done, 'serena', 'tools')).toBe(`"${checks.boots}" does not hold`)
    await t.expectNothingLeft()
  })
})
