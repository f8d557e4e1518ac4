"""The official Python SDK over streamable HTTP, with a session. Each line on standard input is one call (JSON: tool,
arguments), each line on standard output its answer (JSON: text or error, session). The first line in is the target
(JSON: url, user, password, caFile, timeout), the first line out says that it is connected. Ends with its input."""

import asyncio
import json
import ssl
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


def whole(error: BaseException) -> str:
    """With what is in it: a group of a task group says only how many there are."""
    inner = getattr(error, "exceptions", None) or [error.__cause__ or error.__context__]
    own = f"{type(error).__name__}: {error}"
    return ": ".join([own, *(whole(one) for one in inner if one is not None)])


def say(answer: dict) -> None:
    print(json.dumps(answer), flush=True)


async def main() -> None:
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    target = json.loads(await reader.readline())
    sessions: list[str] = []

    async def note(response: httpx2.Response) -> None:
        session = response.headers.get("mcp-session-id")
        if session is not None:
            sessions[:] = [session]

    http = httpx2.AsyncClient(
        auth=httpx2.BasicAuth(target["user"], target["password"]),
        verify=ssl.create_default_context(cafile=target["caFile"]),
        timeout=target["timeout"],
        trust_env=False,
        event_hooks={"response": [note]},
    )
    async with http:
        transport = streamable_http_client(target["url"], http_client=http)
        # Left to itself it would choose revision 2026-07-28, which has no sessions.
        async with Client(transport, mode="legacy", read_timeout_seconds=target["timeout"]) as client:
            say({"text": client.protocol_version, "session": sessions[0] if sessions else None})
            while line := await reader.readline():
                call = json.loads(line)
                try:
                    result = await client.call_tool(call["tool"], call["arguments"])
                    text = "".join(getattr(part, "text", "") for part in result.content)
                    answer = {"error": f"{call['tool']}: {text}"} if result.is_error else {"text": text}
                except Exception as error:  # whatever it is: the other side counts it
                    answer = {"error": whole(error)}
                say({**answer, "session": sessions[0] if sessions else None})


try:
    asyncio.run(main())
except Exception as error:  # it can't connect, or the session is over
    say({"error": whole(error)})
    sys.exit(1)
