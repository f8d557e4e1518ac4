/** What a site file imports: `import { defineSite, fromFile } from 'serena-golden'`. */
export { acme } from './acme.ts'
export { defineSite, type SiteInput } from './site.ts'
export { fromCommand, fromEnv, fromFile } from './secret.ts'
