/** Programs of the product, which can't run in a fake guest, by the path that the image has them at. */
import type { Program } from '../shell.ts'

export const programFiles: Readonly<Record<string, Program>> = {}
