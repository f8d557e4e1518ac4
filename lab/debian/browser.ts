/**
 * A Debian root with a browser and fonts for English and Japanese: what is made for people to read is looked at in there.
 * Apart from the lab's other root, which has no use for them.
 */
import { DOCS } from './bootstrap.ts'
import { cachedRoot } from './root.ts'

/** Of 800 MB, and as long as the other one. */
export const { build: buildBrowser, path: browserPath } = cachedRoot('browser', {
  variant: 'minbase',
  packages: ['chromium', 'fonts-dejavu-core', 'fonts-ipafont-gothic'],
  exclude: [...DOCS, '/usr/share/doc/*'],
})
