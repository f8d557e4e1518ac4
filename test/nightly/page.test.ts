/** The report's page in a real browser: nothing sticks out, nothing is loaded, and every letter has a font. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { browserPath } from '../../lab/debian/browser.ts'
import { pageOf } from '../../nightly/page.ts'
import { reportOf } from '../../nightly/report.ts'
import { languages, wordsOf } from '../../nightly/words.ts'
import { openBrowser, type Browser, type Screen } from './browser.ts'
import { eventfulNight } from './example-night.ts'

const root = { folder: await browserPath() }
const noBrowser = process.getuid?.() !== 0 || !existsSync(root.folder)

/** Where pictures go and stay, for somebody to look at. @default a temporary folder, which goes */
const kept = process.env.GOLDEN_TEST_PICTURES

let browser: Browser
let folder: string
beforeAll(async () => {
  if (noBrowser) return
  folder = kept ?? (await mkdtemp(join(tmpdir(), 'golden-page-')))
  const reports = languages.map((language) => reportOf(eventfulNight, wordsOf[language], 'Asia/Tokyo'))
  await writeFile(join(folder, 'report.html'), pageOf(reports, 'en'))
  browser = await openBrowser(root, join(folder, 'report.html'))
})
afterAll(async () => {
  await browser?.close()
  if (kept === undefined && folder !== undefined) await rm(folder, { recursive: true, force: true })
})

const screens: Readonly<Record<string, Screen>> = {
  phone: { width: 390, height: 844, isPhone: true },
  'small phone in the dark': { width: 320, height: 568, isPhone: true, isDark: true },
  desktop: { width: 1280, height: 900, isPhone: false },
}

/** What is seen and sticks out of the screen, but for what scrolls in its own frame. */
const sticksOut = `[...document.querySelectorAll('body *')]
  .filter((one) => one.closest('.wide table') === null && one.checkVisibility())
  .filter((one) => { const { left, right } = one.getBoundingClientRect(); return right > innerWidth + 0.5 || left < -0.5 })
  .map((one) => one.outerHTML.slice(0, 80))`

/** Parts of the drawing that lie on each other. */
const overlaps = `[...document.querySelectorAll('main .plot')].filter((plot) => plot.checkVisibility()).flatMap((plot) => {
  const boxes = [...plot.querySelectorAll('text')].map((one) => [one.textContent, one.getBoundingClientRect()])
  return boxes.flatMap(([text, a], index) => boxes.slice(index + 1)
    .filter(([, b]) => a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
    .map(([other]) => text + ' lies on ' + other))
})`

describe.skipIf(noBrowser)(
  `the page in a browser (needs root and the lab's browser in the cache: node lab/debian/build.ts browser)`,
  () => {
    it.each(Object.entries(screens).flatMap(([name, screen]) => languages.map((language) => [name, language, screen] as const)))(
      'is whole on a %s, in %s',
      async (name, language, screen) => {
        const shown = await browser.show(screen)
        await shown.evaluate(`document.querySelector('label[for=pick-${language}]').click()`)
        await writeFile(join(folder, `${name.replaceAll(' ', '-')}-${language}.png`), await shown.picture())
        expect(
          await shown.evaluate<string>(
            `[...document.querySelectorAll('main')].filter((one) => one.checkVisibility()).map((one) => one.lang).join()`,
          ),
        ).toBe(language)
        expect(await shown.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(screen.width)
        expect(await shown.evaluate('innerWidth')).toBe(screen.width)
        expect(await shown.evaluate(sticksOut)).toEqual([])
        expect(await shown.evaluate(overlaps)).toEqual([])
        expect([shown.requests, shown.words]).toEqual([[], []])
        const fonts = await shown.fontsOf(`main.${language}`)
        expect(fonts.some((font) => /IPA/.test(font))).toBe(language === 'ja')
      },
    )

    it('what is folded up opens without a program, and its tables scroll within themselves', async () => {
      const shown = await browser.show(screens.phone as Screen)
      await shown.evaluate(`document.querySelectorAll('details').forEach((one) => { one.open = true })`)
      expect(await shown.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390)
    })
  },
)
