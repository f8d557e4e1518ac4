/** Who may change a VM at the same time. */
import { expect, it } from 'vitest'
import { createLocks } from '../../lab/api/locks.ts'

const gate = () => Promise.withResolvers<void>()

it('one alone at a time, in the order they came', async () => {
  const locks = createLocks(5000)
  const [first, order] = [gate(), [] as string[]]
  const a = locks.withVm(1, async () => {
    await first.promise
    order.push('a')
  })
  const b = locks.withVm(1, async () => void order.push('b'))
  const other = locks.withVm(2, async () => void order.push('other'))
  await other
  first.resolve()
  await Promise.all([a, b])
  expect(order).toEqual(['other', 'a', 'b'])
})

it('clones of one source run side by side; who wants it alone waits for all of them', async () => {
  const locks = createLocks(5000)
  const [one, two, order] = [gate(), gate(), [] as string[]]
  const a = locks.withVmShared(1, async () => {
    order.push('a begins')
    await one.promise
  })
  const b = locks.withVmShared(1, async () => {
    order.push('b begins')
    two.resolve()
    await one.promise
  })
  const destroy = locks.withVm(1, async () => void order.push('alone'))
  const late = locks.withVmShared(1, async () => void order.push('after it'))
  await two.promise
  one.resolve()
  await Promise.all([a, b, destroy, late])
  expect(order).toEqual(['a begins', 'b begins', 'alone', 'after it'])
})

it('who waits too long is told so, and those behind it still get their turn', async () => {
  const locks = createLocks(30)
  const held = gate()
  const a = locks.withVm(7, () => held.promise)
  await expect(locks.withVm(7, async () => undefined)).rejects.toThrow("can't lock file '/var/lock/qemu-server/lock-7.conf' - got timeout")
  held.resolve()
  await a
  expect(await locks.withVm(7, async () => 'mine')).toBe('mine')
})
