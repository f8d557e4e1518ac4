/** Which image a site takes, and what it says when there is none. */
import { expect, it } from 'vitest'
import { chooseImage, imageNamed, requireTrustedPins } from '../../rollout/choose-image.ts'
import { newRelease } from '../../releases/deployment.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import { anImage } from '../images/any-image.ts'
import { exampleSite, hash } from '../images/example.ts'

const siteWith = (image: { readonly channel?: string; readonly onlyVerified?: boolean }) =>
  exampleSite((input) => {
    Object.assign(input.image, image)
  })
const at = (hour: number) => ({ record: { built: `2026-11-24T0${hour}:00:00.000Z` } })
const candidate = anImage(9002, at(2))
const stable = anImage(9001, { channel: 'stable', verification: 'passed', ...at(1) })

it('a site takes the newest of its channel, or of a better one', () => {
  expect(chooseImage(siteWith({}), [candidate, stable])).toBe(candidate)
  expect(chooseImage(siteWith({ channel: 'stable' }), [candidate, stable])).toBe(stable)
  expect(chooseImage(siteWith({}), [stable])).toBe(stable)
})

it('only a verified one, unless it says otherwise; one whose verification has failed never', () => {
  const silent = exampleSite((input) => {
    delete input.image.onlyVerified
  })
  expect(() => chooseImage(silent, [candidate])).toThrow(expect.objectContaining({ code: 'image-not-verified' }))
  expect(chooseImage(siteWith({ onlyVerified: true }), [candidate, stable])).toBe(stable)
  expect(chooseImage(siteWith({}), [{ ...candidate, verification: 'failed' }, stable])).toBe(stable)
})

it.each<[string, Parameters<typeof siteWith>[0], Parameters<typeof chooseImage>[1], RegExp, RegExp]>([
  ['no-image', {}, [], /has no image of base debian-13 aaaaaaaaaaaa$/, /golden bake/],
  [
    'no-image',
    {},
    [
      { ...stable, revoked: true },
      { ...candidate, verification: 'failed' },
    ],
    /\(1 revoked, 1 whose verification has failed\)/,
    /golden bake/,
  ],
  [
    'image-not-promoted',
    { channel: 'stable' },
    [candidate],
    /in channel stable \(1 not promoted\)/,
    /golden promote golden-home-\S+ --channel stable/,
  ],
  [
    'image-not-verified',
    { onlyVerified: true },
    [candidate],
    /has no verified image .* \(1 not verified\)/,
    /golden verify.*image\.onlyVerified/,
  ],
])('%s says what is there, and what to do', (code, image, images, message, hint) => {
  expect(() => chooseImage(siteWith(image), images)).toThrow(
    expect.objectContaining({ code, message: expect.stringMatching(message), hint: expect.stringMatching(hint) }),
  )
})

it('people may name one of any channel and base, but none that is revoked, has failed, or is not verified where that is asked for', () => {
  const site = siteWith({ channel: 'stable' })
  const other = anImage(9003, { channel: undefined, record: { base: { os: 'debian-13', sha256: hash('9') } } })
  expect(imageNamed(site, [candidate, stable, other], '9003')).toMatchObject({ vmid: 9003 })
  expect(imageNamed(site, [candidate, stable], candidate.name)).toMatchObject({ vmid: 9002 })
  const refused = (image: typeof candidate, of = site): unknown => {
    try {
      return imageNamed(of, [image], String(image.vmid))
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  expect(refused({ ...candidate, revoked: true, revokedFor: 'x' })).toBe('image-revoked')
  expect(refused({ ...candidate, verification: 'failed' })).toBe('image-not-verified')
  expect(refused(candidate, siteWith({ onlyVerified: true }))).toBe('image-not-verified')
})

it('no VM is made of a pinned image that nobody has signed, whatever was looked at before', async () => {
  const release = newRelease(siteWith({}), 'serena', 'blue', {
    id: '0123456789ab',
    created: new Date(0),
    image: { vmid: candidate.vmid, name: candidate.name, fingerprint: candidate.record.fingerprint },
  })
  const pins = { active: 'blue', slots: { blue: release } } as const
  const trusting = { site: siteWith({}), folder: '/nonexistent', proxmox: {} as Proxmox }
  await expect(requireTrustedPins(trusting, [candidate], pins, ['blue'])).rejects.toMatchObject({ code: 'image-unsigned' })
  await expect(requireTrustedPins(trusting, [candidate], pins, ['green'])).resolves.toBeUndefined()
})

it('a site that asks an ACME server takes an image with lego alone', () => {
  const site = exampleSite((input) => {
    input.public.certificate = { kind: 'acme' }
  })
  expect(() => chooseImage(site, [stable])).toThrow(expect.objectContaining({ code: 'image-without-lego' }))
  const services = { ...stable.record.services, lego: `docker.io/goacme/lego@sha256:${hash('1')}` }
  const withLego = { ...stable, record: { ...stable.record, services } }
  expect(chooseImage(site, [withLego])).toBe(withLego)
  expect(chooseImage(exampleSite(), [withLego])).toBe(withLego)
})
