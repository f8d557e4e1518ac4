/**
 * The journal as files that the collector reads as it reads Docker's: golden-watch copies each entry. The collector's
 * own journal reader notes an entry as read before it has it, and needs a journalctl in its image. Here the last line
 * of the files is the position, so that nothing is lost or doubled however this program ends.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, renameSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'

/** Two files of this size: what waits for a collector that is away. */
const fileBytes = 32 * 1024 * 1024
/** More than any record has. */
const tailBytes = 4 * 1024 * 1024
/** As the collector's `longestLine`. */
const longestMessage = 512 * 1024

const levels = ['emerg', 'alert', 'crit', 'error', 'warning', 'notice', 'info', 'debug']

/** As `journalctl --output=json` writes it: a list of bytes where it is no text, a list of values where there are several. */
type Field = string | null | readonly (number | Field)[]

export interface JournalEntry {
  readonly __CURSOR: string
  /** Microseconds since 1970. */
  readonly __REALTIME_TIMESTAMP: string
  readonly MESSAGE?: Field
  readonly PRIORITY?: Field
  readonly SYSLOG_IDENTIFIER?: Field
  readonly _SYSTEMD_UNIT?: Field
}

function textOf(field: Field | undefined): string | undefined {
  if (field === undefined || field === null || typeof field === 'string') return field ?? undefined
  const [first] = field
  return typeof first === 'number' ? Buffer.from(field as number[]).toString('utf8') : textOf(first)
}

/** One line of the file. Units with a number of their own each (logins, containers) are one stream. */
export function recordOf(entry: JournalEntry): string {
  const micros = BigInt(entry.__REALTIME_TIMESTAMP)
  const seconds = new Date(Number(micros / 1000n)).toISOString().slice(0, 19)
  const message = textOf(entry.MESSAGE) ?? ''
  return (
    JSON.stringify({
      time: `${seconds}.${String(micros % 1_000_000n).padStart(6, '0')}Z`,
      cursor: entry.__CURSOR,
      unit: textOf(entry._SYSTEMD_UNIT)?.replace(/^(session|docker|run|init|user)[-@].*\.(scope|service)$/, '$1.$2'),
      identifier: textOf(entry.SYSLOG_IDENTIFIER),
      level: levels[Number(textOf(entry.PRIORITY) ?? 'none')],
      line: message.length > longestMessage ? `${message.slice(0, longestMessage)}… (${message.length} characters)` : message,
    }) + '\n'
  )
}

/** The cursor of the last whole line of a file's end, and how many bytes of a line that was not finished are behind it. */
export function lastRecord(tail: Buffer): { readonly cursor: string | undefined; readonly torn: number } {
  const end = tail.lastIndexOf('\n') + 1
  const torn = tail.length - end
  for (const line of tail.toString('utf8', 0, end).trimEnd().split('\n').reverse()) {
    try {
      return { cursor: (JSON.parse(line) as { cursor: string }).cursor, torn }
    } catch {
      // Torn by a power failure, or begun before this tail: the one before it.
    }
  }
  return { cursor: undefined, torn }
}

function tailOf(file: string): Buffer {
  if (!existsSync(file)) return Buffer.alloc(0)
  const opened = openSync(file, 'r')
  try {
    const { size } = fstatSync(opened)
    const tail = Buffer.alloc(Math.min(size, tailBytes))
    readSync(opened, tail, 0, tail.length, size - tail.length)
    return tail
  } finally {
    closeSync(opened)
  }
}

/**
 * Copies until its journalctl ends, which `running` tells; whoever keeps it starts another. A full disk ends it too, and
 * nothing else: who looks after the containers must not fail with the logs.
 */
export class JournalCopy {
  readonly #current: string
  readonly #previous: string
  readonly #program: readonly string[]
  #file = -1
  #size = 0
  #child: ChildProcess | undefined
  /** Said already, since a record was last written. */
  #said: string | undefined

  constructor(folder: string, program: readonly string[] = ['journalctl']) {
    this.#current = join(folder, 'journal.log')
    this.#previous = `${this.#current}.1`
    this.#program = program
  }

  get running(): boolean {
    return this.#child !== undefined
  }

  start(): void {
    try {
      mkdirSync(dirname(this.#current), { recursive: true, mode: 0o700 })
      this.#follow(this.#resume())
    } catch (error) {
      this.#say(error)
      this.#close()
    }
  }

  #follow(cursor: string | undefined): void {
    const [file = '', ...first] = this.#program
    const child = spawn(
      file,
      [
        ...first,
        '--output=json',
        '--all',
        '--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT',
        '--follow',
        '--no-tail',
        ...(cursor === undefined ? [] : [`--after-cursor=${cursor}`]),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    this.#child = child
    child.on('error', (error) => console.error(`journalctl: ${error.message}`))
    let failed = false
    const lines = createInterface({ input: child.stdout })
    lines.on('line', (line) => {
      // What comes after a record that was not written is the next one's.
      if (failed) return
      try {
        const record = this.#read(line)
        if (record !== undefined) this.#append(record)
      } catch (error) {
        failed = true
        this.#say(error)
        child.kill()
      }
    })
    child.on('close', () => {
      this.#close()
      this.#child = undefined
    })
  }

  /** One that can't be read would be met again by each journalctl: it is left out. */
  #read(line: string): string | undefined {
    try {
      return recordOf(JSON.parse(line) as JournalEntry)
    } catch {
      this.#say(new Error("a record can't be read and is left out")) // without the parser's words: they quote it
      return undefined
    }
  }

  #say(error: unknown): void {
    const { message } = error as Error
    if (message !== this.#said) console.error(`the copy of the journal: ${message}`)
    this.#said = message
  }

  #close(): void {
    const file = this.#file
    this.#file = -1
    if (file !== -1) closeSync(file)
  }

  /** Opens the current file behind its last whole line and says where to go on in the journal. */
  #resume(): string | undefined {
    const { cursor, torn } = lastRecord(tailOf(this.#current))
    this.#file = openSync(this.#current, 'a', 0o600)
    this.#size = fstatSync(this.#file).size - torn
    ftruncateSync(this.#file, this.#size)
    return cursor ?? lastRecord(tailOf(this.#previous)).cursor
  }

  #append(record: string): void {
    if (this.#size > fileBytes) this.#rotate()
    // The last room of a disk takes a part of a record.
    for (let rest = Buffer.from(record); rest.length > 0; ) {
      const written = writeSync(this.#file, rest)
      this.#size += written
      rest = rest.subarray(written)
    }
    this.#said = undefined
  }

  #rotate(): void {
    this.#close()
    renameSync(this.#current, this.#previous)
    this.#file = openSync(this.#current, 'a', 0o600)
    this.#size = 0
  }
}
