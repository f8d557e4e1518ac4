/** A process of its own for cache.test.ts: obtains an entry, and notes in the cache's root that it was the one that made it. */
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { obtain, type Entry } from '../../tools/cache.ts'

const [, , entry, how] = process.argv
const wanted = JSON.parse(entry ?? '') as Entry

await obtain(wanted, async () => {
  console.log('making')
  await appendFile(join(wanted.root, 'made-by'), `${process.pid}\n`)
  // Long enough for the other process to find the lock, or for ever.
  await delay(how === 'hang' ? 600_000 : 300)
  return {}
})
