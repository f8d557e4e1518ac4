/**
 * What is never the same in two bakes of the same inputs, and why: the closed list of docs/reproducible.md. Whatever else
 * differs is a fault.
 */
import type { Reason } from './compare.ts'

const id = '[0-9a-f]{64}'

export const reasons: readonly Reason[] = [
  { paths: /^\/etc\/golden\/image\.json$/, why: "the image's own record: when it was baked, and the digests of what says so" },
  { paths: /^\/usr\/share\/golden\/sbom\.cdx\.json$/, why: 'the SBOM: when it was made' },
  { paths: /^\/var\/cache\/ldconfig\/aux-cache$/, why: "ldconfig's cache: inode numbers and times of the libraries" },
  {
    paths: /^\/var\/lib\/containerd\/io\.containerd\.metadata\.v1\.bolt\/meta\.db$/,
    why: "containerd's database: times, and the order of its pages",
  },
  { paths: /^\/var\/lib\/docker\/network\/files\/local-kv\.db$/, why: "Docker's own networks (bridge, host, none): random ids and times" },
  {
    paths: new RegExp(
      `^/var/lib/docker/(overlay2/(l/[A-Z0-9]{26}|\\{[0-9a-f]{12}\\}/(link|lower))|image/overlay2/layerdb/sha256/${id}/cache-id)$`,
    ),
    why: 'random names that Docker gives to the folders of layers; what is in them is the same',
  },
]
