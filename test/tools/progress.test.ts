import { describe, expect, it } from 'vitest'
import { plainLines, terminalLines } from '../../tools/progress.ts'

const progress = (elapsedMs: number) => ({ type: 'progress', tool: 'tofu', text: '12 packages compiled', elapsedMs }) as const

describe('without a terminal', () => {
  it('progress is a line every 15 s for each tool, everything else a line at once', () => {
    const lines: string[] = []
    const report = plainLines((line) => lines.push(line))
    report({ type: 'began', tool: 'tofu', action: 'build', text: 'building' })
    for (let second = 1; second <= 31; second += 1) report(progress(second * 1000))
    report({ ...progress(16_000), tool: 'packer' })
    report({ type: 'ready', tool: { name: 'tofu', version: '1.12.6', path: '/x', origin: 'built' }, elapsedMs: 31_400 })
    expect(lines).toEqual([
      'tools: tofu: building',
      'tools: tofu: 15 s: 12 packages compiled',
      'tools: tofu: 30 s: 12 packages compiled',
      'tools: packer: 16 s: 12 packages compiled',
      'tools: tofu 1.12.6 ready (built from source, 31 s)',
    ])
  })
})

describe('on a terminal', () => {
  it('progress overwrites its own line and never wraps', () => {
    let shown = ''
    const report = terminalLines({ columns: 20, write: (text) => (shown += text) })
    report(progress(1000))
    report({ type: 'ready', tool: { name: 'tofu', version: '1.12.6', path: '/x', origin: 'path' }, elapsedMs: 0 })
    expect(shown).toBe('\r\x1b[2Ktools: tofu: 1 s: 1\r\x1b[2Ktools: tofu 1.12.6 ready (found on PATH)\n')
  })
})
