import { resolve } from 'node:path'
import { defineConfig } from 'vitest/config'
import { compileCacheFolder } from './core/compile-cache.ts'

// Each file has a process of its own, and most of its start is compiling.
const compiled = compileCacheFolder(process.env)
if (compiled !== undefined) process.env.NODE_COMPILE_CACHE ??= compiled

export default defineConfig({
  // Site folders outside of the clone import the project by its name; settings/load.ts does this outside of tests.
  resolve: { alias: { 'serena-golden': resolve(import.meta.dirname, 'settings/index.ts') } },
  test: {
    include: ['test/**/*.test.ts'],
    // Two cores on the machines that CI runs on; the flow tests start programs of their own.
    maxWorkers: 2,
    // Several times what the longest takes: a slow machine is no failure.
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
})
