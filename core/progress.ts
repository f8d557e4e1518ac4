/** How the rooms tell what they do. They never print: a renderer in scripts/ shows these events. */
export interface Progress {
  /**
   * A step that takes time. Resolves (or rejects) as `work` does; the renderer shows how long it took.
   * `note` says what is happening right now inside of it.
   */
  step<T>(title: string, work: (note: (text: string) => void) => Promise<T>): Promise<T>
  info(text: string): void
  /** Something that did not stop the verb but that the user has to know. */
  warn(text: string): void
}

/** Shows nothing. */
export const silent: Progress = { step: async (_title, work) => work(() => {}), info: () => {}, warn: () => {} }
