/** Which programs a test lacks here, for the name that it is skipped by. */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export const missingPrograms = (names: readonly string[]): string[] =>
  names.filter(
    (name) =>
      !(process.env.PATH ?? '').split(delimiter).some((folder) => {
        try {
          accessSync(join(folder, name), constants.X_OK)
          return true
        } catch {
          return false
        }
      }),
  )
