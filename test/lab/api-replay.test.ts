/** The lab against recorded answers of the real Proxmox VE. */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startRig } from './api-rig.ts'

const project = resolve(import.meta.dirname, '../..')
const recorded = join(project, 'lab/recorded')
const readme = readFileSync(join(project, 'lab/README.md'), 'utf8')

/** Recordings by their area; those beside the clone count where it has none of the same. */
const areas = new Map<string, string>()
for (const folder of [resolve(project, '../shared/pve-golden/golden'), recorded])
  for (const name of existsSync(folder) ? readdirSync(folder) : [])
    if (name.endsWith('.jsonl')) areas.set(name.replace(/\.jsonl$/, ''), join(folder, name))

/** `| 05-config | feature-snapshot | reason |` */
const listed = new Set([...readme.matchAll(/^\| (\d\d-[\w-]+) \| ([\w-]+) \| .+ \|$/gm)].map((row) => `${row[1]} ${row[2]}`))

function compare(path: string, environment: Record<string, string>): Promise<{ output: string; ended: boolean }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(recorded, 'replay.mjs'), 'compare', path, '--json'],
      { env: { ...process.env, ...environment } },
      (_, output) => {
        resolve({ output, ended: /^\d+\/\d+ steps match$/m.test(output) })
      },
    )
  })
}

describe('recorded answers of Proxmox VE', () => {
  it('are there', () => {
    expect(readdirSync(recorded).filter((name) => name.endsWith('.jsonl'))).toHaveLength(9)
  })

  it.concurrent.each([...areas].sort())('%s', { timeout: 120000 }, async (file, path) => {
    const rig = await startRig({ forReplay: true })
    try {
      const { connection } = rig.lab
      const { output, ended } = await compare(path, { PVE_URL: connection.apiUrl, ...connection.replay })
      expect(ended, output).toBe(true)
      const differences = output
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as { step: string; diffs: string[] })
      expect(
        differences.filter(({ step }) => !listed.has(`${file} ${step}`)).map(({ step, diffs }) => `${step}: ${diffs.join(' | ')}`),
      ).toEqual([])
    } finally {
      await rig.close()
    }
  })
})
