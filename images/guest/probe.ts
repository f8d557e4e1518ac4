/** Asks a container over HTTP whether it works. */
import { request } from 'node:http'

/** True when `url` (behind `socketPath`, where there is one) answers with a status below 500 within `timeoutMs`. */
export function answers(url: string, timeoutMs = 5000, socketPath?: string): Promise<boolean> {
  return new Promise((resolve) => {
    const sent = request(url, { agent: false, timeout: timeoutMs, ...(socketPath === undefined ? {} : { socketPath }) }, (response) => {
      response.resume()
      resolve((response.statusCode ?? 500) < 500)
      sent.destroy()
    })
    sent.on('timeout', () => sent.destroy(new Error('timeout')))
    sent.on('error', () => resolve(false))
    sent.end()
  })
}

/** An answer that is none of what was asked for. */
export class BadStatus extends Error {
  readonly status: number
  constructor(status: number, said: string) {
    super(`status ${status}: ${said.trim()}`)
    this.status = status
  }
}

/** Posts JSON; an error says what came instead of a status below 300. */
export function post(url: string, body: string, timeoutMs = 10_000): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      { agent: false, method: 'POST', headers: { 'content-type': 'application/json' }, timeout: timeoutMs },
      (response) => {
        let said = ''
        response.setEncoding('utf8')
        response.on('data', (part: string) => (said += part))
        response.on('error', reject)
        response.on('end', () => ((response.statusCode ?? 500) < 300 ? resolve() : reject(new BadStatus(response.statusCode ?? 500, said))))
      },
    )
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
    sent.on('error', reject)
    sent.end(body)
  })
}

/** The body of an answer with status 200, or an error that says what came instead. */
export function fetchText(url: string, timeoutMs = 30_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent: false, timeout: timeoutMs }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => (body += part))
      response.on('error', reject)
      response.on('end', () => (response.statusCode === 200 ? resolve(body) : reject(new BadStatus(response.statusCode ?? 500, body))))
    })
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
    sent.on('error', reject)
    sent.end()
  })
}
