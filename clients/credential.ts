/** How a configuration says who asks: the credential itself, or what stands for it. */

/** Clients that read their environment take the whole header's value from here. */
export const variable = 'SERENA_AUTHORIZATION'

/** What VS Code asks for, and keeps in the system's own store of passwords. */
export const promptId = 'serena-credentials'

/** No header may have such characters in it: whoever leaves it there gets an error of the client, and nothing is sent. */
export const placeholder = 'Basic ‹base64 of user:password›'

export const basic = (user: string, password: string): string => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

/** Whether a value that was found in a configuration lets somebody in, as opposed to what stands for one. */
export const isCredential = (value: unknown): boolean => typeof value === 'string' && /^(?:Basic|Bearer) [\w+/=.~-]+$/i.test(value)

/** For people: no credential is in it any more. */
export const withoutCredentials = (text: string, ...known: readonly (string | undefined)[]): string =>
  known
    .reduce<string>((left, one) => (one === undefined ? left : left.replaceAll(one, '‹hidden›')), text)
    .replaceAll(/\b(Basic|Bearer) [\w+/=.~-]{4,}/gi, '$1 ‹hidden›')
