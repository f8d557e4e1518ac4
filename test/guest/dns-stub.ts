/** As much of a name server as an ACME server, its client and a dynamic update (RFC 2136) ask of one: a zone in memory. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

export interface Zone {
  readonly apex: string
  readonly addresses: Record<string, string>
  /** By name, in lower case, without the last dot. */
  readonly texts: Record<string, string[]>
  /** What was asked to be changed, as words. */
  readonly updates: string[]
}

const types = { A: 1, SOA: 6, TXT: 16 } as const

/** A name, and where it ends. */
function nameAt(message: Buffer, start: number): [string, number] {
  const labels: string[] = []
  let end = 0
  for (let at = start; ; ) {
    const length = message[at] ?? 0
    if (length >= 0xc0) {
      end ||= at + 2
      at = message.readUInt16BE(at) & 0x3fff
    } else if (length === 0) return [labels.join('.').toLowerCase(), end || at + 1]
    else {
      labels.push(message.toString('latin1', at + 1, at + 1 + length))
      at += 1 + length
    }
  }
}

const encoded = (name: string): Buffer =>
  Buffer.concat([...name.split('.').map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1')), Buffer.of(0)])

function record(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12)
  head.writeUInt16BE(0xc00c, 0) // the name that was asked for
  head.writeUInt16BE(type, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(1, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

function answersTo(zone: Zone, name: string, type: number): Buffer[] {
  const address = zone.addresses[name]
  if (type === types.A && address !== undefined) return [record(type, Buffer.from(address.split('.').map(Number)))]
  if (type === types.TXT)
    return (zone.texts[name] ?? []).map((text) => record(type, Buffer.from(`${String.fromCharCode(text.length)}${text}`, 'latin1')))
  if (type === types.SOA && name === zone.apex)
    return [record(type, Buffer.concat([encoded(`ns.${zone.apex}`), encoded(`admin.${zone.apex}`), Buffer.alloc(20, 1)]))]
  return []
}

/** @returns the response */
function change(zone: Zone, message: Buffer): Buffer {
  let [, at] = nameAt(message, 12)
  at += 4
  for (let left = message.readUInt16BE(6) + message.readUInt16BE(8); left > 0; left--) {
    const [name, after] = nameAt(message, at)
    const [type, family, length] = [message.readUInt16BE(after), message.readUInt16BE(after + 2), message.readUInt16BE(after + 8)]
    const data = message.subarray(after + 10, after + 10 + length)
    at = after + 10 + length
    if (type !== types.TXT) continue
    const text = data.toString('latin1', 1)
    zone.updates.push(`${family === 1 ? 'add' : 'remove'} ${name}`)
    if (family === 1) zone.texts[name] = [...(zone.texts[name] ?? []), text]
    else zone.texts[name] = family === 255 ? [] : (zone.texts[name] ?? []).filter((one) => one !== text)
  }
  const reply = Buffer.alloc(12)
  message.copy(reply, 0, 0, 2)
  reply.writeUInt16BE(0xa800, 2)
  return reply
}

function reply(zone: Zone, message: Buffer): Buffer {
  if ((((message[2] ?? 0) >> 3) & 15) === 5) return change(zone, message)
  const [name, after] = nameAt(message, 12)
  const found = answersTo(zone, name, message.readUInt16BE(after))
  const head = Buffer.alloc(12)
  message.copy(head, 0, 0, 2)
  head.writeUInt16BE(0x8580, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(found.length, 6)
  return Buffer.concat([head, message.subarray(12, after + 4), ...found])
}

/** Listens until this program ends. */
export async function startDns(zone: Zone, address: string): Promise<void> {
  const socket = createSocket('udp4')
  socket.on('message', (message, from) => socket.send(reply(zone, message), from.port, from.address))
  socket.bind(53, address)
  // Over TCP each message has its length before it; those who ask here send one in one piece.
  const server = createServer((connection) => {
    connection.on('error', () => {})
    connection.on('data', (data) => {
      const answer = reply(zone, data.subarray(2))
      const length = Buffer.alloc(2)
      length.writeUInt16BE(answer.length)
      connection.end(Buffer.concat([length, answer]))
    })
  })
  server.listen(53, address)
  await Promise.all([once(socket, 'listening'), once(server, 'listening')])
}
