/** The same with a Terraform that is on PATH, as a site may ask for. */
import { spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { deploy } from '../../rollout/deploy.ts'
import { destroy } from '../../rollout/destroy.ts'
import { readStatus } from '../../rollout/status.ts'
import { toolEnvironment } from '../../tools/index.ts'
import { startRolloutLab } from './lab.ts'

const [major = 0, minor = 0] = /^Terraform v(\d+)\.(\d+)/.exec(spawnSync('terraform', ['version'], { encoding: 'utf8', env: { ...process.env, CHECKPOINT_DISABLE: '1' } }).stdout ?? '')?.slice(1).map(Number) ?? []

test.skipIf(major < 1 || (major === 1 && minor < 8))('Terraform plans, applies and destroys the stacks too (needs Terraform 1.8 or later on PATH)', async () => {
  const t = await startRolloutLab(await toolEnvironment({ engine: 'terraform' }), 'one-vm')
  try {
    await t.addImage(9001)
    const site = { ...t.site, engine: 'terraform' as const }
    await writeFile(join(t.folder, 'site.ts'), `export default ${JSON.stringify(site)}\n`)
    expect(await deploy(t.options({ site }))).toMatchObject([{ group: 'all', outcome: 'deployed' }])
    expect((await readStatus(t.options({ site }))).healthy).toBe(true)
    expect(await deploy(t.options({ site }))).toMatchObject([{ outcome: 'unchanged' }])
    expect(await destroy(t.options({ site }))).toMatchObject([{ outcome: 'destroyed', data: { depot: 9010 } }])
  } finally {
    await t.close()
  }
})
