import { existsSync, globSync, readFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, watch, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readIso } from '../../lab/iso/read.ts'
import type { Patience } from '../../core/left-behind.ts'
import { silent } from '../../core/progress.ts'
import { claimBake } from '../../packer/claim.ts'
import { explainBuild } from '../../packer/explain.ts'
import { makeBuildKey } from '../../packer/key.ts'
import { Listener, runPacker } from '../../packer/run.ts'
import { renderBuildSeed } from '../../packer/seed.ts'
import { exampleSite } from '../images/example.ts'

const root = resolve(import.meta.dirname, '../..')
const site = exampleSite()
let work: string
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'golden-run-'))
})
afterEach(() => rm(work, { recursive: true, force: true }))

/** Runs a program in Packer's place. */
async function runInPlace(script: string, signal: AbortSignal, note: (text: string) => void = () => {}) {
  await writeFile(join(work, 'packer'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return runPacker({
    command: 'build',
    template: 'golden.pkr.hcl',
    variablesFile: 'v.json',
    workFolder: work,
    environment: { PATH: `${work}:${process.env.PATH}` },
    token: { id: 'golden@pve!golden', secret: 's3cr3t-value' },
    caFile: join(work, 'ca.pem'),
    signal,
    note,
  })
}

describe('runPacker', () => {
  it('gives credentials by environment only, and passes the exit code on', async () => {
    const outcome = await runInPlace(
      'echo "arguments: $*"; echo "$PROXMOX_USERNAME $PROXMOX_TOKEN" > seen; echo "$SSL_CERT_FILE $TMPDIR $HTTP_PROXY" >> seen; echo "token is $PROXMOX_TOKEN"; exit 3',
      new AbortController().signal,
    )
    expect(outcome.exitCode).toBe(3)
    expect(outcome.lines).toEqual(['arguments: build -machine-readable -var-file=v.json golden.pkr.hcl', 'token is …'])
    expect(await readFile(join(work, 'seen'), 'utf8')).toBe(`golden@pve!golden s3cr3t-value\n${work}/ca.pem ${work} \n`)
  })

  it('asks Packer to end and waits until it has cleaned up', async () => {
    const stop = new AbortController()
    const outcome = await runInPlace(
      'trap "echo cleaning up; exit 1" TERM; echo started; while :; do sleep 0.1; done',
      stop.signal,
      (text) => {
        if (text === 'started') stop.abort()
      },
    )
    expect(outcome).toMatchObject({ exitCode: 1, lines: ['started', 'cleaning up'] })
  })

  it('lets Packer clean up even when this program is killed', async () => {
    await writeFile(
      join(work, 'packer'),
      `#!/bin/sh\ntrap "echo cleaning; echo cleaning up; sleep 0.2; echo still; echo done > ${work}/cleaned; exit 1" TERM\necho started\nwhile :; do sleep 0.1; done\n`,
      { mode: 0o755 },
    )
    const program = `
      import { runPacker } from ${JSON.stringify(join(import.meta.dirname, '../../packer/run.ts'))}
      await runPacker({ command: 'build', template: 't', variablesFile: 'v', workFolder: ${JSON.stringify(work)}, environment: { PATH: ${JSON.stringify(`${work}:${process.env.PATH}`)} }, token: { id: 'a', secret: 'b' }, caFile: undefined, signal: new AbortController().signal, note: (text) => console.log(text) })`
    const parent = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(parent.stdout, 'data')
    const watcher = watch(work)
    const cleaned = (async () => {
      for await (const { filename } of watcher) if (filename === 'cleaned') return true
      return false
    })()
    parent.kill('SIGKILL')
    expect(await cleaned).toBe(true)
  }, 30_000)

  it('says when there is no Packer', async () => {
    await expect(
      runPacker({
        command: 'build',
        template: 't',
        variablesFile: 'v',
        workFolder: work,
        environment: { PATH: '/usr/bin:/bin' },
        token: { id: 'a', secret: 'b' },
        caFile: undefined,
        signal: new AbortController().signal,
        note: () => {},
      }),
    ).rejects.toMatchObject({ code: 'packer-missing' })
  })
})

describe('what Packer says', () => {
  const listen = (...lines: string[]) => {
    const notes: string[] = []
    const heard = new Listener({ note: (text) => notes.push(text), token: { secret: 'hidden' } })
    for (const line of lines) heard.line(line)
    return { notes, outcome: heard.outcome(1) }
  }

  it('is read from its machine-readable lines', () => {
    const { notes, outcome } = listen(
      '1795000000,,ui,say,==> proxmox-clone.golden: Creating VM',
      '1795000001,,ui,message,    proxmox-clone.golden: golden: pulling serena%!(PACKER_COMMA) by digest\\n    proxmox-clone.golden: two',
      '1795000002,,ui,message,    proxmox-clone.golden: hidden',
      '1795000003,proxmox-clone.golden,error-count,1',
    )
    expect(notes).toEqual(['Creating VM', 'pulling serena, by digest', 'two', '…'])
    expect(outcome.errors).toEqual([])
  })

  it('knows every word that a script in the build VM fails with', () => {
    const scripts = globSync('packer/provision/*.sh', { cwd: root }).map((file) => readFileSync(join(root, file), 'utf8'))
    const words = [...scripts.join('\n').matchAll(/golden-failure ([a-z-]+): /g)].map(([, word = '']) => word)
    expect(words.length).toBeGreaterThan(4)
    for (const code of words)
      expect(
        explainBuild(site, {
          exitCode: 1,
          lines: [],
          errors: [],
          packages: {},
          sizes: {},
          failedChecks: [],
          failure: { code, text: 'why' },
        }).code,
      ).toBe(`bake-${code}`)
  })

  it.each<[string, string[], string, RegExp]>([
    [
      'a failed check',
      [
        '    proxmox-clone.golden: golden-check ok host-keys: no SSH host keys',
        '    proxmox-clone.golden: golden-check FAILED machine-id: the machine id is empty, but there is: 123',
      ],
      'bake-check-failed',
      /machine-id: the machine id is empty, but there is: 123/,
    ],
    [
      "an image that can't be pulled",
      ["    proxmox-clone.golden: golden-failure image-pull: the build VM can't pull x"],
      'bake-image-pull',
      /can't pull x/,
    ],
    ['no SSH', ['==> proxmox-clone.golden: Timeout waiting for SSH.'], 'bake-no-ssh', /192\.168\.1\.40 within 15 minutes/],
    [
      'a full storage',
      ['==> proxmox-clone.golden: Error creating VM: clone failed: unable to create image: No space left on device'],
      'storage-full',
      /full/,
    ],
    [
      'a full disk of the guest',
      [
        '    proxmox-clone.golden: write /var/lib/docker/tmp/x: no space left on device',
        "    proxmox-clone.golden: golden-failure image-pull: the build VM can't pull x",
      ],
      'bake-disk-full',
      /16 GiB is full: write/,
    ],
    [
      'a full disk of the guest, in a script',
      [
        "    proxmox-clone.golden: E: You don't have enough free space in /var/cache/apt/archives/.",
        '==> proxmox-clone.golden: Script exited with non-zero exit status: 100. Allowed exit codes are: [0]',
      ],
      'bake-disk-full',
      /16 GiB is full/,
    ],
    [
      'a script that failed',
      [
        '    proxmox-clone.golden: E: Unable to locate package',
        '==> proxmox-clone.golden: Script exited with non-zero exit status: 100. Allowed exit codes are: [0]',
      ],
      'bake-script-failed',
      /Unable to locate package/,
    ],
    [
      'an API that went away',
      [
        '==> proxmox-clone.golden: Error creating VM: Post "https://192.168.1.5:8006/api2/json/nodes/pve/qemu/9001/clone": dial tcp 192.168.1.5:8006: connect: connection refused',
      ],
      'proxmox-unreachable',
      /did not answer Packer/,
    ],
    ['an API that closed the connection', ['==> proxmox-clone.golden: unexpected EOF'], 'proxmox-unreachable', /unexpected EOF/],
    [
      'an API whose services restart',
      ['==> proxmox-clone.golden: Error starting VM: 596 Connection timed out'],
      'proxmox-unreachable',
      /596/,
    ],
    ['anything else', ['==> proxmox-clone.golden: 501 Method not implemented'], 'packer-failed', /501 Method/],
  ])('becomes a failure with a next step: %s', (_what, lines, code, message) => {
    const { outcome } = listen(
      ...lines.map((line) => `1795000000,,ui,${line.startsWith('==>') ? 'error' : 'message'},${line.replaceAll(',', '%!(PACKER_COMMA)')}`),
    )
    const failure = explainBuild(site, outcome)
    expect(failure.code).toBe(code)
    expect(failure.message).toMatch(message)
    expect(failure.hint).not.toBe('')
  })

  it('is nothing when it was killed, and that is said', () => {
    expect(
      explainBuild(site, {
        exitCode: 137,
        lines: ['Creating VM'],
        errors: [],
        packages: {},
        sizes: {},
        failedChecks: [],
        failure: undefined,
      }),
    ).toMatchObject({ code: 'packer-killed', message: expect.stringMatching(/137[\s\S]*Creating VM/) })
  })
})

describe("the build VM's seed", () => {
  it("holds a user for Packer with the bake's own key, and the address by MAC", () => {
    const key = makeBuildKey()
    const { label, files } = readIso(renderBuildSeed({ site, mac: 'BC:24:11:00:23:29', publicKey: key.publicKey, instance: 'abc' }))
    expect(label).toBe('cidata')
    expect([...files.keys()].sort()).toEqual(['meta-data', 'network-config', 'user-data'])
    const [head, ...userData] = String(files.get('user-data')).split('\n')
    expect(head).toBe('#cloud-config')
    expect(JSON.parse(userData.join('\n'))).toMatchObject({
      users: [{ name: 'bake', ssh_authorized_keys: [key.publicKey] }],
      ssh_pwauth: false,
    })
    expect(JSON.parse(String(files.get('network-config'))).ethernets.lan).toMatchObject({
      match: { macaddress: 'bc:24:11:00:23:29' },
      addresses: ['192.168.1.40/24'],
    })
    expect(Buffer.concat([...files.values()]).includes('PRIVATE')).toBe(false)
  })
})

describe('one bake at a time', () => {
  const patient: Patience = { progress: silent, signal: new AbortController().signal, longestMs: 60_000 }

  it('refuses while another one is going on, even one that began at the same moment', async () => {
    const outcomes = await Promise.allSettled(
      ['golden-bake-1', 'golden-bake-2'].map((name) => claimBake(work, join(work, name), '6925a0000001', patient)),
    )
    expect(outcomes.map((one) => one.status).sort()).toEqual(['fulfilled', 'rejected'])
    for (const one of outcomes) {
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'bake-in-progress' })
      else await one.value.release()
    }
    expect((await claimBake(work, join(work, 'golden-bake-3'), '6925a0000002', patient)).abandoned).toEqual([])
  })

  it('tells of runs that could not clean up until nothing of them is left, and removes their temporary folders', async () => {
    await mkdir(join(work, 'golden-bake-1'))
    const claim = await claimBake(work, join(work, 'golden-bake-1'), '6925a0000001', patient)
    claim.abandon()
    await claim.release()
    const second = await claimBake(work, join(work, 'golden-bake-2'), '6925a0000002', patient)
    expect(second.abandoned).toEqual(['6925a0000001'])
    expect(existsSync(join(work, 'golden-bake-1'))).toBe(false)
    await second.release()
    const third = await claimBake(work, join(work, 'golden-bake-3'), '6925a0000003', patient)
    expect(third.abandoned).toEqual(['6925a0000001'])
    await third.forget()
    await third.release()
    expect(existsSync(join(work, 'state/bake.json'))).toBe(false)
  })

  it('knows the temporary folder of a run that was killed at any moment', async () => {
    const program = `
      import { claimBake } from ${JSON.stringify(join(import.meta.dirname, '../../packer/claim.ts'))}
      await claimBake(${JSON.stringify(work)}, ${JSON.stringify(join(work, 'golden-bake-1'))}, '6925a0000001', {})
      process.kill(process.pid, 'SIGKILL')`
    await once(spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: 'inherit' }), 'exit')
    await mkdir(join(work, 'golden-bake-1'))
    expect((await claimBake(work, join(work, 'golden-bake-2'), '6925a0000002', patient)).abandoned).toEqual(['6925a0000001'])
    expect(existsSync(join(work, 'golden-bake-1'))).toBe(false)
  }, 30_000)

  it('waits for Packer of a run that was killed, which removes a VM, before anything is made or removed', async () => {
    const packer = spawn('sleep', ['600'])
    try {
      await mkdir(join(work, 'golden-bake-1'))
      const program = `
        import { claimBake } from ${JSON.stringify(join(import.meta.dirname, '../../packer/claim.ts'))}
        const claim = await claimBake(${JSON.stringify(work)}, ${JSON.stringify(join(work, 'golden-bake-1'))}, '6925a0000001', {})
        await claim.packerBegins(${packer.pid})
        process.kill(process.pid, 'SIGKILL')`
      await once(spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: 'inherit' }), 'exit')
      const claim = (how: Partial<Patience>): ReturnType<typeof claimBake> =>
        claimBake(work, join(work, 'golden-bake-2'), '6925a0000002', { ...patient, ...how })
      for (let times = 0; times < 2; times++)
        await expect(claim({ longestMs: 0 })).rejects.toMatchObject({
          code: 'bake-in-progress',
          message: expect.stringContaining(`process ${packer.pid}`),
        })
      await expect(claim({ signal: AbortSignal.abort(new Error('stopped')) })).rejects.toThrow()
      expect(existsSync(join(work, 'golden-bake-1'))).toBe(true)
      const waits = Promise.withResolvers<void>()
      const later = claim({ progress: { ...silent, step: (_title, wait) => (waits.resolve(), wait(() => {})) } })
      await waits.promise
      packer.kill('SIGKILL')
      expect((await later).abandoned).toEqual(['6925a0000001'])
      expect(existsSync(join(work, 'golden-bake-1'))).toBe(false)
    } finally {
      packer.kill('SIGKILL')
    }
  }, 30_000)
})
