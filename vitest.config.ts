import { resolve } from 'node:path'
import { defineConfig } from 'vitest/config'
import { compileCacheFolder } from './core/compile-cache.ts'

// Most of the start of a process is compiling.
const compiled = compileCacheFolder(process.env)
if (compiled !== undefined) process.env.NODE_COMPILE_CACHE ??= compiled

/**
 * Files that only ask functions, or servers of their own: they share a process, and with it the modules that nearly all of
 * them import. What changes the process (signals, limits, its folder) is not among them.
 */
const shared = ['core', 'settings', 'releases', 'clients', 'images', 'proxmox', 'scripts', 'nightly'].map(
  (room) => `test/${room}/**/*.test.ts`,
)
const all = ['test/**/*.test.ts']

export default defineConfig({
  // Site folders outside of the clone import the project by its name; settings/load.ts does this outside of tests.
  resolve: { alias: { 'serena-golden': resolve(import.meta.dirname, 'settings/index.ts') } },
  test: {
    projects: [
      { extends: true, test: { name: 'shared', include: shared, isolate: false } },
      { extends: true, test: { name: 'alone', include: all, exclude: shared } },
    ],
    // Two cores on the machines that CI runs on; the flow tests start programs of their own.
    maxWorkers: 2,
    // Several times what the longest takes: a slow machine is no failure.
    testTimeout: 480_000,
    hookTimeout: 480_000,
  },
})
