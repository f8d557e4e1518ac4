/**
 * A real browser without a window, out of the lab's Debian root for it, in a network of its own that leads nowhere. It is told
 * what to do by the DevTools protocol over two pipes, where messages end with a zero byte.
 */
import type { Readable, Writable } from 'node:stream'
import { once } from 'node:events'
import { spawnInRoot, type Root } from '../../lab/debian/root.ts'

export interface Shown {
  /** Runs in the page. */
  evaluate<T>(expression: string): Promise<T>
  /** Fonts that the letters of an element, and of all that is in it, come from. */
  fontsOf(selector: string): Promise<string[]>
  /** As PNG, the whole page. */
  picture(): Promise<Buffer>
  /** What it wanted to load besides itself. */
  readonly requests: readonly string[]
  /** Errors, warnings and other words that came out of it. */
  readonly words: readonly string[]
}

export interface Screen {
  readonly width: number
  readonly height: number
  /** A phone: its meta viewport counts. */
  readonly isPhone: boolean
  readonly isDark?: boolean
}

export interface Browser {
  /** @param file HTML, of this computer */
  show(screen: Screen): Promise<Shown>
  close(): Promise<void>
}

interface Message {
  readonly id?: number
  readonly method?: string
  readonly sessionId?: string
  readonly params?: Record<string, any>
  readonly result?: any
  readonly error?: { readonly message: string }
}

const place = '/page.html'

/** @param file the page that it is to show */
export async function openBrowser(root: Root, file: string): Promise<Browser> {
  const child = spawnInRoot(
    root,
    [
      '/usr/lib/chromium/chromium',
      '--headless=new',
      // All that it gets to see is ours, and it has its own root and network.
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--hide-scrollbars',
      '--user-data-dir=/tmp/profile',
      '--remote-debugging-pipe',
    ],
    { enter: ['unshare', '--net', '--'], binds: [{ from: file, to: place }], stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] },
  )
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const ended = once(child, 'close')
  const [write, read] = [child.stdio[3] as Writable, child.stdio[4] as Readable]
  write.on('error', () => {})
  const waiting = new Map<number, PromiseWithResolvers<any>>()
  const listeners = new Set<(message: Message) => void>()
  let rest = ''
  read.setEncoding('utf8').on('data', (text: string) => {
    const messages = `${rest}${text}`.split('\0')
    rest = messages.pop() ?? ''
    for (const one of messages) {
      const message = JSON.parse(one) as Message
      const asked = waiting.get(message.id ?? -1)
      if (asked === undefined) for (const listen of listeners) listen(message)
      else if (message.error === undefined) asked.resolve(message.result)
      else asked.reject(new Error(message.error.message))
    }
  })
  void ended.then(() => {
    for (const { reject } of waiting.values()) reject(new Error(`the browser has ended: ${said.slice(-2000)}`))
  })
  let last = 0
  const ask = async (method: string, params: object = {}, sessionId?: string): Promise<any> => {
    last += 1
    const asked = Promise.withResolvers<any>()
    waiting.set(last, asked)
    write.write(`${JSON.stringify({ id: last, method, params, ...(sessionId === undefined ? {} : { sessionId }) })}\0`)
    return asked.promise
  }

  async function show({ width, height, isPhone, isDark = false }: Screen): Promise<Shown> {
    const { targetId } = await ask('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await ask('Target.attachToTarget', { targetId, flatten: true })
    const tell = (method: string, params?: object): Promise<any> => ask(method, params, sessionId)
    const requests: string[] = []
    const words: string[] = []
    const loaded = Promise.withResolvers<void>()
    listeners.add(({ method, params, sessionId: from }) => {
      if (from !== sessionId) return
      if (method === 'Page.loadEventFired') loaded.resolve()
      if (method === 'Network.requestWillBeSent' && params?.request.url !== `file://${place}`) requests.push(params?.request.url)
      if (method === 'Log.entryAdded') words.push(`${params?.entry.level}: ${params?.entry.text}`)
      if (method === 'Runtime.consoleAPICalled' || method === 'Runtime.exceptionThrown') words.push(JSON.stringify(params))
    })
    for (const domain of ['Page', 'Network', 'Log', 'Runtime', 'DOM', 'CSS']) await tell(`${domain}.enable`)
    await tell('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: isPhone ? 2 : 1, mobile: isPhone })
    await tell('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: isDark ? 'dark' : 'light' }] })
    await tell('Page.navigate', { url: `file://${place}` })
    await loaded.promise
    const evaluate = async <T>(expression: string): Promise<T> => {
      const { result, exceptionDetails } = await tell('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true })
      if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
      return result.value as T
    }
    return {
      evaluate,
      fontsOf: async (selector) => {
        const { root: document } = await tell('DOM.getDocument', { depth: -1 })
        const { nodeIds } = await tell('DOM.querySelectorAll', { nodeId: document.nodeId, selector: `${selector}, ${selector} *` })
        const fonts = new Set<string>()
        for (const nodeId of nodeIds as number[])
          for (const { familyName } of (await tell('CSS.getPlatformFontsForNode', { nodeId })).fonts) fonts.add(familyName)
        return [...fonts].sort()
      },
      picture: async () => {
        const whole = await evaluate<number>('document.documentElement.scrollHeight')
        const clip = { x: 0, y: 0, width, height: whole, scale: 1 }
        const { data } = await tell('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, clip })
        return Buffer.from(data, 'base64')
      },
      requests,
      words,
    }
  }

  return {
    show,
    close: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}
