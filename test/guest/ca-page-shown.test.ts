/** The page with the site's CA in a real browser, as a telephone and a computer show it: read without scrolling sideways. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { caPage } from '../../images/guest/ca-page.ts'
import { browserPath } from '../../lab/debian/browser.ts'
import { makeAuthority } from '../../settings/secrets/certificates.ts'
import { openBrowser, type Browser, type Screen } from '../nightly/browser.ts'

const root = { folder: await browserPath() }
const noBrowser = process.getuid?.() !== 0 || !existsSync(root.folder)

/** Where pictures go and stay, for somebody to look at. @default a temporary folder, which goes */
const kept = process.env.GOLDEN_TEST_PICTURES
let folder: string
let browser: Browser
beforeAll(async () => {
  if (noBrowser) return
  folder = kept ?? (await mkdtemp(join(tmpdir(), 'golden-ca-page-')))
  const page = join(folder, 'ca.html')
  const { certificate } = await makeAuthority('home CA', new Date(), ['serena.example.org'])
  await writeFile(page, caPage({ ca: certificate, host: 'serena.a-rather-long-name-of-a-house.example.org', signsHost: true }) ?? '')
  browser = await openBrowser(root, page)
})
afterAll(async () => {
  await browser?.close()
  if (kept === undefined && folder !== undefined) await rm(folder, { recursive: true, force: true })
})

const screens: Readonly<Record<string, Screen>> = {
  phone: { width: 360, height: 740, isPhone: true },
  'phone-in-the-dark': { width: 360, height: 740, isPhone: true, isDark: true },
  computer: { width: 1280, height: 900, isPhone: false },
}

/** As somebody who looks at every system. */
const openAll = `document.querySelectorAll('details').forEach((one) => { one.open = true })`

const luminance = `(() => {
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)
  return (r + g + b) / 3
})()`

/** Words that are cut off, or that somebody would have to hit a target smaller than a finger for. */
const wrong = `[
  ...[...document.querySelectorAll('body *')].filter((one) => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0 && getComputedStyle(one).overflowX !== 'auto' && getComputedStyle(one).display !== 'inline').map((one) => one.tagName + ': ' + one.textContent.slice(0, 40)),
  ...[...document.querySelectorAll('summary')].filter((one) => one.getBoundingClientRect().height < 24).map((one) => one.textContent + ' is too low for a finger'),
]`

it.skipIf(noBrowser).each(Object.entries(screens))(
  `is whole on a %s (needs root and the lab's browser in the cache: node lab/debian/build.ts browser)`,
  async (name, screen) => {
    const shown = await browser.show(screen)
    await writeFile(join(folder, `ca-${name}.png`), await shown.picture())
    await shown.evaluate(openAll)
    await writeFile(join(folder, `ca-${name}-open.png`), await shown.picture())
    expect(await shown.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(screen.width)
    expect(await shown.evaluate(wrong)).toEqual([])
    expect((await shown.evaluate<number>(luminance)) < 80).toBe(screen.isDark === true)
    expect([shown.requests.filter((url) => !url.startsWith('data:')), shown.words]).toEqual([[], []])
  },
)
