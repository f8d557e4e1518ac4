/** `npm run test:kill -- [ROUNDS [SEED]]`: kills handovers of fake guests at moments of chance, both ways. Ends with 1 when one does not end well. */
import { chance, startKilling } from './rollout/killing.ts'

const rounds = Number(process.argv[2] ?? 100)
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)
console.log(`${rounds} rounds, seed ${seed}`)
const killing = await startKilling()
let failed = 0
const random = chance(seed)
for (let round = 1; round <= rounds; round++) {
  try {
    console.log(`${round}: ${await killing.round(random)}`)
  } catch (error) {
    failed += 1
    console.error(`${round}: ${(error as Error).message}`)
    // What is wrong stays wrong: the next round would say the same.
    break
  }
}
await killing.close()
console.log(failed === 0 ? `${rounds} rounds ended well` : `"npm run test:kill -- ${rounds} ${seed}" shows it again`)
process.exitCode = failed
