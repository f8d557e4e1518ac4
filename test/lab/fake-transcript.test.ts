/** Fake guests answer as the transcripts say, which real ones are held against; and there is nothing that guests are asked without one. */
import type { SFTPWrapper } from 'ssh2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { guestContents } from '../../demo/guest-contents.ts'
import { readRecording } from '../../demo/recording.ts'
import { notCompared } from '../../demo/not-compared.ts'
import { ofSlot } from '../../demo/transcript.ts'
import type { Machine } from '../../lab/compute/driver.ts'
import { createRecorder, type Recorded } from '../../lab/record.ts'
import { beyond, shapesOf } from '../../lab/shape.ts'
import { runBatch, type Script } from '../../lab/transcript/batch.ts'
import { transcript } from '../../lab/transcript/debian.ts'
import { ofRoot } from '../../lab/transcript/root.ts'
import { execByAgent, runTranscript, type Difference, type TranscriptGuest } from '../../lab/transcript/run.ts'
import { services } from './build-vm.ts'
import { key, Rig } from './fake-rig.ts'
import { bakeImage, deploySlot } from './slot-vm.ts'

/** What the transcripts have asked. */
const asked: Recorded[] = []
const recorder = createRecorder((each) => asked.push(each))

/** Its agent, by way of the recorder: as the lab's API has it. */
const agentOf =
  (machine: Machine): TranscriptGuest['agent'] =>
  async (command, args = {}) => {
    const told = { vmid: 1, asker: 'the transcript' }
    try {
      const result = await machine.agent(command, args)
      recorder.agent(told, command, args, { result })
      return result
    } catch (error) {
      recorder.agent(told, command, args, { error: (error as Error).message })
      throw error
    }
  }
const inOneGo = (machine: Machine, steps: readonly Script[], variables = {}): Promise<Difference[]> =>
  runBatch((script) => execByAgent({ agent: agentOf(machine) }, ['/bin/sh'], script), steps, variables)

describe('the transcript of a Debian guest', () => {
  let rig: Rig
  let guest: TranscriptGuest
  let machine: Machine

  beforeAll(async () => {
    rig = await Rig.create([], guestContents, recorder)
    const { volumes } = rig.driver
    await volumes.link(rig.path('base.qcow2'), rig.path('disk.qcow2'))
    await volumes.create(rig.path('spare.qcow2'), { format: 'qcow2', bytes: 2 ** 30 })
    const address = '10.77.0.30'
    machine = await rig.start({
      vmid: 130,
      address,
      disk: 'disk.qcow2',
      drives: [{ slot: 'scsi1', path: rig.path('spare.qcow2'), format: 'qcow2', media: 'disk', serial: 'transcript' }],
      userData: `#cloud-config\nusers:\n  - name: tester\n    sudo: ALL=(ALL) NOPASSWD:ALL\n    shell: /bin/bash\n    ssh_authorized_keys: ['${key.public.trim()}']\n`,
    })
    await rig.agentUp(machine)
    const client = await rig.connect(address, { username: 'tester' })
    const sftp = await new Promise<SFTPWrapper>((resolve, reject) =>
      client.sftp((error, session) => (error ? reject(error) : resolve(session))),
    )
    guest = {
      address,
      ssh: (command, input) => rig.run(client, command, input),
      agent: agentOf(machine),
      upload: (path, content) =>
        new Promise((resolve, reject) => sftp.writeFile(path, content, (error) => (error ? reject(error) : resolve()))),
    }
  })
  afterAll(() => rig.close())

  it(`holds on a fake guest (${transcript.length} steps)`, async () => {
    expect(await runTranscript(guest, transcript)).toEqual([])
  })

  it(`holds for root's shell (${ofRoot.length} scripts in one go)`, async () => {
    expect(await inOneGo(machine, ofRoot)).toEqual([])
  })

  it('tells what differs', async () => {
    expect(await runTranscript(guest, [{ name: 'wrong', ssh: 'echo a', wanted: { exitCode: 0, stdout: 'b\n' } }])).toEqual([
      { step: 'wrong', wanted: '{"exitCode":0,"stdout":"b\\n"}', found: '{"stdout":"a\\n","stderr":"","exitCode":0}' },
    ])
  })

  it('tells each script of one go from the others, whatever they print, and the one at which the shell ended', async () => {
    const said = (script: string, stdout: string, exitCode = 0): Script => ({
      name: script,
      script,
      wanted: { exitCode, stdout, stderr: '' },
    })
    const steps = [
      said('printf "no end of line"', 'no end of line'),
      said('cat; exit 7', '', 7),
      said(`echo '@@ transcript'; printf '\\n\\n'`, '@@ transcript\n\n\n'),
      said('echo "$NAME"', "it's $HOME\n"),
      said('echo 1', '2\n'),
    ]
    expect(await inOneGo(machine, steps, { NAME: "it's $HOME" })).toEqual([
      { step: 'echo 1', wanted: expect.any(String), found: '{"exitCode":0,"stdout":"1\\n","stderr":""}' },
    ])
    const killed = await runBatch(
      async (script) => {
        const { stdout } = await execByAgent({ agent: agentOf(machine) }, ['/bin/sh'], script)
        return { exitCode: 137, stdout: stdout.slice(0, stdout.indexOf('\n@@ transcript 3')), stderr: 'killed' }
      },
      steps,
      { NAME: "it's $HOME" },
    )
    expect(killed.map(({ step }) => step)).toEqual(['echo "$NAME"', 'echo 1'])
    expect(killed[1]?.found).toContain('the guest did not get to this: killed')
  })
})

describe('the transcript of a slot', () => {
  let rig: Rig
  let machine: Machine
  beforeAll(async () => {
    rig = await Rig.create([], guestContents, recorder)
    const before = asked.length
    await bakeImage(rig)
    machine = await deploySlot(rig, 111, 'blue', '10.77.0.21', '10.77.0.22')
    await rig.until(async () => {
      const { stdout } = await rig.agentExec(machine, '/usr/local/sbin/slotctl', 'status')
      if (!(JSON.parse(stdout) as { healthy?: boolean }).healthy) throw new Error(stdout)
    }, 20_000)
    // What a bake and a boot ask is what is to be compared, and no comparison.
    asked.splice(before)
  })
  afterAll(() => rig.close())

  it(`holds on a fake guest that serves (${ofRoot.length} and ${ofSlot.length} scripts), and leaves nothing behind`, async () => {
    const { vfs, firewall, docker, systemd } = rig.driver.guest(111)!
    const state = (): unknown => ({
      files: vfs.paths('/').filter((path) => !/^\/(proc|sys|run\/golden|var\/lib\/golden|var\/log)\//.test(path)),
      mounts: vfs.mounts.map(({ target }) => target),
      tables: [...firewall.tables.keys()],
      containers: docker.store().containers.map(({ name, state: is }) => [name, is]),
      failed: systemd.known().filter((unit) => systemd.state(unit) === 'failed'),
    })
    const before = state()
    const variables = { IMAGE: services.nginx ?? '', CONTAINER: 'nginx_proxy', ADDRESS: '10.77.0.21' }
    expect(await inOneGo(machine, [...ofRoot, ...ofSlot], variables)).toEqual([])
    expect(state()).toEqual(before)
  })
})

it('compares all that guests are asked, but for what is named here with its reason', () => {
  const { flows, demo } = readRecording()
  const compared = shapesOf(asked)
  const without = [...new Set([...beyond(flows, compared), ...beyond(demo, compared)])].sort()
  expect(without).toEqual(Object.keys(notCompared).sort())
  for (const reason of Object.values(notCompared)) expect(reason.length).toBeGreaterThan(20)
})
