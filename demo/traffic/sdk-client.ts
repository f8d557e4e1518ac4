/** The official TypeScript SDK over streamable HTTP, with a session, as most editors have it built in. */
import { openMcp } from '../../clients/mcp.ts'
import { expectAnswer, requestTimeoutMs, withoutPauseMs, type TrafficClient, type TrafficTarget } from './client.ts'

/** nginx keeps a connection for 75 s, and Node's own pool for 4: what is idle for longer would be a new one each time. */
const keepAliveMs = 60_000

/** @param idleMs from an answer to the next call; its connection is kept meanwhile */
export function sdkClient(target: TrafficTarget, name: string, idleMs = withoutPauseMs): TrafficClient {
  return {
    name,
    pauseMs: idleMs,
    async open() {
      const session = await openMcp({ ...target, transport: 'streamable-http' }, { timeoutMs: requestTimeoutMs, keepAliveMs })
      return {
        session: session.id,
        call: async () => expectAnswer(target.call, await session.call(target.call.tool, target.call.arguments)),
        close: session.close,
      }
    },
  }
}
