/**
 * Makes the recording of what guests are asked (demo/recording.json) anew. `npm run record`: the part of fake guests, by the
 * flow tests below. `npm run record -- FILE…`: the part of real ones, of what the labs of demos have noted (`lab/asked.jsonl`
 * in the folder of a demo that was kept).
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { readRecording } from '../../demo/recording.ts'
import type { Recorded } from '../../lab/record.ts'
import { shapesOf } from '../../lab/shape.ts'
import { add, adding, noShapes, writeRecording } from './recording.ts'

const flows = ['test/packer/bake.test.ts', 'test/flow/path.test.ts', 'test/flow/one-vm.test.ts']
const project = resolve(import.meta.dirname, '../..')

const files = process.argv.slice(2)
if (files.length > 0) {
  writeRecording({ ...readRecording(), demo: noShapes })
  for (const file of files) {
    const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
    add('demo', shapesOf(lines.map((line) => JSON.parse(line) as Recorded)))
  }
} else {
  const before = readRecording()
  writeRecording({ ...before, flows: noShapes })
  // One after another: each adds to the one file.
  const { status } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', '--no-file-parallelism', ...flows], {
    cwd: project,
    env: { ...process.env, [adding]: '1' },
    stdio: 'inherit',
  })
  // Half a recording would be as good as a whole one for nobody.
  if (status !== 0) writeRecording(before)
  process.exitCode = status ?? 1
}
