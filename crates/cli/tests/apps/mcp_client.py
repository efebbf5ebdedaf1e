"""Asks `stemson mcp` as an agent would, by the official SDK: lists, calls, reads. Prints one JSON object."""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main() -> None:
    binary, folder, model = sys.argv[1:]
    seen = {}
    async with stdio_client(StdioServerParameters(command=binary, args=["mcp"], cwd=folder)) as (read, write):
        async with ClientSession(read, write) as session:
            seen["server"] = (await session.initialize()).server_info.name
            seen["tools"] = sorted(tool.name for tool in (await session.list_tools()).tools)
            seen["resources"] = [str(it.uri) for it in (await session.list_resources()).resources]

            async def call(name, arguments):
                result = await session.call_tool(name, arguments)
                text = "".join(getattr(part, "text", "") for part in result.content)
                return {"error": bool(result.is_error), "text": text}

            seen["audit"] = await call("audit", {"paths": ["."]})
            seen["check_artifact"] = await call("check_artifact", {"path": model})
            seen["explain"] = await call("explain", {"rule": "heap_share"})
            seen["inspect"] = await call("inspect", {"path": model})
            seen["memory_split"] = await call("memory_split", {"container_limit": "64g", "rows": 400000, "cols": 100, "depth": 14, "tree_method": "hist"})
            seen["review"] = await call("review", {})
            seen["wrong"] = await call("explain", {"rules": "x"})
            seen["flag"] = await call("explain", {"rule": "--help"})
            seen["page"] = (await session.read_resource("stemson://rules/heap_share")).contents[0].text
            seen["checklist"] = (await session.read_resource("stemson://checklists/physical")).contents[0].text
    print(json.dumps(seen))


asyncio.run(main())
