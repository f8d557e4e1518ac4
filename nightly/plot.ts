/** Nights beside each other: a bar each, of the times of its steps. Inline SVG, coloured by the page's style. */
import type { HeldNight } from './hold-night.ts'
import { localText } from './local-time.ts'
import { element, type Markup } from './markup.ts'
import { stepNames, type StepName } from './night.ts'
import type { Words } from './words.ts'

export interface PlottedNight {
  /** e.g. `11-29`. */
  readonly label: string
  readonly parts: readonly { readonly step: StepName; readonly ms: number }[]
  /** It did not come to a good end. */
  readonly isBad: boolean
  readonly isTonight: boolean
}

const mostBefore = 10

/** Waiting is no work. */
export const plottedSteps: readonly StepName[] = stepNames.filter((step) => step !== 'wait')

const sumOf = (steps: HeldNight['record']['steps'] | PlottedNight['parts'], step: StepName): number =>
  steps.filter((one) => one.step === step).reduce((sum, { ms }) => sum + ms, 0)

export function nightsToPlot({ record, before }: HeldNight, words: Words, zone: string | undefined): PlottedNight[] {
  return [...before.slice(-mostBefore), record].map((night) => ({
    label: night === record ? words.plot.tonight : localText(new Date(night.began), zone).slice(5, 10),
    parts: plottedSteps.flatMap((step) => {
      const ms = sumOf(night.steps as PlottedNight['parts'], step)
      return ms > 0 ? [{ step, ms }] : []
    }),
    isBad: !['nothing', 'new'].includes(night.outcome),
    isTonight: night === record,
  }))
}

const total = ({ parts }: PlottedNight): number => parts.reduce((sum, { ms }) => sum + ms, 0)

/** The axis ends at a round time, with up to four lines on the way. */
export function axisOf(highestMs: number): { readonly endMs: number; readonly stepMs: number } {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200].map((seconds) => seconds * 1000)
  const stepMs = steps.find((step) => step * 4 >= highestMs) ?? 86_400_000
  return { endMs: Math.max(1, Math.ceil(highestMs / stepMs)) * stepMs, stepMs }
}

/** Lines of one axis in one unit, of which each has whole ones. */
export function axisText(ms: number, stepMs: number, { plot: { unit } }: Words): string {
  if (ms === 0) return '0'
  const [of, name] = stepMs >= 3_600_000 ? [3_600_000, unit.hour] : stepMs >= 60_000 ? [60_000, unit.minute] : [1000, unit.second]
  return `${ms / of} ${name}`
}

const width = 640
const left = 84
const right = 8
const top = 18
const bottom = 30
const height = 246

/** @param nights the last one is tonight's */
export function plot(nights: readonly PlottedNight[], words: Words): Markup {
  const { endMs, stepMs } = axisOf(Math.max(...nights.map(total), 1000))
  const floor = height - bottom
  const y = (ms: number): number => Math.round((floor - (ms / endMs) * (floor - top)) * 10) / 10
  const room = (width - left - right) / Math.max(nights.length, 3)
  const lines = Array.from({ length: Math.round(endMs / stepMs) + 1 }, (_, index) => index * stepMs)
  return element(
    'svg',
    { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${width} ${height}`, role: 'img', class: 'plot' },
    element('title', {}, words.plot.title),
    lines.flatMap((ms) => [
      element('line', { class: 'grid', x1: left, x2: width - right, y1: y(ms), y2: y(ms) }),
      element('text', { class: 'tick', x: left - 6, y: y(ms) + 4, 'text-anchor': 'end' }, axisText(ms, stepMs, words)),
    ]),
    nights.flatMap((night, index) => {
      const x = Math.round((left + room * index + room * 0.15) * 10) / 10
      const barWidth = Math.round(room * 7) / 10
      let below = 0
      const bars = night.parts.map(({ step, ms }) => {
        const [from, to] = [y(below), y(below + ms)]
        below += ms
        // What is there is seen, however short it was.
        const tall = Math.max(1, Math.round((from - to) * 10) / 10)
        return element(
          'rect',
          { class: `bar ${step}`, x, y: Math.round((from - tall) * 10) / 10, width: barWidth, height: tall },
          element('title', {}, `${night.label}: ${words.step[step]} ${words.duration(ms)}`),
        )
      })
      const middle = Math.round((x + barWidth / 2) * 10) / 10
      const mark = element('text', { class: 'mark', x: middle, y: y(below) - 4, 'text-anchor': 'middle' }, '✗')
      const label = element(
        'text',
        // On a phone there is room for every second one; tonight's is among them.
        {
          class: night.isTonight ? 'day tonight' : (nights.length - 1 - index) % 2 === 1 ? 'day spare' : 'day',
          x: middle,
          y: height - 7,
          'text-anchor': 'middle',
        },
        night.label,
      )
      return [...bars, ...(night.isBad ? [mark] : []), label]
    }),
  )
}
