/** Where people's clients find Serena. */

/** As a site, or a release's seed, says it. */
export interface PublicEntrance {
  readonly public: { readonly host: string; readonly httpsPort: number }
}

export type Transport = 'streamable-http' | 'sse'

/** The URL that people's clients use. */
export function publicUrl({ public: { host, httpsPort } }: PublicEntrance, path: string): string {
  return `https://${host}${httpsPort === 443 ? '' : `:${httpsPort}`}${path}`
}

export const pathOf = (transport: Transport): string => (transport === 'sse' ? '/sse' : '/mcp')
