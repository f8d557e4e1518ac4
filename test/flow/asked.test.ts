/**
 * From nothing to a client that gets in, by what `golden init` asks and proposes: no file is edited, and whatever is not
 * Enter is counted. Real Packer, OpenTofu and provider, on fake guests.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Step } from '../../clients/step.ts'
import { loadSite } from '../../settings/load.ts'
import { down, enter, missingForTerminal, onTerminal, type Terminal } from '../terminal.ts'
import { openPlace, type Place } from './place.ts'
import { openSources, type Sources } from './sources.ts'

const missing = missingForTerminal('gpg', 'gpgv', 'dpkg-deb')
const minute = 60_000

let place: Place
let sources: Sources
let folder: string
beforeAll(async () => {
  if (missing.length > 0) return
  place = await openPlace()
  sources = await openSources()
  folder = join(place.computer.folder, 'sites', 'asked')
  await mkdir(folder, { recursive: true })
  // What the lab's world has in the place of the internet: its containers, and where the rest is.
  await writeFile(join(folder, 'images.lock.json'), JSON.stringify(sources.lock()))
}, 15 * minute)
afterAll(async () => {
  await sources?.close()
  await place?.close()
}, minute)

const program = (): string => join(place.computer.clone, 'scripts/golden')
const at = (...args: string[]): Terminal =>
  onTerminal(
    [program(), ...args],
    (script, words) => place.computer.start(script, words, { env: { GOLDEN_SITE: folder }, typed: true }).process,
  )

/** Where nobody is, so that nothing can be asked. */
async function done<T>(...args: string[]): Promise<T> {
  const ended = await place.computer.run(program(), [...args, '--json'], { env: { GOLDEN_SITE: folder } })
  if (ended.code !== 0) throw new Error(`golden ${args.join(' ')} ended with ${ended.code}:\n${ended.stdout}\n${ended.stderr}`)
  return ended.json<T>()
}

it.skipIf(missing.length > 0)(
  `init → setup → lock → bake → verify → deploy → client --check, with twelve answers at most${missing.length > 0 ? ` (not here: ${missing.join(', ')})` : ''}`,
  async () => {
    const { connection, network } = place.lab
    const answers: string[] = []
    const answer = async (terminal: Terminal, question: RegExp, text: string): Promise<void> => {
      await terminal.sees(question)
      answers.push(text)
      terminal.type(text + enter)
    }
    const images = Object.entries(await sources.settings(join(place.computer.folder, 'sources'))).flatMap(([name, value]) => [
      '--set',
      `image.${name}=${JSON.stringify(value)}`,
    ])
    await place.computer.give(join(place.computer.folder, 'sites'))
    const init = at('init', ...images)
    await answer(init, /name or address of the host/, connection.apiUrl)
    await answer(init, /Type yes/, 'yes')
    await answer(init, /Administrator/, connection.admin.username)
    await answer(init, /Password of/, connection.admin.password)
    await answer(init, /Storage of the VMs' disks/, '')
    await answer(init, /SOCKS5 proxy/, `${connection.socksProxy.host}:${connection.socksProxy.port}`)
    // Both roles on one VM is one answer.
    await answer(init, /Serena and her logs/, down)
    await answer(init, /people's clients call/, `localhost:${connection.router.https.port}`)
    await answer(init, /Is it right\?/, '')
    expect(await init.ended, init.shown()).toBe(0)
    const written = await readFile(join(folder, 'site.ts'), 'utf8')
    const site = await loadSite(folder)

    const setup = at('setup', '--admin', connection.admin.username)
    await answer(setup, /Password of/, connection.admin.password)
    expect(await setup.ended, setup.shown()).toBe(0)
    expect(answers.length).toBeLessThanOrEqual(12)
    expect(answers.filter((text) => text === '')).toHaveLength(2)

    await done('lock')
    expect(await done('bake')).toMatchObject({ outcome: 'baked' })
    const verified = await done<{ passed: boolean; checks: { name: string; ok: boolean; skipped?: boolean }[] }>('verify')
    expect(verified.passed).toBe(true)
    expect(verified.checks.find(({ name }) => name === 'client')).toMatchObject({ ok: true })
    expect(verified.checks.find(({ name }) => name === 'client')).not.toHaveProperty('skipped')
    expect(await done('deploy')).toMatchObject({ changed: true, groups: [{ group: 'serena', outcome: 'deployed', slot: 'blue' }] })
    // What a person does on their router.
    await network.setForwards({ target: site.groups.serena!.service })
    const check = await done<{ ok: boolean; deployed: boolean; steps: Step[] }>('client', '--check')
    expect(check).toMatchObject({ ok: true, deployed: true })
    expect(Object.fromEntries(check.steps.map(({ name, state }) => [name, state]))).toMatchObject({
      certificate: 'ok',
      'wrong password': 'ok',
      password: 'ok',
      initialize: 'ok',
      tools: 'ok',
      call: 'ok',
    })
    expect(await readFile(join(folder, 'site.ts'), 'utf8')).toBe(written)
    // Once more changes nothing by itself.
    expect(await done('init')).toMatchObject({ made: [] })
  },
  10 * minute,
)
