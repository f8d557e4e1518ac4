/** The README's picture in a real browser, as GitHub shows it: an image, in light and dark, on a telephone. */
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pictureFile } from '../../docs/picture/draw.ts'
import { languages } from '../../docs/picture/words.ts'
import { browserPath } from '../../lab/debian/browser.ts'
import { openBrowser, type Screen } from '../nightly/browser.ts'

const root = { folder: await browserPath() }
const noBrowser = process.getuid?.() !== 0 || !existsSync(root.folder)

/** Where pictures go and stay, for somebody to look at. @default a temporary folder, which goes */
const kept = process.env.GOLDEN_TEST_PICTURES
let folder: string
beforeAll(async () => {
  folder = kept ?? (await mkdtemp(join(tmpdir(), 'golden-picture-')))
})
afterAll(async () => {
  if (kept === undefined) await rm(folder, { recursive: true, force: true })
})

const screens: Readonly<Record<string, Screen>> = {
  phone: { width: 360, height: 700, isPhone: true },
  'phone-in-the-dark': { width: 360, height: 700, isPhone: true, isDark: true },
}

const pageWith = (body: string): string =>
  `<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>:root { color-scheme: light dark } body { margin: 16px } img { max-width: 100%; width: 480px }</style>${body}`

/** Words that stick out of their box or of the picture, or lie on others, as the browser has measured them. */
const wrong = `(() => {
  const inside = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom
  const box = (one) => one.getBoundingClientRect()
  const texts = [...document.querySelectorAll('svg text')]
  const whole = box(document.querySelector('svg'))
  return [
    ...texts.filter((one) => !inside(box(one), whole)).map((one) => one.textContent + ' sticks out of the picture'),
    ...[...document.querySelectorAll('.box')].flatMap((group) => [...group.querySelectorAll('text')]
      .filter((one) => !inside(box(one), box(group.querySelector('rect')))).map((one) => one.textContent + ' sticks out of its box')),
    ...texts.flatMap((one, index) => texts.slice(index + 1).filter((other) => {
      const [a, b] = [box(one), box(other)]
      return a.left < b.right && b.left < a.right && a.top < b.bottom - 3 && b.top < a.bottom - 3
    }).map((other) => one.textContent + ' lies on ' + other.textContent)),
  ]
})()`

/** The colour of the picture's paper, which no text is on. */
const paper = `(async () => {
  const image = document.querySelector('img')
  await image.decode()
  const canvas = new OffscreenCanvas(40, 40)
  canvas.getContext('2d').drawImage(image, 0, 0)
  return [...canvas.getContext('2d').getImageData(6, 30, 1, 1).data].slice(0, 3)
})()`

describe.skipIf(noBrowser)(
  `the README's picture in a browser (needs root and the lab's browser in the cache: node lab/debian/build.ts browser)`,
  () => {
    it.each(languages)('is read as an image, and its colours are those of the reader, in %s', async (language) => {
      const page = join(folder, `page.${language}.html`)
      const svg = await readFile(pictureFile(language))
      await writeFile(page, pageWith(`<img alt="" src="data:image/svg+xml;base64,${svg.toString('base64')}">`))
      const browser = await openBrowser(root, page)
      try {
        for (const [name, screen] of Object.entries(screens)) {
          const shown = await browser.show(screen)
          await writeFile(join(folder, `picture-${language}-${name}.png`), await shown.picture())
          const colour = await shown.evaluate<number[]>(paper)
          expect(Math.max(...colour) < 60, `${name}: ${colour.join()}`).toBe(screen.isDark === true)
          expect(await shown.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(screen.width)
          expect([shown.requests.filter((url) => !url.startsWith('data:')), shown.words]).toEqual([[], []])
        }
      } finally {
        await browser.close()
      }
    })

    it.each(languages)('has all its letters where they belong, each from a font, in %s', async (language) => {
      const page = join(folder, `inline.${language}.html`)
      await writeFile(page, pageWith(await readFile(pictureFile(language), 'utf8')))
      const browser = await openBrowser(root, page)
      try {
        const shown = await browser.show(screens.phone as Screen)
        expect(await shown.evaluate(wrong)).toEqual([])
        expect((await shown.fontsOf('svg')).some((font) => /IPA/.test(font))).toBe(language === 'ja')
      } finally {
        await browser.close()
      }
    })
  },
)
