"""Batches with a journal, and what is in the file."""

import json

from aimu import aio
from tests.workflows.models import asked


async def mapped(runner, tasks, path, **options):
    async with aio.amap(runner, tasks, journal=path, **options) as results:
        return dict([pair async for pair in results])


def tasks_of(provider):
    return [asked(request) for request in provider.requests]


def recorded(path):
    """Return the tasks of a journal, all of whose lines must be whole."""
    header, *lines = path.read_bytes().split(b"\n")[:-1] or [b'{"aimu_journal":1}']
    assert json.loads(header)["aimu_journal"] == 1
    return [json.loads(line)["answer"]["new_messages"][0]["content"] for line in lines]


def plain(provider, system="Count.", name="w", **fields):
    return aio.Agent(aio.client(provider), system, name, **fields)
