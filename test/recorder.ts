import type { Progress } from '../core/progress.ts'

/** A renderer that writes everything down, in order. */
export function recorder(): { readonly shown: string[]; readonly progress: Progress } {
  const shown: string[] = []
  return {
    shown,
    progress: {
      step: async (title, run) => {
        shown.push(title)
        return run((note) => {
          shown.push(`  ${note}`)
        })
      },
      info: (text) => {
        shown.push(text)
      },
      warn: (text) => {
        shown.push(`warning: ${text}`)
      },
    },
  }
}
