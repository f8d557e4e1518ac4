/**
 * `npm run test:kill -- [night] [ROUNDS [SEED]]`: kills handovers of fake guests at moments of chance, both ways; with `night`,
 * whole nights, which takes minutes a round. Ends with 1 when one does not end well.
 */
import { startNightKilling } from './flow/night-killing.ts'
import { chance, startKilling } from './rollout/killing.ts'

const [first, ...others] = process.argv.slice(2)
const nights = first === 'night'
const [given, from] = nights ? others : [first, ...others]
const rounds = Number(given ?? (nights ? 50 : 100))
const seed = Number(from ?? Date.now() % 1_000_000)
console.log(`${rounds} rounds, seed ${seed}`)
const killing = await (nights ? startNightKilling() : startKilling())
let failed = 0
const random = chance(seed)
for (let round = 1; round <= rounds; round++) {
  const began = performance.now()
  try {
    console.log(`${round}: ${await killing.round(random)} (${Math.round((performance.now() - began) / 1000)} s)`)
  } catch (error) {
    failed += 1
    console.error(`${round}: ${(error as Error).message}`)
    // What is wrong stays wrong: the next round would say the same.
    break
  }
}
await killing.close()
console.log(
  failed === 0 ? `${rounds} rounds ended well` : `"npm run test:kill -- ${nights ? 'night ' : ''}${rounds} ${seed}" shows it again`,
)
process.exitCode = failed
