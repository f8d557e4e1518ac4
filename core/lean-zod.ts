/**
 * Zod loads what it has to say in 50 languages whenever it is loaded: more files than it has otherwise, and about as much
 * of the processor. It speaks English here, for which it needs none of them.
 */
import { registerHooks } from 'node:module'

/** To be called once, before anything that imports Zod is loaded. */
export async function loadLeanZod(): Promise<void> {
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      specifier === '../locales/index.js' ? { url: 'data:text/javascript,export {}', shortCircuit: true } : next(specifier, context),
  })
  try {
    const { config } = await import('zod')
    // It would compile a program for each object that it checks, which pays from the hundredth check on; here each is one or two.
    config({ jitless: true })
  } finally {
    // Whatever is loaded after this does not go through the hook.
    hooks.deregister()
  }
}
