/** A value as one word of a POSIX shell. */
export function shellWord(value: string | number): string {
  const text = String(value)
  return /^[A-Za-z0-9_.,:@%/=+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
