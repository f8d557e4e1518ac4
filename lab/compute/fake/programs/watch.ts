/** golden-watch.service: takes the service address while this slot may hold it, its services answer and nobody else has it. */
import type { Guest, ServiceHook } from '../guest.ts'
import { toAddress } from '../interfaces.ts'
import { holdsAddress, isMounted, partsOf, readSlot, stateOf } from './slot.ts'

const ROUND_MS = 25

function round(guest: Guest): void {
  const slot = readSlot(guest)
  if (!slot || guest.paused || !isMounted(guest) || !guest.vfs.exists('/run/golden/claim')) return
  const { seed, image } = slot
  const present = partsOf(seed).filter((part) => image.services[part.service] !== undefined)
  if (!present.every((part) => stateOf(guest, part) === 'running')) return
  if (holdsAddress(guest, seed.service) || guest.world.reachable(guest, seed.service)) return
  const [card] = guest.interfaces
  if (card) card.addresses = [...card.addresses, ...toAddress(`${seed.service}/32`)]
}

export function watch(guest: Guest): ServiceHook {
  let timer: NodeJS.Timeout | undefined
  const stop = (): void => {
    clearInterval(timer)
    timer = undefined
  }
  return {
    start() {
      stop()
      // Goes on only as long as this boot does.
      const { bootId } = guest
      timer = setInterval(() => {
        if (guest.state !== 'running' || guest.bootId !== bootId) stop()
        else round(guest)
      }, ROUND_MS)
      timer.unref()
      return undefined
    },
    stop,
  }
}
