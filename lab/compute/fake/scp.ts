/** The remote side of scp's old protocol (`scp -t` receives, `scp -f` sends), which Packer speaks by default. */
import { posix } from 'node:path'
import type { ServerChannel } from 'ssh2'
import type { Node } from './filesystem.ts'
import type { Guest } from './guest.ts'
import type { ProcessContext } from './shell.ts'

/** Reads lines and blocks from a stream of chunks. */
class Reader {
  #buffer = Buffer.alloc(0)
  #ended = false
  #wake: (() => void) | undefined

  constructor(channel: ServerChannel) {
    channel.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk])
      this.#wake?.()
    })
    for (const event of ['end', 'close'] as const)
      channel.once(event, () => {
        this.#ended = true
        this.#wake?.()
      })
  }

  async #more(): Promise<boolean> {
    if (this.#ended) return false
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    return true
  }

  async bytes(count: number): Promise<Buffer | undefined> {
    const chunks: Buffer[] = []
    let missing = count
    for (;;) {
      const part = this.#buffer.subarray(0, missing)
      this.#buffer = this.#buffer.subarray(part.length)
      chunks.push(part)
      missing -= part.length
      if (missing === 0) return Buffer.concat(chunks)
      if (!(await this.#more()) && this.#buffer.length === 0) return undefined
    }
  }

  async line(): Promise<string | undefined> {
    for (;;) {
      const end = this.#buffer.indexOf(10)
      if (end >= 0) {
        const line = this.#buffer.toString('utf8', 0, end)
        this.#buffer = this.#buffer.subarray(end + 1)
        return line
      }
      if (!(await this.#more()) && !this.#buffer.includes(10)) return undefined
    }
  }
}

/** Resolves to the exit code. `words` is what follows `scp`. */
export async function runScp(guest: Guest, channel: ServerChannel, context: ProcessContext, words: string): Promise<number> {
  const parts = [...words.matchAll(/'((?:[^']|'\\'')*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single?.replaceAll(`'\\''`, `'`) ?? double ?? bare ?? '',
  )
  const flags = parts.filter((part) => part.startsWith('-') && part !== '--').join('')
  const target = posix.resolve(context.account.home, parts.findLast((part) => !part.startsWith('-')) ?? '.')
  const reader = new Reader(channel)
  try {
    return flags.includes('t')
      ? await receive(guest, channel, reader, context, target, flags.includes('d'))
      : await send(guest, channel, reader, context, target, flags.includes('r'))
  } catch (error) {
    channel.write(`\x01scp: ${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  }
}

async function receive(
  guest: Guest,
  channel: ServerChannel,
  reader: Reader,
  { as }: ProcessContext,
  target: string,
  mustBeFolder: boolean,
): Promise<number> {
  const { vfs } = guest
  const isFolder = (path: string): boolean => vfs.exists(path, as) && vfs.lookup(path, as).kind === 'directory'
  if (mustBeFolder && !isFolder(target)) throw new Error(`${target}: No such file or directory`)
  const stack = [target]
  let failed = 0
  channel.write('\0')
  for (let line = await reader.line(); line !== undefined; line = await reader.line()) {
    const here = stack.at(-1) ?? target
    if (line.startsWith('E')) {
      stack.pop()
      channel.write('\0')
      continue
    }
    if (line.startsWith('T')) {
      channel.write('\0')
      continue
    }
    const [, kind, mode = '', size = '', name = ''] = /^([CD])([0-7]+) (\d+) (.+)$/.exec(line) ?? []
    if (kind === undefined) throw new Error(`protocol error: ${line}`)
    const path = isFolder(here) ? posix.join(here, posix.basename(name)) : here
    if (kind === 'D') {
      if (!vfs.exists(path, as)) vfs.mkdir(path, as, { mode: Number.parseInt(mode, 8) & 0o777 })
      stack.push(path)
      channel.write('\0')
      continue
    }
    channel.write('\0')
    const data = await reader.bytes(Number(size))
    if (data === undefined) return 1
    await reader.bytes(1)
    try {
      vfs.write(path, data, as, { mode: Number.parseInt(mode, 8) & 0o777 })
      channel.write('\0')
    } catch (error) {
      failed = 1
      channel.write(`\x01scp: ${path}: ${error instanceof Error ? error.message : String(error)}\n`)
    }
  }
  return failed
}

async function send(
  guest: Guest,
  channel: ServerChannel,
  reader: Reader,
  { as }: ProcessContext,
  source: string,
  recursive: boolean,
): Promise<number> {
  const { vfs } = guest
  const answered = async (): Promise<void> => {
    const reply = await reader.bytes(1)
    if (reply?.[0] !== 0) throw new Error('the receiver gave up')
  }
  const sendNode = async (path: string, node: Node): Promise<void> => {
    const name = posix.basename(path)
    const mode = (node.mode & 0o777).toString(8).padStart(4, '0')
    if (node.kind === 'directory') {
      if (!recursive) throw new Error(`${path}: not a regular file`)
      channel.write(`D${mode} 0 ${name}\n`)
      await answered()
      for (const child of [...vfs.readdir(path, as).entries.keys()].sort())
        await sendNode(`${path}/${child}`, vfs.lookup(`${path}/${child}`, as))
      channel.write('E\n')
      await answered()
      return
    }
    const data = vfs.read(path, as)
    channel.write(`C${mode} ${data.length} ${name}\n`)
    await answered()
    channel.write(data)
    channel.write('\0')
    await answered()
  }
  await answered()
  await sendNode(source, vfs.lookup(source, as))
  return 0
}
