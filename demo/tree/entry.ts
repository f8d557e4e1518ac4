/** One name of a file tree, as far as two bakes of the same inputs may agree in it: all but times and inode numbers. */
export interface Entry {
  readonly kind: 'file' | 'folder' | 'link' | 'device' | 'other'
  /** Permission bits and those of sticky, setgid, setuid. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Of a file its length and SHA-256, of a link where it leads, of a device its number. */
  readonly content: string
}

/** By absolute path, as a guest sees it. */
export type Tree = ReadonlyMap<string, Entry>
