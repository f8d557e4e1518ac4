/** The units of the timer: that systemd reads them as they are meant, and that installing them writes and starts them. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { inRoot, rootPath } from '../../lab/debian/root.ts'
import { installTimer, removeTimer } from '../../nightly/install-timer.ts'
import { serviceUnit, timerUnit, unitFolder, type TimerOptions, type Unit } from '../../nightly/timer.ts'

const plain: TimerOptions = {
  site: 'home',
  project: '/opt/serena-golden',
  node: '/usr/bin/node',
  folder: '/srv/site',
  at: '02:30',
  variables: { PATH: '/usr/bin:/bin' },
}
const awkward: TimerOptions = {
  ...plain,
  project: '/opt/100% "golden" $HOME',
  node: '/opt/no de/bin/node',
  folder: "/srv/it's a site",
  at: '23:05',
  timeZone: 'Asia/Tokyo',
  variables: { HTTPS_PROXY: 'http://me:p%40ss"w\\rd$@proxy:3128', PATH: '/usr/bin:/bin' },
}

it('the timer is for every night, of its own time zone, also after one that was slept through', () => {
  expect(timerUnit(plain).text).toMatch(/^OnCalendar=\*-\*-\* 02:30:00$/m)
  expect(timerUnit(awkward).text).toMatch(/^OnCalendar=\*-\*-\* 23:05:00 Asia\/Tokyo$/m)
  expect(timerUnit(plain).text).toMatch(/^Persistent=yes$/m)
  expect(serviceUnit(plain).text).toMatch(/^SuccessExitStatus=10$/m)
})

it('the units are where this user has theirs', () => {
  expect(unitFolder(0, { HOME: '/root' })).toBe('/etc/systemd/system')
  expect(unitFolder(1000, { HOME: '/home/me' })).toBe('/home/me/.config/systemd/user')
  expect(unitFolder(1000, { HOME: '/home/me', XDG_CONFIG_HOME: '/data/config' })).toBe('/data/config/systemd/user')
})

describe('installing', () => {
  let folder = ''
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gu-'))
    await mkdir(join(folder, 'bin'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))
  const systemctl = (script: string): Promise<void> =>
    writeFile(join(folder, 'bin', 'systemctl'), `#!/bin/sh\necho "$*" >> ${join(folder, 'asked')}\n${script}\n`, { mode: 0o755 })
  const as = (path = `${join(folder, 'bin')}:${process.env.PATH}`) => ({ uid: 1000, env: { HOME: folder, PATH: path } })

  it('writes both units, for their owner only, and starts the timer; removing takes both away', async () => {
    await systemctl('')
    const files = await installTimer(plain, as())
    expect(files).toEqual(['service', 'timer'].map((kind) => join(folder, '.config/systemd/user', `golden-nightly-home.${kind}`)))
    expect(await readFile(files[0] ?? '', 'utf8')).toBe(serviceUnit(plain).text)
    for (const file of files) expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await removeTimer('home', as())).toHaveLength(2)
    expect(files.map((file) => existsSync(file))).toEqual([false, false])
    expect((await readFile(join(folder, 'asked'), 'utf8')).trim().split('\n')).toEqual([
      '--user daemon-reload',
      '--user enable --now golden-nightly-home.timer',
      '--user disable --now golden-nightly-home.timer',
      '--user daemon-reload',
    ])
  })

  it('says what systemd says, and what there is without it', async () => {
    await systemctl('echo no medium found >&2; exit 1')
    await expect(installTimer(plain, as())).rejects.toMatchObject({
      code: 'timer-not-started',
      message: expect.stringContaining('no medium found'),
    })
    await expect(installTimer(plain, as('/nonexistent'))).rejects.toMatchObject({
      code: 'timer-not-started',
      hint: expect.stringContaining('cron'),
    })
  })
})

const root = { folder: await rootPath() }
const noRoot = process.getuid?.() !== 0 || !existsSync(root.folder)

/** What systemd complains about. @param programs made, because those that are not there are complained about */
async function complaints(units: readonly Unit[], programs: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gu-'))
  try {
    for (const { name, text } of units) await writeFile(join(folder, name), text)
    const script = [
      'for file in "$@"; do mkdir -p "$(dirname "$file")"; printf "#!/bin/sh\\n" > "$file"; chmod 755 "$file"; done',
      'cp /units/* /etc/systemd/system/ && cd /etc/systemd/system',
      // As process 1 of its namespace it would complain to the kernel's log.
      'systemd-analyze verify --man=no --recursive-errors=one "$PWD"/golden-nightly-home.* || exit 1',
    ]
    const { stdout, stderr } = await inRoot(root, ['bash', '-c', script.join('\n'), 'bash', ...programs], {
      binds: [{ from: folder, to: '/units' }],
      accept: [0, 1],
    })
    return `${stdout}${stderr}`
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

describe.skipIf(noRoot)("with systemd (needs root and the lab's Debian root in the cache)", () => {
  it.each([
    ['plain', plain],
    ['awkward', awkward],
  ])('%s units are sound', async (_, options) => {
    const programs = [options.node, `${options.project}/scripts/golden`]
    expect(await complaints([serviceUnit(options), timerUnit(options)], programs)).toBe('')
  })

  it('those that are not are complained about', async () => {
    const [service, timer] = [serviceUnit(plain), timerUnit(plain)]
    const said = await complaints(
      [
        { ...service, text: service.text.replace('Nice=5', 'Nyce=5') },
        { ...timer, text: timer.text.replace('02:30:00', '25:30:00') },
      ],
      [plain.node],
    )
    expect(said).toContain('Failed to parse calendar specification')
    expect(said).toContain("Unknown key 'Nyce'")
  })
})
