/** Times as people read them off their clock, in a time zone. Pure. */

/** From one time of the day to another, over midnight if need be. */
export interface Window {
  /** `02:30` */
  readonly from: string
  readonly to: string
}

interface Local {
  /** Whole days since 1970 in the calendar there. */
  readonly day: number
  readonly minute: number
  readonly second: number
}

const dayMinutes = 24 * 60

/** Costly to make. */
const formats = new Map<string | undefined, Intl.DateTimeFormat>()

function formatOf(zone: string | undefined): Intl.DateTimeFormat {
  const known = formats.get(zone)
  if (known !== undefined) return known
  const made = new Intl.DateTimeFormat('en-GB', {
    ...(zone === undefined ? {} : { timeZone: zone }),
    calendar: 'gregory',
    numberingSystem: 'latn',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
    hourCycle: 'h23',
  })
  formats.set(zone, made)
  return made
}

/** @param zone an IANA name; undefined: the computer's own */
function localOf(date: Date, zone: string | undefined): Local {
  const parts = formatOf(zone).formatToParts(date)
  const number = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.find((part) => part.type === type)?.value)
  return {
    day: Date.UTC(number('year'), number('month') - 1, number('day')) / 86_400_000,
    minute: number('hour') * 60 + number('minute'),
    second: number('second'),
  }
}

/** How often midnight has come between the two. */
export const nightsBetween = (from: Date, to: Date, zone: string | undefined): number => localOf(to, zone).day - localOf(from, zone).day

const minuteOf = (clock: string): number => {
  const [hours = 0, minutes = 0] = clock.split(':').map(Number)
  return hours * 60 + minutes
}

/** Whether it is within the window: from its first minute on, up to the one that it ends with. */
export function isWithin(window: Window, date: Date, zone: string | undefined): boolean {
  const { minute } = localOf(date, zone)
  const [from, to] = [minuteOf(window.from), minuteOf(window.to)]
  return from < to ? minute >= from && minute < to : minute >= from || minute < to
}

/**
 * Until it opens, in milliseconds; 0 while it is open. By the clock's face: over a change to or from summer time it may be an
 * hour off, so whoever waits looks again.
 */
export function opensInMs(window: Window, date: Date, zone: string | undefined): number {
  if (isWithin(window, date, zone)) return 0
  const { minute, second } = localOf(date, zone)
  const minutes = (minuteOf(window.from) - minute + dayMinutes) % dayMinutes
  return (minutes * 60 - second) * 1000 - date.getMilliseconds()
}

/** `2026-11-29 02:30` */
export function localText(date: Date, zone: string | undefined): string {
  const { day, minute } = localOf(date, zone)
  const two = (number: number): string => String(number).padStart(2, '0')
  return `${new Date(day * 86_400_000).toISOString().slice(0, 10)} ${two(Math.floor(minute / 60))}:${two(minute % 60)}`
}
