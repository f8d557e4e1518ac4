/** `npm run bench -- NAME`: measures one thing beside what it is compared with. */
const benches: Readonly<Record<string, () => Promise<{ bench: (file?: string) => Promise<void> }>>> = {
  cli: () => import('./cli.ts'),
  nightly: () => import('./nightly.ts'),
  rollout: () => import('./rollout.ts'),
}

const [name = '', file] = process.argv.slice(2)
const load = Object.hasOwn(benches, name) ? benches[name] : undefined
if (load === undefined) {
  console.error(`usage: npm run bench -- ${Object.keys(benches).join('|')} [FILE]`)
  process.exitCode = 2
} else await (await load()).bench(file)
