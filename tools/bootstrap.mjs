// Makes a clone ready: runs `npm ci` when what is in node_modules is not what the lock file says.
// Plain JavaScript, because the system's own Node (20 or newer) runs it before the pinned Node is there.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

const packagesOf = (file) => JSON.parse(readFileSync(join(root, file), 'utf8')).packages

/**
 * npm keeps a record of what it has put into node_modules, whoever called it. Optional packages of other platforms are
 * not in it. Where a package came from doesn't matter, nor do packages beyond those of the lock file.
 */
function isInstalled() {
  const record = 'node_modules/.package-lock.json'
  // The last two are made by install scripts, which may have been stopped, or left out.
  if (![record, 'node_modules/node/bin/node', 'stacks/bindings'].every((path) => existsSync(join(root, path)))) return false
  const installed = packagesOf(record)
  return Object.entries(packagesOf('package-lock.json')).every(([folder, wanted]) => {
    const found = installed[folder]
    if (folder === '') return true
    if (found === undefined) return wanted.optional === true || wanted.devOptional === true
    // The record has the version as the package writes it, so sometimes with a v, and then no checksum.
    return found.version?.replace(/^v/, '') === wanted.version && (found.integrity ?? wanted.integrity) === wanted.integrity
  })
}

if (!isInstalled()) {
  const began = Date.now()
  console.error('setup: installing npm packages (npm ci) …')
  const run = spawnSync('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, stdio: ['ignore', 2, 2] })
  if (run.status !== 0) {
    console.error(`setup: "npm ci" failed (${run.error?.message ?? `exit code ${run.status}`}). Run it by hand in ${root} to see why.`)
    process.exit(1)
  }
  console.error(`setup: npm packages installed in ${Math.round((Date.now() - began) / 1000)} s`)
}
