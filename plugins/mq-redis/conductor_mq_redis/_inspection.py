"""
What is found at a server at set-up: whether it can keep messages, and what they are exposed to there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from ._explanation import is_full
from ._keys import Keys

OLDEST = (6, 2)  # the first version in which all is there that the script uses

_APPENDONLY = "hint: set 'appendonly yes' and 'appendfsync always' on the server"


@attrs.frozen(kw_only=True)
class Findings:
    """
    What a server is like.

    Attributes:
        unfit: why it cannot be used at all, if that is so.
        hint: what to do then.
        warnings: what the messages are exposed to.
    """

    unfit: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()


async def inspect_server(client: Redis, keys: Keys) -> Findings:
    """
    What is found at a server.

    Args:
        client: asks it.
        keys: the names of something to write and to say, to see whether that is possible.

    Raises:
        RedisError: it cannot be reached, refuses, or can only be read.
    """
    found = {str(name): str(value) for name, value in (await client.info()).items()}
    version = found.get("redis_version", "0")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return Findings(unfit=f"it is Redis {version}, {oldest} or newer is needed", hint="upgrade the server")
    if found.get("cluster_enabled") == "1" and await _cluster_size(client) > 1:
        reason = "it is one of several servers of a cluster, which this queue cannot use"
        return Findings(unfit=reason, hint="the setting 'url' must lead to a single server, or to one with replicas")
    warnings = [*_about_disk(found, await _fsync(client)), *_about_memory(found)]
    await client.publish(keys.hello, "")
    try:
        await client.set(keys.probe, "1", px=1000)
    except ResponseError as error:
        if not is_full(error):
            raise
        warnings.append("the message server is full: nothing can be published until consumers have caught up")
    return Findings(warnings=tuple(warnings))


async def _fsync(client: Redis) -> str:
    """
    When the server syncs its append-only file; empty if it does not tell.
    """
    try:
        return str((await client.config_get("appendfsync")).get("appendfsync", ""))
    except ResponseError:  # hosted servers do not let everybody ask
        return ""


async def _cluster_size(client: Redis) -> int:
    answer: Any = await client.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]  # the client has none
    found = answer if isinstance(answer, dict) else dict(line.split(":") for line in answer.decode().split())
    return int(found.get("cluster_size", 1))


def _about_disk(found: Mapping[str, str], fsync: str) -> list[str]:
    if found.get("aof_enabled") == "0":
        return [
            "the message server keeps no append-only file: if it ends or crashes, what was confirmed since its last "
            f"snapshot is lost\n{_APPENDONLY}"
        ]
    if fsync in ("everysec", "no"):
        lost = "the last second or two" if fsync == "everysec" else "some seconds"
        return [
            f"the message server syncs its append-only file with 'appendfsync {fsync}': if its machine crashes, what "
            f"was confirmed in {lost} is lost\n{_APPENDONLY}"
        ]
    return []


def _about_memory(found: Mapping[str, str]) -> list[str]:
    policy = found.get("maxmemory_policy", "noeviction")
    if found.get("maxmemory", "0") == "0" or not policy.startswith("allkeys"):
        return []
    return [
        f"the message server throws messages away when it is full ('maxmemory-policy {policy}')\n"
        "hint: set 'maxmemory-policy noeviction' on the server, or use one of its own for messages"
    ]
