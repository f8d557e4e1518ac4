// Makes a clone ready: runs `npm ci` when node_modules is missing or older than the lock file.
// Plain JavaScript, because the system's own Node (20 or newer) runs it before the pinned Node is there.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const stamp = join(root, 'node_modules', '.installed-from')
const lock = createHash('sha256').update(readFileSync(join(root, 'package-lock.json'))).digest('hex')
const installed = existsSync(stamp) ? readFileSync(stamp, 'utf8') : ''

if (installed !== lock) {
  const began = Date.now()
  console.error('setup: installing npm packages (npm ci) …')
  const run = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, stdio: ['ignore', 2, 2] })
  if (run.status !== 0) {
    console.error(`setup: "npm ci" failed (${run.error?.message ?? `exit code ${run.status}`}). Run it by hand in ${root} to see why.`)
    process.exit(1)
  }
  writeFileSync(stamp, lock)
  console.error(`setup: npm packages installed in ${Math.round((Date.now() - began) / 1000)} s`)
}
