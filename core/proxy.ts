/**
 * The proxy for a URL by HTTPS_PROXY, HTTP_PROXY and NO_PROXY, read as Go's programs read them (golang.org/x/net's
 * http/httpproxy): the engine and Packer are such, and all have to go the same way. IPv6 addresses included, which
 * readers that split at the last colon take for a port.
 */
import { BlockList, isIP } from 'node:net'

/** The host of a URL, an IPv6 address without its brackets. */
export const hostOf = (url: string | URL): string => new URL(url).hostname.replace(/^\[|\]$/g, '')

const defaultPorts: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' }

/** Of several names of one thing the first that has something in it. */
const value = (env: NodeJS.ProcessEnv, ...names: string[]): string =>
  names.map((name) => env[name]?.trim()).find((text) => text !== undefined && text !== '') ?? ''

/** @returns what NO_PROXY has to say for this host to be reached directly, besides those of `env` */
export const directTo = (host: string, env: NodeJS.ProcessEnv): string =>
  [value(env, 'NO_PROXY', 'no_proxy'), host].filter((text) => text !== '').join(',')

/** @returns the proxy's URL, or undefined when the way is direct. @throws Error for a proxy that is no URL */
export function proxyFor(url: string | URL, env: NodeJS.ProcessEnv): string | undefined {
  const { protocol, port } = new URL(url)
  const proxy = protocol === 'https:' ? value(env, 'HTTPS_PROXY', 'https_proxy') : value(env, 'HTTP_PROXY', 'http_proxy')
  if (proxy === '' || isDirect(hostOf(url).toLowerCase(), port || (defaultPorts[protocol] ?? ''), value(env, 'NO_PROXY', 'no_proxy')))
    return undefined
  // A bare HOST:PORT is an HTTP proxy's.
  const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(proxy) ? proxy : `http://${proxy}`
  if (!URL.canParse(full) || !/^https?:$/.test(new URL(full).protocol))
    throw new Error(`${protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'} is no http:// or https:// address of a proxy`)
  return full
}

function isDirect(host: string, port: string, list: string): boolean {
  const family = isIP(host)
  // Go sends nothing for this computer itself to a proxy.
  if (host === 'localhost' || (family === 4 && host.startsWith('127.')) || host === '::1') return true
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true
      const [, network, bits] = /^\[?([0-9a-f.:]+)\]?\/(\d{1,3})$/i.exec(entry) ?? []
      if (network !== undefined && bits !== undefined) return contains(network, Number(bits), host)
      const [name, only] = withPort(entry.toLowerCase())
      if (only !== undefined && only !== port) return false
      if (isIP(name) !== 0) return family !== 0 && contains(name, isIP(name) === 4 ? 32 : 128, host)
      const domain = name.replace(/^\*?\./, '')
      // `.example.org` means what is below it; `example.org` that, too.
      return host.endsWith(`.${domain}`) || (host === domain && !/^\*?\./.test(name))
    })
}

/** `HOST`, `HOST:PORT`, an IPv6 address bare or in brackets. */
function withPort(entry: string): [name: string, port: string | undefined] {
  if (isIP(entry) === 6) return [entry, undefined]
  const [, name = entry, port] = /^\[?([^\]]*?)\]?(?::(\d+))?$/.exec(entry) ?? []
  return [name, port]
}

function contains(network: string, bits: number, host: string): boolean {
  const family = isIP(network)
  if (family === 0 || isIP(host) !== family || bits > (family === 4 ? 32 : 128)) return false
  const type = family === 4 ? 'ipv4' : 'ipv6'
  const list = new BlockList()
  list.addSubnet(network, bits, type)
  return list.check(host, type)
}
