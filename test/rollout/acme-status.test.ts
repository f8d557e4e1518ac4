/** What `golden status` shows of the certificate that the slot gets by itself. */
import { expect, it } from 'vitest'
import { certificatesShown, outlookOf, outlookWithAcme } from '../../rollout/acme-status.ts'

const now = new Date('2026-12-01T00:00:00Z')
const given = [
  { name: "the site's CA", ends: '2036-11-27T00:00:00.000Z', daysLeft: 3649 },
  { name: 'the public certificate', ends: '2029-03-04T00:00:00.000Z', daysLeft: 824 },
]

it("the ACME server's stands in the place of the one that the VM was given", () => {
  const shown = { issuer: "C=US, O=Let's Encrypt, CN=E7", from: '2026-11-20T00:00:00.000Z', until: '2027-02-18T12:00:00.000Z' }
  expect(certificatesShown(given, { shown }, now)).toEqual([
    given[0],
    { name: 'the public certificate, by E7, renewed by the slot', ends: shown.until, daysLeft: 79 },
  ])
})

it('where there is none, that is said of the other', () => {
  for (const certificate of [undefined, {}])
    expect(certificatesShown(given, certificate, now)[1]).toEqual({
      ...given[1],
      name: "the public certificate, by the site's CA until there is one of the ACME server",
    })
})

const shownFrom = (from: string, until: string) => ({ certificate: { shown: { issuer: 'CN=E7', from, until } } })
const publicly = (slot: Parameters<typeof outlookWithAcme>[1]) => outlookWithAcme(given, slot, now)[1]

it('the one that the slot renews is due when that should have happened, however short it lives', () => {
  const [from, soon, far] = ['2026-11-20T00:00:00.000Z', '2026-12-11T00:00:00.000Z', '2026-12-27T00:00:00.000Z']
  expect(publicly(shownFrom('2026-09-12T00:00:00.000Z', soon))).toMatchObject({ ends: soon, daysLeft: 10, due: true })
  expect(publicly(shownFrom('2026-09-28T00:00:00.000Z', far))).toMatchObject({ ends: far, daysLeft: 26, due: false })
  // A life of a fortnight.
  expect(publicly(shownFrom('2026-11-30T00:00:00.000Z', '2026-12-14T00:00:00.000Z'))).toMatchObject({ daysLeft: 13, due: false })
  expect(publicly(shownFrom(from, '2026-12-04T00:00:00.000Z'))).toMatchObject({ daysLeft: 3, due: true })
})

it('of a slot that does not answer nobody knows; of one without a certificate of the server it is the other one', () => {
  expect(publicly(undefined)).toEqual({ name: 'the public certificate, of the ACME server', ends: null, daysLeft: null, due: false })
  expect(publicly({ certificate: {} })).toMatchObject({ ends: given[1]?.ends, daysLeft: 824, due: false })
  expect(outlookWithAcme(given, undefined, now)[0]).toEqual({ ...given[0], due: false })
})

it('one that nobody renews is due 30 days before its end', () => {
  const at = (daysLeft: number) => outlookOf([{ name: 'x', ends: '2026-12-31T00:00:00.000Z', daysLeft }])[0]?.due
  expect([at(31), at(30), at(-1)]).toEqual([false, true, true])
})
