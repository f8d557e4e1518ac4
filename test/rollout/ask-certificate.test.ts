/** `golden certificate`: whom it asks, and what it makes of the answer. */
import { expect, it } from 'vitest'
import { Failure } from '../../core/failure.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import { newRelease, noDeployment } from '../../releases/deployment.ts'
import { askForCertificate, releaseWithAcme } from '../../rollout/ask-certificate.ts'
import { acme } from '../../settings/acme.ts'
import { exampleSite } from '../images/example.ts'

const site = exampleSite((input) => {
  input.public.certificate = acme()
})
const origin = { id: '0123456789ab', created: new Date(), image: { vmid: 9000, name: 'golden', fingerprint: 'f' } }
const release = newRelease(site, 'serena', 'green', origin)

/** A guest that says this. */
function saying(stdout: string, exitCode = 0): { proxmox: Proxmox; asked: unknown[] } {
  const asked: unknown[] = []
  const agentExec = async (...words: unknown[]) => {
    asked.push(words.slice(0, 3))
    return { exitCode, stdout, stderr: 'what it complains of' }
  }
  return { proxmox: { agentExec } as unknown as Proxmox, asked }
}
const codeOf = (error: unknown): string => (error instanceof Failure ? `${error.code}: ${error.message}` : String(error))

it('asks the slot that is active, if it has an ACME server', () => {
  expect(releaseWithAcme({ schema: 1, groups: { serena: { active: 'green', slots: { green: release } } } })).toBe(release)
  const plain = newRelease(exampleSite(), 'serena', 'blue', origin)
  for (const deployment of [
    noDeployment,
    { schema: 1 as const, groups: { serena: { active: 'blue' as const, slots: { blue: plain, green: release } } } },
  ])
    expect(() => releaseWithAcme(deployment)).toThrow(expect.objectContaining({ code: 'no-acme' }))
})

it('says how it ended, also where the server has refused', async () => {
  const { proxmox, asked } = saying('{"schema":1,"certificate":{"lastError":"no","nextTry":"soon"}}', 1)
  expect(await askForCertificate(proxmox, release)).toEqual({ lastError: 'no', nextTry: 'soon' })
  expect(asked).toEqual([[release.vm.node, release.vm.vmid, ['/usr/local/sbin/slotctl', 'certificate']]])
})

it.each([
  ['{"schema":1,"error":{"code":"too-soon","message":"wait"}}', /^slot-refused: VM \d+ refused "slotctl certificate": wait$/],
  ['nonsense', /: what it complains of$/],
  ['{}', /: what it complains of$/],
])('a guest that says %s has refused', async (stdout, words) => {
  expect(await askForCertificate(saying(stdout, 1).proxmox, release).catch(codeOf)).toMatch(words)
})
