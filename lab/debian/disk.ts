/**
 * A bootable raw disk from a Debian root, without loop device, mount or GRUB's own installer (which needs a device):
 * GPT with a BIOS boot partition and one ext4 partition.
 */
import { open, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { command, confined } from './command.ts'
import { DebianFailure } from './failure.ts'
import { EPOCH } from './settings.ts'

const SECTOR = 512
const MIB = 1024 * 1024

/** Where the BIOS boot partition begins, in sectors, and how long it is: as in Debian's cloud images before the root. */
const BIOS_BOOT = { start: 2048, sectors: 6144 }
const ROOT_START = 8192

export interface DiskOptions {
  /** Folder with the root; in /boot/grub/i386-pc it has boot.img and core.img of grub-mkimage. */
  readonly tree: string
  /** The raw image to make, sparse. */
  readonly file: string
  readonly mebibytes: number
  /** UUID of the file system; the identifiers of disk and partitions are made from it. */
  readonly uuid: string
  readonly signal?: AbortSignal | undefined
}

export async function makeDisk({ tree, file, mebibytes, uuid, signal }: DiskOptions): Promise<void> {
  await writeFile(file, '')
  await truncate(file, mebibytes * MIB)
  const sibling = (digit: string) => uuid.slice(0, -1) + digit
  // The root is partition 1 and the last on the disk, so that growpart can make it larger.
  await command(['sfdisk', '--quiet', '--no-reread', '--no-tell-kernel', file], {
    input: [
      'label: gpt',
      `label-id: ${sibling('a')}`,
      'first-lba: 34',
      '',
      `1 : start=${ROOT_START}, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=${sibling('b')}, name=root`,
      `14 : start=${BIOS_BOOT.start}, size=${BIOS_BOOT.sectors}, type=21686148-6449-6E6F-744E-656564454649, uuid=${sibling('c')}, name=bios`,
      '',
    ].join('\n'),
    signal,
  })
  // sfdisk leaves the backup table and its alignment at the end: one MiB less for the file system.
  const offset = ROOT_START * SECTOR
  const blocks = (mebibytes * MIB - offset - MIB) / 4096
  await command(
    [
      ...confined,
      'mke2fs',
      '-q',
      '-F',
      '-t',
      'ext4',
      '-b',
      '4096',
      '-L',
      'root',
      '-U',
      uuid,
      // The features that every e2fsprogs since 1.45 and GRUB 2.12 know, whatever this host's mke2fs.conf says.
      '-O',
      'none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum',
      '-E',
      `offset=${offset},hash_seed=${sibling('d')},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard`,
      '-d',
      tree,
      file,
      String(blocks),
    ],
    { env: { SOURCE_DATE_EPOCH: String(EPOCH), E2FSPROGS_FAKE_TIME: String(EPOCH) }, signal },
  )
  const grub = join(tree, 'boot/grub/i386-pc')
  const { boot, core } = embedGrub(await readFile(join(grub, 'boot.img')), await readFile(join(grub, 'core.img')), BIOS_BOOT)
  const disk = await open(file, 'r+')
  try {
    await disk.write(boot, 0, 440, 0) // the rest of the sector is the protective partition table
    await disk.write(core, 0, core.length, BIOS_BOOT.start * SECTOR)
  } finally {
    await disk.close()
  }
}

/**
 * Does what grub-bios-setup does for a core image in one piece in a BIOS boot partition. Offsets: GRUB's
 * include/grub/i386/pc/boot.h (kernel sector 0x5c, boot drive 0x64, drive check 0x66) and the block list in the last
 * 12 bytes of the core's first sector (start: 8 bytes, sectors: 2, segment: 2).
 */
export function embedGrub(
  bootImage: Buffer,
  coreImage: Buffer,
  partition: { start: number; sectors: number },
): { boot: Buffer; core: Buffer } {
  const boot = Buffer.from(bootImage)
  const sectors = Math.ceil(coreImage.length / SECTOR)
  const core = Buffer.alloc(sectors * SECTOR)
  coreImage.copy(core)
  const list = SECTOR - 12
  const familiar =
    boot.length === SECTOR &&
    boot.readBigUInt64LE(0x5c) === 1n &&
    boot[0x64] === 0xff &&
    core.readBigUInt64LE(list) === 2n &&
    core.readUInt16LE(list + 8) === sectors - 1 &&
    core.readUInt16LE(list + 10) === 0x820
  if (!familiar || sectors > partition.sectors) {
    throw new DebianFailure(
      'build-failed',
      "GRUB's boot.img or core.img is not laid out as that of GRUB 2.12",
      'lab/debian/disk.ts has to learn about this version of GRUB',
    )
  }
  boot.writeBigUInt64LE(BigInt(partition.start), 0x5c)
  boot.writeUInt16LE(0x9090, 0x66) // a hard disk: take the drive number from the BIOS only if it is one of a hard disk
  core.writeBigUInt64LE(BigInt(partition.start + 1), list)
  return { boot, core }
}
