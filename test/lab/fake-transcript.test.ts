import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SFTPWrapper } from 'ssh2'
import { key, Rig } from './fake-rig.ts'
import { runTranscript, transcript, type TranscriptGuest } from './transcript.ts'

describe('the transcript of a Debian guest', () => {
  let rig: Rig
  let guest: TranscriptGuest

  beforeAll(async () => {
    rig = await Rig.create()
    const { volumes } = rig.driver
    await volumes.link(rig.path('base.qcow2'), rig.path('disk.qcow2'))
    await volumes.create(rig.path('spare.qcow2'), { format: 'qcow2', bytes: 2 ** 30 })
    const address = '10.77.0.30'
    const machine = await rig.start({
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
      agent: (command, args) => machine.agent(command, args),
      upload: (path, content) =>
        new Promise((resolve, reject) => sftp.writeFile(path, content, (error) => (error ? reject(error) : resolve()))),
    }
  })
  afterAll(() => rig.close())

  it(`holds on a fake guest (${transcript.length} steps)`, async () => {
    expect(await runTranscript(guest)).toEqual([])
  })

  it('tells what differs', async () => {
    expect(await runTranscript(guest, [{ name: 'wrong', ssh: 'echo a', wanted: { exitCode: 0, stdout: 'b\n' } }])).toEqual([
      { step: 'wrong', wanted: '{"exitCode":0,"stdout":"b\\n"}', found: '{"stdout":"a\\n","stderr":"","exitCode":0}' },
    ])
  })
})
