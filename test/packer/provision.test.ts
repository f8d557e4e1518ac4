/** The scripts of a bake, in a fake guest whose base has what other bases have. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startBuildVm, type BuildVm } from '../lab/build-vm.ts'
import { Rig, type Ran } from '../lab/fake-rig.ts'

const names = (ran: Ran): string[] => ran.stdout.split('\n').filter((line) => line !== '').sort()

describe('in a build VM', () => {
  let rig: Rig
  let vm: BuildVm
  const done = async (script: string): Promise<Ran> => {
    const ran = await vm.script(script)
    expect(ran.exitCode, ran.stdout + ran.stderr).toBe(0)
    return ran
  }
  /** A service and a timer, running. */
  const plant = async (name: string, exec: string, folder = '/usr/lib/systemd/system'): Promise<void> => {
    await vm.run(`printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=%s\\n[Install]\\nWantedBy=multi-user.target\\n' '${exec}' > ${folder}/${name}.service
printf '[Timer]\\nOnCalendar=daily\\n[Install]\\nWantedBy=timers.target\\n' > ${folder}/${name}.timer
systemctl daemon-reload; systemctl enable --now ${name}.timer; systemctl enable --now ${name}.service`)
  }

  beforeAll(async () => {
    rig = await Rig.create()
    vm = await startBuildVm(rig)
  })
  afterAll(() => rig.close())

  it('masks and stops what upgrades, tells, takes disks or goes by the clock, whatever its name and wherever its file is', async () => {
    await plant('fwupd-refresh', '/usr/bin/true')
    await plant('vendor-check', '/usr/bin/true')
    await plant('vendor-agent', '/usr/bin/apt-get check')
    await plant('own-job', '/usr/bin/true', '/etc/systemd/system')
    await plant('fstrim', '/usr/bin/true')
    expect((await vm.run('systemctl is-active fwupd-refresh.service vendor-check.timer vendor-agent.service own-job.timer')).stdout).toBe('active\n'.repeat(4))
    await done('packages.sh')
    const gone = ['fwupd-refresh.service', 'fwupd-refresh.timer', 'vendor-check.timer', 'vendor-agent.service', 'vendor-agent.timer', 'own-job.timer', 'apt-daily.timer']
    expect((await vm.run(`systemctl is-enabled ${gone.join(' ')}`)).stdout).toBe('masked\n'.repeat(gone.length))
    expect((await vm.run(`systemctl is-active ${gone.join(' ')}`)).stdout).toBe('inactive\n'.repeat(gone.length))
    expect((await vm.run('systemctl is-enabled fstrim.timer fstrim.service vendor-check.service ssh.service')).stdout).toBe('enabled\n'.repeat(4))
    expect(names(await vm.run('cd /run/golden-bake && sh unwanted.sh'))).toEqual([])
  }, 60_000)

  it('finds what comes back, or runs although it is masked', async () => {
    await plant('vendor-nightly', '/usr/bin/true')
    await vm.run('systemctl unmask ua-timer.timer; systemctl unmask apt-daily.timer; systemctl start apt-daily.timer; systemctl mask --quiet apt-daily.timer')
    expect(names(await vm.run('cd /run/golden-bake && sh unwanted.sh'))).toEqual(['apt-daily.timer', 'vendor-nightly.timer'])
    await vm.run('systemctl stop apt-daily.timer; systemctl mask --now --quiet vendor-nightly.timer')
  }, 60_000)
})
