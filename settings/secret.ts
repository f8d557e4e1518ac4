/** Where a secret of the site comes from. The site file only ever holds the reference, never the secret. */
export type SecretRef =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'command'; readonly command: [string, ...string[]] }

/** The content of a file, without its last newline. A relative path is meant from the site folder. */
export const fromFile = (path: string): SecretRef => ({ kind: 'file', path })

/** An environment variable of the verb that needs the secret. */
export const fromEnv = (name: string): SecretRef => ({ kind: 'env', name })

/**
 * What a program prints, without its last newline: `fromCommand('pass', 'show', 'serena/token')`,
 * `fromCommand('op', 'read', 'op://…')`, `fromCommand('sops', '-d', '--extract', '["token"]', 'secrets.yaml')`.
 * It runs in the site folder, without a shell.
 */
export const fromCommand = (...command: [string, ...string[]]): SecretRef => ({ kind: 'command', command })
