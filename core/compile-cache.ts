/** Where Node keeps what it has compiled of this project and its packages (node:module, enableCompileCache): goes with them. */
import { join } from 'node:path'

export const compileCacheFolder = join(import.meta.dirname, '../node_modules/.cache/golden')
