import type { Duplex } from 'node:stream'

const longest = 64 * 1024

/** The first line of a stream, without its end; what follows stays unread in the stream. Rejects when the stream ends before. */
export async function readLine(stream: Duplex): Promise<string> {
  return await new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const finish = (settle: () => void) => {
      stream.off('readable', onReadable)
      stream.off('end', onEnd)
      stream.off('close', onEnd)
      stream.off('error', onError)
      settle()
    }
    const onEnd = () => finish(() => reject(new Error('the connection ended before its first line')))
    const onError = (error: Error) => finish(() => reject(error))
    const onReadable = () => {
      for (let chunk = stream.read() as Buffer | null; chunk !== null; chunk = stream.read() as Buffer | null) {
        const end = chunk.indexOf(10)
        if (end >= 0) {
          chunks.push(chunk.subarray(0, end))
          const rest = chunk.subarray(end + 1)
          return finish(() => {
            if (rest.length > 0) stream.unshift(rest)
            resolve(Buffer.concat(chunks).toString('utf8'))
          })
        }
        chunks.push(chunk)
        if (chunks.reduce((sum, part) => sum + part.length, 0) > longest)
          return finish(() => reject(new Error('the first line does not end')))
      }
    }
    stream.on('readable', onReadable)
    stream.on('end', onEnd)
    stream.on('close', onEnd)
    stream.on('error', onError)
  })
}
