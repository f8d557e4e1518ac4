/** Who is asked before the datacenter firewall goes on, and what counts as a yes. */
import { expect, it } from 'vitest'
import { agreeToFirewall } from '../../scripts/firewall-consent.ts'
import { recorder } from '../set-up.ts'

const question = (mayLockOut: boolean) => ({ lines: ['closes NFS', 'lets SSH in'], mayLockOut })
const agree = async (flags: Record<string, boolean>, mayLockOut: boolean): Promise<unknown> => {
  const { shown, progress } = recorder()
  return agreeToFirewall(question(mayLockOut), { flags, progress }, false).then(
    () => shown.join('\n'),
    (error: unknown) => error,
  )
}

it('without a terminal only --yes is a yes, and what it does is shown with it', async () => {
  expect(await agree({}, false)).toMatchObject({
    code: 'firewall-not-confirmed',
    message: expect.stringMatching(/closes NFS\n.*lets SSH in/),
    hint: expect.stringContaining('--yes'),
  })
  expect(await agree({ yes: true }, false)).toMatch(/closes NFS\n.*lets SSH in/)
})

it('nobody who may be locked out is taken at a word given before', async () => {
  for (const flags of [{}, { yes: true }])
    expect(await agree(flags, true)).toMatchObject({ code: 'caller-outside-admin', hint: expect.stringContaining('network.admin') })
})
