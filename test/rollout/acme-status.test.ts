/** What `golden status` shows of the certificate that the slot gets by itself. */
import { expect, it } from 'vitest'
import { certificatesShown } from '../../rollout/acme-status.ts'

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
