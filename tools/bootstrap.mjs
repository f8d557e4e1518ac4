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
  if (!existsSync(join(root, record))) return false
  const installed = packagesOf(record)
  return Object.entries(packagesOf('package-lock.json')).every(([folder, wanted]) => {
    const found = installed[folder]
    if (folder === '') return true
    if (found === undefined) return wanted.optional === true || wanted.devOptional === true
    // The record has the version as the package writes it, so sometimes with a v, and then no checksum.
    return found.version?.replace(/^v/, '') === wanted.version && (found.integrity ?? wanted.integrity) === wanted.integrity
  })
}

/**
 * Made by install scripts, which npm's setting ignore-scripts leaves out, and which may have been stopped: the pinned
 * Node, and what is generated from the provider's schema.
 */
const made = ['node_modules/node/bin/node', 'stacks/bindings']

/** Packages whose install scripts this project needs. Those of no other are run for anybody who has turned them off. */
const withScripts = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).allowScripts ?? {})

const isThere = (path) => existsSync(join(root, path))

function npm(title, args) {
  const run = spawnSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, stdio: ['ignore', 2, 2] })
  if (run.status === 0) return
  console.error(`setup: "npm ${title}" failed (${run.error?.message ?? `exit code ${run.status}`}). Run it by hand in ${root} to see why.`)
  process.exit(1)
}

const hasPackages = isInstalled()
if (!hasPackages || !made.every(isThere)) {
  const began = Date.now()
  if (!hasPackages) {
    console.error('setup: installing npm packages (npm ci) …')
    npm('ci', ['ci', '--include=dev'])
  }
  if (!made.every(isThere)) {
    console.error(`setup: running the install scripts that this project needs (${withScripts.join(', ')}) …`)
    npm(`rebuild --ignore-scripts=false ${withScripts.join(' ')}`, ['rebuild', '--ignore-scripts=false', ...withScripts])
    const generated = spawnSync(join(root, 'node_modules/node/bin/node'), ['stacks/generate.ts'], { cwd: root, stdio: ['ignore', 2, 2] })
    if (generated.status !== 0) {
      console.error(
        `setup: "node_modules/node/bin/node stacks/generate.ts" failed (${generated.error?.message ?? `exit code ${generated.status}`}). Run it by hand in ${root} to see why.`,
      )
      process.exit(1)
    }
  }
  console.error(`setup: npm packages installed in ${Math.round((Date.now() - began) / 1000)} s`)
}
