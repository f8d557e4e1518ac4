/** The report as one page for people, in all languages, for phones too. It loads nothing and runs nothing. Pure. */
import { element, type Markup } from './markup.ts'
import { plot, plottedSteps } from './plot.ts'
import type { Block, Cell, Report } from './report.ts'
import type { Language, Words } from './words.ts'

const style = `
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--paper:#fff;--line:#d8dee4;--good:#1a7f37;--bad:#c4161c;--wash:#f6f8fa}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--paper:#0d1117;--line:#30363d;--good:#3fb950;--bad:#ff7b72;--wash:#161b22}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:52rem;font:16px/1.55 system-ui,-apple-system,"Hiragino Sans","Noto Sans CJK JP","Noto Sans JP",Meiryo,sans-serif;color:var(--ink);background:var(--paper);overflow-wrap:anywhere}
h1{font-size:1.4rem;line-height:1.3;margin:.6rem 0}
h2{font-size:1.1rem;margin:1.8rem 0 .5rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}
p,ul{margin:.5rem 0}ul{padding-left:1.2rem}li{margin:.2rem 0}
.pick{position:absolute;opacity:0}
.tabs{display:flex;gap:.4rem;justify-content:flex-end}
.tabs label{padding:.35rem .9rem;border:1px solid var(--line);border-radius:1rem;cursor:pointer}
.report{display:none}
.outcome{display:inline-block;padding:.05rem .6rem;border-radius:.3rem;font-weight:600;border:1px solid currentColor}
.good{color:var(--good)}.bad{color:var(--bad)}.plain{color:inherit}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500;white-space:nowrap}td{min-width:5.5em}
.short{white-space:nowrap}td:has(code){min-width:11em}
code{font:.88em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--wash);padding:.05em .3em;border-radius:.25em;-webkit-box-decoration-break:clone;box-decoration-break:clone}
summary{cursor:pointer;color:var(--soft);padding:.4rem 0}
.plot{width:100%;height:auto;display:block;overflow:visible}
.grid{stroke:var(--line)}.tick,.day{fill:var(--soft);font-size:13px}.tonight{fill:var(--ink);font-weight:600}.mark{fill:var(--bad);font-size:15px}
@media (max-width:40rem){.tick,.day{font-size:21px}.spare{display:none}.mark{font-size:18px}}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;padding:0;font-size:.88rem;color:var(--soft)}
.legend svg{width:.8em;height:.8em;margin-right:.35em}
.lock{fill:#8c959f}.bake{fill:#0969da}.verify{fill:#8250df}.promote{fill:#1a7f37}.rollout{fill:#bf8700}.prune{fill:#cf222e}.deliver{fill:#1b7c83}
footer{margin-top:2rem;color:var(--soft);font-size:.88rem}
`

/** Which language is seen is told by which field is checked: that needs no program. */
const choice = (reports: readonly Report[]): string =>
  reports
    .map(
      ({ words: { language } }) =>
        `#pick-${language}:checked~.${language}{display:block}#pick-${language}:checked~.tabs .${language}{background:var(--wash);font-weight:600}#pick-${language}:focus-visible~.tabs .${language}{outline:2px solid;outline-offset:2px}`,
    )
    .join('\n')

/** @param first the language that is seen first */
export function pageOf(reports: readonly Report[], first: Language): string {
  const shown = reports.find(({ words }) => words.language === first) ?? reports[0]
  if (shown === undefined) throw new Error('a page needs a report')
  const page = element(
    'html',
    { lang: shown.words.language, xmlns: 'http://www.w3.org/1999/xhtml' },
    element(
      'head',
      {},
      element('meta', { charset: 'utf-8' }),
      element('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
      element('meta', {
        'http-equiv': 'Content-Security-Policy',
        content: "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'",
      }),
      element('meta', { name: 'robots', content: 'noindex' }),
      element('title', {}, `${shown.title} – ${shown.outcome}`),
      element('style', {}, { markup: `${style}${choice(reports)}` }),
    ),
    element(
      'body',
      {},
      reports.map(({ words: { language } }) =>
        element('input', {
          type: 'radio',
          name: 'language',
          class: 'pick',
          id: `pick-${language}`,
          ...(language === shown.words.language ? { checked: 'checked' } : {}),
        }),
      ),
      element(
        'nav',
        { class: 'tabs' },
        reports.map(({ words: { language, name } }) =>
          element('label', { for: `pick-${language}`, class: language, lang: language }, name),
        ),
      ),
      reports.map(reportMarkup),
    ),
  )
  return `<!DOCTYPE html>\n${page.markup}\n`
}

function reportMarkup({ words, title, outcome, tone, headline, sections, footer }: Report): Markup {
  return element(
    'main',
    { class: `report ${words.language}`, lang: words.language },
    element('h1', {}, title),
    element('p', {}, element('span', { class: `outcome ${tone}` }, outcome)),
    element('p', {}, headline),
    sections.map((section) =>
      element(
        'section',
        {},
        element('h2', {}, section.title),
        section.blocks.map((block) => blockMarkup(block, words)),
      ),
    ),
    element('footer', {}, footer),
  )
}

function blockMarkup(block: Block, words: Words): Markup {
  switch (block.kind) {
    case 'text':
      return element('p', {}, block.text)
    case 'lines':
      return element(
        'ul',
        { class: block.tone },
        block.lines.map((line) => element('li', {}, line)),
      )
    case 'table':
      return tableMarkup(block, words)
    case 'plot':
      return element('div', {}, plot(block.nights, words), legend(block, words))
  }
}

function tableMarkup({ head, rows, open }: Block & { kind: 'table' }, words: Words): Markup {
  const table = (some: typeof rows): Markup =>
    element(
      'div',
      { class: 'wide' },
      element(
        'table',
        {},
        element(
          'thead',
          {},
          element(
            'tr',
            {},
            head.map((text) => element('th', { scope: 'col' }, text)),
          ),
        ),
        element(
          'tbody',
          {},
          some.map((cells) => element('tr', {}, cells.map(cellMarkup))),
        ),
      ),
    )
  const [seen, rest] = [rows.slice(0, open), rows.slice(open)]
  if (rest.length === 0) return table(seen)
  return element('div', {}, table(seen), element('details', {}, element('summary', {}, words.more(rest.length)), table(rest)))
}

/** So much stays in one line: times, names, results. A wide table moves within its frame. */
const shortLength = 20

function cellMarkup({ text, tone, code }: Cell): Markup {
  const classes = [...(tone === undefined || tone === 'plain' ? [] : [tone]), ...(text.length <= shortLength ? ['short'] : [])]
  return element('td', { class: classes.length === 0 ? undefined : classes.join(' ') }, code ? element('code', {}, text) : text)
}

function legend({ nights }: Block & { kind: 'plot' }, words: Words): Markup {
  const used = plottedSteps.filter((step) => nights.some(({ parts }) => parts.some((part) => part.step === step)))
  const swatch = (name: string): Markup =>
    element(
      'svg',
      { xmlns: 'http://www.w3.org/2000/svg', viewBox: '0 0 1 1', 'aria-hidden': 'true' },
      element('rect', { class: name, width: 1, height: 1 }),
    )
  return element(
    'ul',
    { class: 'legend' },
    used.map((step) => element('li', {}, swatch(step), words.step[step])),
    nights.some(({ isBad }) => isBad) ? [element('li', {}, words.plot.mark)] : [],
  )
}
