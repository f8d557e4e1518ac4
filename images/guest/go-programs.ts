/**
 * What Go writes into every program that it builds (Go's debug/buildinfo): its own version and the modules, of all programs in
 * an archive of tar that goes through. Only the bake runs this, to see into containers, between Docker and tar.
 */
import { thisMachine, type Machine } from './machine.ts'

const magic = Buffer.from('\xff Go buildinf:', 'latin1')
/** The magic, the size of a pointer, flags, and padding. */
const headBytes = 32
/** Of the flags: both texts come behind the head, each after its length. Go 1.18 and on. */
const inlineTexts = 0x02
/** In programs, and so in archives of them, it begins at a multiple of this. */
const alignment = 16
/** More than any has: Kubernetes has some 30 kB. */
const mostBytes = 2 * 1024 * 1024
/** The same of the version. */
const mostVersionBytes = 256
/** What the linker puts before and behind the modules. */
const sentinelBytes = 16

/** `none`: those bytes are there by chance, or in a program that looks for them itself; `more`: it does not end here. */
type Read = 'none' | 'more' | { readonly version: string; readonly modules: string }

/** For each program the version of Go, then the lines of its modules as `go version -m` has them, and an empty line. */
export async function* buildInformation(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0)
  /** Of the first byte of `rest` in the stream. */
  let position = 0
  function* inRest(isEnd: boolean): Generator<string> {
    let from = 0
    for (;;) {
      const at = rest.indexOf(magic, from)
      if (at < 0) {
        from = Math.max(from, rest.length - magic.length + 1)
        break
      }
      const read: Read = (position + at) % alignment === 0 ? readAt(rest.subarray(at)) : 'none'
      if (read === 'more' && !isEnd && rest.length - at < mostBytes) {
        from = at
        break
      }
      if (typeof read === 'object') yield `${read.version}\n${read.modules}\n`
      from = at + magic.length
    }
    position += from
    rest = rest.subarray(from)
  }
  for await (const chunk of stream) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    yield* inRest(false)
  }
  // What might have gone on did not: there may be another one in it.
  yield* inRest(true)
}

function readAt(bytes: Buffer): Read {
  if (bytes.length < headBytes) return 'more'
  if (((bytes[magic.length + 1] ?? 0) & inlineTexts) === 0) return 'none'
  const version = textAt(bytes, headBytes, mostVersionBytes)
  if (typeof version === 'string') return version
  const words = version.content.toString('utf8')
  if (!/^(go1|devel )[\x20-\x7e]*$/.test(words)) return 'none'
  const modules = textAt(bytes, version.end, mostBytes)
  if (typeof modules === 'string') return modules
  const { content } = modules
  // A program that was built outside of any module has none.
  const named = content.length > 2 * sentinelBytes && content[content.length - sentinelBytes - 1] === 0x0a
  return { version: words, modules: named ? content.subarray(sentinelBytes, -sentinelBytes).toString('utf8') : '' }
}

/** A text after its length, as encoding/binary's Uvarint has that. */
function textAt(bytes: Buffer, from: number, most: number): Exclude<Read, object> | { readonly content: Buffer; readonly end: number } {
  let [length, at, factor] = [0, from, 1]
  for (;;) {
    const byte = bytes[at++]
    if (byte === undefined) return 'more'
    length += (byte & 0x7f) * factor
    factor *= 0x80
    if (length > most || at - from > 4) return 'none'
    if (byte < 0x80) break
  }
  return at + length > bytes.length ? 'more' : { content: bytes.subarray(at, at + length), end: at + length }
}

/** What an archive of tar ends with, POSIX pax: two blocks of zeros, and more. */
const endBytes = 1024

/** @param file what was found; it is there only if the archive has come to its end */
export async function goPrograms(machine: Machine, [file = '']: readonly string[]): Promise<number> {
  let last: Buffer = Buffer.alloc(0)
  async function* handedOn(): AsyncGenerator<Buffer> {
    for await (const chunk of machine.input()) {
      await machine.output(chunk)
      last = Buffer.concat([last, chunk.subarray(-endBytes)]).subarray(-endBytes)
      yield chunk
    }
  }
  const found: string[] = []
  for await (const text of buildInformation(handedOn())) found.push(`${text.trimEnd()}\n\n`)
  if (last.length < endBytes || last.some((byte) => byte !== 0)) {
    machine.complain('the archive ends in the middle')
    return 1
  }
  machine.files.write(file, found.join(''))
  return 0
}

if (import.meta.main) process.exitCode = await goPrograms(thisMachine, process.argv.slice(2))
