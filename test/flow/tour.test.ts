/** `npm run tour`, as an ordinary user: it comes to its end, and whatever ends it, nothing of it is left. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { userComputer, type Computer } from './computer.ts'

let computer: Computer
beforeAll(async () => {
  computer = await userComputer()
}, 900_000)
afterAll(() => computer?.close())

const golden = (): string => join(computer.clone, 'scripts/golden')
/** Of npm, and of the provider, whose processes of a computer take turns by it. */
const notOurs = ['node-compile-cache', 'terraform-provider-proxmox-id-gen.lock']
const left = () => ({
  temporary: readdirSync(computer.temporary).filter((name) => !notOurs.includes(name)),
  site: readdirSync(computer.clone).includes('site'),
  processes: computer.processes(),
})
const nothing = { temporary: [], site: false, processes: [] }

it('tells the whole story, and what of it was real', async () => {
  const { code, stdout, stderr } = await computer.run('npm', ['run', '--silent', 'tour'])
  expect(code, stderr).toBe(0)
  const typed = [...stderr.matchAll(/^✓ \$ npx golden (\S+)/gm)].map(([, verb]) => verb)
  expect(typed).toEqual(['init', 'init', 'setup', 'bake', 'verify', 'deploy', 'client', 'rollout', 'rollout', 'rollback', 'status'])
  for (const line of [
    /│ Baked golden-tour-[0-9a-f]{12} /,
    /│ \d+ of \d+ checks hold\./,
    /│ {3}changes groups\.serena\.memoryMiB: 3072 → 4096$/m,
    /│ serena: slot green has taken over from blue/,
    /│ serena: slot blue has taken over from green/,
    /│ serena \(serena\): healthy/,
  ])
    expect(stderr).toMatch(line)
  expect(stdout).toMatch(/^What was real here +\| What "npm run demo" adds +\| What only your Proxmox shows\n[\s\S]*11 commands in /)
  // No terminal, so lines that stay: and nothing of the folder that nobody will find.
  expect(stdout + stderr).not.toMatch(/\r|\x1b\[|golden-scratch/)
  expect(left()).toEqual(nothing)
}, 600_000)

it('takes all of it away on Ctrl-C, in the middle of a bake as well', async () => {
  const tour = computer.start(golden(), ['tour', '--json'])
  let said = ''
  tour.process.stderr?.on('data', (text: string) => (said += text))
  const isBaking = (): boolean => said.includes('npx golden bake …') && computer.processes().some((line) => /\bpacker build\b/.test(line))
  await Promise.race([vi.waitUntil(isBaking, { timeout: 240_000, interval: 50 }), tour.ended])
  tour.interrupt()
  const ended = await tour.ended
  expect(ended, said).toMatchObject({ code: 130, error: { code: 'cancelled' } })
  expect(said).not.toMatch(/npx golden verify/)
  expect(left()).toEqual(nothing)
}, 600_000)

it('waits for Enter only where somebody can press it', async () => {
  expect(await computer.run(golden(), ['tour', '--step', '--json'])).toMatchObject({ code: 2, error: { code: 'usage' } })
  expect(left()).toEqual(nothing)
}, 60_000)
