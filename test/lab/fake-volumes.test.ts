import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { VolumeStore } from '../../lab/compute/driver.ts'
import { createVolumeStore, loadContent } from '../../lab/compute/fake/volumes.ts'

describe('volumes of fake guests', () => {
  let folder: string
  let volumes: VolumeStore
  const at = (name: string): string => join(folder, name)

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fake-volumes-'))
    volumes = createVolumeStore()
    await mkdir(at('100'))
    await mkdir(at('101'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  it('copies a real qcow2: its virtual size and what it was', async () => {
    const image = Buffer.alloc(512)
    image.write('QFI\xfb', 0, 'latin1')
    image.writeBigUInt64BE(3n << 30n, 24)
    await writeFile(at('debian.qcow2'), image)
    expect(await volumes.info(at('debian.qcow2'))).toMatchObject({ format: 'qcow2', virtualBytes: 3 * 2 ** 30 })
    const fractions: number[] = []
    await volumes.copy(at('debian.qcow2'), at('100/vm-100-disk-0.raw'), {
      format: 'raw',
      onProgress: (fraction) => fractions.push(fraction),
    })
    expect(await volumes.info(at('100/vm-100-disk-0.raw'))).toMatchObject({ format: 'raw', virtualBytes: 3 * 2 ** 30 })
    expect(loadContent(at('100/vm-100-disk-0.raw'))).toEqual({
      kind: 'image',
      sha256: createHash('sha256').update(image).digest('hex'),
      bytes: 512,
    })
    expect(fractions.at(-1)).toBe(1)
  })

  it('gives a raw file the size it has', async () => {
    await writeFile(at('disk.raw'), Buffer.alloc(1000))
    expect(await volumes.info(at('disk.raw'))).toMatchObject({ format: 'raw', virtualBytes: 1000 })
  })

  it('leaves nothing behind when a copy is stopped', async () => {
    await writeFile(at('big.raw'), Buffer.alloc(8 << 20))
    const stop = new AbortController()
    const copy = volumes.copy(at('big.raw'), at('100/disk.qcow2'), { format: 'qcow2', signal: stop.signal, onProgress: () => stop.abort() })
    await expect(copy).rejects.toThrow(/abort/)
    expect(await readdir(at('100'))).toEqual([])
    await expect(volumes.copy(at('absent.raw'), at('100/disk.qcow2'), { format: 'qcow2' })).rejects.toThrow(/absent\.raw/)
  })

  it('links a clone to its base by a relative path and follows the base when that is renamed', async () => {
    await volumes.create(at('100/vm-100-disk-0.qcow2'), { format: 'qcow2', bytes: 2 ** 30 })
    await volumes.rename(at('100/vm-100-disk-0.qcow2'), at('100/base-100-disk-0.qcow2'))
    await volumes.link(at('100/base-100-disk-0.qcow2'), at('101/vm-101-disk-0.qcow2'))
    expect(await volumes.info(at('101/vm-101-disk-0.qcow2'))).toMatchObject({
      virtualBytes: 2 ** 30,
      backing: at('100/base-100-disk-0.qcow2'),
    })
    await volumes.rename(at('100/base-100-disk-0.qcow2'), at('base.qcow2'), [at('101/vm-101-disk-0.qcow2')])
    expect(await volumes.info(at('101/vm-101-disk-0.qcow2'))).toMatchObject({ backing: at('base.qcow2') })
    await volumes.rename(at('101/vm-101-disk-0.qcow2'), at('moved.qcow2'))
    expect(await volumes.info(at('moved.qcow2'))).toMatchObject({ backing: at('base.qcow2') })
    expect(loadContent(at('moved.qcow2'))).toEqual({ kind: 'blank' })
  })

  it('grows and does not shrink', async () => {
    await volumes.create(at('disk.qcow2'), { format: 'qcow2', bytes: 100 })
    await volumes.resize(at('disk.qcow2'), 200)
    expect(await volumes.info(at('disk.qcow2'))).toMatchObject({ virtualBytes: 200 })
    await expect(volumes.resize(at('disk.qcow2'), 100)).rejects.toThrow(/shrinking/)
  })

  it('does not overwrite', async () => {
    await volumes.create(at('disk.qcow2'), { format: 'qcow2', bytes: 100 })
    await expect(volumes.create(at('disk.qcow2'), { format: 'qcow2', bytes: 100 })).rejects.toThrow(/exists already/)
    await volumes.remove(at('disk.qcow2'))
    await expect(volumes.info(at('disk.qcow2'))).rejects.toThrow(/cannot open/)
  })
})
