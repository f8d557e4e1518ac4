import { expect, it } from 'vitest'
import { guestFiles, isStray } from '../../images/stage.ts'

it("leaves out what editors and file managers put next to the image's files", () => {
  for (const name of [
    '.DS_Store',
    '.seed.ts.swp',
    '.#seed.ts',
    '#seed.ts#',
    'seed.ts~',
    'nginx.conf.bak',
    'nginx.conf.orig',
    '._seed.ts',
    'Thumbs.db',
  ])
    expect(isStray(name), name).toBe(true)
})

it("leaves out nothing of the image's own", async () => {
  const files = await guestFiles()
  expect(files.length).toBeGreaterThan(20)
  for (const name of ['seed.ts', '10-golden.preset', 'slotctl', 'docker.service.d', 'promtail@.yaml'])
    expect(isStray(name), name).toBe(false)
})
