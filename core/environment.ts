/**
 * Which of the caller's variables programs that we start may see: those that say where things are, who is asking, and
 * the way to the internet. What a shell happens to have set for other work (TF_WORKSPACE, NODE_OPTIONS, GIT_DIR, …)
 * would decide what they do, and secrets are not theirs to know.
 */

const kept =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|TMPDIR|CI|NO_COLOR|XDG_(CACHE|CONFIG|DATA|STATE)_HOME|XDG_RUNTIME_DIR|SSL_CERT_(FILE|DIR)|NODE_EXTRA_CA_CERTS|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy)$/

/** @param needs whether this program needs a further variable */
export function childEnvironment(env: NodeJS.ProcessEnv, needs: (name: string) => boolean = () => false): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name, value]) => value !== undefined && (kept.test(name) || needs(name))))
}

/** Change what Node does without a word; no verb has a use for them. */
const steering =
  /^NODE_(OPTIONS|PATH|TLS_REJECT_UNAUTHORIZED|DEBUG|DEBUG_NATIVE|REPL_.*|V8_COVERAGE|REDIRECT_WARNINGS|PRESERVE_SYMLINKS.*|PENDING_.*|USE_ENV_PROXY|USE_SYSTEM_CA)$/

/** Takes them out of this process, for its own connections as well as for what it starts. */
export function dropSteering(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) if (steering.test(name)) delete env[name]
}
