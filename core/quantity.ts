/** Quantities, as people read them. */

/** Bytes. */
export const sizeText = (bytes: number): string =>
  bytes < 1024 ** 3 ? `${Math.max(1, Math.round(bytes / 1024 ** 2))} MiB` : `${(bytes / 1024 ** 3).toFixed(1)} GiB`

export const ageText = (minutes: number): string =>
  minutes < 120 ? `${minutes} min` : minutes < 2880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} days`

/** `1 image`, `3 images`. */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`
