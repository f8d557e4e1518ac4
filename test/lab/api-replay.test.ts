/** The lab against recorded answers of the real Proxmox VE. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { startRig } from './api-rig.ts'

const golden = fileURLToPath(new URL('../../../shared/pve-golden/', import.meta.url))
const missing = !existsSync(golden)
const readme = readFileSync(fileURLToPath(new URL('../../lab/README.md', import.meta.url)), 'utf8')

/** `| 05-config | feature-snapshot | reason |` */
const listed = new Set([...readme.matchAll(/^\| (\d\d-[\w-]+) \| ([\w-]+) \| .+ \|$/gm)].map((row) => `${row[1]} ${row[2]}`))

function compare(file: string, environment: Record<string, string>): Promise<{ output: string; ended: boolean }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [`${golden}replay.mjs`, 'compare', `${golden}golden/${file}.jsonl`, '--json'],
      { env: { ...process.env, ...environment } },
      (_, output) => {
        resolve({ output, ended: /^\d+\/\d+ steps match$/m.test(output) })
      },
    )
  })
}

describe.skipIf(missing)('recorded answers of Proxmox VE (needs ../shared/pve-golden)', () => {
  const files = [
    '01-auth',
    '05-config',
    '06-clone',
    '07-template',
    '08-disk',
    '10-power',
    '13-tasks',
    '22-packer-flow',
    '23-vault-handover',
  ]
  it.concurrent.each(files)('%s', { timeout: 120000 }, async (file) => {
    const rig = await startRig({ forReplay: true })
    try {
      const { connection } = rig.lab
      const { output, ended } = await compare(file, { PVE_URL: connection.apiUrl, ...connection.replay })
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
