/** The whole bake with real Packer against a lab with fake guests. */
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listImages } from '../../images/catalog.ts'
import { newestCandidate } from '../../images/channels.ts'
import { parseRecord } from '../../images/record.ts'
import { bake } from '../../packer/bake.ts'
import { startTestLab, testLock, type TestLab } from './lab.ts'

let test: TestLab
beforeAll(async () => { test = await startTestLab() }, 900_000)
afterAll(() => test.close())

describe('golden bake', () => {
  it('makes a template', async () => {
    const { outcome, template } = await bake(test.bakeOptions()).catch((error) => { console.log(test.shown.join('\n')); throw error })
    console.log(test.shown.join('\n'))
    expect(outcome).toBe('baked')
    console.log(await test.proxmox.get(`/nodes/pve/qemu/${template.vmid}/config`))
  }, 300_000)
})
